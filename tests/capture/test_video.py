import sys
from pathlib import Path

import numpy as np
import pytest

from facepool.capture import AnimationSource, CaptureOptions, PictureSource, VideoSource, open_source
from facepool.errors import ImageUnreadable, PathMissing, SourceEmpty, StreamUnavailable, VideoUnreadable
from facepool.types import Frame
from support.media import FPS, gradient, jpeg, make_animation, make_sound, make_video, threads_of_this_process, truncate


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


def test_a_video_cut_off_before_its_index_says_so(tmp_path: Path) -> None:
    path = truncate(make_video(tmp_path / "clip.mp4", faststart=False), 0.6)
    with pytest.raises(VideoUnreadable, match="before its index"):
        open_source(path)


@pytest.mark.parametrize(("data", "why"), [(b"", "empty"), (b"\x01\x02nonsense" * 50, "not a video")])
def test_what_is_no_video_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(data)
    with pytest.raises(VideoUnreadable, match=why):
        open_source(tmp_path / "clip.mp4")


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
