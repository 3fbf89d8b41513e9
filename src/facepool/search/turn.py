"""What one process does to the index of a pool while no other one may.

What the index lacks is read from the pool (`facepool.gallery.index_rows`), so whatever is cut off is done again from
where the pool knows the index to be, and doing a thing twice does no harm.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from facepool.errors import IndexUnreachable, IndexUnusable, UnknownIndex
from facepool.gallery.base import Report
from facepool.gallery.columns import Numbers
from facepool.gallery.index_address import IndexAddress
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
from facepool.search.engine import Engine, OpenEngine
from facepool.search.index_status import changed_by_others

_AT_ONCE = 8192
_WORTH_BUILDING = 5000
"""Templates that a server looks at one by one; more of them are searched well only when they are in what it builds."""
_BUILT_EVERY = 4096
"""Whenever so many have come by ones and twos, they are built in, too."""
_ROUNDS = 5
"""So often somebody may change the pool meanwhile, until the rest is left to the next time."""
_FOLLOW_EVERY_S = 2.0
"""While an index is filled, how often others' changes are looked at."""
_NO_NUMBER = (1 << 63) - 1
"""Above any template's."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done to an index.

    Attributes:
        put: Templates that went there.
        removed: Templates that left it, or were not there.
        position: The revision of the pool up to which it has everything now.
        made: Whether a new collection was filled.
        abandoned: Names of collections that were forgotten but not deleted: another pool may use them.
    """

    put: int = 0
    removed: int = 0
    position: int = 0
    made: bool = False
    abandoned: tuple[str, ...] = ()


class Turn:
    """What one process does while it alone may change the index of a pool."""

    def __init__(self, record: SqlGallery, address: IndexAddress, open_engine: OpenEngine, report: Report) -> None:
        self._record = record
        self._address = address
        self._open = open_engine
        self._report = report
        self._put = self._removed = self._position = 0
        self._abandoned: list[str] = []
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
        return Synced(self._put, self._removed, self._position, made, tuple(self._abandoned))

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
            if row.has_left(stamp):
                if stamp != row.newest_stamp:
                    self._put_back.add(row.collection)
                return True
        if not even_anothers:
            raise changed_by_others(self._address)
        self._abandon(row)
        return False

    def _forget(self, row: IndexRow) -> None:
        with self._record.changing() as db:
            delete_index(db, row.collection)

    def _abandon(self, row: IndexRow) -> None:
        """Forget a collection without deleting it: another pool may be using it."""
        self._abandoned.append(row.collection)
        self._forget(row)

    def _drop_leaving(self) -> None:
        for row in self._rows():
            if row.state != "leaving":
                continue
            with self._engine(row) as engine:
                if engine.exists():
                    if not row.has_left(engine.stamp()):
                        self._abandon(row)
                        continue
                    engine.drop()
            self._forget(row)

    def _new(self) -> IndexRow | None:
        """Have the pool remember a collection that is to be made; None: it has no template yet.

        An address that was mistyped, or lets nobody in, is not remembered: every command would speak of it for ever.
        """
        with self._record.reading() as db:
            dimension, space, revision = dimension_of(db), read_space(db), revision_of(db)
        if not dimension:
            return None
        row = IndexRow.new(self._address.place, dimension, space.id if space else "", revision)
        self._write(row)  # first: it may be cut off in between
        try:
            with self._engine(row) as engine:
                engine.create(dimension)
        except (IndexUnreachable, IndexUnusable):
            self._forget(row)
            raise
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
                engine.set_stamp(row.newest_stamp)
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
            engine.settle()
            if total > _WORTH_BUILDING:
                engine.finish()
            row = replace(row, at=moment())
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
                with self._record.reading() as db:
                    gone = removed_after(db, row.position, pending.revision)
                if len(gone):  # first: to put very many may take long
                    engine.remove(gone)
                    self._removed += len(gone)
                is_worth_building = self._put_newer(engine, row, pending)
                if thoroughly or pending.replaced:
                    put_before = self._put
                    self._compare(engine)
                    is_worth_building |= self._put - put_before > _WORTH_BUILDING
                engine.settle()
                if is_worth_building:
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
        row = row.with_new_stamp()
        self._write(row)  # first: it may be cut off in between
        engine.set_stamp(row.newest_stamp)
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
