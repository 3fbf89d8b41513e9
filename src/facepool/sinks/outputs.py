"""All other programs that hear of events, opened as the settings say and closed together."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import Self

from facepool.config import Settings
from facepool.errors import ConfigError
from facepool.gallery import Pool
from facepool.gallery.collections import DEFAULT
from facepool.sinks.home_assistant import HomeAssistant, PeopleWatch
from facepool.sinks.mqtt import BrokerConnection, MqttSink
from facepool.sinks.outbox import EventRecord, Outbox
from facepool.sinks.webhook import WebhookSink

_CLOSE_S = 5.0
_SAY_NOBODY_S = 1.0


class EventOutputs:
    """Other programs that hear of events; nothing waits for them.

    Args:
        settings: ``webhook``, ``mqtt``, ``home_assistant`` and ``discovery_prefix`` say which. Events of another
            collection than the default one say its name, and are published below topics of their own.
        open_pool: Opens the pool, for Home Assistant, in a thread of its own.

    Attributes:
        connections: To the brokers, for those who read there.

    Raises:
        ConfigError: An address cannot be used, the client for it is not installed, or a broker is missing.
    """

    def __init__(self, settings: Settings, open_pool: Callable[[], AbstractContextManager[Pool]]) -> None:
        if settings.home_assistant and not settings.mqtt:
            raise broker_missing("--home-assistant")
        self._collection = "" if settings.collection == DEFAULT else settings.collection
        with ExitStack() as opened:  # of several addresses, one may be none
            webhooks = [opened.enter_context(WebhookSink(url)) for url in settings.webhook]
            brokers = [
                opened.enter_context(MqttSink(BrokerConnection(url, below=self._collection))) for url in settings.mqtt
            ]
            opened.pop_all()
        self._outboxes: Sequence[Outbox] = (*webhooks, *brokers)
        self.connections = tuple(sink.connection for sink in brokers)
        self._home_assistants = tuple(
            HomeAssistant(connection, settings.discovery_prefix, unknown_after_s=settings.unknown_after)
            for connection in (self.connections if settings.home_assistant else ())
        )
        self._people = PeopleWatch(open_pool, self._home_assistants) if self._home_assistants else None

    @property
    def delivered(self) -> int:
        """Events that arrived, each counted once for every webhook and broker."""
        return sum(outbox.delivered for outbox in self._outboxes)

    @property
    def dropped(self) -> int:
        """Events that never will, counted likewise."""
        return sum(outbox.dropped for outbox in self._outboxes)

    def set_cameras(self, cameras: Mapping[str, str]) -> None:
        """These are watched now: name by a key that stays, such as the source."""
        for home_assistant in self._home_assistants:
            home_assistant.set_cameras(cameras)

    def put(self, event: EventRecord, camera: str) -> None:
        """Tell of an event; returns at once.

        Args:
            event: As ``records.event_record`` makes it.
            camera: The key of the camera before which it happened.
        """
        if self._collection:
            event = {**event, "collection": self._collection}
        for outbox in self._outboxes:
            outbox.put(event)
        for home_assistant in self._home_assistants:
            home_assistant.put(event, camera)

    @property
    def names(self) -> set[str]:
        """Everybody whom events name that wait."""
        return {name for outbox in self._outboxes for name in outbox.names}

    def forget(self, people: Collection[str]) -> None:
        """Events that wait do not name these people any more."""
        for outbox in self._outboxes:
            outbox.forget(people)

    def close(self) -> None:
        """Deliver what waits, to all at once, within five seconds; what never arrived, the log says."""
        if not self._outboxes:
            return
        deadline_s = time.monotonic() + _CLOSE_S
        if self._people is not None:
            self._people.close()
        with ThreadPoolExecutor(len(self._outboxes)) as together:
            list(together.map(lambda home_assistant: home_assistant.close(_SAY_NOBODY_S), self._home_assistants))
            left_s = max(0.0, deadline_s - time.monotonic())
            list(together.map(lambda outbox: outbox.close(left_s), self._outboxes))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def broker_missing(option: str) -> ConfigError:
    """The error for what goes through a broker without one."""
    return ConfigError(
        f"{option} needs an MQTT broker", why="none is named", fix="Add --mqtt mqtt://user:password@host"
    )
