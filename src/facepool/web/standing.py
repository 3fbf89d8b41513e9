"""Whether whoever keeps a connection open may still: a key or session may end while it is open."""

import asyncio
import time

from fastapi.requests import HTTPConnection

from facepool.web.keys import LOCAL, Caller, Keys, Role
from facepool.web.signin import COOKIE, address_of, key_of

SIGN_IN_AGAIN = 4401
"""How a WebSocket is closed whose key or session has ended."""

ENDED = "You are not signed in any more"


class Standing:
    """Looks now and then whether the key or session of a connection is still there.

    Args:
        connection: A WebSocket, or the request for an event stream.
        keys: Who may do what.
        role: What the connection is for.
    """

    every_s = 5.0
    """How long an answer holds."""

    def __init__(self, connection: HTTPConnection, keys: Keys, role: Role) -> None:
        self._key, self._token = key_of(connection), connection.cookies.get(COOKIE)
        self._keys = keys
        self._role: Role = role
        self._looked_at_s = time.monotonic()

    async def holds(self, *, at_once: bool = False) -> bool:
        """Whether it may go on.

        Args:
            at_once: Look now, however short ago it was looked.
        """
        if not at_once and time.monotonic() - self._looked_at_s < self.every_s:
            return True
        self._looked_at_s = time.monotonic()
        return await asyncio.to_thread(self._look)

    def _look(self) -> bool:
        # Not by identify: wrong keys from the same address are to end nobody's connection, and hide no key's end.
        caller = self._keys.find(self._key) if self._key is not None else self._keys.session(self._token or "")
        if caller is None:
            return not self._keys.required
        return caller.may(self._role)


def share_of(connection: HTTPConnection, caller: Caller) -> str:
    """Who shares places with whom: all that have a key, or, where none is needed, an address."""
    return f"address {address_of(connection)}" if caller == LOCAL else f"key {caller.name}"
