"""What a container or service is given of the machine: time of its processors, and memory.

Linux keeps it in control groups, of version 1 or 2, each of which is bound by those that it is in as well
(https://docs.kernel.org/admin-guide/cgroup-v2.html). Elsewhere, and where nothing is said, there is no limit.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PROCESS = "proc/self/cgroup"
_MOUNT = "sys/fs/cgroup"
_NO_LIMIT_BYTES = 1 << 60
"""Version 1 says so, rounded to pages, in place of "none"."""


def cpu_share(machine: Path = Path("/")) -> float | None:
    """How many processors' time this process gets, 0.5 for half of one; None: as much as there is.

    Args:
        machine: The root of the file system, for tests.
    """
    return _at(machine)[0]


def memory_limit(machine: Path = Path("/")) -> int | None:
    """Bytes of memory beyond which this process is slowed down or ended; None: those of the machine.

    Args:
        machine: The root of the file system, for tests.
    """
    return _at(machine)[1]


@cache
def _at(machine: Path) -> tuple[float | None, int | None]:
    folders = list(_groups(machine))
    shares = (share for folder in folders for share in _shares(folder))
    limits = (limit for folder in folders for limit in _limits(folder))
    return min(shares, default=None), min(limits, default=None)


def _groups(machine: Path) -> Iterator[Path]:
    """The folders of the groups that the process is in, and of those around them.

    In a container the process may be told a path that only its host has: then what lies at the mount is its own.
    """
    for line in _text(machine / _PROCESS).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        parts = [part for part in path.split("/") if part not in ("", "..")]
        names = {controllers, *controllers.split(",")} if controllers else {"", "unified"}
        for mount in sorted(machine / _MOUNT / name for name in names):
            yield from (mount.joinpath(*parts[:length]) for length in range(len(parts) + 1))


def _shares(folder: Path) -> Iterator[float]:
    second = _text(folder / "cpu.max").split()
    first = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    for words in (second, first):
        if len(words) == 2 and all(map(str.isdecimal, words)) and int(words[1]):
            yield int(words[0]) / int(words[1])


def _limits(folder: Path) -> Iterator[int]:
    for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
        text = _text(folder / name).strip()
        if text.isdecimal() and int(text) < _NO_LIMIT_BYTES:
            yield int(text)


def _text(path: Path) -> str:
    """Of a file of the system; empty where there is none, or it may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
