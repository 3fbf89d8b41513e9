"""Many texts in few objects: a million names as strings of Python take more memory than their templates' codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from facepool.types import Indices

_ENCODING = ("utf-8", "surrogatepass")
"""Whatever a string of Python holds. The order of the bytes is that of the strings."""


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Texts as one array of bytes.

    Attributes:
        letters: (L,) uint8, one text after the other in UTF-8.
        ends: (N + 1,) int64, where each begins, and the end of the last one.
    """

    letters: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Texts":
        """These texts; they have no NUL in them."""
        encoded = [text.encode(*_ENCODING) for text in texts]
        letters = np.frombuffer(bytearray(b"".join(encoded)), np.uint8)
        return cls(letters, _ends(np.array([len(one) for one in encoded], np.int64)))

    @classmethod
    def joined(cls, parts: Sequence["Texts"]) -> "Texts":
        """All texts of at least one part after the other."""
        sizes = np.concatenate([np.diff(part.ends) for part in parts])
        return cls(np.concatenate([part.letters for part in parts]), _ends(sizes))

    def __len__(self) -> int:
        """How many there are."""
        return len(self.ends) - 1

    def __getitem__(self, place: int) -> str:
        """One text; an empty one where it was blanked."""
        return _decoded(self.letters[self.ends[place] : self.ends[place + 1]].tobytes())

    def all(self) -> list[str]:
        """All texts."""
        whole, ends = self.letters.tobytes(), self.ends.tolist()
        return [_decoded(whole[first:end]) for first, end in pairwise(ends)]

    def take(self, places: Indices) -> "Texts":
        """The texts at some places, in the order of these."""
        sizes = np.diff(self.ends)[places]
        return Texts(self.letters[ranges(self.ends[places], sizes)], _ends(sizes))

    def part(self, places: slice) -> "Texts":
        """The texts of a range of places that has a first and an end."""
        ends = self.ends[places.start : places.stop + 1]
        return Texts(self.letters[ends[0] : ends[-1]].copy(), ends - ends[0])

    def order(self) -> Indices:
        """(N,) the place of the text that comes first, second, ... Sorted by NumPy, which lets other threads work."""
        sizes = np.diff(self.ends)
        width = max(1, int(sizes.max(initial=0)))
        padded = np.zeros(len(self) * width, np.uint8)
        padded[np.arange(len(self.letters)) + np.repeat(np.arange(len(self)) * width - self.ends[:-1], sizes)] = (
            self.letters
        )
        return np.argsort(padded.view(f"S{width}"), kind="stable")

    def find(self, text: str) -> int | None:
        """Where a text is among sorted ones, of which some may be blank now; None: it is not."""
        first, end = 0, len(self)
        while first < end:
            middle = (first + end) // 2
            named = middle
            while named > first and not self[named]:
                named -= 1
            seen = self[named]
            if seen == text:
                return named
            if seen < text:
                first = middle + 1
            else:
                end = named
        return None

    def blank(self, places: Indices) -> None:
        """Overwrite texts with zeros."""
        self.letters[ranges(self.ends[places], np.diff(self.ends)[places])] = 0


def ranges(firsts: npt.NDArray[np.integer[Any]], lengths: npt.NDArray[np.integer[Any]]) -> Indices:
    """Ranges of numbers one after the other, of lengths from 0."""
    if not len(firsts):
        return np.zeros(0, np.intp)
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(ends[-1]) + np.repeat(firsts - (ends - lengths), lengths), np.intp)


def _ends(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def _decoded(letters: bytes) -> str:
    try:
        return letters.rstrip(b"\0").decode(*_ENCODING)
    except UnicodeDecodeError:  # it is being blanked just now
        return ""
