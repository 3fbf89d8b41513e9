"""A gallery's templates in one byte a number: a quarter of the memory to read, with the error of every row known.

A row ``v`` is kept as ``c = round(v * scale)`` in -127..127. What it stands for, ``c / scale``, is off by a vector
whose length is kept beside it, so by Cauchy and Schwarz the product with any probe is known to within that length.
Products of codes are whole numbers and exact, whatever computes them and in whatever order.
"""

import mmap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from facepool.threads import allowed_threads, on_threads
from facepool.types import Floats, Indices

try:
    import numkong
except ImportError:  # there is no wheel of it for this processor
    FAST = False
else:
    FAST = True
"""Whether products of codes are faster than those of what they stand for. By NumPy alone they are several times slower,
and galleries are searched without codes, with the same answers."""

Bytes = npt.NDArray[np.int8]
Places = npt.NDArray[np.integer]
"""Places and rows: int32 where they are kept."""
Doubles = npt.NDArray[np.float64]
Products = npt.NDArray[np.number]
Number = TypeVar("Number", bound=np.generic)

_LARGEST = 127
_SAMPLED_ROWS = 4096
_BLOCKS = 2048
_LEAST_ROWS_A_BLOCK = 32
_ROWS_A_BLOCK = 256
_ROWS_AT_ONCE = 16384
_PRODUCTS_AT_ONCE = 1 << 17
"""Of rows and probes, multiplied in one go: they stay in a core's cache until their maxima are taken."""
_ROWS_CODED_AT_ONCE = 1024
_LONG = 256
"""Numbers in a row from which on single rows are multiplied faster than pairs."""
_ROUNDING = 1e-6
"""Above what rounding adds to the length of a vector near 1, or to a product of two."""
_INEXACT = 1 + 1e-3
"""Above what a sum of thousands of squares may be off in single precision, as a factor."""
_VALUES_A_THREAD = 1 << 21
"""Codes below which a second thread costs more than it saves."""
_CACHE_LINE = 64
_PAGES_OF_ITS_OWN = 1 << 20


@dataclass(frozen=True, slots=True)
class CodedProbes:
    """Probes as codes, each with a scale of its own.

    Attributes:
        codes: (P, D) int8.
        scales: (P,) float64.
        lengths: (P,) float64, norm of each probe, rounded up.
        errors: (P,) float64, norm of what each code misses, rounded up.
    """

    codes: Bytes
    scales: Doubles
    lengths: Doubles
    errors: Doubles

    @classmethod
    def of(cls, probes: Floats) -> "CodedProbes":
        """Code (P, D) float32 of norm 1."""
        scales = np.float32(_LARGEST) / np.abs(probes).max(axis=1)
        codes, errors = _coded(probes, scales[:, None])
        lengths = np.linalg.norm(probes.astype(np.float64), axis=1) + _ROUNDING
        return cls(codes, scales.astype(np.float64), lengths, errors.astype(np.float64))

    def __getitem__(self, part: slice) -> "CodedProbes":
        return CodedProbes(self.codes[part], self.scales[part], self.lengths[part], self.errors[part])


@dataclass(slots=True)
class SearchCounts:
    """What searching by codes came to.

    Attributes:
        searches: Faces searched.
        fallbacks: Those for which codes ruled out too few, so that everything was compared in float32.
        compared: People compared again, of the other searches.
    """

    searches: int = 0
    fallbacks: int = 0
    compared: int = 0

    def add(self, compared: int | None) -> None:
        """Count a search; None: it fell back."""
        self.searches += 1
        self.fallbacks += compared is None
        self.compared += compared or 0


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The rows of a segment as codes, in blocks that no person's rows cross.

    Attributes:
        rows: (T, D) int8.
        errors: (T,) float32, norm of what each row's code misses, rounded up.
        scale: What numbers were multiplied with, a float32.
        people: (B + 1,) int32, the first person of each block, and the end of the last one's.
        starts: (B + 1,) int32, the first row of each block, and the end of the last one.
        block_errors: (B,) float32, the largest error in each block.
    """

    rows: Bytes
    errors: Floats
    scale: float
    people: Places
    starts: Places
    block_errors: Floats

    @classmethod
    def of(cls, rows: Bytes, errors: Floats, scale: float, starts: Places) -> "Codes":
        """Codes in blocks; until they are measured nothing is said of their errors.

        Args:
            rows: As in `Codes`.
            errors: As in `Codes`.
            scale: As in `Codes`.
            starts: (P + 1,) the first row of each person, and the end.
        """
        wanted = np.arange(0, len(rows), max(_LEAST_ROWS_A_BLOCK, min(_ROWS_A_BLOCK, len(rows) // _BLOCKS)))
        people = np.unique(np.searchsorted(starts[:-1], wanted, side="right") - 1)
        ends = np.append(people, len(starts) - 1).astype(np.int32)
        return cls(rows, errors, scale, ends, starts[ends], np.full(len(people), np.inf, np.float32))

    def measure(self) -> None:
        """Find the largest errors, once the rows are there."""
        np.maximum.reduceat(self.errors, self.starts[:-1], out=self.block_errors)


class Blocks:
    """The blocks of all segments of an index, numbered through.

    Args:
        segments: The codes of each, one or more.

    Attributes:
        firsts: (S + 1,) the first block of each segment, and the end.
        rows: (B,) how many rows each block has.
        errors: (B,) float64, the largest error in each.
    """

    def __init__(self, segments: Sequence[Codes]) -> None:
        self.segments = segments
        self.firsts = np.cumsum([0, *(len(one.block_errors) for one in segments)])
        self.rows = np.concatenate([np.diff(one.starts) for one in segments])
        self.errors = np.concatenate([one.block_errors for one in segments]).astype(np.float64)
        self._scales = np.repeat([one.scale for one in segments], np.diff(self.firsts))

    def __len__(self) -> int:
        """How many blocks there are."""
        return len(self.rows)

    def maxima(self, probes: CodedProbes) -> Products:
        """The largest product of each probe with a row of each block, (P, B) int32; on all threads allowed."""
        products_with = _multiplier(probes.codes)
        found = np.empty((len(self), len(probes.codes)), np.int32)
        chunks = deque(self._chunks(max(1, min(_ROWS_AT_ONCE, _PRODUCTS_AT_ONCE // len(probes.codes)))))

        def work() -> None:
            while chunks:
                try:
                    codes, out, first, end = chunks.popleft()
                except IndexError:  # another thread took the last one
                    return
                starts = codes.starts[first : end + 1]
                products = products_with(codes.rows[starts[0] : starts[-1]])
                found[out : out + end - first] = np.maximum.reduceat(products, starts[:-1] - starts[0], axis=0)

        values = sum(one.rows.size for one in self.segments)
        on_threads(work, min(allowed_threads(), 1 + values // _VALUES_A_THREAD))
        return found.T

    def _chunks(self, rows: int) -> Iterator[tuple[Codes, int, int, int]]:
        """Codes, number of the first block, and its place in these codes and the end of the chunk."""
        for codes, first in zip(self.segments, self.firsts.tolist(), strict=False):
            blocks = len(codes.block_errors)
            step = max(1, rows * blocks // len(codes.rows))
            for start in range(0, blocks, step):
                yield codes, first + start, start, min(start + step, blocks)

    def grouped(self, blocks: Indices) -> Iterator[tuple[int, Indices]]:
        """Rising numbers of blocks by segment: its number, and their places in its codes."""
        bounds = np.searchsorted(blocks, self.firsts).tolist()
        for segment, (first, end) in enumerate(pairwise(bounds)):
            if end > first:
                yield segment, blocks[first:end] - self.firsts[segment]

    def products(self, probes: CodedProbes, blocks: Indices) -> Products:
        """The products of all probes with all rows of some blocks, rising, (rows, P) int32."""
        rows = [
            self.segments[segment].rows[first:end]
            for segment, places in self.grouped(blocks)
            for first, end in zip(
                self.segments[segment].starts[places].tolist(),
                self.segments[segment].starts[places + 1].tolist(),
                strict=True,
            )
        ]
        return _multiplier(probes.codes)(np.concatenate(rows))

    def similarities(self, products: Products, probes: CodedProbes, blocks: Indices | slice = slice(None)) -> Floats:
        """(P, N) products with rows in (N,) blocks as similarities, (P, N) float32."""
        return np.asarray(products / (probes.scales[:, None] * self._scales[blocks]), np.float32)

    def slack(self, probes: CodedProbes, blocks: Indices | slice = slice(None)) -> Floats:
        """How far a similarity from codes may be off the true one in some blocks, (P, B) float32.

        With p and v the vectors, p' and v' what their codes stand for: |pv - p'v'| <= |p| |v - v'| + |p - p'| |v'|.
        """
        errors = self.errors[blocks]
        slack = probes.lengths[:, None] * errors + probes.errors[:, None] * (_LONGEST + errors) + _ROUNDING
        return np.asarray(slack, np.float32)


_LONGEST = 1.001 + _ROUNDING
"""No template is longer: `check_vectors` lets none pass."""


def scale_for(vectors: Floats) -> float:
    """What to multiply numbers with to make codes of them.

    Args:
        vectors: (T, D) float32, rows of norm 1; T and D at least 1. Of other rows larger numbers are cut off, which
            makes the error of their block larger, and the search no less right.
    """
    largest = np.abs(vectors[:: -(-len(vectors) // _SAMPLED_ROWS)]).max(axis=1)
    # A few rows of another form are cut off rather than making the codes of all others coarse.
    room = min(largest.max(), 2 * np.median(largest))
    return float(np.float32(_LARGEST / room))


def coded_rows(vectors: Floats, scale: float) -> tuple[Bytes, Floats]:
    """(N, D) float32 rows as codes, and the error of each."""
    rows, errors = np.empty(vectors.shape, np.int8), np.empty(len(vectors), np.float32)
    for first in range(0, len(vectors), _ROWS_CODED_AT_ONCE):
        part = slice(first, first + _ROWS_CODED_AT_ONCE)
        rows[part], errors[part] = _coded(vectors[part], np.asarray(scale, np.float32))
    return rows, errors


def _multiplier(probes: Bytes) -> Callable[[Bytes], Products]:
    """A function from (N, D) int8 to its products with all probes, (N, P) whole numbers."""
    dimension = probes.shape[1]
    if len(probes) > 1:
        packed = numkong.dots_pack(probes)
        return lambda rows: np.asarray(numkong.dots_packed(rows, packed))
    if dimension >= _LONG:  # row by row, which keeps to the order of memory
        return lambda rows: np.asarray(numkong.cdist(probes, rows, "dot"))[0, :, None]
    # One column of four that are multiplied at a time is a waste. Two rows as one, and two probes, each half zeros:
    halves = np.zeros((2, 2, dimension), np.int8)
    halves[0, 0] = halves[1, 1] = probes[0]
    packed_halves = numkong.dots_pack(halves.reshape(2, -1))

    def products(rows: Bytes) -> Products:
        even = len(rows) // 2 * 2
        pairs = rows[:even].reshape(-1, 2 * dimension)
        found = np.asarray(numkong.dots_packed(pairs, packed_halves)).reshape(-1, 1)
        if even == len(rows):
            return found
        return np.concatenate([found, rows[even:].astype(np.int32) @ probes.T.astype(np.int32)])

    return products


def _coded(vectors: Floats, scale: Floats) -> tuple[Bytes, Floats]:
    """All in single precision: its rounding, of 2**-24 a number, is far below what `_INEXACT` and `_ROUNDING` add."""
    values = vectors * scale
    np.clip(np.rint(values, out=values), -_LARGEST, _LARGEST, out=values)
    codes = values.astype(np.int8)
    missed = np.subtract(vectors, np.divide(values, scale, out=values), out=values)
    lengths = np.sqrt(np.einsum("nd,nd->n", missed, missed))
    return codes, np.asarray(lengths * np.float32(_INEXACT) + np.float32(_ROUNDING), np.float32)


def aligned(shape: tuple[int, ...], kind: type[Number]) -> npt.NDArray[Number]:
    """A C-contiguous array of zeros that begins with a cache line: 64 bytes.

    Large ones get pages of their own, which go back to the system with them: between others on the heap they would
    leave holes.
    """
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if size >= _PAGES_OF_ITS_OWN:
        pages = mmap.mmap(-1, size)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a system that was built without
                pages.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(pages, kind).reshape(shape)
    memory = np.zeros(size + _CACHE_LINE, np.uint8)
    skipped = -memory.ctypes.data % _CACHE_LINE
    return memory[skipped : skipped + size].view(kind).reshape(shape)
