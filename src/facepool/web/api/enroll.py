"""``/v1/enroll``: a browser sends what its camera sees, and follows the guided scan of one person.

The first message is ``{"do": "start", "person": "Ada", "appearance": "", "partial": false}``, and ``"consent": true``
where the person has agreed to ``consent_text`` of ``/v1/system``, which is recorded; ``"liveness"`` may have the token
of their liveness check, and has to where the server asks for one. Then come frames, as
``facepool.web.api.live`` says, each answered with ``{"type": "scan", "frame": 7, "phase": ..., "hint": ...,
"ring": [...], "can_finish": ...}``, and, at any time, commands:

- ``{"do": "redo", "direction": 3}`` gives up one direction of the ring, and goes on.
- ``{"do": "finish"}`` ends the scan: ``{"type": "report", "views": 13, "ring": [...], "look_alikes": [...]}``.
- ``{"do": "resolve", "person": "Bob", "as": "same"}``, or ``different``: the report again.
- ``{"do": "store"}`` saves: ``{"type": "stored", "person": "Ada", "stored": 13}``.

Clients that close the connection before that have stored nothing. ``{"type": "error", "code": ..., "fatal": ...}``
says what is wrong with a message, or, fatal, with the whole scan.
"""

import statistics
from typing import Annotated, Literal

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from facepool.enroll.coverage import ViewReport
from facepool.enroll.identity import Resolution
from facepool.enroll.scan import ScanStep
from facepool.enroll.session import EnrollmentSession
from facepool.errors import FacepoolError, PersonFull
from facepool.gallery import Pool
from facepool.gallery.checks import NAME_LIMIT
from facepool.records import bbox_record, look_alike_record, rounded
from facepool.types import Frame
from facepool.web.api.live import Message, SentFrame, converse, dropped, error_message
from facepool.web.api.proof import LONGEST_TOKEN, Proof
from facepool.web.middleware.authentication import Enrolling, share_of
from facepool.web.problems import InvalidRequest, ServerBusy
from facepool.web.services import CurrentServices, Services
from facepool.web.services.consent import agreed
from facepool.web.services.decoding import FRAME_LIMITS
from facepool.web.services.keys import Caller
from facepool.web.services.liveness.results import LivenessOther, PassedCheck
from facepool.web.services.people import best_view

router = APIRouter(tags=["enroll"])

_SOURCE = "browser"
_Name = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Start(_Command):
    """Whom to scan."""

    do: Literal["start"]
    person: _Name
    appearance: Annotated[str, Field(max_length=NAME_LIMIT)] = ""
    partial: bool = False
    force: bool = False
    consent: bool = False
    """They have agreed to the text of the server's settings, which is recorded."""
    liveness: Annotated[str, Field(max_length=LONGEST_TOKEN)] = ""
    """The token of a liveness check that they have made."""


class Finish(_Command):
    """Enough is captured: report."""

    do: Literal["finish"]


class Redo(_Command):
    """Give up one direction, and go on."""

    do: Literal["redo"]
    direction: Annotated[int, Field(ge=0, lt=360)]


class Resolve(_Command):
    """What a look-alike is."""

    do: Literal["resolve"]
    person: _Name
    resolution: Annotated[Resolution, Field(alias="as")]


class Store(_Command):
    """Save the views."""

    do: Literal["store"]


ScanCommand = Annotated[Finish | Redo | Resolve | Store, Field(discriminator="do")]
_COMMANDS: TypeAdapter[ScanCommand] = TypeAdapter(ScanCommand)


@router.websocket("/v1/enroll")
async def enroll(socket: WebSocket, services: CurrentServices, caller: Enrolling) -> None:
    """Scan one person before a browser's camera."""
    client = share_of(socket, caller)
    await converse(socket, services, caller, "enroll", lambda: _Enroller(services, caller, client))


class _Enroller:
    """Scans the person before one browser's camera. Nothing reaches the pool before ``store``."""

    def __init__(self, services: Services, caller: Caller, client: str) -> None:
        self._services = services
        self._caller = caller
        self._proof = Proof(services, client)
        self._seen: PassedCheck | None = None
        self._pool = services.pool.open()
        self._session: EnrollmentSession | None = None
        self._reported = False
        self.over = False

    def take(self, item: SentFrame | str) -> Message | None:
        session = self._session
        try:
            if session is None:
                self._session = self._start(item)
                return None
            return self._look(session, item) if isinstance(item, SentFrame) else self._obey(session, item)
        except FacepoolError as error:
            self.over = self._session is None
            answer = error_message(error) | {"fatal": self.over}
            return answer | {"frame": item.number} if isinstance(item, SentFrame) else answer

    def idle(self) -> None:
        """A scan waits for its person."""

    def close(self) -> None:
        self._pool.close()

    def _start(self, item: SentFrame | str) -> EnrollmentSession:
        try:
            wanted = Start.model_validate_json(item if isinstance(item, str) else b"")
        except ValidationError as error:
            raise InvalidRequest("The first message has to say whom to scan", why=_why(error)) from error
        services = self._services
        options = services.settings.enroll_options(
            appearance=wanted.appearance,
            partial=wanted.partial,
            force=wanted.force,
            keep_pictures=True,
            consent=agreed(services, self._caller, wanted.consent),
        )
        session = EnrollmentSession(wanted.person, services.engine.analyzer, self._pool, services.policy, options)
        if session.room == 0:
            raise PersonFull(
                f"{session.person} has all the views of this look that are kept",
                why=f"they are {options.max_templates}",
                fix="Remove some first, or name another look",
            )
        self._seen = self._proof.take(wanted.liveness)
        return session

    def _look(self, session: EnrollmentSession, sent: SentFrame) -> Message:
        if self._reported:  # it was on its way when the scan was finished
            return dropped(sent.number)
        decoder = self._services.engine.decoder
        try:
            frame = Frame(decoder.decode(sent.picture, FRAME_LIMITS), _SOURCE, sent.number, sent.time_s)
            return step_message(frame, session.scan(frame))
        except ServerBusy:
            return dropped(sent.number)

    def _obey(self, session: EnrollmentSession, text: str) -> Message | None:
        try:
            command = _COMMANDS.validate_json(text)
        except ValidationError as error:
            raise InvalidRequest("A command cannot be understood", why=_why(error)) from error
        match command:
            case Redo():
                self._reported = False
                session.redo(command.direction)
                return None
            case Finish():
                report = report_message(session, self._pool)
                self._reported = True
                return report
            case Resolve():
                session.resolve(command.person, command.resolution)
                return report_message(session, self._pool)
        self._check_person(session)
        with self._services.people.changing(self._caller, self._pool):
            stored = session.commit()
        self._proof.note(self._caller, "registered live", self._seen, session.person)
        self.over = True
        return {"type": "stored", "person": session.person, "stored": stored}

    def _check_person(self, session: EnrollmentSession) -> None:
        """Refuse somebody else than who has made the check, by the view straight ahead: a scan shows one person."""
        seen = self._seen
        if seen is None or any(self._proof.shows(seen, view.sample.embedding) for view in session.views[:1]):
            return
        raise LivenessOther(
            f"{session.person} was not registered",
            why="this is not the person who has made the liveness check",
            fix="Let the same person make the check and the scan",
        )


def step_message(frame: Frame, step: ScanStep) -> Message:
    """What one frame did."""
    height, width = frame.image_bgr.shape[:2]
    hint, turn = step.hint, step.turn
    return {
        "type": "scan",
        "frame": frame.index,
        "phase": step.phase,
        "hint": {"code": hint.code, "text": hint.text, "angle_deg": hint.angle_deg},
        "outcome": step.outcome,
        "ring": [
            {"angle_deg": part.angle_deg, "near": rounded(part.near, 1), "far": rounded(part.far, 1)}
            for part in step.ring
        ],
        "turn": None
        if turn is None
        else {"angle_deg": round(turn.angle_deg, 1), "reach": round(turn.reach, 3), "zone": turn.zone},
        "steady": round(step.steady, 3),
        "coverage": round(step.coverage, 4),
        "can_finish": step.can_finish,
        "motion": step.motion,
        "bbox": None if step.box is None else bbox_record(step.box),
        "size": [width, height],
    }


def report_message(session: EnrollmentSession, pool: Pool) -> Message:
    """What was captured, and who of the pool looks like it.

    Raises:
        ScanIncomplete: Too many directions are missing, and a partial scan was not asked for.
    """
    coverage = session.finish()
    stored = [view for view in coverage.views if view.stored]
    return {
        "type": "report",
        "person": session.person,
        "appearance": coverage.appearance,
        "partial": coverage.partial,
        "motion": coverage.motion,
        "views": len(stored),
        "room": session.room,
        "quality": round(statistics.median(view.quality for view in stored), 1) if stored else None,
        "miss_share": rounded(coverage.miss_share(), 4),
        "threshold": round(coverage.threshold.value, 4),
        "meaning": coverage.threshold.meaning,
        "ring": [
            {
                "angle_deg": direction.angle_deg,
                "near": _quality(direction.near),
                "far": _quality(direction.far),
                "thin": direction.thin,
            }
            for direction in coverage.directions
        ],
        "look_alikes": [
            look_alike_record(alike) | {"sample": _best_picture(pool, alike.person)} for alike in session.look_alikes()
        ],
    }


def _best_picture(pool: Pool, person: str) -> int | None:
    return best_view(pool.templates(person), pool.template_ids_with_image(person))


def _quality(view: ViewReport | None) -> float | None:
    return None if view is None else round(view.quality, 1)


def _why(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
