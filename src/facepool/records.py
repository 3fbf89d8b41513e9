"""Recognized faces and events as records: what programs get from the command line, the web and the outlets."""

from pathlib import Path

from facepool.recognize.events import Event, LiveView
from facepool.recognize.pictures import RecognizedFaces
from facepool.types import Decision, Detections, Frame

UNDECIDED = "undecided"
"""The reason of a face of a video that was not looked at often enough yet."""


def face_records(frame: Frame, faces: RecognizedFaces, *, say_when_empty: bool) -> list[dict[str, object]]:
    """One record a face; for a frame without a face one that says so, if asked for, else none."""
    if len(faces) == 0:
        return [_where(frame) | _nothing("no_face")] if say_when_empty else []
    return [
        _where(frame) | _box(faces.detections, row) | _decided(decision) | {"reason": decision.reason}
        for row, decision in enumerate(faces.decisions)
    ]


def live_records(frame: Frame, view: LiveView) -> list[dict[str, object]]:
    """One record a face of a frame of something that moves; the same fields, and the track."""
    records = []
    for row, (track, shown, tentative) in enumerate(zip(view.track_ids, view.decisions, view.tentative, strict=True)):
        decided = _decided(shown or tentative)
        if shown is None:
            decided["person"] = None
        records.append(
            _where(frame)
            | {"event": None, "track": int(track)}
            | _box(view.detections, row)
            | decided
            | {"reason": UNDECIDED if shown is None else shown.reason}
        )
    return records


def event_record(frame: Frame, event: Event, crop: Path | None = None) -> dict[str, object]:
    """One record for something that happened to a track.

    Args:
        frame: With which it happened.
        event: What happened.
        crop: Where its picture was kept, if it was.
    """
    return {
        "source": frame.source,
        "frame": frame.index,
        "time_s": round(event.time_s, 3),
        "event": event.kind,
        "track": event.track,
        "bbox": [round(edge, 1) for edge in event.bbox],
        "person": event.person,
        "previous": event.previous,
        "similarity": _rounded(event.similarity, 4),
        "threshold": _rounded(event.threshold, 4),
        "margin": _rounded(event.margin, 4),
        "frames": event.frames,
        "reason": event.reason,
        "crop": None if crop is None else str(crop),
    }


def _where(frame: Frame) -> dict[str, object]:
    return {"source": frame.source, "frame": frame.index, "time_s": _rounded(frame.time_s, 3)}


def _box(detections: Detections, row: int) -> dict[str, object]:
    return {
        "bbox": [round(float(edge), 1) for edge in detections.boxes[row]],
        "score": round(float(detections.scores[row]), 4),
    }


def _decided(decision: Decision | None) -> dict[str, object]:
    if decision is None:
        return dict.fromkeys(("person", "similarity", "threshold", "margin"))
    return {
        "person": decision.person,
        "similarity": _rounded(decision.similarity, 4),
        "threshold": round(decision.threshold, 4),
        "margin": _rounded(decision.margin, 4),
    }


def _nothing(reason: str) -> dict[str, object]:
    return dict.fromkeys(("bbox", "score", "person", "similarity", "threshold", "margin")) | {"reason": reason}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
