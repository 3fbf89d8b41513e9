"""``POST /v1/groups``: which faces of pictures show one person."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from support.fake_analyzer import FakeAnalyzer, view
from support.web_client import png

ADA, BO = 0, 1


def files(*pictures: bytes) -> dict[str, Any]:
    return {"files": [("files", (f"{number}.png", data)) for number, data in enumerate(pictures)]}


def test_faces_of_pictures_are_put_together_by_whom_they_show(web: TestClient, analyzer: FakeAnalyzer) -> None:
    both = png(analyzer.frame(view(ADA, 0), view(BO, 0)).image_bgr)
    ada, bo = (png(analyzer.frame(view(person, 5)).image_bgr) for person in (ADA, BO))
    stranger = png(analyzer.frame(view(2, 0)).image_bgr)
    answer = web.post("/v1/groups", **files(both, ada, bo, stranger)).json()
    assert [group["id"] for group in answer["groups"]] == [1, 2]
    together = [[face["picture"] for face in group["faces"]] for group in answer["groups"]]
    assert together == [[0, 1], [0, 2]]
    assert [face["picture"] for face in answer["ungrouped"]] == [3]
    assert answer["ungrouped"][0] == {"picture": 3, "bbox": [0.0, 0.0, 100.0, 100.0], "score": 0.99}


def test_pictures_without_a_face_have_no_groups(web: TestClient, analyzer: FakeAnalyzer) -> None:
    answer = web.post("/v1/groups", **files(png(analyzer.frame().image_bgr)))
    assert answer.json() == {"groups": [], "ungrouped": []}


def test_nothing_is_stored(web: TestClient, analyzer: FakeAnalyzer) -> None:
    before = web.get("/v1/pool").json()
    web.post("/v1/groups", **files(*(png(analyzer.frame(view(ADA, angle)).image_bgr) for angle in (0, 5))))
    assert web.get("/v1/pool").json() == before


def test_too_many_faces_are_refused(web: TestClient, analyzer: FakeAnalyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepool.web.api.recognition._MOST_FACES", 1)
    answer = web.post("/v1/groups", **files(png(analyzer.frame(view(ADA, 0), view(BO, 0)).image_bgr)))
    assert answer.status_code == 400
    assert answer.json()["code"] == "input"


def test_what_is_no_picture_is_refused(web: TestClient) -> None:
    assert web.post("/v1/groups", **files(b"no picture")).status_code in (400, 415, 422)
    assert web.post("/v1/groups", files={}).status_code >= 400
