"""The image of an index on the disk: it answers as the pool does, goes where it does not fit, and has nobody erased."""

import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import facepool.search.image
from facepool.errors import PoolCorrupt
from facepool.gallery import Pool, SqliteGallery, open_pool
from facepool.gallery.backup import back_up, opened_backup, replace_damaged, restore
from facepool.gallery.image import Misfit, image_of, lock_of_image, unfinished_image_of
from facepool.gallery.schema import MIGRATIONS
from facepool.search import Index, Search, follow, keeping_image
from facepool.search.image import ImageKeeper, read_image, write_image
from facepool.search.known import known_of
from support.paths import TESTS
from support.permissions import like_any_user
from support.pools import MEASURED, opened, samples, space, unit, units

WRITER = TESTS / "support" / "image_writer.py"


@pytest.fixture(autouse=True)
def small_images(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("facepool.search.image.LEAST_TEMPLATES", 1)
    monkeypatch.setattr("facepool.search.image._PAUSE_S", 0.02)
    monkeypatch.setattr("facepool.search.image._TRIES", 50)
    monkeypatch.setattr("facepool.search.image._REST", 0)
    yield
    settle()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A pool with an image."""
    with opened(tmp_path, "pool.db") as pool:
        for number, name in enumerate(("Ada", "Bob", "Grace", "Alan")):
            pool.register(name, samples(2 * number, 2 * number + 1), space())
        pool.register("Eve", samples(20), space(), look_alikes=["Ada"])
        pool.set_calibration(MEASURED)
        searched(pool)
    assert image_of(tmp_path / "pool.db").exists()
    return tmp_path / "pool.db"


def settle() -> None:
    """Wait for threads that write images."""
    for thread in threading.enumerate():
        if thread.name == "facepool-image":
            thread.join(60)
            assert not thread.is_alive()


def searched(pool: Pool) -> Index:
    index = Search(pool).index()
    settle()
    return index


def answers(path: Path) -> object:
    with open_pool(path, space()) as pool:
        found = Search(pool).nearest(units(5), 3, normalize=True)
        settle()
        return found


def is_mapped(index: Index) -> bool:
    return not index.vectors.flags.owndata and not index.vectors.flags.writeable and "mmap" in repr(base_of(index))


def base_of(index: Index) -> object:
    array: object = index.vectors
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


def files_with(folder: Path, *traces: bytes) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if any(trace in path.read_bytes() for trace in traces))


def trace_of(seed: int) -> bytes:
    return unit(seed).astype("<f4").tobytes()


@pytest.fixture
def opened_images(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each index that was opened came from an image."""
    found: list[bool] = []
    opened_by = facepool.search.image.ImageKeeper.opened

    def watched(keeper: facepool.search.image.ImageKeeper, gallery: Pool) -> Index | None:
        index = opened_by(keeper, gallery)
        found.append(index is not None)
        return index

    monkeypatch.setattr(facepool.search.image.ImageKeeper, "opened", watched)
    return found


def test_an_index_from_an_image_answers_as_one_from_the_pool(path: Path, opened_images: list[bool]) -> None:
    from_image = answers(path)
    assert opened_images == [True]
    image_of(path).unlink()
    assert answers(path) == from_image
    assert opened_images == [True, False]


def test_large_pools_have_their_codes_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepool.search.index._CODED_TEMPLATES", 1)
    with opened(tmp_path, "pool.db") as pool:
        pool.register("Ada", samples(*range(40)), space())
        fresh = Search(pool).nearest(units(5), 3)
        assert Search(pool).index().blocks is not None
        settle()
    with opened(tmp_path, "pool.db") as pool:
        assert Search(pool).nearest(units(5), 3) == fresh
        assert Search(pool).index().blocks is not None


@pytest.mark.skipif(os.name == "nt", reason="what is mapped cannot be deleted there, so it is read")
def test_who_opens_the_pool_later_maps_the_image(path: Path) -> None:
    with open_pool(path) as pool:
        assert is_mapped(Search(pool).index())


def test_only_the_owner_may_read_it(path: Path) -> None:
    assert stat.S_IMODE(image_of(path).stat().st_mode) == 0o600 or sys.platform == "win32"


def test_small_pools_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepool.search.image.LEAST_TEMPLATES", 3)
    with opened(tmp_path, "pool.db") as pool:
        pool.register("Ada", samples(1, 2), space())
        searched(pool)
        assert not image_of(tmp_path / "pool.db").exists()
        pool.register("Ada", samples(3), space())
        searched(pool)
    assert image_of(tmp_path / "pool.db").exists()


@pytest.mark.parametrize("backend", ["model_faces.npy"])
def test_galleries_that_allow_none_have_none(tmp_path: Path, backend: str) -> None:
    with opened(tmp_path, backend) as pool:
        pool.register("Ada", samples(1, 2), space())
        assert pool.imaged is None
        searched(pool)
    assert not list(tmp_path.glob("*.index*"))


def test_what_came_after_the_image_is_found_and_it_is_written_anew_when_that_was_much(
    path: Path, monkeypatch: pytest.MonkeyPatch, opened_images: list[bool]
) -> None:
    before = image_of(path).stat()
    monkeypatch.setattr("facepool.search.image.LEAST_TEMPLATES", 4)
    with open_pool(path, space()) as pool:
        pool.register("Zoe", samples(30, 31), space())
        assert Search(pool).nearest(unit(30)[None]).candidates[0][0].person == "Zoe"
        settle()
    assert image_of(path).stat() == before
    with open_pool(path, space()) as pool:
        assert Search(pool).nearest(unit(30)[None]).candidates[0][0].person == "Zoe"
        pool.register("Zoe", samples(32, 33, 34), space())
        searched(pool)
    assert image_of(path).stat().st_ino != before.st_ino
    assert opened_images == [True, True]
    assert len(Index.of_parts(read_image(path).parts)) == 14


def test_every_byte_counts(path: Path) -> None:
    whole = image_of(path).read_bytes()
    sound = {name: array.tobytes() for name, array in read_image(path).parts.items()}
    taken, head, tried = 0, 80, random.Random(0)
    for place in (*range(head), *tried.sample(range(head, len(whole)), 600)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        image_of(path).write_bytes(damaged)
        try:
            image = read_image(path)
            image.index()
        except Misfit:
            continue
        taken += 1
        assert {name: array.tobytes() for name, array in image.parts.items()} == sound  # it lies between two arrays
    assert taken < 600 * 64 * len(sound) / len(whole) + 60


def test_a_file_that_is_cut_or_longer_is_none(path: Path, opened_images: list[bool]) -> None:
    whole = image_of(path).read_bytes()
    right = answers(path)
    for content in (
        b"",
        whole[:10],
        whole[:100],
        whole[: len(whole) // 2],
        whole[:-1],
        whole + b"\0",
        bytes(len(whole)),
    ):
        image_of(path).write_bytes(content)
        assert answers(path) == right
        assert len(Index.of_parts(read_image(path).parts)) == 9  # another one was written
    assert opened_images == [True] + [False] * 7


def test_one_of_another_pool_is_not_used(path: Path, tmp_path: Path, opened_images: list[bool]) -> None:
    right = answers(path)
    other = tmp_path / "other.db"
    with open_pool(other, space()) as pool:
        for number in range(9):
            pool.register(f"Other {number}", samples(number), space())
        searched(pool)
    shutil.copy(image_of(other), image_of(path))
    assert answers(path) == right
    assert opened_images == [True, False, False]


def test_a_copy_of_the_pool_that_went_another_way_is_not_searched_by_its_image(
    path: Path, tmp_path: Path, opened_images: list[bool]
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    with open_pool(path, space()) as pool:
        pool.register("Zoe", samples(30), space())
        image_of(path).unlink()
        searched(pool)
    with open_pool(copy, space()) as pool:
        pool.register("Yves", samples(31), space())
        pool.register("Yves", samples(32), space())
    shutil.move(copy, path)
    with open_pool(path, space()) as pool:
        assert not image_of(path).exists()
        assert Search(pool).nearest(unit(31)[None]).candidates[0][0].person == "Yves"
        assert "Zoe" not in Search(pool).index().names
    assert opened_images[-1] is False


def test_an_older_copy_of_the_pool_is_not_searched_by_a_newer_image(
    path: Path, tmp_path: Path, opened_images: list[bool]
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    with open_pool(path, space()) as pool:
        image_of(path).unlink()
        pool.register("Zoe", samples(30), space())
        searched(pool)
    shutil.move(copy, path)
    with open_pool(path, space()) as pool:
        assert "Zoe" not in Search(pool).index().names
    assert opened_images == [False, False]


def change_remove(pool: Pool) -> None:
    pool.remove("Ada")


def change_remove_many(pool: Pool) -> None:
    pool.remove_many(["Ada", "Nobody"])


def change_rename(pool: Pool) -> None:
    pool.rename("Ada", "Lovelace")


def change_merge(pool: Pool) -> None:
    pool.merge("Ada", "Bob")


def change_remove_noting(pool: Pool) -> None:
    with pool.noting("Desk"):
        pool.remove("Ada")


CHANGES = [change_remove, change_remove_many, change_rename, change_merge, change_remove_noting]


@pytest.mark.parametrize("change", CHANGES)
def test_who_is_erased_merged_or_renamed_is_out_of_it_when_the_call_returns(
    path: Path, change: Callable[[Pool], None]
) -> None:
    assert b"Ada" in image_of(path).read_bytes()
    unfinished_image_of(path).write_bytes(image_of(path).read_bytes())  # of another process
    with open_pool(path, space()) as pool:
        change(pool)
        assert not image_of(path).exists()
        assert not unfinished_image_of(path).exists()
        searched(pool)
    if image_of(path).exists():
        assert b"Ada" not in image_of(path).read_bytes()


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new is in other segments than what was there, as in large pools."""
    monkeypatch.setattr("facepool.search.index._TAIL_ROWS", 1)
    monkeypatch.setattr("facepool.search.index._DEAD", 2)


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("change", [change_remove, change_remove_many, change_rename, change_merge])
def test_nothing_of_them_is_in_the_next_image(path: Path, change: Callable[[Pool], None]) -> None:
    with open_pool(path, space()) as pool:
        Search(pool).index()
        change(pool)
        searched(pool)
        index = Index.of_parts(read_image(path).parts)
        assert any(layer.alive is not None for layer in index.layers)
    assert b"Ada" not in image_of(path).read_bytes()
    assert (trace_of(0) in image_of(path).read_bytes()) is (change in (change_rename, change_merge))


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("change", [change_remove, change_rename])
def test_nothing_of_those_is_whom_another_process_erases_before_the_image_is_begun(
    path: Path, change: Callable[[Pool], None]
) -> None:
    with open_pool(path, space()) as pool, open_pool(path, space()) as other:
        Search(pool).index()
        change(other)
        known = known_of(pool)
        assert ImageKeeper()._renewed(path, other, lambda _gallery: known)
    assert b"Ada" not in image_of(path).read_bytes()
    assert (trace_of(0) in image_of(path).read_bytes()) is (change is change_rename)


def test_a_template_that_is_erased_is_out_of_it(path: Path) -> None:
    assert trace_of(0) in image_of(path).read_bytes()
    with open_pool(path, space()) as pool:
        pool.remove_template(pool.templates("Ada")[0].id)
        assert files_with(path.parent, trace_of(0)) == []
        searched(pool)
        assert image_of(path).exists()
    assert files_with(path.parent, trace_of(0)) == []


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not say what is mapped")
def test_nothing_of_an_image_that_is_gone_stays_mapped(path: Path) -> None:
    with open_pool(path, space()) as pool, open_pool(path, space()) as other:
        Search(pool).index()
        with open_pool(path, space()) as third:
            third.remove("Ada")
        follow(other)
        settle()
        maps = [line for line in Path("/proc/self/maps").read_text().splitlines() if ".index" in line]
        assert not [line for line in maps if line.endswith("(deleted)")]
        assert "Ada" not in Search(pool).index().names


def test_an_index_that_another_process_needs_is_not_written_under_its_hands(path: Path) -> None:
    """Whoever is erased while an image is written, is in none afterwards: what is unfinished is taken away."""
    with open_pool(path, space()) as pool:
        imaged = pool.imaged
        assert imaged is not None
        changes, mark = imaged.marked_changes()
        index = Index.of(changes)

        def made() -> tuple[object, object]:
            with open_pool(path, space()) as other:
                other.remove("Ada")
            return mark, index.parts()

        with pytest.raises(FileNotFoundError):
            write_image(path, made)  # type: ignore[arg-type]
    assert files_with(path.parent, trace_of(0), b"Ada") == []


def test_people_whom_an_old_facepool_erased_leave_it_when_the_pool_is_opened(path: Path) -> None:
    with sqlite3.connect(path) as db:  # as it does, without knowing of images
        (row,) = db.execute("SELECT id FROM persons WHERE name = 'Ada'").fetchone()
        db.execute("UPDATE state SET revision = revision + 1, erased = erased + 1, rewritten = 1, wiped = 1")
        db.execute(
            "INSERT INTO removed_templates SELECT templates.id, (SELECT revision FROM state) FROM templates JOIN "
            "samples ON samples.id = sample_id WHERE person_id = ?",
            (row,),
        )
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("DELETE FROM persons WHERE id = ?", (row,))
    assert image_of(path).exists()
    open_pool(path).close()
    assert not image_of(path).exists()


def test_an_old_name_leaves_it_when_who_renamed_was_killed_before_it_could_see_to_it(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE state SET revision = revision + 1")
        db.execute("UPDATE persons SET name = 'Zed', revision = (SELECT revision FROM state) WHERE name = 'Eve'")
    open_pool(path).close()
    assert not image_of(path).exists()


def test_whoever_is_not_in_a_backup_that_is_restored_leaves_it(path: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.mkdir()
    with SqliteGallery(path) as pool:
        back_up(pool, backup / "pool.db")
        pool.register("Zoe", samples(30), space())
        image_of(path).unlink()
        searched(pool)
        assert b"Zoe" in image_of(path).read_bytes()
        with opened_backup(backup / "pool.db", tmp_path) as opened_one:
            restore(pool, opened_one)
        assert not image_of(path).exists()
        assert "Zoe" not in searched(pool).names


def test_a_damaged_pool_that_a_backup_replaces_takes_its_image_along(path: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.mkdir()
    with SqliteGallery(path) as pool:
        back_up(pool, backup / "pool.db")
        pool.register("Zoe", samples(30), space())
        image_of(path).unlink()
        searched(pool)
    path.write_bytes(path.read_bytes()[:4096])
    with pytest.raises(PoolCorrupt) as damage, SqliteGallery(path) as pool:
        pool.people()
    with opened_backup(backup / "pool.db", tmp_path) as opened_one:
        replace_damaged(path, opened_one, damage.value)
    assert not image_of(path).exists()
    with SqliteGallery(path) as pool:
        assert "Zoe" not in searched(pool).names


@pytest.mark.skipif(os.name == "nt", reason="what is mapped cannot be deleted there, so it is read")
@pytest.mark.parametrize("change", CHANGES)
def test_commands_that_search_nobody_leave_another_image(
    path: Path, opened_images: list[bool], change: Callable[[Pool], None]
) -> None:
    with open_pool(path, space()) as pool, keeping_image(pool):
        change(pool)
        assert not image_of(path).exists()
        pool.forget_notices([notice.uuid for notice in pool.owed().notices])
        assert pool.wipe() == ""
    settle()
    assert b"Ada" not in image_of(path).read_bytes()
    with open_pool(path, space()) as pool:
        assert not {"Ada"} & set(Search(pool).index().names)
    assert opened_images == [False, True] or opened_images == [True]


def test_an_image_is_owed_like_all_that_was_erased(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_pool(path, space()) as pool:
        with pool.noting("Desk"), monkeypatch.context() as patch:
            patch.setattr("facepool.gallery.sql.delete_image", lambda _path: "")  # killed before
            pool.remove("Ada")
        assert image_of(path).exists()
        assert pool.owed().traces
        pool.forget_notices([notice.uuid for notice in pool.owed().notices])
        assert pool.wipe() == ""
    assert files_with(path.parent, b"Ada") == []


@pytest.mark.skipif(os.name == "nt", reason="folders there are writable")
def test_one_that_cannot_be_deleted_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink

    def refuse(one: Path, *, missing_ok: bool = False) -> None:
        if one == image_of(path):
            raise PermissionError(13, "Permission denied")
        unlink(one, missing_ok=missing_ok)

    with open_pool(path, space()) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            pool.remove("Ada")
        assert pool.owed().traces
        assert any("pool.db.index, which is made of it, cannot be deleted" in note for note in pool.notes)
        assert pool.wipe() == ""
    assert not image_of(path).exists()


def test_without_room_or_permission_there_is_none_and_nobody_minds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = answers(path)
    image_of(path).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(facepool.search.image, "_check_room", lambda *_: (_ for _ in ()).throw(OSError(28, "No room")))
        assert answers(path) == right
    assert sorted(one.name for one in path.parent.glob("*.index*")) in (["pool.db.index.lock"], [])
    assert answers(path) == right
    assert image_of(path).exists()


def test_the_second_copy_that_erasing_takes_finds_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_of(path).unlink()
    left = shutil.disk_usage(path.parent)._replace(free=path.stat().st_size)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _folder: left)
        answers(path)
    assert not image_of(path).exists()


READ = """
import sys
from pathlib import Path
import numpy as np
import facepool.search.image
from facepool.gallery import open_pool
from facepool.search import Search
from support.pools import unit
facepool.search.image.LEAST_TEMPLATES = 1
with open_pool(Path(sys.argv[1])) as pool:
    print(Search(pool).nearest(unit(0)[None]).candidates[0][0].person)
"""


@pytest.mark.skipif(os.name == "nt", reason="it has no such permissions")
@pytest.mark.parametrize("with_image", [True, False])
def test_a_pool_that_may_only_be_read_is_searched_with_an_image_or_without(path: Path, *, with_image: bool) -> None:
    if not with_image:
        image_of(path).unlink()
        lock_of_image(path).unlink(missing_ok=True)
    for one in path.parent.iterdir():
        one.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", READ, path],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(TESTS)},
            preexec_fn=like_any_user,
        )
    finally:
        path.parent.chmod(0o755)
    assert (done.returncode, done.stdout) == (0, "Ada\n"), done.stderr
    assert image_of(path).exists() is with_image


@pytest.mark.skipif(os.name == "nt", reason="it has no such permissions")
def test_an_image_that_others_may_write_is_not_taken(path: Path, opened_images: list[bool]) -> None:
    image_of(path).chmod(0o666)
    answers(path)
    assert opened_images == [False]
    assert stat.S_IMODE(image_of(path).stat().st_mode) == 0o600


def test_while_another_process_writes_one_nobody_waits(path: Path) -> None:
    right = answers(path)
    image_of(path).unlink()
    writer = subprocess.Popen(
        [sys.executable, WRITER, "hold", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    with open_pool(path, space()) as pool:
        assert Search(pool).nearest(units(5), 3, normalize=True) == right
        writer.communicate("go\n", timeout=60)
        settle()  # until it has that of the other one
        assert is_mapped(Search(pool).index()) or os.name == "nt"
    assert answers(path) == right


@pytest.mark.parametrize("moment", range(3))
def test_a_writer_that_is_killed_leaves_what_the_next_one_replaces(path: Path, moment: int) -> None:
    chance = random.Random(moment)
    image_of(path).unlink()
    writer = subprocess.Popen(
        [sys.executable, WRITER, "rewrite", path],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(chance.uniform(0, 0.1))
    writer.kill()
    writer.communicate()
    with open_pool(path, space()) as pool:
        assert "Ada" in Search(pool).index().names
        settle()
        pool.remove("Ada")
    assert files_with(path.parent, trace_of(0), b"Ada") == []


@pytest.mark.parametrize("moment", range(3))
def test_whoever_was_erased_is_in_no_file_when_a_process_is_killed(tmp_path: Path, moment: int) -> None:
    path = tmp_path / "pool.db"
    eraser = subprocess.Popen(
        [sys.executable, WRITER, "erase", path],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    assert eraser.stdout is not None
    said = [eraser.stdout.readline() for _ in range(3 + moment)]
    time.sleep(random.Random(moment).uniform(0, 0.1))
    eraser.kill()
    said = ("".join(said) + eraser.communicate()[0]).splitlines()[:-1]
    erased = [line.removeprefix("erased ") for line in said if line.startswith("erased ")]
    assert erased
    assert files_with(tmp_path, *(f"<{name}>".encode() for name in erased)) == []
    with open_pool(path, space()) as pool:
        assert pool.wipe() == ""
        there = {person.name for person in pool.people()}
    for line in said:
        name = f"<{line.split()[1]}>"
        if name not in there:
            assert files_with(tmp_path, name.encode()) == []


def test_the_newest_version_of_the_tables_is_known(path: Path) -> None:
    """A mark is made of these tables: look at `mark_of` where they change."""
    with SqliteGallery(path) as pool, pool.reading() as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
