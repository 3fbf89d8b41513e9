"""What is done in a client's own thread."""

import asyncio
import threading
from contextlib import suppress

from facepool.web.api.websocket import OwnThread


def test_what_has_to_be_done_is_done_although_the_client_was_cut_off() -> None:
    """A server that ends, and the framework's test client, cancel whoever waits, while the thread has other work."""
    go_on, done = threading.Event(), threading.Event()

    async def cut_off() -> None:
        async with OwnThread("test") as thread:
            busy = asyncio.create_task(thread.do(go_on.wait))
            closing = asyncio.create_task(thread.finish(done.set))
            await asyncio.sleep(0.01)
            closing.cancel()
            with suppress(asyncio.CancelledError):
                await closing
            go_on.set()
            await busy

    asyncio.run(cut_off())
    assert done.wait(10)
