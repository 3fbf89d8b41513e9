"""Logins of cameras: in a file of their own, never told, and taken out of stores that earlier versions wrote."""

import logging
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import MagicMock, Mock

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from facepool.capture import CaptureOptions, ReconnectPolicy
from facepool.errors import ConfigError, PoolLocked, StorageError
from facepool.web.services.cameras import CameraMemory, Cameras, CameraSetup
from facepool.web.services.secrets import SecretsFile, with_login
from facepool.web.services.store import ServerStore, SqliteStore
from support.fake_analyzer import FakeAnalyzer
from support.web_client import client_of

ADDRESS = "rtsp://admin:s3cret@127.0.0.1:9/door"
SHOWN = "rtsp://***@127.0.0.1:9/door"
SETUP = CameraSetup(
    recognizer=Mock(),
    open_pool=MagicMock(),
    emit=Mock(),
    turn_finder=Mock(),
    capture=CaptureOptions(open_timeout_s=0.5, reconnect=ReconnectPolicy(give_up_s=0)),
)

Start = Callable[[], Cameras]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """As if another program had stopped while it writes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def have(secret: str, files: dict[str, bytes]) -> set[str]:
    return {name for name, content in files.items() if secret.encode() in content}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ServerStore]:
    with closing(SqliteStore(tmp_path / "pool.server.db")) as store:
        yield store


@pytest.fixture
def start(store: ServerStore, tmp_path: Path) -> Start:
    """Cameras, as after a start of the server."""
    return partial(Cameras, SETUP, CameraMemory(store))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer()) as client:
        yield client


def test_a_password_is_in_one_file_that_only_its_owner_reads(start: Start, tmp_path: Path, store: ServerStore) -> None:
    with closing(start()) as cameras:
        cameras.add(ADDRESS, "Door", remember=True)
    assert have("s3cret", files_of(tmp_path)) == {"pool.server.secrets"}
    assert store.kept("cameras") == {SHOWN: "Door"}
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "pool.server.secrets").stat().st_mode) == 0o600
    with closing(start()) as cameras:
        cameras.restore()
        (camera,) = cameras.all()
        assert camera.watches(ADDRESS)
        cameras.remove(camera.id)
    assert have("s3cret", files_of(tmp_path)) == set()


def test_two_cameras_that_look_the_same_without_their_logins_stay_two(start: Start) -> None:
    both = [ADDRESS, ADDRESS.replace("admin", "guest")]
    with closing(start()) as cameras:
        for name, address in zip("AB", both, strict=True):
            cameras.add(address, name, remember=True)
    with closing(start()) as cameras:
        cameras.restore()
        first, second = cameras.all()
        assert (first.name, second.name) == ("A", "B")
        assert first.watches(both[0])
        assert second.watches(both[1])
        cameras.remove(first.id)
    with closing(start()) as cameras:
        cameras.restore()
        assert [camera.watches(both[1]) for camera in cameras.all()] == [True]


def test_passwords_that_an_earlier_version_kept_are_taken_out_of_the_store(
    start: Start, store: ServerStore, tmp_path: Path
) -> None:
    in_the_path = "http://127.0.0.1:9/user=admin&password=s3cret&channel=1"
    # The page gave the whole address as the name where nothing else was typed.
    by_address = ADDRESS.replace("door", "hall")
    store.keep(
        "cameras",
        {ADDRESS: "Door", by_address: by_address, in_the_path: {"name": "Gate", "every": 5.0}, "0": "Desk"},
    )
    with store.transaction() as db:
        db.execute("INSERT INTO server_activity (at, event, source) VALUES ('2026', 'appeared', ?)", (by_address,))
        db.execute(
            "INSERT INTO server_audit (at, caller, action, person, detail) VALUES ('2026', 'me', 'added', '', ?)",
            (by_address,),
        )
    assert "pool.server.db-wal" in have("s3cret", files_of(tmp_path))
    with closing(start()) as cameras:
        cameras.restore()
        assert [camera.name for camera in cameras.all()] == ["Door", SHOWN.replace("door", "hall"), "Gate", "Desk"]
        assert cameras.all()[2].watches(in_the_path)
    assert have("s3cret", files_of(tmp_path)) == {"pool.server.secrets"}
    store.wipe()
    assert have("s3cret", files_of(tmp_path)) == {"pool.server.secrets"}


def test_a_camera_whose_login_is_gone_is_not_asked_without_it(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(start()) as cameras:
        cameras.add(ADDRESS, "Door", remember=True)
        cameras.add("0", "Desk", remember=True)
    (tmp_path / "pool.server.secrets").unlink()
    with closing(start()) as cameras:
        cameras.restore()
        assert [camera.name for camera in cameras.all()] == ["Desk"]
    assert f"{SHOWN!r} is not watched: its login is not in pool.server.secrets" in caplog.text


def test_a_camera_that_cannot_be_remembered_is_not_watched_and_its_login_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "pool.server.db"
    with (
        closing(SqliteStore(path, patience_s=0.1)) as store,
        closing(Cameras(SETUP, CameraMemory(store))) as cameras,
    ):
        first = cameras.add("rtsp://me:f1rst@127.0.0.1:9/hall", remember=True)
        with locked(path):
            with pytest.raises(PoolLocked):
                cameras.add(ADDRESS, remember=True)
            with pytest.raises(PoolLocked):
                cameras.remove(first.id)
            assert cameras.all() == [first]
            assert first.status.state != "closed"
        assert have("s3cret", files_of(tmp_path)) == set()
        assert have("f1rst", files_of(tmp_path)) == {"pool.server.secrets"}
        cameras.add(ADDRESS, remember=True)
        cameras.remove(first.id)
        assert [camera.watches(ADDRESS) for camera in cameras.all()] == [True]
        assert have("f1rst", files_of(tmp_path)) == set()


def test_a_login_whose_camera_was_not_remembered_any_more_goes_at_the_next_start(start: Start, tmp_path: Path) -> None:
    with closing(start()) as cameras:
        cameras.add("0", "Desk", remember=True)
    SecretsFile(tmp_path / "pool.server.secrets").write({SHOWN: ADDRESS})  # killed in between
    with closing(start()) as cameras:
        cameras.restore()
        assert [camera.name for camera in cameras.all()] == ["Desk"]
    assert have("s3cret", files_of(tmp_path)) == set()


def test_cameras_settings_and_sign_ins_are_whole_or_nothing(web: TestClient, tmp_path: Path) -> None:
    """What cannot be written to the audit log is not done."""
    assert isinstance(web.app, FastAPI)
    services = web.app.state.services

    def fail(*_args: object, **_named: object) -> None:
        raise PoolLocked("The audit log cannot be written")

    with pytest.MonkeyPatch.context() as patch:
        for module in ("cameras", "keys", "tuning", "audit"):
            patch.setattr(f"facepool.web.services.{module}.insert_entry", fail)
        assert web.post("/v1/cameras", json={"source": ADDRESS}).status_code == 503
        assert web.patch("/v1/settings", json={"firm_frames": 9}).status_code == 503
    assert web.get("/v1/cameras").json() == {"cameras": []}
    assert web.get("/v1/settings").json()["firm_frames"] != 9
    assert have("s3cret", files_of(tmp_path)) == set()
    number = web.post("/v1/cameras", json={"source": ADDRESS}).json()["id"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facepool.web.services.cameras.insert_entry", fail)
        assert web.delete(f"/v1/cameras/{number}").status_code == 503
    assert [camera["id"] for camera in web.get("/v1/cameras").json()["cameras"]] == [number]
    key = services.keys.add("me", "admin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facepool.web.services.keys.insert_entry", fail)
        assert web.post("/v1/session", json={"key": key}).status_code == 503
    assert services.store.read("SELECT * FROM server_sessions") == []
    web.headers["x-api-key"] = key
    assert web.delete(f"/v1/cameras/{number}").status_code == 204
    said = [(entry["action"], entry["detail"]) for entry in web.get("/v1/audit").json()["entries"]]
    assert said == [("removed a camera", SHOWN), ("made a key", "me (admin)"), ("added a camera", SHOWN)]


@pytest.mark.parametrize("content", [b"{", b"[1]"])
def test_a_damaged_file_of_logins_keeps_no_server_from_starting(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pool.server.secrets").write_bytes(content)
    with client_of(tmp_path, FakeAnalyzer()) as web:
        assert "pool.server.secrets cannot be read: the file is damaged" in caplog.text
        assert web.get("/v1/cameras").json() == {"cameras": []}
        answer = web.post("/v1/cameras", json={"source": ADDRESS})
        assert (answer.status_code, answer.json()["code"]) == (500, "storage")


@pytest.mark.parametrize("content", [b"{", b"[[1]]", b"[1]", b"\xff", b"7"])
def test_a_damaged_file_of_logins_is_not_written_over(start: Start, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pool.server.secrets"
    file.write_bytes(content)
    with closing(start()) as cameras, pytest.raises(StorageError, match="damaged"):
        cameras.add(ADDRESS, remember=True)
    assert file.read_bytes() == content


def test_a_login_is_given_beside_the_address_and_shown_nowhere(
    web: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    given = {"source": "rtsp://127.0.0.1:9/door", "user": "ad@min", "password": "p@ss/w?rd#1"}
    added = web.post("/v1/cameras", json=given)
    assert added.status_code == 201
    encoded = "p%40ss%2Fw%3Frd%231"
    camera = web.app.state.services.cameras.get(added.json()["id"])  # type: ignore[attr-defined]
    assert camera.watches(f"rtsp://ad%40min:{encoded}@127.0.0.1:9/door")
    places = ["/v1/cameras", "/v1/audit", "/v1/activity", "/metrics", "/ready", "/v1/settings"]
    told = added.text + caplog.text + "".join(web.get(place).text for place in places)
    told += web.post("/v1/cameras", json=given).text  # it is watched already
    assert not any(secret in told for secret in (given["password"], encoded, "ad@min", "ad%40min"))
    assert have(encoded, files_of(tmp_path)) == {"pool.server.secrets"}


def test_an_address_that_is_given_as_the_name_shows_no_login(web: TestClient) -> None:
    added = web.post("/v1/cameras", json={"source": ADDRESS, "name": ADDRESS})
    assert added.json()["name"] == SHOWN
    assert "s3cret" not in added.text + web.get("/v1/audit").text


@pytest.mark.parametrize("source", ["0", "/dev/video0", "rtsp://a:b@door/1"])
def test_a_login_is_for_an_address_without_one(web: TestClient, source: str) -> None:
    answer = web.post("/v1/cameras", json={"source": source, "user": "me", "password": "s3cret"})
    assert (answer.status_code, answer.json()["code"]) == (400, "config_invalid")
    assert "s3cret" not in answer.text
    with pytest.raises(ConfigError):
        with_login(source, "me", "s3cret")


@pytest.mark.parametrize(
    "source",
    [
        "99999999999999999999",
        "9" * 1990,
        "/dev/video99999999999999999999",
        "rtsp://door/1\nERROR facepool: made up",
        "rtsp://door/1\r\nX-Injected: yes",
        "rtsp://door/\x1b[2J",
        "rtsp://door/\x00",
        "rtsp://door/\u202e1",
        "rtsp://do\u2028or/",
    ],
)
def test_what_is_no_camera_is_refused_with_a_reason(web: TestClient, source: str, start: Start) -> None:
    answer = web.post("/v1/cameras", json={"source": source})
    assert (answer.status_code, answer.json()["code"]) == (400, "config_invalid")
    assert answer.json()["why"]
    assert web.get("/v1/cameras").json() == {"cameras": []}
    with closing(start()) as cameras, pytest.raises(ConfigError) as refused:
        cameras.add(source)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["Door\nERROR facepool: made up", "\x1b[2J", "a\x00", "x" * 201])
def test_a_camera_has_a_name_on_one_line(web: TestClient, name: str) -> None:
    answer = web.post("/v1/cameras", json={"source": "rtsp://127.0.0.1:9/1", "name": name})
    assert answer.status_code in (400, 422)
    assert web.get("/v1/cameras").json() == {"cameras": []}


def test_what_an_earlier_version_took_for_a_camera_stops_no_start(
    start: Start, store: ServerStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.keep(
        "cameras", {"99999999999999999999": "Big", "rtsp://127.0.0.1:9/\n1": "Lines", "rtsp://127.0.0.1:9/1": "Door"}
    )
    with closing(start()) as cameras:
        cameras.restore()
        assert [camera.name for camera in cameras.all()] == ["Door"]
    assert "'Big' is not watched" in caplog.text


@pytest.mark.parametrize("every", [1e-9, 0.09])
def test_single_pictures_are_not_asked_for_in_a_busy_loop(web: TestClient, every: float, start: Start) -> None:
    source = "http://127.0.0.1:9/snap.jpg"
    assert web.post("/v1/cameras", json={"source": source, "every": every}).status_code == 422
    with closing(start()) as cameras:  # as an earlier version may have kept it
        assert cameras.add(source, every=every).status.every == 0.1
