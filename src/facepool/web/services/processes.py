"""The processes that serve one pool: who they are, what they say of themselves, and which camera is whose.

A SQLite file or a `.npy` pair is served by one process, `OneProcess`. Those who share a PostgreSQL database meet there:
`facepool.web.services.postgres_processes`.
"""

import os
import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from facepool.web.services.announcements import Announcements

Report = Mapping[str, object]
"""What a process says of itself, for JSON: by the part of the server that says it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another process that serves the same pool.

    Attributes:
        name: For people: machine and process.
        report: What it says of itself.
    """

    name: str
    report: Report


class Processes(Protocol):
    """All processes that serve a pool, as one of them sees them.

    Attributes:
        name: Of this process, for people.
        announcements: What they tell each other.
        number: Of this process; no other has it, or had it before.
        shared: Whether other processes may serve the pool, too.
    """

    name: str
    shared: bool
    announcements: Announcements
    number: int

    @property
    def peers(self) -> Sequence[Peer]:
        """The others, as they were about a second ago; none while nobody can say."""

    def say(self, name: str, tell: Callable[[], object]) -> None:
        """Have a part of the server say something of itself, once a second, in `Report` under a name."""

    def on_peers(self, listener: Callable[[Sequence[Peer]], None]) -> None:
        """Call a listener with the others, once a second."""

    def number_of(self, camera: str) -> str:
        """The id of a camera, the same in all processes; the one that asks is ready to watch it.

        Args:
            camera: What it is known by: its source without logins, and its machine where it is a device of one.

        Raises:
            PoolUnreachable: The database is away.
        """

    def forget_camera(self, number: str) -> None:
        """No process is to watch a camera any more.

        Raises:
            PoolUnreachable: The database is away.
        """

    def drop_camera(self, number: str) -> None:
        """This process is not ready to watch a camera any more."""

    def watches(self, number: str) -> bool:
        """Whether this process, and so no other, is to watch a camera now; cheap enough to be asked for each frame."""

    def on_cameras(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call a listener when cameras of this process were forgotten, or others are to be watched by it.

        It is given the ids of those that were forgotten.
        """

    def start(self) -> None:
        """Begin to speak with the others."""

    def close(self) -> None:
        """Leave: others take over what this process has done."""


class OneProcess:
    """The only process that serves a pool."""

    def __init__(self) -> None:
        self.name = name_of_process()
        self.shared = False
        self.announcements = Announcements()
        self.number = 0
        self._lock = threading.Lock()
        self._numbers = count(1)

    @property
    def peers(self) -> Sequence[Peer]:
        """None."""
        return ()

    def say(self, name: str, tell: Callable[[], object]) -> None:
        """Nobody hears it."""

    def on_peers(self, listener: Callable[[Sequence[Peer]], None]) -> None:
        """There are none."""

    def number_of(self, camera: str) -> str:
        """The next number: a camera that was removed and is added again is another one."""
        del camera
        with self._lock:
            return str(next(self._numbers))

    def forget_camera(self, number: str) -> None:
        """Nobody else knows of it."""

    def drop_camera(self, number: str) -> None:
        """Nobody else knows of it."""

    def watches(self, number: str) -> bool:
        """Always: there is no other process."""
        del number
        return True

    def on_cameras(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Nothing changes by itself."""

    def start(self) -> None:
        """Nobody is there to speak with."""

    def close(self) -> None:
        """Nobody has to know."""


def name_of_machine() -> str:
    """What people call this machine."""
    return platform.node() or "localhost"


def name_of_process() -> str:
    """Machine and process, for people and logs."""
    return f"{name_of_machine()}/{os.getpid()}"
