"""Live recognition on a real clip with cuts, against labels made by eye; needs ../shared."""

import csv
from pathlib import Path

import pytest

from facepool import LiveRecognizer, load_analyzer, open_pool, open_source, read_image
from facepool.models.store import ModelStore
from facepool.types import Floats, Frame
from support.paths import DATA, ROOT

pytestmark = pytest.mark.slow

CLIP = DATA / "videos" / "yakhyo-retinaface"
KNOWN = ("Chandler", "Joey", "Rachel")
EVERY = 4


def labels() -> list[dict[str, str]]:
    with (ROOT / "benchmarks" / "labels" / "in_video.tsv").open(encoding="utf-8") as lines:
        return list(csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t"))


def who_is_at(box: Floats, frame: int, rows: list[dict[str, str]]) -> str | None:
    x, y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    for row in rows:
        inside = float(row["x_min"]) <= x <= float(row["x_max"]) and y >= float(row["y_min"])
        if inside and int(row["first"]) <= frame <= int(row["last"]):
            return row["name"]
    return None


@pytest.mark.shared
def test_the_registered_are_named_and_nobody_else_across_cuts(open_store: ModelStore, tmp_path: Path) -> None:
    analyzer, rows = load_analyzer(store=open_store), labels()
    right = possible = 0
    with open_pool(tmp_path / "pool.db", analyzer.space) as pool, open_source(str(CLIP / "in_video.mp4")) as source:
        for name in KNOWN:
            picture = read_image(CLIP / "faces" / f"{name}.png")
            faces = analyzer.analyze(picture)
            largest = int(faces.measures.size_px.argmax())
            pool.register(name, [faces.sample(largest, Frame(picture, name))], analyzer.space)
        live = LiveRecognizer(analyzer, pool)
        for frame in source:
            if frame.index % EVERY:
                continue
            view = live.process(frame)
            for box, named in zip(view.detections.boxes, view.names, strict=True):
                truth = who_is_at(box, frame.index, rows)
                assert named in (None, truth), f"frame {frame.index}: {named} in place of {truth}"
                possible += truth in KNOWN
                right += named is not None
    assert right > 0.75 * possible
