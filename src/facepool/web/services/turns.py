"""Clients take turns: one that asks for much waits for itself, not the others for it.

`Line` is the order: everybody's first comes before anybody's second. `Places` lets threads wait for room in it, and
`Workers` work that waits for a thread. Who a thread works for is `whose_turn`.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar, cast

from facepool.web.problems import ServerBusy

Item = TypeVar("Item")
Result = TypeVar("Result")

_WORKING_FOR: ContextVar[str] = ContextVar("working_for")


def whose_turn() -> str:
    """The client that this thread works for; a thread that nobody has said it of, such as a camera's, is its own."""
    return _WORKING_FOR.get("") or f"thread {threading.get_ident()}"


def work_for(client: str) -> None:
    """This thread works for a client from now on."""
    _WORKING_FOR.set(client)


class Line(Generic[Item]):
    """What waits, by whom it is for; for one thread at a time."""

    def __init__(self) -> None:
        self._of: dict[str, deque[Item]] = {}

    def __len__(self) -> int:
        """How much waits."""
        return sum(map(len, self._of.values()))

    def put(self, client: str, item: Item) -> None:
        """Let something wait behind all else of its client."""
        self._of.setdefault(client, deque()).append(item)

    def take(self, may: Callable[[str, Item], bool] = lambda _client, _item: True) -> tuple[str, Item] | None:
        """What comes next, of the client whose turn is longest ago; None: nothing may.

        Args:
            may: Whether it may be something of a client. If not, that stays, and the next client's turn comes.
        """
        for client, items in self._of.items():
            if may(client, items[0]):
                item = items.popleft()
                del self._of[client]
                if items:
                    self._of[client] = items  # behind all others
                return client, item
        return None

    def first(self) -> list[tuple[str, Item]]:
        """What comes next of each client, whose turn is longest ago first."""
        return [(client, items[0]) for client, items in self._of.items()]

    def remove(self, client: str, item: Item) -> None:
        """Let something wait no longer, if it still does."""
        items = self._of.get(client, deque())
        if item in items:
            items.remove(item)
            if not items:
                del self._of[client]

    def clear(self) -> list[Item]:
        """All that waits, which waits no longer."""
        items = [item for items in self._of.values() for item in items]
        self._of.clear()
        return items


@dataclass(slots=True, eq=False)
class _Wish:
    """Room that a thread waits for.

    Attributes:
        size: How much.
        since_s: From when on it is the next of its client.
        given: It has it.
    """

    size: int
    since_s: float = field(default_factory=time.monotonic)
    given: threading.Event = field(default_factory=threading.Event)


class Places:
    """Room for threads, which wait for it in turn.

    Those for whom there is room enough pass one for whom there is not. After a while nobody does, or one who wants much
    would wait for ever while many want little.

    Args:
        room: How much there is.
        each: How much of it one client may take. More than that is given to one that has nothing yet.
        patience_s: How long somebody is passed who waits for others, and not for room of their own.
    """

    def __init__(self, room: int, each: int, *, patience_s: float = 10.0) -> None:
        self._room = room
        self._each = each
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._line: Line[_Wish] = Line()
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many threads wait."""
        return len(self._line)

    @contextmanager
    def place(self, size: int = 1) -> Iterator[None]:
        """Room for the block, for the client that this thread works for."""
        self.take(size)
        try:
            yield
        finally:
            self.give_back(size)

    def take(self, size: int) -> None:
        """Wait for room, for the client that this thread works for; it gives it back."""
        wish = _Wish(size)
        with self._lock:
            self._line.put(whose_turn(), wish)
            self._give()
        wish.given.wait()

    def take_now(self, size: int) -> bool:
        """Take room if there is some at this moment."""
        client = whose_turn()
        with self._lock:
            fits = self._late() is None and self._fits(client, size)
            if fits:
                self._taken[client] += size
            return fits

    def give_back(self, size: int) -> None:
        """Room that this thread has taken, or a part of it, is others'."""
        client = whose_turn()
        with self._lock:
            self._taken -= Counter({client: size})  # which forgets a client without any
            self._give()

    def _give(self) -> None:
        while (following := self._line.take(partial(self._may, self._late()))) is not None:
            client, wish = following
            self._taken[client] += wish.size
            for one, its_next in self._line.first():
                if one == client:
                    its_next.since_s = time.monotonic()
            wish.given.set()

    def _may(self, late: _Wish | None, client: str, wish: _Wish) -> bool:
        return (late is None or wish is late) and self._fits(client, wish.size)

    def _late(self) -> _Wish | None:
        """Who is passed by nobody any more."""
        before_s = time.monotonic() - self._patience_s
        waiting = self._line.first()
        late = (wish for client, wish in waiting if wish.since_s < before_s and self._is_share(client, wish.size))
        return next(late, None)

    def _fits(self, client: str, size: int) -> bool:
        all_taken = self._taken.total()
        return self._is_share(client, size) and (all_taken == 0 or all_taken + size <= self._room)

    def _is_share(self, client: str, size: int) -> bool:
        own = self._taken[client]
        return own == 0 or own + size <= self._each


class Workers:
    """Threads that work for clients in turn.

    Args:
        threads: How many there are.
        threads_each: How many of them one client may hold.
        most: How much work may be here at once, what waits and what is worked on.
        most_each: How much of it may be one client's.
        name: Of the threads.
    """

    def __init__(self, threads: int, threads_each: int, most: int, most_each: int, name: str) -> None:
        self._free = threads
        self._threads_each = threads_each
        self._most = most
        self._most_each = most_each
        self._lock = threading.Lock()
        self._line: Line[Future[object]] = Line()
        self._work: dict[Future[object], Callable[[], object]] = {}
        """What waits, by where its result is waited for: nothing of it is kept by that, nor a picture by its answer."""
        self._here: Counter[str] = Counter()
        self._working: Counter[str] = Counter()
        self._closed = False
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def __len__(self) -> int:
        """How much work is here."""
        return self._here.total()

    def submit(self, client: str, work: Callable[[], Result]) -> "Future[Result]":
        """Have something done when it is the client's turn.

        Raises:
            ServerBusy: Too much is here already, of everybody or of this client; no thread can be started; or the
                server ends.
        """
        future: Future[object] = Future()
        with self._lock:
            self._check_room(client)
            self._here[client] += 1
            self._work[future] = work
            self._line.put(client, future)
        # Work that was given up while it waited must not wait on: it holds a picture, and its place is another's.
        future.add_done_callback(partial(self._left, client))
        try:
            with self._lock:
                self._begin()
        except RuntimeError as error:  # the system has no thread for it
            future.cancel()
            raise busy("no thread can be started") from error
        return cast("Future[Result]", future)

    def close(self) -> None:
        """Take nothing more; those that wait get an error that says so, and what is begun is finished."""
        with self._lock:
            self._closed = True
            waiting = self._line.clear()
            self._work.clear()
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(ended())
        self._threads.shutdown()

    def _check_room(self, client: str) -> None:
        if self._closed:
            raise ended()
        if self._here.total() >= self._most:
            raise busy(f"{self._here.total()} pictures wait")
        if self._here[client] >= self._most_each:
            raise busy(f"{self._here[client]} pictures of yours wait, and one client may have {self._most_each}")

    def _begin(self) -> None:
        while self._free and (following := self._line.take(lambda one, _: self._working[one] < self._threads_each)):
            client, future = following
            self._free -= 1
            self._working[client] += 1
            self._threads.submit(self._do, client, self._work.pop(future), future)

    def _do(self, client: str, work: Callable[[], object], future: "Future[object]") -> None:
        work_for(client)
        try:
            if future.set_running_or_notify_cancel():
                _fulfil(work, future)
        finally:
            del work, future
            with self._lock:
                self._free += 1
                self._working -= Counter({client: 1})
                if not self._closed:
                    self._begin()

    def _left(self, client: str, future: "Future[object]") -> None:
        with self._lock:
            self._work.pop(future, None)
            self._line.remove(client, future)
            self._here -= Counter({client: 1})


def _fulfil(work: Callable[[], object], future: "Future[object]") -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 -- it is raised where the work was asked for, and the thread goes on
        future.set_exception(error)
        del work, future  # the error holds this frame: in a circle, a picture would stay for minutes
    else:
        future.set_result(result)


def busy(why: str) -> ServerBusy:
    """Too many others want something, or one wants too much."""
    return ServerBusy("The server is busy", why=why, fix="Try again in a moment, or send fewer")


def ended() -> ServerBusy:
    """Nothing is done any more."""
    return ServerBusy("The server ends", fix="Try again when it has started anew")
