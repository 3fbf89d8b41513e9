"""``facepool serve`` and ``facepool keys`` as a user runs them."""

import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from facepool.cli.commands.serve import _source_and_name
from support.commands import Commands, interrupt

PATIENCE_S = 60


@contextmanager
def serving(facepool: Commands, *words: str | Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A running server and its address, which it says when it listens."""
    server = facepool.start("-m", "facepool", "serve", "--port", "0", *map(str, words))
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("facepool is at http"), (line, server.communicate())
        yield server, line.split()[-1]
    finally:
        server.kill()
        server.communicate()


def test_a_photo_is_registered_and_recognized_over_http(facepool: Commands, photos: Path) -> None:
    with serving(facepool) as (_, address), httpx.Client(base_url=address, timeout=PATIENCE_S) as web:
        assert web.get("/ready").json() == {"ready": True, "models": True, "pool": True}
        first, second = ((photos / f"person_a_{number}.jpg").read_bytes() for number in (1, 2))
        assert web.post("/v1/persons/Ada/samples", files={"file": first}).json()["stored"] == 1
        (picture,) = web.post("/v1/recognize", files={"file": second}).json()["pictures"]
        assert [face["person"] for face in picture["faces"]] == ["Ada"]
        assert web.get("/").headers["content-type"].startswith("text/html")
    assert facepool.people() == {"Ada": 1}, "what was acknowledged survives a kill"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_is_how_a_server_ends(facepool: Commands) -> None:
    server = facepool.start("-m", "facepool", "serve", "--port", "0")
    outcome = interrupt(server, "Ctrl-C ends")
    assert outcome.code == 0
    assert "Traceback" not in outcome.err


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_with_a_certificate_it_speaks_tls_and_asks_for_keys(facepool: Commands) -> None:
    certificate, private = facepool.folder / "cert.pem", facepool.folder / "key.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject)
    subprocess.run([*make, "-keyout", private, "-out", certificate], check=True, capture_output=True)
    key = facepool("keys", "add", "Me", "--role", "admin").out.strip()
    with serving(facepool, "--tls-certificate", certificate, "--tls-key", private) as (_, address):
        assert address.startswith("https://")
        trust = ssl.create_default_context(cafile=certificate)
        with httpx.Client(base_url=address, verify=trust, timeout=PATIENCE_S) as web:
            assert web.get("/v1/pool").status_code == 401
            assert web.get("/v1/pool", headers={"x-api-key": key}).status_code == 200
            assert "max-age" in web.get("/").headers["strict-transport-security"]
            assert "; secure" in web.post("/v1/session", json={"key": key}).headers["set-cookie"].lower()


def test_elsewhere_than_on_the_loopback_it_does_not_start_without_an_administrator(facepool: Commands) -> None:
    outcome = facepool("serve", "--host", "0.0.0.0", "--port", "0")
    assert outcome.code == 2
    assert "facepool keys add" in outcome.error


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(facepool: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = facepool("serve", "--port", str(taken.getsockname()[1]))
    assert outcome.code == 2
    assert "--port" in outcome.error
    assert "Running on" not in outcome.err


def test_a_certificate_that_is_none_is_reported(facepool: Commands) -> None:
    (facepool.folder / "cert.pem").write_text("no certificate")
    outcome = facepool("serve", "--port", "0", "--tls-certificate", "cert.pem")
    assert outcome.code == 2
    assert "cert.pem" in outcome.error
    assert facepool("serve", "--port", "0", "--tls-certificate", "none.pem").code == 3


def test_keys_are_made_shown_once_listed_and_removed(facepool: Commands) -> None:
    made = facepool("keys", "add", "Door", "--role", "recognize", "--json").records[0]
    assert made["name"] == "Door"
    assert str(made["key"]).startswith("fp_")
    listed = facepool("keys", "list", "--json")
    assert [(entry["name"], entry["role"], entry["last_used_at"]) for entry in listed.records] == [
        ("Door", "recognize", None)
    ]
    assert str(made["key"]) not in listed.out
    assert facepool("keys", "add", "Door", "--role", "admin").code == 2
    assert facepool("keys", "remove", "Door").code == 0
    assert facepool("keys", "list", "--json").records == []
    assert "Door" in facepool("keys", "remove", "Door").error


@pytest.mark.parametrize(
    ("given", "source", "name"),
    [
        ("Front door=rtsp://door/1", "rtsp://door/1", "Front door"),
        ("Küche = 0", "0", "Küche"),
        ("rtsp://door/1?user=me", "rtsp://door/1?user=me", ""),
        ("/dev/v4l/by-id/usb=1", "/dev/v4l/by-id/usb=1", ""),
        ("0", "0", ""),
    ],
)
def test_a_camera_may_have_a_name(given: str, source: str, name: str) -> None:
    assert _source_and_name(given) == (source, name)


def test_a_file_with_an_equals_sign_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.mp4").touch()
    assert _source_and_name("a=b.mp4") == ("a=b.mp4", "")
