"""What a request says that it is for: one host, no marks of proxies, no links to what exports; redirects name none."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from facepool.web.middleware import Deployment
from facepool.web.services import ServerOptions
from support.application import ask
from support.bounded_server import connect, everything
from support.fake_analyzer import FakeAnalyzer
from support.live_server import serving
from support.web_client import HERE, LOCAL, client_of

ADDRESS = "127.0.0.1:8000"
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer()) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server that nobody changes, and that asks for keys."""
    with client_of(tmp_path_factory.mktemp("guarded"), FakeAnalyzer(), ServerOptions(keys_always=True)) as client:
        yield client


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server that nobody changes, and that asks for none."""
    with client_of(tmp_path_factory.mktemp("keyless"), FakeAnalyzer()) as client:
        yield client


@pytest.fixture(scope="module")
def exporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server with somebody who may be exported; nobody else is added."""
    with client_of(tmp_path_factory.mktemp("exporting"), FakeAnalyzer()) as client:
        client.post("/v1/persons", json={"person": "Ada"}).raise_for_status()
        yield client


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def audited(web: TestClient, **headers: str) -> list[str]:
    return [entry["action"] for entry in web.get("/v1/audit", headers=headers).json()["entries"]]


@pytest.mark.parametrize(
    "hosts", [(ADDRESS, "elsewhere.example"), ("elsewhere.example", ADDRESS), (ADDRESS, ADDRESS), ()]
)
def test_a_request_names_one_host(guarded: TestClient, hosts: tuple[str, ...]) -> None:
    answered = ask(guarded.app, "GET", "/health", {}, hosts=hosts)
    assert (answered.status, json.loads(answered.body)["code"]) == (400, "address_invalid")


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "127.0.0.1/docs",
        "me@127.0.0.1",
        "127.0.0.1, elsewhere.example",
        "127.0.0.1:99999",
        "127.0.0.1:8000:1",
        "[::1",
        "[evil]",
        "f\xe4ces.example",
        "a b",
        "a%2fb",
        "127.0.0.1?a",
        "127.0.0.1#a",
        "127.0.0.1\\a",
    ],
)
@pytest.mark.parametrize(
    "path", ["/health", "/docs", "/v1/persons/", "/api/v1/recognition/subjects", "/v1/vision/face"]
)
def test_a_host_is_a_name_or_an_address(guarded: TestClient, host: str, path: str) -> None:
    answered = ask(guarded.app, "GET", path, {}, hosts=[host])
    assert answered.status == 400
    assert "location" not in answered.headers


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8000", "faces.example.", "a_b.example:", "FACES"])
def test_names_and_addresses_are_hosts(guarded: TestClient, host: str) -> None:
    assert guarded.get("/health", headers={"Host": host}).status_code == 200


def test_a_websocket_names_one_host_too(web: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), web.websocket_connect(f"{HERE}/v1/live", headers={"Host": "a b"}):
        pass


@pytest.mark.parametrize("proxies", [(), ("testclient",)])
@pytest.mark.parametrize("path", ["/docs", "/docs?next=//elsewhere.example", "//elsewhere.example/../docs"])
def test_no_redirect_names_a_host(tmp_path: Path, path: str, proxies: tuple[str, ...]) -> None:
    deployment, options = Deployment(proxies=proxies), ServerOptions(keys_always=True)
    with client_of(tmp_path, FakeAnalyzer(), options, deployment) as web:
        for name in ("Host", "X-Forwarded-Host", "X-Original-Host", "X-Host"):
            address = f"http://localhost{path}"  # whole: what begins with // is the client's to understand
            answer = web.get(address, headers={name: "elsewhere.example"}, follow_redirects=False)
            location = answer.headers.get("location", "/")
            assert location.startswith("/")
            assert not location.startswith(("//", "/\\"))
    assert answer.status_code in (307, 404)


def test_a_query_has_few_parameters(web: TestClient) -> None:
    for path in ("/v1/persons?" + "a=1&" * 100, "/health?" + "&" * 1000, "/api/v1/recognition/subjects?" + "a&" * 100):
        assert web.get(path).status_code == 400
    assert web.get("/v1/persons?" + "&".join(f"a{number}=1" for number in range(100))).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "CF-Connecting-IP",
        "CF-Ray",
        "CDN-Loop",
        "Client-IP",
        "CloudFront-Viewer-Address",
        "Fastly-Client-IP",
        "Fly-Client-IP",
        "Forwarded",
        "Ngrok-Auth-User-Email",
        "Remote-User",
        "Surrogate-Capability",
        "Tailscale-User-Login",
        "True-Client-IP",
        "Via",
        "X-Amzn-Trace-Id",
        "X-Arr-Log-Id",
        "X-Azure-ClientIP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "X-Envoy-External-Address",
        "X-Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-Ssl",
        "X-Forwarded-User",
        "X-Ingress-Path",
        "X-Original-Forwarded-For",
        "X-Original-URL",
        "X-ProxyUser-Ip",
        "X-Real-IP",
        "X-Remote-IP",
        "X-Scheme",
    ],
)
def test_without_keys_no_mark_of_a_proxy_lets_anybody_in(keyless: TestClient, name: str) -> None:
    for spelt in (name, name.lower()):
        assert code(keyless.get("/v1/persons", headers={spelt: "1.2.3.4"})) == (403, "forbidden")
    with pytest.raises(WebSocketDisconnect), keyless.websocket_connect(f"{HERE}/v1/live", headers={name: "1"}):
        pass


def test_what_browsers_and_programs_send_is_no_mark(web: TestClient) -> None:
    sent = {
        "Accept": "*/*",
        "Accept-Encoding": "gzip",
        "Accept-Language": "de",
        "Cache-Control": "no-cache",
        "Connection": "keep-alive",
        "DNT": "1",
        "If-None-Match": '"1"',
        "Origin": LOCAL,
        "Pragma": "no-cache",
        "Priority": "u=0, i",
        "Referer": f"{LOCAL}/",
        "Sec-CH-UA": '"Chromium"',
        "Sec-CH-UA-Platform": '"Linux"',
        "Sec-Fetch-Dest": "empty",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Site": "same-origin",
        "Sec-GPC": "1",
        "TE": "trailers",
        "Upgrade-Insecure-Requests": "1",
        "User-Agent": "Mozilla/5.0",
        "X-Api-Key": "any",
        "X-Request-ID": "1",
        "X-Requested-With": "XMLHttpRequest",
        "Traceparent": "00-1-1-00",
    }
    assert web.get("/v1/persons", headers=sent).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/v1/pool/export", "/v1/persons/Ada/export", "/v1/persons", "/api/v1/recognition/faces", "/metrics"]
)
def test_a_link_of_another_site_leads_to_nothing_but_the_page(
    exporting: TestClient, path: str, method: str, site: str
) -> None:
    before = audited(exporting)
    answer = exporting.request(method, path, headers=NAVIGATION | {"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert audited(exporting) == before
    for page in ("/", "/docs/", "/app.js", "/openapi.json", "/health"):
        assert exporting.request(method, page, headers=NAVIGATION | {"Sec-Fetch-Site": site}).status_code == 200
    assert exporting.request(method, path, headers=NAVIGATION | {"Sec-Fetch-Site": "none"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "noted"), [("/v1/persons/Ada/export", "exported"), ("/v1/pool/export", "exported the pool")]
)
def test_the_head_of_an_export_exports_nothing(web: TestClient, path: str, noted: str) -> None:
    web.post("/v1/persons", json={"person": "Ada"})
    before = audited(web)
    head = web.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert audited(web) == before
    got = web.get(path)
    assert audited(web) == [noted, *before]
    for name in ("content-type", "content-disposition", "cache-control"):
        assert head.headers[name] == got.headers[name]
    assert web.head("/v1/persons/Nobody/export").status_code == 404


def test_the_description_is_written_once(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = web.get("/openapi.json")
    assert first.headers["cache-control"] == "no-cache"

    def again(*_args: object, **_named: object) -> None:
        pytest.fail("it is written anew")

    monkeypatch.setattr("json.dumps", again)
    assert web.get("/openapi.json").content == first.content
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
        answer = web.get("/openapi.json", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", first.headers["etag"])
    assert web.get("/openapi.json", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_description_says_below_which_path_the_server_lies(tmp_path: Path) -> None:
    with client_of(tmp_path, FakeAnalyzer(), deployment=Deployment(path_prefix="/faces")) as web:
        document = web.get("/faces/openapi.json")
        assert document.json()["servers"] == [{"url": "/faces"}]
        assert document.headers["etag"] == web.get("/faces/openapi.json").headers["etag"]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://{here}/health", 200),
        ("HTTP://{here}/health?a", 200),
        ("http://elsewhere.example/health", 400),
        ("http://elsewhere.example?{here}/health", 400),
        ("http://[elsewhere/health", 400),
        ("http://{here}@elsewhere.example/health", 400),
    ],
)
def test_a_whole_address_in_the_first_line_names_the_same_host(tmp_path: Path, target: str, status: int) -> None:
    with serving(tmp_path / "pool.db", FakeAnalyzer()) as server, connect(server.port) as one:
        here = f"127.0.0.1:{server.port}"
        one.sendall(f"GET {target.format(here=here)} HTTP/1.1\r\nHost: {here}\r\nConnection: close\r\n\r\n".encode())
        assert everything(one).startswith(b"HTTP/1.1 %d " % status)
