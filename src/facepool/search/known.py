"""What a process knows of a gallery, once for all who have it open: its index, and whether its database is away.

While a database is away, what is in memory is an old picture. `Known` says of what time, tries in a thread of its own
whether the database is back, and keeps everybody else from waiting for it.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeVar
from weakref import WeakKeyDictionary, ref

from facepool.cgroups import memory_limit
from facepool.errors import ConfigError, FacepoolError, PoolUnreachable
from facepool.gallery import Gallery, open_pool
from facepool.gallery.address import PostgresAddress
from facepool.gallery.base import OpenFiles, check_gallery
from facepool.gallery.checks import check_dimension, check_space
from facepool.gallery.image import Misfit, image_of
from facepool.gallery.index_address import IndexAddress, check_can_have_index
from facepool.gallery.sql import SqlGallery
from facepool.search.image import Image, ImageKeeper
from facepool.search.index import Index
from facepool.search.shared import SharedIndex
from facepool.search.state import Behind, Outage
from facepool.types import EmbeddingSpace, counted

if TYPE_CHECKING:
    from facepool.search.beside import Beside
    from facepool.search.mirror import Mirror

Answer = TypeVar("Answer")
Place = Literal["auto", "memory", "database"]
"""Where a gallery is searched: in the memory of this process, or in its database; ``auto``: as its size asks for."""

_MOST_IN_MEMORY = 4 << 30
"""Bytes that the index of a gallery in a database may take: 5.5 million templates of 128 numbers, 1.6 of 512."""
_SHARE_OF_MEMORY = 0.25
_BYTES_OF_NUMBER = 5  # in single precision, and as a code
_BYTES_OF_TEMPLATE = 128  # its number, its share of names and ids
_TRY_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class SearchChoice:
    """How a gallery is to be searched.

    Attributes:
        place: Where.
        exact: In the database, look at all templates in place of its index, which may overlook somebody. In memory the
            answer is exact anyhow.
        index: What lists the nearest templates, and follows the gallery; None: nothing does.
    """

    place: Place = "auto"
    exact: bool = False
    index: IndexAddress | None = None


class Known:
    """What is known of the files, or of the database, that some galleries of this process are open on.

    Attributes:
        choice: How they are to be searched.
        newest: The index in memory, as new as it is.
        following: Held by whoever brings what is in memory up to date.
        mirror: What is in memory of a gallery that is searched in its database; None: nothing.
        beside: What is known of the index that is beside the gallery and searched; None: none is.
    """

    def __init__(self, choice: SearchChoice) -> None:
        self.choice = choice
        self.following = threading.Lock()
        self.mirror: Mirror | None = None
        self.newest = SharedIndex()
        self._images = ImageKeeper()
        self.beside = _beside_of(choice)
        self._in_database: bool | None = None
        self._current_at: datetime | None = None
        self._away: tuple[datetime, PoolUnreachable] | None = None
        self._noting = threading.Lock()
        self._pinned: tuple[int, EmbeddingSpace | None, int | None] | None = None

    @property
    def index(self) -> Index | None:
        """What is in memory; None: nothing."""
        return self.newest.index

    @property
    def outage(self) -> Outage | None:
        """Whether the database is away, and how old that makes what is in memory."""
        away = self._away
        return None if away is None else Outage(away[0], self._current_at if self.index is not None else None)

    @property
    def behind(self) -> Behind | None:
        """Why the index is not searched, or does not have everything, as was seen last; None: it has."""
        return None if self.beside is None else self.beside.behind

    def is_beside(self) -> bool:
        """Whether the gallery is searched by an index beside it; while that is away, it is not."""
        return self.beside is not None and self.beside.away is None

    def look_beside(self, gallery: Gallery) -> None:
        """Note whether the index beside the gallery still is behind."""
        beside = self.beside
        if beside is not None:
            with in_database(gallery).reading() as db:
                beside.look(db)

    def release_stand_in(self) -> None:
        """Let go of what is in memory since the gallery had to be searched without its index."""
        if self.newest.index is not None:
            with self.following:
                self.newest, self._in_database = SharedIndex(), None

    def current(self, gallery: Gallery) -> Index:
        """The index of the gallery as it is now.

        Raises:
            PoolUnreachable: Its database is away.
        """
        index = self.ask(gallery, self._brought_up_to_date)
        self._current_at = datetime.now(UTC)
        return index

    def keep_image(self, gallery: Gallery, image: Image) -> None:
        """Have an image written in the place of one that a change has deleted, if it was.

        Args:
            gallery: After the change.
            image: As it was before.
        """
        if gallery.imaged is None or image_of(gallery.imaged.path).exists():
            return
        with self.following, suppress(Misfit):
            if self.newest.index is None:
                self.newest.use(image.index())
        if self.newest.index is not None:
            self.current(gallery)

    def is_in_database(self, gallery: Gallery) -> bool:
        """Whether the gallery is searched in its database, which is decided once: where the process first asks.

        Of a gallery with an index beside it: where it is searched without that.

        Raises:
            PoolUnreachable: The database is away, and nobody has asked before.
        """
        if self._in_database is None:
            self._in_database = self.ask(gallery, self._decide)
        return self._in_database

    def reconsider(self, choice: SearchChoice) -> None:
        """Search in another way from now on; what is in memory for the way before leaves it."""
        if choice == self.choice:
            return
        with self.following:
            self.choice, self._in_database, self.newest, self.mirror = choice, None, SharedIndex(), None
            self.beside = _beside_of(choice)

    def ask(self, gallery: Gallery, question: Callable[[Gallery], Answer]) -> Answer:
        """Ask the gallery something, unless it is known that its database is away: then nobody waits for it.

        Raises:
            PoolUnreachable: It is.
        """
        away = self._away
        if away is not None:
            raise PoolUnreachable(away[1].what, why=away[1].why, fix=away[1].fix)
        try:
            return question(gallery)
        except PoolUnreachable as error:
            self._note(gallery, error)
            raise

    def check(self, gallery: Gallery, space: EmbeddingSpace, revision: int, *, is_empty: bool) -> None:
        """Refuse a gallery of another space; asked once a revision, since a new gallery may become any model's.

        Args:
            gallery: Open.
            space: What it has to be of.
            revision: At which it is searched.
            is_empty: Whether it has no template then.

        Raises:
            SpaceMismatch: It is of another space.
            PoolUnreachable: Its database is away.
        """
        if is_empty:
            self.ask(gallery, lambda gallery: check_gallery(gallery, space))
            return
        if self._pinned is None or self._pinned[0] != revision:
            self._pinned = self.ask(gallery, lambda gallery: (revision, gallery.space, gallery.dimension))
        self.check_unasked(gallery, space)

    def check_unasked(self, gallery: Gallery, space: EmbeddingSpace) -> None:
        """The same by what was known last, without asking the gallery.

        Raises:
            SpaceMismatch: It was of another space, or nobody knew.
        """
        _, pinned, dimension = self._pinned or (0, None, None)
        check_space(gallery.address, pinned, space)
        if pinned is None:
            check_dimension(gallery.address, dimension, space)

    def _brought_up_to_date(self, gallery: Gallery) -> Index:
        known = self.newest.index
        if known is not None and known.revision == gallery.revision():
            return known
        with self.following:  # one reads and sorts what is new, and the others wait for that
            newest = self.newest
            if newest.index is None and (known := self._images.opened(gallery)) is not None:
                newest.use(known)
            known = newest.index
            if known is None or known.revision != gallery.revision():
                known = newest.follow(gallery.changes(None if known is None else known.revision))
            self._images.look(gallery, known, _held_by)
            return known

    def _decide(self, gallery: Gallery) -> bool:
        if self.choice.place == "memory":
            return False
        if not is_in_postgresql(gallery):
            if self.beside is not None and not fits_memory(gallery):
                raise self.beside.away or too_large(gallery)
            return False
        return self.choice.place == "database" or not fits_memory(gallery)

    def _note(self, gallery: Gallery, error: PoolUnreachable) -> None:
        with self._noting:
            if self._away is not None:
                return
            self._away = datetime.now(UTC), error
        address = gallery.address
        waiting = threading.Thread(
            target=_wait, args=(ref(self), lambda: open_pool(address)), name="facepool-away", daemon=True
        )
        with suppress(RuntimeError):  # the system has no thread left
            waiting.start()
            return
        self._away = None

    def note_return(self) -> None:
        """The database is there again."""
        self._away = None


def _wait(known: "ref[Known]", open_again: Callable[[], Gallery]) -> None:
    """Try until a database is back, or nobody asks for it any more."""
    try:
        while known() is not None and not _is_back(open_again):
            time.sleep(_TRY_EVERY_S)
    finally:  # whatever went wrong here, nobody else would ever ask again
        waiting = known()
        if waiting is not None:
            waiting.note_return()


def _is_back(open_again: Callable[[], Gallery]) -> bool:
    try:
        with open_again() as gallery:
            gallery.revision()
    except PoolUnreachable:
        return False
    except FacepoolError:  # who asks next is told
        pass
    return True


_KNOWN: WeakKeyDictionary[OpenFiles, Known] = WeakKeyDictionary()
"""One for all galleries of the process that are open on the same files, until the last of them is closed."""
_CHOICES: WeakKeyDictionary[Gallery, SearchChoice] = WeakKeyDictionary()
"""Kept apart: a gallery that is made, or whose server has lost changes, is open on something new."""
_LOCK = threading.Lock()


def known_of(gallery: Gallery) -> Known:
    """What the process knows of a gallery."""
    files = gallery.open_files
    with _LOCK:
        known = _KNOWN.get(files)
        if known is None:
            known = _KNOWN[files] = Known(_CHOICES.get(gallery, SearchChoice()))
        return known


def _held_by(gallery: Gallery) -> Known | None:
    """What is known of a gallery's files, if anybody searches them."""
    with _LOCK:
        return _KNOWN.get(gallery.open_files)


def _beside_of(choice: SearchChoice) -> "Beside | None":
    if choice.index is None or choice.place != "auto" or choice.exact:
        return None
    from facepool.search.beside import Beside  # noqa: PLC0415 -- only for those who have an index

    return Beside(choice.index)


def choose(gallery: Gallery, choice: SearchChoice) -> None:
    """Say how a gallery is to be searched by this process; whoever opens it does so, before anybody has searched it.

    Args:
        gallery: Open; it is asked nothing where the choice leaves nothing open.
        choice: How.

    Raises:
        ConfigError: It is to be searched in its database, and is in files; or it can have no index.
    """
    if choice.index is not None:
        check_can_have_index(gallery.address)
    if choice.place == "database" and not is_in_postgresql(gallery):
        raise ConfigError(
            f"{gallery.address.name} cannot be searched in a database",
            why="it is a file, which every process searches in its own memory",
            fix="Use --search auto, or move the pool to PostgreSQL: facepool people export, then people import",
        )
    with _LOCK:
        _CHOICES[gallery] = choice
    known_of(gallery).reconsider(choice)


def describe(gallery: Gallery) -> str:
    """Where and how a gallery is searched, in one line; empty for files, where there is no choice.

    Raises:
        PoolUnreachable: Its database is away, and nobody has asked before.
    """
    known = known_of(gallery)
    if known.choice.index is not None and known.beside is not None:
        without = f", without it: {known.behind.words}" if known.behind is not None and known.beside.away else ""
        return f"searched by the index {known.choice.index}, candidates compared again{without}"
    if not is_in_postgresql(gallery):
        return ""
    if not known.is_in_database(gallery):
        return "searched in the memory of each process, exactly"
    if known.choice.exact:
        return "searched in the database, by looking at everybody (--exact)"
    from facepool.search import hnsw  # noqa: PLC0415 -- only for PostgreSQL

    words = known.ask(gallery, lambda gallery: hnsw.describe(in_database(gallery)))
    return f"searched in the database, {words}"


def is_in_postgresql(gallery: Gallery) -> bool:
    """Whether the gallery is in a PostgreSQL database."""
    return isinstance(gallery.address, PostgresAddress)


def in_database(gallery: Gallery) -> SqlGallery:
    """A gallery that is in a database."""
    if not isinstance(gallery, SqlGallery):
        raise TypeError(f"{gallery.address} is in files")
    return gallery


def fits_memory(gallery: Gallery) -> bool:
    """Whether an index of the gallery is small enough for a process."""
    return _index_bytes(*_size(gallery)) <= _memory()


def too_large(gallery: Gallery) -> ConfigError:
    """What is said where all templates would have to be in memory, and are too many."""
    templates, dimension = _size(gallery)
    gigabytes = _index_bytes(templates, dimension) / (1 << 30)
    return ConfigError(
        f"{counted(templates, 'template')} are too many to be compared with each other in memory",
        why=f"that would take {gigabytes:.1f} GiB, and {_memory() / (1 << 30):.1f} GiB may be used",
        fix="Use --search memory on a machine that has the memory",
    )


def _size(gallery: Gallery) -> tuple[int, int]:
    """Templates, and the length of a vector."""
    with in_database(gallery).reading() as db:
        (templates,) = db.execute("SELECT count(*) FROM templates").fetchone()
    return int(templates), gallery.dimension or 0


def _index_bytes(templates: int, dimension: int) -> int:
    return templates * (_BYTES_OF_NUMBER * dimension + _BYTES_OF_TEMPLATE)


def _memory() -> float:
    """Bytes that an index may take."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, for one
        return _MOST_IN_MEMORY
    return min(_MOST_IN_MEMORY, _SHARE_OF_MEMORY * min(machine, memory_limit() or machine))
