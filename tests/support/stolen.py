"""What a thief finds: every file of a folder and of a process, read again and again, and searched for what is known.

`Thief` is a process of its own: who opens and closes SQLite's files in the process that has them open lets go of its
locks. It needs nothing but Python, so that it begins at once. Of a process it reads all files that are open, those
included that were deleted or never had a name, its command line and its environment.
"""

import io
import json
import os
import select
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_MOST_BYTES = 1 << 30
_OF_PYTHON = (".pth", ".py", ".pyc", ".so")
_NO_FILE = ("socket:", "pipe:", "anon_inode:", "/dev/", "/proc/", "/sys/")


def windows_of(content: bytes, size: int = 24, count: int = 4) -> list[bytes]:
    """Parts of something long, all over it: where pages break it in two, one of the parts is whole."""
    if len(content) <= size:
        return [content]
    last = len(content) - size
    return [content[at : at + size] for at in sorted({last * part // (count + 1) for part in range(1, count + 1)})]


class Thief:
    """Copies files as long as the block lasts, and says what it has found in which.

    Args:
        folders: Every file in them, and in folders of them.
        known: What is looked for, each in one or several parts, by what it is called.
        processes: The numbers of those whose open files are read, too; with all that they have started.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        known: Mapping[str, Sequence[bytes]],
        processes: Sequence[int] = (),
    ) -> None:
        self._asked = {
            "folders": [str(folder) for folder in folders],
            "known": {name: [part.hex() for part in parts] for name, parts in known.items()},
            "processes": list(processes),
        }
        self._asking = threading.Lock()
        self.found: dict[str, list[str]] = {}
        self.files: list[str] = []
        self.rounds = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self._say(json.dumps(self._asked))
        self.look()
        return self

    def look(self) -> None:
        """Return when everything that is there now was read; in any thread."""
        with self._asking:
            self._say("look")
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "looked\n"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        out, _ = self._process.communicate("end\n")
        if kind is None:
            told = json.loads(out)
            self.found, self.files, self.rounds = told["found"], told["files"], told["rounds"]

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


def _steal() -> None:
    """What the process does: read on, until it is told to end."""
    orders = io.FileIO(0, closefd=False)  # unbuffered, or `select` would not see what waits
    asked = json.loads(orders.readline())
    known = {name: [bytes.fromhex(part) for part in parts] for name, parts in asked["known"].items()}
    found: dict[str, set[str]] = {}
    read: dict[str, set[int]] = {}
    rounds = 0
    while True:
        wanted = 0
        while select.select([orders], [], [], 0)[0]:
            if orders.readline() != b"look\n":
                told = {what: sorted(where) for what, where in found.items()}
                print(json.dumps({"found": told, "files": sorted(read), "rounds": rounds}))
                return
            wanted += 1
        for name, content in _contents(asked):
            before = read.setdefault(name, set())
            if hash(content) not in before:
                before.add(hash(content))
                for what, parts in known.items():
                    if any(part in content for part in parts):
                        found.setdefault(what, set()).add(name)
        rounds += 1
        print("looked\n" * wanted, end="", flush=True)
        time.sleep(0.001)


def _contents(asked: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files as they are now, each once."""
    read: set[tuple[int, int]] = set()
    for folder in map(Path, asked["folders"]):
        for inside, _, names in os.walk(folder):
            for path in (Path(inside, name) for name in names):
                yield from _content(path, str(path.relative_to(folder)), read)
    for process in _family(asked["processes"]):
        for shown in ("cmdline", "environ"):
            with suppress(OSError):
                yield f"{shown} of a process", Path(f"/proc/{process}/{shown}").read_bytes()
        for path in _in(Path(f"/proc/{process}/fd")):
            with suppress(OSError):
                target = str(path.readlink())
                if not target.startswith(_NO_FILE) and not target.endswith(_OF_PYTHON):
                    yield from _content(path, f"open: {Path(target).name}", read)


def _content(path: Path, name: str, read: set[tuple[int, int]]) -> Iterator[tuple[str, bytes]]:
    with suppress(OSError):
        status = path.stat()
        number = (status.st_dev, status.st_ino)
        if number not in read and stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_BYTES:
            read.add(number)
            yield name, path.read_bytes()


def _family(processes: Iterable[int]) -> Iterator[int]:
    """Processes and all that they have started."""
    for process in processes:
        yield process
        for thread in _in(Path(f"/proc/{process}/task")):
            with suppress(OSError):
                yield from _family(map(int, (thread / "children").read_text(encoding="ascii").split()))


def _in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # the process has ended
        return []


if __name__ == "__main__":
    _steal()
