"""What is done to people of the pool, and what activity and audit log keep of it.

All of it runs in the thread of those who change the pool, by `PoolAccess.change`, so that it goes on to its end
although the request is cut off.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from facepool.gallery import Pool
from facepool.types import Template
from facepool.web.services.activity import Activity
from facepool.web.services.audit import Audit
from facepool.web.services.keys import Caller
from facepool.web.services.store import ServerStore

_LOG = logging.getLogger("facepool.web")


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased.

    Attributes:
        samples: How many views of each who was in the pool.
        activity: How many entries of the activity spoke of them.
        audit: How many entries of the audit log did.
        notes: Remarks for the user, one line each.
    """

    samples: Mapping[str, int]
    activity: int
    audit: int
    notes: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """Whether nobody and no trace was found."""
        return not (self.samples or self.activity or self.audit)


class PersonChanges:
    """Changes people, and keeps track of it.

    Args:
        store: Where activity and audit log are kept.
        activity: Who was seen when.
        audit: Who did what to whom.
    """

    def __init__(self, store: ServerStore, activity: Activity, audit: Audit) -> None:
        self._store = store
        self._activity = activity
        self._audit = audit

    def create(self, caller: Caller, pool: Pool, name: str) -> None:
        """Make somebody known who has no views yet.

        Raises:
            PersonExists: Somebody has that name.
        """
        pool.create(name)
        self._audit.note(caller, "created", name)

    def rename(self, caller: Caller, pool: Pool, old: str, new: str) -> None:
        """Give somebody another name, which nobody may have yet.

        Raises:
            UnknownPerson: Nobody has the old name.
            PersonExists: Somebody has the new one.
        """
        pool.rename(old, new)
        self._activity.rename(old, new)
        self._audit.note(caller, "renamed", new, old)

    def merge(self, caller: Caller, pool: Pool, source: str, target: str) -> int:
        """Give all views of somebody to another person.

        Returns:
            How many.

        Raises:
            UnknownPerson: One of them is not in the pool.
        """
        moved = pool.merge(source, target)
        self._activity.rename(source, target)
        self._audit.note(caller, "merged", target, source)
        return moved

    def erase(self, caller: Caller, pool: Pool, people: Collection[str]) -> Erasure:
        """Erase people, and what else speaks of them, although they may be gone from the pool already."""
        remarks = len(pool.notes)
        samples = pool.remove_many(people)
        with self._store.transaction() as db:
            activity = self._activity.forget(db, people)
            audit = self._audit.forget(db, people)
            self._audit.erased(db, caller, samples or (people if activity or audit else ()))
        erasure = Erasure(samples, activity, audit, _notes_since(pool, remarks))
        if not erasure.nothing:
            self._store.wipe()
        return erasure

    def erase_view(
        self, caller: Caller, pool: Pool, number: int, person: str | None = None
    ) -> tuple[str, tuple[str, ...]]:
        """Erase one view and its picture. The person stays, even without a view.

        Args:
            caller: Who wants it.
            pool: That of the thread.
            number: Of the view.
            person: Whose it has to be; None: anybody's.

        Returns:
            Whose it was, and remarks for the user, one line each.

        Raises:
            UnknownTemplate: There is none of that number, or it is somebody else's.
        """
        remarks = len(pool.notes)
        owner = pool.remove_template(number, person)
        self._audit.note(caller, "erased_sample", owner, str(number))
        return owner, _notes_since(pool, remarks)

    def everybody(self, pool: Pool) -> set[str]:
        """All people of the pool, and all others whom activity and audit log still speak of."""
        return {person.name for person in pool.people()} | self._activity.names() | self._audit.names()


def _notes_since(pool: Pool, remarks: int) -> tuple[str, ...]:
    """What a pool has remarked after so many remarks, for the caller; it is in the log, too."""
    notes = pool.notes[remarks:]
    for note in notes:
        _LOG.warning("%s", note)
    return notes


def namesake(pool: Pool, name: str) -> str | None:
    """Who has a name, as the pool spells it; None: nobody.

    Other programs do not tell upper from lower case, so their clients find nobody else next to a namesake.
    """
    names = [person.name for person in pool.people()]
    if name in names:
        return name
    folded = name.casefold()
    return next((known for known in names if known.casefold() == folded), None)


def best_view(templates: Sequence[Template], with_image: frozenset[int]) -> int | None:
    """Number of the best view among those that have a picture; None: none has."""
    shown = [template for template in templates if template.id in with_image]
    best = max(shown, key=lambda template: template.sample.quality or 0, default=None)
    return None if best is None else best.id
