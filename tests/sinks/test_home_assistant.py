"""What Home Assistant finds at a real broker: cameras and people, who is in view, and nobody who is gone."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from facepool.gallery import open_pool
from facepool.sinks import BrokerConnection, HomeAssistant
from facepool.sinks.home_assistant import MOST_PEOPLE, KeptMessages, PeopleWatch
from support.broker import Listener, broker, listening, until
from support.fake_analyzer import SPACE
from support.ports import free_port

ADA, ZOE = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
SAFE = re.compile(r"[a-zA-Z0-9_-]+")


@dataclass
class House:
    """A broker, somebody who listens there, and Home Assistant's side of facepool."""

    port: int
    heard: Listener

    @contextmanager
    def facepool(self, prefix: str = "") -> Iterator[HomeAssistant]:
        connection = BrokerConnection(f"mqtt://127.0.0.1:{self.port}/{prefix}")
        home_assistant = HomeAssistant(connection)
        try:
            yield home_assistant
        finally:
            home_assistant.close(2)
            connection.close()

    def configurations(self) -> dict[str, dict[str, Any]]:
        return {topic: json.loads(text) for topic, text in self.heard.kept.items() if topic.endswith("/config")}

    def names(self) -> list[str]:
        return sorted(
            f"{found['name']} at {found['device']['name']}"
            for topic, found in self.configurations().items()
            if topic.startswith("homeassistant/binary_sensor/")
        )

    def state(self, camera: str) -> dict[str, Any]:
        sensor = next(
            found
            for topic, found in self.configurations().items()
            if topic.startswith("homeassistant/sensor/") and found["device"]["name"] == camera
        )
        state: dict[str, Any] = json.loads(self.heard.kept[sensor["state_topic"]])
        return state


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    port = free_port()
    with broker(port, tmp_path), listening(port) as heard:
        yield House(port, heard)


def event(kind: str, track: int, person_id: str | None = None) -> dict[str, object]:
    return {"event": kind, "track": track, "person": None, "person_id": person_id}


def test_each_camera_has_a_sensor_and_each_person_one_there(house: House) -> None:
    with house.facepool() as facepool:
        facepool.set_cameras({"rtsp://door/1": "Front door", "0": "Küche / 厨房"})
        facepool.set_people({ADA: "Ada", ZOE: "Zoë #1/+"})
        until(lambda: len(house.names()) == 4)
        assert house.names() == [
            "Ada at Front door",
            "Ada at Küche / 厨房",
            "Zoë #1/+ at Front door",
            "Zoë #1/+ at Küche / 厨房",
        ]
        found = house.configurations()
        assert len(found) == 8
        assert len({one["unique_id"] for one in found.values()}) == 8
        for topic, one in found.items():
            prefix, component, node, thing, last = topic.split("/")
            assert (prefix, node, last) == ("homeassistant", "facepool", "config")
            assert component in {"sensor", "binary_sensor", "event"}
            assert SAFE.fullmatch(thing)
            assert one["availability_topic"] == "facepool/available"
            assert one["device"]["identifiers"]
        until(lambda: house.heard.kept.get("facepool/available") == b"online")
    until(lambda: house.heard.kept["facepool/available"] == b"offline")


def test_the_state_says_who_is_in_view(house: House) -> None:
    with house.facepool() as facepool:
        facepool.set_cameras({"0": "Door"})
        facepool.set_people({ADA: "Ada", ZOE: "Zoë"})
        until(lambda: len(house.names()) == 2)
        assert house.state("Door")["state"] == "nobody"
        facepool.put(event("appeared", 1), "0")
        facepool.put(event("recognized", 1, ADA), "0")
        facepool.put(event("appeared", 2), "0")
        facepool.put(event("appeared", 7), "browser")  # no camera of this house
        until(lambda: house.state("Door")["state"] == "Ada, 1 unknown")
        assert house.state("Door") == {
            "state": "Ada, 1 unknown",
            "people": ["Ada"],
            "person_ids": [ADA],
            "unknown": 1,
        }
        sensor = next(one for one in house.configurations().values() if one["name"] == "Ada")
        assert sensor["value_template"] == f"{{{{ 'ON' if '{ADA}' in value_json.person_ids else 'OFF' }}}}"
        facepool.put(event("lost", 2), "0")
        facepool.put(event("changed", 1, ZOE), "0")
        until(lambda: house.state("Door")["state"] == "Zoë")
    until(lambda: house.state("Door")["state"] == "nobody")


def test_somebody_unknown_who_is_there_again_is_an_event(house: House) -> None:
    with house.facepool() as facepool:
        facepool.set_cameras({"0": "Door"})
        until(lambda: len(house.configurations()) == 2)
        (config,) = [one for topic, one in house.configurations().items() if topic.startswith("homeassistant/event/")]
        assert config["event_types"] == ["unknown_returned"]
        news = {"event": "unknown_returned", "group": 12, "times": 5, "since": "a", "until": "b", "person": None}
        facepool.put(news, "0")
        facepool.put(news, "browser")  # no camera of this house
        until(lambda: bool(house.heard.of(config["state_topic"])))
        (told,) = house.heard.of(config["state_topic"])
        assert json.loads(told) == {
            "event_type": "unknown_returned",
            "group": 12,
            "times": 5,
            "since": "a",
            "until": "b",
        }
        assert house.state("Door")["state"] == "nobody"


def test_a_face_is_unknown_only_after_a_while(house: House) -> None:
    connection = BrokerConnection(f"mqtt://127.0.0.1:{house.port}")
    facepool = HomeAssistant(connection, unknown_after_s=0.3)
    facepool.set_cameras({"0": "Door"})
    facepool.set_people({ADA: "Ada"})
    facepool.put(event("appeared", 1), "0")
    until(lambda: bool(house.names()))
    assert house.state("Door")["state"] == "nobody"
    time.sleep(0.35)
    facepool.set_people({ADA: "Ada"})
    until(lambda: house.state("Door")["state"] == "1 unknown")
    facepool.close(2)
    connection.close()


def test_nothing_that_is_kept_names_somebody_who_was_erased_or_renamed(house: House) -> None:
    with house.facepool() as facepool:
        facepool.set_cameras({"0": "Door"})
        facepool.set_people({ADA: "Ada", ZOE: "Zoë"})
        facepool.put(event("recognized", 1, ADA), "0")
        facepool.put(event("recognized", 2, ZOE), "0")
        until(lambda: len(house.names()) == 2 and house.state("Door")["state"] == "Ada, Zoë")
        facepool.set_people({ZOE: "Zoe Smith"})
        until(lambda: house.names() == ["Zoe Smith at Door"] and "Ada" not in house.state("Door")["state"])
        until(lambda: house.state("Door")["people"] == ["Zoe Smith"])
        everything = b" ".join(house.heard.kept.values()).decode()
        assert ADA not in everything
        assert "Ada" not in everything
        assert "Zoë" not in everything


def test_what_an_earlier_run_has_left_of_somebody_who_was_erased_since_is_taken_away(house: House) -> None:
    with house.facepool() as facepool:
        facepool.set_cameras({"0": "Door"})
        facepool.set_people({ADA: "Ada", ZOE: "Zoë"})
        until(lambda: len(house.names()) == 2)
    with house.facepool() as facepool:
        facepool.set_cameras({"0": "Door"})
        until(lambda: house.heard.kept.get("facepool/available") == b"online")

        def look() -> bool:
            facepool.set_people({ZOE: "Zoë"})
            return house.names() == ["Zoë at Door"]

        until(look)


def test_a_camera_that_is_watched_no_more_is_taken_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.facepool() as facepool:
        facepool.set_cameras({"0": "Door", "1": "Hall"})
        facepool.set_people({ADA: "Ada"})
        until(lambda: len(house.names()) == 2)
        facepool.set_cameras({"0": "Door"})
        until(lambda: house.names() == ["Ada at Door"] and not any("hall" in topic for topic in house.heard.kept))
    monkeypatch.setattr("facepool.sinks.home_assistant._SETTLED_S", 0.0)
    with house.facepool() as facepool:  # the next run watches another camera
        facepool.set_cameras({"2": "Garden"})

        def look() -> bool:
            facepool.set_people({ADA: "Ada"})
            return house.names() == ["Ada at Garden"] and not any("door" in topic for topic in house.heard.kept)

        until(look)


@pytest.mark.slow
def test_a_broker_that_forgets_everything_is_told_again(tmp_path: Path) -> None:
    port = free_port()
    connection = BrokerConnection(f"mqtt://127.0.0.1:{port}")
    facepool = HomeAssistant(connection)
    facepool.set_cameras({"0": "Door"})
    facepool.set_people({ADA: "Ada"})
    for _ in range(2):
        with broker(port, tmp_path), listening(port) as heard:
            # Up to half a minute lies between two tries to reach a broker.
            until(lambda: len(House(port, heard).configurations()) == 3, 60)
    facepool.close(0.1)
    connection.close()


def test_what_one_broker_has_got_while_the_next_one_came_is_sent_to_that_too() -> None:
    class Connection:
        """Loses its broker, and finds another one, while the first messages are delivered."""

        name = "broker"

        def __init__(self) -> None:
            self.delivered: list[dict[str, bytes]] = []

        def on_connected(self, call: Callable[[], None]) -> None:
            self.greet = call

        def deliver(self, messages: Iterable[tuple[str, bytes]], *, retain: bool) -> None:
            assert retain
            self.delivered.append(dict(messages))
            if len(self.delivered) == 1:
                self.greet()

    connection = Connection()
    kept = KeptMessages(connection)  # type: ignore[arg-type]
    kept.keep("door", b"Ada")
    until(lambda: len(connection.delivered) == 2)
    assert connection.delivered == [{"door": b"Ada"}] * 2
    kept.close(1)


def test_another_connection_that_ends_does_not_make_this_one_unavailable(house: House) -> None:
    with house.facepool() as facepool:
        facepool.set_cameras({"0": "Door"})
        until(lambda: house.heard.of("facepool/available") == [b"online"])
        house.heard.client.publish("facepool/available", b"offline", 1, retain=True)
        until(lambda: house.heard.of("facepool/available")[-2:] == [b"offline", b"online"])


def test_somebody_who_dies_is_unavailable_by_the_broker_itself(house: House) -> None:
    connection = BrokerConnection(f"mqtt://127.0.0.1:{house.port}")
    until(lambda: house.heard.kept.get("facepool/available") == b"online")
    connection._client._sock_close()  # as a process that is killed
    until(lambda: b"offline" in house.heard.of("facepool/available"))
    connection.close()


def test_in_a_large_pool_people_get_sensors_when_they_come(house: House) -> None:
    people = {f"00000000-0000-4000-8000-{number:012}": f"P{number}" for number in range(MOST_PEOPLE)} | {ADA: "Ada"}
    with house.facepool("home/Küche") as facepool:
        facepool.set_cameras({"0": "Door"})
        facepool.set_people(people)
        facepool.put(event("recognized", 1, ADA), "0")
        until(lambda: house.names() == ["Ada at Door"])
        until(lambda: house.state("Door")["state"] == "Ada")
        (topic, *_) = house.configurations()
        assert SAFE.fullmatch(topic.split("/")[2])


def test_whoever_changes_the_pool_is_noticed(tmp_path: Path) -> None:
    heard: list[dict[str, str]] = []

    class Hearer:
        def set_people(self, people: dict[str, str]) -> None:
            heard.append(dict(people))

    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        pool.create("Ada")
        watch = PeopleWatch(lambda: open_pool(tmp_path / "pool.db"), (Hearer(),))  # type: ignore[arg-type]
        until(lambda: [list(people.values()) for people in heard[-1:]] == [["Ada"]])
        pool.rename("Ada", "Ada Lovelace")
        until(lambda: list(heard[-1].values()) == ["Ada Lovelace"])
        pool.remove("Ada Lovelace")
        until(lambda: not heard[-1])
    watch.close()
