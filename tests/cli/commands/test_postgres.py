"""Every command with a pool in PostgreSQL, on a real server: what it does, and what it says when there is none."""

import asyncio
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import click
import numpy as np
import pytest

from facepool import open_pool
from facepool.gallery import pool_address
from facepool.web.services.audit import Audit
from facepool.web.services.store import open_store
from reference_pages import commands
from support import postgres
from support.commands import Commands, Outcome, film, nobody, pan, typed_here
from support.paths import ROOT
from support.ports import free_port

pytestmark = pytest.mark.postgres

SECRET = "hunter2"
TEMPLATE = "template_of_ada_and_bob"


@pytest.fixture(scope="module")
def template(crowd: Commands) -> Iterator[str]:
    """The name of a database with a view each of Ada and Bob, which nobody is connected to."""
    server = postgres.server()
    server.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE facepool_template")
    exported = crowd("people", "export", server.url(TEMPLATE))
    assert exported.code == 0, exported.err
    yield TEMPLATE
    server.execute(f"DROP DATABASE {TEMPLATE} WITH (FORCE)")


@pytest.fixture
def empty(facepool: Commands) -> Commands:
    """Commands with a database of their own, in which nobody is."""
    facepool.keep_people_in(postgres.new_database())
    return facepool


@pytest.fixture
def pool(facepool: Commands, template: str) -> Commands:
    """Commands with a database of their own that holds a view each of Ada and Bob."""
    facepool.keep_people_in(postgres.new_database(template=template))
    return facepool


Here = Callable[..., Outcome]


@pytest.fixture
def here(pool: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    """Run a command in this process, with the pool of Ada and Bob."""
    return typed_here(pool, monkeypatch, capfd)


def test_who_is_registered_in_a_database_is_recognized_from_there(
    empty: Commands,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    here = typed_here(empty, monkeypatch, capfd)
    ada = empty("register", "Ada", photos / "person_a_1.jpg", "--json")
    assert ada.code == 0, ada.err
    assert ada.records[-1]["stored"] == 1
    tree = tmp_path / "people"
    tree.mkdir()
    (tree / "Bob.jpg").write_bytes((photos / "person_b_1.jpg").read_bytes())
    folder = here("register", "-s", tree)
    assert folder.out == f"1 new view of 1 person stored in {empty.address}\n"
    assert empty.people() == {"Ada": 1, "Bob": 1}
    assert not list(tmp_path.rglob("*.db*"))  # nothing of it lies here

    named = here("recognize", photos, "--json")
    assert {Path(str(record["source"])).stem: record["person"] for record in named.records} == {
        "person_a_1": "Ada",
        "person_a_2": "Ada",
        "person_b_1": "Bob",
        "person_b_2": "Bob",
        "impostor_1": None,
        "impostor_2": None,
    }
    assert f"2 people in {empty.address}" in here("recognize", photos / "person_a_2.jpg").err

    frames = [*pan(photos / "person_a_2.jpg", 8), *pan(photos / "person_b_2.jpg", 8), *nobody(15)]
    seen = empty("recognize", "-s", film(tmp_path / "both.mp4", frames), "--headless", "-o", tmp_path / "named.mp4")
    assert seen.code == 0, seen.err
    assert [line.split("  ")[1] for line in seen.out.splitlines()] == ["Ada", "Bob", "nobody"]
    assert (tmp_path / "named.mp4").stat().st_size > 0


def test_the_original_commands_take_the_address(empty: Commands, photos: Path, tmp_path: Path) -> None:
    there = ("--model_registered", str(empty.address), "--headless")
    ada = film(tmp_path / "ada.mp4", pan(photos / "person_a_1.jpg", 4))
    stored = empty.original(ROOT / "register.py", "--register_name", "Ada", "-c", ada, *there)
    assert stored.code == 0, stored.err
    assert set(empty.people()) == {"Ada"}
    frames = [*pan(photos / "person_a_2.jpg", 8), *nobody(15)]
    seen = empty.original(ROOT / "recognize.py", "-c", film(tmp_path / "seen.mp4", frames), *there)
    assert [line.split("  ")[1] for line in seen.out.splitlines()] == ["Ada", "nobody"]
    assert not list(tmp_path.glob("*.npy"))


def test_people_are_listed_shown_renamed_merged_and_removed(pool: Commands, here: Here) -> None:
    listed = here("people", "list", "--json")
    assert [(record["person"], record["templates"]) for record in listed.records] == [("Ada", 1), ("Bob", 1)]
    assert f"in {pool.address}" in here("people", "list").err
    (shown,) = here("people", "show", "Ada", "--json").records
    assert (shown["person"], shown["model"]) == ("Ada", "sface")
    unknown = here("people", "show", "Adda")
    assert unknown.code == 4
    assert "[person_unknown] The pool has nobody called 'Adda'. Perhaps 'Ada' is meant." in unknown.error
    taken = here("people", "rename", "Ada", "Bob")
    assert taken.code == 4
    assert here("people", "rename", "Ada", "Adá").code == 0
    assert here("people", "merge", "Bob", "Adá").out == "1 view of Bob moved to Adá\n"
    assert pool("people", "remove", "Adá").code == 130  # asked, and nobody answered
    assert here("people", "remove", "Adá", "--yes").out == "Adá erased, with 2 views\n"
    assert pool.people() == {}


def test_people_go_to_files_and_back_and_to_other_databases(pool: Commands, here: Here, tmp_path: Path) -> None:
    other = postgres.new_database()
    for target in ("copy.db", "model_faces.npy", other):
        exported = here("people", "export", target)
        assert exported.code == 0, exported.err
        assert exported.out == f"2 views of 2 people copied to {target}\n"
    with open_pool(str(pool.address)) as gallery:
        templates = gallery.templates()
        for place in (tmp_path / "copy.db", tmp_path / "model_faces.npy", other):
            with open_pool(place) as there:
                assert there.space == gallery.space
                for old, new in zip(templates, there.templates(), strict=True):
                    assert np.array_equal(old.sample.embedding, new.sample.embedding)
                    assert (old.person, old.uuid, old.created_at) == (new.person, new.uuid, new.created_at)
    assert here("people", "remove", "Ada", "--yes").code == 0
    for source in ("copy.db", "model_faces.npy", other):
        assert here("people", "import", source).code == 0
    assert pool.people() == {"Ada": 1, "Bob": 1}


def test_a_calibration_is_kept_in_the_database(pool: Commands, here: Here) -> None:
    few = here("calibrate")
    assert few.code == 4
    assert "[insufficient_data]" in few.error
    assert here("calibrate", "--forget").code == 0
    assert pool.people() == {"Ada": 1, "Bob": 1}


def test_a_backup_is_restored_without_who_was_erased_since(pool: Commands, here: Here, tmp_path: Path) -> None:
    made = here("pool", "backup", "copy.db", "--json")
    assert made.code == 0, made.err
    assert (made.records[0]["people"], made.records[0]["templates"]) == (2, 2)
    with open_pool(tmp_path / "copy.db") as copy:
        assert [person.name for person in copy.people()] == ["Ada", "Bob"]
    assert here("people", "rename", "Ada", "Ida").code == 0
    assert here("people", "remove", "Bob", "--yes").code == 0
    assert pool("pool", "restore", "copy.db").code == 130  # asked, and nobody answered
    assert pool.people() == {"Ida": 1}
    restored = here("pool", "restore", "copy.db", "--yes", "--json")
    assert restored.code == 0, restored.err
    assert (restored.records[0]["erased"], restored.records[0]["kept"]) == (["Bob"], None)
    assert pool.people() == {"Ada": 1}
    assert here("pool", "restore", "copy.db", "--yes", "--with-erased").code == 0
    assert pool.people() == {"Ada": 1, "Bob": 1}
    assert [path.name for path in tmp_path.glob("*.db*")] == ["copy.db"]


def test_a_backup_moves_a_file_into_a_database_and_the_server_is_told(pool: Commands, here: Here) -> None:
    assert here("pool", "backup", "copy.db").code == 0
    assert here("keys", "add", "Me", "--role", "admin").code == 0  # now it is a server's
    assert here("people", "remove", "Ada", "--yes").code == 0
    restored = here("pool", "restore", "copy.db", "--yes", "--no-keep")
    assert restored.code == 0, restored.err
    assert "not told" not in restored.err
    assert pool.people() == {"Bob": 1}
    assert here("keys", "list", "--json").records[0]["name"] == "Me"
    with closing(open_store(pool_address(str(pool.address)))) as store:
        entries = asyncio.run(Audit(store, lambda _name: None).entries())
    assert [entry.action for entry in entries][:2] == ["restored the pool", "erased"]


def test_the_doctor_says_what_there_is(pool: Commands, here: Here) -> None:
    found = {str(record["subject"]): str(record["finding"]) for record in here("doctor", "--json").records}
    assert found["pool"].startswith(f"{pool.address}: 2 people, sface (128-d")
    assert re.fullmatch(r"18\.\d+ with pgvector 0\.8\.\d+, the database has \d+ [kM]B", found["PostgreSQL"])
    pool.keep_people_in(postgres.new_database())
    new = pool("doctor", "--json")
    assert new.code == 0
    assert f"{pool.address}: 0 people, space unknown" in new.out


def test_keys_of_a_server_are_kept_in_the_database(pool: Commands, here: Here, tmp_path: Path) -> None:
    (made,) = here("keys", "add", "Me", "--role", "admin", "--json").records
    assert made["key"]
    (listed,) = pool("keys", "list", "--json").records
    assert (listed["name"], listed["role"]) == ("Me", "admin")
    assert here("keys", "remove", "Me").code == 0
    assert here("keys", "list", "--json").records == []
    assert not list(tmp_path.rglob("*.server.*"))


def test_the_library_takes_the_address(pool: Commands) -> None:
    with open_pool(str(pool.address)) as gallery:
        assert str(gallery.address) == pool.address
        assert [person.name for person in gallery.people()] == ["Ada", "Bob"]


# What each command that takes a pool is given; one that is not here fails the test below.
PICTURE, POOL, VECTORS, PHOTOS, GROUPS = "@photo", "@pool", "@vectors", "@photos", "@groups"
SIGHTING = "6f1c7d1e-0a4b-4c39-9d56-2f6f0f6d9a11"
WORDS: dict[str, tuple[str, ...]] = {
    "register": ("Ada", PICTURE),
    "recognize": (PICTURE,),
    "group folder": (PHOTOS,),
    "group name": ("1", "Ada", "--output", GROUPS),
    "serve": ("--port", "0"),
    "keys add": ("Me", "--role", "admin"),
    "keys list": (),
    "keys remove": ("Me",),
    "people list": (),
    "people show": ("Ada",),
    "people edit": ("Ada", "--tag", "family"),
    "people consent": ("Ada", "I agree"),
    "people rename": ("Ada", "Bob"),
    "people merge": ("Ada", "Bob"),
    "people reembed": ("--embedder", "sface-single"),
    "people remove": ("Ada", "--yes"),
    "privacy report": ("Ada",),
    "privacy tidy": (),
    "people export": ("copy.db",),
    "people import": (POOL,),
    "people load": (VECTORS,),
    "pool backup": ("copy.db",),
    "pool restore": (POOL, "--yes"),
    "pool index": (),
    "pool encrypt": ("--yes",),
    "pool decrypt": ("--yes",),
    "pool rekey": ("--keyring", "--yes"),
    "pool collections create": ("annex",),
    "pool collections list": (),
    "pool collections remove": ("annex", "--yes"),
    "index status": ("--index", "milvus://index.example"),
    "index sync": ("--index", "milvus://index.example"),
    "index rebuild": ("--index", "milvus://index.example"),
    "index remove": ("--index", "milvus://index.example"),
    "unknown list": (),
    "unknown show": ("1",),
    "unknown name": ("1", "Bo"),
    "unknown add": ("1", "Ada"),
    "unknown ignore": ("1",),
    "unknown watch": ("1",),
    "unknown split": ("1", "4f1c"),
    "unknown join": ("1", "2"),
    "unknown apart": ("1", "2"),
    "unknown delete": ("1", "--yes"),
    "unknown forget": ("--yes",),
    "unknown undo": (),
    "sightings list": (),
    "sightings show": (SIGHTING,),
    "sightings correct": (SIGHTING, "Bo"),
    "sightings delete": (SIGHTING, "--yes"),
    "suggestions list": (),
    "suggestions accept": ("1",),
    "suggestions decline": ("1",),
    "suggestions take-back": ("Ada", "--yes"),
    "calibrate": (),
    "doctor": (),
}
UNFIT = 6
FOR_FILES = ("pool encrypt", "pool decrypt", "pool rekey")


def takes_pool(command: click.Command) -> bool:
    return any(option.name == "pool" for option in command.params)


@pytest.fixture
def away(facepool: Commands) -> str:
    """The address of a server that is not there, with passwords in all places."""
    del facepool.env["FACEPOOL_POOL"]
    return f"postgresql://ada:{SECRET}%2Fx@127.0.0.1:{free_port()}/faces?sslpassword={SECRET}"


@pytest.fixture
def anywhere(away: str, facepool: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    """Run a command in this process, where no pool is set."""
    del away
    monkeypatch.delenv("FACEPOOL_POOL", raising=False)
    return typed_here(facepool, monkeypatch, capfd)


def styles_of(command: click.Command) -> list[str]:
    """How it can be asked to speak; some commands print nothing for programs."""
    has_json = any(option.name == "json_lines" for option in command.params)
    return ["plain", "verbose", "json"] if has_json else ["plain", "verbose"]


@pytest.mark.parametrize(
    ("path", "style"),
    sorted((page.path, style) for page in commands() if takes_pool(page.command) for style in styles_of(page.command)),
)
def test_no_command_shows_the_password_of_a_server_that_is_away(
    path: str, style: str, away: str, anywhere: Here, crowd: Commands, photos: Path, tmp_path: Path
) -> None:
    given = {PICTURE: str(photos / "person_a_1.jpg"), POOL: str(crowd.pool), VECTORS: "people.jsonl"}
    given |= {PHOTOS: str(photos), GROUPS: str(tmp_path / "groups")}
    (tmp_path / "people.jsonl").write_text(json.dumps({"name": "Ada", "vector": [1.0] + [0.0] * 127}))
    words = [given.get(word, word) for word in WORDS[path]]
    if path == "group name":
        assert anywhere("group", str(photos), "--output", given[GROUPS]).code == 0
    before = ["-vv"] if style == "verbose" else []
    told = anywhere(*before, *path.split(), *words, "--pool", away, *(["--json"] if style == "json" else []))
    assert SECRET not in told.out + told.err
    if path == "doctor":
        assert told.code == UNFIT
        return
    if path in FOR_FILES:
        assert told.code == 2
        return
    assert told.code == 4
    if style == "json":
        (error,) = [json.loads(line) for line in told.err.splitlines() if line.startswith('{"error"')]
        assert error["error"] == "pool_unreachable"
        assert "postgresql://ada:***@127.0.0.1" in error["message"]
    else:
        (line,) = [line for line in told.err.splitlines() if line.startswith("error [")]
        assert line.startswith("error [pool_unreachable] ")
        assert "postgresql://ada:***@127.0.0.1" in line
    assert "Traceback" not in told.err
    assert "can read the password in --pool, in the list of processes. Set FACEPOOL_POOL" in told.err


def test_an_address_where_none_belongs_is_not_shown(anywhere: Here) -> None:
    told = anywhere("people", "show", "Ada", f"postgresql://ada:{SECRET}@db/faces")
    assert told.code == 2
    assert SECRET not in told.out + told.err


@pytest.mark.parametrize("direction", ["import", "export"])
def test_another_pool_that_is_named_is_warned_of_and_not_shown(direction: str, away: str, here: Here) -> None:
    told = here("people", direction, away)
    assert told.code == 4
    assert "[pool_unreachable]" in told.error
    assert "can read the password of postgresql://ada:***@127.0.0.1" in told.err
    assert SECRET not in told.out + told.err


def test_without_the_extra_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, anywhere: Here, away: str
) -> None:
    monkeypatch.setattr("facepool.extras.missing", lambda extra: ("psycopg",) if extra == "postgres" else ())
    told = anywhere("people", "list", "--pool", away)
    assert told.code == 2
    assert "psycopg is not installed. Run: pip install 'facepool[postgres]', or name a .db file" in told.error


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_file_with_a_password_that_others_can_read_is_warned_of(away: str, anywhere: Here, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'pool = "{away}"\n', encoding="utf-8")
    file.chmod(0o644)
    told = anywhere("people", "list", "--config", file)
    assert told.code == 4
    assert f"can read the password in {file}. Run: chmod 600 {file}" in told.err
    assert "list of processes" not in told.err
    file.chmod(0o600)
    assert "can read" not in anywhere("people", "list", "--config", file).err


def test_the_password_may_be_in_the_file_that_libpq_reads(facepool: Commands, template: str, tmp_path: Path) -> None:
    server = postgres.server()
    name = postgres.new_database(template=template).rpartition("/")[2]
    server.execute(f"ALTER DATABASE {name} OWNER TO {postgres.LOCKED_USER}")
    server.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {postgres.LOCKED_USER}", name)
    facepool.keep_people_in(server.url(name, postgres.LOCKED_USER))
    locked = facepool("people", "list")
    assert locked.code == 4
    assert "[pool_unreachable]" in locked.error
    secret = postgres.PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passwords = tmp_path / "passwords"
    passwords.write_text(f"127.0.0.1:*:*:{postgres.LOCKED_USER}:{secret}\n", encoding="utf-8")
    passwords.chmod(stat.S_IRUSR | stat.S_IWUSR)
    opened = facepool("people", "list", "--json", PGPASSFILE=str(passwords))
    assert opened.code == 0, opened.err
    assert {json.loads(line)["person"] for line in opened.out.splitlines()} == {"Ada", "Bob"}
    wrong = facepool("people", "list", "--pool", server.url(name, postgres.LOCKED_USER, "wrong:" + SECRET))
    assert wrong.code == 4
    assert SECRET not in wrong.out + wrong.err
