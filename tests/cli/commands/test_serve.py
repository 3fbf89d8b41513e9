"""``facepool serve`` and ``facepool keys`` as a user runs them."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from facepool.cli.commands.serve import _source_and_name
from facepool.web.certificates import addresses_in_network
from facepool.web.services.keys import Caller, Keys
from facepool.web.services.store import open_store
from support.commands import Commands, interrupt

PATIENCE_S = 60


@contextmanager
def serving(
    facepool: Commands, *words: str | Path, wrapped_in: tuple[str, ...] = ()
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A running server and its address, which it says when it listens."""
    server = facepool.start("-m", "facepool", "serve", "--port", "0", *map(str, words), wrapped_in=wrapped_in)
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
        assert web.get("/ready").json() == {
            "ready": True, "models": True, "pool": True, "store": True, "why": [], "owed": [],
            "process": 0, "processes": 1, "outage": None, "behind": None,
        }  # fmt: skip
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


STREAM = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
AS_PROCESS_1 = ("unshare", "--pid", "--fork", "--kill-child")


def runs(words: tuple[str, ...]) -> bool:
    return shutil.which(words[0]) is not None and not subprocess.run([*words, "true"], check=False).returncode


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these signals")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_server_that_is_told_to_stop_ends_streams_and_conversations(facepool: Commands, number: str) -> None:
    with serving(facepool) as (server, address):
        _stop_amidst_connections(server.pid, number, address)
        _, said = server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 0
    assert not re.search("error|traceback", said, re.IGNORECASE), said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_who_presses_ctrl_c_twice_waits_for_nobody(facepool: Commands) -> None:
    with serving(facepool) as (server, address):
        port = int(address.rpartition(":")[2].strip("/"))
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sender:
            sender.sendall(b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n")
            sender.sendall(b"Content-Length: 1000\r\n\r\nno more than this")
            httpx.get(f"{address}health")
            for _ in range(2):
                server.send_signal(signal.SIGINT)
                time.sleep(0.5)
            _, said = server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 0
    assert not re.search("error|traceback", said, re.IGNORECASE), said


@pytest.mark.skipif(not runs(AS_PROCESS_1), reason="only root may run something as process 1, and needs unshare")
def test_as_process_1_it_stops_as_well(facepool: Commands) -> None:
    with serving(facepool, wrapped_in=AS_PROCESS_1) as (outer, address):
        pids = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        _stop_amidst_connections(int(pids[0]), "SIGTERM", address)
        _, said = outer.communicate(timeout=PATIENCE_S)
    assert outer.returncode == 0
    assert not re.search("error|traceback", said, re.IGNORECASE), said


def _stop_amidst_connections(pid: int, number: str, address: str) -> None:
    """Stop a server whose events somebody listens to, and which talks with a camera."""
    port = int(address.rpartition(":")[2].strip("/"))
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE_S) as listener,
        connect(f"ws://127.0.0.1:{port}/v1/live") as camera,
    ):
        listener.sendall(STREAM)
        assert b"200 OK" in listener.recv(10_000)
        os.kill(pid, getattr(signal, number))
        said = b"".join(iter(lambda: listener.recv(10_000), b""))
        assert said.endswith(b"0\r\n\r\n"), "the stream was cut off"
        with pytest.raises(ConnectionClosed):
            camera.recv(PATIENCE_S)


def test_a_certificate_of_its_own_is_made_kept_and_told(facepool: Commands) -> None:
    key = facepool("keys", "add", "Me", "--role", "admin").out.strip()
    with serving(facepool, "--tls", "auto", "--host", "0.0.0.0") as (server, address):
        file = facepool.pool.with_suffix(".server.pem")
        trust = ssl.create_default_context(cafile=file)
        with httpx.Client(base_url=address, verify=trust, timeout=PATIENCE_S) as web:
            answer = web.get("/v1/pool", headers={"x-api-key": key})
            assert answer.status_code == 200
            assert "strict-transport-security" not in answer.headers, "phones could not accept it any more"
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=PATIENCE_S)
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    assert certificate.fingerprint(hashes.SHA256()).hex(":").upper() in said
    for words in ("Advanced", "Show Details", "made now"):
        assert words in " ".join(said.split())
    for there in addresses_in_network()[:1]:
        assert f"https://{there}:" in said


def test_pages_that_may_do_everything_are_named(facepool: Commands) -> None:
    words = ("-m", "facepool", "serve", "--port", "0", "--allow-origin", "http://dash.example/x")
    assert interrupt(facepool.start(*words), "Scripts of http://dash.example may do everything").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tls", "auto", "--tls-certificate", "cert.pem"), "Leave one out"),
        (("--path-prefix", "/api"), "--path-prefix"),
        (("--path-prefix", "faces"), "write it like /faces"),
        (("--allow-origin", "*"), "https://dashboard.example:8123"),
        (("--allow-frame", "dashboard"), "https://dashboard.example:8123"),
    ],
)
def test_what_cannot_be_served_so_is_told(facepool: Commands, words: tuple[str, ...], told: str) -> None:
    outcome = facepool("serve", "--port", "0", *words)
    assert outcome.code == 2
    assert told in outcome.error


def test_without_tls_it_says_that_phones_give_no_camera(facepool: Commands) -> None:
    facepool("keys", "add", "Me", "--role", "admin")
    outcome = interrupt(facepool.start("-m", "facepool", "serve", "--port", "0", "--host", "0.0.0.0"), "--tls auto")
    assert outcome.code == 0
    assert "no camera" in " ".join(outcome.err.split())


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


@pytest.mark.parametrize("camera", ["99999999999999999999", "Door=99999999999999999999", "rtsp://a\nb", "a\nb=0"])
def test_what_is_no_camera_is_told_before_anything_is_served(facepool: Commands, camera: str) -> None:
    outcome = facepool("serve", "--port", "0", "--camera", camera)
    assert outcome.code == 2
    assert outcome.error.startswith("error [config_invalid]")


def test_passwords_of_cameras_come_from_the_environment_and_are_shown_nowhere(facepool: Commands) -> None:
    facepool.env["FACEPOOL_CAMERA"] = (
        "Front door=rtsp://admin:s3cret@127.0.0.1:9/1\nrtsp://guest:s3cret@127.0.0.1:9/2\n"
    )
    with serving(facepool) as (server, address):
        cameras = httpx.get(f"{address}v1/cameras", timeout=PATIENCE_S)
        assert [camera["name"] for camera in cameras.json()["cameras"]] == ["Front door", "rtsp://***@127.0.0.1:9/2"]
        server.kill()
        out, err = server.communicate()
    assert "Other users of this machine" not in err
    assert "s3cret" not in out + err + cameras.text


def test_passwords_among_the_arguments_are_warned_of(facepool: Commands) -> None:
    with serving(facepool, "--camera", "rtsp://admin:s3cret@127.0.0.1:9/1") as (server, _):
        server.kill()
        _, err = server.communicate()
    (warning,) = [line for line in err.splitlines() if "Other users of this machine" in line]
    assert "FACEPOOL_CAMERA" in warning
    assert "s3cret" not in err


def test_workers_share_no_pool_in_a_file(facepool: Commands) -> None:
    outcome = facepool("serve", "--workers", "2")
    assert (outcome.code, "error [config_invalid] 2 workers cannot share" in outcome.error) == (2, True)
    assert "postgresql://" in outcome.error


def test_a_key_that_was_made_elsewhere_is_kept_and_replaced(facepool: Commands, tmp_path: Path) -> None:
    """Init containers run at each start, several at once; a new secret is a new key."""
    secret = tmp_path / "key"
    words = ("keys", "add", "admin", "--role", "admin", "--from", str(secret), "--json")
    for content, changed in (("a1" * 32, True), ("a1" * 32 + "\n", False), ("b2" * 32, True)):
        secret.write_text(content, encoding="ascii")
        told = facepool(*words)
        assert told.code == 0
        assert told.records == [{"name": "admin", "role": "admin", "collections": [], "changed": changed}]
        assert content.strip() not in told.out + told.err
    store = open_store(facepool.pool)
    assert Keys(store).find("a1" * 32) is None
    assert Keys(store).find("b2" * 32) == Caller("admin", "admin")
    store.close()
    refused = facepool("keys", "add", "other", "--role", "enroll", "--from", str(secret))
    assert refused.code == 2
    assert "is that of 'admin' already" in refused.err
    secret.write_text("guess me", encoding="ascii")
    assert "one word of 32" in facepool(*words).err
    assert "cannot be read" in facepool("keys", "add", "x", "--role", "admin", "--from", str(tmp_path / "none")).err
