"""What lies on the disk while a server has much to do, at every moment of it, and who could read it.

The search is shown to find everything in a pool that is not encrypted: otherwise it would prove nothing.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import UploadFile

from facepool.gallery import open_pool
from facepool.gallery.address import EncryptedFile, PoolAddress, at, key_of
from facepool.gallery.backup import back_up, opened_backup, restore
from facepool.gallery.keys import PoolKey
from facepool.gallery.sightings import InboxBounds
from facepool.gallery.sql import SqlGallery
from facepool.types import Floats, Sample, SightedFaces, Sighting
from facepool.web.services import Services
from support.busy import OF_IMPORT, SEEN_AT, WORDS, Work, be_busy, make_administrator
from support.fake_analyzer import SPACE, FakeAnalyzer, Scene
from support.live_server import jpeg
from support.pools import units
from support.stolen import Thief, windows_of
from support.web_client import client_of, png

LASTS_S = float(os.environ.get("FACEPOOL_BUSY_S", "0"))
"""How long it goes on: once through everything, or so many seconds."""
REGISTERED, STRANGER, IMPORTED, IN_COLLECTION, *_ = np.linalg.qr(units(SPACE.dimension).T)[0].T.astype(np.float32)
"""Of nobody who looks like another."""


@dataclass(frozen=True)
class Photo:
    """What a phone sends: large enough to leave the memory."""

    data: bytes

    @property
    def parts(self) -> list[bytes]:
        return windows_of(self.data, count=6)


def photo_of(analyzer: FakeAnalyzer, vector: Floats) -> Photo:
    """A picture of a face."""
    frame = analyzer.frame_of(Scene(vector))
    noise = np.random.default_rng(5).integers(0, 255, (640, 640, 3), np.uint8)
    noise[0, 0] = frame.image_bgr[0, 0]
    return Photo(png(noise))


def kept_picture(folder: Path, analyzer: FakeAnalyzer, photo: Photo) -> bytes:
    """What a pool keeps of a photo."""
    with client_of(folder, analyzer) as web:
        web.post("/v1/persons/Nobody/samples", files={"files": ("a.png", photo.data)}).raise_for_status()
        (sample,) = web.get("/v1/persons/Nobody/samples").json()
        return web.get(f"/v1/persons/Nobody/samples/{sample['id']}/picture").content


def another_pool(path: Path) -> bytes:
    """A pool that somebody sends to be imported."""
    with open_pool(path, SPACE) as pool:
        pool.register(OF_IMPORT, [Sample(IMPORTED)], SPACE)
    return path.read_bytes()


def see(web: TestClient, vector: Floats) -> None:
    """Somebody whom nobody knows is before a camera."""
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    until = datetime.now(UTC).isoformat(timespec="milliseconds")
    one = np.full(1, 1, np.float32)
    with services.pool.open() as pool:
        sighting = Sighting(str(uuid4()), SEEN_AT, until, until, None, None, 0.1, 0.4, 9)
        faces = SightedFaces(
            vector[None], (jpeg(np.zeros((8, 8, 3), np.uint8)),), one * 80, one * 0.99, one * 90, (None,)
        )
        pool.inbox.keep(sighting, faces, InboxBounds(), "new")
    services.activity.add({"event": "unknown", "track": 1, "person": None, "source": SEEN_AT, "id": str(uuid4())})


def back_up_and_restore(web: TestClient, copy: Path) -> None:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    with services.pool.open() as pool:
        assert isinstance(pool, SqlGallery)
        back_up(pool, at(copy, pool.address), replace=True)
        with opened_backup(at(copy, pool.address), copy.parent) as backup:
            restore(pool, backup)


@contextmanager
def watched(thief: Thief) -> Iterator[None]:
    """Have nothing removed or moved, and no upload closed, before the thief has read it."""
    here, watching = os.getpid(), True
    close = UploadFile.close

    async def look_and_close(self: UploadFile) -> None:
        thief.look()
        await close(self)

    def look(event: str, _arguments: object) -> None:
        if watching and event in ("os.remove", "os.rename", "shutil.rmtree") and os.getpid() == here:
            thief.look()

    sys.addaudithook(look)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UploadFile, "close", look_and_close)
        try:
            yield
        finally:
            watching = False


def known_things(photo: Photo, picture: bytes, key: PoolKey | None = None) -> Mapping[str, Sequence[bytes]]:
    vectors = {"registered": REGISTERED, "imported": IMPORTED, "in a collection": IN_COLLECTION}
    return {
        **{f"vector {what}": [vector.astype("<f4").tobytes()] for what, vector in vectors.items()},
        **{name: [name.encode()] for name in WORDS},
        "kept picture": windows_of(picture),
        "photo": photo.parts,
        "key": [] if key is None else [key.text[:32].encode(), bytes.fromhex(key.text[:32])],
    }


def stolen_from(tmp_path: Path, address: PoolAddress, folder: Path) -> Thief:
    """Serve a pool in a folder, be busy, and have it watched meanwhile."""
    analyzer = FakeAnalyzer()
    photo, other = photo_of(analyzer, REGISTERED), photo_of(analyzer, IN_COLLECTION)
    picture = kept_picture(tmp_path / "rehearsal", analyzer, photo)
    sent_pool = another_pool(tmp_path / "another.db")
    thief = Thief([folder], known_things(photo, picture, key_of(address)), [os.getpid()])
    with client_of(folder, analyzer, pool=address) as web, thief, watched(thief):
        make_administrator(web)
        work = Work(
            web,
            photo.data,
            other.data,
            sent_pool,
            partial(see, web, STRANGER),
            partial(back_up_and_restore, web, folder / "copy.db"),
        )
        ends_s = time.monotonic() + LASTS_S
        while True:
            be_busy(work)
            if time.monotonic() >= ends_s:
                break
    return thief


@pytest.mark.skipif(sys.platform != "linux", reason="open files are looked for in /proc")
def test_of_a_pool_that_is_not_encrypted_everything_can_be_stolen(tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    (tmp_path / "rehearsal").mkdir()
    thief = stolen_from(tmp_path, folder / "pool.db", folder)
    everything = known_things(Photo(b""), b"").keys() - {"photo", "key"}  # no file has those
    assert thief.found.keys() == everything
    where = {Path(file).name for files in thief.found.values() for file in files}
    assert where >= {"pool.db", "pool.db-wal", "pool.server.db", "pool.server.db-wal", "pool.server.secrets"}
    assert where >= {"copy.db", "upload.db", "apart.db", "apart.server.db"}


@pytest.mark.skipif(sys.platform != "linux", reason="open files are looked for in /proc")
def test_of_an_encrypted_pool_nothing_can_be_stolen(tmp_path: Path) -> None:
    pytest.importorskip("sqlcipher3")
    key = PoolKey.new()
    folder = tmp_path / "served"
    folder.mkdir()
    (tmp_path / "rehearsal").mkdir()
    thief = stolen_from(tmp_path, EncryptedFile(folder / "pool.db", key), folder)
    assert thief.found == {}
    read = {Path(file).name for file in thief.files}
    assert read >= {"pool.db", "pool.db-wal", "pool.server.db", "pool.server.db-wal", "copy.db"}
    assert read >= {"apart.db", "apart.db-wal", "apart.server.db", "apart.server.db-wal"}
    assert not any(name.endswith((".secrets", ".index")) for name in read)
    assert not any(file.read_bytes().startswith(b"SQLite format 3") for file in folder.rglob("*.db"))
