"""Real processes, killed, crowded, out of disk space, without permission: a pool keeps all that it acknowledged."""

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from facepool.gallery import open_pool
from facepool.gallery.address import PoolAddress, PostgresAddress
from facepool.search import Search
from support.paths import TESTS
from support.permissions import like_any_user
from support.pools import BACKENDS, FILES, place, samples, space, unit

WRITER = TESTS / "support" / "pool_writer.py"
TEMPLATES = 3

OLD_POOL = Path(__file__).with_name("pool_of_version_4.sql")
for_every_file = pytest.mark.parametrize("backend", FILES)
for_every_backend = pytest.mark.parametrize("backend", BACKENDS)


def start(pool: PoolAddress, *prefixes: str, count: int) -> list[subprocess.Popen[str]]:
    """One process a prefix; all begin to register at the same time."""
    address = pool.url if isinstance(pool, PostgresAddress) else str(pool)
    processes = [
        subprocess.Popen(
            [sys.executable, WRITER, address, prefix, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(TESTS)},
        )
        for prefix in prefixes
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def people(path: PoolAddress) -> dict[str, int]:
    with open_pool(path, space()) as pool:
        assert len(Search(pool).index()) == len(pool.templates())
        return {person.name: person.templates for person in pool.people()}


@for_every_backend
def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path, backend: str) -> None:
    path = place(tmp_path, backend)
    chance = random.Random(7)
    acknowledged: set[str] = set()
    for round_number in range(4):
        (process,) = start(path, f"round{round_number}", count=100_000)
        said_first = ""
        if round_number % 2:  # killed at work, however slow the machine is; else perhaps before anything was stored
            assert process.stdout is not None
            said_first = process.stdout.readline()
        time.sleep(chance.uniform(0.02, 0.2))
        process.kill()
        said = (said_first + process.communicate()[0]).split("\n")
        acknowledged |= set(said[:-1])  # the last one was cut off, or is empty
        stored = people(path)
        assert acknowledged <= stored.keys()
        assert set(stored.values()) <= {TEMPLATES}
        assert len(stored) - len(acknowledged) <= round_number + 1  # stored, but killed before it could say so
    assert acknowledged


@for_every_backend
def test_two_processes_at_once_lose_nothing_of_each_other(tmp_path: Path, backend: str) -> None:
    path = place(tmp_path, backend)
    for process in start(path, "left", "right", count=30):
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert people(path) == {f"{prefix}-{number}": TEMPLATES for prefix in ("left", "right") for number in range(30)}


def run_limited(script: str, path: Path, preexec: Callable[[], None] | None = None) -> str:
    """Run a script that is to fail with one of our errors; returns its code."""
    done = subprocess.run(
        [sys.executable, "-c", script, path],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        preexec_fn=preexec,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FULL_DISK = """
import resource, sys
from pathlib import Path
from facepool.errors import FacepoolError
from facepool.gallery import open_pool
from facepool.search import Search
from support.pools import samples, space
with open_pool(Path(sys.argv[1]), space()) as pool:
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    try:
        pool.register("Bob", samples(*range(5000)), space())
    except FacepoolError as error:
        print(error.code)
    print(len(pool.people()))
"""


@pytest.mark.skipif(os.name == "nt", reason="no such limit there")
@for_every_file
def test_a_full_disk_is_told_and_leaves_the_pool_as_it_was(tmp_path: Path, backend: str) -> None:
    path = tmp_path / backend
    with open_pool(path, space()) as pool:
        pool.register("Ada", samples(1), space())
    assert run_limited(FULL_DISK, path).split() == ["disk_full", "1"]
    with open_pool(path, space()) as pool:
        assert pool.templates()[0].sample.embedding.tolist() == unit(1).tolist()
        pool.register("Bob", samples(2), space())
    assert people(path) == {"Ada": 1, "Bob": 1}
    assert not list(tmp_path.glob("*.new"))


READ_ONLY = """
import sys
from pathlib import Path
from facepool.errors import FacepoolError
from facepool.gallery import open_pool
from facepool.search import Search
from support.pools import samples, space
with open_pool(Path(sys.argv[1]), space()) as pool:
    print(*Search(pool).index().names, len(pool.templates("Ada")))
    for change in (lambda: pool.register("Bob", samples(2), space()), lambda: pool.remove("Ada")):
        try:
            change()
        except FacepoolError as error:
            print(error.code)
    print(*Search(pool).index().names)
    print("ready", flush=True)
    sys.stdin.readline()
    print(*Search(pool).index().names, end="")
"""


@pytest.mark.skipif(os.name == "nt", reason="permissions work otherwise there")
@pytest.mark.parametrize("writer_is_open", [False, True])
@for_every_file
def test_a_pool_that_may_only_be_read_names_people_and_follows_its_owner(
    tmp_path: Path, backend: str, *, writer_is_open: bool
) -> None:
    path = tmp_path / backend
    owner = open_pool(path, space())
    owner.register("Ada", samples(1), space())
    if not writer_is_open:
        owner.close()
    let_write(tmp_path, allowed=False)
    before = sorted(file.name for file in tmp_path.iterdir())
    reader = subprocess.Popen(
        [sys.executable, "-c", READ_ONLY, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        preexec_fn=like_any_user,  # noqa: PLW1509 -- it allocates and locks nothing
    )
    assert reader.stdout is not None
    said = [reader.stdout.readline().strip() for _ in range(5)]
    assert said == ["Ada 1", "not_writable", "not_writable", "Ada", "ready"]
    assert sorted(file.name for file in tmp_path.iterdir()) == before
    let_write(tmp_path, allowed=True)
    with open_pool(path, space()) as writer:
        writer.register("Eve", samples(3), space())
        let_write(tmp_path, allowed=False)
        assert reader.communicate("go\n", timeout=60)[0] == "Ada Eve"
    let_write(tmp_path, allowed=True)
    owner.close()


def let_write(folder: Path, *, allowed: bool) -> None:
    """Set the permissions of a folder and of the files in it."""
    for file in folder.iterdir():
        file.chmod(0o644 if allowed else 0o444)
    folder.chmod(0o755 if allowed else 0o555)


NO_PERMISSION = """
import sys
from pathlib import Path
from facepool.errors import FacepoolError
from facepool.gallery import open_pool
from facepool.search import Search
from support.pools import samples, space
try:
    with open_pool(Path(sys.argv[1]), space()) as pool:
        pool.register("Bob", samples(2), space())
except FacepoolError as error:
    print(error.code)
"""


@pytest.mark.skipif(os.name == "nt", reason="permissions work otherwise there")
@pytest.mark.parametrize(
    ("exists", "mode"), [(True, 0o555), (False, 0o555), (True, 0o000)], ids=["old pool", "new pool", "closed folder"]
)
@for_every_file
def test_missing_permission_is_told(tmp_path: Path, backend: str, *, exists: bool, mode: int) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    if exists:
        with open_pool(folder / backend, space()) as pool:
            pool.register("Ada", samples(1), space())
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(mode)
    try:
        assert run_limited(NO_PERMISSION, folder / backend, like_any_user) == "not_writable"
    finally:
        folder.chmod(0o755)


UPDATE = """
import sys
from pathlib import Path
from facepool.gallery import open_pool, schema

def stop(*_):
    print("in the middle", flush=True)
    sys.stdin.readline()

step = sys.argv[2]
if step == "copy":
    schema.sync_folders = stop
else:
    steps = [list(statements) for statements in schema.MIGRATIONS]
    newer = [(list_, at) for list_ in steps[4:] for at, statement in enumerate(list_) if step in statement]
    newer[0][0].insert(newer[0][1] + 1, "SELECT stop()")
    schema.MIGRATIONS = tuple(map(tuple, steps))
    really_connect = schema.driver.connect
    def connect(*arguments, **named):
        db = really_connect(*arguments, **named)
        db.create_function("stop", 0, stop)
        return db
    schema.driver.connect = connect
open_pool(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("step", ["copy", "UPDATE persons", "UPDATE templates", "frontal_poses", "UPDATE samples"])
def test_a_process_killed_while_it_brings_a_pool_up_to_date_leaves_the_old_pool(tmp_path: Path, step: str) -> None:
    path = tmp_path / "pool.db"
    db = sqlite3.connect(path)
    db.executescript(OLD_POOL.read_text(encoding="utf-8"))
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    process = subprocess.Popen(
        [sys.executable, "-c", UPDATE, path, step], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    process.kill()
    process.communicate()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (4,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [column for _, column, *_ in db.execute("PRAGMA table_info(persons)")] == ["id", "name"]
    db.close()
    with open_pool(path, space()) as pool:
        assert [(person.name, person.templates) for person in pool.people()] == [("Ada", 2), ("Ann", 1), ("李", 0)]
        assert [template.sample.embedding.tolist() for template in pool.templates()] == [
            unit(seed).tolist() for seed in (1, 2, 3)
        ]
        assert pool.picture(1) == b"JPEG of Ada"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pool.db", "pool.db.version-4"]
