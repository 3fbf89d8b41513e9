from .coverage import COLUMNS, coverage_advice, coverage_picture, coverage_rows, coverage_summary, coverage_title
from .painter import UNKNOWN_LABEL, Canvas, Label, Painter, Style, contact_sheet, label_of, live_labels, mirror
from .presence import PresencePanel, Present
from .ring import RingPainter, RingView

__all__ = [
    "COLUMNS",
    "UNKNOWN_LABEL",
    "Canvas",
    "Label",
    "Painter",
    "PresencePanel",
    "Present",
    "RingPainter",
    "RingView",
    "Style",
    "contact_sheet",
    "coverage_advice",
    "coverage_picture",
    "coverage_rows",
    "coverage_summary",
    "coverage_title",
    "label_of",
    "live_labels",
    "mirror",
]
