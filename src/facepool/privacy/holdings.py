"""What may be kept of a person: each kind in words, how long it stays, and what removes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

HoldingKind = Literal[
    "person",
    "details",
    "consents",
    "templates",
    "pictures",
    "look_alikes",
    "sightings",
    "taken_for",
    "suggestions",
    "undo",
    "notices",
    "activity",
    "visits",
    "audit",
    "erasure",
    "waiting",
    "index",
    "milvus",
    "unfinished",
    "copy",
    "backup",
    "collection",
    "photos",
]


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """How long something is kept that goes by itself; the defaults are those of the settings.

    Attributes:
        inbox_days: Faces of who was seen.
        inbox_sightings: How many sightings, at most.
        inbox_mb: How many megabytes they take, at most.
        activity_days: Who was seen when; 0: nothing is older than a moment.
        activity_entries: How many entries of it, at most.
        audit_days: Who did what to whom; 0: for ever.
        audit_entries: How many entries of it, at most; 0: any number.
    """

    inbox_days: float = 14
    inbox_sightings: int = 5000
    inbox_mb: float = 200
    activity_days: float = 30
    activity_entries: int = 1_000_000
    audit_days: float = 0
    audit_entries: int = 0


class Kind(NamedTuple):
    """A kind of what is kept.

    Attributes:
        what: It in words.
        stays: Until when.
        removed_by: What removes it before that.
    """

    what: str
    stays: str
    removed_by: str


_ERASED = "the person is erased"
_REMOVE = "facepool people remove NAME"
_INBOX = "{inbox_days:g} days at most, or until {inbox_sightings:,} sightings or {inbox_mb:g} MB are exceeded"
_ACTIVITY = "{activity_days:g} days at most, and no more than {activity_entries:,} entries"

KINDS: Final[Mapping[HoldingKind, Kind]] = {
    "person": Kind("name and id", _ERASED, _REMOVE),
    "details": Kind("notes, tags and external id", _ERASED, f"facepool people edit NAME, or {_REMOVE}"),
    "consents": Kind("records of consent", _ERASED, _REMOVE),
    "templates": Kind("templates: vectors of the face, and where they come from", _ERASED, _REMOVE),
    "pictures": Kind("small pictures of the face", _ERASED, _REMOVE),
    "look_alikes": Kind("people who are easily taken for them", "one of the two is erased", _REMOVE),
    "sightings": Kind("sightings with faces and vectors", _INBOX, f"facepool sightings delete ID, or {_REMOVE}"),
    "taken_for": Kind("sightings of others who were taken for them first", _INBOX, _REMOVE),
    "suggestions": Kind("suggested views", "they are answered or expire", f"facepool suggestions no ID, or {_REMOVE}"),
    "undo": Kind("what can be undone: numbers and ids", "{inbox_days:g} days at most", _REMOVE),
    "notices": Kind("what the logs are yet to be told", "the server is started next", _REMOVE),
    "activity": Kind("entries of who was seen when", _ACTIVITY, _REMOVE),
    "visits": Kind("visits, which those entries make up", _ACTIVITY, _REMOVE),
    "audit": Kind("entries of who did what to them", "{audit}", f"{_REMOVE}: a keyed digest takes the name's place"),
    "erasure": Kind(
        "entries that say by a keyed digest of the name what was done to somebody who was erased",
        "{audit}",
        "--keep-audit; they prove the erasure, and who does not know the name learns nothing from them",
    ),
    "waiting": Kind("events that wait for webhooks and brokers", "they are delivered or given up", _REMOVE),
    "index": Kind("the image of the index, which has everybody's vectors and names", _ERASED, _REMOVE),
    "milvus": Kind(
        "vectors in an index of Milvus, each with a number; no name", _ERASED, f"{_REMOVE}, or facepool index remove"
    ),
    "unfinished": Kind("unfinished copies, perhaps with everybody", "the server is started next", "you delete it"),
    "copy": Kind("a copy of the pool as it was", "anybody is erased, or you delete it", _REMOVE),
    "backup": Kind("a backup or copy of a pool, with this person in it", "you delete it", "you delete the file"),
    "collection": Kind(
        "somebody of that name in another collection", _ERASED, "facepool people remove NAME --collection COLLECTION"
    ),
    "photos": Kind("faces of photos that were grouped", "you erase it", "facepool group forget --output FOLDER"),
}
"""In the order of a report."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one place keeps of a person.

    Attributes:
        kind: Of what kind it is.
        place: Where: a file, a database, or part of one.
        count: How many; 0: nothing is there; None: nobody could find out, and `detail` says why.
        detail: More of it, in words, without names.
        since: Of when the oldest is, ISO 8601 in UTC; empty: it has no time.
        until: Of when the newest is.
        stays: Until when it stays by itself.
        removed_by: What removes it before that.
    """

    kind: HoldingKind
    place: str
    count: int | None
    detail: str = ""
    since: str = ""
    until: str = ""
    stays: str = ""
    removed_by: str = ""

    @property
    def what(self) -> str:
        """The kind in words."""
        return KINDS[self.kind].what

    @property
    def is_kept(self) -> bool:
        """Whether something is there, or nobody could find out."""
        return self.count != 0

    @property
    def is_left(self) -> bool:
        """The same after an erasure, without what is to stay: the proof of it."""
        return self.is_kept and self.kind != "erasure"


def holding(
    kind: HoldingKind,
    place: object,
    count: int | None,
    limits: RetentionLimits,
    *,
    detail: str = "",
    since: str | None = "",
    until: str | None = "",
) -> Holding:
    """What one place keeps, with how long it stays and what removes it."""
    days = f"{limits.audit_days:g} days at most" if limits.audit_days else "for ever"
    most = f", and no more than {limits.audit_entries:,} entries" if limits.audit_entries else ""
    stays = KINDS[kind].stays.format(
        inbox_days=limits.inbox_days,
        inbox_sightings=limits.inbox_sightings,
        inbox_mb=limits.inbox_mb,
        activity_days=limits.activity_days,
        activity_entries=limits.activity_entries,
        audit=f"{days}{most}",
    )
    return Holding(kind, str(place), count, detail, since or "", until or "", stays, KINDS[kind].removed_by)
