"""Keeps who was seen: sightings of live recognition go in, and lie in the gallery's inbox, unknown people grouped.

`SightingKeeper.take` returns at once: a thread of its own writes, with a gallery of its own. What waits to be written
is bounded, and stands by while the gallery is locked, full or away. Which group a sighting belongs to is found inside
the transaction that keeps it, so that several processes may do so at once.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, Self
from uuid import uuid4

from facepool.errors import (
    DiskFull,
    FacepoolError,
    GroupGone,
    PoolGone,
    PoolLocked,
    PoolUnreachable,
    UnknownPerson,
    UnknownSighting,
)
from facepool.gallery import Gallery
from facepool.gallery.inbox import Inbox
from facepool.gallery.sightings import InboxBounds, InboxVectors, Kept
from facepool.groups.joining import VISIT_GAP_S, Belonging, belonging, overlap, visits
from facepool.recognize.sightings import TrackSighting
from facepool.thresholds import ThresholdPolicy
from facepool.types import SightedFaces, Sighting, counted

_MOST_WAITING = 500
"""Sightings that may wait to be kept: about 10 MB."""
_MOST_FOLLOWED = 10_000
"""Sightings of which it is remembered that they were kept, so that one that was deleted stays deleted."""
_MOST_TIMES = 2000
"""Times of somebody unknown that are looked at."""
_MOST_BESIDE = 100
"""Sightings among which those are sought who were before a camera at the same time."""
_AGAIN_S = 0.5
_CLOSE_S = 5.0
_TIDY_EVERY_S = 3600.0
_PASSING = (PoolLocked, PoolUnreachable, DiskFull)
"""What keeps sightings from being kept for a while."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeepOptions:
    """What is kept of who was seen.

    Attributes:
        unknown: Whether faces of unknown people are.
        recognized: Whether those of people who were recognized are.
        bounds: How much, and for how long.
    """

    unknown: bool = False
    recognized: bool = False
    bounds: InboxBounds = field(default_factory=InboxBounds)


@dataclass(frozen=True, slots=True)
class UnknownReturned:
    """Somebody unknown who was seen before is there again.

    Attributes:
        group: The number of their group: "Stranger 12".
        times: How often they were there, this time included.
        since: When they were there first, ISO 8601 in UTC with milliseconds.
        until: When they were there last, that is, now.
        similarity: Of the face to those of the group.
        sighting: The id of the sighting.
        source: The camera, for people.
        camera: Its key for other programs; empty: none of the server's.
        id: A UUID of its own, wherever it is told of.
        at: When it was noticed.
    """

    group: int
    times: int
    since: str
    until: str
    similarity: float
    sighting: str
    source: str
    camera: str = ""
    id: str = field(default_factory=lambda: str(uuid4()), compare=False)
    at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)

    def record(self) -> dict[str, object]:
        """As other programs hear of it."""
        return {
            "id": self.id,
            "at": self.at.isoformat(timespec="milliseconds"),
            "source": self.source,
            "event": "unknown_returned",
            "person": None,
            "person_id": None,
            "previous": None,
            "group": self.group,
            "times": self.times,
            "since": self.since,
            "until": self.until,
            "similarity": round(self.similarity, 4),
            "sighting": self.sighting,
        }


@dataclass(slots=True)
class KeepCounts:
    """What became of sightings since the start.

    Attributes:
        kept: How many were kept, each counted once.
        joined: How many of unknown people went to a group that was there.
        new_groups: How many of unknown people made a new one.
        crowded_out: How many that were kept went because there was no room.
        expired: How many went because their time was over.
        lost: How many could not be kept.
    """

    kept: int = 0
    joined: int = 0
    new_groups: int = 0
    crowded_out: int = 0
    expired: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A sighting to be kept.

    Attributes:
        seen: What there is of it.
        source: The camera, for people.
        camera: Its key for other programs.
        beside: Sightings of those who were there at the same time, and so are somebody else.
    """

    seen: TrackSighting
    source: str
    camera: str
    beside: frozenset[str]

    @property
    def sighting(self) -> Sighting:
        decision = self.seen.decision
        return Sighting(
            id=self.seen.id,
            source=self.source,
            since=_text_of(self.seen.since),
            until=_text_of(self.seen.until),
            person=decision.person,
            person_id=decision.person_id,
            similarity=decision.similarity,
            threshold=decision.threshold,
            frames=self.seen.frames,
        )


@dataclass(slots=True)
class _Followed:
    """A sighting that was kept: its group, if it is in one, and whether it may still find another one."""

    group: int | None
    alone: bool = False


class SightingKeeper:
    """Keeps sightings of one pool. Use it from any thread.

    Args:
        open_gallery: Opens the gallery for the keeper's own thread.
        policy: From which similarity on an unknown face is one of those that are kept.
        options: What is kept now; asked before each sighting.
        on_returned: Hears of unknown people who are there again.
        on_kept: Hears of each sighting of a known person that has ended and was kept, with its faces.
        say: Tells people what they should know, once for each reason.
        most_waiting: How many sightings may wait; of more, the oldest are not kept.
    """

    def __init__(
        self,
        open_gallery: Callable[[], AbstractContextManager[Gallery]],
        policy: ThresholdPolicy,
        options: Callable[[], KeepOptions],
        *,
        on_returned: Callable[[UnknownReturned], None] = lambda _returned: None,
        on_kept: Callable[[Gallery, Sighting, SightedFaces], None] = lambda _gallery, _sighting, _faces: None,
        say: Callable[[str], None] = _LOG.warning,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self._open_gallery = open_gallery
        self._policy = policy
        self._options = options
        self._on_returned = on_returned
        self._on_kept = on_kept
        self._say = say
        self._most_waiting = most_waiting
        self.counts = KeepCounts()
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._in_view: dict[str, set[str]] = {}
        self._thread: threading.Thread | None = None
        self._deadline_s: float | None = None
        self._is_withdrawn = False
        # The thread's own.
        self._followed: OrderedDict[str, _Followed] = OrderedDict()
        self._vectors: InboxVectors | None = None
        self._said: set[str] = set()
        self._tidied_s = -_TIDY_EVERY_S

    @property
    def waiting(self) -> int:
        """How many sightings wait to be kept."""
        with self._changed:
            return len(self._waiting)

    def take(
        self,
        source: str,
        sightings: Sequence[TrackSighting],
        *,
        place: str = "",
        camera: str = "",
        patience_s: float = 0.0,
    ) -> None:
        """Keep some sightings of one frame; returns at once, unless it may wait.

        Args:
            source: The camera, for people, as in the activity.
            sightings: What there is to keep.
            place: What those who are in view together have in common; empty: the source.
            camera: The camera's key for other programs, where it is one of the server's.
            patience_s: How long to wait for room where too many wait to be kept, for sources that can.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._most_waiting, patience_s)
            in_view = self._in_view.setdefault(place or source, set())
            in_view.update(seen.id for seen in sightings)
            for seen in sightings:
                self._put(_Waiting(seen, source, camera, frozenset(in_view - {seen.id})))
            in_view.difference_update(seen.id for seen in sightings if seen.ended)
            if not in_view:
                del self._in_view[place or source]
            self._start()
            self._changed.notify()

    def start(self) -> None:
        """Look after what was kept before, too: what is too old goes although nothing is kept any more."""
        with self._changed:
            self._start()

    def withdraw(self, patience_s: float = _CLOSE_S) -> bool:
        """Erase all that is kept of unknown people, what waits included; nothing of it comes after this.

        Call it when ``options`` says already that nothing of them is kept.

        Args:
            patience_s: How long to wait until it is done.

        Returns:
            Whether it is done; otherwise it is as soon as the gallery can be changed.
        """
        with self._changed:
            self._is_withdrawn = True
            for sighting_id, item in list(self._waiting.items()):
                if item.seen.decision.person is None:
                    del self._waiting[sighting_id]
            self._start()
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._is_withdrawn, patience_s)

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Keep what waits, for so long at most."""
        with self._changed:
            self._deadline_s = time.monotonic() + timeout_s
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s + _AGAIN_S)
        if left := self.waiting:
            self.counts.lost += left
            self._say(f"{counted(left, 'sighting')} could not be kept")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def _put(self, item: _Waiting) -> None:
        before = self._waiting.pop(item.seen.id, None)
        if before is not None:
            item = _Waiting(item.seen, item.source, item.camera, item.beside | before.beside)
        elif len(self._waiting) >= self._most_waiting:
            self._waiting.popitem(last=False)
            self.counts.lost += 1
            self._say_once("more is seen than can be kept: some sightings are left out")
        self._waiting[item.seen.id] = item

    def _start(self) -> None:
        if self._thread is None and self._deadline_s is None:
            self._thread = threading.Thread(target=self._run, name="facepool-sightings", daemon=True)
            self._thread.start()

    # What follows runs in the thread.

    def _run(self) -> None:
        while not self._over():
            try:
                with self._open_gallery() as gallery:
                    self._work(gallery)
            except PoolGone:
                self._vectors = None
                self._pause()
            except FacepoolError as error:  # it is busy, or its database is away
                self._say_once(f"nothing can be kept of who is seen for now: {error.why or error.what}")
                self._pause()

    def _over(self) -> bool:
        with self._changed:
            if self._deadline_s is None:
                return False
            return not (self._waiting or self._is_withdrawn) or time.monotonic() >= self._deadline_s

    def _pause(self) -> None:
        with self._changed:
            if self._deadline_s is None:
                self._changed.wait(_AGAIN_S)
                return
        time.sleep(_AGAIN_S / 5)

    def _work(self, gallery: Gallery) -> None:
        while not self._over():
            self._erase_if_withdrawn(gallery.inbox)
            self._tidy(gallery.inbox)
            item = self._next()
            if item is None:
                continue
            try:
                returned = self._keep_item(gallery, item)
            except (*_PASSING, PoolGone):
                self._put_back(item)
                raise
            except UnknownPerson:  # who was erased meanwhile
                continue
            except FacepoolError as error:
                self.counts.lost += 1
                self._say_once(f"a sighting cannot be kept: {error.why or error.what}")
                continue
            if returned is not None:
                self._on_returned(returned)
            if item.seen.ended and item.seen.decision.person is not None and item.seen.id in self._followed:
                self._hand_on(gallery, item)

    def _next(self) -> _Waiting | None:
        with self._changed:
            if not (self._waiting or self._is_withdrawn) and self._deadline_s is None:
                self._changed.wait(_TIDY_EVERY_S / 60)
            item = self._waiting.popitem(last=False)[1] if self._waiting else None
            self._changed.notify_all()  # there is room
            return item

    def _put_back(self, item: _Waiting) -> None:
        """To be kept first of all, unless something newer of it has come."""
        with self._changed:
            if item.seen.id not in self._waiting:
                self._waiting[item.seen.id] = item
                self._waiting.move_to_end(item.seen.id, last=False)

    def _erase_if_withdrawn(self, inbox: Inbox) -> None:
        if not self._is_withdrawn:
            return
        inbox.forget_unknown()  # here, because whatever this thread was keeping is kept by now
        with self._changed:
            self._is_withdrawn = False
            self._changed.notify_all()

    def _tidy(self, inbox: Inbox) -> None:
        if time.monotonic() - self._tidied_s < _TIDY_EVERY_S:
            return
        self.counts.expired += inbox.expire(self._options().bounds)
        self._tidied_s = time.monotonic()

    def _keep_item(self, gallery: Gallery, item: _Waiting) -> UnknownReturned | None:
        """Keep a sighting, or what is new of it. Returns the news where somebody unknown is there again."""
        options, inbox, seen = self._options(), gallery.inbox, item.seen
        is_named = seen.decision.person is not None
        if not (options.recognized if is_named else options.unknown):
            if seen.id in self._followed:  # it was somebody else before
                self._drop(inbox, seen.id)
            return None
        if is_named:
            kept = inbox.keep(item.sighting, seen.faces, options.bounds, again=seen.id in self._followed)
            self._follow(seen.id, kept, group=None)
            return None
        try:
            return self._keep_unknown(gallery, item, options.bounds)
        except GroupGone:  # somebody named it, or deleted it, at this very moment
            return self._keep_unknown(gallery, item, options.bounds)

    def _drop(self, inbox: Inbox, sighting_id: str) -> None:
        """Delete a sighting that is to be kept no more, unless somebody has said who it is: that can be undone."""
        with inbox.change(), suppress(UnknownSighting):
            sighting = inbox.sighting(sighting_id)
            if sighting.named_at and sighting.person_id is not None:
                return
            inbox.delete_sighting(sighting_id)
        self._followed.pop(sighting_id, None)

    def _keep_unknown(self, gallery: Gallery, item: _Waiting, bounds: InboxBounds) -> UnknownReturned | None:
        inbox, sighting, followed = gallery.inbox, item.sighting, self._followed.get(item.seen.id)
        self._vectors = inbox.vectors(self._vectors)  # most of it is read before others have to wait
        returned, calibration = None, gallery.calibration()
        with inbox.change():
            vectors = inbox.vectors(self._vectors)
            own = self._own_group(inbox, item.seen.id)
            settled = own is not None and followed is not None and not followed.alone
            others = self._without(inbox, item, own)
            found = belonging(
                item.seen.faces,
                vectors,
                self._policy,
                calibration=calibration,
                without=others,
                apart_from=inbox.apart_from,
            )
            group = own if settled else found.group
            if group is not None and group != own:
                returned = _returned(inbox, item, group, found)
            wanted: int | Literal["new"] = "new" if group is None and own is None else (group or own or "new")
            kept = inbox.keep(sighting, item.seen.faces, bounds, wanted, again=followed is not None)
            if kept.group is not None and _is_open(inbox, kept.group):
                for other in found.likely:
                    if other.group != kept.group:
                        inbox.propose(kept.group, other.group, other.similarity)
        self._follow(item.seen.id, kept, group=kept.group, alone=group is None)
        return returned if kept.is_kept and kept.group == group else None  # else they were named meanwhile

    def _own_group(self, inbox: Inbox, sighting_id: str) -> int | None:
        """The group that a sighting is in by now, into which somebody may have put it: then it stays there."""
        followed = self._followed.get(sighting_id)
        if followed is None:
            return None
        try:
            number = inbox.sighting(sighting_id).group
        except UnknownSighting:
            return None
        if number is None:
            return None
        group = inbox.group(number)
        is_ours = number == followed.group and group.sightings == 1 and group.state == "open"
        followed.alone = followed.alone and is_ours
        return number

    def _without(self, inbox: Inbox, item: _Waiting, own: int | None) -> set[int]:
        """Groups that a sighting cannot belong to: its own, and those of who was before the camera at the same time."""
        numbers = {self._followed[other].group for other in item.beside if other in self._followed}
        without = {number for number in (*numbers, own) if number is not None}
        sighting = item.sighting
        for other in inbox.sightings(limit=_MOST_BESIDE):
            if other.group is not None and overlap(sighting, other):
                without.add(other.group)
        return without

    def _follow(self, sighting_id: str, kept: Kept, *, group: int | None, alone: bool = False) -> None:
        counts, is_first = self.counts, sighting_id not in self._followed
        self._count_dropped(kept)
        if not kept.is_kept:
            return
        counts.kept += is_first
        counts.new_groups += kept.is_new_group
        counts.joined += group is not None and not alone and is_first
        self._followed[sighting_id] = _Followed(group, alone)
        self._followed.move_to_end(sighting_id)
        while len(self._followed) > _MOST_FOLLOWED:
            self._followed.popitem(last=False)

    def _count_dropped(self, kept: Kept) -> None:
        self.counts.crowded_out += kept.crowded_out
        self.counts.expired += kept.expired
        if kept.crowded_out:
            bounds = self._options().bounds
            self._say_once(
                f"there is no room for more than {bounds.sightings} sightings or {bounds.bytes / 1e6:.0f} MB: the "
                "oldest go, first those of people who were seen once (--keep-sightings, --keep-mb)"
            )

    def _hand_on(self, gallery: Gallery, item: _Waiting) -> None:
        try:
            sighting = gallery.inbox.sighting(item.seen.id)
            faces = gallery.inbox.faces([item.seen.id])[item.seen.id]
            self._on_kept(gallery, sighting, faces)
        except (FacepoolError, KeyError) as error:
            _LOG.info("a sighting is not handed on: %s", type(error).__name__)  # its words may name who was erased

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def _returned(inbox: Inbox, item: _Waiting, group: int, found: Belonging) -> UnknownReturned | None:
    """The news that somebody unknown is there again; None where they were not away, or nobody wants to hear of them."""
    if not _is_open(inbox, group):
        return None
    earlier = [one for one in inbox.sightings(group=group, limit=_MOST_TIMES) if one.id != item.seen.id]
    if not earlier:
        return None
    latest = max(datetime.fromisoformat(one.until) for one in earlier)
    if item.seen.since - latest <= timedelta(seconds=VISIT_GAP_S):
        return None
    return UnknownReturned(
        group=group,
        times=visits([*earlier, item.sighting]),
        since=min(one.since for one in earlier),
        until=item.sighting.until,
        similarity=found.similarity or 0.0,
        sighting=item.seen.id,
        source=item.source,
        camera=item.camera,
    )


def _is_open(inbox: Inbox, group: int) -> bool:
    return inbox.group(group).state == "open"


def _text_of(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
