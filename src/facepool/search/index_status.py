"""How indexes and their pool stand: what they lack, what they may still have, what is wrong with them.

Nothing is changed here; ``follower`` does that.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from facepool.errors import ConfigError, IndexUnreachable, IndexUnusable, PoolError
from facepool.gallery import Gallery
from facepool.gallery.index_address import IndexAddress, check_can_have_index
from facepool.gallery.index_rows import IndexRow, gone_from, pending_of, read_indexes
from facepool.gallery.schema import count_of
from facepool.gallery.sql import SqlGallery
from facepool.search.engine import OpenEngine, milvus


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """How an index and its pool stand.

    Attributes:
        place: Where the index is, without who logs in.
        state: ``none``: there is none yet. ``filling``: it is not whole, and not searched yet. ``whole``: it is.
        revision: Of the pool.
        position: The revision up to which the index has everything.
        templates: How many the pool has.
        in_index: How many the index says that it has; None: it could not be asked, or there is none.
        to_put: How many of the pool's it does not have yet.
        to_remove: How many it may have that the pool has no more.
        at: When the position was written, ISO 8601 in UTC; empty: never.
        failed_since: Since when it could not be brought up to date; empty: it could.
        problem: What is wrong with it now; None: nothing.
        leaving: Collections there that are to be deleted, and are not yet.
    """

    place: str
    state: Literal["none", "filling", "whole"]
    revision: int
    position: int
    templates: int
    in_index: int | None
    to_put: int
    to_remove: int
    at: str
    failed_since: str
    problem: PoolError | None
    leaving: int

    @property
    def is_current(self) -> bool:
        """Whether the index has what the pool has, as far as both say."""
        whole = self.state == "whole" or (self.state == "none" and not self.templates)
        counts = self.in_index in (None, self.templates)
        return whole and self.problem is None and counts and not (self.to_put or self.to_remove or self.leaving)


def held(gallery: Gallery, address: IndexAddress, numbers: Sequence[int], *, open_engine: OpenEngine = milvus) -> int:
    """How many of some templates an index has, by what it says itself; raises what `sync` raises."""
    with record_of(gallery).reading() as db:
        rows = [row for row in read_indexes(db) if row.place == address.place]
    found: set[int] = set()
    for row in rows:
        with closing(open_engine(address, row.collection)) as engine:
            if engine.exists():
                found |= {number for number in numbers if number in engine.numbers(number - 1, 1)}
    return len(found)


def status(gallery: Gallery, address: IndexAddress, *, open_engine: OpenEngine = milvus) -> IndexStatus:
    """How an index and its pool stand; that it cannot be asked is a part of the answer."""
    record = record_of(gallery)
    with record.reading() as db:
        rows = [row for row in read_indexes(db) if row.place == address.place]
        row = _searched(rows)
        nothing = IndexRow("", address.place, "whole", 0, "")
        pending, templates = pending_of(db, nothing if row is None else row), count_of(db, "templates")
    leaving = sum(one.state == "leaving" for one in rows)
    asked = IndexRow.new(address.place, 0, "", 0) if row is None else row
    is_no_file = row is None and address.path is not None  # to ask would make one
    in_index, problem = (None, None) if is_no_file else _asked(address, asked, open_engine)
    return IndexStatus(
        place=address.place,
        state="none" if row is None or row.state == "leaving" else row.state,
        revision=pending.revision,
        position=row.position if row and row.state == "whole" else 0,
        templates=templates,
        in_index=in_index,
        to_put=pending.to_put,
        to_remove=pending.to_remove if row else 0,
        at=row.at if row else "",
        failed_since=row.failed_since if row else "",
        problem=problem,
        leaving=leaving,
    )


def places_of(gallery: Gallery) -> list[str]:
    """Where a pool has indexes; none of a kind that can have none."""
    if not isinstance(gallery, SqlGallery):
        return []
    with gallery.reading() as db:
        return list(dict.fromkeys(row.place for row in read_indexes(db)))


def leaving(gallery: Gallery) -> list[str]:
    """Where indexes are that are to be deleted, and are not yet."""
    if not isinstance(gallery, SqlGallery):
        return []
    with gallery.reading() as db:
        return sorted({row.place for row in read_indexes(db) if row.state == "leaving"})


def lagging(gallery: Gallery) -> list[str]:
    """Where indexes are that do not have everything that the pool has, or more."""
    if not isinstance(gallery, SqlGallery):
        return []
    with gallery.reading() as db:
        return sorted({row.place for row in read_indexes(db) if row.state != "whole" or pending_of(db, row)})


def still_there(gallery: Gallery) -> dict[str, int]:
    """By place, how many templates indexes may still have that have left the pool; without those that have none."""
    if not isinstance(gallery, SqlGallery):
        return {}
    left: dict[str, int] = {}
    with gallery.reading() as db:
        for row in read_indexes(db):
            if row.state == "filling" and not row.filled:
                continue
            gone = gone_from(db, row)
            if gone:
                left[row.place] = max(left.get(row.place, 0), gone)
    return left


def record_of(gallery: Gallery) -> SqlGallery:
    """A gallery that can have an index.

    Raises:
        ConfigError: It cannot.
    """
    check_can_have_index(gallery.address)
    if not isinstance(gallery, SqlGallery):
        raise ConfigError(f"{gallery.address} can have no index", fix="Leave out --index")
    return gallery


def _searched(rows: list[IndexRow]) -> IndexRow | None:
    """The newest that is whole; failing that, the newest."""
    by_worth = sorted(enumerate(rows), key=lambda one: (one[1].state == "whole", one[1].state == "filling", one[0]))
    return by_worth[-1][1] if by_worth else None


def _asked(address: IndexAddress, row: IndexRow, open_engine: OpenEngine) -> tuple[int | None, PoolError | None]:
    """How many templates an index says that it has, and what is wrong with it."""
    try:
        with closing(open_engine(address, row.collection)) as engine:
            if not engine.exists():
                return None, None if row.state == "filling" else _deleted(address)
            stamp = engine.stamp()
            problem = None if row.has_left(stamp) else changed_by_others(address)
            if problem is None and row.state == "whole" and stamp != row.newest_stamp:
                problem = _put_back(address)
            return engine.count(), problem
    except (IndexUnreachable, IndexUnusable) as error:
        return None, error


def _deleted(address: IndexAddress) -> IndexUnusable:
    return IndexUnusable(
        f"The index {address} cannot be used",
        why="its collection is not there any more",
        fix="Have it made anew: facepool index sync",
    )


def _put_back(address: IndexAddress) -> IndexUnusable:
    return IndexUnusable(
        f"The index {address} may lack something",
        why="it is as this pool had left it earlier: its server was killed, or put back to an earlier state",
        fix="Have both sides compared: facepool index sync",
    )


def changed_by_others(address: IndexAddress) -> IndexUnusable:
    """The error for an index that is not as the pool has left it, ever."""
    return IndexUnusable(
        f"The index {address} cannot be used",
        why="somebody else has changed it: a copy of this pool uses it, too, or the pool or the index was put back to "
        "what it was earlier",
        fix="Have a new one made for this pool: facepool index rebuild",
    )
