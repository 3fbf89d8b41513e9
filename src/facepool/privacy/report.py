"""All that is kept of a person, and where: one report of every place that facepool knows.

`privacy_report` asks the tables of a pool, the files beside it and in folders that are named, and the pool's other
collections; who runs a server adds what that keeps. What facepool cannot see, the report says in words.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facepool.errors import FacepoolError
from facepool.gallery import Gallery, SqlGallery, find_name, open_pool
from facepool.gallery.address import PoolAddress, PostgresAddress
from facepool.privacy.holdings import Holding, RetentionLimits, holding
from facepool.privacy.places import Somebody, held_in_files
from facepool.privacy.tables import held_in_indexes, held_in_tables

ELSEWHERE = (
    "Photos and films that they were registered from, and pictures, recordings and reports that commands wrote",
    "Backups and copies elsewhere: --also FOLDER looks into more folders",
    "What webhooks, MQTT brokers and Home Assistant have got already",
    "Strangers whom nobody has named, who may be this person: facepool unknown list",
)
"""What nobody here can look into."""
OF_POSTGRES = (
    "Bytes in unused room of PostgreSQL's files, its write-ahead log, replicas, dumps and backups",
    "What servers on other machines keep beside it",
)


@dataclass(frozen=True, slots=True)
class PrivacyReport:
    """What is kept of somebody.

    Attributes:
        person: What they are called, or were.
        person_id: Theirs; empty: they are not in the pool.
        holdings: Every place that was looked at, also those where nothing is.
        elsewhere: What could not be looked at, in words.
    """

    person: str = field(repr=False)
    person_id: str
    holdings: tuple[Holding, ...]
    elsewhere: tuple[str, ...]

    @property
    def kept(self) -> tuple[Holding, ...]:
        """Where something is."""
        return tuple(one for one in self.holdings if one.is_kept)

    @property
    def left(self) -> tuple[Holding, ...]:
        """The same after an erasure, but for the proof that it took place."""
        return tuple(one for one in self.holdings if one.is_left)


def privacy_report(
    gallery: Gallery,
    name: str,
    *,
    person_id: str = "",
    also: Collection[Path] = (),
    collections: Sequence[tuple[str, PoolAddress]] = (),
    more: Sequence[Holding] = (),
    limits: RetentionLimits = RetentionLimits(),  # noqa: B008 -- it never changes
    whole_paths: bool = True,
) -> PrivacyReport:
    """Find out what is kept of somebody, who may be gone from the pool.

    Nothing is written by it, neither to the pool nor to a log.

    Args:
        gallery: The pool.
        name: What the person is called, or was.
        person_id: Of somebody who was erased: by it, more is found than by the name.
        also: Folders and files to look into, too: of backups, and of photos that were grouped.
        collections: Names and addresses of the pool's other collections.
        more: What others keep who know of it, such as a server.
        limits: How long things are kept that go by themselves.
        whole_paths: Whether places are whole paths, or the names of files alone.

    Raises:
        ConfigError: The name cannot be one.
        PoolError: The pool cannot be read.
    """
    if not isinstance(gallery, SqlGallery):
        raise TypeError(f"a gallery of another kind: {type(gallery).__name__}")
    name = find_name(name)
    known = gallery.person(name)
    somebody = Somebody(name, known.id if known else person_id)
    place = gallery.address if whole_paths else gallery.address.name
    with gallery.reading() as db:
        tables = held_in_tables(db, place, somebody.name, somebody.person_id, limits)
        tables += held_in_indexes(db, somebody.name, somebody.person_id, limits, whole_places=whole_paths)
    files = held_in_files(gallery.address, somebody, also, limits, whole_paths=whole_paths)
    others = [_in_collection(label, address, name, limits) for label, address in collections]
    elsewhere = ELSEWHERE + (OF_POSTGRES if isinstance(gallery.address, PostgresAddress) else ())
    return PrivacyReport(name, known.id if known else "", (*tables, *more, *files, *others), elsewhere)


def _in_collection(label: str, address: PoolAddress, name: str, limits: RetentionLimits) -> Holding:
    place = f"collection {label}"
    try:
        with open_pool(address, must_exist=True) as gallery:
            person = gallery.person(name)
    except FacepoolError as error:
        return holding("collection", place, None, limits, detail=f"it could not be looked into: {error.code}")
    if person is None:
        return holding("collection", place, 0, limits)
    return holding("collection", place, 1, limits, detail=f"{person.templates} views; perhaps somebody else")
