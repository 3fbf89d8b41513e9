"""Who may ask the server for what, and what is told to whom: keys, sessions, other sites, limits, erased names."""

import asyncio
import io
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.websockets import WebSocketDisconnect

from facepool.config import Settings
from facepool.errors import ConfigError
from facepool.web.app import create_app
from facepool.web.services import ServerOptions, Services, assemble
from facepool.web.services.audit import Audit
from facepool.web.services.keys import LOCAL, Caller, Keys
from facepool.web.services.limits import Limits
from facepool.web.services.store import SqliteStore, store_beside
from support.fake_analyzer import FakeAnalyzer, view
from support.stores import store_of_version
from support.web_client import LOCAL as ADDRESS
from support.web_client import client_of, png

OPEN_TO_ALL = {("/health", "get"), ("/ready", "get"), ("/v1/session", "post"), ("/v1/session", "delete")} | {
    ("/api/v1/config", "get"),
    ("/api/v1/consistence/status", "get"),
}
FOREIGN = {"Origin": "https://elsewhere.example"}


@pytest.fixture
def guarded(tmp_path: Path, analyzer: FakeAnalyzer) -> Iterator[TestClient]:
    with client_of(tmp_path, analyzer, ServerOptions(keys_always=True)) as client:
        yield client


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


def key_for(web: TestClient, role: Any) -> dict[str, str]:
    return {"x-api-key": services_of(web).keys.add(f"{role}-key", role)}


def code(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def test_every_route_asks_for_a_key_where_one_is_needed(guarded: TestClient) -> None:
    operations = [
        (path, method) for path, methods in guarded.get("/openapi.json").json()["paths"].items() for method in methods
    ]
    assert len(operations) > 40
    for path, method in operations:
        answer = guarded.request(method, path.replace("{", "").replace("}", ""), headers={"content-type": "image/png"})
        if (path, method) in OPEN_TO_ALL:
            assert answer.status_code < 500
        else:
            missing = answer.json() == {"message": "Missing header: x-api-key", "code": 20}
            unknown = (
                answer.status_code == 404 and answer.json()["code"] == 10
            )  # the address of a picture has a key in it
            refused = answer.status_code == 401 or missing or unknown
            assert refused, (method, path, answer.status_code, answer.text)


def test_a_request_is_authenticated_once(
    guarded: TestClient, analyzer: FakeAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    find = Keys.find

    def counted(self: Keys, key: str) -> Caller | None:
        asked.append(key)
        return find(self, key)

    monkeypatch.setattr(Keys, "find", counted)
    headers = key_for(guarded, "recognize")
    picture = png(analyzer.frame(view(0, 0)).image_bgr)
    assert guarded.post("/v1/recognize", files={"file": picture}, headers=headers).status_code == 200
    assert asked == [headers["x-api-key"]]


@pytest.mark.parametrize("path", ["/v1/live", "/v1/enroll"])
def test_a_websocket_without_a_key_is_closed_as_not_signed_in(guarded: TestClient, path: str) -> None:
    with guarded.websocket_connect(path) as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.code == 4401


@pytest.mark.parametrize(
    ("role", "allowed"), [("recognize", (200, 403, 403)), ("enroll", (200, 201, 403)), ("admin", (200, 201, 200))]
)
def test_each_role_may_do_what_the_ones_before_it_may(
    guarded: TestClient, role: str, allowed: tuple[int, int, int]
) -> None:
    headers = key_for(guarded, role)
    told = (
        guarded.get("/v1/pool", headers=headers),
        guarded.post("/v1/persons", json={"person": "Ada"}, headers=headers),
        guarded.get("/v1/keys", headers=headers),
    )
    assert tuple(answer.status_code for answer in told) == allowed


def test_a_bearer_token_is_a_key_too(guarded: TestClient) -> None:
    key = key_for(guarded, "recognize")["x-api-key"]
    assert guarded.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert code(guarded.get("/metrics", headers={"Authorization": f"Basic {key}"})) == (401, "key_missing")


def test_the_file_beside_the_pool_is_private_and_holds_no_key(guarded: TestClient, tmp_path: Path) -> None:
    key = key_for(guarded, "admin")["x-api-key"]
    guarded.post("/v1/session", json={"key": key})
    token = guarded.cookies["facepool_session_8000"]
    for path in tmp_path.glob("pool.server.db*"):
        assert path.stat().st_mode & 0o077 == 0
        assert key.encode() not in path.read_bytes()
        assert token.encode() not in path.read_bytes()


def test_the_page_signs_in_and_out_with_a_cookie_for_itself_alone(guarded: TestClient) -> None:
    key = key_for(guarded, "enroll")["x-api-key"]
    assert code(guarded.get("/v1/session")) == (401, "key_missing")
    answer = guarded.post("/v1/session", json={"key": key})
    assert answer.json() == {
        "name": "enroll-key",
        "role": "enroll",
        "signed_in": True,
        "collections": [],
        "collection": "default",
    }
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert guarded.get("/v1/persons").status_code == 200
    assert guarded.get("/v1/session").json()["role"] == "enroll"
    assert guarded.delete("/v1/session").status_code == 204
    assert guarded.get("/v1/persons").status_code == 401


def test_two_servers_of_one_host_sign_nobody_out_of_the_other(tmp_path: Path) -> None:
    """Browsers send all cookies of a host to each of its ports."""
    cookies: list[str] = []
    for port in (8000, 8001):
        folder = tmp_path / str(port)
        folder.mkdir()
        with client_of(
            folder, FakeAnalyzer(), ServerOptions(keys_always=True), address=f"http://127.0.0.1:{port}"
        ) as web:
            key = key_for(web, "enroll")["x-api-key"]
            cookies += [web.post("/v1/session", json={"key": key}).headers["set-cookie"].partition(";")[0]]
    for port in (8000, 8001):
        address = f"http://127.0.0.1:{port}"
        with client_of(tmp_path / str(port), FakeAnalyzer(), ServerOptions(keys_always=True), address=address) as web:
            assert web.get("/v1/persons", headers={"cookie": "; ".join(cookies)}).status_code == 200
            before = f"facepool_session={cookies[port - 8000].partition('=')[2]}"  # as an earlier version called it
            assert web.get("/v1/persons", headers={"cookie": before}).status_code == 200


def test_over_tls_the_cookie_never_travels_without_it(guarded: TestClient) -> None:
    key = key_for(guarded, "enroll")["x-api-key"]
    guarded.base_url = guarded.base_url.copy_with(scheme="https")
    answer = guarded.post("/v1/session", json={"key": key})
    assert "; secure" in answer.headers["set-cookie"].lower()
    assert "max-age" in answer.headers["strict-transport-security"]


def test_a_removed_key_ends_the_sessions_that_began_with_it(guarded: TestClient) -> None:
    key = key_for(guarded, "enroll")["x-api-key"]
    guarded.post("/v1/session", json={"key": key})
    services_of(guarded).keys.remove("enroll-key")
    assert code(guarded.get("/v1/persons")) == (401, "key_unknown")


def test_another_process_adds_and_removes_keys_while_the_server_runs(guarded: TestClient, tmp_path: Path) -> None:
    other = SqliteStore(store_beside(tmp_path / "pool.db"))
    headers = {"x-api-key": Keys(other).add("Cron", "recognize")}
    assert guarded.get("/v1/pool", headers=headers).status_code == 200
    Keys(other).remove("Cron")
    assert code(guarded.get("/v1/pool", headers=headers)) == (401, "key_unknown")
    other.close()


def test_keys_cannot_be_guessed_for_long(guarded: TestClient) -> None:
    told = [guarded.get("/v1/pool", headers={"x-api-key": f"fp_{number}"}).status_code for number in range(15)]
    assert told == [401] * 10 + [429] * 5


def test_the_first_key_is_an_administrators_and_the_last_one_stays(web: TestClient) -> None:
    assert code(web.post("/v1/keys", json={"name": "Cam", "role": "recognize"})) == (400, "config_invalid")
    made = web.post("/v1/keys", json={"name": "Me", "role": "admin"}).json()
    assert code(web.get("/v1/keys")) == (401, "key_missing"), "once there is an administrator, everybody needs a key"
    headers = {"x-api-key": made["key"]}
    assert code(web.delete("/v1/keys/Me", headers=headers)) == (400, "config_invalid")
    assert web.post("/v1/keys", json={"name": "Cam", "role": "recognize"}, headers=headers).status_code == 201
    assert code(web.post("/v1/keys", json={"name": "Cam", "role": "admin"}, headers=headers)) == (400, "config_invalid")
    assert [key["name"] for key in web.get("/v1/keys", headers=headers).json()["keys"]] == ["Me", "Cam"]
    assert made["key"] not in web.get("/v1/keys", headers=headers).text


@pytest.mark.parametrize(
    "headers",
    [
        FOREIGN,
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_a_page_of_another_site_changes_nothing(web: TestClient, headers: dict[str, str]) -> None:
    assert code(web.post("/v1/persons", json={"person": "Eve"}, headers=headers)) == (403, "forbidden")
    assert web.get("/v1/persons").json()["total"] == 0


@pytest.mark.parametrize(
    "headers", [{"Origin": ADDRESS}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}]
)
def test_the_own_page_and_programs_may(web: TestClient, headers: dict[str, str]) -> None:
    assert web.post("/v1/persons", json={"person": "Ada"}, headers=headers).status_code == 201


def test_a_link_from_another_site_opens_the_page(web: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert web.get("/", headers=headers).status_code == 200


def test_a_page_of_another_site_gets_no_websocket(web: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), web.websocket_connect("/v1/live", headers=FOREIGN):
        pass


@pytest.mark.parametrize("host", ["rebound.example", "192.168.0.7:8000", "127.0.0.1.rebound.example", "[::2]"])
def test_without_keys_only_names_of_the_loopback_are_answered_to(web: TestClient, host: str) -> None:
    assert code(web.get("/v1/persons", headers={"Host": host})) == (403, "forbidden")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.8.0.1:1", "[::1]:8000"])
def test_names_of_the_loopback_are(web: TestClient, host: str) -> None:
    assert web.get("/v1/persons", headers={"Host": host}).status_code == 200


def test_with_keys_the_server_answers_to_any_name(guarded: TestClient) -> None:
    headers = {**key_for(guarded, "recognize"), "Host": "faces.example"}
    assert guarded.get("/v1/pool", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/v1/persons", "/v1/nothing", "/docs/", "/openapi.json", "/app.js"])
def test_every_answer_keeps_browsers_from_other_hosts_and_scripts(web: TestClient, path: str) -> None:
    headers = web.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert not any("unsafe" in rule or "http" in rule or "*" in rule for rule in policy.values())
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] in {"no-store", "no-cache"}


def test_an_error_of_ours_tells_nothing_of_the_inside(web: TestClient, analyzer: FakeAnalyzer) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("secret of the inside")

    analyzer.embed_batch = fail  # type: ignore[method-assign, assignment]
    answer = web.post("/v1/recognize", files={"file": png(analyzer.frame(view(0, 0)).image_bgr)})
    assert code(answer) == (500, "facepool")
    assert "secret" not in answer.text


def test_one_client_cannot_ask_without_end(tmp_path: Path, analyzer: FakeAnalyzer) -> None:
    with client_of(tmp_path, analyzer, ServerOptions(limits=Limits("5/minute"))) as web:
        told = [web.get("/v1/pool") for _ in range(6)]
    assert [answer.status_code for answer in told] == [200] * 5 + [429]
    assert code(told[-1]) == (429, "rate_limited")
    assert int(told[-1].headers["retry-after"]) > 0


@pytest.fixture
def tight(tmp_path: Path, analyzer: FakeAnalyzer) -> Iterator[TestClient]:
    services = assemble(Settings.model_validate({"pool": tmp_path / "pool.db"}), analyzer)
    app = create_app(services, most_bytes=100_000, deadline_s=0.3)

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(30)

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    app.router.routes[:] = sorted(app.router.routes, key=lambda route: getattr(route, "path", None) == "")
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
        yield client


def test_a_body_that_is_too_large_is_not_read(tight: TestClient) -> None:
    data = bytes(100_001)
    assert code(tight.post("/v1/recognize", content=data, headers={"content-type": "image/png"})) == (413, "too_large")

    def in_parts() -> Iterator[bytes]:  # without a length told before
        for _ in range(11):
            yield bytes(10_000)

    answer = tight.post("/v1/recognize", content=in_parts(), headers={"content-type": "image/png"})
    assert code(answer) == (413, "too_large")
    assert code(tight.post("/v1/recognize", files={"file": data})) == (413, "too_large")
    assert tight.post("/read", content=bytes(100_000)).json() == 100_000


def test_a_request_that_takes_too_long_is_ended(tight: TestClient) -> None:
    assert code(tight.get("/slow")) == (504, "timed_out")


def bomb(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(30_000, 30_000), (60_000, 10), (8000, 7000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(web: TestClient, size: tuple[int, int]) -> None:
    assert code(web.post("/v1/detect", files={"file": bomb(*size)})) == (413, "too_large")


def test_a_bomb_that_has_to_be_mended_first_is_refused_too(web: TestClient) -> None:
    data = bomb(8000, 7000)
    note = (4).to_bytes(4) + b"tEXt" + b"a\0b" + bytes(5)  # its checksum is wrong
    for spoiled in (b"\r\n" + data, data[:33] + note + data[33:]):
        assert code(web.post("/v1/detect", files={"file": spoiled})) == (413, "too_large")


def test_too_many_pictures_in_one_request_are_refused(web: TestClient, analyzer: FakeAnalyzer) -> None:
    data = png(analyzer.frame().image_bgr)
    answer = web.post("/v1/detect", files=[("file", (f"{number}.png", io.BytesIO(data))) for number in range(101)])
    assert answer.status_code == 400
    assert "pixels" not in answer.text


def test_metrics_count_routes_and_know_no_names(web: TestClient) -> None:
    web.post("/v1/persons", json={"person": "Hildegard"})
    web.get("/v1/persons/Hildegard")
    web.get("/v1/persons/Hilde%2Fgard")
    page = web.get("/metrics").text
    assert 'facepool_requests_total{method="GET",route="/v1/persons/{name}",status="200"} 1.0' in page
    assert 'facepool_requests_total{method="GET",route="/v1/persons/{name}",status="404"} 1.0' in page
    assert "Hilde" not in page


def test_the_log_names_nobody(web: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "facepool.web"):
        web.get("/v1/persons/Hildegard?search=Hildegard")
    assert "GET /v1/persons/{name} 404" in caplog.text
    assert "Hildegard" not in caplog.text


def test_a_log_of_an_earlier_server_gets_room_for_ids_and_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "pool.server.db"
    with store_of_version(path, 1) as old:
        old.execute("INSERT INTO audit VALUES (1, '2026-01-01T00:00:00+00:00', 'Me', 'registered', 'Ada', '3 views')")
    store = SqliteStore(path)
    audit = Audit(store, lambda name: f"id of {name}")
    audit.note(LOCAL, "exported", "Ada")
    entries = asyncio.run(audit.entries())
    assert [(entry.action, entry.person_id) for entry in entries] == [("exported", "id of Ada"), ("registered", None)]
    store.close()


def test_who_is_erased_is_erased_from_the_audit_log_under_all_names(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "pool.server.db")
    audit = Audit(store, lambda name: f"id of {name}")
    me = Caller("Me", "admin")
    audit.note(me, "registered", "Ada", "3 views")
    audit.note(me, "renamed", "Ada Lovelace", "Ada")
    audit.note(me, "registered", "Ada", "another Ada, 1 view")
    with store.transaction() as db:
        assert audit.forget(db, ["Ada Lovelace"]) == 2
        audit.erased(db, me.name, ["Ada Lovelace"])
        store.owe(db)
    assert store.wipe() == ""
    told = asyncio.run(audit.entries())
    assert [entry.action for entry in told] == ["erased", "registered", "renamed", "registered"]
    assert [entry.person == "Ada" for entry in told] == [False, True, False, False]
    assert not any("Lovelace" in entry.person + entry.detail or entry.detail == "Ada" for entry in told)
    found = asyncio.run(audit.entries(person="Ada Lovelace"))
    assert [(entry.caller, entry.action) for entry in found] == [("Me", "erased"), ("Me", "renamed")]
    store.close()
    assert b"Lovelace" not in (tmp_path / "pool.server.db").read_bytes()


def test_everything_about_a_person_under_earlier_names_is_found(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "pool.server.db")
    audit = Audit(store, lambda name: f"id of {name}")
    audit.note(LOCAL, "registered", "Ada", "3 views")
    audit.note(LOCAL, "registered", "Bob", "1 view")
    audit.note(LOCAL, "merged", "Bob", "Ada")
    actions = [(entry["action"], entry["person"]) for entry in asyncio.run(audit.of("Bob"))]
    assert actions == [("registered", "Ada"), ("registered", "Bob"), ("merged", "Bob")]
    store.close()


def test_a_role_that_nobody_knows_gives_no_rights(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "pool.server.db")
    Keys(store).add("Me", "admin")
    with sqlite3.connect(tmp_path / "pool.server.db") as other:
        other.execute("UPDATE server_keys SET role = 'root'")
    other.close()
    with pytest.raises(ConfigError, match="root"):
        Keys(store).find("anything")
    store.close()


@pytest.mark.parametrize(
    ("path", "refused"), [("/v1/pool/calibrate", "key_missing"), ("/api/v1/recognition/recognize", 20)]
)
def test_nothing_of_a_body_is_taken_before_the_key(guarded: TestClient, path: str, refused: str | int) -> None:
    answer = guarded.post(path, content=b"{", headers={"content-type": "application/json"})
    assert answer.json()["code"] == refused


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Via"])
def test_without_keys_a_proxy_lets_nobody_in(web: TestClient, name: str) -> None:
    assert code(web.get("/v1/persons", headers={name: "1.2.3.4"})) == (403, "forbidden")


def test_wrong_keys_lock_nobody_out_who_has_one(guarded: TestClient) -> None:
    right = key_for(guarded, "admin")
    answers = [guarded.get("/v1/persons", headers={"x-api-key": "wrong"}).status_code for _ in range(30)]
    assert answers[-1] == 429
    assert guarded.get("/v1/persons", headers=right).status_code == 200


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "unicode_escape", "hex", "utf-16", "nothing"])
@pytest.mark.parametrize(
    "path", ["/v1/vision/face/delete", "/v1/vision/face/register", "/api/v1/recognition/faces", "/v1/detect"]
)
def test_a_form_in_no_character_set_is_the_clients_fault(web: TestClient, path: str, charset: str) -> None:
    fields = (("userid", b"\\ud800\xc3\xa9"), ("subject", b"\\ud800\xc3\xa9"))
    parts = (
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), of) for name, of in fields
    )
    kind = {"content-type": f"multipart/form-data; boundary=b; charset={charset}"}
    answer = web.post(path, headers=kind, content=b"".join(parts) + b"--b--\r\n")
    assert answer.status_code < 500


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 50_000, b'{"subject": "\\ud800", "file": "\\ud800"}', b"9" * 5000]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/recognition/recognize"),
        ("DELETE", "/api/v1/recognition/faces"),
        ("POST", "/api/v1/verification/verify"),
        ("POST", "/v1/persons"),
        ("POST", "/v1/recognize"),
    ],
)
def test_json_that_cannot_be_is_the_clients_fault(web: TestClient, method: str, path: str, body: bytes) -> None:
    answer = web.request(method, path, headers={"content-type": "application/json"}, content=body)
    assert 400 <= answer.status_code < 500
