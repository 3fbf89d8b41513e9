"""One measurement of a pool, in a process of its own, with the facepool of any checkout; see scale.py.

    python benchmarks/scale_worker.py TREE make POOL SIZE DIMENSION
    python benchmarks/scale_worker.py TREE open|register|erase POOL ...
    python benchmarks/scale_worker.py TREE facepool COMMAND...

Prints one line of JSON; `facepool` is that checkout's command.
"""
# ruff: noqa: PLC0415 -- which facepool is imported is known only then

import gc
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

TEMPLATES = 4
"""Of one person."""
_COMMON, _CAPTURE = 0.32, 0.7
"""What all faces share, and what two pictures of one person differ by: similarities are then LFW's with SFace."""
_PEOPLE_AT_ONCE = 8192
_THREADS = 3
_AT = "2026-11-30T00:00:00+00:00"
_REAL_DIMENSION = 128
"""Of the pack that comes with facepool: pools of so many numbers can be used by its commands."""
_PATIENCE_S = 600.0


def name_of(number: int) -> str:
    """Names in another order than people were registered in."""
    return f"Person {number * 2654435761 % (1 << 32):010d}"


_IN_A_ROW = 10
_PAUSE_S = 0.2
"""In turn, but not one by one: the threads of NumPy's product keep the cores busy for a while after it, waiting for the
next one, and what is measured then is them."""


def crowd(random: Any, people: int, dimension: int) -> Any:  # noqa: ANN401 -- NumPy comes later
    """(P * TEMPLATES, D) float32 rows of norm 1, one person's after the other's."""
    import numpy as np

    root = np.sqrt(np.float32(dimension))
    average = np.zeros(dimension, np.float32)
    average[0] = _COMMON / np.sqrt(1 - _COMMON**2) * np.sqrt(1 + _CAPTURE**2)
    who = average + random.standard_normal((people, dimension), dtype=np.float32) / root
    how = random.standard_normal((people * TEMPLATES, dimension), dtype=np.float32) / root
    vectors = who.repeat(TEMPLATES, axis=0) + np.float32(_CAPTURE) * how
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make(pool: str, size: str, dimension: str) -> dict[str, Any]:
    """A pool of made-up people, straight into the tables, some thousands at a time."""
    import numpy as np

    from facepool import load_analyzer
    from facepool.gallery import open_pool
    from facepool.types import EmbeddingSpace, Sample

    began_s = time.perf_counter()
    random, length = np.random.default_rng(int(size) + int(dimension)), int(dimension)
    space = EmbeddingSpace("made up", "ab" * 32, "rgb-0-1/1", "arcface-112", mirrored=True, dimension=length)
    if length == _REAL_DIMENSION:
        space = load_analyzer().space
    with open_pool(Path(pool), space) as opened:
        opened.register(name_of(0), [Sample(embedding=row, source="") for row in crowd(random, 1, length)], space)
    with closing(sqlite3.connect(pool, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        owner, sample, revision = 1, TEMPLATES, int(db.execute("SELECT revision FROM state").fetchone()[0])
        for first in range(1, int(size) // TEMPLATES, _PEOPLE_AT_ONCE):
            people = min(_PEOPLE_AT_ONCE, int(size) // TEMPLATES - first)
            revision += 1
            db.execute("BEGIN")
            _store(db, crowd(random, people, length), first, owner, sample, revision, space.model)
            db.execute("UPDATE state SET revision = ?", (revision,))
            db.execute("COMMIT")
            owner, sample = owner + people, sample + people * TEMPLATES
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return {"made_s": time.perf_counter() - began_s, "mib": Path(pool).stat().st_size / 2**20}


def _store(
    db: sqlite3.Connection,
    vectors: Any,  # noqa: ANN401
    first: int,
    owner: int,
    sample: int,
    revision: int,
    model: str,
) -> None:
    rows, people = range(len(vectors)), range(len(vectors) // TEMPLATES)
    names = [name_of(first + number) for number in people]
    db.executemany(
        "INSERT INTO persons (id, name, uuid, revision) VALUES (?, ?, ?, ?)",
        [(owner + 1 + number, names[number], os.urandom(16), revision) for number in people],
    )
    if any(column[1] == "folded" for column in db.execute("PRAGMA table_info(persons)")):  # earlier checkouts have none
        folded = [(names[number].casefold(), owner + 1 + number) for number in people]
        db.executemany("UPDATE persons SET folded = ? WHERE id = ?", folded)
    db.executemany(
        "INSERT INTO samples (id, person_id, source, frame) VALUES (?, ?, '', 0)",
        [(sample + 1 + row, owner + 1 + row // TEMPLATES) for row in rows],
    )
    db.executemany(
        "INSERT INTO templates (id, sample_id, embedding, model, created_at, uuid, revision) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (sample + 1 + row, sample + 1 + row, vectors[row].tobytes(), model, _AT, os.urandom(16), revision)
            for row in rows
        ],
    )


def open_(pool: str, repetitions: str, with_numpy: str) -> dict[str, Any]:
    """From an import of facepool to the first answer, then probes in turn with NumPy's product, and memory."""
    import numpy as np

    from facepool.gallery import open_pool
    from facepool.search import Search

    before = resident_mib()
    began_s = time.perf_counter()
    opened = open_pool(Path(pool))
    dimension = opened.dimension
    assert dimension is not None
    probes = crowd(np.random.default_rng(5), max(1, int(repetitions) // TEMPLATES), dimension)
    search = Search(opened)
    search.nearest(probes[:1])
    first_s = time.perf_counter() - began_s
    _wait_for_images()
    after = resident_mib()
    state = search.state()
    listed_s = _timed(lambda: opened.people_page() if hasattr(opened, "people_page") else opened.people())
    shape = (state.templates, dimension)
    vectors = np.empty(shape, np.float32) if with_numpy == "yes" else None
    if vectors is not None:
        for first in range(0, len(vectors), 1 << 16):
            vectors[first : first + (1 << 16)] = crowd(np.random.default_rng(first), 1, dimension)[:1]
    ours, numpys = [], []
    gc.disable()
    for first in range(0, len(probes), _IN_A_ROW):
        some = probes[first : first + _IN_A_ROW]
        time.sleep(_PAUSE_S)
        ours += [_timed(lambda one=probe[None]: search.nearest(one)) for probe in some]  # type: ignore[misc]
        if vectors is not None:
            numpys += [_timed(lambda one=probe, rows=vectors: (rows @ one).argmax()) for probe in some]  # type: ignore[misc]
    return {
        "first_s": first_s,
        "templates": state.templates,
        "listed_s": listed_s,
        "before_mib": before,
        "after_mib": after,
        "probe_s": ours[2:] or ours,
        "numpy_s": numpys[2:] or numpys,
    }


def register(pool: str, repetitions: str) -> dict[str, Any]:
    """From a commit until every thread of the process searches what is new."""
    import numpy as np

    from facepool.gallery import open_pool
    from facepool.types import Sample

    path, took, seen = Path(pool), [], []
    with open_pool(path) as opened, _Threads(path) as threads:
        dimension, space = opened.dimension, opened.space
        assert dimension is not None
        assert space is not None
        random = np.random.default_rng(7)
        for number in range(int(repetitions)):
            samples = [Sample(embedding=row, source="") for row in crowd(random, 1, dimension)]
            took.append(_timed(lambda n=number, s=samples: opened.register(f"New {os.getpid()} {n}", s, space)))  # type: ignore[misc]
            seen.append(threads.see(opened.revision()))
        _wait_for_images()
    return {"register_s": took, "seen_s": seen}


def erase(pool: str, repetitions: str) -> dict[str, Any]:
    """How long it takes to erase somebody, until every thread searches without them, and until an image is there."""
    from facepool.gallery import open_pool

    path, took, seen, images = Path(pool), [], [], []
    with open_pool(path) as opened, _Threads(path) as threads:
        for number in range(int(repetitions)):
            took.append(_timed(lambda n=number: opened.remove(name_of(n + 1))))  # type: ignore[misc]
            seen.append(threads.see(opened.revision()))
            images.append(_timed(_wait_for_images))
    return {"erase_s": took, "seen_s": seen, "image_s": images}


class _Threads:
    """Some threads that search a pool, each having it open for itself."""

    def __init__(self, pool: Path) -> None:
        self._pool = pool
        self._wanted = 0
        self._asked = [threading.Event() for _ in range(_THREADS)]
        self._told = [threading.Event() for _ in range(_THREADS)]
        self._over = False

    def __enter__(self) -> "_Threads":
        for place in range(_THREADS):
            threading.Thread(target=self._search, args=(place,), daemon=True).start()
        self.see(0)
        _wait_for_images()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        for asked in self._asked:
            asked.set()

    def see(self, revision: int) -> float:
        """Seconds until all of them search a revision or a later one."""
        self._wanted = revision
        began_s = time.perf_counter()
        for asked in self._asked:
            asked.set()
        for told in self._told:
            told.wait()
            told.clear()
        return time.perf_counter() - began_s

    def _search(self, place: int) -> None:
        from facepool.gallery import open_pool
        from facepool.search import Search

        with open_pool(self._pool) as opened:
            search = Search(opened)
            while self._asked[place].wait() and not self._over:
                self._asked[place].clear()
                while search.state().revision < self._wanted:
                    pass
                self._told[place].set()


def _wait_for_images() -> None:
    until = time.monotonic() + _PATIENCE_S
    for thread in threading.enumerate():
        if thread.name == "facepool-image":
            thread.join(max(0.0, until - time.monotonic()))


def _timed(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def resident_mib() -> dict[str, float]:
    """What the process has in memory: of its own, and of files that it maps."""
    return dict(_resident())


def _resident() -> Iterator[tuple[str, float]]:
    status = Path("/proc/self/status")
    for line in status.read_text(encoding="ascii").splitlines() if status.is_file() else []:
        name, _, value = line.partition(":")
        if name in ("RssAnon", "RssFile", "VmHWM"):
            yield name, int(value.split()[0]) / 1024


WORK = {"make": make, "open": open_, "register": register, "erase": erase}


def main() -> None:
    tree, what, *arguments = sys.argv[1:]
    sys.path.insert(0, str(Path(tree).resolve() / "src"))
    if what == "facepool":
        from facepool.cli.main import main as command

        sys.argv = ["facepool", *arguments]
        sys.exit(command())
    print(json.dumps(WORK[what](*arguments)))


if __name__ == "__main__":
    main()
