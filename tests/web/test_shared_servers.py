"""Two real servers on one PostgreSQL database: each shows what the other does, and a camera has one watcher."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest

from facepool import ModelStore, read_image
from support import postgres
from support.commands import Commands
from support.loopback_camera import LoopbackCamera, camera_before, moving
from support.ports import free_port

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="stops processes by signals that Windows lacks"),
]
_PATIENCE_S = 60.0
_NOBODY = [np.full((480, 640, 3), 110, np.uint8)]
_RATE = 600
_DATABASE = "shared_servers"


@dataclass
class Server:
    """One of the two."""

    address: str
    key: str
    process: "subprocess.Popen[str]"
    heard: list[str] = field(default_factory=list)

    def web(self, key: str = "") -> httpx.Client:
        """A client with a key; the administrator's by default."""
        headers = {"x-api-key": key or self.key} if key or self.key else {}
        return httpx.Client(base_url=self.address, timeout=_PATIENCE_S, headers=headers)

    def get(self, path: str, key: str = "") -> httpx.Response:
        """What it answers."""
        with self.web(key) as web:
            return web.get(path)

    @property
    def camera(self) -> dict[str, object]:
        """What it says of the one camera."""
        (camera,) = self.get("/v1/cameras").json()["cameras"]
        return dict(camera)

    @property
    def watchers(self) -> set[str]:
        """The processes that watch the cameras; an empty name for a camera that shows nothing."""
        cameras = self.get("/v1/cameras").json()["cameras"]
        return {camera["process"] if camera["state"] == "watching" else "" for camera in cameras}

    @property
    def watches(self) -> bool:
        """Whether it watches it, as it says itself."""
        camera = self.camera
        return camera["state"] == "watching" and str(camera["process"]).endswith(f"/{self.process.pid}")

    def listen(self) -> None:
        """Keep what its event stream says, in a thread."""
        begun = threading.Event()

        def run() -> None:
            with suppress(httpx.TransportError), self.web() as web, web.stream("GET", "/v1/events") as answer:
                begun.set()
                for line in answer.iter_lines():
                    if line.startswith("data:"):
                        record = json.loads(line.removeprefix("data:"))
                        self.heard.append(f"{record['event']} {record['person']} {record['id']}")

        threading.Thread(target=run, daemon=True).start()
        assert begun.wait(_PATIENCE_S)


@dataclass
class Site:
    """Two servers, and the camera that both were started with; Ada is registered at the one that does not watch it."""

    servers: list[Server]
    camera: LoopbackCamera
    photo: Path

    def in_order(self) -> list[Server]:
        """The one that watches, and the other."""
        eventually(lambda: any(one.watches for one in self.servers))
        return sorted(self.servers, key=lambda one: not one.watches)


def eventually(true: Callable[[], object], patience_s: float = _PATIENCE_S) -> None:
    ends_s = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < ends_s
        time.sleep(0.2)


@contextmanager
def server(commands: Commands, key: str, *words: str) -> Iterator[Server]:
    port = free_port()
    process = commands.start("-m", "facepool", "serve", "--port", str(port), *words)
    one = Server(f"http://127.0.0.1:{port}", key, process)
    try:
        yield one
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, open_store: ModelStore) -> Iterator[Commands]:
    found, running = Commands(tmp_path_factory.mktemp("site"), open_store.root), postgres.server()
    running.execute(f"CREATE DATABASE {_DATABASE}")
    running.execute("CREATE EXTENSION vector", _DATABASE)
    found.env["FACEPOOL_POOL"] = running.url(_DATABASE)
    yield found
    running.execute(f"DROP DATABASE {_DATABASE} WITH (FORCE)")


@pytest.fixture(scope="module")
def site(commands: Commands, photos: Path) -> Iterator[Site]:
    key = commands("keys", "add", "Me", "--role", "admin").out.split()[-1]
    photo = photos / "person_a_1.jpg"
    with camera_before(_NOBODY, fps=8) as camera, ExitStack() as running:
        words = ("--camera", f"Door={camera.url}", "--rate-limit", f"{_RATE}/minute")
        servers = [running.enter_context(server(commands, key, *words)) for _ in range(2)]
        for one in servers:
            eventually(lambda one=one: _is_ready(one))  # type: ignore[misc]
        found = Site(servers, camera, photo)
        idle = found.in_order()[1]
        with idle.web() as web:
            web.post("/v1/persons/Ada/samples", files={"file": photo.read_bytes()}).raise_for_status()
        for one in servers:
            one.listen()
        yield found


def _is_ready(one: Server) -> bool:
    assert one.process.poll() is None, one.process.communicate()
    with suppress(httpx.TransportError):
        return one.get("/ready").status_code == 200
    return False


def _no_longer_seen(site: Site) -> None:
    """Nobody is before the camera, and all have heard of that."""
    site.camera.look_at(_NOBODY)
    eventually(lambda: all(one.heard and one.heard[-1].startswith("lost") for one in site.servers))


def test_workers_share_out_the_cameras_and_show_all_of_them(commands: Commands) -> None:
    """First: no key is needed yet."""
    with camera_before(_NOBODY, fps=8) as camera:
        words = [f"--camera={camera.url}{name}" for name in ("a", "b")]
        with server(commands, "", "--workers", "2", *words) as one:
            eventually(lambda: _is_ready(one))
            eventually(lambda: len(one.watchers) == 2 and "" not in one.watchers)
            for number in (1, 2) * 10:
                eventually(lambda number=number: one.get(f"/v1/cameras/{number}/picture").status_code == 200)  # type: ignore[misc]
            killed = max(one.watchers)
            os.kill(int(killed.rpartition("/")[2]), signal.SIGKILL)
            eventually(lambda: killed not in one.watchers and "" not in one.watchers)
            eventually(lambda: one.get("/ready").json()["processes"] == 2)
            one.process.send_signal(signal.SIGTERM)
            out, err = one.process.communicate(timeout=_PATIENCE_S)
    assert one.process.returncode == 0, err
    assert out.count("facepool is at") == 1
    assert err.count("People are kept in") == err.count("Running on") == 1


def test_what_is_registered_at_one_is_recognized_by_the_camera_of_another_and_both_tell_of_it_once(site: Site) -> None:
    one, other = site.servers
    watcher, idle = site.in_order()
    for _ in range(2):
        site.camera.look_at(moving(read_image(site.photo)))
        eventually(lambda: all(each.heard and "recognized Ada" in each.heard[-1] for each in site.servers))
        _no_longer_seen(site)
    assert one.heard == other.heard
    assert len(set(one.heard)) == len(one.heard)
    entries = idle.get("/v1/activity").json()["entries"]
    assert {entry["event_id"] for entry in entries} == {line.split()[-1] for line in one.heard}
    refused = idle.get(f"/v1/cameras/{idle.camera['id']}/picture").json()
    assert refused["code"] == "camera_elsewhere"
    assert str(watcher.process.pid) in refused["why"]
    assert watcher.get(f"/v1/cameras/{watcher.camera['id']}/picture").headers["content-type"] == "image/jpeg"


def test_settings_that_change_at_one_hold_at_another(site: Site) -> None:
    one, other = site.servers
    with one.web() as web:
        assert web.patch("/v1/settings", json={"min_margin": 0.07}).status_code == 200
    eventually(lambda: other.get("/v1/settings").json()["min_margin"] == 0.07)


def test_a_client_may_not_ask_each_server_as_often_as_one(site: Site) -> None:
    one, other = site.servers
    with one.web() as web:
        busy = web.post("/v1/keys", json={"name": "Busy", "role": "recognize"}).json()["key"]
    with one.web(busy) as web:
        while web.get("/v1/settings").status_code != 429:
            pass
    with other.web(busy) as web:
        eventually(lambda: web.get("/v1/settings").status_code == 429)
        used = 1 + sum(web.get("/v1/settings").status_code != 429 for _ in range(_RATE))
    assert used < _RATE
    assert other.get("/v1/settings").status_code == 200, "others may"


def test_a_key_that_is_removed_at_one_is_nobodys_at_another(site: Site) -> None:
    one, other = site.servers
    with one.web() as web:
        gone = web.post("/v1/keys", json={"name": "Gone", "role": "recognize"}).json()["key"]
        eventually(lambda: other.get("/v1/cameras", gone).status_code == 200)
        assert web.delete("/v1/keys/Gone").status_code == 204
    eventually(lambda: other.get("/v1/cameras", gone).status_code == 401)


def test_a_camera_is_taken_over_from_a_server_that_stands_still_or_is_killed(site: Site) -> None:
    first, second = site.in_order()
    began_s = time.monotonic()
    first.process.send_signal(signal.SIGSTOP)
    eventually(lambda: second.watches)
    print(f"taken over {time.monotonic() - began_s:.1f} s after SIGSTOP")
    before = len(second.heard)
    first.process.send_signal(signal.SIGCONT)
    site.camera.look_at(moving(read_image(site.photo)))
    eventually(lambda: any("recognized Ada" in line for line in second.heard[before:]))
    _no_longer_seen(site)
    told = second.heard[before:]
    assert len({line.split()[-1] for line in told}) == len(told)
    assert sum("recognized Ada" in line for line in told) == 1, "one server tells of her"
    began_s = time.monotonic()
    second.process.kill()
    eventually(lambda: first.watches)
    print(f"taken over {time.monotonic() - began_s:.1f} s after SIGKILL")
