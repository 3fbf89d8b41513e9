"""``/v1/liveness``: somebody shows that they are there, by turning the head as the server asks, one way after another.

Over the WebSocket, the first message is ``{"do": "start", "partial": false}``, and is answered with ``{"type":
"challenge", "id": ..., "steps": 3, "partial": false, "expires_at": ...}``. Then come frames, as
``facepool.web.api.live`` says, each answered with ``{"type": "liveness", "frame": 7, "phase": "turn", "hint": {"code":
..., "text": ..., "angle_deg": 90.0}, "step": 1, "steps": 3, ...}``. Nobody is told a direction before the one before it
was followed. At the end stands ``{"type": "result", "frame": 93, "liveness": {...}, "meaning": ..., "liveness_token":
...}``, after which the server closes the connection; ``{"do": "stop"}`` gives up, as does who sends nothing for ten
seconds. Times are those of the server: a frame counts when it comes.

Without WebSockets, ``POST /v1/liveness`` begins, and ``POST /v1/liveness/{id}/frames`` takes frames, several at once
if need be, at least every two seconds.

The token stands for the person who was seen, once, for the same client: ``/v1/verify``, ``/v1/recognize`` and
``/v1/persons/{name}/samples`` take it as the header ``Facepool-Liveness``.
"""

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Header, Path, WebSocket
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from facepool.errors import FacepoolError
from facepool.faces.analyze import Analyzer, Faces
from facepool.liveness.session import LivenessStep, Phase
from facepool.records import bbox_record
from facepool.types import Floats, ReducedImage
from facepool.web.api.live import Message, SentFrame, converse, dropped, error_message
from facepool.web.api.pictures import REQUEST_BODY, SentPictures, looked_at
from facepool.web.api.proof import LONGEST_TOKEN
from facepool.web.api.schemas import Body, FourDigits, Tenths
from facepool.web.middleware.authentication import Recognizing, Share, share_of
from facepool.web.problems import InvalidRequest, ServerBusy
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices, Services
from facepool.web.services.decoding import FRAME_LIMITS
from facepool.web.services.keys import Caller
from facepool.web.services.liveness.checks import SILENT_S, Concluded, LivenessCheck
from facepool.web.services.liveness.record import LivenessRecord

router = APIRouter(prefix="/v1/liveness", tags=["liveness"], route_class=BoundedRoute)

_STOP = '{"do":"stop"}'


class NewCheck(Body):
    """Which check is to be made."""

    partial: bool = Field(
        default=False, description="For people who cannot turn far: smaller turns and more time. It proves less"
    )


_USUAL = NewCheck()


class BegunCheck(BaseModel):
    """A check that begins now."""

    id: str
    token: str = Field(description="To be sent with the frames, as the header `Facepool-Liveness`")
    steps: int = Field(description="How many directions are asked for; more for clients whose checks have failed")
    partial: bool
    expires_at: str = Field(description="ISO 8601 in UTC")


class CheckHint(BaseModel):
    """What the person does next."""

    code: str
    text: str = Field(description="In English; `left` is the person's own left")
    angle_deg: float | None = Field(description="Where to turn: 0 is the picture's right side, 90 up; null: nowhere")


class CheckTurn(BaseModel):
    """Where the head is turned to, from the person's own straight ahead."""

    angle_deg: Tenths = Field(description="0 is the picture's right side, 90 up")
    reach: FourDigits = Field(description="How far: 1 is far enough")


class CheckProgress(BaseModel):
    """How far a check is."""

    phase: Phase = Field(description="`ended`: there is a result")
    hint: CheckHint
    step: int = Field(description="The direction that is asked for, from 1; 0: straight ahead, before the first")
    steps: int
    progress: float = Field(ge=0, le=1)
    seconds_left: Tenths = Field(description="For what the hint says")
    limit_s: Tenths = Field(description="Of so many seconds")
    turn: CheckTurn | None = Field(description="null: straight ahead is not known yet, or there is no face")
    bbox: list[float] | None = Field(description="Of the face in the last frame; null: none")
    liveness: LivenessRecord | None = Field(description="What came out; null: it is not over")
    meaning: str | None = Field(description="The same as a phrase")
    liveness_token: str | None = Field(description="Stands for the person, once; null: it is not over, or not passed")
    token_expires_at: str | None = Field(description="ISO 8601 in UTC")


class _Start(NewCheck):
    do: Literal["start"]


class _Stop(Body):
    do: Literal["stop"]


@router.post("", status_code=201)
async def begin_liveness(
    services: CurrentServices, caller: Recognizing, share: Share, body: NewCheck = _USUAL
) -> BegunCheck:
    """Begin a check whose frames are posted; without a body, the usual one. The WebSocket here is quicker."""
    begin = partial(services.liveness.begin_posted, share, caller, partial=body.partial)
    check = await run_in_threadpool(begin)
    drawn = check.drawn
    return BegunCheck(
        id=drawn.id, token=drawn.token, steps=drawn.steps, partial=check.partial, expires_at=_iso(drawn.ends_at)
    )


@router.post("/{id}/frames", openapi_extra=REQUEST_BODY)
async def follow_liveness(
    check_id: Annotated[str, Path(alias="id", pattern="^[0-9a-f]{32}$", description="Of the check")],
    token: Annotated[
        str, Header(alias="Facepool-Liveness", max_length=LONGEST_TOKEN, description="The token of the check")
    ],
    pictures: SentPictures,
    services: CurrentServices,
    _: Recognizing,
    share: Share,
) -> CheckProgress:
    """Show some frames of the person, in order, and be told what comes next.

    They count as taken between the frames before and now, whatever they say of themselves. The last answer is given
    again to whoever asks again.
    """
    came_s = services.liveness.clock()
    check = await run_in_threadpool(services.liveness.find, check_id, token, share)
    if check.turn.locked():
        raise ServerBusy("The frames before are still looked at", fix="Send the next when they are answered")
    async with check.turn:
        analyze = partial(_analyze, services.engine.analyzer)
        analyzed = await looked_at(services.engine, share, pictures, analyze)

        def follow() -> CheckProgress:
            times = check.times(len(analyzed), came_s)
            for picture, time_s in zip(analyzed, times, strict=True):
                faces, passive = picture.found
                step = check.add(faces, (picture.height, picture.width), time_s, passive)
                if step.result is not None:
                    break
            boxes = faces.detections.boxes
            concluded = None if step.result is None else services.liveness.conclude(check, step.result)
            return _progress(step, None if step.row is None else boxes[step.row], concluded)

        return await run_in_threadpool(follow)


def _analyze(analyzer: Analyzer, picture: ReducedImage) -> tuple[Faces, Floats | None]:
    """The faces of a frame; of a single one, also what networks for pictures say of it, where there are any."""
    faces = analyzer.analyze(picture, moving=True)
    return faces, analyzer.passive_scores(picture, faces.detections) if len(faces) == 1 else None


@router.websocket("")
async def liveness(socket: WebSocket, services: CurrentServices, caller: Recognizing) -> None:
    """Check one person before a browser's camera."""
    client = share_of(socket, caller)
    await converse(socket, services, caller, "recognize", lambda: _Checker(services, caller, client))


class _Checker:
    """Checks the person before one browser's camera."""

    def __init__(self, services: Services, caller: Caller, client: str) -> None:
        self._services = services
        self._caller = caller
        self._client = client
        self._check: LivenessCheck | None = None
        self._since_s = services.liveness.clock()
        self.over = False

    def take(self, item: SentFrame | str) -> Message | None:
        try:
            if self._check is None:
                return self._start(item)
            return self._look(self._check, item) if isinstance(item, SentFrame) else self._stop(self._check, item)
        except ServerBusy:
            if isinstance(item, SentFrame):
                return dropped(item.number)
            raise
        except FacepoolError as error:
            self.over = self._check is None or not isinstance(item, SentFrame)
            answer = error_message(error) | {"fatal": self.over}
            return answer | {"frame": item.number} if isinstance(item, SentFrame) else answer

    def idle(self) -> None:
        """Who has gone, or does not begin, is not waited for."""
        if self._check is not None:
            self.over = self._check.is_late
        else:
            self.over = self._services.liveness.clock() - self._since_s > SILENT_S

    def close(self) -> None:
        if self._check is not None and self._check.concluded is None:
            with suppress(FacepoolError):  # what cannot be written down is over by itself, and counts as failed
                self._conclude(self._check)

    def _start(self, item: SentFrame | str) -> Message:
        try:
            wanted = _Start.model_validate_json(item if isinstance(item, str) else b"")
        except ValidationError as error:
            raise InvalidRequest(
                "The first message has to begin a check", why='it is not {"do": "start", "partial": false}'
            ) from error
        self._check = self._services.liveness.begin(self._client, self._caller, partial=wanted.partial)
        drawn = self._check.drawn
        return {
            "type": "challenge",
            "id": drawn.id,
            "steps": drawn.steps,
            "partial": wanted.partial,
            "expires_at": _iso(drawn.ends_at),
        }

    def _look(self, check: LivenessCheck, sent: SentFrame) -> Message:
        engine = self._services.engine
        image_bgr = engine.decoder.decode(sent.picture, FRAME_LIMITS)
        faces = engine.analyzer.analyze(image_bgr, moving=True)
        height, width = image_bgr.shape[:2]
        step = check.add(
            faces,
            (height, width),
            sent.came_s,
            lambda row: engine.analyzer.passive_scores(image_bgr, faces.detections[np.array([row])]),
        )
        if step.result is not None:
            return {"frame": sent.number} | self._result(self._services.liveness.conclude(check, step.result))
        box = None if step.row is None else faces.detections.boxes[step.row]
        told = _progress(step, box, None).model_dump(
            mode="json", exclude={"liveness", "meaning", "liveness_token", "token_expires_at"}
        )
        return {"type": "liveness", "frame": sent.number, "size": [width, height]} | told

    def _stop(self, check: LivenessCheck, text: str) -> Message:
        try:
            _Stop.model_validate_json(text)
        except ValidationError as error:
            raise InvalidRequest("A command cannot be understood", why=f"it is not {_STOP}") from error
        return self._result(self._conclude(check))

    def _conclude(self, check: LivenessCheck) -> Concluded:
        return self._services.liveness.conclude(check, check.end())

    def _result(self, concluded: Concluded) -> Message:
        self.over = True
        return {
            "type": "result",
            "liveness": concluded.liveness.model_dump(mode="json"),
            "meaning": concluded.meaning,
            "liveness_token": concluded.token,
            "token_expires_at": None if concluded.token_ends_at is None else _iso(concluded.token_ends_at),
        }


def _progress(step: LivenessStep, box: Floats | None, concluded: Concluded | None) -> CheckProgress:
    hint, turn = step.hint, step.turn
    ends_at = None if concluded is None else concluded.token_ends_at
    return CheckProgress(
        phase=step.phase,
        hint=CheckHint(code=hint.code, text=hint.text, angle_deg=hint.angle_deg),
        step=step.number,
        steps=step.steps,
        progress=round(step.progress, 4),
        seconds_left=step.seconds_left,
        limit_s=step.limit_s,
        turn=None if turn is None else CheckTurn(angle_deg=turn.angle_deg, reach=turn.reach),
        bbox=None if box is None else bbox_record(box),
        liveness=None if concluded is None else concluded.liveness,
        meaning=None if concluded is None else concluded.meaning,
        liveness_token=None if concluded is None else concluded.token,
        token_expires_at=None if ends_at is None else _iso(ends_at),
    )


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
