"""Cameras of the server as clients see them."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from facepool import Analyzer, Frame, ModelStore, load_analyzer, read_image
from facepool.gallery import Pool
from support.live_server import Server, serving
from support.loopback_camera import camera_before, moving
from support.media import server as media_server

PATIENCE_S = 60


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store)


@pytest.fixture
def server(tmp_path: Path, analyzer: Analyzer, photos: Path) -> Iterator[Server]:
    photo = read_image(photos / "person_a_1.jpg")

    def register(pool: Pool) -> None:
        pool.register("Ada", [analyzer.analyze(photo).sample(0, Frame(photo, "photo"))], analyzer.space)

    with serving(tmp_path / "pool.db", analyzer) as server:
        asyncio.run(server.services.pool.run(register))
        yield server


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/v1", timeout=60) as client:
        yield client


def test_a_camera_is_added_watched_seen_and_removed(http: httpx.Client, server: Server, photos: Path) -> None:
    with camera_before(moving(read_image(photos / "person_a_2.jpg"))) as before_the_door:
        added = http.post("/cameras", json={"source": before_the_door.url, "name": "Door"})
        assert added.status_code == 201
        address = f"/cameras/{added.json()['id']}"
        deadline = time.monotonic() + PATIENCE_S
        while [face["person"] for face in http.get(address).json()["present"]] != ["Ada"]:
            assert time.monotonic() < deadline, http.get(address).json()
            time.sleep(0.05)
        picture = http.get(f"{address}/picture")
    assert picture.headers["content-type"] == "image/jpeg"
    decoded = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (480, 640, 3)
    entries = http.get("/activity", params={"person": "Ada"}).json()["entries"]
    assert [(entry["event"], entry["source"]) for entry in entries][-1:] == [("recognized", "Door")]
    assert server.services.store.kept("cameras") == {before_the_door.url: "Door"}
    assert http.delete(address).status_code == 204
    assert http.get("/cameras").json() == {"cameras": []}
    assert server.services.store.kept("cameras") == {}
    assert http.get(address).status_code == 404
    actions = [entry.action for entry in asyncio.run(server.services.audit.entries())]
    assert actions == ["removed a camera", "added a camera"]


@pytest.mark.parametrize(
    "source", ["/etc/passwd", "file:///etc/passwd", "clip.mp4", "concat:a|b", "-1", "\N{SUPERSCRIPT TWO}"]
)
def test_files_of_the_server_are_no_cameras(http: httpx.Client, source: str) -> None:
    answer = http.post("/cameras", json={"source": source})
    assert (answer.status_code, answer.json()["code"]) == (400, "config_invalid")


def test_passwords_of_cameras_stay_inside(http: httpx.Client) -> None:
    answer = http.post("/cameras", json={"source": "rtsp://admin:secret@127.0.0.1:9/door"})
    assert answer.status_code == 201
    assert "secret" not in answer.text + http.get("/cameras").text


def test_a_camera_without_a_picture_has_none(http: httpx.Client) -> None:
    number = http.post("/cameras", json={"source": "rtsp://127.0.0.1:9/door"}).json()["id"]
    answer = http.get(f"/cameras/{number}/picture")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_picture")


def test_a_camera_of_single_pictures_is_asked_every_so_often(http: httpx.Client, server: Server, photos: Path) -> None:
    pictures = [cv2.imencode(".jpg", image)[1].tobytes() for image in moving(read_image(photos / "person_a_2.jpg"))]
    asked_s: list[float] = []

    def answer(client: socket.socket) -> None:
        client.recv(4096)
        asked_s.append(time.monotonic())
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + pictures[len(asked_s) % len(pictures)])

    with media_server(answer) as place:
        source = f"http://{place}/snap.jpg"
        added = http.post("/cameras", json={"source": source, "name": "Gate", "every": 0.2})
        assert (added.status_code, added.json()["every"]) == (201, 0.2)
        address = f"/cameras/{added.json()['id']}"
        deadline = time.monotonic() + PATIENCE_S
        while [face["person"] for face in http.get(address).json()["present"]] != ["Ada"]:
            assert time.monotonic() < deadline, http.get(address).json()
            time.sleep(0.05)
        assert server.services.store.kept("cameras") == {source: {"name": "Gate", "every": 0.2}}
        assert http.delete(address).status_code == 204
    assert 0.15 < float(np.median(np.diff(asked_s[2:]))) < 1


def test_how_often_a_camera_is_asked_has_a_default_and_bounds(http: httpx.Client) -> None:
    assert http.post("/cameras", json={"source": "http://127.0.0.1:9/a.jpg"}).json()["every"] == 2
    for every in (0, -1, 1e6, "x"):
        assert http.post("/cameras", json={"source": "http://127.0.0.1:9/b.jpg", "every": every}).status_code == 422


def test_how_a_camera_is_mounted_can_be_said(http: httpx.Client) -> None:
    source = {"source": "rtsp://127.0.0.1:9/above"}
    added = http.post("/cameras", json=source | {"rotate": 180})
    assert added.status_code == 201, added.text
    assert added.json()["rotate"] == "180"
    refused = http.post("/cameras", json={"source": "rtsp://127.0.0.1:9/other", "rotate": "45"})
    assert refused.status_code == 422
