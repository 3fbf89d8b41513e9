"""How much one client may ask for."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeGuard

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from facepool.errors import ConfigError
from facepool.web.connections import network_of
from facepool.web.problems import ServerBusy, TooManyRequests
from facepool.web.services.processes import Peer, Processes

REQUESTS = "6000/minute"
FAILURES = "10/minute"
SESSIONS = 32
SESSIONS_EACH = 8
_FEW = 50
"""Clients that have used less than this part of their limit (1 / 50) are not reported to other processes."""
_MOST_TOLD = 200
_MOST_BUSY = 10_000
_Client = tuple[str, str]
"""What they do, and who they are."""


class Limits:
    """Counts what clients do.

    Where several processes serve a pool, each counts for itself, tells the others once a second what clients have done
    that do much, and adds what the others have told: nobody asks the database for a request's sake.

    Addresses of IPv6 are counted by the 64 bits that one client has as a whole: it could change the others for ever,
    and what is counted of each address would fill the memory.

    Args:
        requests: How often one client may ask, for example ``6000/minute``.
        failures: How often one address may offer a wrong key.
        sessions: How many WebSockets and event streams there may be at once.
        sessions_each: How many of these one client may have.

    Raises:
        ConfigError: A rate cannot be read.
    """

    def __init__(
        self,
        requests: str = REQUESTS,
        failures: str = FAILURES,
        sessions: int = SESSIONS,
        sessions_each: int = SESSIONS_EACH,
    ) -> None:
        self._requests = _rate(requests)
        self._failures = _rate(failures)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._most_sessions = sessions
        self._most_each = sessions_each
        self._sessions: Counter[str] = Counter()
        self._is_shared = False
        self._lock = threading.Lock()
        self._busy: dict[_Client, RateLimitItem] = {}
        self._elsewhere: Mapping[str, int] = {}

    @property
    def sessions(self) -> int:
        """How many WebSockets and event streams there are."""
        return self._sessions.total()

    def count_request(self, client: str) -> None:
        """A client asks for something, by its address.

        Raises:
            TooManyRequests: It has too often.
        """
        if not self._hit(self._requests, ("request", network_of(client))):
            raise TooManyRequests("Too many requests", why=f"one client may make {self._requests}", fix="Wait a little")

    def count_wrong_key(self, address: str) -> None:
        """An address has offered a wrong key; a right one is never asked for this, as others may be at the address.

        Raises:
            TooManyRequests: It has offered too many.
        """
        if not self._hit(self._failures, ("failure", network_of(address))):
            raise TooManyRequests("Too many wrong keys came from your address", fix="Wait a minute")

    def share(self, processes: Processes) -> None:
        """Count what clients do in other processes, too."""
        self._is_shared = processes.shared
        processes.say("counts", self._told)
        processes.on_peers(self._hear)

    @contextmanager
    def session(self, client: str) -> Iterator[None]:
        """A place for a WebSocket or event stream; used by the server's event loop only.

        Args:
            client: Whose share it is taken from.

        Raises:
            TooManyRequests: The client has its share already.
            ServerBusy: There are too many.
        """
        if self._sessions[client] >= self._most_each:
            raise TooManyRequests(
                "You have too many connections open",
                why=f"one client may have {self._most_each} live pictures, scans and event streams at once",
                fix="Close some of the pages",
            )
        if self.sessions >= self._most_sessions:
            raise ServerBusy("The server is busy", why=f"{self.sessions} others look", fix="Try again later")
        self._sessions[client] += 1
        try:
            yield
        finally:
            self._sessions -= Counter({client: 1})  # which forgets a client without any

    def _told(self) -> dict[str, int]:
        """What other processes have to know: how often clients did what, of those that have done it often lately."""
        with self._lock:
            busy = dict(self._busy)
        counts, idle = {}, []
        for client, item in busy.items():
            count = self._count(item, client)
            if not count:
                idle.append(client)
            elif count * _FEW >= item.amount:
                counts[_digest(client)] = count
        with self._lock:
            for client in idle:
                self._busy.pop(client, None)
        most = sorted(counts, key=counts.__getitem__, reverse=True)[:_MOST_TOLD]
        return {digest: counts[digest] for digest in most}

    def _hear(self, peers: Sequence[Peer]) -> None:
        """Take in what other processes have told, in place of what they told before."""
        counts: Counter[str] = Counter()
        for peer in peers:
            told = peer.report.get("counts")
            counts.update({name: one for name, one in told.items() if isinstance(one, int)} if _is_dict(told) else {})
        self._elsewhere = counts

    def _hit(self, item: RateLimitItem, client: _Client) -> bool:
        """Count it if there may be one more."""
        if self._is_shared:
            with self._lock:
                if len(self._busy) < _MOST_BUSY:
                    self._busy[client] = item
        elsewhere = self._elsewhere.get(_digest(client), 0) if self._elsewhere else 0
        if elsewhere and self._count(item, client) + elsewhere >= item.amount:
            return False
        return self._limiter.hit(item, *client)

    def _count(self, item: RateLimitItem, client: _Client) -> int:
        return max(0, item.amount - self._limiter.get_window_stats(item, *client).remaining)


def _digest(client: _Client) -> str:
    """What stands for a client in the database, which need not know names and addresses for that."""
    return hashlib.blake2b("\0".join(client).encode(), digest_size=12).hexdigest()


def _is_dict(told: object) -> TypeGuard[dict[str, object]]:
    return isinstance(told, dict)


def _rate(text: str) -> RateLimitItem:
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no rate", fix="Write it like 6000/minute") from error
