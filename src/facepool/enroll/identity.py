"""Whose faces are to be stored? What the pool says of it, for every registration, however the faces came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from facepool.enroll.pictures import Outcome
from facepool.errors import IdentityConflict, PoolChanged, UnknownPerson
from facepool.gallery import Gallery, clean_name, find_name
from facepool.search import Search
from facepool.thresholds import Threshold, ThresholdPolicy
from facepool.types import Candidate, EmbeddingSpace, Floats, Sample, Template

Resolution = Literal["same", "different"]
"""What a look-alike is: the person who is registered, or somebody else."""


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Somebody of the pool who matches views of a scan, or faces of somebody who was seen.

    Attributes:
        person: Their name.
        similarity: The highest of any view.
        mean_similarity: Over all views.
        views_matched: How many views match.
        views: How many there are.
        resolution: What they are; None while nobody has said it, ``different`` where the pool has them as a pair.
    """

    person: str
    similarity: float
    mean_similarity: float
    views_matched: int
    views: int
    resolution: Resolution | None

    @property
    def probably_same(self) -> bool:
        """Whether most views match: somebody who looks alike seldom does so from every side."""
        return self.views_matched > self.views / 2


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comes of comparing a face with the person's own views, and with everybody else.

    Attributes:
        outcome: ``taken`` for a new view of the person.
        rival: Whose face it is, for ``other_person``.
        similarity: To the rival, or to the person's own nearest view; None where nothing was compared.
    """

    outcome: Outcome
    rival: str | None = None
    similarity: float | None = None


def look_alikes(search: Search, policy: ThresholdPolicy, views: Sequence[Floats]) -> list[tuple[LookAlike, ...]]:
    """For each of several people, who of a pool matches a view of theirs, likeliest first, resolved by nobody.

    Args:
        search: Of the pool.
        policy: From which similarity on a face is somebody.
        views: (V, D) float32 of each; V may be 0.
    """
    counts = [len(theirs) for theirs in views]
    if not any(counts):
        return [() for _ in views]
    state = search.state()
    # Each view is one more chance to resemble somebody: so many people, not views, are to raise the question.
    thresholds = [policy.identification(state.templates * max(1, count), state.calibration).value for count in counts]
    least = min(threshold for threshold, count in zip(thresholds, counts, strict=True) if count)
    matching = search.matching(np.concatenate([theirs for theirs in views if len(theirs)]), least)
    ends = np.cumsum(counts)
    return [
        _likeliest({name: found[end - count : end] for name, found in matching.items()}, threshold)
        for threshold, count, end in zip(thresholds, counts, ends, strict=True)
    ]


def _likeliest(similarities: Mapping[str, Floats], threshold: float) -> tuple[LookAlike, ...]:
    """Those who match at least one view, by (V,) similarities of everybody."""
    found = [
        LookAlike(
            person=name,
            similarity=float(theirs.max()),
            mean_similarity=float(theirs.mean()),
            views_matched=int((theirs >= threshold).sum()),
            views=len(theirs),
            resolution=None,
        )
        for name, theirs in similarities.items()
        if (theirs >= threshold).any()
    ]
    return tuple(sorted(found, key=lambda alike: (-alike.views_matched, -alike.similarity, alike.person)))


class IdentityCheck:
    """What the pool says of the faces of one person who is being registered.

    It rests on the pool as it was when it was last `read`.

    Args:
        name: That the faces are stored under; new or known to the pool.
        pool: Where they go.
        space: Of the faces.
        policy: From which similarity on a face is somebody, and two captures show one person.
        novelty: A face is a new view when its similarity to each of the person's own is below this.
        most: How many views a person has at most.
        force: Take faces although they belong to somebody else, or do not look like the person.

    Attributes:
        name: The name that was given.
        revision: Of the pool that everything rests on.
        stored: What the pool has of the person.

    Raises:
        ConfigError: The name cannot be used.
        SpaceMismatch: The pool is of another embedding space.
    """

    def __init__(
        self,
        name: str,
        pool: Gallery,
        space: EmbeddingSpace,
        policy: ThresholdPolicy,
        *,
        novelty: float,
        most: int,
        force: bool = False,
    ) -> None:
        self.name = clean_name(name)
        self._pool = pool
        self._dimension = space.dimension
        self._search = Search(pool, space)
        self._policy = policy
        self._novelty = novelty
        self._most = most
        self._force = force
        self._same_person = policy.same_person().value
        self._resolved: dict[str, Resolution] = {}
        self._must_be_known: set[str] = set()
        self.read()

    @property
    def person(self) -> str:
        """Who gets the faces: the name that was given, or the look-alike who is the same person."""
        return next((name for name, resolution in self._resolved.items() if resolution == "same"), self.name)

    def read(self) -> None:
        """Take the pool as it is now as what everything is compared with."""
        self.revision = self._pool.revision()  # first: what is read after it is of this revision, or storing refuses
        self._state = self._search.state()
        self._belongs_to_rival = self.threshold().value
        templates = self._templates(self.person)
        self._is_known = templates is not None
        self.stored: list[Sample] = [template.sample for template in templates or ()]
        if self._is_known:
            self._must_be_known.add(self.person)

    def follow(self) -> bool:
        """Read the pool if it has changed; whether it had."""
        changed = self._pool.revision() != self.revision
        if changed:
            self.read()
        return changed

    def was_stored(self, samples: list[Sample]) -> None:
        """Know of what was stored just now, without reading the pool."""
        self.stored += samples
        self._must_be_known.add(self.person)

    def threshold(self, more: int = 0) -> Threshold:
        """From which similarity on a face is somebody of the pool, with so many templates more."""
        return self._policy.identification(self._state.templates + more, self._state.calibration)

    def vectors(self) -> Floats:
        """(S, D) float32, what is stored of the person; S may be 0."""
        return self.stacked([sample.embedding for sample in self.stored])

    def stacked(self, embeddings: list[Floats]) -> Floats:
        """(N, D) float32 of N vectors; N may be 0."""
        return np.array(embeddings, np.float32).reshape(len(embeddings), self._dimension)

    def compare(self, embedding: Floats, own: Floats, views: int) -> Comparison:
        """Whether a face is a new view of the person, unless the pool or their own views speak against it.

        Args:
            embedding: (D,) of the face.
            own: (V, D) float32, every view that is taken to be the person's; V may be 0.
            views: How many the person would have, stored or to be stored.
        """
        nearest = np.max(own @ embedding, keepdims=True) if len(own) else None
        (objection,) = self.objections(embedding[None], nearest)
        return objection or self.as_view(embedding, own, views)

    def objections(self, embeddings: Floats, nearest: Floats | None) -> list[Comparison | None]:
        """Why faces are not the person's; None for each that nothing speaks against.

        Args:
            embeddings: (F, D) float32, the faces.
            nearest: (F,) how like each is to the nearest view that is taken to be the person's; None: there is none.
        """
        if self._force or not len(embeddings):
            return [None] * len(embeddings)
        candidates = self._search.nearest(embeddings).candidates
        similarities = [None] * len(embeddings) if nearest is None else [float(one) for one in nearest]
        return [self._objection(*both) for both in zip(candidates, similarities, strict=True)]

    def _objection(self, candidates: Sequence[Candidate], nearest: float | None) -> Comparison | None:
        rival = self._rival(candidates)
        if rival is not None and self._is_nearer(rival, nearest):
            return Comparison("other_person", rival.person, rival.similarity)
        if nearest is not None and nearest < self._same_person:
            return Comparison("not_the_same_person", similarity=nearest)
        return None

    def as_view(self, embedding: Floats, own: Floats, views: int) -> Comparison:
        """Whether a face of the person is a new view of them; arguments as of `compare`."""
        nearest = float(np.max(own @ embedding)) if len(own) else None
        if nearest is not None and nearest >= self._novelty:
            return Comparison("known_view", similarity=nearest)
        if views >= self._most:
            return Comparison("enough")
        return Comparison("taken", similarity=nearest)

    def contradicts(self, embedding: Floats) -> bool:
        """Whether a face is not that of the person whom the pool has under the name."""
        if self._force or self.person != self.name or not self.stored:
            return False
        return bool(np.max(self.vectors() @ embedding) < self._same_person)

    def look_alikes(self, views: Floats) -> tuple[LookAlike, ...]:
        """People of the pool who match a view, likeliest first.

        Args:
            views: (V, D) float32, of the person; V may be 0.
        """
        (found,) = look_alikes(self._search, self._policy, [views])
        others = [alike for alike in found if alike.person != self.name]
        return tuple(replace(alike, resolution=self._resolution(alike.person)) for alike in others)

    def resolve(self, name: str, resolution: Resolution) -> None:
        """Decide on a look-alike: the same person, to whom the faces then go, or somebody else, flagged as a pair.

        Raises:
            IdentityConflict: They are the same, but two people of the pool would have to become one.
        """
        name = find_name(name)
        if resolution == "same":
            self._check_one_person(name)
        self._resolved[name] = resolution

    def different(self) -> list[str]:
        """Who looks alike and is somebody else; people who are gone need no flag any more."""
        different = [name for name, resolution in self._resolved.items() if resolution == "different"]
        return [name for name in different if self._pool.person(name) is not None]

    def check_still_known(self, again: str) -> None:
        """Refuse to store for somebody who was known and is not any more.

        Args:
            again: What to do once more, for the message.

        Raises:
            PoolChanged: They were removed, renamed or merged meanwhile.
        """
        name = self.person
        if self._is_known or (name == self.name and name not in self._must_be_known):
            return
        raise PoolChanged(
            f"Nothing was stored of {name}",
            why=f"{name} is no longer in the pool: removed, renamed or merged meanwhile",
            fix=f"{again} again if that is wanted",
        )

    def check(self, views: Floats, what: str, again: str) -> None:
        """Refuse to store faces if the pool as it was read speaks against it.

        Args:
            views: (V, D) float32, all of one person, the most telling one first; V may be 0.
            what: They are, for messages: the scan, for example.
            again: What to do once more, likewise.

        Raises:
            IdentityConflict: It does: a look-alike is not resolved, or somebody else is stored under the name.
        """
        self._check_one_person(self.person)
        if len(views) and self.contradicts(views[0]):
            raise IdentityConflict(
                f"{what} does not look like {self.name} of the pool",
                why=f"somebody else is stored as {self.name}",
                fix=f"{again} again under another name",
            )
        unresolved = [alike.person for alike in self.look_alikes(views) if alike.resolution is None]
        if unresolved:
            raise IdentityConflict(
                f"{self.name} looks like {' and '.join(unresolved)} of the pool",
                why="nobody has said whether they are the same person",
                fix="Say whether they are the same person, or two who look alike",
            )

    def _rival(self, candidates: Sequence[Candidate]) -> Candidate | None:
        """Somebody else of the pool to whom a face is similar enough to be theirs."""
        others = [candidate for candidate in candidates if candidate.person != self.person]
        return others[0] if others and others[0].similarity >= self._belongs_to_rival else None

    def _is_nearer(self, rival: Candidate, nearest: float | None) -> bool:
        """Whether a face is somebody else's rather than the person's, by their nearest view, if they have one."""
        if nearest is None:
            return self._resolution(rival.person) != "different"
        return rival.similarity > nearest

    def _resolution(self, name: str) -> Resolution | None:
        flagged = frozenset((name, self.name)) in self._state.look_alikes
        return self._resolved.get(name, "different" if flagged else None)

    def _templates(self, name: str) -> list[Template] | None:
        """What the pool has of somebody; None: it does not know them."""
        if self._pool.person(name) is None:
            return None  # asked first: the error for an unknown name looks through all names for similar ones
        try:
            return self._pool.templates(name)
        except UnknownPerson:  # removed just now
            return None

    def _check_one_person(self, name: str) -> None:
        """Refuse that one person of the pool is the person who is registered if another one already is."""
        same = [other for other, resolution in self._resolved.items() if resolution == "same"]
        if self._pool.person(self.name) is not None:
            same.append(self.name)
        rival = next((other for other in same if other != name), None)
        if rival is not None:
            raise IdentityConflict(
                f"{name} and {rival} are both in the pool",
                why="they would have to become one person",
                fix=f"Make them one, then scan again: facepool people merge {name!r} {rival!r}",
            )
