"""What a request's body may cost before it is refused: the role comes first, then bytes, values and depth."""

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient
from pydantic import ValidationError

from facepool.web import bodies
from facepool.web.api.pictures import decode_base64
from facepool.web.bodies import check_json
from facepool.web.compreface.recognition import Embeddings, SourceAndTargets
from facepool.web.problems import InvalidRequest, TooLarge
from facepool.web.routes import BoundedRoute, role_checks
from facepool.web.services import ServerOptions
from facepool.web.services.keys import Keys, Role
from facepool.web.services.limits import Limits
from support.application import ask
from support.fake_analyzer import FakeAnalyzer, view
from support.web_client import client_of, png

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}
ENCODED = {"content-type": "application/x-www-form-urlencoded"}
OPEN_TO_ALL = {"/health", "/ready", "/v1/session", "/api/v1/config", "/api/v1/consistence/status"}
ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer(), ServerOptions(keys_always=True)) as client:
        yield client


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(tmp_path_factory.mktemp("web"), FakeAnalyzer()) as client:
        yield client


def key_for(web: TestClient, role: Role) -> dict[str, str]:
    key: str = web.app.state.services.keys.add(f"{role}-key", role)  # type: ignore[attr-defined]
    return {"x-api-key": key}


def endless() -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    while True:
        yield b"[]," * 1000


def routes(web: TestClient) -> list[tuple[str, str, APIRoute]]:
    app: Any = web.app
    return [
        (str(context.path), method, context.original_route)
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute)
        for method in context.original_route.methods or ()
    ]


def test_every_route_checks_the_role_itself_or_is_open_to_all(web: TestClient) -> None:
    found = routes(web)
    assert len(found) > 60
    assert [path for path, _, route in found if not isinstance(route, BoundedRoute)] == []
    without = {path for path, _, route in found if not role_checks(route.dependant)}
    assert without == OPEN_TO_ALL


def test_nothing_of_a_body_is_read_before_the_role(guarded: TestClient) -> None:
    headers, refused = key_for(guarded, "recognize"), 0
    for path, method, route in routes(guarded):
        if all(check.role == "recognize" for check in role_checks(route.dependant)):
            continue
        concrete = path.replace("{id:uuid}", ID).replace("{image}", ID)
        concrete = concrete.replace("{name:name}", "a").replace("{subject:name}", "a").replace("{id}", "1")
        for kind in (JSON, FORM, ENCODED):
            answered = ask(guarded.app, method, concrete, headers | kind, endless())
            assert (answered.status, answered.taken) == (403, 0), (method, concrete, answered)
        refused += 1
    assert refused > 25


@pytest.mark.parametrize(
    ("path", "headers", "most", "refused"),
    [
        ("/v1/session", JSON, 4, {"status": 413, "code": "too_large", "message": "The request is too large"}),
        ("/v1/persons", JSON, 64, {"status": 413, "code": "too_large"}),
        ("/v1/pool/calibrate", JSON, 64, {"status": 413, "code": "too_large"}),
        ("/api/v1/recognition/subjects", JSON, 64, {"code": 0}),
        ("/api/v1/recognition/faces/delete", JSON, 64, {"code": 0}),
        ("/api/v1/recognition/embeddings/recognize", JSON, 4096, {"code": 0}),
        ("/api/v1/verification/embeddings/verify", JSON, 4096, {"code": 0}),
        ("/v1/vision/face/delete", FORM, 64, {"success": False, "code": 413}),
        ("/v1/vision/face/delete", ENCODED, 64, {"success": False, "code": 413}),
    ],
)
def test_a_body_is_read_only_as_far_as_its_route_takes(
    web: TestClient, path: str, headers: dict[str, str], most: int, refused: dict[str, object]
) -> None:
    for told in (headers, headers | {"content-length": str(63 * 2**20)}):
        answered = ask(web.app, "POST", path, told, endless())
        assert answered.status == 413, answered
        said = json.loads(answered.body)
        assert refused.items() <= said.items()
        assert f"{most} KiB" in answered.body.decode()
        assert answered.taken <= most * 1024 + 3000
    assert answered.taken == 0, "it was told to be too large"


@pytest.mark.parametrize("path", ["/v1/recognize", "/v1/persons/Ada/samples", "/api/v1/recognition/recognize"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"pictures":[' + b"{}," * 5000 + b"{}]}",
        b"[" + b"[]," * 5000 + b"[]]",
        b"{" + b",".join(b'"a%d":1' % number for number in range(5000)) + b"}",
        b"[" + b'"a",' * 50_000,
        b"[1" + b" " * 1_000_000 + b"]",
        b"1" * 1_000_000,
    ],
    ids=["objects", "lists", "names", "texts", "blanks", "digits"],
)
def test_json_of_a_picture_has_few_values(web: TestClient, path: str, body: bytes) -> None:
    answer = web.post(path, content=body, headers=JSON)
    assert 400 <= answer.status_code < 500
    if body.count(b",") > 1000:
        assert answer.status_code == 413
    assert len(answer.content) < 1000


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [33, 500, 900, 1500, 10_000])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/session"),
        ("POST", "/v1/persons"),
        ("PATCH", "/v1/settings"),
        ("POST", "/v1/recognize"),
        ("POST", "/api/v1/recognition/recognize"),
        ("POST", "/api/v1/recognition/subjects"),
        ("POST", "/api/v1/recognition/embeddings/recognize"),
        ("DELETE", "/api/v1/recognition/faces"),
    ],
)
def test_no_depth_of_json_is_the_servers_fault(
    web: TestClient, method: str, path: str, depth: int, opening: bytes
) -> None:
    closing = b"]" if opening == b"[" else b"1}"
    for body in (opening * depth, opening * depth + closing[:-1] + closing[-1:] * depth):
        answer = web.request(method, path, content=body, headers=JSON)
        assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b"", 0),
        (b"1", 0),
        (b'{"a": [1, 2], "b": {}}', 5),
        (b'{"file": "' + b"a,[{" * 100 + b'"}', 1),
        (rb'["\",[{", "\\", "\\\",["]', 3),
        (rb'{"data": "' + rb"\/[,{" * 50 + rb'", "more": ["\\\\", 1]}', 4),
        (b"[" + b"[]," * 99 + b"[]]", 200),
    ],
)
def test_values_are_counted_and_texts_are_not(body: bytes, values: int) -> None:
    many = b"[" + b"0," * 40 + b"0," + (body or b"0") + b"]"
    check_json(many, 44 + values)
    with pytest.raises(TooLarge):
        check_json(many, 41 + values)


def test_commas_of_texts_are_no_values() -> None:
    check_json(json.dumps({"data": "a,[{" * 10_000, "name": 'of "quotes", \\ and [brackets]'}).encode(), 10)
    with pytest.raises(TooLarge):
        check_json(json.dumps(["a"] * 50).encode(), 50)
    check_json(json.dumps(["a"] * 50).encode(), 52)


def test_only_what_is_open_at_once_is_depth() -> None:
    check_json(b"[" + b"[[]]," * 300 + b"[]]", 2000)
    check_json(b"[" * 32 + b"]" * 32, 2000)
    with pytest.raises(InvalidRequest):
        check_json(b"[" * 33 + b"]" * 33, 2000)


def test_json_in_another_character_set_hides_no_values(web: TestClient) -> None:
    hidden = "[" + "[],∢" * 20 + '"]'
    for charset in ("utf-16", "utf-16-le", "utf-32", "latin-1"):
        body = hidden.replace("∢", "é").encode(charset) if charset == "latin-1" else hidden.encode(charset)
        for path in ("/v1/persons", "/v1/recognize", "/api/v1/recognition/recognize"):
            assert 400 <= web.post(path, content=body, headers=JSON).status_code < 500
    assert (
        web.post("/v1/persons", content=b"\xef\xbb\xbf" + b'{"person": "Zo\xc3\xab"}', headers=JSON).status_code == 201
    )


def test_large_json_is_read_in_a_thread(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, list[threading.Thread]] = {"loop": [], "check": [], "load": []}

    def watched(name: str, work: Any) -> Any:
        def call(*args: Any) -> Any:
            threads[name].append(threading.current_thread())
            return work(*args)

        return call

    monkeypatch.setattr(bodies, "check_json", watched("check", bodies.check_json))
    monkeypatch.setattr(bodies, "_loads", watched("load", bodies._loads))
    monkeypatch.setattr(BoundedRoute, "matches", watched("loop", BoundedRoute.matches))
    web.post("/api/v1/recognition/recognize", json={"file": "!"})
    assert {*threads["check"], *threads["load"]} <= {*threads["loop"]}
    threads["check"].clear()
    web.post("/api/v1/recognition/recognize", json={"file": "!" * 100_000})
    web.post("/v1/recognize", json={"pictures": [{"data": "!" * 100_000}]})
    assert len(threads["check"]) == 2
    assert not {*threads["check"], threads["load"][-1]} & {*threads["loop"]}


def test_a_picture_in_large_json_is_a_picture(tmp_path: Path) -> None:
    analyzer = FakeAnalyzer()
    text = base64.b64encode(png(analyzer.frame(view(0, 0)).image_bgr)).decode()
    escaped = text.replace("+", "%2B").replace("/", "%2f").replace("=", "%3d")
    with client_of(tmp_path, analyzer) as web:
        for data in (text, escaped, f"{text[:40]}\r\n{text[40:]}"):
            answer = web.post("/v1/detect", json={"pictures": [{"name": "a, [b" * 20_000, "data": data}]})
            assert len(answer.json()["pictures"][0]["faces"]) == 1


def test_of_base64_only_what_it_has_is_escaped() -> None:
    assert decode_base64("%2B%2b%2F/") == decode_base64("++//")
    for text in ("%41AAA", "AAAA%00"):
        with pytest.raises(ValueError, match="characters"):
            decode_base64(text)
    with pytest.raises(ValueError, match="escaped"):
        decode_base64("%2B" * 1_000_001)


@pytest.mark.parametrize("wrong", ["", None, []])
def test_one_wrong_number_is_told_and_not_all(wrong: object) -> None:
    for model, body in (
        (Embeddings, {"embeddings": [[1.0, *[wrong] * 1000]]}),
        (Embeddings, {"embeddings": ["a"] * 1000}),
        (SourceAndTargets, {"source": [1.0], "targets": [[wrong] * 1000] * 3}),
    ):
        with pytest.raises(ValidationError) as told:
            model.model_validate(body)
        assert len(told.value.errors()) == 1


def test_what_a_client_wrote_comes_back_short(web: TestClient) -> None:
    answer = web.post("/v1/persons", json={"person": "Ada", "x" * 60_000: 1})
    assert answer.status_code == 422
    assert len(answer.content) < 1000


@pytest.mark.parametrize("path", ["/v1/vision/face/register", "/api/v1/recognition/recognize"])
@pytest.mark.parametrize("body", [b"&" * 200_000, b"a=1&" * 50_000, b"image=" + b"%41" * 1_100_000])
def test_an_encoded_form_has_few_fields_and_escapes(web: TestClient, path: str, body: bytes) -> None:
    answer = web.post(path, content=body, headers=ENCODED)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "part",
    [
        b"X: 1\r\n" * 100_000,
        b"X: " + b"a" * 1_000_000 + b"\r\n",
        b'Content-Disposition: form-data; name="' + b"a" * 1_000_000 + b'"\r\n',
    ],
    ids=["headers", "header", "name"],
)
@pytest.mark.parametrize("path", ["/v1/recognize", "/v1/vision/face/register", "/api/v1/recognition/recognize"])
def test_the_head_of_a_part_is_small(web: TestClient, path: str, part: bytes) -> None:
    def parts() -> Iterator[bytes]:
        yield b"--b\r\n"
        for first in range(0, len(part), 65_536):
            yield part[first : first + 65_536]
        yield from iter(lambda: b"X: 1\r\n" * 1000, b"")

    answered = ask(web.app, "POST", path, FORM, parts())
    assert answered.status == 400
    assert answered.taken < 200_000


def test_wrong_keys_keep_nobody_waiting_who_writes(guarded: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def sign_in(_keys: Keys, key: str) -> None:
        asked.append(key)

    monkeypatch.setattr(Keys, "sign_in", sign_in)
    assert guarded.post("/v1/session", json={"key": "wrong"}).status_code == 401
    assert asked == []


def test_wrong_keys_keep_nobody_from_signing_in(guarded: TestClient) -> None:
    right = key_for(guarded, "recognize")["x-api-key"]
    wrong = [guarded.post("/v1/session", json={"key": f"wrong {number}"}).status_code for number in range(15)]
    assert wrong == [401] * 10 + [429] * 5
    assert guarded.post("/v1/session", json={"key": right}).status_code == 200


def test_a_right_key_passes_wherever_it_is_after_wrong_ones(guarded: TestClient) -> None:
    right = key_for(guarded, "recognize")["x-api-key"]
    for number in range(12):
        guarded.post("/v1/vision/face/list", data={"api_key": f"wrong {number}"})
    assert guarded.post("/v1/vision/face/list", data={"api_key": "wrong"}).status_code == 429
    assert guarded.post("/v1/vision/face/list", data={"api_key": right}).status_code == 200
    assert guarded.get("/v1/persons", params={"api_key": right}).status_code == 200
    assert guarded.get("/v1/persons", auth=("me", right)).status_code == 200
    assert guarded.get("/api/v1/recognition/subjects", headers={"x-api-key": right}).status_code == 200
    assert guarded.get(f"/api/v1/static/{right}/images/{ID}").status_code == 200
    with guarded.websocket_connect("/v1/live", headers={"x-api-key": right}) as socket:
        socket.send_text("{}")


def test_strangers_who_ask_without_end_keep_nobody_out_who_has_a_key(tmp_path: Path) -> None:
    options = ServerOptions(keys_always=True, limits=Limits("5/minute"))
    with client_of(tmp_path, FakeAnalyzer(), options) as web:
        one, other = key_for(web, "recognize"), key_for(web, "enroll")
        assert [web.get("/v1/persons").status_code for _ in range(7)] == [401] * 5 + [429] * 2
        assert [web.get("/").status_code for _ in range(6)] == [200] * 5 + [429]
        assert {web.get("/health").status_code for _ in range(7)} == {200}
        assert {web.post("/v1/session", json={"key": one["x-api-key"]}).status_code for _ in range(7)} == {200}
        web.cookies.clear()
        assert [web.get("/v1/persons", headers=one).status_code for _ in range(6)] == [200] * 5 + [429]
        assert web.get("/v1/persons", headers=other).status_code == 200
