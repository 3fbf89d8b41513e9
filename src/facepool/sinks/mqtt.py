"""Events as MQTT messages, and the one connection to a broker that everything at it goes through."""

import re
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from facepool import extras
from facepool.capture.source import login_hint
from facepool.errors import ConfigError
from facepool.sinks.outbox import EventRecord, Outbox, Unreachable, split_address

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_PREFIX = "facepool"
_AT_LEAST_ONCE = 1
_PATIENCE_S = 1.0
_LEAST_GOODBYE_S = 0.2
_CONNECT_TIMEOUT_S = 3.0
_ACKNOWLEDGE_S = 5.0
_RECONNECT_S = (1, 30)
_MATCHES = frozenset({"recognized", "changed"})
_NOT_IN_PREFIX = re.compile(r"[+#\x00]")
_NOT_IN_TOPICS = re.compile(r"[/+#\x00]")

Receive = Callable[[str, bytes, bool], None]
"""Gets a message's topic, its content, and whether the broker had kept it from before."""


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
            raise ConfigError(
                "The MQTT broker's address cannot be used",
                why="it is no mqtt[s]://host[:port][/prefix]",
                fix=login_hint(url, refused=False),
            )
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            encrypted=parts.scheme == "mqtts",
            prefix=unquote(parts.path).strip("/") or _PREFIX,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


class BrokerConnection:
    """A connection to a broker, made again whenever it goes.

    ``PREFIX/available`` says ``online`` while there is one, and ``offline`` afterwards, also when this program dies.

    Args:
        url: ``mqtt[s]://[user:password@]host[:port][/prefix]``; the prefix is ``facepool`` by default.
        client: Talks to the broker; a paho client by default.
        below: A further level of the prefix; empty: none.

    Attributes:
        prefix: First levels of every topic.
        name: The broker, for the log.

    Raises:
        ConfigError: The address is no such URL, or paho-mqtt is not installed.
    """

    def __init__(self, url: str, client: "Client | None" = None, *, below: str = "") -> None:
        broker = Broker.parse(url)
        self.prefix = f"{broker.prefix}/{below}" if below else broker.prefix
        self.name = f"{broker.host}:{broker.port}"
        self._connected = threading.Event()
        self._away = "the broker cannot be reached"
        self._receivers: dict[str, Receive] = {}
        self._on_connected: list[Callable[[], None]] = []
        self._client = client or _paho(broker)
        self._client.on_connect = self._greet
        self._client.on_disconnect = self._note_loss
        self._client.on_connect_fail = self._note_failure
        self._client.will_set(self.topic("available"), "offline", _AT_LEAST_ONCE, retain=True)
        self._client.connect_async(broker.host, broker.port)
        self._client.loop_start()

    def topic(self, name: str) -> str:
        """A topic below the prefix."""
        return f"{self.prefix}/{name}"

    def on_connected(self, call: Callable[[], None]) -> None:
        """Have something called at each connection, the first included, in the connection's own thread."""
        self._on_connected.append(call)
        if self._connected.is_set():
            call()

    def subscribe(self, pattern: str, receive: Receive) -> None:
        """Have messages passed on, in the connection's own thread, from now on and after each new connection.

        Args:
            pattern: Topics, which may have wildcards.
            receive: Must return soon, and raise nothing.
        """

        def pass_on(client: object, data: object, message: "MQTTMessage") -> None:
            del client, data
            receive(message.topic, bytes(message.payload), message.retain)

        self._receivers[pattern] = receive
        self._client.message_callback_add(pattern, pass_on)
        if self._connected.is_set():
            self._client.subscribe(pattern, _AT_LEAST_ONCE)

    def publish(self, topic: str, content: str | bytes, *, retain: bool = False) -> "MQTTMessageInfo":
        """Hand a message over to the client, which delivers it at least once while the connection lasts."""
        return self._client.publish(topic, content, _AT_LEAST_ONCE, retain=retain)

    def deliver(self, messages: Iterable[tuple[str, bytes]], *, retain: bool = False) -> None:
        """Publish messages, and wait until the broker has them.

        Args:
            messages: Topic and content of each.
            retain: Whether the broker keeps them for those that come later; it forgets one with an empty content.

        Raises:
            Unreachable: It does not acknowledge them, or there is no connection.
        """
        if not self._connected.wait(_PATIENCE_S):
            raise Unreachable(self._away)
        for sent in [self.publish(topic, content, retain=retain) for topic, content in messages]:
            try:
                sent.wait_for_publish(_ACKNOWLEDGE_S)
            except (RuntimeError, ValueError) as error:  # the connection went meanwhile, or paho's own queue is full
                raise Unreachable(str(error)) from error
            if not sent.is_published():
                raise Unreachable("the broker does not acknowledge")

    def close(self, timeout_s: float = _PATIENCE_S) -> None:
        """Say goodbye, for so long at most."""
        if self._connected.is_set():
            with suppress(RuntimeError, ValueError):  # the connection went just now
                self.publish(self.topic("available"), "offline", retain=True).wait_for_publish(timeout_s)
        self._client.disconnect()
        # It waits for the client's own thread, which may be in the middle of connecting to somebody who is not there.
        ending = threading.Thread(target=self._client.loop_stop, daemon=True)
        ending.start()
        ending.join(timeout_s)

    def _greet(self, client: object, data: object, flags: object, reason: Any, properties: object) -> None:  # noqa: ANN401, ARG002 -- paho's signature
        if reason.is_failure:
            self._away = f"the broker refuses the connection ({reason})"
            return
        self._connected.set()
        self.publish(self.topic("available"), "online", retain=True)
        for pattern in list(self._receivers):
            self._client.subscribe(pattern, _AT_LEAST_ONCE)
        for call in self._on_connected:
            call()

    def _note_failure(self, *details: object) -> None:
        """No connection came about; the client tells of it while it handles the error, which it does not hand on."""
        del details
        error = sys.exception()
        if isinstance(error, ssl.SSLCertVerificationError):
            self._away = f"the broker's certificate is not trusted ({error.verify_message})"
        elif isinstance(error, OSError):
            self._away = f"the broker cannot be reached ({error.strerror or error})"

    def _note_loss(self, *details: object) -> None:
        del details
        self._connected.clear()


class MqttSink(Outbox):
    """Publishes each event as a JSON object, at least once, in order.

    Topics, below the prefix: ``events`` has every event, ``matches/NAME`` those that name somebody. Characters that
    MQTT keeps for itself become ``_`` in names.

    Args:
        connection: To the broker; closed with the sink.
        capacity: Events that may wait while the broker is away; see :class:`Outbox`.
    """

    def __init__(self, connection: BrokerConnection, *, capacity: int = 1000) -> None:
        self.connection = connection
        super().__init__(self._publish, connection.name, capacity=capacity)

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what waits, for so long at most, and say goodbye."""
        deadline_s = time.monotonic() + timeout_s
        super().close(timeout_s)
        self.connection.close(min(_PATIENCE_S, max(_LEAST_GOODBYE_S, deadline_s - time.monotonic())))

    def _publish(self, event: EventRecord, body: bytes) -> None:
        names = ["events"]
        person = event.get("person")
        if isinstance(person, str) and event.get("event") in _MATCHES:
            names.append(f"matches/{_NOT_IN_TOPICS.sub('_', person)}")
        self.connection.deliver((self.connection.topic(name), body) for name in names)


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
