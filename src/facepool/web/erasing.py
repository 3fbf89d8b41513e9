"""Erasing people from all that the server keeps: pool, activity and audit log."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from facepool.gallery import Pool
from facepool.web.services import Caller, Services

_log = logging.getLogger("facepool.web")


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


def erase(services: Services, caller: Caller, pool: Pool, people: Collection[str]) -> Erasure:
    """Erase people, and what else tells of them, although they may be gone from the pool already.

    All in one call for a thread of the pool, so that it goes on to its end although the request is cut off.

    Args:
        services: Those of the server.
        caller: Who wants it.
        pool: That of the thread.
        people: Names.
    """
    remarks = len(pool.notes)
    samples = pool.remove_many(people)
    with services.store.transaction() as db:
        activity = services.activity.forget(db, people)
        audit = services.audit.forget(db, people)
        services.audit.erased(db, caller, samples or (people if activity or audit else ()))
    erasure = Erasure(samples, activity, audit, told_since(pool, remarks))
    if not erasure.nothing:
        services.store.wipe()
    return erasure


def everybody(services: Services, pool: Pool) -> set[str]:
    """All people of the pool, and whoever else the server speaks of still."""
    return {person.name for person in pool.people()} | services.activity.names() | services.audit.names()


def told_since(pool: Pool, remarks: int) -> tuple[str, ...]:
    """What a pool has remarked after so many remarks, for the caller; it is in the log, too."""
    notes = pool.notes[remarks:]
    for note in notes:
        _log.warning("%s", note)
    return notes
