"""What stands between the server and those who use it: proxies with paths of their own, dashboards, frames, TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from facepool.web.fallbacks import Fallbacks
from facepool.web.middleware import Deployment
from facepool.web.services import ServerOptions, Services
from support.fake_analyzer import FakeAnalyzer
from support.web_client import client_of

KEYS = ServerOptions(keys_always=True)
DASHBOARD = "https://dashboard.example:8123"
OWN = "http://faces.example"
PEER = "testclient"
"""What Starlette's client calls itself."""


class Web:
    """A client of a server that asks for keys, with a key."""

    def __init__(self, client: TestClient) -> None:
        services: Services = client.app.state.services  # type: ignore[attr-defined]
        self.key = services.keys.add("Client", "admin")
        self.client = client

    def ask(self, method: str, path: str, *, key: bool = True, **more: Any) -> Any:
        headers = {**({"x-api-key": self.key} if key else {}), **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, follow_redirects=False, **more)

    def behind(self, proxy: ASGIApp) -> None:
        """Put something between the client and the server."""
        self.client._transport.app = proxy  # type: ignore[attr-defined]


@contextmanager
def standing(folder: Path, **deployment: Any) -> Iterator[Web]:
    folder.mkdir(exist_ok=True)
    with client_of(folder, FakeAnalyzer(), KEYS, Deployment(**deployment), OWN) as client:
        yield Web(client)


# Pages of other sites


def test_scripts_of_a_page_that_may_use_the_server_are_answered_with_their_key(tmp_path: Path) -> None:
    with standing(tmp_path, origins=(DASHBOARD,)) as web:
        asked = {"Origin": DASHBOARD, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        answer = web.ask("POST", "/v1/persons", json={"person": "Ada"}, headers=asked)
        assert answer.status_code == 201
        assert answer.headers["access-control-allow-origin"] == DASHBOARD
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
        refused = web.ask("GET", "/v1/pool", key=False, headers=asked)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, DASHBOARD)


def test_its_browser_may_ask_before_it_asks(tmp_path: Path) -> None:
    with standing(tmp_path, origins=(DASHBOARD,)) as web:
        asked = {
            "Origin": DASHBOARD,
            "Access-Control-Request-Method": "DELETE",
            "Access-Control-Request-Headers": "content-type,x-api-key",
            "Access-Control-Request-Private-Network": "true",
        }
        told = web.ask("OPTIONS", "/v1/persons/Ada", key=False, headers=asked)
        assert told.status_code == 200
        assert told.headers["access-control-allow-origin"] == DASHBOARD
        assert "DELETE" in told.headers["access-control-allow-methods"]
        assert "x-api-key" in told.headers["access-control-allow-headers"]
        assert told.headers["access-control-allow-private-network"] == "true"


def test_a_session_of_the_servers_own_page_does_not_count_for_another_page(tmp_path: Path) -> None:
    with standing(tmp_path, origins=("http://faces.example:8123",)) as web:
        web.ask("POST", "/v1/session", json={"key": web.key}, key=False)
        assert web.ask("GET", "/v1/pool", key=False).status_code == 200
        same_site = {"Origin": "http://faces.example:8123", "Sec-Fetch-Site": "same-site"}
        assert web.ask("GET", "/v1/pool", key=False, headers=same_site).status_code == 401
        own = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}
        assert web.ask("POST", "/v1/persons", key=False, headers=own, json={"person": "Ada"}).status_code == 201


def test_no_other_page_may_and_none_is_told_that_it_may(tmp_path: Path) -> None:
    with standing(tmp_path, origins=(DASHBOARD,)) as web:
        for origin in ("https://dashboard.example", "http://dashboard.example:8123", "null", "https://other.example"):
            asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            for method in ("OPTIONS", "GET"):
                answer = web.ask(method, "/v1/pool", headers=asked)
                assert answer.status_code == 403
                assert "access-control-allow-origin" not in answer.headers
    with standing(tmp_path / "none") as web:
        assert "access-control-allow-origin" not in web.ask("GET", "/v1/pool", headers={"Origin": OWN}).headers


def test_a_page_that_may_opens_a_websocket_with_its_key_and_no_other_page_does(tmp_path: Path) -> None:
    with standing(tmp_path, origins=(DASHBOARD,)) as web:
        address = f"ws://faces.example/v1/live?api_key={web.key}"
        with web.client.websocket_connect(address, headers={"Origin": DASHBOARD}):
            pass
        with (
            web.client.websocket_connect("/v1/live", headers={"Origin": DASHBOARD}) as socket,
            pytest.raises(WebSocketDisconnect) as closed,
        ):
            socket.receive_json()
        assert closed.value.code == 4401
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            web.client.websocket_connect(address, headers={"Origin": "https://other.example"}),
        ):
            pass
        assert "https://other.example" in denied.value.text


def test_a_page_that_may_show_the_server_in_a_frame_is_named_and_no_other(tmp_path: Path) -> None:
    with standing(tmp_path, frames=(DASHBOARD,)) as web:
        headers = web.ask("GET", "/").headers
        assert f"frame-ancestors 'self' {DASHBOARD}" in headers["content-security-policy"].split("; ")
        assert "x-frame-options" not in headers
    with standing(tmp_path / "none") as web:
        headers = web.ask("GET", "/").headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"].split("; ")
        assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    ("scheme", "frames", "same_site"),
    [
        ("https", (DASHBOARD,), {"samesite=none", "partitioned", "secure"}),
        ("http", (DASHBOARD,), {"samesite=strict"}),
        ("https", (), {"samesite=strict", "secure"}),
    ],
)
def test_in_a_frame_of_another_site_a_session_is_kept_over_tls(
    tmp_path: Path, scheme: str, frames: tuple[str, ...], same_site: set[str]
) -> None:
    with standing(tmp_path, frames=frames) as web:
        answer = web.ask("POST", f"{scheme}://faces.example/v1/session", json={"key": web.key})
        parts = {part.strip() for part in answer.headers["set-cookie"].lower().split(";")}
        assert parts & {"samesite=none", "samesite=strict", "partitioned", "secure"} == same_site


def test_browsers_insist_on_tls_unless_nobody_vouches_for_the_certificate(tmp_path: Path) -> None:
    for insist in (True, False):
        with standing(tmp_path / str(insist), insist_on_tls=insist) as web:
            assert ("strict-transport-security" in web.ask("GET", "https://faces.example/").headers) == insist


# The header Host


def test_what_is_refused_for_its_host_says_what_was_seen_and_what_to_do(tmp_path: Path) -> None:
    with standing(tmp_path) as web:
        told = web.ask("POST", "/v1/persons", json={"person": "Ada"}, headers={"Origin": "http://home.example:8080"})
        assert (told.status_code, told.json()["code"]) == (403, "forbidden")
        assert "http://home.example:8080" in told.json()["why"]
        assert "'faces.example'" in told.json()["why"]
        assert "Host" in told.json()["fix"]
        assert "--allow-origin http://home.example:8080" in told.json()["fix"]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://faces.example", "faces.example:443"),
        ("http://faces.example", "faces.example:80"),
        ("http://FACES.example:8000", "faces.EXAMPLE:8000"),
        ("http://[fd00::1]:8000", "[fd00::1]:8000"),
    ],
)
def test_a_page_is_the_servers_own_however_its_host_is_written(tmp_path: Path, origin: str, host: str) -> None:
    with standing(tmp_path) as web:
        answer = web.ask("POST", "/v1/persons", json={"person": "Ada"}, headers={"Origin": origin, "Host": host})
        assert answer.status_code == 201


def test_a_proxy_that_is_believed_says_which_host_was_asked_and_no_other_does(tmp_path: Path) -> None:
    said = {"Origin": "https://home.example", "Host": "127.0.0.1:8000", "X-Forwarded-Host": "home.example"}
    for proxies, status in (((PEER,), 201), (("10.0.0.1",), 403)):
        with standing(tmp_path / str(status), proxies=proxies) as web:
            assert web.ask("POST", "/v1/persons", json={"person": "Ada"}, headers=said).status_code == status


# Below a path of a proxy


def below(app: ASGIApp, prefix: str, *, strips: bool, decodes: bool, tells: bool) -> ASGIApp:
    """A proxy that has the server below a path, as nginx, Traefik or Apache do."""

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            raw = scope["raw_path"].decode()
            raw = raw.removeprefix(prefix) if strips else raw
            raw = unquote(raw).replace(" ", "%20") if decodes else raw
            told = [(b"x-forwarded-prefix", prefix.encode())] if tells else []
            scope = {**scope, "path": unquote(raw), "raw_path": raw.encode(), "headers": [*scope["headers"], *told]}
        await app(scope, receive, send)

    return proxy


PROXIES = [(strips, decodes, strips == decodes) for strips in (True, False) for decodes in (True, False)]
"""Any two of these habits in all ways."""


@pytest.mark.parametrize(("strips", "decodes", "tells"), PROXIES)
def test_the_server_is_whole_below_a_path(tmp_path: Path, *, strips: bool, decodes: bool, tells: bool) -> None:
    prefix = "/home/faces"
    where = {"proxies": (PEER,)} if tells else {"path_prefix": prefix}
    with standing(tmp_path, **where) as web:
        web.behind(below(web.client.app, prefix, strips=strips, decodes=decodes, tells=tells))
        assert web.ask("GET", f"{prefix}/").headers["content-type"].startswith("text/html")
        assert web.ask("GET", f"{prefix}/app.js").status_code == 200
        assert web.ask("GET", f"{prefix}/docs").headers["location"] == f"{prefix}/docs/"
        assert web.ask("GET", f"{prefix}/openapi.json").json()["servers"] == [{"url": prefix}]
        session = web.ask("POST", f"{prefix}/v1/session", json={"key": web.key})
        assert f"path={prefix};" in session.headers["set-cookie"].lower()
        assert f"path={prefix};" in web.ask("DELETE", f"{prefix}/v1/session").headers["set-cookie"].lower()
        with web.client.websocket_connect(f"ws://faces.example{prefix}/v1/live?api_key={web.key}"):
            pass
        assert web.ask("GET", f"{prefix}/v1/pool", key=False).status_code == 401
        assert web.ask("GET", f"{prefix}/api/v1/nothing").json()["code"] == 0
        _names_with_slashes(web, prefix)


def _names_with_slashes(web: Web, prefix: str) -> None:
    people = f"{prefix}/v1/persons"
    assert web.ask("POST", people, json={"person": "a/b c/d"}).status_code == 201
    assert web.ask("GET", f"{people}/a%2Fb%20c%2Fd").json()["person"] == "a/b c/d"
    assert web.ask("GET", f"{people}/a%2Fb%20c%2Fd/samples").json() == []
    assert web.ask("GET", f"{people}/a%2Fb%20c%2Fd/export").status_code == 200
    assert web.ask("GET", f"{people}/a%2Fb%20c%2Fd/samples/1/picture").json()["code"] == "template_unknown"
    assert web.ask("PATCH", f"{people}/a%2Fb%20c%2Fd", json={"person": "e/f"}).json()["person"] == "e/f"
    assert web.ask("POST", people, json={"person": "g/h"}).status_code == 201
    assert web.ask("POST", f"{people}/g%2Fh/merge", json={"into": "e/f"}).json()["person"] == "e/f"
    subject = f"{prefix}/api/v1/recognition/subjects"
    assert web.ask("PUT", f"{subject}/e%2Ff", json={"subject": "i/j"}).json() == {"updated": True}
    assert web.ask("DELETE", f"{subject}/i%2Fj").json() == {"subject": "i/j"}
    assert web.ask("POST", f"{prefix}/v1/keys", json={"name": "k/l", "role": "enroll"}).status_code == 201
    assert web.ask("DELETE", f"{prefix}/v1/keys/k%2Fl").status_code == 204


def test_the_path_without_its_slash_leads_to_the_page(tmp_path: Path) -> None:
    with standing(tmp_path, path_prefix="/faces") as web:
        assert web.ask("GET", "/faces").headers["location"] == "/faces/"


@pytest.mark.parametrize("twice", ["/faces/faces", "/faces/faces/faces", "/faces%2F/%66aces"])
def test_the_path_of_the_proxy_twice_is_no_way_around_the_key(tmp_path: Path, twice: str) -> None:
    with standing(tmp_path, path_prefix="/faces") as web:
        for path in ("/v1/persons", "/v1/pool/export", "/metrics"):
            assert web.ask("GET", twice + path, key=False).status_code == 401
        live = f"ws://faces.example{twice}/v1/live"
        with pytest.raises(WebSocketDisconnect) as closed, web.client.websocket_connect(live) as socket:
            socket.receive_json()
        assert closed.value.code == 4401


def test_a_path_of_many_parts_takes_no_long_time_to_be_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Scope] = []
    known = Fallbacks._is_known

    def noted(self: Fallbacks, scope: Scope) -> bool:
        tried.append(scope)
        return known(self, scope)

    monkeypatch.setattr(Fallbacks, "_is_known", noted)
    with standing(tmp_path) as web:
        assert web.ask("GET", "/v1/persons/" + "/".join("a" * 5000)).status_code == 404
    assert len(tried) < 20


def test_a_prefix_that_a_stranger_sends_is_not_believed(tmp_path: Path) -> None:
    with standing(tmp_path) as web:
        answer = web.ask("GET", "/docs", headers={"X-Forwarded-Prefix": "/evil", "X-Forwarded-Host": "evil.example"})
        assert answer.headers["location"] == "/docs/"


@pytest.mark.parametrize("prefix", ["//evil.example", "https://evil.example", "/a b", "/../x", "/", "/api", "/v1/x"])
def test_what_is_no_path_is_no_prefix(tmp_path: Path, prefix: str) -> None:
    with standing(tmp_path, proxies=(PEER,)) as web:
        location = web.ask("GET", "/docs", headers={"X-Forwarded-Prefix": prefix}).headers["location"]
        assert location == "/docs/"


def test_a_name_that_was_decoded_counts_by_its_route(tmp_path: Path) -> None:
    with standing(tmp_path) as web:
        web.ask("POST", "/v1/persons", json={"person": "Hilde/Gard"})
        web.ask("GET", "/v1/persons/Hilde/Gard/samples")
        web.ask("HEAD", "/v1/persons/Hilde/Gard")
        page = web.ask("GET", "/metrics").text
        assert 'method="GET",route="/v1/persons/{name}/samples",status="200"' in page
        assert 'method="HEAD",route="/v1/persons/{name}",status="200"' in page
        assert "Hilde" not in page
