"""The REST interface with real networks on the demo's photos."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from facepool import ModelStore, load_analyzer, read_image
from facepool.faces.detect import RetinaFace
from support.web_client import client_of


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, open_store: ModelStore) -> Iterator[TestClient]:
    with client_of(tmp_path_factory.mktemp("web"), load_analyzer(store=open_store)) as client:
        yield client


def files(photos: Path, *names: str) -> Any:
    return {"files": [("files", (f"{name}.jpg", (photos / f"{name}.jpg").read_bytes())) for name in names]}


def test_registered_people_are_named_on_other_photos_and_strangers_are_not(
    web: TestClient, photos: Path, retinaface: RetinaFace
) -> None:
    for person, photo in (("Ada", "person_a_1"), ("Bob", "person_b_1")):
        told = web.post(f"/v1/persons/{person}/samples", **files(photos, photo)).json()
        assert [entry["outcome"] for entry in told["pictures"]] == ["taken"]
    asked = files(photos, "person_a_2", "person_b_2", "impostor_1", "impostor_2")
    named = [picture["faces"][0]["person"] for picture in web.post("/v1/recognize", **asked).json()["pictures"]]
    assert named == ["Ada", "Bob", None, None]
    for other, same in (("person_a_2", True), ("person_b_1", False)):
        assert web.post("/v1/verify", **files(photos, "person_a_1", other)).json()["match"] is same
    face = web.get("/v1/persons/Ada").json()["face"]
    kept = read_image(web.get(f"/v1/persons/Ada/samples/{face}/picture").content)
    assert kept.shape == (112, 112, 3)
    assert len(retinaface.detect([kept])[0]) == 1


def test_several_photos_of_one_person_are_stored_at_once_and_a_stray_one_is_not(web: TestClient, photos: Path) -> None:
    told = web.post("/v1/persons/Eve/samples", **files(photos, "impostor_1", "person_a_2")).json()
    assert [entry["outcome"] for entry in told["pictures"]] == ["taken", "other_person"]
    assert told["pictures"][1]["rival"] == "Ada"
