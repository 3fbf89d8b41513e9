"""A scan as its window shows it: what one frame did, turned into ring, hint and keys."""

import math
import time
from dataclasses import dataclass

from facepool.enroll.ring import AMPLITUDES
from facepool.enroll.scan import Scan
from facepool.overlay import Canvas, Painter, RingPainter, RingPart, RingView
from facepool.types import Image

_OTHER_KEYS = "Ctrl-C discards · M mirrors · F full screen"
_REFUSAL_S = 2.5


@dataclass(frozen=True, slots=True)
class Step:
    """What one frame did to a scan.

    Attributes:
        scan: As the pipeline tells it.
        can_finish: Whether what there is could be stored.
    """

    scan: Scan
    can_finish: bool


class ScanScreen:
    """Draws the enrollment screen.

    Args:
        title: Stands at the top left: whose scan it is.
        enough: 0..1, the share of directions from which on the person may finish.
        painter: Draws the text.
    """

    def __init__(self, title: str, enough: float, painter: Painter) -> None:
        self._title = title
        self._enough = enough
        self._ring = RingPainter(painter)
        self._refusal = ""
        self._refused_until_s = 0.0

    def refuse(self, scan: Scan) -> None:
        """Say for a moment why the scan cannot be finished yet."""
        self._refusal = refusal_words(scan, self._enough)
        self._refused_until_s = time.monotonic() + _REFUSAL_S

    def draw(self, canvas: Canvas, step: Step) -> Image:
        """The screen for one frame and the newest step, which may be of an earlier frame."""
        refused = time.monotonic() < self._refused_until_s and not step.can_finish
        hint = self._refusal if refused else sentence(step.scan.hint.text)
        view = ring_view(step.scan, canvas, title=self._title, hint=hint, keys=keys_line(can_finish=step.can_finish))
        return self._ring.draw(canvas.image_bgr, view, mirrored=canvas.mirrored)


def ring_view(scan: Scan, canvas: Canvas, *, title: str, hint: str, keys: str) -> RingView:
    """What to draw of a scan; the face's box as it lies on the canvas."""
    near, far = (
        {place.slot.direction: place for place in scan.bins if place.slot.amplitude == ring} for ring in AMPLITUDES
    )
    box = scan.box
    turn = scan.turn if scan.turn is not None and scan.turn.zone != "frontal" else None
    return RingView(
        phase=scan.phase,
        parts=tuple(RingPart(near[way].angle_deg, near[way].quality, far[way].quality) for way in sorted(near)),
        hint=hint,
        person=title,
        keys="" if scan.phase == "done" else keys,
        progress=progress(scan),
        box=None if box is None else canvas.place((float(box[0]), float(box[1]), float(box[2]), float(box[3]))),
        heading_deg=None if turn is None else turn.angle_deg,
        reach=0.0 if turn is None else turn.reach,
        target_deg=scan.hint.angle_deg,
    )


def progress(scan: Scan) -> float:
    """0..1: of the frontal reference while that is made, then of the ring."""
    return scan.steady if scan.phase == "frontal" or scan.steady < 1 else scan.coverage


def captured(scan: Scan) -> tuple[int, int]:
    """How many directions are captured, and of how many."""
    ways = {place.slot.direction for place in scan.bins}
    return len({place.slot.direction for place in scan.bins if place.quality is not None}), len(ways)


def keys_line(*, can_finish: bool) -> str:
    """What the keys do now."""
    return f"Enter or Q saves · {_OTHER_KEYS}" if can_finish else f"Q ends · {_OTHER_KEYS}"


def refusal_words(scan: Scan, enough: float) -> str:
    """Why the scan cannot be finished yet."""
    if scan.steady < 1:
        return "Not yet: look straight at the camera first"
    done, count = captured(scan)
    return f"Not yet: {done} of {count} directions, {math.ceil(enough * count)} are needed"


def sentence(text: str) -> str:
    """With a capital letter in front."""
    return text[:1].upper() + text[1:]
