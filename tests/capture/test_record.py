import errno
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest

from facepool.capture import VideoSource, VideoWriter, read_image, write_image
from facepool.errors import (
    ConfigError,
    DiskFull,
    NotWritable,
    OutOfMemory,
    StorageError,
    StreamLost,
    VideoUnreadable,
)
from facepool.types import Image
from support.media import gradient, threads_of_this_process
from support.permissions import permissions_apply


def recorded(path: Path) -> list[float]:
    with VideoSource(path) as source:
        return [frame.time_s or 0.0 for frame in source]


def record(path: Path, images: Sequence[Image]) -> None:
    height, width = images[0].shape[:2]
    with VideoWriter(path, 25, (width, height)) as writer:
        for image in images:
            writer.write(image)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov", "out.m4v", "人:%d.mp4"])
def test_a_recording_holds_the_frames_in_h264(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with VideoWriter(path, 10, (96, 64)) as writer:
        for step in range(20):
            writer.write(gradient(step))
        assert not path.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    with VideoSource(path) as source:
        assert source.fps == pytest.approx(10)
        frames = list(source)
    assert len(frames) == 20
    assert np.abs(frames[10].image_bgr.astype(int) - gradient(10)).mean() < 6
    with av.open(f"file:{path}") as container:
        assert container.streams.video[0].codec_context.name in {"h264", "mpeg4"}


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads that Linux lists")
def test_one_thread_records_without_another(tmp_path: Path) -> None:
    before = threads_of_this_process()
    with VideoWriter(tmp_path / "out.mp4", 25, (640, 480), threads=1) as writer:
        writer.write(gradient(size_wh=(640, 480)))
        assert threads_of_this_process() == before


def test_uneven_times_are_kept_and_begin_at_zero(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", 25, (96, 64)) as writer:
        for time_s in (7.0, 7.04, 7.5, 9.0):
            writer.write(gradient(), time_s)
    assert recorded(tmp_path / "out.mp4") == pytest.approx([0, 0.04, 0.5, 2.0], abs=0.001)


def test_a_clock_that_stands_still_or_steps_back_stops_no_recording(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", 25, (96, 64)) as writer:
        for time_s in (1.0, 1.0, 0.5, 2.0):
            writer.write(gradient(), time_s)
    assert len(recorded(tmp_path / "out.mp4")) == 4


def length_s(path: Path) -> float:
    """How long a player shows it."""
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / 1e6


HOUR = 3600.0


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
@pytest.mark.parametrize(
    ("times_s", "expected_s"),
    [
        ([step / 5 for step in range(10)] * 3, 6.0),  # three parts that were joined
        ([step * 5.0 for step in range(6)], 30.0),  # a frame every five seconds
        ([step * 3.0 for step in range(5)], 15.0),
        ([step / 5 + (10 * HOUR if step >= 10 else 0) for step in range(20)], 4.0),
        ([100 * HOUR + step / 5 for step in range(10)], 2.0),  # a clock that counts from elsewhere
        ([0.0, 0.2, 0.4, 60.4, 60.6], 60.8),  # a camera that was away for a minute
        ([0.0, HOUR, 11 * HOUR, 11 * HOUR + 1], 12 * HOUR),
        ([None, None, None, None, None], 0.2),
    ],
    ids=["joined", "0.2 fps", "slides", "ten hours away", "large numbers", "pause", "ten hours at rest", "no times"],
)
def test_a_recording_lasts_as_long_as_what_was_shown(
    tmp_path: Path, name: str, times_s: list[float | None], expected_s: float
) -> None:
    with VideoWriter(tmp_path / name, 25, (96, 64)) as writer:
        for step, time_s in enumerate(times_s):
            writer.write(gradient(step), time_s)
    slack_s = HOUR if expected_s > 10 * HOUR else 0.05  # what a frame lasts for beyond five hours is made up for later
    assert length_s(tmp_path / name) == pytest.approx(expected_s, abs=slack_s)
    assert len(recorded(tmp_path / name)) == len(times_s)


@pytest.mark.parametrize("size_wh", [(95, 63), (96, 63), (1, 1)])
def test_odd_sizes_are_made_even(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    with VideoWriter(tmp_path / "out.mp4", 25, size_wh) as writer:
        writer.write(gradient(size_wh=size_wh))
    with VideoSource(tmp_path / "out.mp4") as source:
        height, width = next(iter(source)).image_bgr.shape[:2]
    assert (width, height) == (size_wh[0] + size_wh[0] % 2, size_wh[1] + size_wh[1] % 2)


@pytest.mark.parametrize(("size_wh", "expected_wh"), [((20_000, 64), (16_384, 52)), ((50, 33_000), (26, 16_384))])
def test_sizes_that_no_encoder_takes_are_scaled_down(
    tmp_path: Path, size_wh: tuple[int, int], expected_wh: tuple[int, int]
) -> None:
    with VideoWriter(tmp_path / "out.mp4", 25, size_wh) as writer:
        writer.write(np.full((size_wh[1], size_wh[0], 3), 200, np.uint8))
    with VideoSource(tmp_path / "out.mp4") as source:
        image_bgr = next(iter(source)).image_bgr
    assert (image_bgr.shape[1], image_bgr.shape[0]) == expected_wh
    assert image_bgr.mean() > 180


def test_a_frame_of_another_size_is_fitted_in(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", 25, (96, 64)) as writer:
        writer.write(np.full((200, 100, 3), 255, np.uint8))
    with VideoSource(tmp_path / "out.mp4") as source:
        image = next(iter(source)).image_bgr
    assert image.shape == (64, 96, 3)
    assert image[32, 48].min() > 240
    assert image[32, 10].max() < 15


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with VideoWriter(tmp_path / "out.mp4", 25, (96, 64)) as writer:
            writer.write(gradient())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(), StreamLost("gone"), OutOfMemory("no room")])
def test_ctrl_c_or_a_lost_source_keeps_what_was_recorded(tmp_path: Path, end: BaseException) -> None:
    def stop() -> None:
        with VideoWriter(tmp_path / "out.mp4", 25, (96, 64)) as writer:
            writer.write(gradient())
            raise end

    with pytest.raises(type(end)):
        stop()
    assert len(recorded(tmp_path / "out.mp4")) == 1


def test_a_failed_recording_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_text("old")
    writer = VideoWriter(tmp_path / "out.mp4", 25, (96, 64))
    writer.write(gradient())
    writer.abandon()
    assert (tmp_path / "out.mp4").read_text() == "old"
    with pytest.raises(ValueError, match="closed"):
        writer.write(gradient())


def test_a_recording_without_a_frame_makes_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", 25, (96, 64)):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_disk_without_room_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(DiskFull):
            record(tmp_path / "out.mp4", [noise] * 10)
        with pytest.raises(DiskFull):
            write_image(tmp_path / "out.png", noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.m4v", "out.mkv"])
def test_a_disk_that_fills_up_keeps_what_was_recorded(tmp_path: Path, name: str) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
    try:
        with pytest.raises(DiskFull, match=rf"{name} holds what was recorded until then"):
            record_slowly(tmp_path / name, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    frames = recorded_before_it_broke(tmp_path / name)
    assert len(frames) > 15
    assert frames == [float(step) for step in range(len(frames))]


def record_slowly(path: Path, noise: Image) -> None:
    """Frames a second apart, and different ones, so that each takes room."""
    with VideoWriter(path, 25, (128, 96), threads=1) as writer:
        for step in range(400):
            writer.write(np.roll(noise, 7 * step, axis=1), float(step))


def recorded_before_it_broke(path: Path) -> list[float]:
    times: list[float] = []
    with VideoSource(path) as source, suppress(VideoUnreadable):
        times.extend(frame.time_s or 0.0 for frame in source)
    return times


def test_no_space_on_the_device_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(DiskFull, match="disk is full"):
        write_image(tmp_path / "out.png", gradient())


def test_a_missing_folder_is_not_writable(tmp_path: Path) -> None:
    with pytest.raises(NotWritable):
        VideoWriter(tmp_path / "nowhere" / "out.mp4", 25, (96, 64))
    with pytest.raises(NotWritable):
        write_image(tmp_path / "nowhere" / "out.png", gradient())


def test_a_folder_of_that_name_is_noticed_before_anything_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(NotWritable, match="directory"):
        VideoWriter(tmp_path / "out.mp4", 25, (96, 64))


@pytest.mark.skipif(sys.platform == "win32", reason="an open file keeps its folder there")
def test_a_folder_that_vanishes_while_it_is_recorded_into_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    writer = VideoWriter(folder / "out.mp4", 25, (96, 64))
    writer.write(gradient())
    shutil.rmtree(folder)
    with pytest.raises(NotWritable, match=r"stick.out\.mp4 cannot be written: No such file"):
        writer.finish()


@pytest.mark.parametrize(
    ("raised", "expected", "why"),
    [
        (av.error.PatchWelcomeError(1, "Not yet implemented"), StorageError, "FFmpeg says: Not yet implemented"),
        (av.error.ArgumentError(errno.EINVAL, "Invalid argument"), StorageError, "FFmpeg says: Invalid argument"),
        (av.error.OSError(errno.ENOSPC, "No space left on device"), DiskFull, "the disk is full"),
        (av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"), OutOfMemory, "not enough memory"),
        (MemoryError(), OutOfMemory, "not enough memory"),
    ],
    ids=["patches welcome", "invalid", "disk", "FFmpeg's memory", "memory"],
)
def test_what_ffmpeg_raises_gets_a_type_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception], why: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    writer = VideoWriter(tmp_path / "out.mp4", 25, (96, 64))
    writer.write(gradient())
    monkeypatch.setattr(av.VideoFrame, "from_ndarray", fail)
    with pytest.raises(expected, match=rf"out\.mp4 cannot be written: .*{why}"):
        writer.write(gradient())
    assert list(tmp_path.iterdir()) == []


def test_a_build_without_an_encoder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", frozenset({"h264"}))
    with pytest.raises(StorageError, match=r"neither H\.264 nor MPEG-4"):
        VideoWriter(tmp_path / "out.mp4", 25, (96, 64))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_permission_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with permissions_apply(), pytest.raises(NotWritable):
        VideoWriter(tmp_path / "out.mp4", 25, (96, 64))


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.mp4"):
        VideoWriter(tmp_path / "out.txt", 25, (96, 64))
    with pytest.raises(ConfigError, match=r"\.png"):
        write_image(tmp_path / "out.txt", gradient())


@pytest.mark.parametrize(("fps", "size_wh"), [(0, (96, 64)), (25, (0, 64))])
def test_a_recording_needs_a_rate_and_a_size(tmp_path: Path, fps: float, size_wh: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        VideoWriter(tmp_path / "out.mp4", fps, size_wh)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("größe 人.png", 0), ("a.JPG", 3), ("a.webp", 8), ("a.bmp", 0), ("a.tif", 0)]
)
def test_a_picture_is_read_as_it_was_written(tmp_path: Path, name: str, tolerance: int) -> None:
    write_image(tmp_path / name, gradient())
    assert np.abs(read_image(tmp_path / name).astype(int) - gradient()).mean() <= tolerance
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("name", "width"), [("a.webp", 17_000), ("a.jpg", 66_000)])
def test_a_picture_that_is_too_large_for_its_kind_says_so(tmp_path: Path, name: str, width: int) -> None:
    with pytest.raises(StorageError, match=rf"a picture of {width}x2 pixels cannot be a .*End its name in \.png"):
        write_image(tmp_path / name, np.zeros((2, width, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_of_the_kind_its_name_says(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", gradient())
    with PIL.Image.open(tmp_path / "a.jpg") as image:
        assert image.format == "JPEG"
