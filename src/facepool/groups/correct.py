"""Corrections: "that is not Ada", "that is Bo", "that is nobody known", of somebody who was seen.

`Corrections.preview` says what a correction would do, `Corrections.correct` does it in one transaction: the best face
of the sighting becomes a template of the person who it is, where quality and the identity checks allow it (``judge``);
one that came from the sighting earlier leaves the person who it is not; the two are flagged as look-alikes, so that the
margin between them is measured from then on (``facepool.search.margins``); sighting and activity say who it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import numpy as np

from facepool.enroll.pictures import OUTCOMES
from facepool.enroll.session import EnrollOptions
from facepool.errors import ConfigError, IdentityConflict, PoolChanged, UndoOutdated, UnknownPerson, UnknownSighting
from facepool.gallery import Gallery, find_name
from facepool.gallery.checks import unknown_person
from facepool.gallery.columns import LookAlikes
from facepool.gallery.corrections import drop_suggestions, make_stranger, owners_of, unflagged
from facepool.gallery.notices import Retold
from facepool.gallery.rows import unflag_look_alikes
from facepool.gallery.sightings import JournalEntry
from facepool.groups.judge import Core, Judgement, judge
from facepool.groups.naming import forget_learned_of
from facepool.groups.preview import NamedDifferently, PoolChange, SightingRule, named_differently
from facepool.recognize.decide import LOOK_ALIKE_MARGIN
from facepool.recognize.live import LiveOptions
from facepool.search import Index, Search
from facepool.thresholds import SAME_SCAN_FMR, ThresholdPolicy
from facepool.types import Floats, Person, SightedFaces, Sighting

CORRECTED = "corrected"
"""The action of a correction in the journal."""
LAST = 500
"""Sightings that a preview looks at, by default."""
_RIVALS = 5
_TRIES = 10
_AT_ONCE = 50


HOW_TO_KEEP = "Have faces of people who are recognized kept from now on: --keep-recognized"
NO_FACE_KEPT = f"No face of that was kept, so only the activity says it now. {HOW_TO_KEEP}"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a correction is to be.

    Attributes:
        person: Who it is; None: nobody known.
        learn: Whether a face of the sighting may become a template of the person.
        flag: Whether the person and whom it was taken for become look-alikes.
        force: Make a template although the pool speaks against it: somebody was asked.
        keep_nobody: Whether faces of people whom nobody knows are kept; else they go where it is nobody known.
        last: How many of the newest sightings to look at for others who would be named differently.
    """

    person: str | None
    learn: bool = True
    flag: bool = True
    force: bool = False
    keep_nobody: bool = True
    last: int = LAST


@dataclass(frozen=True, slots=True)
class Correction:
    """What a correction does, or would do.

    Attributes:
        sighting: As it was before.
        person: Who it is now; None: nobody known.
        judgement: What becomes of its faces; None: it was not to be asked.
        lost: Numbers of templates that came from it, or were learned from such, and leave whom it is not.
        pair: Who are flagged as look-alikes by it, or were already; None: nobody.
        margin: By how much one of the two has to beat the other from now on; None: they have too few templates, and
            ``facepool.recognize.decide.LOOK_ALIKE_MARGIN`` is taken.
        again: Who the face would be named next time; None: nobody.
        changes: Who else among those looked at would be named differently, newest first.
        looked_at: How many others were looked at; none in a pool that is too large for the memory.
        entry: Number in the journal, by which it is taken back; None: nothing was changed.
        erased: Whether the faces go for good: they are of nobody known, and none of unknown people are kept.
    """

    sighting: Sighting
    person: str | None
    judgement: Judgement | None
    lost: tuple[int, ...]
    pair: LookAlikes | None
    margin: float | None = None
    again: str | None = None
    changes: tuple[NamedDifferently, ...] = ()
    looked_at: int = 0
    entry: int | None = None
    erased: bool = False

    def __str__(self) -> str:
        """What becomes of the faces, and of the two who were taken for each other, in one line."""
        return ". ".join(filter(None, (self._of_face(), self._of_pair())))

    @property
    def template(self) -> bool:
        """Whether the person gets a template by it."""
        return self.judgement is not None and self.judgement.outcome == "taken"

    def _of_face(self) -> str:
        if self.erased:
            return "Its faces are erased for good: none of unknown people are kept (--keep-unknown)"
        if self.judgement is None or self.person is None:
            return ""
        if self.template:
            return f"The face becomes a view of {self.person}"
        if self.judgement.outcome == "no_face":
            return NO_FACE_KEPT
        return f"The face becomes no view of {self.person}: {OUTCOMES[self.judgement.outcome]}"

    def _of_pair(self) -> str:
        if self.pair is None:
            return ""
        one, other = pair_of(self.pair)
        if self.margin is None:
            return f"{one} and {other} are look-alikes: one has to beat the other by {LOOK_ALIKE_MARGIN:.2f}"
        return f"{one} and {other} are look-alikes: one has to beat the other by {self.margin:.2f}, as measured"


@dataclass(frozen=True, slots=True)
class _Plan:
    """A correction at one revision of the pool.

    Attributes:
        revision: That one.
        sighting: As it is.
        faces: Of it.
        right: Who it is; None: nobody known.
        judgement: What becomes of the faces; None: that is not to be asked.
        leaving: Faces that are templates of whom it is not, with their numbers.
        learned: Numbers of templates that were learned from these, and go with them.
        pair: Who are to be look-alikes.
        index: Of the pool; None: it is too large.
    """

    revision: int
    sighting: Sighting
    faces: SightedFaces
    right: Person | None
    judgement: Judgement | None
    leaving: Mapping[str, int]
    learned: tuple[int, ...]
    pair: LookAlikes | None
    index: Index | None

    @property
    def is_nothing(self) -> bool:
        """Whether it is that person already, and nothing else is to be done."""
        same = self.sighting.person_id == (self.right.id if self.right else None)
        return same and not self.gained and not self.leaving

    @property
    def gained(self) -> tuple[str, ...]:
        """The faces that become templates."""
        judgement = self.judgement
        if judgement is None or judgement.outcome != "taken" or judgement.row is None:
            return ()
        return (self.faces.ids[judgement.row],)

    @property
    def lost(self) -> tuple[int, ...]:
        """Numbers of all templates that go."""
        return (*self.leaving.values(), *self.learned)

    def change(self) -> PoolChange:
        """What it does to the pool."""
        rows = [self.faces.ids.index(face) for face in self.gained]
        vectors = self.faces.embeddings[np.array(rows, np.intp)]
        name, person_id = (self.right.name, self.right.id) if self.right else ("", "")
        return PoolChange(name, person_id, vectors, self.lost, self.pair)


class Corrections:
    """Corrects who was seen.

    Args:
        pool: With the sightings; like it, used from one thread at a time.
        policy: Chooses thresholds.
        enroll: Which faces are worth a template.
        live: How faces are named.
    """

    def __init__(
        self,
        pool: Gallery,
        policy: ThresholdPolicy,
        enroll: EnrollOptions | None = None,
        live: LiveOptions | None = None,
    ) -> None:
        self._pool = pool
        self._policy = policy
        self._enroll = enroll or EnrollOptions()
        self._rule = SightingRule(policy, live)

    def preview(self, sighting_id: str, wish: Wish, within_s: float = 5.0) -> Correction:
        """What a correction would do; nothing is changed.

        Args:
            sighting_id: Of whom.
            wish: What it is to be.
            within_s: For how long to look at other sightings; the newest ones come first.

        Raises:
            UnknownSighting: It is not there, or not any more.
            UnknownPerson: Nobody has that name.
            IdentityConflict: The pool speaks against it, and it was not said to be forced.
            ConfigError: The pool has no room for sightings.
        """
        return self._seen_through(self._plan(sighting_id, wish), wish, within_s)

    def correct(self, sighting_id: str, wish: Wish, caller: str) -> Correction:
        """Do what a preview says; who else would be named differently is not looked for.

        Args:
            sighting_id: Of whom.
            wish: What it is to be.
            caller: Who says so, for the journal.

        Raises:
            PoolChanged: Others change the pool all the time.
            FacepoolError: As for `preview`.
        """
        wish = replace(wish, last=0)
        tries = 0
        while True:
            plan = self._plan(sighting_id, wish)
            found = self._seen_through(plan, wish)
            if plan.is_nothing:
                return found
            try:
                entry = self._store(plan, wish, caller)
            except PoolChanged:  # another process was faster: look again
                tries += 1
                if tries == _TRIES:
                    raise
            else:
                return replace(found, entry=entry)

    def _plan(self, sighting_id: str, wish: Wish) -> _Plan:
        """What a correction is, by the pool as it is now."""
        revision = self._pool.revision()  # first: what is read after it is of this revision, or storing refuses
        sighting = self._pool.inbox.sighting(sighting_id)
        faces = self._pool.inbox.faces([sighting_id]).get(sighting_id) or SightedFaces.empty(self._pool.dimension or 0)
        right = None if wish.person is None else known_person(self._pool, wish.person)
        wrong = sighting.person if right is None or sighting.person_id != right.id else None
        judgement = None
        if right is not None and wish.learn:
            judgement = judge(faces, self._core(faces, right), self._enroll, wrong=wrong, force=wish.force)
            if judgement.contradicts:
                raise _conflict(right.name, judgement)
        pair = frozenset((wrong, right.name)) if wish.flag and wrong is not None and right is not None else None
        leaving = self._leaving(faces, right)
        learned = self._learned_from(leaving)
        return _Plan(revision, sighting, faces, right, judgement, leaving, learned, pair, self._index())

    def _index(self) -> Index | None:
        """Everybody of the pool; None: they are too many to be compared here with what was seen."""
        try:
            return Search(self._pool).index()
        except ConfigError:
            return None

    def _seen_through(self, plan: _Plan, wish: Wish, within_s: float = 0.0) -> Correction:
        """A plan, with what comes of it; done again where somebody was erased from memory meanwhile."""
        correction = Correction(
            sighting=plan.sighting,
            person=plan.right.name if plan.right else None,
            judgement=plan.judgement,
            lost=plan.lost,
            pair=plan.pair,
            erased=plan.right is None and not wish.keep_nobody,
        )
        before = plan.index
        if before is None:
            return correction
        after = plan.change().after(before)
        changes, looked_at = self._changes(plan, (before, after), wish.last, within_s)
        again = self._rule.decide(after, plan.faces).person
        margin = after.margins.get(plan.pair) if plan.pair else None
        if before.spoiled:
            return self._seen_through(self._plan(plan.sighting.id, wish), wish, within_s)
        return replace(correction, margin=margin, again=again, changes=changes, looked_at=looked_at)

    def _changes(
        self, plan: _Plan, indices: tuple[Index, Index], last: int, within_s: float
    ) -> tuple[tuple[NamedDifferently, ...], int]:
        """Who else would be named differently among the newest sightings, and how many were looked at."""
        inbox, until_s = self._pool.inbox, monotonic() + within_s
        ids = [one.id for one in inbox.sightings(limit=last + 1) if one.id != plan.sighting.id][:last] if last else []
        found: list[NamedDifferently] = []
        for first in range(0, len(ids), _AT_ONCE):
            if first and monotonic() > until_s:
                return tuple(found), first
            part = ids[first : first + _AT_ONCE]
            faces_of = inbox.faces(part)
            seen = {one: faces_of[one] for one in part if one in faces_of}
            found += named_differently(*indices, seen, self._rule)
        return tuple(found), len(ids)

    def _core(self, faces: SightedFaces, right: Person) -> Core:
        """What the pool says of faces that are said to be somebody."""
        search = Search(self._pool)
        state = search.state()
        nearest = search.nearest(faces.embeddings, _RIVALS).candidates if len(faces) else ()
        rivals = {candidate.person for candidates in nearest for candidate in candidates} - {right.name}
        others = {name: self._vectors(name, faces, enrolled=True) for name in rivals}
        return Core(
            own=self._vectors(right.name, faces),
            others={name: vectors for name, vectors in others.items() if len(vectors)},
            threshold=self._policy.identification(state.templates, state.calibration).value,
            same_person=self._policy.same_person().value,
            same_scan=self._policy.same_person(SAME_SCAN_FMR).value,
        )

    def _vectors(self, name: str, faces: SightedFaces, *, enrolled: bool = False) -> Floats:
        """(T, D) the templates of somebody; those that they were enrolled with, and not from this very sighting."""
        try:
            templates = self._pool.templates(name)
        except UnknownPerson:  # removed just now, which storing finds out
            templates = []
        if enrolled:
            templates = [one for one in templates if one.uuid not in faces.ids and not one.sample.learned_from]
        rows = [template.sample.embedding for template in templates]
        return np.array(rows, np.float32).reshape(len(rows), faces.embeddings.shape[1])

    def _leaving(self, faces: SightedFaces, right: Person | None) -> Mapping[str, int]:
        """Faces of the sighting that are templates of somebody else, with the numbers of these."""
        numbers = {face: self._pool.template_number(face) for face in faces.ids}
        return {
            face: number
            for face, number in numbers.items()
            if number is not None and (right is None or self._pool.template(number).person_id != right.id)
        }

    def _learned_from(self, leaving: Mapping[str, int]) -> tuple[int, ...]:
        """Numbers of templates that were learned from some, which they are deleted with."""
        owners = {self._pool.template(number).person for number in leaving.values()}
        return tuple(
            one.id
            for owner in sorted(owners)
            for one in self._pool.templates(owner)
            if one.sample.learned_from in leaving and one.uuid not in leaving
        )

    def _store(self, plan: _Plan, wish: Wish, caller: str) -> int:
        """All of it in one transaction; the number in the journal."""
        inbox, sighting = self._pool.inbox, plan.sighting.id
        after = None if plan.right is None else plan.right.id
        with inbox.change() as db:
            before = inbox.sighting(sighting)
            if before != plan.sighting:
                raise _changed()
            owners, new_pair = owners_of(db, plan.leaving), unflagged(db, plan.pair)
            drop_suggestions(db, sighting)
            if plan.leaving:  # a learned one is not the face itself, so none of them just changes hands
                inbox.take_back((), plan.leaving, expected_revision=plan.revision)
            if plan.right is not None and (plan.gained or new_pair):
                inbox.to_person(
                    plan.right.name,
                    plan.gained,
                    [sighting],
                    create=False,
                    look_alikes=(plan.pair or frozenset()) - {plan.right.name},
                    expected_revision=plan.revision,
                )
            else:
                inbox.assign([sighting], after)
            content = {
                "sighting": sighting,
                "before": before.person_id,
                "after": after,
                "first": before.first_person_id,
                "group": before.group,
                "named_at": before.named_at,
                "said_at": inbox.sighting(sighting).named_at,
                "templates": list(plan.gained),
                "lost": owners,
                "pair": new_pair,
            }
            if plan.right is None and wish.keep_nobody:
                make_stranger(db, sighting)
            elif plan.right is None:
                inbox.delete_sighting(sighting)
            inbox.tell("corrected", after, str(_retold(content, marked=True)))
            return inbox.note(CORRECTED, caller, content)


def _changed() -> PoolChanged:
    return PoolChanged(
        "The sighting was not corrected", why="somebody else names or corrects it just now", fix="Look at it again"
    )


def delete_sighting(pool: Gallery, sighting_id: str) -> None:
    """Erase a sighting with its faces, and tell the logs. There is no way back.

    Args:
        pool: Where it is kept.
        sighting_id: Which.

    Raises:
        UnknownSighting: It is not there, or not any more.
    """
    inbox = pool.inbox
    with inbox.change():
        person_id = inbox.sighting(sighting_id).person_id
        inbox.delete_sighting(sighting_id)
        inbox.tell("deleted", person_id, "1 sighting")


def correct_event(pool: Gallery, event_id: str, before: str | None, person: Person | None, caller: str) -> int | None:
    """Correct what the activity says of an event of which no face was kept.

    Args:
        pool: Beside the activity.
        event_id: Of the event.
        before: The id of the person whom it was taken for; None: nobody known.
        person: Who it is; None: nobody known.
        caller: Who says so, for the journal.

    Returns:
        Number in the journal, by which it is taken back; None: it is that person already.

    Raises:
        ConfigError: The pool has no place for it.
    """
    after = None if person is None else person.id
    if before == after:
        return None
    content = {"event": event_id, "before": before, "after": after}
    with pool.inbox.change():
        pool.inbox.tell("corrected", after, str(_retold(content, marked=True)))
        return pool.inbox.note(CORRECTED, caller, content)


def correction_in_words(pool: Gallery, entry: JournalEntry) -> str:
    """What a correction was, with the names that people have now."""
    people = [entry.content[who] and pool.person_by_id(entry.content[who]) for who in ("before", "after")]
    before, after = (person.name if person else "unknown" for person in people)
    return f"{before} was corrected to {after}"


def take_back(pool: Gallery, entry: JournalEntry) -> None:
    """Take a correction back, inside a change of the inbox. Of faces and people who are gone nothing comes back.

    Args:
        pool: Where it was made.
        entry: Of the journal.

    Raises:
        UndoOutdated: Somebody has said something else of the sighting since.
    """
    content = entry.content
    if "event" not in content:
        _take_back_sighting(pool, content)
    pool.inbox.tell("took back a correction", content["before"], str(_retold(content, marked=False)))


def _take_back_sighting(pool: Gallery, content: Mapping[str, Any]) -> None:
    inbox, faces = pool.inbox, content["templates"]
    with inbox.change() as db:
        sighting = _unchanged(pool, content)
        owned = owners_of(db, faces)
        gone = {face for face in faces if owned.get(face) == content["after"]}
        before = () if sighting is None else (sighting,)
        if content["after"]:
            gone |= forget_learned_of(pool, [one.id for one in before], content["after"])
        if gone or content["pair"]:
            inbox.take_back(before, gone)
            for person_id in content["pair"][:1]:
                unflag_look_alikes(db, person_id, content["pair"][1:])
        else:
            inbox.put_back(before)
        for face, person_id in content["lost"].items():
            person = pool.person_by_id(person_id)
            if person is not None and sighting is not None:
                inbox.to_person(person.name, [face], (), create=False)


def _unchanged(pool: Gallery, content: Mapping[str, Any]) -> Sighting | None:
    """The sighting as it was before a correction; None: it is gone."""
    try:
        now = pool.inbox.sighting(content["sighting"])
    except UnknownSighting:
        return None
    if (now.person_id, now.named_at) != (content["after"], content["said_at"]):
        raise UndoOutdated(
            "The correction was not taken back",
            why="somebody has named or corrected the same face since",
            fix="Correct it again",
        )
    return replace(
        now,
        person_id=content["before"],
        first_person_id=content["first"],
        group=content["group"],
        named_at=content["named_at"],
    )


def _retold(content: Mapping[str, Any], *, marked: bool) -> Retold:
    """What the activity is told of a correction, or when it is taken back."""
    before, after = content["before"] or "", content["after"] or ""
    event = content.get("event")
    return Retold(
        sightings=() if event else (content["sighting"],),
        before=before if marked else after,
        after=after if marked else before,
        mark="corrected_at",
        marked=marked,
        words="1 visit" if event else "1 sighting",
        events=(event,) if event else (),
    )


def known_person(pool: Gallery, name: str) -> Person:
    """Somebody of a pool.

    Raises:
        UnknownPerson: Nobody has that name.
    """
    name = find_name(name)
    person = pool.person(name)
    if person is None:
        raise unknown_person(name, pool.names_near(name))
    return person


def pair_of(pair: LookAlikes) -> tuple[str, str]:
    """Two look-alikes by name."""
    one, other = sorted(pair)
    return one, other


def _conflict(person: str, judgement: Judgement) -> IdentityConflict:
    """Why a face is no template of the person who it is said to be."""
    own = "" if judgement.similarity is None else f" ({judgement.similarity:.2f})"
    if judgement.rival is not None:
        why = f"the face is far more like {judgement.rival} ({judgement.rival_similarity or 0:.2f}) than {person}{own}"
    else:
        why = f"the face does not look like what the pool has of {person}{own}"
    return IdentityConflict(
        f"The face was not made one of {person}",
        why=why,
        fix="Look at the picture again. Correct the name alone (--no-template), or insist that it is so (--force)",
    )
