"""``/v1/enroll``: a browser sends what its camera sees, and is told how the guided scan of one person goes.

The first message is ``{"do": "start", "person": "Ada", "appearance": "", "partial": false}``. Then come frames, as
``facepool.web.stream`` says, each answered with ``{"type": "scan", "frame": 7, "phase": ..., "hint": ..., "ring":
[...], "can_finish": ...}``, and, at any time, commands:

- ``{"do": "redo", "direction": 3}`` gives up one direction of the ring, and goes on.
- ``{"do": "finish"}`` ends the scan: ``{"type": "report", "views": 13, "ring": [...], "look_alikes": [...]}``.
- ``{"do": "resolve", "person": "Bob", "as": "same"}``, or ``different``: the report again.
- ``{"do": "store"}`` saves: ``{"type": "stored", "person": "Ada", "stored": 13}``.

Whoever closes the connection before that has stored nothing. ``{"type": "error", "code": ..., "fatal": ...}`` says
what is wrong with a message, or, fatal, with the whole scan.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, WebSocket
from pydantic import TypeAdapter, ValidationError

from facepool.enroll.session import EnrollmentSession
from facepool.errors import FacepoolError, PersonFull
from facepool.types import Frame
from facepool.web.images import FRAME_LIMITS, decode_image
from facepool.web.own_thread import OwnThread
from facepool.web.problems import InvalidRequest, ServerBusy
from facepool.web.scan import BrowserScan, Command, Finish, Message, Redo, Resolve, Start, error_message
from facepool.web.services import Caller, CurrentServices, Services, requires
from facepool.web.standing import ENDED, SIGN_IN_AGAIN, Standing, share_of
from facepool.web.stream import FrameStream, SentFrame

router = APIRouter(tags=["enroll"])

_COMMANDS: TypeAdapter[Command] = TypeAdapter(Command)
_SOURCE = "browser"


@router.websocket("/v1/enroll")
async def enroll(
    socket: WebSocket, services: CurrentServices, caller: Annotated[Caller, Depends(requires("enroll"))]
) -> None:
    """Scan one person before a browser's camera."""
    standing = Standing(socket, services.keys, "enroll")
    with services.limits.session(share_of(socket, caller)):
        async with OwnThread("facepool-enroll") as thread:
            enroller = await thread.do(_Enroller, services, caller)
            try:
                await socket.accept()
                async with FrameStream(socket) as stream:
                    async for item in stream:
                        # A command may be the one that saves.
                        if not await standing.holds(at_once=isinstance(item, str)):
                            await stream.close(SIGN_IN_AGAIN, ENDED)
                            break
                        message = await thread.do(enroller.take, item)
                        if message is not None:
                            await stream.send(message)
                        if enroller.over:
                            await stream.close()
            finally:
                await thread.finish(enroller.close)


class _Enroller:
    """One browser's scan, in a thread of its own."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self._services = services
        self._caller = caller
        self._pool = services.pool.open()
        self._scan: BrowserScan | None = None
        self._reported = False
        self.over = False

    def take(self, item: SentFrame | str) -> Message | None:
        """What to answer to a frame or command; None: nothing."""
        try:
            if self._scan is None:
                self._scan = self._start(item)
                return None
            return self._look(self._scan, item) if isinstance(item, SentFrame) else self._obey(self._scan, item)
        except FacepoolError as error:
            self.over = self._scan is None
            answer = error_message(error) | {"fatal": self.over}
            return answer | {"frame": item.number} if isinstance(item, SentFrame) else answer

    def close(self) -> None:
        self._pool.close()

    def _start(self, item: SentFrame | str) -> BrowserScan:
        try:
            wanted = Start.model_validate_json(item if isinstance(item, str) else b"")
        except ValidationError as error:
            raise InvalidRequest("The first message has to say whom to scan", why=_why(error)) from error
        options = self._services.settings.enroll_options(
            appearance=wanted.appearance, partial=wanted.partial, force=wanted.force, keep_pictures=True
        )
        services = self._services
        session = EnrollmentSession(wanted.person, services.engine.analyzer, self._pool, services.policy, options)
        if session.room == 0:
            raise PersonFull(
                f"{session.person} has all the views of this look that are kept",
                why=f"they are {options.max_templates}",
                fix="Remove some first, or name another look",
            )
        return BrowserScan(session, self._pool)

    def _look(self, scan: BrowserScan, sent: SentFrame) -> Message:
        if self._reported:  # it was on its way when the scan was finished
            return {"frame": sent.number, "dropped": True}
        try:
            image_bgr = decode_image(sent.picture, FRAME_LIMITS)
            return scan.look(Frame(image_bgr, _SOURCE, sent.number, sent.time_s))
        except ServerBusy:
            return {"frame": sent.number, "dropped": True}

    def _obey(self, scan: BrowserScan, text: str) -> Message | None:
        try:
            command = _COMMANDS.validate_json(text)
        except ValidationError as error:
            raise InvalidRequest("A command cannot be understood", why=_why(error)) from error
        match command:
            case Redo():
                self._reported = False
                scan.redo(command.direction)
                return None
            case Finish():
                report = scan.report()
                self._reported = True
                return report
            case Resolve():
                return scan.resolve(command.person, command.resolution)
        stored = scan.store()
        self.over = True
        self._services.audit.note(self._caller, "registered", scan.person, f"{stored['stored']} views")
        return stored


def _why(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
