"""What ends a command from outside: ``docker stop``, ``systemctl stop``, a terminal that is closed."""

import os
import signal
import threading
import time
from types import FrameType
from typing import Self

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

_NAMES = ("SIGTERM", "SIGHUP", "SIGBREAK")
"""SIGHUP is not known on Windows, and SIGBREAK only there."""
_REPEATED_S = 10.0
"""A terminal that is closed sends SIGHUP more than once, and whoever stops a service may send SIGHUP after SIGTERM."""


class Termination:
    """While its block runs, what ends a program from outside raises KeyboardInterrupt in it, as Ctrl-C does.

    So everything that is begun is closed or undone in the same way. It is needed by process 1 of a container most of
    all, which the kernel spares all signals that it does not handle. Signals that were ignored at the start stay
    ignored, as ``nohup`` wants it. In another thread than the main one it does nothing.

    Attributes:
        number: Of the signal that came; None before one did.
    """

    def __init__(self) -> None:
        self.number: signal.Signals | None = None
        self._came_s = -float("inf")
        self._taken: list[signal.Signals] = []
        self._terminals: list[int] = []

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal: 143 for SIGTERM, 129 for SIGHUP, 130 for Ctrl-C."""
        return INTERRUPTED if self.number is None else 128 + self.number

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._terminals = [number for number in range(3) if _is_terminal(number)]
            for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
                if signal.getsignal(number) == signal.SIG_DFL:
                    signal.signal(number, self._end)
                    self._taken.append(number)
        return self

    def __exit__(self, *details: object) -> None:
        while self._taken:
            signal.signal(self._taken.pop(), signal.SIG_DFL)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        if number == getattr(signal, "SIGHUP", None):
            self._let_go_of_terminals()
            if signal.getsignal(signal.SIGTERM) != self._end:  # a server has its own way to end
                signal.raise_signal(signal.SIGTERM)
                return
        repeated = time.monotonic() - self._came_s < _REPEATED_S
        if repeated:
            return  # what it has begun to close is to be closed
        self.number, self._came_s = signal.Signals(number), time.monotonic()
        raise KeyboardInterrupt

    def _let_go_of_terminals(self) -> None:
        """A terminal that is gone refuses every line; the last ones must not keep anything from being closed."""
        terminals, self._terminals = self._terminals, []
        if terminals:
            nothing = os.open(os.devnull, os.O_RDWR)
            for terminal in terminals:
                os.dup2(nothing, terminal)
            os.close(nothing)


def leave_no_core() -> None:
    """Let no crash write the memory of this process to a disk: faces and vectors are in it."""
    try:
        import resource  # noqa: PLC0415 -- not on Windows, which writes none unless it was told to
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    # Linux asks no limit where cores go to a program, as with systemd, except this one; a file cannot be that small.
    most = 1 if hard == resource.RLIM_INFINITY else min(hard, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:  # it is closed
        return False
