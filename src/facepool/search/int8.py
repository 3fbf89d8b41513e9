"""A gallery's templates in one byte a number: a quarter of the memory to read, with the error of every row known.

A row ``v`` is kept as ``c = round(v * scale)`` in -127..127. What it stands for, ``c / scale``, is off by a vector
whose length is kept beside it, so by Cauchy and Schwarz the product with any probe is known to within that length.
Products of codes are whole numbers and exact, whatever computes them and in whatever order.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from facepool.threads import allowed_threads
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
Doubles = npt.NDArray[np.float64]
Products = npt.NDArray[np.number]
Number = TypeVar("Number", bound=np.generic)

_LARGEST = 127
_SAMPLED_ROWS = 4096
_BLOCKS = 4096
_LEAST_ROWS_A_BLOCK = 32
_ROWS_AT_ONCE = 16384
_PRODUCTS_AT_ONCE = 1 << 17
"""Of rows and probes, multiplied in one go: they stay in a core's cache until their maxima are taken."""
_ROWS_CODED_AT_ONCE = 2048
_LONG = 256
"""Numbers in a row from which on single rows are multiplied faster than pairs."""
_ROUNDING = 1e-6
"""Above what rounding adds to the length of a vector near 1, or to a product of two."""
_INEXACT = 1 + 1e-3
"""Above what a sum of thousands of squares may be off in single precision, as a factor."""
_VALUES_A_THREAD = 1 << 21
"""Codes below which a second thread costs more than it saves."""
_CACHE_LINE = 64


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


@dataclass(frozen=True, slots=True)
class Codes:
    """The rows of an index as codes, in blocks that no person's rows cross.

    Attributes:
        rows: (T, D) int8.
        scale: What numbers were multiplied with, a float32.
        errors: (T,) float32, norm of what each row's code misses, rounded up.
        starts: (B,) intp, the first row of each block.
        sizes: (B,) intp, how many rows it has.
        block_errors: (B,) float64, the largest error in each block.
        counts: Counts searches; the only thing here that changes.
    """

    rows: Bytes
    scale: float
    errors: Floats
    starts: Indices
    sizes: Indices
    block_errors: Doubles
    counts: SearchCounts = field(default_factory=SearchCounts, compare=False)

    def maxima(self, probes: CodedProbes) -> Products:
        """The largest product of each probe with a row of each block, (P, B) int32; on all threads allowed."""
        products_with = _multiplier(probes.codes)
        found = np.empty((len(self.starts), len(probes.codes)), np.int32)
        step = max(1, self._rows_at_once(len(probes.codes)) * len(self.starts) // len(self.rows))
        chunks = deque(range(0, len(self.starts), step))

        def work() -> None:
            while chunks:
                try:
                    first = chunks.popleft()
                except IndexError:  # another thread took the last one
                    return
                starts = self.starts[first : first + step]
                end = starts[-1] + self.sizes[first + len(starts) - 1]
                products = products_with(self.rows[starts[0] : end])
                found[first : first + step] = np.maximum.reduceat(products, starts - starts[0], axis=0)

        threads = min(allowed_threads(), 1 + self.rows.size // _VALUES_A_THREAD)
        with ThreadPoolExecutor(max_workers=max(1, threads - 1)) as helpers:
            others = [helpers.submit(work) for _ in range(threads - 1)]
            work()
        for other in others:
            other.result()
        return found.T

    def products(self, probes: CodedProbes, blocks: Indices) -> Products:
        """The products of all probes with all rows of some blocks, (rows, P) int32."""
        rows = np.concatenate(
            [
                self.rows[first : first + size]
                for first, size in zip(self.starts[blocks], self.sizes[blocks], strict=True)
            ]
        )
        return _multiplier(probes.codes)(rows)

    def similarities(self, products: Products, probes: CodedProbes) -> Floats:
        """(P, N) products as similarities, (P, N) float32."""
        return np.asarray(products / (probes.scales * self.scale)[:, None], np.float32)

    def slack(self, probes: CodedProbes, blocks: Indices | slice = slice(None)) -> Floats:
        """How far a similarity from codes may be off the true one in some blocks, (P, B) float32.

        With p and v the vectors, p' and v' what their codes stand for: |pv - p'v'| <= |p| |v - v'| + |p - p'| |v'|.
        """
        errors = self.block_errors[blocks]
        slack = probes.lengths[:, None] * errors + probes.errors[:, None] * (_LONGEST + errors) + _ROUNDING
        return np.asarray(slack, np.float32)

    def _rows_at_once(self, probes: int) -> int:
        return max(1, min(_ROWS_AT_ONCE, _PRODUCTS_AT_ONCE // probes))


_LONGEST = 1.001 + _ROUNDING
"""No template is longer: `check_vectors` lets none pass."""


def code(vectors: Floats, starts: Indices) -> Codes:
    """Code a gallery's templates.

    Args:
        vectors: (T, D) float32, rows of norm 1; T and D at least 1.
        starts: (P,) first row of each person.
    """
    largest = np.abs(vectors[:: -(-len(vectors) // _SAMPLED_ROWS)]).max(axis=1)
    # A few rows of another form are cut off rather than making the codes of all others coarse.
    room = min(largest.max(), 2 * np.median(largest))
    scale = float(np.float32(_LARGEST / room))
    return in_blocks(*_coded_in_parts(vectors, scale), scale, starts)


def extended_codes(known: Codes, at: Indices, vectors: Floats, starts: Indices) -> Codes:
    """Codes of a gallery that has grown; only what is new is computed.

    Args:
        known: The codes so far.
        at: (K,) rising: before which known row each new one comes.
        vectors: (K, D) float32, the new rows. Numbers larger than the known scale has room for are cut off, which
            makes the error of their block larger, and the search no less right.
        starts: (P,) first row of each person, with the new rows.
    """
    rows, errors = _coded_in_parts(vectors, known.scale)
    return in_blocks(spliced(known.rows, at, rows), spliced(known.errors, at, errors), known.scale, starts)


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


def _coded_in_parts(vectors: Floats, scale: float) -> tuple[Bytes, Floats]:
    rows, errors = aligned(vectors.shape, np.int8), np.empty(len(vectors), np.float32)
    for first in range(0, len(vectors), _ROWS_CODED_AT_ONCE):
        part = slice(first, first + _ROWS_CODED_AT_ONCE)
        rows[part], errors[part] = _coded(vectors[part], np.asarray(scale, np.float32))
    return rows, errors


def _coded(vectors: Floats, scale: Floats) -> tuple[Bytes, Floats]:
    """All in single precision: its rounding, of 2**-24 a number, is far below what `_INEXACT` and `_ROUNDING` add."""
    codes = np.clip(np.rint(vectors * scale), -_LARGEST, _LARGEST)
    missed = vectors - codes / scale
    lengths = np.sqrt(np.einsum("nd,nd->n", missed, missed))
    return codes.astype(np.int8), np.asarray(lengths * np.float32(_INEXACT) + np.float32(_ROUNDING), np.float32)


def in_blocks(rows: Bytes, errors: Floats, scale: float, starts: Indices) -> Codes:
    """Codes in blocks that no person's rows cross."""
    wanted = np.arange(0, len(rows), max(_LEAST_ROWS_A_BLOCK, len(rows) // _BLOCKS))
    blocks = starts[np.unique(np.searchsorted(starts, wanted, side="right") - 1)]
    sizes = np.diff(blocks, append=len(rows))
    return Codes(rows, scale, errors, blocks, sizes, np.maximum.reduceat(errors, blocks).astype(np.float64))


def aligned(shape: tuple[int, ...], kind: type[Number]) -> npt.NDArray[Number]:
    """An uninitialized C-contiguous array that begins with a cache line: 64 bytes."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    skipped = -memory.ctypes.data % _CACHE_LINE
    return memory[skipped : skipped + size].view(kind).reshape(shape)


def spliced(old: npt.NDArray[Number], at: Indices, new: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Rows of which some were there, copied in whole stretches.

    Args:
        old: (N, ...).
        at: (K,) rising, 0..N: before which old row each new one comes.
        new: (K, ...).

    Returns:
        (N + K, ...), beginning with a cache line.
    """
    rows = aligned((len(old) + len(new), *old.shape[1:]), old.dtype.type)
    rows[at + np.arange(len(new))] = new
    for first, end in pairwise([0, *np.unique(at).tolist(), len(old)]):
        shift = int(np.searchsorted(at, first, side="right"))
        rows[first + shift : end + shift] = old[first:end]
    return rows
