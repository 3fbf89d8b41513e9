"""Events as MQTT messages."""

import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from facepool import extras
from facepool.errors import ConfigError
from facepool.sinks.outbox import EventRecord, Outbox, Unreachable, split_address

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

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
        parts = split_address(url, _PORTS)
        if parts is None or not parts.hostname or _NOT_IN_PREFIX.search(unquote(parts.path)):
            raise ConfigError("The MQTT broker's address cannot be used", why="it is no mqtt[s]://host[:port][/prefix]")
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            encrypted=parts.scheme == "mqtts",
            prefix=unquote(parts.path).strip("/") or _PREFIX,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


class MqttSink(Outbox):
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

    def __init__(self, url: str, *, capacity: int = 1000, client: "Client | None" = None) -> None:
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
        super().__init__(self._publish, f"{broker.host}:{broker.port}", capacity=capacity)

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what waits, for so long at most, and say goodbye."""
        super().close(timeout_s)
        if self._connected.is_set():
            with suppress(RuntimeError, ValueError):  # the connection went just now
                self._send("available", "offline", retain=True).wait_for_publish(_PATIENCE_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, event: EventRecord, body: bytes) -> None:
        if not self._connected.wait(_PATIENCE_S):
            raise Unreachable(self._away)
        topics = ["events"]
        person = event.get("person")
        if isinstance(person, str) and event.get("event") in _MATCHES:
            topics.append(f"matches/{_NOT_IN_TOPICS.sub('_', person)}")
        for message in [self._send(topic, body) for topic in topics]:
            try:
                message.wait_for_publish(_ACKNOWLEDGE_S)
            except (RuntimeError, ValueError) as error:  # the connection went meanwhile, or paho's own queue is full
                raise Unreachable(str(error)) from error
            if not message.is_published():
                raise Unreachable("the broker does not acknowledge")

    def _send(self, topic: str, text: str | bytes, *, retain: bool = False) -> "MQTTMessageInfo":
        return self._client.publish(self._topic(topic), text, _AT_LEAST_ONCE, retain=retain)

    def _topic(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _on_connect(self, client: object, data: object, flags: object, reason: Any, properties: object) -> None:  # noqa: ANN401, ARG002 -- paho's signature
        if reason.is_failure:
            self._away = f"the broker refuses the connection ({reason})"
            return
        self._connected.set()
        self._send("available", "online", retain=True)

    def _on_disconnect(self, *details: object) -> None:
        del details
        self._connected.clear()


def _paho(broker: Broker) -> "Client":
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
