"""What people do with groups of unknown faces: name them, add them to somebody, ignore, split, join or delete them.

A group becomes a person as any registration does: the pool is asked who looks alike, who else the faces may be of, and
which of them are new views (`facepool.enroll.identity`, `facepool.groups.choosing`). Each change is one transaction with
its entry in the journal, by which it is undone (`facepool.groups.undoing`), and with its notice for the logs of a
server, whose activity says from then on who it was.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from facepool.enroll.identity import IdentityCheck, LookAlike, Resolution
from facepool.enroll.session import EnrollOptions
from facepool.errors import GroupChanged, GroupGone, NoFace, PersonExists, PoolChanged
from facepool.gallery import Gallery, clean_name, find_name
from facepool.gallery.checks import name_taken, unknown_person
from facepool.gallery.notices import Retold
from facepool.gallery.sightings import UnknownGroup
from facepool.groups.choosing import choose_faces, most_telling_first, samples_of
from facepool.thresholds import ThresholdPolicy
from facepool.types import EmbeddingSpace, Floats, Sample, Sighting, counted

_ALL = 1 << 40
_TRIES = 20
"""How often something is looked at anew because others were faster: who is in view changes their group each second."""


@dataclass(frozen=True, slots=True)
class Named:
    """What became of a group that was given to somebody.

    Attributes:
        person: Their name.
        person_id: Their id.
        templates: How many new views they got.
        sightings: How many sightings are theirs now.
        undo: The number by which it is undone.
    """

    person: str
    person_id: str
    templates: int
    sightings: int
    undo: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """A group as it was read last.

    Attributes:
        group: The group.
        sightings: Its sightings, newest first.
        samples: What would become templates of its faces, the most telling one first.
        faces: Their ids, in the same order.
    """

    group: UnknownGroup
    sightings: tuple[Sighting, ...]
    samples: tuple[Sample, ...]
    faces: tuple[str, ...]


class Naming:
    """A group of unknown faces that is about to become somebody's. Nothing is stored before `commit`.

    Args:
        pool: Where the group is.
        group: Its number.
        person: Whose it is.
        policy: From which similarity on a face is somebody, and two faces show one person.
        options: Which faces are worth keeping, and whether to take them against what the pool says.
        create: True: a new person. False: one whom the pool knows.

    Attributes:
        name: The name that was given.
        options: As given.

    Raises:
        GroupGone: There is no such group.
        PersonExists: The person is to be new, and somebody has that name.
        UnknownPerson: The person is to be known, and nobody has that name.
        ConfigError: The name cannot be used, or the pool has no place for who was seen.
    """

    def __init__(
        self,
        pool: Gallery,
        group: int,
        person: str,
        policy: ThresholdPolicy,
        options: EnrollOptions,
        *,
        create: bool,
    ) -> None:
        self.options = options
        self._pool = pool
        self._create = create
        self._number = group
        self._identity = IdentityCheck(
            clean_name(person) if create else find_name(person),
            pool,
            _space_of(pool),
            policy,
            novelty=options.novelty,
            most=options.max_templates,
            force=options.force,
        )
        self.name = self._identity.name
        self._check_name()
        self._seen = self._look()

    @property
    def person(self) -> str:
        """Who gets the faces: the name that was given, or the look-alike who is the same person."""
        return self._identity.person

    def look_alikes(self) -> tuple[LookAlike, ...]:
        """People of the pool who match a face, likeliest first; all to be resolved before `commit`."""
        self._identity.follow()
        return self._identity.look_alikes(self._vectors())

    def resolve(self, name: str, resolution: Resolution) -> None:
        """Decide on a look-alike: the same person, to whom the faces then go, or somebody else, flagged as a pair.

        Raises:
            IdentityConflict: They are the same, but two people of the pool would have to become one.
        """
        self._identity.resolve(name, resolution)
        self._identity.read()

    def commit(self) -> Named:
        """Give the group to the person, with those of its faces that are new views of them, in one transaction.

        Raises:
            GroupChanged: Somebody else has named, joined or deleted the group meanwhile.
            IdentityConflict: A look-alike is not resolved, or the person of that name is somebody else.
            NoFace: Nobody would be recognized by the faces: none is good enough to be stored of somebody new.
            PersonExists: Somebody has got that name meanwhile.
            PoolChanged: The person is no longer in the pool.
        """
        for _ in range(_TRIES):
            self._identity.read()
            try:
                self._seen = self._look()
            except GroupGone as error:
                raise changed(self._number) from error
            self._check_name()
            self._identity.check_still_known("Name them")
            self._identity.check(self._vectors(), f"Stranger {self._number}", "Name them")
            try:
                return self._store()
            except (PoolChanged, GroupChanged):
                continue  # another process was faster: look again
        raise changed(self._number)

    def _store(self) -> Named:
        seen, person = self._seen, self.person
        create = self._create and person == self.name
        room = max(0, self.options.max_templates - len(self._identity.stored))
        chosen = choose_faces(seen.samples, self._identity, self.options.quality, room)
        if create and not chosen:
            raise self._nobody()
        sightings = [sighting.id for sighting in seen.sightings]
        with self._pool.inbox.change() as db:
            stored = self._pool.inbox.to_person(
                person,
                [seen.faces[row] for row in chosen],
                sightings,
                look_alikes=self._identity.different(),
                create=create,
                expected_revision=self._identity.revision,
                expected_groups={self._number: seen.group.revision},
            )
        return Named(person, stored.person_id, len(chosen), len(sightings), stored.entry)

    def _look(self) -> _Seen:
        """Read the group."""
        inbox = self._pool.inbox
        group = inbox.group(self._number)
        sightings = inbox.sightings(group=self._number, limit=_ALL)
        kept = inbox.faces([sighting.id for sighting in sightings])
        samples: list[Sample] = []
        ids: list[str] = []
        for sighting in sightings:
            if sighting.id in kept:
                samples += samples_of(kept[sighting.id], sighting.source)
                ids += kept[sighting.id].ids
        order = most_telling_first(samples, self._identity)
        return _Seen(group, tuple(sightings), tuple(samples[row] for row in order), tuple(ids[row] for row in order))

    def _vectors(self) -> Floats:
        return self._identity.stacked([sample.embedding for sample in self._seen.samples])

    def _check_name(self) -> None:
        known = self._pool.person(self.name) is not None
        if self._create and known:
            raise name_taken(self.name)
        if not self._create and not known:
            raise unknown_person(self.name, self._pool.names_near(self.name))

    def _nobody(self) -> NoFace:
        return NoFace(
            f"Stranger {self._number} was not registered as {self.name}",
            why=f"none of {counted(len(self._seen.samples), 'face')} is good enough to recognize {self.name} by: too "
            "small, not sharp, or of another person of the pool",
            fix="Wait until they were seen nearer, or lower --min-face",
        )


def changed(number: int) -> GroupChanged:
    """The error for a group that somebody else has changed while it was being changed."""
    return GroupChanged(
        f"Stranger {number} was not changed",
        why="somebody else has named, joined, split or deleted them meanwhile",
        fix="Look at the list again",
    )
