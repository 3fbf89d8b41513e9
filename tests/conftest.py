"""What all tests share: the open pack, pulled once into a store that outlives the run, and commands that use it."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from facepool import read_image
from facepool.faces.detect import RetinaFace
from facepool.models.catalog import DEMO_PHOTOS, InstalledModel, RetinaFaceSpec
from facepool.models.store import ModelStore, default_root
from facepool.runtime import Device, Runtime, default_threads
from support import milvus, postgres, ray_cluster
from support.commands import Commands
from support.paths import SHARED
from support.synthetic_camera import SyntheticHead

CORES_A_WORKER = 2
MOST_WORKERS = 8

# A busy machine is no failure: how long things take is for benchmarks to say.
settings.register_profile("facepool", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("facepool")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more worker than cores for ``pytest -n auto``: many a test waits for what it started."""
    return min(default_threads() + 1, MOST_WORKERS)


def pytest_configure() -> None:
    """Give each worker of ``pytest -n`` some cores of its own: its networks take as many threads as it has cores."""
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER", ""), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1 and sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        share = max(CORES_A_WORKER, len(cores) // workers)
        first = int(worker.removeprefix("gw")) * share
        os.sched_setaffinity(0, {cores[(first + step) % len(cores)] for step in range(share)})


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the collector of garbage thousands of tests that stay: it would look through them again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what opens a window; leave out what needs ../shared where there is none: it is no part of the project."""
    for item in items:
        if "screen" in getattr(item, "fixturenames", ()):
            item.add_marker("window")
    if SHARED.is_dir():
        return
    left_out = [item for item in items if item.get_closest_marker("shared")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what asks PostgreSQL or Milvus, or computes on Ray, where there is none."""
    engines = (("postgres", postgres.missing), ("milvus", milvus.missing), ("ray", ray_cluster.missing))
    for marker, missing in engines:
        if item.get_closest_marker(marker) and (why := missing()):
            pytest.skip(why)


@pytest.fixture
def two_nodes() -> ray_cluster.RayCluster:
    """A Ray cluster of two nodes, which all tests of a session share; a test may kill its ``last`` node."""
    cluster = ray_cluster.cluster()
    cluster.mend()
    return cluster


@pytest.fixture(autouse=True)
def _databases_go_with_their_test() -> Iterator[None]:
    """The files of PostgreSQL and Milvus do not fill the disk while many tests run."""
    yield
    postgres.drop_databases()
    milvus.drop_collections()


@pytest.fixture(scope="session", autouse=True)
def _children_hear_ctrl_c() -> None:
    """A shell makes what runs in its background deaf to Ctrl-C, and every process that a test starts would be, too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def open_store(pytestconfig: pytest.Config) -> ModelStore:
    """A store for real models: FACEPOOL_TEST_STORE, or the user's own; pytest's cache for users who have no home.

    Nothing is pulled until a test loads it, and then once: stores make processes wait for each other.
    """
    chosen = os.environ.get("FACEPOOL_TEST_STORE")
    root = Path(chosen) if chosen else default_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError:
        assert pytestconfig.cache is not None
        root = pytestconfig.cache.mkdir("models")
    return ModelStore(root)


@pytest.fixture(scope="session")
def open_detector(open_store: ModelStore) -> InstalledModel:
    """The open pack's RetinaFace."""
    return open_store.load("retinaface-mnet025")


@pytest.fixture(scope="session")
def open_embedder(open_store: ModelStore) -> InstalledModel:
    """The open pack's SFace."""
    return open_store.load("sface")


@pytest.fixture(scope="session")
def retinaface(open_detector: InstalledModel) -> RetinaFace:
    """The open pack's detector, ready to run."""
    spec = open_detector.entry.spec
    assert isinstance(spec, RetinaFaceSpec)
    return RetinaFace(Runtime(Device("cpu")).load(open_detector.graph, spec.feed), spec)


@pytest.fixture(scope="session")
def head_of(open_store: ModelStore, retinaface: RetinaFace) -> Callable[[str], SyntheticHead]:
    """A synthetic head by the name of a demo photo: ``person_a_1`` to ``impostor_2``."""

    @cache
    def make(name: str) -> SyntheticHead:
        photo = read_image(open_store.pull_asset(DEMO_PHOTOS) / f"{name}.jpg")
        return SyntheticHead(photo, retinaface.detect([photo])[0].landmarks[0])

    return make


@pytest.fixture(scope="session")
def photos(open_store: ModelStore, open_detector: InstalledModel, open_embedder: InstalledModel) -> Path:
    """The folder with two photos each of two people, and two strangers; the pack is there too."""
    return open_store.pull_asset(DEMO_PHOTOS)


@pytest.fixture
def facepool(tmp_path: Path, photos: Path, open_store: ModelStore) -> Commands:
    """Commands with an empty pool, in a folder of their own."""
    return Commands(tmp_path, open_store.root)


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory, photos: Path, open_store: ModelStore) -> Commands:
    """Commands with a pool that holds one photo each of Ada and Bob; nobody changes it."""
    commands = Commands(tmp_path_factory.mktemp("crowd"), open_store.root)
    tree = commands.folder / "people"
    tree.mkdir()
    (tree / "Ada.jpg").write_bytes((photos / "person_a_1.jpg").read_bytes())
    (tree / "Bob.jpg").write_bytes((photos / "person_b_1.jpg").read_bytes())
    outcome = commands("register", "-s", "people")
    assert outcome.code == 0, outcome.err
    return commands
