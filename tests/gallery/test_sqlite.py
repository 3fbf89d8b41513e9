import errno
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from facepool.errors import (
    DiskFull,
    FacepoolError,
    InvalidEmbedding,
    NotWritable,
    PoolCorrupt,
    PoolError,
    PoolLocked,
    PoolTooNew,
    StorageError,
    TooManyOpenFiles,
    UnknownTemplate,
)
from facepool.gallery import NpyGallery, SqliteGallery, schema, transfer
from facepool.gallery.connection import connect, explain
from facepool.gallery.schema import APPLICATION_ID
from facepool.search import Search
from facepool.types import Pose, Sample
from support.pools import MEASURED, samples, space, unit

VERSION_1 = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL, rewritten INTEGER NOT NULL);
INSERT INTO state VALUES (1, 0, 0);
CREATE TABLE space (id INTEGER PRIMARY KEY CHECK (id = 1), model TEXT NOT NULL, weights_sha256 TEXT NOT NULL,
    preprocessing TEXT NOT NULL, template TEXT NOT NULL, mirrored INTEGER NOT NULL, dimension INTEGER NOT NULL);
CREATE TABLE persons (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE samples (id INTEGER PRIMARY KEY AUTOINCREMENT, person_id INTEGER NOT NULL REFERENCES persons ON DELETE
    CASCADE, source TEXT NOT NULL, frame INTEGER NOT NULL, time_s REAL, yaw REAL, pitch REAL, roll REAL, quality
    REAL, score REAL, size_px REAL);
CREATE TABLE templates (id INTEGER PRIMARY KEY AUTOINCREMENT, sample_id INTEGER NOT NULL REFERENCES samples ON
    DELETE CASCADE, embedding BLOB NOT NULL, model TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE INDEX samples_of_person ON samples (person_id);
CREATE INDEX templates_of_sample ON templates (sample_id);
"""
"""The tables as the first release made them; never to be changed here."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pool.db"
    with SqliteGallery(path, space()) as pool:
        for seed in range(30):
            pool.register(f"person {seed}", samples(seed), space())
    return path


def change(path: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(path)
    db.execute(statement, values)
    db.commit()
    db.close()


def test_the_file_tells_whose_it_is_and_keeps_a_write_ahead_log(path: Path) -> None:
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_the_log_stays_small_however_much_is_written_and_after_a_large_change(path: Path) -> None:
    log = path.with_name(f"{path.name}-wal")
    picture = random.Random(1).randbytes(20_000)
    with SqliteGallery(path) as pool:
        for number in range(100):
            pool.register(f"P{number}", [replace(samples(number)[0], picture=picture)], space())
            assert log.stat().st_size < 1024 * 1024
        pool.register("Many", [replace(one, picture=picture) for one in samples(*range(200, 300))], space())
        pool.register("One more", samples(400), space())
        pool.register("Another", samples(401), space())
        assert log.stat().st_size < 1024 * 1024


@pytest.mark.parametrize("content", [b"not a database, but long enough to be taken for one" * 50, b"short"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pool.db"
    path.write_bytes(content)
    with pytest.raises(PoolCorrupt):
        SqliteGallery(path)
    assert path.read_bytes() == content


def test_a_truncated_file_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PoolCorrupt, match="cut off"):
        SqliteGallery(path)


def test_a_file_of_no_bytes_is_a_new_pool(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    path.touch()
    with SqliteGallery(path, space()) as pool:
        assert pool.register("Ada", samples(1), space()) == 1


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    change(path, "CREATE TABLE songs (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(PoolCorrupt, match="another program"):
        SqliteGallery(path, space())
    assert path.read_bytes() == before


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PoolCorrupt, match="folder"):
        SqliteGallery(tmp_path)


def test_a_pool_of_a_newer_version_is_refused(path: Path) -> None:
    change(path, "PRAGMA user_version = 99")
    with pytest.raises(PoolTooNew, match="Update facepool"):
        SqliteGallery(path)


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    path = tmp_path / "pool.db"
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    db.execute("INSERT INTO space VALUES (1, ?, ?, ?, ?, 1, 8)", ("test-net", "ab" * 32, "rgb-0-1/1", "arcface-112"))
    db.execute("INSERT INTO persons VALUES (1, 'Ada')")
    db.execute("INSERT INTO samples VALUES (5, 1, 'a.mp4', 3, 0.1, 10, -5, 1, 88, 0.99, 120)")
    db.execute("INSERT INTO templates VALUES (9, 5, ?, 'test-net', '2024-01-01T00:00:00+00:00')", (unit(1).tobytes(),))
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    return path


def test_a_pool_of_the_first_version_is_brought_up_to_date_and_keeps_everything(first_version: Path) -> None:
    with SqliteGallery(first_version, space()) as pool:
        (template,) = pool.templates()
        assert (template.id, template.created_at) == (9, "2024-01-01T00:00:00+00:00")
        expected = Sample(unit(1), "a.mp4", 0.1, Pose(10, -5, 1), 88, 0.99, 120, 3)
        assert replace(template.sample, embedding=expected.embedding) == expected
        assert Search(pool).index().vectors.tolist() == [unit(1).tolist()]
        assert pool.look_alikes() == frozenset()
        pool.register("Ann", [Sample(unit(2), appearance="hat", partial=True)], space(), look_alikes=["Ada"])
    with SqliteGallery(first_version) as again:
        assert again.look_alikes() == {frozenset(("Ada", "Ann"))}
        assert [(kept.sample.appearance, kept.sample.partial) for kept in again.templates()] == [
            ("", False),
            ("hat", True),
        ]


def fourth_version(path: Path) -> Path:
    """A pool as facepool 0.1.0 left it: Ada with two views and a picture, Ann who looks like her, 李 without a view."""
    db = sqlite3.connect(path)
    db.executescript((Path(__file__).parent / "pool_of_version_4.sql").read_text(encoding="utf-8"))
    db.close()
    return path


def check_everything_of_the_fourth_version(pool: SqliteGallery) -> None:
    assert [(person.name, person.templates) for person in pool.people()] == [("Ada", 2), ("Ann", 1), ("李", 0)]
    first, second, third = pool.templates()
    assert (first.id, second.id, third.id) == (1, 2, 4)
    expected = Sample(unit(1), "a.mp4", 0.1, Pose(10, -5, 1), 88, 0.99, 120, 3)
    assert replace(first.sample, embedding=expected.embedding) == expected
    assert (second.sample.appearance, second.sample.partial) == ("glasses", True)
    assert [template.sample.embedding.tolist() for template in pool.templates()] == [
        unit(n).tolist() for n in (1, 2, 3)
    ]
    assert (pool.picture(1), pool.picture(2)) == (b"JPEG of Ada", None)
    assert pool.look_alikes() == {frozenset(("Ada", "Ann"))}
    assert pool.calibration() == MEASURED
    assert {template.sample.frontal_pose for template in pool.templates()} == {None}


def test_a_pool_of_the_fourth_version_gets_ids_and_keeps_everything(tmp_path: Path) -> None:
    path = fourth_version(tmp_path / "pool.db")
    with SqliteGallery(path, space()) as pool:
        check_everything_of_the_fourth_version(pool)
        ids = [UUID(person.id) for person in pool.people()] + [UUID(template.uuid) for template in pool.templates()]
        assert {uuid.version for uuid in ids} == {4}
        assert len(set(ids)) == 6
        assert Search(pool).nearest(unit(2)[None]).candidates[0][0].person_id == pool.people()[0].id
    with SqliteGallery(path) as again:
        assert [UUID(person.id) for person in again.people()] == ids[:3]


def test_a_pool_of_the_fifth_version_keeps_what_was_straight_ahead(tmp_path: Path) -> None:
    path = fourth_version(tmp_path / "pool.db")
    with closing(sqlite3.connect(path)) as db, db:
        db.create_function("person_uuid", 1, schema.derived_person_uuid)
        db.create_function("template_uuid", 2, schema.derived_template_uuid)
        for statement in schema.MIGRATIONS[4]:
            db.execute(statement)
        db.execute("INSERT INTO frontal_poses VALUES (1, 'glasses', 1, 2, 3)")
        db.execute("PRAGMA user_version = 5")
    with SqliteGallery(path, space()) as pool:
        fronts = [template.sample.frontal_pose for template in pool.templates()]
    assert fronts == [None, Pose(1, 2, 3), None]
    assert (tmp_path / "pool.db.version-5").exists()


def test_a_copy_is_kept_of_a_pool_that_is_brought_up_to_date_until_somebody_is_erased(tmp_path: Path) -> None:
    path = fourth_version(tmp_path / "pool.db")
    copy = tmp_path / "pool.db.version-4"
    with SqliteGallery(path, space()) as pool:
        assert "pool.db.version-4" in pool.notes[0]
    with SqliteGallery(path, space()) as pool:
        assert pool.notes == (), "it is said once"
        assert copy.stat().st_mode & 0o077 == 0
        db = sqlite3.connect(copy)
        assert db.execute("PRAGMA user_version").fetchone() == (4,)
        assert db.execute("SELECT name FROM persons ORDER BY id").fetchall() == [("Ada",), ("Ann",), ("李",)]
        db.close()
        pool.rename("Ann", "Anna")
        assert copy.exists()
        pool.remove("Anna")
        assert [file.name for file in tmp_path.iterdir() if "version" in file.name] == []
    with SqliteGallery(path) as again:
        assert again.notes == ()


def test_a_copy_for_which_there_is_no_room_leaves_the_pool_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fourth_version(tmp_path / "pool.db")
    before = path.read_bytes()

    def full(_path: Path, _content: bytes, _mode: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "write_new", full)
        with pytest.raises(DiskFull):
            SqliteGallery(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["pool.db"]
    with SqliteGallery(path) as pool:
        check_everything_of_the_fourth_version(pool)


def test_an_older_pool_that_may_not_be_written_is_read_in_memory_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fourth_version(tmp_path / "pool.db")
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("facepool.gallery.connection.may_write", lambda _: False)
        with SqliteGallery(path, space()) as pool, SqliteGallery(path) as other:
            check_everything_of_the_fourth_version(pool)
            assert pool.people() == other.people()  # ids, too: they follow from the names
            assert "can only be read" in pool.notes[0]
            with pytest.raises(NotWritable, match=r"earlier facepool.*owner"):
                pool.register("Bob", samples(4), space())
            with pytest.raises(NotWritable, match=r"earlier facepool.*owner"):
                pool.remove("Ada")
            assert [file.name for file in tmp_path.iterdir()] == ["pool.db"]
            assert path.read_bytes() == before
            patch.undo()
            with SqliteGallery(path) as owner:
                owner.rename("Ann", "Anna")
            assert pool.person("Anna") is not None


def pictured(seed: int, picture: bytes) -> Sample:
    return Sample(unit(seed), picture=picture)


@pytest.mark.parametrize(("version", "missing"), [(3, ["pictures"]), (2, ["pictures", "calibration"])])
def test_a_pool_of_the_versions_between_gets_room_for_the_rest_and_keeps_everything(
    tmp_path: Path, version: int, missing: list[str]
) -> None:
    path = fourth_version(tmp_path / "pool.db")
    for table in missing:
        change(path, f"DROP TABLE {table}")
    change(path, f"PRAGMA user_version = {version}")
    with SqliteGallery(path, space()) as pool:
        assert [(template.id, template.person) for template in pool.templates()] == [(1, "Ada"), (2, "Ada"), (4, "Ann")]
        assert pool.look_alikes() == {frozenset(("Ada", "Ann"))}
        assert (pool.calibration(), pool.picture(1)) == (MEASURED if version == 3 else None, None)
        pool.set_calibration(MEASURED)
        pool.register("Ada", [pictured(9, b"JPEG")], space())
        assert (pool.calibration(), pool.picture(pool.templates("Ada")[-1].id)) == (MEASURED, b"JPEG")


def test_a_picture_is_kept_beside_its_template_and_given_out_when_asked_for(path: Path) -> None:
    with SqliteGallery(path, space()) as pool:
        pool.register("Ada", [pictured(1, b"first"), Sample(unit(2)), pictured(3, b"third")], space())
        pool.merge("Ada", "person 1")
    with SqliteGallery(path) as again:
        kept = again.templates("person 1")
        assert [again.picture(template.id) for template in kept] == [None, b"first", None, b"third"]
        assert {template.sample.picture for template in kept} == {b""}
        assert again.template_ids_with_image("person 1") == {kept[1].id, kept[3].id}
        assert again.template_ids_with_image("person 2") == again.template_ids_with_image("nobody") == frozenset()
        again.rename("person 1", "Eve")
        assert again.picture(kept[1].id) == b"first"


def test_pictures_are_erased_with_their_templates_byte_for_byte(path: Path) -> None:
    pictures = {name: random.Random(name).randbytes(5000) for name in ("first", "second", "Bob's")}
    with SqliteGallery(path, space()) as pool:
        pool.register("Ada", [pictured(101, pictures["first"]), pictured(102, pictures["second"])], space())
        pool.register("Bob", [pictured(103, pictures["Bob's"])], space())
        first = pool.templates("Ada")[0].id

        def left() -> list[str]:
            found = b"".join(file.read_bytes() for file in path.parent.iterdir())
            return [name for name, picture in pictures.items() if picture[-500:] in found]

        assert left() == ["first", "second", "Bob's"]
        pool.remove_template(first)
        assert left() == ["second", "Bob's"]
        with pytest.raises(UnknownTemplate):
            pool.picture(first)
        pool.remove("Ada")
        assert left() == ["Bob's"]
        assert pool.picture(pool.templates("Bob")[0].id) == pictures["Bob's"]


def test_a_transfer_takes_pictures_along_where_they_can_be_kept(path: Path, tmp_path: Path) -> None:
    target_path, pair = tmp_path / "target.db", (tmp_path / "model_faces.npy", tmp_path / "model_face_ids.npy")
    with SqliteGallery(path, space()) as pool, SqliteGallery(target_path) as target, NpyGallery(*pair) as plain:
        pool.register("Ada", [pictured(101, b"JPEG")], space())
        transfer(pool, target)
        transfer(pool, plain)
        assert target.picture(target.templates("Ada")[0].id) == b"JPEG"
        assert plain.picture(plain.templates("Ada")[0].id) is None
        assert plain.templates("Ada")[0].sample.picture == b""


def test_the_views_of_one_person_are_found_without_looking_at_the_others(path: Path) -> None:
    with SqliteGallery(path, space()) as pool:
        db = pool._connection()
        assert db is not None
        queries: list[str] = []
        db.set_trace_callback(queries.append)
        pool.templates("person 3")
        (query,) = (query for query in queries if "templates.embedding" in query)
        plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "SCAN" not in plan


@pytest.mark.parametrize("content", ["", "[]", '{"threshold": 0.4}', "null"])
def test_a_damaged_calibration_is_a_damaged_pool(path: Path, content: str) -> None:
    with SqliteGallery(path, space()) as pool:
        pool.register("Ada", [Sample(unit(1))], space())
        pool.set_calibration(MEASURED)
    change(path, f"UPDATE calibration SET content = '{content}'")
    with SqliteGallery(path) as pool, pytest.raises(PoolCorrupt, match="calibration"):
        Search(pool).index()


def test_a_pool_that_another_process_is_writing_can_be_read_but_not_written(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with SqliteGallery(path, space(), timeout_s=0.05) as pool:
        assert len(pool.people()) == 30
        with pytest.raises(PoolLocked, match="another process"):
            pool.register("Ada", samples(1), space())
        other.execute("ROLLBACK")
        assert pool.register("Ada", samples(1), space()) == 1
    other.close()


def test_a_full_disk_undoes_the_registration_and_loses_nothing(path: Path) -> None:
    with SqliteGallery(path, space()) as pool:
        db = pool._connection()
        assert db is not None
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(DiskFull):
            pool.register("Ada", samples(*range(500)), space())
        assert len(pool.people()) == 30
        db.execute("PRAGMA max_page_count = 100000")
        assert pool.register("Ada", samples(1), space()) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_READONLY_DIRECTORY, NotWritable),
        (sqlite3.SQLITE_CANTOPEN, NotWritable),
        (sqlite3.SQLITE_IOERR_WRITE, DiskFull),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, PoolLocked),
    ],
)
def test_errors_of_sqlite_are_told_in_our_words(tmp_path: Path, code: int, kind: type[FacepoolError]) -> None:
    error = sqlite3.OperationalError("raw")
    error.sqlite_errorcode = code
    assert type(explain(tmp_path, error)) is kind


def test_a_mistake_of_ours_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    assert explain(tmp_path, sqlite3.OperationalError("syntax error")) is None


@pytest.mark.parametrize(
    ("blob", "kind"),
    [(unit(1)[:5].tobytes(), PoolCorrupt), ((unit(1) * float("nan")).tobytes(), InvalidEmbedding)],
)
def test_damaged_vectors_are_found_when_they_are_read(path: Path, blob: bytes, kind: type[FacepoolError]) -> None:
    change(path, "UPDATE templates SET embedding = ? WHERE id = 7", blob)
    with SqliteGallery(path) as pool, pytest.raises(kind, match=r"pool\.db is damaged"):
        Search(pool).index()


@pytest.mark.parametrize("blob", [b"abc", unit(1)[:5].tobytes(), 7, "text"])
def test_a_damaged_blob_is_found_when_templates_are_read(path: Path, blob: object) -> None:
    change(path, "UPDATE templates SET embedding = ? WHERE id = 7", blob)
    with SqliteGallery(path) as pool:
        for read in (pool.templates, Search(pool).index, lambda: pool.templates("person 6")):
            with pytest.raises(PoolCorrupt, match=r"pool\.db is damaged"):
                read()
        assert len(pool.templates("person 5")) == 1


def read_all(pool: SqliteGallery) -> None:
    Search(pool).index()
    pool.templates()


@pytest.mark.parametrize("table", ["state", "persons", "samples", "templates", "space", "look_alikes"])
def test_a_missing_table_is_told(path: Path, table: str) -> None:
    change(path, f"DROP TABLE {table}")
    with pytest.raises(PoolCorrupt, match=rf"its table '{table}'"), SqliteGallery(path, space()) as pool:
        read_all(pool)


def test_a_missing_revision_is_told(path: Path) -> None:
    change(path, "DELETE FROM state")
    with SqliteGallery(path, space()) as pool:
        for use in (pool.revision, Search(pool).index, lambda: pool.register("Ada", samples(1), space())):
            with pytest.raises(PoolCorrupt, match=r"pool\.db is damaged"):
                use()


def lose(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def swap(path: Path) -> None:
    lose(path)
    with SqliteGallery(path, space()) as new:
        new.register("Eve", samples(3), space())


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be deleted there")
@pytest.mark.parametrize("happens", [lose, swap])
def test_a_file_deleted_or_replaced_meanwhile_is_told(path: Path, happens: Callable[[Path], None]) -> None:
    with SqliteGallery(path, space()) as pool:
        assert len(Search(pool).index()) == 30
        happens(path)
        for use in (
            lambda: pool.register("Ada", samples(1), space()),
            Search(pool).index,
            lambda: pool.remove("person 3"),
        ):
            with pytest.raises(PoolError, match="deleted or replaced"):
                use()
    with SqliteGallery(path, space()) as again:
        assert [person.name for person in again.people()] == (["Eve"] if happens is swap else [])


def test_removing_says_when_another_process_keeps_traces_alive(path: Path) -> None:
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM templates").fetchone()
    with SqliteGallery(path, space(), timeout_s=0.05) as pool:
        assert pool.remove("person 3") == 1
        assert len(pool.people()) == 29
        assert "Traces" in pool.notes[0]
    reader.close()


def test_an_appended_row_is_read_without_reading_the_others_again(path: Path) -> None:
    with SqliteGallery(path, space()) as pool:
        Search(pool).index()
        db = pool._connection()
        assert db is not None
        queries: list[str] = []
        db.set_trace_callback(queries.append)
        pool.register("person 3", samples(99), space())
        assert len(Search(pool).index()) == 31
        assert any("templates.revision > 30" in query for query in queries)


def test_removing_wipes_what_sqlite_had_copied_to_other_pages(tmp_path: Path) -> None:
    # This order leaves a vector behind when secure_delete alone is relied on.
    chance = random.Random(3)
    owners = [row % 12 for row in range(144)]
    chance.shuffle(owners)
    with SqliteGallery(tmp_path / "pool.db", space(128)) as pool:
        for row, owner in enumerate(owners):
            pool.register(str(owner), [Sample(unit(row, 128), source="x" * chance.randrange(50))], space(128))
        leaving = list(range(12))
        chance.shuffle(leaving)
        for count in range(1, 12):
            pool.remove(str(leaving[count - 1]))
            left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
            gone = [row for row, owner in enumerate(owners) if owner in leaving[:count]]
            assert not [row for row in gone if unit(row, 128).tobytes()[-64:] in left]


def raised(code: int) -> sqlite3.OperationalError:
    """An error as SQLite raises it under a code of its own."""
    error = sqlite3.OperationalError("as SQLite puts it")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "SQLITE_SOMETHING"
    return error


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_a_place_without_locks_is_not_called_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lock_nothing(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    busy = raised(sqlite3.SQLITE_BUSY)
    assert isinstance(explain(tmp_path / "pool.db", busy), PoolLocked)
    monkeypatch.setattr("fcntl.lockf", lock_nothing)
    explained = str(explain(tmp_path / "pool.db", busy))
    assert f"{tmp_path} lies on a file system without file locks" in explained
    assert "--pool" in explained


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMLOCK]
)
def test_a_place_without_shared_memory_says_so_and_what_to_do(tmp_path: Path, code: int) -> None:
    explained = str(explain(tmp_path / "pool.db", raised(code)))
    assert "without memory that processes share" in explained
    assert "--pool" in explained


def test_an_error_of_the_disk_has_the_name_that_sqlite_gives_it(tmp_path: Path) -> None:
    assert "SQLITE_SOMETHING" in str(explain(tmp_path / "pool.db", raised(sqlite3.SQLITE_IOERR_FSYNC)))


def test_a_pool_that_cannot_be_opened_for_lack_of_files_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    cannot_open = raised(sqlite3.SQLITE_CANTOPEN)
    assert isinstance(explain(tmp_path / "pool.db", cannot_open), NotWritable)
    monkeypatch.setattr("os.open", refuse)
    assert isinstance(explain(tmp_path / "pool.db", cannot_open), TooManyOpenFiles)


def test_a_place_where_sqlite_keeps_no_log_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutLog(sqlite3.Connection):
        """A database whose journal stays what it is, as where the file system cannot have a log."""

        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            if sql == "PRAGMA journal_mode = WAL":
                sql = "PRAGMA journal_mode = DELETE"
            return super().execute(sql, *parameters)  # type: ignore[arg-type]

    original = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: original(*given, **named, factory=WithoutLog))
    with pytest.raises(StorageError, match=r"no write-ahead log in this place.*--pool"):
        connect(tmp_path / "pool.db", 60.0, create=True)


def test_somebody_whose_name_shows_nothing_can_be_renamed_and_erased(tmp_path: Path) -> None:
    """Earlier versions took such names."""
    path = tmp_path / "pool.db"
    with SqliteGallery(path) as pool:
        pool.register("Ada", samples(2), space())
        pool.register("Bob", samples(1), space())
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE persons SET name = char(0x200B) WHERE name = 'Ada'")
        db.execute("UPDATE persons SET name = char(0xFEFF) WHERE name = 'Bob'")
    with SqliteGallery(path) as pool:
        assert len(pool.templates("\u200b")) == 1
        pool.rename("\u200b", "Ada")
        assert pool.remove("\ufeff") == 1
        assert [person.name for person in pool.people()] == ["Ada"]
