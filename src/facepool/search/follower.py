"""Brings an index up to date with its pool: what is new goes there, what is gone leaves it, and nobody waits in vain.

The pool is the record. Only one process at a time brings the index of a pool up to date: whose turn it is, the pool
says (`SqlGallery.index_turn`), and what is done in it is in ``turn``. How they stand says ``index_status``.

``sync`` does what is left to be done, ``rebuild`` makes the index anew beside the one that is searched, ``remove``
deletes it. `IndexFollower` syncs after each change that a gallery of this process makes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from facepool.errors import FacepoolError, IndexUnusable, PoolLocked
from facepool.extras import require
from facepool.gallery import Gallery
from facepool.gallery.base import Report
from facepool.gallery.index_address import IndexAddress, index_address
from facepool.gallery.index_rows import pending_of, read_indexes
from facepool.gallery.sql import SqlGallery
from facepool.search.engine import OpenEngine, milvus
from facepool.search.index_status import record_of, still_there
from facepool.search.known import choose, known_of
from facepool.search.turn import Synced, Turn
from facepool.types import counted

_PATIENCE_S = 10.0
"""How long to wait for another process that brings the index up to date."""
_LOOK_EVERY_S = 0.5
_PAUSES = 5
"""So many times as long as it took to bring an index up to date, others may wait who store more and more."""
_LONGEST_PAUSE_S = 60.0
_AGAIN_S = 5.0
"""How long nobody asks an index again that was away: each change would wait for it anew."""


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
    with _turn(gallery, address, open_engine, patience_s, report) as turn:
        return turn.sync(thoroughly=thoroughly)


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
    with _turn(gallery, address, open_engine, patience_s, report) as turn:
        return turn.rebuild()


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
    with _turn(gallery, address, open_engine, patience_s) as turn:
        return turn.remove(forget=forget)


def tidy(
    gallery: Gallery, address: IndexAddress, *, open_engine: OpenEngine = milvus, patience_s: float = _PATIENCE_S
) -> Synced:
    """Delete what is to be deleted at an index, and nothing else; raises what `sync` raises."""
    with _turn(gallery, address, open_engine, patience_s) as turn:
        return turn.tidy()


@contextmanager
def _turn(
    gallery: Gallery,
    address: IndexAddress,
    open_engine: OpenEngine,
    patience_s: float,
    report: Report = lambda _done, _total: None,
) -> Iterator[Turn]:
    """What this process does to an index while no other one may: as long as the block takes."""
    record = record_of(gallery)
    with record.index_turn(patience_s):
        yield Turn(record, address, open_engine, report)


class IndexFollower:
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
        erased = f" {counted(left, 'view')} that left the pool may still be in it." if left else ""
        by_itself = "The next change, a server of facepool, or facepool index sync makes up for it"
        fix = self.problem.fix if isinstance(self.problem, IndexUnusable) else by_itself
        return f"The index {self._address} does not have the last change yet: {why}.{erased} {fix}."


def use_index(gallery: Gallery, address: str | IndexAddress) -> IndexFollower:
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
    parsed = index_address(address)
    record = record_of(gallery)
    require("milvus")
    choose(gallery, replace(known_of(gallery).choice, index=parsed))
    follower = IndexFollower(record, parsed)
    follower.catch_up()
    return follower
