"""``/v1/enroll``: a browser sends what its camera sees, and is told how the guided scan of one person goes.

The first message is ``{"do": "start", "person": "Ada", "appearance": "", "partial": false}``. Then come frames, as
``facepool.web.api.websocket`` says, each answered with ``{"type": "scan", "frame": 7, "phase": ..., "hint": ...,
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
from facepool.enroll.guided import GuidedEnrollment, Resolution
from facepool.enroll.look_alikes import LookAlike
from facepool.enroll.scan import Bin
from facepool.errors import FacepoolError, PersonFull
from facepool.gallery import Pool, clean_name
from facepool.gallery.checks import NAME_LIMIT
from facepool.records import bbox_record, look_alike_record, rounded
from facepool.types import Frame
from facepool.web.api.websocket import Message, SentFrame, converse, dropped, error_message
from facepool.web.middleware.authentication import Enrolling
from facepool.web.problems import InvalidRequest, ServerBusy
from facepool.web.services import CurrentServices, Services
from facepool.web.services.engine import FRAME_LIMITS, decode_image
from facepool.web.services.keys import Caller

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


Command = Annotated[Finish | Redo | Resolve | Store, Field(discriminator="do")]
_COMMANDS: TypeAdapter[Command] = TypeAdapter(Command)


@router.websocket("/v1/enroll")
async def enroll(socket: WebSocket, services: CurrentServices, caller: Enrolling) -> None:
    """Scan one person before a browser's camera."""
    await converse(socket, services, caller, "enroll", lambda: _Enroller(services, caller))


class _Enroller:
    """Answers one browser."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self._services = services
        self._caller = caller
        self._pool = services.pool.open()
        self._scan: BrowserScan | None = None
        self._reported = False
        self.over = False

    def take(self, item: SentFrame | str) -> Message | None:
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

    def _start(self, item: SentFrame | str) -> "BrowserScan":
        try:
            wanted = Start.model_validate_json(item if isinstance(item, str) else b"")
        except ValidationError as error:
            raise InvalidRequest("The first message has to say whom to scan", why=_why(error)) from error
        services = self._services
        options = services.settings.guided_options(
            appearance=wanted.appearance, partial=wanted.partial, force=wanted.force, keep_pictures=True
        )
        guided = GuidedEnrollment(wanted.person, services.engine.analyzer, self._pool, services.policy, options)
        if guided.room == 0:
            raise PersonFull(
                f"{guided.person} has all the views of this look that are kept",
                why=f"they are {options.max_templates}",
                fix="Remove some first, or name another look",
            )
        return BrowserScan(guided, self._pool)

    def _look(self, scan: "BrowserScan", sent: SentFrame) -> Message:
        if self._reported:  # it was on its way when the scan was finished
            return dropped(sent.number)
        try:
            image_bgr = decode_image(sent.picture, FRAME_LIMITS)
            return scan.look(Frame(image_bgr, _SOURCE, sent.number, sent.time_s))
        except ServerBusy:
            return dropped(sent.number)

    def _obey(self, scan: "BrowserScan", text: str) -> Message | None:
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


class BrowserScan:
    """One person's scan; each step gives one message for the page. Nothing reaches the pool before ``store``.

    Args:
        guided: The scan.
        pool: Where its views go; used in the same thread.
    """

    def __init__(self, guided: GuidedEnrollment, pool: Pool) -> None:
        self._guided = guided
        self._pool = pool
        self._answers: dict[str, Resolution] = {}

    @property
    def person(self) -> str:
        """Who gets the views."""
        same = (name for name, resolution in self._answers.items() if resolution == "same")
        return next(same, self._guided.person)

    def look(self, frame: Frame) -> Message:
        """What one frame did."""
        scan = self._guided.offer(frame)
        height, width = frame.image_bgr.shape[:2]
        hint, turn = scan.hint, scan.turn
        return {
            "type": "scan",
            "frame": frame.index,
            "phase": scan.phase,
            "hint": {"code": hint.code, "text": hint.text, "angle_deg": hint.angle_deg},
            "outcome": scan.outcome,
            "ring": _ring(scan.bins),
            "turn": None
            if turn is None
            else {"angle_deg": round(turn.angle_deg, 1), "reach": round(turn.reach, 3), "zone": turn.zone},
            "steady": round(scan.steady, 3),
            "coverage": round(scan.coverage, 4),
            "can_finish": self._guided.can_finish,
            "bbox": None if scan.box is None else bbox_record(scan.box),
            "size": [width, height],
        }

    def redo(self, direction: int) -> None:
        """Give up one direction."""
        self._guided.redo(direction)

    def resolve(self, person: str, resolution: Resolution) -> Message:
        """Decide on a look-alike.

        Raises:
            IdentityConflict: They are the same, but two people of the pool would have to become one.
        """
        name = clean_name(person)
        self._guided.resolve(name, resolution)
        self._answers[name] = resolution
        return self.report()

    def report(self) -> Message:
        """What was captured, and who of the pool looks like it.

        Raises:
            ScanIncomplete: Too many directions are missing, and a partial scan was not asked for.
        """
        coverage = self._guided.finish()
        stored = [view for view in coverage.views if view.stored]
        return {
            "type": "report",
            "person": self.person,
            "appearance": coverage.appearance,
            "partial": coverage.partial,
            "views": len(stored),
            "room": self._guided.room,
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
            "look_alikes": self._look_alikes(),
        }

    def store(self) -> Message:
        """Save the views.

        Raises:
            ScanIncomplete: As in ``report``.
            IdentityConflict: A look-alike is not resolved, or somebody else is stored under the name meanwhile.
            PoolChanged: The person that is to get the views is no longer in the pool.
        """
        return {"type": "stored", "person": self.person, "stored": self._guided.commit()}

    def _look_alikes(self) -> list[Message]:
        flagged = self._pool.look_alikes()
        return [
            look_alike_record(
                alike,
                self._answers.get(
                    alike.person, "different" if frozenset((alike.person, self._guided.person)) in flagged else None
                ),
            )
            | {"sample": self._picture_of(alike)}
            for alike in self._guided.lookalikes()
        ]

    def _picture_of(self, alike: LookAlike) -> int | None:
        """The best view of somebody that has a picture."""
        pictured = self._pool.template_ids_with_image(alike.person)
        views = [template for template in self._pool.templates(alike.person) if template.id in pictured]
        best = max(views, key=lambda template: template.sample.quality or 0.0, default=None)
        return None if best is None else best.id


def _ring(bins: tuple[Bin, ...]) -> list[Message]:
    """The ring with one entry a direction: qualities 0..100 of both amplitudes, null where there is no view."""
    quality = {place.slot: rounded(place.quality, 1) for place in bins}
    near = [place for place in bins if place.slot.amplitude == "near"]
    far = {place.slot.direction: quality[place.slot] for place in bins if place.slot.amplitude == "far"}
    return [
        {"angle_deg": place.angle_deg, "near": quality[place.slot], "far": far.get(place.slot.direction)}
        for place in near
    ]


def _quality(view: ViewReport | None) -> float | None:
    return None if view is None else round(view.quality, 1)


def _why(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
