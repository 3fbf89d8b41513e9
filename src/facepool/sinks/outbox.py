"""A bounded queue with a thread that delivers what is in it: what every sink is."""

import json
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Self
from urllib.parse import SplitResult, urlsplit

_log = logging.getLogger(__name__)

EventRecord = Mapping[str, object]
"""What happened, as JSON knows it: ``event`` says what, ``person`` who (or None)."""

_Item = tuple[EventRecord, bytes]
_LONGEST_WAIT_S = 30.0
_GIVE_UP_S = 600.0
"""An event that is older than this is dropped: nobody acts on it any more."""


class Unreachable(Exception):
    """The other side cannot be reached, or is overloaded: worth another attempt."""


class Rejected(Exception):
    """The other side does not want this event, and will not want it the next time."""


def split_address(url: str, schemes: Collection[str]) -> SplitResult | None:
    """The parts of a URL; None for one of another scheme, or whose host or port cannot be one."""
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number of a port
        (parts.hostname or "").encode("idna")  # raises where a part of the name is empty or too long
    except ValueError:
        return None
    return parts if parts.hostname and parts.scheme in schemes else None


class Outbox:
    """Takes events in no time and delivers them in order, each until it has arrived.

    A delivery that fails is tried again after a pause, which doubles; after ten minutes the event is dropped. A full
    queue drops its oldest event. Nothing here ever raises into the program that emits an event: what goes wrong is
    logged once when it begins, once when it ends, and counted.

    Args:
        deliver: Sends one event, given with its JSON text in UTF-8; called from the outbox's own thread. Raises
            ``Unreachable`` or ``Rejected``.
        where: The other side, for the log; without passwords.
        capacity: Events that may wait.
        first_wait_s: Longest pause before the second attempt; the pauses are random, so that many clients of a server
            that comes back do not come all at once.

    Attributes:
        delivered: Events that arrived.
        dropped: Events that never will.
    """

    def __init__(
        self,
        deliver: Callable[[EventRecord, bytes], None],
        where: str,
        *,
        capacity: int = 1000,
        first_wait_s: float = 0.5,
    ) -> None:
        self._deliver = deliver
        self._where = where
        self._waiting: deque[_Item] = deque()
        self._under_way: _Item | None = None
        self._capacity = capacity
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._deadline_s = float("inf")
        self._failing = False
        self._abandoned = False
        self.delivered = 0
        self.dropped = 0
        self._last_reason = ""
        self._first_wait_s = first_wait_s
        # A daemon: a server that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"events to {where}", daemon=True)
        self._thread.start()

    def put(self, event: EventRecord) -> None:
        """Take an event; returns at once. After ``close`` events are dropped."""
        try:
            item = _item(dict(event))
        except (TypeError, ValueError) as error:  # not JSON, or not text
            self._drop(f"it cannot be written as JSON ({error})")
            return
        with self._changed:
            if self._closing.is_set():
                self._drop("it came after the end")
                return
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._drop(f"more than {self._capacity} wait")
            self._waiting.append(item)
            self._changed.notify()

    @property
    def names(self) -> set[str]:
        """Everybody whom something that waits names, or an attempt that is under way."""
        with self._changed:
            waiting = [*self._waiting, *([] if self._under_way is None else [self._under_way])]
        told = (item[0].get(field) for item in waiting for field in ("person", "previous"))
        return {name for name in told if isinstance(name, str)}

    def forget(self, people: Collection[str]) -> None:
        """What waits does not name these people any more, nor does another attempt at what is under way."""
        names = frozenset(people)
        with self._changed:
            self._waiting = deque(_without(names, item) for item in self._waiting)
            if self._under_way is not None:
                self._under_way = _without(names, self._under_way)

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what waits, for so long at most, and end. The first failure now drops the rest."""
        self._deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._closing.set()
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._abandoned = True
            self._drop("the other side does not answer")
            self._give_up()
        if self.dropped:
            _log.warning("Events to %s: %d delivered, %d dropped", self._where, self.delivered, self.dropped)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def _run(self) -> None:
        while self._next() is not None:
            try:
                self._insist()
            except (Rejected, Unreachable) as error:
                if self._abandoned:  # it is counted already
                    return
                self._drop(str(error))
                if isinstance(error, Unreachable) and self._closing.is_set():
                    self._give_up()
            else:
                self.delivered += 1
                if self._failing:
                    self._failing = False
                    _log.warning("Events to %s arrive again", self._where)

    def _insist(self) -> None:
        """Deliver what is under way, again and again until it is too late.

        Raises:
            Rejected: The other side does not want the event.
            Unreachable: It could not be reached in all that time, or the end has come.
        """
        give_up_s = time.monotonic() + _GIVE_UP_S
        longest_s = self._first_wait_s
        while True:
            with self._changed:
                item = self._under_way  # anew: names may be forgotten between two attempts
            if item is None:
                return
            try:
                self._deliver(*item)
            except Unreachable as error:
                if self._closing.is_set() or time.monotonic() > give_up_s:
                    raise
                self._report_failure(error)
            else:
                return
            self._closing.wait(random.uniform(0, longest_s))  # noqa: S311 -- nothing secret about a pause
            longest_s = min(2 * longest_s, _LONGEST_WAIT_S)

    def _next(self) -> _Item | None:
        """The event to deliver now; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            if time.monotonic() > self._deadline_s:
                self._give_up()
            self._under_way = self._waiting.popleft() if self._waiting else None
            return self._under_way

    def _give_up(self) -> None:
        with self._changed:
            self.dropped += len(self._waiting)
            self._waiting.clear()

    def _drop(self, why: str) -> None:
        with self._changed:
            self.dropped += 1
            last_reason, self._last_reason = self._last_reason, why
        if why != last_reason:
            _log.warning("An event to %s is dropped: %s", self._where, why)

    def _report_failure(self, error: Unreachable) -> None:
        if not self._failing:
            self._failing = True
            _log.warning("Events to %s wait: %s", self._where, error)


def _item(event: EventRecord) -> _Item:
    """An event with its JSON text.

    Raises:
        TypeError: It cannot be JSON.
        ValueError: Nor text.
    """
    return event, json.dumps(event, ensure_ascii=False, allow_nan=False).encode()


def _without(people: Collection[object], item: _Item) -> _Item:
    """An item that names none of some people."""
    event = dict(item[0])
    if event.get("person") in people:
        event |= {"person": None, "person_id": None}
    if event.get("previous") in people:
        event["previous"] = None
    return item if event == item[0] else _item(event)
