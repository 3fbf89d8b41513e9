"""``register.py`` and ``recognize.py``: the original project's flags, files and behaviour."""

from pathlib import Path

import numpy as np
import pytest

from support.commands import Commands, Outcome, film, interrupt, nobody, pan
from support.paths import ROOT, SEED

PAIR = ("--model_registered", "faces.npy", "--model_ids", "ids.npy")


def register(commands: Commands, *words: str | Path) -> Outcome:
    return commands.original(ROOT / "register.py", *words)


def recognize(commands: Commands, *words: str | Path) -> Outcome:
    return commands.original(ROOT / "recognize.py", *words)


@pytest.fixture
def ada_then_bob(photos: Path, tmp_path: Path) -> Path:
    """A film of Ada, then of Bob, then of nobody."""
    frames = [*pan(photos / "person_a_2.jpg", 8), *pan(photos / "person_b_2.jpg", 8), *nobody(15)]
    return film(tmp_path / "both.mp4", frames)


def test_who_is_registered_with_one_is_recognized_with_the_other(
    facepool: Commands, photos: Path, tmp_path: Path, ada_then_bob: Path
) -> None:
    ada = film(tmp_path / "ada.mp4", pan(photos / "person_a_1.jpg", 4))
    stored = register(facepool, "--register_name", "Ada", "-c", ada, "--headless")
    assert stored.code == 0, stored.err
    assert "No detector and no embedder model was named: the open pack's is used" in stored.err
    assert register(facepool, "--register_name", "Bob", "-c", photos / "person_b_1.jpg").code == 0
    faces, ids = np.load(tmp_path / "model_faces.npy"), np.load(tmp_path / "model_face_ids.npy")
    assert (faces.dtype, faces.shape[1]) == (np.float32, 128)
    assert np.allclose(np.linalg.norm(faces, axis=1), 1, atol=1e-5)
    assert ids.dtype.kind == "U"
    assert set(ids.tolist()) == {"Ada", "Bob"}

    seen = recognize(facepool, "-c", ada_then_bob, "--headless")
    assert seen.code == 0, seen.err
    assert [line.split("  ")[1] for line in seen.out.splitlines()] == ["Ada", "Bob", "nobody"]


def test_every_original_flag_is_heard(facepool: Commands, photos: Path, tmp_path: Path, ada_then_bob: Path) -> None:
    both = film(tmp_path / "ada.mp4", [*pan(photos / "person_a_1.jpg", 3), *pan(photos / "person_a_2.jpg", 3)])
    every = ("--camera_url", both, "--detect_threshold", "0.9", "--device", "cpu", *PAIR, "--headless")
    stored = register(facepool, "--register_name", "Ada", "--register_threshold", "0.5", *every)
    assert stored.code == 0, stored.err
    assert np.load(tmp_path / "ids.npy").tolist() == ["Ada"]  # both photos are more alike than 0.5
    assert register(facepool, "--register_name", "Ada", "-rf", "0.8", *every).code == 0
    assert np.load(tmp_path / "ids.npy").tolist() == ["Ada", "Ada"]
    strict = recognize(facepool, "-c", ada_then_bob, "-rf", "0.999", "-dt", "0.9", *PAIR, "--headless")
    assert [line.split("  ")[1] for line in strict.out.splitlines()] == ["unknown", "nobody"]
    blind = recognize(facepool, "-c", ada_then_bob, "-dt", "1.0", *PAIR, "--headless")
    assert [line.split("  ")[1] for line in blind.out.splitlines()] == ["nobody"]


def test_ctrl_c_leaves_without_saving(facepool: Commands, photos: Path, tmp_path: Path) -> None:
    assert register(facepool, "--register_name", "Ada", "-c", photos / "person_a_1.jpg").code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.glob("model_face*")}
    long = film(tmp_path / "bob.mp4", pan(photos / "person_b_1.jpg", 15) * 20)
    process = facepool.start(ROOT / "register.py", "--register_name", "Bob", "-c", long, "--headless")
    outcome = interrupt(process, "Looking at")
    assert outcome.code == 130
    assert "nothing was stored of Bob" in outcome.err
    assert {path.name: path.read_bytes() for path in tmp_path.glob("model_face*")} == before


@pytest.mark.parametrize("flag", ["--detect_face_model", "--detect_face_backbone", "--recognized_model"])
def test_a_model_that_was_named_and_is_not_there_is_an_error(facepool: Commands, photos: Path, flag: str) -> None:
    outcome = register(facepool, "--register_name", "Ada", "-c", photos / "person_a_1.jpg", flag, "gone.pth")
    assert outcome.code == 3
    assert "There is no model file gone.pth" in outcome.error


def test_a_device_that_was_named_and_is_not_there_is_an_error(facepool: Commands, photos: Path) -> None:
    outcome = recognize(facepool, "-c", photos / "person_a_1.jpg", "--device", "cuda:0")
    assert outcome.code in {0, 3, 6}  # 0 and 3 where there is a GPU
    if outcome.code == 6:
        assert "[device_unavailable]" in outcome.error or "[engine_missing]" in outcome.error


def test_an_empty_pool_is_reported(facepool: Commands, photos: Path) -> None:
    outcome = recognize(facepool, "-c", photos / "person_a_1.jpg")
    assert outcome.code == 3
    assert "The pool model_faces.npy does not exist. Register somebody first" in outcome.error


@pytest.mark.shared
def test_the_original_sample_pool_does_not_fit_the_open_pack(facepool: Commands, photos: Path) -> None:
    pool = ("--model_registered", SEED / "model_faces.npy", "--model_ids", SEED / "model_face_ids.npy")
    outcome = recognize(facepool, "-c", photos / "person_a_1.jpg", *pool)
    assert outcome.code == 4
    assert "512 and 128 numbers cannot be compared" in outcome.error


def test_a_name_is_required(facepool: Commands) -> None:
    outcome = register(facepool, "-c", "0")
    assert outcome.code == 2
    assert "--register_name" in outcome.error
