"""A guided scan as a browser sees it: each step gives one message for the page."""

import statistics
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from facepool.enroll.coverage import Coverage, DirectionReport, ViewReport
from facepool.enroll.ring import Bin, Turn
from facepool.enroll.scan import Hint, ScanStep
from facepool.enroll.session import EnrollmentSession, LookAlike, Resolution
from facepool.errors import FacepoolError
from facepool.gallery import Pool
from facepool.gallery.checks import NAME_LIMIT
from facepool.records import bbox_record, look_alike_record
from facepool.types import Frame

Message = dict[str, object]
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


class BrowserScan:
    """One person's scan. Nothing reaches the pool before ``store``.

    Args:
        session: The registration.
        pool: Where its views go; used in the same thread.
    """

    def __init__(self, session: EnrollmentSession, pool: Pool) -> None:
        self._session = session
        self._pool = pool

    @property
    def person(self) -> str:
        """Who gets the views."""
        return self._session.person

    def look(self, frame: Frame) -> Message:
        """What one frame did."""
        scan = self._session.scan(frame)
        height, width = frame.image_bgr.shape[:2]
        return {
            "type": "scan",
            "frame": frame.index,
            "phase": scan.phase,
            "hint": _hint(scan.hint),
            "outcome": scan.outcome,
            "ring": ring_record(scan.bins),
            "turn": _turn(scan.turn),
            "steady": round(scan.steady, 3),
            "coverage": round(scan.coverage, 4),
            "can_finish": scan.can_finish,
            "bbox": _box(scan),
            "size": [width, height],
        }

    def redo(self, direction: int) -> None:
        """Give up one direction."""
        self._session.redo(direction)

    def resolve(self, person: str, resolution: Resolution) -> Message:
        """Decide on a look-alike.

        Raises:
            IdentityConflict: They are the same, but two people of the pool would have to become one.
        """
        self._session.resolve(person, resolution)
        return self.report()

    def report(self) -> Message:
        """What was captured, and who of the pool looks like it.

        Raises:
            ScanIncomplete: Too many directions are missing, and a partial scan was not asked for.
        """
        coverage = self._session.finish()
        stored = [view for view in coverage.views if view.stored]
        share = coverage.miss_share()
        return {
            "type": "report",
            "person": self.person,
            "appearance": coverage.appearance,
            "partial": coverage.partial,
            "views": len(stored),
            "room": self._session.room,
            "quality": round(statistics.median(view.quality for view in stored), 1) if stored else None,
            "miss_share": None if share is None else round(share, 4),
            "threshold": round(coverage.threshold.value, 4),
            "meaning": coverage.threshold.meaning,
            "ring": _reported_ring(coverage),
            "look_alikes": self._look_alikes(),
        }

    def store(self) -> Message:
        """Save the views.

        Raises:
            ScanIncomplete: As in ``report``.
            IdentityConflict: A look-alike is not resolved, or somebody else is stored under the name meanwhile.
            PoolChanged: Whoever is to get the views is no longer in the pool.
        """
        return {"type": "stored", "person": self.person, "stored": self._session.commit()}

    def _look_alikes(self) -> list[Message]:
        return [look_alike_record(alike) | {"sample": self._picture_of(alike)} for alike in self._session.look_alikes()]

    def _picture_of(self, alike: LookAlike) -> int | None:
        """The best view of somebody that has a picture."""
        pictured = self._pool.template_ids_with_image(alike.person)
        views = [template for template in self._pool.templates(alike.person) if template.id in pictured]
        best = max(views, key=lambda template: template.sample.quality or 0.0, default=None)
        return None if best is None else best.id


def error_message(error: FacepoolError) -> Message:
    """What went wrong, for the page."""
    return {"type": "error", "code": error.code, "message": error.what, "why": error.why, "fix": error.fix}


def ring_record(bins: tuple[Bin, ...]) -> list[Message]:
    """The ring with one entry a direction: qualities 0..100 of both amplitudes, null where there is no view."""
    quality = {place.slot: None if place.quality is None else round(place.quality, 1) for place in bins}
    near = [place for place in bins if place.slot.amplitude == "near"]
    far = {place.slot.direction: quality[place.slot] for place in bins if place.slot.amplitude == "far"}
    return [
        {"angle_deg": place.angle_deg, "near": quality[place.slot], "far": far.get(place.slot.direction)}
        for place in near
    ]


def _reported_ring(coverage: Coverage) -> list[Message]:
    return [_reported(direction) for direction in coverage.directions]


def _reported(direction: DirectionReport) -> Message:
    return {
        "angle_deg": direction.angle_deg,
        "near": _quality(direction.near),
        "far": _quality(direction.far),
        "thin": direction.thin,
    }


def _quality(view: ViewReport | None) -> float | None:
    return None if view is None else round(view.quality, 1)


def _hint(hint: Hint) -> Message:
    return {"code": hint.code, "text": hint.text, "angle_deg": hint.angle_deg}


def _turn(turn: Turn | None) -> Message | None:
    if turn is None:
        return None
    return {"angle_deg": round(turn.angle_deg, 1), "reach": round(turn.reach, 3), "zone": turn.zone}


def _box(scan: ScanStep) -> list[float] | None:
    return None if scan.box is None else bbox_record(scan.box)
