"""No answer names a folder of the server: the log does, and of a path clients are told the last part."""

import errno
import logging
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import facepool.errors
from facepool.errors import FacepoolError, PoolLocked, StorageError
from facepool.web import problems
from facepool.web.hiding import HiddenFolders
from facepool.web.services import Services
from facepool.web.services.keys import Keys
from facepool.web.services.logs import Logs
from facepool.web.services.pool import PoolAccess
from support.fake_analyzer import FakeAnalyzer
from support.web_client import HERE, client_of

INTERFACES = ("/v1/persons", "/api/v1/recognition/subjects", "/v1/vision/face/list")


def kinds(*modules: Any) -> list[type[FacepoolError]]:
    return [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, FacepoolError)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "of the house" / "faces (1)"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def web(folder: Path) -> Iterator[TestClient]:
    with client_of(folder, FakeAnalyzer()) as client:
        yield client


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    async def fail(*_args: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr(PoolAccess, "run", fail)


def test_no_kind_of_error_tells_a_folder_of_the_server(
    web: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Path(tempfile.gettempdir()) / "facepool-x1y2"
    found = kinds(facepool.errors, problems)
    assert len(found) > 50
    for kind in found:
        error = kind(
            f"The pool {folder}/pool.db cannot be used",
            why=f"unable to open '{secret}/upload.db' ({folder})",
            fix=f"Make the folder {folder}",
        )
        failing(monkeypatch, error)
        for path in INTERFACES:
            answer = web.request("POST" if "vision" in path else "GET", path)
            assert answer.status_code >= 400
            assert "pool.db" in answer.text or kind in (problems.KeyMissing, problems.KeyUnknown)
            for part in (folder, folder.parent, secret, secret.parent, "of the house", "facepool-x1y2"):
                assert str(part) not in answer.text, (kind, path, answer.text)


@pytest.mark.parametrize("kind", [StorageError, PoolLocked, FacepoolError])
def test_of_the_servers_own_failures_no_path_is_told(
    web: TestClient, monkeypatch: pytest.MonkeyPatch, kind: type[FacepoolError], caplog: pytest.LogCaptureFixture
) -> None:
    failing(monkeypatch, kind("/var/lib/secret/pool.db fails", why=r"C:\Users\Me\pool.db", fix="See /srv/secret/it"))
    with caplog.at_level(logging.WARNING):
        told = [web.request("POST" if "vision" in path else "GET", path).text for path in INTERFACES]
    assert not [text for text in told if "secret" in text or "Users" in text]
    assert all("pool.db fails" in text for text in told)
    assert "/var/lib/secret/pool.db" in caplog.text, "whoever runs the server is told"


def test_an_error_that_nobody_expected_tells_nothing(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, OSError(28, "No space left on device", "/var/lib/secret/pool.db"))
    for path in INTERFACES:
        answer = web.request("POST" if "vision" in path else "GET", path)
        assert answer.status_code == 500
        assert "secret" not in answer.text


def test_no_message_of_a_websocket_tells_a_folder(
    web: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise PoolLocked(f"The pool {folder}/pool.db is locked", fix=f"End what uses {folder}")

    with monkeypatch.context() as patch:
        patch.setattr("facepool.web.api.enroll.EnrollmentSession", fail)
        with web.websocket_connect(f"{HERE}/v1/enroll") as socket:
            socket.send_json({"do": "start", "person": "Ada"})
            answer = socket.receive_json()
    assert answer["message"] == "The pool pool.db is locked"
    assert "of the house" not in str(answer)
    monkeypatch.setattr(PoolAccess, "open_for_live", fail)
    with web.websocket_connect(f"{HERE}/v1/live") as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.reason.startswith("The pool pool.db is locked")
    assert "of the house" not in closed.value.reason


def test_why_a_camera_is_not_watching_tells_no_folder(
    web: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_named: object) -> None:
        raise StorageError("The pool cannot be used", why=f"{folder} lies on a file system without file locks")

    monkeypatch.setattr("facepool.web.services.cameras.open_source", fail)
    added = web.post("/v1/cameras", json={"source": "rtsp://127.0.0.1:9/x"})
    assert added.status_code == 201
    reason, ends_at_s = "", time.monotonic() + 60
    while not reason and time.monotonic() < ends_at_s:
        (camera,) = web.get("/v1/cameras").json()["cameras"]
        reason = camera["reason"]
    assert reason == "faces (1) lies on a file system without file locks"
    assert web.get(f"/v1/cameras/{camera['id']}").json()["reason"] == reason


def test_what_is_owed_tells_no_folder(web: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_named: object) -> None:
        raise StorageError("The pool cannot be used", why=f"/srv/secret/{folder.name} is gone")

    monkeypatch.setattr(Logs, "tell", fail)
    created = web.post("/v1/persons", json={"person": "Ada"})
    told = [created.text, web.get("/v1/system").text, web.get("/v1/pool").text, web.get("/ready").text]
    assert any("faces" in text for text in told)
    assert not [text for text in told if "secret" in text]


def test_what_is_wrong_with_the_file_of_keys_tells_no_folder(
    web: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise StorageError(f"{folder}/pool.server.db cannot be read")

    monkeypatch.setattr(Keys, "required", property(fail))
    with web.websocket_connect(f"{HERE}/v1/live") as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.reason == "pool.server.db cannot be read."
    for path in ("/v1/persons", "/api/v1/recognition/subjects"):
        answer = web.get(path)
        assert "pool.server.db" in answer.text
        assert "of the house" not in answer.text


Asked = tuple[str, str, dict[str, Any]]

EVERYTHING: list[Asked] = [
    ("GET", "/ready", {}),
    ("GET", "/v1/system", {}),
    ("GET", "/v1/pool", {}),
    ("GET", "/v1/cameras", {}),
    ("GET", "/v1/pool/export", {}),
    ("GET", "/v1/persons/Ada/export", {}),
    ("POST", "/v1/persons", {"json": {"person": "Bob"}}),
    ("POST", "/v1/recognize", {"files": {"file": b"no picture"}}),
    ("PATCH", "/v1/persons/Ada", {"json": {"person": "Eve"}}),
    ("POST", "/v1/pool/import", {"files": {"file": b"SQLite format 3\0"}}),
    ("DELETE", "/v1/pool/calibration", {}),
    ("POST", "/v1/keys", {"json": {"name": "me", "role": "admin"}}),
    ("POST", "/v1/cameras", {"json": {"source": "rtsp://me:secret@127.0.0.1:9/x"}}),
    ("PATCH", "/v1/settings", {"json": {"firm_frames": 9}}),
    ("DELETE", "/v1/persons/Ada", {}),
    ("POST", "/api/v1/recognition/subjects", {"json": {"subject": "Bob"}}),
    ("DELETE", "/api/v1/recognition/subjects/Ada", {}),
    ("POST", "/v1/vision/face/delete", {"data": {"userid": "Ada"}}),
]


def told_of_everything(web: TestClient) -> dict[str, tuple[int, str]]:
    """What is answered to everything that may touch a file, headers included."""
    answers = {f"{method} {path}": web.request(method, path, **sent) for method, path, sent in EVERYTHING}
    return {
        asked: (answer.status_code, f"{dict(answer.headers)} {answer.content!r}") for asked, answer in answers.items()
    }


def names_folders(told: dict[str, tuple[int, str]], folder: Path) -> dict[str, tuple[int, str]]:
    parts = (str(folder), folder.name, folder.parent.name, tempfile.gettempdir())
    return {asked: answer for asked, answer in told.items() if any(part in answer[1] for part in parts)}


def test_while_another_program_keeps_the_files_locked_no_answer_tells_a_folder(web: TestClient, folder: Path) -> None:
    assert web.post("/v1/persons", json={"person": "Ada"}).status_code == 201
    others = [sqlite3.connect(folder / name, isolation_level=None) for name in ("pool.db", "pool.server.db")]
    for other in others:
        other.execute("BEGIN IMMEDIATE")
    told = told_of_everything(web)
    for other in others:
        other.close()
    assert sum(status == 503 for status, _ in told.values()) >= 10
    assert names_folders(told, folder) == {}


def test_on_a_full_disk_no_answer_tells_a_folder(
    web: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert web.post("/v1/persons", json={"person": "Ada"}).status_code == 201
    assert isinstance(web.app, FastAPI)
    services: Services = web.app.state.services

    class Full(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            if sql.startswith("BEGIN IMMEDIATE"):
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
                raise error
            return super().execute(sql, parameters)

    def no_room(*_args: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "x"))

    file = folder / "pool.server.db"
    with closing(sqlite3.connect(file, factory=Full, isolation_level=None, check_same_thread=False)) as db:
        monkeypatch.setattr(services.store, "_db", db)
        monkeypatch.setattr("facepool.files.tempfile.mkdtemp", no_room)
        monkeypatch.setattr("facepool.files.os.open", no_room)
        told = told_of_everything(web)
        monkeypatch.undo()
    assert sum(status == 507 for status, _ in told.values()) >= 5, told
    assert names_folders(told, folder) == {}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("The pool /srv/my pools/pool.db is locked", "The pool pool.db is locked"),
        ("Make the folder /srv/my pools", "Make the folder my pools"),
        ("(/srv/my pools/a/b/c.npy)", "(c.npy)"),
        ("'/srv/my pools/pool.db-wal': gone", "'pool.db-wal': gone"),
        ("/srv/my pools-of-others/x", "/srv/my pools-of-others/x"),
        (
            "Open /docs, /v1/persons/Ada or http://127.0.0.1/v1/pool",
            "Open /docs, /v1/persons/Ada or http://127.0.0.1/v1/pool",
        ),
        ("rtsp://cam/srv/my pools/1", "rtsp://cam/srv/my pools/1"),
    ],
)
def test_only_folders_of_the_server_are_taken_out_of_what_a_client_said(said: str, told: str) -> None:
    assert HiddenFolders([Path("/srv/my pools"), Path("/"), Path("pool")]).without_folders(said, any_path=False) == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/var/lib/x/pool.db fails: see /docs", "pool.db fails: see /docs"),
        ("Read-only (/a/b/)", "Read-only (b)"),
        (r"C:\Users\Me\pool.db is locked", "pool.db is locked"),
        (r"\\server\share\pool.db is locked", "pool.db is locked"),
        ("GET http://host/a/b failed", "GET http://host/a/b failed"),
        ("1/2/3 of and/or", "1/2/3 of and/or"),
    ],
)
def test_any_path_is_cut_to_its_last_part(said: str, told: str) -> None:
    assert HiddenFolders([]).without_folders(said, any_path=True) == told
