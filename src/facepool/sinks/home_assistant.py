"""Home Assistant finds cameras and people by itself: its MQTT discovery.

Each camera becomes a device with a sensor that says who is in view, a binary sensor for each person of the pool, and an
event for unknown people who are there again, ``PREFIX/cameras/CAMERA/unknown``. The others read one kept message,
``PREFIX/cameras/CAMERA``::

    {"state": "Ada, 1 unknown", "people": ["Ada"], "person_ids": ["9b1d..."], "unknown": 1}

Kept messages outlive this program, and some of them hold names. So whoever is no longer in the pool is taken out of
them, and what an earlier run has left at the broker is taken away.
"""

import hashlib
import json
import logging
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import facepool
from facepool.errors import PoolError
from facepool.gallery import Pool
from facepool.sinks.mqtt import BrokerConnection
from facepool.sinks.outbox import EventRecord, Unreachable

_log = logging.getLogger(__name__)

DISCOVERY_PREFIX = "homeassistant"
MOST_PEOPLE = 100
"""In a larger pool somebody gets sensors once they were recognized: Home Assistant is not made for thousands."""
_LONGEST_STATE = 255
_RETURNED = "unknown_returned"
_LONGEST_SLUG = 40
_SETTLED_S = 15.0
"""After so long all cameras are known that will be, and what else the broker has kept was left by an earlier run."""
_TRY_AGAIN_S = 2.0
_LOOK_EVERY_S = 1.0


class People(Protocol):
    """What hears who is in the pool."""

    def set_people(self, people: Mapping[str, str]) -> None:
        """Everybody: name by id."""


class KeptMessages:
    """Messages that a broker keeps, sent whenever it can be reached; of each topic only the newest counts.

    Args:
        connection: To the broker.
    """

    def __init__(self, connection: BrokerConnection) -> None:
        self._connection = connection
        self._changed = threading.Condition()
        self._wanted: dict[str, bytes] = {}
        self._unsent: dict[str, bytes] = {}
        self._connections = 0
        self._closing = False
        self._deadline_s = float("inf")
        self._thread = threading.Thread(target=self._run, name=f"kept at {connection.name}", daemon=True)
        self._thread.start()
        connection.on_connected(self._send_all)

    def keep(self, topic: str, content: bytes) -> None:
        """Have the broker keep a message in place of the one before."""
        with self._changed:
            if self._wanted.get(topic) != content:
                self._wanted[topic] = self._unsent[topic] = content
                self._changed.notify()

    def forget(self, topic: str) -> None:
        """Have the broker forget a message."""
        with self._changed:
            self._wanted.pop(topic, None)
            self._unsent[topic] = b""
            self._changed.notify()

    def topics(self) -> set[str]:
        """Those of all messages that are to be kept."""
        with self._changed:
            return set(self._wanted)

    def repair(self, topic: str) -> None:
        """Somebody else has changed a message: send it again, if it is one of these."""
        with self._changed:
            if topic in self._wanted:
                self._unsent[topic] = self._wanted[topic]
                self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Send what is not sent yet, for so long at most."""
        with self._changed:
            self._closing = True
            self._deadline_s = time.monotonic() + timeout_s
            self._changed.notify()
        self._thread.join(timeout_s)

    def _send_all(self) -> None:
        """A broker that was started anew may have forgotten all of them."""
        with self._changed:
            self._connections += 1
            self._unsent = {**self._wanted, **{topic: b"" for topic, content in self._unsent.items() if not content}}
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unsent or self._closing)
                unsent, connections = dict(self._unsent), self._connections
                if not unsent or time.monotonic() > self._deadline_s:
                    return
            try:
                self._connection.deliver(unsent.items(), retain=True)
            except Unreachable:  # the sink beside this one says it in the log
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait(_TRY_AGAIN_S)
                continue
            with self._changed:
                if self._connections != connections:
                    continue  # another broker may have it, which has forgotten it since
                for topic, content in unsent.items():
                    if self._unsent.get(topic) == content:
                        del self._unsent[topic]


@dataclass(slots=True)
class _Guest:
    since_s: float
    person_id: str | None = None


class HomeAssistant:
    """Announces cameras and people, and says who is before which camera.

    Args:
        connection: To the broker that Home Assistant uses, too.
        discovery_prefix: What Home Assistant listens below.
        unknown_after_s: After so long a face that was not named is somebody unknown, and not somebody who comes.
    """

    def __init__(
        self, connection: BrokerConnection, discovery_prefix: str = DISCOVERY_PREFIX, *, unknown_after_s: float = 0.0
    ) -> None:
        self._connection = connection
        self._discovery = discovery_prefix.strip("/") or DISCOVERY_PREFIX
        self._node = _slug(connection.prefix)
        self._kept = KeptMessages(connection)
        self._lock = threading.RLock()
        self._cameras: dict[str, str] = {}
        self._people: dict[str, str] | None = None
        self._seen: set[str] = set()
        self._in_view: dict[str, dict[int, _Guest]] = {}
        self._unknown_after_s = unknown_after_s
        self._left_over: set[str] = set()
        self._settles_s = time.monotonic() + _SETTLED_S
        self._closed = False
        connection.subscribe(connection.topic("available"), self._note_availability)
        connection.subscribe(connection.topic("cameras/+"), self._note_kept)
        connection.subscribe(f"{self._discovery}/+/{self._node}/+/config", self._note_kept)

    def set_cameras(self, cameras: Mapping[str, str]) -> None:
        """These are watched now: name by a key that stays, such as the source."""
        with self._lock:
            gone = [key for key in self._cameras if cameras.get(key) != self._cameras[key]]
            for key in gone:
                for topic in (*self._configurations(key, self._announced()), self._state_topic(key)):
                    self._kept.forget(topic)
                del self._cameras[key]
                self._in_view.pop(key, None)
            new = [key for key in cameras if key not in self._cameras]
            self._cameras.update({key: cameras[key] for key in new})
            for key in new:
                self._announce(key)

    def set_people(self, people: Mapping[str, str]) -> None:
        """These are in the pool now: name by id. To be called every second: what an earlier run has left goes then."""
        with self._lock:
            if people != self._people:
                before = self._announced()
                self._people = dict(people)
                for person_id in before - self._announced():
                    for key in self._cameras:
                        self._kept.forget(self._person_topic(key, person_id))
                for key in self._cameras:
                    self._announce(key)
            for key in self._in_view:
                self._tell(key)  # somebody may have become unknown by waiting
            self._tidy(people)

    def put(self, event: EventRecord, camera: str) -> None:
        """Take in what happened before a camera, by its key; returns at once. Others than those announced are none."""
        with self._lock:
            if camera not in self._cameras or self._closed:
                return
            if event.get("event") == _RETURNED:
                self._tell_of_return(camera, event)
                return
            in_view, track = self._in_view.setdefault(camera, {}), event.get("track")
            if not isinstance(track, int):
                return
            if event.get("event") == "lost":
                in_view.pop(track, None)
            else:
                person_id = event.get("person_id")
                guest = in_view.setdefault(track, _Guest(time.monotonic()))
                guest.person_id = person_id if isinstance(person_id, str) else None
                self._note_seen(guest.person_id)
            self._tell(camera)

    def _tell_of_return(self, key: str, event: EventRecord) -> None:
        """Not kept by the broker: it happens now."""
        told = {name: event.get(name) for name in ("group", "times", "since", "until")}
        self._connection.publish(self._return_topic(key), _json({"event_type": _RETURNED, **told}))

    def close(self, timeout_s: float) -> None:
        """Nobody is in view any more, as far as anybody knows."""
        with self._lock:
            self._closed = True
            self._in_view.clear()
            for key in self._cameras:
                self._tell(key)
        self._kept.close(timeout_s)

    # What is kept at the broker.

    def _announce(self, key: str) -> None:
        for topic, configuration in self._configurations(key, self._announced()).items():
            self._kept.keep(topic, _json(configuration))
        self._tell(key)

    def _announced(self) -> set[str]:
        """The ids of those who have sensors."""
        people = self._people or {}
        return set(people) if len(people) <= MOST_PEOPLE else self._seen & people.keys()

    def _note_seen(self, person_id: str | None) -> None:
        if person_id is None or person_id in self._seen:
            return
        self._seen.add(person_id)
        if self._people is not None and len(self._people) > MOST_PEOPLE and person_id in self._people:
            for key in self._cameras:
                self._announce(key)

    def _configurations(self, key: str, people: set[str]) -> dict[str, dict[str, object]]:
        """What Home Assistant has to know of a camera, by topic."""
        camera = self._slug_of(key)
        common = {
            "state_topic": self._state_topic(key),
            "availability_topic": self._connection.topic("available"),
            "device": {
                "identifiers": [f"{self._node}_{camera}"],
                "name": self._cameras[key],
                "manufacturer": "facepool",
                "model": "camera",
                "sw_version": facepool.__version__,
            },
            "origin": {"name": "facepool", "sw_version": facepool.__version__},
        }
        found: dict[str, dict[str, object]] = {
            f"{self._discovery}/sensor/{self._node}/{camera}_people/config": {
                "name": "People",
                "unique_id": f"{self._node}_{camera}_people",
                "value_template": "{{ value_json.state }}",
                "json_attributes_topic": self._state_topic(key),
                "icon": "mdi:account-group",
                **common,
            },
            f"{self._discovery}/event/{self._node}/{camera}_unknown/config": {
                **common,
                "name": "Unknown person again",
                "unique_id": f"{self._node}_{camera}_unknown",
                "event_types": [_RETURNED],
                "state_topic": self._return_topic(key),
                "icon": "mdi:account-question",
            },
        }
        for person_id in people:
            found[self._person_topic(key, person_id)] = {
                "name": (self._people or {}).get(person_id, ""),
                "unique_id": f"{self._node}_{camera}_{person_id}",
                "value_template": f"{{{{ 'ON' if '{person_id}' in value_json.person_ids else 'OFF' }}}}",
                "device_class": "occupancy",
                **common,
            }
        return found

    def _tell(self, key: str) -> None:
        """Who is in view; somebody who is not in the pool any more, or not yet as far as is known here, is unknown."""
        known, settled_s = self._people or {}, time.monotonic() - self._unknown_after_s
        in_view = self._in_view.get(key, {}).values()
        ids = sorted({guest.person_id for guest in in_view if guest.person_id in known}, key=lambda one: known[one])
        unknown = sum(guest.person_id not in known and guest.since_s <= settled_s for guest in in_view)
        names = [known[one] for one in ids]
        state = {
            "state": _state(names, unknown),
            "people": names,
            "person_ids": ids,
            "unknown": unknown,
        }
        self._kept.keep(self._state_topic(key), _json(state))

    def _person_topic(self, key: str, person_id: str) -> str:
        return f"{self._discovery}/binary_sensor/{self._node}/{self._slug_of(key)}_{person_id}/config"

    def _state_topic(self, key: str) -> str:
        return self._connection.topic(f"cameras/{self._slug_of(key)}")

    def _return_topic(self, key: str) -> str:
        return f"{self._state_topic(key)}/unknown"

    def _slug_of(self, key: str) -> str:
        return _slug(self._cameras[key], key)

    # What others have left at the broker, or changed: this comes in the connection's own thread.

    def _note_availability(self, topic: str, content: bytes, _kept: bool) -> None:  # noqa: FBT001 -- a Receive
        """Another connection under the same prefix has ended, or its last will came late: this one is still here."""
        if content == b"offline" and not self._closed:
            self._connection.publish(topic, "online", retain=True)

    def _note_kept(self, topic: str, content: bytes, kept: bool) -> None:  # noqa: FBT001 -- a Receive
        if kept and content:
            with self._lock:
                self._left_over.add(topic)
        elif not kept and not content:
            self._kept.repair(topic)

    def _tidy(self, people: Mapping[str, str]) -> None:
        """Take away what an earlier run has left: the names of those who are gone at once, the rest in a while."""
        wanted = self._kept.topics()
        settled = time.monotonic() >= self._settles_s
        for topic in list(self._left_over):
            person_id = topic.removesuffix("/config").rpartition("_")[2]
            of_person = topic.startswith(f"{self._discovery}/binary_sensor/")
            if of_person and person_id in people:
                self._note_seen(person_id)  # with sensors before, and so with sensors now
                wanted = self._kept.topics()
            gone = of_person and person_id not in people
            if topic in wanted:
                self._left_over.discard(topic)
            elif gone or settled:
                self._kept.forget(topic)
                self._left_over.discard(topic)


class PeopleWatch:
    """Says who is in a pool, whenever that may have changed, whichever program has changed it.

    Args:
        open_pool: Opens the pool for the watch's own thread.
        listeners: Hear of everybody, again and again.
    """

    def __init__(self, open_pool: Callable[[], AbstractContextManager[Pool]], listeners: "tuple[People, ...]") -> None:
        self._open_pool = open_pool
        self._listeners = listeners
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="people of the pool", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._end.set()
        self._thread.join(2 * _LOOK_EVERY_S)

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                with self._open_pool() as pool:
                    self._follow(pool)
            except PoolError as error:  # busy, or its file was replaced: the next one opens the new one
                _log.warning("Who is in the pool cannot be seen: %s", error.why or error.what)
                self._end.wait(_LOOK_EVERY_S)

    def _follow(self, pool: Pool) -> None:
        revision, people = None, {}
        while True:
            if (now := pool.revision()) != revision:
                revision, people = now, {person.id: person.name for person in pool.people()}
            for listener in self._listeners:
                listener.set_people(people)
            if self._end.wait(_LOOK_EVERY_S):
                return


def _slug(text: str, key: str | None = None) -> str:
    """Letters, digits and ``_`` for a topic or an id: of what else there is, a digest tells texts apart.

    Args:
        text: Of any script.
        key: What tells it from others of the same text; None: the text alone does.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST_SLUG]
    if key is None and slug == text:
        return slug
    return f"{slug or 'x'}_{hashlib.sha256((key or text).encode()).hexdigest()[:8]}"


def _state(names: Sequence[str], unknown: int) -> str:
    """``Ada, 1 unknown``: always with the number, for ``unknown`` is Home Assistant's word for having no value."""
    state = ", ".join([*names, *([f"{unknown} unknown"] if unknown else [])]) or "nobody"
    return state if len(state) <= _LONGEST_STATE else f"{state[: _LONGEST_STATE - 1]}…"


def _json(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()
