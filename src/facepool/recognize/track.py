"""Tracking: which face of this frame is which face of the frames before.

Faces of one frame hardly overlap, and move little between frames next to their size, so the nearest predicted box
is the right one unless the picture itself jumps. What remains uncertain is said (``Tracks.sure``) instead of guessed:
a pipeline that has embeddings can verify it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from facepool.capture import Rhythm
from facepool.geometry import iou
from facepool.recognize.assignment import assign
from facepool.types import Detections, Floats, Indices, Mask

_LARGEST_RATIO = 1.8
"""A face whose side changes by more between two observations is another one."""
_MEMORY = 0.6
"""Share of the old velocity in the new one."""
_COAST_S = 0.25
"""A face that is not seen moves on for this long, then is expected where it got to."""
_MISSES = 2.5
"""So many usual intervals a face may be away at least: one that a single picture does not show is not gone."""


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """When a face is taken for one seen before. Distances are in sides of the face.

    Attributes:
        gap_s: A face not seen for longer is lost; when it comes back it is a new track. Where pictures come
            seldom, it is lost with the third that does not show it.
        reach: How far from where it is expected a face may turn up.
        reach_per_s: How much farther for each second since it was seen.
        sure_iou: Overlap of the expected and the found box from which on a link needs no verification.
        jump: A face this far from where it is expected has jumped; when most jump at once, the scene was cut.
        jump_per_s: How much farther for each second since it was seen.
    """

    gap_s: float = 1.0
    reach: float = 0.6
    reach_per_s: float = 2.0
    sure_iou: float = 0.65
    jump: float = 0.25
    jump_per_s: float = 2.5


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks of one frame, one row a detection, in the detections' order.

    Attributes:
        ids: (N,) intp, from 1, never used twice.
        hits: (N,) intp, frames in which the track was detected, this one included.
        ages_s: (N,) float32, seconds since the track began.
        sure: (N,) bool; False where the face might be another one in the same place: it jumped, or it was away.
            A new track is sure.
        lost: Tracks that ended, in no order.
        cut: Whether the scene was cut: then every track of before is lost.
    """

    ids: Indices
    hits: Indices
    ages_s: Floats
    sure: Mask
    lost: tuple[int, ...] = ()
    cut: bool = False

    def __len__(self) -> int:
        """Number of detections."""
        return len(self.ids)


class _Track:
    """One face over time: where it was seen, and how it moves."""

    __slots__ = ("began_s", "box", "carried", "hits", "id", "landmarks", "score", "seen_s", "velocity")

    def __init__(self, number: int, detections: Detections, row: int, time_s: float) -> None:
        self.id = number
        self.hits = 1
        self.began_s = time_s
        self.velocity = np.zeros(2)
        self._place(detections, row, time_s)

    def _place(self, detections: Detections, row: int, time_s: float) -> None:
        self.box = detections.boxes[row].astype(np.float64)
        self.landmarks = detections.landmarks[row]
        self.score = float(detections.scores[row])
        self.seen_s = time_s
        self.carried: Floats | None = None

    def see(self, detections: Detections, row: int, time_s: float) -> None:
        elapsed_s = time_s - self.seen_s
        before = self.box
        self._place(detections, row, time_s)
        if elapsed_s > 0:
            moved = (self.box - before).reshape(2, 2).mean(axis=0) / elapsed_s
            self.velocity = _MEMORY * self.velocity + (1 - _MEMORY) * moved
        self.hits += 1

    def carry(self, move: Floats, scale: float, time_s: float) -> None:
        """It was not looked at, but followed: its centre has moved, and it is so many times as large."""
        elapsed_s = time_s - self.seen_s
        centre = self.box.reshape(2, 2).mean(axis=0)
        self.box = _carried(self.box, move, scale)
        self.landmarks = np.asarray(centre + move + scale * (self.landmarks - centre), np.float32)
        self.seen_s = time_s
        if elapsed_s > 0:
            self.velocity = _MEMORY * self.velocity + (1 - _MEMORY) * move / elapsed_s

    def shift(self, time_s: float) -> Floats:
        """(2,) pixels that the face is expected to have moved since it was seen."""
        return np.asarray(self.velocity * np.clip(time_s - self.seen_s, 0, _COAST_S), np.float32)

    def box_at(self, time_s: float) -> Floats:
        if self.carried is not None:
            return self.carried
        return np.asarray(self.box + np.tile(self.shift(time_s), 2), np.float32)


class Tracker:
    """Gives the faces of successive frames stable numbers.

    Args:
        options: When a face is taken for one seen before.
        numbers: Where new ones come from, for several trackers whose numbers are to differ; by default from 1.
    """

    def __init__(self, options: TrackOptions | None = None, numbers: Iterator[int] | None = None) -> None:
        self.options = options or TrackOptions()
        self._numbers = numbers or count(1)
        self._tracks: list[_Track] = []
        self._last_s = -np.inf
        self._rhythm = Rhythm()

    @property
    def gap_s(self) -> float:
        """How long a face may be away now: as the options say, and longer where frames are few."""
        return max(self.options.gap_s, _MISSES * self._rhythm.interval_s)

    @property
    def sparse(self) -> bool:
        """Whether frames are so far apart that people change places between two of them, and no link is sure."""
        return self._rhythm.sparse

    def update(self, detections: Detections, time_s: float, *, same_picture: bool = True) -> Tracks:
        """Take in the faces of the next frame.

        Args:
            detections: N faces, in any order: it does not change which face gets which number.
            time_s: Seconds on any clock; a time before the last one is taken for the last one.
            same_picture: False where the picture changed as it does at a cut: then no link is sure.

        Returns:
            One row a detection; tracks can be lost in a frame without any.
        """
        time_s = self._forward(time_s)
        self._rhythm.look(time_s)
        lost = self._drop_gone(time_s)
        visible = self._visible()
        expected = _stack([track.box_at(time_s) for track in self._tracks])
        pairs = self._pairs(expected, detections.boxes, time_s)
        cut = self._is_cut(visible, pairs, detections, time_s)
        if cut:
            lost += [track.id for track in self._tracks]
            self._tracks, pairs, expected = [], [], _stack([])
        self._last_s = time_s
        tracks = self._link(detections, time_s, pairs, expected, lost, cut=cut)
        return tracks if same_picture else replace(tracks, sure=tracks.sure & (tracks.hits == 1))

    @property
    def interval_s(self) -> float:
        """Usual time between two frames, lately; 0 before the second."""
        return self._rhythm.interval_s

    @property
    def in_view(self) -> Floats:
        """(N, 4) boxes of the faces of the last frame, where they were in it, in the order of ``follow``."""
        return _stack([np.asarray(track.box, np.float32) for track in self._visible()])

    def expect(self, moves: Floats, scales: Floats, followed: Mask) -> None:
        """Say before ``update`` where the faces ``in_view`` are by what moved in the picture since the last frame.

        A face that was followed is taken for sure for the one that is found there, however long that frame ago.

        Args:
            moves: (N, 2) pixels by which their centres moved.
            scales: (N,) how many times as large they became.
            followed: (N,) whether that is known of each.
        """
        for track, move, scale, known in zip(self._visible(), moves, scales, followed, strict=True):
            track.carried = np.asarray(_carried(track.box, move, float(scale)), np.float32) if known else None

    def follow(self, moves: Floats, scales: Floats, time_s: float) -> tuple[Detections, Tracks]:
        """Take in a frame in which faces were not sought: those of the last one have moved.

        Args:
            moves: (N, 2) pixels by which the centres of the faces ``in_view`` moved.
            scales: (N,) how many times as large they became.
            time_s: Seconds on the clock of ``update``.
        """
        time_s = self._forward(time_s)
        self._rhythm.look(time_s)
        seen = self._visible()
        for track, move, scale in zip(seen, moves, scales, strict=True):
            track.carry(move, float(scale), time_s)
        self._last_s = time_s
        lost = tuple(self._drop_gone(time_s))
        if not seen:
            return Detections.empty(), _columns([], [], time_s, lost)
        detections = Detections(
            boxes=_stack([np.asarray(track.box, np.float32) for track in seen]),
            scores=np.array([track.score for track in seen], np.float32),
            landmarks=np.stack([track.landmarks for track in seen]).astype(np.float32),
        )
        return detections, _columns(seen, [True] * len(seen), time_s, lost)

    def forget(self) -> None:
        """Every track has ended: whoever is seen next is new. The numbers go on."""
        self._tracks = []

    def split(self, track_id: int) -> int:
        """Take a face for another one than so far: it goes on under a new number, which is returned.

        Raises:
            KeyError: There is no such track.
        """
        for track in self._tracks:
            if track.id == track_id:
                track.id = self._next_id()
                track.began_s, track.hits = track.seen_s, 1
                return track.id
        raise KeyError(track_id)

    def exchange(self, numbers: Mapping[int, int]) -> None:
        """Let faces that were taken for one another go on as the ones they are.

        Args:
            numbers: Of each track that is wrong the number that it should have; the same numbers on both sides.
        """
        pasts = {track.id: (track.id, track.began_s, track.hits) for track in self._tracks}
        for track in self._tracks:
            track.id, track.began_s, track.hits = pasts[numbers.get(track.id, track.id)]

    def _drop_gone(self, time_s: float) -> list[int]:
        """Numbers of the tracks that were away for too long, which end."""
        gone = [track.id for track in self._tracks if time_s - track.seen_s > self.gap_s]
        self._tracks = [track for track in self._tracks if track.id not in gone]
        return gone

    def _visible(self) -> list[_Track]:
        """Those that the last frame showed."""
        return [track for track in self._tracks if track.seen_s == self._last_s]

    def _forward(self, time_s: float) -> float:
        return max(time_s, self._last_s)

    def _next_id(self) -> int:
        return next(self._numbers)

    def _pairs(self, expected: Floats, boxes: Floats, time_s: float) -> list[tuple[int, int]]:
        """(track, row) of the faces that are the same, all of them together the best choice."""
        options = self.options
        unseen_s = np.array([time_s - track.seen_s for track in self._tracks], np.float32)
        reach = options.reach + options.reach_per_s * unseen_s
        distance = _distances(expected, boxes)
        ratio = np.exp(np.abs(np.log(_sides(expected)[:, None] / _sides(boxes)[None])))
        # In seconds, people come closer and go away.
        largest_ratio = _LARGEST_RATIO * np.maximum(1, unseen_s / options.gap_s)
        possible = (distance < reach[:, None]) & (ratio < largest_ratio[:, None])
        closeness = 1 - distance / reach[:, None]
        return assign(np.where(possible, iou(expected, boxes) + closeness / 2, 0))

    def _is_cut(
        self, visible: list[_Track], pairs: list[tuple[int, int]], detections: Detections, time_s: float
    ) -> bool:
        """Whether most faces jumped at once, and not all the same way, as they do when the camera moves.

        Of sparse frames boxes cannot tell.
        """
        if len(visible) < 2 or not len(detections) or self.sparse:
            return False
        row_of = {self._tracks[index].id: row for index, row in pairs}
        linked = [track for track in visible if track.id in row_of]
        expected = _stack([track.box_at(time_s) for track in linked])
        found = detections.boxes[[row_of[track.id] for track in linked]].reshape(-1, 4)
        moves = (_centres(found) - _centres(expected)) / _sides(expected)[:, None]
        elapsed_s = time_s - self._last_s
        limit = self.options.jump + self.options.jump_per_s * elapsed_s
        jumped = np.count_nonzero(np.linalg.norm(moves, axis=1) > limit) + len(visible) - len(linked)
        if jumped * 2 < len(visible) or jumped < 2:
            return False
        together = len(linked) >= 2 and np.abs(moves - np.median(moves, axis=0)).max() < self.options.jump
        return not together

    def _link(
        self,
        detections: Detections,
        time_s: float,
        pairs: list[tuple[int, int]],
        expected: Floats,
        lost: list[int],
        *,
        cut: bool,
    ) -> Tracks:
        tracks: dict[int, _Track] = {}
        sure = [True] * len(detections)
        overlap = iou(expected, detections.boxes)
        for index, row in pairs:
            track = self._tracks[index]
            known = track.carried is not None or time_s - track.seen_s <= _COAST_S
            sure[row] = known and bool(overlap[index, row] >= self.options.sure_iou)
            track.see(detections, row, time_s)
            tracks[row] = track
        # From left to right, so that the order of the detections does not matter.
        for row in np.lexsort(detections.boxes.T[::-1]):
            if int(row) not in tracks:
                tracks[int(row)] = _Track(self._next_id(), detections, int(row), time_s)
                self._tracks.append(tracks[int(row)])
        return _columns([tracks[row] for row in range(len(detections))], sure, time_s, tuple(lost), cut=cut)


def _columns(
    tracks: list[_Track], sure: list[bool], time_s: float, lost: tuple[int, ...] = (), *, cut: bool = False
) -> Tracks:
    return Tracks(
        ids=np.array([track.id for track in tracks], np.intp),
        hits=np.array([track.hits for track in tracks], np.intp),
        ages_s=np.array([time_s - track.began_s for track in tracks], np.float32),
        sure=np.array(sure, np.bool_),
        lost=lost,
        cut=cut,
    )


def _carried(box: Floats, move: Floats, scale: float) -> Floats:
    """A box, (4,), whose centre has moved, and that is so many times as large."""
    corners = box.reshape(2, 2)
    centre = corners.mean(axis=0)
    return np.asarray(centre + move + scale * (corners - centre)).reshape(4)


def _stack(boxes: list[Floats]) -> Floats:
    return np.array(boxes, np.float32).reshape(-1, 4)


def _centres(boxes: Floats) -> Floats:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)


def _sides(boxes: Floats) -> Floats:
    return np.asarray(np.maximum(np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)), 1))


def _distances(expected: Floats, boxes: Floats) -> Floats:
    """(A, B) distances of centres in sides of the expected faces."""
    apart = np.linalg.norm(_centres(expected)[:, None] - _centres(boxes)[None], axis=2)
    return np.asarray(apart / _sides(expected)[:, None], np.float32)
