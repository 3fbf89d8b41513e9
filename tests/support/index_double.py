"""An index in the memory of a test, which does what is asked of Milvus and can be away."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from facepool.errors import IndexUnreachable, IndexUnusable
from facepool.gallery.columns import Numbers
from facepool.gallery.index_address import IndexAddress
from facepool.types import Floats

ADDRESS = IndexAddress("milvus://index.example:19530")


@dataclass
class Kept:
    """What a collection has."""

    dimension: int
    vectors: dict[int, Floats] = field(default_factory=dict)
    stamp: str = ""


class IndexServer:
    """All collections of an index; call it to open one.

    Attributes:
        kept: By name.
        away: Whether it does not answer.
        asked: What was asked of it, one word each.
        before: Is called with each word before that is done.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.away = False
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda _word: None

    def __call__(self, address: IndexAddress, name: str) -> "IndexDouble":
        return IndexDouble(self, address, name)

    @property
    def only(self) -> Kept:
        """The one collection that there is."""
        (kept,) = self.kept.values()
        return kept

    @property
    def numbers(self) -> set[int]:
        """Of the templates in the one collection that there is."""
        return set(self.only.vectors)


class IndexDouble:
    """One collection."""

    def __init__(self, server: IndexServer, address: IndexAddress, name: str) -> None:
        self._server = server
        self._address = address
        self._name = name

    def _ask(self, word: str) -> None:
        self._server.asked.append(word)
        self._server.before(word)
        if self._server.away:
            raise IndexUnreachable(f"The index {self._address} cannot be reached", why="no server answers there")

    def _kept(self, word: str) -> Kept:
        self._ask(word)
        if self._name not in self._server.kept:
            raise IndexUnusable(f"The index {self._address} cannot be used", why="it was deleted")
        return self._server.kept[self._name]

    def create(self, dimension: int) -> None:
        self._ask("create")
        if self._server.kept.setdefault(self._name, Kept(dimension)).dimension != dimension:
            raise IndexUnusable(f"The index {self._address} cannot be used", why="it has another dimension")

    def exists(self) -> bool:
        self._ask("exists")
        return self._name in self._server.kept

    def drop(self) -> None:
        self._ask("drop")
        self._server.kept.pop(self._name, None)

    def close(self) -> None:
        pass

    def put(self, numbers: Numbers, vectors: Floats) -> None:
        kept = self._kept("put")
        assert vectors.shape == (len(numbers), kept.dimension)
        kept.vectors.update(zip(numbers.tolist(), vectors, strict=True))

    def remove(self, numbers: Numbers) -> None:
        kept = self._kept("remove")
        for number in numbers.tolist():
            kept.vectors.pop(number, None)

    def settle(self) -> None:
        self._kept("settle")

    def finish(self) -> None:
        self._kept("finish")

    def purge(self) -> None:
        self._kept("purge")

    def count(self) -> int:
        return len(self._kept("count").vectors)

    def numbers(self, after: int, limit: int) -> Numbers:
        rising = sorted(number for number in self._kept("numbers").vectors if number > after)
        # Fewer than there are room for do not mean that there are no more, as with Milvus where numbers lie far apart.
        return np.array(rising[: max(1, limit // 4)], np.int64)

    def nearest(self, views: Floats, length: int, *, settled: bool = False) -> list[tuple[Numbers, Floats]]:
        collection = self._kept("nearest settled" if settled else "nearest")
        kept, dimension = collection.vectors, collection.dimension
        numbers = np.array(sorted(kept), np.int64)
        vectors = np.array([kept[number] for number in numbers.tolist()], np.float32).reshape(len(numbers), dimension)
        found = []
        for view in views:
            similarities = vectors @ view if len(numbers) else np.empty(0, np.float32)
            order = np.argsort(-similarities, kind="stable")[:length]
            found.append((numbers[order], similarities[order].astype(np.float32)))
        return found

    def stamp(self) -> str:
        return self._kept("stamp").stamp

    def set_stamp(self, text: str) -> None:
        self._kept("set_stamp").stamp = text
