"""Events to other programs: nothing waits for them, nothing is lost that can arrive, nothing breaks."""

import json
import logging
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from facepool.config import Settings
from facepool.errors import ConfigError
from facepool.gallery import Gallery
from facepool.sinks import (
    BrokerConnection,
    EventOutputs,
    EventRecord,
    MqttSink,
    Outbox,
    Rejected,
    Unreachable,
    WebhookSink,
)
from support.broker import broker, listening, until
from support.ports import free_port
from support.webhook import listener as webhooks

ADA: dict[str, object] = {"event": "recognized", "track": 3, "person": "Ada", "similarity": 0.61}


class Receiver:
    """A server that answers with the given states, then with 204."""

    def __init__(self, *states: int) -> None:
        self.states = list(states)
        self.bodies: list[bytes] = []
        self.requests = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.requests += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                state = receiver.states.pop(0) if receiver.states else 204
                if state == 204:
                    receiver.bodies.append(body)
                self.send_response(state)
                self.end_headers()

            def log_message(self, *details: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://user:secret@127.0.0.1:{self.server.server_address[1]}/hook"

    def __enter__(self) -> "Receiver":
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *details: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Other:
    """The other side of an outbox, which is away until told otherwise."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.got: list[EventRecord] = []
        self.attempts = 0

    def deliver(self, event: EventRecord, body: bytes) -> None:
        self.attempts += 1
        if self.away:
            raise Unreachable("nobody there")
        if event.get("event") == "bad":
            raise Rejected("not this one")
        self.got.append(json.loads(body))


def test_events_arrive_in_order_and_at_the_end_nothing_waits() -> None:
    other = Other()
    with Outbox(other.deliver, "there") as outbox:
        for track in range(50):
            outbox.put(ADA | {"track": track})
    assert [event["track"] for event in other.got] == list(range(50))
    assert (outbox.delivered, outbox.dropped) == (50, 0)


def test_what_could_not_be_delivered_is_delivered_later(caplog: pytest.LogCaptureFixture) -> None:
    other = Other(away=True)
    with Outbox(other.deliver, "there", first_wait_s=0.01) as outbox:
        outbox.put(ADA)
        outbox.put(ADA | {"track": 4})
        until(lambda: other.attempts >= 3)
        other.away = False
    assert [event["track"] for event in other.got] == [3, 4]
    assert [record.message for record in caplog.records] == [
        "Events to there wait: nobody there",
        "Events to there arrive again",
    ]


def test_who_was_erased_is_in_nothing_that_waits_nor_in_another_attempt() -> None:
    other = Other(away=True)
    with Outbox(other.deliver, "there", first_wait_s=0.01) as outbox:
        for name, previous in (("Grace", None), ("Ada", "Grace"), ("Grace", None)):
            outbox.put({"event": "recognized", "person": name, "person_id": f"id of {name}", "previous": previous})
        until(lambda: other.attempts > 0)
        outbox.forget(["Grace"])
        other.away = False
        until(lambda: outbox.delivered == 3)
    assert [(event["person"], event["person_id"], event["previous"]) for event in other.got] == [
        (None, None, None), ("Ada", "id of Ada", None), (None, None, None),
    ]  # fmt: skip


def test_a_full_queue_drops_its_oldest_and_counts_them() -> None:
    other = Other(away=True)
    with Outbox(other.deliver, "there", capacity=2, first_wait_s=0.05) as outbox:
        outbox.put(ADA | {"track": 0})
        until(lambda: other.attempts > 0)
        for track in (1, 2, 3):
            outbox.put(ADA | {"track": track})
        assert outbox.dropped == 1
        other.away = False
    assert [event["track"] for event in other.got] == [0, 2, 3]


def test_an_end_while_the_other_side_is_away_is_quick_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(Other(away=True).deliver, "there", first_wait_s=60)
    for _ in range(20):
        outbox.put(ADA)
    began_s = time.monotonic()
    outbox.close()
    assert time.monotonic() - began_s < 4
    assert (outbox.delivered, outbox.dropped) == (0, 20)
    assert caplog.records[-1].message == "Events to there: 0 delivered, 20 dropped"


def test_an_end_does_not_wait_for_a_delivery_that_hangs() -> None:
    release = threading.Event()

    def hang(event: EventRecord, body: bytes) -> None:
        release.wait(30)
        raise Unreachable("too late")

    outbox = Outbox(hang, "there")
    for _ in range(3):
        outbox.put(ADA)
    outbox.close(timeout_s=0.1)
    assert (outbox.delivered, outbox.dropped) == (0, 3)
    release.set()
    outbox._thread.join(5)
    assert (outbox.delivered, outbox.dropped) == (0, 3), "counted once"


def test_what_is_not_wanted_or_not_json_is_dropped_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    other = Other()
    with Outbox(other.deliver, "there") as outbox:
        for event in ({"event": "bad"}, {"crop": b""}, {"similarity": float("nan")}, {"person": "\ud800"}, ADA):
            outbox.put(event)
    outbox.put(ADA)
    assert other.got == [ADA]
    assert outbox.dropped == 5
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_an_event_is_sent_as_it_was_when_it_was_put() -> None:
    other, event = Other(), dict(ADA)
    with Outbox(other.deliver, "there") as outbox:
        outbox.put(event)
        event["person"] = "Bob"
    assert other.got == [ADA]


def test_a_webhook_survives_a_server_that_fails_first(caplog: pytest.LogCaptureFixture) -> None:
    with Receiver(500, 503, 429) as receiver:
        sink = WebhookSink(receiver.url, first_wait_s=0.01)
        sink.put(ADA)
        sink.put(ADA | {"person": "محمد"})
        until(lambda: sink.delivered == 2)
        sink.close()
    assert [json.loads(body)["person"] for body in receiver.bodies] == ["Ada", "محمد"]
    assert receiver.requests == 5
    assert "secret" not in caplog.text


def test_a_webhook_waits_for_a_server_that_is_not_there_yet() -> None:
    receiver = Receiver()
    address = receiver.server.server_address
    receiver.server.server_close()
    sink = WebhookSink(receiver.url, first_wait_s=0.02)
    sink.put(ADA)
    time.sleep(0.1)
    late = Receiver()
    late.server.server_close()
    late.server = ThreadingHTTPServer((str(address[0]), int(address[1])), late.server.RequestHandlerClass)
    with late:
        until(lambda: sink.delivered == 1)
        sink.close()
    assert [json.loads(body) for body in late.bodies] == [ADA]


def test_a_webhook_that_answers_without_end_is_not_listened_to() -> None:
    def answer() -> None:
        client, _ = listener.accept()
        with client, suppress(OSError):
            client.recv(10_000)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
            while True:
                client.sendall(bytes(100_000))
                time.sleep(0.001)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, daemon=True).start()
        sink = WebhookSink(f"http://127.0.0.1:{listener.getsockname()[1]}/hook")
        sink.put(ADA)
        until(lambda: sink.delivered == 1)
        sink.close()


def test_a_webhook_does_not_repeat_what_the_server_does_not_want() -> None:
    with Receiver(404) as receiver:
        sink = WebhookSink(receiver.url, first_wait_s=0.01)
        sink.put(ADA)
        sink.close()
    assert (receiver.requests, sink.dropped) == (1, 1)


@pytest.mark.parametrize("password", ["s/cret", "s#cret", "s?cret"])
def test_a_password_that_has_to_be_encoded_gets_a_hint_and_is_not_told(password: str) -> None:
    for open_sink, scheme in ((WebhookSink, "http"), (BrokerConnection, "mqtt"), (BrokerConnection, "MQTTS")):
        with pytest.raises(ConfigError, match="In a user name or password write @ as %40") as caught:
            open_sink(f"{scheme}://ada:{password}@host/prefix")
        assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://host/", "http://", "http://host:port/", "host/hook", "http://a..b/", "http://a\nb/", "http://a b/"],
)
def test_an_address_that_is_none_is_told_before_anything_runs(url: str) -> None:
    with pytest.raises(ConfigError, match="http://"):
        WebhookSink(url)
    with pytest.raises(ConfigError, match="mqtt"):
        BrokerConnection(url)


class FakeMessage:
    def wait_for_publish(self, timeout: float | None = None) -> None: ...

    def is_published(self) -> bool:
        return True


class FakeClient:
    """A client whose broker acknowledges at once, or refuses it."""

    on_connect: Callable[..., None] | None = None
    on_disconnect: Callable[..., None] | None = None

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.published: list[tuple[str, str | bytes, bool]] = []
        self.will: tuple[str, str] | None = None
        self.address = ("", 0)

    def connect_async(self, host: str, port: int = 1883) -> None:
        self.address = (host, port)

    def loop_start(self) -> None:
        assert self.on_connect is not None
        self.on_connect(self, None, None, SimpleNamespace(is_failure=self.refuses), None)

    def loop_stop(self) -> None: ...

    def disconnect(self) -> None: ...

    def publish(self, topic: str, payload: str | bytes, qos: int = 0, retain: bool = False) -> FakeMessage:
        assert qos == 1
        self.published.append((topic, payload, retain))
        return FakeMessage()

    def will_set(self, topic: str, payload: str, qos: int = 0, retain: bool = False) -> None:
        assert (qos, retain) == (1, True)
        self.will = (topic, payload)


def test_mqtt_topics_tell_who_was_matched_and_whether_we_are_there() -> None:
    client = FakeClient()
    sink = MqttSink(BrokerConnection("mqtt://broker/home/faces", cast("Client", client)))
    sink.put({"event": "appeared", "person": None})
    sink.put(ADA | {"person": "A/d+a#"})
    sink.put({"event": "lost", "person": "Ada"})
    sink.close()
    assert client.address == ("broker", 1883)
    assert client.will == ("home/faces/available", "offline")
    assert [topic for topic, _, _ in client.published] == [
        "home/faces/available",
        "home/faces/events",
        "home/faces/events",
        "home/faces/matches/A_d_a_",
        "home/faces/events",
        "home/faces/available",
    ]
    assert json.loads(client.published[3][1])["similarity"] == 0.61
    assert [payload for _, payload, retained in client.published if retained] == ["online", "offline"]


def test_a_broker_that_refuses_the_connection_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = MqttSink(BrokerConnection("mqtt://broker", cast("Client", FakeClient(refuses=True))))
    sink.put(ADA)
    until(lambda: bool(caplog.records))
    sink.close()
    assert "refuses the connection" in caplog.records[0].message
    assert sink.dropped == 1


def test_without_paho_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'facepool[mqtt]'")):
        BrokerConnection("mqtt://broker")


def test_events_reach_a_real_broker_and_again_after_it_was_away(tmp_path: Path) -> None:
    port = free_port()
    with broker(port, tmp_path):
        sink = MqttSink(BrokerConnection(f"mqtt://127.0.0.1:{port}"))
        with listening(port, "facepool/#") as first:
            sink.put(ADA | {"person": "Zoë"})
            until(lambda: {topic for topic, _ in first.messages} >= {"facepool/events", "facepool/matches/Zoë"})
    sink.put(ADA | {"track": 99})
    time.sleep(0.2)
    with broker(port, tmp_path), listening(port, "facepool/#") as second:
        until(lambda: any(b"99" in content for content in second.of("facepool/events")), 20)
        sink.close()
        until(lambda: second.kept["facepool/available"] == b"offline")
    assert sink.dropped == 0


@pytest.mark.slow
def test_nothing_is_lost_over_a_broker_that_dies_and_what_is_repeated_has_the_same_id(tmp_path: Path) -> None:
    port = free_port()
    events = [{"id": str(uuid4()), "event": "lost", "person": "Ada", "track": track} for track in range(60)]
    got: list[dict[str, object]] = []
    patient = Client(CallbackAPIVersion.VERSION2, client_id="patient", clean_session=False)
    patient.on_connect = lambda client, *_: client.subscribe("facepool/events", 1)
    patient.on_message = lambda *details: got.append(json.loads(details[2].payload))
    patient.reconnect_delay_set(1, 1)
    patient.connect_async("127.0.0.1", port)
    patient.loop_start()
    with EventOutputs(Settings.model_validate({"mqtt": [f"mqtt://127.0.0.1:{port}"]}), unused_pool) as outputs:
        for part in range(3):
            with broker(port, tmp_path, persistent=True):
                for event in events[20 * part : 20 * part + 10]:
                    outputs.put(event, "")
                until(lambda part=part: outputs.delivered > 20 * part, 20)  # type: ignore[misc]
            for event in events[20 * part + 10 : 20 * part + 20]:
                outputs.put(event, "")  # nobody is there
        with broker(port, tmp_path, persistent=True):
            until(lambda: len({event["id"] for event in got}) == len(events), 20)
    patient.disconnect()
    patient.loop_stop()
    assert outputs.dropped == 0
    first_of = {event["id"]: event for event in reversed(got)}
    assert sorted(first_of.values(), key=lambda event: int(str(event["track"]))) == events


def test_events_of_another_collection_say_its_name_and_are_published_below_it() -> None:
    with webhooks() as (url, heard):
        for collection in ("default", "staff"):
            settings = Settings.model_validate({"webhook": [url], "collection": collection})
            with EventOutputs(settings, unused_pool) as outputs:
                outputs.put(ADA, "")
                until(lambda outputs=outputs: outputs.delivered == 1)  # type: ignore[misc]
    assert heard == [ADA, {**ADA, "collection": "staff"}]
    client = FakeClient()
    sink = MqttSink(BrokerConnection("mqtt://broker/faces", cast("Client", client), below="staff"))
    assert sink.connection.topic("events") == "faces/staff/events"
    sink.close()


def unused_pool() -> Gallery:
    raise AssertionError("only Home Assistant asks for it")


@pytest.mark.slow
def test_several_that_do_not_answer_take_no_longer_than_one_at_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, socket.create_server(("127.0.0.1", 0)) as mute:
        urls = [f"http://127.0.0.1:{server.getsockname()[1]}/" for server in (deaf, mute)]
        outputs = EventOutputs(
            Settings.model_validate({"webhook": urls, "mqtt": [urls[0].replace("http", "mqtt")]}), unused_pool
        )
        outputs.put(ADA, "")
        began_s = time.monotonic()
        outputs.close()
        assert time.monotonic() - began_s < 7
    assert outputs.dropped == 3


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One that nobody has signed, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject)
    subprocess.run([*make, "-keyout", key, "-out", made], check=True, capture_output=True)
    return made, key


@pytest.mark.parametrize("trusted", [False, True])
def test_a_webhook_with_a_certificate_of_ones_own_needs_it_named(
    certificate: tuple[Path, Path], trusted: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    receiver = Receiver()
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    with receiver:
        sink = WebhookSink(receiver.url.replace("http:", "https:"))
        sink.put(ADA)
        until(lambda: sink.delivered == 1 if trusted else "certificate" in caplog.text.lower())
        sink.close()
    assert len(receiver.bodies) == int(trusted)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves sockets to the collector
@pytest.mark.parametrize("trusted", [False, True])
def test_a_broker_with_a_certificate_of_ones_own_needs_it_named(
    certificate: tuple[Path, Path],
    trusted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    port = free_port()
    with broker(port, tmp_path, certificate=certificate):
        sink = MqttSink(BrokerConnection(f"mqtts://localhost:{port}"))
        sink.put(ADA)
        until(lambda: sink.delivered == 1 if trusted else "certificate is not trusted" in caplog.text)
        sink.close()
    assert (sink.delivered, sink.dropped) == ((1, 0) if trusted else (0, 1))


@pytest.mark.slow
def test_why_a_broker_cannot_be_reached_is_told(caplog: pytest.LogCaptureFixture) -> None:
    sink = MqttSink(BrokerConnection(f"mqtt://127.0.0.1:{free_port()}"))
    sink.put(ADA)
    until(lambda: "refused" in caplog.text)
    sink.close()
