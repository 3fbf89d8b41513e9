"""Passive PAD: does one picture of a face look like a living one, or like a print or a screen that shows one?

A second opinion of networks that a user brings (``facepool models import``, task ``pad``), after ISO/IEC 30107: it
decides nothing by itself. Each network sees the face with a share of what is around it, where the edges of paper and
the grain of screens are; several of different shares are averaged, as Silent-Face-Anti-Spoofing does, whose cut this is
(Minivision, 2020, ``src/generate_patches.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facepool.errors import ModelUnsupported
from facepool.models.catalog import PadSpec
from facepool.runtime import Graph
from facepool.types import Floats, Image

_BATCH = 32
"""Faces in one run of a network."""


@dataclass(frozen=True)
class PadNetwork:
    """One network, and what it sees.

    Attributes:
        graph: The network, loaded with the spec's feed.
        spec: What of a picture it is given, and what it says of it.
    """

    graph: Graph
    spec: PadSpec

    def scores(self, image_bgr: Image, boxes: Floats) -> Floats:
        """How alive the faces of one picture look to it, (N,) float32 in 0..1; as ``PassivePad.scores``."""
        side = self.spec.side
        cuts = np.empty((len(boxes), side, side, 3), np.uint8)
        for cut, box in zip(cuts, boxes, strict=True):
            left, top, right, bottom = surroundings(box, self.spec.crop_scale, (image_bgr.shape[1], image_bgr.shape[0]))
            cv2.resize(image_bgr[top:bottom, left:right], (side, side), dst=cut, interpolation=cv2.INTER_LINEAR)
        starts = range(0, len(cuts), _BATCH)
        return np.concatenate([self._run(cuts[start : start + _BATCH]) for start in starts])

    def _run(self, cuts_bgr: Image) -> Floats:
        values = self.graph.run(np.ascontiguousarray(cuts_bgr))[0]
        if values.shape != (len(cuts_bgr), self.spec.classes):
            raise ModelUnsupported(
                f"A network gave an output of shape {values.shape} for {len(cuts_bgr)} faces",
                why=f"its description promises {self.spec.classes} numbers a face",
                fix="Correct `pad.classes` in the model's description, or import another graph",
            )
        if not np.isfinite(values).all():
            raise ModelUnsupported(
                "A network that looks for living faces gave no numbers",
                why="its output has NaN or infinite values",
                fix="Correct `pad.mean` and `pad.scale` in its description, or remove it: facepool models remove",
            )
        shares = _softmax(values) if self.spec.softmax else values
        return np.asarray(np.clip(shares[:, self.spec.live_class], 0, 1), np.float32)


class PassivePad:
    """Says how alive faces look in one picture.

    Args:
        networks: At least one.
    """

    def __init__(self, networks: Sequence[PadNetwork]) -> None:
        self._networks = tuple(networks)

    def scores(self, image_bgr: Image, boxes: Floats) -> Floats:
        """How alive each face of one picture looks, to all networks on average.

        Args:
            image_bgr: (H, W, 3) uint8 BGR in which faces are upright.
            boxes: (N, 4) float32 xyxy of its faces, in its pixels.

        Returns:
            (N,) float32 in 0..1, 1: alive; of no scale that would be comparable between networks. (0,) for no face.

        Raises:
            ModelUnsupported: A network's output is not what its description promises.
        """
        if not len(boxes):
            return np.zeros(0, np.float32)
        return np.asarray(np.mean([network.scores(image_bgr, boxes) for network in self._networks], axis=0), np.float32)


def surroundings(box: Floats, crop_scale: float, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a picture that a network sees of a face: its box, enlarged, moved and shrunk to lie in the picture.

    Args:
        box: (4,) xyxy in pixels of the picture.
        crop_scale: By which the sides of the box are multiplied, where the picture has room for it.
        size_wh: Of the picture.

    Returns:
        First and end of its columns and rows: left, top, right, bottom, at least a pixel.
    """
    limits = np.array(size_wh, np.float64) - 1
    corners = np.asarray(box, np.float64).reshape(2, 2)
    sides = np.maximum(corners[1] - corners[0], 1)
    sides = sides * min(crop_scale, *(limits / sides))
    first = np.clip(corners.mean(axis=0) - sides / 2, 0, limits - sides)
    (left, top), (right, bottom) = first.astype(int), (first + sides).astype(int) + 1
    return int(left), int(top), int(right), int(bottom)


def _softmax(values: Floats) -> Floats:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
