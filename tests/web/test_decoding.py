"""Pictures of clients are decoded in processes that can be ended: whatever happens there costs one picture."""

import base64
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image
import pillow_heif
import pytest
from fastapi.testclient import TestClient

from facepool import read_image
from facepool.errors import FacepoolError, ImageUnreadable
from facepool.web.api import pictures as request_pictures
from facepool.web.problems import PictureTooCostly, PictureUnsupported, ServerBusy, TooLarge
from facepool.web.services import decoding
from facepool.web.services.decoding import FRAME_LIMITS, Decoder
from support import attacks
from support.fake_analyzer import FakeAnalyzer, view
from support.fake_live_analyzer import FakeLiveAnalyzer
from support.media import gradient, jpeg
from support.web_client import HERE, client_of, png

PATIENCE_S = 60
SMALL = png(gradient())
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of processes are POSIX's")
linux = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder()
    yield decoder
    decoder.close()


@pytest.fixture
def only_one() -> Iterator[Decoder]:
    """A decoder with one process, which runs."""
    decoder = Decoder(1)
    decoder.decode(SMALL)
    yield decoder
    decoder.close()


def of_kind(kind: str) -> bytes:
    """The test picture in some format."""
    if kind == "JXL":
        return bytes(imagecodecs.jpegxl_encode(np.ascontiguousarray(gradient()[:, :, ::-1])))
    pillow_heif.register_heif_opener(thumbnails=False)
    file = io.BytesIO()
    PIL.Image.fromarray(gradient()[:, :, ::-1]).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "ICO", "HEIF", "AVIF", "JXL"])
def test_a_picture_of_each_kind_is_the_same_as_for_the_command_line(decoder: Decoder, kind: str) -> None:
    data = of_kind(kind)
    image_bgr = decoder.decode(data)
    assert np.array_equal(image_bgr, read_image(data))
    assert image_bgr.flags.c_contiguous
    assert image_bgr.flags.writeable


def test_what_can_be_mended_is_mended(decoder: Decoder) -> None:
    for data in (b"\r\n" + SMALL, jpeg()[:-2], jpeg()[:-20]):
        assert np.array_equal(decoder.decode(data), read_image(data))


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "empty"), (b"no picture", "known kind"), (b"%PDF-1.7\n", "PDF"), (jpeg()[:500], "truncated")],
)
def test_what_is_no_picture_is_refused_with_the_same_words(decoder: Decoder, data: bytes, why: str) -> None:
    with pytest.raises(ImageUnreadable, match=why) as told:
        decoder.decode(data)
    with pytest.raises(ImageUnreadable) as expected:
        read_image(data)
    assert str(told.value) == str(expected.value)


@pytest.mark.parametrize("name", attacks.COSTLY)
def test_what_costs_too_much_is_refused_and_the_process_goes_on(only_one: Decoder, name: str) -> None:
    numbers = only_one.processes
    with pytest.raises(PictureTooCostly, match="more than"):
        only_one.decode(attacks.COSTLY[name])
    assert np.array_equal(only_one.decode(SMALL), gradient())
    assert only_one.processes == numbers


@linux
def test_nothing_that_a_decoder_says_of_a_picture_comes_to_the_servers_log(
    only_one: Decoder, capfd: pytest.CaptureFixture[str]
) -> None:
    """A library wrote a line for each of a million empty chunks."""
    (number,) = only_one.processes
    assert str(Path(f"/proc/{number}/fd/2").readlink()) == os.devnull
    for data in (*attacks.COSTLY.values(), *attacks.ODD.values()):
        with suppress(FacepoolError):
            only_one.decode(data)
    assert capfd.readouterr() == ("", "")


def test_a_picture_that_takes_more_memory_than_pixels_is_refused_for_its_size(decoder: Decoder) -> None:
    with pytest.raises(TooLarge, match="23,5"):
        decoder.decode(attacks.encoded("WEBP", (6000, 5000), quality=1, method=0))


OTHERS = {
    "JPEG 2000": attacks.encoded("JPEG2000", (64, 64)),
    "PPM": attacks.encoded("PPM"),
    "after a line end": b"\r\n" + attacks.encoded("JPEG2000", (64, 64)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_are_refused_unread_with_a_list(only_one: Decoder, name: str) -> None:
    with pytest.raises(PictureUnsupported, match=r"JPEG, PNG, WebP, .* and JPEG XL"):
        only_one.decode(OTHERS[name])


@pytest.mark.parametrize("data", [attacks.encoded("TGA"), attacks.encoded("PCX"), attacks.encoded("DDS")])
def test_other_kinds_without_a_mark_are_no_pictures(decoder: Decoder, data: bytes) -> None:
    with pytest.raises(ImageUnreadable):
        decoder.decode(data)


def test_every_interface_says_in_its_words_that_a_kind_is_not_taken(web: TestClient) -> None:
    data = OTHERS["JPEG 2000"]
    rest = web.post("/v1/detect", files={"file": data})
    assert (rest.status_code, rest.json()["code"]) == (415, "picture_unsupported")
    sample = web.post("/v1/persons/Ada/samples", content=data, headers={"content-type": "image/jp2"})
    assert (sample.status_code, sample.json()["code"]) == (415, "picture_unsupported")
    compreface = web.post("/api/v1/detection/detect", json={"file": base64.b64encode(data).decode()})
    assert compreface.status_code == 415
    assert compreface.json().keys() == {"message", "code"}
    deepstack = web.post("/v1/vision/face", files={"image": data})
    assert (deepstack.status_code, deepstack.json()["code"]) == (415, 415)
    assert "JPEG XL" in deepstack.json()["error"]


def test_every_interface_says_in_its_words_that_a_picture_costs_too_much(web: TestClient) -> None:
    data = attacks.COSTLY["scans"]
    rest = web.post("/v1/detect", files={"file": data})
    assert (rest.status_code, rest.json()["code"]) == (413, "picture_too_costly")
    assert web.post("/api/v1/detection/detect", files={"file": data}).status_code == 413
    assert web.post("/v1/vision/face", files={"image": data}).json()["code"] == 413


def test_a_browsers_frame_is_bounded_likewise(tmp_path: Path) -> None:
    with client_of(tmp_path, FakeLiveAnalyzer()) as client, client.websocket_connect(f"{HERE}/v1/live") as stream:
        for data, code in ((attacks.COSTLY["scans"], "picture_too_costly"), (OTHERS["PPM"], "picture_unsupported")):
            stream.send_bytes(bytes(16) + data)
            assert stream.receive_json()["code"] == code


def test_the_pictures_of_a_request_have_so_many_pixels_together(
    web: TestClient, analyzer: FakeAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_bgr = analyzer.frame(view(0, 0)).image_bgr
    picture = png(image_bgr)
    monkeypatch.setattr(request_pictures, "_MOST_PIXELS", 3 * image_bgr.shape[0] * image_bgr.shape[1])
    for count, status in ((3, 200), (4, 413), (3, 200)):
        answer = web.post("/v1/detect", files=[("file", (f"{number}.png", picture)) for number in range(count)])
        assert answer.status_code == status
    assert web.post("/v1/detect", files=[("file", picture)] * 4).json()["code"] == "too_large"


@posix
def test_a_process_that_dies_costs_its_picture_only(only_one: Decoder) -> None:
    with ThreadPoolExecutor(1) as threads:
        (number,) = frozen(only_one)
        asked = threads.submit(only_one.decode, SMALL)
        until_at_work(only_one)
        os.kill(number, signal.SIGSEGV)
        os.kill(number, signal.SIGCONT)
        with pytest.raises(ImageUnreadable, match="its decoder failed"):
            asked.result(PATIENCE_S)
    assert np.array_equal(only_one.decode(SMALL), gradient())
    assert number not in only_one.processes


@posix
def test_a_process_that_died_while_nobody_needed_it_costs_nothing(only_one: Decoder) -> None:
    (number,) = only_one.processes
    os.kill(number, signal.SIGKILL)
    until(lambda: not only_one.processes)
    assert np.array_equal(only_one.decode(SMALL), gradient())


@posix
def test_a_process_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder(1, extra_s=30)
    decoder.decode(SMALL)
    (number,) = frozen(decoder)
    monkeypatch.setattr(decoding, "OPENING_CPU_S", -6.0)  # so its time is over at once
    with pytest.raises(PictureTooCostly, match="longer than its pixels"):
        decoder.decode(SMALL)
    monkeypatch.undo()
    assert np.array_equal(decoder.decode(SMALL), gradient())
    assert decoder.processes not in ([], [number])
    decoder.close()


@posix
def test_others_have_their_pictures_while_one_process_hangs() -> None:
    decoder = Decoder(2)
    decoder.decode(SMALL)
    frozen(decoder)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(decoder.decode, SMALL)
        until_at_work(decoder)
        for _ in range(3):
            assert np.array_equal(decoder.decode(SMALL), gradient())
        assert not asked.done()
        decoder.close()
        with pytest.raises(ServerBusy, match="server ends"):
            asked.result(PATIENCE_S)
    with pytest.raises(ServerBusy, match="server ends"):
        decoder.decode(SMALL)
    assert decoder.processes == []


def frozen(decoder: Decoder) -> list[int]:
    """Stop its processes, as one is that works for ever."""
    numbers = decoder.processes
    for number in numbers:
        os.kill(number, signal.SIGSTOP)
    return numbers


def until_at_work(decoder: Decoder) -> None:
    """Until one of its processes has been taken."""
    until(lambda: decoder._idle.qsize() < len(decoder._all))
    time.sleep(0.2)


def until(condition: Any) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)


@linux
def test_a_process_has_nothing_of_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FACEPOOL_MQTT_PASSWORD", "PGPASSWORD"):
        monkeypatch.setenv(name, "secret")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.set_inheritable(True)
        decoder = Decoder(1)
        decoder.decode(SMALL)
        (number,) = decoder.processes
        of_process = Path(f"/proc/{number}")
        opened = {str(file.readlink()) for file in (of_process / "fd").iterdir()}
        assert {name.split(":")[0] for name in opened} == {"pipe", "/dev/null"}
        assert "secret" not in (of_process / "environ").read_text()
        limits = (of_process / "limits").read_text()
        assert limits.split("Max core file size")[1].split()[:1] == ["0"]
        assert "cv2" not in (of_process / "maps").read_text()
        resident = int((of_process / "status").read_text().split("VmRSS:")[1].split()[0])
        assert resident < 60 * 1024
        decoder.close()
        assert not of_process.exists()


@posix
def test_the_processes_end_with_a_server_that_is_killed() -> None:
    code = (
        "import os, signal, sys\n"
        "from facepool.web.services.decoding import Decoder\n"
        "decoder = Decoder(1)\n"
        "decoder.decode(sys.stdin.buffer.read())\n"
        "print(*decoder.processes, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], check=False, input=SMALL, capture_output=True, timeout=PATIENCE_S
    )
    assert told.returncode == -signal.SIGKILL
    number = int(told.stdout)

    def is_gone() -> bool:
        with suppress(ProcessLookupError):
            os.kill(number, 0)
            return Path(f"/proc/{number}/stat").exists() and ") Z " in Path(f"/proc/{number}/stat").read_text()
        return True

    until(is_gone)


@posix
@pytest.mark.parametrize(
    ("doing", "ends"),
    [
        ("while True: pass", lambda code: code == -signal.SIGXCPU),
        pytest.param("bytearray(400_000_000)", lambda code: code == 1, marks=linux),
    ],
)
def test_time_and_memory_of_a_process_are_limited(doing: str, ends: Any) -> None:
    code = f"from facepool.web import decoder_process as process\nprocess._allow(0.1, 100_000_000)\n{doing}\n"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=PATIENCE_S)
    assert ends(run.returncode)


def test_large_pictures_come_one_after_the_other_and_small_ones_pass_them(decoder: Decoder) -> None:
    large = attacks.encoded("PNG", (6000, 4000))
    at_work, most, lock, may_end = 0, 0, threading.Lock(), threading.Event()

    def look(_: int) -> None:
        nonlocal at_work, most
        with decoder.decoded(large):
            with lock:
                at_work += 1
                most = max(most, at_work)
            may_end.wait(PATIENCE_S)
            with lock:
                at_work -= 1

    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(look, number) for number in range(3)]
        until(lambda: at_work == 1)
        for _ in range(3):
            assert np.array_equal(decoder.decode(SMALL), gradient())
        may_end.set()
        for one in asked:
            one.result(PATIENCE_S)
    assert most == 1
    assert decoder._one_large._taken.total() == 0
    assert decoder._room._taken.total() == 0


def test_room_is_given_back_whatever_happens(decoder: Decoder) -> None:
    def refuse(_: int) -> None:
        raise PictureTooCostly("no")

    with pytest.raises(PictureTooCostly), decoder.decoded(SMALL, on_size=refuse):
        pass
    with pytest.raises(ZeroDivisionError), decoder.decoded(SMALL):
        raise ZeroDivisionError
    with pytest.raises(TooLarge):
        decoder.decode(png(np.zeros((2001, 2000, 3), np.uint8)), FRAME_LIMITS)
    assert decoder._room._taken.total() == 0
    assert np.array_equal(decoder.decode(SMALL), gradient())


@pytest.mark.parametrize("text", [b"", b"[]", b"7", b"{", b'{"code": 7, "why": {}}'])
def test_what_a_process_says_is_not_taken_on_trust(text: bytes) -> None:
    with pytest.raises((EOFError, FacepoolError)):
        raise decoding._error_of(text)


def test_many_threads_at_once_get_their_own_pictures(decoder: Decoder) -> None:
    images = [np.full((20 + number, 30, 3), number, np.uint8) for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(decoder.decode, map(png, images)))
    assert all(map(np.array_equal, found, images))
    assert decoder.processes
