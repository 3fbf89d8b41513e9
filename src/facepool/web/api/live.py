"""``/v1/live``: a browser sends what its camera sees, and gets who is there.

Frames are sent as ``facepool.web.api.websocket`` says. The answer to each::

    {"frame": 7, "time_s": 12.5, "size": [640, 480], "faces": [...], "events": [...], "took_ms": 31.0}

Boxes are in pixels of the frame. Faces that are not ``told`` are not confirmed yet, and may be none; ``reason`` is
``undecided`` for one that was not looked at often enough yet. A frame that was given up for a newer one gets
``{"frame": 7, "dropped": true}``, one that cannot be used
``{"type": "error", "frame": 7, "code": ..., "message": ...}``.
"""

import time
from functools import partial

from fastapi import APIRouter, WebSocket

from facepool.errors import FacepoolError
from facepool.recognize.events import LiveView
from facepool.recognize.live import LiveSession
from facepool.records import event_record, live_records
from facepool.types import Frame
from facepool.web.api.websocket import Message, SentFrame, converse, dropped, error_message
from facepool.web.middleware.authentication import Recognizing
from facepool.web.problems import ServerBusy
from facepool.web.services import CurrentServices, Services, live_recognizer
from facepool.web.services.engine import FRAME_LIMITS, decode_image

router = APIRouter(tags=["live"])

_SOURCE = "browser"
_FACE_FIELDS = ("track", "bbox", "score", "person", "person_id", "similarity", "threshold", "margin", "reason")
_EVENT_FIELDS = ("event", "track", "person", "person_id", "previous", "similarity", "threshold", "reason", "time_s")


@router.websocket("/v1/live")
async def live(socket: WebSocket, services: CurrentServices, caller: Recognizing) -> None:
    """Recognize the people before a browser's camera."""
    await converse(socket, services, caller, "recognize", lambda: _BrowserCamera(services))


class _BrowserCamera:
    """One browser's camera."""

    over = False

    def __init__(self, services: Services) -> None:
        self._pool = services.pool.open()
        recognizer = live_recognizer(services.engine, services.tuning, self._pool)
        self._session = LiveSession(recognizer, partial(services.activity.emit, _SOURCE))
        self._now_s = 0.0

    def take(self, item: SentFrame | str) -> Message | None:
        if isinstance(item, str):
            return None
        began_s = time.perf_counter()
        try:
            image_bgr = decode_image(item.picture, FRAME_LIMITS)
            self._now_s = max(self._now_s, item.time_s)  # time does not go back, whatever a client says
            frame = Frame(image_bgr, _SOURCE, item.number, self._now_s)
            view = self._session.look(frame)
        except ServerBusy:
            return dropped(item.number)
        except FacepoolError as error:
            return error_message(error) | {"frame": item.number}
        return _view_message(frame, view) | {"took_ms": round(1000 * (time.perf_counter() - began_s), 1)}

    def close(self) -> None:
        self._session.close()
        self._pool.close()


def _view_message(frame: Frame, view: LiveView) -> Message:
    height, width = frame.image_bgr.shape[:2]
    return {
        "frame": frame.index,
        "time_s": view.time_s,
        "size": [width, height],
        "faces": [
            {name: record[name] for name in _FACE_FIELDS} | {"told": bool(confirmed)}
            for record, confirmed in zip(live_records(frame, view), view.confirmed, strict=True)
        ],
        "events": [{name: event_record(frame, event)[name] for name in _EVENT_FIELDS} for event in view.events],
    }
