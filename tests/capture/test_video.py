import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from facepool.capture import AnimationSource, CaptureOptions, PictureSource, VideoSource, open_source
from facepool.errors import ImageUnreadable, OutOfMemory, PathMissing, SourceEmpty, StreamUnavailable, VideoUnreadable
from facepool.types import Frame, Image
from support.media import (
    FPS,
    gradient,
    join,
    jpeg,
    make_animation,
    make_sound,
    make_video,
    threads_of_this_process,
    truncate,
)
from support.permissions import permissions_apply


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts", "a:b %d.mov"])
def test_every_frame_of_a_video_comes_in_order_with_its_time(tmp_path: Path, name: str) -> None:
    with VideoSource(make_video(tmp_path / name)) as source:
        assert source.frame_count == pytest.approx(50, abs=2)
        assert source.fps == FPS
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(50))
    assert [frame.time_s for frame in frames] == pytest.approx([index / FPS for index in range(50)], abs=0.001)
    assert np.abs(frames[30].image_bgr.astype(int) - gradient(30)).mean() < 10


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads that Linux lists")
@pytest.mark.parametrize(("threads", "added"), [(1, 0), (3, 3)])
def test_a_video_is_decoded_by_as_many_threads_as_allowed(tmp_path: Path, threads: int, added: int) -> None:
    path = make_video(tmp_path / "clip.mp4")
    before = threads_of_this_process()
    with open_source(path, CaptureOptions(threads=threads)) as source:
        next(iter(source))
        assert threads_of_this_process() - before == added


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_the_rotation_mark_is_honoured(tmp_path: Path, degrees: int) -> None:
    with VideoSource(make_video(tmp_path / "phone.mp4", 2, rotation=degrees)) as source:
        image_bgr = next(iter(source)).image_bgr
    assert np.abs(image_bgr.astype(int) - np.rot90(gradient(), degrees // 90)).mean() < 10


# What players do with a, b, c, d of a display matrix, checked against FFmpeg's own program to the pixel.
SHOWN: dict[tuple[int, int, int, int], Callable[[Image], Image]] = {
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): np.rot90,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda image: np.rot90(image.transpose(1, 0, 2), 2),
}


@pytest.mark.parametrize("matrix", SHOWN)
def test_a_display_matrix_turns_and_mirrors(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    with VideoSource(make_video(tmp_path / "phone.mp4", 2, matrix=matrix)) as source:
        image_bgr = next(iter(source)).image_bgr
    assert image_bgr.flags.c_contiguous
    assert np.abs(image_bgr.astype(int) - SHOWN[matrix](gradient())).mean() < 10


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
@pytest.mark.parametrize(
    ("pixel_aspect", "size_wh"), [((2, 1), (192, 64)), ((1, 2), (96, 128)), ((12, 11), (105, 64)), ((1, 1), (96, 64))]
)
def test_pixels_that_are_not_square_become_square(
    tmp_path: Path, name: str, pixel_aspect: tuple[int, int], size_wh: tuple[int, int]
) -> None:
    path = make_video(tmp_path / name, 2, pixel_aspect=Fraction(*pixel_aspect))
    with VideoSource(path) as source:
        image_bgr = next(iter(source)).image_bgr
    assert (image_bgr.shape[1], image_bgr.shape[0]) == size_wh
    assert np.abs(image_bgr.astype(int) - gradient(size_wh=size_wh)).mean() < 10


def test_a_film_on_its_side_has_its_pixels_made_square_before_it_is_turned(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", 2, rotation=90, pixel_aspect=Fraction(2, 1))
    with VideoSource(path) as source:
        assert next(iter(source)).image_bgr.shape == (192, 64, 3)


def test_pixels_of_a_shape_that_cannot_be_are_taken_as_square(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", 2, pixel_aspect=Fraction(200, 1))
    with VideoSource(path) as source:
        assert next(iter(source)).image_bgr.shape == (64, 96, 3)


def test_the_shape_of_pixels_may_change_in_the_middle(tmp_path: Path) -> None:
    narrow = make_video(tmp_path / "narrow.ts", 10)
    wide = make_video(tmp_path / "wide.ts", 10, pixel_aspect=Fraction(4, 3))
    with VideoSource(join(tmp_path / "both.ts", narrow, wide)) as source:
        widths = [frame.image_bgr.shape[1] for frame in source]
    assert widths == [96] * 10 + [128] * 10


def times_of(path: Path) -> list[float]:
    with VideoSource(path) as source:
        return [-1.0 if frame.time_s is None else frame.time_s for frame in source]


@pytest.mark.parametrize("rate", [1, 5])
def test_joined_transport_streams_go_on_where_the_last_part_ended(tmp_path: Path, rate: int) -> None:
    part = make_video(tmp_path / "part.ts", times_s=[step / rate for step in range(12)])
    steady = [step / rate for step in range(36)]
    assert times_of(join(tmp_path / "joined.ts", part, part, part)) == pytest.approx(steady, abs=0.01)


def test_a_frame_that_is_ten_hours_away_comes_at_its_turn(tmp_path: Path) -> None:
    times_s = [step / FPS + (36_000 if step >= 30 else 0) for step in range(60)]
    path = make_video(tmp_path / "clip.mkv", times_s=times_s)
    assert times_of(path) == pytest.approx([step / FPS for step in range(60)], abs=0.002)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
@pytest.mark.parametrize(
    "times_s", [[0, 5, 10, 15, 20], [0, 0.04, 0.08, 3.5, 3.54, 9.0, 9.04]], ids=["0.2 fps", "uneven"]
)
def test_slow_and_uneven_films_keep_their_times(tmp_path: Path, name: str, times_s: list[float]) -> None:
    assert times_of(make_video(tmp_path / name, times_s=times_s)) == pytest.approx(times_s, abs=0.002)


def test_a_long_rest_of_a_screen_recording_keeps_its_length(tmp_path: Path) -> None:
    times_s = [0, 0.04, 0.08, 900.0, 900.04]
    assert times_of(make_video(tmp_path / "clip.mp4", times_s=times_s)) == pytest.approx(times_s, abs=0.002)


def test_a_film_without_times_is_shown_at_its_rate(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.m4v"), "w", format="m4v") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for step in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gradient(step), format="bgr24")))
        container.mux(stream.encode(None))
    times = times_of(tmp_path / "clip.m4v")
    assert len(times) == 5
    assert times == sorted(times)
    assert times[0] == 0
    assert times[-1] > 0


@pytest.mark.parametrize("frames", [12, 40])
def test_h264_in_avi_which_counts_frames_only_comes_evenly(tmp_path: Path, frames: int) -> None:
    if "libx264" not in av.codecs_available:
        pytest.skip("this build of PyAV has no H.264 encoder")
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"bf": "3", "b-adapt": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for step in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gradient(step), format="bgr24")))
        container.mux(stream.encode(None))
    times = times_of(path)
    assert [later - earlier for earlier, later in pairwise(times)] == pytest.approx([1 / FPS] * (frames - 1))


def test_a_picture_for_which_there_is_no_memory_is_said_to_be_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise MemoryError

    path = make_video(tmp_path / "clip.mp4", 5)
    with VideoSource(path) as source:
        frames = iter(source)
        next(frames)
        monkeypatch.setattr(np, "ascontiguousarray", no_room)
        with pytest.raises(OutOfMemory, match=r"clip\.mp4 cannot be read beyond 1 frames: there is not enough memory"):
            next(frames)
    assert list(source) == []


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_a_truncated_video_gives_what_it_has_and_then_says_so(tmp_path: Path, name: str) -> None:
    frames: list[Frame] = []
    source = VideoSource(truncate(make_video(tmp_path / name), 0.4))
    with pytest.raises(VideoUnreadable, match="breaks off after") as caught:
        frames.extend(source)
    assert 5 < len(frames) < 40
    assert f"after {len(frames)} frames" in caught.value.what
    assert list(source) == []


def test_damage_in_the_middle_does_not_end_a_video(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.avi")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    with VideoSource(path) as source:
        assert [frame.index for frame in source][-1] > 30


def test_tracks_that_appear_in_the_middle_do_not_end_a_video(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.ts")
    data = bytearray(path.read_bytes())
    begin_a_frame = [at for at in range(0, len(data), 188) if data[at + 1] & 0x40 and data[at + 2] == 0]
    for number, at in enumerate(begin_a_frame[20:28]):
        data[at + 1] |= 0x02  # these are of other tracks now, each of one
        data[at + 2] = 0x30 + number
    path.write_bytes(data)
    with VideoSource(path) as source:
        assert [frame.index for frame in source][-1] > 30


def test_a_video_cut_off_before_its_index_says_so(tmp_path: Path) -> None:
    path = truncate(make_video(tmp_path / "clip.mp4", faststart=False), 0.6)
    with pytest.raises(VideoUnreadable, match="before its index"):
        open_source(path)


@pytest.mark.parametrize(("data", "why"), [(b"", "empty"), (b"\x01\x02nonsense" * 50, "not a video")])
def test_what_is_no_video_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(data)
    with pytest.raises(VideoUnreadable, match=why):
        open_source(tmp_path / "clip.mp4")


def test_a_video_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", 2)
    path.chmod(0)
    with permissions_apply(), pytest.raises(VideoUnreadable, match="you may not read it"):
        open_source(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows says that it may not be read")
def test_a_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(VideoUnreadable, match="directory"):
        VideoSource(tmp_path)


def test_a_text_file_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("one\ntwo\n")
    with pytest.raises(VideoUnreadable, match="text"):
        open_source(tmp_path / "notes.txt")


def test_a_sound_file_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(VideoUnreadable, match="only audio"):
        open_source(make_sound(tmp_path / "song.m4a"))


def test_a_video_without_a_frame_is_an_error(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=1)
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))
    with open_source(path) as source, pytest.raises(VideoUnreadable, match="no frame"):
        list(source)


def test_a_missing_video_is_named() -> None:
    with pytest.raises(PathMissing, match=r"nowhere\.mp4"):
        VideoSource("nowhere.mp4")


@pytest.mark.parametrize("name", ["wave.gif", "wave.png", "wave.webp"])
def test_an_animated_picture_is_a_video(tmp_path: Path, name: str) -> None:
    with open_source(make_animation(tmp_path / name)) as source:
        assert isinstance(source, AnimationSource)
        assert (source.frame_count, source.fps) == (5, 12.5)
        frames = list(source)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.08, 0.16, 0.24, 0.32])
    assert np.abs(frames[4].image_bgr.astype(int) - gradient(160)).mean() < 8


@pytest.mark.parametrize("name", ["wave.gif", "wave.png", "wave.webp"])
@pytest.mark.parametrize("frame_ms", [0, 10])
def test_an_animation_without_times_that_can_be_is_shown_as_browsers_do(
    tmp_path: Path, name: str, frame_ms: int
) -> None:
    with open_source(make_animation(tmp_path / name, frame_ms=frame_ms)) as source:
        assert [frame.time_s for frame in source] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_truncated_animation_gives_what_it_has_and_then_says_so(tmp_path: Path) -> None:
    source = open_source(truncate(make_animation(tmp_path / "wave.gif"), 0.7))
    frames: list[Frame] = []
    with pytest.raises(VideoUnreadable, match="breaks off after") as caught:
        frames.extend(source)
    assert 0 < len(frames) < 5
    assert f"after {len(frames)} frames" in caught.value.what
    assert list(source) == []


def test_a_gif_of_one_frame_is_a_picture(tmp_path: Path) -> None:
    source = open_source(make_animation(tmp_path / "still.gif", frames=1))
    assert isinstance(source, PictureSource)
    assert [frame.time_s for frame in source] == [None]


def test_content_counts_more_than_the_name(tmp_path: Path) -> None:
    (tmp_path / "picture.mp4").write_bytes(jpeg())
    make_video(tmp_path / "clip.mp4", 2).rename(tmp_path / "clip.dat")
    assert isinstance(open_source(tmp_path / "picture.mp4"), PictureSource)
    with open_source(tmp_path / "clip.dat") as source:
        assert isinstance(source, VideoSource)


def test_a_broken_picture_is_spoken_of_as_a_picture(tmp_path: Path) -> None:
    (tmp_path / "face.jpg").write_bytes(b"broken")
    with pytest.raises(ImageUnreadable):
        list(open_source(tmp_path / "face.jpg"))


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceEmpty):
        open_source(tmp_path)


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PathMissing):
        open_source(str(tmp_path / "nothing"))


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(jpeg())
    assert len(list(open_source((tmp_path / "a b.jpg").as_uri()))) == 1


def test_an_unknown_kind_of_address_is_refused() -> None:
    with pytest.raises(StreamUnavailable, match="foo://"):
        open_source("foo://camera")
