"""What becomes of one picture, or one frame, that is offered for registration, whatever the pool says of the face."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from facepool.faces.analyze import Faces
from facepool.faces.quality import Flaw, QualityPolicy
from facepool.types import Frame, one_line

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

    def __repr__(self) -> str:
        """What became of which picture."""
        return one_line(self, f"{self} (frame {self.frame.index} of {self.frame.source})")

    def without_pixels(self) -> "Offer":
        """The same without the picture, to keep."""
        return replace(self, frame=without_pixels(self.frame))

    def __str__(self) -> str:
        """The outcome in words, with the rival's name."""
        words = OUTCOMES[self.outcome]
        if self.rival is not None:
            words = f"belongs to {self.rival}"
        return words if self.similarity is None or self.outcome == "taken" else f"{words} ({self.similarity:.2f})"


def without_pixels(frame: Frame) -> Frame:
    """The frame without its picture."""
    return replace(frame, image_bgr=np.empty((0, 0, 3), np.uint8))


def flaw_of(faces: Faces, quality: QualityPolicy) -> Outcome | None:
    """Why a picture is of no use, whatever person it shows; None for one good face.

    A figure in the background, which is not clearly a face, is not a second person.
    """
    if len(faces) == 0:
        return "no_face"
    if _clear_faces(faces, quality) > 1:
        return "several_faces"
    # The best score comes first, so a face that is not clearly one counts only where no other does.
    flaws = quality.flaws(faces.measures)[0]
    return flaws[0] if flaws else None


def typical_first(faces_of: Sequence[Faces], quality: QualityPolicy) -> list[int]:
    """Indices of pictures: those of one face by its mean similarity to the others, then the rest."""
    single = [i for i, faces in enumerate(faces_of) if _clear_faces(faces, quality) == 1]
    if not single:
        return list(range(len(faces_of)))
    vectors = np.stack([faces_of[i].embeddings[0] for i in single])
    typicality = vectors @ vectors.mean(axis=0)
    chosen = set(single)
    rest = [i for i in range(len(faces_of)) if i not in chosen]
    return [single[i] for i in np.argsort(-typicality, kind="stable")] + rest


def _clear_faces(faces: Faces, quality: QualityPolicy) -> int:
    """How many detections are clearly faces; they come first."""
    return int(np.count_nonzero(faces.detections.scores >= quality.min_score))
