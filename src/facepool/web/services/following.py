"""Lets what is in memory of the pool follow what other processes do to it, though nobody may search for hours."""

import threading
from collections.abc import Callable
from contextlib import suppress

from facepool.errors import FacepoolError
from facepool.gallery import Pool
from facepool.search import follow

EVERY_S = 2.0


class Follower:
    """Looks now and then whether somebody else has changed the pool, in a thread of its own.

    Changes by this server are followed at once: by `PoolAccess`.

    Args:
        open_pool: Opens the pool.
        every_s: How long to wait in between.
    """

    def __init__(self, open_pool: Callable[[], Pool], every_s: float = EVERY_S) -> None:
        self._open_pool = open_pool
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="facepool-follow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            # Who asks for the pool is told what is wrong with it; a file that was replaced is opened anew.
            with suppress(FacepoolError), self._open_pool() as pool:
                follow(pool)
                while not self._over.wait(self._every_s):
                    follow(pool)
