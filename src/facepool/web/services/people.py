"""What is done to people of the pool, and what activity and audit log keep of it.

All of it runs in the thread of those who change the pool, by `PoolAccess.change`, so that it goes on to its end
although the request is cut off.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from facepool.gallery import Details, Pool
from facepool.gallery.checks import folded
from facepool.gallery.notices import Notice
from facepool.types import Person, Template
from facepool.web.services.activity import Activity
from facepool.web.services.audit import Audit
from facepool.web.services.keys import Caller
from facepool.web.services.settling import Settling


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased.

    Attributes:
        samples: How many views of each who was in the pool.
        activity: How many entries of the activity spoke of them.
        audit: How many entries of the audit log did.
        notes: Remarks for the user, one line each.
        still_in_index: How many templates that left the pool an index may still have.
    """

    samples: Mapping[str, int]
    activity: int
    audit: int
    notes: tuple[str, ...]
    still_in_index: int = 0

    @property
    def nothing(self) -> bool:
        """Whether nobody and no trace was found."""
        return not (self.samples or self.activity or self.audit)


class PersonChanges:
    """Changes people, and keeps track of it.

    Args:
        settling: Tells activity and audit log.
        activity: Who was seen when.
        audit: Who did what to whom.
        hide: Takes names from what other programs are yet to hear of.
    """

    def __init__(
        self, settling: Settling, activity: Activity, audit: Audit, hide: Callable[[Collection[str]], None]
    ) -> None:
        self._settling = settling
        self._activity = activity
        self._audit = audit
        self._hide = hide

    @contextmanager
    def changing(self, caller: Caller, pool: Pool) -> Iterator[list[str]]:
        """Changes of the pool inside the block are in activity and audit log, too, or will be; bytes are wiped once.

        What the pool has done is done: a log that cannot be written now is written later. Gives a list that has
        remarks for the user after the block, one line each.
        """
        noted: Sequence[Notice] = ()
        notes: list[str] = []
        try:
            with pool.noting(caller.name) as noted:
                yield notes
        finally:
            if noted:
                notes += self._settling.settle(pool, noted).notes

    def create(self, caller: Caller, pool: Pool, name: str) -> None:
        """Make somebody known who has no views yet.

        Raises:
            PersonExists: Somebody has that name.
        """
        with self.changing(caller, pool):
            pool.create(name)

    def rename(self, caller: Caller, pool: Pool, old: str, new: str) -> None:
        """Give somebody another name, which nobody may have yet.

        Raises:
            UnknownPerson: Nobody has the old name.
            PersonExists: Somebody has the new one.
        """
        with self.changing(caller, pool):
            pool.rename(old, new)

    def describe(self, caller: Caller, pool: Pool, person: str, details: Details, name: str | None) -> Person:
        """Keep what is to be known of somebody, and give them another name, where one is given.

        Raises:
            ConfigError: Something of it cannot be stored, or the pool has no place for it.
            PersonExists: Somebody else has the name or the external id.
            UnknownPerson: Nobody has that name.
        """
        with self.changing(caller, pool):
            return pool.describe(person, details, name=name)

    def merge(self, caller: Caller, pool: Pool, source: str, target: str) -> int:
        """Give all views of somebody to another person.

        Returns:
            How many.

        Raises:
            UnknownPerson: One of them is not in the pool.
        """
        with self.changing(caller, pool):
            return pool.merge(source, target)

    def erase(self, caller: Caller, pool: Pool, people: Collection[str]) -> Erasure:
        """Erase people, and what else speaks of them, although they may be gone from the pool already.

        Raises:
            FacepoolError: Nobody of them is in the pool, and the logs that speak of them cannot be written.
        """
        with pool.noting(caller.name) as noted:
            samples = pool.remove_many(people)
        self._hide(people)
        settled = self._settling.settle(pool, noted) if noted else self._settling.forget(caller.name, pool, people)
        forgotten = settled.forgotten
        return Erasure(samples, forgotten.activity, forgotten.audit, settled.notes, settled.still_in_index)

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
        with self.changing(caller, pool) as notes:
            owner = pool.remove_template(number, person)
        return owner, tuple(notes)

    def everybody(self, pool: Pool) -> set[str]:
        """All people of the pool, and all others whom activity and audit log still speak of."""
        return {*pool.names()} | self._activity.names() | self._audit.names()


def namesake(pool: Pool, name: str) -> str | None:
    """Who has a name, as the pool spells it; None: nobody.

    Other programs do not tell upper from lower case, so their clients find nobody else next to a namesake.
    """
    if pool.person(name) is not None:
        return name
    page = pool.people_page(name, limit=1)  # those who have no more than this come first
    return next((known.name for known in page.people if folded(known.name) == folded(name)), None)


def best_view(templates: Sequence[Template], with_image: frozenset[int]) -> int | None:
    """Number of the best view among those that have a picture; None: none has."""
    shown = [template for template in templates if template.id in with_image]
    best = max(shown, key=lambda template: template.sample.quality or 0, default=None)
    return None if best is None else best.id
