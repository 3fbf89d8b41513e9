"""What an engine made of graphs, kept between runs of the program: loading that takes a fraction of the compiling.

OpenVINO has a cache of its own, which takes a file that was damaged in the middle for what it was. Here a file's name
holds the digest of its content, and nothing is run whose content is not that.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import platformdirs

from facepool.errors import StorageError
from facepool.files import digest_of, sweep, write_whole

_log = logging.getLogger(__name__)

KEPT = 12
"""How many compiled graphs stay; the ones used longest ago go first."""

_SUFFIX = ".compiled"


def default_cache() -> Path:
    """Where compiled graphs are kept: the user's cache folder, which may be emptied at any time."""
    return platformdirs.user_cache_path("facepool", appauthor=False) / "compiled"


def key_of(graph: Path, **circumstances: object) -> str:
    """The name of what one graph becomes under some circumstances.

    Args:
        graph: The file; it counts as another one as soon as its size or time of change is another.
        circumstances: All that decides what the engine makes of it: version, processor, settings.

    Raises:
        OSError: There is no such file.
    """
    found = graph.stat()
    known = (str(graph.resolve()), found.st_size, found.st_mtime_ns, sorted(_flat(circumstances)))
    return sha256(repr(known).encode()).hexdigest()[:32]


def _flat(circumstances: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, repr(value)) for name, value in circumstances.items()]


class CompiledGraphs:
    """Compiled graphs in one folder, shared by any number of processes. It can always be done without.

    Args:
        folder: Made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: str) -> Path | None:
        """The file that was kept under a key, verified; None if there is none that can be used."""
        for path in self._folder.glob(f"{key}-*{_SUFFIX}"):
            with suppress(OSError):
                if digest_of(path) == path.stem.removeprefix(f"{key}-"):
                    path.touch()  # the ones that are used stay
                    return path
            _log.warning("%s was damaged on the disk; it is made again", path)
            self._remove(path)
        return None

    def keep(self, key: str, content: bytes) -> None:
        """Keep what a graph became; a disk that does not take it costs time at the next start, and nothing else."""
        path = self._folder / f"{key}-{sha256(content).hexdigest()}{_SUFFIX}"
        try:
            write_whole(path, content, mode=0o600)
        except StorageError as error:
            _log.info("A compiled graph is not kept: %s", error)
            return
        sweep(self._folder)
        for old in sorted(self._folder.glob(f"*{_SUFFIX}"), key=_time_of_use, reverse=True)[KEPT:]:
            self._remove(old)

    def _remove(self, path: Path) -> None:
        with suppress(OSError):  # another process was faster, or Windows holds on to a file in use
            path.unlink(missing_ok=True)


def _time_of_use(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0
