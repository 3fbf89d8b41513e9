"""Whether the write-ahead log beside a pool is that of the pool.

SQLite finds a log by its name. Where somebody moves a backup over a pool that was open, or copies one over it, the old
log stays, and SQLite would write its pages into a file that they do not belong to. Every change of a pool writes the
row of ``state``, so the log says of which pool it is (``identity``) and from which to which revision it leads; the file
itself has to lie between them.

In the log of an encrypted pool each page is encrypted by itself, bound to its number and to the salt of the file. So it
is put into a file with the same salt that has nothing but the table, for SQLCipher to read.

The layout of both is SQLite's own: https://sqlite.org/fileformat2.html, sections 1.6, 2.1 and 4.1.
"""

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from facepool.errors import PoolCorrupt
from facepool.files import storage_errors
from facepool.gallery import driver
from facepool.gallery.address import EncryptedFile, FileAddress, key_of, path_of
from facepool.gallery.driver import database_errors

_HEADER, _FRAME_HEADER = 32, 24
_SMALLEST_PAGE, _LARGEST_PAGE = 512, 65536
_MAGIC = (0x377F0682, 0x377F0683)
_LEAF = 0x0D
_ATTEMPTS, _PAUSE_S = 5, 0.05
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_ONE = 9
"""Serial types of integers, by their length; 8 and 9 are 0 and 1 of no bytes."""
_FIRST_OF_BLOBS = 12
_FARTHEST = 1000
"""The table is the first that was made; where it lies farther back than this, its page is not looked at."""


@dataclass(frozen=True, slots=True)
class _State:
    """What the row of ``state`` says.

    Attributes:
        revision: How many changes there were.
        identity: Which pool it is.
    """

    revision: int
    identity: bytes


@dataclass(frozen=True, slots=True)
class _Found:
    """What a file says of its row of ``state``.

    Attributes:
        root: On which page it is.
        columns: Of the table.
        state: The row.
        salt: Of the file, in hex, if it is encrypted.
    """

    root: int
    columns: list[str]
    state: _State
    salt: str


_Read = Callable[[bytes], _State | None]


class _OfOthers(Exception):
    """A page of a log that is not that of the file."""


def check_log(address: FileAddress, log: Path) -> None:
    """Refuse a pool with a log beside it that is another pool's, or of another time.

    Args:
        address: The pool, which may be in use, with its key if it is encrypted.
        log: Its log.

    Raises:
        PoolCorrupt: They do not belong together.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_S)  # others may have written into the file what was in the log just now
        if _belongs(address, log):
            return
    raise PoolCorrupt(
        f"The pool {address} cannot be used",
        why=f"the log beside it, {log.name}, belongs to another pool, or to another time of this one: somebody put the "
        "file into the place of one that was open",
        fix=f"Put backups in place with `facepool pool restore`; to use this file as it is, end all programs that have "
        f"it open, then delete {log.name} and {log.name.removesuffix('-wal')}-shm",
    )


def _belongs(address: FileAddress, log: Path) -> bool:
    """Whether nothing speaks against it."""
    first = _state_of_file(address)
    if first is None:
        return True
    try:
        with _decrypting(address, first) if isinstance(address, EncryptedFile) else _plainly(first) as read:
            # The log before the file: what leaves it meanwhile is in the file then.
            states = [found for page in _ends(_pages(log, first.root)) if (found := read(page)) is not None]
    except _OfOthers:
        return False
    known = _state_of_file(address)
    if known is None or not states:
        return True
    same = all(one.identity == known.state.identity for one in states)
    return same and states[0].revision - 1 <= known.state.revision <= states[-1].revision


def _state_of_file(address: FileAddress) -> _Found | None:
    """The row of ``state``, from the file alone; None where it does not say."""
    # By SQLite, and not by opening it: closing the file would let go of the locks that this process has on it.
    try:
        return _read_state(address)
    except database_errors():
        return None  # what is wrong with the file is said by who opens it
    except (ValueError, TypeError):
        return None


def _read_state(address: FileAddress) -> _Found | None:
    with closing(driver.connect(path_of(address), key_of(address), mode="immutable=1")) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'state'").fetchone() or (0,)
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(state)")]
        if not root or not {"revision", "identity"} <= set(columns):
            return None
        row = db.execute("SELECT revision, identity FROM state").fetchone()
        salt = db.execute("PRAGMA cipher_salt").fetchone() if driver.is_encrypted(db) else None
        if row is None:
            return None
        return _Found(int(root), columns, _State(int(row[0]), bytes(row[1])), str(salt[0]) if salt else "")


@contextmanager
def _plainly(known: _Found) -> Iterator[_Read]:
    yield lambda page: _state_of_page(page, known.columns)


@contextmanager
def _decrypting(file: EncryptedFile, known: _Found) -> Iterator[_Read]:
    """What reads the row of ``state`` out of a page of an encrypted log; nothing is written that is not encrypted."""
    if known.root > _FARTHEST:
        yield lambda _page: None
        return
    with tempfile.TemporaryDirectory() as folder:
        scaffold = Path(folder) / "page.db"
        with closing(driver.connect(scaffold, file.key, salt=known.salt)) as db:
            for pragma in ("journal_mode = OFF", "synchronous = OFF"):
                db.execute(f"PRAGMA {pragma}")
            db.execute("CREATE TABLE room (content BLOB)")
            (size,) = db.execute("PRAGMA page_size").fetchone()  # that driver gives it as text
            db.execute("INSERT INTO room VALUES (zeroblob(?))", (known.root * int(size),))
            db.execute("PRAGMA writable_schema = ON")
            statement = f"CREATE TABLE state ({', '.join(known.columns)})"
            db.execute("INSERT INTO sqlite_master VALUES ('table', 'state', 'state', ?, ?)", (known.root, statement))

        def read(page: bytes) -> _State | None:
            with scaffold.open("r+b") as stream:
                stream.seek((known.root - 1) * len(page))
                stream.write(page)
            try:
                with closing(driver.connect(scaffold, file.key, mode="immutable=1")) as db:
                    row = db.execute("SELECT revision, identity FROM state").fetchone()
            except database_errors() as error:
                raise _OfOthers from error
            is_ours = row is not None and isinstance(row[0], int) and isinstance(row[1], bytes)
            return _State(*row) if is_ours else None

        yield read


def _pages(log: Path, number: int) -> Iterator[bytes]:
    """What a log has of a page, oldest first, as far as it was committed; a log may be larger than the memory."""
    with storage_errors(log, "cannot be read"), suppress(FileNotFoundError), log.open("rb") as file:
        header = file.read(_HEADER)
        size, salts = int.from_bytes(header[8:12]), header[16:24]
        if int.from_bytes(header[:4]) not in _MAGIC or not _SMALLEST_PAGE <= size <= _LARGEST_PAGE:
            return
        uncommitted: list[bytes] = []
        while len(frame := file.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == salts:  # others are left over
            if int.from_bytes(frame[:4]) == number:
                uncommitted.append(file.read(size))
            else:
                file.seek(size, os.SEEK_CUR)
            if frame[4:8] != b"\0\0\0\0":
                yield from uncommitted
                uncommitted.clear()


def _ends(pages: Iterator[bytes]) -> list[bytes]:
    """The first and the last: those between are of the same pool, as SQLite ties each frame to the one before it."""
    ends = list(islice(pages, 1))
    return [*ends, *deque(pages, maxlen=1)]


def _state_of_page(page: bytes, columns: list[str]) -> _State | None:
    """The row of ``state`` on its page; None where it is written in another way than ours is."""
    if page[:1] != bytes([_LEAF]) or int.from_bytes(page[3:5]) != 1:
        return None
    try:
        at = int.from_bytes(page[8:10])
        for _ in range(2):  # its length, and its number
            _, at = _varint(page, at)
        values = dict(zip(columns, _record(page, at), strict=False))
    except IndexError:
        return None
    revision, identity = values.get("revision"), values.get("identity")
    return _State(revision, identity) if isinstance(revision, int) and isinstance(identity, bytes) else None


def _record(page: bytes, start: int) -> Iterator[int | bytes | None]:
    """The values of a row; text as its bytes, and numbers with a fraction as None."""
    length, at = _varint(page, start)
    value_at = start + length
    while at < start + length:
        kind, at = _varint(page, at)
        if kind in _INTEGERS:
            size = _INTEGERS[kind]
            yield int.from_bytes(page[value_at : value_at + size], signed=True)
        elif kind >= _FIRST_OF_BLOBS:
            size = (kind - _FIRST_OF_BLOBS) // 2
            yield page[value_at : value_at + size]
        else:
            size = 8 if kind == 7 else 0
            yield {8: 0, _ONE: 1}.get(kind)
        value_at += size


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    number = 0
    for length in range(8):
        number = number << 7 | page[at + length] & 0x7F
        if page[at + length] < 0x80:
            return number, at + length + 1
    return number << 8 | page[at + 8], at + 9
