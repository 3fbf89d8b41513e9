"""A real `facepool serve`, of any checkout, on a pool with people and keys of its own. POSIX; made for Linux."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx
from serve_load import fitted

from facepool import read_image
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import ModelStore, default_root

PEOPLE = 60
"""Of random vectors, beside those of the photos: calibration takes 20."""
GOOD_CLIENTS = 4
ADMIN, SMALL = "Admin", "Small"
_START_S = 120.0
_STOP_S = 20.0
_FURNISH = """
import sys
from pathlib import Path
import numpy as np
from facepool import load_analyzer, open_pool
from facepool.types import Sample

space, random = load_analyzer().space, np.random.default_rng(13)
with open_pool(Path(sys.argv[1]), space) as pool:
    for number in range(int(sys.argv[2])):
        middle = random.normal(size=space.dimension)
        vectors = middle + 0.7 * random.normal(size=(3, space.dimension))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        pool.register(f"Random {number:04}", [Sample(vector) for vector in vectors], space)
"""
"""Registers people of random vectors, by the Python of the checkout that is measured."""


@dataclass(frozen=True)
class Checkout:
    """What is measured.

    Attributes:
        python: That of an environment which imports it.
        options: Of `facepool serve`, beyond what is always given.
    """

    python: Path = Path(sys.executable)
    options: tuple[str, ...] = ()

    def run(self, *words: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Run its `facepool` to the end: what it printed."""
        command = [self.python, "-m", "facepool", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
        if done.returncode:
            raise RuntimeError(f"facepool {words[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout


@dataclass
class Server:
    """One that runs, with its pool.

    Attributes:
        process: What was started; its process group has all that it started.
        port: On 127.0.0.1.
        pool: Its file.
        keys: By their names: `ADMIN`, `SMALL` and those of `good_names`.
        log: What it says, on both of its outputs.
    """

    process: "subprocess.Popen[bytes]"
    port: int
    pool: Path
    keys: Mapping[str, str]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def admin(self, timeout_s: float = 60) -> httpx.Client:
        """A client with the administrator's key."""
        return httpx.Client(base_url=self.url, headers={"x-api-key": self.keys[ADMIN]}, timeout=timeout_s)

    def stop(self) -> bool:
        """End it politely: whether it ended in time."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class Furnished:
    """A folder with a pool, its keys, and pictures for clients; servers work on copies of it.

    Attributes:
        folder: Has pool.db and pool.server.db.
        keys: By their names.
        picture: JPEG of 640x480 with one registered face, as a client's camera would send it.
        photos: Files with faces, of several people.
    """

    checkout: Checkout
    folder: Path
    keys: Mapping[str, str]
    picture: bytes = field(repr=False)
    photos: tuple[Path, ...]

    def serve(self, folder: Path, *, env: Mapping[str, str] | None = None) -> Server:
        """Start a server on a copy of the pool."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("pool.*"):
            shutil.copy2(path, folder)
        return start(self.checkout, folder / "pool.db", self.keys, env=env)


def good_names() -> list[str]:
    """The keys of those who only want to recognize."""
    return [f"Good {number}" for number in range(1, GOOD_CLIENTS + 1)]


def start(
    checkout: Checkout,
    pool: Path,
    keys: Mapping[str, str],
    *,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    address: str | None = None,
) -> Server:
    """Start a server and wait until it answers.

    Args:
        checkout: What is started.
        pool: Its file; with `address`, what its log is named after.
        keys: That the pool knows.
        options: Of `facepool serve`.
        env: Beside what this process has.
        address: Of a database that has the pool; not an option, because others can read those.

    Raises:
        RuntimeError: It ended instead.
        TimeoutError: It did neither.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = pool.with_suffix(".log")
    where = ("--pool", str(pool)) if address is None else ()
    words = ("serve", "--port", str(port), *where, *checkout.options, *options)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [checkout.python, "-m", "facepool", *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **({"FACEPOOL_POOL": address} if address else {}), **(env or {})},
        )
    server = Server(process, port, pool, keys, log)
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}: {last_lines(log)}")
        try:
            if httpx.get(f"{server.url}/ready", timeout=5).status_code == 200:
                return server
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    server.kill()
    raise TimeoutError(f"the server does not start: {last_lines(log)}")


def last_lines(log: Path, count: int = 5) -> str:
    """The end of what a server said."""
    return " | ".join(log.read_text(errors="replace").splitlines()[-count:])


def furnish(checkout: Checkout, folder: Path, photos: Path | None = None, people: int = PEOPLE) -> Furnished:
    """Make a pool with the people of photos, others of random vectors, and keys.

    Args:
        checkout: Whose programs make it.
        folder: Empty.
        photos: Folder with photos, one face in each; those of `facepool demo` by default.
        people: How many others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pool = folder / "pool.db"
    subprocess.run([checkout.python, "-c", _FURNISH, pool, str(people)], check=True)
    made = checkout.run("keys", "add", ADMIN, "--role", "admin", "--pool", pool, "--json")
    keys = {ADMIN: str(json.loads(made)["key"])}
    found = _photos(photos)
    server = start(checkout, pool, keys)
    try:
        with server.admin() as client:
            for name in (SMALL, *good_names()):
                keys[name] = client.post("/v1/keys", json={"name": name, "role": "recognize"}).json()["key"]
            for photo in found[1:]:
                told = client.post(f"/v1/persons/{_person_of(photo)}/samples", files={"file": photo.read_bytes()})
                told.raise_for_status()
    finally:
        server.stop()
    server.log.unlink()
    _, encoded = cv2.imencode(".jpg", fitted(read_image(found[0])), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return Furnished(checkout, folder, keys, encoded.tobytes(), found)


def _photos(folder: Path | None) -> tuple[Path, ...]:
    """Those of a folder, at most ten; the first is what clients send, and the second the same person in the demo's."""
    if folder is not None:
        return tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")))[
            :10
        ]
    demo = ModelStore(default_root()).pull_asset(DEMO_PHOTOS)
    return tuple(demo / f"{name}.jpg" for name in ("person_a_2", "person_a_1", "person_b_1", "person_b_2"))


def _person_of(photo: Path) -> str:
    return photo.stem.rpartition("_")[0] or photo.stem
