"""``facepool index``, and what commands that change people say of an index."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from facepool import open_pool
from facepool.types import Sample
from support.commands import Commands, Outcome, typed_here
from support.fake_analyzer import SPACE
from support.index_double import IndexServer
from support.pools import unit

INDEX = "milvus://ada:hunter2@index.example"
PLACE = "milvus://index.example:19530"
Here = Callable[..., Outcome]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> IndexServer:
    """What commands find where Milvus should be."""
    server = IndexServer()
    monkeypatch.setattr("facepool.search.milvus.MilvusIndex", server)
    return server


@pytest.fixture
def here(
    facepool: Commands, server: IndexServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Here:
    """Commands in this process, with a pool of Ada and Bob and the address of an index in the environment."""
    with open_pool(facepool.pool, SPACE) as pool:
        for seed, name in enumerate(["Ada", "Ada", "Bob"]):
            pool.register(name, [Sample(unit(seed, SPACE.dimension))], SPACE)
    facepool.env["FACEPOOL_INDEX"] = INDEX
    return typed_here(facepool, monkeypatch, capfd)


def stood(here: Here) -> dict[str, object]:
    outcome = here("index", "status", "--json")
    (record,) = [one for one in outcome.records if "state" in one]
    assert outcome.code == (0 if record["current"] else 1)
    return record


def outcomes(removed: Outcome) -> list[str]:
    """Of what was looked for in the index."""
    findings = json.loads(removed.out.splitlines()[1])["findings"]
    return sorted(one["outcome"] for one in findings if one["place"] == PLACE)


def test_an_index_is_made_checked_and_removed(here: Here, server: IndexServer) -> None:
    missing = here("index", "status")
    assert missing.code == 1
    assert "there is none yet; 3 views to be stored. Run: facepool index sync" in missing.out + missing.err
    made = here("index", "sync", "--json")
    assert made.records == [{"put": 3, "removed": 0, "position": 3, "made": True, "abandoned": []}]
    assert server.numbers == {1, 2, 3}
    whole = here("index", "status")
    assert whole.code == 0
    assert "The index has what the pool has" in whole.out + whole.err
    assert "hunter2" not in whole.out + whole.err + str(made.out)
    (before,) = server.kept
    assert here("index", "rebuild").code == 0
    assert before not in server.kept
    assert here("index", "remove").code == 0
    assert server.kept == {}
    assert here("index", "remove").code == 4


def test_without_a_name_it_says_what_there_is(here: Here, facepool: Commands) -> None:
    here("index", "sync")
    facepool.env["FACEPOOL_INDEX"] = ""
    without = here("index", "status", "--json")
    assert without.records == [{"index": PLACE}]
    refused = here("index", "sync")
    assert (refused.code, "[config_invalid] No index is named" in refused.error) == (2, True)


def test_a_password_in_the_command_is_warned_of(here: Here) -> None:
    told = here("index", "status", "--index", INDEX)
    assert "can read the password in --index, in the list of processes. Set FACEPOOL_INDEX" in told.err


def test_changes_go_to_the_index_at_once(here: Here, server: IndexServer) -> None:
    here("index", "sync")
    assert here("people", "rename", "Bob", "Bo").code == 0
    removed = here("people", "remove", "Ada", "--yes", "--verify", "--json")
    assert removed.records[0] == {"person": "Ada", "erased": 2, "still_in_index": 0}
    assert outcomes(removed) == ["gone", "gone"]
    assert removed.code == 0
    assert server.numbers == {3}


def test_who_is_erased_while_it_is_away_is_said_to_be_there_still(here: Here, server: IndexServer) -> None:
    here("index", "sync")
    server.away = True
    removed = here("people", "remove", "Ada", "--yes", "--verify", "--json")
    assert removed.code == 1
    assert removed.records[0] == {"person": "Ada", "erased": 2, "still_in_index": 2}
    assert outcomes(removed) == ["left", "unknown"]
    assert "2 views that left the pool may still be in it. The next change" in removed.err
    report = here("privacy", "report", "Ada", "--json")
    (holding,) = [one for one in json.loads(report.out)["kept"] if one["kind"] == "milvus"]
    assert (holding["count"], holding["place"]) == (2, PLACE)
    assert stood(here)["error"] == "index_unreachable"
    server.away = False
    assert here("people", "rename", "Bob", "Bo").code == 0
    assert server.numbers == {3}
    assert stood(here)["current"] is True


def test_a_command_that_does_not_name_it_says_that_it_is_behind_now(here: Here, facepool: Commands) -> None:
    here("index", "sync")
    facepool.env["FACEPOOL_INDEX"] = ""
    assert "--index does not name it" not in here("people", "rename", "Bob", "Bo").err
    removed = here("people", "remove", "Ada", "--yes", "--json")
    assert f"The index at {PLACE} does not have this change: --index does not name it" in removed.err
    assert "2 templates that left the pool may still be in it" in removed.err
    assert json.loads(removed.out)["still_in_index"] == 2
    doctor = here("doctor")
    assert f"{PLACE}: --index does not name it, 2 templates that left the pool may still be in it" in doctor.out
    assert doctor.code == 6


def test_a_collection_that_is_removed_leaves_no_vectors(here: Here, facepool: Commands, server: IndexServer) -> None:
    for name in ("staff", "guests"):
        with open_pool(facepool.pool, SPACE, collection=name) as pool:
            pool.register("Cy", [Sample(unit(5, SPACE.dimension))], SPACE)
        assert here("index", "sync", "--collection", name).code == 0
    assert len(server.kept) == 2
    assert here("pool", "collections", "remove", "staff", "--yes").code == 0
    assert len(server.kept) == 1
    server.away = True
    away = here("pool", "collections", "remove", "guests", "--yes")
    assert away.code == 0
    assert f"Vectors of the collection are still in the index at {PLACE}" in away.err
    server.away = False
    assert here("index", "sync").code == 0
    assert server.numbers == {1, 2, 3}


def test_pools_that_can_have_none_are_refused(here: Here, facepool: Commands, tmp_path: Path) -> None:
    here("index", "sync")
    key = tmp_path / "key"
    key.write_text("00" * 32, encoding="ascii")
    key.chmod(0o600)
    encrypting = here("pool", "encrypt", "--yes", "--key-file", key)
    assert encrypting.code == 2
    assert "cannot be encrypted yet: its vectors lie in the index" in encrypting.error
    new = here("index", "sync", "--pool", tmp_path / "new.db", "--key-file", key)
    assert new.code != 0
    pair = here("people", "list", "--pool", tmp_path / "model_faces.npy")
    assert pair.code != 0


def test_doctor_says_how_the_index_stands(here: Here, server: IndexServer) -> None:
    assert "does not have what the pool has, 3 views to be stored" in here("doctor").out
    here("index", "sync")
    outcome = here("doctor")
    assert f"milvus://ada:***@{PLACE.removeprefix('milvus://')}: has what the pool has, 3 views" in outcome.out
    assert "hunter2" not in outcome.out
    server.away = True
    outcome = here("doctor")
    assert outcome.code == 6
    assert "no server answers there" in outcome.out


def test_a_restored_pool_takes_its_index_along(here: Here, server: IndexServer) -> None:
    assert here("pool", "backup", "backup.db").code == 0
    here("people", "remove", "Bob", "--yes")
    here("index", "sync")
    assert server.numbers == {1, 2}
    assert here("pool", "restore", "backup.db", "--yes", "--with-erased").code == 0
    assert server.numbers == {1, 2, 3}
    assert stood(here)["current"] is True
