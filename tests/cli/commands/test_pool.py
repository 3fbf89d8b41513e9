"""``facepool pool backup`` and ``restore``, as a user runs them, while a server has the pool open."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner

from facepool.cli.commands import pool as commands
from facepool.cli.main import cli
from facepool.gallery import open_pool
from facepool.gallery.backup import restore
from facepool.types import Sample
from support.commands import Commands
from support.fake_analyzer import SPACE
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer
from support.pools import unit
from support.web_client import HERE, client_of, look


@pytest.fixture
def pool(facepool: Commands) -> Commands:
    """Commands with a pool of one's own that holds a view each of Ada and Bob."""
    with open_pool(facepool.pool, SPACE) as pool:
        for seed, name in enumerate(("Ada", "Bob")):
            pool.register(name, [Sample(unit(seed, SPACE.dimension))], SPACE)
    return facepool


def test_a_backup_is_made_told_and_restored(pool: Commands) -> None:
    made = pool("pool", "backup", "backup.db")
    assert (made.code, made.out) == (0, "2 people with 2 views and 0 pictures copied to backup.db\n")
    (record,) = pool("pool", "backup", "other.db", "--json").records
    assert {name: record[name] for name in ("backup", "people", "templates", "pictures")} == {
        "backup": "other.db",
        "people": 2,
        "templates": 2,
        "pictures": 0,
    }
    pool("people", "rename", "Ada", "Eve")
    pool("people", "remove", "Bob", "--yes")
    restored = pool("pool", "restore", "backup.db", "--yes")
    assert restored.code == 0, restored.err
    assert "Called otherwise again: Eve becomes Ada" in restored.err
    assert "Erased since the backup: 1 view, and as a whole Bob. They stay erased" in restored.err
    assert "To undo: facepool pool restore" in restored.err
    assert pool.people() == {"Ada": 1}
    (told,) = pool("pool", "restore", "backup.db", "--yes", "--with-erased", "--json").records
    assert (told["people"], told["coming"], told["erased"]) == (2, [], [])
    assert pool.people() == {"Ada": 1, "Bob": 1}


def test_what_was_before_is_kept_and_undoes_it(pool: Commands) -> None:
    pool("pool", "backup", "backup.db")
    with open_pool(pool.pool, SPACE) as gallery:
        gallery.register("Eve", [Sample(unit(7, SPACE.dimension))], SPACE)
    outcome = pool("pool", "restore", "backup.db", "-y")
    assert "gone from the pool afterwards: Eve" in outcome.err
    assert pool.people() == {"Ada": 1, "Bob": 1}
    pool("pool", "restore", "pool.db.before-restore", "-y")
    assert pool.people() == {"Ada": 1, "Bob": 1, "Eve": 1}
    assert pool("pool", "restore", "backup.db", "-y", "--no-keep").code == 0
    assert not (pool.folder / "pool.db.before-restore").exists()


def test_nothing_is_restored_unasked(pool: Commands) -> None:
    pool("pool", "backup", "backup.db")
    pool("people", "rename", "Ada", "Eve")
    outcome = pool("pool", "restore", "backup.db")
    assert outcome.code == 130
    assert "nothing was restored" in outcome.err
    assert pool.people() == {"Bob": 1, "Eve": 1}


def test_a_pool_that_is_gone_is_restored_without_asking(pool: Commands) -> None:
    pool("pool", "backup", "backup.db")
    pool.pool.unlink()
    assert pool("pool", "restore", "backup.db").code == 0
    assert pool.people() == {"Ada": 1, "Bob": 1}
    assert sorted(path.name for path in pool.folder.glob("*pool.db*")) == ["pool.db"]


@pytest.mark.parametrize("page", [1, 2])
def test_a_damaged_pool_is_restored(pool: Commands, page: int) -> None:
    """Where its first page is lost it cannot be opened; elsewhere that shows when it is read."""
    pool("pool", "backup", "backup.db")
    content = bytearray(pool.pool.read_bytes())
    content[4096 * (page - 1) + 72 : 4096 * page * 8] = b"\xff" * (4096 * page * 8 - 4096 * (page - 1) - 72)
    pool.pool.write_bytes(content)
    outcome = pool("pool", "restore", "backup.db", "--yes")
    assert outcome.code == 0, outcome.err
    assert "The damaged file is" in outcome.err
    assert pool.people() == {"Ada": 1, "Bob": 1}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("backup", "backup.db"), "config_invalid"),
        (("backup", "pool.db", "--force"), "config_invalid"),
        (("backup", "missing/backup.db"), "not_writable"),
        (("restore", "nothing.db"), "path_missing"),
        (("restore", "config.txt"), "pool_corrupt"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(pool: Commands, words: tuple[str, ...], code: str) -> None:
    pool("pool", "backup", "backup.db")
    (pool.folder / "config.txt").write_text("threads = 2\n")
    outcome = pool("pool", *words)
    assert outcome.error.startswith(f"error [{code}]")
    assert pool.people() == {"Ada": 1, "Bob": 1}


def test_the_original_pair_is_backed_up_and_restored(pool: Commands) -> None:
    pair = str(pool.folder / "model_faces.npy")
    pool("people", "export", pair)
    assert pool("pool", "backup", "backup.db", "--pool", pair).code == 0
    pool("people", "rename", "Ada", "Eve", "--pool", pair)
    assert pool("pool", "restore", "backup.db", "--yes", "--pool", pair).code == 0
    with open_pool(pair) as restored:
        assert [person.name for person in restored.people()] == ["Ada", "Bob"]


def test_a_server_that_runs_recognizes_who_was_restored(pool: Commands) -> None:
    analyzer = FakeLiveAnalyzer()

    def seen(person: int) -> str | None:
        """Whom a live connection takes somebody for who comes now."""
        told = [look(live, analyzer.frame()) for _ in range(40)]
        told = [look(live, analyzer.frame(Actor(unit(person, SPACE.dimension)))) for _ in range(12)]
        (face,) = told[-1]["faces"]
        named: str | None = face["person"]
        return named

    with client_of(pool.folder, analyzer) as web, web.websocket_connect(f"{HERE}/v1/live") as live:
        assert seen(0) == "Ada"
        assert pool("pool", "backup", "backup.db").code == 0
        assert web.patch("/v1/persons/Ada", json={"person": "Eve"}).status_code == 200
        assert web.delete("/v1/persons/Bob").status_code == 200
        assert (seen(0), seen(1)) == ("Eve", None)
        outcome = pool("pool", "restore", "backup.db", "--yes")
        assert outcome.code == 0, outcome.err
        assert (seen(0), seen(1)) == ("Ada", None), "who was erased stays erased"
        assert pool("pool", "restore", "backup.db", "--yes", "--with-erased").code == 0
        assert (seen(0), seen(1)) == ("Ada", "Bob")
        assert [person["person"] for person in web.get("/v1/persons").json()["persons"]] == ["Ada", "Bob"]
        entry = web.get("/v1/audit").json()["entries"][0]
        assert (entry["action"], entry["person"]) == ("restored the pool", "")


def test_what_was_restored_is_told_later_where_the_logs_cannot_be_told_now(
    pool: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(pool.folder, FakeLiveAnalyzer()):
        pool("pool", "backup", "backup.db")
    with closing(sqlite3.connect(pool.folder / "pool.server.db", isolation_level=None)) as other:

        def restore_then_lock(*given: Any, **named: Any) -> None:
            restore(*given, **named)
            other.execute("BEGIN IMMEDIATE")

        monkeypatch.setattr(commands, "restore", restore_then_lock)
        backup = str(pool.folder / "backup.db")
        outcome = CliRunner().invoke(cli, ["pool", "restore", backup, "--yes", "--pool", str(pool.pool)])
        assert outcome.exit_code == 0, outcome.output
        assert "restored to" in outcome.output
        assert "The logs in pool.server.db were not told yet" in outcome.output
    with client_of(pool.folder, FakeLiveAnalyzer()) as web:
        (entry,) = web.get("/v1/audit").json()["entries"]
    assert (entry["caller"], entry["action"], entry["detail"]) == ("command line", "restored the pool", "2 views")


def test_who_the_server_erased_stays_erased_in_a_new_pool(pool: Commands) -> None:
    pool("pool", "backup", "backup.db")
    with client_of(pool.folder, FakeLiveAnalyzer()) as web:
        assert web.delete("/v1/persons/Bob").status_code == 200
    pool.pool.unlink()
    outcome = pool("pool", "restore", "backup.db", "--yes")
    assert "and as a whole Bob. They stay erased" in outcome.err
    assert pool.people() == {"Ada": 1}
