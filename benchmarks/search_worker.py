"""One way to search in a process of its own, asked for one repetition at a time; see search.py.

    python benchmarks/search_worker.py METHOD THREADS

Requests are lines of JSON: ``{"load": FOLDER}`` builds the index of ``vectors.npy``, ``{"run": [first, end]}`` searches
for those rows of ``probes.npy``, ``{"peak": true}`` measures what BLAS does at best. What libraries print goes to
standard error.
"""
# ruff: noqa: PLC0415, ANN401, ARG001 -- each method has its own library, which may have no types; all take threads

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Search = Callable[[Array], Array]
"""From (P, D) probes to (P,) the nearest row of each."""

TOP = 5
"""Rows, or people, that everybody lists; NumPy names the best only, which is the least that it can do."""
TEMPLATES = 4
"""Rows of a person in the pool."""
HNSW_LINKS, HNSW_BUILD, HNSW_SEARCH = 32, 80, 64


def facepool(vectors: Array, threads: int) -> Search:
    from facepool.search import Index
    from facepool.search.exact import nearest
    from facepool.threads import set_allowed_threads

    set_allowed_threads(threads)
    rows = np.arange(len(vectors))
    people = [f"person {number:07d}" for number in range(len(vectors) // TEMPLATES + 1)]
    index = Index.of_rows(vectors, rows // TEMPLATES, people)
    return lambda probes: np.array([found[0].template_id for found in nearest(index, probes, TOP)])


def numpy(vectors: Array, threads: int) -> Search:
    def run(probes: Array) -> Array:
        if len(probes) == 1:
            return np.asarray([(vectors @ probes[0]).argmax()])
        return np.asarray((probes @ vectors.T).argmax(axis=1))

    return run


def faiss_flat(vectors: Array, threads: int) -> Search:
    import faiss

    return _faiss(faiss.IndexFlatIP(vectors.shape[1]), vectors, threads)


def faiss_sq8(vectors: Array, threads: int) -> Search:
    import faiss

    kind = faiss.ScalarQuantizer.QT_8bit
    coarse = faiss.IndexScalarQuantizer(vectors.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    index = faiss.IndexRefineFlat(coarse)
    index.k_factor = 10
    return _faiss(index, vectors, threads)


def faiss_hnsw(vectors: Array, threads: int) -> Search:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = HNSW_BUILD, HNSW_SEARCH
    return _faiss(index, vectors, threads)


def _faiss(index: Any, vectors: Array, threads: int) -> Search:
    import faiss

    faiss.omp_set_num_threads(threads)
    index.train(vectors)
    index.add(vectors)
    return lambda probes: np.asarray(index.search(probes, TOP)[1][:, 0])


def usearch_f32(vectors: Array, threads: int) -> Search:
    return _usearch(vectors, threads, lambda probes: probes)


def usearch_i8(vectors: Array, threads: int) -> Search:
    scale = np.float32(127 / np.abs(vectors[:100_000]).max())

    def coded(rows: Array) -> Array:
        return np.clip(np.rint(rows * scale), -127, 127).astype(np.int8)

    return _usearch(np.concatenate([coded(part) for part in np.array_split(vectors, 64)]), threads, coded)


def _usearch(rows: Array, threads: int, prepare: Callable[[Array], Array]) -> Search:
    from usearch.index import MetricKind, search

    def run(probes: Array) -> Array:
        matches = search(rows, prepare(probes), TOP, MetricKind.IP, exact=True, threads=threads)
        return np.asarray(matches.keys).reshape(len(probes), -1)[:, 0]

    return run


METHODS = {
    method.__name__.replace("_", "-"): method
    for method in (facepool, numpy, faiss_flat, faiss_sq8, faiss_hnsw, usearch_f32, usearch_i8)
}


class Peak:
    """What BLAS does at best: a square product, which keeps it out of memory's way."""

    SIZE = 2048

    def __init__(self) -> None:
        self._left = np.random.default_rng(0).normal(size=(self.SIZE, self.SIZE)).astype(np.float32)
        self._right = self._left.T.copy()

    def measure(self) -> dict[str, float]:
        """Operations a second by the clock, and a second of processor time."""
        began_s, worked_s = time.perf_counter(), time.process_time()
        np.matmul(self._left, self._right)
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - worked_s
        return {"gflops": 2e-9 * self.SIZE**3 / wall_s, "cpu_gflops": 2e-9 * self.SIZE**3 / cpu_s}


def resident_mib() -> float:
    status = Path("/proc/self/statm")
    pages = int(status.read_text(encoding="ascii").split()[1]) if status.is_file() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20 if pages else 0.0


class Server:
    def __init__(self, method: str, threads: int) -> None:
        self._method = METHODS[method]
        self._threads = threads
        self._search: Search | None = None
        self._probes: Array | None = None
        self._peak: Peak | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "load" in request:
            return self._load(Path(request["load"]))
        if "peak" in request:
            self._peak = self._peak or Peak()
            return self._peak.measure()
        assert self._search is not None
        assert self._probes is not None
        probes = self._probes[slice(*request["run"])]
        gc.collect()
        gc.disable()
        began_s, worked_s = time.perf_counter(), time.process_time()
        rows = self._search(probes)
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - worked_s
        gc.enable()
        return {"wall_s": wall_s, "cpu_s": cpu_s, "rows": [int(row) for row in rows]}

    def _load(self, folder: Path) -> dict[str, Any]:
        self._search = None
        self._probes = np.load(folder / "probes.npy")
        before = resident_mib()
        vectors = np.load(folder / "vectors.npy")
        began_s = time.perf_counter()
        self._search = self._method(vectors, self._threads)
        built_s = time.perf_counter() - began_s
        del vectors
        gc.collect()
        return {"built_s": built_s, "mib": resident_mib() - before}


def main() -> None:
    server = Server(sys.argv[1], int(sys.argv[2]))
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer = server.answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 -- one library's failure is a line of the report
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=replies, flush=True)


if __name__ == "__main__":
    main()
