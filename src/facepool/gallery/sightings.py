"""What an inbox is asked for and what it answers: bounds, groups of unknown faces, columns to compare with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from facepool.gallery.columns import Numbers
from facepool.types import Floats, Pose, Sighting, counted, one_line

GroupState = Literal["open", "ignored"]
"""Of a group of sightings: of somebody who may be named, or who stays unnamed and raises nothing."""


@dataclass(frozen=True, slots=True)
class InboxBounds:
    """How much is kept of who was seen; what is beyond goes.

    Attributes:
        days: For how long after somebody was last seen.
        sightings: How many.
        bytes: How much they may take, faces and all.
    """

    days: float = 14.0
    sightings: int = 5000
    bytes: int = 200 << 20

    def __post_init__(self) -> None:
        """Refuse bounds within which nothing is kept."""
        if not (self.days > 0 and self.sightings > 0 and self.bytes > 0):
            raise ValueError(f"an inbox needs room: {self}")


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a sighting that was to be kept.

    Attributes:
        group: The number of its group; None: it is in none.
        is_new_group: Whether it is the first of its group.
        is_kept: False: it was kept before and somebody has deleted it since, so it stays deleted.
        expired: How many others went because their time was over.
        crowded_out: How many others went because there was no room for all.
    """

    group: int | None = None
    is_new_group: bool = False
    is_kept: bool = True
    expired: int = 0
    crowded_out: int = 0

    @property
    def dropped(self) -> int:
        """How many others went."""
        return self.expired + self.crowded_out


@dataclass(frozen=True, slots=True)
class UnknownGroup:
    """Sightings of one person whom nobody has named: "Stranger 12".

    Attributes:
        number: By which it is known; never used twice.
        state: Whether it may be named, or is to stay as it is.
        sightings: How many it has, at least one.
        since: When the first one began, ISO 8601 in UTC with milliseconds.
        until: When the last one ended, likewise.
        sources: Cameras, sorted.
        faces: UUIDs of some of its best faces, the best one first, of different sightings before others of the same.
        revision: Another one after each change of it.
    """

    number: int
    state: GroupState
    sightings: int
    since: str
    until: str
    sources: tuple[str, ...]
    faces: tuple[str, ...]
    revision: int

    def __repr__(self) -> str:
        """Which one, and how often it was seen."""
        return one_line(self, f"{self.number} ({self.state}), {counted(self.sightings, 'sighting')}, to {self.until}")


@dataclass(frozen=True, slots=True)
class InboxVectors:
    """The faces of all groups of unnamed people, one row a face: what a new face is compared with.

    Attributes:
        revision: Of the inbox.
        embeddings: (N, D) float32, rows of L2 norm 1.
        groups: (N,) int64, the number of each one's group; those of ignored groups are among them.
        qualities: (N,) float32, 0..100.
        sightings: (N,) int64, equal for faces of one sighting.
        ignored: Numbers of groups that are to stay unnamed and raise nothing.
    """

    revision: int
    embeddings: Floats
    groups: Numbers
    qualities: Floats
    sightings: Numbers = field(repr=False)
    ignored: frozenset[int] = frozenset()

    @classmethod
    def empty(cls, dimension: int = 0) -> "InboxVectors":
        """No face."""
        none = np.zeros(0, np.int64)
        return cls(-1, np.zeros((0, dimension), np.float32), none, np.zeros(0, np.float32), none)

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.embeddings)

    def __repr__(self) -> str:
        """How many there are."""
        return one_line(self, f"{counted(len(self), 'face')}, revision {self.revision}")


@dataclass(frozen=True, slots=True)
class Proposal:
    """Two groups that may be of one person: somebody has to say whether they are.

    Attributes:
        one: The number of the group that was there first.
        other: That of the other one.
        similarity: Of their faces.
    """

    one: int
    other: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Assigned:
    """What became of faces and sightings that were given to a person.

    Attributes:
        person: The person's name.
        person_id: Their id.
        created: Whether nobody had that name before.
        templates: UUIDs of the templates that were stored: those of the faces.
        moved: UUIDs of templates that were another person's before.
        before: The sightings as they were, which `Inbox.take_back` takes to undo it.
    """

    person: str
    person_id: str
    created: bool
    templates: tuple[str, ...]
    moved: tuple[str, ...]
    before: tuple[Sighting, ...] = field(repr=False)


SuggestionState = Literal["open", "accepted", "declined"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A face that may become one of a person's templates, if somebody says yes.

    Attributes:
        number: By which it is known; never used twice.
        face_id: UUID of the face.
        sighting_id: The sighting that it is of.
        source: The camera.
        seen_at: When the sighting began, ISO 8601 in UTC with milliseconds.
        person: Whose it would be.
        person_id: That person's id.
        similarity: To what the person was enrolled with.
        quality: 0..100.
        pose: None where it could not be measured.
        reason: What the person's templates lack that it has.
        state: What was said to it.
        made_at: When it was made, ISO 8601 in UTC with milliseconds.
        expires_at: When it goes if nobody says anything, likewise.
    """

    number: int
    face_id: str
    sighting_id: str
    source: str
    seen_at: str
    person: str
    person_id: str
    similarity: float
    quality: float
    pose: Pose | None
    reason: str
    state: SuggestionState
    made_at: str
    expires_at: str

    def __repr__(self) -> str:
        """For whom it is, and why."""
        return one_line(self, f"{self.number} for {self.person} ({self.reason}), {self.state}")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Something that was done to sightings and can be undone.

    Attributes:
        number: By which it is known; never used twice.
        at: When, ISO 8601 in UTC with milliseconds.
        caller: Who did it.
        action: What was done: whoever did it knows how to undo it.
        content: Ids and numbers, for JSON; no names, nothing of a face.
    """

    number: int
    at: str
    caller: str
    action: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InboxUsage:
    """How much is kept.

    Attributes:
        sightings: How many.
        faces: How many they have.
        groups: How many unnamed people, ignored ones, too.
        bytes: How much they take.
        kept: How many sightings were ever kept.
        dropped: How many of them went because they were too old or too many.
    """

    sightings: int
    faces: int
    groups: int
    bytes: int
    kept: int
    dropped: int
