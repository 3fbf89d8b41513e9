"""What a detector's network says of where faces may be: all of it for those, nothing for the others.

A picture of 640x480 has 12,600 priors, and most show none. Their scores are compared before the softmax, which over two
numbers is the logistic function of their difference; only of those that pass are probability, box and landmarks taken.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from facepool.models.catalog import HEAD_VALUES, RetinaFaceSpec
from facepool.types import Floats, Indices

_SLACK = 1e-3
"""By how much less than the threshold's a score may be before the softmax: more than rounding makes of it."""
_LEAST, _MOST = 1e-30, 1 - 1e-7
"""Thresholds beyond have no finite place before the softmax."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """Priors of one picture that may be faces, in the order of ``prior_boxes``.

    Attributes:
        rows: (K,) intp, which priors.
        scores: (K,) float32 in 0..1.
        boxes: (K, 4) float32 deltas.
        landmarks: (K, 10) float32 deltas.
    """

    rows: Indices
    scores: Floats
    boxes: Floats
    landmarks: Floats

    def __len__(self) -> int:
        """How many."""
        return len(self.rows)

    def __getitem__(self, chosen: Indices) -> "Proposals":
        """Some of them."""
        return Proposals(self.rows[chosen], self.scores[chosen], self.boxes[chosen], self.landmarks[chosen])


Read = Callable[[Sequence[Floats], int, float], Proposals]
"""Given what a graph put out, the number of a picture in the batch and the least score, what may be faces in it."""


def reader_of(outputs: Sequence[str], spec: RetinaFaceSpec) -> Read:
    """How to read a graph, by the names of its outputs: maps of its heads where it ends at them, else rows.

    Args:
        outputs: In the order in which the graph gives them.
        spec: Names the outputs of both kinds.
    """
    if set(spec.head_outputs) <= set(outputs):
        levels = [outputs.index(name) for name in spec.head_outputs]
        return lambda raw, number, least: read_maps([raw[level][number] for level in levels], least)
    boxes, scores, landmarks = (outputs.index(name) for name in spec.outputs)
    return lambda raw, number, least: read_rows(raw[boxes][number], raw[scores][number], raw[landmarks][number], least)


def read_rows(boxes: Floats, scores: Floats, landmarks: Floats, least: float) -> Proposals:
    """Read the rows of one picture: (A, 4), (A, 2) with the probability of a face in column 1, (A, 10)."""
    rows = np.flatnonzero(scores[:, 1] >= least)
    return Proposals(rows, scores[rows, 1], boxes[rows], landmarks[rows])


def read_maps(levels: Sequence[Floats], least: float) -> Proposals:
    """Read the maps of one picture: (P * 16, H, W) a level, laid out as ``HEAD_VALUES`` says."""
    found, before = [], 0
    for level in levels:
        found.append(_read_map(level, least, before))
        before += level[0].size * (len(level) // sum(HEAD_VALUES))
    columns = zip(*((part.rows, part.scores, part.boxes, part.landmarks) for part in found), strict=True)
    read = Proposals(*(np.concatenate(column) for column in columns))
    kept = np.flatnonzero(read.scores >= least)
    return read if len(kept) == len(read) else read[kept]


def _read_map(level: Floats, least: float, before: int) -> Proposals:
    squares = len(level) // sum(HEAD_VALUES)
    cells = level.reshape(len(level), -1)
    logits = cells[: 2 * squares].reshape(squares, 2, -1)
    margins = logits[:, 1] - logits[:, 0]
    square, cell = np.nonzero(margins >= _before_softmax(least) - _SLACK)
    rows = cell * squares + square
    order = np.argsort(rows)
    square, cell = square[order], cell[order]
    boxes, landmarks = (_values(cells, square, cell, squares, part) for part in (1, 2))
    scores = np.asarray(1 / (1 + np.exp(-margins[square, cell])), np.float32)
    return Proposals(before + rows[order], scores, boxes, landmarks)


def _values(cells: Floats, square: Indices, cell: Indices, squares: int, part: int) -> Floats:
    """(K, values): what a part of the channels says of some priors."""
    first, count = squares * sum(HEAD_VALUES[:part]), HEAD_VALUES[part]
    channels = first + square[:, None] * count + np.arange(count)
    return np.asarray(cells[channels, cell[:, None]], np.float32)


def _before_softmax(probability: float) -> float:
    tame = min(max(probability, _LEAST), _MOST)
    return math.log(tame / (1 - tame))
