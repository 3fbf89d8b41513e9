"""A group of unknown faces becomes somebody's: as any registration does, in one transaction, and taken back.

The pool is asked who looks alike, who else the faces may be of, and which of them are new views
(`facepool.enroll.identity`, `facepool.groups.choosing`). The activity of a server says from then on who it was, by a
notice (`facepool.gallery.notices`); the journal has what it takes to undo it.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from facepool.enroll.identity import IdentityCheck, LookAlike, Resolution
from facepool.enroll.session import EnrollOptions
from facepool.errors import GroupChanged, GroupGone, NoFace, PoolChanged, UndoOutdated, UnknownSighting
from facepool.gallery import Gallery, clean_name, find_name
from facepool.gallery.checks import name_taken, space_needed, unknown_person
from facepool.gallery.corrections import drop_suggestions
from facepool.gallery.naming_rows import group_changed
from facepool.gallery.notices import COMMAND_LINE, Retold
from facepool.gallery.rows import unflag_look_alikes
from facepool.gallery.sightings import JournalEntry, UnknownGroup
from facepool.groups.choosing import choose_faces, middle_first, samples_of
from facepool.thresholds import ThresholdPolicy
from facepool.types import EmbeddingSpace, Floats, Sample, SightedFaces, Sighting, counted

_MOST_FACES = 300
"""Of a group, that are looked at: the best ones of each sighting first. Somebody may come every day for a year."""
_LAST_CHANGES = 1000
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
        samples: What would become templates of its faces, the one to judge by first.
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
        caller: Who does it, for the journal.

    Attributes:
        name: The name that was given.
        options: As given.

    Raises:
        GroupGone: There is no such group.
        GroupChanged: There is not any more: somebody else was faster.
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
        caller: str = COMMAND_LINE,
    ) -> None:
        self.options = options
        self._pool = pool
        self._caller = caller
        self._create = create
        self._number = group
        with there(pool, group):
            pool.inbox.group(group)  # first: a pool in which nobody was seen may not know what faces it has
        self._identity = IdentityCheck(
            clean_name(person) if create else find_name(person),
            pool,
            space_of(pool),
            policy,
            novelty=options.novelty,
            most=options.max_templates,
            force=options.force,
        )
        self.name = self._identity.name
        self._check_name()
        with there(pool, group):
            self._seen = self._look()

    @property
    def subject(self) -> str:
        """What looks like somebody else, where the user is asked about that."""
        return f"stranger {self._number}"

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
            with there(self._pool, self._number):
                self._seen = self._look()
            self._check_name()
            self._identity.check_still_known("Name them")
            self._identity.check(self._vectors(), f"Stranger {self._number}", "Name them")
            try:
                return self._store()
            except (PoolChanged, GroupChanged):
                continue  # another process was faster: look again
        raise group_changed(self._number)

    def _store(self) -> Named:
        seen, person = self._seen, self.person
        create = self._create and person == self.name
        room = max(0, self.options.max_templates - len(self._identity.stored))
        chosen = choose_faces(seen.samples, self._identity, self.options.quality, room)
        if create and not chosen:
            raise self._nobody()
        sightings = [sighting.id for sighting in seen.sightings]
        different, inbox = self._identity.different(), self._pool.inbox
        flagged = {other for pair in self._pool.look_alikes(person) for other in pair}
        flagging = [self._id_of(name) for name in different if name not in flagged]
        with inbox.change():
            given = inbox.to_person(
                person,
                [seen.faces[row] for row in chosen],
                sightings,
                look_alikes=different,
                create=create,
                expected_revision=self._identity.revision,
                expected_groups={self._number: seen.group.revision},
            )
            entry = inbox.note(
                "named",
                self._caller,
                {
                    "group": self._number,
                    "state": seen.group.state,
                    "person_id": given.person_id,
                    "created": given.created,
                    "sightings": sightings,
                    "templates": list(given.templates),
                    "look_alikes": flagging,
                },
            )
            words = f"unknown {self._number}: {counted(len(sightings), 'sighting')}, {counted(len(chosen), 'new view')}"
            retold = Retold(tuple(sightings), "", given.person_id, "named_at", marked=True, words=words)
            inbox.tell("named", given.person_id, str(retold))
        return Named(person, given.person_id, len(chosen), len(sightings), entry)

    def _id_of(self, name: str) -> str:
        person = self._pool.person(name)
        if person is None:
            raise unknown_person(name, ())
        return person.id

    def _look(self) -> _Seen:
        """Read the group."""
        inbox = self._pool.inbox
        group = inbox.group(self._number)
        sightings = inbox.sightings(group=self._number, limit=group.sightings)
        kept = inbox.faces([sighting.id for sighting in sightings])
        faces = [
            (place, sample, face_id)
            for sighting in sightings
            for place, (sample, face_id) in enumerate(_faces_of(kept.get(sighting.id), sighting.source))
        ]
        faces = sorted(faces, key=lambda face: (face[0], -(face[1].quality or 0.0)))[:_MOST_FACES]
        order = [faces[row] for row in middle_first([sample for _, sample, _ in faces], self._identity)]
        samples, ids = tuple(sample for _, sample, _ in order), tuple(face_id for *_, face_id in order)
        return _Seen(group, tuple(sightings), samples, ids)

    def _vectors(self) -> Floats:
        return self._identity.stacked([sample.embedding for sample in self._seen.samples])

    def _check_name(self) -> None:
        known = self._pool.person(self.name) is not None
        if self._create and known:
            same = f"facepool unknown add {self._number} {self.name!r}"
            raise name_taken(self.name, fix=f"Take another name, or, if they are the same person: {same}")
        if not self._create and not known:
            raise unknown_person(self.name, self._pool.names_near(self.name))

    def _nobody(self) -> NoFace:
        return NoFace(
            f"Stranger {self._number} was not registered as {self.name}",
            why=f"none of {counted(len(self._seen.samples), 'face')} is good enough to recognize {self.name} by: too "
            "small, not sharp, or of another person of the pool",
            fix="Wait until they were seen nearer, or lower --min-face",
        )


def _faces_of(faces: SightedFaces | None, source: str) -> Iterator[tuple[Sample, str]]:
    """What would become templates of the faces of a sighting, best first, with their ids."""
    if faces is not None:
        yield from zip(samples_of(faces, source), faces.ids, strict=True)


@contextmanager
def there(pool: Gallery, *groups: int) -> Iterator[None]:
    """A group that is not there because of what somebody else has just done is said to be changed, not to be none."""
    try:
        yield
    except GroupGone as error:
        known = {entry.content.get(key) for entry in pool.inbox.journal(_LAST_CHANGES) for key in ("group", "other")}
        gone = next((group for group in groups if group in known), None)
        raise (error if gone is None else group_changed(gone)) from error


def space_of(pool: Gallery) -> EmbeddingSpace:
    """What the faces of a pool are.

    Raises:
        ConfigError: The pool has none yet.
    """
    space = pool.space
    if space is None:
        raise space_needed(pool.address)
    return space


def naming_in_words(pool: Gallery, entry: JournalEntry) -> str:
    """What an entry of the journal has done, with the name that the person has now."""
    person = pool.person_by_id(entry.content["person_id"])
    seen = counted(len(entry.content["sightings"]), "sighting")
    return f"Stranger {entry.content['group']} was named {'' if person is None else person.name} ({seen})"


def take_back_naming(pool: Gallery, entry: JournalEntry) -> None:
    """Make sightings a stranger again, and erase the views that came of them; who was new and has nothing else goes.

    Raises:
        UndoOutdated: None of the sightings is theirs any more.
    """
    content, inbox = entry.content, pool.inbox
    person_id, number = str(content["person_id"]), int(content["group"])
    with inbox.change() as db:
        before = [
            replace(sighting, person=None, person_id=None, group=number, named_at="", first_person_id=None)
            for sighting in sightings_now(pool, content["sightings"])
            if sighting.person_id == person_id
        ]
        if not before:
            raise outdated("nothing is kept any more of when they were seen, or it was corrected since")
        ids = tuple(sighting.id for sighting in before)
        templates = {*content["templates"], *forget_learned_of(pool, ids, person_id)}
        words = f"unknown {number}: {counted(len(ids), 'sighting')}"
        goes = content["created"] and _has_nothing_else(pool, person_id, templates, ids)
        retold = Retold(ids, person_id, "", "named_at", marked=False, words=words, gone=goes)
        inbox.tell("took back a name", person_id, str(retold))  # first: they may be gone after it
        unflag_look_alikes(db, person_id, content["look_alikes"])
        inbox.take_back(before, templates, of=person_id, created=person_id if goes else None)
        if content["state"] != "open":
            inbox.set_state(number, content["state"])


def forget_learned_of(pool: Gallery, sightings: Collection[str], person_id: str) -> set[str]:
    """Sightings turn out to be of somebody else than a person: faces of theirs are suggested for nobody any more.

    Returns:
        The UUIDs of templates that the person has learned of them, which are to be taken back.
    """
    faces = {face for kept in pool.inbox.faces(sightings).values() for face in kept.ids}
    with pool.inbox.change() as db:
        for sighting in sightings:
            drop_suggestions(db, sighting)
        return {uuid for uuid, (owner, _) in pool.inbox.learned().items() if uuid in faces and owner == person_id}


def _has_nothing_else(pool: Gallery, person_id: str, templates: Collection[str], sightings: Collection[str]) -> bool:
    """Whether nothing is stored of somebody but some templates and sightings."""
    person = pool.person_by_id(person_id)
    if person is None or person.notes or person.tags or person.external_id:
        return False
    seen = pool.inbox.sightings(person=person.name, limit=len(sightings) + 1)
    stored = {template.uuid for template in pool.templates(person.name)}
    return stored <= set(templates) and {one.id for one in seen} <= set(sightings)


def sightings_now(pool: Gallery, ids: Sequence[str]) -> list[Sighting]:
    """Those of some sightings that are still kept, as they are now."""
    found = []
    for sighting_id in ids:
        with suppress(UnknownSighting):
            found.append(pool.inbox.sighting(sighting_id))
    return found


def outdated(why: str) -> UndoOutdated:
    """The error for a change that cannot be undone any more."""
    return UndoOutdated("That cannot be undone any more", why=why, fix="Change what there is now instead")
