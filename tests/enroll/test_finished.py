"""Who is registered already of a folder of people whose registration was interrupted."""

import os
import time
from pathlib import Path

import pytest

from facepool import open_pool
from facepool.enroll.finished import FinishedPeople
from facepool.gallery import Gallery
from facepool.types import Sample
from support.fake_analyzer import SPACE, view


@pytest.fixture
def pool(tmp_path: Path) -> Gallery:
    """Ada with one view."""
    pool = open_pool(tmp_path / "pool.db", SPACE, must_exist=False)
    pool.register("Ada", [Sample(view(0, 0))], SPACE)
    return pool


def pictures(folder: Path) -> list[Path]:
    """Two files from yesterday."""
    paths = [folder / "1.jpg", folder / "2.jpg"]
    for path in paths:
        path.write_text(path.name)
        os.utime(path, (time.time() - 86400,) * 2)
    return paths


def test_who_was_finished_is_known_to_the_next_run_until_one_ends(tmp_path: Path, pool: Gallery) -> None:
    paths = pictures(tmp_path)
    run = FinishedPeople(["recipe"], tmp_path / "kept")
    assert not run.has("Ada", paths, pool)
    run.add("Ada", paths, pool)
    following = FinishedPeople(["recipe"], tmp_path / "kept")
    assert following.has("Ada", paths, pool)
    assert not following.has("Bob", paths, pool)
    assert not following.has("Ada", paths[:1], pool)
    assert not FinishedPeople(["another"], tmp_path / "kept").has("Ada", paths, pool)
    following.forget()
    assert not FinishedPeople(["recipe"], tmp_path / "kept").has("Ada", paths, pool)


def test_who_is_not_in_the_pool_any_more_or_has_other_files_is_not_finished(tmp_path: Path, pool: Gallery) -> None:
    paths = pictures(tmp_path)
    FinishedPeople(["recipe"], tmp_path / "kept").add("Ada", paths, pool)
    following = FinishedPeople(["recipe"], tmp_path / "kept")
    os.utime(paths[0], (1, 1))
    assert not following.has("Ada", paths, pool)
    pictures(tmp_path)
    pool.remove("Ada")
    assert not following.has("Ada", paths, pool)


def test_who_was_stored_before_and_is_erased_after_the_interruption_is_registered_again(
    tmp_path: Path, pool: Gallery
) -> None:
    paths = pictures(tmp_path)
    FinishedPeople(["recipe"], tmp_path / "kept").add("Ada", paths, pool)  # the run had nothing new to store
    pool.remove("Ada")
    following = FinishedPeople(["recipe"], tmp_path / "kept")
    assert not following.has("Ada", paths, pool)
    following.add("Bob", paths, pool)
    assert not FinishedPeople(["recipe"], tmp_path / "kept").has("Bob", paths, pool)


def test_a_file_that_changed_during_the_run_is_looked_at_again(tmp_path: Path, pool: Gallery) -> None:
    paths = pictures(tmp_path)
    run = FinishedPeople(["recipe"], tmp_path / "kept")
    os.utime(paths[1], (time.time() + 5,) * 2)
    run.add("Ada", paths, pool)
    assert not (tmp_path / "kept").exists()
    paths[1].unlink()
    run.add("Ada", paths, pool)
    assert not FinishedPeople(["recipe"], tmp_path / "kept").has("Ada", paths, pool)


def test_what_is_kept_names_nobody_is_private_and_ends_after_a_week(tmp_path: Path, pool: Gallery) -> None:
    paths = pictures(tmp_path)
    FinishedPeople(["recipe"], tmp_path / "kept").add("Ada", paths, pool)
    (file,) = (tmp_path / "kept").iterdir()
    assert "Ada" not in file.read_text() + file.name
    assert os.name == "nt" or file.stat().st_mode & 0o777 == 0o600
    with file.open("a") as end:
        end.write("0123")  # a killed process may leave half of a line
    assert FinishedPeople(["recipe"], tmp_path / "kept").has("Ada", paths, pool)
    os.utime(file, (time.time() - 8 * 86400,) * 2)
    assert not FinishedPeople(["recipe"], tmp_path / "kept").has("Ada", paths, pool)


def test_where_nothing_can_be_kept_nobody_is_finished(tmp_path: Path, pool: Gallery) -> None:
    (tmp_path / "file").write_text("")
    run = FinishedPeople(["recipe"], tmp_path / "file")
    run.add("Ada", pictures(tmp_path), pool)
    run.forget()
    assert not FinishedPeople(["recipe"], tmp_path / "file").has("Ada", pictures(tmp_path), pool)
