"""What is left of an index when its Milvus server, the way to it or its pool fails; for Linux.

    python benchmarks/index_faults.py                            all of them, about half a minute each
    python benchmarks/index_faults.py --only killed frozen       some; --list names them
    python benchmarks/index_faults.py --output index-faults      index-faults.json and index-faults.md
    python benchmarks/index_faults.py --soak 180                 writes and searches, and both servers killed at random

A `facepool serve` has its pool in SQLite and an index at a real Milvus server. Clients register and erase people and
recognize somebody as fast as they are let, and remember what they were told. Then the fault, for ten seconds. Nothing
may be refused because of the index; who is registered has to be named throughout; answers have to say that the index
is away; who is told that an erased person has left the index has to be right; and once the fault is over, the index
has to have exactly what the pool has, by itself.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
from resilience.postgres import Cluster, running
from resilience.server import ADMIN, Checkout, Furnished, Server, furnish, start

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from support.milvus import MilvusServer
from support.tcp_proxy import Wire

if TYPE_CHECKING:
    from pymilvus import MilvusClient

BEFORE_S, FAULT_S, AFTER_S = 3.0, 10.0, 2.0
MOST_S = 20.0
SETTLED_S = 120.0
SEEN_S = 2.5
"""After so long a fault is known to whoever searches."""
_INSIDE = "FACEPOOL_INDEX_FAULTS_INSIDE"
_DISK_MIB = 700
_DATABASE = "faces"
_MANY = 20_000
_KIND = {"content-type": "image/jpeg"}


@dataclass(frozen=True)
class Told:
    """What a client was told of one request: `status` is 0 where the connection broke."""

    kind: str
    name: str
    status: int
    began_s: float
    took_s: float
    body: dict[str, Any]


@dataclass
class Result:
    """What came of one fault."""

    name: str
    what: str
    changes: int = 0
    refused: int = 0
    recognized: int = 0
    missed: int = 0
    said: int = 0
    longest_s: float = 0.0
    owed: int = 0
    settled_s: float | None = None
    templates: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class World:
    """The server of facepool, that of Milvus, and the wire between them."""

    folder: Path
    furnished: Furnished
    milvus: MilvusServer
    wire: Wire
    servers: list[Server] = field(default_factory=list)
    cluster: Cluster | None = None

    @property
    def server(self) -> Server:
        return self.servers[-1]

    @property
    def pool(self) -> Path:
        return self.folder / "served" / "pool.db"

    def serve(self, *, login: str | None = None) -> None:
        """Start a server of facepool on the pool."""
        env = {"FACEPOOL_INDEX": self.milvus.address(port=self.wire.port, login=login)}
        limits = ("--rate-limit", "1000000/minute")
        self.servers.append(
            start(
                self.furnished.checkout,
                self.pool,
                self.furnished.keys,
                env=env,
                options=limits,
                address=None if self.cluster is None else self.cluster.address(_DATABASE),
            )
        )

    def fill_database(self, cluster: Cluster) -> None:
        """Have PostgreSQL keep the pool, in place of the file."""
        self.cluster = cluster
        with cluster.connect("postgres") as db:
            db.execute(f"CREATE DATABASE {_DATABASE}")
        env = {"FACEPOOL_POOL": cluster.address(_DATABASE)}
        checkout = self.furnished.checkout
        checkout.run("people", "import", self.furnished.folder / "pool.db", env=env)
        made = checkout.run("keys", "add", ADMIN, "--role", "admin", "--json", env=env)
        self.furnished = replace(self.furnished, keys={ADMIN: str(json.loads(made)["key"])})

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the pool itself says."""
        if self.cluster is not None:
            with self.cluster.connect(_DATABASE) as db:
                return db.execute(query).fetchall()
        with closing(sqlite3.connect(f"file:{self.pool}?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(query).fetchall()

    def record(self) -> set[int]:
        """The numbers of all templates of the pool."""
        return {int(number) for (number,) in self.rows("SELECT id FROM templates")}

    def collection(self) -> str:
        """What the pool's index is called at Milvus; empty: there is none that is whole."""
        rows = self.rows("SELECT collection FROM indexes WHERE state = 'whole'")
        return str(rows[-1][0]) if rows else ""

    def client(self) -> "MilvusClient":
        return self.milvus.client()

    def indexed(self) -> set[int]:
        """The numbers of all templates of the index, as it has them now."""
        found: set[int] = set()
        with closing(self.client()) as client:
            for first in range(0, max(self.record(), default=0) + 1, 16_384):
                which = f"id >= {first} and id < {first + 16_384}"
                rows = client.query(
                    self.collection(), filter=which, output_fields=["id"], limit=16_384, consistency_level="Strong"
                )
                found |= {int(row["id"]) for row in rows}
            rows = client.query(self.collection(), filter=f"id >= {first + 16_384}", output_fields=["id"], limit=16_384)
        return found | {int(row["id"]) for row in rows}


Fault = Callable[[World], Callable[[], None]]
"""Begins it, and gives what ends it."""
FAULTS: dict[str, tuple[str, Fault]] = {}
IN_POSTGRESQL = ("record-away", "two-servers")
OURS = ("login", "server-killed", "record-away", "two-servers")
"""Those that requests may be refused for."""
AWAY = ("killed", "killed-again", "frozen", "cut", "held")
"""Those during which nothing leaves the index."""


def fault(name: str, what: str) -> Callable[[Fault], Fault]:
    """Put a function among the faults."""

    def put(begin: Fault) -> Fault:
        FAULTS[name] = (what, begin)
        return begin

    return put


@fault("killed", "The Milvus server is killed under load, and started again")
def _killed(world: World) -> Callable[[], None]:
    world.milvus.kill()
    return world.milvus.start


@fault("killed-again", "It is killed three times, each time as soon as it answers")
def _killed_again(world: World) -> Callable[[], None]:
    world.milvus.kill()

    def end() -> None:
        for _ in range(2):
            world.milvus.start()
            time.sleep(0.5)
            world.milvus.kill()
        world.milvus.start()

    return end


@fault("frozen", "It keeps its connections, and does nothing (SIGSTOP)")
def _frozen(world: World) -> Callable[[], None]:
    world.milvus.freeze()
    return world.milvus.thaw


@fault("cut", "The way to it is cut: connections are closed, and none is let in")
def _cut(world: World) -> Callable[[], None]:
    world.wire.refuses = True
    world.wire.cut()

    def end() -> None:
        world.wire.refuses = False

    return end


@fault("held", "The way to it stays open, and nothing comes through")
def _held(world: World) -> Callable[[], None]:
    world.wire.hold()
    return world.wire.release


@fault("slow", "What is sent comes through once a second")
def _slow(world: World) -> Callable[[], None]:
    over = threading.Event()

    def stutter() -> None:
        while not over.is_set():
            world.wire.hold()
            over.wait(0.95)
            world.wire.release()
            over.wait(0.05)
        world.wire.release()

    thread = threading.Thread(target=stutter)
    thread.start()

    def end() -> None:
        over.set()
        thread.join()

    return end


@fault("dropped", "Somebody else deletes the collection")
def _dropped(world: World) -> Callable[[], None]:
    with closing(world.client()) as client:
        client.drop_collection(world.collection())
    return lambda: None


@fault("replaced", "Somebody else puts another collection in its place")
def _replaced(world: World) -> Callable[[], None]:
    name = world.collection()
    with closing(world.client()) as client:
        client.drop_collection(name)
        client.create_collection(name, dimension=16, metric_type="L2")

    def end() -> None:
        subprocess.run(
            [*_FACEPOOL, "index", "rebuild", "--pool", world.pool], check=True, env=_env(world), capture_output=True
        )

    return end


@fault("emptied", "It is started again on an empty disk")
def _emptied(world: World) -> Callable[[], None]:
    world.milvus.kill()
    world.milvus.empty()
    world.milvus.start()
    return lambda: None


@fault("changed", "Somebody else deletes and adds templates there; facepool index sync heals it")
def _changed(world: World) -> Callable[[], None]:
    numbers = sorted(world.indexed())
    with closing(world.client()) as client:
        client.delete(world.collection(), ids=numbers[::2])
        seen = client.query(
            world.collection(), filter=f"id == {numbers[1]}", output_fields=["vector"], consistency_level="Strong"
        )
        client.upsert(world.collection(), [{"id": 10_000_019, "vector": seen[0]["vector"]}])

    def end() -> None:
        subprocess.run(
            [*_FACEPOOL, "index", "sync", "--pool", world.pool],
            check=True,
            env=_env(world),
            capture_output=True,
        )

    return end


@fault("login", "Its password is changed; the server of facepool is started again with the new one")
def _login(world: World) -> Callable[[], None]:
    world.server.stop()
    world.serve(login="root:wrong-password")

    def end() -> None:
        world.server.stop()
        world.serve()

    return end


@fault("disk-full", "Its disk is full, until somebody makes room")
def _disk_full(world: World) -> Callable[[], None]:
    ballast = world.milvus.folder / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 20))

    def end() -> None:
        ballast.unlink()
        if not world.milvus.runs:  # it ends itself then; service managers start it again
            world.milvus.start()

    return end


@fault("server-killed", "The server of facepool is killed under load, and started again")
def _server_killed(world: World) -> Callable[[], None]:
    world.server.kill()
    world.serve()
    return lambda: None


@fault("record-away", "PostgreSQL, which has the pool, is killed, and started again; Milvus goes on")
def _record_away(world: World) -> Callable[[], None]:
    assert world.cluster is not None
    world.cluster.kill()
    return world.cluster.start


@fault("two-servers", "Of two servers on one pool in PostgreSQL, one is killed, with Milvus; Milvus is started again")
def _two_servers(world: World) -> Callable[[], None]:
    world.milvus.kill()
    world.servers[0].kill()
    return world.milvus.start


@fault("filling", f"Milvus is killed while {_MANY:,} templates go there for the first time, and started again")
def _filling(world: World) -> Callable[[], None]:
    world.milvus.kill()
    return world.milvus.start


_FACEPOOL = (sys.executable, "-m", "facepool")


def _env(world: World) -> dict[str, str]:
    return os.environ | {"FACEPOOL_INDEX": world.milvus.address(port=world.wire.port)}


class Load:
    """Clients that remember what they were told."""

    def __init__(self, world: World) -> None:
        self.told: list[Told] = []
        self._world = world
        self._photo = world.furnished.photos[2].read_bytes()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._register, self._erase, self._recognize)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _register(self) -> None:
        for name in self._names("Seen"):
            self._ask("register", name, lambda http, name=name: self._store(http, name))
            time.sleep(0.3)

    def _erase(self) -> None:
        for name in self._names("Gone"):
            self._ask("register", name, lambda http, name=name: self._store(http, name))
            self._ask("erase", name, lambda http, name=name: http.delete(f"/v1/persons/{quote(name)}"))
            time.sleep(0.3)

    def _recognize(self) -> None:
        picture = self._world.furnished.picture
        for _ in self._names(""):
            self._ask("recognize", "", lambda http: http.post("/v1/recognize", content=picture, headers=_KIND))
            time.sleep(0.2)

    def _store(self, http: httpx.Client, name: str) -> httpx.Response:
        where = f"/v1/persons/{quote(name)}/samples?force=true"
        return http.post(where, content=self._photo, headers=_KIND)

    def _names(self, word: str) -> Iterator[str]:
        number = 0
        while not self._over.is_set():
            yield f"{word} {number:04}"
            number += 1

    def _ask(self, kind: str, name: str, ask: Callable[[httpx.Client], httpx.Response]) -> None:
        server, began_s = self._world.server, time.monotonic()
        status, body = 0, {}
        with (
            suppress(httpx.TransportError, ValueError),
            httpx.Client(base_url=server.url, headers={"x-api-key": server.keys[ADMIN]}, timeout=60) as http,
        ):
            answer = ask(http)
            status, body = answer.status_code, answer.json()
        self.told.append(Told(kind, name, status, began_s, time.monotonic() - began_s, body))


def played(name: str, furnished: Furnished, folder: Path) -> Result:
    what, begin = FAULTS[name]
    result = Result(name, what)
    (folder / "served").mkdir(parents=True)
    for path in furnished.folder.glob("pool.*"):
        shutil.copy2(path, folder / "served")
    with ExitStack() as stack:
        disk = folder / "milvus"
        disk.mkdir()
        if name == "disk-full":
            stack.enter_context(_mounted(disk))
        milvus = MilvusServer(disk, forgotten_s=30 if name == "frozen" else 5)
        stack.callback(milvus.close)
        wire = Wire(milvus.port)
        stack.callback(wire.close)
        world = World(folder, furnished, milvus, wire)
        try:
            if name in IN_POSTGRESQL:
                world.fill_database(stack.enter_context(running(folder / "postgres")))
            if name == "filling":
                _register_many(world)
            world.serve()
            if name == "two-servers":
                world.serve()
            if name == "filling":
                _until(lambda: world.rows("SELECT 1 FROM indexes WHERE state = 'filling' AND filled > 0"), SETTLED_S)
                if world.collection():
                    result.wrong.append("it was whole before it was killed")
                _play(world, begin, result, before_s=0.0)
                return result
            _until(lambda: world.collection() and world.indexed() == world.record(), SETTLED_S)
            _play(world, begin, result)
        finally:
            for server in world.servers:
                server.kill()
        _look_into_logs(world, result)
    return result


def _register_many(world: World) -> None:
    code = """
import sys
from pathlib import Path
import numpy as np
from facepool import load_analyzer, open_pool
from facepool.types import Sample

space, random = load_analyzer().space, np.random.default_rng(18)
with open_pool(Path(sys.argv[1]), space) as pool:
    for number in range(int(sys.argv[2]) // 100):
        vectors = random.normal(size=(100, space.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        pool.register(f"Many {number:04}", [Sample(vector) for vector in vectors], space)
"""
    subprocess.run([sys.executable, "-c", code, world.pool, str(_MANY)], check=True)


def _play(world: World, begin: Fault, result: Result, before_s: float = BEFORE_S) -> None:
    load = Load(world)
    time.sleep(before_s)
    began_s = time.monotonic()
    end = begin(world)
    time.sleep(FAULT_S)
    ended_s = time.monotonic()
    end()
    mended_s = time.monotonic()
    time.sleep(AFTER_S)
    load.end()
    judge(result, load.told, began_s, ended_s)
    result.settled_s = _until(lambda: _is_settled(world), SETTLED_S, mended_s)
    result.templates = len(world.record())
    if result.settled_s is None:
        result.wrong.append(f"after {SETTLED_S:.0f} s the index is not as the pool: {_difference(world)}")


def judge(result: Result, told: Sequence[Told], began_s: float, ended_s: float) -> None:
    """What clients were told, against what has to be."""
    changes = [one for one in told if one.kind != "recognize"]
    result.changes = len(changes)
    allowed = (0, 503) if result.name in OURS else ()
    refused = [one for one in told if not 200 <= one.status < 300 and one.status not in allowed]
    result.refused = len(refused)
    counts = Counter(f"{one.kind}: {one.status} {one.body.get('code', '')}" for one in refused)
    result.wrong += [f"{count} x {words}" for words, count in counts.items()]
    result.longest_s = round(max(one.took_s for one in told), 1)
    if result.longest_s > MOST_S:
        result.wrong.append(f"an answer took {result.longest_s} s")
    during = [
        one
        for one in told
        if began_s + SEEN_S < one.began_s and one.began_s + one.took_s < ended_s and one.status == 200
    ]
    recognized = [one for one in during if one.kind == "recognize"]
    result.recognized = len(recognized)
    named = [one for one in recognized if _people(one.body)]
    names = {name for one in told if one.kind == "recognize" and one.status == 200 for name in _people(one.body)}
    if len(names) > 1:
        result.wrong.append(f"the face had {len(names)} names")
    result.missed = len(recognized) - len(named)
    if result.missed and result.name != "changed":  # nobody can see that before the numbers are compared
        result.wrong.append(f"{result.missed} x somebody registered was not named")
    result.said = sum(one.body.get("behind") is not None for one in recognized)
    erased = [one for one in during if one.kind == "erase"]
    result.owed = sum(one.body["still_in_index"] > 0 for one in erased)
    if result.name in AWAY:
        if result.said < len(recognized):
            result.wrong.append(f"{len(recognized) - result.said} answers did not say that the index is away")
        if result.owed < len(erased):
            result.wrong.append(f"{len(erased) - result.owed} x an erased person was said to have left the index")


def _people(body: dict[str, Any]) -> list[str]:
    return [face["person"] for picture in body["pictures"] for face in picture["faces"] if face["person"]]


def _is_settled(world: World) -> bool:
    ready = httpx.get(f"{world.server.url}/ready", timeout=10).json()
    return ready["behind"] is None and not ready["owed"] and world.indexed() == world.record()


def _difference(world: World) -> str:
    with suppress(Exception):
        ready = httpx.get(f"{world.server.url}/ready", timeout=10).json()
        ours, theirs = world.record(), world.indexed()
        return f"{len(ours - theirs)} missing, {len(theirs - ours)} too many, {ready['behind']}, {ready['owed']}"
    return "it cannot be asked"


@dataclass
class Soaked:
    """What came of a soak."""

    seconds: float
    writes: int = 0
    refused: int = 0
    searches: int = 0
    right: int = 0
    without_index: int = 0
    milvus_killed: int = 0
    facepool_killed: int = 0
    settled_s: float | None = None
    templates: int = 0
    wrong: list[str] = field(default_factory=list)


def soaked(furnished: Furnished, folder: Path, seconds: float) -> Soaked:
    """Random writes and searches one after the other, so that each search has one right answer, and kills."""
    result, chance = Soaked(seconds), random.Random(18)
    (folder / "served").mkdir(parents=True)
    for path in furnished.folder.glob("pool.*"):
        shutil.copy2(path, folder / "served")
    (folder / "milvus").mkdir()
    with ExitStack() as stack:
        milvus = MilvusServer(folder / "milvus")
        stack.callback(milvus.close)
        wire = Wire(milvus.port)
        stack.callback(wire.close)
        world = World(folder, furnished, milvus, wire)
        world.serve()
        stack.callback(lambda: [server.kill() for server in world.servers])
        _until(lambda: world.collection() and world.indexed() == world.record(), SETTLED_S)
        ends_s = time.monotonic() + seconds
        killer = threading.Thread(target=_kill_at_random, args=(world, result, ends_s))
        killer.start()
        _write_and_search(world, result, ends_s, chance)
        killer.join()
        result.settled_s = _until(lambda: _is_settled(world), SETTLED_S)
        result.templates = len(world.record())
        if result.settled_s is None:
            result.wrong.append(f"the index is not as the pool: {_difference(world)}")
        _look_into_logs(world, result)
    return result


def _kill_at_random(world: World, result: Soaked, ends_s: float) -> None:
    chance = random.Random(81)
    while time.monotonic() < ends_s - 15:
        time.sleep(chance.uniform(6, 12))
        world.milvus.kill()
        result.milvus_killed += 1
        time.sleep(chance.uniform(0, 6))
        if chance.random() < 0.5:
            world.server.kill()
            world.serve()
            result.facepool_killed += 1
        world.milvus.start()


def _write_and_search(world: World, result: Soaked, ends_s: float, chance: random.Random) -> None:
    """One client; what it was told to be done has to be seen by its next search."""
    photo = world.furnished.photos[2].read_bytes()
    people: list[str] = []
    number = 0
    with world.server.admin() as http:  # nobody else has that face
        for name in _people(http.post("/v1/recognize", content=photo, headers=_KIND).json()):
            http.delete(f"/v1/persons/{quote(name)}")
    while time.monotonic() < ends_s:
        with suppress(httpx.TransportError), world.server.admin() as http:
            kind = chance.choice(("rename", "rename", "register", "erase") if len(people) < 2 else ("merge", "erase"))
            number += 1
            new = f"Soaked {number:04}"
            if kind == "register" or not people:
                answer = http.post(f"/v1/persons/{new}/samples?force=true", content=photo, headers=_KIND)
            elif kind == "rename":
                answer = http.patch(f"/v1/persons/{chance.choice(people)}", json={"person": new})
            elif kind == "merge":
                source, target = chance.sample(people, 2)
                answer = http.post(f"/v1/persons/{source}/merge", json={"into": target})
            else:
                answer = http.delete(f"/v1/persons/{chance.choice(people)}")
            result.writes += 1
            if not 200 <= answer.status_code < 300:
                result.refused += 1
                result.wrong.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
            found = http.post("/v1/recognize", content=photo, headers=_KIND)
            people = _with_views(world)
            result.searches += 1
            named = _people(found.json())
            result.without_index += found.json()["behind"] is not None
            is_right = named == (people if len(people) == 1 else [])  # two who look alike: neither is named
            result.right += is_right
            if not is_right:
                result.wrong.append(f"{len(named)} named, of {len(people)} who have that face")
        people = _with_views(world)


def _with_views(world: World) -> list[str]:
    """Who of those made here has a view, by the pool itself."""
    query = "SELECT DISTINCT persons.name FROM persons JOIN samples ON samples.person_id = persons.id"
    return sorted(name for (name,) in world.rows(query) if name.startswith("Soaked"))


def _look_into_logs(world: World, result: Result | Soaked) -> None:
    for log in world.folder.rglob("pool.log"):
        said = log.read_text(errors="replace")
        for word in ("Traceback", "wrong-password", "root:Milvus", "Seen 0", "Gone 0"):
            if word in said:
                result.wrong.append(f"the log has {word}: {said[said.index(word) :][:300]}")


def _until(holds: Callable[[], object], most_s: float, since_s: float | None = None) -> float | None:
    """Seconds until something holds; None: it does not."""
    began_s = time.monotonic() if since_s is None else since_s
    while time.monotonic() - began_s < most_s:
        with suppress(Exception):  # a server that comes back says all sorts of things
            if holds():
                return round(time.monotonic() - began_s, 1)
        time.sleep(0.3)
    return None


@contextmanager
def _mounted(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def table(results: Sequence[Result]) -> str:
    """As Markdown."""
    head = (
        "fault", "changes", "refused", "recognized during it", "not named", "said so", "erasures owed",
        "longest answer, s", "index as the pool after, s", "templates", "violations",
    )  # fmt: skip
    lines = [head, ("---", *["---:"] * (len(head) - 1))]
    for one in results:
        settled = "never" if one.settled_s is None else f"{one.settled_s}"
        counts = (one.changes, one.refused, one.recognized, one.missed, one.said, one.owed, one.longest_s, settled)
        lines.append((one.what, *map(str, counts), str(one.templates), str(len(one.wrong))))
    told = [f"- {one.name}: {words}" for one in results for words in one.wrong]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", *told]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(FAULTS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path, help="NAME of NAME.json and NAME.md")
    parser.add_argument(
        "--soak", type=float, metavar="SECONDS", help="random writes, searches and kills in their place"
    )
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name:18} {what}" for name, (what, _) in FAULTS.items()))
        return
    if os.geteuid() == 0 and _INSIDE not in os.environ:  # mounts in a namespace of our own
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        os.execvpe(words[0], words, os.environ | {_INSIDE: "yes"})
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="index-faults-") as name:
        folder = Path(name)
        furnished = furnish(Checkout(), folder / "furnished")
        if options.soak is not None:
            print(json.dumps(asdict(soaked(furnished, folder / "soak", options.soak)), indent=1))
            return
        for number, which in enumerate(list(options.only or FAULTS) * options.rounds):
            results.append(played(which, furnished, folder / f"{number}-{which}"))
            print(json.dumps(asdict(results[-1])), flush=True)
            if options.output is not None:
                text = json.dumps([asdict(result) for result in results], indent=1)
                options.output.with_suffix(".json").write_text(text + "\n")
                options.output.with_suffix(".md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
