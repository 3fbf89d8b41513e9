"""How many CPU threads this process may use at a time: one number for networks, linear algebra and search."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

_limit: int | None = None


def default_threads() -> int:
    """Number of CPU cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def allowed_threads() -> int:
    """The limit that was set last, else the process's cores; at least 1."""
    return _limit or default_threads()


def set_allowed_threads(threads: int | None) -> None:
    """Hold the process to a number of threads; None takes the limit away.

    It is as wide as what it stands beside: the thread counts of OpenCV and BLAS are of the process, too.
    """
    global _limit  # noqa: PLW0603 -- see above
    _limit = threads


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
