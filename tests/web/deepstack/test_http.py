"""What clients of DeepStack and CodeProject.AI send, and what they get, to the field."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from facepool.types import Floats
from facepool.web.services import ServerOptions, Services
from support.fake_analyzer import FakeAnalyzer, Scene, view
from support.web_client import client_of, png

FACE = "/v1/vision/face"
ADA, BOB, STRANGER = view(0, 0), view(1, 0), view(2, 0)


@pytest.fixture
def guarded(tmp_path: Path, analyzer: FakeAnalyzer) -> Iterator[TestClient]:
    with client_of(tmp_path, analyzer, ServerOptions(keys_always=True)) as client:
        yield client


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


def picture(analyzer: FakeAnalyzer, *faces: Floats, **how: Any) -> bytes:
    return png(analyzer.frame(*faces, **how).image_bgr)


def register(web: TestClient, userid: str, *pictures: bytes, **more: str) -> Any:
    files = {f"image{number}": data for number, data in enumerate(pictures, 1)}
    return web.post(f"{FACE}/register", data={"userid": userid, **more}, files=files)


def recognize(web: TestClient, data: bytes, **more: str) -> Any:
    return web.post(f"{FACE}/recognize", data=more, files={"image": data}).json()


def told(answer: Any) -> tuple[int, str]:
    body = answer.json()
    assert body.keys() == {"success", "error", "code"}
    assert body["success"] is False
    assert body["code"] == answer.status_code
    return answer.status_code, body["error"]


def test_a_registered_face_is_recognized_listed_and_deleted(web: TestClient, analyzer: FakeAnalyzer) -> None:
    answer = register(web, "Ada", picture(analyzer, ADA))
    assert answer.status_code == 200
    assert (answer.json()["success"], answer.json()["message"]) == (True, "face added")
    assert register(web, "ada", picture(analyzer, view(0, 10))).json()["message"] == "face updated"
    assert web.get("/v1/persons").json()["total"] == 1  # and is in the pool
    found = recognize(web, picture(analyzer, view(0, 5)))
    assert (found["success"], found["count"], found["code"]) == (True, 1, 200)
    (face,) = found["predictions"]
    box = face.pop("box")  # Viseron looks for it
    assert face.keys() == {"userid", "confidence", "x_min", "y_min", "x_max", "y_max"}
    assert box == {edge: face[edge] for edge in ("x_min", "y_min", "x_max", "y_max")}
    assert face["userid"] == "Ada"
    assert face["confidence"] > 0.95
    assert all(isinstance(face[edge], int) for edge in ("x_min", "y_min", "x_max", "y_max"))
    assert web.post(f"{FACE}/list").json()["faces"] == ["Ada"]
    assert web.post(f"{FACE}/delete", data={"userid": "Ada"}).json()["success"] is True
    assert web.post(f"{FACE}/list", data={}).json()["faces"] == []
    assert web.post(f"{FACE}/delete", data={"userid": "Ada"}).json()["success"] is True  # as DeepStack has it


def test_strangers_are_unknown_with_a_confidence_of_none(web: TestClient, analyzer: FakeAnalyzer) -> None:
    (face,) = recognize(web, picture(analyzer, STRANGER))["predictions"]
    assert (face["userid"], face["confidence"]) == ("unknown", 0)
    register(web, "Ada", picture(analyzer, ADA))
    found = recognize(web, picture(analyzer, STRANGER, ADA))
    assert sorted(face["userid"] for face in found["predictions"]) == ["Ada", "unknown"]
    assert recognize(web, picture(analyzer))["predictions"] == []


def test_min_confidence_is_a_limit_on_the_scale_on_which_half_is_the_decision(
    web: TestClient, analyzer: FakeAnalyzer
) -> None:
    register(web, "Ada", picture(analyzer, ADA))
    somewhat = picture(analyzer, view(0, 69))  # a cosine of 0.36, just beyond the threshold of 0.303
    (face,) = recognize(web, somewhat)["predictions"]
    assert face["userid"] == "Ada"
    assert 0.8 < face["confidence"] < 0.95
    (face,) = recognize(web, somewhat, min_confidence="0.95")["predictions"]
    assert (face["userid"], face["confidence"]) == ("unknown", 0)
    # A client that ships with a limit for another scale names nobody whom facepool does not name.
    (face,) = recognize(web, picture(analyzer, view(0, 73)), min_confidence="0.1")["predictions"]
    assert face["userid"] == "unknown"


def test_faces_are_found_from_a_score_on(web: TestClient, analyzer: FakeAnalyzer) -> None:
    data = picture(analyzer, ADA, BOB, scores=[0.95, 0.7])
    found = web.post(FACE, files={"image": data}).json()
    assert [face["confidence"] for face in found["predictions"]] == pytest.approx([0.95, 0.7])
    assert found["predictions"][0].keys() == {"confidence", "x_min", "y_min", "x_max", "y_max"}
    for least, count in (("0.8", 1), ("-1e300", 2)):
        assert web.post(FACE, files={"image": data}, data={"min_confidence": least}).json()["count"] == count


def test_two_pictures_are_matched(web: TestClient, analyzer: FakeAnalyzer) -> None:
    def match(one: Floats, other: Floats) -> float:
        files = {"image1": picture(analyzer, one), "image2": picture(analyzer, other)}
        return float(web.post(f"{FACE}/match", files=files).json()["similarity"])

    assert match(ADA, view(0, 10)) > 0.99
    assert match(ADA, BOB) < 0.01
    at_threshold = float(np.degrees(np.arccos(0.37)))
    assert match(ADA, view(0, at_threshold - 0.1)) >= 0.5 > match(ADA, view(0, at_threshold + 0.1))


def test_several_pictures_are_several_views_and_those_without_a_face_are_said(
    web: TestClient, analyzer: FakeAnalyzer
) -> None:
    answer = register(web, "Ada", picture(analyzer, ADA), picture(analyzer), picture(analyzer, view(0, 20)))
    assert answer.json()["message"] == "face added; no face in 1 of 3 images"
    assert len(web.get("/v1/persons/Ada/samples").json()) == 2


def test_a_picture_may_come_without_a_file_name_or_in_base64(web: TestClient, analyzer: FakeAnalyzer) -> None:
    data = picture(analyzer, ADA)
    for fields in ({"image": base64.b64encode(data).decode()}, {"image": base64.encodebytes(data).decode()}):
        assert web.post(f"{FACE}/recognize", data=fields).json()["count"] == 1
    part = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + data + b"\r\n--b--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=b"}
    assert web.post(f"{FACE}/recognize", content=part, headers=kind).json()["count"] == 1
    assert told(web.post(f"{FACE}/recognize", data={"image": "no picture"})) == (400, "No valid image file found")


def test_what_is_wrong_is_told_in_deepstacks_words(web: TestClient, analyzer: FakeAnalyzer) -> None:
    ada = picture(analyzer, ADA)
    assert told(web.post(f"{FACE}/recognize")) == (400, "No valid image file found")
    assert told(web.post(FACE, data={"min_confidence": "0.5"})) == (400, "No valid image file found")
    assert told(register(web, "Ada")) == (400, "No valid image file found")
    assert told(register(web, " ", ada)) == (400, "userid not specified")
    assert told(register(web, "a\nb", ada))[0] == 400
    assert told(web.post(f"{FACE}/delete")) == (400, "userid not specified")
    assert told(register(web, "Ada", picture(analyzer))) == (400, "No face detected")
    status, words = told(register(web, "Ada", picture(analyzer, ADA, BOB)))
    assert status == 400
    assert words.startswith("More than one face")
    assert web.post(f"{FACE}/list").json()["faces"] == []
    data = png(analyzer.frame_of(Scene(ADA, misfit_mm=99)).image_bgr)
    status, words = told(register(web, "Ada", data))
    assert status == 400
    assert words.startswith("No face detected: what was found")
    assert recognize(web, data)["predictions"] == []
    for least, words in (("x", "Invalid value for min_confidence"), ("1.2", "min_confidence cannot be greater than 1")):
        answer = web.post(f"{FACE}/recognize", files={"image": ada}, data={"min_confidence": least})
        assert told(answer) == (400, words)
    assert told(web.post(f"{FACE}/recognize", files={"image": ada}, data={"min_confidence": "nan"}))[0] == 400
    status, words = told(web.post(f"{FACE}/recognize", files={"image": b"no picture"}))
    assert status == 400
    assert words.startswith("Invalid image: ")
    one, two, three = ada, picture(analyzer, BOB), picture(analyzer, STRANGER)
    match = f"{FACE}/match"
    assert told(web.post(match)) == (400, "No valid image file found")
    assert told(web.post(match, files={"a": one})) == (400, "expected two image files, only one found")
    assert told(web.post(match, files={"a": one, "b": two, "c": three})) == (400, "only two images allowed")
    status, words = told(web.post(match, files={"a": one, "b": picture(analyzer)}))
    assert status == 400
    assert "second picture" in words


def test_whatever_else_fails_is_told_the_same_way(web: TestClient) -> None:
    assert told(web.post("/v1/vision/detection"))[0] == 404
    assert told(web.get(f"{FACE}/nowhere"))[0] == 404
    assert told(web.post(f"{FACE}/list", headers={"Origin": "https://elsewhere.example"}))[0] == 403
    assert told(web.post(FACE, headers={"content-length": str(65 * 1024 * 1024)}))[0] == 413


def test_keys_are_asked_for_and_their_roles_hold(guarded: TestClient, analyzer: FakeAnalyzer) -> None:
    keys = {role: services_of(guarded).keys.add(f"the {role} one", role) for role in ("recognize", "enroll")}
    ada = picture(analyzer, ADA)
    status, words = told(recognize_with(guarded, ada))
    assert status == 401
    assert words.startswith("Incorrect api key: none came in")
    assert told(recognize_with(guarded, ada, api_key="nonsense")) == (401, "Incorrect api key")
    assert recognize_with(guarded, ada, api_key=keys["recognize"]).status_code == 200
    status, words = told(register(guarded, "Ada", ada, api_key=keys["recognize"]))
    assert status == 403
    assert "role" in words or "key" in words
    assert register(guarded, "Ada", ada, api_key=keys["enroll"]).status_code == 200
    assert guarded.post(f"{FACE}/list", data={"api_key": keys["recognize"]}).json()["faces"] == ["Ada"]
    assert told(guarded.post(f"{FACE}/delete", data={"userid": "Ada", "api_key": keys["recognize"]}))[0] == 403
    assert guarded.post(f"{FACE}/delete", data={"userid": "Ada", "api_key": keys["enroll"]}).status_code == 200


def recognize_with(web: TestClient, data: bytes, **fields: str) -> Any:
    return web.post(f"{FACE}/recognize", data=fields, files={"image": data})


def test_it_is_noted_who_did_what(guarded: TestClient, analyzer: FakeAnalyzer) -> None:
    key = services_of(guarded).keys.add("Viseron", "enroll")
    register(guarded, "Ada", picture(analyzer, ADA), picture(analyzer, view(0, 9)), api_key=key)
    guarded.post(f"{FACE}/delete", data={"userid": "Ada", "api_key": key})
    entries = asyncio.run(services_of(guarded).audit.entries(limit=2))
    assert [(entry.caller, entry.action) for entry in entries] == [("Viseron", "erased"), ("Viseron", "registered")]
    assert entries[1].detail == "2 views"
    assert not any("Ada" in entry.person for entry in entries)


def test_a_picture_may_come_without_the_name_of_a_file(web: TestClient, analyzer: FakeAnalyzer) -> None:
    data = picture(analyzer, ADA)
    assert register(web, "Ada", data).json()["success"]
    parts = [("image", data), ("min_confidence", b"0.5")]
    body = b"".join(
        b'--xyz\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)
        for name, value in parts
    )
    answer = web.post(
        f"{FACE}/recognize",
        content=body + b"--xyz--\r\n",
        headers={"content-type": "multipart/form-data; boundary=xyz"},
    )
    assert [face["userid"] for face in answer.json()["predictions"]] == ["Ada"]
