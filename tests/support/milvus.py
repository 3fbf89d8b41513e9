"""A real Milvus server for tests, from the package milvus: one a process, what a test has made there goes with it.

It listens on this machine only as far as it can be told to, asks for a login (``LOGIN``), and is gone with its files
when the process ends, however that ends: an undertaker waits for that in a process of its own. The first start on a
machine unpacks the programs (6 s), which then stay in the folder for temporary files for all later ones.
"""

import atexit
import hashlib
import importlib.util
import logging
import lzma
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.ports import free_port

if TYPE_CHECKING:
    from pymilvus import MilvusClient

USER, PASSWORD = "root", "Milvus"
LOGIN = f"{USER}:{PASSWORD}"
_PATIENCE_S = 120.0
_POLL_S = 0.1
_PORTS = (
    "etcd_port",
    "root_coord_port",
    "proxy_port",
    "proxy_internal_port",
    "query_coord_port",
    "query_node_port",
    "index_coord_port",
    "index_node_port",
    "data_coord_port",
    "data_node_port",
)
_ETCD = """
listen-client-urls: http://127.0.0.1:{client}
advertise-client-urls: http://127.0.0.1:{client}
listen-peer-urls: http://127.0.0.1:{peer}
initial-advertise-peer-urls: http://127.0.0.1:{peer}
initial-cluster: default=http://127.0.0.1:{peer}
"""
_UNDERTAKER = """
import os, pathlib, shutil, signal, sys
sys.stdin.read()
folder, is_own = pathlib.Path(sys.argv[1]), sys.argv[2:]
try:
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
except (OSError, ValueError):
    pass
if is_own:
    shutil.rmtree(folder, ignore_errors=True)
"""


@cache
def missing() -> str:
    """Why there can be no server here; empty: there can."""
    absent = [name for name in ("milvus", "pymilvus") if importlib.util.find_spec(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    return "" if sys.platform == "linux" else "the package milvus runs its server on Linux only, as far as we tried"


class MilvusServer:
    """A server with files of its own, which runs when this returns.

    Args:
        folder: Of its files, which stay when it is closed; None: one of its own, which goes.
        login: Whether it lets in nobody but those who say `LOGIN`.
        forgotten_s: After how long it forgets one who does not answer any more, itself as it was before it was killed
            among them: until then, started again, it searches nothing. Frozen for longer, it is of no use until it is
            started again. Servers ship with 30.

    Attributes:
        port: Of clients; the same after each start.
    """

    def __init__(self, folder: Path | None = None, *, login: bool = True, forgotten_s: int = 5) -> None:
        if why := missing():
            pytest.skip(why)
        is_own = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="facepool-milvus-")) if folder is None else folder
        self._login = login
        self._forgotten_s = forgotten_s
        self._ports = {name: free_port() for name in _PORTS}
        self._peers, self._health = free_port(), free_port()
        self.port = self._ports["proxy_port"]
        self._process: subprocess.Popen[bytes] | None = None
        command = [sys.executable, "-c", _UNDERTAKER, str(self.folder), *(["own"] if is_own else [])]
        self._undertaker = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        atexit.register(self.close)
        self._configure()
        self.start()

    @property
    def pid(self) -> int:
        """Of the server, which is one process."""
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server has said."""
        return (self.folder / "log").read_text(errors="replace")

    def address(self, *, login: str | None = None, port: int | None = None, database: str = "") -> str:
        """The address of an index there.

        Args:
            login: ``user:password``; empty: none; None: one that is let in.
            port: Another one than the server's, of a wire to it for example.
            database: Of the server; empty: its default.
        """
        said = (LOGIN if self._login else "") if login is None else login
        return f"milvus://{said and said + '@'}127.0.0.1:{port or self.port}{database and '/' + database}"

    def client(self) -> "MilvusClient":
        """One that may do everything; for looking into the server behind facepool's back."""
        from pymilvus import MilvusClient

        return MilvusClient(f"http://127.0.0.1:{self.port}", token=LOGIN if self._login else "", timeout=10)

    def start(self) -> None:
        """Start it with the files that it has, and wait until it answers."""
        programs = _programs()
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "ETCD_CONFIG_PATH": str(self.folder / "configs" / "etcd.yaml"),
            "LD_LIBRARY_PATH": str(programs),
        }
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [programs / "milvus", "run", "standalone"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        (self.folder / "pid").write_text(str(self.pid))
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Milvus does not start: {self.log[-2000:]}")
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """Kill it, as when the machine loses its power; asked to end, it waits half an hour for others to take over."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(_PATIENCE_S)

    def freeze(self) -> None:
        """Let it keep its connections, and do nothing any more."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def empty(self) -> None:
        """Delete everything that a server which does not run has stored, as with a new disk."""
        shutil.rmtree(self.folder / "data")
        (self.folder / "data").mkdir()

    def close(self) -> None:
        """Kill it, and delete its files if they are its own."""
        atexit.unregister(self.close)
        if self._process is not None and self._process.poll() is None:
            self.kill()
        if self._undertaker.stdin is not None and not self._undertaker.stdin.closed:
            self._undertaker.stdin.close()
            self._undertaker.wait(_PATIENCE_S)

    def _configure(self) -> None:
        from milvus import MilvusServerConfig

        config = MilvusServerConfig()
        config.update(data_dir=str(self.folder), **self._ports)
        config.set("authorization_enabled", self._login)
        config.set("common.session.ttl", self._forgotten_s)
        config.set("log.level", "warn")
        config.resolve()
        etcd = _ETCD.format(client=self._ports["etcd_port"], peer=self._peers)
        (self.folder / "configs" / "etcd.yaml").write_text(etcd)

    def _answers(self) -> bool:
        """Whether it does what clients ask: its page of health says so seconds earlier."""
        from grpc import RpcError
        from pymilvus.exceptions import MilvusException

        # The client goes on by itself when the port does not answer, and writes what went wrong with each try.
        with (
            suppress(OSError, MilvusException, RpcError),
            socket.create_connection(("127.0.0.1", self.port)),
            _unheard("pymilvus"),
            closing(self.client()) as client,
        ):
            client.list_collections(timeout=2)
            return True
        return False


@contextmanager
def _unheard(logger: str) -> Iterator[None]:
    """What a library logs meanwhile is dropped."""
    loud = logging.getLogger(logger)
    before = loud.level
    loud.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        loud.setLevel(before)


_RUNNING: list[MilvusServer] = []


def server() -> MilvusServer:
    """The server of this process: nobody stops it, or changes its settings."""
    if not _RUNNING:
        _RUNNING.append(MilvusServer())
    return _RUNNING[0]


def address() -> str:
    """The address of an index at the server of this process; what is made there goes at the end of the test."""
    return server().address()


def lite_address(folder: Path) -> str:
    """The address of an index in a file of milvus-lite, which needs no server."""
    if importlib.util.find_spec("milvus_lite") is None:
        pytest.skip("milvus_lite not installed")
    return f"milvus+lite:{folder / 'index.db'}"


def drop_collections() -> None:
    """Let the collections go that a test has made at the server of this process."""
    for running in _RUNNING:
        client = running.client()
        for name in client.list_collections():
            client.drop_collection(name)
        client.close()


@contextmanager
def own_server(folder: Path | None = None, *, login: bool = True) -> Iterator[MilvusServer]:
    """A server that a test may stop and kill."""
    running = MilvusServer(folder, login=login)
    try:
        yield running
    finally:
        running.close()


@cache
def _programs() -> Path:
    """Where the server's program and its libraries are, unpacked once for all processes of all runs."""
    spec = importlib.util.find_spec("milvus")
    assert spec is not None
    assert spec.origin is not None
    packed = sorted((Path(spec.origin).parent / "data" / "bin").glob("*.lzma"))
    seen = "".join(f"{path}{path.stat().st_size}{path.stat().st_mtime_ns}" for path in packed)
    digest = hashlib.sha256(seen.encode()).hexdigest()[:12]
    place = Path(tempfile.gettempdir()) / f"facepool-milvus-programs-{digest}"
    if place.is_dir() and place.stat().st_uid == os.geteuid():
        return place
    unfinished = Path(tempfile.mkdtemp(prefix="facepool-milvus-programs-"))
    for path in packed:
        with lzma.open(path) as source, (unfinished / path.stem).open("wb") as target:
            shutil.copyfileobj(source, target)
        (unfinished / path.stem).chmod(0o755)
    try:
        unfinished.rename(place)
    except OSError:  # another process was faster
        shutil.rmtree(unfinished)
    return place
