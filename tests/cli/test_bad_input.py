"""Bad input: one clear line, the documented exit code, no traceback, and nothing lost."""

import http.server
import os
import resource
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from facepool.capture import VideoSource, write_image
from support.commands import Commands, film, nobody, pan
from support.permissions import like_any_user
from support.ports import free_port

pytestmark = pytest.mark.skipif(os.name == "nt", reason="limits, users and signals of POSIX")

IDS = np.array(["Ada", "Ada", "Bob"])


@pytest.fixture
def photo(photos: Path) -> Path:
    return photos / "person_a_2.jpg"


# Sources


def test_no_camera(crowd: Commands) -> None:
    outcome = crowd("recognize", "-s", "63", "--headless")
    assert outcome.code == 3
    assert "[camera_unavailable] Camera 63 cannot be used" in outcome.error
    assert "name another --source" in outcome.error


def test_a_stream_that_never_opens(crowd: Commands) -> None:
    url = f"http://user:secret@127.0.0.1:{free_port()}/stream"
    outcome = crowd("recognize", "-s", url, "--headless")
    assert outcome.code == 3
    assert "[stream_unavailable]" in outcome.error
    assert "Check the address" in outcome.error
    assert "secret" not in outcome.err


@contextmanager
def serving(content: bytes, promised: int) -> Iterator[str]:
    """A web server that promises more bytes than it sends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/x-matroska")
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Quietly."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/film.mkv"
        finally:
            server.shutdown()


def test_a_stream_that_dies_in_the_middle_keeps_what_it_gave(facepool: Commands, photos: Path, tmp_path: Path) -> None:
    frames = [*pan(photos / "person_a_2.jpg", 10), *pan(photos / "person_a_1.jpg", 10)] * 3
    whole = film(tmp_path / "ada.mkv", frames).read_bytes()
    with serving(whole[: len(whole) // 2], len(whole)) as url:
        outcome = facepool("register", "Ada", "-s", url, "--headless", "--partial")
    assert outcome.code == 3
    assert "[stream_lost]" in outcome.error
    assert facepool.people().keys() == {"Ada"}


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [
        ("a.mp4", 0, "it is empty"),
        ("a.mp4", 5000, "cut off before its index"),
        ("a.mkv", 200, "cut off near its start"),
    ],
)
def test_a_video_that_is_empty_or_truncated(
    crowd: Commands, photo: Path, tmp_path: Path, name: str, size: int, why: str
) -> None:
    path = film(tmp_path / name, pan(photo, 12))
    path.write_bytes(path.read_bytes()[:size])
    outcome = crowd("recognize", path, "--headless")
    assert outcome.code == 3
    assert "[video_unreadable]" in outcome.error
    assert why in outcome.error


def test_a_video_that_breaks_off_keeps_what_was_recognized(crowd: Commands, photo: Path, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", pan(photo, 15) * 4)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    outcome = crowd("recognize", path, "--headless", "-o", tmp_path / "named.mp4", "--json")
    assert outcome.code == 3
    assert "breaks off after" in outcome.err
    with VideoSource(tmp_path / "named.mp4") as recording:
        faces = [record for record in outcome.records if record["event"] is None]
        assert len(list(recording)) == len(faces) > 5
    assert outcome.records[-1]["event"] == "lost"


@pytest.mark.parametrize("as_folder", [True, False])
def test_an_undecodable_picture_among_good_ones_is_left_out_and_reported(
    crowd: Commands, photo: Path, tmp_path: Path, *, as_folder: bool
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("1.jpg", "3.jpg"):
        shutil.copy(photo, pictures / name)
    (pictures / "2.jpg").write_bytes(photo.read_bytes()[:400])
    outcome = crowd("recognize", *([pictures] if as_folder else sorted(pictures.iterdir())), "--json")
    assert outcome.code == 3
    assert [record["person"] for record in outcome.records] == ["Ada", "Ada"]
    reported = [line for line in outcome.err.splitlines() if "2.jpg" in line and line.startswith("Left out")]
    assert len(reported) == 1


def test_only_undecodable_pictures(crowd: Commands, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    outcome = crowd("recognize", tmp_path / "a.jpg")
    assert outcome.code == 3
    assert "[image_unreadable]" in outcome.error
    assert outcome.err.count("a.jpg cannot be read") == 1


@pytest.mark.parametrize("command", [("register", "Ada"), ("verify", "wall.png")])
def test_no_face(facepool: Commands, tmp_path: Path, command: tuple[str, ...]) -> None:
    write_image(tmp_path / "wall.png", nobody(1)[0])
    outcome = facepool(*command, "wall.png")
    assert outcome.code == 3
    assert "[no_face]" in outcome.error
    assert facepool.people() == {}


def test_a_path_that_does_not_exist(facepool: Commands) -> None:
    outcome = facepool("register", "Ada", "nonesuch.jpg")
    assert outcome.code == 3
    assert "[path_missing] There is no file or folder nonesuch.jpg" in outcome.error
    assert not facepool.pool.exists()


# Pools


def unit_rows(dimension: int = 128) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.eye(3, dimension, dtype=np.float32)


BAD_PAIRS = {
    "96 and 128 numbers cannot be compared": ("space_mismatch", unit_rows(96), IDS),
    "they have 3 vectors and 2 names": ("pool_corrupt", unit_rows(), IDS[:2]),
    "it holds pickled objects": ("pool_corrupt", np.array([{"a": 1}], dtype=object), IDS),
    "it has NaN or infinite values": ("embedding_invalid", unit_rows() * np.float32(np.nan), IDS),
    "not float32 of shape": ("pool_corrupt", unit_rows()[0], IDS),
}


@pytest.mark.parametrize("why", BAD_PAIRS)
def test_a_pair_of_npy_files_that_cannot_be_used(facepool: Commands, photo: Path, tmp_path: Path, why: str) -> None:
    code, vectors, ids = BAD_PAIRS[why]
    np.save(tmp_path / "model_faces.npy", vectors, allow_pickle=True)
    np.save(tmp_path / "model_face_ids.npy", ids)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.npy")}
    outcome = facepool("register", "Eve", photo, "-p", "model_faces.npy")
    assert outcome.code == 4
    assert f"[{code}]" in outcome.error
    assert why in outcome.error
    assert {path: path.read_bytes() for path in tmp_path.glob("*.npy")} == before


def test_a_pool_that_is_no_pool(facepool: Commands, photo: Path) -> None:
    facepool.pool.write_bytes(photo.read_bytes())
    outcome = facepool("register", "Ada", photo)
    assert outcome.code == 4
    assert "[pool_corrupt]" in outcome.error
    assert "Name another file" in outcome.error
    assert facepool.pool.read_bytes() == photo.read_bytes()


def test_a_pool_of_a_newer_version(facepool: Commands, crowd: Commands) -> None:
    facepool.take_pool_of(crowd)
    with closing(sqlite3.connect(facepool.pool)) as db:
        db.execute("PRAGMA user_version = 99")
    outcome = facepool("people", "list")
    assert outcome.code == 4
    assert "[pool_too_new]" in outcome.error
    assert "Update facepool" in outcome.error


def test_a_pool_that_another_process_keeps_locked(facepool: Commands, crowd: Commands, photos: Path) -> None:
    facepool.take_pool_of(crowd)
    with closing(sqlite3.connect(facepool.pool, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        outcome = facepool("register", "Eve", photos / "impostor_1.jpg")
        other.execute("ROLLBACK")
    assert outcome.code == 4
    assert "[pool_locked]" in outcome.error
    assert "another process is writing to it" in outcome.error
    assert facepool.people() == {"Ada": 1, "Bob": 1}


def test_a_full_disk_while_registering(facepool: Commands, crowd: Commands, photos: Path) -> None:
    facepool.take_pool_of(crowd)
    outcome = facepool.python(
        *("-m", "facepool", "register", "Eve", photos / "impostor_1.jpg"), preexec=files_of_at_most(4096)
    )
    assert outcome.code == 7
    assert "[disk_full]" in outcome.error
    assert facepool.people() == {"Ada": 1, "Bob": 1}


def files_of_at_most(size: int) -> Callable[[], None]:
    """What makes a process see a full disk: it may write no file of more bytes."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.parametrize("command", ["register", "recognize"])
def test_no_write_permission(facepool: Commands, crowd: Commands, photo: Path, tmp_path: Path, command: str) -> None:
    facepool.take_pool_of(crowd)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    where: dict[str, list[str | Path]] = {
        "register": ["-p", closed / "new" / "pool.db", "Ada"],
        "recognize": ["-o", closed / "new"],
    }
    outcome = facepool.python("-m", "facepool", command, *where[command], photo, preexec=like_any_user)
    assert outcome.code == 7
    assert "[not_writable]" in outcome.error
    assert "Permission denied" in outcome.error


# Models


@pytest.fixture(scope="module")
def carried(crowd: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that serves machines without a network."""
    folder = tmp_path_factory.mktemp("carried")
    assert crowd("models", "pull", "sface", "--offline-dir", folder).code == 0
    return folder


@pytest.fixture
def store(facepool: Commands, carried: Path, tmp_path: Path) -> Path:
    """An empty store, filled from that folder."""
    folder = tmp_path / "store"
    facepool.env |= {"FACEPOOL_MODELS_DIR": str(folder), "FACEPOOL_OFFLINE_DIR": str(carried)}
    return folder


PULL = ("models", "pull", "sface")


def test_a_full_disk_while_pulling_a_model(facepool: Commands, store: Path) -> None:
    outcome = facepool.python("-m", "facepool", *PULL, preexec=files_of_at_most(1_000_000))
    assert outcome.code == 7
    assert "[disk_full]" in outcome.error
    assert not list(store.rglob("*.onnx"))


def test_a_killed_pull_is_taken_up_again(facepool: Commands, store: Path) -> None:
    process = facepool.start("-m", "facepool", *PULL)
    while not list(store.rglob("*.onnx")) and process.poll() is None:
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert facepool(*PULL).code == 0
    verdict = facepool("models", "verify")
    assert (verdict.code, verdict.out) == (0, "sface: good\nsface-single: good\n")  # one file serves both
    assert not list(store.rglob(".unfinished-*"))


def test_a_corrupt_model_is_noticed_and_fetched_again(facepool: Commands, store: Path) -> None:
    assert facepool(*PULL).code == 0
    for path in (*(store / "originals").iterdir(), *(store / "prepared").glob("*.onnx")):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    damaged = facepool("models", "verify")
    assert damaged.code == 5
    assert "sha256" in damaged.out
    again = facepool(*PULL)
    assert again.code == 0
    assert "was damaged on the disk" in again.err
    assert facepool("models", "verify").code == 0


# Machine and settings


def test_a_gpu_that_is_not_there(crowd: Commands, photo: Path) -> None:
    outcome = crowd("recognize", photo, "--device", "cuda:7")
    assert outcome.code == 6
    assert "cuda:7 cannot be used" in outcome.error
    assert "--device cpu" in outcome.error


def test_no_display(crowd: Commands, photo: Path, tmp_path: Path) -> None:
    outcome = crowd("recognize", film(tmp_path / "a.mp4", pan(photo, 2)))
    assert outcome.code == 6
    assert "[display_unavailable]" in outcome.error
    assert "--headless" in outcome.error


def test_a_misspelt_setting(crowd: Commands, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("treshold = 0.4\n")
    outcome = crowd("recognize", photo, "--config", tmp_path / "s.toml")
    assert outcome.code == 2
    assert "There is no setting 'treshold'" in outcome.error
    assert "Perhaps 'threshold' is meant" in outcome.error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("recogniz",), "No such command 'recogniz'"),
        (("recognize", "--nope"), "See python -m facepool recognize --help"),
        (("recognize", "-t", "much"), "'much' is not a valid float"),
        (("recognize", "a.jpg", "-t", "3"), "The setting 'threshold' cannot be 3.0"),
        (("recognize", "--device", "gpu"), "There is no device 'gpu'"),
        (("people", "list", "-p", "pool.txt"), "pool.txt cannot be a pool"),
        (("register",), "Say who it is"),
    ],
)
def test_wrong_usage(crowd: Commands, words: tuple[str, ...], message: str) -> None:
    outcome = crowd(*words)
    assert outcome.code == 2
    assert message in outcome.error


def test_errors_are_objects_for_programs(crowd: Commands) -> None:
    outcome = crowd("people", "show", "Adda", "--json")
    assert outcome.code == 4
    assert outcome.out == ""
    assert '{"error": "person_unknown", "message": "The pool has nobody called' in outcome.err


def test_a_reader_may_stop_reading(crowd: Commands) -> None:
    process = crowd.start("-m", "facepool", "models", "list")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)


# What the system gives a process


def test_too_many_open_files_are_what_they_are(crowd: Commands, photo: Path) -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6))

    outcome = crowd.python("-m", "facepool", "recognize", photo, preexec=few_files)
    assert outcome.code == 8
    assert "[too_many_open_files]" in outcome.error
    assert "ulimit -n" in outcome.error


WITHOUT_A_HOME = """
import pwd, sys

def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = unknown
from facepool.cli.main import main
main()
"""


def test_a_user_without_a_home_needs_places_and_nothing_else(facepool: Commands, crowd: Commands, photo: Path) -> None:
    facepool.take_pool_of(crowd)
    environment = {name: value for name, value in facepool.env.items() if name not in {"HOME", "FACEPOOL_POOL"}}
    facepool.env = {name: value for name, value in environment.items() if not name.startswith("XDG_")}
    refused = facepool.python("-c", WITHOUT_A_HOME, "recognize", photo)
    assert refused.code == 2
    assert "no home folder" in refused.error
    assert "FACEPOOL_POOL" in refused.error
    outcome = facepool.python("-c", WITHOUT_A_HOME, "recognize", photo, "--pool", facepool.pool, "--json")
    assert outcome.code == 0
    assert [record["person"] for record in outcome.records] == ["Ada"]
