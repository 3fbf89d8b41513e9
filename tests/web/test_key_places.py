"""Where a key may be: headers and the address everywhere, the beginning of a form for clients of DeepStack."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message, Scope

from facepool.web.middleware import form_key
from facepool.web.problems import TimedOut
from facepool.web.services import ServerOptions, Services
from facepool.web.services.limits import Limits
from support.fake_analyzer import FakeAnalyzer
from support.web_client import client_of

LIST = "/v1/vision/face/list"
BOUNDARY = "b0undary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
ENCODED = "application/x-www-form-urlencoded"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer(), ServerOptions(keys_always=True)) as client:
        yield client


@pytest.fixture
def key(guarded: TestClient) -> str:
    services: Services = guarded.app.state.services  # type: ignore[attr-defined]
    return services.keys.add("somebody's", "recognize")


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


@pytest.mark.parametrize("path", ["/v1/persons", "/api/v1/recognition/subjects", "/metrics"])
def test_a_key_may_be_in_a_header_a_password_or_the_address(guarded: TestClient, key: str, path: str) -> None:
    assert guarded.get(path, headers={"x-api-key": key}).status_code == 200
    assert guarded.get(path, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert guarded.get(path, headers=basic("anybody", key)).status_code == 200
    assert guarded.get(path, params={"api_key": key}).status_code == 200
    assert guarded.get(path, params={"api_key": ""}).status_code in {400, 401}
    assert guarded.get(path, params={"api_key": "nonsense"}).status_code in {401, 404}
    assert guarded.get(path, headers=basic("anybody", "nonsense")).status_code in {401, 404}
    assert guarded.get(path, headers=basic(key, "")).status_code in {400, 401}
    assert guarded.get(path, headers={"Authorization": "Basic ?!"}).status_code in {400, 401}


def test_clients_of_deepstack_may_have_it_in_the_form(guarded: TestClient, key: str) -> None:
    assert guarded.post(LIST, data={"api_key": key}).status_code == 200
    assert guarded.post(LIST, data={"api_key": key}, files={"image": b"x" * 200_000}).status_code == 200
    assert guarded.post(LIST, data={"userid": "x" * 60_000, "api_key": key}).status_code == 200
    assert guarded.post(LIST, params={"api_key": key}).status_code == 200
    assert guarded.post(LIST, headers=basic("me", key), files={"image": b"x" * 200_000}).status_code == 200
    assert guarded.post(LIST).status_code == 401
    assert guarded.post(LIST, data={"api_key": "nonsense"}).status_code == 401
    assert guarded.post(LIST, data={"userid": "x" * 70_000, "api_key": key}).status_code == 401
    assert guarded.post(LIST, files={"image": b"x" * 70_000, "api_key": (None, key)}).status_code == 401
    assert guarded.post(LIST, files={"api_key": ("a file", key)}).status_code == 401


def test_elsewhere_a_form_has_no_key(guarded: TestClient, key: str) -> None:
    for path in ("/v1/recognize", "/api/v1/recognition/recognize", "/v1/persons"):
        assert guarded.post(path, data={"api_key": key}, files={"file": b"x"}).status_code in {400, 401}


def test_the_body_is_there_for_whoever_reads_it_after_the_key(guarded: TestClient, key: str) -> None:
    answer = guarded.post("/v1/vision/face/delete", data={"api_key": key})
    assert answer.json()["error"] != "Incorrect api key"  # it was read, and the role does not cover it
    answer = guarded.post("/v1/vision/face", data={"api_key": key, "min_confidence": "2"}, files={"image": b"x"})
    assert answer.json()["error"] == "min_confidence cannot be greater than 1"


def test_wrong_keys_of_forms_are_counted_too(tmp_path: Path) -> None:
    options = ServerOptions(keys_always=True, limits=Limits(failures="3/minute"))
    with client_of(tmp_path, FakeAnalyzer(), options) as web:
        told = [web.post(LIST, data={"api_key": f"guess {number}"}).status_code for number in range(5)]
    assert told == [401, 401, 401, 429, 429]


def test_a_key_in_an_address_gets_into_no_log_and_no_metric(
    guarded: TestClient, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    nobody = "00000000-0000-4000-8000-000000000000"
    assert guarded.get(f"/api/v1/static/{key}/images/{nobody}").status_code == 200
    guarded.get(f"/api/v1/static/{key}/elsewhere")
    guarded.get("/v1/persons", params={"api_key": key})
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("facepool")]
    assert any("/images/" in line for line in ours)
    assert not any(key in line for line in ours)
    assert key not in guarded.get("/metrics", headers={"x-api-key": key}).text


class Body:
    """A request with a body in parts, which counts what is asked for."""

    def __init__(self, *parts: bytes, kind: str = MULTIPART, ends: bool = True) -> None:
        self.parts = list(parts)
        self.given = 0
        self.ends = ends
        self.scope: Scope = {"type": "http", "headers": [(b"content-type", kind.encode())]}

    async def receive(self) -> Message:
        if self.given == len(self.parts):
            await asyncio.Event().wait()  # nothing more comes
        part = self.parts[self.given]
        self.given += 1
        more = self.given < len(self.parts) or not self.ends
        return {"type": "http.request", "body": part, "more_body": more}

    def key(self, patience_s: float = 5) -> str | None:
        return asyncio.run(self._read(patience_s))[0]

    def rest(self) -> bytes:
        return asyncio.run(self._read(5))[1]

    async def _read(self, patience_s: float) -> tuple[str | None, bytes]:
        key, receive = await form_key.read_key(self.scope, self.receive, patience_s)
        body, more = b"", True
        while more and (self.ends or self.given < len(self.parts)):
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        return key, body


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (MULTIPART, part("api_key", b"fp_1") + END, "fp_1"),
        (
            MULTIPART,
            part("userid", b"Ada") + part("api_key", b"fp_1") + part("image", b"x", "; filename=a") + END,
            "fp_1",
        ),
        (MULTIPART, part("userid", b'name="api_key"\r\n\r\nfp_1') + END, None),
        (MULTIPART, part("api_key", b"fp_1", "; filename=a") + END, None),
        (MULTIPART, part("api_key", b"fp_1") + part("api_key", b"fp_2") + END, "fp_1"),
        (MULTIPART, b"no form", None),
        (MULTIPART, b"", None),
        ("multipart/form-data", part("api_key", b"fp_1") + END, None),
        (f"multipart/form-data; boundary={'b' * 300}", part("api_key", b"fp_1") + END, None),
        (ENCODED, b"userid=Ada&api_key=fp_1", "fp_1"),
        (ENCODED, b"api_key=fp%5F1&x=y", "fp_1"),
        (ENCODED, b"api_keys=fp_1&&=&api_key", None),
        (ENCODED, b"%FF=%&api_key=fp_1", "fp_1"),
        ("application/json", b'{"api_key": "fp_1"}', None),
        ("", b"api_key=fp_1", None),
    ],
)
def test_only_the_field_itself_is_the_key(kind: str, body: bytes, expected: str | None) -> None:
    assert (Body(body, kind=kind).key() or None) == expected
    assert Body(body, kind=kind).rest() == body
    one_by_one = (
        Body(*(body[place : place + 1] for place in range(len(body))), kind=kind) if body else Body(b"", kind=kind)
    )
    assert (one_by_one.key() or None) == expected


def test_no_more_is_read_than_it_takes() -> None:
    picture = [part("image", b"", "; filename=a")[:-2]] + [b"x" * 8192] * 1000
    endless = Body(*picture, ends=False)
    assert asyncio.run(form_key.read_key(endless.scope, endless.receive))[0] is None
    assert endless.given * 8192 <= form_key.MOST_BYTES + 2 * 8192
    early = Body(part("api_key", b"fp_1") + part("image", b"", "; filename=a"), *picture, ends=False)
    assert asyncio.run(form_key.read_key(early.scope, early.receive))[0] == "fp_1"
    assert early.given == 1


def test_a_form_that_does_not_come_is_not_waited_for() -> None:
    with pytest.raises(TimedOut):
        Body(part("userid", b"Ada"), ends=False).key(patience_s=0.05)


def test_a_client_that_goes_away_has_no_key() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    scope: dict[str, Any] = {"type": "http", "headers": [(b"content-type", MULTIPART.encode())]}
    key, receive = asyncio.run(form_key.read_key(scope, gone))
    assert key is None
    assert asyncio.run(receive())["type"] == "http.disconnect"  # type: ignore[arg-type]
