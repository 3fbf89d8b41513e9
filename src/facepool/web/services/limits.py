"""How much one client may ask for."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from facepool.errors import ConfigError
from facepool.web.connections import network_of
from facepool.web.problems import ServerBusy, TooManyRequests

REQUESTS = "6000/minute"
FAILURES = "10/minute"
SESSIONS = 32
SESSIONS_EACH = 8


class Limits:
    """Counts what clients do.

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

    @property
    def sessions(self) -> int:
        """How many WebSockets and event streams there are."""
        return self._sessions.total()

    def count_request(self, client: str) -> None:
        """A client asks for something, by its address.

        Raises:
            TooManyRequests: It has too often.
        """
        if not self._limiter.hit(self._requests, "request", network_of(client)):
            raise TooManyRequests("Too many requests", why=f"one client may make {self._requests}", fix="Wait a little")

    def count_wrong_key(self, address: str) -> None:
        """An address has offered a wrong key; a right one is never asked for this, as others may be at the address.

        Raises:
            TooManyRequests: It has offered too many.
        """
        if not self._limiter.hit(self._failures, "failure", network_of(address)):
            raise TooManyRequests("Too many wrong keys came from your address", fix="Wait a minute")

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


def _rate(text: str) -> RateLimitItem:
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no rate", fix="Write it like 6000/minute") from error
