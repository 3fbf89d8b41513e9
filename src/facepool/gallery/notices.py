"""What a gallery has to tell logs that are kept elsewhere: a transactional outbox.

A change leaves a `Notice` in its own transaction. Who keeps the logs reads `Owed.notices`, writes the logs, and then
has the gallery delete them. So a process that dies between the two files has lost nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from facepool.gallery.address import PoolAddress, beside

Action = Literal[
    "created",
    "renamed",
    "merged",
    "registered",
    "erased",
    "erased_sample",
    "imported a pool",
    "restored the pool",
    "took the pool to another model",
    "calibrated the pool",
    "forgot the calibration",
    "described",
    "recorded consent",
    "named",
    "took back a name",
    "corrected",
    "took back a correction",
    "ignored",
    "watched",
    "split",
    "joined",
    "kept apart",
    "deleted",
    "forgot unknown faces",
    "accepted a suggestion",
    "declined a suggestion",
    "took back what was learned",
    "took back",
]
"""What was done, in the words of the audit log."""

NAME_CHANGES: tuple[Action, ...] = ("renamed", "merged")
"""Of these, the detail is the name that is gone."""
RETELLING: tuple[Action, ...] = ("named", "took back a name", "corrected", "took back a correction")
"""Of these, the detail is that of a `Retold`: logs say of some sightings that they are somebody else."""

ERASING: tuple[Action, ...] = (
    "erased",
    "erased_sample",
    "deleted",
    "forgot unknown faces",
    "took back a name",
    "took back what was learned",
)
"""After these, bytes of what is gone are wiped at once."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One change that logs have to be told of.

    Attributes:
        uuid: By which it is known whether they were told already.
        at: When, ISO 8601 in UTC with seconds.
        caller: Who did it.
        action: What was done.
        person: To whom, by the name after the change; empty: nobody in particular.
        person_id: Of the person; empty where `person` is, and for names that were erased from logs only.
        detail: The name that is gone, a count, a number, or what is told anew.
        change: The revision that the change led to: the same for all that it did.
    """

    uuid: str
    at: str
    caller: str
    action: Action
    person: str
    person_id: str
    detail: str
    change: int


@dataclass(frozen=True, slots=True)
class Retold:
    """Sightings of which logs of who was seen are to say something else: they were named later, or corrected.

    It has ids only, so that it names nobody who is erased before it was told.

    Attributes:
        sightings: Their ids.
        before: The id of the person whom the faces were taken for; empty: nobody known.
        after: The id of the person whom they are; empty: nobody known.
        mark: What the entries say of when that was.
        marked: True: they get the mark. False: it is taken back, from those that have it.
        words: What was done, for the audit log: how many sightings of what.
        events: Ids of events whose faces were not kept, so that there is no sighting: their visits are told anew.
        gone: Whether the person whom the faces were taken for has left the pool by it: then nothing says it was them.
    """

    sightings: tuple[str, ...]
    before: str
    after: str
    mark: Literal["named_at", "corrected_at"]
    marked: bool
    words: str
    events: tuple[str, ...] = ()
    gone: bool = False

    def __str__(self) -> str:
        """As the detail of a notice."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, notice: Notice) -> Self:
        """What a notice of `RETELLING` has to tell."""
        content = json.loads(notice.detail)
        return cls(**content | {name: tuple(content[name]) for name in ("sightings", "events") if name in content})


@dataclass(frozen=True, slots=True)
class Owed:
    """What a gallery has promised and not done yet.

    Attributes:
        notices: What logs are yet to be told, oldest first.
        traces: Whether bytes of what was erased may remain in the files.
    """

    notices: tuple[Notice, ...] = ()
    traces: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.notices) or self.traces


COMMAND_LINE = "command line"
"""Who changes something with facepool's commands, for the audit log."""


def erased_names(notices: Sequence[Notice]) -> frozenset[str]:
    """Names of people whom logs must not show any more, although they were not told yet: former names, too."""
    names: set[str] = set()
    for notice in reversed(notices):
        if notice.action == "erased":
            names.add(notice.person)
        elif notice.action in NAME_CHANGES and notice.person in names:
            names.add(notice.detail)
    return frozenset(names)


def logs_beside(pool: PoolAddress) -> Path:
    """Where a server keeps the logs of a pool: ``pool.db`` has ``pool.server.db``."""
    return beside(pool, ".server.db")


def now() -> str:
    """ISO 8601 in UTC with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
