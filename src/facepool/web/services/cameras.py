"""The cameras of the server, each watched in a thread of its own, and opened again whatever happens to it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Literal

import cv2
from pydantic import BaseModel, Field

from facepool.capture import (
    CaptureOptions,
    FrameSource,
    LiveStatus,
    Pace,
    TurnFinder,
    frames_or_silence,
    mask_credentials,
    open_source,
)
from facepool.capture.source import STREAM_SCHEMES, check_source, url_scheme
from facepool.config import LEAST_EVERY_S, Rotation, turned
from facepool.errors import ConfigError, FacepoolError
from facepool.gallery import Pool, find_name
from facepool.gallery.database import Database
from facepool.overlay import Painter, live_labels
from facepool.recognize.events import Event, LiveView
from facepool.recognize.live import LiveRecognizer, LiveSession
from facepool.recognize.sightings import TrackSighting
from facepool.records import live_records
from facepool.types import Frame, Turn
from facepool.web.problems import NotFound, RequestError, ServerBusy
from facepool.web.services.following import BehindInfo, OutageInfo
from facepool.web.services.processes import OneProcess, Processes, name_of_machine
from facepool.web.services.secrets import has_secret
from facepool.web.services.store import ServerStore, insert_entry, now

MOST_CAMERAS = 64
SNAPSHOTS_EVERY_S = 2.0
"""How often an address that serves one picture at a time is asked, where nothing else is said."""
_PICTURE_QUALITY = 85
MEMORY = "cameras"
"""Under which name the store has them."""
_LOG = logging.getLogger(__name__)
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_CLOSE_GRACE_S = 2.0
_RATE_WINDOW_S = 5.0
_RATE_FRAMES = 3
"""So many at least are counted, where they come so seldom that the window holds fewer."""

CameraState = Literal["connecting", "watching", "reconnecting", "ended", "failed", "closed"]
"""``ended``: it was a file, and it has been watched to its end. ``failed``: by an error of this program."""
_ELSEWHERE_S = 0.2
_ELSEWHERE = "another process of the server watches it, or may do so while this one cannot ask the database"


class UnknownCamera(NotFound):
    """The server has no camera of that id.

    Remedy: `GET /v1/cameras` lists them.
    """

    code = "camera_unknown"


class NoPicture(NotFound):
    """A camera has not shown anything yet.

    Remedy: ask again in a moment; `GET /v1/cameras` says whether it is connected.
    """

    code = "no_picture"


class CameraElsewhere(RequestError):
    """Another process of the server watches the camera, on another machine, and only that one has its pictures.

    Remedy: ask the process that the answer and `GET /v1/cameras` name, by its own address.
    """

    code = "camera_elsewhere"
    status = 409


class FaceInView(BaseModel):
    """Somebody before a camera."""

    track: int
    person: str | None = Field(description="null: unknown")
    reason: str = Field(description="`match` is the only one that names a person")
    since: str
    sighting: str | None = Field(None, description="The `id` of the sighting, where faces are kept; null: none are")


class CameraInfo(BaseModel):
    """A camera, and what it is doing."""

    id: str
    name: str
    source: str = Field(description="Without passwords")
    state: CameraState
    since: str = Field(description="From when on it has been in that state")
    reason: str = Field(description="Why it is not watching")
    restarts: int = Field(description="How often it came back after it had failed")
    fps: float = Field(description="Frames looked at in a second, lately")
    size: tuple[int, int] | None = Field(description="Width and height of its pictures, as they are turned")
    rotate: Rotation = Field(description="Degrees clockwise by which its pictures are turned, or `auto`")
    every: float = Field(description="Seconds between its pictures, where its address serves one at a time")
    turned: int | None = Field(description="Degrees by which they are turned now; null while `auto` has seen nobody")
    present: list[FaceInView]
    process: str | None = Field(
        description="Which process of the server watches it, where several share a pool; null: none does now, or there "
        "is only one",
    )
    outage: OutageInfo | None = None
    behind: BehindInfo | None = None

    @property
    def people(self) -> tuple[str, ...]:
        """Who is in view and known, by name."""
        return tuple(sorted({face.person for face in self.present if face.person is not None}))


class RememberedCamera(BaseModel):
    """What is kept of a camera from one start of the server to the next."""

    name: str
    rotate: Rotation | None = None
    every: float | None = None
    machine: str | None = None

    def kept(self) -> object:
        """As the store has it: earlier servers read a camera that has a name and nothing else."""
        kept = self.model_dump(exclude_none=True)
        return self.name if kept.keys() == {"name"} else kept


@dataclass(frozen=True, slots=True)
class CameraSetup:
    """What cameras have in common.

    Attributes:
        recognizer: Makes a live recognizer on a pool that the calling thread may use.
        open_pool: Opens the pool for the calling thread.
        turn_finder: Makes what finds out how a camera is mounted, and says it to what it is given.
        capture: How sources are opened.
        emit: Passes on what happened before a camera, in the camera's thread.
        rotate: How cameras are turned that nothing else is said of.
        watches: Whether this process is to watch a camera, by its id; nothing is emitted by one that is not.
        keep: Gets the sightings of a camera, in the camera's thread.
    """

    recognizer: Callable[[Pool], LiveRecognizer]
    open_pool: Callable[[], AbstractContextManager[Pool]]
    emit: Callable[["Camera", Frame, Sequence[Event]], None]
    turn_finder: Callable[[Callable[[Turn], None]], TurnFinder]
    capture: CaptureOptions
    rotate: Rotation = "0"
    watches: Callable[[str], bool] = lambda _number: True
    keep: Callable[["Camera", Sequence[TrackSighting]], None] = lambda _camera, _sightings: None


class Camera:
    """One camera, watched until it is closed.

    Args:
        number: Its id.
        source: Camera number, URL or file.
        kept: What is remembered of it: its name for people; how its pictures are turned and how often they are asked
            for, where not as the setup says.
        setup: What it is watched with.
    """

    def __init__(self, number: str, source: str, kept: RememberedCamera, setup: CameraSetup) -> None:
        name = kept.name
        self.id = number
        self.kept = kept
        self.name = name
        self.source = mask_credentials(source)
        self._spec = source
        self._setup = setup
        self._rotate = kept.rotate or setup.rotate
        self._every_s = max(LEAST_EVERY_S, kept.every or setup.capture.every_s or SNAPSHOTS_EVERY_S)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {number}", daemon=True)
        self._line = OneLine()  # the thread's own
        # All below is shared with the thread and guarded by this.
        self._lock = threading.Lock()
        self._status = CameraInfo(
            id=number,
            name=name,
            source=self.source,
            state="connecting",
            since=now(),
            reason="",
            restarts=0,
            fps=0,
            size=None,
            rotate=self._rotate,
            every=self._every_s,
            turned=None,
            present=[],
            outage=None,
            process=None,
        )
        self._shown: tuple[Frame, LiveView] | None = None
        self._painted: bytes | None = None
        self._open: FrameSource | None = None
        self._times: list[float] = []
        self._since: dict[int, str] = {}

    @property
    def status(self) -> CameraInfo:
        """What it is doing now."""
        with self._lock:
            shown, status = self._shown, self._status
            if shown is None or status.state != "watching":
                return status
            fps = _rate(self._times)
            since = {int(track): self._since.get(int(track), status.since) for track in shown[1].track_ids}
        frame, view = shown
        present = [
            FaceInView.model_validate({**record, "since": since[int(track)]})
            for record, track, confirmed in zip(live_records(frame, view), view.track_ids, view.confirmed, strict=True)
            if confirmed
        ]
        height, width = frame.image_bgr.shape[:2]
        return status.model_copy(
            update={
                "fps": fps,
                "size": (width, height),
                "present": present,
                "outage": OutageInfo.of(view.outage),
                "behind": BehindInfo.of(view.behind),
            }
        )

    @property
    def shown(self) -> tuple[Frame, LiveView] | None:
        """The newest frame that was looked at, and what was seen; None before the first."""
        with self._lock:
            return self._shown

    @property
    def painted(self) -> bytes | None:
        """The picture of what is shown; None: nobody has painted it yet."""
        with self._lock:
            return self._painted

    def keep_painted(self, shown: tuple[Frame, LiveView], picture: bytes) -> None:
        """Keep a picture for all who ask for it until the next one is shown."""
        with self._lock:
            if self._shown is shown:
                self._painted = picture

    def watches(self, source: str) -> bool:
        """Whether it is this one; the secret parts of its address are not shown for that."""
        return self._spec == source

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def let_go(self) -> None:
        """Let go of the device if another process is to watch it: of itself it does so with the next frame."""
        if not self._setup.watches(self.id):
            self._close_source()

    def close(self) -> None:
        """Stop watching; the device is let go of as soon as its read returns."""
        self._stop.set()
        self._close_source()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_GRACE_S)
        self._enter("closed")

    def _close_source(self) -> None:
        with self._lock:
            source = self._open
        if source is not None:
            source.close()

    # What follows runs in the thread.

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            if not self._setup.watches(self.id):
                self._enter("connecting", _ELSEWHERE)
                self._stop.wait(_ELSEWHERE_S)
                continue
            if self._status.reason == _ELSEWHERE:
                self._enter("connecting")
            try:
                with self._connect() as source, self._setup.open_pool() as pool:
                    self._enter("watching")
                    wait_s = _FIRST_WAIT_S
                    self._watch(source, pool)
                    if not self._setup.watches(self.id):
                        continue
                    if not source.live and not self._stop.is_set():
                        self._enter("ended")
                        return
                    reason = "it sends nothing any more"
            except FacepoolError as error:
                reason = error.why or error.what
            except BaseException:
                self._enter("failed", "an internal error, which is in the server's log")
                raise
            if not self._stop.is_set() and self._setup.watches(self.id):
                _LOG.warning("camera %s: %s", self.id, reason)
                self._enter("reconnecting", reason)
                self._stop.wait(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _connect(self) -> FrameSource:
        setup = self._setup
        capture = replace(setup.capture, every_s=self._every_s)
        options = turned(capture, self._rotate, lambda: setup.turn_finder(self._turned))
        source = open_source(self._spec, options, on_status=self._news)
        if options.find_turn is None:
            self._turned(options.rotate)
        with self._lock:
            self._open = source
        if self._stop.is_set():  # closed meanwhile, by somebody who did not know the source yet
            source.close()
        return source

    def _watch(self, source: FrameSource, pool: Pool) -> None:
        pace = None if source.live else Pace()
        self._line.connected()
        recognizer = self._setup.recognizer(pool)
        with closing(LiveSession(recognizer, self._emit, self._keep)) as session:
            silent = False
            for frame in frames_or_silence(source):
                if self._stop.is_set() or not self._setup.watches(self.id):
                    return
                if frame is None:
                    if not silent:
                        session.interrupt()
                        self._fall_silent()
                    silent = True
                    continue
                if silent:
                    silent = False
                    self._enter("watching")
                if pace is not None and frame.time_s is not None:
                    self._stop.wait(max(0.0, pace.due(frame.time_s, time.monotonic()) - time.monotonic()))
                placed = self._line.place(frame)
                with suppress(ServerBusy):  # the next frame is as good
                    self._show(placed, session.look(placed))
            session.close(film=not source.live)

    def _emit(self, frame: Frame, events: Sequence[Event]) -> None:
        """Pass on what happened, unless it is for another process to say by now: this one may have stood still."""
        if self._setup.watches(self.id):
            self._setup.emit(self, frame, events)

    def _keep(self, _frame: Frame, sightings: Sequence[TrackSighting]) -> None:
        if self._setup.watches(self.id):
            self._setup.keep(self, sightings)

    def _show(self, frame: Frame, view: LiveView) -> None:
        at_s = time.monotonic()
        with self._lock:
            self._shown, self._painted = (frame, view), None
            recent = [at for at in self._times if at >= at_s - _RATE_WINDOW_S]
            self._times = (recent if len(recent) >= _RATE_FRAMES else self._times[-_RATE_FRAMES:]) + [at_s]
            for event in view.events:
                if event.kind == "lost":
                    self._since.pop(event.track, None)
                else:
                    self._since.setdefault(event.track, now())

    def _fall_silent(self) -> None:
        """Its connection stands, and nothing comes; where it is broken, the source says so itself."""
        if self._status.state == "watching":
            self._enter("reconnecting", "it sends no picture")

    def _news(self, status: LiveStatus) -> None:
        """The source reconnects by itself for a while; follow what it does."""
        if status.state == "connected":
            self._enter("watching")
        elif status.state == "reconnecting":
            self._enter("reconnecting", status.reason)

    def _turned(self, turn: Turn) -> None:
        if self._rotate == "auto":
            _LOG.info("camera %s: pictures are turned clockwise by %d degrees from now on", self.id, turn)
        with self._lock:
            self._status = self._status.model_copy(update={"turned": turn})

    def _enter(self, state: CameraState, reason: str = "") -> None:
        with self._lock:
            before = self._status
            if before.state == "closed" or (before.state, before.reason) == (state, reason):
                return
            since = before.since if before.state == state else now()
            again = state == "watching" and before.state == "reconnecting"
            changes = {"state": state, "since": since, "reason": reason, "restarts": before.restarts + again}
            self._status = before.model_copy(update=changes)
            if state != before.state:
                # What was to be seen before is not what is to be seen now, and may name somebody who was erased.
                self._shown = self._painted = None
                self._since.clear()


class OneLine:
    """Lets numbers and times of a camera's frames go on where those of its last connection ended.

    Args:
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: tuple[int, float, float] | None = None
        self._shift: tuple[int, float] | None = None

    def connected(self) -> None:
        """What comes now is of another connection."""
        self._shift = None

    def place(self, frame: Frame) -> Frame:
        """The frame with its number and time among all of the camera's."""
        if frame.time_s is None:
            return frame
        at_s = self._clock()
        if self._shift is None:
            index, time_s, last_at_s = self._last or (frame.index - 1, frame.time_s, at_s)
            self._shift = index + 1 - frame.index, time_s + at_s - last_at_s - frame.time_s
        index, time_s = frame.index + self._shift[0], frame.time_s + self._shift[1]
        self._last = index, time_s, at_s
        return replace(frame, index=index, time_s=time_s)


def _rate(times_s: Sequence[float]) -> float:
    """Frames a second, in three digits at most; 0 before the second frame."""
    if len(times_s) < 2 or times_s[-1] <= times_s[0]:
        return 0.0
    fps = (len(times_s) - 1) / (times_s[-1] - times_s[0])
    return round(fps, 1 if fps >= 1 else 3)


class Cameras:
    """The cameras that the server watches.

    Args:
        setup: What they are watched with.
        memory: Remembers those that are to be watched after the next start, too.
        on_change: Hears which this process watches, whenever that is one more or one less.
        processes: Those that serve the pool: of each camera, one of them is to watch it.

    Attributes:
        picture_elsewhere: Gives the picture of a camera that another process watches, where that can be asked.
    """

    def __init__(
        self,
        setup: CameraSetup,
        memory: "CameraMemory | None" = None,
        on_change: Callable[[Sequence[Camera]], None] = lambda _cameras: None,
        processes: Processes | None = None,
    ) -> None:
        self._processes = processes or OneProcess()
        self._setup = replace(setup, watches=self._processes.watches)
        self._on_change = on_change
        self._memory = memory
        self._watched: tuple[str, ...] = ()
        self.picture_elsewhere: Callable[[str], bytes | None] = lambda _number: None
        self._changing = threading.RLock()
        """Held while one is added or removed: what is remembered is what is watched."""
        self._lock = threading.Lock()
        self._cameras: dict[str, Camera] = {}
        self._remembered: set[str] = set()
        self._painting = threading.Lock()
        self._painter: Painter | None = None  # fonts take time and memory, and most servers have no camera
        self._processes.say("cameras", self._said_of_those_watched)
        self._processes.on_cameras(self._follow)
        self._processes.announcements.hear("cameras", lambda _fields: self.follow_memory())
        self._processes.announcements.after_gap(self.follow_memory)

    def all(self) -> list[Camera]:
        """Those that this process is ready to watch, in the order in which they were added."""
        with self._lock:
            return list(self._cameras.values())

    def infos(self) -> list[CameraInfo]:
        """All cameras of all processes of the server, and what they are doing."""
        found = {camera.id: camera.status for camera in self.all()}
        if not self._processes.shared:
            return list(found.values())
        for number, info in found.items():
            if self._processes.watches(number):
                found[number] = info.model_copy(update={"process": self._processes.name})
        for peer in self._processes.peers:
            told = peer.report.get("cameras")
            for info in map(CameraInfo.model_validate, told if isinstance(told, list) else ()):
                found[info.id] = info.model_copy(update={"process": peer.name})
        return [found[number] for number in sorted(found, key=int)]

    def info(self, number: str) -> CameraInfo:
        """One of them.

        Raises:
            UnknownCamera: There is none of that id.
        """
        for info in self.infos():
            if info.id == number:
                return info
        raise _unknown(number)

    @property
    def showing(self) -> int:
        """How many of them show something."""
        return sum(camera.status.state == "watching" for camera in self.all())

    def get(self, number: str) -> Camera:
        """One of them.

        Raises:
            UnknownCamera: There is none of that id.
        """
        with self._lock:
            camera = self._cameras.get(number)
        if camera is None:
            raise _unknown(number)
        return camera

    def restore(self) -> None:
        """Watch those that were to be remembered, after a start; one that cannot be watched any more keeps no other.

        Where nobody can say which those are, the server goes on without them.
        """
        try:
            self.follow_memory()
        except FacepoolError as error:
            _LOG.error("The cameras that were added by the page or by REST are not watched: %s", error)

    def follow_memory(self) -> None:
        """Watch those that are remembered now, and none that were: other processes add and remove some, too."""
        if self._memory is None:
            return
        with self._changing:
            remembered = self._memory.bring_up_to_date()
            for camera in self.all():
                if any(map(camera.watches, remembered)):
                    self._remembered.add(camera.id)
                elif camera.id in self._remembered:
                    self._drop(camera)
            for source, kept in remembered.items():
                is_here = any(camera.watches(source) for camera in self.all())
                if is_here or kept.machine not in (None, name_of_machine()):
                    continue
                try:
                    self._remembered.add(self.add(source, kept.name, rotate=kept.rotate, every=kept.every).id)
                except ConfigError as error:
                    _LOG.warning("The camera %r is not watched: %s", mask_credentials(kept.name), error)

    def add(
        self,
        source: str,
        name: str = "",
        *,
        rotate: Rotation | None = None,
        every: float | None = None,
        remember: bool = False,
        by: str = "",
    ) -> Camera:
        """Watch one more. Whether it can be opened, its status says later; it is tried again and again.

        Where it is to be remembered and cannot be, it is not watched either.

        Args:
            source: Camera number, URL, or a file, which is watched once at its own speed.
            name: For people; by default the source, without what is secret in it.
            rotate: Degrees clockwise by which its pictures are turned, or ``auto``; None as the server was started.
            every: Seconds between its pictures, where its address serves one at a time; None as the server was started.
            remember: Watch it after the next start, too.
            by: Who adds it, for the audit log, which says so in the same transaction; empty: nobody in particular.

        Raises:
            ConfigError: The source or the name cannot be one, there is one of that source already, or there are too
                many.
            PoolLocked: It is to be remembered, and another program keeps the store locked.
        """
        _check_source(source)
        name = mask_credentials(find_name(name) if name.strip() else source)
        machine = name_of_machine() if self._processes.shared and is_of_one_machine(source) else None
        kept = RememberedCamera(name=name, rotate=rotate, every=every, machine=machine)
        with self._changing:
            present = self.all()
            if any(camera.watches(source) for camera in present):
                raise ConfigError("This camera is watched already", fix="Remove it first to watch it anew")
            if len(present) >= MOST_CAMERAS:
                raise ConfigError(f"There are {MOST_CAMERAS} cameras already", fix="Remove one first")
            number = self._processes.number_of(mask_credentials(source) + (f" of {machine}" if machine else ""))
            try:
                if remember and self._memory is not None:
                    self._memory.add(source, kept, by)
            except BaseException:
                self._processes.drop_camera(number)
                raise
            camera = Camera(number, source, kept, self._setup)
            with self._lock:
                self._cameras[camera.id] = camera
                self._remembered |= {camera.id} if remember else set()
            self._tell_of_change()
            camera.start()
        if remember:
            self._processes.announcements.send("cameras")
        return camera

    def remove(self, number: str, by: str = "") -> None:
        """Watch one no more; it goes on where that cannot be remembered.

        Args:
            number: Its id.
            by: Who removes it, for the audit log, which says so in the same transaction; empty: nobody in particular.

        Raises:
            UnknownCamera: There is none of that id.
            PoolLocked: Another program keeps the store locked.
        """
        with self._changing:
            camera = self._here(number)
            if self._memory is not None:
                self._memory.remove(camera.watches, camera.name, by)
            self._processes.forget_camera(number)
            with self._lock:
                self._cameras.pop(number, None)
            self._tell_of_change()
        camera.close()

    def picture(self, number: str) -> bytes:
        """The newest picture of one with boxes and names, as JPEG.

        Raises:
            UnknownCamera: There is none of that id.
            NoPicture: Nothing has been seen yet.
            CameraElsewhere: Another process watches it.
        """
        if not self._processes.watches(number) and (picture := self.picture_elsewhere(number)):
            return picture
        return self.picture_here(number)

    def picture_here(self, number: str) -> bytes:
        """`picture` of one that this process watches."""
        camera = self._here(number)
        if not self._processes.watches(number):
            raise _elsewhere(self.info(number))
        with self._painting:  # once for all who ask at the same time, however many those are
            shown, painted = camera.shown, camera.painted
            if shown is None:
                why = camera.status.reason or "not yet"
                raise NoPicture(f"There is no picture of the camera {camera.name}", why=why)
            if painted is None:
                painted = self._paint(*shown)
                camera.keep_painted(shown, painted)
        return painted

    def _here(self, number: str) -> Camera:
        """One that this process is ready to watch.

        Raises:
            CameraElsewhere: Only others are.
            UnknownCamera: There is none of that id.
        """
        with suppress(UnknownCamera):
            return self.get(number)
        raise _elsewhere(self.info(number))

    def _said_of_those_watched(self) -> list[dict[str, object]]:
        return [one.status.model_dump(mode="json") for one in self.all() if self._processes.watches(one.id)]

    def _follow(self, removed: frozenset[str]) -> None:
        """Cameras are watched by other processes now, or by nobody any more; devices are let go of in the meantime."""
        gone = []
        with self._lock:
            for number in removed:
                if number in self._cameras:
                    gone.append(self._cameras.pop(number))
                self._processes.drop_camera(number)
        for camera in self.all():
            camera.let_go()
        for camera in gone:
            threading.Thread(target=camera.close, name=f"camera {camera.id} ends", daemon=True).start()
        self._tell_of_change()

    def _drop(self, camera: Camera) -> None:
        """Watch one no more that another process has removed."""
        with self._lock:
            self._cameras.pop(camera.id, None)
            self._remembered.discard(camera.id)
        self._processes.drop_camera(camera.id)
        self._tell_of_change()
        camera.close()

    def _tell_of_change(self) -> None:
        watched = [camera for camera in self.all() if self._processes.watches(camera.id)]
        numbers = tuple(camera.id for camera in watched)
        if numbers != self._watched:
            self._watched = numbers
            self._on_change(watched)

    def _paint(self, frame: Frame, view: LiveView) -> bytes:
        self._painter = self._painter or Painter()
        painted = self._painter.draw(frame.image_bgr, live_labels(view), view.notes)
        _, data = cv2.imencode(".jpg", painted, [cv2.IMWRITE_JPEG_QUALITY, _PICTURE_QUALITY])
        return data.tobytes()

    def close(self) -> None:
        """Stop watching."""
        with self._lock:
            cameras = list(self._cameras.values())
            self._cameras.clear()
        if cameras:
            with ThreadPoolExecutor(len(cameras)) as together:  # each may take its time to let go
                list(together.map(Camera.close, cameras))


class CameraMemory:
    """Which cameras are to be watched after the next start: in the store by what is shown, their logins apart.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: ServerStore) -> None:
        self._store = store
        self._secrets = store.secrets
        self._lock = threading.Lock()

    def add(self, source: str, camera: RememberedCamera, by: str = "") -> None:
        """Remember one more, and, where somebody has added it, who."""
        self._change(lambda cameras: {**cameras, source: camera}, by, "added a camera", camera.name)

    def remove(self, is_it: Callable[[str], bool], name: str = "", by: str = "") -> None:
        """Forget the one whose source it is, if it was remembered, and say who has removed it."""
        self._change(
            lambda cameras: {source: camera for source, camera in cameras.items() if not is_it(source)},
            by,
            "removed a camera",
            name,
        )

    def bring_up_to_date(self) -> dict[str, RememberedCamera]:
        """All that can be watched, by source; logins that an earlier version kept in the store are taken out of it.

        They stood in sources, and in names: the page called a camera by its whole address where nothing else was given.
        """
        with self._store.reading() as db:
            cameras, kept, whole = self._read(db), self._store.kept_in(db, MEMORY), self._secrets.read(db)
        names = [camera.name for camera in cameras.values() if has_secret(camera.name)]
        if names or any(map(has_secret, kept)):
            cameras = self._change(_without_logins_in_names)
            self._mask_in_logs(names)
            self._store.wipe()
        elif whole.keys() - kept.keys():  # of a change that was cut off
            cameras = self._change(dict)
        missing = [source for source in cameras if _MASKED in source]
        for source in missing:
            _LOG.warning("The camera %r is not watched: its login is not in %s", source, self._secrets.name)
        return {source: camera for source, camera in cameras.items() if source not in missing}

    def _mask_in_logs(self, names: Sequence[str]) -> None:
        with self._store.transaction() as db:
            for name in names:
                shown = mask_credentials(name)
                db.execute("UPDATE server_activity SET source = ? WHERE source = ?", (shown, name))
                db.execute("UPDATE server_audit SET detail = ? WHERE detail = ?", (shown, name))
            self._store.owe(db)

    def _read(self, db: Database) -> dict[str, RememberedCamera]:
        """By source. Of one that only has a name, nothing else is kept."""
        whole = self._secrets.read(db)
        return {
            whole.get(shown, shown): RememberedCamera(name=one)
            if isinstance(one, str)
            else RememberedCamera.model_validate(one)
            for shown, one in self._store.kept_in(db, MEMORY).items()
        }

    def _change(
        self,
        change: Callable[[dict[str, RememberedCamera]], dict[str, RememberedCamera]],
        by: str = "",
        action: str = "",
        detail: str = "",
    ) -> dict[str, RememberedCamera]:
        """Remember others than before; where that cannot be, those of before, and no login of another.

        Returns:
            All that are remembered now, by source.
        """
        with self._lock:
            before: dict[str, str] | None = None
            try:
                with self._store.transaction() as db:
                    before = self._secrets.read(db)
                    cameras = change(self._read(db))
                    kept, whole = _as_kept(cameras)
                    self._secrets.put(db, whole)
                    self._store.keep_in(db, MEMORY, kept)
                    self._store.announce(db, "cameras")
                    if by:
                        insert_entry(db, by, action, detail=detail)
            except BaseException:
                if before is not None:
                    self._secrets.undo(before)
                raise
            self._secrets.drop_others(whole)
        return cameras


def _as_kept(cameras: Mapping[str, RememberedCamera]) -> tuple[dict[str, object], dict[str, str]]:
    """What is kept of cameras, by what is shown of their sources, and the whole sources of those that hold a login."""
    kept: dict[str, object] = {}
    whole: dict[str, str] = {}
    for source, camera in cameras.items():
        shown = _not_in(kept, mask_credentials(source))
        kept[shown] = camera.kept()
        if shown != source:
            whole[shown] = source
    return kept, whole


def _without_logins_in_names(cameras: dict[str, RememberedCamera]) -> dict[str, RememberedCamera]:
    for camera in cameras.values():
        camera.name = mask_credentials(camera.name)
    return cameras


_MASKED = mask_credentials("rtsp://user:password@").removeprefix("rtsp://").removesuffix("@")
"""What stands in place of what is not shown."""


def _unknown(number: str) -> UnknownCamera:
    return UnknownCamera(f"There is no camera {number!r}", fix="Ask which there are: GET /v1/cameras")


def _elsewhere(info: CameraInfo) -> CameraElsewhere:
    who = f"the process {info.process} does" if info.process else "no process does just now"
    return CameraElsewhere(
        f"The camera {info.name} is not watched by this process of the server",
        why=who,
        fix="Ask that process by its own address" if info.process else "Try again in a moment",
    )


def is_of_one_machine(source: str) -> bool:
    """Whether a source is a device or a file, which other machines do not have, or have another one of."""
    return url_scheme(source) not in STREAM_SCHEMES


def _not_in(taken: Mapping[str, object], shown: str) -> str:
    """What is shown of a camera, with a number where another looks the same without its login."""
    return next(name for name in chain([shown], (f"{shown} #{number}" for number in count(2))) if name not in taken)


def _check_source(source: str) -> None:
    """Refuse what names no camera; where it stands in a log, it is one line.

    Raises:
        ConfigError: It is not printable, too long, or the number of no camera.
    """
    check_source(source)
    flaw = next((character for character in source if not character.isprintable()), None)
    if flaw is not None:
        raise ConfigError(
            f"The camera {mask_credentials(source)[:60]!r} cannot be watched",
            why=f"its source has the character U+{ord(flaw):04X}, which cannot be printed",
            fix="Give a number, or an address on one line",
        )
