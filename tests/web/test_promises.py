"""What the pool has done is told to the logs, and what was erased leaves no bytes: at once, or as soon as it can be."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from facepool.cli.context import CommandContext
from facepool.errors import StorageError
from facepool.gallery import open_pool
from facepool.gallery.image import image_of
from facepool.gallery.sqlite import SqliteGallery
from facepool.search import Search
from facepool.types import Sample
from facepool.web.services import Services
from facepool.web.services.keys import LOCAL
from facepool.web.services.store import SqliteStore
from support.fake_analyzer import SPACE, FakeAnalyzer
from support.pools import unit
from support.web_client import client_of

PATIENCE_S = 60
POOL, LOGS = "pool.db", "pool.server.db"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer()) as client:
        yield client


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Somebody else writes to a file and does not come to an end."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def reading(path: Path, table: str) -> Iterator[None]:
    """Somebody else reads a file and does not come to an end."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute(f"SELECT count(*) FROM {table}").fetchone()
    try:
        yield
    finally:
        other.close()


def known(web: TestClient, *names: str) -> None:
    """Make people known, with a view and a picture each, and seen."""
    services = services_of(web)
    space = services.engine.analyzer.space
    for number, name in enumerate(names):
        sample = Sample(embedding=unit(number, space.dimension), source="a.jpg", picture=f"picture {number}".encode())
        with services.pool.open() as pool:
            pool.register(name, [sample], space)
        services.activity.add({"event": "recognized", "person": name, "source": "door"})


def audited(web: TestClient) -> list[tuple[str, str, str]]:
    entries = web.get("/v1/audit").json()["entries"]
    return [(entry["action"], entry["person"], entry["detail"]) for entry in reversed(entries)]


def seen(web: TestClient) -> list[str | None]:
    return [entry["person"] for entry in web.get("/v1/activity").json()["entries"]]


def files_with(folder: Path, *traces: bytes) -> list[str]:
    """Which files have one of several byte strings."""
    return sorted(path.name for path in folder.iterdir() if any(trace in path.read_bytes() for trace in traces))


def soon(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def is_settled(web: TestClient) -> bool:
    return bool(web.get("/ready").json()["owed"] == [])


def vector_of(folder: Path, name: str) -> bytes:
    with open_pool(folder / POOL) as pool:
        return pool.templates(name)[0].sample.embedding.astype("<f4").tobytes()[:32]


def test_a_rename_that_the_logs_cannot_be_told_is_done_and_told_later(web: TestClient, tmp_path: Path) -> None:
    known(web, "Grace")
    with writing(tmp_path / LOGS):
        assert web.patch("/v1/persons/Grace", json={"person": "Hopper"}).status_code == 200
        assert web.get("/v1/persons/Hopper").status_code == 200
        assert web.get("/ready").json()["owed"] == [LOGS]
        assert "Activity and audit log follow" in web.get("/v1/system").json()["owed"][0]
    assert soon(lambda: is_settled(web))
    assert (audited(web), seen(web)) == ([("renamed", "Hopper", "Grace")], ["Hopper"])


def test_who_is_renamed_and_erased_before_the_logs_can_be_told_is_in_none_of_them(
    web: TestClient, tmp_path: Path
) -> None:
    known(web, "Grace", "Ada")
    web.post("/v1/persons", json={"person": "Bob"})
    web.post("/v1/persons/Grace/merge", json={"into": "Bob"})
    with writing(tmp_path / LOGS):
        web.patch("/v1/persons/Bob", json={"person": "Hopper"})
        answer = web.delete("/v1/persons/Hopper")
        assert (answer.status_code, answer.json()["samples"]) == (200, 1)
        assert any("Activity and audit log follow" in note for note in answer.json()["notes"])
        assert seen(web) == ["Ada"]
        assert {person[:7] for _, person, _ in audited(web)} == {"erased-"}
    assert soon(lambda: is_settled(web))
    assert files_with(tmp_path, b"Hopper", b"Grace", b"Bob") == []
    assert [action for action, _, _ in audited(web)] == ["created", "merged", "renamed", "erased"]
    assert seen(web) == ["Ada"]


def test_nobody_is_erased_where_only_the_logs_know_them_and_cannot_be_written(web: TestClient, tmp_path: Path) -> None:
    known(web, "Grace")
    with open_pool(tmp_path / POOL) as pool:
        pool.remove("Grace")
    with writing(tmp_path / LOGS):
        assert web.delete("/v1/persons/Grace").status_code == 503
    assert web.delete("/v1/persons/Grace").json()["activity"] == 1


def test_what_an_earlier_process_left_is_told_before_anybody_is_answered(tmp_path: Path) -> None:
    with client_of(tmp_path, FakeAnalyzer()) as web:
        known(web, "Grace", "Ada")
    with open_pool(tmp_path / POOL) as pool:  # killed before it told the logs
        with pool.noting("Desk"):
            pool.rename("Grace", "Hopper")
            pool.merge("Ada", "Hopper")
        with pool.noting("Desk"):
            pool.remove("Hopper")
    with client_of(tmp_path, FakeAnalyzer()) as web:
        assert [action for action, _, _ in audited(web)] == ["renamed", "merged", "erased"]
        assert seen(web) == []
        assert soon(lambda: is_settled(web))
        assert files_with(tmp_path, b"Hopper", b"Grace", b"Ada") == []


def test_nothing_is_told_twice_where_a_process_died_before_it_could_note_that_it_told(
    web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = services_of(web)
    with services.pool.open() as pool:
        with pool.noting("Desk"):
            pool.create("Grace")
        with monkeypatch.context() as patch:
            patch.setattr(type(pool), "forget_notices", lambda _pool, _uuids: None)
            services.people.create(LOCAL, pool, "Ada")
        assert len(pool.owed().notices) == 2
        services.people.create(LOCAL, pool, "Bob")
        assert pool.owed().notices == ()
    assert [person for _, person, _ in audited(web)] == ["Grace", "Ada", "Bob"]


@pytest.mark.parametrize(("name", "table"), [(POOL, "persons"), (LOGS, "server_audit")])
def test_what_readers_keep_from_being_wiped_is_owed_shown_and_gone_when_they_are(
    web: TestClient, tmp_path: Path, name: str, table: str
) -> None:
    known(web, "Grace")
    vector = vector_of(tmp_path, "Grace")
    assert files_with(tmp_path, vector, b"Grace") != []
    with reading(tmp_path / name, table):
        answer = web.delete("/v1/persons/Grace")
        assert (answer.status_code, answer.json()["activity"]) == (200, 1)
        assert any(f"may remain in {name}" in note for note in answer.json()["notes"])
        ready = web.get("/ready")
        assert (ready.status_code, ready.json()["owed"]) == (200, [name])
        assert any(name in note for note in web.get("/v1/pool").json()["notes"])
        assert files_with(tmp_path, vector, b"Grace") != []
    assert soon(lambda: is_settled(web))
    assert files_with(tmp_path, vector, b"Grace", b"picture 0") == []
    assert web.get("/v1/pool").json()["notes"] == []


def test_who_is_erased_is_out_of_the_image_of_the_index_before_the_answer_whoever_reads_the_pool(
    web: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facepool.search.image.LEAST_TEMPLATES", 1)
    image = image_of(tmp_path / POOL)
    known(web, "Grace", "Ada")
    vector = vector_of(tmp_path, "Grace")
    with services_of(web).pool.open() as pool:
        Search(pool).index()
        assert soon(image.exists)
        assert vector in image.read_bytes()
        assert b"Grace" in image.read_bytes()
        with reading(tmp_path / POOL, "persons"):
            assert web.delete("/v1/persons/Grace").status_code == 200
            assert image.name not in files_with(tmp_path, vector, b"Grace")
            assert POOL in web.get("/ready").json()["owed"]
        assert soon(lambda: is_settled(web))
        assert files_with(tmp_path, vector, b"Grace") == []
        assert soon(image.exists)  # of those who are left
        assert files_with(tmp_path, vector, b"Grace") == []
        assert b"Ada" in image.read_bytes()
        assert web.patch("/v1/persons/Ada", json={"person": "Hopper"}).status_code == 200
        assert image.name not in files_with(tmp_path, b"Ada")


@pytest.mark.parametrize("table", ["persons"])
def test_a_file_is_written_anew_once_however_often_its_log_is_tried(
    web: TestClient, tmp_path: Path, table: str
) -> None:
    known(web, "Grace")
    with reading(tmp_path / POOL, table):
        web.delete("/v1/persons/Grace")
        size = (tmp_path / f"{POOL}-wal").stat().st_size
        with services_of(web).pool.open() as pool:
            assert "using the pool" in pool.wipe(0)
            assert "using the pool" in pool.wipe(0)
        assert (tmp_path / f"{POOL}-wal").stat().st_size <= size
    assert soon(lambda: is_settled(web))


def test_views_that_a_client_of_compreface_erases_together_are_wiped_once(
    web: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_pool(tmp_path / "pool.db") as pool:
        pool.register("Ada", [Sample(unit(seed, SPACE.dimension)) for seed in range(4)], SPACE)
        ids = [template.uuid for template in pool.templates()]
    wiped: list[Path] = []
    wipe = SqliteGallery.wipe

    def counted(gallery: SqliteGallery, patience_s: float = 0) -> str:
        wiped.append(gallery.path)
        return wipe(gallery, patience_s)

    monkeypatch.setattr(SqliteGallery, "wipe", counted)
    gone = web.post("/api/v1/recognition/faces/delete", json=ids[:3])
    assert [face["image_id"] for face in gone.json()] == ids[:3]
    assert len(wiped) == 1
    assert [entry[:2] for entry in audited(web)].count(("erased_sample", "Ada")) == 3


def test_a_copy_of_the_pool_that_cannot_be_deleted_is_owed_shown_and_gone_when_it_can(
    web: TestClient, tmp_path: Path
) -> None:
    known(web, "Grace")
    copy = tmp_path / f"{POOL}.version-6"
    (copy / "in use").mkdir(parents=True)  # what no system deletes as a file
    answer = web.delete("/v1/persons/Grace")
    assert (answer.status_code, answer.json()["samples"]) == (200, 1)
    assert any(copy.name in note for note in answer.json()["notes"])
    assert web.get("/ready").json()["owed"] == [POOL]
    (copy / "in use").rmdir()
    copy.rmdir()
    copy.write_bytes(b"Grace")
    assert soon(lambda: is_settled(web))
    assert not copy.exists()


def test_a_file_that_cannot_be_wiped_for_any_reason_is_owed(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    known(web, "Grace")
    with monkeypatch.context() as patch:

        def fail(_store: SqliteStore, _patience_s: float) -> str:
            raise StorageError("The file cannot be used", why="the disk reports an error")

        patch.setattr(SqliteStore, "wipe", fail)
        answer = web.delete("/v1/persons/Grace")
        assert (answer.status_code, answer.json()["samples"]) == (200, 1)
        assert any("the disk reports an error" in note for note in answer.json()["notes"])
        assert web.get("/ready").json()["owed"] == [LOGS]
    assert soon(lambda: is_settled(web))


def test_what_was_owed_when_the_server_ended_is_owed_when_it_starts(tmp_path: Path) -> None:
    with reading_after_start(tmp_path) as reader, client_of(tmp_path, FakeAnalyzer()) as web:
        assert POOL in web.get("/ready").json()["owed"]
        reader.close()
        assert soon(lambda: is_settled(web))
        assert files_with(tmp_path, b"Grace", b"picture 0") == []


@contextmanager
def reading_after_start(folder: Path) -> Iterator[sqlite3.Connection]:
    """A pool whose eraser ended while somebody read it, and who reads it."""
    with client_of(folder, FakeAnalyzer()) as web:
        known(web, "Grace")
        reader = sqlite3.connect(folder / POOL, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM persons").fetchone()
        web.delete("/v1/persons/Grace")
    try:
        yield reader
    finally:
        reader.close()


def test_a_key_and_its_entry_in_the_log_come_and_go_together(web: TestClient, tmp_path: Path) -> None:
    made = web.post("/v1/keys", json={"name": "Desk", "role": "admin"}).json()["key"]
    header = {"x-api-key": made}
    db = sqlite3.connect(tmp_path / LOGS, isolation_level=None)
    db.execute("CREATE TRIGGER no_entry BEFORE INSERT ON server_audit BEGIN SELECT RAISE(ABORT, 'no entry'); END")
    assert web.post("/v1/keys", json={"name": "Cron", "role": "enroll"}, headers=header).is_error
    assert web.delete("/v1/keys/Desk", headers=header).is_error
    db.execute("DROP TRIGGER no_entry")
    db.close()
    assert [key["name"] for key in web.get("/v1/keys", headers=header).json()["keys"]] == ["Desk"]


def test_a_command_that_changes_the_pool_tells_the_logs_of_the_server(tmp_path: Path) -> None:
    context = CommandContext({"pool": tmp_path / POOL})
    with client_of(tmp_path, FakeAnalyzer()) as web:
        known(web, "Grace", "Ada")
        with context.changing_pool() as pool:
            pool.rename("Grace", "Hopper")
        assert (audited(web), seen(web)) == ([("renamed", "Hopper", "Grace")], ["Ada", "Hopper"])
        assert web.get("/v1/audit").json()["entries"][0]["caller"] == "command line"
    with context.changing_pool() as pool:
        pool.remove("Hopper")
    assert files_with(tmp_path, b"Hopper", b"Grace", b"picture 0") == []


def test_a_pool_without_a_server_keeps_no_notices(tmp_path: Path) -> None:
    with CommandContext({"pool": tmp_path / POOL}).changing_pool(must_exist=False) as pool:
        pool.create("Grace")
        assert not pool.owed()
    assert not (tmp_path / LOGS).exists()
