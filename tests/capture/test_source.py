"""What every source of frames promises, whatever it reads."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from facepool.capture import CaptureOptions, FrameSource, ReconnectPolicy, open_source
from facepool.capture.source import mask_credentials
from facepool.errors import StreamLost
from support.media import MJPEG_HEAD, jpeg, make_animation, make_video, mjpeg_part, server

HANG_GUARD_S = 30
OPTIONS = CaptureOptions(
    open_timeout_s=HANG_GUARD_S, read_timeout_s=HANG_GUARD_S, reconnect=ReconnectPolicy(give_up_s=0.0)
)
OpenAgain = Callable[[], FrameSource]


def folder(root: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (root / name).write_bytes(jpeg())
    (root / "b.jpg").write_bytes(b"broken")
    return root


def picture(root: Path) -> Path:
    (root / "a.jpg").write_bytes(jpeg())
    return root / "a.jpg"


FILES: dict[str, Callable[[Path], Path]] = {
    "picture": picture,
    "folder": folder,
    "video": lambda root: make_video(root / "clip.mp4", 12),
    "rotated video": lambda root: make_video(root / "clip.mp4", 12, rotation=90),
    "animation": lambda root: make_animation(root / "wave.gif"),
}


def serve_mjpeg(client: socket.socket) -> None:
    client.recv(4096)
    client.sendall(MJPEG_HEAD)
    pace = threading.Event()
    for step in range(200):
        client.sendall(mjpeg_part(step))
        pace.wait(0.005)


@pytest.fixture(params=[*FILES, "stream", "file over http"])
def opener(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAgain]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as cleanup:
        if request.param in FILES:
            spec = str(FILES[request.param](tmp_path))
        elif request.param == "stream":
            spec = f"http://{cleanup.enter_context(server(serve_mjpeg))}/"
        else:
            data = make_video(tmp_path / "clip.mp4", 12).read_bytes()
            head = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data)

            def serve_file(client: socket.socket) -> None:
                client.recv(4096)
                client.sendall(head + data)

            spec = f"http://{cleanup.enter_context(server(serve_file))}/clip.mp4"

        def open_one() -> FrameSource:
            return cleanup.enter_context(open_source(spec, OPTIONS))

        yield open_one


def take_all(source: FrameSource) -> list[tuple[int, float | None]]:
    seen = []
    try:
        for frame in source:
            image = frame.image_bgr
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3
            assert image.flags.c_contiguous
            assert frame.source
            seen.append((frame.index, frame.time_s))
    except StreamLost:
        assert source.live
    return seen


def test_frames_are_bgr_and_their_indices_and_times_rise(opener: OpenAgain) -> None:
    seen = take_all(opener())
    assert seen
    indices = [index for index, _ in seen]
    assert all(earlier < later for earlier, later in pairwise(indices))
    times = [time_s for _, time_s in seen if time_s is not None]
    assert len(times) in {0, len(seen)}
    assert times == sorted(times)
    assert all(time_s >= 0 for time_s in times)


def test_a_source_is_read_once(opener: OpenAgain) -> None:
    source = opener()
    assert take_all(source)
    assert take_all(source) == []


def test_a_second_loop_goes_on_where_the_first_stopped(opener: OpenAgain) -> None:
    source = opener()
    first = next(iter(source))
    assert all(index > first.index for index, _ in take_all(source))


def test_closing_ends_a_running_loop_and_may_be_repeated(opener: OpenAgain) -> None:
    source = opener()
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    assert list(source) == []


def test_a_source_that_was_never_read_can_be_closed(opener: OpenAgain) -> None:
    opener().close()


def test_a_source_describes_itself(opener: OpenAgain) -> None:
    with opener() as source:
        assert source.name
        assert source.name in source.description
        assert source.frame_count is None or source.frame_count > 0


@pytest.mark.parametrize("name", ["sig", "signature", "api_key", "accessToken", "pwd"])
def test_a_secret_parameter_is_not_shown(name: str) -> None:
    assert mask_credentials(f"http://camera/snap?a=1&{name}=SECRET&b=2") == f"http://camera/snap?a=1&{name}=***&b=2"
