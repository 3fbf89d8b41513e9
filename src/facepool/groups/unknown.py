"""What people do with groups of unknown faces: name them, add them to somebody, ignore, split, join or delete them.

Each change is one transaction with its entry in the journal, by which it is undone (`facepool.groups.undoing`), and
with its notice for the logs of a server. `facepool.groups.naming` says how a group becomes a person.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from facepool.enroll.identity import LookAlike, look_alikes
from facepool.enroll.session import EnrollOptions
from facepool.errors import ConfigError, GroupGone, UnknownSighting
from facepool.gallery import Gallery
from facepool.gallery.notices import COMMAND_LINE, Action
from facepool.gallery.sightings import GroupState, JournalEntry
from facepool.groups.naming import Named, Naming, outdated, sightings_now, space_of, there
from facepool.search import Search
from facepool.thresholds import ThresholdPolicy
from facepool.types import counted


class UnknownPeople:
    """Groups of unknown faces of a pool, and what is done with them. Each change is one transaction.

    >>> people = UnknownPeople(pool, ThresholdPolicy(analyzer.fmr))                          # doctest: +SKIP
    >>> [(group.number, group.sightings) for group in pool.inbox.groups()]                   # doctest: +SKIP
    >>> people.name(12, "Bo").person_id                                                      # doctest: +SKIP

    Args:
        pool: Where they are.
        policy: From which similarity on a face is somebody, and two faces show one person.
        options: Which faces are worth keeping as templates.
        caller: Who does it, for the journal.
    """

    def __init__(
        self,
        pool: Gallery,
        policy: ThresholdPolicy,
        options: EnrollOptions | None = None,
        *,
        caller: str = COMMAND_LINE,
    ) -> None:
        self._pool = pool
        self._caller = caller
        self._policy = policy
        self._options = options or EnrollOptions()

    def looks_like(self, groups: Collection[int]) -> dict[int, tuple[LookAlike, ...]]:
        """For each group, people of the pool who match a face of it, likeliest first: naming it asks about them."""
        if not groups:
            return {}
        kept, search = self._pool.inbox.embeddings(groups), Search(self._pool, space_of(self._pool))
        found = dict(zip(kept, look_alikes(search, self._policy, list(kept.values())), strict=True))
        return {group: found.get(group, ()) for group in groups}

    def naming(self, group: int, person: str, *, create: bool) -> Naming:
        """A naming of which the look-alikes can be asked for, and resolved, before it is committed. As `Naming`."""
        return Naming(self._pool, group, person, self._policy, self._options, create=create, caller=self._caller)

    def name(self, group: int, person: str, *, different: Collection[str] = ()) -> Named:
        """Make a group a new person of the pool; errors as of `Naming`.

        Args:
            group: Its number.
            person: The name, which nobody may have.
            different: People of the pool who look alike and are somebody else.
        """
        return self._give(group, person, different, create=True)

    def add(self, group: int, person: str, *, different: Collection[str] = ()) -> Named:
        """Give a group to somebody whom the pool knows; arguments and errors as of `name`."""
        return self._give(group, person, different, create=False)

    def _give(self, group: int, person: str, different: Collection[str], *, create: bool) -> Named:
        naming = self.naming(group, person, create=create)
        for name in different:
            naming.resolve(name, "different")
        if self._options.force:
            for alike in naming.look_alikes():
                naming.resolve(alike.person, "different")
        return naming.commit()

    def ignore(self, group: int) -> int | None:
        """Keep a group unnamed: it is remembered, and raises nothing.

        Returns:
            The number by which it is undone; None: it was ignored already.

        Raises:
            GroupGone: There is no such group.
            GroupChanged: Somebody else was faster.
        """
        return self._set_state(group, "ignored", "ignored")

    def watch(self, group: int) -> int | None:
        """Ignore a group no longer; the answer and errors are as of `ignore`."""
        return self._set_state(group, "open", "watched")

    def split(self, group: int, sightings: Collection[str]) -> tuple[int, int]:
        """Make some sightings of a group, which are somebody else's, a group of their own.

        Args:
            group: Its number.
            sightings: Their ids: not all that it has.

        Returns:
            The number of the new group, and that by which it is undone.

        Raises:
            UnknownSighting: One of them is not of the group.
            ConfigError: They are all that it has.
            GroupGone: There is no such group.
            GroupChanged: Somebody else was faster.
        """
        inbox, wanted = self._pool.inbox, list(dict.fromkeys(sightings))
        with self._changing(group):
            theirs = {sighting.id for sighting in inbox.sightings(group=group, limit=inbox.group(group).sightings)}
            if not set(wanted) <= theirs:
                raise UnknownSighting(
                    f"Stranger {group} was not split",
                    why="one of the sightings is not theirs, or not any more",
                    fix=f"`facepool unknown show {group}` lists those that are",
                )
            if set(wanted) == theirs:
                raise ConfigError(
                    f"Stranger {group} was not split", why="these are all their sightings", fix="Leave some out"
                )
            other = inbox.split(group, wanted)
            return other, self._noted(
                "split", {"group": group, "other": other, "sightings": wanted}, f"{group}, {other}"
            )

    def join(self, into: int, group: int) -> int:
        """Make two groups one: they are the same person.

        Args:
            into: The number that stays.
            group: The one that goes.

        Returns:
            The number by which it is undone.

        Raises:
            ConfigError: Both are the same.
            GroupGone: One of them is not there.
            GroupChanged: Somebody else was faster.
        """
        _check_two(into, group)
        inbox = self._pool.inbox
        with self._changing(into, group):
            inbox.group(into)
            leaving = inbox.group(group)
            moved = [sighting.id for sighting in inbox.sightings(group=group, limit=leaving.sightings)]
            inbox.join(into, group)
            content = {"group": into, "other": group, "state": leaving.state, "sightings": moved}
            return self._noted("joined", content, f"{into}, {group}")

    def apart(self, one: int, other: int) -> int:
        """Say that two groups are not one person: they are not proposed again.

        Returns:
            The number by which it is undone.

        Raises:
            ConfigError: Both are the same.
            GroupGone: One of them is not there.
            GroupChanged: Somebody else was faster.
        """
        _check_two(one, other)
        inbox = self._pool.inbox
        with self._changing(one, other):
            inbox.group(one)
            inbox.group(other)
            inbox.keep_apart(one, other)
            return self._noted("kept apart", {"group": one, "other": other}, f"{one}, {other}")

    def delete(self, group: int) -> int:
        """Erase a group with all its sightings and faces. There is no way back.

        Returns:
            How many sightings are gone.

        Raises:
            GroupGone: There is no such group.
            GroupChanged: Somebody else was faster.
        """
        with self._changing(group):
            gone = self._pool.inbox.delete_group(group)
            self._pool.inbox.tell("deleted", None, f"unknown {group}, {counted(gone, 'sighting')}")
        return gone

    def forget(self) -> int:
        """Erase all that is kept of people whom nobody has named. There is no way back.

        Returns:
            How many sightings are gone.
        """
        inbox = self._pool.inbox
        with inbox.change():
            gone = inbox.forget_unknown()
            if gone:
                inbox.tell("forgot unknown faces", None, counted(gone, "sighting"))
        return gone

    def _set_state(self, group: int, state: GroupState, action: Action) -> int | None:
        inbox = self._pool.inbox
        with self._changing(group):
            if inbox.group(group).state == state:
                return None
            inbox.set_state(group, state)
            return self._noted(action, {"group": group}, str(group))

    @contextmanager
    def _changing(self, *groups: int) -> Iterator[None]:
        with there(self._pool, *groups), self._pool.inbox.change():
            yield

    def _noted(self, action: Action, content: Mapping[str, object], which: str) -> int:
        """Tell the logs, and keep in the journal by what it is undone."""
        inbox = self._pool.inbox
        inbox.tell(action, None, f"unknown {which}")
        return inbox.note(action, self._caller, content)


def _check_two(one: int, other: int) -> None:
    if one == other:
        raise ConfigError(
            f"Stranger {one} is one already", why="the same number was given twice", fix="Name another one"
        )


_IN_WORDS = {
    "ignored": "Stranger {group} was ignored",
    "watched": "Stranger {group} was ignored no longer",
    "split": "{count} of stranger {group} became stranger {other}",
    "joined": "Stranger {other} was joined to stranger {group}",
    "kept apart": "Strangers {group} and {other} were kept apart",
}


def change_in_words(_: Gallery, entry: JournalEntry) -> str:
    """What an entry of the journal has done to groups."""
    values: dict[str, Any] = {"count": counted(len(entry.content.get("sightings", ())), "sighting"), "other": 0}
    return _IN_WORDS[entry.action].format(**values | dict(entry.content))


def take_back_state(pool: Gallery, entry: JournalEntry) -> None:
    """Ignore a group again, or no longer.

    Raises:
        UndoOutdated: It is not there, or it was changed back since.
    """
    number = int(entry.content["group"])
    now, before = ("ignored", "open") if entry.action == "ignored" else ("open", "ignored")
    with _as_outdated(), pool.inbox.change():
        if pool.inbox.group(number).state != now:
            raise outdated(f"stranger {number} was changed again since")
        pool.inbox.set_state(number, before)  # type: ignore[arg-type] # both are states
        pool.inbox.tell("took back", None, f"{entry.action}: unknown {number}")


def take_back_split(pool: Gallery, entry: JournalEntry) -> None:
    """Put sightings back into the group that they were split from.

    Raises:
        UndoOutdated: One of the groups is not there.
    """
    number, other = int(entry.content["group"]), int(entry.content["other"])
    with _as_outdated(), pool.inbox.change():
        pool.inbox.join(number, other)
        pool.inbox.tell("took back", None, f"split: unknown {number}, {other}")


def take_back_join(pool: Gallery, entry: JournalEntry) -> None:
    """Take sightings out of the group that they were joined to, into one of the number that they had.

    Raises:
        UndoOutdated: None of them is in it.
    """
    number, other = int(entry.content["group"]), int(entry.content["other"])
    inbox = pool.inbox
    with inbox.change():
        theirs = [one for one in sightings_now(pool, entry.content["sightings"]) if one.group == number]
        if not theirs:
            raise outdated(f"none of the sightings is one of stranger {number} any more")
        inbox.put_back([replace(one, group=other) for one in theirs])
        inbox.set_state(other, entry.content["state"])
        inbox.tell("took back", None, f"joined: unknown {number}, {other}")


def take_back_apart(pool: Gallery, entry: JournalEntry) -> None:
    """Let two groups be proposed to be one again."""
    number, other = int(entry.content["group"]), int(entry.content["other"])
    with pool.inbox.change():
        pool.inbox.allow_together(number, other)
        pool.inbox.tell("took back", None, f"kept apart: unknown {number}, {other}")


@contextmanager
def _as_outdated() -> Iterator[None]:
    try:
        yield
    except GroupGone as error:
        raise outdated("one of the strangers was named, joined or deleted since, or has expired") from error
