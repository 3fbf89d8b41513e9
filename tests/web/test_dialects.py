"""Whatever fails, and wherever, is told in the words of the interface that was asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from facepool.web.services import ServerOptions
from facepool.web.services.limits import Limits
from facepool.web.services.people import PersonChanges
from support.fake_analyzer import FakeAnalyzer
from support.web_client import client_of

FOREIGN = {"Origin": "https://elsewhere.example"}
TOO_MUCH = 65 * 1024 * 1024


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer()) as client:
        yield client


def compreface(answer: Any) -> tuple[int, int]:
    """Status and code, of an answer that has what clients of CompreFace read."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"message", "code"}
    assert isinstance(body["code"], int)
    assert body["message"]
    return answer.status_code, body["code"]


def test_every_error_below_api_has_a_numeric_code(web: TestClient) -> None:
    assert compreface(web.get("/api/v1/nowhere")) == (404, 0)
    assert compreface(web.get("/api/")) == (404, 0)
    assert compreface(web.post("/api/v1/migrate")) == (404, 0)
    assert compreface(web.get("/api/v1/recognition/recognize")) == (405, 0)
    too_large = web.post("/api/v1/recognition/recognize", headers={"content-length": str(TOO_MUCH)})
    assert compreface(too_large) == (413, 0)
    assert compreface(web.get("/api/v1/recognition/subjects", headers=FOREIGN)) == (403, 32)
    assert compreface(web.get("/api/v1/recognition/subjects", headers={"host": "elsewhere.example"})) == (403, 32)


def test_a_method_that_a_path_does_not_take_is_told_with_those_that_it_does(web: TestClient) -> None:
    answer = web.put("/api/v1/recognition/subjects")
    assert compreface(answer) == (405, 0)
    assert answer.headers["allow"]


def test_too_many_requests_are_told_in_the_words_of_whom_was_asked(tmp_path: Path) -> None:
    with client_of(tmp_path, FakeAnalyzer(), ServerOptions(limits=Limits(requests="1/minute"))) as web:
        web.get("/v1/persons")
        answer = web.get("/api/v1/recognition/subjects")
        assert compreface(answer) == (429, 0)
        assert answer.headers["retry-after"] == "10"
        assert web.get("/v1/persons").json()["code"] == "rate_limited"


def test_a_fault_of_the_server_itself_has_a_code_too(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(PersonChanges, "create", broken)
    answer = web.post("/api/v1/recognition/subjects", json={"subject": "Ada"})
    assert compreface(answer) == (500, 41)
    assert "secret" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET"])
def test_an_address_that_there_is_not_is_not_found_by_any_method(web: TestClient, method: str) -> None:
    for path in ("/v1/nowhere", "/api/v1/nowhere", "/v1/vision/detection", "/nowhere"):
        assert web.request(method, path).status_code == 404, path
    assert web.request("POST", "/index.html").status_code == 405


def test_facepools_own_interface_keeps_its_words(web: TestClient) -> None:
    answer = web.get("/v1/nowhere")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"
