"""Gives memory that is free back to the system, where the C library would keep it.

glibc has up to eight heaps a core, and gives back only what is free at their ends. Pictures are large, come in many
threads and go again, so that after some hours most of what a server holds is holes: half of its heaps in a soak of six
minutes. Blocks that are larger still have memory of their own, which goes back at once; but with each that is freed,
glibc moves up what it takes for large, to 32 MiB, and bodies of requests fill the heaps. Elsewhere than with glibc
nothing is done.
"""

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 30.0
_HEAPS = 4
_LARGE = 1024 * 1024
"""A frame of 640x480 is smaller."""
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


def keep_heaps_small() -> None:
    """Let threads share a few heaps, and large blocks be in none; to be called before there are many threads."""
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _HEAPS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


@contextmanager
def giving_back(every_s: float = EVERY_S) -> Iterator[None]:
    """Give back what is free, now and then, until the end of the block; it takes some milliseconds of a thread."""
    over = threading.Event()
    thread = threading.Thread(target=_give_back, args=(every_s, over), name="facepool-memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _give_back(every_s: float, over: threading.Event) -> None:
    trim = _of_glibc("malloc_trim")
    while trim is not None and not over.wait(every_s):
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of glibc; None with another C library."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return getattr(library, name, None) if hasattr(library, "gnu_get_libc_version") else None
