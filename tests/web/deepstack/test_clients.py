"""The public clients of DeepStack and CodeProject.AI, unchanged, against a real server with the real networks."""

from collections.abc import Iterator
from pathlib import Path

import codeprojectai.core as codeproject
import deepstack.core as deepstack
import httpx
import numpy as np
import pytest

from facepool import ModelStore, load_analyzer
from facepool.web.services import ServerOptions
from support.live_server import Server, jpeg, serving

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, open_store: ModelStore) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("deepstack") / "pool.db", load_analyzer(store=open_store)) as server:
        yield server


@pytest.fixture(autouse=True)
def _nobody_stays(server: Server) -> Iterator[None]:
    yield
    for userid in httpx.post(f"{server.url}/v1/vision/face/list", timeout=60).json()["faces"]:
        httpx.post(f"{server.url}/v1/vision/face/delete", data={"userid": userid}, timeout=60)


@pytest.fixture
def faces(photos: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in photos.glob("*.jpg")}


def test_codeproject_ai_registers_lists_recognizes_and_finds(server: Server, faces: dict[str, bytes]) -> None:
    client = codeproject.CodeProjectAIFace(HOST, server.port, timeout=60)
    assert client.register("Ada", faces["person_a_1"]) == "face added"
    assert client.register("Bob", faces["person_b_1"]) == "face added"
    assert client.register("Bob", faces["person_b_2"]) == "face updated"
    assert client.get_registered_faces() == ["Ada", "Bob"]
    predictions = client.recognize(faces["person_a_2"])
    assert codeproject.get_recognized_faces(predictions).keys() == {"Ada"}
    assert codeproject.get_recognized_faces(predictions)["Ada"] > 95  # per cent
    assert codeproject.get_recognized_faces(client.recognize(faces["impostor_1"])) == {}
    (found,) = client.detect(faces["person_a_1"])
    edges = [found[edge] for edge in ("x_min", "y_min", "x_max", "y_max")]
    assert edges == pytest.approx([64, 48, 139, 151], abs=3)
    assert client.detect(jpeg(np.full((240, 320, 3), 127, np.uint8))) == []


def test_deepstack_registers_lists_recognizes_and_finds(server: Server, faces: dict[str, bytes]) -> None:
    client = deepstack.DeepstackFace(HOST, server.port, timeout=60, min_confidence=0.8)
    assert client.register("Ada", faces["person_a_1"]) == "face added"
    assert client.get_registered_faces() == ["Ada"]
    assert deepstack.get_recognized_faces(client.recognize(faces["person_a_2"])).keys() == {"Ada"}
    (face,) = client.recognize(faces["impostor_1"])
    assert (face["userid"], face["confidence"]) == ("unknown", 0)
    assert len(client.detect(faces["person_a_1"])) == 1
    with pytest.raises(deepstack.DeepstackException, match="400"):
        client.register("Ada", b"no picture")


def test_the_key_of_the_client_is_asked_for(tmp_path: Path, open_store: ModelStore, faces: dict[str, bytes]) -> None:
    options = ServerOptions(keys_always=True)
    with serving(tmp_path / "pool.db", load_analyzer(store=open_store), options) as server:
        key = server.services.keys.add("Viseron", "enroll")
        client = deepstack.DeepstackFace(HOST, server.port, api_key=key, timeout=60)
        assert client.register("Ada", faces["person_a_1"]) == "face added"
        assert client.get_registered_faces() == ["Ada"]
        stranger = deepstack.DeepstackFace(HOST, server.port, api_key="nonsense", timeout=60)
        with pytest.raises(deepstack.DeepstackException, match="401"):
            stranger.recognize(faces["person_a_1"])
