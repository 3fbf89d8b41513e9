"""``/v1/live``: a browser sends what its camera sees, and is told who is there.

Frames are sent as ``facepool.web.stream`` says. The answer to each::

    {"frame": 7, "time_s": 12.5, "size": [640, 480], "faces": [...], "events": [...], "took_ms": 31.0}

Boxes are in pixels of the frame. Faces that are not ``told`` of may be none; ``reason`` is ``undecided`` for one that
was not looked at often enough yet. A frame that was given up for a newer one gets ``{"frame": 7, "dropped": true}``,
one that cannot be used ``{"type": "error", "frame": 7, "code": ..., "message": ...}``.
"""

import time
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, WebSocket

from facepool.errors import FacepoolError
from facepool.recognize.live import LiveRecognizer, LiveSession
from facepool.types import Frame
from facepool.web.images import FRAME_LIMITS, decode_image
from facepool.web.own_thread import OwnThread
from facepool.web.problems import ServerBusy
from facepool.web.scan import Message, error_message
from facepool.web.services import Caller, CurrentServices, Services, requires
from facepool.web.standing import ENDED, SIGN_IN_AGAIN, Standing, share_of
from facepool.web.stream import FrameStream, SentFrame
from facepool.web.watch import live_message

router = APIRouter(tags=["live"])

_SOURCE = "browser"


@router.websocket("/v1/live")
async def live(
    socket: WebSocket, services: CurrentServices, caller: Annotated[Caller, Depends(requires("recognize"))]
) -> None:
    """Recognize whoever is before a browser's camera."""
    standing = Standing(socket, services.keys, "recognize")
    with services.limits.session(share_of(socket, caller)):
        async with OwnThread("facepool-live") as thread:
            watcher = await thread.do(_Watcher, services)
            try:
                await socket.accept()
                async with FrameStream(socket) as stream:
                    async for item in stream:
                        if not await standing.holds():
                            await stream.close(SIGN_IN_AGAIN, ENDED)
                        elif isinstance(item, SentFrame):
                            await stream.send(await thread.do(watcher.look, item))
            finally:
                await thread.finish(watcher.close)


class _Watcher:
    """One browser's camera, in a thread of its own."""

    def __init__(self, services: Services) -> None:
        self._pool = services.pool.open()
        options = services.settings.live_options()
        recognizer = LiveRecognizer(services.engine.analyzer, self._pool, services.policy, options=options)
        self._session = LiveSession(recognizer, partial(services.tell, _SOURCE))
        self._now_s = 0.0

    def look(self, sent: SentFrame) -> Message:
        began_s = time.perf_counter()
        try:
            image_bgr = decode_image(sent.picture, FRAME_LIMITS)
            self._now_s = max(self._now_s, sent.time_s)  # time does not go back, whatever a client says
            frame = Frame(image_bgr, _SOURCE, sent.number, self._now_s)
            view = self._session.look(frame)
        except ServerBusy:
            return {"frame": sent.number, "dropped": True}
        except FacepoolError as error:
            return error_message(error) | {"frame": sent.number}
        return live_message(frame, view) | {"took_ms": round(1000 * (time.perf_counter() - began_s), 1)}

    def close(self) -> None:
        self._session.close()
        self._pool.close()
