"""Runs a program with the system calls that a unit of systemd leaves it, for `deploy/check`.

    /usr/bin/python3 confine.py RULES.json PROGRAM ...

RULES.json has the names of the calls that are allowed and the numbers of the address families. It runs with Debian's
Python and ``python3-seccomp``; what is not allowed fails with EPERM, as ``SystemCallErrorNumber=EPERM`` says.
"""

import errno
import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Load the filter, then become the program."""
    import seccomp  # noqa: PLC0415 -- Debian's, not the project's

    rules = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    kept = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in rules["calls"]:
        try:
            number = seccomp.resolve_syscall(seccomp.Arch(), name)
        except (ValueError, RuntimeError):
            continue
        if number < 0:  # of another kind of processor
            continue
        if name != "socket":
            kept.add_rule(seccomp.ALLOW, name)
    for family in rules["families"]:
        kept.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, family))
    kept.load()
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606


if __name__ == "__main__":
    main()
