from .challenge import challenge_labels, challenge_view, mark_challenges
from .coverage import COLUMNS, coverage_advice, coverage_picture, coverage_rows, coverage_summary, coverage_title
from .painter import (
    UNKNOWN_LABEL,
    Canvas,
    Label,
    Painter,
    Style,
    advice_words,
    challenge_words,
    contact_sheet,
    label_of,
    live_labels,
    mirror,
    outcome_words,
)
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
    "advice_words",
    "challenge_labels",
    "challenge_view",
    "challenge_words",
    "contact_sheet",
    "coverage_advice",
    "coverage_picture",
    "coverage_rows",
    "coverage_summary",
    "coverage_title",
    "label_of",
    "live_labels",
    "mark_challenges",
    "mirror",
    "outcome_words",
]
