"""What people see: boxes and names on pictures, the screen of a scan, and pictures side by side."""

from facepool.overlay.canvas import Canvas
from facepool.overlay.coverage import coverage_picture
from facepool.overlay.coverage_words import COLUMNS, coverage_advice, coverage_rows, coverage_summary, coverage_title
from facepool.overlay.environment import environment
from facepool.overlay.painter import Label, Painter, Style, mirror
from facepool.overlay.presence import PresencePanel, Present
from facepool.overlay.ring import RingPainter, RingPart, RingPhase, RingView
from facepool.overlay.sheet import contact_sheet
from facepool.overlay.text import before_number

__all__ = [
    "COLUMNS",
    "Canvas",
    "Label",
    "Painter",
    "PresencePanel",
    "Present",
    "RingPainter",
    "RingPart",
    "RingPhase",
    "RingView",
    "Style",
    "before_number",
    "contact_sheet",
    "coverage_advice",
    "coverage_picture",
    "coverage_rows",
    "coverage_summary",
    "coverage_title",
    "environment",
    "mirror",
]
