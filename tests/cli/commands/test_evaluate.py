"""``facepool evaluate``: pairs, folder, identify, detection, as a user runs them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facepool import read_image
from facepool.capture import write_image
from facepool.faces.detect import RetinaFace
from support.commands import Commands, shot


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """Two people with two pictures each, two with one, and one picture of a wall."""
    root = tmp_path_factory.mktemp("data") / "people"
    named = {
        "Ada/1.jpg": "person_a_1",
        "Ada/2.jpg": "person_a_2",
        "Bob/1.jpg": "person_b_1",
        "Bob/more/2.jpg": "person_b_2",
        "Cy.jpg": "impostor_1",
        "Dan/1.jpg": "impostor_2",
    }
    for target, photo in named.items():
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / target).write_bytes((photos / f"{photo}.jpg").read_bytes())
    write_image(root / "Ada/wall.png", np.full((80, 80, 3), 128, np.uint8))
    return root


def report(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return loaded


def test_a_folder_gives_a_table_and_two_reports(facepool: Commands, people: Path) -> None:
    outcome = facepool("evaluate", "folder", people, "--output", "out")
    assert outcome.code == 0, outcome.err
    assert "TAR at FMR 1%" in outcome.out
    assert "too few pairs of two" in outcome.out
    assert re.search(r"failures to acquire +14.29% +1 of 7 pictures", outcome.out)
    assert "wall.png: no face was found" in outcome.err
    record = report(facepool.folder / "out")
    assert record["pairs"] == 7 * 6 // 2
    assert record["genuine_pairs"] == 3 + 1
    assert record["failures_to_acquire"] == 1
    # The two pairs with the wall are misses, the others are not.
    assert record["tar_at_fmr"]["0.01"]["tar"] == 0.5
    assert record["default_threshold"]["fmr"] == 0
    assert record["model"] == "sface"
    assert "sface (128-d" in record["space"]
    assert record["device"]
    assert record["versions"]["facepool"]
    assert record["command"].startswith("facepool evaluate folder")
    html = (facepool.folder / "out/report.html").read_text(encoding="utf-8")
    assert "no face was found" in html
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)


def test_a_second_run_looks_at_nothing_again_and_finds_the_same(facepool: Commands, people: Path) -> None:
    first, second = (facepool("evaluate", "folder", people, "--json") for _ in range(2))
    assert "known from an earlier run" not in first.err
    assert "7 of 7 pictures were known from an earlier run" in second.err
    records = [outcome.records[0] for outcome in (first, second)]
    assert [record.pop("pictures_from_cache") for record in records] == [0, 7]
    for record in records:
        del record["seconds"], record["started_at"]
    assert records[0] == records[1]
    other = facepool("evaluate", "folder", people, "--json", "--detect-size", "320")
    assert other.records[0]["pictures_from_cache"] == 0
    forgetful = facepool("evaluate", "folder", people, "--json", "--no-cache")
    assert forgetful.records[0]["pictures_from_cache"] == 0


def test_pairs_of_a_list(facepool: Commands, people: Path) -> None:
    lines = [
        "Ada/1.jpg Ada/2.jpg 1 0",
        "Ada/1.jpg Cy.jpg 0 0",
        "Bob/1.jpg Bob/more/2.jpg 1 1",
        "Bob/1.jpg Dan/1.jpg 0 1",
    ]
    (facepool.folder / "mine.txt").write_text("\n".join(lines))
    outcome = facepool("evaluate", "pairs", "mine.txt", "--root", people, "--output", "out", "--json")
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    assert record == report(facepool.folder / "out")
    assert record["pairs"] == 4
    assert len(record["accuracy"]["folds"]) == 2  # type: ignore[index]
    assert record["accuracy"]["mean"] >= 0.5  # type: ignore[index]
    assert record["eer"] == 0
    assert record["failures_to_acquire"] == 0


def test_identification_registers_some_and_keeps_strangers_out(facepool: Commands, people: Path) -> None:
    outcome = facepool("evaluate", "identify", people, "--output", "out")
    assert outcome.code == 0, outcome.err
    assert "Gallery of 2 people, 2 templates; 3 searches for them, 2 for 2 strangers" in outcome.out
    record = report(facepool.folder / "out")
    assert record["gallery"]["people"] == 2
    assert record["rank_one"] == pytest.approx(2 / 3, abs=1e-6)  # the wall is nobody
    assert record["default_threshold"]["fpir"] == 0
    assert not facepool.pool.exists()
    assert (facepool.folder / "out/report.html").stat().st_size > 10_000


def test_what_a_folder_of_people_holds_beside_pictures_is_said(facepool: Commands, photos: Path) -> None:
    for name in ("Ada/a_1", "Ada/a_2", "Bob/b_1", "Bob/b_2"):
        person, photo = name.split("/")
        path = facepool.folder / "people" / person / f"{photo}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / f"person_{photo}.jpg", path)
    shutil.copytree(facepool.folder / "people/Bob", facepool.folder / "people/#recycle/Ada")
    (facepool.folder / "people/Bob/gone.jpg").symlink_to("/nonexistent")
    for words in (("folder", "people"), ("identify", "people", "--people", "1")):
        outcome = facepool("evaluate", *words, "--no-cache", "--json")
        assert outcome.code == 3, outcome.err
        (record,) = outcome.records
        assert record["not_read"] == [{"path": "people/Bob/gone.jpg", "why": "it is a link that leads nowhere"}]
        assert "1 system folder passed over: #recycle" in outcome.err
        assert "Left out people/Bob/gone.jpg" in outcome.err


def test_detection_on_annotated_boxes(facepool: Commands, photos: Path, retinaface: RetinaFace) -> None:
    (facepool.folder / "shots").mkdir()
    truth = []
    for name in ("person_a_1", "impostor_1"):
        write_image(facepool.folder / f"shots/{name}.png", shot(photos / f"{name}.jpg"))
        found = retinaface.detect([read_image(facepool.folder / f"shots/{name}.png")])[0]
        x1, y1, x2, y2 = found.boxes[0]
        truth += [f"{name}.png", "1", f"{x1:.0f} {y1:.0f} {x2 - x1:.0f} {y2 - y1:.0f} 0 0 0 0 0 0"]
    (facepool.folder / "truth.txt").write_text("\n".join([*truth, "gone.png", "1", "1 1 9 9"]))
    outcome = facepool("evaluate", "detection", "truth.txt", "--root", "shots", "--output", "out")
    assert outcome.code == 0, outcome.err
    assert "1 picture of truth.txt is not there, and left out" in outcome.err
    record = report(facepool.folder / "out")
    assert record["average_precision"] == 1.0
    assert record["at_threshold"]["recall"] == 1.0
    assert record["embedder"] is None
    assert (facepool.folder / "out/report.html").is_file()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("folder", "nowhere"), 3, "[path_missing] There is no folder nowhere"),
        (("folder", "."), 3, "[source_empty] The folder . holds no picture"),
        (("identify", "nowhere"), 3, "[path_missing]"),
        (("pairs", "nothing.txt", "--root", "."), 3, "[path_missing] There is no pairs file nothing.txt"),
        (("pairs", "words.txt", "--root", "."), 3, "[protocol_invalid] Line 1 of words.txt is not a pair"),
        (("pairs", "lfw.txt", "--root", "."), 3, "[path_missing] None of the pictures is there"),
        (("pairs", "words.txt"), 2, "Missing option '--root'"),
        (("detection", "words.txt", "--root", "."), 3, "[protocol_invalid] Line 2 of words.txt"),
    ],
)
def test_what_cannot_be_evaluated_is_one_clear_line(
    facepool: Commands, words: tuple[str, ...], code: int, says: str
) -> None:
    (facepool.folder / "words.txt").write_text("some words\nand more\n")
    (facepool.folder / "lfw.txt").write_text("1 1\nAda 1 2\nAda 1 Bob 1\n")
    outcome = facepool("evaluate", *words)
    assert outcome.code == code
    assert says in outcome.error
    assert not outcome.out


def test_plots_are_not_loaded_before_there_is_a_report() -> None:
    code = "import facepool.cli.commands.evaluate, sys; print({'matplotlib', 'jinja2'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "set()"


def test_a_folder_of_one_person_says_what_is_missing(facepool: Commands, people: Path) -> None:
    outcome = facepool("evaluate", "folder", people / "Bob")
    assert outcome.code == 3
    assert "[protocol_invalid] Nobody in" in outcome.error
    assert "root/Ada/1.jpg" in outcome.error


def test_an_output_that_cannot_be_made_is_refused_before_the_work(facepool: Commands, people: Path) -> None:
    (facepool.folder / "file").touch()
    outcome = facepool("evaluate", "folder", people, "--output", "file/out")
    assert outcome.code == 7
    assert "file" in outcome.error
    assert "Running on" not in outcome.err


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_goes_on_where_it_was(facepool: Commands, people: Path, blow: signal.Signals) -> None:
    many = facepool.folder / "many"
    picture = shot(people / "Ada/1.jpg")
    for number in range(64):
        (many / f"Person {number % 8}").mkdir(parents=True, exist_ok=True)
        write_image(many / f"Person {number % 8}/{number}.png", np.roll(picture, number, axis=1))
    process = facepool.start("-m", "facepool", "evaluate", "folder", many, "--cache", "kept")
    wait_for_some(facepool.folder / "kept", process)
    process.send_signal(blow)
    _, err = process.communicate(timeout=60)
    if blow == signal.SIGINT:
        assert process.returncode == 130
        assert "the same command goes on from there" in err
    resumed = facepool("evaluate", "folder", many, "--cache", "kept", "--json")
    assert resumed.code == 0, resumed.err
    assert 0 < int(str(resumed.records[0]["pictures_from_cache"])) < 64


def wait_for_some(cache: Path, process: "subprocess.Popen[str]") -> None:
    """Until the first batch is kept."""
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size > 30_000 for file in cache.glob("*-wal")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
