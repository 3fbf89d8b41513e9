"""Cameras of the server: a clip is watched to its end, and a camera that dies is found again when it comes back."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from facepool import Analyzer, Frame, ModelStore, load_analyzer, open_pool, read_image
from facepool.capture import CaptureOptions, ReconnectPolicy
from facepool.errors import ConfigError
from facepool.faces.turns import TurnFinder
from facepool.geometry import turn_image
from facepool.overlay import Painter
from facepool.recognize.events import Event, LiveView
from facepool.recognize.live import LiveOptions, LiveRecognizer
from facepool.search import Outage
from facepool.types import Detections, Image
from facepool.web.services.cameras import (
    Camera,
    CameraInfo,
    CameraMemory,
    Cameras,
    CameraSetup,
    NoPicture,
    OneLine,
    RememberedCamera,
    UnknownCamera,
    _rate,
)
from facepool.web.services.following import OutageInfo
from facepool.web.services.store import SqliteStore
from support.loopback_camera import camera_before, moving, write_video

PATIENCE_S = 60
HASTY = CaptureOptions(read_timeout_s=1.0, reconnect=ReconnectPolicy(first_wait_s=0.1, give_up_s=0.3))

Told = list[tuple[str, str, str | None]]


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store)


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def told_at() -> list[float]:
    """The times of events, in the camera's time."""
    return []


@pytest.fixture
def watching(analyzer: Analyzer, photos: Path, tmp_path: Path, told: Told, told_at: list[float]) -> CameraSetup:
    pool_path = tmp_path / "pool.db"
    with open_pool(pool_path, analyzer.space) as pool:
        photo = read_image(photos / "person_a_1.jpg")
        pool.register("Ada", [analyzer.analyze(photo).sample(0, Frame(photo, "photo"))], analyzer.space)

    def emit(camera: Camera, frame: Frame, events: Sequence[Event]) -> None:
        del frame
        told.extend((camera.name, event.kind, event.person) for event in events)
        told_at.extend(event.time_s for event in events)

    return CameraSetup(
        recognizer=lambda pool: LiveRecognizer(analyzer, pool),
        open_pool=lambda: open_pool(pool_path),
        emit=emit,
        turn_finder=partial(TurnFinder, analyzer),
        capture=HASTY,
    )


@pytest.fixture
def cameras(watching: CameraSetup) -> Iterator[Cameras]:
    with closing(Cameras(watching)) as cameras:
        yield cameras


@pytest.fixture(scope="module")
def ada(photos: Path) -> list[Image]:
    return moving(read_image(photos / "person_a_2.jpg"))


def wait_for(camera: Camera, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, camera.status
        time.sleep(0.02)


def test_a_clip_is_watched_to_its_end_and_who_is_in_it_is_told(
    cameras: Cameras, ada: list[Image], tmp_path: Path, told: Told
) -> None:
    camera = cameras.add(str(write_video(tmp_path / "clip.mp4", ada)), "Door")
    wait_for(camera, lambda: camera.status.state == "ended")
    assert ("Door", "recognized", "Ada") in told
    assert told[-1] == ("Door", "lost", "Ada")
    assert camera.status.restarts == 0


def test_what_there_is_to_keep_of_who_was_there_is_told_of_each_camera(
    watching: CameraSetup, analyzer: Analyzer, ada: list[Image], tmp_path: Path
) -> None:
    kept: list[tuple[str, str | None, bool]] = []
    setup = replace(
        watching,
        recognizer=lambda pool: LiveRecognizer(analyzer, pool, options=LiveOptions(keep_faces=2)),
        keep=lambda camera, sightings: kept.extend(
            (camera.name, sighting.decision.person, sighting.ended) for sighting in sightings
        ),
    )
    with closing(Cameras(setup)) as cameras:
        camera = cameras.add(str(write_video(tmp_path / "clip.mp4", ada)), "Door")
        wait_for(camera, lambda: camera.status.state == "ended")
    assert kept == [("Door", "Ada", False), ("Door", "Ada", True)]


def test_a_camera_that_dies_is_found_again(
    cameras: Cameras, ada: list[Image], told: Told, told_at: list[float]
) -> None:
    with camera_before(ada) as before_the_door:
        camera = cameras.add(before_the_door.url)
        wait_for(camera, lambda: camera.status.people == ("Ada",))
        before_the_door.unplug()
        wait_for(camera, lambda: camera.status.state == "reconnecting" and (camera.name, "lost", "Ada") in told)
        assert camera.status.reason
        assert camera.status.people == ()
        told.clear()
        before_the_door.plug_in()
        wait_for(camera, lambda: camera.status.people == ("Ada",))
        assert camera.status.restarts >= 1
        assert (camera.name, "recognized", "Ada") in told
    assert told_at == sorted(told_at)
    assert len(told_at) >= 4


def test_numbers_and_times_go_on_when_a_camera_comes_back() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    now_s = iter([100.0, 100.1, 100.2, 130.0, 130.1, 130.2, 200.0, 200.1, 200.2])
    line = OneLine(clock=lambda: next(now_s))
    placed: list[tuple[int, float | None]] = []
    for _ in range(3):
        line.connected()
        frames = [line.place(Frame(picture, "rtsp://door", index, index / 10)) for index in range(3)]
        placed += [(frame.index, frame.time_s) for frame in frames]
    assert [index for index, _ in placed] == list(range(9))
    expected = [0, 0.1, 0.2, 30, 30.1, 30.2, 100, 100.1, 100.2]
    assert [time_s for _, time_s in placed] == pytest.approx(expected)


def test_who_is_before_a_camera_that_hangs_is_lost_long_before_it_is_given_up(
    watching: CameraSetup, ada: list[Image], told: Told
) -> None:
    patient = replace(watching, capture=CaptureOptions(read_timeout_s=1.0, reconnect=ReconnectPolicy(give_up_s=600.0)))
    with closing(Cameras(patient)) as cameras, camera_before(ada) as before_the_door:
        camera = cameras.add(before_the_door.url)
        wait_for(camera, lambda: camera.status.people == ("Ada",))
        before_the_door.silent.set()
        began_s = time.monotonic()
        wait_for(camera, lambda: (camera.name, "lost", "Ada") in told)
        assert time.monotonic() - began_s < 5
        wait_for(camera, lambda: camera.status.state == "reconnecting" and camera.status.people == ())
        with pytest.raises(NoPicture):  # it would show, with a name, somebody who may be erased meanwhile
            cameras.picture(camera.id)
        told.clear()
        before_the_door.silent.clear()
        wait_for(camera, lambda: camera.status.people == ("Ada",))
        assert (camera.name, "appeared", None) in told


@pytest.mark.parametrize(
    ("times_s", "fps"), [([], 0), ([7.0], 0), ([0.0, 10.0, 20.0], 0.1), ([n / 25 for n in range(125)], 25.0)]
)
def test_the_rate_of_a_camera_is_told_however_slow_it_is(times_s: list[float], fps: float) -> None:
    assert _rate(times_s) == fps


def test_a_camera_that_is_not_there_yet_is_waited_for(cameras: Cameras, ada: list[Image]) -> None:
    with camera_before(ada) as before_the_door:
        before_the_door.unplug()
        camera = cameras.add(before_the_door.url)
        wait_for(camera, lambda: camera.status.state == "reconnecting")
        with pytest.raises(NoPicture):
            cameras.picture(camera.id)
        before_the_door.plug_in()
        wait_for(camera, lambda: camera.status.people == ("Ada",))


def test_the_picture_has_a_box_and_a_name(cameras: Cameras, ada: list[Image]) -> None:
    with camera_before(ada) as before_the_door:
        camera = cameras.add(before_the_door.url)
        seen: list[CameraInfo] = []

        def sees_ada() -> bool:  # what it says then: it may have lost the camera when it is asked again
            seen.append(camera.status)
            return seen[-1].people == ("Ada",)

        wait_for(camera, sees_ada)
        picture = cv2.imdecode(np.frombuffer(cameras.picture(camera.id), np.uint8), cv2.IMREAD_COLOR)
    status = seen[-1]
    assert picture is not None
    green = (picture[..., 1].astype(int) - picture[..., 2] > 80) & (picture[..., 1].astype(int) - picture[..., 0] > 60)
    assert green.sum() > 500
    assert status.size == (640, 480)
    (present,) = status.present
    assert (present.person, present.reason) == ("Ada", "match")
    assert present.since >= status.since
    assert status.fps > 0


def test_a_picture_is_painted_once_however_many_ask_for_it(
    watching: CameraSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise whoever asks fast enough keeps a core busy, and threads that others wait for."""
    painted = []

    def paint(_self: Painter, image_bgr: Image, _labels: object, _hud: object) -> Image:
        painted.append(image_bgr)
        return image_bgr

    monkeypatch.setattr(Painter, "draw", paint)
    nobody = np.zeros(0, np.bool_)
    view = LiveView(Detections.empty(), np.zeros(0, np.intp), (), (), nobody, nobody, (), 0)
    cameras = Cameras(watching)
    camera = cameras._cameras["1"] = Camera("1", "rtsp://127.0.0.1:9/door", RememberedCamera(name="Door"), watching)
    for shade in (0, 255):
        camera._show(Frame(np.full((8, 8, 3), shade, np.uint8), "door", shade), view)
        with ThreadPoolExecutor(4) as threads:
            pictures = set(threads.map(cameras.picture, ["1"] * 20))
        assert len(pictures) == 1
    assert len(painted) == 2
    camera._enter("reconnecting", "it sends no picture")
    with pytest.raises(NoPicture):
        cameras.picture("1")


def test_a_camera_says_of_when_the_people_are_that_it_knows(watching: CameraSetup) -> None:
    cameras = Cameras(watching)
    camera = cameras._cameras["1"] = Camera("1", "rtsp://127.0.0.1:9/door", RememberedCamera(name="Door"), watching)
    camera._enter("watching")
    since, nobody = datetime(2026, 11, 30, 12, 3, 11, tzinfo=UTC), np.zeros(0, np.bool_)
    pictures = set()
    for away in (Outage(since, since - timedelta(seconds=1)), Outage(since, None), None):
        view = LiveView(Detections.empty(), np.zeros(0, np.intp), (), (), nobody, nobody, (), 0, away)
        camera._show(Frame(np.zeros((240, 640, 3), np.uint8), "door", 0), view)
        assert camera.status.outage == OutageInfo.of(away)
        pictures.add(cameras.picture("1"))
    assert len(pictures) == 3  # each says it in words


def test_a_camera_is_watched_once_and_can_be_removed(cameras: Cameras, ada: list[Image]) -> None:
    with camera_before(ada) as before_the_door:
        camera = cameras.add(before_the_door.url)
        with pytest.raises(ConfigError, match="watched already"):
            cameras.add(before_the_door.url)
        cameras.remove(camera.id)
        assert camera.status.state == "closed"
        assert cameras.all() == []
    with pytest.raises(UnknownCamera):
        cameras.get(camera.id)


def test_a_password_is_not_told(cameras: Cameras) -> None:
    camera = cameras.add("rtsp://admin:secret@127.0.0.1:9/door")
    assert "secret" not in camera.name + camera.source


def test_cameras_are_remembered_until_they_are_removed(watching: CameraSetup, tmp_path: Path) -> None:
    address, store = "rtsp://127.0.0.1:9/door", SqliteStore(tmp_path / "pool.server.db")
    memory = CameraMemory(store)
    with closing(Cameras(watching, memory)) as cameras:
        cameras.add(address, "Door", remember=True)
        cameras.add("rtsp://127.0.0.1:9/of-this-run-only")
    with closing(Cameras(watching, memory)) as cameras:
        cameras.restore()
        cameras.restore()
        (camera,) = cameras.all()
        assert camera.name == "Door"
        assert camera.watches(address)
        cameras.remove(camera.id)
    with closing(Cameras(watching, memory)) as cameras:
        cameras.restore()
        assert cameras.all() == []
    store.close()


def test_a_camera_overhead_is_watched_upright_as_is_said_or_found_out(cameras: Cameras, ada: list[Image]) -> None:
    overhead = [turn_image(picture, 180) for picture in ada]
    on_its_side = [turn_image(picture, 90) for picture in ada]
    with camera_before(overhead) as above, camera_before(on_its_side) as beside:
        told, found = cameras.add(above.url, rotate="180"), cameras.add(beside.url, rotate="auto")
        wait_for(told, lambda: told.status.people == ("Ada",))
        wait_for(found, lambda: found.status.people == ("Ada",))
        assert (told.status.rotate, told.status.turned, told.status.size) == ("180", 180, (640, 480))
        assert (found.status.rotate, found.status.turned, found.status.size) == ("auto", 270, (640, 480))
        shown = cv2.imdecode(np.frombuffer(cameras.picture(found.id), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (480, 640, 3)


def test_how_a_camera_is_turned_is_remembered(watching: CameraSetup, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "pool.server.db")
    memory = CameraMemory(store)
    with closing(Cameras(watching, memory)) as cameras:
        cameras.add("rtsp://127.0.0.1:9/above", "Above", rotate="180", remember=True)
        cameras.add("rtsp://127.0.0.1:9/door", "Door", remember=True)
    with closing(Cameras(replace(watching, rotate="90"), memory)) as cameras:
        cameras.restore()
        assert [(camera.name, camera.status.rotate) for camera in cameras.all()] == [("Above", "180"), ("Door", "90")]
    store.close()
