"""Places for connections: how many there are, how many one address may hold, and how long each may keep us waiting.

A connection waits for its client while a head, a body or the reading of an answer is due, and only then its time runs.
Where places are short, who has let the server wait for a while gives way to a newcomer, and at once where the address
holds more places than the newcomer's would.
"""

import ipaddress
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

_Holders = dict[str, set["Place"]]
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_ENDED = 16
"""At a time."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What connections may hold.

    Attributes:
        most: Connections at once.
        most_each: Of these, from one address; addresses of a proxy that is believed are not counted.
        spare: Connections beyond these that are answered ``/health`` only: whether the server lives.
        spare_each: Of these, from one address.
        head_s: From the connection, or the first bytes after an answer, to the end of a request's head; TLS included.
        body_s: How long a body may stand still.
        least_bytes_s: How slowly a body may come; what is slower stands still, as does the reading of an answer of
            which less than that is read within `read_s`.
        read_s: How long the reading of an answer may stand still, and the rest of a body may take after it.
        yield_s: After how long without progress a connection gives way to a newcomer whose address has no fewer places.
    """

    most: int = 512
    most_each: int = 32
    spare: int = 32
    spare_each: int = 4
    head_s: float = 10.0
    body_s: float = 10.0
    least_bytes_s: float = 1024.0
    read_s: float = 30.0
    yield_s: float = 1.0


class Place:
    """What one connection holds, from the moment it is accepted until it is gone.

    Attributes:
        spare: It is one of those beyond the bound.
        abort: Ends the connection at once, without a word.
        give_up: Ends it because its client is too slow, and may say so. Whoever speaks with the client sets both.
    """

    def __init__(self, places: "Places", address: str, abort: Callable[[], object], *, spare: bool) -> None:
        self._places = places
        self.bounds = places.bounds
        self.address = address
        self.spare = spare
        self.abort = self.give_up = abort
        self._since_s: float | None = None
        self._patience_s = 0.0
        self.wait(self.bounds.head_s)

    def wait(self, patience_s: float) -> None:
        """From now on, it is the client's turn."""
        self._since_s = time.monotonic()
        self._patience_s = patience_s

    def work(self) -> None:
        """It is not the client's turn."""
        self._since_s = None

    def progress(self, received: int) -> None:
        """Some bytes of a body came: time is given for as many as are due."""
        if self._since_s is not None:
            self._since_s = min(time.monotonic(), self._since_s + received / self.bounds.least_bytes_s)

    def waited_s(self) -> float:
        """How long the client has let the server wait; 0 while it is not its turn."""
        return 0.0 if self._since_s is None else time.monotonic() - self._since_s

    @property
    def overdue(self) -> bool:
        """Whether the client has let the server wait for too long."""
        return self._since_s is not None and self.waited_s() > self._patience_s

    def release(self) -> None:
        """The connection is gone."""
        self._places.release(self)


class Places:
    """All connections; used by the server's event loop only.

    Args:
        bounds: What they may hold.
        proxies: Addresses and networks of proxies that are believed: behind one there are many clients.
    """

    def __init__(self, bounds: Bounds, proxies: Iterable[str] = ()) -> None:
        self.bounds = bounds
        self._proxies = tuple(_networks(proxies))
        self._ordinary: _Holders = {}
        self._spare: _Holders = {}

    def __len__(self) -> int:
        return _total(self._ordinary) + _total(self._spare)

    def take(self, host: str, abort: Callable[[], object]) -> Place | None:
        """A place for a connection; None: there is none.

        Args:
            host: Where it comes from.
            abort: Ends the connection.
        """
        address = "" if self._is_proxy(host) else network_of(host)
        bounds = self.bounds
        spare = not self._has_room(self._ordinary, address, bounds.most_each, bounds.most)
        if spare and not self._has_room(self._spare, address, bounds.spare_each, bounds.spare):
            return None
        place = Place(self, address, abort, spare=spare)
        self._holders(place).setdefault(address, set()).add(place)
        return place

    def release(self, place: Place) -> None:
        """A place is free again."""
        holders = self._holders(place)
        places = holders.get(place.address, set())
        places.discard(place)
        if not places:
            holders.pop(place.address, None)

    def end_overdue(self) -> None:
        """End some connections whose clients let the server wait for too long; not all at once, which takes a while."""
        everybody = (*self._ordinary.values(), *self._spare.values())
        overdue = [place for places in everybody for place in places if place.overdue]
        for place in overdue[:_MOST_ENDED]:
            place.work()  # it is given up once
            place.give_up()

    def _holders(self, place: Place) -> _Holders:
        return self._spare if place.spare else self._ordinary

    def _has_room(self, holders: _Holders, address: str, most_each: int, most: int) -> bool:
        """Whether there is room for one more, if need be because who waits longest gives way."""
        own = holders.get(address, set())
        yield_s = self.bounds.yield_s
        if address and len(own) >= most_each and not _end_longest(own, yield_s):
            return False
        if _total(holders) < most:
            return True
        # Who holds most first. Behind a proxy there are many clients, none of which is known to hold more than one.
        then_has = len(own) + 1 if address else 1
        order = sorted(holders.values(), key=_share, reverse=True)
        return any(_end_longest(places, 0 if _share(places)[0] > then_has else yield_s) for places in order)

    def _is_proxy(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self._proxies)


def _end_longest(places: set[Place], yield_s: float) -> bool:
    """End the connection that waits longest, if it has waited for longer than that."""
    longest = max(places, key=Place.waited_s)
    if longest.waited_s() <= yield_s:
        return False
    longest.release()
    longest.abort()
    return True


def _share(places: set[Place]) -> tuple[int, float]:
    """How many an address has, and how long it waits with one."""
    longest = max(places, key=Place.waited_s)
    return len(places) if longest.address else 1, longest.waited_s()


def _total(holders: _Holders) -> int:
    return sum(map(len, holders.values()))


def network_of(host: str) -> str:
    """Which addresses count as one: an IPv4 address, or the /64 of an IPv6 address, which one client has as a whole."""
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host if address is None else str(address)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """What a host's text means; an IPv4 address that came over IPv6 is one of IPv4."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _networks(proxies: Iterable[str]) -> Iterator[_Network]:
    for text in proxies:
        if text == "*":
            yield from (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
            continue
        with suppress(ValueError):  # a name, of which no address is known here
            yield ipaddress.ip_network(text)
