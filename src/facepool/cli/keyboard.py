"""Enter in the terminal, heard without waiting for it."""

import os
import select
import sys


def terminal_listens() -> bool:
    """Whether somebody sits at the terminal and could press Enter."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def enter_pressed() -> bool:
    """Whether Enter was pressed in the terminal since the last call; False without one."""
    if not terminal_listens():
        return False
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 -- only there

        return bool(msvcrt.kbhit()) and msvcrt.getwch() == "\r"
    if os.tcgetpgrp(sys.stdin.fileno()) != os.getpgrp():
        return False  # in the shell's background: reading what is typed there would stop us
    ready, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(ready) and bool(sys.stdin.readline())
