"""What is left of acknowledged changes when the PostgreSQL server, the way to it or a facepool server fails; for Linux.

    python benchmarks/faults.py                                     all of them, about half a minute each
    python benchmarks/faults.py --only server-killed failover       some; --list names them
    python benchmarks/faults.py --output faults                     faults.json and faults.md

Two `facepool serve` share a pool in a real PostgreSQL server. Clients of both make, rename, register and erase people
and recognize faces as fast as they are let, and remember what they were told; before a camera somebody comes and goes.
Then the fault. What was acknowledged has to be stored; what was refused may not be; nothing may be half stored; the
audit log has to have each change once; requests may be answered as usual, with 503 and Retry-After or, where a disk is
full, with 507; all has to be as before within ten seconds of the end of the fault, by itself; the camera has to go on
naming people; and the password of the database may be in no log and no answer.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import cv2
import httpx
import numpy as np
from resilience.cameras import steady_camera
from resilience.postgres import Cluster, Wire, running
from resilience.server import ADMIN, Checkout, Furnished, Server, furnish, good_names, start

BEFORE_S, FAULT_S, AFTER_S = 3.0, 10.0, 3.0
RECOVERY_S, MOST_S, SETTLED_S = 10.0, 15.0, 15.0
TAKEN_OVER_S = 10.0
PASSWORD = "secret-word"
MIGRATING = 6
_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
_INSIDE = "FACEPOOL_FAULTS_INSIDE"
_DISK_MIB = 256


@dataclass(frozen=True)
class Told:
    """What a client was told of one request.

    Attributes:
        kind: What was asked.
        name: Of the person; empty for recognizing.
        status: 0: nothing, the connection broke.
        code: Of the error.
    """

    kind: str
    name: str
    status: int
    code: str
    began_s: float
    took_s: float
    server: int
    retry_after: bool = False

    @property
    def done(self) -> bool:
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        return self.status in (503, 507) and self.code != "outcome_unknown"

    @property
    def unknown(self) -> bool:
        """Whether nobody could tell the client what became of it."""
        return self.status == 0 or self.code == "outcome_unknown"


@dataclass
class Result:
    """What came of one fault."""

    name: str
    what: str
    tried: int = 0
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    lost: int = 0
    recovered_s: float | None = None
    longest_s: float = 0
    seen_meanwhile: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass
class World:
    """The database, the servers on it, and what is before the camera."""

    folder: Path
    pool: Furnished
    cluster: Cluster
    database: str
    address: str
    camera: str
    webhook: "Heard"
    servers: list[Server] = field(default_factory=list)

    def serve(self, count: int = 2, env: Sequence[Mapping[str, str]] = ({}, {})) -> None:
        for number in range(count):
            options = (
                "--camera",
                f"door={self.camera}",
                "--webhook",
                self.webhook.address,
                "--rate-limit",
                "1000000/minute",
            )
            self.servers.append(
                start(
                    self.pool.checkout,
                    self.folder / f"server-{number + 1}.db",
                    self.pool.keys,
                    options=options,
                    env=env[number],
                    address=self.address,
                )
            )


Fault = Callable[[World, Result], None]
FAULTS: dict[str, tuple[str, Fault]] = {}


def fault(name: str, what: str) -> Callable[[Fault], Fault]:
    """Put a function among the faults."""

    def put(play: Fault) -> Fault:
        FAULTS[name] = (what, play)
        return play

    return put


class Heard:
    """Events that a server tells a webhook: when, and of whom."""

    def __init__(self) -> None:
        self.events: list[tuple[float, dict[str, object]]] = []
        heard = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.events.append((time.monotonic(), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def named(self, begin_s: float, end_s: float) -> int:
        """How many events named somebody in a span of time."""
        return sum(
            begin_s <= at <= end_s and event.get("event") == "recognized" and event.get("person") is not None
            for at, event in self.events
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Load:
    """Clients of all servers, which remember what they were told."""

    def __init__(self, servers: Sequence[Server], picture: bytes, photo: bytes) -> None:
        self.told: list[Told] = []
        self._servers = servers
        self._picture = picture
        self._photo = photo
        self._over = threading.Event()
        works = (self._make, self._make, self._erase, self._rename, self._register, self._recognize)
        self._threads = [
            threading.Thread(target=work, args=(server, client))
            for server in range(len(servers))
            for client, work in enumerate(works)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _make(self, server: int, client: int) -> None:
        for number in self._numbers():
            name = f"Made {server}-{client}-{number:05}"
            self._ask(server, "make", name, lambda http, name=name: http.post("/v1/persons", json={"person": name}))

    def _erase(self, server: int, client: int) -> None:
        """Make somebody, and erase them."""
        for number in self._numbers():
            name = f"Gone {server}-{client}-{number:05}"
            self._ask(server, "make", name, lambda http, name=name: http.post("/v1/persons", json={"person": name}))
            self._ask(server, "erase", name, lambda http, name=name: http.delete(f"/v1/persons/{quote(name)}"))

    def _rename(self, server: int, client: int) -> None:
        for number in self._numbers():
            old, new = f"Old {server}-{client}-{number:05}", f"New {server}-{client}-{number:05}"
            self._ask(server, "make", old, lambda http, old=old: http.post("/v1/persons", json={"person": old}))
            self._ask(
                server,
                "rename",
                new,
                lambda http, old=old, new=new: http.patch(f"/v1/persons/{quote(old)}", json={"person": new}),
            )

    def _register(self, server: int, client: int) -> None:
        for number in self._numbers():
            name = f"Seen {server}-{client}-{number:05}"
            where = f"/v1/persons/{quote(name)}/samples?force=true"
            self._ask(
                server, "register", name, lambda http, where=where: http.post(where, content=self._photo, headers=_KIND)
            )

    def _recognize(self, server: int, _client: int) -> None:
        for _ in self._numbers():
            self._ask(
                server,
                "recognize",
                "",
                lambda http: http.post("/v1/recognize", content=self._picture, headers=_KIND),
                key=good_names()[0],
            )

    def _numbers(self) -> Iterator[int]:
        number = 0
        while not self._over.is_set():
            yield number
            number += 1

    def _ask(
        self, server: int, kind: str, name: str, ask: Callable[[httpx.Client], httpx.Response], key: str = ADMIN
    ) -> None:
        one = self._servers[server]
        began = time.monotonic()
        status, code, retry_after = 0, "", False
        try:
            with httpx.Client(base_url=one.url, headers={"x-api-key": one.keys[key]}, timeout=30) as http:
                answer = ask(http)
            status, retry_after = answer.status_code, "retry-after" in answer.headers
            if PASSWORD in answer.text:
                code = "the answer has the password"
            elif not answer.is_success:
                code = str(answer.json().get("code", answer.text[:80]))
        except (httpx.TransportError, ValueError) as error:
            code = type(error).__name__
        self.told.append(Told(kind, name, status, code, began, time.monotonic() - began, server, retry_after))
        if status != 200:
            time.sleep(0.02 if 200 <= status < 300 else 0.2)


_KIND = {"content-type": "image/jpeg"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(FAULTS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path, help="NAME of NAME.json and NAME.md")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name:18} {what}" for name, (what, _) in FAULTS.items()))
        return
    if os.geteuid() == 0 and _INSIDE not in os.environ:  # mounts in a namespace of our own
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        os.execvpe(words[0], words, os.environ | {_INSIDE: "yes"})
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        pool = furnish(Checkout(), folder / "furnished")
        for number, which in enumerate(list(options.only or FAULTS) * options.rounds):
            results.append(played(which, pool, folder / f"{number}-{which}"))
            show(results[-1])
            if options.output is not None:
                text = json.dumps([asdict(result) for result in results], indent=1)
                options.output.with_suffix(".json").write_text(text + "\n")
                options.output.with_suffix(".md").write_text(table(results))
    print(table(results))


def played(name: str, pool: Furnished, folder: Path) -> Result:
    what, play = FAULTS[name]
    result = Result(name, what)
    folder.mkdir()
    heard = Heard()
    with ExitStack() as stack:
        stack.callback(heard.close)
        disk = folder / "disk"
        if name == "disk-full":
            stack.enter_context(mounted("-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "none", at=disk))
        cluster = stack.enter_context(running(disk / "data"))
        camera = stack.enter_context(steady_camera(*before_camera(pool.picture)))
        world = World(folder, pool, cluster, "people", cluster.address("people"), camera, heard)
        with cluster.connect("postgres") as db:
            db.execute("CREATE DATABASE people")
        try:
            play(world, result)
        finally:
            for server in world.servers:
                server.kill()
        for log in folder.glob("server-*.log"):
            said = log.read_text(errors="replace")
            if PASSWORD in said:
                result.wrong.append(f"{log.name} has the password")
            if "Traceback" in said:
                result.wrong.append(f"{log.name} has a traceback: {said[said.index('Traceback') :][-600:]}")
    return result


def fill(world: World) -> None:
    """Bring the people into the database, and make the keys there."""
    env = {"FACEPOOL_POOL": world.address}
    world.pool.checkout.run("people", "import", world.pool.folder / "pool.db", env=env)
    keys = {}
    for name, role in ((ADMIN, "admin"), *((name, "recognize") for name in good_names())):
        made = world.pool.checkout.run("keys", "add", name, "--role", role, "--json", env=env)
        keys[name] = str(json.loads(made)["key"])
    world.pool = Furnished(world.pool.checkout, world.pool.folder, keys, world.pool.picture, world.pool.photos)


def before_camera(picture: bytes) -> tuple[list[bytes], bytes]:
    """A face that moves a little, and an empty room."""
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    moved = [np.roll(image, 3 * step, axis=1) for step in (0, 1, 2, 3, 2, 1)]
    empty = np.full_like(image, 90)
    encoded = [cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes() for one in (*moved, empty)]
    return encoded[:-1], encoded[-1]


def under_load(world: World, result: Result, fails: Callable[[], None], mends: Callable[[], None]) -> None:
    """Load, the fault, its end, and what came of it all."""
    load = Load(world.servers, world.pool.picture, world.pool.photos[2].read_bytes())
    time.sleep(BEFORE_S)
    began_s = time.monotonic()
    fails()
    time.sleep(FAULT_S)
    ended_s = time.monotonic()
    mends()
    mended_s = time.monotonic()
    time.sleep(RECOVERY_S + AFTER_S)
    load.end()
    result.seen_meanwhile = world.webhook.named(began_s + 0.5, ended_s)
    judge(world, result, load.told, mended_s)


def judge(world: World, result: Result, told: Sequence[Told], mended_s: float) -> None:
    changes = [one for one in told if one.kind != "recognize"]
    result.tried, result.acknowledged = len(changes), sum(one.done for one in changes)
    result.refused = sum(one.refused for one in changes)
    result.unknown = sum(one.unknown for one in changes)
    result.longest_s = round(max(one.took_s for one in told), 1)
    result.statuses = dict(Counter(f"{one.status} {one.code}".strip() for one in told if not one.done).most_common(12))
    for one in told:
        if one.status == 503 and not one.retry_after:
            result.wrong.append(f"503 {one.code} without Retry-After")
        elif not (one.done or one.refused or one.unknown or _follows(one)):
            result.wrong.append(f"{one.kind}: {one.status} {one.code}")
        if one.took_s > MOST_S:
            result.wrong.append(f"{one.kind} took {one.took_s:.0f} s")
    late = [one.began_s + one.took_s - mended_s for one in told if not (one.done or _follows(one)) and one.status]
    late += [one.began_s + one.took_s - mended_s for one in told if one.status == 0 and one.began_s > mended_s]
    result.recovered_s = round(max([0.0, *late]), 1)
    if result.recovered_s > RECOVERY_S:
        result.wrong.append(f"still refused {result.recovered_s} s after the end of the fault")
    served = {one.server for one in told if one.done and one.began_s > mended_s + RECOVERY_S / 2}
    if served != set(range(len(world.servers))):
        result.wrong.append(f"at the end only the servers {sorted(served)} answer")
    until = time.monotonic() + SETTLED_S
    while violations := stored_wrongly(world, told, result):
        if time.monotonic() > until:
            break
        time.sleep(0.5)
    result.wrong += violations
    result.wrong = [f"{count} x {one}" if count > 1 else one for one, count in Counter(result.wrong).items()]


def _follows(one: Told) -> bool:
    """Whether it was refused because of what had become of the request before: made already, or never made."""
    return one.status in (404, 409)


def stored_wrongly(world: World, told: Sequence[Told], result: Result) -> list[str]:
    """What is in the pool and the audit log against what clients were told."""
    people = everybody(world)
    audit = audit_of(world)
    made = {one.name for one in told if one.kind in ("make", "register", "rename") and one.done}
    refused = {one.name for one in told if one.kind in ("make", "register", "rename") and one.refused}
    gone = {one.name for one in told if one.kind == "erase" and one.done}
    perhaps_gone = {one.name for one in told if one.kind == "erase" and one.unknown}
    kept = {one.name for one in told if one.kind == "erase" and one.refused}
    left = {f"Old {one.name.removeprefix('New ')}" for one in told if one.kind == "rename" and one.done}
    perhaps_left = {f"Old {one.name.removeprefix('New ')}" for one in told if one.kind == "rename" and one.unknown}
    lost = made - gone - perhaps_gone - left - perhaps_left - people.keys()
    result.lost = len(lost) + len((gone | left) & people.keys())
    checks = {
        "acknowledged, but not stored": lost,
        "refused, but stored": refused & people.keys(),
        "erased, but there": gone & people.keys(),
        "renamed, but there by the old name": left & people.keys(),
        "not erased, as the client was told, but gone": (kept & made) - gone - people.keys(),
        "registered, but not with one view": {
            name for name in people if name.startswith("Seen ") and people[name] != 1
        },
        "stored, but not audited": {name for name in people if name.startswith(("Made", "Seen", "New"))} - audit.keys(),
        "audited twice": {
            name for name, count in audit.items() if name.startswith(("Made", "Seen", "New")) and count > 1
        },
    }
    return [f"{len(names)} {what} ({min(names)})" for what, names in checks.items() if names]


def everybody(world: World) -> dict[str, int]:
    """Views by name, as the database says."""
    with Cluster.connect(world.cluster, world.database) as db:
        rows = db.execute(
            "SELECT persons.name, count(samples.id) FROM persons LEFT JOIN samples ON samples.person_id = persons.id "
            "GROUP BY persons.id"
        ).fetchall()
    return {str(name): int(str(count)) for name, count in rows}


def audit_of(world: World) -> Counter[str]:
    """How many entries there are of who was made, registered or renamed, by name."""
    actions = {"Made": "created", "Seen": "registered", "New": "renamed"}
    with Cluster.connect(world.cluster, world.database) as db:
        rows = db.execute("SELECT person, action FROM server_audit").fetchall()
    return Counter(str(person) for person, action in rows if action == actions.get(str(person).split(" ")[0]))


def show(result: Result) -> None:
    print(f"{result.name}: {result.what}")
    print(
        f"  {result.acknowledged} of {result.tried} acknowledged, {result.refused} refused, {result.unknown} "
        f"unknown; lost {result.lost}; as before after {result.recovered_s} s; camera named {result.seen_meanwhile}"
    )
    print(f"  {result.statuses}")
    for line in result.remarks:
        print(f"  {line}")
    for line in result.wrong:
        print(f"  WRONG {line}")
    sys.stdout.flush()


def table(results: Sequence[Result]) -> str:
    """As Markdown."""
    head = (
        "fault",
        "changes",
        "acknowledged",
        "refused",
        "unknown",
        "lost",
        "as before after",
        "camera named",
        "wrong",
    )
    lines = [head, ("---", *["---:"] * (len(head) - 1))]
    for one in results:
        recovered = "" if one.recovered_s is None else f"{one.recovered_s} s"
        counts = (one.tried, one.acknowledged, one.refused, one.unknown, one.lost)
        lines.append((one.name, *map(str, counts), recovered, str(one.seen_meanwhile), str(len(one.wrong))))
    told = [f"- {one.name}: {line}" for one in results for line in (*one.remarks, *one.wrong)]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", *told]) + "\n"


# The faults.


@fault("server-killed", "SIGKILL for PostgreSQL and all its processes; started again after some seconds")
def server_killed(world: World, result: Result) -> None:
    fill(world)
    world.serve()
    under_load(world, result, world.cluster.kill, world.cluster.start)
    _need_camera(result)


@fault("server-restarted", "PostgreSQL is asked to end, and started again after some seconds")
def server_restarted(world: World, result: Result) -> None:
    fill(world)
    world.serve()
    under_load(world, result, world.cluster.stop, world.cluster.start)
    _need_camera(result)


@fault("connections-cut", "Every connection is ended, ten times in a row")
def connections_cut(world: World, result: Result) -> None:
    fill(world)
    world.serve()
    chance = random.Random(14)

    def cut() -> None:
        for _ in range(10):
            world.cluster.cut()
            time.sleep(chance.uniform(0.05, 0.5))

    under_load(world, result, cut, lambda: None)


@fault("cable-pulled", "The way to PostgreSQL takes everything and passes nothing on")
def cable_pulled(world: World, result: Result) -> None:
    fill(world)
    wire = Wire(world.cluster.port)
    world.address = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{wire.port}/{world.database}"
    world.serve()
    try:
        under_load(world, result, wire.silence, wire.mend)
    finally:
        wire.close()
    _need_camera(result)


@fault("failover", "PostgreSQL is killed for good; its synchronous standby, the second host of the address, takes over")
def failover(world: World, result: Result) -> None:
    fill(world)
    standby = world.cluster.standby(world.folder / "standby")
    world.address = world.cluster.address(world.database, standby)
    first = world.cluster
    world.serve()

    def take_over() -> None:
        standby.promote()
        world.cluster = standby

    try:
        under_load(world, result, first.kill, take_over)
    finally:
        standby.stop("immediate")
        world.cluster = first
        first.start()
    _need_camera(result)


@fault("disk-full", "The disk of PostgreSQL is full, and has room again")
def disk_full(world: World, result: Result) -> None:
    fill(world)
    world.serve()
    filler = world.folder / "disk" / "filler"

    def fill_disk() -> None:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free() -> None:
        filler.unlink()
        if world.cluster.process is None or world.cluster.process.poll() is not None:
            world.cluster.start()  # it ends itself where its own log has no room

    under_load(world, result, fill_disk, free)


@fault("migrations", f"{MIGRATING} commands come to an empty database at once")
def migrations(world: World, result: Result) -> None:
    env = {**os.environ, "FACEPOOL_POOL": world.address}
    words = [world.pool.checkout.python, "-m", "facepool", "people", "import", world.pool.folder / "pool.db"]
    started = [
        subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(MIGRATING)
    ]
    said = [process.communicate()[0].decode() for process in started]
    for process, text in zip(started, said, strict=True):
        if process.returncode:
            result.wrong.append(f"ended with {process.returncode}: {text[-300:]}")
    people = everybody(world)
    result.tried = result.acknowledged = MIGRATING
    expected = json.loads(f"[{','.join(_people_of(world).splitlines())}]")
    if {one["person"]: one["templates"] for one in expected} != people:
        result.wrong.append(f"{len(people)} people of {len(expected)}, or not with their views")
    result.recovered_s = 0.0


def _people_of(world: World) -> str:
    return world.pool.checkout.run("people", "list", "--json", "--pool", world.pool.folder / "pool.db")


@fault("clock-jumps", "The clock of one of two servers is set back by a day, and then ahead by ten")
def clock_jumps(world: World, result: Result) -> None:
    if not _FAKETIME.exists():
        result.wrong.append("left out: libfaketime is not installed")
        return
    fill(world)
    clock = world.folder / "clock"
    clock.write_text("+0")
    env = {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    world.serve(env=(env, {}))

    def jump() -> None:
        clock.write_text("-1d")
        time.sleep(FAULT_S)
        clock.write_text("+10d")

    under_load(world, result, jump, lambda: clock.write_text("+0"))
    _need_camera(result)
    _need_one_watcher(world, result)


@fault("facepool-killed", "SIGKILL for the facepool server that watches the camera")
def facepool_killed(world: World, result: Result) -> None:
    fill(world)
    world.serve()
    owner = _watcher(world)
    load = Load(world.servers, world.pool.picture, world.pool.photos[2].read_bytes())
    time.sleep(BEFORE_S)
    killed_s = time.monotonic()
    world.servers[owner].kill()
    time.sleep(TAKEN_OVER_S + 2 * FAULT_S)
    load.end()
    named = [at for at, event in world.webhook.events if at > killed_s + 0.5 and event.get("person")]
    if not named:
        result.wrong.append("nobody watches the camera any more")
    else:
        result.remarks.append(
            f"somebody was named {named[0] - killed_s:.1f} s after; people are away up to 4 s at a time"
        )
    result.seen_meanwhile = len(named)
    other = world.servers[1 - owner]
    world.servers = [other]
    told = [
        Told(**{**asdict(one), "server": 0}) for one in load.told if one.server == 1 - owner or one.began_s < killed_s
    ]
    judge(world, result, told, killed_s)


@fault("facepool-stopped", "The facepool server that watches the camera is stopped (SIGSTOP), and goes on later")
def facepool_stopped(world: World, result: Result) -> None:
    fill(world)
    world.serve()
    owner = _watcher(world)
    group = world.servers[owner].process.pid
    load = Load([world.servers[1 - owner]], world.pool.picture, world.pool.photos[2].read_bytes())
    time.sleep(BEFORE_S)
    stopped_s = time.monotonic()
    os.killpg(group, 19)
    time.sleep(TAKEN_OVER_S + 8)
    ended_s = time.monotonic()
    os.killpg(group, 18)
    time.sleep(5)
    load.end()
    result.seen_meanwhile = world.webhook.named(stopped_s + 0.5, ended_s)
    _need_camera(result)
    _need_one_watcher(world, result)
    both, world.servers = world.servers, [world.servers[1 - owner]]
    judge(world, result, load.told, stopped_s)
    world.servers = both


def _need_camera(result: Result) -> None:
    if not result.seen_meanwhile:
        result.wrong.append("the camera named nobody meanwhile")


def _watcher(world: World) -> int:
    """Which server watches the camera."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        watching = _watching(world)
        if len(watching) == 1:
            return watching[0]
        time.sleep(0.2)
    raise RuntimeError(f"{watching} watch the camera")


def _watching(world: World) -> list[int]:
    """The servers that watch the camera, as each says itself."""
    found = []
    for number, server in enumerate(world.servers):
        with server.admin() as client:
            name = client.get("/v1/system").raise_for_status().json()["process"]
            cameras = client.get("/v1/cameras").raise_for_status().json()["cameras"]
        if any(one["state"] == "watching" and one["process"] == name for one in cameras):
            found.append(number)
    return found


def _need_one_watcher(world: World, result: Result) -> None:
    until = time.monotonic() + TAKEN_OVER_S
    while len(watching := _watching(world)) != 1:
        if time.monotonic() > until:
            result.wrong.append(f"the camera is watched by {len(watching)} servers")
            return
        time.sleep(0.3)


@contextmanager
def mounted(*words: str, at: Path) -> Iterator[Path]:
    """A mount until the end of the block."""
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *words, str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


if __name__ == "__main__":
    main()
