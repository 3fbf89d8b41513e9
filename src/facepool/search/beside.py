"""Lists of the templates nearest to faces from an index beside the gallery, which follows it and may be behind.

The gallery is the record. What the index has not yet, the tail, is read from the gallery and compared here, template by
template; whoever the index lists and the gallery has no more is passed over. So an answer is as new as the gallery, as
long as the tail is short enough to be compared.

`Beside` has what a process knows of the index: whether it is away, so that nobody waits for it twice, and how far what
it shows may lag behind what it has.
"""

import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from weakref import ref

import numpy as np

from facepool.errors import IndexUnreachable, IndexUnusable, PoolError
from facepool.gallery.columns import Numbers
from facepool.gallery.database import Database, select
from facepool.gallery.index_address import IndexAddress
from facepool.gallery.index_rows import IndexRow, read_index
from facepool.gallery.rows import read_space
from facepool.search import exact
from facepool.search.listed import Listed
from facepool.search.milvus import LONGEST_LIST, MilvusIndex
from facepool.search.mirror import vector_of
from facepool.search.state import Behind, BehindReason
from facepool.types import Floats, Indices, counted

LONGEST_TAIL = 8192
"""Templates of the tail that are compared, the newest ones; 20 ms of 128 numbers."""
_SETTLED_S = 10.0
"""After so long every search of a server sees what it has, whichever of its machines answers: twice its default."""
_RECENT_S = 60.0
_TOLERATED_S = 30.0
"""An index that lags for so long has nobody who brings it up to date."""
_TRY_EVERY_S = 1.0
_TRY_UNUSABLE_S = 10.0

_OWNERS = """
    SELECT templates.id, samples.person_id FROM templates JOIN samples ON samples.id = templates.sample_id
    WHERE templates.id IN ({})
"""
_TAIL = """
    SELECT samples.person_id, templates.revision, templates.embedding FROM templates
    JOIN samples ON samples.id = templates.sample_id
    WHERE templates.revision > ? ORDER BY templates.revision DESC LIMIT ?
"""
_COUNT = "SELECT count(*) FROM templates WHERE revision > ?"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tail:
    """Templates of the gallery that the index may not have.

    Attributes:
        people: (T,) int64, rows of their owners.
        vectors: (T, D) float32.
        newest: The revision of the newest one; 0: there is none.
        left_out: How many more there are.
    """

    people: Indices
    vectors: Floats
    newest: int
    left_out: int

    @classmethod
    def read(cls, db: Database, since: int, dimension: int) -> "Tail":
        """Those that are newer than a revision."""
        rows = db.execute(_TAIL, (since, LONGEST_TAIL + 1)).fetchall()
        left_out = 0
        if len(rows) > LONGEST_TAIL:
            (count,) = db.execute(_COUNT, (since,)).fetchone()
            rows, left_out = rows[:LONGEST_TAIL], count - LONGEST_TAIL
        return cls(
            people=np.array([person for person, _, _ in rows], np.int64),
            vectors=vector_of(b"".join(blob for _, _, blob in rows)).reshape(len(rows), dimension),
            newest=rows[0][1] if rows else 0,
            left_out=left_out,
        )


class IndexLists:
    """Lists of an index, with the tail; see ``facepool.search.listed.Lists``.

    Args:
        index: Lists numbers.
        tail: What it may not have.
        db: The gallery at one moment, which has the people.
        settled: Whether to wait for what the index has, and may not show yet.
        expected: How many templates the index has to have.

    Raises:
        IndexUnusable: It lists far fewer: whatever it has lost, it does not say so itself.
    """

    longest = LONGEST_LIST

    def __init__(self, index: MilvusIndex, tail: Tail, db: Database, *, settled: bool, expected: int = 0) -> None:
        self._index = index
        self._expected = expected
        self._tail = tail
        self._db = db
        self._settled = settled
        self.slack = exact.rounding_slack(tail.vectors.shape[1])

    def nearest(self, views: Floats, length: int) -> list[Listed]:
        """For each of (V, D) views the people of so many templates, and everybody of the tail."""
        length = min(length, self.longest)
        lists = self._index.nearest(views, length, settled=self._settled)
        fewest = min((len(numbers) for numbers, _ in lists), default=length)
        if fewest < min(length, self._expected) // 2:  # one that is searched by approximation may miss some
            raise IndexUnusable(
                "The index cannot be used",
                why=f"it lists {counted(fewest, 'template')} and should have {self._expected:,}",
                fix="Have both sides compared: facepool index sync",
            )
        owners = self._owners(np.concatenate([numbers for numbers, _ in lists]) if lists else np.zeros(0, np.int64))
        products = views @ self._tail.vectors.T
        found = []
        for (numbers, similarities), of_tail in zip(lists, products, strict=True):
            those = np.array([owners.get(number, -1) for number in numbers.tolist()], np.int64)
            here = those >= 0
            people, place = np.unique(np.concatenate([those[here], self._tail.people]), return_inverse=True)
            best = np.full(len(people), -np.inf, np.float32)
            np.maximum.at(best, place, np.concatenate([similarities[here], of_tail]))
            last = float(similarities.min(initial=np.inf))
            found.append(Listed(people, best, last, whole=len(numbers) < length))
        return found

    def _owners(self, numbers: Numbers) -> dict[int, int]:
        """The row of the owner by the number of the template; without templates that are gone."""
        return dict(select(self._db, _OWNERS, np.unique(numbers).tolist()))


class Beside:
    """What a process knows of the index beside a gallery, for all its threads.

    Args:
        address: Of the index.

    Attributes:
        behind: Why it is not searched, or does not have everything, as was seen last; None: it has.
        away: Why it is not asked now; None: it can be.
    """

    def __init__(self, address: IndexAddress) -> None:
        self.behind: Behind | None = None
        self.away: PoolError | None = None
        self._address = address
        self._row: IndexRow | None = None
        self._index: MilvusIndex | None = None
        self._shown: deque[tuple[float, int]] = deque()
        self._lagging_since: datetime | None = None
        self._lock = threading.Lock()

    def lists(self, db: Database, dimension: int, templates: int = 0) -> IndexLists | None:
        """What lists the templates of the gallery; None: the gallery has no whole index there.

        Args:
            db: The gallery at one moment.
            dimension: Length of its vectors.
            templates: How many it has.
        """
        row, space = read_index(db, self._address.place), read_space(db)
        is_of_pool = row is not None and (row.dimension, row.space) == (dimension, space.id if space else "")
        if row is None or not is_of_pool or row.failure == IndexUnusable.code:
            self._note("not_whole")
            return None
        index, since, settled = self._opened(row)
        tail = Tail.read(db, since, dimension)
        self._note_tail(tail)
        expected = templates - len(tail.people) - tail.left_out
        return IndexLists(index, tail, db, settled=settled, expected=expected)

    def note_failure(self, error: IndexUnreachable | IndexUnusable) -> None:
        """Ask the index no more until it answers again, which a thread of its own tries."""
        with self._lock:
            if self.away is not None:
                return
            self.away = error
            self._set("index_away" if isinstance(error, IndexUnreachable) else "not_whole")
        first_s = 0.0 if isinstance(error, IndexUnreachable) else _TRY_UNUSABLE_S
        with suppress(RuntimeError):  # the system has no thread left
            threading.Thread(target=_wait, args=(ref(self), first_s), name="facepool-index-away", daemon=True).start()
            return
        self.away = None

    def look(self, db: Database) -> None:
        """Note whether the index still is behind, for a process in which nobody may search for a while.

        Args:
            db: The gallery at one moment.
        """
        row = read_index(db, self._address.place)
        if row is not None:
            self.lists(db, row.dimension)

    def answers(self) -> bool:
        """Whether the index answers a search. One that was deleted may have been made anew: whoever uses it sees."""
        index, row = self._index, self._row
        if index is None or row is None:
            return True
        try:
            index.nearest(np.zeros((1, row.dimension), np.float32), 1)
        except IndexUnreachable:
            return False
        except IndexUnusable:
            pass
        return True

    def _opened(self, row: IndexRow) -> tuple[MilvusIndex, int, bool]:
        """The collection, the revision up to which its searches show all, and whether that needs waiting for."""
        now = time.monotonic()
        with self._lock:
            if self._index is None or self._row is None or self._row.collection != row.collection:
                self._index = MilvusIndex(self._address, row.collection)
                self._shown.clear()
            if self._shown and row.position < self._shown[-1][1]:
                self._shown.clear()
            self._row = row
            if not self._shown or self._shown[-1][1] != row.position:
                self._shown.append((now, row.position))
            while len(self._shown) > 1 and self._shown[1][0] < now - _SETTLED_S:
                self._shown.popleft()
            seen_at, since = self._shown[0]
            return self._index, since, seen_at > now - _SETTLED_S and _age_s(row.at) < _RECENT_S

    def _note_tail(self, tail: Tail) -> None:
        row = self._row
        if row is None or not len(tail.people) or row.position >= tail.newest:
            self._lagging_since = None
            self._note(None)
            return
        now = datetime.now(UTC)
        since = self._lagging_since = self._lagging_since or now
        lags = tail.left_out or (now - since).total_seconds() > _TOLERATED_S
        self._note("following" if lags else None, tail.left_out, since)

    def _note(self, reason: BehindReason | None, templates: int = 0, since: datetime | None = None) -> None:
        with self._lock:
            if self.away is None:  # otherwise who began before it went away would hide that
                self._set(reason, templates, since)

    def _set(self, reason: BehindReason | None, templates: int = 0, since: datetime | None = None) -> None:
        before = self.behind
        if before is not None and before.reason == reason:
            since = before.since
        self.behind = None if reason is None else Behind(templates, since or datetime.now(UTC), reason)


def _wait(beside: "ref[Beside]", first_s: float) -> None:
    """Try until an index answers again, or nobody asks for it any more; one that is of no use rests first."""
    try:
        time.sleep(first_s)
        while (asked := beside()) is not None and not asked.answers():
            del asked
            time.sleep(_TRY_EVERY_S)
    finally:  # whatever went wrong here, nobody else would ever ask again
        waiting = beside()
        if waiting is not None:
            waiting.away = None


def _age_s(at: str) -> float:
    """How long ago a moment was that a row says, by the clock of whoever wrote it."""
    try:
        return abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())
    except ValueError:
        return 0.0
