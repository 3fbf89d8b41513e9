"""Enrollment: which views of a person go into the pool, and why the others do not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from facepool.decide import Threshold
from facepool.gallery import Pool, search
from facepool.pipelines.analyze import Analyzer, Faces
from facepool.types import Candidate, Floats, Frame, Sample

Outcome = Literal[
    "taken",
    "known_view",
    "no_face",
    "several_faces",
    "too_small",
    "blurred",
    "uncertain_face",
    "other_person",
    "not_the_same_person",
    "enough",
]
"""What became of a frame. Only ``taken`` adds a template."""

OUTCOMES: dict[Outcome, str] = {
    "taken": "new view",
    "known_view": "too much like a view that is stored already",
    "no_face": "no face found",
    "several_faces": "more than one face",
    "too_small": "face too small, come closer",
    "blurred": "face blurred, hold still or add light",
    "uncertain_face": "not clearly a face",
    "other_person": "belongs to another person of the pool",
    "not_the_same_person": "does not look like the other pictures of this person",
    "enough": "enough views are stored",
}
"""Each outcome in words."""


@dataclass(frozen=True, slots=True)
class EnrollOptions:
    """Which views are worth keeping.

    Attributes:
        novelty: A view is new when its similarity to each of the person's own views is below this.
        max_templates: Views kept a person, those stored before included; more slow the search and raise the chance
            that a stranger matches one.
        min_size_px: Shorter side of the face's box in source pixels.
        min_sharpness: Variance of the Laplacian of the aligned face; see ``facepool.quality``.
        min_score: The detector's score in 0..1; stricter than for finding faces, because a template stays.
        allow_lookalike: Store a face although it matches another person of the pool.
    """

    novelty: float = 0.8
    max_templates: int = 16
    min_size_px: float = 48.0
    min_sharpness: float = 15.0
    min_score: float = 0.9
    allow_lookalike: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What became of one frame that was offered.

    Attributes:
        frame: The frame.
        faces: Everything that was found in it.
        outcome: What became of it.
        rival: The person that the face belongs to, for ``other_person``.
        similarity: To the rival, or to the person's own nearest view; None where nothing was compared.
    """

    frame: Frame
    faces: Faces
    outcome: Outcome
    rival: str | None = None
    similarity: float | None = None

    def __str__(self) -> str:
        """The outcome in words, with the rival's name."""
        words = OUTCOMES[self.outcome]
        if self.rival is not None:
            words = f"belongs to {self.rival}"
        return words if self.similarity is None or self.outcome == "taken" else f"{words} ({self.similarity:.2f})"


@dataclass(slots=True)
class Enrollment:
    """One person's registration while it runs. Nothing reaches the pool before ``commit``.

    Attributes:
        person: Name that the views are stored under; new or known to the pool.
        analyzer: Turns frames into faces.
        pool: Where the views go.
        identification: A face that is this similar to somebody else belongs to them.
        same_person: Two captures that are this similar show one person.
        options: Which views are worth keeping.
    """

    person: str
    analyzer: Analyzer
    pool: Pool
    identification: Threshold
    same_person: Threshold
    options: EnrollOptions = field(default_factory=EnrollOptions)
    _own: list[Floats] = field(init=False)
    _taken: list[Sample] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Begin with the views that the pool has of this person."""
        known = any(person.name == self.person for person in self.pool.people())
        stored = self.pool.templates(self.person) if known else []
        self._own = [template.sample.embedding for template in stored]

    @property
    def taken(self) -> int:
        """Number of new views so far."""
        return len(self._taken)

    @property
    def full(self) -> bool:
        """Whether the person has as many views as are kept."""
        return len(self._own) >= self.options.max_templates

    def offer(self, frame: Frame) -> Offer:
        """Look at one frame and take its face if it is a new, good view of this person alone."""
        return self._consider(frame, self.analyzer.analyze(frame.image_bgr))

    def offer_pictures(self, frames: Iterable[Frame]) -> list[Offer]:
        """Look at a set of stills, most typical face first, so that a stray picture cannot take the lead.

        Returns:
            One offer a frame, in the frames' order.
        """
        # The pixels are let go of at once: a folder may hold thousands of pictures.
        looked_at = [(_without_pixels(frame), self.analyzer.analyze(frame.image_bgr)) for frame in frames]
        order = _typical_first([faces for _, faces in looked_at])
        offers = {i: self._consider(*looked_at[i]) for i in order}
        return [offers[i] for i in range(len(looked_at))]

    def commit(self) -> int:
        """Store the new views in one transaction.

        Returns:
            How many were stored; 0 changes nothing.
        """
        if not self._taken:
            return 0
        stored = self.pool.register(self.person, self._taken)
        self._taken = []
        return stored

    def _consider(self, frame: Frame, faces: Faces) -> Offer:
        flaw = self._flaw(faces)
        if flaw is not None:
            return Offer(frame, faces, flaw)
        embedding = faces.embeddings[0]
        nearest = self._nearest_own(embedding)
        rival = self._rival(embedding, nearest)
        if rival is not None and not self.options.allow_lookalike:
            return Offer(frame, faces, "other_person", rival.person, rival.similarity)
        if nearest is not None and nearest < self.same_person.value:
            return Offer(frame, faces, "not_the_same_person", similarity=nearest)
        if nearest is not None and nearest >= self.options.novelty:
            return Offer(frame, faces, "known_view", similarity=nearest)
        if self.full:
            return Offer(frame, faces, "enough")
        self._own.append(embedding)
        self._taken.append(faces.sample(0, frame))
        return Offer(frame, faces, "taken", similarity=nearest)

    def _flaw(self, faces: Faces) -> Outcome | None:
        if len(faces) == 0:
            return "no_face"
        if len(faces) > 1:
            return "several_faces"
        if faces.detections.scores[0] < self.options.min_score:
            return "uncertain_face"
        if faces.measures.size_px[0] < self.options.min_size_px:
            return "too_small"
        if faces.measures.sharpness[0] < self.options.min_sharpness:
            return "blurred"
        return None

    def _nearest_own(self, embedding: Floats) -> float | None:
        return float(np.max(np.stack(self._own) @ embedding)) if self._own else None

    def _rival(self, embedding: Floats, nearest_own: float | None) -> Candidate | None:
        candidates = search(self.pool.matrix(), embedding[None], top=2)[0]
        for candidate in candidates:
            closer = nearest_own is None or candidate.similarity > nearest_own
            if candidate.person != self.person and candidate.similarity >= self.identification.value and closer:
                return candidate
        return None


def _typical_first(faces_of: Sequence[Faces]) -> list[int]:
    """Indices of pictures, those with one face ordered by their mean similarity to the others, then the rest."""
    single = [i for i, faces in enumerate(faces_of) if len(faces) == 1]
    if not single:
        return list(range(len(faces_of)))
    vectors = np.concatenate([faces_of[i].embeddings for i in single])
    typicality = vectors @ vectors.mean(axis=0)
    ordered = [single[i] for i in np.argsort(-typicality, kind="stable")]
    return ordered + [i for i in range(len(faces_of)) if i not in set(single)]


def _without_pixels(frame: Frame) -> Frame:
    return Frame(frame.image_bgr[:0, :0], frame.source, frame.index, frame.time_s)
