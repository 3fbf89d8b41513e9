"""``facepool verify``: similarity, threshold, verdict, exit code."""

from pathlib import Path

import numpy as np
import pytest

from facepool import read_image
from facepool.capture import write_image
from facepool.cli.main import cli, run
from facepool.geometry import turn_image
from support.commands import Commands, shot


def test_two_pictures_of_one_person_match(crowd: Commands, photos: Path) -> None:
    outcome = crowd("verify", photos / "person_a_1.jpg", photos / "person_a_2.jpg", "--json")
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    assert tuple(record) == ("similarity", "threshold", "match", "meaning")
    assert record["match"] is True
    assert record["similarity"] == pytest.approx(0.60, abs=0.03)
    assert record["threshold"] == pytest.approx(0.370)  # FMR 1e-3


def test_two_people_do_not(crowd: Commands, photos: Path) -> None:
    outcome = crowd("verify", photos / "person_a_1.jpg", photos / "impostor_1.jpg")
    assert outcome.code == 1
    assert outcome.out.startswith("similarity ")
    assert "threshold 0.370: different people" in outcome.out
    assert "0.1% of pairs of different people would pass (FMR)" in outcome.err


def test_two_people_upside_down_do_not_match_and_it_is_said_how_they_lie(
    crowd: Commands, photos: Path, tmp_path: Path
) -> None:
    for name in ("person_a_2", "person_b_1"):
        write_image(tmp_path / f"{name}.png", turn_image(read_image(photos / f"{name}.jpg"), 180))
    outcome = crowd("verify", tmp_path / "person_a_2.png", tmp_path / "person_b_1.png")
    assert outcome.code == 1
    assert "different people" in outcome.out
    assert outcome.err.count("looked at turned clockwise by 180 degrees") == 2
    same = crowd("verify", tmp_path / "person_a_2.png", photos / "person_a_1.jpg")
    assert same.code == 0


def test_a_threshold_of_the_users_is_obeyed(crowd: Commands, photos: Path) -> None:
    outcome = crowd("verify", photos / "person_a_1.jpg", photos / "person_a_2.jpg", "-t", "0.95")
    assert outcome.code == 1
    assert "threshold 0.950: different people" in outcome.out


def test_the_largest_of_several_faces_is_compared_and_reported(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    small = np.zeros_like(shot(photos / "person_b_1.jpg"))
    small[:200, :160] = shot(photos / "person_b_1.jpg")[::2, ::2]
    write_image(tmp_path / "pair.png", np.hstack([small, shot(photos / "person_a_2.jpg")]))
    outcome = crowd("verify", tmp_path / "pair.png", photos / "person_a_1.jpg")
    assert outcome.code == 0, outcome.err
    assert "pair.png has 2 faces; the largest is compared" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.jpg"], "Name a second picture, or a camera with --live"),
        (["a.jpg", "b.jpg", "--partial"], "--partial cannot be used with two pictures"),
        (["a.jpg", "b.jpg", "--headless"], "--headless cannot be used with two pictures"),
    ],
)
def test_what_means_nothing_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["verify", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_picture_is_nobody_alive(crowd: Commands, photos: Path) -> None:
    outcome = crowd("verify", "--live", photos / "person_a_1.jpg", photos / "person_a_2.jpg")
    assert outcome.code == 2
    assert "cannot show that somebody is alive: it is a picture" in outcome.error
