"""What brings an index up to date needs of whoever has its vectors, and who that is."""

from collections.abc import Callable
from typing import Protocol

from facepool.gallery.columns import Numbers
from facepool.gallery.index_address import IndexAddress
from facepool.types import Floats


class Engine(Protocol):
    """One collection of vectors: ``facepool.search.milvus.MilvusIndex`` says what each method does."""

    def create(self, dimension: int) -> None:
        """Make it, unless it is there."""

    def exists(self) -> bool:
        """Whether it is there."""

    def drop(self) -> None:
        """Delete it, if it is there."""

    def close(self) -> None:
        """Let go of the connection."""

    def put(self, numbers: Numbers, vectors: Floats) -> None:
        """Store templates, in the place of those of the same numbers."""

    def remove(self, numbers: Numbers) -> None:
        """Delete templates, as far as they are there."""

    def settle(self) -> None:
        """Wait until searches see all that was done."""

    def finish(self) -> None:
        """Wait until all of it is in what is built to be searched."""

    def purge(self) -> None:
        """Have what was deleted leave the files."""

    def count(self) -> int:
        """How many templates there are."""

    def numbers(self, after: int, limit: int) -> Numbers:
        """(N,) some of the lowest above a number, rising, at most so many; none: there are none."""

    def stamp(self) -> str:
        """What `set_stamp` has left."""

    def set_stamp(self, text: str) -> None:
        """Leave a short text."""


OpenEngine = Callable[[IndexAddress, str], Engine]
"""Gives a collection of some name at an address."""


def milvus(address: IndexAddress, collection: str) -> Engine:
    """A collection of Milvus."""
    from facepool.search.milvus import MilvusIndex  # noqa: PLC0415 -- of an extra

    return MilvusIndex(address, collection)
