"""Streams from a server on the loopback, and Ctrl-C while one is silent."""

import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path

import pytest

from facepool.capture import CaptureOptions, LiveSource, LiveStatus, ReconnectPolicy, mask_credentials, open_source
from facepool.capture.camera import CameraConnector
from facepool.capture.snapshots import fetch_picture
from facepool.errors import CameraUnavailable, StreamLost, StreamUnavailable
from support.media import MJPEG_HEAD, gradient, make_video, mjpeg_part, server
from support.paths import TESTS
from support.ports import free_port

HANG_GUARD_S = 30
NEVER_AGAIN = ReconnectPolicy(give_up_s=0.0)
OPTIONS = CaptureOptions(open_timeout_s=HANG_GUARD_S, read_timeout_s=HANG_GUARD_S, reconnect=NEVER_AGAIN)
IMPATIENT = CaptureOptions(open_timeout_s=0.3, read_timeout_s=0.3, reconnect=NEVER_AGAIN)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_a_motion_jpeg_stream_is_live() -> None:
    released = threading.Event()

    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(MJPEG_HEAD + b"".join(mjpeg_part(step) for step in range(5)))
        released.wait(HANG_GUARD_S)

    with server(answer) as address, open_source(f"http://{address}/", OPTIONS) as source:
        frame = next(iter(source))
        released.set()
        assert source.live
        assert frame.image_bgr.shape == gradient().shape
        assert frame.source == f"http://{address}/"


def test_a_stream_whose_pictures_come_more_seldom_than_its_timeout_is_waited_for() -> None:
    sent: list[int] = []  # on each connection
    news: list[LiveStatus] = []

    def answer(client: socket.socket) -> None:
        client.recv(4096)
        sent.append(0)
        client.sendall(MJPEG_HEAD)
        with suppress(OSError):
            for step in range(100):
                client.sendall(mjpeg_part(step))
                sent[-1] += 1
                if over.wait(0.3):
                    return

    over = threading.Event()
    again = ReconnectPolicy(first_wait_s=0.05, longest_wait_s=0.05)
    options = CaptureOptions(read_timeout_s=0.2, reconnect=again)
    with (
        server(answer) as address,
        open_source(f"http://{address}/", options, on_status=news.append) as source,
    ):
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
        over.set()
    assert len(frames) == 10
    assert max(sent) > 3, "once its rate is known, it is not opened again and again"
    assert "no answer within 0.2 s" in {status.reason for status in news}


def test_a_stream_that_stops_is_opened_again_and_then_lost() -> None:
    visits: list[int] = []
    news: list[LiveStatus] = []

    def answer(client: socket.socket) -> None:
        client.recv(4096)
        visits.append(1)
        if len(visits) <= 2:
            client.sendall(MJPEG_HEAD + b"".join(mjpeg_part(step) for step in range(3)))

    options = CaptureOptions(reconnect=ReconnectPolicy(first_wait_s=0.3, give_up_s=0.8))
    with (
        server(answer) as address,
        open_source(f"http://{address}/", options, on_status=news.append) as source,
        pytest.raises(StreamLost),
    ):
        list(source)
    states = [status.state for status in news]
    assert states[:4] == ["connected", "reconnecting", "connected", "reconnecting"]
    assert states[-1] == "lost"


def take_all(url: str, options: CaptureOptions) -> None:
    with open_source(url, options) as source:
        for _ in source:
            pass


@pytest.mark.parametrize(("pictures", "expected"), [(3, StreamLost), (0, StreamUnavailable)])
def test_a_stream_that_falls_silent_is_given_up(pictures: int, expected: type[StreamLost]) -> None:
    visits: list[int] = []

    def answer(client: socket.socket) -> None:
        client.recv(4096)
        visits.append(1)
        if len(visits) == 1:
            client.sendall(MJPEG_HEAD + mjpeg_part() * pictures)
        client.recv(1)  # until the other side hangs up

    with server(answer) as address, pytest.raises(expected, match="no answer within"):
        take_all(f"http://{address}/", IMPATIENT)


def test_a_video_file_over_http_is_read_whole(tmp_path: Path) -> None:
    data = make_video(tmp_path / "clip.mp4").read_bytes()

    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

    with server(answer) as address, open_source(f"http://{address}/clip.mp4", OPTIONS) as source:
        frames = list(source)
        assert not source.live
    assert [frame.index for frame in frames] == list(range(50))
    assert frames[25].time_s == pytest.approx(1.0, abs=0.001)


def test_a_page_that_is_no_video_is_refused() -> None:
    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>")

    with server(answer) as address, pytest.raises(StreamUnavailable, match="not a video"):
        open_source(f"http://{address}/", OPTIONS)


@pytest.mark.parametrize(
    "address", ["ada:secret@{}/", "ada:se/secret@{}/", "{}/?usr=ada&pwd=secret", "{}/password=secret"]
)
def test_a_refused_login_is_named_and_the_password_is_not(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.0 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    with server(answer) as host, pytest.raises(StreamUnavailable) as caught:
        open_source(f"http://{address.format(host)}", OPTIONS)
    if "/secret" not in address:  # with a slash in it, the password is not even sent
        assert "password is missing or wrong" in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert "secret" not in shown


def refuse(client: socket.socket) -> None:
    """Answer as an RTSP camera or a web server that knows nobody."""
    while request := client.recv(4096).decode():
        first, *headers = request.split("\r\n")
        number = [header for header in headers if header.startswith("CSeq")]
        wanted = ['WWW-Authenticate: Basic realm="camera"', "Content-Length: 0", "", ""]
        client.sendall("\r\n".join([f"{first.split()[-1]} 401 Unauthorized", *number, *wanted]).encode())


ENCODE = "In a user name or password write @ as %40, / as %2F, # as %23, ? as %3F and % as %25"


@pytest.mark.parametrize("scheme", ["rtsp", "RTSP", "http", "HTTP"])
@pytest.mark.parametrize(
    ("password", "hinted"),
    [
        ("s@cret", True),
        ("s/cret", True),
        ("s#cret", True),
        ("s?cret", True),
        ("s?x=cret", True),
        ("s%cret", True),
        ("s%41cret", True),
        ("secret", False),
    ],
)
def test_a_login_that_was_read_otherwise_than_it_was_meant_gets_a_hint(
    scheme: str, password: str, hinted: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with server(refuse) as host, pytest.raises(StreamUnavailable) as caught:
        open_source(f"{scheme}://ada:{password}@{host}/cam", IMPATIENT)
    assert (ENCODE in caught.value.fix) is hinted
    assert ("have to be percent-encoded" in caught.value.why) is hinted
    shown = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert "cret" not in shown
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize(("password", "hinted"), [("s@c/r#e?t%", True), ("secret", False)])
def test_the_address_of_a_picture_gets_the_hint_too(password: str, hinted: bool) -> None:
    with server(refuse) as host, pytest.raises(StreamUnavailable) as caught:
        fetch_picture(f"http://ada:{password}@{host}/snapshot.jpg", IMPATIENT)
    assert (ENCODE in caught.value.fix) is hinted
    assert password not in str(caught.value)


def test_a_host_that_nobody_knows_is_called_that() -> None:
    with pytest.raises(StreamUnavailable, match="no host of that name is known here"):
        open_source("rtsp://no-such-host.invalid/cam", OPTIONS)


def test_a_scheme_in_capitals_is_a_scheme() -> None:
    released = threading.Event()

    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(MJPEG_HEAD + b"".join(mjpeg_part(step) for step in range(5)))
        released.wait(HANG_GUARD_S)

    with server(answer) as address, open_source(f"HTTP://{address}/", OPTIONS) as source:
        next(iter(source))
        released.set()
        assert source.live


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("rtsp://cam:554/stream1", "rtsp://cam:554/stream1"),
        ("http://cam/a@b?size=a@b", "http://cam/a@b?size=a@b"),
        ("rtsp://ada@cam/1", "rtsp://***@cam/1"),
        ("rtsp://ada:p@ss@cam:554/1?x=a@b", "rtsp://***@cam:554/1?x=a@b"),
        ("rtsp://ada:pa/ss@cam/1", "rtsp://***@cam/1"),
        ("rtsp://ada:pa?ss#@cam/1", "rtsp://***@cam/1"),
        ("rtsp://ada:p@s/s@cam/1", "rtsp://***@cam/1"),
        ("rtsp://:secret@[::1]:554/1", "rtsp://***@[::1]:554/1"),
        ("http://cam/mjpg?user=admin&pwd=888888&res=vga", "http://cam/mjpg?user=***&pwd=***&res=vga"),
        (
            "http://cam/video.cgi?loginuse=ada&loginpas=x&rate=5",
            "http://cam/video.cgi?loginuse=***&loginpas=***&rate=5",
        ),
        ("http://cam/?PASSWORD=a/b?c#d", "http://cam/?PASSWORD=***"),
        ("https://cam/live.m3u8?access_token=abc&n=1", "https://cam/live.m3u8?access_token=***&n=1"),
        ("srt://cam:9000?mode=caller&passphrase=abc", "srt://cam:9000?mode=caller&passphrase=***"),
        ("rtsp://cam/user=admin&password=a&channel=1", "rtsp://cam/user=***&password=***&channel=1"),
        ("rtsp://cam/user=a_password=b_c_channel=1", "rtsp://cam/user=***_password=***_channel=1"),
        ("rtsp://ada:x@cam/1?token=y", "rtsp://***@cam/1?token=***"),
        ("rtsp://ada:p?x=ss@cam:554/1", "rtsp://***@cam:554/1"),
        ("rtsp://ada@home:p?x=ss@cam:554/1", "rtsp://***@cam:554/1"),
        ("rtsp://ada:p/s?x=ss@cam:554/1", "rtsp://***@cam:554/1"),
        ("http://cam:80/mjpg?mail=a@b", "http://cam:80/mjpg?mail=a@b"),
        ("http://[::1]:80/mjpg?mail=a@b", "http://[::1]:80/mjpg?mail=a@b"),
        ("RTSP://ada:pa/ss@cam/1", "RTSP://***@cam/1"),
    ],
)
def test_names_and_passwords_in_an_address_are_masked(url: str, masked: str) -> None:
    assert mask_credentials(url) == masked


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with pytest.raises(StreamUnavailable, match="nobody answers at this address"):
        open_source(f"http://127.0.0.1:{free_port()}/", OPTIONS)


@pytest.mark.parametrize("spec", [9999, "9999", "/dev/video9999"])
def test_a_camera_that_is_not_there_says_so_quietly(spec: int | str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CameraUnavailable, match="9999"):
        open_source(spec, OPTIONS)
    assert capfd.readouterr().err == ""


def test_a_camera_source_is_named_by_its_number() -> None:
    source = LiveSource(CameraConnector(2))
    assert (source.name, source.description) == ("2", "camera 2")


SILENT_STREAM = """
import socket, sys, threading
from support.media import MJPEG_HEAD, mjpeg_part
from facepool.capture import CaptureOptions, open_source

def serve(listener):
    client, _ = listener.accept()
    client.recv(4096)
    if sys.argv[1] == "reading":
        client.sendall(MJPEG_HEAD + mjpeg_part() * 3)
    else:
        print("waiting", flush=True)
    threading.Event().wait()

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
options = CaptureOptions(open_timeout_s=3600, read_timeout_s=3600)
try:
    with open_source(f"http://127.0.0.1:{listener.getsockname()[1]}/", options) as source:
        print("waiting", flush=True)
        for frame in source:
            pass
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process on Windows")
@pytest.mark.parametrize("phase", ["opening", "reading"])
def test_ctrl_c_ends_the_program_while_a_stream_is_silent(phase: str) -> None:
    command = [sys.executable, "-c", SILENT_STREAM, phase]
    environment = {"PYTHONPATH": str(TESTS), "PATH": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(HANG_GUARD_S) == 130
        finally:
            process.kill()
