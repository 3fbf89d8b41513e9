"""Whether somebody who was erased is gone: every place of the report is looked at, and the bytes of files."""

import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facepool.errors import FacepoolError
from facepool.gallery import Gallery
from facepool.gallery.address import PoolAddress, file_of, key_of, keyed
from facepool.gallery.driver import database_errors
from facepool.gallery.keys import PoolKey, looks_encrypted
from facepool.privacy.holdings import Holding
from facepool.privacy.places import files_beside
from facepool.privacy.report import PrivacyReport
from facepool.privacy.traces import MarkKind, Marks, mentions_of, traces_in

_TRIES = 5
_PAUSE_S = 1.0

Outcome = Literal["gone", "left", "stays", "mentioned", "skipped", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one place after an erasure.

    Attributes:
        what: Was looked for.
        place: Where.
        outcome: ``gone``; ``left``: something is still there; ``stays``: the proof of the erasure; ``mentioned``: the
            name is a part of what is kept of others; ``skipped``: a name too short to be looked for; ``unknown``: it
            could not be looked at.
        detail: More of it, in words.
        is_of_bytes: Whether the bytes of a file were read, and not what its tables say.
    """

    what: str
    place: str
    outcome: Outcome
    detail: str = ""
    is_of_bytes: bool = False

    @property
    def is_good(self) -> bool:
        """Whether nothing speaks against the erasure being complete."""
        return self.outcome not in ("left", "unknown")


def wait_for_wiping(gallery: Gallery) -> None:
    """Give those who read the files some seconds to end, so that bytes can be wiped."""
    for _ in range(_TRIES):
        if not gallery.owed().traces or not gallery.wipe(_PAUSE_S):
            return
        time.sleep(_PAUSE_S)


def findings_of(report: PrivacyReport, pool: PoolAddress, marks: Marks) -> list[Finding]:
    """What is left of somebody.

    Nothing of this process may have the pool open: to close a file lets go of the locks that a process has on it.

    Args:
        report: Of every place, made after the erasure.
        pool: Where the pool is.
        marks: By what they are found in files, noted before it.
    """
    found = [_of_place(one) for one in report.holdings]
    path = file_of(pool)
    if path is None:
        return found
    known = {one.place for one in report.left}
    # What is known to have them has their bytes, too.
    found += [_of_bytes(file, key_of(pool), marks) for file in files_beside(path) if str(file) not in known]
    if not marks.is_name_long_enough:
        detail = "it is too short to be told from chance, so files were searched for the rest only"
        found.append(Finding("bytes of the name", str(path.parent), "skipped", detail))
    return found


def _of_place(one: Holding) -> Finding:
    if one.count is None:
        return Finding(one.what, one.place, "unknown", one.detail)
    if not one.count:
        return Finding(one.what, one.place, "gone")
    detail = f"{one.count}{f' ({one.detail})' if one.detail else ''}; removed by: {one.removed_by}"
    return Finding(one.what, one.place, "left" if one.is_left else "stays", detail)


def _of_bytes(file: Path, key: PoolKey | None, marks: Marks) -> Finding:
    """Whether a file has bytes of them; where only the name was found, whether it is a part of what others have."""

    def found(outcome: Outcome, detail: str = "") -> Finding:
        return Finding("bytes of name, id, vectors and pictures", str(file), outcome, detail, is_of_bytes=True)

    is_encrypted = looks_encrypted(file)
    if is_encrypted and key is None:
        return found("unknown", "it is encrypted, and the pool is not")
    address = keyed(file, key) if is_encrypted else file
    try:
        kinds: frozenset[MarkKind] = traces_in(address, marks)
    except FileNotFoundError:  # a log that was there a moment ago
        return found("gone")
    except OSError as error:
        return found("unknown", error.strerror or type(error).__name__)
    except FacepoolError as error:  # another key, or what decrypts is not installed
        return found("unknown", f"{error.what}: {error.why}" if error.why else error.what)
    if not kinds:
        return found("gone")
    if kinds == {"name"}:
        with suppress(sqlite3.Error, *database_errors()):
            if mentions := mentions_of(address, marks.name):
                columns = ", ".join(f"{column} ({count})" for column, count in mentions.items())
                return found("mentioned", f"the name is a part of what is kept of others: {columns}")
    return found("left", f"found: {', '.join(sorted(kinds))}")
