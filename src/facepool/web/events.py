"""What happens before cameras, told to whoever listens now."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

Record = Mapping[str, object]
_MOST_WAITING = 200


class Events:
    """Passes records on to listeners; one who is too slow misses the oldest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: set[_Listener] = set()

    def publish(self, record: Record) -> None:
        """Tell everybody, from any thread."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.tell(record)

    async def listen(self) -> AsyncIterator[Record]:
        """Records from now on, until the listener stops listening."""
        listener = _Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
        try:
            while True:
                yield await listener.queue.get()
        finally:
            with self._lock:
                self._listeners.discard(listener)


class _Listener:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.queue: asyncio.Queue[Record] = asyncio.Queue(_MOST_WAITING)

    def tell(self, record: Record) -> None:
        with suppress(RuntimeError):  # its loop has ended, and with it who listened
            self._loop.call_soon_threadsafe(self._put, record)

    def _put(self, record: Record) -> None:
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(record)
