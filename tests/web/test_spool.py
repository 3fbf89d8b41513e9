"""Files of forms that are too large for the memory: as they were sent for who reads them, noise on the disk."""

import os
from pathlib import Path

import numpy as np
import pytest
from starlette.datastructures import UploadFile

from facepool.web.spool import SealedSpool
from support.fake_analyzer import FakeAnalyzer, Scene, unit
from support.web_client import client_of, png

MIB = 1 << 20


def on_the_disk(file: SealedSpool) -> bytes:
    number = file.fileno()
    return os.pread(number, os.fstat(number).st_size, 0)


def test_what_outgrows_the_memory_is_read_as_it_was_written_and_is_noise_on_the_disk() -> None:
    content = np.random.default_rng(1).bytes(2 * MIB + 5)
    with SealedSpool(max_size=MIB) as file:
        for first in range(0, len(content), 100_003):
            file.write(content[first : first + 100_003])
        file.seek(0)
        assert file.read() == content
        assert file.read() == b""
        for start, size in ((1, 31), (16, 16), (MIB - 7, 100), (2 * MIB, 100)):
            file.seek(start)
            assert (file.read(size), file.tell()) == (content[start : start + size], min(start + size, len(content)))
        stored = on_the_disk(file)
        assert len(stored) == len(content)
        assert not any(content[first : first + 16] in stored for first in range(0, len(content), 100_003))


def test_nothing_is_written_over_because_a_key_stream_is_used_once() -> None:
    with SealedSpool(max_size=1) as file:
        file.write(b"a face")
        file.seek(0)
        with pytest.raises(ValueError, match="cannot be written any more"):
            file.write(b"another")
        assert file.read() == b"a face"


def test_two_files_of_the_same_content_are_not_the_same_on_the_disk() -> None:
    stored = []
    for _ in range(2):
        with SealedSpool(max_size=1) as file:
            file.write(b"a face" * 10)
            file.flush()
            stored.append(on_the_disk(file))
    assert stored[0] != stored[1]


@pytest.fixture
def spools(monkeypatch: pytest.MonkeyPatch) -> list[UploadFile]:
    """The files of forms that were read."""
    seen: list[UploadFile] = []
    read = UploadFile.read

    async def watched(self: UploadFile, size: int = -1) -> bytes:
        seen.append(self)
        return await read(self, size)

    monkeypatch.setattr(UploadFile, "read", watched)
    return seen


def test_a_large_photo_is_registered_from_such_a_file(tmp_path: Path, spools: list[UploadFile]) -> None:
    analyzer = FakeAnalyzer()
    frame = analyzer.frame_of(Scene(unit(1)))
    noise = np.random.default_rng(2).integers(0, 255, (700, 800, 3), np.uint8)
    noise[0, 0, 0] = frame.image_bgr[0, 0, 0]
    with client_of(tmp_path, analyzer) as web:
        answer = web.post("/v1/persons/Ada/samples", files={"files": ("a.png", png(noise))})
        assert answer.json()["stored"] == 1
        (file,) = spools
        assert isinstance(file.file, SealedSpool)
        assert file.file.closed
        small = web.post("/v1/recognize", files={"files": ("a.png", png(frame.image_bgr))})
        assert small.json()["pictures"][0]["faces"][0]["person"] == "Ada"
        damaged = web.post(
            "/v1/recognize", content=b"--x\r\n", headers={"content-type": "multipart/form-data; boundary=y"}
        )
        assert damaged.status_code == 400


def test_a_large_file_is_on_the_disk(spools: list[UploadFile], tmp_path: Path) -> None:
    with client_of(tmp_path, FakeAnalyzer()) as web:
        web.post("/v1/recognize", files={"files": ("a.png", bytes(2 * MIB))})
    (file,) = spools
    assert getattr(file.file, "_rolled", False)
