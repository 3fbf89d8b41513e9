"""How many CPU threads this process may use at a time: one number for networks, linear algebra and search.

And what the main thread alone gets from outside: Ctrl-C, which some work has to be done before.
"""

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from types import FrameType

from facepool.cgroups import cpu_share

_limit: int | None = None


def cores() -> int:
    """Number of CPU cores that this process may run on, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def default_threads() -> int:
    """How many threads are worth having: one a core, and no more than a container or service is given time for.

    A container that is given the time of two of 64 cores may run on all 64; with 64 threads it would use its time up
    at once and then stand still, all of it, until it is given more.
    """
    share = cpu_share()
    return cores() if share is None else max(1, min(cores(), math.ceil(share)))


def allowed_threads() -> int:
    """The limit that was set last, else what `default_threads` says; at least 1."""
    return _limit or default_threads()


def library_threads() -> int:
    """How many BLAS and OpenCV use now: the limit that was set last, else one a core, as they know of nothing else."""
    return _limit or cores()


def set_allowed_threads(threads: int | None) -> None:
    """Hold the process to a number of threads; None takes the limit away.

    It is as wide as what it stands beside: the thread counts of OpenCV and BLAS are of the process, too.
    """
    global _limit  # noqa: PLW0603 -- see above
    _limit = threads


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Ctrl-C, and what else ends a program, is heard at the end of the block.

    For libraries written in C that take any exception of theirs for "this part is not installed" while they are
    loaded: a KeyboardInterrupt that is raised there is never heard of again. In another thread it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    known = (getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
    handlers = {number: handler for number in known if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda sent, frame: came.append((sent, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for sent, frame in came[:1]:
        handlers[signal.Signals(sent)](sent, frame)


def on_threads(work: Callable[[], None], threads: int) -> None:
    """Run something on this thread and, as far as they are idle, on others that stand ready.

    Args:
        work: Does what is left to do, a bit at a time, beside others that do the same; returns when nothing is left.
        threads: At most so many, this one included.
    """
    helpers = [_helpers().submit(work) for _ in range(threads - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():  # one that has not begun has nothing to do any more
            helper.result()


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=default_threads(), thread_name_prefix="facepool-help")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)
