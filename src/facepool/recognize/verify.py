"""Verification: do two images show the same person, or a picture and somebody alive before a camera?"""

from dataclasses import dataclass
from functools import partial
from random import Random

import numpy as np

from facepool.errors import ImplausibleLandmarks, NoFace
from facepool.faces.analyze import Analyzer, Faces
from facepool.faces.pose import NO_HEAD_MM, fit_a_head
from facepool.liveness.challenge import draw_challenge
from facepool.liveness.session import LivenessResult, LivenessSession, LivenessStep
from facepool.thresholds import SAME_SCAN_FMR, Threshold, ThresholdPolicy
from facepool.types import Detections, Floats, Frame, Image, one_line


@dataclass(frozen=True, slots=True)
class Verification:
    """The comparison of two faces.

    Attributes:
        similarity: Cosine in -1..1.
        threshold: What it was held against.
        rows: Which face of each image was compared: the largest whose landmarks fit a head.
        faces: What was found in each image.
        passive: How alive the two look to the networks that the user brought for it, 0..1, which decides nothing; None
            without such networks.
    """

    similarity: float
    threshold: Threshold
    rows: tuple[int, int]
    faces: tuple[Faces, Faces]
    passive: tuple[float, float] | None = None

    def __repr__(self) -> str:
        """The verdict, and the figures that it rests on."""
        verdict = "the same person" if self.match else "not shown to be the same person"
        return one_line(self, f"{verdict}, similarity {self.similarity:.3f}, threshold {self.threshold.value:.3f}")

    @property
    def match(self) -> bool:
        """Whether both are taken to be one person."""
        return self.similarity >= self.threshold.value


def verify(
    image_a_bgr: Image, image_b_bgr: Image, analyzer: Analyzer, policy: ThresholdPolicy | None = None
) -> Verification:
    """Compare the largest face of each of two images.

    Args:
        image_a_bgr: (H, W, 3) uint8 BGR.
        image_b_bgr: Likewise, of any size.
        analyzer: Turns images into faces.
        policy: Chooses the threshold; by default one in a thousand pairs of different people passes.

    Raises:
        NoFace: One of them has none.
        ImplausibleLandmarks: What was found in one of them fits no head.
    """
    faces_a, faces_b = analyzer.analyze_batch([image_a_bgr, image_b_bgr])
    row_a, row_b = largest_face(faces_a.detections, "first"), largest_face(faces_b.detections, "second")
    similarity = cosine(faces_a.embeddings[row_a], faces_b.embeddings[row_b])
    policy = policy or ThresholdPolicy(analyzer.fmr)
    sides = ((image_a_bgr, faces_a, row_a), (image_b_bgr, faces_b, row_b))
    scores = [analyzer.passive_scores(image, faces.detections[row : row + 1]) for image, faces, row in sides]
    return Verification(similarity, policy.verification(), (row_a, row_b), (faces_a, faces_b), passive_pair(*scores))


def passive_pair(first: Floats | None, second: Floats | None) -> tuple[float, float] | None:
    """Of two faces that are compared, how alive each looks: (1,) scores of each, None without a network for it."""
    return None if first is None or second is None else (float(first[0]), float(second[0]))


@dataclass(frozen=True, slots=True)
class LiveVerification:
    """The comparison of a picture with whoever was challenged before a camera.

    Attributes:
        liveness: How the challenge ended.
        similarity: Cosine in -1..1 of the picture's face and the one that passed; None: none did.
        threshold: What it was held against.
    """

    liveness: LivenessResult
    similarity: float | None
    threshold: Threshold

    def __repr__(self) -> str:
        """The verdict, and the figures that it rests on."""
        verdict = "the same person, alive" if self.match else "not shown to be the same person, alive"
        compared = "" if self.similarity is None else f", similarity {self.similarity:.3f}"
        return one_line(self, f"{verdict} ({self.liveness.reason}){compared}, threshold {self.threshold.value:.3f}")

    @property
    def match(self) -> bool:
        """Whether the challenge was passed, and by the person of the picture."""
        return self.similarity is not None and self.similarity >= self.threshold.value


class LiveVerifier:
    """Compares the largest face of a picture with somebody who is challenged before a camera, frame by frame.

    Say what ``look`` returns to the person, for as long as there is no ``result``.

    Args:
        image_bgr: (H, W, 3) uint8 BGR, the picture.
        analyzer: Turns images into faces.
        policy: Chooses the threshold; by default one in a thousand pairs of different people passes.
        partial: A weaker challenge, for people who cannot turn their head in every direction.
        random: Draws the challenge; by default what nobody can foresee.

    Attributes:
        faces: What was found in the picture.
        row: Which of them is compared.
        box: (4,) float32 xyxy of the face that the last frame was about, in its pixels; None where it is none.

    Raises:
        NoFace: The picture has none.
        ImplausibleLandmarks: What was found in it fits no head.
    """

    def __init__(
        self,
        image_bgr: Image,
        analyzer: Analyzer,
        policy: ThresholdPolicy | None = None,
        *,
        partial: bool = False,
        random: Random | None = None,
    ) -> None:
        policy = policy or ThresholdPolicy(analyzer.fmr)
        self.box: Floats | None = None
        self.faces = analyzer.analyze(image_bgr)
        self.row = largest_face(self.faces.detections, "first")
        self._analyzer = analyzer
        self._threshold = policy.verification()
        challenge = draw_challenge(partial=partial, random=random)
        self._session = LivenessSession(challenge, policy.same_person(SAME_SCAN_FMR).value)

    @property
    def result(self) -> LiveVerification | None:
        """The comparison; None before the challenge has ended."""
        return None if self._session.result is None else self._compare(self._session.result)

    def look(self, frame: Frame) -> LivenessStep:
        """Look at the next frame of the camera, and say what is to be done next; nothing changes after the end."""
        faces = self._analyzer.analyze(frame.image_bgr, moving=True)
        step = self._session.add(frame.moment_s, faces, (frame.image_bgr.shape[0], frame.image_bgr.shape[1]))
        if step.row is None:
            self.box = None
            return step
        found = faces.detections[step.row : step.row + 1]
        self.box = np.asarray(found.boxes[0])
        self._session.ask(partial(self._analyzer.passive_scores, frame.image_bgr, found))
        return step

    def end(self) -> LiveVerification:
        """There are no more frames. A challenge that had ended before stays as it was."""
        return self._compare(self._session.interrupt())

    def _compare(self, liveness: LivenessResult) -> LiveVerification:
        similarity = None
        if liveness.passed and liveness.embedding is not None:
            similarity = cosine(self.faces.embeddings[self.row], liveness.embedding)
        return LiveVerification(liveness, similarity, self._threshold)


def largest_face(detections: Detections, which: str) -> int:
    """Row of the largest face of a picture, of those whose landmarks fit a head.

    Args:
        detections: What was found in it.
        which: How the error calls the picture, for example ``first``.

    Raises:
        NoFace: There is no face.
        ImplausibleLandmarks: There is one that fits no head, and no other.
    """
    if len(detections) == 0:
        raise NoFace(
            f"No face was found in the {which} picture",
            fix="Use a picture in which the face is larger and unobstructed; --detect-size 2560 looks for smaller ones",
        )
    heads, misfit_mm = fit_a_head(detections), detections.misfit_mm
    if misfit_mm is not None and not heads.any():
        raise ImplausibleLandmarks(
            f"What was found in the {which} picture cannot be compared",
            why="its eyes, nose and mouth do not lie as in any head "
            f"({misfit_mm.min():.0f} mm off, {NO_HEAD_MM:.0f} are allowed)",
            fix="Use a picture with one whole, upright face",
        )
    return int(np.argmax(np.where(heads, detections.sizes, -1)))


def cosine(one: Floats, other: Floats) -> float:
    """Similarity of two (D,) embeddings, in -1..1."""
    return float(np.clip(one @ other, -1, 1))
