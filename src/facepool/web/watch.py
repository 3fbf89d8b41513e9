"""What a browser's camera shows, as the page gets it: each frame gives one message."""

from facepool.recognize.events import LiveView
from facepool.records import event_record, live_records
from facepool.types import Frame

Message = dict[str, object]
_FACE_FIELDS = ("track", "bbox", "score", "person", "similarity", "threshold", "margin", "reason")
_EVENT_FIELDS = ("event", "track", "person", "previous", "similarity", "threshold", "reason", "time_s")


def live_message(frame: Frame, view: LiveView) -> Message:
    """Who is in a frame, and what happened with it."""
    records = live_records(frame, view)
    events = [event_record(frame, event) for event in view.events]
    height, width = frame.image_bgr.shape[:2]
    return {
        "frame": frame.index,
        "time_s": view.time_s,
        "size": [width, height],
        "faces": [
            {name: record[name] for name in _FACE_FIELDS} | {"told": bool(told)}
            for record, told in zip(records, view.told, strict=True)
        ],
        "events": [{name: record[name] for name in _EVENT_FIELDS} for record in events],
    }
