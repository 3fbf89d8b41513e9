"""Recognition: every face of an image is somebody of the pool or unknown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from facepool.faces.analyze import Analyzer
from facepool.faces.pose import fit_a_head
from facepool.gallery import Gallery, check_gallery
from facepool.recognize.decide import Claim, Criteria, decide_together
from facepool.search import Behind, GalleryState, Search
from facepool.thresholds import Threshold, ThresholdPolicy
from facepool.types import Decision, Detections, Floats, Image, one_line

CANDIDATES = 5
"""People that a decision lists by default."""


@dataclass(frozen=True, slots=True)
class RecognizeOptions:
    """When a face is not named although somebody is near.

    Attributes:
        min_margin: By how much the best must beat a runner-up who matches too; otherwise the face is ambiguous.
        min_size_px: A face whose shorter side is below this in source pixels is too small to name anybody.
        candidates: People that a decision lists, the best included.
    """

    min_margin: float = 0.02
    min_size_px: float = 16.0
    candidates: int = CANDIDATES


@dataclass(frozen=True, slots=True)
class RecognizedFaces:
    """The faces of one image with a decision each, best detector score first.

    Attributes:
        detections: N boxes, scores and landmarks in pixels of the image.
        decisions: N decisions.
        passive: (N,) float32 in 0..1, how alive each looks to the networks that the user brought for it, which decides
            nothing; None without such networks.
        behind: Why the pool's index was not searched, or did not have everything; None: it had, or there is none.
    """

    detections: Detections
    decisions: tuple[Decision, ...]
    passive: Floats | None = None
    behind: Behind | None = None

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.decisions)

    def __repr__(self) -> str:
        """Who is in the picture."""
        return one_line(self, ", ".join(name or "unknown" for name in self.names) or "no face")

    @property
    def names(self) -> tuple[str | None, ...]:
        """Who each face is; None for unknown."""
        return tuple(decision.person for decision in self.decisions)


class Recognizer:
    """Names the faces of images by a pool, which may change meanwhile.

    Args:
        analyzer: Turns images into faces.
        pool: Who is known; of the analyzer's embedding space.
        policy: Chooses the threshold for the pool's size; by default at most 1 % of strangers are named.
        options: When a face is not named although somebody is near.

    Raises:
        SpaceMismatch: The pool is of another embedding space.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        pool: Gallery,
        policy: ThresholdPolicy | None = None,
        options: RecognizeOptions | None = None,
    ) -> None:
        self._analyzer = analyzer
        self._search = Search(pool, analyzer.space)
        self._policy = policy or ThresholdPolicy(analyzer.fmr)
        self._options = options or RecognizeOptions()
        check_gallery(pool, analyzer.space)

    @property
    def threshold(self) -> Threshold:
        """The threshold for the pool as it is now."""
        return self._threshold(self._search.state())

    def recognize(self, image_bgr: Image) -> RecognizedFaces:
        """Recognize everybody in one image, (H, W, 3) uint8 BGR. Without a face there is no decision."""
        return self.recognize_batch([image_bgr])[0]

    def recognize_batch(self, images_bgr: Sequence[Image]) -> list[RecognizedFaces]:
        """Recognize everybody in several images, by one state of the pool.

        Args:
            images_bgr: (H, W, 3) uint8 BGR each; sizes may differ.

        Returns:
            One ``RecognizedFaces`` an image; an empty list for an empty list.
        """
        named = self.decide(self._analyzer.embed_batch(images_bgr))
        return [
            replace(faces, passive=self._analyzer.passive_scores(image, faces.detections))
            for image, faces in zip(images_bgr, named, strict=True)
        ]

    def decide(self, found: Sequence[tuple[Detections, Floats]]) -> list[RecognizedFaces]:
        """Name faces that are embedded already, by one state of the pool. Nobody is two faces of one image.

        Args:
            found: For each image N faces and their (N, D) embeddings.

        Returns:
            One ``RecognizedFaces`` an image.
        """
        if not found:
            return []
        claims, criteria, behind = self._claims(np.concatenate([embeddings for _, embeddings in found]))
        claim_of = iter(claims)
        named = []
        for faces, _ in found:
            heads = fit_a_head(faces)
            usable = heads & (faces.sizes >= self._options.min_size_px)
            together = [replace(next(claim_of), usable=bool(good)) for good in usable]
            decisions = zip(decide_together(together, criteria), heads, strict=True)
            told = tuple(_why_unusable(decision, is_head=bool(head)) for decision, head in decisions)
            named.append(RecognizedFaces(faces, told, behind=behind))
        return named

    def decide_embeddings(self, embeddings: Floats) -> tuple[Decision, ...]:
        """Name faces of which there is nothing but their (N, D) embeddings, L2 norm 1, each by itself.

        Raises:
            InvalidEmbedding: They do not have the pool's dimension, or are no unit vectors.
        """
        claims, criteria, _ = self._claims(embeddings)
        return tuple(decision for claim in claims for decision in decide_together([claim], criteria))

    def _claims(self, embeddings: Floats) -> tuple[list[Claim], Criteria, Behind | None]:
        """Who each face may be, and what it takes, by one state of the pool, and what an index did not have of it."""
        nearest = self._search.nearest(embeddings, self._options.candidates, normalize=self._policy.follows_pool)
        state = nearest.state
        criteria = Criteria(
            self._threshold(state).value, self._options.min_margin, state.look_alikes, margins=state.margins
        )
        return [Claim(candidates) for candidates in nearest.candidates], criteria, state.behind

    def _threshold(self, gallery: GalleryState) -> Threshold:
        return self._policy.identification(gallery.templates, gallery.calibration)


def _why_unusable(decision: Decision, *, is_head: bool) -> Decision:
    """Of a face that is too poor to name anybody, whether that is because it fits no head."""
    if is_head or decision.reason != "low_quality":
        return decision
    return replace(decision, reason="implausible_landmarks")
