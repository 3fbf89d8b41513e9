"""No answer names a folder of the server: the log does, and of a path clients are told the last part."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import facepool.errors
from facepool.errors import FacepoolError, PoolLocked, StorageError
from facepool.web import problems
from facepool.web.hiding import HiddenFolders
from facepool.web.services.keys import Keys
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
    monkeypatch.setattr(PoolAccess, "open", fail)
    with web.websocket_connect(f"{HERE}/v1/live") as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.reason.startswith("The pool pool.db is locked")
    assert "of the house" not in closed.value.reason


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
