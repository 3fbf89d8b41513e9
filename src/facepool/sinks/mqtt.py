"""Events as MQTT messages."""

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from facepool import extras
from facepool.errors import ConfigError
from facepool.sinks.outbox import Event, Outbox, Unreachable

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_PREFIX = "facepool"
_AT_LEAST_ONCE = 1
_PATIENCE_S = 1.0
_CONNECT_TIMEOUT_S = 3.0
_ACKNOWLEDGE_S = 5.0
_RECONNECT_S = (1, 30)
_MATCHES = frozenset({"recognized", "changed"})
_NOT_IN_PREFIX = re.compile(r"[+#\x00]")
_NOT_IN_TOPICS = re.compile(r"[/+#\x00]")


class Message(Protocol):
    """A message on its way."""

    def wait_for_publish(self, timeout: float | None = None) -> None:
        """Wait until the broker has it."""

    def is_published(self) -> bool:
        """Whether the broker has it."""


class Client(Protocol):
    """What is used of a paho client."""

    on_connect: Callable[..., None] | None
    on_disconnect: Callable[..., None] | None

    def connect_async(self, host: str, port: int = 1883) -> object:
        """Say where to connect to."""

    def loop_start(self) -> object:
        """Connect, and keep connected, in a thread."""

    def loop_stop(self) -> object:
        """End the thread."""

    def disconnect(self) -> object:
        """Say goodbye."""

    def publish(self, topic: str, payload: str | bytes, qos: int = 0, retain: bool = False) -> Message:  # noqa: FBT001, FBT002
        """Send a message."""

    def will_set(self, topic: str, payload: str, qos: int = 0, retain: bool = False) -> None:  # noqa: FBT001, FBT002
        """What the broker says when we vanish."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where messages go.

    Attributes:
        host: Name or address.
        port: Number.
        encrypted: Whether by TLS, with the system's certificates.
        prefix: First levels of every topic.
        user: Empty for none.
        password: Empty for none.
    """

    host: str
    port: int
    encrypted: bool
    prefix: str
    user: str
    password: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "Broker":
        """``mqtt[s]://[user:password@]host[:port][/prefix]``."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or parts.scheme not in _PORTS or _NOT_IN_PREFIX.search(unquote(parts.path)):
            raise ConfigError("The MQTT broker's address cannot be used", why="it is no mqtt[s]://host[:port][/prefix]")
        return cls(
            host=host,
            port=port or _PORTS[parts.scheme],
            encrypted=parts.scheme == "mqtts",
            prefix=unquote(parts.path).strip("/") or _PREFIX,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


class MqttSink:
    """Publishes each event as a JSON object, at least once, in order.

    Topics, below the prefix: ``events`` has every event, ``matches/NAME`` those that name somebody, and ``available``
    says ``online`` or ``offline``. Characters that MQTT keeps for itself become ``_`` in names.

    Args:
        url: ``mqtt[s]://[user:password@]host[:port][/prefix]``; the prefix is ``facepool`` by default.
        capacity: Events that may wait while the broker is away; see :class:`Outbox`.
        client: Talks to the broker; a paho client by default.

    Raises:
        ConfigError: The address is no such URL, or paho-mqtt is not installed.
    """

    def __init__(self, url: str, *, capacity: int = 1000, client: Client | None = None) -> None:
        broker = Broker.parse(url)
        self._prefix = broker.prefix
        self._connected = threading.Event()
        self._away = "the broker cannot be reached"
        self._client = client or _paho(broker)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.will_set(self._topic("available"), "offline", _AT_LEAST_ONCE, retain=True)
        self._client.connect_async(broker.host, broker.port)
        self._client.loop_start()
        self._outbox = Outbox(self._deliver, f"{broker.host}:{broker.port}", capacity=capacity)

    @property
    def delivered(self) -> int:
        """Events that the broker has acknowledged."""
        return self._outbox.delivered

    @property
    def dropped(self) -> int:
        """Events that never will arrive."""
        return self._outbox.dropped

    def put(self, event: Event) -> None:
        """Take an event; returns at once and never raises."""
        self._outbox.put(event)

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what waits, for so long at most, and say goodbye."""
        self._outbox.close(timeout_s)
        if self._connected.is_set():
            with suppress(RuntimeError, ValueError):  # the connection went just now
                self._say("available", "offline", retain=True).wait_for_publish(_PATIENCE_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _deliver(self, event: Event, body: bytes) -> None:
        if not self._connected.wait(_PATIENCE_S):
            raise Unreachable(self._away)
        topics = ["events"]
        person = event.get("person")
        if isinstance(person, str) and event.get("event") in _MATCHES:
            topics.append(f"matches/{_NOT_IN_TOPICS.sub('_', person)}")
        for message in [self._say(topic, body) for topic in topics]:
            try:
                message.wait_for_publish(_ACKNOWLEDGE_S)
            except (RuntimeError, ValueError) as error:  # the connection went meanwhile, or paho's own queue is full
                raise Unreachable(str(error)) from error
            if not message.is_published():
                raise Unreachable("the broker does not acknowledge")

    def _say(self, topic: str, text: str | bytes, *, retain: bool = False) -> Message:
        return self._client.publish(self._topic(topic), text, _AT_LEAST_ONCE, retain=retain)

    def _topic(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _on_connect(self, client: object, data: object, flags: object, reason: Any, properties: object) -> None:  # noqa: ANN401, ARG002 -- paho's signature
        if reason.is_failure:
            self._away = f"the broker refuses the connection ({reason})"
            return
        self._connected.set()
        self._say("available", "online", retain=True)

    def _on_disconnect(self, *details: object) -> None:
        del details
        self._connected.clear()


def _paho(broker: Broker) -> Client:
    extras.require("mqtt")
    from paho.mqtt.client import Client as PahoClient  # noqa: PLC0415 -- an extra
    from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415 -- an extra

    client = PahoClient(CallbackAPIVersion.VERSION2)
    client.reconnect_delay_set(*_RECONNECT_S)
    client.connect_timeout = _CONNECT_TIMEOUT_S
    if broker.user:
        client.username_pw_set(broker.user, broker.password or None)
    if broker.encrypted:
        client.tls_set()
    return client
