"""Whether bytes of somebody are left in files: what `people remove --verify` looks for after an erasure.

Before the erasure, `marks_of` notes what could be found of a person: the id, parts of vectors and pictures, and the
name where it is long enough to be told from chance. Afterwards `traces_in` reads every file for them. What is found of
a name may be another's, such as a file name that somebody else's view came from: `mentions_of` says in which columns.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from facepool.gallery import Gallery, driver
from facepool.gallery.address import EncryptedFile, FileAddress, key_of, path_of
from facepool.gallery.connection import explained
from facepool.gallery.pages import decrypted
from facepool.gallery.schema import uuid_bytes

MarkKind = Literal["name", "id", "vector", "picture"]
_SHORTEST_NAME = 5
"""In bytes: of a shorter one, any file of vectors has some by chance."""
_PART_BYTES = 32
_FEWEST_VALUES = 8
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Marks:
    """By what somebody is found in files.

    Attributes:
        name: Theirs.
        person_id: Theirs.
        parts: Bytes, with what they are of.
    """

    name: str = field(repr=False)
    person_id: str
    parts: tuple[tuple[MarkKind, bytes], ...] = field(repr=False)

    @property
    def is_name_long_enough(self) -> bool:
        """Whether files can be searched for the name."""
        return len(self.name.encode()) >= _SHORTEST_NAME


def marks_of(gallery: Gallery, name: str) -> Marks:
    """By what somebody who is in a pool will be found in files.

    Raises:
        UnknownPerson: Nobody has that name.
    """
    templates, person = gallery.templates(name), gallery.person(name)
    person_id = "" if person is None else person.id
    parts: list[tuple[MarkKind, bytes]] = []
    for template in templates:
        vector = np.ascontiguousarray(template.sample.embedding, "<f4").tobytes()
        parts += [("vector", vector[:_PART_BYTES]), ("vector", vector[-_PART_BYTES:])]
        if picture := gallery.picture(template.id):
            middle = len(picture) // 2  # all pictures begin alike
            parts.append(("picture", picture[middle : middle + _PART_BYTES]))
    if (uuid := uuid_bytes(person_id)) is not None:
        parts += [("id", uuid), ("id", person_id.encode())]
    marks = Marks(name, person_id, tuple(dict.fromkeys(part for part in parts if _is_telling(part[1]))))
    if marks.is_name_long_enough:
        return Marks(name, person_id, (*marks.parts, ("name", name.encode())))
    return marks


def _is_telling(part: bytes) -> bool:
    """Whether nothing else has the same bytes by chance, as an even picture or a vector of zeros has."""
    return len(set(part)) >= _FEWEST_VALUES


def traces_in(file: FileAddress, marks: Marks) -> frozenset[MarkKind]:
    """What a file has of somebody; of an encrypted one, what its pages have and those of its log.

    Raises:
        OSError: It cannot be read.
        WrongKey: It is encrypted with another key.
        ExtraMissing: It is encrypted, and what decrypts its pages is not installed.
    """
    found: set[MarkKind] = set()
    longest = max((len(part) for _, part in marks.parts), default=1)
    for piece in _overlapping(_contents(file), longest - 1):
        found |= {kind for kind, part in marks.parts if kind not in found and part in piece}
    return frozenset(found)


def mentions_of(file: FileAddress, name: str) -> dict[str, int]:
    """In which columns of a database of ours a name stands as a part of what is kept there, and how often.

    Raises:
        sqlite3.Error: It is none; or that of the other driver, see `driver.database_errors`.
    """
    found = {}
    with closing(driver.connect(path_of(file), key_of(file), mode="mode=ro")) as db:
        for table, column in _text_columns(db):
            query = f'SELECT count(*) FROM "{table}" WHERE instr("{column}", ?)'  # noqa: S608 -- its own names
            (count,) = db.execute(query, (name,)).fetchone()
            if count:
                found[f"{table}.{column}"] = int(count)
    return found


def _text_columns(db: driver.Connection) -> list[tuple[str, str]]:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [
        (table, str(column))
        for table in tables
        for _, column, kind, *_ in db.execute(f'PRAGMA table_info("{table}")')
        if str(kind).upper() == "TEXT"
    ]


def _contents(file: FileAddress) -> Iterator[bytes]:
    if not isinstance(file, EncryptedFile):
        with file.open("rb") as opened:
            while piece := opened.read(_CHUNK_BYTES):
                yield piece
        return
    with explained(file), closing(driver.connect(file.path, file.key, mode="mode=ro")) as db:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # what another key decrypts is noise
    yield from decrypted(file)


def _overlapping(pieces: Iterable[bytes], overlap: int) -> Iterator[bytes]:
    """The same pieces, of which each begins with the end of the one before."""
    end = b""
    for piece in pieces:
        yield end + piece
        end = (end + piece)[-overlap:] if overlap else b""
