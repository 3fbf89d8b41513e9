"""Recognized faces as records for programs and as labels for people."""

from facepool.overlay import Label, before_number
from facepool.pipelines.recognize import RecognizedFaces
from facepool.types import Frame

UNKNOWN_LABEL = "None"
"""What the red box of the original project says."""


def face_records(frame: Frame, faces: RecognizedFaces, *, say_when_empty: bool) -> list[dict[str, object]]:
    """One record a face; for a frame without a face one that says so, if asked for, else none."""
    where: dict[str, object] = {"source": frame.source, "frame": frame.index, "time_s": _rounded(frame.time_s, 3)}
    if len(faces) == 0:
        return [where | _nothing("no_face")] if say_when_empty else []
    return [where | _face(faces, row) for row in range(len(faces))]


def label_of(faces: RecognizedFaces, row: int) -> Label:
    """A green box with name and similarity, or a red one with ``None``."""
    decision = faces.decisions[row]
    x1, y1, x2, y2 = (float(edge) for edge in faces.detections.boxes[row])
    if decision.person is None:
        return Label((x1, y1, x2, y2), UNKNOWN_LABEL, "unknown")
    return Label((x1, y1, x2, y2), f"{before_number(decision.person)} {decision.similarity:.2f}", "known")


def _face(faces: RecognizedFaces, row: int) -> dict[str, object]:
    decision = faces.decisions[row]
    return {
        "bbox": [round(float(edge), 1) for edge in faces.detections.boxes[row]],
        "score": round(float(faces.detections.scores[row]), 4),
        "person": decision.person,
        "similarity": _rounded(decision.similarity, 4),
        "threshold": round(decision.threshold, 4),
        "margin": _rounded(decision.margin, 4),
        "reason": decision.reason,
    }


def _nothing(reason: str) -> dict[str, object]:
    return {
        "bbox": None,
        "score": None,
        "person": None,
        "similarity": None,
        "threshold": None,
        "margin": None,
        "reason": reason,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
