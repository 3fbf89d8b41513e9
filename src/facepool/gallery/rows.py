"""Arrays with a row for each template: where they begin in memory, and how rows come between others."""

from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from facepool.types import Indices

Number = TypeVar("Number", bound=np.generic)

_CACHE_LINE = 64


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


def ranges(firsts: Indices, lengths: Indices) -> Indices:
    """Ranges of numbers one after the other, of lengths above 0; at least one range."""
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(ends[-1]) + np.repeat(firsts - (ends - lengths), lengths), np.intp)
