"""Who of a folder of people is registered already, so that a run that was interrupted goes on with the others.

What is kept says nothing of anybody: of each person a digest of the name and of the files' names, sizes and times. It
is gone when a run has come to its end, and is not believed after a week.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from facepool.files import PRIVATE, make_private, users_folder
from facepool.gallery import Gallery

_BELIEVED_S = 7 * 86400.0


class FinishedPeople:
    """The people whom earlier runs of the same registration have finished, and this one.

    Where nothing can be kept, nobody is finished: registering somebody twice stores nothing twice.

    Args:
        recipe: All that the registration depends on: the pool, the folder, the options.
        folder: Where it is kept; the user's cache by default.
    """

    def __init__(self, recipe: Sequence[object], folder: Path | None = None) -> None:
        digest = hashlib.sha256(repr(recipe).encode()).hexdigest()
        self._file = (folder or users_folder("cache") / "registrations") / f"{digest[:32]}.txt"
        self._began_ns = time.time_ns()
        self._views = self._read()

    def has(self, name: str, paths: Sequence[Path], pool: Gallery) -> bool:
        """Whether a person was finished, their files are as they were, and the pool still has what was stored.

        Args:
            name: Theirs.
            paths: Their pictures.
            pool: Where they were registered.
        """
        if not self._views or (mark := self._mark(name, paths)) not in self._views:
            return False
        return 0 < self._views[mark] <= _views_of(name, pool)

    def add(self, name: str, paths: Sequence[Path], pool: Gallery) -> None:
        """Remember that everything of a person is stored; of somebody of whom nothing is, the next run says so again.

        Args:
            name: Theirs.
            paths: Their pictures, all of which were read.
            pool: Where they are registered, with what earlier runs have stored of them.
        """
        mark, views = self._mark(name, paths), _views_of(name, pool)
        if mark is None or not views:
            return
        with suppress(OSError, RuntimeError):
            if not self._file.exists():
                self._file.parent.mkdir(parents=True, exist_ok=True)
                make_private(self._file)
            entry = os.open(self._file, os.O_WRONLY | os.O_APPEND, PRIVATE)
            try:
                os.write(entry, f"{mark} {views}\n".encode())
            finally:
                os.close(entry)

    def forget(self) -> None:
        """The run has come to its end: the next one looks at everybody anew."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _read(self) -> dict[str, int]:
        try:
            if time.time() - self._file.stat().st_mtime > _BELIEVED_S:
                self._file.unlink()
                return {}
            lines = self._file.read_text("ascii").splitlines()
        except (OSError, ValueError):
            return {}
        pairs = [line.split(" ") for line in lines]  # the last one may be cut off
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}

    def _mark(self, name: str, paths: Sequence[Path]) -> str | None:
        """A digest of a person's files; None: one is gone, or was changed since the run began."""
        digest = hashlib.sha256(name.encode())
        for path in paths:
            try:
                status = path.stat()
            except OSError:
                return None
            if status.st_mtime_ns >= self._began_ns:
                return None
            digest.update(f"\0{path.name}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape"))
        return digest.hexdigest()


def _views_of(name: str, pool: Gallery) -> int:
    person = pool.person(name)
    return 0 if person is None else person.templates
