"""A server of an encrypted pool: whatever it keeps, gives out or takes in has the pool's key."""

import pickle
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from facepool.config import Settings
from facepool.errors import KeyNeeded, PoolNotEncrypted, WrongKey
from facepool.gallery import open_pool
from facepool.gallery.address import EncryptedFile, at
from facepool.gallery.driver import connect, copy_database
from facepool.gallery.keys import PoolKey, is_plain
from facepool.web.api import pool as routes
from facepool.web.services.secrets import SecretsFile
from facepool.web.services.store import SqliteStore, open_store
from support.fake_analyzer import SPACE, FakeAnalyzer, unit
from support.hostile_pools import HOSTILE, small_pool
from support.web_client import client_of, png

pytest.importorskip("sqlcipher3")

KEY = PoolKey.new()
LOGINS = {"rtsp://***@127.0.0.1:9/door": "rtsp://admin:s3cret@127.0.0.1:9/door"}


@pytest.fixture
def address(tmp_path: Path) -> EncryptedFile:
    return EncryptedFile(tmp_path / "pool.db", KEY)


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder, analyzer = tmp_path_factory.mktemp("server"), FakeAnalyzer()
    with client_of(folder, analyzer, pool=EncryptedFile(folder / "pool.db", KEY)) as client:
        picture = png(analyzer.frame(unit(1)).image_bgr)
        client.post("/v1/persons/Grace/samples", files={"files": ("a.png", picture)}).raise_for_status()
        yield client


def send(web: TestClient, content: bytes) -> Any:
    return web.post("/v1/pool/import", files={"file": ("pool.db", content)})


def rewritten(file: Path, before: PoolKey | None, after: PoolKey | None) -> None:
    """As `facepool pool encrypt` and `decrypt` do it: the same tables in a file with another key, or none."""
    other = file.with_name("rewritten")
    with closing(connect(file, before)) as source, closing(connect(other, after)) as target:
        copy_database(source, target)
    other.replace(file)


def test_keys_and_logs_are_encrypted_and_there_after_the_next_start(
    tmp_path: Path, analyzer: FakeAnalyzer, address: EncryptedFile
) -> None:
    with client_of(tmp_path, analyzer, pool=address) as web:
        made = web.post("/v1/keys", json={"name": "Marguerite", "role": "admin"}).json()
    with client_of(tmp_path, analyzer, pool=address) as web:
        assert web.get("/v1/keys").status_code == 401
        entries = web.get("/v1/audit", headers={"x-api-key": made["key"]}).json()["entries"]
    assert any("Marguerite" in str(entry) for entry in entries)
    assert not is_plain(tmp_path / "pool.server.db")
    assert b"Marguerite" not in (tmp_path / "pool.server.db").read_bytes()


def test_keys_and_logs_are_not_opened_by_another_key_or_none_nor_plain_ones_by_any(
    tmp_path: Path, address: EncryptedFile
) -> None:
    open_store(address).close()
    with pytest.raises(WrongKey):
        open_store(EncryptedFile(address.path, PoolKey.new()))
    with pytest.raises(KeyNeeded):
        open_store(address.path)
    SqliteStore(tmp_path / "other.server.db").close()
    with pytest.raises(PoolNotEncrypted):
        open_store(at(tmp_path / "other.db", address))


def test_logins_of_cameras_go_into_the_store_when_it_is_encrypted_and_out_of_it_when_it_is_not(tmp_path: Path) -> None:
    file, logins = tmp_path / "pool.server.db", SecretsFile(tmp_path / "pool.server.secrets")
    with closing(SqliteStore(file)) as store, store.transaction() as db:
        store.secrets.put(db, LOGINS)
    assert logins.read() == LOGINS
    rewritten(file, None, KEY)
    for _ in range(2):
        with closing(SqliteStore(EncryptedFile(file, KEY))) as store, store.reading() as db:
            assert store.secrets.read(db) == LOGINS
        assert not logins.path.exists()
    rewritten(file, KEY, None)
    for _ in range(2):
        with closing(SqliteStore(file)) as store, store.reading() as db:
            assert store.secrets.read(db) == LOGINS
            assert db.execute("SELECT count(*) FROM server_secrets").fetchone() == (0,)
            assert store.owes(), "bytes of them are yet to be wiped"
        assert logins.read() == LOGINS


def test_what_is_downloaded_has_the_key_of_the_pool_and_can_be_imported_again(web: TestClient, tmp_path: Path) -> None:
    copy = tmp_path / "downloaded.db"
    copy.write_bytes(web.get("/v1/pool/export").content)
    assert not is_plain(copy)
    with open_pool(copy, SPACE, key=KEY) as pool:
        assert "Grace" in pool.names()
    web.delete("/v1/persons/Grace").raise_for_status()
    assert send(web, copy.read_bytes()).json()["created"] == ["Grace"]
    assert send(web, copy.read_bytes()).json()["imported"] == 0


def test_a_plain_pool_is_imported_without_a_file_and_whatever_is_wrong_with_it_is_refused(
    web: TestClient, tmp_path: Path
) -> None:
    sent = small_pool(tmp_path / "sent.db", SPACE)
    content = sent.read_bytes()
    assert send(web, content).status_code == 200
    assert {"Ada", "Bob"} <= {one["person"] for one in web.get("/v1/persons").json()["persons"]}
    before = web.get("/v1/persons").json()
    for harm, spoil in list(HOSTILE.items())[::6]:
        sent.write_bytes(content)
        spoil(sent)
        answer = send(web, sent.read_bytes())
        assert (answer.status_code, answer.json()["code"]) == (400, "input"), harm
    assert web.get("/v1/persons").json() == before


def test_a_plain_pool_that_is_too_large_for_the_memory_is_refused(
    web: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = small_pool(tmp_path / "sent.db", SPACE).read_bytes()
    monkeypatch.setattr(routes, "_MOST_IN_MEMORY", len(content) - 1)
    refused = send(web, content)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert "pool encrypt" in refused.json()["fix"]
    monkeypatch.setattr(routes, "_MOST_IN_MEMORY", len(content))
    assert send(web, content).status_code == 200


def test_a_pool_of_another_key_is_refused_and_by_a_plain_pool_any_encrypted_one(
    web: TestClient, tmp_path: Path, analyzer: FakeAnalyzer
) -> None:
    sent = tmp_path / "sent.db"
    with open_pool(sent, SPACE, key=PoolKey.new()) as pool:
        pool.create("Ada")
    refused = send(web, sent.read_bytes())
    assert (refused.status_code, refused.json()["code"]) == (400, "input")
    assert "another key" in refused.json()["why"]
    (tmp_path / "plain").mkdir()
    with client_of(tmp_path / "plain", analyzer) as other:
        refused = send(other, sent.read_bytes())
        assert (refused.status_code, refused.json()["code"]) == (400, "input")
        assert "encrypted" in refused.json()["why"]


def test_the_key_goes_with_the_settings_to_other_processes_and_is_shown_by_nothing(
    web: TestClient, address: EncryptedFile
) -> None:
    settings = Settings.model_validate({"pool": address})
    assert pickle.loads(pickle.dumps(settings)).pool == address
    shown = [repr(settings), str(settings.model_dump(mode="json")), settings.model_dump_json(), repr(address)]
    shown += [web.get(path).text for path in ("/v1/system", "/v1/settings", "/v1/pool", "/v1/audit", "/metrics")]
    assert not any(KEY.text in text or KEY.text.upper() in text for text in shown)
