"""Copies of pools that a server makes for a while: beside the pool, for its owner only, and gone afterwards."""

import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import facepool.web.api.pool
from facepool.errors import PoolLocked
from facepool.files import PrivateFolder
from facepool.gallery import Pool, TransferReport, transfer
from facepool.web.services.audit import Audit
from support.fake_analyzer import FakeAnalyzer
from support.web_client import client_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pool"
    made.mkdir()
    return made


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


@pytest.fixture
def web(folder: Path) -> Iterator[TestClient]:
    with client_of(folder, FakeAnalyzer()) as client:
        assert client.post("/v1/persons", json={"person": "Ada"}).status_code == 201
        yield client


def copies_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name in ("pool.db", "upload.db") and path.parent != folder]


def test_copies_lie_beside_the_pool_and_go(
    web: TestClient, folder: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def watched(source: Pool, target: Pool) -> TransferReport:
        report = transfer(source, target)
        (copy,) = copies_in(folder)
        seen.append(copy.name)
        assert list(temporary.iterdir()) == []
        if sys.platform != "win32":
            assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
        return report

    monkeypatch.setattr(facepool.web.api.pool, "transfer", watched)
    copy = web.get("/v1/pool/export").content
    assert copies_in(folder) == []
    assert web.post("/v1/pool/import", files={"file": ("pool.db", copy)}).status_code == 200
    assert copies_in(folder) == []
    assert seen == ["pool.db", "upload.db"]
    assert list(folder.glob(".unfinished*")) == []


def test_an_export_that_cannot_be_noted_leaves_no_copy(
    web: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_args: object) -> None:
        raise PoolLocked("The audit log cannot be written")

    monkeypatch.setattr(Audit, "add", fail)
    assert web.get("/v1/pool/export").status_code == 503
    assert list(folder.glob(".unfinished*")) == []


def test_what_a_killed_server_has_left_is_gone_at_the_next_start(folder: Path) -> None:
    left = folder / ".unfinished-folder-x"
    left.mkdir()
    (left / "pool.db").write_bytes(b"Ada")
    with PrivateFolder(folder) as used, client_of(folder, FakeAnalyzer()):
        assert not left.exists()
        assert used.exists(), "another server has it"
