"""Small pictures of the views that a scan captures, for its report; kept in memory only, and only when asked for."""

from collections import deque
from collections.abc import Mapping

import numpy as np

from facepool.enroll.ring import Slot
from facepool.enroll.scan import Scan
from facepool.types import Floats, Frame, Image

_MARGIN = 1.25
_LARGEST = 256
_COLLECTS = frozenset({"collecting", "moving", "another_face", "taken"})
"""Outcomes of frames that the frontal view may come from."""


class Thumbnails:
    """The face of each place of the ring, replaced as the scan replaces its view.

    Args:
        frontal_frames: How many frames in a row make the frontal reference; the best of them is the frontal view.
    """

    def __init__(self, frontal_frames: int) -> None:
        self._by_slot: dict[Slot | None, Image] = {}
        self._row: deque[tuple[float, Image]] = deque(maxlen=frontal_frames)

    @property
    def by_slot(self) -> Mapping[Slot | None, Image]:
        """Square faces by place, None for the one straight ahead."""
        return self._by_slot

    def add(self, frame: Frame, scan: Scan) -> None:
        """Keep the face of a frame if the scan has kept its view."""
        box, row = scan.box, scan.row
        if box is None or row is None:
            return
        if scan.turn is None:
            if scan.outcome in _COLLECTS:
                self._row.append((float(scan.faces.measures.overall[row]), _square(frame.image_bgr, box)))
            if scan.outcome == "taken":
                self._by_slot[None] = max(self._row, key=lambda seen: seen[0])[1]
        elif scan.outcome in {"taken", "better"}:
            self._by_slot[scan.turn.slot] = _square(frame.image_bgr, box)


def _square(image_bgr: Image, box: Floats) -> Image:
    """The face with a little of what is around it, (S, S, 3), as far as the picture reaches."""
    x1, y1, x2, y2 = (float(edge) for edge in box)
    side = _MARGIN * max(x2 - x1, y2 - y1)
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    size = round(side)
    part = image_bgr[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)]
    step = max(1, size // _LARGEST)
    return np.ascontiguousarray(part[::step, ::step])
