"""Recognized faces as labels for people."""

from facepool.overlay.painter import Label
from facepool.overlay.text import before_number
from facepool.recognize.events import LiveView
from facepool.recognize.pictures import RecognizedFaces
from facepool.types import Decision, Detections

UNKNOWN_LABEL = "None"
"""What the red box of the original project says."""


def label_of(faces: RecognizedFaces, row: int) -> Label:
    """A green box with name and similarity, or a red one with ``None``."""
    return _label(faces.detections, row, faces.decisions[row])


def live_labels(view: LiveView) -> list[Label]:
    """The same for the faces that were told of; a white box for one that is not decided yet."""
    return [
        Label(_edges(view.detections, row)) if decision is None else _label(view.detections, row, decision)
        for row, decision in enumerate(view.decisions)
        if view.told[row]
    ]


def _label(detections: Detections, row: int, decision: Decision) -> Label:
    if decision.person is None:
        return Label(_edges(detections, row), UNKNOWN_LABEL, "unknown")
    return Label(_edges(detections, row), f"{before_number(decision.person)} {decision.similarity:.2f}", "known")


def _edges(detections: Detections, row: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(edge) for edge in detections.boxes[row])
    return x1, y1, x2, y2
