"""Enter in the terminal, heard without waiting for it."""

import os
import select
import sys


def terminal_listens() -> bool:
    """Whether somebody sits at the terminal and could press Enter."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def enter_pressed() -> bool:
    """Whether Enter was pressed in the terminal since the last call; False without one."""
    if not sys.stdin.isatty():
        return False
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 -- only there

        return bool(msvcrt.kbhit()) and msvcrt.getwch() == "\r"
    if _in_background(sys.stdin.fileno()):
        return False  # reading what is typed for the shell would stop us
    ready, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(ready) and bool(sys.stdin.readline())


def _in_background(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:  # a terminal, but not the one that we were started from: it has no background
        return False
