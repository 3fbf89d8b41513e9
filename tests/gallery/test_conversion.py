"""Pools are encrypted, decrypted and given other keys as a whole or not at all, whoever is killed meanwhile."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from facepool.errors import (
    ConfigError,
    ConversionUnfinished,
    KeyNeeded,
    NotWritable,
    PoolCorrupt,
    PoolLocked,
    PoolNotEncrypted,
    WrongKey,
)
from facepool.gallery import PoolKey, open_pool
from facepool.gallery.address import FileAddress, keyed, path_of
from facepool.gallery.backup import back_up, opened_backup, restore
from facepool.gallery.collections import create_collection
from facepool.gallery.connection import journal_of
from facepool.gallery.conversion import convert, files_of, finish, is_unfinished
from facepool.gallery.driver import connect
from facepool.gallery.keys import is_plain
from facepool.gallery.notices import logs_beside
from facepool.gallery.schema import copy_of, damaged_of, kept_before_restoring
from facepool.gallery.sql import SqlGallery
from support.paths import TESTS
from support.pools import KEY, samples, space, unit

OTHER = PoolKey(bytes(32))


def whole_pool(folder: Path, key: PoolKey | None = None) -> FileAddress:
    """A pool with all that may lie beside one."""
    address = keyed(folder / "pool.db", key)
    with open_pool(address, space()) as pool:
        pool.register("Ada", samples(1, 2), space())
        assert isinstance(pool, SqlGallery)
        back_up(pool, keyed(kept_before_restoring(folder / "pool.db"), key))
        back_up(pool, keyed(copy_of(folder / "pool.db", 4), key))
    create_collection(address, "staff")
    with open_pool(address, space(), collection="staff") as staff:
        staff.register("Bob", samples(3), space())
    with closing(connect(logs_beside(address), key)) as store:
        store.execute("CREATE TABLE server_audit (person TEXT)")
        store.execute("INSERT INTO server_audit VALUES ('Ada')")
    (folder / "pool.db.index").write_bytes(b"Ada")
    return address


def people(address: FileAddress, collection: str = "default") -> list[str]:
    with open_pool(address, collection=collection, must_exist=True) as pool:
        return [person.name for person in pool.people()]


def check_whole(folder: Path, key: PoolKey | None) -> None:
    """Everything is there, opens with the key, and nothing is left beside it."""
    address = keyed(folder / "pool.db", key)
    assert (people(address), people(address, "staff")) == (["Ada"], ["Bob"])
    for copy in (kept_before_restoring(path_of(address)), copy_of(path_of(address), 4)):
        assert people(keyed(copy.rename(folder / "copy.db"), key)) == ["Ada"]
        (folder / "copy.db").rename(copy)
    with closing(connect(logs_beside(address), key)) as store:
        assert store.execute("SELECT person FROM server_audit").fetchall() == [("Ada",)]
    assert len(files_of(address)) == 5
    assert {is_plain(file) for file in files_of(address)} == {key is None}
    left = {file.name for file in folder.rglob("*") if file.is_file()} - {file.name for file in files_of(address)}
    assert left <= {"pool.db.conversion.lock", "pool.db.index", "pool.db.index.lock"}


def test_a_whole_pool_is_encrypted_gets_another_key_and_is_decrypted(tmp_path: Path) -> None:
    address = whole_pool(tmp_path)
    assert convert(address, KEY) == 5
    check_whole(tmp_path, KEY)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or all(known not in file.read_bytes() for known in (b"Ada", unit(1).tobytes()))
    assert convert(keyed(path_of(address), KEY), OTHER) == 5
    check_whole(tmp_path, OTHER)
    with pytest.raises(WrongKey):
        people(keyed(path_of(address), KEY))
    assert convert(keyed(path_of(address), OTHER), None) == 5
    check_whole(tmp_path, None)


def test_a_pool_that_somebody_has_open_stays_as_it_is(tmp_path: Path) -> None:
    address = whole_pool(tmp_path)
    with closing(connect(logs_beside(address))) as store:
        store.execute("PRAGMA journal_mode = WAL")
        store.execute("SELECT * FROM server_audit").fetchall()
        with pytest.raises(PoolLocked, match=r"pool\.server\.db cannot be converted"):
            convert(address, KEY)
    with open_pool(address, collection="staff") as pool:
        pool.people()
        with pytest.raises(PoolLocked, match=r"staff\.db cannot be converted"):
            convert(address, KEY)
    check_whole(tmp_path, None)


@pytest.mark.skipif(sys.platform == "win32", reason="other permissions")
def test_the_lock_is_for_whoever_owns_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pool.db"
    with open_pool(path, space()) as pool:
        pool.register("Ada", samples(1, 2), space())
    path.chmod(0o640)
    convert(path, KEY)
    lock = tmp_path / "pool.db.conversion.lock"
    assert [file.stat().st_mode & 0o777 for file in (path, lock)] == [0o640, 0o640]
    monkeypatch.setattr("facepool.gallery.conversion.may_write", lambda _path: False)
    with pytest.raises(NotWritable, match="may not be written"):
        convert(keyed(path, KEY), None)
    path.chmod(0o400)  # may_write says no, and the lock is there for another time
    with pytest.raises(NotWritable):
        convert(keyed(path, KEY), None)
    assert lock.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_converted_leaves_all_as_it_is(tmp_path: Path) -> None:
    address = whole_pool(tmp_path)
    damaged_of(path_of(address)).write_bytes(b"nobody reads this")
    with pytest.raises(ConfigError, match="damaged"):
        convert(address, KEY)
    damaged_of(path_of(address)).unlink()
    store = logs_beside(address)
    whole = store.read_bytes()
    store.write_bytes(whole[:5000])
    with pytest.raises(PoolCorrupt):
        convert(address, KEY)
    store.write_bytes(whole)

    def interrupt(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(address, KEY, report=interrupt)
    check_whole(tmp_path, None)


@pytest.mark.skipif(sys.platform == "win32", reason="links take a privilege there")
def test_what_lies_beside_a_link_to_a_pool_goes_along(tmp_path: Path) -> None:
    disk, home = tmp_path / "disk", tmp_path / "home"
    disk.mkdir()
    home.mkdir()
    address = whole_pool(home)
    for copy in home.glob("pool.db.*"):
        copy.rename(disk / copy.name.replace("pool", "people"))
    links = {"pool.db": "people.db", "pool.server.db": "log.db", "pool.collections": "others"}
    for name, target in links.items():
        (home / name).rename(disk / target)
        (home / name).symlink_to(disk / target)
    convert(address, KEY)
    link = keyed(path_of(address), KEY)
    assert (people(link), people(link, "staff")) == (["Ada"], ["Bob"])
    assert not any(is_plain(file) for file in tmp_path.rglob("*"))
    assert all((home / name).is_symlink() for name in links)
    (disk / "people.db.conversion").write_text("{}")
    for collection in ("default", "staff"):
        with pytest.raises(ConversionUnfinished):
            people(link, collection)


@pytest.mark.parametrize("content", ["", "[]", '{"files": [1], "in_keyring": false}'])
def test_a_damaged_record_of_a_conversion_is_no_guess(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pool.db"
    journal_of(path).write_text(content)
    with pytest.raises(PoolCorrupt, match="conversion is damaged"):
        finish(path)
    assert journal_of(path).exists()


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from facepool.gallery import conversion
from facepool.gallery.keys import PoolKey
from facepool.gallery.address import keyed

folder, before, after = Path(sys.argv[1]), *(PoolKey(bytes.fromhex(text)) if text else None for text in sys.argv[2:4])
import shutil

def killed_at(step):
    calls = 0
    def counting(function):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == step:
                os._exit(9)
            return function(*arguments, **options)
        return call
    Path.replace, Path.unlink = counting(Path.replace), counting(Path.unlink)
    os.link, os.fsync = counting(os.link), counting(lambda _descriptor: None)
    for name in ("copy_database", "write_new", "write_whole", "delete_image", "_counts"):
        setattr(conversion, name, counting(getattr(conversion, name)))

step = 1
while True:
    place = folder / str(step)
    shutil.copytree(folder / "whole", place)
    child = os.fork()
    if not child:
        killed_at(step)
        conversion.convert(keyed(place / "pool.db", before), after)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        break
    assert code == 9, code
    step += int(sys.argv[4])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it forks")
@pytest.mark.parametrize(
    ("before", "after", "stride"),
    [(None, KEY, 5), (KEY, None, 9), (KEY, OTHER, 9)],  # every step was tried once
    ids=["encrypt", "decrypt", "rekey"],
)
def test_whoever_is_killed_leaves_the_pool_of_before_or_of_after(
    tmp_path: Path, before: PoolKey | None, after: PoolKey | None, stride: int
) -> None:
    (tmp_path / "whole").mkdir()
    with open_pool(keyed(tmp_path / "whole" / "pool.db", before), space()) as pool:
        pool.register("Ada", samples(1, 2), space())
        create_collection(pool.address, "staff")
    script = KILLED.format(tests=str(TESTS))
    texts = ["" if key is None else key.text for key in (before, after)]
    subprocess.run([sys.executable, "-c", script, str(tmp_path), *texts, str(stride)], check=True, timeout=120)
    steps = sorted(int(folder.name) for folder in tmp_path.iterdir() if folder.name.isdigit())
    assert len(steps) > 5
    seen = []
    for step in steps:
        path = tmp_path / str(step) / "pool.db"
        if journal_of(path).exists():
            with pytest.raises(ConversionUnfinished):
                open_pool(keyed(path, after), collection="staff", must_exist=True)
        if is_unfinished(path):
            finish(path)
            finish(path)
        seen.append("after" if _opens(path, after) else "before")
        for collection, names in (("default", ["Ada"]), ("staff", [])):
            assert people(keyed(path, after if seen[-1] == "after" else before), collection) == names
        if step == 7:
            assert convert(keyed(path, before), after) == 2, "the same command again does all of it"
        assert not is_unfinished(path)
        left = {file.name for file in path.parent.rglob("*") if file.is_file() and ".unfinished-" not in file.name}
        assert left - {"pool.db.conversion.lock"} == {"pool.db", "staff.db"}
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {"before", "after"}


def _opens(path: Path, key: PoolKey | None) -> bool:
    try:
        return bool(people(keyed(path, key)))
    except (KeyNeeded, WrongKey, PoolNotEncrypted):
        return False


def test_backups_keep_the_key_and_are_restored_across_keys(tmp_path: Path) -> None:
    for folder in ("one", "other", "plain"):
        (tmp_path / folder).mkdir()
    places = {"one": KEY, "other": OTHER, "plain": None}
    backups = {}
    for name, key in places.items():
        address = keyed(tmp_path / name / "pool.db", key)
        with open_pool(address, space()) as pool:
            pool.register(name, samples(1), space())
            assert isinstance(pool, SqlGallery)
            backups[name] = keyed(tmp_path / f"{name}.db", key)
            back_up(pool, backups[name])
        assert is_plain(tmp_path / f"{name}.db") == (key is None)
    for name, key in places.items():
        for backup in backups.values():
            with open_pool(keyed(tmp_path / name / "pool.db", key)) as pool:
                assert isinstance(pool, SqlGallery)
                with opened_backup(backup, tmp_path / name, secret=key is not None) as opened:
                    left = list((tmp_path / name).rglob("copy.db*"))
                    assert not left or os.name == "nt"
                    restore(pool, opened)
                assert [person.name for person in pool.people()] == [path_of(backup).stem]
    with pytest.raises(KeyNeeded), opened_backup(path_of(backups["one"]), tmp_path):
        pass
    with pytest.raises(WrongKey), opened_backup(keyed(path_of(backups["one"]), OTHER), tmp_path):
        pass
