"""What every adapter offers to the worker."""
# ruff: noqa: ARG002 -- what a library cannot do, it refuses whatever the case

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

Case = dict[str, Any]
"""One thing to measure, as it came over the wire: ``task`` and what that task needs; see ``cases.py``."""

Step = Callable[[], int]
"""One repetition. Returns what it was about: faces found, vectors made, decisions taken."""

MATCH = 0.4
"""Similarity from which peers that leave the decision to their user call two faces the same."""


class Unsupported(Exception):
    """The library does not do this, or not by anything that it offers to its users."""


class Adapter:
    """A library with its networks loaded. What it cannot do stays as it is here."""

    def about(self) -> dict[str, str]:
        """Engine and models, for the report."""
        raise NotImplementedError

    def detect(self, case: Case) -> Step:
        """Find the faces of ``image``."""
        raise Unsupported("does not detect")

    def analyze(self, case: Case) -> Step:
        """Find the faces of ``image`` and embed them."""
        raise Unsupported("does not embed with the weights that are at hand")

    def embed(self, case: Case) -> Step:
        """Embed the first ``batch`` of the aligned ``crops``."""
        raise Unsupported("has no call for faces that are aligned already")

    def recognize(self, case: Case) -> Step:
        """Find the faces of ``image``, embed them and decide who of a pool of ``pool`` each is."""
        raise Unsupported("does not embed with the weights that are at hand")

    def video(self, case: Case) -> Step:
        """The first ``frames`` frames of ``video`` from decoding to a decision for every face of every frame."""
        raise Unsupported("does not embed with the weights that are at hand")

    def live(self, case: Case) -> Step:
        """As ``video``, but by following faces rather than taking each frame by itself."""
        raise Unsupported("does not follow faces")

    def first_decision(self, case: Case) -> Step:
        """Who is on ``photo``, a JPEG file."""
        raise Unsupported("does not embed with the weights that are at hand")

    def extra(self) -> dict[str, float]:
        """Seconds that the last step spent in parts of itself, where that is known."""
        return {}


class Gallery:
    """The pool of a library that has none of its own for a crowd: one matrix product, the best that NumPy can do.

    Args:
        vectors: (N, D), of people who may be seen; scaled to length 1 here.
        size: Templates altogether; the rest are strangers at random.
    """

    def __init__(self, vectors: Array, size: int) -> None:
        known = np.asarray(vectors, np.float32)
        strangers = np.random.default_rng(0).normal(size=(max(0, size - len(known)), known.shape[1]))
        whole = np.concatenate([known, strangers.astype(np.float32)])
        self._matrix = whole / np.linalg.norm(whole, axis=1, keepdims=True)

    def decide(self, vectors: Array) -> int:
        """Decide who each of (F, D) vectors is; the number of decisions."""
        probes = np.asarray(vectors, np.float32)
        similarities = probes @ self._matrix.T / np.linalg.norm(probes, axis=1, keepdims=True)
        best = similarities.argmax(axis=1)
        decided = [int(row) if similarities[i, row] >= MATCH else None for i, row in enumerate(best)]
        return len(decided)


class Portraits(Adapter):
    """An adapter that is done once it can turn one image into the vectors of its faces."""

    dimension = 128

    def vectors(self, image: Array) -> Array:
        """(F, D) for an image in the library's own channel order."""
        raise NotImplementedError

    def own_order(self, image_bgr: Array) -> Array:
        """A BGR image in the library's channel order."""
        return image_bgr

    def read_photo(self, path: str) -> Array:
        """A picture file in the library's channel order."""
        raise NotImplementedError

    def frames(self, path: str, count: int) -> Iterable[Array]:
        """The first frames of a video in the library's channel order."""
        raise NotImplementedError

    def analyze(self, case: Case) -> Step:
        image = self.own_order(np.load(case["image"]))
        return lambda: len(self.vectors(image))

    def recognize(self, case: Case) -> Step:
        image, gallery = self.own_order(np.load(case["image"])), self._gallery(case)
        return lambda: self._decide(image, gallery)

    def video(self, case: Case) -> Step:
        gallery = self._gallery(case)
        return lambda: sum(self._decide(image, gallery) for image in self.frames(case["video"], case["frames"]))

    def first_decision(self, case: Case) -> Step:
        gallery = self._gallery(case)
        return lambda: self._decide(self.read_photo(case["photo"]), gallery)

    def _decide(self, image: Array, gallery: Gallery) -> int:
        vectors = self.vectors(image)
        return gallery.decide(vectors) if len(vectors) else 0

    def _gallery(self, case: Case) -> Gallery:
        portraits = [self.vectors(self.own_order(np.load(path)))[:1] for path in case.get("portraits", [])]
        known = np.concatenate([np.empty((0, self.dimension), np.float32), *portraits])
        return Gallery(known, case["pool"])
