"""What live recognition says of a frame: who is where, and what happened."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from facepool.liveness.session import LivenessReason, LivenessResult, LivenessStep
from facepool.recognize.sightings import TrackSighting
from facepool.search import Behind, Outage
from facepool.types import Decision, Detections, Image, Indices, Mask, Reason, one_line

EventKind = Literal["appeared", "challenged", "recognized", "changed", "lost"]
EventReason = Reason | Literal["new", "gone", "scene_cut", "another_face", "source_silent"] | LivenessReason
"""Why an event came: a decision's reason, why a track began or ended, or how a challenge did."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a track.

    Attributes:
        kind: ``appeared``: a face is there. ``challenged``: a challenge has ended by which it was to show that it is
            somebody alive. ``recognized``: it is somebody of the pool. ``changed``: it is somebody else than said
            before, or nobody. ``lost``: it is gone.
        track: Its number.
        person: Who it is now, or was when lost; None for nobody known.
        previous: Who it was before, for ``changed``.
        similarity: Of the best candidate; None before the first embedding and with an empty pool.
        threshold: The similarity from which on a candidate is a match; None where there was no decision.
        margin: Best candidate minus runner-up; None with fewer than two people.
        frames: Number of embedded observations that the decision rests on.
        time_s: When it happened, in the source's time.
        bbox: Where the face was seen last: left, top, right, bottom in pixels.
        reason: Why.
        crop_bgr: (S, S, 3) uint8 BGR, the best aligned face so far, where crops are kept.
        person_id: The id of the person, which stays when they are renamed; None for nobody known.
        firm: False where a film ended before the face was looked at as often, or as long, as a decision takes: then it
            is what there was to see that speaks.
        sighting: A UUID, under which the faces of the track may be kept; None where faces are not kept.
        liveness: How the last challenge of the track ended; None: there was none.
        behind: Why the pool's index was not searched, or did not have everything; None: it had, or there is none.
        id: A UUID of its own, the same wherever the event is told of and however often.
        at: The time of day at which it was noticed, in UTC.
    """

    kind: EventKind
    track: int
    person: str | None
    previous: str | None
    similarity: float | None
    threshold: float | None
    margin: float | None
    frames: int
    time_s: float
    bbox: tuple[float, float, float, float]
    reason: EventReason
    crop_bgr: Image | None = None
    person_id: str | None = None
    firm: bool = True
    sighting: str | None = None
    liveness: LivenessResult | None = None
    behind: Behind | None = None
    id: str = field(default_factory=lambda: str(uuid4()), compare=False)
    at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)

    def __repr__(self) -> str:
        """What happened, to whom and when."""
        compared = "" if self.similarity is None else f", similarity {self.similarity:.3f}"
        who = self.person or "somebody unknown"
        return one_line(self, f"{self.kind} {who} at {self.time_s:.3f} s, track {self.track}{compared} ({self.reason})")


@dataclass(frozen=True, slots=True)
class LiveView:
    """One frame, one row a face.

    Attributes:
        detections: N boxes, scores and landmarks in pixels of the image.
        track_ids: (N,) intp.
        decisions: N decisions; None for a face that is not decided yet.
        tentative: N decisions by the evidence so far, firm or not; None for a face that was not embedded yet.
        confirmed: (N,) bool, for which faces there was an event; the others may be none.
        embedded: (N,) bool, which faces were embedded in this frame.
        events: What happened with this frame, in order.
        time_s: Of the frame.
        outage: Why people may be named by an old state of the pool, or not at all; None: they are as they are now.
        behind: Why the pool's index was not searched, or did not have everything; None: it had, or there is none.
        sightings: What there is to keep of faces as of this frame, where faces are kept.
        sighting_ids: N UUIDs, under which the faces of each track may be kept; none where faces are not kept.
        challenges: N times what the face is to do to show that it is somebody alive, None for one that is not
            challenged; none where nobody has to.
        liveness: N times how the last challenge ended, None for one that had none; none where nobody has to.
    """

    detections: Detections
    track_ids: Indices
    decisions: tuple[Decision | None, ...]
    tentative: tuple[Decision | None, ...]
    confirmed: Mask
    embedded: Mask
    events: tuple[Event, ...]
    time_s: float
    outage: Outage | None = None
    behind: Behind | None = None
    sightings: tuple[TrackSighting, ...] = ()
    sighting_ids: tuple[str, ...] = ()
    challenges: tuple[LivenessStep | None, ...] = ()
    liveness: tuple[LivenessResult | None, ...] = ()

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.decisions)

    def __repr__(self) -> str:
        """When, who is there, and what happened."""
        who = [("undecided" if decision is None else decision.person or "unknown") for decision in self.decisions]
        happened = "".join(f"; {event.kind} {event.person or f'track {event.track}'}" for event in self.events)
        return one_line(self, f"at {self.time_s:.3f} s {', '.join(who) or 'no face'}{happened}")

    @property
    def names(self) -> tuple[str | None, ...]:
        """Who each face is; None for unknown or not decided yet."""
        return tuple(None if decision is None else decision.person for decision in self.decisions)

    @property
    def notes(self) -> tuple[str, ...]:
        """What those who watch are to know: that the pool's database is away, or that its index is behind."""
        return tuple(one.words for one in (self.outage, self.behind) if one is not None)
