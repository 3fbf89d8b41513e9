"""Processes that share a pool meet in its PostgreSQL database, and nowhere else.

One connection, with one thread, does all of it. Announcements are NOTIFYs of the channel `facepool`. Once a second a
process counts up its beat, writes down what it has to say of itself, and reads what the others say. One that was not
seen to beat for `SILENT_S` is gone, and its cameras are free; one that could not beat for `HOLD_S`, which is less,
watches none.
Each measures both by a clock of its own that runs evenly, so that no clock has to be right: not the database's either.
"""

import json
import logging
import math
import queue
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict

from facepool.errors import FacepoolError, PoolUnreachable
from facepool.gallery.address import PostgresAddress
from facepool.gallery.postgres_connection import CHANNEL, Connection, connect, explained
from facepool.web.services.announcements import Announcements, Fields
from facepool.web.services.processes import Peer, name_of_process

BEAT_S = 1.0
HOLD_S = 4.0
SILENT_S = 5.0
_PATIENCE_S = 2.0
"""How long a free camera is left to processes that watch fewer."""
_START_S = 30.0
"""How long processes that are started together wait for each other, before one watches cameras for all."""
_CALL_S = 5.0
_AGAIN_S = 2.0
_PATIENCE_OF_SERVER_S = 2.5
"""How long the database may take for anything: with a beat, less than `HOLD_S`."""
_GO_ON_S = 10.0
"""How long a process relies on having found that no other can be watching; it looks again and again."""
_MOST_WAITING = 1000
_MOST_BYTES = 7900
_GAP = "facepool gap"
_LOG = logging.getLogger(__name__)
_LOCK_OF_TABLES = 0x666163657001
# Cameras keep their numbers; nothing else here outlives the processes. What they say of themselves, once a second, need
# not survive the database's own death: such tables leave no trace in its log either.
_TABLES = """
CREATE TABLE IF NOT EXISTS server_processes (
    id TEXT PRIMARY KEY,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    name TEXT NOT NULL,
    beat BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS server_cameras (
    id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    key TEXT NOT NULL UNIQUE,
    process TEXT REFERENCES server_processes ON DELETE SET NULL,
    removed BOOLEAN NOT NULL DEFAULT false
);
CREATE UNLOGGED TABLE IF NOT EXISTS server_reports (
    process TEXT PRIMARY KEY REFERENCES server_processes ON DELETE CASCADE,
    report TEXT NOT NULL
)
"""
# Servers that cannot serve anybody now say so; a message, because libpq has no code for it.
_DOWN_FOR_ALL = ("starting up", "shutting down", "in recovery mode", "not yet accepting", "not accepting connections")
Result = TypeVar("Result")
Database = Connection


class _SentByNotify(Announcements):
    """Announcements that the thread of the connection sends and hears."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._wake = wake
        self.waiting: deque[tuple[str, Fields]] = deque(maxlen=_MOST_WAITING)
        self.is_heard = False

    @property
    def listening(self) -> bool:
        """Whether the connection stands, and notifications come through it: not through every pooler they do."""
        return self.is_heard

    def send(self, kind: str, fields: Fields | None = None) -> None:
        """Tell the other processes, in a moment; while the database is away the newest wait."""
        self.waiting.append((kind, fields or {}))
        self._wake()


@dataclass(frozen=True, slots=True)
class _Seen:
    """The last beat that was seen of another process, and when it was seen first, by the clock of this one."""

    beat: int
    since_s: float


class PostgresProcesses:
    """The processes that serve a pool in a PostgreSQL database.

    Args:
        address: Of the database.
        expected: How many are started together, with the same cameras.

    Raises:
        PoolUnreachable: The database is away.
        FacepoolError: It cannot be used.
    """

    def __init__(self, address: PostgresAddress, *, expected: int = 1) -> None:
        self.name = name_of_process()
        self.shared = True
        self._id = uuid4().hex
        self._address = address
        self._expected = expected
        self._closing = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.settimeout(0)
        self._sent = _SentByNotify(self._wake)
        self.announcements: Announcements = self._sent
        self._calls: deque[Callable[[Database | None], None]] = deque()
        self._says: dict[str, Callable[[], object]] = {}
        self._on_peers: list[Callable[[Sequence[Peer]], None]] = []
        self._on_cameras: list[Callable[[frozenset[str]], None]] = []
        self._heard: queue.SimpleQueue[tuple[str, Fields] | None] = queue.SimpleQueue()
        self._peers: tuple[Peer, ...] = ()
        self._alone = True
        self._seen: dict[str, _Seen] = {}
        self._free_since_s: dict[str, float] = {}
        self._said = ""
        self._began_s = self._last_beat_s = self._next_beat_s = clock_s()
        self._offers: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        # Both are replaced as a whole and read without a lock.
        self._held: frozenset[str] = frozenset()
        self._held_until_s = -math.inf
        self._schema = ""
        self._db: Database | None = None
        try:
            with explained(address):
                self._db = self._connect()
                _make_tables(self._db)
                self.number = self._join(self._db)
        except BaseException:
            self._close_connection()
            raise
        self._threads = [
            threading.Thread(target=self._run, name="facepool-processes", daemon=True),
            threading.Thread(target=self._pass_on, name="facepool-heard", daemon=True),
        ]

    @property
    def peers(self) -> Sequence[Peer]:
        """The others, as they were about a second ago; none while nobody can say."""
        return self._peers

    def say(self, name: str, tell: Callable[[], object]) -> None:
        """Have a part of the server say something of itself, once a second, in `Report` under a name."""
        self._says[name] = tell

    def on_peers(self, listener: Callable[[Sequence[Peer]], None]) -> None:
        """Call a listener with the others, once a second."""
        self._on_peers.append(listener)

    def number_of(self, camera: str) -> str:
        """The id of a camera, the same in all processes; the one that asks is ready to watch it."""
        number = self._do(lambda db: _number_of(db, camera))
        with self._lock:
            self._offers |= {number}
        self._beat_soon()
        return number

    def forget_camera(self, number: str) -> None:
        """No process is to watch a camera any more."""
        self._do(lambda db: db.execute("UPDATE server_cameras SET removed = true WHERE id = %s", (int(number),)))
        self.drop_camera(number)
        self._sent.send("cameras")

    def drop_camera(self, number: str) -> None:
        """This process is not ready to watch a camera any more."""
        with self._lock:
            self._offers -= {number}
            self._held -= {number}
        self._beat_soon()

    def watches(self, number: str) -> bool:
        """Whether this process, and so no other, is to watch a camera now."""
        return number in self._held and clock_s() < self._held_until_s

    def on_cameras(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call a listener when cameras of this process were forgotten, or others are to be watched by it."""
        self._on_cameras.append(listener)

    def start(self) -> None:
        """Begin to speak with the others."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Leave: others take over what this process has done."""
        self._closing.set()
        self._wake()
        self._heard.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        if self._db is not None:
            with suppress(psycopg.Error):
                self._send_waiting(self._db)
                self._db.execute("DELETE FROM server_processes WHERE id = %s", (self._id,))
                self._notify(self._db, "cameras", {})
        self._close_connection()
        self._wake_in.close()
        self._wake_out.close()

    def _wake(self) -> None:
        with suppress(OSError):  # it is awake, or ends
            self._wake_in.send(b"x")

    def _beat_soon(self) -> None:
        self._next_beat_s = -math.inf
        self._wake()

    def _do(self, work: Callable[[Database], Result]) -> Result:
        """Do something in the thread of the connection, and wait for it.

        Raises:
            PoolUnreachable: The database is away.
        """
        done: Future[Result] = Future()

        def call(db: Database | None) -> None:
            if not done.set_running_or_notify_cancel():
                return
            if db is None:
                done.set_exception(self._away())
                return
            try:
                done.set_result(work(db))
            except psycopg.Error:
                done.set_exception(self._away())
                raise  # the thread connects anew

        if not self._threads[0].is_alive():
            with suppress(psycopg.Error):
                call(self._db)
        else:
            self._calls.append(call)
            self._wake()
        try:
            return done.result(_CALL_S)
        except TimeoutError:
            done.cancel()
            raise self._away() from None

    # What follows runs in the thread of the connection.

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                if self._db is None:
                    self._db = self._connect()
                    self._heard.put((_GAP, {}))
                    self._next_beat_s = -math.inf
                self._turn(self._db)
            except (psycopg.Error, FacepoolError) as error:
                self._lose(error)
                self._closing.wait(BEAT_S)

    def _connect(self) -> Database:
        """A connection that hears what others announce."""
        db = connect(self._address, _PATIENCE_OF_SERVER_S)
        db.silence_s = _PATIENCE_OF_SERVER_S
        try:
            db.execute("SET application_name = 'facepool processes'")
            db.execute(f"SET statement_timeout = {round(1000 * _PATIENCE_OF_SERVER_S)}")
            row = db.execute("SELECT current_schema()").fetchone()
            self._schema = str(row[0]) if row else ""
            db.execute(f"LISTEN {CHANNEL}")
            self._notify(db, "hello", {})
        except BaseException:
            db.close()
            raise
        return db

    def _join(self, db: Database) -> int:
        """Be one of the processes; the number that no other has."""
        row = db.execute(
            "INSERT INTO server_processes (id, name) VALUES (%s, %s) RETURNING number", (self._id, self.name)
        ).fetchone()
        self._said = ""
        return int(row[0]) if row else 0

    def _turn(self, db: Database) -> None:
        """Wait for something to do, and do it."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(db.fileno(), selectors.EVENT_READ)
            waiting.register(self._wake_out, selectors.EVENT_READ)
            waiting.select(max(0.0, self._next_beat_s - clock_s()))
        with suppress(BlockingIOError):
            self._wake_out.recv(4096)
        while self._calls:
            self._calls.popleft()(db)
        self._send_waiting(db)
        if clock_s() >= self._next_beat_s:
            self._next_beat_s = clock_s() + BEAT_S
            self._beat(db)
        for notification in db.notifies(timeout=0):
            self._take(notification.payload)

    def _send_waiting(self, db: Database) -> None:
        while self._sent.waiting:
            self._notify(db, *self._sent.waiting[0])
            self._sent.waiting.popleft()

    def _notify(self, db: Database, kind: str, fields: Fields) -> None:
        payload = json.dumps({**fields, "kind": kind, "process": self._id, "schema": self._schema})
        if len(payload) > _MOST_BYTES:
            _LOG.error("an announcement (%s) is too long to be sent: %d bytes", kind, len(payload))
            return
        db.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    def _take(self, payload: str) -> None:
        """Hear an announcement; the channel is the whole database's, and anybody may write into it."""
        try:
            told = json.loads(payload)
        except (ValueError, RecursionError):
            return
        if not isinstance(told, dict) or told.get("schema", self._schema) != self._schema:
            return
        kind = told.get("kind")
        if told.get("process") == self._id:
            self._sent.is_heard = self._sent.is_heard or kind == "hello"
            return
        if kind == "cameras":
            self._next_beat_s = -math.inf
        if isinstance(kind, str):
            self._heard.put((kind, told))

    def _beat(self, db: Database) -> None:
        """Say that this process lives, read how the others are, and see which cameras are whose."""
        began_s = clock_s()
        if began_s - self._last_beat_s > SILENT_S - BEAT_S:
            self._seen.clear()  # what was not looked at meanwhile is not known to have been silent
        if not db.execute("UPDATE server_processes SET beat = beat + 1 WHERE id = %s", (self._id,)).rowcount:
            self._held = frozenset()  # others have it that this process was gone
            self._join(db)
        self._report(db)
        living = self._look_at_peers(db)
        removed = self._look_at_cameras(db, began_s, living)
        self._last_beat_s = began_s
        for listener in self._on_peers:
            listener(self._peers)
        for tell in self._on_cameras:
            tell(removed)

    def _report(self, db: Database) -> None:
        report = json.dumps({"offers": sorted(self._offers), **{name: tell() for name, tell in self._says.items()}})
        if report == self._said:
            return
        db.execute(
            "INSERT INTO server_reports VALUES (%s, %s) ON CONFLICT (process) DO UPDATE SET report = excluded.report",
            (self._id, report),
        )
        self._said = report

    def _look_at_peers(self, db: Database) -> dict[str, Peer]:
        """The others that live, by id; those that do not are taken out."""
        began_s = clock_s()
        rows = db.execute(
            """SELECT id, name, beat, report FROM server_processes LEFT JOIN server_reports ON process = id
            WHERE id != %s ORDER BY number""",
            (self._id,),
        ).fetchall()
        ended_s = clock_s()
        seen, living = {}, {}
        for process, name, beat, report in rows:
            before = self._seen.get(process)
            now = before if before is not None and before.beat == beat else _Seen(beat, ended_s)
            if began_s - now.since_s > SILENT_S:
                # Not if it has beaten meanwhile: then nothing is deleted, and it is looked at anew.
                db.execute("DELETE FROM server_processes WHERE id = %s AND beat = %s", (process, beat))
                _LOG.warning("the process %s is silent: others take over what it did", name)
                continue
            seen[process] = now
            living[process] = Peer(name, _report_of(report))
        self._seen, self._peers, self._alone = seen, tuple(living.values()), not living
        return living

    def _look_at_cameras(self, db: Database, began_s: float, living: Mapping[str, Peer]) -> frozenset[str]:
        """Take those that are free, as far as it is this process's turn; those that nobody is to watch any more."""
        with self._lock:
            offers = self._offers
        if not offers and not self._held:
            self._free_since_s.clear()
            self._held_until_s = began_s + HOLD_S
            return frozenset()
        db.execute(
            "UPDATE server_cameras SET process = NULL WHERE process = %s AND (removed OR NOT id = ANY(%s))",
            (self._id, [int(number) for number in offers]),
        )
        rows = db.execute("SELECT id, process, removed FROM server_cameras").fetchall()
        mine = {str(number) for number, process, removed in rows if process == self._id and not removed}
        free = {str(number) for number, process, removed in rows if process is None and not removed} & offers
        mine |= self._claim(db, sorted(free - mine, key=int), len(mine), living)
        with self._lock:
            self._held = frozenset(mine) & self._offers
        self._held_until_s = began_s + HOLD_S
        return frozenset(str(number) for number, _, removed in rows if removed) & offers

    def _claim(self, db: Database, free: Sequence[str], count: int, living: Mapping[str, Peer]) -> set[str]:
        """Take free cameras: an equal share at once, and those that nobody else takes."""
        now_s = clock_s()
        self._free_since_s = {number: self._free_since_s.get(number, now_s) for number in free}
        offering = Counter(
            number for peer in living.values() for number in _texts(peer.report.get("offers"))
        )  # how many others could watch it
        starts_together = now_s - self._began_s < _START_S
        wanted: list[str] = []
        for number in free:
            processes = 1 + offering[number]
            if starts_together:
                processes = max(processes, self._expected)
            share = math.ceil(len(self._offers) / processes)
            patience_s = _START_S if starts_together and self._expected > 1 else _PATIENCE_S
            if count + len(wanted) < share or now_s - self._free_since_s[number] > patience_s:
                wanted.append(number)
        if not wanted:
            return set()
        rows = db.execute(
            """UPDATE server_cameras SET process = %s WHERE id = ANY(%s) AND process IS NULL AND NOT removed
            RETURNING id""",
            (self._id, [int(number) for number in wanted]),
        )
        return {str(number) for (number,) in rows}

    def _lose(self, error: Exception) -> None:
        """The database is away. Where that is so for everybody, or there is nobody else, cameras are watched on."""
        if self._db is not None:
            _LOG.warning("this process cannot speak with others: %s", self._away().why)
        self._close_connection()
        now_s = clock_s()
        if now_s < self._held_until_s and (self._alone or _is_down_for_all(self._address, error)):
            self._held_until_s = now_s + _GO_ON_S
        self._seen.clear()
        if now_s - self._last_beat_s > SILENT_S and self._peers:
            self._peers = ()
            for listener in self._on_peers:
                listener(())
        while self._calls:
            self._calls.popleft()(None)

    def _away(self) -> PoolUnreachable:
        return PoolUnreachable(
            f"The pool {self._address} cannot be used", why="its server does not answer", fix="Try again in a moment"
        )

    def _close_connection(self) -> None:
        self._sent.is_heard = False
        self._said = ""  # a server that has crashed, or another in its place, has forgotten it
        if self._db is not None:
            self._db.close()
        self._db = None

    # What follows runs in the thread that passes on what was heard: it may read in the database.

    def _pass_on(self) -> None:
        while (heard := self._heard.get()) is not None:
            kind, fields = heard
            announcements = self.announcements
            followed = announcements.pass_on_gap() if kind == _GAP else announcements.pass_on(kind, fields)
            if not followed and not self._closing.wait(_AGAIN_S):  # the database is away again
                self._heard.put((_GAP, {}))


def clock_s() -> float:
    """Seconds of a clock that runs evenly, also while the machine sleeps where there is such a one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _make_tables(db: Database) -> None:
    """Make the tables where they are not there yet: who may not make any can use those of others."""
    if db.execute("SELECT to_regclass(quote_ident(current_schema()) || '.server_reports')").fetchone() != (None,):
        return
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_OF_TABLES,))
        for statement in _TABLES.split(";\n"):
            db.execute(statement)


def _number_of(db: Database, key: str) -> str:
    row = db.execute("SELECT id, removed FROM server_cameras WHERE key = %s", (key,)).fetchone()
    if row is None or row[1]:
        row = db.execute(
            "INSERT INTO server_cameras (key) VALUES (%s) ON CONFLICT (key) DO UPDATE SET removed = false RETURNING id",
            (key,),
        ).fetchone()
    return str(row[0]) if row else ""


def _report_of(text: str | None) -> Mapping[str, object]:
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def _texts(told: object) -> Iterator[str]:
    if isinstance(told, list):
        yield from (text for text in told if isinstance(text, str))


def _is_down_for_all(address: PostgresAddress, error: Exception) -> bool:
    """Whether nobody can reach the database: it says so itself, or nothing listens at any of its addresses."""
    said = str(error.__cause__ or error)
    if any(words in said for words in _DOWN_FOR_ALL):
        return True
    parts = conninfo_to_dict(address.url)
    hosts = str(parts.get("hostaddr") or parts.get("host") or "").split(",")
    ports = str(parts.get("port") or "5432").split(",")
    places = zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False)
    return all(host and _refuses(host, port) for host, port in places)


def _refuses(host: str, port: str) -> bool:
    """Whether the machine is there, and nothing listens at its port."""
    try:
        if host.startswith("/"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
                one.connect(f"{host}/.s.PGSQL.{port or '5432'}")
        else:
            socket.create_connection((host, int(port or "5432")), timeout=1.0).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        return False
    return False
