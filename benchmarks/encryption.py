"""What encryption costs: the same pool plain and encrypted, in turns.

    python benchmarks/encryption.py --output encryption      20,000 templates, 15 times; encryption.json and .md
    python benchmarks/encryption.py --templates 2000 --repetitions 3 --requests 20

Two pools with the same people, random vectors of the model's dimension, and, with `--pictures`, a kept picture each.
Measured are: a new connection that reads all vectors; a new pool that is searched for the first time, as every command
and the start of a server do it, for the plain one also by the image of its index, which an encrypted one has not; one
commit of one row; a registration; writing the file anew (`VACUUM`), as an erasure does it; and `POST /v1/recognize` of
two `facepool serve`, one request after the other in turns. Each figure is a median, with the range in which the middle
half of the repetitions lies.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import httpx
import numpy as np
from resilience.server import Checkout, Server, start
from serve_load import fitted
from sidebyside import machine

from facepool import load_analyzer, open_pool, read_image
from facepool.gallery import transfer
from facepool.gallery.address import FileAddress, key_of, keyed, path_of
from facepool.gallery.connection import SMALL_LOG
from facepool.gallery.driver import connect
from facepool.gallery.image import delete_image, image_of
from facepool.gallery.keys import PoolKey, write_key_file
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import ModelStore, default_root
from facepool.search import Search
from facepool.search.image import LEAST_TEMPLATES
from facepool.types import EmbeddingSpace, Sample

Pools = tuple[FileAddress, FileAddress]
KEY_FILE = "encrypted.key"
EACH = 4
"""Templates of a person."""
_PICTURE_BYTES = 4000
_COMMITS = 200
_PATIENCE_S = 60.0
_WARM_UP = 10


@dataclass(frozen=True)
class Figure:
    """How long something takes, repetition by repetition, in milliseconds.

    Attributes:
        what: For people.
        plain_ms: Of the plain pool.
        encrypted_ms: Of the encrypted one.
    """

    what: str
    plain_ms: Sequence[float]
    encrypted_ms: Sequence[float]

    @property
    def row(self) -> str:
        plain, encrypted = statistics.median(self.plain_ms), statistics.median(self.encrypted_ms)
        return f"| {self.what} | {shown(self.plain_ms)} | {shown(self.encrypted_ms)} | {encrypted / plain:.2f} |"


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=int, default=20_000)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--requests", type=int, default=200, help="To each server; 0 leaves them out.")
    parser.add_argument("--pictures", action="store_true", help=f"Keep {_PICTURE_BYTES} bytes beside each template.")
    parser.add_argument("--output", type=Path, help="PATH.json and PATH.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pools = made(Path(folder), given.templates, with_pictures=given.pictures)
        figures = [*of_files(pools, given.repetitions)]
        if given.requests:
            figures.append(of_servers(Path(folder), pools, given.requests))
        sizes = [round(path_of(pool).stat().st_size / 1e6, 1) for pool in pools]
    where = machine.describe()
    place = f"{where['processor']}, {where['cores']} cores, {where['date']}"
    report = "\n".join(
        [
            f"{given.templates:,} templates, {sizes[0]} MB plain and {sizes[1]} MB encrypted. {place}.",
            "",
            "| | plain | encrypted | times |",
            "| --- | ---: | ---: | ---: |",
            *(figure.row for figure in figures),
            "",
        ]
    )
    print(report)
    if given.output:
        found = {figure.what: {"plain_ms": figure.plain_ms, "encrypted_ms": figure.encrypted_ms} for figure in figures}
        given.output.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        given.output.with_suffix(".md").write_text(report, encoding="utf-8")


def made(folder: Path, templates: int, *, with_pictures: bool) -> Pools:
    """The two pools, of the same content, and the key of the second beside it."""
    key = PoolKey.new()
    plain, encrypted = folder / "plain.db", keyed(folder / "encrypted.db", key)
    write_key_file(folder / KEY_FILE, key, folder / "encrypted.db")
    space, random = load_space(), np.random.default_rng(17)
    with open_pool(plain, space) as pool, open_pool(encrypted, space) as copy:
        for person in range(templates // EACH):
            vectors = random.normal(size=space.dimension) + 0.7 * random.normal(size=(EACH, space.dimension))
            vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
            pictures = [random.bytes(_PICTURE_BYTES) if with_pictures else b"" for _ in vectors]
            samples = [Sample(vector, picture=picture) for vector, picture in zip(vectors, pictures, strict=True)]
            pool.register(f"Person {person:05}", samples, space)
        transfer(pool, copy)
    return plain, encrypted


def of_files(pools: Pools, repetitions: int) -> Iterator[Figure]:
    """What is measured without a server."""
    yield in_turns("open and read all vectors", read_all, pools, repetitions)
    yield in_turns("open, load and search once", search, pools, repetitions)
    yield in_turns("the same, the plain one by the image of its index", search_by_image, pools, repetitions)
    yield in_turns("a commit of one row, not waiting for the disk", partial(commit, "OFF"), pools, repetitions)
    yield in_turns("a commit of one row", partial(commit, "FULL"), pools, repetitions)
    yield in_turns("a registration", register, pools, repetitions)
    yield in_turns("VACUUM", vacuum, pools, repetitions)


def in_turns(what: str, work: Callable[[FileAddress], float], pools: Pools, repetitions: int) -> Figure:
    """Measure some work on both, one after the other, another one first each time."""
    took: tuple[list[float], list[float]] = ([], [])
    for repetition in range(-1, repetitions):  # the first warms up
        for which in (0, 1) if repetition % 2 else (1, 0):
            ms = work(pools[which])
            if repetition >= 0:
                took[which].append(ms)
    return Figure(what, *took)


def read_all(address: FileAddress) -> float:
    """A new connection reads names and vectors, as SQLite gives them."""
    with measured() as took, closing(connect(path_of(address), key_of(address), mode="mode=rw")) as db:
        rows = db.execute(
            "SELECT name, embedding FROM templates JOIN samples ON samples.id = sample_id "
            "JOIN persons ON persons.id = person_id"
        ).fetchall()
        np.frombuffer(b"".join(blob for _, blob in rows), "<f4")
    return took()


def search(address: FileAddress) -> float:
    """A new gallery is searched, as by the first request of a server, or by a command."""
    delete_image(path_of(address))
    return search_by_image(address)


def search_by_image(address: FileAddress) -> float:
    """The same, by the image of the index if the pool has one."""
    path = path_of(address)
    probe = np.ones((1, load_space().dimension), np.float32) / np.sqrt(load_space().dimension)
    with measured() as took, open_pool(address) as pool:
        Search(pool).nearest(probe)
        ms = took()
        has_image = isinstance(address, Path) and pool.size().templates >= LEAST_TEMPLATES
        until = time.monotonic() + _PATIENCE_S
        while has_image and not image_of(path).exists() and time.monotonic() < until:
            time.sleep(0.05)  # a thread writes it for the next one
    return ms


def commit(synchronous: str, address: FileAddress) -> float:
    """A row of a table that a pool writes with each change; the mean of several."""
    with closing(connect(path_of(address), key_of(address), mode="mode=rw")) as db:
        for pragma in (f"synchronous = {synchronous}", "secure_delete = ON", *SMALL_LOG):
            db.execute(f"PRAGMA {pragma}")
        with measured() as took:
            for number in range(_COMMITS):
                db.execute("UPDATE state SET rewritten = ?", (number,))
        return took() / _COMMITS


def register(address: FileAddress) -> float:
    """One view of somebody, through the gallery."""
    space = load_space()
    vector = np.random.default_rng().normal(size=space.dimension)
    sample = Sample((vector / np.linalg.norm(vector)).astype(np.float32), picture=bytes(_PICTURE_BYTES))
    with open_pool(address, space) as pool, measured() as took:
        pool.register("Person 00000", [sample], space)
        return took()


def vacuum(address: FileAddress) -> float:
    """The whole file is written anew."""
    with closing(connect(path_of(address), key_of(address), mode="mode=rw")) as db, measured() as took:
        db.execute("VACUUM")
        return took()


def of_servers(folder: Path, pools: Pools, requests: int) -> Figure:
    """A picture is recognized by two servers, in turns."""
    demo = ModelStore(default_root()).pull_asset(DEMO_PHOTOS)
    picture = cv2.imencode(".jpg", fitted(read_image(demo / "person_a_1.jpg")))[1].tobytes()
    servers: list[Server] = []
    took: tuple[list[float], list[float]] = ([], [])
    try:
        for pool in pools:
            key = () if isinstance(pool, Path) else ("--key-file", str(folder / KEY_FILE))
            servers.append(start(Checkout(), path_of(pool), {}, options=key))
        with ExitStack() as stack:
            clients = [
                stack.enter_context(httpx.Client(base_url=server.url, timeout=_PATIENCE_S)) for server in servers
            ]
            for number in range(-_WARM_UP, requests):
                for which in (0, 1) if number % 2 else (1, 0):
                    with measured() as ms:
                        clients[which].post("/v1/recognize", files={"files": picture}).raise_for_status()
                        if number >= 0:
                            took[which].append(ms())
    finally:
        for server in servers:
            server.kill()
    return Figure("a picture recognized over REST", *took)


@contextmanager
def measured() -> Iterator[Callable[[], float]]:
    """Gives what says how many milliseconds have passed since the block began."""
    began_s = time.perf_counter()
    yield lambda: 1000 * (time.perf_counter() - began_s)


@cache
def load_space() -> EmbeddingSpace:
    """The model's."""
    return load_analyzer().space


def shown(values_ms: Sequence[float]) -> str:
    """The median and the middle half."""
    low, middle, high = statistics.quantiles(values_ms, n=4) if len(values_ms) > 1 else [values_ms[0]] * 3
    return f"{middle:.3g} ({low:.3g} to {high:.3g}) ms"


if __name__ == "__main__":
    main()
