"""Where labels go so that they cover neither a face nor each other: pure geometry, in whole pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Size = tuple[int, int]
"""Width, height."""
Rect = tuple[int, int, int, int]
"""x, y, width, height."""
Edges = tuple[int, int, int, int]
"""Left, top, right, bottom."""
Point = tuple[int, int]

_CORNER_OF_FACE = 0.3
"""A plate inside its own box may be this share of the box's height: a face leaves the box's corners free."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A label that looks for a place.

    Attributes:
        box: Of the face, with its outline.
        sizes: Of the plate, that of the fullest text first. A width of 0 says that the label may be left out.
    """

    box: Edges
    sizes: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a label goes.

    Attributes:
        choice: Which of its sizes.
        x: Of the plate's left edge.
        y: Of its top edge.
    """

    choice: int
    x: int
    y: int


def arrange(wanted: Sequence[Wanted], room_wh: Size, taken: Sequence[Rect] = ()) -> list[Place | None]:
    """Find a place for each label: with the fullest text that covers no face, no other label and nothing taken.

    The shortest texts are placed first, so that nobody's long name takes the place of a neighbour's number; then each
    grows as far as there is room. A label without any free place goes where it covers least, beside or in its own box.

    Args:
        wanted: In the order in which they choose.
        room_wh: Of the picture.
        taken: Parts of the picture that are covered already.

    Returns:
        One entry a label; None: it is left out, because its sizes allow it.
    """
    layout = _Layout(wanted, room_wh, taken)
    for row, one in enumerate(wanted):
        layout.put(row, [len(one.sizes) - 1])
    for row, one in enumerate(wanted):
        layout.put(row, range(len(one.sizes)))
    for row, one in enumerate(wanted):
        if layout.places[row] is None and one.sizes[-1][0] > 0:
            layout.squeeze_in(row)
    return layout.places


class _Layout:
    """What covers what while labels are placed; edges are (N, 4), left, top, right, bottom."""

    def __init__(self, wanted: Sequence[Wanted], room_wh: Size, taken: Sequence[Rect]) -> None:
        self.places: list[Place | None] = [None] * len(wanted)
        self._wanted = wanted
        self._room_wh = room_wh
        self._faces = _edges([one.box for one in wanted])
        self._taken = _edges([(x, y, x + width, y + height) for x, y, width, height in taken])
        self._plates = np.full((len(wanted), 4), -1, np.int64)  # outside every picture: not placed yet

    def put(self, row: int, choices: Sequence[int]) -> None:
        """Place a label with the first of the choices that finds room; else it stays as it is."""
        one = self._wanted[row]
        for choice in choices:
            size = one.sizes[choice]
            place = next(self._free(row, size), None) if size[0] > 0 else None
            if place is not None:
                self._set(row, choice, place)
                return

    def squeeze_in(self, row: int) -> None:
        """Place a label with its shortest text where it covers least."""
        one = self._wanted[row]
        size = one.sizes[-1]
        covered = np.concatenate([self._faces, self._taken, self._others(row)])
        possible = [*_beside(one.box, size, self._room_wh), *_inside(one.box, size, self._room_wh)]
        self._set(row, len(one.sizes) - 1, min(possible, key=lambda at: _overlap(at, size, covered), default=(0, 0)))

    def _free(self, row: int, size: Size) -> Iterator[Point]:
        box = self._wanted[row].box
        labels = np.concatenate([self._taken, self._others(row)])
        everything = np.concatenate([self._faces, labels])
        yield from (at for at in _beside(box, size, self._room_wh) if not _overlap(at, size, everything))
        if size[1] <= _CORNER_OF_FACE * (box[3] - box[1]):
            neighbours = np.concatenate([np.delete(self._faces, row, axis=0), labels])
            yield from (at for at in _inside(box, size, self._room_wh) if not _overlap(at, size, neighbours))

    def _others(self, row: int) -> npt.NDArray[np.int64]:
        return np.delete(self._plates, row, axis=0)

    def _set(self, row: int, choice: int, at: Point) -> None:
        width, height = self._wanted[row].sizes[choice]
        self.places[row] = Place(choice, *at)
        self._plates[row] = (*at, at[0] + width, at[1] + height)


def _edges(rows: Sequence[Edges]) -> npt.NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(-1, 4)


def _beside(box: Edges, size: Size, room_wh: Size) -> Iterator[Point]:
    """Above, below, then at the sides; wholly in the picture, moved along the box's edge if need be."""
    (left, top, right, bottom), (width, height) = box, size
    most_x, most_y = max(room_wh[0] - width, 0), max(room_wh[1] - height, 0)
    for x in (left, right - width, (left + right - width) // 2):
        yield from ((min(max(x, 0), most_x), y) for y in (top - height, bottom) if 0 <= y <= most_y)
    for x in (right, left - width):
        if 0 <= x <= most_x:
            yield from ((x, min(max(y, 0), most_y)) for y in (top, bottom - height))


def _inside(box: Edges, size: Size, room_wh: Size) -> Iterator[Point]:
    """At the corners of the box."""
    (left, top, right, bottom), (width, height) = box, size
    most_x, most_y = max(room_wh[0] - width, 0), max(room_wh[1] - height, 0)
    for y in (top, bottom - height):
        if 0 <= y <= most_y:
            yield from ((min(max(x, 0), most_x), y) for x in (left, right - width))


def _overlap(at: Point, size: Size, edges: npt.NDArray[np.int64]) -> int:
    """How many pixels of the rectangles a plate covers."""
    (x, y), (width, height) = at, size
    across = np.minimum(edges[:, 2], x + width) - np.maximum(edges[:, 0], x)
    down = np.minimum(edges[:, 3], y + height) - np.maximum(edges[:, 1], y)
    return int((np.maximum(across, 0) * np.maximum(down, 0)).sum())
