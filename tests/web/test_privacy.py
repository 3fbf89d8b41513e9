"""What people have agreed to, and all that is kept of them, as clients of a server get it; logs with limits."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from fastapi.testclient import TestClient

from facepool.config import Settings
from facepool.errors import PathMissing
from facepool.web.app import create_app
from facepool.web.services import Services, assemble
from support.fake_analyzer import FakeAnalyzer, view
from support.web_client import LOCAL, client_of, png

TEXT = "My face may be kept until I leave."


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer()) as client:
        assert client.post("/v1/persons", json={"person": "Ada Lovelace"}).status_code == 201
        yield client


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


def kept(web: TestClient, name: str = "Ada Lovelace") -> dict[str, int]:
    answer = web.get(f"/v1/persons/{name}/privacy")
    assert answer.status_code == 200, answer.text
    return {one["kind"]: one["count"] for one in answer.json()["kept"]}


def test_consent_is_recorded_told_exported_and_erased(web: TestClient, tmp_path: Path) -> None:
    body = {"text": TEXT, "given_at": "2026-05-31", "method": "signed form"}
    told = web.post("/v1/persons/Ada Lovelace/consents", json=body)
    assert told.status_code == 201, told.text
    recorded = {"given_at": "2026-05-31T00:00:00+00:00", "recorded_by": "local", "method": "signed form", "text": TEXT}
    assert web.get("/v1/persons/Ada Lovelace/consents").json() == [told.json()]
    assert told.json() == recorded | {"id": told.json()["id"]}
    archive = ZipFile(BytesIO(web.get("/v1/persons/Ada Lovelace/export").content))
    assert json.loads(archive.read("person.json"))["consents"] == [told.json()]
    assert web.get("/v1/audit").json()["entries"][1]["action"] == "recorded consent"
    web.delete("/v1/persons/Ada Lovelace")
    assert not any(b"until I leave" in path.read_bytes() for path in tmp_path.iterdir())
    assert web.get("/v1/persons/Ada Lovelace/consents").status_code == 404


@pytest.mark.parametrize("body", [{}, {"text": " "}, {"text": TEXT, "given_at": "3026-01-01"}])
def test_what_is_no_consent_is_refused(web: TestClient, body: dict[str, str]) -> None:
    assert web.post("/v1/persons/Ada Lovelace/consents", json=body).status_code in (400, 422)
    assert web.get("/v1/persons/Ada Lovelace/consents").json() == []


def settings_of(folder: Path, consent_text: str) -> Settings:
    return Settings.model_validate({"pool": folder / "pool.db", "consent_text": consent_text})


def test_a_tick_records_the_text_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "consent.txt").write_text(f"{TEXT}\n", encoding="utf-8")
    analyzer = FakeAnalyzer()
    app = create_app(assemble(settings_of(tmp_path, str(tmp_path / "consent.txt")), analyzer))
    with TestClient(app, base_url=LOCAL) as web:
        assert web.get("/v1/system").json()["consent_text"] == TEXT
        for turn in (0, 0):  # there is nothing new in the second one, and nothing new to agree to
            picture = png(analyzer.frame(view(0, turn)).image_bgr)
            told = web.post("/v1/persons/Ada/samples?consent=true", files={"file": picture})
            assert told.status_code == 200, told.text
        (consent,) = web.get("/v1/persons/Ada/consents").json()
        assert (consent["text"], consent["recorded_by"]) == (TEXT, "local")
        assert "tick" in consent["method"]


def test_without_a_text_nobody_can_agree_to_it(web: TestClient) -> None:
    told = web.post("/v1/persons/Ada Lovelace/samples?consent=true", files={"file": b"no picture is looked at"})
    assert told.status_code == 422
    assert "--consent-text" in told.text


def test_a_text_that_is_not_there_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(PathMissing):
        assemble(settings_of(tmp_path, "forgotten.txt"), FakeAnalyzer())


def test_all_that_is_kept_is_told_and_asking_leaves_no_name_after_an_erasure(web: TestClient, tmp_path: Path) -> None:
    services_of(web).activity.add({"event": "recognized", "person": "Ada Lovelace", "source": "door", "track": 1})
    web.post("/v1/persons/Ada Lovelace/consents", json={"text": TEXT})
    assert kept(web) == {"person": 1, "consents": 1, "activity": 1, "visits": 1, "audit": 2}
    assert kept(web)["audit"] == 3  # somebody has asked
    places = {one["place"] for one in web.get("/v1/persons/Ada Lovelace/privacy").json()["kept"]}
    assert places == {"pool.db", "pool.server.db"}
    web.delete("/v1/persons/Ada Lovelace")
    assert [*kept(web)] == ["erasure"]
    assert [*kept(web)] == ["erasure"]
    assert not any(b"Lovelace" in path.read_bytes() for path in tmp_path.iterdir())
    assert web.get("/v1/persons/Nobody/privacy").status_code == 404


def test_only_an_administrator_is_told_all(web: TestClient) -> None:
    keys = services_of(web).keys
    keys.add("Me", "admin")
    looks, registers = ({"x-api-key": keys.add(role, role)} for role in ("recognize", "enroll"))
    for headers in (looks, registers):
        assert web.get("/v1/persons/Ada Lovelace/privacy", headers=headers).status_code == 403
    assert web.get("/v1/persons/Ada Lovelace/consents", headers=looks).status_code == 403
    assert web.get("/v1/persons/Ada Lovelace/consents", headers=registers).status_code == 200


def test_a_server_lets_go_of_what_is_too_old_when_it_starts(tmp_path: Path) -> None:
    old = (datetime.now(UTC) - timedelta(days=50)).isoformat(timespec="seconds")
    with client_of(tmp_path, FakeAnalyzer()) as web:
        web.post("/v1/persons", json={"person": "Ada Lovelace"})
        services_of(web).activity.add({"event": "recognized", "person": "Ada Lovelace", "source": "door", "track": 1})
        with services_of(web).store.transaction() as db:
            db.execute("UPDATE server_activity SET at = ?", (old,))
            db.execute(
                "INSERT INTO server_liveness (id, client, drawn_at, ends_at, state) VALUES ('a', 'b', 1, 2, 'open')"
            )
    with client_of(tmp_path, FakeAnalyzer()) as web:
        ends_at_s = time.monotonic() + 20
        while (services_of(web).activity.names() or services_of(web).store.owes()) and time.monotonic() < ends_at_s:
            time.sleep(0.02)
        assert web.get("/v1/activity").json()["entries"] == []
        assert not services_of(web).store.owes()
        assert services_of(web).store.read("SELECT count(*) FROM server_liveness") == [(0,)]
        assert len(web.get("/v1/audit").json()["entries"]) == 1
