"""Which engine from which size on: what it finds, how fast, and what it takes; 10 thousand to 10 million templates.

    python benchmarks/scaling.py pool W --templates 1000000               the made-up people, once for all engines
    python benchmarks/scaling.py milvus W --output F --kind HNSW:M=24,efConstruction=128 --views 64,200,400
    python benchmarks/scaling.py fill W pool.db --output F                the same people in a pool of facepool
    python benchmarks/scaling.py ways W --output F --way memory=pool.db --way database=postgresql://... \
        --way index=pool.db --index milvus://127.0.0.1:19530              facepool's ways of searching, in turns
    python benchmarks/scaling.py table F                                  what was measured so far, as a table

A pool is a folder W: people who scatter like LFW's (see ``database_search.py``, whose pool of 200,000 is the same to
the bit), probes of people in it and of strangers, and whom comparing each probe with everybody finds. ``milvus`` asks a
server of its own, without facepool between, and compares what it lists again as facepool does. Parameters are chosen on
the probes with even numbers (``chosen``) and reported on those with odd ones (``reported``). Figures are appended to
F/scaling.jsonl as they come. Times are of one probe after the other; several settings take turns.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from database_search import like_lfw, photos_of_lfw

from facepool.gallery import open_pool
from facepool.gallery.batches import SAMPLE_COLUMNS, TemplateBatch
from facepool.recognize.decide import Criteria, decide
from facepool.search import Search, SearchChoice
from facepool.search.known import known_of
from facepool.thresholds import ThresholdPolicy
from facepool.types import EmbeddingSpace

TEMPLATES = 4
"""Of a person."""
PEOPLE_AT_ONCE = 50_000
PROGRAMS = Path(tempfile.gettempdir()) / "facepool-scaling-milvus"
"""Where the programs of the package ``milvus`` are unpacked, once."""
LISTED = 64
"""Templates that facepool asks an index for at first."""
_PROBES, _STRANGERS = 2000, 500
_SEED_OF_STRANGERS = 10_000
_ROWS_AT_ONCE = 10_000
_COMPARED_AT_ONCE = 200_000
_IN_A_ROW = 20
_PATIENCE_S = 3600.0
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
    for first in range(0, templates, _COMPARED_AT_ONCE):
        products = probed @ vectors[first : first + _COMPARED_AT_ONCE].T
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

    def judged(self, listed: Sequence[np.ndarray], took_s: Sequence[float]) -> dict[str, Any]:
        """Shares of probes, by halves.

        Args:
            listed: Rows of the pool that are near to each probe, in any order.
            took_s: How long each took.
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

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        from milvus import MilvusServer, MilvusServerConfig  # noqa: PLC0415
        from pymilvus import MilvusClient  # noqa: PLC0415

        self.folder = folder
        PROGRAMS.mkdir(exist_ok=True)
        (folder / "bin").symlink_to(PROGRAMS)  # unpacking them takes ten seconds
        self._server = MilvusServer(MilvusServerConfig())
        self._server.set_base_dir(str(folder))
        for name, value in settings.items():
            self._server.config.set(name, value)
        started = time.perf_counter()
        self._server.start()
        self.start_s = time.perf_counter() - started
        self.client = MilvusClient(f"http://127.0.0.1:{self._server.listen_port}")

    @property
    def process(self) -> int:
        return int(self._server.server_proc.pid)

    def close(self) -> None:
        self._server.stop()

    def create(self, dimension: int, kind: str, metric: str, parameters: dict[str, int]) -> None:
        from pymilvus import DataType, MilvusClient  # noqa: PLC0415

        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        self.client.create_collection("pool", schema=schema, consistency_level="Bounded")
        self.index(kind, metric, parameters)

    def index(self, kind: str, metric: str, parameters: dict[str, int]) -> None:
        from pymilvus import MilvusClient  # noqa: PLC0415

        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type=kind, metric_type=metric, params=parameters)
        self.client.create_index("pool", index, timeout=_PATIENCE_S)
        self.client.load_collection("pool", timeout=_PATIENCE_S)

    def again(self, kind: str, metric: str, parameters: dict[str, int]) -> None:
        """Another index over what is there."""
        self.client.release_collection("pool")
        self.client.drop_index("pool", "vector")
        self.index(kind, metric, parameters)

    def insert(self, first: int, vectors: np.ndarray) -> None:
        rows = [{"id": first + place, "vector": vector} for place, vector in enumerate(vectors)]
        self.client.insert("pool", rows, timeout=600)

    def segments(self) -> list[tuple[int, str, str]]:
        """Rows, state and index of each segment that is searched."""
        return [
            (one.num_rows, str(getattr(one.state, "name", one.state)), str(getattr(one, "index_name", "")))
            for one in self.client.list_loaded_segments("pool")
        ]

    def wait_for_index(self, templates: int) -> None:
        """Until every template is in a segment that has its index."""
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            described = self.client.describe_index("pool", "vector")
            if described.get("pending_index_rows") == 0 and described.get("indexed_rows", 0) >= templates:
                return
            time.sleep(0.5)
        raise TimeoutError(f"the index is not made after {_PATIENCE_S:.0f} s: {described}")

    def nearest(self, probe: np.ndarray, search: dict[str, int]) -> np.ndarray:
        (found,) = self.client.search(
            "pool", [probe], limit=LISTED, search_params={"params": search}, consistency_level="Eventually"
        )
        return np.array([one["id"] for one in found], np.int64)


@contextmanager
def milvus(work: Path | None, settings: dict[str, str]) -> Iterator[Milvus]:
    folder = Path(tempfile.mkdtemp(prefix="facepool-milvus-", dir=work))
    server = Milvus(folder, settings)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


def parsed(words: str) -> dict[str, int]:
    return {name: int(value) for name, value in (word.split("=") for word in words.split(",") if word)}


def of_milvus(chosen: argparse.Namespace) -> None:
    pool = Pool.of(chosen.pool)
    judge = Judge(pool)
    templates, dimension = pool.vectors.shape
    figures = Figures(chosen.output, engine="milvus", templates=templates, dimension=dimension)
    kinds = [(kind, parsed(words)) for kind, _, words in (one.partition(":") for one in chosen.kind)]
    with milvus(chosen.work, dict(one.split("=") for one in chosen.setting)) as server:
        kind, parameters = kinds[0]
        server.create(dimension, kind, "IP", parameters)
        started = time.perf_counter()
        for first in range(0, templates, _ROWS_AT_ONCE):
            server.insert(first, np.asarray(pool.vectors[first : first + _ROWS_AT_ONCE]))
            if first % 1_000_000 == 0:
                print(
                    f"{first:,} after {time.perf_counter() - started:.0f} s, {resident_mib(server.process)}", flush=True
                )
        inserted_s = time.perf_counter() - started
        if chosen.fresh:
            time.sleep(2)
            listed, took = ask(server, pool, [chosen_search(kind, chosen.views[0])], chosen.probes)
            segments = server.segments()
            figures.add(kind=f"{kind}, before it is flushed", segments=segments, **judge.judged(listed[0], took[0]))
        server.client.flush("pool", timeout=_PATIENCE_S)
        flushed_s = time.perf_counter() - started
        for place, (kind, parameters) in enumerate(kinds):
            if place:
                started = time.perf_counter()
                server.again(kind, "IP", parameters)
            server.wait_for_index(templates)
            made_s = time.perf_counter() - started
            time.sleep(chosen.settle)
            server.wait_for_index(templates)
            size = {"server": resident_mib(server.process), "disk_mib": disk_mib(server.folder / "data")}
            common = {"kind": kind, "parameters": parameters, "segments": server.segments()}
            figures.add(**common, inserted_s=inserted_s, flushed_s=flushed_s, made_s=made_s, **size)
            searches = [chosen_search(kind, views) for views in chosen.views]
            listed, took = ask(server, pool, searches, chosen.probes)
            for search, of_one, times in zip(searches, listed, took, strict=True):
                figures.add(**common, search=search, **judge.judged(of_one, times))
            figures.add(**common, after=True, server=resident_mib(server.process))
    print(f"own peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def chosen_search(kind: str, views: int) -> dict[str, int]:
    return {"HNSW": {"ef": views}, "DISKANN": {"search_list": views}}.get(kind, {"nprobe": views})


def ask(
    server: Milvus, pool: Pool, searches: Sequence[dict[str, int]], most: int
) -> tuple[list[list[np.ndarray]], list[list[float]]]:
    """Each probe by each search, in turns of some probes."""
    for search in searches:
        for probe in pool.probes[:20]:
            server.nearest(probe, search)
    listed: list[list[np.ndarray]] = [[] for _ in searches]
    took: list[list[float]] = [[] for _ in searches]
    probes = pool.probes[:most]
    for first in range(0, len(probes), _IN_A_ROW):
        for place, search in enumerate(searches):
            for probe in probes[first : first + _IN_A_ROW]:
                started = time.perf_counter()
                listed[place].append(server.nearest(probe, search))
                took[place].append(time.perf_counter() - started)
    return listed, took


def name_of(person: int) -> str:
    return f"P{person + 1:08d}"


def of_fill(chosen: argparse.Namespace) -> None:
    """Put everybody into an empty pool of facepool."""
    vectors = np.load(chosen.pool / "vectors.npy", mmap_mode="r")
    templates, dimension = vectors.shape
    blank = ("", 0, "", False, *[None] * (len(SAMPLE_COLUMNS) - 5), "")
    space = space_of(dimension)
    started = time.perf_counter()
    with open_pool(chosen.address, space) as gallery:
        for first in range(0, templates, _ROWS_AT_ONCE):
            rows = np.array(vectors[first : first + _ROWS_AT_ONCE])
            count = len(rows)
            names = [name_of((first + row) // TEMPLATES) for row in range(count)]
            uuids = [os.urandom(16) for _ in range(count)]
            batch = TemplateBatch(
                names, [b""] * count, rows, uuids, [""] * count, [space.model] * count, [blank] * count
            )
            gallery.load(batch, space)
            if first % 1_000_000 == 0:
                print(f"{first:,} after {time.perf_counter() - started:.0f} s", flush=True)
    took_s = time.perf_counter() - started
    path = Path(chosen.address)
    size = path.stat().st_size / 2**20 if path.is_file() else None
    figures = Figures(chosen.output, engine="fill", templates=templates, dimension=dimension)
    figures.add(where=path.suffix[1:] if path.is_file() else "postgresql", filled_s=took_s, pool_mib=size)


def space_of(dimension: int) -> EmbeddingSpace:
    return EmbeddingSpace("made-up", "ab" * 32, "none", "none", mirrored=False, dimension=dimension)


class Way:
    """One way of searching a pool, in a process of its own.

    Args:
        name: ``memory``, ``database`` (PostgreSQL's index), ``exact`` (PostgreSQL, everybody) or ``index`` (Milvus).
        address: Of the pool.
        index: Of Milvus.
        dimension: Of its vectors.
    """

    def __init__(self, name: str, address: str, index: str | None, dimension: int) -> None:
        self.name, self.address = name, address
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_search, args=(other, name, address, index, dimension), daemon=True)
        self._process.start()

    def ask(self, probes: np.ndarray | None) -> Any:  # noqa: ANN401 -- one of two things
        """What it says to some probes; None: how it has begun, the first time, and its memory."""
        self._pipe.send(probes)
        return self._pipe.recv()

    def close(self) -> None:
        self._process.terminate()
        self._process.join()


def _search(pipe: Connection, name: str, address: str, index: str | None, dimension: int) -> None:
    from facepool.models.catalog import _SFACE_FMR  # noqa: PLC0415

    policy, space = ThresholdPolicy(_SFACE_FMR), space_of(dimension)
    before = resident_mib(os.getpid())["rss_mib"]
    started = time.perf_counter()
    gallery = open_pool(address, space, **({"index": index} if name == "index" else {}))
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
    ways = []
    with ExitStack() as stack:
        for name, _, address in (one.partition("=") for one in chosen.way):
            way = Way(name, address, chosen.index, dimension)
            stack.callback(way.close)
            begun = way.ask(None)
            kind = "postgresql" if address.startswith("postgres") else Path(address).suffix[1:]
            figures.add(way=name, record=kind, **begun)
            ways.append((name, kind, way))
        said: list[list[Any]] = [[] for _ in ways]
        probes = pool.probes[: chosen.probes]
        for first in range(0, len(probes), _IN_A_ROW):
            for (name, _, way), answers in zip(ways, said, strict=True):
                if name == "exact" and first >= chosen.timed:
                    continue
                answers.extend(way.ask(probes[first : first + _IN_A_ROW]))
        exact = [name_of(row // TEMPLATES) for row in pool.nearest]
        named = np.array([name_of(owner) if owner >= 0 else "" for owner in pool.owners])
        (truth,) = (answers for (name, *_), answers in zip(ways, said, strict=True) if name == "memory")
        for (name, kind, way), answers in zip(ways, said, strict=True):
            same = np.array([one[0] == other for one, other in zip(answers, exact, strict=False)])
            right = np.array(exact[: len(answers)]) == named[: len(answers)]
            decided = np.array([one[1:3] == other[1:3] for one, other in zip(answers, truth, strict=False)])
            p50, p95 = np.quantile([one[3] for one in answers], [0.5, 0.95])
            figures.add(
                way=name,
                record=kind,
                p50_ms=1e3 * p50,
                p95_ms=1e3 * p95,
                reported_right=[int(same[right].sum()), int(right.sum())],
                reported_nearest=[int(same.sum()), len(same)],
                reported_decided=[int(decided.sum()), len(decided)],
                **way.ask(None),
            )


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
    one.add_argument("--fresh", action="store_true", help="search before anything is flushed, too")
    one.add_argument("--setting", action="append", default=[], help="of the server, a.b=c")
    one.add_argument("--work", type=Path, help="folder for the server's files; the system's by default")
    one = commands.add_parser("fill")
    one.add_argument("pool", type=Path)
    one.add_argument("address", help="of an empty pool")
    one.add_argument("--output", type=Path, required=True)
    one = commands.add_parser("ways")
    one.add_argument("pool", type=Path)
    one.add_argument("--output", type=Path, required=True)
    one.add_argument("--way", action="append", required=True, help="memory=ADDRESS; database=, exact=, index= likewise")
    one.add_argument("--index", help="milvus://...")
    one.add_argument("--probes", type=int, default=1 << 20, help="at most")
    one.add_argument("--timed", type=int, default=100, help="of the probes, where the database looks at everybody")
    chosen = parser.parse_args()
    if chosen.command == "fill":
        of_fill(chosen)
    elif chosen.command == "ways":
        of_ways(chosen)
    elif chosen.command == "pool":
        make_pool(chosen.pool, chosen.templates, chosen.dimension, chosen.probes)
    else:
        of_milvus(chosen)


if __name__ == "__main__":
    sys.exit(main())
