from .canvas import Canvas
from .coverage import coverage_picture
from .coverage_words import COLUMNS, coverage_advice, coverage_rows, coverage_summary, coverage_title
from .environment import environment
from .labels import UNKNOWN_LABEL, label_of, live_labels
from .painter import Label, Painter, Style, mirror
from .presence import PresencePanel, Present
from .ring import RingPainter, RingPart, RingPhase, RingView
from .sheet import contact_sheet
from .text import before_number

__all__ = [
    "COLUMNS",
    "UNKNOWN_LABEL",
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
    "label_of",
    "live_labels",
    "mirror",
]
