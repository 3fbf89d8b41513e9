"""One camera of the server, watched in a thread of its own; it starts again by itself whatever happens to it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal, Protocol

from facepool.capture import CaptureOptions, FrameSource, LiveStatus, Pace, mask_credentials, open_source
from facepool.errors import FacepoolError
from facepool.gallery import Pool
from facepool.recognize.events import Event, LiveView
from facepool.recognize.live import LiveRecognizer, LiveSession
from facepool.records import UNDECIDED
from facepool.types import Frame
from facepool.web.problems import ServerBusy

_LOG = logging.getLogger(__name__)
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_CLOSE_GRACE_S = 2.0
_RATE_WINDOW_S = 5.0

CameraState = Literal["connecting", "watching", "reconnecting", "ended", "failed", "closed"]
"""``ended``: it was a file, and it has been watched to its end. ``failed``: by an error of this program."""


@dataclass(frozen=True, slots=True)
class InView:
    """A face before a camera.

    Attributes:
        track: Number of the face, as in its events.
        person: Who it is; None: unknown, or not decided yet.
        reason: Why.
        since: From when on it has been there; ISO 8601 in UTC with seconds.
    """

    track: int
    person: str | None
    reason: str
    since: str


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """What a camera is doing.

    Attributes:
        state: In one word.
        since: From when on; ISO 8601 in UTC with seconds.
        reason: Why it is not watching, in one line; empty where it is.
        restarts: How often it was opened again after it had failed.
        fps: Frames looked at in a second, lately; 0 while there are none.
        size_wh: Of its pictures; None before the first.
        present: Who is in view.
    """

    state: CameraState
    since: str
    reason: str = ""
    restarts: int = 0
    fps: float = 0.0
    size_wh: tuple[int, int] | None = None
    present: tuple[InView, ...] = ()

    @property
    def people(self) -> tuple[str, ...]:
        """Who is in view and known, by name."""
        return tuple(sorted({face.person for face in self.present if face.person is not None}))


class Tell(Protocol):
    """Is told of what happened before a camera, in the camera's thread."""

    def __call__(self, camera: str, frame: Frame, events: Sequence[Event]) -> None:
        """Pass it on."""
        ...


@dataclass(frozen=True, slots=True)
class Watching:
    """What cameras have in common.

    Attributes:
        recognizer: Makes a live recognizer on a pool that the calling thread may use.
        open_pool: Opens the pool for the calling thread.
        capture: How sources are opened.
        tell: Is told of events.
    """

    recognizer: Callable[[Pool], LiveRecognizer]
    open_pool: Callable[[], AbstractContextManager[Pool]]
    tell: Tell
    capture: CaptureOptions


class Camera:
    """One camera, watched until it is closed.

    Args:
        number: Its id.
        source: Camera number, URL or file.
        name: For people.
        watching: What it is watched with.
    """

    def __init__(self, number: str, source: str, name: str, watching: Watching) -> None:
        self.id = number
        self.name = name
        self.source = mask_credentials(source)
        self._spec = source
        self._watching = watching
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {number}", daemon=True)
        # All below is shared with the thread and guarded by this.
        self._lock = threading.Lock()
        self._status = CameraStatus("connecting", _now())
        self._shown: tuple[Frame, LiveView] | None = None
        self._open: FrameSource | None = None
        self._times: list[float] = []
        self._since: dict[int, str] = {}

    @property
    def status(self) -> CameraStatus:
        """What it is doing now."""
        with self._lock:
            shown, status = self._shown, self._status
            if shown is None or status.state != "watching":
                return status
            lately = [at for at in self._times if at >= time.monotonic() - _RATE_WINDOW_S]
            frame, view = shown
            present = [
                InView(
                    track=int(track),
                    person=None if decision is None else decision.person,
                    reason=UNDECIDED if decision is None else decision.reason,
                    since=self._since.get(int(track), status.since),
                )
                for track, decision, told in zip(view.track_ids, view.decisions, view.told, strict=True)
                if told
            ]
        return replace(
            status,
            fps=round(len(lately) / _RATE_WINDOW_S, 1),
            size_wh=(frame.image_bgr.shape[1], frame.image_bgr.shape[0]),
            present=tuple(present),
        )

    @property
    def shown(self) -> tuple[Frame, LiveView] | None:
        """The newest frame that was looked at, and what was seen; None before the first."""
        with self._lock:
            return self._shown

    def watches(self, source: str) -> bool:
        """Whether it is this one; the secret parts of its address are not told for that."""
        return self._spec == source

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching; the device is let go of as soon as its read returns."""
        self._stop.set()
        with self._lock:
            source = self._open
        if source is not None:
            source.close()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_GRACE_S)
        self._enter("closed")

    # What follows runs in the thread.

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                with self._connect() as source, self._watching.open_pool() as pool:
                    self._enter("watching")
                    wait_s = _FIRST_WAIT_S
                    self._watch(source, pool)
                    if not source.live and not self._stop.is_set():
                        self._enter("ended")
                        return
                    reason = "it sends nothing any more"
            except FacepoolError as error:
                reason = error.why or error.what
            except BaseException:
                self._enter("failed", "an internal error, which is in the server's log")
                raise
            if not self._stop.is_set():
                self._failed(reason)
                self._stop.wait(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _connect(self) -> FrameSource:
        source = open_source(self._spec, self._watching.capture, on_status=self._news)
        with self._lock:
            self._open = source
        if self._stop.is_set():  # closed meanwhile, by somebody who did not know the source yet
            source.close()
        return source

    def _watch(self, source: FrameSource, pool: Pool) -> None:
        pace = None if source.live else Pace()
        emit = partial(self._watching.tell, self.name)
        with closing(LiveSession(self._watching.recognizer(pool), emit)) as session:
            for frame in source:
                if self._stop.is_set():
                    return
                if pace is not None and frame.time_s is not None:
                    self._stop.wait(max(0.0, pace.due(frame.time_s, time.monotonic()) - time.monotonic()))
                self._look(session, frame)

    def _look(self, session: LiveSession, frame: Frame) -> None:
        try:
            view = session.process(frame)
        except ServerBusy:
            return  # the next frame is as good
        now = time.monotonic()
        with self._lock:
            self._shown = frame, view
            self._times = [at for at in self._times if at >= now - _RATE_WINDOW_S] + [now]
            for event in view.events:
                if event.kind == "lost":
                    self._since.pop(event.track, None)
                else:
                    self._since.setdefault(event.track, _now())
        session.report(frame, view)

    def _news(self, status: LiveStatus) -> None:
        """The source reconnects by itself for a while; tell what it does."""
        if status.state == "connected":
            self._enter("watching")
        elif status.state == "reconnecting":
            self._enter("reconnecting", status.reason)

    def _failed(self, reason: str) -> None:
        _LOG.warning("camera %s: %s", self.id, reason)
        self._enter("reconnecting", reason)

    def _enter(self, state: CameraState, reason: str = "") -> None:
        with self._lock:
            before = self._status
            if before.state == "closed" or (before.state, before.reason) == (state, reason):
                return
            since = before.since if before.state == state else _now()
            again = state == "watching" and before.state == "reconnecting"
            self._status = CameraStatus(state, since, reason, restarts=before.restarts + again)
            if state == "watching":
                self._shown = None  # what was to be seen before it died is not what is to be seen now
                self._since.clear()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
