"""Which engine from which size on: what it finds, how fast, and what it takes; 10 thousand to 10 million templates.

    python benchmarks/scaling.py pool W --templates 1000000               the made-up people, once for all engines
    python benchmarks/scaling.py milvus W --output F --kind HNSW:M=24,efConstruction=128 --views 64,200,400
    python benchmarks/scaling.py ways W --output F --record postgresql --way memory --way database --way index
    python benchmarks/scaling.py table F                                  what was measured so far, as a table

A pool is a folder W: people who scatter like LFW's (see ``database_search.py``, whose pool of 200,000 is the same to
the bit), probes of people in it and of strangers, and whom comparing each probe with everybody finds. ``milvus`` asks a
server of its own, without facepool between, and compares what it lists again as facepool does. Parameters are chosen on
the probes with even numbers (``chosen``) and reported on those with odd ones (``reported``). Figures are appended to
F/scaling.jsonl as they come. Times are of one probe after the other; several settings take turns.
"""

import argparse
import json
import math
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from database_search import REPOSITORY, like_lfw, photos_of_lfw

from facepool.gallery import Gallery, open_pool
from facepool.gallery.batches import SAMPLE_COLUMNS, TemplateBatch
from facepool.gallery.index_address import index_address
from facepool.gallery.postgres import PostgresGallery
from facepool.gallery.postgres_schema import NEAREST_INDEX
from facepool.recognize.decide import Criteria, decide
from facepool.search import Search, SearchChoice, follower, hnsw
from facepool.search.known import known_of
from facepool.thresholds import ThresholdPolicy
from facepool.types import EmbeddingSpace

if TYPE_CHECKING:
    from support.milvus import MilvusServer

TEMPLATES = 4
"""Of a person."""
PEOPLE_AT_ONCE = 50_000
LISTED = 64
"""Templates that facepool asks an index for at first."""
_PROBES, _STRANGERS = 2000, 500
_SEED_OF_STRANGERS = 10_000
_ROWS_AT_ONCE = 10_000
_PRODUCTS_AT_ONCE = 1 << 26
_IN_A_ROW = 20
_PATIENCE_S = 3600.0
_TICKS = os.sysconf("SC_CLK_TCK")
_MIN_MARGIN = 0.02
"""By how much a name has to be ahead of the next, as by default."""


@dataclass(frozen=True)
class Pool:
    """Made-up people on the disk.

    Attributes:
        vectors: (T, D) float32, four rows of each person next to each other.
        probes: (P, D) float32, in no order.
        owners: (P,) whose each probe is; -1: a stranger.
        nearest: (P,) the row that is nearest.
        similarities: (P,) float32, to that row.
    """

    vectors: np.ndarray
    probes: np.ndarray
    owners: np.ndarray
    nearest: np.ndarray
    similarities: np.ndarray

    @classmethod
    def of(cls, folder: Path) -> "Pool":
        names = ("vectors", "probes", "owners", "nearest", "similarities")
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r" if name == "vectors" else None) for name in names))


def make_pool(folder: Path, templates: int, dimension: int, probes: int) -> None:
    """Make up people, and find out who is nearest to each probe."""
    folder.mkdir(parents=True)
    photos, of_whom = photos_of_lfw()
    copies = dimension // photos.shape[1]
    shape = (templates, copies * photos.shape[1])
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float32, shape=shape)
    people = templates // TEMPLATES
    chunks = -(-people // PEOPLE_AT_ONCE)
    asked, owners = [], []
    for chunk in range(chunks):
        first = chunk * PEOPLE_AT_ONCE
        count = min(PEOPLE_AT_ONCE, people - first)
        made = like_lfw(photos, of_whom, count, _PROBES, np.random.default_rng(chunk), copies)
        vectors[first * TEMPLATES : (first + count) * TEMPLATES] = made.templates
        asked.append(made.probes[: -(-probes // chunks)])
        owners.append(made.owners[: -(-probes // chunks)] + first)
    rng = np.random.default_rng(_SEED_OF_STRANGERS)
    asked.append(like_lfw(photos, of_whom, _STRANGERS, _STRANGERS, rng, copies).probes)
    owners.append(np.full(_STRANGERS, -1))
    order = rng.permutation(sum(map(len, owners)))
    probed, owner = np.concatenate(asked)[order], np.concatenate(owners)[order]
    best, row = np.full(len(probed), -2, np.float32), np.zeros(len(probed), np.int64)
    at_once = _PRODUCTS_AT_ONCE // len(probed)
    for first in range(0, templates, at_once):
        products = probed @ vectors[first : first + at_once].T
        at = products.argmax(axis=1)
        value = products[np.arange(len(probed)), at]
        row, best = np.where(value > best, first + at, row), np.maximum(value, best)
    vectors.flush()
    for name, values in (("probes", probed), ("owners", owner), ("nearest", row), ("similarities", best)):
        np.save(folder / f"{name}.npy", values)


class Judge:
    """Compares what an engine lists with what comparing everybody finds."""

    def __init__(self, pool: Pool) -> None:
        from facepool.models.catalog import _SFACE_FMR  # noqa: PLC0415

        self._pool = pool
        self._threshold = ThresholdPolicy(_SFACE_FMR).identification(len(pool.vectors)).value

    def judged(self, listed: Sequence[np.ndarray], took_s: Sequence[float], worked_s: float) -> dict[str, Any]:
        """Shares of probes, by halves.

        Args:
            listed: Rows of the pool that are near to each probe, in any order.
            took_s: How long each took.
            worked_s: Processor time of all, of the server and of who asks.
        """
        pool = self._pool
        found, similar = np.empty(len(listed), np.int64), np.empty(len(listed), np.float32)
        for place, rows in enumerate(listed):
            people = np.unique(np.asarray(rows) // TEMPLATES)  # with all of their templates, as facepool fetches them
            own = (people[:, None] * TEMPLATES + np.arange(TEMPLATES)).ravel()
            products = pool.vectors[own] @ pool.probes[place]
            found[place], similar[place] = own[products.argmax()] // TEMPLATES, products.max()
        exact = pool.nearest[: len(listed)] // TEMPLATES
        owners = pool.owners[: len(listed)]
        same = found == exact
        decided = same | (np.maximum(similar, pool.similarities[: len(listed)]) < self._threshold)
        named = exact == owners
        half = np.arange(len(listed)) % 2
        p50, p95 = np.quantile(took_s, [0.5, 0.95])
        return {
            "p50_ms": 1e3 * p50,
            "p95_ms": 1e3 * p95,
            "cpu_ms": 1e3 * worked_s / len(took_s),
            **{
                f"{name}_{what}": [int(value[which & (half == odd)].sum()), int((which & (half == odd)).sum())]
                for odd, name in ((0, "chosen"), (1, "reported"))
                for what, value, which in (
                    ("right", same, named),
                    ("nearest", same, np.ones(len(same), bool)),
                    ("decided", decided, np.ones(len(same), bool)),
                )
            },
        }


class Figures:
    """Appends what was measured, and beside what load of the machine."""

    def __init__(self, folder: Path, **common: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._common = folder / "scaling.jsonl", common

    def add(self, **values: object) -> None:
        line = {"at": time.strftime("%Y-%m-%dT%H:%M:%S"), "load": os.getloadavg()[0], **self._common, **values}
        print(json.dumps(line), flush=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def resident_mib(process: int) -> dict[str, float]:
    """What a process has in memory, and had at most."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    wanted = {"VmRSS": "rss_mib", "VmHWM": "peak_mib", "RssAnon": "own_mib"}
    parts = (line.split() for line in lines)
    return {wanted[part[0][:-1]]: int(part[1]) / 1024 for part in parts if part and part[0][:-1] in wanted}


def cpu_s(*processes: int) -> float:
    """Processor time that some processes have taken, with those that they have started."""
    ticks = 0
    for process in processes:
        with suppress(FileNotFoundError, ProcessLookupError):  # one that has just ended
            own = Path(f"/proc/{process}")
            user, system = own.joinpath("stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
            ticks += int(user) + int(system)
            children = own.joinpath("task", str(process), "children").read_text(encoding="ascii").split()
            ticks += round(cpu_s(*map(int, children)) * _TICKS)
    return ticks / _TICKS


def disk_mib(folder: Path) -> dict[str, float]:
    """What lies in a folder, by the folders in it."""
    sizes: dict[str, float] = {}
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                name = path.relative_to(folder).parts[0]
                sizes[name] = sizes.get(name, 0.0) + path.stat().st_blocks * 512 / 2**20
        except FileNotFoundError:  # a server tidies up meanwhile
            continue
    return sizes


class Milvus:
    """A server of its own, with one collection of numbers and vectors, as facepool has it."""

    def __init__(self, server: "MilvusServer") -> None:
        from pymilvus import MilvusClient  # noqa: PLC0415

        self.folder, self.process, self.address = server.folder, server.pid, server.address()
        self.client = MilvusClient(f"http://127.0.0.1:{server.port}")

    def create(self, dimension: int, kind: str, metric: str, parameters: dict[str, int]) -> None:
        from pymilvus import DataType, MilvusClient  # noqa: PLC0415

        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        self.client.create_collection("pool", schema=schema, consistency_level="Bounded")
        self.index(kind, metric, parameters)

    def index(self, kind: str, metric: str, parameters: dict[str, int]) -> None:
        """Have an index made of what is there and of what comes."""
        from pymilvus import MilvusClient  # noqa: PLC0415

        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type=kind, metric_type=metric, params=parameters)
        self.client.create_index("pool", index, timeout=_PATIENCE_S)

    def again(self, kind: str, metric: str, parameters: dict[str, int]) -> None:
        """Another index over what is there."""
        self.client.release_collection("pool")
        self.client.drop_index("pool", "vector")
        self.index(kind, metric, parameters)

    def insert(self, first: int, vectors: np.ndarray) -> None:
        rows = [{"id": first + place, "vector": vector} for place, vector in enumerate(vectors)]
        self.client.insert("pool", rows, timeout=600)

    def take_in(self, vectors: Path, templates: int) -> None:
        """Have the server read all vectors from a file, as its own tools for moving do."""
        from pymilvus import connections, utility  # noqa: PLC0415 -- the newer client does not know that of 2.3

        folder = self.folder / "bulk"
        folder.mkdir()
        np.save(folder / "id.npy", np.arange(templates))
        (folder / "vector.npy").symlink_to(vectors.resolve())
        connections.connect("default", uri=self.address.replace("milvus", "http", 1))
        task = utility.do_bulk_insert("pool", [str(folder / "id.npy"), str(folder / "vector.npy")])
        until = time.monotonic() + _PATIENCE_S
        while (state := utility.get_bulk_insert_state(task)).state_name != "Completed":
            if state.state_name.startswith("Failed") or time.monotonic() > until:
                raise RuntimeError(f"{state.state_name}: {state.failed_reason}")
            time.sleep(1)

    def segments(self) -> list[tuple[int, str, str]]:
        """Rows, state and index of each segment that is searched."""
        return [
            (one.num_rows, str(getattr(one.state, "name", one.state)), str(getattr(one, "index_name", "")))
            for one in self.client.list_loaded_segments("pool")
        ]

    def wait_for_index(self, templates: int) -> None:
        """Until every template is in a segment that has its index, and all of them can be searched."""
        until = time.monotonic() + _PATIENCE_S
        while not self._is_made(templates):
            if time.monotonic() > until:
                raise TimeoutError(f"the index is not made after {_PATIENCE_S:.0f} s")
            time.sleep(0.5)
        self.client.load_collection("pool", timeout=_PATIENCE_S)  # before, it would have all vectors in memory
        while not self._has(templates):
            if time.monotonic() > until:
                raise TimeoutError(f"the index is not taken up after {_PATIENCE_S:.0f} s: {self.segments()}")
            time.sleep(0.5)

    def _is_made(self, templates: int) -> bool:
        described = self.client.describe_index("pool", "vector")
        return bool(described["pending_index_rows"] == 0 and described["indexed_rows"] >= templates)

    def _has(self, templates: int) -> bool:
        """Whether every template is searched by the index: what is made is taken up some seconds later."""
        return sum(rows for rows, state, index in self.segments() if state == "Sealed" and index) >= templates

    def nearest(self, probe: np.ndarray, search: dict[str, int]) -> np.ndarray:
        (found,) = self.client.search(
            "pool", [probe], limit=LISTED, search_params={"params": search}, consistency_level="Eventually"
        )
        return np.array([one["id"] for one in found], np.int64)


@contextmanager
def milvus() -> Iterator[Milvus]:
    """A server of its own, which goes with its files, however this process ends."""
    sys.path.append(str(REPOSITORY / "tests"))
    from support.milvus import own_server  # noqa: PLC0415

    with own_server(login=False) as server:
        yield Milvus(server)


def parsed(words: str) -> dict[str, int]:
    return {name: int(value) for name, value in (word.split("=") for word in words.split(",") if word)}


def of_milvus(chosen: argparse.Namespace) -> None:
    pool = Pool.of(chosen.pool)
    judge = Judge(pool)
    templates, dimension = pool.vectors.shape
    figures = Figures(chosen.output, engine="milvus", templates=templates, dimension=dimension)
    kinds = [(kind, parsed(words)) for kind, _, words in (one.partition(":") for one in chosen.kind)]
    with milvus() as server:
        kind, parameters = kinds[0]
        server.create(dimension, kind, "IP", parameters)
        started = time.perf_counter()
        if chosen.bulk:
            server.take_in(chosen.pool / "vectors.npy", templates)
        else:
            server.client.load_collection("pool", timeout=_PATIENCE_S)
        for first in range(0, 0 if chosen.bulk else templates, _ROWS_AT_ONCE):
            server.insert(first, np.asarray(pool.vectors[first : first + _ROWS_AT_ONCE]))
            if first % 1_000_000 == 0:
                print(
                    f"{first:,} after {time.perf_counter() - started:.0f} s, {resident_mib(server.process)}", flush=True
                )
        inserted_s = time.perf_counter() - started
        if chosen.fresh:
            time.sleep(2)
            (listed,), (took,), (worked,) = ask(server, pool, [chosen_search(kind, chosen.views[0])], chosen.probes)
            figures.add(kind=f"{kind}, before it is flushed", **judge.judged(listed, took, worked))
        server.client.flush("pool", timeout=_PATIENCE_S)
        flushed_s = time.perf_counter() - started
        for place, (kind, parameters) in enumerate(kinds):
            if place:
                started = time.perf_counter()
                server.again(kind, "IP", parameters)
            server.wait_for_index(templates)
            made_s = time.perf_counter() - started
            worked_s = cpu_s(server.process)
            time.sleep(chosen.settle)
            size = {"server": resident_mib(server.process), "disk_mib": disk_mib(server.folder / "data")}
            common = {"kind": kind, "parameters": parameters, "segments": server.segments()}
            figures.add(**common, inserted_s=inserted_s, flushed_s=flushed_s, made_s=made_s, worked_s=worked_s, **size)
            searches = [chosen_search(kind, views) for views in chosen.views]
            for search, *asked in zip(searches, *ask(server, pool, searches, chosen.probes), strict=True):
                figures.add(**common, search=search, **judge.judged(*asked))
            figures.add(**common, after=True, server=resident_mib(server.process))
    print(f"own peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def chosen_search(kind: str, views: int) -> dict[str, int]:
    return {"HNSW": {"ef": views}, "DISKANN": {"search_list": views}}.get(kind, {"nprobe": views})


def ask(
    server: Milvus, pool: Pool, searches: Sequence[dict[str, int]], most: int
) -> tuple[list[list[np.ndarray]], list[list[float]], list[float]]:
    """Each probe by each search, in turns of some probes: what is listed, how long each took, and processor time."""
    for search in searches:
        for probe in pool.probes[:20]:
            server.nearest(probe, search)
    listed: list[list[np.ndarray]] = [[] for _ in searches]
    took: list[list[float]] = [[] for _ in searches]
    worked = [0.0 for _ in searches]
    probes = pool.probes[:most]
    for first in range(0, len(probes), _IN_A_ROW):
        for place, search in enumerate(searches):
            before = cpu_s(server.process, os.getpid())
            for probe in probes[first : first + _IN_A_ROW]:
                started = time.perf_counter()
                listed[place].append(server.nearest(probe, search))
                took[place].append(time.perf_counter() - started)
            worked[place] += cpu_s(server.process, os.getpid()) - before
    return listed, took, worked


def name_of(person: int) -> str:
    return f"P{person + 1:08d}"


def fill(gallery: Gallery, vectors: np.ndarray, space: EmbeddingSpace) -> float:
    """Put everybody into an empty pool of facepool; seconds."""
    blank = ("", 0, "", False, *[None] * (len(SAMPLE_COLUMNS) - 5), "")
    started = time.perf_counter()
    for first in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = np.array(vectors[first : first + _ROWS_AT_ONCE])
        count = len(rows)
        names = [name_of((first + row) // TEMPLATES) for row in range(count)]
        uuids = [os.urandom(16) for _ in range(count)]
        batch = TemplateBatch(names, [b""] * count, rows, uuids, [""] * count, [space.model] * count, [blank] * count)
        gallery.load(batch, space)
        if first % 1_000_000 == 0:
            print(f"{first:,} after {time.perf_counter() - started:.0f} s", flush=True)
    return time.perf_counter() - started


def space_of(dimension: int) -> EmbeddingSpace:
    return EmbeddingSpace("made-up", "ab" * 32, "none", "none", mirrored=False, dimension=dimension)


class Way:
    """One way of searching a pool, in a process of its own.

    Args:
        name: ``memory``, ``database`` (PostgreSQL's index), ``exact`` (PostgreSQL, everybody) or ``index`` (Milvus).
        address: Of the pool.
        index: Of Milvus.
        dimension: Of its vectors.
        servers: Processes that work for it.

    Attributes:
        worked_s: Processor time of what was asked, of the servers, too.
    """

    def __init__(self, name: str, address: str, index: str | None, dimension: int, servers: Sequence[int]) -> None:
        self.name, self._servers, self.worked_s = name, servers, 0.0
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_search, args=(other, name, address, index, dimension), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self._pid = self._process.pid

    def ask(self, probes: np.ndarray | None) -> Any:  # noqa: ANN401 -- one of two things
        """What it says to some probes; None: how it has begun, the first time, and its memory."""
        before = cpu_s(self._pid, *self._servers)
        self._pipe.send(probes)
        said = self._pipe.recv()
        self.worked_s += cpu_s(self._pid, *self._servers) - before
        return said

    def close(self) -> None:
        self._process.terminate()
        self._process.join()


def _search(pipe: Connection, name: str, address: str, index: str | None, dimension: int) -> None:
    from facepool.models.catalog import _SFACE_FMR  # noqa: PLC0415

    policy, space = ThresholdPolicy(_SFACE_FMR), space_of(dimension)
    before = resident_mib(os.getpid())["rss_mib"]
    started = time.perf_counter()
    gallery = open_pool(address, space)
    if name == "index" and index is not None:
        known_of(gallery).reconsider(SearchChoice(index=index_address(index)))
    if name in {"database", "exact"}:
        known_of(gallery).reconsider(SearchChoice("database", exact=name == "exact"))
    search = Search(gallery, space)
    warm = np.zeros((1, dimension), np.float32)
    warm[0, 0] = 1
    search.nearest(warm, 2, normalize=True)
    first_s = time.perf_counter() - started
    while True:
        probes = pipe.recv()
        if probes is None:
            pipe.send({"first_s": first_s, "process_mib": resident_mib(os.getpid())["rss_mib"] - before})
            continue
        said = []
        for probe in probes:
            started = time.perf_counter()
            found = search.nearest(probe[None], 2, normalize=True)
            took_s = time.perf_counter() - started
            candidates = found.candidates[0]
            decision = decide(candidates, Criteria(policy.identification(found.state.templates).value, _MIN_MARGIN))
            said.append((candidates[0].person, decision.person, decision.reason, took_s))
        pipe.send(said)


def of_ways(chosen: argparse.Namespace) -> None:
    """Compare ways of searching: all are asked the same, a few probes each in turn."""
    pool = Pool.of(chosen.pool)
    templates, dimension = pool.vectors.shape
    figures = Figures(chosen.output, engine="ways", templates=templates, dimension=dimension)
    space = space_of(dimension)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facepool-scaling-")))
        sys.path.append(str(REPOSITORY / "tests"))
        address, servers = str(folder / "pool.db"), list[int]()
        if chosen.record == "postgresql":
            from support.postgres import own_server  # noqa: PLC0415

            database = stack.enter_context(own_server("shared_buffers=512MB"))
            servers.append(int((database.folder / "data" / "postmaster.pid").read_text().splitlines()[0]))
            address = database.url("pool")
        gallery = stack.enter_context(open_pool(address, space))
        common: dict[str, Any] = {"record": chosen.record, "filled_s": fill(gallery, pool.vectors, space)}
        if isinstance(gallery, PostgresGallery):
            with closing(gallery.separate()) as connection:
                connection.execute("VACUUM ANALYZE")
            if "database" in chosen.way:
                started = time.perf_counter()
                hnsw.make_index(gallery)
                common["made_s"] = time.perf_counter() - started
            with gallery.reading() as db:
                common["pool_mib"] = db.execute("SELECT pg_database_size(current_database())").fetchone()[0] / 2**20
                if "database" in chosen.way:
                    size = db.execute("SELECT pg_relation_size(?)", (NEAREST_INDEX,)).fetchone()[0]
                    common["index_mib"] = size / 2**20
        else:
            common["pool_mib"] = (folder / "pool.db").stat().st_size / 2**20
        index = None
        if "index" in chosen.way:
            server = stack.enter_context(milvus())
            index = server.address
            servers.append(server.process)
            started = time.perf_counter()
            follower.rebuild(gallery, index_address(index), lambda _done, _total: None)
            common["rebuilt_s"] = time.perf_counter() - started
            common |= {"server": resident_mib(server.process), "disk_mib": disk_mib(server.folder / "data")}
        figures.add(**common)
        ways = []
        for name in chosen.way:
            ways.append(Way(name, address, index, dimension, servers))
            stack.callback(ways[-1].close)
            figures.add(record=chosen.record, way=name, **ways[-1].ask(None))
        said = _taking_turns(ways, pool.probes[: chosen.probes], chosen.timed)
        for way, answers in zip(ways, said, strict=True):
            figures.add(
                record=chosen.record, way=way.name, **_compared(pool, answers, said[0], way.worked_s), **way.ask(None)
            )


def _taking_turns(ways: "Sequence[Way]", probes: np.ndarray, timed: int) -> list[list[Any]]:
    said: list[list[Any]] = [[] for _ in ways]
    for first in range(0, len(probes), _IN_A_ROW):
        for way, answers in zip(ways, said, strict=True):
            if way.name != "exact" or first < timed:
                answers.extend(way.ask(probes[first : first + _IN_A_ROW]))
    return said


def _compared(pool: Pool, answers: Sequence[Any], first: Sequence[Any], worked_s: float) -> dict[str, Any]:
    """What one way finds and decides, beside the first one, which compares everybody."""
    exact = np.array([one[0] for one in first[: len(answers)]])
    owners = np.array([name_of(owner) if owner >= 0 else "" for owner in pool.owners[: len(answers)]])
    same, right = np.array([one[0] for one in answers]) == exact, exact == owners
    decided = [one[1:3] == other[1:3] for one, other in zip(answers, first, strict=False)]
    p50, p95 = np.quantile([one[3] for one in answers], [0.5, 0.95])
    return {
        "p50_ms": 1e3 * p50,
        "p95_ms": 1e3 * p95,
        "cpu_ms": 1e3 * worked_s / len(answers),
        "right": [int(same[right].sum()), int(right.sum())],
        "nearest": [int(same.sum()), len(same)],  # by normalized scores
        "decided": [sum(decided), len(decided)],
    }


_BEGIN, _END = "<!-- begin: benchmarks/scaling.py -->\n", "<!-- end: benchmarks/scaling.py -->\n"
_WAYS = {
    "memory": "in memory",
    "database": "PostgreSQL, HNSW",
    "exact": "PostgreSQL, everybody",
    "index": "Milvus, HNSW",
}


def of_table(chosen: argparse.Namespace) -> None:
    """What was measured last of everything, as tables."""
    lines = [json.loads(line) for line in (chosen.output / "scaling.jsonl").read_text(encoding="utf-8").splitlines()]
    text = "\n".join([*_table_of_ways(lines), "", *_table_of_milvus(lines), ""])
    print(text)
    if chosen.document is not None:
        whole = chosen.document.read_text(encoding="utf-8")
        head, rest = whole.split(_BEGIN)
        chosen.document.write_text(f"{head}{_BEGIN}\n{text}\n{_END}{rest.split(_END)[1]}", encoding="utf-8")


def _table_of_ways(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "| pool | record | searched | right people found | same decisions | p50, p95 | of a processor | process |"
    yield "|---|---|---|---|---|---|---|---|"
    answers = {
        (line["templates"], line["dimension"], line["record"], list(_WAYS).index(line["way"])): line
        for line in lines
        if line["engine"] == "ways" and "p50_ms" in line
    }
    for (templates, dimension, record, way), line in sorted(answers.items()):
        yield (
            f"| {templates:,} x {dimension} | {record} | {_WAYS[list(_WAYS)[way]]} | {_share(line['right'])} | "
            f"{_share(line['decided'])} | {_times(line)} | {_worked(line)} | {line['process_mib']:,.0f} MiB |"
        )
    yield ""
    yield "| pool | record | stored in | its size | index made in | its size |"
    yield "|---|---|---|---|---|---|"
    stores = {
        (line["templates"], line["dimension"], line["record"], "rebuilt_s" in line): line
        for line in lines
        if line["engine"] == "ways" and "filled_s" in line
    }
    for (templates, dimension, record, has_milvus), line in sorted(stores.items()):
        made, size = line.get("made_s"), line.get("index_mib")
        of_index = f"{made:,.0f} s | {size:,.0f} MiB" if made is not None else "|"
        if has_milvus:
            disk = sum(line["disk_mib"].values())
            of_index = (
                f"Milvus: {line['rebuilt_s']:,.0f} s | {disk:,.0f} MiB, memory {line['server']['rss_mib']:,.0f} MiB"
            )
        pool = f"{templates:,} x {dimension} | {record}"
        yield f"| {pool} | {line['filled_s']:,.0f} s | {line['pool_mib']:,.0f} MiB | {of_index} |"


def _table_of_milvus(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    title = "right people found | nearest person | same decisions | p50, p95 | of a processor | made in | memory | disk"
    yield f"| pool | index | searched with | {title} |"
    yield "|---|---|---|" + "---|" * (title.count("|") + 1)
    sizes: dict[tuple[Any, ...], dict[str, Any]] = {}
    rows: dict[tuple[Any, ...], str] = {}
    for line in (line for line in lines if line["engine"] == "milvus"):
        index = f"{line['kind']} {' '.join(f'{name} {value}' for name, value in line.get('parameters', {}).items())}"
        pool = (line["templates"], line["dimension"], index)
        if "made_s" in line:
            sizes[pool] = line
        if "p50_ms" in line:
            search = " ".join(f"{name} {value}" for name, value in line.get("search", {}).items())
            size = sizes.get(pool)
            taken = " | | "
            if size is not None:
                disk, memory = sum(size["disk_mib"].values()), size["server"]["rss_mib"]
                taken = f"{size['made_s']:,.0f} s | {memory:,.0f} MiB | {disk:,.0f} MiB"
            shares = [_share(line[f"reported_{what}"]) for what in ("right", "nearest", "decided")]
            cells = [
                f"{pool[0]:,} x {pool[1]}",
                index,
                search,
                *shares,
                _times(line),
                _worked(line),
                taken,
            ]
            rows[(*pool, *line.get("search", {}).values())] = f"| {' | '.join(cells)} |"
    yield from (rows[key] for key in sorted(rows))


def _times(line: dict[str, Any]) -> str:
    return f"{line['p50_ms']:.1f}, {line['p95_ms']:.1f} ms (load {line['load']:.0f})"


def _worked(line: dict[str, Any]) -> str:
    return f"{line['cpu_ms']:.1f} ms" if "cpu_ms" in line else ""


def _share(counted: Sequence[int]) -> str:
    """A share, with its 95 % interval (Clopper and Pearson)."""
    right, all_ = counted
    return f"{right:,} of {all_:,} ({_bound(right, all_, 0.975):.2%} to {_bound(right + 1, all_, 0.025):.2%})"


def _bound(right: int, all_: int, level: float) -> float:
    """The share at which so many right ones or more come with a probability of 1 - level."""
    if not 0 < right <= all_:
        return float(right > all_)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        fewer = sum(
            math.exp(
                math.lgamma(all_ + 1) - math.lgamma(wrong + 1) - math.lgamma(all_ - wrong + 1)
                + wrong * math.log1p(-middle) + (all_ - wrong) * math.log(middle)
            )
            for wrong in range(all_ - right + 1)
        ) if middle else 0.0  # fmt: skip
        low, high = (low, middle) if fewer > 1 - level else (middle, high)
    return low


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("pool")
    one.add_argument("pool", type=Path)
    one.add_argument("--templates", type=int, required=True)
    one.add_argument("--dimension", type=int, default=128)
    one.add_argument("--probes", type=int, default=_PROBES)
    one = commands.add_parser("milvus")
    one.add_argument("pool", type=Path)
    one.add_argument("--output", type=Path, required=True)
    one.add_argument("--kind", action="append", required=True, help="HNSW:M=24,efConstruction=128; may be repeated")
    one.add_argument("--views", type=lambda words: [int(word) for word in words.split(",")], required=True)
    one.add_argument("--probes", type=int, default=1 << 20, help="at most")
    one.add_argument("--settle", type=float, default=5.0, help="seconds to wait after an index is made")
    one.add_argument("--bulk", action="store_true", help="have the server read the vectors from a file")
    one.add_argument("--fresh", action="store_true", help="search before anything is flushed, too")
    one.add_argument("--work", type=Path, help="folder for the server's files; the system's by default")
    one = commands.add_parser("ways")
    one.add_argument("pool", type=Path)
    one.add_argument("--output", type=Path, required=True)
    one.add_argument("--record", choices=("sqlite", "postgresql"), required=True)
    one.add_argument("--way", action="append", required=True, choices=("memory", "database", "exact", "index"))
    one.add_argument("--work", type=Path, help="folder for all files; the system's by default")
    one.add_argument("--probes", type=int, default=1 << 20, help="at most")
    one.add_argument("--timed", type=int, default=100, help="of the probes, where the database looks at everybody")
    one = commands.add_parser("table")
    one.add_argument("output", type=Path)
    one.add_argument("--document", type=Path, help="page with the marks between which the tables stand")
    chosen = parser.parse_args()
    if getattr(chosen, "work", None) is not None:
        tempfile.tempdir = str(chosen.work)
    if chosen.command == "table":
        of_table(chosen)
    elif chosen.command == "ways":
        of_ways(chosen)
    elif chosen.command == "pool":
        make_pool(chosen.pool, chosen.templates, chosen.dimension, chosen.probes)
    else:
        of_milvus(chosen)


if __name__ == "__main__":
    sys.exit(main())
