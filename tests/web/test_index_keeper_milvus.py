"""A server of facepool whose real Milvus server is killed while it works, and comes back."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from facepool.gallery import SqlGallery
from facepool.gallery.index_rows import read_indexes
from facepool.web.services import Services, index_keeper
from support.fake_analyzer import FakeAnalyzer, view
from support.milvus import MilvusServer, own_server
from support.web_client import client_of, png

pytestmark = pytest.mark.milvus
PATIENCE_S = 120.0


@pytest.fixture
def milvus() -> Iterator[MilvusServer]:
    with own_server() as running:
        yield running


@pytest.fixture
def web(
    tmp_path: Path, analyzer: FakeAnalyzer, milvus: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    monkeypatch.setattr(index_keeper, "_EVERY_S", 0.3)
    with client_of(tmp_path, analyzer, settings={"index": milvus.address()}) as client:
        yield client


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def picture(analyzer: FakeAnalyzer, number: int, angle: float = 0) -> bytes:
    return png(analyzer.frame(view(number, angle)).image_bgr)


def is_as_the_pool(web: TestClient, milvus: MilvusServer) -> bool:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    with services.pool.open() as pool:
        assert isinstance(pool, SqlGallery)
        with pool.reading() as db:
            rows = [row for row in read_indexes(db) if row.state == "whole"]
            ours = {number for (number,) in db.execute("SELECT id FROM templates").fetchall()}
    if not rows or services.index.problem is not None:
        return False
    with closing(milvus.client()) as client:
        found = client.query(rows[-1].collection, filter="id >= 0", output_fields=["id"], consistency_level="Strong")
    return {row["id"] for row in found} == ours


def test_killed_and_started_again_it_has_what_the_pool_has_and_nobody_noticed_but_by_what_is_said(
    web: TestClient, analyzer: FakeAnalyzer, milvus: MilvusServer
) -> None:
    def register(name: str, number: int) -> None:
        answer = web.post(f"/v1/persons/{name}/samples", files={"file": picture(analyzer, number)})
        assert answer.json()["stored"] == 1, answer.text

    def recognized(number: int) -> tuple[str | None, str | None]:
        answer = web.post("/v1/recognize", files={"file": picture(analyzer, number, 3)}).json()
        ((face,),) = (one["faces"] for one in answer["pictures"])
        return face["person"], answer["behind"] and answer["behind"]["reason"]

    register("Ada", 0)
    register("Bob", 1)
    until(lambda: is_as_the_pool(web, milvus))
    assert web.delete("/v1/persons/Bob").json()["still_in_index"] == 0
    assert is_as_the_pool(web, milvus), "it has left the index before the answer"
    until(lambda: recognized(0) == ("Ada", None))

    milvus.kill()
    register("Cleo", 2)
    assert recognized(0) == ("Ada", "index_away")
    assert recognized(2) == ("Cleo", "index_away")
    erased = web.delete("/v1/persons/Ada").json()
    assert erased["still_in_index"] >= 1
    assert "It is tried again" in erased["notes"][0]
    assert recognized(0)[0] is None, "whoever was erased is named by nothing that is left"

    milvus.start()
    until(lambda: is_as_the_pool(web, milvus))
    until(lambda: recognized(2) == ("Cleo", None))
    until(lambda: web.get("/ready").json()["owed"] == [])
