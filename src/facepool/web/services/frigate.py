"""Names for the people of Frigate's events, so that nothing is needed between the two.

Frigate tells of each person that it follows by MQTT messages of one id: ``new``, ``update`` whenever it has a better
snapshot, and ``end``. The server looks at the snapshots, and answers with the name as the event's sub-label. `Frigate`
keeps one `_TrackedPerson` for each, in which the pictures add up to one answer, and a thread that looks and answers;
`FrigateClient` is the two calls, snapshot and sub-label, and nothing else is ever asked for.
"""

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import quote, unquote

import httpx2
import numpy as np

from facepool.errors import ConfigError, FacepoolError, InputError
from facepool.gallery import Pool
from facepool.recognize.events import Event, EventKind, EventReason
from facepool.recognize.evidence import Identity
from facepool.recognize.sightings import FACES_KEPT, TrackSighting, sighting_of
from facepool.recognize.snapshots import Box, SnapshotRecognizer
from facepool.sinks import BrokerConnection, Rejected, Unreachable
from facepool.sinks.outbox import split_address
from facepool.sinks.outputs import broker_missing
from facepool.types import Decision, Frame, Image
from facepool.web.problems import RequestError, ServerBusy
from facepool.web.scale import scaled_people
from facepool.web.services.decoding import LIMITS

_LOG = logging.getLogger(__name__)

Keep = Callable[[str, Sequence[TrackSighting]], None]
"""Gets the sightings before a camera of Frigate, by its name here."""
Emit = Callable[[str, Frame, Sequence[Event]], None]
"""Passes on what happened before a camera of Frigate, by its name here."""

_TIMEOUT_S = 5.0
_LONGEST_ANSWER_S = 15.0
_MOST_TRACKED = 200
_GIVE_UP_S = 600.0
_MOST_REFUSALS = 5
_LONGEST_WAIT_S = 30.0
_FIRST_WAIT_S = 0.5
_BETTER = 0.05
"""By how much a score has to rise before Frigate is told again while the event goes on."""
_DIFFERENT = 0.01
"""The same when it ends."""
_LONGEST_LABEL = 100
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_TOO_MANY_REQUESTS = 429
_ID = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]{1,100}")
"""What it may be in an address: dots alone would lead to another one."""
_CAMERA = re.compile(r"[^/+#\x00-\x1f\x7f\ud800-\udfff]{1,100}")
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


class FrigateClient:
    """The two calls of Frigate that are needed, at the address that the administrator has given.

    Args:
        url: ``http[s]://[user:password@]host[:port][/path]``. Frigate asks for user and password on one of its ports,
            a proxy before it may, too: both are understood.

    Attributes:
        name: The address for people.

    Raises:
        ConfigError: It is no such address.
    """

    def __init__(self, url: str) -> None:
        parts = split_address(url, {"http", "https"})
        if parts is None:
            raise ConfigError(
                "Frigate's address cannot be used",
                why="it is no http[s]://host[:port]",
                fix="Give --frigate an address such as http://frigate:5000",
            )
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        self.name = f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._client = httpx2.Client(timeout=_TIMEOUT_S, headers={"X-CSRF-TOKEN": "1"})

    def snapshot(self, event_id: str) -> bytes | None:
        """The picture of an event's person, cut out while the event goes on; None: there is none.

        Raises:
            Unreachable: Worth another attempt.
            Rejected: Frigate refuses.
        """
        status, content = self._ask("GET", f"/api/events/{quote(event_id)}/snapshot.jpg?crop=1")
        return None if status == _NOT_FOUND else content

    def set_sub_label(self, event_id: str, name: str, score: float | None) -> None:
        """Say who an event's person is.

        Args:
            event_id: Of the event.
            name: Empty: nobody, after all.
            score: Above 0 and at most 1; None without a name.

        Raises:
            Unreachable: Worth another attempt: also where Frigate does not know the event, as in its first moments.
            Rejected: Frigate refuses.
        """
        body: dict[str, object] = {"subLabel": name} if score is None else {"subLabel": name, "subLabelScore": score}
        status, _ = self._ask("POST", f"/api/events/{quote(event_id)}/sub_label", body)
        if status == _NOT_FOUND:
            raise Unreachable(f"Frigate does not know the event {event_id}")

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> tuple[int, bytes]:
        response = self._send(method, path, body)
        if response.status_code == _UNAUTHORIZED and self._user:
            self._sign_in(response.headers.get("www-authenticate", ""))
            response = self._send(method, path, body)
        if response.is_success or response.status_code == _NOT_FOUND:
            return response.status_code, response.content
        answer = f"it answers {response.status_code} {response.reason_phrase}"
        if response.is_server_error or response.status_code == _TOO_MANY_REQUESTS:
            raise Unreachable(answer)
        if response.status_code in (_UNAUTHORIZED, _FORBIDDEN) and not self._user:
            answer += "; put a user into the address, http://user:password@host"
        raise Rejected(answer)

    def _send(self, method: str, path: str, body: Mapping[str, object] | None) -> httpx2.Response:
        request = self._client.build_request(method, self.name + path, json=body)
        try:
            response = self._client.send(request, stream=True)
            try:
                return _whole(response)
            finally:
                response.close()
        except httpx2.HTTPError as error:
            raise Unreachable(str(error) or type(error).__name__) from error

    def _sign_in(self, challenge: str) -> None:
        """Basic authentication where that is asked for, which is a proxy's; otherwise Frigate's own, by a cookie."""
        if challenge.lower().startswith("basic"):
            self._client.auth = httpx2.BasicAuth(self._user, self._password)
            return
        answer = self._send("POST", "/api/login", {"user": self._user, "password": self._password})
        if not answer.is_success:
            raise Rejected(f"it does not let the user {self._user!r} in ({answer.status_code} {answer.reason_phrase})")


def _whole(response: httpx2.Response) -> httpx2.Response:
    """A response with its content, of which there may not be too much, and which may not take too long."""
    content, ends_s = bytearray(), time.monotonic() + _LONGEST_ANSWER_S
    for chunk in response.iter_bytes():
        content += chunk
        if time.monotonic() > ends_s:
            raise Unreachable(f"its answer is not there after {_LONGEST_ANSWER_S:g} s")
        if len(content) > LIMITS.bytes:
            raise Rejected(f"it sends more than {LIMITS.bytes:,} bytes")
    headers = [
        (name, value)
        for name, value in response.headers.multi_items()
        if name not in ("content-encoding", "transfer-encoding", "content-length")
    ]
    return httpx2.Response(response.status_code, headers=headers, content=bytes(content), request=response.request)


@dataclass(frozen=True, slots=True)
class Report:
    """What Frigate says of a person that it follows.

    Attributes:
        id: Of the event.
        camera: Its name.
        ended: Whether this is the last.
        sub_label: What the event has for one; empty for none.
        snapshot_s: When the snapshot was taken, by Frigate's clock; None: it does not say.
        box: Where the person is in the picture of the camera, in pixels; None: it does not say.
    """

    id: str
    camera: str
    ended: bool
    sub_label: str
    snapshot_s: float | None
    box: Box | None

    @classmethod
    def parse(cls, message: bytes) -> "Report | None":
        """A message of ``frigate/events``; None for what is no person for certain, or no such message."""
        try:
            told = json.loads(message, parse_int=float)  # which has room for any number
        except (ValueError, RecursionError):
            return None
        after = told.get("after") if isinstance(told, dict) else None
        if not isinstance(after, dict) or after.get("label") != "person" or after.get("false_positive"):
            return None
        event_id, camera = after.get("id"), after.get("camera")
        if not (isinstance(event_id, str) and _ID.fullmatch(event_id)):
            return None
        if not (isinstance(camera, str) and _CAMERA.fullmatch(camera)):
            return None
        snapshot = after.get("snapshot")
        of_snapshot = snapshot if isinstance(snapshot, dict) else {}
        taken_s = of_snapshot.get("frame_time")
        return cls(
            id=event_id,
            camera=camera,
            ended=told.get("type") == "end",
            sub_label=_sub_label(after.get("sub_label")),
            snapshot_s=taken_s if isinstance(taken_s, float) else None,
            box=_box(of_snapshot.get("box") or after.get("box")),
        )


def _sub_label(told: object) -> str:
    """Versions of Frigate give the name, or the name and its score."""
    if isinstance(told, list) and told:
        told = told[0]
    return told if isinstance(told, str) else ""


def _box(told: object) -> Box | None:
    if not isinstance(told, list) or len(told) != 4 or not all(isinstance(edge, float) for edge in told):
        return None
    left, top, right, bottom = told
    return left, top, right, bottom


@dataclass(slots=True)
class _TrackedPerson:
    """Somebody whom Frigate follows.

    Attributes:
        report: The newest of Frigate's.
        track: A number of its own.
        began_s: When the first came.
        fresh: Whether there is something to look at or to tell.
        looks: How many pictures were looked at.
        snapshot_s: When the last of them was taken, by Frigate's clock.
        digest: Of the last of them.
        identity: What they have told; None before the first.
        told: Name and score that Frigate has from here.
        own_labels: All names that it has had from here.
        failures: Attempts that failed, one after the other, the first of them at ``failing_since_s``.
        not_before_s: When it is tried again.
    """

    report: Report
    track: int
    began_s: float
    fresh: bool = True
    looks: int = 0
    snapshot_s: float | None = None
    digest: bytes = b""
    identity: Identity | None = None
    told: tuple[str, float] = ("", 0.0)
    own_labels: set[str] = field(default_factory=set)
    failures: int = 0
    failing_since_s: float = 0.0
    not_before_s: float = 0.0

    @property
    def source(self) -> str:
        return f"frigate/{self.report.camera}"


class Frigate:
    """Names the people of Frigate's events.

    Each message of an event makes the thread look at its snapshot, unless it is the one that was looked at before; of
    several that come meanwhile only the last counts. Frigate is told a name once, again when the name has changed or
    the score has risen, and for the last time when the event ends.

    Args:
        client: Frigate's two calls.
        connections: To the brokers that Frigate publishes at.
        topic: What it calls ``topic_prefix``; its events are below.
        open_pool: Opens the pool for the thread that recognizes.
        recognizer: Made on that pool, in that thread.
        decode: Makes a picture of a snapshot.
        emit: Passes on who came, was recognized, and went.
        tracks: Numbers for those who come.
        is_ours: Whether it is for this process to look at events, of several that hear of them.
        keep: Gets the faces of those who came, where pictures of them are kept.

    Raises:
        ConfigError: There is no broker.
    """

    def __init__(
        self,
        client: FrigateClient,
        connections: Sequence[BrokerConnection],
        topic: str,
        open_pool: Callable[[], AbstractContextManager[Pool]],
        recognizer: Callable[[Pool], SnapshotRecognizer],
        decode: Callable[[bytes], Image],
        emit: Emit,
        tracks: Iterator[int],
        is_ours: Callable[[], bool] = lambda: True,
        keep: Keep = lambda _source, _sightings: None,
    ) -> None:
        if not connections:
            raise broker_missing("--frigate")
        self._client = client
        self._open_pool = open_pool
        self._make_recognizer = recognizer
        self._decode = decode
        self._emit = emit
        self._keep = keep
        self._changed = threading.Condition()
        self._tracked: dict[str, _TrackedPerson] = {}
        self._ended: dict[str, None] = {}
        self._tracks = tracks
        self._is_ours = is_ours
        self._deadline_s: float | None = None
        self._failing = False
        self._full = False
        self._thread = threading.Thread(target=self._run, name="frigate", daemon=True)
        self._thread.start()
        for connection in connections:
            connection.subscribe(f"{topic}/events", self._hear)

    @property
    def waiting(self) -> int:
        """How many people wait to be looked at, or Frigate to be told of."""
        with self._changed:
            return sum(tracked.fresh for tracked in self._tracked.values())

    def close(self, timeout_s: float = 5.0) -> None:
        """Tell Frigate what it was not told yet, for so long at most; nobody is there any more."""
        with self._changed:
            self._deadline_s = time.monotonic() + timeout_s
            self._changed.notify()
        self._thread.join(timeout_s)
        self._client.close()

    def _hear(self, _topic: str, message: bytes, kept: bool) -> None:  # noqa: FBT001 -- a Receive
        """A message has come, in the broker's own thread."""
        report = None if kept else Report.parse(message)
        if report is None or not self._is_ours():
            return
        with self._changed:
            tracked = self._tracked.get(report.id)
            if tracked is not None:
                tracked.report, tracked.fresh = report, True
            elif report.id not in self._ended and len(self._tracked) < 2 * _MOST_TRACKED:
                self._tracked[report.id] = _TrackedPerson(report, next(self._tracks), time.monotonic())
                self._full = False
            elif report.id not in self._ended and not self._full:
                self._full = True
                _LOG.warning("Frigate tells of more than %d people at once: some are not looked at", len(self._tracked))
            self._changed.notify()

    # What follows runs in the thread.

    def _run(self) -> None:
        while not self._over():
            try:
                with self._open_pool() as pool:
                    self._attend_all(self._make_recognizer(pool))
            except FacepoolError as error:  # the pool is busy, or its file was replaced: the next one opens the new one
                _LOG.warning("Frigate's events cannot be looked at: %s", error.why or error.what)
                time.sleep(_FIRST_WAIT_S)
        for tracked in list(self._tracked.values()):
            self._end(tracked)

    def _over(self) -> bool:
        with self._changed:
            if self._deadline_s is None:
                return False
            return time.monotonic() > self._deadline_s or not any(tracked.fresh for tracked in self._tracked.values())

    def _attend_all(self, recognizer: SnapshotRecognizer) -> None:
        while not self._over():
            tracked = self._next()
            if tracked is not None:
                self._attend(tracked, recognizer)
            if (idle := self._idle_for_long()) is not None:
                self._end(idle)

    def _next(self) -> _TrackedPerson | None:
        """Somebody to look at now, the oldest first; None after a while without one."""
        with self._changed:
            now_s, waiting = time.monotonic(), [tracked for tracked in self._tracked.values() if tracked.fresh]
            for tracked in waiting:
                if tracked.not_before_s <= now_s or self._deadline_s is not None:
                    tracked.fresh = False
                    return tracked
            soonest_s = min((tracked.not_before_s for tracked in waiting), default=now_s + _LONGEST_WAIT_S)
            self._changed.wait(soonest_s - now_s)
            return None

    def _idle_for_long(self) -> _TrackedPerson | None:
        """Somebody whose end was never told, it seems, where there are too many."""
        with self._changed:
            if len(self._tracked) <= _MOST_TRACKED:
                return None
            return next((tracked for tracked in self._tracked.values() if not tracked.fresh), None)

    def _attend(self, tracked: _TrackedPerson, recognizer: SnapshotRecognizer) -> None:
        report = tracked.report
        try:
            self._look(tracked, report, recognizer)
            self._answer(tracked, report, recognizer)
        except (Unreachable, Rejected) as error:
            if self._put_off(tracked, error):
                return
        else:
            tracked.failures = 0
            if self._failing:
                self._failing = False
                _LOG.warning("Frigate at %s answers again", self._client.name)
        if report.ended:
            self._end(tracked)

    def _put_off(self, tracked: _TrackedPerson, error: Exception) -> bool:
        """Whether it is tried again."""
        now_s = time.monotonic()
        tracked.failing_since_s = tracked.failing_since_s if tracked.failures else now_s
        tracked.failures += 1
        if not self._failing:
            self._failing = True
            _LOG.warning("Frigate at %s: %s", self._client.name, error)
        refused = isinstance(error, Rejected) and tracked.failures >= _MOST_REFUSALS
        if refused or self._deadline_s is not None or now_s - tracked.failing_since_s > _GIVE_UP_S:
            _LOG.warning("Frigate is not told who was before %s: %s", tracked.source, error)
            return False
        tracked.not_before_s = now_s + min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(tracked.failures, 10))
        tracked.fresh = True
        return True

    def _look(self, tracked: _TrackedPerson, report: Report, recognizer: SnapshotRecognizer) -> None:
        """Look at the snapshot, if it may be another than before.

        While an event goes on, Frigate cuts the person out; afterwards it has one picture only, which may show the
        camera's whole view: that one is looked at only where nothing else has shown a face.
        """
        known = report.snapshot_s is not None and report.snapshot_s == tracked.snapshot_s
        if (known and not report.ended) or (report.ended and tracked.identity is not None):
            return
        content = self._client.snapshot(report.id)
        if content is None or (digest := sha256(content).digest()) == tracked.digest:
            return
        tracked.snapshot_s, tracked.digest, tracked.looks = report.snapshot_s, digest, tracked.looks + 1
        try:
            image_bgr = self._decode(content)
            identity = tracked.identity or recognizer.begin()
            before = identity.held
            decision = recognizer.look(image_bgr, identity, inside=_whole_view(report, image_bgr))
        except ServerBusy as error:
            tracked.digest = b""
            raise Unreachable(error.why or error.what) from error
        except (InputError, RequestError) as error:
            _LOG.warning("A snapshot of %s cannot be used: %s", tracked.source, error.why or error.what)
            return
        if decision is not None:
            self._tell_of(tracked, identity, before, image_bgr)

    def _tell_of(self, tracked: _TrackedPerson, identity: Identity, before: str | None, image_bgr: Image) -> None:
        frame = Frame(image_bgr, tracked.source, tracked.looks - 1, time.monotonic() - tracked.began_s)
        events = []
        if tracked.identity is None:
            tracked.identity = identity
            events.append(_event("appeared", tracked, frame, "new"))
        if identity.shown is not None and identity.held != before:
            kind: EventKind = "recognized" if before is None else "changed"
            events.append(_event(kind, tracked, frame, identity.shown.reason, before))
        if identity.shown is not None and identity.kept_as != (identity.shown.person_id,):
            self._keep_faces(tracked, identity)
        if events:
            self._emit(tracked.source, frame, events)

    def _keep_faces(self, tracked: _TrackedPerson, identity: Identity, *, ended: bool = False) -> None:
        sighting = sighting_of(identity, FACES_KEPT, ended=ended)
        if sighting is not None:
            identity.kept_as = (sighting.decision.person_id,)
            self._keep(tracked.source, [sighting])

    def _answer(self, tracked: _TrackedPerson, report: Report, recognizer: SnapshotRecognizer) -> None:
        """Tell Frigate who it is, unless it knows, or knows better."""
        if report.sub_label and report.sub_label not in tracked.own_labels:
            return  # somebody has said it there, or Frigate has recognized the face itself
        # Decided anew, for somebody may have been erased or renamed while Frigate could not be told.
        name, score = _label(None if tracked.identity is None else recognizer.decide(tracked.identity))
        told, told_score = tracked.told
        better = score - told_score >= (_DIFFERENT if report.ended else _BETTER)
        if name == told and not (name and better):
            return
        self._client.set_sub_label(report.id, name, score or None)
        tracked.told = name, score
        tracked.own_labels.add(name)

    def _end(self, tracked: _TrackedPerson) -> None:
        """Nobody is there any more."""
        with self._changed:
            self._tracked.pop(tracked.report.id, None)
            self._ended[tracked.report.id] = None
            while len(self._ended) > _MOST_TRACKED:
                self._ended.pop(next(iter(self._ended)))
        if tracked.identity is not None:
            self._keep_faces(tracked, tracked.identity, ended=True)
            frame = Frame(_NO_PIXELS, tracked.source, max(0, tracked.looks - 1), time.monotonic() - tracked.began_s)
            self._emit(tracked.source, frame, [_event("lost", tracked, frame, "gone")])


def _label(decision: Decision | None) -> tuple[str, float]:
    """Name and score; nobody is an empty name and 0."""
    if decision is None or decision.person is None:
        return "", 0.0
    return decision.person[:_LONGEST_LABEL], dict(scaled_people(decision))[decision.person]


def _whole_view(report: Report, image_bgr: Image) -> Box | None:
    """Where the person is in a picture that may show the camera's whole view; None in one that was cut out."""
    if not report.ended or report.box is None:
        return None
    height, width = image_bgr.shape[:2]
    _, _, right, bottom = report.box
    return report.box if right <= width and bottom <= height else None


def _event(
    kind: EventKind, tracked: _TrackedPerson, frame: Frame, reason: EventReason, previous: str | None = None
) -> Event:
    identity = tracked.identity
    decision = None if identity is None or kind == "appeared" else identity.shown
    return Event(
        kind=kind,
        track=tracked.track,
        person=None if decision is None else decision.person,
        previous=previous,
        similarity=None if decision is None else decision.similarity,
        threshold=None if decision is None else decision.threshold,
        margin=None if decision is None else decision.margin,
        frames=0 if identity is None else identity.frames,
        time_s=frame.time_s or 0.0,
        bbox=(0.0, 0.0, 0.0, 0.0) if identity is None else identity.bbox,
        reason=reason,
        person_id=None if decision is None else decision.person_id,
        sighting=None if identity is None or identity.crop_bgr is None else identity.sighting,
    )
