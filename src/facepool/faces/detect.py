"""RetinaFace: where the faces are, and their five landmarks.

Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020. The decoding follows
SSD (Liu et al., 2016): a network's deltas move a fixed grid of prior boxes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

import cv2
import numpy as np

from facepool.faces.proposals import Proposals, reader_of
from facepool.geometry import iou, non_maximum_suppression, shares_inside
from facepool.models.catalog import RetinaFaceSpec
from facepool.runtime import Graph, runs_at_once
from facepool.types import Detections, Floats, Image, Mask

_MOST_PROPOSALS = 1000
"""Boxes that reach non-maximum suppression at most; a crowd has a few hundred."""


BATCH = 8
"""Images in one run of the network at most."""
BATCH_PIXELS = 8 * 640 * 640
"""Pixels in one run of the network at most: 640x480 of them take about 25 MB of it."""
ENLARGED = 2.0
"""How much a second pass enlarges a picture at most: beyond that it finds nothing more."""

_SAME_FACE = 0.7
"""Overlap in 0..1 from which on a box that is not kept says where the landmarks of the one that is are."""

_PLACED_WELL_PX = (80.0, 224.0)
"""Long sides of a face, as the network sees it, between which its landmarks have about the same error: ADR 51."""
_PART_INSIDE = 0.7
"""A box of a second pass that lies inside a larger face by more than this share is a part of that face,
unless it is the surer one."""

DetectorPreset = Literal["fast", "balanced", "best"]
"""How thoroughly faces are sought; see ``DETECTOR_PRESETS``."""


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """What counts as a face.

    Attributes:
        size: Long side in pixels of what the network is given; larger pictures are shrunk to it, smaller ones are
            left as they are. At 640 a 640x480 frame keeps faces down to about 20 px.
        second_size: Long side of a second pass at a larger scale, for smaller faces; smaller pictures are enlarged to
            it, ``ENLARGED`` times at most. None: one pass.
        closer_size: Long side of one more pass over large still pictures in which no large face is, for faces down to
            1/40 of the picture's long side; see ``facepool.faces.find``. None: there is none.
        threshold: Detector score in 0..1 from which on a box is a face.
        iou_threshold: Overlap in 0..1 above which two boxes are one face.
    """

    size: int = 640
    threshold: float = 0.6
    iou_threshold: float = 0.4
    second_size: int | None = None
    closer_size: int | None = 1280

    @property
    def reach(self) -> int:
        """Long side beyond which a picture is shrunk by every pass but the closer one."""
        return max(self.size, self.second_size or 0)

    @property
    def longest(self) -> int:
        """Long side beyond which a still picture is shrunk by every pass."""
        return max(self.reach, self.closer_size or 0)


DETECTOR_PRESETS: Mapping[DetectorPreset, DetectOptions] = MappingProxyType(
    {
        "fast": DetectOptions(size=384, closer_size=None),
        "balanced": DetectOptions(),
        # The first pass is what ``balanced`` sees; the second is for small faces, and as close as the closer one.
        "best": DetectOptions(second_size=1280, closer_size=None),
    }
)
"""What the settings offer; ``docs/accuracy.md`` has what each finds and takes."""


class RetinaFace:
    """Finds faces with a RetinaFace graph.

    Args:
        graph: The network, loaded with the spec's feed.
        spec: How the network is fed and read.
        options: What counts as a face.
    """

    def __init__(self, graph: Graph, spec: RetinaFaceSpec, options: DetectOptions | None = None) -> None:
        self.options = options or DetectOptions()
        self._graph = graph
        self._spec = spec
        ordered = spec.mean if spec.channel_order == "bgr" else spec.mean[::-1]
        self._padding = np.array(ordered).round().astype(np.uint8)
        self._read = reader_of(graph.outputs, spec)

    @property
    def runs_on(self) -> str:
        """Engine and device, for people."""
        return f"{self._graph.engine} ({self._graph.device})"

    @property
    def runs_at_once(self) -> int:
        """How many threads may find faces side by side, each on a core; 1: they wait for each other."""
        return runs_at_once(self._graph)

    @property
    def device(self) -> str:
        """``cpu``, or the name of an accelerator, for which batches pay."""
        return self._graph.device

    def detect(self, images_bgr: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image.

        Args:
            images_bgr: (H, W, 3) uint8 BGR each; sizes may differ. Images of one size run as one batch.

        Returns:
            One ``Detections`` an image, in pixels of that image, best score first; empty where there is no face.
            An empty list for an empty list.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for i, image in enumerate(images_bgr):
            groups.setdefault((image.shape[0], image.shape[1]), []).append(i)
        found = [Detections.empty()] * len(images_bgr)
        for source_hw, members in groups.items():
            images = [images_bgr[i] for i in members]
            scale = min(1.0, self.options.size / max(source_hw))
            closer = min(ENLARGED, (self.options.second_size or 0) / max(source_hw))
            results = self._detect_at(scale, images)
            if closer > scale:
                seconds = self._detect_at(closer, images)
                results = [self.merge(*passes, (scale, closer)) for passes in zip(results, seconds, strict=True)]
            for i, detections in zip(members, results, strict=True):
                found[i] = detections
        return found

    def detect_closer(self, images_bgr: Sequence[Image]) -> list[Detections]:
        """Find small faces in one pass over each image as it is, whatever the options say of its size.

        Args:
            images_bgr: As for ``detect``, no larger than the networks can take.

        Returns:
            As ``detect``; large faces may be missing, or be found as their parts: ``merge`` knows which.
        """
        return [self._detect_at(1.0, [image])[0] for image in images_bgr]

    def _detect_at(self, scale: float, images_bgr: Sequence[Image]) -> list[Detections]:
        """The faces of images of one size at one scale."""
        source_hw = images_bgr[0].shape[:2]
        scaled_wh = (max(1, round(source_hw[1] * scale)), max(1, round(source_hw[0] * scale)))
        size = min(BATCH, max(1, BATCH_PIXELS // (scaled_wh[0] * scaled_wh[1])))
        found: list[Detections] = []
        for start in range(0, len(images_bgr), size):
            found += self._detect_batch(images_bgr[start : start + size], scaled_wh)
        return found

    def _detect_batch(self, images_bgr: Sequence[Image], scaled_wh: tuple[int, int]) -> list[Detections]:
        source_hw = images_bgr[0].shape[:2]
        batch = self._fill_batch(images_bgr, scaled_wh)
        raw = self._graph.run(batch)
        priors = prior_boxes(batch.shape[1:3], self._spec.strides, self._spec.prior_sizes)
        to_source = np.array([source_hw[1] / scaled_wh[0], source_hw[0] / scaled_wh[1]], np.float32)
        read = (self._read(raw, i, self.options.threshold) for i in range(len(images_bgr)))
        return [self._decode(proposals, priors, to_source) for proposals in read]

    def merge(self, first: Detections, second: Detections, scales: tuple[float, float]) -> Detections:
        """One face for what two passes say of it: what the one says that sees it at a good size.

        A face that fills the second pass beyond the network's largest prior comes out of it as eyes and mouths that
        look like faces.

        Args:
            first: Of the pass at the smaller scale, in pixels of the image.
            second: Of the other one, likewise, and as turned.
            scales: Of both passes: their pixels for one of the image.
        """
        if not len(first) and not len(second):
            return first
        largest = max(side for squares in self._spec.prior_sizes for side in squares)
        filling = (first.boxes[:, 2:] - first.boxes[:, :2]).max(axis=1, initial=0) * scales[1] > largest
        inside = shares_inside(second.boxes, first.boxes[filling]) > _PART_INSIDE
        parts: Mask = np.asarray((inside & (second.scores[:, None] < first.scores[filling])).any(axis=1))
        second = second[~parts]
        boxes, scores, landmarks = (
            np.concatenate(pair)
            for pair in (
                (first.boxes, second.boxes),
                (first.scores, second.scores),
                (first.landmarks, second.landmarks),
            )
        )
        kept = non_maximum_suppression(boxes, scores, self.options.iou_threshold)
        seen_px = (boxes[:, 2:] - boxes[:, :2]).max(axis=1).clip(1) * np.repeat(scales, (len(first), len(second)))
        misfit = np.abs(np.log(seen_px / seen_px.clip(*_PLACED_WELL_PX)))
        same = iou(boxes[kept], boxes) > self.options.iou_threshold
        placed = np.where(same, misfit, np.inf).argmin(axis=1)
        return Detections(boxes[placed], scores[kept], landmarks[placed], first.turn)

    def _fill_batch(self, images_bgr: Sequence[Image], scaled_wh: tuple[int, int]) -> Image:
        """(N, H, W, 3) uint8, H and W rounded up to the coarsest stride; padded with the mean, which becomes 0."""
        step = max(self._spec.strides)
        width, height = (-(-side // step) * step for side in scaled_wh)
        if len(images_bgr) == 1 and images_bgr[0].shape[:2] == (height, width):
            return np.ascontiguousarray(images_bgr[0])[np.newaxis]  # no copy
        batch = np.empty((len(images_bgr), height, width, 3), np.uint8)
        batch[:, scaled_wh[1] :] = batch[:, :, scaled_wh[0] :] = self._padding
        for slot, image in zip(batch[:, : scaled_wh[1], : scaled_wh[0]], images_bgr, strict=True):
            if (image.shape[1], image.shape[0]) == scaled_wh:
                slot[...] = image
            else:
                flags = cv2.INTER_AREA if max(scaled_wh) < max(image.shape) else cv2.INTER_LINEAR
                slot[...] = cv2.resize(image, scaled_wh, interpolation=flags)
        return batch

    def _decode(self, proposals: Proposals, priors: Floats, to_source: Floats) -> Detections:
        if len(proposals) == 0:
            return Detections.empty()
        if len(proposals) > _MOST_PROPOSALS:
            proposals = proposals[np.argpartition(-proposals.scores, _MOST_PROPOSALS)[:_MOST_PROPOSALS]]
        boxes = decode_boxes(proposals.boxes, priors[proposals.rows], self._spec.variances)
        kept = non_maximum_suppression(boxes, proposals.scores, self.options.iou_threshold)
        landmarks = decode_landmarks(proposals.landmarks, priors[proposals.rows], self._spec.variances)
        agreed = average_landmarks(boxes[kept], boxes, proposals.scores, landmarks)
        return Detections(boxes[kept] * np.tile(to_source, 2), proposals.scores[kept], agreed * to_source)


@lru_cache(maxsize=16)
def prior_boxes(canvas_hw: tuple[int, int], strides: tuple[int, ...], sizes: tuple[tuple[int, ...], ...]) -> Floats:
    """The grid of prior boxes of a canvas, cached because a video asks for the same one at every frame.

    Args:
        canvas_hw: Height and width in pixels, multiples of every stride.
        strides: Pixels between centres, one a pyramid level.
        sizes: Sides of the squares in pixels, one tuple a level.

    Returns:
        (A, 4) float32, read-only: centre x, centre y, width, height in pixels; level by level, row by row, and all
        sizes of a cell together, which is the order of the network's outputs.
    """
    levels = []
    for stride, squares in zip(strides, sizes, strict=True):
        rows, columns = canvas_hw[0] // stride, canvas_hw[1] // stride
        grid = np.empty((rows, columns, len(squares), 4), np.float32)
        grid[..., 0] = ((np.arange(columns) + 0.5) * stride)[None, :, None]
        grid[..., 1] = ((np.arange(rows) + 0.5) * stride)[:, None, None]
        grid[..., 2] = grid[..., 3] = np.array(squares)
        levels.append(grid.reshape(-1, 4))
    priors = np.concatenate(levels)
    priors.flags.writeable = False
    return priors


def decode_boxes(deltas: Floats, priors: Floats, variances: tuple[float, float]) -> Floats:
    """Move and stretch priors by the network's box deltas (SSD, eq. 2 inverted).

    Args:
        deltas: (K, 4) float32.
        priors: (K, 4) float32, centre and size.
        variances: Scale of the centre and of the size deltas.

    Returns:
        (K, 4) float32 xyxy in the priors' pixels.
    """
    centres = priors[:, :2] + deltas[:, :2] * variances[0] * priors[:, 2:]
    halves = priors[:, 2:] * np.exp(deltas[:, 2:] * variances[1]) / 2
    return np.asarray(np.concatenate([centres - halves, centres + halves], axis=1), np.float32)


def decode_landmarks(deltas: Floats, priors: Floats, variances: tuple[float, float]) -> Floats:
    """Place the five landmarks relative to their priors.

    Args:
        deltas: (K, 10) float32, x and y of the five points in turn.
        priors: (K, 4) float32, centre and size.
        variances: Scale of the centre and of the size deltas; points use the first.

    Returns:
        (K, 5, 2) float32 in the priors' pixels.
    """
    offsets = deltas.reshape(-1, 5, 2) * variances[0] * priors[:, None, 2:]
    return np.asarray(priors[:, None, :2] + offsets, np.float32)


def average_landmarks(kept: Floats, boxes: Floats, scores: Floats, landmarks: Floats) -> Floats:
    """The landmarks of faces as the mean of what all boxes say that lie on them, each as much as it is sure.

    Some 40 priors find the same face, and their errors differ: what suppression would throw away makes the landmarks
    of the surest one better by a sixth, at no run of the network (``docs/adr/0051-landmarks-and-scales.md``).

    Args:
        kept: (N, 4) float32 xyxy, the boxes of the faces, each of them among ``boxes``.
        boxes: (K, 4) float32 xyxy.
        scores: (K,) float32, above 0.
        landmarks: (K, 5, 2) float32.

    Returns:
        (N, 5, 2) float32; nothing for no face.
    """
    weights = np.where(iou(kept, boxes) >= _SAME_FACE, scores, 0)
    means = weights @ landmarks.reshape(len(landmarks), -1) / weights.sum(axis=1, keepdims=True)
    return np.asarray(means.reshape(-1, 5, 2), np.float32)
