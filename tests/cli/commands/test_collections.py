"""``--collection`` at every command that takes a pool, and ``facepool pool collections``, as a user runs them."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest

from facepool.cli.main import COMMANDS, LazyGroup
from facepool.gallery import PoolAddress, open_pool, pool_address
from facepool.gallery.collections import collections_in
from facepool.types import Sample
from support import postgres
from support.commands import Commands, Outcome, typed_here
from support.fake_analyzer import SPACE
from support.paths import ROOT
from support.pools import POSTGRES, unit

PACKAGE = ROOT / "src" / "facepool"
Here = Callable[..., Outcome]


@pytest.fixture(params=["pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres)])
def pool(facepool: Commands, request: pytest.FixtureRequest) -> Commands:
    """Commands with a pool in which Ada is, and Bob in its collection staff."""
    if request.param == POSTGRES:
        facepool.keep_people_in(postgres.new_database())
    for seed, (name, collection) in enumerate((("Ada", "default"), ("Bob", "staff"))):
        register(facepool, name, collection, seed)
    return facepool


@pytest.fixture
def here(pool: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    return typed_here(pool, monkeypatch, capfd)


def register(commands: Commands, name: str, collection: str, seed: int) -> None:
    with open_pool(commands.address, SPACE, collection=collection) as pool:
        pool.register(name, [Sample(unit(seed, SPACE.dimension))], SPACE)


def people(here: Here, *words: str | Path) -> list[object]:
    outcome = here("people", "list", "--json", *words)
    assert outcome.code == 0, outcome.err
    return [record["person"] for record in outcome.records]


@pytest.mark.parametrize("pool", ["pool.db"], indirect=True)
def test_each_has_its_own_people_by_option_environment_and_file(
    pool: Commands, here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert people(here) == people(here, "--collection", "default") == ["Ada"]
    assert people(here, "--collection", "staff") == ["Bob"]
    file = tmp_path / "staff.toml"
    file.write_text('collection = "staff"\n', encoding="utf-8")
    assert people(here, "--config", file) == ["Bob"]
    monkeypatch.setenv("FACEPOOL_COLLECTION", "staff")
    assert people(here) == ["Bob"]
    assert "1 person in" in here("people", "list").err
    assert "staff" in here("people", "list").err
    monkeypatch.delenv("FACEPOOL_COLLECTION")
    renamed = here("people", "rename", "Bob", "Bo", "--collection", "staff")
    assert renamed.code == 0, renamed.err
    refused = here("people", "rename", "Bo", "Bob")
    assert refused.code == 4
    assert "[person_unknown]" in refused.error
    listed = here("pool", "collections", "list", "--json")
    assert listed.records == [
        {"collection": "default", "people": 1, "templates": 1},
        {"collection": "staff", "people": 1, "templates": 1},
    ]
    assert pool.people() == {"Ada": 1}


def test_one_that_is_not_there_is_refused_and_made_by_who_stores_somebody(here: Here, tmp_path: Path) -> None:
    unknown = here("people", "list", "--collection", "guests")
    assert unknown.code == 4
    assert unknown.error.startswith("error [collection_unknown] There is no collection 'guests' in ")
    assert "it has default, staff" in unknown.err
    assert "facepool pool collections create guests" in unknown.err
    assert here("people", "list", "--collection", "No Name").code == 2
    copy = tmp_path / "copy.db"
    with open_pool(copy, SPACE) as source:
        source.register("Cy", [Sample(unit(9, SPACE.dimension))], SPACE)
    taken = here("people", "import", copy, "--collection", "guests")
    assert taken.code == 0, taken.err
    assert "The collection guests is new" in taken.err
    assert people(here, "--collection", "guests") == ["Cy"]
    assert people(here) == ["Ada"]


def test_they_are_made_and_removed(pool: Commands, here: Here) -> None:
    assert here("pool", "collections", "create", "guests").code == 0
    again = here("pool", "collections", "create", "guests")
    assert again.code == 4
    assert "[collection_exists]" in again.error
    asked = here("pool", "collections", "remove", "staff")
    assert asked.code != 0
    assert "Erase the collection staff with 1 person and 1 view for good?" in asked.err
    assert collections_in(_address(pool)) == ["default", "guests", "staff"]
    assert here("pool", "collections", "remove", "default", "--yes").code == 2
    removed = here("pool", "collections", "remove", "staff", "--yes")
    assert (removed.code, removed.out) == (0, "The collection staff is erased\n")
    assert "[collection_unknown]" in here("pool", "collections", "remove", "staff", "--yes").error
    assert collections_in(_address(pool)) == ["default", "guests"]
    assert people(here) == ["Ada"]
    assert not [path for path in pool.folder.rglob("staff*") if path.is_file()]


@pytest.mark.parametrize("pool", ["pool.db"], indirect=True)
def test_a_key_is_bound_to_collections_that_are_there(here: Here) -> None:
    made = here("keys", "add", "desk", "--role", "recognize", "--collection", "staff", "--json")
    assert made.code == 0, made.err
    assert made.records[0]["collections"] == ["staff"]
    assert here("keys", "add", "Me", "--role", "admin").code == 0
    listed = {str(key["name"]): key["collections"] for key in here("keys", "list", "--json").records}
    assert listed == {"desk": ["staff"], "Me": []}
    assert "[collection_unknown]" in here("keys", "add", "x", "--role", "admin", "--collection", "nobody").error


def test_a_backup_has_all_collections_and_restores_them(pool: Commands, here: Here) -> None:
    made = here("pool", "backup", "backup.db")
    assert made.code == 0, made.err
    assert len(made.out.splitlines()) == 2
    assert people(here, "--pool", "backup.db") == ["Ada"]
    assert people(here, "--pool", "backup.db", "--collection", "staff") == ["Bob"]
    register(pool, "Eve", "staff", 7)
    register(pool, "Cy", "guests", 8)
    assert here("people", "remove", "Ada", "--yes").code == 0
    restored = here("pool", "restore", "backup.db", "--yes", "--with-erased")
    assert restored.code == 0, restored.err
    assert "Not restored, and as before: guests" in restored.err
    assert people(here) == ["Ada"]
    assert people(here, "--collection", "staff") == ["Bob"]
    assert people(here, "--collection", "guests") == ["Cy"]


@pytest.mark.parametrize("pool", ["pool.db"], indirect=True)
def test_a_backup_of_one_says_which_are_not_in_it(pool: Commands, here: Here) -> None:
    made = here("pool", "backup", "staff.db", "--collection", "staff")
    assert made.code == 0, made.err
    assert "Not copied: default" in made.err
    assert people(here, "--pool", "staff.db") == ["Bob"]
    register(pool, "Eve", "staff", 7)
    assert here("pool", "restore", "staff.db", "--collection", "staff", "--yes").code == 0
    assert people(here, "--collection", "staff") == ["Bob"]
    assert people(here) == ["Ada"]
    stale = here("pool", "backup", "backup.db")
    assert stale.code == 0
    assert here("pool", "collections", "remove", "staff", "-y").code == 0
    over = here("pool", "backup", "backup.db", "--force")
    assert "not in the pool any more: staff. Delete what must not come back" in over.err


@pytest.mark.parametrize("pool", ["pool.db"], indirect=True)
def test_an_export_says_which_are_not_in_it_and_the_doctor_looks_at_all(pool: Commands, here: Here) -> None:
    exported = here("people", "export", "copy.db")
    assert exported.code == 0, exported.err
    assert "Only the collection default was copied, not staff" in exported.err
    assert people(here, "--pool", "copy.db") == ["Ada"]
    doctor = {str(record["subject"]): record for record in here("doctor", "--json").records}
    assert "1 person" in str(doctor["pool"]["finding"])
    assert "1 person" in str(doctor["collection staff"]["finding"])


def test_the_doctor_finds_a_damaged_collection(
    facepool: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    register(facepool, "Ada", "default", 1)
    register(facepool, "Bob", "staff", 2)
    with closing(sqlite3.connect(facepool.folder / "pool.collections" / "staff.db")) as db:
        db.execute("DROP TABLE persons")
        db.commit()
    here = typed_here(facepool, monkeypatch, capfd)
    outcome = here("doctor", "--json")
    assert outcome.code == 6
    assert [record["subject"] for record in outcome.records if not record["healthy"]] == ["collection staff"]


def test_a_pair_of_npy_files_says_who_has_room_for_several(facepool: Commands) -> None:
    refused = facepool("people", "list", "--pool", "model_faces.npy", "--collection", "staff")
    assert refused.code == 2
    assert "room for one collection only" in refused.error


def test_every_command_that_takes_a_pool_takes_a_collection() -> None:
    """But for those that are about the pool with all of them."""
    whole = {"keys list", "keys remove", "pool collections list", "pool collections create"}
    whole |= {"pool collections remove", "pool encrypt", "pool decrypt", "pool rekey"}
    for path, command in _leaves(LazyGroup(), ""):
        options = {option for parameter in command.params for option in parameter.opts}
        if "--pool" in options:
            assert ("--collection" in options) == (path not in whole), path


def test_nobody_takes_the_pool_for_the_collection_that_was_named() -> None:
    """`settings.pool` is the pool with all of them: only who serves, lists or makes them means that."""
    means_all = {"cli/context.py", "cli/commands/doctor.py", "cli/commands/serve.py", "web/app.py"}
    means_all |= {"cli/commands/encryption.py", "config.py", "web/services/collections.py"}
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert {name for name, text in sources.items() if re.search(r"\bsettings\.pool\b", text)} <= means_all


def _leaves(group: click.Group, before: str) -> list[tuple[str, click.Command]]:
    found = []
    context = click.Context(group)
    for name in COMMANDS if not before else group.list_commands(context):
        command = group.get_command(context, name)
        path = f"{before} {name}".strip()
        assert command is not None
        found += _leaves(command, path) if isinstance(command, click.Group) else [(path, command)]
    return found


def _address(pool: Commands) -> PoolAddress:
    return pool_address(str(pool.address))
