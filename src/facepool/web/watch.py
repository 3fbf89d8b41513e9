"""What a browser's camera shows, as the page is told of it: each frame gives one message."""

from dataclasses import replace

import numpy as np

from facepool.recognize.events import Event
from facepool.recognize.live import LiveRecognizer
from facepool.records import event_record, live_records
from facepool.types import Frame

Message = dict[str, object]
_FACE_FIELDS = ("track", "bbox", "score", "person", "similarity", "threshold", "margin", "reason")
_NO_PICTURE = np.empty((0, 0, 3), np.uint8)
_EVENT_FIELDS = ("event", "track", "person", "previous", "similarity", "threshold", "reason", "time_s")


class BrowserWatch:
    """Recognizes the people before one browser's camera.

    Args:
        recognizer: Fresh: it remembers who is in view.
    """

    def __init__(self, recognizer: LiveRecognizer) -> None:
        self._recognizer = recognizer
        self._last: Frame | None = None

    def look(self, frame: Frame) -> tuple[Message, tuple[Event, ...]]:
        """Who is in the next frame, for the page, and what happened."""
        view = self._recognizer.process(frame)
        self._last = replace(frame, image_bgr=_NO_PICTURE)  # what it showed is not kept for as long as nobody moves
        records = live_records(frame, view)
        height, width = frame.image_bgr.shape[:2]
        message: Message = {
            "frame": frame.index,
            "time_s": view.time_s,
            "size": [width, height],
            "faces": [
                {name: record[name] for name in _FACE_FIELDS} | {"told": bool(told)}
                for record, told in zip(records, view.told, strict=True)
            ],
            "events": [_told(frame, event) for event in view.events],
        }
        return message, view.events

    def finish(self) -> tuple[Frame, tuple[Event, ...]] | None:
        """Nobody looks any more: everybody is lost.

        Returns:
            The last frame, without its picture, and what happened; None before the first frame.
        """
        if self._last is None:
            return None
        return self._last, self._recognizer.finish(self._last.time_s or 0.0)


def _told(frame: Frame, event: Event) -> Message:
    record = event_record(frame, event)
    return {name: record[name] for name in _EVENT_FIELDS}
