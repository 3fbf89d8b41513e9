"""Events as HTTP requests."""

import time

import httpx2

from facepool.capture.source import login_hint
from facepool.errors import ConfigError
from facepool.sinks.outbox import EventRecord, Outbox, Rejected, Unreachable, split_address

_TIMEOUT_S = 5.0
_MOST_ANSWER_BYTES = 64 * 1024
_COME_BACK = frozenset({408, 425, 429})
"""Client errors that say that the same request may do well later."""


class WebhookSink(Outbox):
    """Posts each event as a JSON object to an address, in order.

    Args:
        url: ``http://`` or ``https://``, with ``user:password@`` where the server asks for them.
        capacity: Events that may wait while the server is away; see :class:`Outbox`.
        first_wait_s: Longest pause before the second attempt.

    Raises:
        ConfigError: The address is no such URL.
    """

    def __init__(self, url: str, *, capacity: int = 1000, first_wait_s: float = 0.5) -> None:
        where = _check(url)
        self._url = url
        self._client = httpx2.Client(timeout=_TIMEOUT_S, headers={"Content-Type": "application/json"})
        super().__init__(self._post, where, capacity=capacity, first_wait_s=first_wait_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what waits, for so long at most, and end."""
        super().close(timeout_s)
        self._client.close()

    def _post(self, event: EventRecord, body: bytes) -> None:
        del event
        try:
            with self._client.stream("POST", self._url, content=body) as response:
                _pass_over(response)
        except httpx2.HTTPError as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        if response.is_success:
            return
        answer = f"the server answers {response.status_code} {response.reason_phrase}"
        if response.is_server_error or response.status_code in _COME_BACK:
            raise Unreachable(answer)
        raise Rejected(answer)


def _pass_over(response: httpx2.Response) -> None:
    """Take the body of an answer, so that the connection can be used again; one that is long is cut off."""
    ends_s, taken = time.monotonic() + _TIMEOUT_S, 0
    for chunk in response.iter_raw():
        taken += len(chunk)
        if taken > _MOST_ANSWER_BYTES or time.monotonic() > ends_s:
            return


def _check(url: str) -> str:
    """The URL for people: without user, password and query."""
    parts = split_address(url, {"http", "https"})
    if parts is None:
        raise ConfigError(
            "A webhook's address cannot be used",
            why="it is no http:// or https:// URL",
            fix=login_hint(url, refused=False),
        )
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
