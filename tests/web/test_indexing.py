"""A server lets a large pool in PostgreSQL have its index, and says how it searches meanwhile."""

import time

import pytest
from fastapi.testclient import TestClient

from facepool import open_pool
from facepool.config import Settings
from facepool.types import Sample
from facepool.web.app import create_app
from facepool.web.services import assemble, indexing
from support import postgres
from support.fake_analyzer import SPACE, FakeAnalyzer, view
from support.web_client import LOCAL

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    ("exact", "words"), [(False, "by its index (HNSW)"), (True, "by looking at everybody (--exact)")]
)
def test_a_pool_that_is_searched_in_its_database_gets_an_index(
    monkeypatch: pytest.MonkeyPatch, *, exact: bool, words: str
) -> None:
    from facepool.search import hnsw

    monkeypatch.setattr(hnsw, "WORTH_IT", 1)
    monkeypatch.setattr(indexing, "_FIRST_LOOK_S", 0.01)
    url = postgres.new_database()
    with open_pool(url, SPACE) as pool:
        pool.register("Ada", [Sample(view(0, 0))], SPACE)
    settings = Settings.model_validate({"pool": url, "search": "database", "exact": exact})
    with TestClient(create_app(assemble(settings, FakeAnalyzer())), base_url=LOCAL) as client:
        deadline = time.monotonic() + 60
        while words not in (said := client.get("/v1/system").json()["search"]):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
    with open_pool(url, SPACE) as pool:
        indexes = "SELECT count(*) FROM pg_indexes WHERE indexname = 'templates_nearest'"
        assert postgres.server().execute(indexes, url.rpartition("/")[2]) == [(0 if exact else 1,)]
