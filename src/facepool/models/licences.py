"""Terms that restrict use are accepted once, by the user, before the first fetch."""

import json
from collections.abc import Callable
from pathlib import Path

from facepool.errors import LicenceNotAccepted
from facepool.files import write_whole
from facepool.models.entries import ModelEntry
from facepool.models.folder import only_writer_of


class Licences:
    """The terms that were accepted for one store.

    Args:
        path: The file that remembers them.
        accept: Asked about a model whose terms restrict its use and were not accepted yet.
    """

    def __init__(self, path: Path, accept: Callable[[ModelEntry], bool]) -> None:
        self._path = path
        self._accept = accept

    def require(self, entry: ModelEntry) -> None:
        """Pass if a model may be used under what was accepted; ask if that is open.

        Raises:
            LicenceNotAccepted: The answer was no.
        """
        licence = entry.licence
        if not licence.restricts_use or licence.name in self._accepted():
            return
        if not self._accept(entry):
            raise LicenceNotAccepted(
                f"{entry.name} comes under terms that restrict its use",
                why=f"{licence.summary} {licence.url}".strip(),
                fix=f"Read them, then `facepool models pull {entry.name} --accept-licence`",
            )
        with only_writer_of(self._path.parent):
            write_whole(self._path, json.dumps(sorted({*self._accepted(), licence.name}), indent=1).encode())

    def _accepted(self) -> set[str]:
        try:
            names = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return set()
        return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
