"""What the Python SDK of CompreFace does not ask for and other clients do, and what goes wrong."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import cv2
import httpx
import numpy as np
import pytest

from facepool import Analyzer, ModelStore, load_analyzer
from support.live_server import Server, serving

NOBODY = "00000000-0000-0000-0000-0000000000ff"


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, analyzer: Analyzer) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("compreface") / "pool.db", analyzer) as server:
        yield server


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/api/v1", timeout=60) as client:
        yield client
        client.delete("/recognition/faces").raise_for_status()


@pytest.fixture
def ada(photos: Path) -> bytes:
    return (photos / "person_a_1.jpg").read_bytes()


@pytest.fixture
def ada_again(photos: Path) -> bytes:
    return (photos / "person_a_2.jpg").read_bytes()


@pytest.fixture
def bob(photos: Path) -> bytes:
    return (photos / "person_b_1.jpg").read_bytes()


def add(http: httpx.Client, subject: str, picture: bytes) -> str:
    answer = http.post("/recognition/faces", params={"subject": subject}, files={"file": ("a.jpg", picture)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["image_id"])


def text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def told(answer: httpx.Response) -> tuple[int, int, str]:
    body = answer.json()
    assert body.keys() == {"message", "code"}
    return answer.status_code, body["code"], body["message"]


def test_pictures_may_come_as_base64(http: httpx.Client, ada: bytes, ada_again: bytes, bob: bytes) -> None:
    answer = http.post("/recognition/faces", params={"subject": "Ada"}, json={"file": text(ada)})
    assert answer.status_code == 201
    example = answer.json()["image_id"]
    url = f"data:image/jpeg;base64,{text(ada_again)}"
    (face,) = http.post("/recognition/recognize", json={"file": url}).json()["result"]
    assert face["subjects"][0]["subject"] == "Ada"
    (face,) = http.post(f"/recognition/faces/{example}/verify", json={"file": text(ada_again)}).json()["result"]
    assert face["similarity"] > 0.8
    body = {"source_image": text(ada), "target_image": text(bob)}
    (result,) = http.post("/verification/verify", json=body).json()["result"]
    assert result["face_matches"][0]["similarity"] < 0.3
    assert len(http.post("/detection/detect", json={"file": text(bob)}).json()["result"]) == 1


def test_examples_come_a_page_at_a_time_and_by_subject(http: httpx.Client, ada: bytes, bob: bytes) -> None:
    ids = [add(http, "Ada", ada), add(http, "Bob", bob), add(http, "Ada", ada)]
    page = http.get("/recognition/faces", params={"page": 1, "size": 2}).json()
    assert [face["image_id"] for face in page.pop("faces")] == ids[2:]
    assert page == {"page_number": 1, "page_size": 2, "total_pages": 2, "total_elements": 3}
    page = http.get("/recognition/faces", params={"subject": "Ada"}).json()
    assert [face["image_id"] for face in page["faces"]] == [ids[0], ids[2]]
    assert http.get("/recognition/faces", params={"subject": "Nobody"}).json()["total_elements"] == 0
    page = http.get("/recognition/faces", params={"page": "x", "size": "0"}).json()
    assert (page["page_number"], page["page_size"]) == (0, 20)


def test_several_examples_are_deleted_at_once(http: httpx.Client, ada: bytes, bob: bytes) -> None:
    ids = [add(http, "Ada", ada), add(http, "Bob", bob), add(http, "Ada", ada)]
    gone = http.post("/recognition/faces/delete", json=[ids[0], NOBODY, ids[1]]).json()
    assert gone == [{"image_id": ids[0], "subject": "Ada"}, {"image_id": ids[1], "subject": "Bob"}]
    assert http.get("/recognition/faces").json()["total_elements"] == 1
    assert http.get("/recognition/subjects/").json() == {"subjects": ["Ada", "Bob"]}  # Bob has no example any more


def test_what_may_stand_in_the_address_may_be_a_field_of_the_form(
    http: httpx.Client, ada: bytes, ada_again: bytes, bob: bytes
) -> None:
    answer = http.post("/recognition/faces", data={"subject": "Ada", "det_prob_threshold": "0.8"}, files={"file": ada})
    assert answer.status_code == 201, answer.text
    assert answer.json()["subject"] == "Ada"
    add(http, "Bob", bob)
    fields = {"prediction_count": "2", "face_plugins": "landmarks", "status": "true", "limit": "1"}
    answer = http.post("/recognition/recognize", data=fields, files={"file": ada_again}).json()
    (face,) = answer["result"]
    assert [subject["subject"] for subject in face["subjects"]] == ["Ada", "Bob"]
    assert len(face["landmarks"]) == 5
    assert answer["plugins_versions"]
    detected = http.post("/detection/detect", data={"face_plugins": "pose"}, files={"file": ada}).json()
    assert "pose" in detected["result"][0]
    pair = {"source_image": ada, "target_image": ada_again}
    (result,) = http.post("/verification/verify", data={"face_plugins": "landmarks"}, files=pair).json()["result"]
    assert "landmarks" in result["face_matches"][0]
    body = {"file": text(ada_again), "prediction_count": 2}
    (face,) = http.post("/recognition/recognize", json=body).json()["result"]
    assert len(face["subjects"]) == 2


def test_the_address_comes_before_the_form_and_nothing_before_the_default(http: httpx.Client, ada: bytes) -> None:
    params, data = {"subject": "Ada", "det_prob_threshold": ""}, {"subject": "Bob", "det_prob_threshold": "0.5"}
    answer = http.post("/recognition/faces", params=params, data=data, files={"file": ada})
    assert answer.json()["subject"] == "Ada"
    none = http.post("/detection/detect", data={"det_prob_threshold": "1"}, files={"file": ada})
    assert told(none) == (400, 28, "No face is found in the given image")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"limit": "-1"}, (400, 26, "Limit should be equal or greater than 0; ")),
        ({"prediction_count": "0"}, (400, 26, "prediction_count should be equal or greater than 1; ")),
        ({"limit": "x"}, (400, 0, "Something went wrong, please try again")),
    ],
)
def test_what_is_wrong_with_a_field_is_told_as_of_the_address(
    http: httpx.Client, ada: bytes, fields: dict[str, str], expected: tuple[int, int, str]
) -> None:
    assert told(http.post("/recognition/recognize", data=fields, files={"file": ada})) == expected


def test_a_subject_in_the_form_erases_that_subject_alone(http: httpx.Client, ada: bytes, bob: bytes) -> None:
    add(http, "Ada", ada)
    add(http, "Bob", bob)
    assert http.request("DELETE", "/recognition/faces", data={"subject": "Ada"}).json() == {"deleted": 1}
    assert http.get("/recognition/subjects").json() == {"subjects": ["Bob"]}
    assert http.request("DELETE", "/recognition/faces", json={"subject": "Bob"}).json() == {"deleted": 1}


def test_somebody_under_two_names_is_both(http: httpx.Client, ada: bytes, ada_again: bytes) -> None:
    add(http, "Ada", ada)
    add(http, "Ada Lovelace", ada)
    params = {"prediction_count": 2}
    (face,) = http.post("/recognition/recognize", params=params, files={"file": ada_again}).json()["result"]
    assert {subject["subject"] for subject in face["subjects"]} == {"Ada", "Ada Lovelace"}
    assert all(subject["similarity"] > 0.9 for subject in face["subjects"])


def test_a_picture_has_an_address_with_a_key_in_it(tmp_path: Path, analyzer: Analyzer, ada: bytes) -> None:
    with serving(tmp_path / "pool.db", analyzer) as server, httpx.Client(base_url=f"{server.url}/api/v1") as http:
        image = add(http, "Ada", ada)
        server.services.keys.add("me", "admin")
        key = server.services.keys.add("an image of a page", "recognize")
        answer = http.get(f"/static/{key}/images/{image}")
        assert answer.content[:3] == b"\xff\xd8\xff"
        assert answer.headers["cache-control"] == "no-store"
        assert http.get(f"/static/{key}/images/{NOBODY}").content == b""
        expected = (404, 10, f"Recognition service with API Key {NOBODY} not found")
        assert told(http.get(f"/static/{NOBODY}/images/{image}")) == expected
        # What is open to everybody, as CompreFace has it.
        sizes = http.get("/config").json()
        assert sizes == {"clientMaxFileSize": 16 * 1024 * 1024, "clientMaxBodySize": 64 * 1024 * 1024}
        assert http.get("/consistence/status").json() == {
            "demoFaceCollectionIsInconsistent": False,
            "dbIsInconsistent": False,
            "saveImagesToDB": True,
            "status": "OK",
        }


def test_an_example_is_known_by_the_id_that_earlier_servers_gave_it(
    http: httpx.Client, server: Server, ada: bytes
) -> None:
    image = add(http, "Ada", ada)
    assert UUID(image).version == 4
    (sample,) = httpx.get(f"{server.url}/v1/persons/Ada/samples").json()
    assert sample["uuid"] == image
    old = str(UUID(int=sample["id"]))
    assert http.get(f"/recognition/faces/{old}/img").content == http.get(f"/recognition/faces/{image}/img").content
    assert http.delete(f"/recognition/faces/{old}").json() == {"image_id": old, "subject": "Ada"}
    assert http.delete(f"/recognition/faces/{image}").status_code == 404


def test_the_picture_of_an_example_comes_back_and_is_a_face(http: httpx.Client, ada: bytes) -> None:
    example = add(http, "Ada", ada)
    answer = http.get(f"/recognition/faces/{example}/img")
    assert answer.headers["content-type"] == "image/jpeg"
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (112, 112, 3)
    cut_out = {"file": ("face.jpg", answer.content)}
    (face,) = http.post("/recognition/recognize", params={"detect_faces": "false"}, files=cut_out).json()["result"]
    assert face["box"] == {"probability": 1.0, "x_max": 112, "y_max": 112, "x_min": 0, "y_min": 0}
    assert face["subjects"][0]["similarity"] > 0.95
    assert http.get(f"/recognition/faces/{NOBODY}/img").content == b""


def test_embeddings_stand_for_pictures(http: httpx.Client, ada: bytes, ada_again: bytes, bob: bytes) -> None:
    example = add(http, "Ada", ada)
    add(http, "Bob", bob)

    def embedding(picture: bytes) -> list[float]:
        params = {"face_plugins": "calculator"}
        (face,) = http.post("/detection/detect", params=params, files={"file": picture}).json()["result"]
        found: list[float] = face["embedding"]
        return found

    one, other = [2 * number for number in embedding(ada_again)], embedding(bob)  # of any length
    body = {"embeddings": [one, other]}
    results = http.post("/recognition/embeddings/recognize", params={"prediction_count": 2}, json=body).json()["result"]
    assert [[item["subject"] for item in result["similarities"]] for result in results] == [
        ["Ada", "Bob"],
        ["Bob", "Ada"],
    ]
    assert results[0]["embedding"] == one
    by_picture = http.post("/recognition/recognize", files={"file": ada_again}).json()["result"][0]["subjects"][0]
    assert results[0]["similarities"][0]["similarity"] == pytest.approx(by_picture["similarity"], abs=1e-4)
    verified = http.post(f"/recognition/embeddings/faces/{example}/verify", json={"embeddings": [other, one]}).json()
    assert [result["embedding"] for result in verified["result"]] == [one, other]  # most similar first
    assert verified["result"][0]["similarity"] > 0.8 > 0.3 > verified["result"][1]["similarity"]
    pair = {"source": one, "targets": [other, embedding(ada)]}
    compared = http.post("/verification/embeddings/verify", json=pair).json()["result"]
    assert compared[0]["similarity"] > 0.8 > 0.3 > compared[1]["similarity"]


def test_the_pose_is_told_where_it_is_asked_for(http: httpx.Client, ada: bytes) -> None:
    params = {"face_plugins": "pose"}
    (face,) = http.post("/detection/detect", params=params, files={"file": ada}).json()["result"]
    assert face["pose"].keys() == {"pitch", "roll", "yaw"}
    assert all(abs(angle) < 45 for angle in face["pose"].values())


def test_a_name_in_other_letters_is_the_same_person(http: httpx.Client, ada: bytes) -> None:
    add(http, "Ada", ada)
    add(http, "ada", ada)
    assert http.get("/recognition/subjects").json() == {"subjects": ["Ada"]}
    assert told(http.post("/recognition/subjects", json={"subject": "ADA"}))[:2] == (400, 43)
    assert http.put("/recognition/subjects/ada", json={"subject": "ADA"}).json() == {"updated": True}
    assert http.get("/recognition/subjects").json() == {"subjects": ["ADA"]}


def test_a_name_may_have_a_slash(http: httpx.Client) -> None:
    assert http.post("/recognition/subjects", json={"subject": "Ada / Bob"}).status_code == 201
    address = f"/recognition/subjects/{quote('Ada / Bob', safe='')}"
    assert http.delete(address).json() == {"subject": "Ada / Bob"}


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("recognition/recognize", {"limit": "-1"}, (400, 26, "Limit should be equal or greater than 0; ")),
        (
            "detection/detect",
            {"det_prob_threshold": "1e300"},
            (400, 26, "det_prob_threshold should be between 0.0 and 1.0; "),
        ),
        (
            "detection/detect",
            {"det_prob_threshold": "nan"},
            (400, 26, "det_prob_threshold should be between 0.0 and 1.0; "),
        ),
        ("recognition/recognize", {"limit": "x"}, (400, 0, "Something went wrong, please try again")),
        ("recognition/faces", {}, (400, 33, "Required parameter subject is missing")),
        ("recognition/faces", {"subject": " "}, (400, 26, "Subject name is empty; ")),
        ("recognition/faces/nonsense/verify", {}, (400, 0, "Something went wrong, please try again")),
    ],
)
def test_what_is_wrong_with_an_address_is_told(
    http: httpx.Client, ada: bytes, path: str, params: dict[str, str], expected: tuple[int, int, str]
) -> None:
    assert told(http.post(f"/{path}", params=params, files={"file": ada})) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"file": ""}, (400, 5, "Field file cannot be empty")),
        ({"file": "?!"}, (400, 21, "Provided value is not Base64")),
        ([], (400, 0, "Something went wrong, please try again")),
    ],
)
def test_what_is_wrong_with_a_body_is_told(http: httpx.Client, body: object, expected: tuple[int, int, str]) -> None:
    assert told(http.post("/recognition/recognize", json=body)) == expected


def test_what_is_wrong_with_a_picture_is_told(http: httpx.Client, ada: bytes) -> None:
    address = "/recognition/recognize"
    assert told(http.post(address, files={"image": ada})) == (400, 34, "Required part file is missing")
    assert told(http.post(address, content=ada)) == (400, 34, "Required part file is missing")
    assert told(http.post(address, files={"file": b"no picture"}))[:2] == (400, 21)
    assert told(http.post(address, files={"file": ada[:2000]}))[:2] == (400, 21)


def test_what_is_wrong_with_embeddings_is_told(http: httpx.Client) -> None:
    address = "/verification/embeddings/verify"
    expected = (400, 37, "2 embeddings were expected, but 1 were provided")
    assert told(http.post(address, json={"source": [1.0] * 128, "targets": []})) == expected
    assert told(http.post(address, json={"source": [1.0], "targets": [[1.0]]}))[:2] == (400, 36)
    assert told(http.post(address, json={"source": [0.0] * 128, "targets": [[1.0] * 128]}))[:2] == (400, 36)
    content = b'{"source": [NaN], "targets": []}'
    json = {"content-type": "application/json"}
    assert told(http.post(address, content=content, headers=json))[:2] == (400, 0)


def test_a_name_that_nobody_can_have_is_refused(http: httpx.Client) -> None:
    address = "/recognition/subjects"
    assert told(http.post(address, json={"subject": ""})) == (400, 26, "Subject name is empty")
    assert told(http.post(address, json={})) == (400, 26, "Subject name is empty")
    assert told(http.post(address, json={"subject": "a\nb"}))[:2] == (400, 26)


def test_an_address_that_lacks_its_end_erases_nobody(http: httpx.Client, ada: bytes) -> None:
    add(http, "Ada", ada)
    assert told(http.delete("/recognition/subjects/")) == (400, 26, "Subject name is empty; ")
    assert told(http.delete("/recognition/faces/")) == (400, 33, "Required parameter subject is missing")
    assert http.get("/recognition/faces").json()["total_elements"] == 1
    assert http.delete("/recognition/faces/", params={"subject": "Ada"}).json() == {"deleted": 1}


def test_keys_are_asked_for_and_their_roles_hold(tmp_path: Path, analyzer: Analyzer, ada: bytes) -> None:
    with serving(tmp_path / "pool.db", analyzer) as server, httpx.Client(base_url=f"{server.url}/api/v1") as http:
        keys = {role: server.services.keys.add(f"the {role} one", role) for role in ("recognize", "enroll", "admin")}

        def ask(role: str, method: str, path: str, **content: Any) -> httpx.Response:
            return http.request(method, path, headers={"x-api-key": keys.get(role, role)}, timeout=60, **content)

        assert told(http.get("/recognition/subjects")) == (400, 20, "Missing header: x-api-key")
        expected = (404, 10, f"Detection service with API Key {NOBODY} not found")
        assert told(ask(NOBODY, "POST", "/detection/detect", files={"file": ada})) == expected
        example = {"params": {"subject": "Ada"}, "files": {"file": ada}}
        assert told(ask("recognize", "POST", "/recognition/faces", **example))[:2] == (403, 32)
        assert ask("enroll", "POST", "/recognition/faces", **example).status_code == 201
        recognized = ask("recognize", "POST", "/recognition/recognize", files={"file": ada}).json()
        assert recognized["result"][0]["subjects"][0]["subject"] == "Ada"
        assert told(ask("enroll", "DELETE", "/recognition/faces"))[:2] == (403, 32)
        assert told(ask("enroll", "DELETE", "/recognition/subjects"))[:2] == (403, 32)
        assert ask("admin", "DELETE", "/recognition/faces").json() == {"deleted": 1}


def test_it_is_noted_who_did_what(tmp_path: Path, analyzer: Analyzer, ada: bytes) -> None:
    with serving(tmp_path / "pool.db", analyzer) as server, httpx.Client(base_url=f"{server.url}/api/v1") as http:
        example = add(http, "Ada", ada)
        http.put("/recognition/subjects/Ada", json={"subject": "Ada Lovelace"}).raise_for_status()
        http.delete(f"/recognition/faces/{example}").raise_for_status()
        http.delete(f"/recognition/subjects/{quote('Ada Lovelace')}").raise_for_status()
        entries = asyncio.run(server.services.audit.entries())
    assert [entry.action for entry in entries] == ["erased", "erased_sample", "renamed", "registered"]
    assert not any("Ada" in entry.person + entry.detail for entry in entries)
