"""A server whose pool is a database: copies in and out, and what it says of where people are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from facepool.gallery import open_pool, pool_address
from facepool.gallery.address import PostgresAddress, folder_of
from support import postgres
from support.fake_analyzer import SPACE, FakeAnalyzer, view
from support.web_client import client_of, png

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def _folders_of_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("facepool.gallery.address.users_folder", lambda kind: tmp_path / "home" / kind)


@pytest.fixture
def address() -> PostgresAddress:
    """Of a database whose user needs a password, which is in the address."""
    server = postgres.server()
    name = postgres.new_database().rpartition("/")[2]
    server.execute(f"ALTER DATABASE {name} OWNER TO {postgres.LOCKED_USER}")
    found = pool_address(server.url(name, postgres.LOCKED_USER, postgres.PASSWORD))
    assert isinstance(found, PostgresAddress)
    return found


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


@pytest.fixture
def web(tmp_path: Path, analyzer: FakeAnalyzer, address: PostgresAddress) -> Iterator[TestClient]:
    with client_of(tmp_path, analyzer, pool=address) as client:
        yield client


def register(web: TestClient, analyzer: FakeAnalyzer, name: str, person: int) -> None:
    picture = png(analyzer.frame(view(person, 0)).image_bgr)
    answer = web.post(f"/v1/persons/{name}/samples", files={"files": ("a.png", picture)})
    assert (answer.status_code, answer.json()["stored"]) == (200, 1), answer.text


def secrets() -> tuple[str, ...]:
    """The password as it is, and as it stands in the address."""
    return postgres.PASSWORD, postgres.PASSWORD.partition("/")[0]


def test_the_server_says_where_people_are_without_the_password(web: TestClient, address: PostgresAddress) -> None:
    system, pool = web.get("/v1/system"), web.get("/v1/pool")
    assert system.json()["pool"] == str(address)
    assert ":***@127.0.0.1" in system.json()["pool"]
    assert pool.json()["name"] == address.name
    assert not any(secret in system.text + pool.text for secret in secrets())


def test_an_export_is_a_file_that_any_pool_takes(
    web: TestClient, analyzer: FakeAnalyzer, address: PostgresAddress, tmp_path: Path
) -> None:
    register(web, analyzer, "Ada", 0)
    register(web, analyzer, "Bob", 1)
    copy = web.get("/v1/pool/export")
    assert copy.status_code == 200, copy.text
    assert copy.headers["content-disposition"].endswith("pool.db")
    (tmp_path / "copy.db").write_bytes(copy.content)
    with open_pool(address) as here, open_pool(tmp_path / "copy.db") as there:
        assert there.space == SPACE
        ours, theirs = here.templates(), there.templates()
        assert [(one.person, one.uuid) for one in theirs] == [(one.person, one.uuid) for one in ours]
        assert [there.picture(one.id) for one in theirs] == [here.picture(one.id) for one in ours]
        assert all(there.picture(one.id) for one in theirs)
    assert not list(folder_of(address).iterdir())  # what was copied on the way is gone
    assert folder_of(address).stat().st_mode & 0o077 == 0


def test_a_file_is_imported_into_a_database(
    web: TestClient, analyzer: FakeAnalyzer, address: PostgresAddress, tmp_path: Path
) -> None:
    with client_of(tmp_path, analyzer) as other:
        register(other, analyzer, "Ada", 0)
        copy = other.get("/v1/pool/export").content
    for stored, skipped in ((1, 0), (0, 1)):
        answer = web.post("/v1/pool/import", files={"file": ("pool.db", copy)})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["imported"], answer.json()["skipped"]) == (stored, skipped)
    found = web.post("/v1/recognize", files={"files": ("a.png", png(analyzer.frame(view(0, 5)).image_bgr))})
    assert found.json()["pictures"][0]["faces"][0]["person"] == "Ada"
    nonsense = web.post("/v1/pool/import", files={"file": ("pool.db", b"SQLite format 3\0" + bytes(5000))})
    assert nonsense.status_code == 400
    assert [entry["action"] for entry in web.get("/v1/audit").json()["entries"]].count("imported a pool") == 1


def test_no_answer_of_a_server_whose_database_is_away_has_the_password(
    tmp_path: Path, analyzer: FakeAnalyzer, caplog: pytest.LogCaptureFixture
) -> None:
    with postgres.own_server() as server:
        server.execute(f"CREATE ROLE {postgres.LOCKED_USER} LOGIN PASSWORD '{postgres.PASSWORD}'")
        server.execute(f"ALTER DATABASE pool OWNER TO {postgres.LOCKED_USER}")
        there = pool_address(server.url("pool", postgres.LOCKED_USER, postgres.PASSWORD))
        with client_of(tmp_path, analyzer, pool=there) as web:
            register(web, analyzer, "Ada", 0)
            server.stop("immediate")
            picture = {"files": ("a.png", png(analyzer.frame(view(1, 0)).image_bgr))}
            answers = [
                web.get("/v1/persons"),
                web.get("/v1/pool"),
                web.get("/v1/pool/export"),
                web.get("/v1/keys"),
                web.get("/v1/audit"),
                web.get("/v1/activity"),
                web.get("/ready"),
                web.post("/v1/persons/Bob/samples", files=picture),
                web.delete("/v1/persons/Ada"),
                web.get("/api/v1/recognition/subjects"),
                web.post("/v1/vision/face/list"),
            ]
            assert {answer.status_code for answer in answers} <= {200, 503}
            assert sum(answer.status_code == 503 for answer in answers) > len(answers) // 2
            told = "".join(answer.text + str(answer.headers) for answer in answers) + caplog.text
            assert not any(secret in told for secret in secrets())
