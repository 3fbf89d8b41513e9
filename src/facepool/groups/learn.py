"""Learning with consent: faces that were seen of a person are proposed as templates, and somebody says yes or no.

In: sightings of people who were named, as the gallery's inbox keeps them. Out: suggestions in that inbox, and after a
yes a template that says from which enrolled one it was learned. ``drift`` has the rule by which nothing is learned that
an attacker could use; here it meets the gallery. Nothing becomes a template without a person's yes, and what did is
taken back by one call (`Learning.take_back`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, cast
from uuid import uuid4

from facepool.errors import PoolChanged, SuggestionOutdated, UnknownSuggestion
from facepool.gallery import Gallery
from facepool.gallery.notices import Action
from facepool.gallery.sightings import JournalEntry, Suggestion
from facepool.groups.drift import Core, Lack, LearnRule, Proposal, SightedFace, View, look_of, propose
from facepool.models.catalog import FmrCurve
from facepool.recognize.decide import Criteria, decide
from facepool.search import Search
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Sample, SightedFaces, Sighting, Template, counted

DAYS = 14.0
"""For how long somebody may say yes."""
MOST_OPEN = 3
"""Suggestions that wait for an answer, of one person: nobody is to be flooded with questions."""
ACCEPTED: Final[Action] = "accepted a suggestion"
DECLINED: Final[Action] = "declined a suggestion"
TAKEN_BACK: Final[Action] = "took back what was learned"
_LOOKED_AT = 100
"""Sightings of a person that a proposal rests on: the newest ones."""
_CANDIDATES = 5
_TRIES = 5
"""How often a yes is tried anew where somebody else changes the gallery at that moment."""
_WORDS: Mapping[Lack, str] = {
    "pose": "no stored view looks that way",
    "age": "the stored views of that pose are over a year old",
    "appearance": "the stored views of that pose look different",
}


@dataclass(frozen=True, slots=True)
class Why:
    """Why a face is suggested.

    Attributes:
        lack: What the person's templates lack that it has.
        sightings: In how many it was seen.
        days: On how many days.
    """

    lack: Lack
    sightings: int
    days: int

    def __str__(self) -> str:
        """As an inbox keeps it."""
        return f"{self.lack} {self.sightings} {self.days}"

    @classmethod
    def of(cls, suggestion: Suggestion) -> "Why":
        """Of a suggestion."""
        lack, sightings, days = suggestion.reason.split()
        return cls(cast("Lack", lack), int(sightings), int(days))

    @property
    def words(self) -> str:
        """For people."""
        return f"{_WORDS[self.lack]}; seen {self.sightings} times on {counted(self.days, 'day')}"


@dataclass(frozen=True, slots=True)
class Suggested:
    """News of a suggestion, for those who hear of events.

    Attributes:
        suggestion: What is suggested.
        id: A UUID of its own, the same wherever it is told of.
        at: The time of day, in UTC.
    """

    suggestion: Suggestion
    id: str
    at: datetime

    def record(self) -> dict[str, object]:
        """As other programs get it."""
        suggestion = self.suggestion
        return {
            "id": self.id,
            "at": self.at.isoformat(timespec="milliseconds"),
            "source": suggestion.source,
            "event": "suggested",
            "person": suggestion.person,
            "person_id": suggestion.person_id,
            "previous": None,
            "suggestion": suggestion.number,
            "reason": Why.of(suggestion).lack,
            "similarity": round(suggestion.similarity, 4),
            "expires_at": suggestion.expires_at,
        }


@dataclass(frozen=True, slots=True)
class Learned:
    """What a yes has done.

    Attributes:
        suggestion: To what.
        template: Number of the new template.
        replaced: How many older learned templates of the person made room for it.
        undo: Number in the journal, by which it is taken back.
    """

    suggestion: Suggestion
    template: int | None
    replaced: int
    undo: int


class Learning:
    """What a gallery learns of its people.

    Args:
        policy: Chooses the threshold for the gallery's size.
        curve: False match rates of the embedder; None: nobody has measured them, and nothing is learned.
        rule: What makes a face worth proposing.
        clock: Tells the time.
    """

    def __init__(
        self,
        policy: ThresholdPolicy,
        curve: FmrCurve | None,
        rule: LearnRule | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._policy = policy
        self._curve = curve
        self._rule = rule or LearnRule()
        self._clock = clock

    def look(self, gallery: Gallery, sighting: Sighting, faces: SightedFaces) -> Suggested | None:
        """Look at a sighting that has ended and is kept; suggest a face of its person if one is worth it by now.

        Args:
            gallery: Where it is kept.
            sighting: Of somebody who was named; of others nothing is learned.
            faces: Its faces.
        """
        person = sighting.person
        if person is None:
            return None
        templates, now = gallery.templates(person), self._clock()
        core = self._core(gallery, templates)
        # Most sightings show what the templates show: those cost nothing more.
        if core is None or not any(core.lack(face, now) for face in _seen(sighting, faces)):
            return None
        earlier = gallery.inbox.suggestions(person, state=None)
        if sum(one.state == "open" for one in earlier) >= MOST_OPEN:
            return None
        seen = _without_known_looks(core, self._seen_of(gallery, person), _suggested(gallery, earlier))
        proposal = propose(core, seen, now, self._rule)
        if proposal is None or not self._is_nobody_else(gallery, person, proposal):
            return None
        reason = str(Why(proposal.lack, proposal.sightings, proposal.days))
        number = gallery.inbox.suggest(proposal.face.id, person, proposal.similarity, reason, days=DAYS)
        if number is None:
            return None
        return Suggested(gallery.inbox.suggestion(number), str(uuid4()), now)

    def accept(self, gallery: Gallery, number: int, caller: str) -> Learned:
        """Say yes: the face becomes a template, tilted as the rule has it, in one change.

        Args:
            gallery: Where it is kept.
            number: Of the suggestion.
            caller: Who says it.

        Raises:
            UnknownSuggestion: It is not there, has expired, or somebody was faster.
            SuggestionOutdated: The person's enrolled templates are others by now, and the face does not match them.
            PoolChanged: Others change the gallery all the time.
        """
        for _ in range(_TRIES):
            with suppress(PoolChanged):
                return self._accept(gallery, number, caller)
        return self._accept(gallery, number, caller)

    def decline(self, gallery: Gallery, number: int, caller: str) -> int:
        """Say no: the look is not suggested again as long as its face is kept.

        Returns:
            Number in the journal, by which it is undone.

        Raises:
            UnknownSuggestion: It is not there, has expired, or somebody was faster.
        """
        inbox = gallery.inbox
        with inbox.change():
            suggestion = inbox.close_suggestion(number, "declined")
            inbox.tell(DECLINED, suggestion.person_id, f"suggestion {number}")
            return inbox.note(DECLINED, caller, {"suggestion": number, "person_id": suggestion.person_id})

    def _accept(self, gallery: Gallery, number: int, caller: str) -> Learned:
        inbox, revision = gallery.inbox, gallery.revision()
        suggestion = inbox.suggestion(number)
        templates = gallery.templates(suggestion.person)
        core = self._core(gallery, templates)
        seen = self._seen_of(gallery, suggestion.person)
        face = next((one for one in seen if one.id == suggestion.face_id), None)
        faces = inbox.faces([suggestion.sighting_id]).get(suggestion.sighting_id)
        if core is None or face is None or faces is None or not (core.most_learned and core.holds(face.embedding)):
            raise _outdated(suggestion)
        row, look = faces.ids.index(face.id), look_of(face, seen, core)
        sample = Sample(
            embedding=core.tilted(look),
            source=suggestion.source,
            pose=face.pose,
            quality=face.quality,
            score=float(faces.scores[row]),
            size_px=float(faces.sizes_px[row]),
            learned_from=_origin(templates, look),
            picture=faces.pictures[row],
        )
        learned = [template.uuid for template in templates if template.sample.learned_from]
        too_many = learned[: max(0, len(learned) - core.most_learned + 1)]
        with inbox.change():
            inbox.close_suggestion(number, "accepted")
            if too_many:
                inbox.take_back((), too_many, expected_revision=revision)
            stored = inbox.to_person(
                suggestion.person, [face.id], [], create=False, samples={face.id: sample}, expected_revision=revision
            )
            inbox.tell(ACCEPTED, suggestion.person_id, f"suggestion {number}")
            content = {"suggestion": number, "person_id": suggestion.person_id, "templates": list(stored.templates)}
            entry = inbox.note(ACCEPTED, caller, content)
        return Learned(suggestion, gallery.template_number(face.id), len(too_many), entry)

    def _core(self, gallery: Gallery, templates: Sequence[Template]) -> Core | None:
        """What a person was enrolled with; None: nothing is left of it, or nobody has measured the embedder."""
        if self._curve is None or all(template.sample.learned_from for template in templates):
            return None
        threshold = self._policy.identification(gallery.size().templates, gallery.calibration())
        return Core([_view(template) for template in templates], self._curve, threshold.value, self._rule)

    def _seen_of(self, gallery: Gallery, person: str) -> list[SightedFace]:
        """The faces of the person's sightings that are kept."""
        sightings = gallery.inbox.sightings(person=person, limit=_LOOKED_AT)
        faces = gallery.inbox.faces([sighting.id for sighting in sightings])
        return [face for one in sightings if one.id in faces for face in _seen(one, faces[one.id])]

    def _is_nobody_else(self, gallery: Gallery, person: str, proposal: Proposal) -> bool:
        """Whether the gallery names the face as the person, and without them as nobody."""
        found = Search(gallery).nearest(proposal.face.embedding[None], _CANDIDATES, normalize=self._policy.follows_pool)
        state = found.state
        threshold = self._policy.identification(state.templates, state.calibration).value
        criteria = Criteria(threshold, look_alikes=state.look_alikes, margins=state.margins)
        others = [one for one in found.candidates[0] if one.person != person]
        return decide(found.candidates[0], criteria).person == person and decide(others, criteria).person is None


class Suggester:
    """Suggests what is worth it of each sighting that was kept, and tells of it; for a `SightingKeeper`.

    Args:
        learning: Knows what is worth it.
        wanted: Whether suggestions are wanted now.
        tell: Hears of each.

    Attributes:
        suggested: How many there were.
    """

    def __init__(self, learning: Learning, wanted: Callable[[], bool], tell: Callable[[Suggested], None]) -> None:
        self._learning = learning
        self._wanted = wanted
        self._tell = tell
        self.suggested = 0

    def __call__(self, gallery: Gallery, sighting: Sighting, faces: SightedFaces) -> None:
        """Look at a sighting that has ended."""
        found = self._learning.look(gallery, sighting, faces) if self._wanted() else None
        if found is not None:
            self.suggested += 1
            self._tell(found)


def take_back(gallery: Gallery, person: str | None = None) -> dict[str, int]:
    """Erase what was learned, of one person or of everybody, in one change; what was enrolled stays.

    Args:
        gallery: Where.
        person: Of whom; None: of everybody.

    Returns:
        How many templates were erased of each who had some, by name.

    Raises:
        UnknownPerson: Nobody has that name.
    """
    inbox = gallery.inbox
    if not inbox.learned(person):
        return {}
    with inbox.change():
        learned = inbox.learned(person)
        inbox.take_back((), learned.keys())
        for (person_id, _), count in Counter(learned.values()).items():
            inbox.tell(TAKEN_BACK, person_id, counted(count, "view"))
    return dict(sorted(Counter(name for _, name in learned.values()).items()))


def answer_in_words(gallery: Gallery, entry: JournalEntry) -> str:
    """What a yes or a no was, by the name that its person has now."""
    person = gallery.person_by_id(str(entry.content["person_id"]))
    whose = "somebody" if person is None else person.name
    said = "became a view" if entry.action == ACCEPTED else "was declined as a view"
    return f"a suggested face {said} of {whose}"


def take_back_answer(gallery: Gallery, entry: JournalEntry) -> None:
    """Undo a yes or a no inside a change of the inbox: the template is erased, and the suggestion is open again.

    Args:
        gallery: Where.
        entry: Of the journal, of the action `ACCEPTED` or `DECLINED`.
    """
    inbox = gallery.inbox
    if entry.action == ACCEPTED:
        inbox.take_back((), entry.content["templates"], of=str(entry.content["person_id"]))
    with suppress(UnknownSuggestion):  # its face has gone since: there is nothing to ask about any more
        inbox.close_suggestion(int(entry.content["suggestion"]), "open")
    inbox.tell("took back", str(entry.content["person_id"]), entry.action)


def _view(template: Template) -> View:
    sample = template.sample
    made = datetime.fromisoformat(template.created_at) if template.created_at else None
    return View(sample.embedding, sample.pose, made, learned=bool(sample.learned_from))


def _seen(sighting: Sighting, faces: SightedFaces) -> list[SightedFace]:
    since = datetime.fromisoformat(sighting.since)
    return [
        SightedFace(face_id, sighting.id, since, faces.embeddings[row], float(faces.qualities[row]), faces.poses[row])
        for row, face_id in enumerate(faces.ids)
    ]


def _suggested(gallery: Gallery, suggestions: Sequence[Suggestion]) -> list[Floats]:
    """The faces of suggestions, whatever was said to them."""
    faces = gallery.inbox.faces({one.sighting_id for one in suggestions})
    kept = ((one, faces[one.sighting_id]) for one in suggestions if one.sighting_id in faces)
    return [found.embeddings[found.ids.index(one.face_id)] for one, found in kept if one.face_id in found.ids]


def _without_known_looks(core: Core, seen: Sequence[SightedFace], known: Sequence[Floats]) -> list[SightedFace]:
    """The same faces; those of a look that was suggested before are none to propose, and still say who was there."""
    return [replace(face, quality=0.0) if core.is_like_any(face.embedding, known) else face for face in seen]


def _origin(templates: Sequence[Template], embedding: Floats) -> str:
    """The UUID of the enrolled template that a face resembles most."""
    enrolled = [template for template in templates if not template.sample.learned_from]
    return max(enrolled, key=lambda template: float(template.sample.embedding @ embedding)).uuid


def _outdated(suggestion: Suggestion) -> SuggestionOutdated:
    return SuggestionOutdated(
        f"Suggestion {suggestion.number} cannot be accepted",
        why=f"its face does not match what {suggestion.person} is enrolled with by now",
        fix="Decline it",
    )
