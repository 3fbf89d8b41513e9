"""A log beside a pool that is not its own: told, and never written into the pool."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from facepool.errors import PoolCorrupt
from facepool.gallery import SqliteGallery, open_pool
from facepool.gallery.connection import log_of
from support.pools import space


def hot(path: Path, *people: str) -> SqliteGallery:
    """A pool that is open, and has not written its log into its file."""
    pool = SqliteGallery(path, space())
    for person in people:
        pool.create(person)
    assert log_of(path).stat().st_size > 0
    return pool


def backup_of(path: Path, target: Path) -> Path:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    return target


def names(path: Path) -> list[str]:
    with open_pool(path) as pool:
        return [person.name for person in pool.people()]


def write_log_into_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


@pytest.mark.parametrize("people", [1, 3, 30])
def test_another_pool_with_the_log_of_this_one_is_refused(tmp_path: Path, people: int) -> None:
    other = tmp_path / "other.db"
    with open_pool(other, space()) as pool:
        for number in range(people):
            pool.create(f"Person {number}")
    path = tmp_path / "pool.db"
    with hot(path, "Ada", "Bob", "Cleo"):
        other.rename(path)
        before = path.read_bytes()
        for _ in range(2):
            with pytest.raises(PoolCorrupt, match="belongs to another pool"):
                open_pool(path)
        assert path.read_bytes() == before
    for left in (log_of(path), path.with_name("pool.db-shm")):
        left.unlink(missing_ok=True)
    assert len(names(path)) == people, "after what the message says"


@pytest.mark.parametrize("copied", [False, True], ids=["moved", "copied over it"])
def test_an_older_backup_of_the_pool_with_a_newer_log_is_refused(tmp_path: Path, *, copied: bool) -> None:
    path, backup = tmp_path / "pool.db", tmp_path / "backup.db"
    with hot(path, "Ada") as pool:
        backup_of(path, backup)
        pool.create("Bob")
        write_log_into_file(path)
        pool.create("Cleo")
        (shutil.copyfile if copied else Path.rename)(backup, path)
        with pytest.raises(PoolCorrupt, match="another time of this one"):
            open_pool(path)


def test_a_newer_backup_with_an_older_log_is_refused(tmp_path: Path) -> None:
    path, backup, aside = tmp_path / "pool.db", tmp_path / "backup.db", tmp_path / "aside"
    with hot(path, "Ada") as pool:
        shutil.copyfile(log_of(path), aside)
        pool.create("Bob")
        backup_of(path, backup)
    shutil.copyfile(backup, path)
    shutil.copyfile(aside, log_of(path))
    with pytest.raises(PoolCorrupt, match="another time of this one"):
        open_pool(path)


def test_a_backup_from_which_the_log_leads_on_is_the_pool_again(tmp_path: Path) -> None:
    path, backup = tmp_path / "pool.db", tmp_path / "backup.db"
    with hot(path, "Ada") as pool:
        write_log_into_file(path)
        backup_of(path, backup)
        pool.create("Bob")
        backup.rename(path)
        assert names(path) == ["Ada", "Bob"]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_pool_that_was_copied_with_its_log_is_whole(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "pool.db", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with hot(path, *(f"Person {number}" for number in range(40))):
        for file in tmp_path.glob("pool.db*"):
            shutil.copy(file, elsewhere)
    assert len(names(elsewhere / "pool.db")) == 40


def test_the_log_of_a_pool_that_others_change_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    with hot(path, "Ada") as pool:
        for number in range(60):
            pool.create(f"Person {number}")
            if number % 7 == 0:
                write_log_into_file(path)
            if number % 11 == 0:
                pool.remove(f"Person {number}")
            assert len(names(path)) == len(pool.people())


@pytest.mark.parametrize(
    "content", [b"x", b"x" * 5000, b"\x37\x7f\x06\x82" + b"\0" * 5000, b"\x37\x7f\x06\x83" + b"\xff" * 9000]
)
def test_a_log_that_is_none_is_sqlites_matter(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pool.db"
    with open_pool(path, space()) as pool:
        pool.create("Ada")
    log_of(path).write_bytes(content)
    assert names(path) == ["Ada"]
