"""Who is named in a video of six people, frame by frame and by track, against labels made by eye.

    python benchmarks/recognition_in_video.py [--shared ../shared] [--threads 2] [--every 1]

One portrait of each person is registered. Every face that the detector finds is compared with the labels, whose other
boxes (hands, pictures on a fridge) are nobody. A flicker is a change of the name shown over one person within a shot,
after it was there for the first time. Needs the pictures of ../shared, which are not part of this project.
"""

import argparse
import csv
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from facepool import Analyzer, Pool, Recognizer, load_analyzer, open_pool, open_source, read_image
from facepool.recognize.live import LiveRecognizer
from facepool.types import Detections, Floats, Frame

LABELS = Path(__file__).parent / "labels" / "in_video.tsv"
Names = tuple[str | None, ...]


@dataclass(frozen=True)
class Label:
    first: int
    last: int
    x_min: float
    x_max: float
    y_min: float
    name: str

    def covers(self, frame: int, box: Floats) -> bool:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return self.first <= frame <= self.last and self.x_min <= x <= self.x_max and y >= self.y_min


@dataclass
class Score:
    right: int = 0
    wrong: int = 0
    unnamed: int = 0
    flickers: int = 0
    embedded: int = 0
    shown: dict[Label, list[str | None]] = field(default_factory=lambda: defaultdict(list))
    missed: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, frame: int, boxes: Floats, names: Sequence[str | None], labels: Sequence[Label]) -> None:
        for box, name in zip(boxes, names, strict=True):
            label = next((one for one in labels if one.covers(frame, box)), None)
            if label is None:
                self.wrong += name is not None
                continue
            self.right += name == label.name
            self.unnamed += name is None
            self.wrong += name not in (None, label.name)
            self.missed[f"{label.first}-{label.last} {label.name}"] += name is None
            self.shown[label].append(name)

    def count_flickers(self) -> int:
        changes = 0
        for names in self.shown.values():
            first = next((i for i, name in enumerate(names) if name is not None), len(names))
            changes += sum(a != b for a, b in zip(names[first:], names[first + 1 :], strict=False))
        return changes


def read_labels() -> list[Label]:
    with LABELS.open(encoding="utf-8") as lines:
        rows = csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t")
        return [
            Label(int(r["first"]), int(r["last"]), float(r["x_min"]), float(r["x_max"]), float(r["y_min"]), r["name"])
            for r in rows
        ]


def register_portraits(folder: Path, names: Iterable[str], analyzer: Analyzer, pool: Pool) -> None:
    for name in names:
        image = read_image(folder / f"{name}.png")
        faces = analyzer.analyze(image)
        largest = int(faces.measures.size_px.argmax())
        pool.register(name, [faces.sample(largest, Frame(image, name))], analyzer.space)


def by_frame(analyzer: Analyzer, pool: Pool) -> Callable[[Frame], tuple[Detections, Names, int]]:
    recognizer = Recognizer(analyzer, pool)

    def step(frame: Frame) -> tuple[Detections, Names, int]:
        faces = recognizer.recognize(frame.image_bgr)
        return faces.detections, faces.names, len(faces)

    return step


def by_track(analyzer: Analyzer, pool: Pool) -> Callable[[Frame], tuple[Detections, Names, int]]:
    recognizer = LiveRecognizer(analyzer, pool)

    def step(frame: Frame) -> tuple[Detections, Names, int]:
        view = recognizer.process(frame)
        return view.detections, view.names, int(view.embedded.sum())

    return step


def score(
    video: Path, every: int, step: Callable[[Frame], tuple[Detections, Names, int]], labels: Sequence[Label]
) -> Score:
    result = Score()
    with open_source(str(video)) as source:
        for frame in source:
            if frame.index % every:
                continue
            detections, names, embedded = step(frame)
            result.embedded += embedded
            result.add(frame.index, detections.boxes, names, labels)
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="use every k-th frame, as a slow machine would")
    parser.add_argument("--left-out", type=int, default=0, help="how many of the sets of three to leave out, 0 to 20")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.shared / "data" / "videos" / "yakhyo-retinaface"
    labels = read_labels()
    names = sorted({label.name for label in labels})
    analyzer = load_analyzer(threads=arguments.threads)
    threes = list(combinations(names, 3))
    # Spread over the list, so that a few sets already leave everybody out once.
    chosen = [threes[i * len(threes) // arguments.left_out] for i in range(arguments.left_out)]
    print(
        f"{'pool':<28}{'by':<8}{'faces':>6}{'right':>7}{'unnamed':>9}{'wrong':>7}{'flickers/min':>14}{'embedded':>10}"
    )
    for known in [tuple(names), *chosen]:
        for way, make in (("frame", by_frame), ("track", by_track)):
            with tempfile.TemporaryDirectory() as temporary, open_pool(f"{temporary}/pool.db", analyzer.space) as pool:
                register_portraits(folder / "faces", known, analyzer, pool)
                result = score(folder / "in_video.mp4", arguments.every, make(analyzer, pool), labels)
            faces = result.right + result.unnamed + result.wrong
            minutes = 632 / (24000 / 1001) / 60
            title = "all six" if len(known) == len(names) else "+".join(known)
            print(
                f"{title:<28}{way:<8}{faces:>6}{result.right:>7}{result.unnamed:>9}{result.wrong:>7}"
                f"{result.count_flickers() / minutes:>14.0f}{result.embedded:>10}",
                flush=True,
            )
            if arguments.verbose:
                print({who: count for who, count in result.missed.items() if count})


if __name__ == "__main__":
    main()
