"""How many CPU threads this process may use at a time: one number for networks, linear algebra and search."""

import os

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
