"""Backups of pools: whole, private, verified; restored in one change that everybody follows, without who was erased."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from facepool.errors import ConfigError, FacepoolError, PathMissing, PoolCorrupt, PoolLocked, PoolTooNew, SpaceMismatch
from facepool.gallery import open_pool
from facepool.gallery.backup import back_up, compared, opened_backup, replace_damaged, restore
from facepool.gallery.schema import copies_of, kept_before_restoring
from facepool.gallery.sqlite import SqliteTables
from facepool.search import Search
from facepool.types import EmbeddingSpace
from support.paths import TESTS
from support.pools import FILES, MEASURED, samples, space, unit
from support.sightings import ROOMY, faces, sighting

for_every_backend = pytest.mark.parametrize("backend", FILES)
OLD_POOL = Path(__file__).with_name("pool_of_version_4.sql")


def opened(path: Path, its_space: EmbeddingSpace | None = None) -> SqliteTables:
    gallery = open_pool(path, its_space)
    assert isinstance(gallery, SqliteTables)
    return gallery


@pytest.fixture(params=FILES)
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteTables]:
    """Ada with two views, Bob with one."""
    with opened(tmp_path / request.param, space()) as pool:
        pool.register("Ada", samples(1, 2), space())
        pool.register("Bob", samples(3), space(), look_alikes=["Ada"])
        yield pool


@pytest.fixture
def backup(pool: SqliteTables, tmp_path: Path) -> Path:
    target = tmp_path / "backup.db"
    back_up(pool, target)
    return target


def put_back(pool: SqliteTables, backup: Path, *, with_erased: bool = False) -> None:
    with opened_backup(backup, pool.path.parent) as opened_one:
        restore(pool, opened_one, with_erased=with_erased)


def views(pool: SqliteTables) -> dict[str, int]:
    return {person.name: person.templates for person in pool.people()}


def test_a_backup_is_one_private_file_that_has_everything(pool: SqliteTables, tmp_path: Path) -> None:
    pool.set_calibration(MEASURED)
    target = tmp_path / "elsewhere" / "backup.db"
    target.parent.mkdir()
    told: list[tuple[int, int]] = []
    contents = back_up(pool, target, report=lambda done, total: told.append((done, total)))
    assert (contents.people, contents.templates, contents.space) == (2, 3, space())
    assert told[-1][0] == told[-1][1] > 0
    assert [path.name for path in target.parent.iterdir()] == ["backup.db"]
    if sys.platform != "win32":
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with opened(target, space()) as copy:
        assert copy.people() == pool.people()
        assert [one.uuid for one in copy.templates()] == [one.uuid for one in pool.templates()]
        assert (copy.look_alikes(), copy.calibration()) == (pool.look_alikes(), MEASURED)


def test_a_backup_is_restored_as_it_was(pool: SqliteTables, backup: Path) -> None:
    before = pool.people(), [one.uuid for one in pool.templates()], pool.look_alikes()
    pool.rename("Ada", "Ada L.")
    pool.register("Eve", samples(4), space())
    pool.register("Bob", samples(5), space())
    put_back(pool, backup)
    assert (pool.people(), [one.uuid for one in pool.templates()], pool.look_alikes()) == before
    pool.register("Eve", samples(6), space())
    assert views(pool) == {"Ada": 2, "Bob": 1, "Eve": 1}


def test_whoever_has_the_pool_open_follows_what_is_restored(pool: SqliteTables, backup: Path) -> None:
    with opened(pool.path, space()) as other:
        search = Search(other)
        pool.register("Eve", samples(4), space())
        assert search.index().names == ("Ada", "Bob", "Eve")
        revision = other.revision()
        put_back(pool, backup)
        assert search.index().names == ("Ada", "Bob")
        assert other.revision() != revision
        assert sorted(search.index().template_ids.tolist()) == [1, 2, 3]
        (candidates,) = search.nearest(unit(3)[None]).candidates
        assert candidates[0].person == "Bob"
        pool.register("Eve", samples(7), space())
        assert search.index().names == ("Ada", "Bob", "Eve")
        numbers = {one.id for one in pool.templates("Eve")}
        assert numbers == {5}, "the number that a view had before is used twice"


@for_every_backend
def test_a_pool_of_other_people_is_followed_although_numbers_are_the_same(tmp_path: Path, backend: str) -> None:
    with opened(tmp_path / "old.db", space()) as old, opened(tmp_path / backend, space()) as pool:
        for seed, name in enumerate(("Ann", "Ben", "Cid"), 10):
            old.register(name, samples(seed), space())
        back_up(old, tmp_path / "backup.db")
        pool.register("Ada", samples(1, 2), space())
        search = Search(pool)
        assert search.index().names == ("Ada",)
        put_back(pool, tmp_path / "backup.db")
        assert search.index().names == ("Ann", "Ben", "Cid")
        (candidates,) = search.nearest(unit(11)[None]).candidates
        assert candidates[0].person == "Ben"


def test_an_empty_backup_empties_the_pool_for_everybody(tmp_path: Path) -> None:
    with opened(tmp_path / "pool.db", space()) as pool:
        back_up(pool, tmp_path / "empty.db")
        pool.register("Ada", samples(1), space())
        search = Search(pool)
        assert len(search.index()) == 1
        put_back(pool, tmp_path / "empty.db")
        assert len(search.index()) == 0
        pool.register("Bob", samples(2), space())
        assert search.index().names == ("Bob",)


def test_people_and_views_that_were_erased_since_stay_erased(tmp_path: Path) -> None:
    with opened(tmp_path / "pool.db", space()) as pool:
        pool.register("Ada", samples(1, 2), space())
        pool.register("Bob", samples(3, 4), space())
        pool.register("Eve", samples(5), space())
        back_up(pool, tmp_path / "backup.db")
        pool.remove("Ada")
        pool.remove_template(4)
        pool.merge("Eve", "Bob")  # who is not erased by that
    with opened(tmp_path / "pool.db", space()) as pool, opened_backup(tmp_path / "backup.db", tmp_path) as backup:
        changes = compared(pool, backup)
        assert (changes.erased, changes.erased_templates, changes.coming) == (("Ada",), 3, ("Eve",))
        restore(pool, backup)
        assert views(pool) == {"Bob": 1, "Eve": 1}
    with opened(tmp_path / "pool.db", space()) as pool:
        put_back(pool, tmp_path / "backup.db", with_erased=True)
        assert views(pool) == {"Ada": 2, "Bob": 2, "Eve": 1}
        put_back(pool, tmp_path / "backup.db")
        assert views(pool) == {"Ada": 2, "Bob": 2, "Eve": 1}, "who came back knowingly stays"


def test_who_only_went_with_a_restore_is_not_erased(tmp_path: Path) -> None:
    """What is kept of the pool before a restore undoes it."""
    with opened(tmp_path / "pool.db", space()) as pool:
        pool.register("Ada", samples(1), space())
        back_up(pool, tmp_path / "old.db")
        pool.register("Bob", samples(2), space())
        back_up(pool, tmp_path / "new.db")
        put_back(pool, tmp_path / "old.db")
        assert views(pool) == {"Ada": 1}
        put_back(pool, tmp_path / "new.db")
        assert views(pool) == {"Ada": 1, "Bob": 1}


def test_who_a_log_says_was_erased_does_not_come_back_to_a_new_pool(tmp_path: Path) -> None:
    with opened(tmp_path / "pool.db", space()) as pool:
        pool.register("Ada", samples(1), space())
        pool.register("Bob", samples(2), space())
        back_up(pool, tmp_path / "backup.db")
    with opened(tmp_path / "new.db", space()) as new, opened_backup(tmp_path / "backup.db", tmp_path) as backup:
        assert compared(new, backup, ["Ada"]).erased == ("Ada",)
        restore(new, backup, erased_names=["Ada"])
        assert views(new) == {"Bob": 1}


def test_erasing_somebody_deletes_what_was_kept_of_the_pool(pool: SqliteTables) -> None:
    kept = kept_before_restoring(pool.path)
    back_up(pool, kept)
    assert copies_of(pool.path) == [kept]
    pool.remove("Ada")
    assert copies_of(pool.path) == []


def test_what_could_be_undone_of_who_was_erased_does_not_come_back_either(tmp_path: Path) -> None:
    with opened(tmp_path / "pool.db", space()) as pool:
        for number, name in enumerate(("Ada", "Bob")):
            pool.register(name, samples(number), space())
            person = pool.person(name)
            assert person is not None
            pool.inbox.keep(sighting(person_id=person.id), faces(number), ROOMY)
            pool.inbox.note("corrected", "test", {"after": person.id})
        back_up(pool, tmp_path / "backup.db")
    with opened(tmp_path / "new.db", space()) as new, opened_backup(tmp_path / "backup.db", tmp_path) as backup:
        restore(new, backup, erased_names=["Ada"])
        assert [one.person for one in new.inbox.sightings()] == ["Bob"]
        bob = new.person("Bob")
        assert bob is not None
        assert [entry.content for entry in new.inbox.journal()] == [{"after": bob.id}]


def test_a_backup_has_no_trace_of_who_was_erased_although_logs_were_not_told_yet(
    pool: SqliteTables, tmp_path: Path
) -> None:
    with pool.noting("me"):  # which leaves notices, and bytes, for who settles them
        pool.register("Erased Person", samples(8), space())
        pool.remove("Erased Person")
    assert pool.owed()
    back_up(pool, tmp_path / "backup.db")
    content = (tmp_path / "backup.db").read_bytes()
    assert b"Erased Person" not in content
    assert unit(8).astype("<f4").tobytes() not in content
    with opened(tmp_path / "backup.db") as copy:
        assert not copy.owed()
    owed = pool.owed()
    put_back(pool, tmp_path / "backup.db")
    assert pool.owed().notices == owed.notices, "what was owed stays owed"


def test_what_a_killed_backup_has_left_goes_with_the_next(pool: SqliteTables, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    old, new = folder / ".unfinished-1-backup.db", folder / ".unfinished-2-other.db"
    for path in (old, new):
        path.write_bytes(b"Ada")
    os.utime(old, (0, 0))
    back_up(pool, folder / "backup.db")
    assert sorted(path.name for path in folder.iterdir()) == [new.name, "backup.db"]


def test_a_file_is_not_written_over_unasked(pool: SqliteTables, backup: Path) -> None:
    before = backup.read_bytes()
    for target in (backup, pool.path, pool.path.parent):
        with pytest.raises(ConfigError):
            back_up(pool, target)
    with pytest.raises(ConfigError, match="itself"):
        back_up(pool, pool.path, replace=True)
    assert backup.read_bytes() == before
    pool.remove("Bob")
    assert back_up(pool, backup, replace=True).people == 1


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_no_backup_lies_beside_an_old_log(pool: SqliteTables, tmp_path: Path, ending: str) -> None:
    (tmp_path / f"other.db{ending}").write_bytes(b"old")
    with pytest.raises(ConfigError, match="log"):
        back_up(pool, tmp_path / "other.db", replace=True)
    assert not (tmp_path / "other.db").exists()


def test_a_pool_that_is_open_is_restored_from_with_its_log(pool: SqliteTables, tmp_path: Path) -> None:
    with opened(tmp_path / "open.db", space()) as other:
        other.register("Eve", samples(9), space())
        put_back(pool, tmp_path / "open.db")
    assert views(pool) == {"Eve": 1}


def test_a_backup_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as db:
        db.executescript(OLD_POOL.read_text(encoding="utf-8"))
    before = (tmp_path / "old.db").read_bytes()
    with opened(tmp_path / "pool.db") as pool, opened_backup(tmp_path / "old.db", tmp_path) as backup:
        assert backup.contents.version == 4
        restore(pool, backup)
        assert len(pool.people()) == backup.contents.people > 0
        assert len(pool.templates()) == backup.contents.templates > 0
    assert (tmp_path / "old.db").read_bytes() == before


def test_people_of_another_model_are_not_mixed_in(pool: SqliteTables, tmp_path: Path) -> None:
    other = space(weights="cd" * 32, model="other-net")
    with opened(tmp_path / "other.db", other) as elsewhere:
        elsewhere.register("Eve", samples(9), other)
        back_up(elsewhere, tmp_path / "backup.db")
    with opened_backup(tmp_path / "backup.db", tmp_path) as backup, pytest.raises(SpaceMismatch):
        compared(pool, backup)


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5000])


def statements(*lines: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            for line in lines:
                db.execute(line)

    return change


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, 'a' AS name FROM n"


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda file: file.unlink(), PathMissing),
        (lambda file: file.write_bytes(b""), PoolCorrupt),
        (lambda file: file.write_bytes(b"no database" * 100), PoolCorrupt),
        (cut_off, PoolCorrupt),
        (statements("PRAGMA user_version = 99"), PoolTooNew),
        (statements("PRAGMA user_version = -5"), PoolCorrupt),
        (statements("PRAGMA application_id = 1"), PoolCorrupt),
        (statements("ALTER TABLE persons RENAME TO others", f"CREATE VIEW persons AS {ENDLESS}"), PoolCorrupt),
        (statements("CREATE TRIGGER t AFTER INSERT ON persons BEGIN DELETE FROM persons; END"), PoolCorrupt),
        (statements("UPDATE persons SET name = x'00ff' WHERE id = 1"), PoolCorrupt),
        (statements("UPDATE persons SET name = 'a' || char(10) || 'b' WHERE id = 1"), PoolCorrupt),
        (statements("UPDATE templates SET embedding = zeroblob(32)"), PoolCorrupt),
        (statements("UPDATE templates SET embedding = 7"), PoolCorrupt),
        (statements("UPDATE templates SET embedding = x'00' WHERE id = 1"), PoolCorrupt),
        (statements("PRAGMA foreign_keys = OFF", "DELETE FROM persons WHERE id = 1"), PoolCorrupt),
        (statements("DELETE FROM state"), PoolCorrupt),
    ],
)
def test_what_is_no_backup_is_refused_and_changes_nothing(
    pool: SqliteTables, backup: Path, spoil: Callable[[Path], None], kind: type[FacepoolError], tmp_path: Path
) -> None:
    spoil(backup)
    with pytest.raises(kind) as refused, opened_backup(backup, tmp_path):
        pass
    assert str(tmp_path / ".unfinished") not in str(refused.value)
    assert views(pool) == {"Ada": 2, "Bob": 1}
    assert not list(tmp_path.glob(".unfinished*"))


def test_a_damaged_pool_is_replaced_when_nobody_has_it_open(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    with opened(path, space()) as pool:
        pool.register("Ada", samples(1), space())
        back_up(pool, tmp_path / "backup.db")
    damage = path.read_bytes()[:72] + b"\xff" * 5000
    path.write_bytes(damage)
    (tmp_path / "pool.db-wal").write_bytes(b"an old log")
    with pytest.raises(PoolCorrupt):
        opened(path)
    with opened_backup(tmp_path / "backup.db", tmp_path) as backup:
        aside = replace_damaged(path, backup, PoolCorrupt("damaged"))
    assert aside.read_bytes() == damage
    with opened(path, space()) as pool:
        assert views(pool) == {"Ada": 1}
        pool.remove("Ada")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["backup.db", "pool.db"]


HOLDING = """
import sys
from facepool.gallery import open_pool
with open_pool(sys.argv[1]) as pool:
    pool.people()
    print("open", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be replaced there anyway")
def test_a_damaged_pool_that_somebody_has_open_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    with opened(path, space()) as pool:
        pool.register("Ada", samples(1), space())
        back_up(pool, tmp_path / "backup.db")
    words = [sys.executable, "-c", HOLDING, str(path)]
    holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    before = path.read_bytes()
    with opened_backup(tmp_path / "backup.db", tmp_path) as backup:
        with pytest.raises(PoolLocked, match="another process has it open"):
            replace_damaged(path, backup, PoolCorrupt("damaged"))
        assert path.read_bytes() == before
        holder.communicate("go\n")
        replace_damaged(path, backup, PoolCorrupt("damaged"))
    with opened(path) as pool:
        assert views(pool) == {"Ada": 1}


def test_a_file_of_another_program_is_never_replaced(backup: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other, isolation_level=None)) as db:
        db.execute("CREATE TABLE theirs (x)")
    before = other.read_bytes()
    with opened_backup(backup, tmp_path) as opened_one, pytest.raises(PoolCorrupt, match="theirs"):
        replace_damaged(other, opened_one, PoolCorrupt("it is theirs"))
    assert other.read_bytes() == before


KILLED = """
import os, sys
from pathlib import Path
from facepool.gallery import open_pool
from facepool.gallery.backup import opened_backup, restore
folder, step = Path(sys.argv[1]), sys.argv[2]

def die(*_):
    os._exit(9)

with open_pool(folder / sys.argv[3]) as pool, opened_backup(folder / "backup.db", folder) as backup:
    restore(pool, backup, before=die if step == "before" else None, report=die if step == "rows" else lambda *_: None)
    os._exit(9)
"""


@pytest.mark.parametrize("step", ["before", "rows", "after"])
def test_a_process_killed_while_it_restores_leaves_the_old_pool_or_the_new_one(
    pool: SqliteTables, backup: Path, step: str, tmp_path: Path
) -> None:
    pool.register("Eve", samples(4), space())
    words = [sys.executable, "-c", KILLED, str(tmp_path), step, pool.path.name]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(TESTS)}, check=False, capture_output=True)
    assert done.returncode == 9, done.stderr
    before, after = {"Ada": 2, "Bob": 1, "Eve": 1}, {"Ada": 2, "Bob": 1}
    assert views(pool) == (after if step == "after" else before)
    with opened(pool.path, space()) as anew:
        assert views(anew) == views(pool)
    if sys.platform != "win32":  # the copy holds faces
        assert not list(tmp_path.glob(".unfinished*/*.db"))


FULL_DISK = """
import resource, sys
from pathlib import Path
from facepool.errors import FacepoolError
from facepool.gallery import open_pool
from facepool.gallery.backup import back_up, opened_backup, restore
folder = Path(sys.argv[1])
with open_pool(folder / "pool.db") as pool:
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, -1))
    opening = opened_backup(folder / "backup.db", folder)
    for act in (lambda: back_up(pool, folder / "new.db"), opening.__enter__):
        try:
            act()
        except FacepoolError as error:
            print(error.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
with open_pool(folder / "pool.db") as pool, opened_backup(folder / "backup.db", folder) as backup:
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, -1))
    try:
        restore(pool, backup)
    except FacepoolError as error:
        print(error.code)
    print(len(pool.people()), len(pool.templates()))
"""


@pytest.mark.skipif(os.name == "nt", reason="no such limit there")
def test_a_full_disk_leaves_the_pool_and_the_backup_as_they_were(tmp_path: Path) -> None:
    with opened(tmp_path / "pool.db", space()) as pool:
        pool.register("Ada", samples(*range(2000)), space())
        back_up(pool, tmp_path / "backup.db")
        pool.register("Bob", samples(5000), space())
    words = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(
        words, env=os.environ | {"PYTHONPATH": str(TESTS)}, check=False, capture_output=True, text=True
    )
    assert done.stdout.split() == ["disk_full", "disk_full", "disk_full", "2", "2001"], done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["backup.db", "pool.db"]
