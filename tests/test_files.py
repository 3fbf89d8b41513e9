import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from facepool.errors import (
    ConfigError,
    DiskFull,
    NotWritable,
    OutOfMemory,
    PoolLocked,
    StorageError,
    SystemLimit,
    TooManyOpenFiles,
)
from facepool.files import (
    PrivateFolder,
    appearing,
    digest_of,
    exists,
    in_a_home,
    locks_work,
    only_writer,
    safe_stem,
    storage_errors,
    sweep,
    sweep_folders,
    users_folder,
    write_whole,
)
from facepool.models.store import only_writer_of

HOLDER = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""

FOLDER = """
import sys
from pathlib import Path
from facepool.files import PrivateFolder
with PrivateFolder(Path(sys.argv[1])) as folder:
    (folder / "pool.db").touch()
    print(folder, flush=True)
    sys.stdin.readline()
"""


def broken_disk(*_: object) -> int:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EFBIG, DiskFull),
        (errno.EACCES, NotWritable),
        (errno.EROFS, NotWritable),
        (errno.ENOENT, NotWritable),
        (errno.EIO, StorageError),
    ],
)
def test_what_the_disk_says_is_told_in_our_words(number: int, kind: type[StorageError], tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="out cannot be written") as caught, storage_errors(tmp_path / "out"):
        raise OSError(number, "raw")
    assert type(caught.value) is kind


def test_a_name_that_is_too_long_is_called_that(tmp_path: Path) -> None:
    with pytest.raises(NotWritable, match=r"name is longer than the file system takes\. Choose"):
        write_whole(tmp_path / ("a" * 300), b"")


@pytest.mark.parametrize("name", ["a" * 251 + ".mp4", "人" * 83 + ".mp4", "a" * 20 + "." + "b" * 230])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    write_whole(tmp_path / name, b"content")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"content"


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("party", "party"),
        ("größe 人", "größe 人"),
        ("a/b:c?d", "a_b_c_d"),
        (" . ", "unnamed"),
        ("", "unnamed"),
        ("con", "con_"),
        ("Com1.front", "Com1_.front"),
        ("falcon", "falcon"),
        ("console", "console"),
    ],
)
def test_what_has_a_name_of_its_own_gets_one_for_a_file(text: str, stem: str) -> None:
    assert safe_stem(text, "unnamed") == stem


def test_long_names_of_files_are_cut_and_stay_different() -> None:
    stems = {safe_stem("人" * 100 + str(number), "unnamed") for number in range(20)}
    assert len(stems) == 20
    assert all(stem.startswith("人" * 15) and len(stem.encode()) < 80 for stem in stems)


def test_a_file_appears_whole_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    for content in (b"first", b"second"):
        write_whole(path, content, 0o600)
        assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert exists(path)
    assert digest_of(path) == "16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4"
    if os.name != "nt":
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_changes_nothing_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"before")
    monkeypatch.setattr(os, "fsync", broken_disk)
    with pytest.raises(StorageError, match="Input/output error"):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_an_error_interrupts_does_not_appear(tmp_path: Path) -> None:
    def write_half(unfinished: Path) -> None:
        assert unfinished.suffix == ".mp4"
        unfinished.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), appearing(tmp_path / "video.mp4") as unfinished:
        write_half(unfinished)
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_left_unfinished_is_swept(tmp_path: Path) -> None:
    for name in (".unfinished-1-model.onnx", "model.onnx", ".lock"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "model.onnx"]


def test_unfinished_files_that_others_may_still_write_to_stay(tmp_path: Path) -> None:
    old, new = tmp_path / ".unfinished-1-old.db", tmp_path / ".unfinished-2-new.db"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    sweep(tmp_path, 3600)
    assert list(tmp_path.iterdir()) == [new]


def test_a_private_folder_goes_with_its_block_or_with_its_process(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", FOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    theirs = Path(other.stdout.readline().strip())
    with PrivateFolder(tmp_path) as own:
        (own / "pool.db").touch()
        if sys.platform != "win32":
            assert stat.S_IMODE(own.stat().st_mode) == 0o700
        sweep_folders(tmp_path)
        sweep(tmp_path)
        assert (own / "pool.db").exists()
        assert (theirs / "pool.db").exists(), "another process uses it"
        other.kill()
        other.communicate()
        sweep_folders(tmp_path)
        assert list(tmp_path.iterdir()) == [own]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nobody keeps root out")
def test_a_private_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(NotWritable):
        PrivateFolder(tmp_path)


def test_another_process_is_waited_for_and_then_named_until_it_dies(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(PoolLocked, match="busy"), only_writer(lock, 0.05, PoolLocked("It is busy")):
        pass
    with pytest.raises(NotWritable, match="another process"), only_writer_of(tmp_path, 0.05):
        pass
    other.kill()
    other.communicate()
    with only_writer(lock, 5, PoolLocked("It is busy")):
        pass


def test_an_error_inside_lets_go_of_the_lock(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), only_writer(tmp_path / ".lock", 0, PoolLocked("It is busy")):
        raise FileExistsError  # not one of the lock's own: it passes as it is
    with only_writer(tmp_path / ".lock", 0, PoolLocked("It is busy")):
        pass


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EMFILE, TooManyOpenFiles), (errno.ENFILE, TooManyOpenFiles), (errno.ENOMEM, OutOfMemory)],
)
def test_a_limit_of_the_system_is_no_fault_of_the_disk(number: int, kind: type[SystemLimit], tmp_path: Path) -> None:
    with pytest.raises(SystemLimit) as caught, storage_errors(tmp_path / "out"):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind
    assert "disk" not in str(caught.value)


def lock_nothing(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_a_file_system_without_locks_is_told_from_a_busy_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locks_work(tmp_path)
    monkeypatch.setattr("fcntl.lockf", lock_nothing)
    assert not locks_work(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_a_lock_that_the_file_system_cannot_give_is_not_called_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", lock_nothing)
    with (
        pytest.raises(StorageError, match="without file locks"),
        only_writer(tmp_path / "lock", 0.1, PoolLocked("somebody else writes")),
    ):
        pass


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id that the system does not know, as services and containers have them."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems find homes in another way")
@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_is_told_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no home folder.*Set HOME .*or FACEPOOL_POOL"):
        in_a_home(users_folder("data") / "pool.db", "FACEPOOL_POOL")
    assert in_a_home(tmp_path, "FACEPOOL_POOL") == tmp_path
