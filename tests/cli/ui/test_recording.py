from pathlib import Path

import numpy as np
import pytest

from facepool.capture import read_image, write_image
from facepool.cli.ui.console import printable
from facepool.cli.ui.recording import open_recording
from facepool.errors import ConfigError
from facepool.types import Frame

PICTURE = np.full((24, 32, 3), 120, np.uint8)


def kept(folder: Path, *frames: Frame) -> list[str]:
    with open_recording(folder) as record:
        for frame in frames:
            record(PICTURE, frame)
    return sorted(path.name for path in folder.iterdir())


def test_pictures_keep_their_names_and_two_of_one_name_are_told_apart(tmp_path: Path) -> None:
    frames = [Frame(PICTURE, "a/face.png"), Frame(PICTURE, "b/face.jpg", index=1)]
    assert kept(tmp_path / "out", *frames) == ["face-000001.jpg", "face.jpg"]


def test_a_second_run_replaces_the_pictures_of_the_first(tmp_path: Path) -> None:
    first = kept(tmp_path / "out", Frame(PICTURE, "face.png"))
    assert kept(tmp_path / "out", Frame(PICTURE, "face.png")) == first == ["face.jpg"]


def test_no_picture_of_a_run_replaces_another(tmp_path: Path) -> None:
    sources = [
        "a/face.png",
        "b/face.png",
        "c/face.png",
        "d/FACE.png",
        "e/face-000000.png",
        "f/fa:ce.png",
        "g/fa?ce.png",
    ]
    names = kept(tmp_path / "out", *(Frame(PICTURE, source) for source in sources))
    assert len({name.casefold() for name in names}) == len(sources)


def test_frames_of_two_films_of_one_name_are_told_apart(tmp_path: Path) -> None:
    frames = [
        Frame(PICTURE, source, index, index / 10) for source in ("a/film.mp4", "b/film.mp4") for index in range(2)
    ]
    assert len(kept(tmp_path / "out", *frames)) == 4


@pytest.mark.parametrize(
    "source",
    [
        "http://127.0.0.1:80/" + "a" * 300,
        "http://127.0.0.1:80/stream?" + "token=***&" * 40,
        "rtsp://***@camera:554",
        "人" * 150 + ".mp4",
        "a/" + "a" * 250 + ".mp4",
        "con.mp4",
        "NUL",
        "lpt1.tar.mp4",
        "a<b>c:d|e*f.mp4",
        "broken\udcff\n\x1b[2J.mp4",
        " . .mp4",
    ],
)
def test_whatever_a_source_is_called_its_pictures_have_names_that_every_disk_takes(tmp_path: Path, source: str) -> None:
    other = source.replace("a", "b", 1)
    frames = [Frame(PICTURE, one, index, index / 10) for one in {source, other} for index in range(2)]
    names = kept(tmp_path / "out", *frames)
    assert len(names) == len(frames)
    for name in names:
        assert len(name.encode()) < 230
        assert not set(name) & set('<>:"/\\|?*\n\x1b\udcff')
        assert name.split(".")[0].lower() not in {"con", "nul", "lpt1"}
        assert name == name.strip(" .")


def test_a_file_that_is_no_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with pytest.raises(ConfigError, match="it is a file"):
        open_recording(tmp_path / "notes")


@pytest.mark.parametrize("name", ["film.mp4", "face.png", "folder"])
def test_the_folder_of_a_recording_is_made_if_it_is_missing(tmp_path: Path, name: str) -> None:
    with open_recording(tmp_path / "new" / "folder" / name) as record:
        record(PICTURE, Frame(PICTURE, "film.mp4"))
    assert (tmp_path / "new" / "folder" / name).exists()


def test_frames_of_a_video_are_numbered(tmp_path: Path) -> None:
    frames = [Frame(PICTURE, "film.mp4", index, index / 10) for index in range(2)]
    assert kept(tmp_path / "out", *frames) == ["film-000000.jpg", "film-000001.jpg"]


def test_the_pictures_that_are_looked_at_are_never_replaced(tmp_path: Path) -> None:
    write_image(tmp_path / "face.jpg", PICTURE)
    with open_recording(tmp_path) as record, pytest.raises(ConfigError, match="another folder"):
        record(PICTURE * 0, Frame(PICTURE, str(tmp_path / "face.jpg")))
    assert read_image(tmp_path / "face.jpg").mean() > 100


def test_a_terminal_is_not_steered_by_a_name() -> None:
    assert printable("Eve\x1b[2J\x07\u4e2d\n") == "Eve\ufffd[2J\ufffd\u4e2d\n"
