"""Addresses that serve one picture, as cameras and web servers do it."""

import base64
import hashlib
import re
import socket
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facepool.capture import (
    AnimationSource,
    CaptureOptions,
    LiveSource,
    LiveStatus,
    PictureSource,
    ReconnectPolicy,
    kind_of_source,
    open_source,
    read_image,
)
from facepool.errors import ImageUnreadable, InputError, StreamLost, StreamUnavailable
from support.media import MJPEG_HEAD, gradient, jpeg, make_animation, mjpeg_part, server

IMPATIENT = CaptureOptions(open_timeout_s=0.5, read_timeout_s=0.5, reconnect=ReconnectPolicy(0.05, 0.05, 0.2))
SECRET = "p@ss:w%rd"
ENCODED = "p%40ss%3Aw%25rd"

Answer = Callable[[socket.socket], None]


def asked(client: socket.socket) -> str:
    """The head of a request."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(4096) or b"\r\n\r\n"
    return head.decode("latin-1")


def serving(head: str, body: bytes = b"") -> Answer:
    """Answers every request with these bytes, and hangs up."""

    def answer(client: socket.socket) -> None:
        asked(client)
        client.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + body)

    return answer


def with_length(body: bytes, kind: str = "image/jpeg") -> Answer:
    return serving(f"HTTP/1.1 200 OK\nContent-Type: {kind}\nContent-Length: {len(body)}\nConnection: close\n", body)


def chunked(body: bytes) -> bytes:
    parts = [body[at : at + 300] for at in range(0, len(body), 300)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


PICTURES: dict[str, Answer] = {
    "with its length": with_length(jpeg()),
    "HTTP/1.0 without a length": serving("HTTP/1.0 200 OK\nContent-Type: image/jpeg\n", jpeg()),
    "in chunks": serving("HTTP/1.1 200 OK\nContent-Type: image/jpeg\nTransfer-Encoding: chunked\n", chunked(jpeg())),
    "without a type": serving("HTTP/1.0 200 OK\n", jpeg()),
    "under another type": with_length(jpeg(), "application/octet-stream"),
}


@pytest.mark.parametrize("answer", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("path", ["", "snap.jpg", "cgi?x=1", "snap.mp4"])
def test_an_address_of_one_picture_is_a_picture(answer: Answer, path: str) -> None:
    with server(answer) as place:
        url = f"http://{place}/{path}"
        assert np.abs(read_image(url).astype(int) - gradient()).mean() < 5
        with open_source(url) as source:
            assert isinstance(source, PictureSource)
            assert [(frame.source, frame.image_bgr.shape) for frame in source] == [(url, (64, 96, 3))]


def test_a_path_that_looks_like_an_address_is_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no picture"):
        read_image(tmp_path / "http://127.0.0.1/a.jpg")


def test_an_animation_at_an_address_moves(tmp_path: Path) -> None:
    data = make_animation(tmp_path / "a.gif").read_bytes()
    with server(with_length(data, "image/gif")) as place, open_source(f"http://{place}/a") as source:
        assert isinstance(source, AnimationSource)
        assert len(list(source)) == 5


def basic(client: socket.socket) -> None:
    login = base64.b64encode(f"ada:{SECRET}".encode()).decode()
    if f"authorization: basic {login}".lower() in asked(client).lower():
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg())
    else:
        client.sendall(b'HTTP/1.0 401 No\r\nWWW-Authenticate: Basic realm="cam"\r\n\r\n')


def digest(client: socket.socket) -> None:
    head = asked(client)
    given = dict(re.findall(r'(\w+)="?([^",\r\n]*)"?', head.partition("Digest ")[2]))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    if given:
        login, request = md5(f"ada:cam:{SECRET}"), md5(f"GET:{given['uri']}")
        middle = ":".join([given["nonce"], given["nc"], given["cnonce"], given["qop"]])
        if given["response"] == md5(f"{login}:{middle}:{request}"):
            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg())
            return
    ask = b'Digest realm="cam", nonce="abc", qop="auth", algorithm=MD5'
    client.sendall(b"HTTP/1.0 401 No\r\nWWW-Authenticate: " + ask + b"\r\n\r\n")


@pytest.mark.parametrize("answer", [basic, digest])
@pytest.mark.parametrize("password", [ENCODED, SECRET])
def test_a_sign_in_is_answered_as_it_is_asked_for(answer: Answer, password: str) -> None:
    with server(answer) as place:
        assert read_image(f"http://ada:{password}@{place}/snap").shape == (64, 96, 3)
        with open_source(f"http://ada:{password}@{place}/snap") as source:
            assert source.name == f"http://***@{place}/snap"
            assert len(list(source)) == 1


@pytest.mark.parametrize("answer", [basic, digest])
def test_a_wrong_password_is_named_and_not_told(answer: Answer) -> None:
    with server(answer) as place:
        for use in (read_image, open_source):
            with pytest.raises(StreamUnavailable, match="password is missing or wrong") as caught:
                use(f"http://ada:secret-1@{place}/snap?token=secret-2")
            told = "".join(traceback.format_exception(caught.value))
            assert "secret-1@" not in str(caught.value)
            assert "secret-2" not in told.replace('secret-2")', "")


@pytest.mark.parametrize(
    "ask", ['realm="cam", nonce="abc", qop="auth-int"', 'nonce="abc"', 'realm="a", nonce="b", qop=x']
)
def test_a_sign_in_of_an_unknown_kind_is_an_error_of_ours(ask: str) -> None:
    head = f"HTTP/1.1 401 No\nWWW-Authenticate: Digest {ask}\nContent-Length: 0\n"
    with server(serving(head)) as place, pytest.raises(StreamUnavailable):
        read_image(f"http://ada:{ENCODED}@{place}/snap")


def test_a_login_goes_to_no_other_host_than_the_one_that_was_named() -> None:
    heads: list[str] = []

    def other(client: socket.socket) -> None:
        heads.append(asked(client))
        client.sendall(b'HTTP/1.0 401 No\r\nWWW-Authenticate: Basic realm="cam"\r\n\r\n')

    with (
        server(other) as elsewhere,
        server(serving(f"HTTP/1.0 302 There\nLocation: http://{elsewhere}/x\nContent-Length: 0\n")) as place,
        pytest.raises(StreamUnavailable),
    ):
        read_image(f"http://ada:{ENCODED}@{place}/snap")
    assert heads
    assert "authorization" not in "".join(heads).lower()


REFUSALS = {
    "it is not there": (serving("HTTP/1.1 404 Not Found\nContent-Length: 0\n"), "404"),
    "it has trouble": (serving("HTTP/1.1 503 Service Unavailable\nContent-Length: 0\n"), "503"),
    "a web page": (with_length(b"<html>Sign in</html>", "text/html"), "it sends a web page"),
    "text": (with_length(b'{"error": 1}', "image/jpeg"), "it sends text"),
    "nothing": (serving("HTTP/1.1 200 OK\nContent-Length: 0\n"), "it sends nothing"),
    "no answer": (lambda _: time.sleep(1.5), "no answer within 0.5 s"),
}


@pytest.mark.parametrize(("answer", "why"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_no_picture_is_refused_with_the_reason(answer: Answer, why: str) -> None:
    from facepool.capture.snapshots import fetch_picture

    with server(answer) as place, pytest.raises(StreamUnavailable, match=why) as caught:
        fetch_picture(f"http://{place}/", IMPATIENT)
    assert caught.value.fix


def test_nobody_at_the_address_and_no_address_are_told() -> None:
    with pytest.raises(StreamUnavailable, match="nobody answers"):
        read_image("http://127.0.0.1:1/a.jpg")
    with pytest.raises(StreamUnavailable, match="no valid address"):
        read_image("http://[::1/a.jpg")


def test_a_stream_is_no_picture_and_stays_a_stream_under_a_pictures_name() -> None:
    parts = b"".join(mjpeg_part(step) for step in range(10))

    def answer(client: socket.socket) -> None:
        asked(client)
        client.sendall(MJPEG_HEAD + parts)
        client.recv(1)

    with server(answer) as place:
        with pytest.raises(StreamUnavailable, match="it is a stream or a video"):
            read_image(f"http://{place}/")
        with open_source(f"http://{place}/video.jpg", IMPATIENT) as source:
            assert isinstance(source, LiveSource)
            assert source.poll(1) is not None


def test_a_stream_whose_first_boundary_is_missing_is_a_stream() -> None:
    parts = b"".join(mjpeg_part(step) for step in range(10))

    def answer(client: socket.socket) -> None:
        asked(client)
        client.sendall(MJPEG_HEAD + parts.removeprefix(b"--frame\r\n"))
        client.recv(1)

    with server(answer) as place, open_source(f"http://{place}/", IMPATIENT) as source:
        frame = next(iter(source))
        assert frame.image_bgr.shape == (64, 96, 3)


def test_jpegs_one_after_the_other_without_an_end_are_a_stream() -> None:
    def answer(client: socket.socket) -> None:
        asked(client)
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
        for step in range(200):
            client.sendall(jpeg(step))
            time.sleep(0.02)

    with server(answer) as place, open_source(f"http://{place}/video.jpg", IMPATIENT) as source:
        assert isinstance(source, LiveSource)
        assert source.poll(1) is not None


def test_a_picture_is_not_read_for_ever_nor_beyond_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    from facepool.capture import snapshots

    def trickle(client: socket.socket) -> None:
        asked(client)
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg()[:600])
        for _ in range(12):
            client.sendall(b"\0")
            time.sleep(0.1)

    with server(trickle) as place, pytest.raises(StreamUnavailable, match="not there after 1 s"):
        snapshots.fetch_picture(f"http://{place}/", IMPATIENT)
    monkeypatch.setattr(snapshots, "LARGEST_PICTURE", 2**20)
    with (
        server(with_length(jpeg() + bytes(2**21))) as place,
        pytest.raises(StreamUnavailable, match="more than 1 MiB"),
    ):
        read_image(f"http://{place}/")


def test_a_cut_picture_is_refused_and_a_login_never_follows_to_another_host() -> None:
    with server(with_length(jpeg()[:700])) as place, pytest.raises(ImageUnreadable, match="truncated"):
        read_image(f"http://{place}/")
    heads: list[str] = []

    def elsewhere(client: socket.socket) -> None:
        heads.append(asked(client))
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg())

    with server(elsewhere) as other:

        def refer(client: socket.socket) -> None:
            if "authorization" not in asked(client).lower():
                client.sendall(b'HTTP/1.0 401 No\r\nWWW-Authenticate: Basic realm="cam"\r\n\r\n')
            else:
                client.sendall(f"HTTP/1.0 302 Found\r\nLocation: http://{other}/x\r\n\r\n".encode())

        with server(refer) as place:
            assert read_image(f"http://ada:secret@{place}/").shape == (64, 96, 3)
    assert "authorization" not in heads[0].lower()


def test_a_camera_of_single_pictures_is_asked_again_and_again() -> None:
    asked_s: list[float] = []

    def answer(client: socket.socket) -> None:
        asked(client)
        asked_s.append(time.monotonic())
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg(len(asked_s)))

    with server(answer) as place, open_source(f"http://{place}/snap.jpg", CaptureOptions(every_s=0.15)) as source:
        assert source.live
        assert "one every 0.15 s" in source.description
        frames = []
        for frame in source:
            frames.append(frame)
            if len(frames) == 4:
                break
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    gaps = np.diff(asked_s[-3:])
    assert 0.1 < float(gaps.mean()) < 0.4
    assert len({frame.image_bgr.tobytes() for frame in frames}) == 4


def test_a_camera_that_fails_for_a_moment_is_asked_again_and_one_that_is_gone_is_lost() -> None:
    visits: list[int] = []
    news: list[LiveStatus] = []

    def answer(client: socket.socket) -> None:
        asked(client)
        visits.append(1)
        if len(visits) in (4, 5) or len(visits) > 8:
            client.sendall(b"HTTP/1.0 503 Busy\r\n\r\n")
        else:
            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg())

    options = CaptureOptions(every_s=0.02, reconnect=ReconnectPolicy(0.02, 0.05, 0.3))
    with (
        server(answer) as place,
        open_source(f"http://{place}/", options, on_status=news.append) as source,
        pytest.raises(StreamLost, match="the server answers 503 Busy"),
    ):
        list(source)
    states = [status.state for status in news]
    assert states.count("connected") == 2
    assert states[-1] == "lost"


def test_closing_ends_the_wait_for_the_next_picture() -> None:
    with server(PICTURES["with its length"]) as place:
        source = open_source(f"http://{place}/", CaptureOptions(every_s=3600))
        assert isinstance(source, LiveSource)
        assert source.poll(2) is not None
        began_s = time.monotonic()
        source.close()
        assert time.monotonic() - began_s < 0.5
        assert source.ended


def test_a_camera_that_is_seldom_asked_is_not_silent_meanwhile() -> None:
    options = CaptureOptions(read_timeout_s=0.2, every_s=0.6)
    with server(PICTURES["with its length"]) as place, open_source(f"http://{place}/", options) as source:
        assert isinstance(source, LiveSource)
        assert source.poll(2) is not None
        time.sleep(0.4)
        assert not source.silent


def test_what_a_source_is_can_be_asked_before_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    options = CaptureOptions()
    kinds = {"0": "moves", "rtsp://127.0.0.1/": "moves", str(tmp_path): "pictures", str(tmp_path / "a.jpg"): "pictures"}
    kinds |= {"typo.jpg": "absent", "http://127.0.0.1:1/": "absent", __file__: "moves"}
    assert {spec: kind_of_source(spec, options) for spec in kinds} == kinds
    with server(PICTURES["with its length"]) as place:
        assert kind_of_source(f"http://{place}/", options) == "pictures"
        assert kind_of_source(f"http://{place}/", CaptureOptions(every_s=1)) == "moves"
