"""What ends a command from outside ends it as Ctrl-C does: nothing is lost, and nothing is stored half-way."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from facepool import read_image
from facepool.capture import VideoSource
from support.commands import Commands, film, pan
from support.loopback_camera import camera_before, moving
from support.paths import ROOT
from support.screen import until
from support.webhook import listener

pty = pytest.importorskip("pty", reason="POSIX")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
PATIENCE_S = 60

ENDS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["terminate", "hang up"]
)


def kinds(heard: list[dict[str, object]]) -> list[object]:
    return [event["event"] for event in heard]


def length_s(path: Path) -> float:
    with VideoSource(path) as recording:
        return list(recording)[-1].time_s or 0.0


@ENDS
def test_recognition_closes_its_recording_and_tells_who_is_lost(
    crowd: Commands, photos: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with camera_before(moving(read_image(photos / "person_a_2.jpg"))) as camera, listener() as (url, heard):
        words = ("recognize", "-s", camera.url, "--headless", "-o", tmp_path / "named.mp4", "--webhook", url)
        process = crowd.start("-m", "facepool", *words)
        assert until(lambda: "recognized" in kinds(heard))
        process.send_signal(number)
        began_s = time.monotonic()
        _, err = process.communicate(timeout=PATIENCE_S)
    assert time.monotonic() - began_s < 5
    assert process.returncode == code
    assert err.splitlines()[-1] == f"Ended by {number.name}"
    assert kinds(heard) == ["appeared", "recognized", "lost"]
    assert length_s(tmp_path / "named.mp4") > 0


@ENDS
def test_a_registration_is_undone(
    facepool: Commands, crowd: Commands, photos: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    facepool.take_pool_of(crowd)
    film(tmp_path / "eve.mp4", pan(photos / "impostor_1.jpg", 15) * 20)
    scripts = (
        ("-m", "facepool", "register", "Eve", tmp_path / "eve.mp4", "--headless"),
        *([(ROOT / "register.py", *_original(tmp_path / "eve.mp4"))] if number == signal.SIGTERM else []),
    )
    for words in scripts:
        process = facepool.start(*words)
        assert process.stderr is not None
        while "Looking at" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, "Traceback" in err) == (code, False)
        assert "nothing was stored of Eve" in err.splitlines()[-1]
    assert facepool.people() == {"Ada": 1, "Bob": 1}
    assert not (tmp_path / "model_faces.npy").exists()


def _original(source: Path) -> tuple[str | Path, ...]:
    return (
        "--register_name",
        "Eve",
        "-c",
        source,
        "--headless",
        "--model_registered",
        source.parent / "model_faces.npy",
    )


def test_a_terminal_that_is_closed_loses_no_event(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    with camera_before(moving(read_image(photos / "person_a_2.jpg"))) as camera, listener() as (url, heard):
        words = ("recognize", "-s", camera.url, "--headless", "--webhook", url, "-o", str(tmp_path / "named.mp4"))
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(crowd.folder)
            os.execve(sys.executable, [sys.executable, "-m", "facepool", *words], crowd.env)
        drain = threading.Thread(target=_drain, args=(terminal,))
        drain.start()
        try:
            assert until(lambda: "recognized" in kinds(heard))
        finally:
            os.kill(child, signal.SIGSTOP)  # so that it finds its terminal gone when it goes on
            os.close(terminal)
            os.kill(child, signal.SIGCONT)
        _, status = os.waitpid(child, 0)
        drain.join()
    assert os.waitstatus_to_exitcode(status) == 129
    assert kinds(heard) == ["appeared", "recognized", "lost"]
    assert length_s(tmp_path / "named.mp4") > 0


def _drain(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 4096):
            pass


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-pf", "--mount-proc", "true"], capture_output=True, check=False).returncode != 0,
    reason="no process of ours may be the first of a namespace here",
)
def test_as_process_1_of_a_container_it_ends_too(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    with camera_before(moving(read_image(photos / "person_a_2.jpg"))) as camera, listener() as (url, heard):
        words = ("recognize", "-s", camera.url, "--headless", "--webhook", url, "-o", str(tmp_path / "named.mp4"))
        command = ("unshare", "-pf", "--mount-proc", "--kill-child", sys.executable, "-m", "facepool", *words)
        process = subprocess.Popen(
            command, cwd=crowd.folder, env=crowd.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            assert until(lambda: "recognized" in kinds(heard))
            first = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
            os.kill(first, signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 143
        finally:
            process.kill()
            process.wait()
    assert kinds(heard) == ["appeared", "recognized", "lost"]
    assert length_s(tmp_path / "named.mp4") > 0


@ENDS
def test_a_server_ends_in_order(facepool: Commands, number: signal.Signals, code: int) -> None:
    del code
    server = facepool.start("-m", "facepool", "serve", "--port", "0")
    assert server.stdout is not None
    address = server.stdout.readline().split()[-1]
    assert httpx.get(f"{address}ready", timeout=PATIENCE_S).json()["pool"]
    server.send_signal(number)
    _, err = server.communicate(timeout=PATIENCE_S)
    assert (server.returncode, "Traceback" in err) == (0, False), err


def test_what_nohup_started_is_not_ended_by_a_terminal(crowd: Commands, photos: Path) -> None:
    with camera_before(moving(read_image(photos / "person_a_2.jpg"))) as camera:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which a child inherits
        try:
            process = crowd.start("-m", "facepool", "recognize", "-s", camera.url, "--headless")
        finally:
            signal.signal(signal.SIGHUP, before)
        assert process.stdout is not None
        assert "Ada" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
