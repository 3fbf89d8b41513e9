"""Encrypted pools: nobody reads them without their key, and nobody is left in the dark about why."""

import os
import pickle
import sys
from pathlib import Path

import pytest

from facepool.errors import ConfigError, KeyNeeded, KeyUnusable, PoolCorrupt, PoolNotEncrypted, StorageError, WrongKey
from facepool.gallery import EncryptedFile, PoolKey, SqliteGallery, open_pool
from facepool.gallery.address import beside, file_of, key_of
from facepool.gallery.collections import collection_address, collections_in, create_collection, remove_collection
from facepool.gallery.connection import log_of
from facepool.gallery.image import image_of
from facepool.gallery.keys import find_key, looks_encrypted, read_key_file, write_key_file
from facepool.gallery.pages import decrypted
from facepool.groups.shelf import FILE_NAME, Shelf
from support.pools import KEY, samples, space, unit

OTHER = PoolKey(bytes(32))


def registered(path: Path, key: PoolKey | None = KEY) -> Path:
    with open_pool(path, space(), key=key) as pool:
        pool.register("Ada", samples(1, 2), space())
    return path


def test_nothing_of_anybody_is_in_the_file_or_its_log(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    with open_pool(path, space(), key=KEY) as pool:
        pool.register("Ada Lovelace", samples(1), space())
        left = [file.read_bytes() for file in tmp_path.iterdir()]
        assert log_of(path).exists()
    left.append(path.read_bytes())
    for content in left:
        for known in (
            b"Ada Lovelace",
            unit(1).tobytes(),
            b"1.jpg",
            b"SQLite format",
            b"CREATE TABLE",
            bytes(range(32)),
        ):
            assert known not in content


def test_a_wrong_key_no_key_and_a_needless_key_are_told_apart(tmp_path: Path) -> None:
    path, plain = registered(tmp_path / "pool.db"), registered(tmp_path / "plain.db", None)
    with pytest.raises(WrongKey, match=OTHER.fingerprint):
        open_pool(path, key=OTHER)
    with pytest.raises(KeyNeeded, match="--key-file"):
        open_pool(path)
    with pytest.raises(PoolNotEncrypted):
        open_pool(plain, key=KEY)
    plain.write_text("no pool at all " * 500)
    with pytest.raises(PoolCorrupt):
        open_pool(plain)


def test_a_process_that_has_a_pool_open_keeps_its_locks_when_the_key_is_forgotten(tmp_path: Path) -> None:
    path, plain = registered(tmp_path / "pool.db"), registered(tmp_path / "plain.db", None)
    with open_pool(path, key=KEY) as pool, open_pool(plain) as other:
        assert (len(pool.people()), len(other.people())) == (1, 1)
        with pytest.raises(KeyNeeded):
            open_pool(path)
        with pytest.raises(PoolNotEncrypted):
            open_pool(plain, key=KEY)


def test_a_damaged_page_is_no_wrong_key(tmp_path: Path) -> None:
    path = registered(tmp_path / "pool.db")
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(PoolCorrupt), open_pool(path, key=KEY) as pool:
        pool.people()


def test_pages_are_read_with_what_sqlite_has_left_in_them(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    address = EncryptedFile(path, KEY)
    with open_pool(address, space()) as pool:
        pool.register("Ada Lovelace", samples(1), space())
        assert log_of(path).stat().st_size
        assert any(b"Ada Lovelace" in page for page in decrypted(address)), "in the log"
    assert any(unit(1).tobytes() in page for page in decrypted(address))
    with open_pool(address) as pool:
        pool.remove("Ada Lovelace")
    assert not any(b"Ada Lovelace" in page or unit(1).tobytes() in page for page in decrypted(address))
    assert not any(b"CREATE TABLE" in page for page in decrypted(EncryptedFile(path, OTHER)))


def test_a_log_of_another_time_is_refused_before_it_is_merged(tmp_path: Path) -> None:
    path, copy = registered(tmp_path / "pool.db"), tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    with open_pool(path, key=KEY) as pool:
        for name in ("Bob", "Cleo", "Dan"):
            pool.create(name)
        open_pool(path, key=KEY).close()  # its own log is taken
        left = log_of(path).read_bytes()
    with open_pool(copy, key=KEY) as pool:
        for number in range(9):
            pool.create(f"Person {number}")
    for wrong in (copy, registered(tmp_path / "other.db")):
        log_of(wrong).write_bytes(left)
        before = wrong.read_bytes()
        with pytest.raises(PoolCorrupt, match="belongs to another pool"):
            open_pool(wrong, key=KEY)
        assert wrong.read_bytes() == before


def test_no_image_of_the_index_lies_beside_it(tmp_path: Path) -> None:
    path = registered(tmp_path / "pool.db")
    with SqliteGallery(EncryptedFile(path, KEY)) as pool:
        assert pool.imaged is None
    assert not image_of(path).exists()


def test_what_belongs_to_a_pool_has_its_key(tmp_path: Path) -> None:
    address = EncryptedFile(registered(tmp_path / "pool.db"), KEY)
    staff = create_collection(address, "staff")
    assert (key_of(staff), collections_in(address)) == (KEY, ["default", "staff"])
    with open_pool(address, collection="staff") as pool:
        pool.create("Bob")
    with pytest.raises(KeyNeeded):
        open_pool(tmp_path / "pool.db", collection="staff")
    assert file_of(collection_address(address, "staff")) == tmp_path / "pool.collections" / "staff.db"
    assert beside(address, ".server.db") == tmp_path / "pool.server.db"
    remove_collection(address, "staff")
    assert collections_in(address) == ["default"]


def test_a_pair_of_npy_files_takes_no_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes no key"):
        open_pool(tmp_path / "model_faces.npy", key=KEY)


def test_a_key_shows_nothing_and_goes_to_other_processes() -> None:
    address = EncryptedFile(Path("pool.db"), KEY)
    for shown in (repr(KEY), str(KEY), repr(address), str(address), f"{address}"):
        assert KEY.text[:8] not in shown
        assert "000102" not in shown
    again = pickle.loads(pickle.dumps(address))
    assert (again, again.key, hash(again)) == (address, KEY, hash(address))
    assert OTHER not in (KEY, KEY.text)
    assert PoolKey.new() != PoolKey.new()


def test_a_key_file_is_private_and_says_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "pool.key"
    write_key_file(path, KEY, tmp_path / "pool.db")
    assert read_key_file(path) == KEY
    assert str(tmp_path / "pool.db") in path.read_text()
    with pytest.raises(KeyUnusable, match="there already"):
        write_key_file(path, OTHER, tmp_path / "pool.db")
    assert read_key_file(path) == KEY


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (KEY.text, 0o640, "other users"),
        ("", 0o600, "64 hex digits"),
        (KEY.text[:-1], 0o600, "64 hex digits"),
        (f"{KEY.text}\n{KEY.text}", 0o600, "64 hex digits"),
        ("#" * 10_000, 0o600, "64 hex digits"),
    ],
)
def test_a_key_file_that_cannot_be_trusted_is_refused(tmp_path: Path, content: str, mode: int, why: str) -> None:
    path = tmp_path / "pool.key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(KeyUnusable, match=why) as refusal:
        read_key_file(path)
    assert KEY.text[:16] not in str(refusal.value)


def test_a_key_in_place_of_its_file_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="in place of a file") as refusal:
        read_key_file(tmp_path / KEY.text)
    assert KEY.text[:16] not in str(refusal.value)
    with pytest.raises(KeyUnusable, match="in place of a file"):
        write_key_file(Path(KEY.text), OTHER, tmp_path / "pool.db")


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders there")
def test_a_pipe_is_no_key_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pool.key", 0o600)
    with pytest.raises(KeyUnusable, match="no file"):
        read_key_file(tmp_path / "pool.key")


def test_the_first_place_that_has_a_key_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = registered(tmp_path / "pool.db")
    monkeypatch.delenv("FACEPOOL_KEY", raising=False)
    kept: dict[tuple[str, str], str] = {}
    monkeypatch.setattr("keyring.get_password", lambda service, user: kept.get((service, user)))
    assert find_key(pool) is None
    fourth, third, second, first = (PoolKey(bytes([number]) * 32) for number in range(4))
    monkeypatch.setenv("FACEPOOL_KEY", fourth.text)
    assert (found := find_key(pool)) is not None
    assert found.key == fourth
    kept["facepool", str(pool.resolve())] = third.text
    assert (found := find_key(pool)) is not None
    assert (found.key, found.place) == (third, "the keyring")
    plain = registered(tmp_path / "plain.db", None)
    kept["facepool", str(plain.resolve())] = third.text
    found = find_key(plain)
    assert found is not None
    assert found.key == fourth, "no keyring is asked about a plain pool"
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert (found := find_key(pool)) is not None
    assert found.key == third
    (folder / "facepool-key").write_text(second.text)
    assert (found := find_key(pool)) is not None
    assert found.key == second
    write_key_file(tmp_path / "pool.key", first, pool)
    assert (found := find_key(pool, tmp_path / "pool.key")) is not None
    assert found.key == first
    with pytest.raises(KeyUnusable, match=r"missing\.key"):
        find_key(pool, tmp_path / "missing.key")


def test_what_is_kept_of_a_photo_library_is_encrypted_with_the_key(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with Shelf(path, None, KEY) as shelf:
        shelf.note_written(["/photos/of Ada.xmp"])
    assert b"of Ada" not in path.read_bytes()
    assert looks_encrypted(path)
    with Shelf(path, None, KEY) as shelf:
        assert shelf.written() == {"/photos/of Ada.xmp"}
    for key in (None, OTHER):
        with pytest.raises(StorageError, match="not a database"):
            Shelf(path, None, key)
    with Shelf(path, None, KEY) as shelf:
        shelf.erase()
    assert list(tmp_path.iterdir()) == []
