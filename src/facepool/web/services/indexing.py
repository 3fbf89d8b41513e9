"""Makes the index of a pool that PostgreSQL searches, while everything else goes on."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from facepool.errors import FacepoolError
from facepool.gallery import Pool
from facepool.search.known import is_in_postgresql

_LOG = logging.getLogger(__name__)
_FIRST_LOOK_S = 1.0
_LOOK_EVERY_S = 60.0
_TENTH = 0.1


class IndexMaker:
    """Looks now and then whether the pool is large enough for an index, and makes it, in a thread of its own.

    Of several processes, on whatever machines, one does.

    Args:
        open_pool: Opens the pool.
    """

    def __init__(self, open_pool: Callable[[], Pool]) -> None:
        self._open_pool = open_pool
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="facepool-index", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more; an index that is being made is begun anew by whoever comes next."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        wait_s = _FIRST_LOOK_S
        while not self._over.wait(wait_s):
            wait_s = _LOOK_EVERY_S
            # Requests are told what is wrong with the pool; without an index everybody is compared.
            with suppress(FacepoolError, _Closed), self._open_pool() as pool:
                if not is_in_postgresql(pool):
                    return
                self._look(pool)

    def _look(self, pool: Pool) -> None:
        from facepool.gallery.postgres import PostgresGallery  # noqa: PLC0415 -- of an extra
        from facepool.search import hnsw  # noqa: PLC0415 -- of an extra

        if not isinstance(pool, PostgresGallery) or not hnsw.is_wanted(pool):
            return
        _LOG.info("An index of %s is being made; until it is there, searches look at everybody", pool.address)
        told = 0.0

        def report(done: int, total: int) -> None:
            nonlocal told
            if self._over.is_set():
                raise _Closed
            share = done / max(1, total)
            if share >= told + _TENTH:
                told = share
                _LOG.info("The index of %s: %.0f %%", pool.address, 100 * share)

        made = hnsw.make_index(pool, report)
        _LOG.info("The index of %s is %s", pool.address, "made" if made else "there")


class _Closed(Exception):
    """The server is closed while an index is made."""
