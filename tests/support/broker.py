"""A real MQTT broker on the loopback address, and somebody who listens to it."""

import getpass
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what another thread does."""
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.005)


@contextmanager
def broker(
    port: int, folder: Path, *, persistent: bool = False, certificate: tuple[Path, Path] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A mosquitto that lets everybody in, and keeps nothing when it ends, unless it is to be persistent."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("mosquitto is not installed")
    config = folder / "mosquitto.conf"
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true"]
    if persistent:
        lines += [f"user {getpass.getuser()}", "persistence true", f"persistence_location {folder}/"]
    if certificate is not None:
        lines += [f"user {getpass.getuser()}", f"certfile {certificate[0]}", f"keyfile {certificate[1]}"]
    config.write_text("\n".join(lines) + "\n")
    with subprocess.Popen([found, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: answers(port))
            yield process
        finally:
            process.terminate()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Listener:
    """What came from a broker: everything in order, and what it keeps by topic."""

    client: Client
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)

    def note(self, _client: object, _data: object, message: MQTTMessage) -> None:
        content = bytes(message.payload)
        self.messages.append((message.topic, content))
        if content:
            self.kept[message.topic] = content
        else:
            self.kept.pop(message.topic, None)

    def of(self, topic: str) -> list[bytes]:
        return [content for where, content in self.messages if where == topic]


@contextmanager
def listening(port: int, *topics: str) -> Iterator[Listener]:
    """Hear some topics, all by default."""
    client, subscribed = Client(CallbackAPIVersion.VERSION2), threading.Event()
    listener = Listener(client)
    client.on_message = listener.note
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        client.subscribe([(topic, 1) for topic in topics or ("#",)])
        assert subscribed.wait(10)
        yield listener
    finally:
        client.disconnect()
        client.loop_stop()
