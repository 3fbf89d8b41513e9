"""A server whose database is stopped and started again: what it says, whom it still names, and that it goes on."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from facepool import open_pool
from facepool.config import Settings
from facepool.errors import PoolUnreachable
from facepool.gallery import Pool
from facepool.search import known
from facepool.types import Sample
from facepool.web.app import create_app
from facepool.web.middleware.authentication import ConnectionCheck
from facepool.web.services import assemble
from facepool.web.services.pool import PoolAccess
from support.fake_analyzer import SPACE, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer
from support.postgres import PostgresServer, own_server
from support.web_client import HERE, LOCAL, look

pytestmark = pytest.mark.postgres
ADA = 0
PATIENCE_S = 60


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    with own_server() as running:
        with open_pool(running.url("pool"), SPACE, timeout_s=60) as pool:
            pool.register("Ada", [Sample(view(ADA, 0))], SPACE)
        yield running


@pytest.fixture
def analyzer() -> FakeLiveAnalyzer:
    return FakeLiveAnalyzer()


@pytest.fixture
def web(database: PostgresServer, analyzer: FakeLiveAnalyzer, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(known, "_TRY_EVERY_S", 0.05)
    services = assemble(Settings.model_validate({"pool": database.url("pool")}), analyzer)
    with TestClient(create_app(services), base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_live_goes_on_requests_are_told_to_come_back_and_all_is_well_by_itself(
    web: TestClient, database: PostgresServer, analyzer: FakeLiveAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watch(frames: int) -> dict[str, Any]:
        for _ in range(frames):
            answer = look(socket, analyzer.frame(Actor(view(ADA, 5))))
        return answer

    with web.websocket_connect(f"{HERE}/v1/live") as socket:
        answer = watch(20)
        assert ([face["person"] for face in answer["faces"]], answer["outage"]) == (["Ada"], None)
        assert web.get("/v1/system").json()["search"] == "searched in the memory of each process, exactly"
        database.stop("immediate")

        answer = watch(20)
        assert [face["person"] for face in answer["faces"]] == ["Ada"]
        assert answer["outage"]["as_of"] <= answer["outage"]["since"]
        refused = web.get("/v1/persons")
        assert (refused.status_code, refused.json()["code"]) == (503, "pool_unreachable")
        assert int(refused.headers["Retry-After"]) >= 1
        until(lambda: web.get("/ready").json()["outage"] is not None)
        ready = web.get("/ready")
        assert ready.status_code == 503
        assert "pool_unreachable" in ready.json()["why"]

        monkeypatch.setattr(ConnectionCheck, "every_s", 0.0)  # it is time to look whether it may go on
        assert [face["person"] for face in watch(5)["faces"]] == ["Ada"], "it came without a key, so none was revoked"

    database.start()
    until(lambda: web.get("/ready").status_code == 200)
    with web.websocket_connect(f"{HERE}/v1/live") as socket:
        until(lambda: watch(1)["outage"] is None)
        assert web.get("/ready").json()["outage"] is None
        assert [person["person"] for person in web.get("/v1/persons").json()["persons"]] == ["Ada"]


@pytest.mark.parametrize(("stored", "code"), [(True, "outcome_unknown"), (False, "pool_unreachable")])
def test_a_change_that_was_stored_is_not_refused_because_the_database_goes_away_after_it(
    tmp_path: Path, stored: bool, code: str
) -> None:
    def work(pool: Pool) -> None:
        if stored:
            pool.create("Ada")
        raise PoolUnreachable("The pool cannot be used", why="its server is away")

    access = PoolAccess(tmp_path / "pool.db", SPACE)
    try:
        with pytest.raises(PoolUnreachable) as refused:
            asyncio.run(access.change(work))
        assert refused.value.code == code
    finally:
        access.close()
