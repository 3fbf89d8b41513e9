"""Enrollment: which views of a person go into the pool, and why the others do not."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np

from facepool.errors import PoolChanged
from facepool.faces.analyze import Analyzer, Faces
from facepool.faces.quality import Flaw, QualityPolicy
from facepool.gallery import Pool, PoolMatrix, check_pool, clean_name, search
from facepool.thresholds import ThresholdPolicy
from facepool.types import Candidate, Floats, Frame, Image

Outcome = (
    Literal["taken", "known_view", "no_face", "several_faces", "other_person", "not_the_same_person", "enough"] | Flaw
)
"""What became of a frame. Only ``taken`` adds a template."""

OUTCOMES: dict[Outcome, str] = {
    "taken": "new view",
    "known_view": "too much like a view that is stored already",
    "no_face": "no face found",
    "several_faces": "more than one face",
    "too_small": "face too small, come closer",
    "too_dark": "face too dark, add light",
    "too_bright": "face too bright, dim the light",
    "low_contrast": "face without contrast, light it from one side",
    "blurred": "face blurred, hold still or add light",
    "covered": "eyes or mouth covered",
    "implausible_landmarks": "half of the face hidden, or no face",
    "uncertain_face": "not clearly a face",
    "other_person": "belongs to another person of the pool",
    "not_the_same_person": "does not look like the other pictures of this person",
    "enough": "enough views are stored",
}
"""Each outcome in words."""

PICTURES_AT_ONCE = 8
"""Stills that are in memory together, to run the networks on; photos of 24 megapixels take 72 MB each."""


@dataclass(frozen=True, slots=True)
class EnrollOptions:
    """Which views are worth keeping.

    Attributes:
        novelty: A view is new when its similarity to each of the person's own views is below this.
        max_templates: Views kept a person, those stored before included; more slow the search and raise the chance
            that a stranger matches one.
        min_size_px: Shorter side of the face's box in source pixels.
        min_sharpness: Variance of the Laplacian of the aligned face; see ``facepool.faces.quality``.
        min_score: The detector's score in 0..1; stricter than for finding faces, because a template stays.
        force: Store a face although it belongs to another person of the pool, or does not look like this one.
        keep_pictures: Keep the aligned face as a small JPEG beside its template.
    """

    novelty: float = 0.8
    max_templates: int = 16
    min_size_px: float = QualityPolicy().min_size_px
    min_sharpness: float = QualityPolicy().min_sharpness
    min_score: float = QualityPolicy().min_score
    force: bool = False
    keep_pictures: bool = False

    @property
    def quality(self) -> QualityPolicy:
        """Which faces are good enough: these limits, and the usual ones for light and hidden parts."""
        return QualityPolicy(min_score=self.min_score, min_size_px=self.min_size_px, min_sharpness=self.min_sharpness)


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

    def without_pixels(self) -> "Offer":
        """The same without the picture, to keep."""
        return replace(self, frame=_without_pixels(self.frame))

    def __str__(self) -> str:
        """The outcome in words, with the rival's name."""
        words = OUTCOMES[self.outcome]
        if self.rival is not None:
            words = f"belongs to {self.rival}"
        return words if self.similarity is None or self.outcome == "taken" else f"{words} ({self.similarity:.2f})"


class Enrollment:
    """One person's registration while it runs. Nothing reaches the pool before ``commit``.

    Args:
        person: Name that the views are stored under; new or known to the pool.
        analyzer: Turns frames into faces.
        pool: Where the views go; of the analyzer's embedding space.
        policy: From which similarity on a face belongs to somebody else, and two captures show one person.
        options: Which views are worth keeping.

    Raises:
        ConfigError: The name cannot be used.
        SpaceMismatch: The pool is of another embedding space.
    """

    def __init__(
        self,
        person: str,
        analyzer: Analyzer,
        pool: Pool,
        policy: ThresholdPolicy | None = None,
        options: EnrollOptions | None = None,
    ) -> None:
        self.person = clean_name(person)
        self.options = options or EnrollOptions()
        self._analyzer = analyzer
        self._pool = pool
        self._policy = policy or ThresholdPolicy(analyzer.fmr)
        self._same_person = self._policy.same_person().value
        self._must_be_known = False
        self._taken: list[Offer] = []
        self._withdrawn: list[Offer] = []
        check_pool(pool, analyzer.space)
        self._look(pool.matrix())

    @property
    def taken(self) -> int:
        """Number of new views so far."""
        return len(self._taken)

    @property
    def withdrawn(self) -> list[Offer]:
        """Views that had been taken and are not stored, with the reason: another process has changed the pool."""
        return list(self._withdrawn)

    @property
    def full(self) -> bool:
        """Whether the person has as many views as are kept."""
        return len(self._own) >= self.options.max_templates

    def offer(self, frame: Frame) -> Offer:
        """Look at one frame and take its face if it is a new, good view of this person alone.

        Raises:
            PoolChanged: The person, known before, is no longer in the pool.
        """
        return self._consider(frame, self._analyzer.analyze(frame.image_bgr))

    def offer_pictures(self, frames: Iterable[Frame]) -> list[Offer]:
        """Look at a set of stills, most typical face first, so that a stray picture cannot take the lead.

        Returns:
            One offer a frame, in the frames' order.

        Raises:
            PoolChanged: The person, known before, is no longer in the pool.
        """
        looked_at: list[tuple[Frame, Faces]] = []
        frames = iter(frames)
        while batch := self._look_at_some(frames):
            looked_at += batch
        return self.offer_faces(looked_at)

    def offer_faces(self, looked_at: Sequence[tuple[Frame, Faces]]) -> list[Offer]:
        """The same for stills that were analyzed already.

        Args:
            looked_at: Frames, with pixels or without, and what the analyzer found in them.
        """
        order = self._typical_first([faces for _, faces in looked_at])
        offers = {i: self._consider(*looked_at[i]) for i in order}
        return [offers[i] for i in range(len(looked_at))]

    def commit(self) -> int:
        """Store the new views in one transaction; those that the pool as it is now speaks against are `withdrawn`.

        Returns:
            How many were stored; 0 changes nothing.

        Raises:
            PoolChanged: The person, known before, is no longer in the pool. Nothing was stored.
        """
        while self._taken:
            self._follow()
            keep = self.options.keep_pictures
            samples = [offer.faces.sample(0, offer.frame, with_picture=keep) for offer in self._taken]
            try:
                stored = self._pool.register(
                    self.person, samples, self._analyzer.space, expected_revision=self._known.revision
                )
            except PoolChanged:
                continue  # another process was faster: look again
            self._taken = []
            self._must_be_known = self._must_be_known or stored > 0
            return stored
        return 0

    def _follow(self) -> None:
        """Judge what was taken anew, in the same order, if another process has changed the pool."""
        known = self._pool.matrix()
        if known.revision == self._known.revision:
            return
        self._look(known)
        taken, self._taken = self._taken, []
        for offer in taken:
            judged = self._compare(offer.frame, offer.faces)
            if judged.outcome != "taken":
                self._withdrawn.append(judged)

    def _look(self, known: PoolMatrix) -> None:
        """Take one state of the pool as what everything is compared with."""
        is_known = self.person in known.names
        if self._must_be_known and not is_known:
            raise PoolChanged(
                f"Nothing was stored of {self.person}",
                why=f"{self.person} is no longer in the pool: removed, renamed or merged meanwhile",
                fix="Register again if that is wanted",
            )
        self._must_be_known = is_known
        self._known = known
        self._belongs_to_rival = self._policy.identification(len(known), known.calibration).value
        row = known.names.index(self.person) if is_known else -1
        self._own = list(known.vectors[known.person_of == row])

    def _look_at_some(self, frames: Iterator[Frame]) -> list[tuple[Frame, Faces]]:
        """The next few frames, without pixels that nobody will ask for: a folder may hold thousands of pictures."""
        batch = list(islice(frames, PICTURES_AT_ONCE))
        if not batch:
            return []
        found = self._analyzer.analyze_batch([frame.image_bgr for frame in batch])
        kept = found if self.options.keep_pictures else [replace(faces, aligned=None) for faces in found]
        return list(zip(map(_without_pixels, batch), kept, strict=True))

    def _consider(self, frame: Frame, faces: Faces) -> Offer:
        flaw = self._flaw(faces)
        if flaw is not None:
            return Offer(frame, faces, flaw)
        self._follow()
        return self._compare(frame, faces)

    def _compare(self, frame: Frame, faces: Faces) -> Offer:
        """Take the one good face of a frame, unless the pool or the views so far speak against it."""
        embedding = faces.embeddings[0]
        nearest = self._nearest_own(embedding)
        rival = self._rival(embedding, nearest)
        if rival is not None and not self.options.force:
            return Offer(frame, faces, "other_person", rival.person, rival.similarity)
        if nearest is not None and nearest < self._same_person and not self.options.force:
            return Offer(frame, faces, "not_the_same_person", similarity=nearest)
        if nearest is not None and nearest >= self.options.novelty:
            return Offer(frame, faces, "known_view", similarity=nearest)
        if self.full:
            return Offer(frame, faces, "enough")
        self._own.append(embedding)
        offer = Offer(frame, faces, "taken", similarity=nearest)
        self._taken.append(offer.without_pixels())
        return offer

    def _flaw(self, faces: Faces) -> Outcome | None:
        if len(faces) == 0:
            return "no_face"
        clear = self._clear_faces(faces)
        if clear > 1:
            return "several_faces"
        # The best score comes first, so a face that is not clearly one counts only where no other does.
        flaws = self.options.quality.flaws(faces.measures)[0]
        return flaws[0] if flaws else None

    def _clear_faces(self, faces: Faces) -> int:
        """How many detections are clearly faces; they come first. A figure in the background is not a second person."""
        return int(np.count_nonzero(faces.detections.scores >= self.options.min_score))

    def _nearest_own(self, embedding: Floats) -> float | None:
        return float(np.max(np.stack(self._own) @ embedding)) if self._own else None

    def _typical_first(self, faces_of: Sequence[Faces]) -> list[int]:
        """Indices of pictures: those of one face by its mean similarity to the others, then the rest."""
        single = [i for i, faces in enumerate(faces_of) if self._clear_faces(faces) == 1]
        chosen = set(single)
        rest = [i for i in range(len(faces_of)) if i not in chosen]
        if not single:
            return rest
        vectors = np.stack([faces_of[i].embeddings[0] for i in single])
        typicality = vectors @ vectors.mean(axis=0)
        return [single[i] for i in np.argsort(-typicality, kind="stable")] + rest

    def _rival(self, embedding: Floats, nearest_own: float | None) -> Candidate | None:
        candidates = search(self._known, embedding[None], top=2)[0]
        for candidate in candidates:
            closer = nearest_own is None or candidate.similarity > nearest_own
            if candidate.person != self.person and candidate.similarity >= self._belongs_to_rival and closer:
                return candidate
        return None


def _without_pixels(frame: Frame) -> Frame:
    return replace(frame, image_bgr=np.empty((0, 0, 3), np.uint8))


def register(person: str, images_bgr: Iterable[Image], analyzer: Analyzer, pool: Pool) -> list[Offer]:
    """Register a person from pictures with the default options, and store what is good.

    Args:
        person: New or known to the pool.
        images_bgr: (H, W, 3) uint8 BGR each, one face in each.
        analyzer: Turns images into faces.
        pool: Where the views go; of the analyzer's embedding space.

    Returns:
        What became of each picture.
    """
    enrollment = Enrollment(person, analyzer, pool)
    offers = enrollment.offer_pictures(Frame(image, "array", index) for index, image in enumerate(images_bgr))
    enrollment.commit()
    return offers
