"""Pools from elsewhere: nothing in a file is taken on trust, whatever it says and however it was damaged."""

import random
import shutil
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from facepool.errors import NotWritable, PathMissing, PoolCorrupt, PoolTooNew, SpaceMismatch
from facepool.gallery import SqliteGallery, open_foreign, open_pool, transfer
from facepool.gallery.foreign import ForeignGallery, is_small_jpeg
from support.hostile_pools import HOSTILE, PICTURE, changed, small_pool
from support.pools import space

FLIPS = 400


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_pool(tmp_path_factory.mktemp("whole") / "pool.db", space())


@pytest.fixture
def sent(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "sent.db"))


def test_a_whole_pool_is_copied_with_everything(sent: Path, tmp_path: Path) -> None:
    before = sent.read_bytes()
    with open_foreign(sent) as other, open_pool(tmp_path / "mine.db") as mine:
        report = transfer(other, mine)
        assert (report.created, report.added) == (("Ada", "Bob"), 2)
        assert mine.look_alikes() == {frozenset(("Ada", "Bob"))}
        assert mine.picture(1) == PICTURE
        with pytest.raises(NotWritable):
            other.create("Eve")
    assert sent.read_bytes() == before
    assert [path.name for path in sent.parent.glob("sent.db*")] == ["sent.db"]


@pytest.mark.parametrize("harm", HOSTILE)
def test_what_is_no_pool_is_refused_in_words_without_a_path(sent: Path, harm: str) -> None:
    HOSTILE[harm](sent)
    began_at_s = time.monotonic()
    with pytest.raises((PoolCorrupt, PoolTooNew)) as error, closing(ForeignGallery(sent, space(), deadline_s=20)):
        pass
    assert time.monotonic() - began_at_s < 15, "it was noticed by the clock only"
    assert error.value.why
    assert str(sent.parent) not in error.value.why + error.value.fix


SCHEMA = [
    harm for harm in HOSTILE if "pages" not in harm and list(HOSTILE).index(harm) < list(HOSTILE).index("no revision")
]


@pytest.mark.parametrize("harm", SCHEMA)
def test_tables_that_are_not_ours_are_refused_wherever_a_pool_is_opened(sent: Path, harm: str) -> None:
    HOSTILE[harm](sent)
    before = sent.read_bytes()
    with pytest.raises((PoolCorrupt, PoolTooNew)):
        SqliteGallery(sent, space()).close()
    assert sent.read_bytes() == before


def test_statistics_of_sqlite_are_no_harm(sent: Path) -> None:
    changed("ANALYZE")(sent)
    with open_pool(sent) as pool, open_foreign(sent) as other:
        assert len(pool.people()) == len(other.people()) == 2


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bytes_are_an_error_of_ours_or_nothing(whole: Path, tmp_path: Path, seed: int) -> None:
    content, chance = whole.read_bytes(), random.Random(seed)
    path, refused = tmp_path / "flipped.db", 0
    for _ in range(FLIPS // 8):
        flipped = bytearray(content)
        for _ in range(chance.choice((1, 1, 4, 64))):
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        try:
            with ForeignGallery(path, deadline_s=20) as other, open_pool(tmp_path / "mine.npy", space()) as mine:
                transfer(other, mine)
        except (PoolCorrupt, PoolTooNew, SpaceMismatch):
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.8])
def test_a_file_that_is_cut_off_is_refused(sent: Path, share: float) -> None:
    content = sent.read_bytes()
    sent.write_bytes(content[: int(len(content) * share)] or b"\0")
    with pytest.raises(PoolCorrupt):
        ForeignGallery(sent)


def test_a_pool_that_takes_too_long_is_given_up(sent: Path) -> None:
    changed(*("INSERT INTO samples (person_id, source, frame) SELECT person_id, source, frame FROM samples",) * 14)(
        sent
    )
    with pytest.raises(PoolCorrupt, match="takes longer than 0 s"):
        ForeignGallery(sent, deadline_s=0)


def test_ctrl_c_ends_reading(sent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(*("INSERT INTO samples (person_id, source, frame) SELECT person_id, source, frame FROM samples",) * 14)(
        sent
    )

    def interrupt(_self: ForeignGallery, db: "object") -> None:
        def stop() -> bool:
            raise KeyboardInterrupt

        db.set_progress_handler(stop, 1000)  # type: ignore[attr-defined]

    monkeypatch.setattr(ForeignGallery, "_watch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ForeignGallery(sent)


def test_a_pool_that_is_in_use_is_read_with_its_log(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    with open_pool(path, space()) as pool:
        pool.create("Ada")
        with open_foreign(path) as other:
            assert [person.name for person in other.people()] == ["Ada"]


def test_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PathMissing):
        open_foreign(tmp_path / "pool.db")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        PICTURE[:20],
        b"\xff\xd8" + b"\xff" * 100,
        b"\xff\xd8\xff\xe0\0\0" * 9,
        PICTURE[2:],
    ],
)
def test_what_is_no_jpeg_is_told_apart(data: bytes) -> None:
    assert is_small_jpeg(PICTURE)
    assert not is_small_jpeg(data)


def test_many_threads_may_open_their_own(sent: Path) -> None:
    found: list[int] = []

    def look() -> None:
        with ForeignGallery(sent) as other:
            found.append(len(other.people()))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 4
