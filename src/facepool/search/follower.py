"""Brings an index up to date with its pool: what is new goes there, what is gone leaves it, and nobody waits in vain.

The pool is the record. What the index lacks is read from it (`facepool.gallery.index_rows`), so whatever is cut off is
done again from where the pool knows the index to be, and doing a thing twice does no harm. Only one process at a time
brings the index of a pool up to date, whose turn it is says the pool (`SqlGallery.index_turn`).

``sync`` does what is left to be done, ``rebuild`` makes the index anew beside the one that is searched, ``status`` says
how they stand. `Follower` does it after each change that a gallery of this process makes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal, Protocol
from uuid import uuid4

import numpy as np

from facepool.errors import (
    ConfigError,
    FacepoolError,
    IndexUnreachable,
    IndexUnusable,
    PoolError,
    PoolLocked,
    UnknownIndex,
)
from facepool.extras import require
from facepool.gallery import Gallery
from facepool.gallery.base import Report
from facepool.gallery.columns import Numbers
from facepool.gallery.database import Database
from facepool.gallery.index_address import IndexAddress, check_can_have_index, index_address
from facepool.gallery.index_rows import (
    IndexRow,
    Pending,
    delete_index,
    dimension_of,
    moment,
    newer_vectors,
    numbers_after,
    pending_of,
    read_indexes,
    removed_after,
    revision_of,
    vectors_after,
    vectors_between,
    write_index,
)
from facepool.gallery.rows import read_space
from facepool.gallery.schema import count_of
from facepool.gallery.sql import SqlGallery
from facepool.search.known import choose, known_of
from facepool.types import Floats, counted

_AT_ONCE = 8192
_PATIENCE_S = 10.0
"""How long to wait for another process that brings the index up to date."""
_WORTH_BUILDING = 5000
"""Templates that a server looks at one by one; more of them are searched well only when they are in what it builds."""
_BUILT_EVERY = 4096
"""Whenever so many have come by ones and twos, they are built in, too."""
_ROUNDS = 5
"""So often somebody may change the pool meanwhile, until the rest is left to the next time."""
_FOLLOW_EVERY_S = 2.0
"""While an index is filled, how often others' changes are looked at."""
_LOOK_EVERY_S = 0.5
_STAMP_LETTERS, _STAMPS_KEPT = 16, 40
_NO_NUMBER = (1 << 63) - 1
"""Above any template's."""
_PAUSES = 5
"""So many times as long as it took to bring an index up to date, others may wait who store more and more."""
_LONGEST_PAUSE_S = 60.0
_AGAIN_S = 5.0
"""How long nobody asks an index again that was away: each change would wait for it anew."""


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
        """Their numbers, rising."""

    def stamp(self) -> str:
        """What `set_stamp` has left."""

    def set_stamp(self, text: str) -> None:
        """Leave a short text."""


OpenEngine = Callable[[IndexAddress, str], Engine]
"""Gives a collection of some name at an address."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done to an index.

    Attributes:
        put: Templates that went there.
        removed: Templates that left it, or were not there.
        position: The revision of the pool up to which it has everything now.
        made: Whether a new collection was filled.
        left: Names of collections that were let go of but not deleted: another pool may use them.
    """

    put: int = 0
    removed: int = 0
    position: int = 0
    made: bool = False
    left: tuple[str, ...] = ()


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


def milvus(address: IndexAddress, collection: str) -> Engine:
    """A collection of Milvus."""
    from facepool.search.milvus import MilvusIndex  # noqa: PLC0415 -- of an extra

    return MilvusIndex(address, collection)


def sync(
    gallery: Gallery,
    address: IndexAddress,
    report: Report = lambda _done, _total: None,
    *,
    thoroughly: bool = False,
    open_engine: OpenEngine = milvus,
    patience_s: float = _PATIENCE_S,
) -> Synced:
    """Bring an index up to date; make it where there is none. What was cut off before goes on where it was.

    Args:
        gallery: The pool.
        address: Of the index.
        report: Is told how many templates went there, of how many.
        thoroughly: Compare the numbers of all templates on both sides, and heal what differs.
        open_engine: Gives its collections.
        patience_s: How long to wait for another process that does the same.

    Raises:
        ConfigError: A pool of that kind can have no index.
        IndexUnreachable: The index is away; the pool remembers that, and nothing is lost.
        IndexUnusable: The collection there is not as this pool has left it.
        PoolLocked: Another process does the same for longer.
    """
    record = record_of(gallery)
    with record.index_turn(patience_s):
        return _Turn(record, address, open_engine, report).sync(thoroughly=thoroughly)


def rebuild(
    gallery: Gallery,
    address: IndexAddress,
    report: Report = lambda _done, _total: None,
    *,
    open_engine: OpenEngine = milvus,
    patience_s: float = _PATIENCE_S,
) -> Synced:
    """Make an index anew. The one that is there is searched and followed until the new one is whole, and dropped then.

    As `sync` has it, but that an index which is not as this pool has left it is let go of.
    """
    record = record_of(gallery)
    with record.index_turn(patience_s):
        return _Turn(record, address, open_engine, report).rebuild()


def remove(
    gallery: Gallery,
    address: IndexAddress,
    *,
    forget: bool = False,
    open_engine: OpenEngine = milvus,
    patience_s: float = _PATIENCE_S,
) -> Synced:
    """Delete an index: the pool is searched and kept without it from then on.

    Args:
        gallery: The pool.
        address: Of the index.
        forget: Do not ask the index: its server is gone for good, and nobody will ever delete what it has.
        open_engine: Gives its collections.
        patience_s: How long to wait for another process that brings it up to date.

    Raises:
        UnknownIndex: The pool has none there.
        IndexUnreachable: It is away, so its collections are still there.
    """
    record = record_of(gallery)
    with record.index_turn(patience_s):
        return _Turn(record, address, open_engine, lambda _done, _total: None).remove(forget=forget)


def tidy(
    gallery: Gallery, address: IndexAddress, *, open_engine: OpenEngine = milvus, patience_s: float = _PATIENCE_S
) -> Synced:
    """Delete what is to be deleted at an index, and nothing else; raises what `sync` raises."""
    record = record_of(gallery)
    with record.index_turn(patience_s):
        return _Turn(record, address, open_engine, lambda _done, _total: None).tidy()


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
    in_index, problem = (None, None) if row is None else _asked(address, row, open_engine)
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
            gone = _gone(db, row)
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


def _gone(db: Database, row: IndexRow) -> int:
    pending = pending_of(db, row)
    return max(pending.to_remove, int(pending.replaced or row.state == "leaving"))


def _searched(rows: list[IndexRow]) -> IndexRow | None:
    """The newest that is whole; failing that, the newest."""
    by_worth = sorted(enumerate(rows), key=lambda one: (one[1].state == "whole", one[1].state == "filling", one[0]))
    return by_worth[-1][1] if by_worth else None


def _asked(address: IndexAddress, row: IndexRow, open_engine: OpenEngine) -> tuple[int | None, PoolError | None]:
    """How many templates an index says that it has, and what is wrong with it."""
    try:
        with closing(open_engine(address, row.collection)) as engine:
            if not engine.exists():
                return None, None if row.state == "filling" else _is_gone(address)
            stamp = engine.stamp()
            problem = None if _is_ours(row, stamp) else _is_anothers(address)
            if problem is None and row.state == "whole" and stamp != row.stamp.split()[-1]:
                problem = _was_put_back(address)
            return engine.count(), problem
    except (IndexUnreachable, IndexUnusable) as error:
        return None, error


def _is_ours(row: IndexRow, stamp: str) -> bool:
    """Whether a collection is as this pool has left it, or was once: a server that was killed may forget the last."""
    return not stamp or stamp in row.stamp.split()


def _is_gone(address: IndexAddress) -> IndexUnusable:
    return IndexUnusable(
        f"The index {address} cannot be used",
        why="its collection is not there any more",
        fix="Have it made anew: facepool index sync",
    )


def _was_put_back(address: IndexAddress) -> IndexUnusable:
    return IndexUnusable(
        f"The index {address} may lack something",
        why="it is as this pool had left it earlier: its server was killed, or put back to an earlier state",
        fix="Have both sides compared: facepool index sync",
    )


def _is_anothers(address: IndexAddress) -> IndexUnusable:
    return IndexUnusable(
        f"The index {address} cannot be used",
        why="somebody else has changed it: a copy of this pool uses it, too, or the pool or the index was put back to "
        "what it was earlier",
        fix="Have a new one made for this pool: facepool index rebuild",
    )


class _Turn:
    """What one process does while it alone may change the index of a pool."""

    def __init__(self, record: SqlGallery, address: IndexAddress, open_engine: OpenEngine, report: Report) -> None:
        self._record = record
        self._address = address
        self._open = open_engine
        self._report = report
        self._put = self._removed = self._position = 0
        self._left: list[str] = []
        self._put_back: set[str] = set()

    def sync(self, *, thoroughly: bool) -> Synced:
        """What `sync` promises."""
        with self._noting_failures():
            self._drop_leaving()
            serving, coming = self._serving()
            if serving is not None:
                serving = self._follow(serving, thoroughly=thoroughly or serving.collection in self._put_back)
            elif coming is None:
                coming = self._new()
            if coming is not None:
                self._fill(coming, serving)
        return self._synced(made=coming is not None)

    def rebuild(self) -> Synced:
        """What `rebuild` promises."""
        with self._noting_failures():
            serving, coming = self._serving(even_anothers=True)
            if coming is not None:
                self._write(replace(coming, state="leaving"))
            self._drop_leaving()
            fresh = self._new()
            if fresh is not None:
                self._fill(fresh, serving)
        return self._synced(made=fresh is not None)

    def tidy(self) -> Synced:
        """What `tidy` promises."""
        with self._noting_failures():
            self._drop_leaving()
        return self._synced(made=False)

    def remove(self, *, forget: bool) -> Synced:
        """What the function `remove` promises."""
        rows = self._rows()
        if not rows:
            raise UnknownIndex(
                f"The pool {self._record.address.name} has no index at {self._address}",
                fix="Look where it has some: facepool index status",
            )
        with self._record.changing() as db:
            for row in rows:
                if forget:
                    delete_index(db, row.collection)
                else:
                    write_index(db, replace(row, state="leaving"))
        with self._noting_failures():
            self._drop_leaving()
        return self._synced(made=False)

    def _synced(self, *, made: bool) -> Synced:
        return Synced(self._put, self._removed, self._position, made, tuple(self._left))

    @contextmanager
    def _noting_failures(self) -> Iterator[None]:
        """Have the pool remember that the index could not be brought up to date, and since when."""
        try:
            yield
        except (IndexUnreachable, IndexUnusable) as error:
            for row in self._rows():
                if row.failure != error.code:
                    self._write(replace(row, failure=error.code, failed_since=row.failed_since or moment()))
            raise

    def _rows(self) -> list[IndexRow]:
        with self._record.reading() as db:
            return [row for row in read_indexes(db) if row.place == self._address.place]

    def _write(self, *rows: IndexRow) -> None:
        with self._record.changing() as db:
            for row in rows:
                write_index(db, row)

    def _engine(self, row: IndexRow) -> closing[Engine]:
        return closing(self._open(self._address, row.collection))

    def _serving(self, *, even_anothers: bool = False) -> tuple[IndexRow | None, IndexRow | None]:
        """The collection that is searched, and the one that is to take its place; None: there is none.

        Those that do not fit the pool any more, as it was taken to another model, are dropped at once: they have
        vectors that were erased. One that is not there any more is forgotten.

        Args:
            even_anothers: Whether one is let go of that somebody else has changed; otherwise that is an error.
        """
        with self._record.reading() as db:
            rows = [row for row in read_indexes(db) if row.place == self._address.place and row.state != "leaving"]
            dimension, space = dimension_of(db), read_space(db)
        unfit = [
            row for row in rows if dimension and (row.dimension, row.space) != (dimension, space.id if space else "")
        ]
        self._write(*(replace(row, state="leaving") for row in unfit))
        if unfit:
            self._drop_leaving()
        found: dict[str, IndexRow] = {}
        for row in rows:
            if row not in unfit and self._is_usable(row, even_anothers=even_anothers):
                found[row.state] = row
        return found.get("whole"), found.get("filling")

    def _is_usable(self, row: IndexRow, *, even_anothers: bool) -> bool:
        with self._engine(row) as engine:
            if not engine.exists():
                if row.state == "filling":
                    return True
                self._forget(row)
                return False
            stamp = engine.stamp()
            if _is_ours(row, stamp):
                if stamp != row.stamp.split()[-1]:
                    self._put_back.add(row.collection)
                return True
        if not even_anothers:
            raise _is_anothers(self._address)
        self._let_go(row)
        return False

    def _forget(self, row: IndexRow) -> None:
        with self._record.changing() as db:
            delete_index(db, row.collection)

    def _let_go(self, row: IndexRow) -> None:
        """Forget a collection without deleting it: another pool may be using it."""
        self._left.append(row.collection)
        self._forget(row)

    def _drop_leaving(self) -> None:
        for row in self._rows():
            if row.state != "leaving":
                continue
            with self._engine(row) as engine:
                if engine.exists():
                    if not _is_ours(row, engine.stamp()):
                        self._let_go(row)
                        continue
                    engine.drop()
            self._forget(row)

    def _new(self) -> IndexRow | None:
        """Have the pool remember a collection that is to be made; None: it has no template yet."""
        with self._record.reading() as db:
            dimension, space, revision = dimension_of(db), read_space(db), revision_of(db)
        if not dimension:
            return None
        row = IndexRow.new(self._address.place, dimension, space.id if space else "", revision)
        self._write(row)
        return row

    def _fill(self, row: IndexRow, serving: IndexRow | None) -> None:
        """Put everything into a collection, then have it take the place of the one that is searched."""
        is_resumed = bool(row.filled)
        with self._engine(row) as engine:
            if row.filled and not engine.exists():
                with self._record.reading() as db:
                    row = replace(row, filled=0, position=revision_of(db))
                self._write(row)
            engine.create(row.dimension)
            if not engine.stamp():
                engine.set_stamp(row.stamp.split()[-1])
            followed_at_s = time.monotonic()
            with self._record.reading() as db:
                total = count_of(db, "templates")
            while True:
                with self._record.reading() as db:
                    numbers, vectors = vectors_after(db, row.filled, _AT_ONCE)
                if not len(numbers):
                    break
                engine.put(numbers, vectors)
                row = replace(row, filled=int(numbers[-1]))
                self._write(row)
                self._put += len(numbers)
                self._report(min(self._put, total), total)
                if time.monotonic() - followed_at_s > _FOLLOW_EVERY_S:  # who is erased meanwhile leaves both
                    serving = None if serving is None else self._follow(serving)
                    row = self._follow(row)
                    followed_at_s = time.monotonic()
            if total > _WORTH_BUILDING:
                engine.finish()
        row = replace(self._follow(row, thoroughly=is_resumed), state="whole", filled=0)
        before = [] if serving is None else [replace(serving, state="leaving")]
        self._write(row, *before)
        self._drop_leaving()

    def _follow(self, row: IndexRow, *, thoroughly: bool = False) -> IndexRow:
        """Bring what a collection has up to date; the row that the pool has of it then."""
        with self._engine(row) as engine:
            for _ in range(_ROUNDS):
                with self._record.reading() as db:
                    pending = pending_of(db, replace(row, state="whole"))
                if not pending and not thoroughly:
                    break
                spanned = self._put_newer(engine, row, pending)
                with self._record.reading() as db:
                    gone = removed_after(db, row.position, pending.revision)
                if len(gone):
                    engine.remove(gone)
                    self._removed += len(gone)
                if thoroughly or pending.replaced:
                    self._compare(engine)
                engine.settle()
                if spanned:
                    engine.finish()
                if thoroughly:
                    engine.purge()
                row, thoroughly = self._arrived(engine, row, pending.revision), False
        if row.failure or row.position != pending.revision:
            row = replace(row, position=pending.revision, failure="", failed_since="", at=moment())
            self._write(row)
        self._position = row.position
        return row

    def _arrived(self, engine: Engine, row: IndexRow, revision: int) -> IndexRow:
        """Say on both sides that a collection has all of a revision."""
        fresh = uuid4().hex[:_STAMP_LETTERS]
        row = replace(row, stamp=" ".join([*row.stamp.split()[-_STAMPS_KEPT:], fresh]))
        self._write(row)  # first: it may be cut off in between
        engine.set_stamp(fresh)
        row = replace(row, position=revision, at=moment(), failure="", failed_since="")
        self._write(row)
        return row

    def _put_newer(self, engine: Engine, row: IndexRow, pending: Pending) -> bool:
        """Put what is new into a collection; whether it is time to have that built in."""
        first, last = _NO_NUMBER, 0
        after: tuple[int, int] | None = (row.position, _NO_NUMBER)
        done = 0
        while after is not None:
            with self._record.reading() as db:
                (numbers, vectors), after = newer_vectors(db, after, pending.revision, _AT_ONCE)
            if len(numbers):
                engine.put(numbers, vectors)
                self._put += len(numbers)
                done += len(numbers)
                first, last = min(first, int(numbers.min())), max(last, int(numbers.max()))
                self._report(done, pending.to_put)
        return done > 0 and (first - 1) // _BUILT_EVERY != last // _BUILT_EVERY

    def _compare(self, engine: Engine) -> None:
        """Have both sides have the same numbers."""
        last: int | None = 0
        while last is not None:
            after = last
            theirs = engine.numbers(after, _AT_ONCE)
            with self._record.reading() as db:
                ours = numbers_after(db, after, _AT_ONCE)
            ends = [int(theirs[-1])] if len(theirs) else []  # there may be more above them, however few they are
            ends += [int(ours[-1])] if len(ours) == _AT_ONCE else []
            last = min(ends, default=None)
            if last is not None:
                ours, theirs = ours[ours <= last], theirs[theirs <= last]
            self._put_missing(engine, np.setdiff1d(ours, theirs))
            extra = np.setdiff1d(theirs, ours)
            if len(extra):
                engine.remove(extra)
                self._removed += len(extra)

    def _put_missing(self, engine: Engine, missing: Numbers) -> None:
        if not len(missing):
            return
        with self._record.reading() as db:
            numbers, vectors = vectors_between(db, int(missing[0]), int(missing[-1]))
        wanted = np.isin(numbers, missing)
        engine.put(numbers[wanted], vectors[wanted])
        self._put += int(wanted.sum())


class Follower:
    """Brings an index up to date after each change that a gallery of this process makes.

    A change never fails because of it: what the index does not have yet is remembered by the pool, said by `words`, and
    done by the next change, by a server, or by ``facepool index sync``. Of many changes that come one after the other,
    not each is waited for, but for erasures; `catch_up` at the end.

    Args:
        gallery: Whose changes; used in its thread.
        address: Of the index.
        open_engine: Gives its collections.

    Attributes:
        problem: Why the index could not be brought up to date when that was last tried; None: it was.
        is_waiting: Whether there were changes since.
    """

    def __init__(self, gallery: SqlGallery, address: IndexAddress, open_engine: OpenEngine = milvus) -> None:
        self._gallery = gallery
        self._address = address
        self._open = open_engine
        self._not_before_s = 0.0
        self.is_waiting = False
        self.problem: FacepoolError | None = None
        gallery.after_change = self.changed

    def changed(self) -> None:
        """Do what a change has left to be done, unless the index was asked, or away, a moment ago."""
        self.is_waiting = True
        began_at_s = time.monotonic()
        if began_at_s >= self._not_before_s or (self.problem is None and self._owes()):
            self.catch_up()
            took_s = time.monotonic() - began_at_s
            pause_s = _AGAIN_S if self.problem is not None else min(_PAUSES * took_s, _LONGEST_PAUSE_S)
            self._not_before_s = time.monotonic() + pause_s

    def catch_up(self) -> None:
        """Do what is left to be done, as far as that can be; `problem` says why not."""
        ends_at_s = time.monotonic() + _PATIENCE_S
        self.is_waiting = False
        while True:
            try:
                sync(self._gallery, self._address, open_engine=self._open, patience_s=_LOOK_EVERY_S)
            except PoolLocked as error:  # the other process may do what is to be done here
                self.problem = error
                if time.monotonic() < ends_at_s and self._is_behind():
                    continue
                if not self._is_behind():
                    self.problem = None
            except FacepoolError as error:
                self.problem = error
            else:
                self.problem = None
            return

    def _owes(self) -> bool:
        """Whether somebody was erased whom the index may have."""
        try:
            return self._address.place in still_there(self._gallery)
        except FacepoolError:  # the pool is away, and says so to whoever asks it next
            return False

    def _is_behind(self) -> bool:
        with suppress(FacepoolError), self._gallery.reading() as db:
            rows = [row for row in read_indexes(db) if row.place == self._address.place and row.state == "whole"]
            return not rows or any(pending_of(db, row) for row in rows)
        return True

    @property
    def words(self) -> str:
        """What users are told of it; empty: the index has everything."""
        if self.problem is None:
            return ""
        why = self.problem.why or self.problem.what
        left = still_there(self._gallery).get(self._address.place, 0)
        erased = f" {counted(left, 'template')} that left the pool may still be in it." if left else ""
        return (
            f"The index {self._address} does not have the last change yet: {why}.{erased} The next change, a server of "
            "facepool, or facepool index sync makes up for it."
        )


def use_index(gallery: Gallery, address: str | IndexAddress) -> Follower:
    """Search a pool by an index, and have the index follow what this program changes with the same `gallery`.

    The index is made where there is none, which takes as long as it takes; whoever finds it away is not kept waiting:
    the pool is searched without it then.

    Args:
        gallery: The pool.
        address: ``milvus://host:19530``, ``milvus+tls://user:password@host/database`` or ``milvus+lite:index.db``.

    Returns:
        What says whether the index has the last change: its ``words``; ``catch_up`` after many changes.

    Raises:
        ConfigError: The address cannot be read, or a pool of that kind can have no index.
        ExtraMissing: ``facepool[milvus]`` is not installed.
    """
    place = index_address(address)
    record = record_of(gallery)
    require("milvus")
    choose(gallery, replace(known_of(gallery).choice, index=place))
    follower = Follower(record, place)
    follower.catch_up()
    return follower
