"""The folder of models: one process at a time changes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facepool.errors import NotWritable
from facepool.files import only_writer, storage_errors

WAIT_S = 600.0
"""How long to wait for another process, which may be fetching a large model over a slow line."""


@contextmanager
def only_writer_of(folder: Path, timeout_s: float = WAIT_S) -> Iterator[None]:
    """Make a folder if need be, wait until no other process writes into it, then keep the others waiting.

    Raises:
        NotWritable: The folder cannot be created or written, or another process has not finished in time.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    busy = NotWritable(
        f"The models in {folder} cannot be changed",
        why=f"another process has been changing them for {timeout_s:.0f} s",
        fix="Wait until it has finished, or end it",
    )
    with only_writer(folder / ".lock", timeout_s, busy):
        yield
