"""Learning with consent: faces that were seen of a person are proposed as templates, and somebody says yes or no.

In: sightings of people who were named, as the gallery's inbox keeps them. Out: suggestions in that inbox, and after a
yes a template that says from which enrolled one it was learned. ``drift`` has the rule by which nothing is learned that
an attacker could use; here it meets the gallery. Nothing becomes a template without a person's yes, and what did is
taken back by one call (`Learning.take_back`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

from facepool.errors import PoolChanged, SuggestionOutdated
from facepool.gallery import Gallery
from facepool.gallery.sightings import JournalEntry, Suggestion
from facepool.groups.drift import Core, LearnRule, Proposal, SeenFace, View, propose
from facepool.models.catalog import FmrCurve
from facepool.recognize.decide import Criteria, decide
from facepool.search import Search
from facepool.thresholds import ThresholdPolicy
from facepool.types import Sample, SightedFaces, Sighting, Template

DAYS = 14.0
"""For how long somebody may say yes."""
MOST_OPEN = 3
"""Suggestions that wait for an answer, of one person: nobody is to be flooded with questions."""
ACCEPTED, TAKEN_BACK, DECLINED = "accepted a suggestion", "took back what was learned", "declined a suggestion"
_LOOKED_AT = 100
"""Sightings of a person that a proposal rests on: the newest ones."""
_CANDIDATES = 5
_TRIES = 5
"""How often a yes is tried anew where somebody else changes the gallery at that moment."""


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
            "suggestion": suggestion.number,
            "reason": suggestion.reason,
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
        proposal = propose(core, self._not_yet_suggested(gallery, core, person, earlier), now, self._rule)
        if proposal is None or not self._is_nobody_else(gallery, person, proposal):
            return None
        number = gallery.inbox.suggest(
            proposal.face.id, person, proposal.similarity, reason_of(proposal), days=DAYS
        )
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
        """
        for attempt in range(_TRIES):
            try:
                return self._accept(gallery, number, caller)
            except PoolChanged:
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def decline(self, gallery: Gallery, number: int, caller: str) -> int:
        """Say no: the look is not suggested again as long as the face is kept.

        Returns:
            Number in the journal, by which it is undone.

        Raises:
            UnknownSuggestion: It is not there, has expired, or somebody was faster.
        """
        with gallery.inbox.change():
            suggestion = gallery.inbox.close_suggestion(number, "declined")
            content = {"suggestion": number, "person_id": suggestion.person_id}
            return gallery.inbox.note(DECLINED, caller, content)

    def _accept(self, gallery: Gallery, number: int, caller: str) -> Learned:
        inbox, revision = gallery.inbox, gallery.revision()
        suggestion = inbox.suggestion(number)
        templates = gallery.templates(suggestion.person)
        core = self._core(gallery, templates)
        faces = inbox.faces([suggestion.sighting_id])[suggestion.sighting_id]
        row = faces.ids.index(suggestion.face_id)
        if core is None or not core.most_learned or not core.holds(faces.embeddings[row]):
            raise _outdated(suggestion)
        sample = _sample(faces, row, suggestion, _origin(templates, core, faces.embeddings[row]))
        sample = replace(sample, embedding=core.tilted(faces.embeddings[row]))
        too_many = _learned(templates)[: max(0, len(_learned(templates)) - core.most_learned + 1)]
        with inbox.change():
            inbox.close_suggestion(number, "accepted")
            if too_many:
                inbox.take_back((), [template.uuid for template in too_many], expected_revision=revision)
            stored = inbox.to_person(
                suggestion.person,
                [suggestion.face_id],
                [],
                create=False,
                samples={suggestion.face_id: sample},
                expected_revision=revision,
            )
            content = {
                "suggestion": number,
                "person_id": suggestion.person_id,
                "templates": list(stored.templates),
            }
            entry = inbox.note(ACCEPTED, caller, content)
        return Learned(suggestion, gallery.template_number(suggestion.face_id), len(too_many), entry)

    def _core(self, gallery: Gallery, templates: Sequence[Template]) -> Core | None:
        """What a person was enrolled with; None: nothing is left of it, or nobody has measured the embedder."""
        if self._curve is None or all(template.sample.learned_from for template in templates):
            return None
        threshold = self._policy.identification(gallery.size().templates, gallery.calibration())
        views = [
            View(
                embedding=template.sample.embedding,
                pose=template.sample.pose,
                made=datetime.fromisoformat(template.created_at) if template.created_at else None,
                learned=bool(template.sample.learned_from),
            )
            for template in templates
        ]
        return Core(views, self._curve, threshold.value, self._rule)

    def _not_yet_suggested(
        self, gallery: Gallery, core: Core, person: str, earlier: Sequence[Suggestion]
    ) -> list[SeenFace]:
        """Faces of the person's sightings but those of a look that waits for an answer, or got a no."""
        inbox = gallery.inbox
        sightings = {sighting.id: sighting for sighting in inbox.sightings(person=person, limit=_LOOKED_AT)}
        faces = inbox.faces(sightings.keys() | {one.sighting_id for one in earlier})
        known = [
            kept.embeddings[kept.ids.index(one.face_id)]
            for one in earlier
            if (kept := faces.get(one.sighting_id)) is not None and one.face_id in kept.ids
        ]
        seen = [face for number, one in sightings.items() if number in faces for face in _seen(one, faces[number])]
        return [replace(face, quality=0.0) if core.is_like_any(face.embedding, known) else face for face in seen]

    def _is_nobody_else(self, gallery: Gallery, person: str, proposal: Proposal) -> bool:
        """Whether the gallery names the face as the person, and would not without them as anybody else."""
        search = Search(gallery)
        found = search.nearest(proposal.face.embedding[None], _CANDIDATES, normalize=self._policy.follows_pool)
        state = found.state
        threshold = self._policy.identification(state.templates, state.calibration).value
        criteria = Criteria(threshold, look_alikes=state.look_alikes, margins=state.margins)
        candidates = found.candidates[0]
        others = [one for one in candidates if one.person != person]
        return decide(candidates, criteria).person == person and decide(others, criteria).person is None


def take_back(gallery: Gallery, caller: str, person: str | None = None) -> Mapping[str, int]:
    """Erase what was learned, of one person or of everybody; nobody has to know what that was.

    Args:
        gallery: Where.
        caller: Who wants it.
        person: Of whom; None: of everybody.

    Returns:
        How many templates were erased of each who had some.

    Raises:
        UnknownPerson: Nobody has that name.
    """
    del caller
    inbox = gallery.inbox
    with inbox.change():
        learned = inbox.learned(person)
        inbox.take_back((), learned.keys())
    return Counter(learned.values())


def undo(gallery: Gallery, entry: JournalEntry) -> None:
    """Take back a yes or a no: the template is erased, and the suggestion waits for an answer again.

    Args:
        gallery: Where.
        entry: Of the journal, of the action `ACCEPTED` or `DECLINED`; `Inbox.forget_entry` is for the caller.

    Raises:
        UnknownSuggestion: The suggestion is not there any more; after a yes its template is erased all the same.
    """
    inbox = gallery.inbox
    with inbox.change():
        if entry.action == ACCEPTED:
            inbox.take_back((), [str(uuid) for uuid in entry.content["templates"]])
        inbox.close_suggestion(int(entry.content["suggestion"]), "open")


def reason_of(proposal: Proposal) -> str:
    """Why a face is suggested: ``pose``, ``age`` or ``appearance``, and in how many sightings on how many days."""
    return f"{proposal.lack} {proposal.sightings} {proposal.days}"
