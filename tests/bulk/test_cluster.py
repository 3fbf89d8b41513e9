"""A Ray cluster finds the same faces as one process, whatever of it is killed meanwhile."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from facepool.bulk import LocalAnalysis, PictureFaces, RayAnalysis, RayJob, open_ray
from facepool.errors import ClusterFailed, ClusterUnreachable, ConfigError, ImageUnreadable
from facepool.faces.analyze import Analyzer
from facepool.types import EmbeddingSpace
from support.fake_analyzer import SPACE
from support.painted import DEADLY, DeadlyAnalyzer, PaintedAnalyzer, SlowPaintedAnalyzer, paint
from support.ports import free_port
from support.ray_cluster import RayCluster

pytestmark = [
    pytest.mark.ray,
    # Ray warns of its own settings.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]
WORKER = "MapWorker"
"""What Ray calls the processes that look at pictures."""


def same(one: PictureFaces, other: PictureFaces) -> bool:
    if (one.path, one.content, one.image_wh) != (other.path, other.content, other.image_wh):
        return False
    if one.faces is None or other.faces is None:
        return one.faces is other.faces and type(one.problem) is type(other.problem)
    columns = (
        (one.faces.embeddings, other.faces.embeddings),
        (one.faces.detections.boxes, other.faces.detections.boxes),
        (one.faces.measures.overall, other.faces.measures.overall),
    )
    return all(np.array_equal(*both) for both in columns)


def interrupted(analysis: RayAnalysis, paths: list[Path], kill: Callable[[], None]) -> Iterator[PictureFaces]:
    """What it finds, where something is killed in the middle."""
    for place, picture in enumerate(analysis.analyze(paths)):
        if place == 20:
            kill()
        yield picture


def test_a_cluster_finds_what_one_process_finds_in_the_same_order(two_nodes: RayCluster, tmp_path: Path) -> None:
    paths = [paint(tmp_path / f"{n}.png", (n % 4, n)) for n in range(40)]
    paths.insert(7, tmp_path / "gone.png")
    paths.insert(9, paint(tmp_path / "nobody.png"))
    (tmp_path / "text.png").write_text("no picture")
    paths.insert(11, tmp_path / "text.png")
    alone = list(LocalAnalysis(PaintedAnalyzer()).analyze(paths))
    with open_ray(RayJob(two_nodes.address, PaintedAnalyzer, SPACE)) as analysis:
        found = list(analysis.analyze(paths))
        known = [picture.content for picture in alone[20:30]]
        again = list(analysis.analyze(paths, known))
        assert list(analysis.analyze([])) == []
    assert len(found) == len(alone) == 43
    assert all(map(same, found, alone))
    assert "on the machine" in str(found[7].problem)
    assert [picture.faces is None for picture in again] == [n in (7, 11, *range(20, 30)) for n in range(43)]
    assert [picture.content for picture in again[20:30]] == known


@pytest.mark.parametrize("what", ["worker", "node"])
def test_what_was_in_hand_of_what_is_killed_is_done_by_others(two_nodes: RayCluster, tmp_path: Path, what: str) -> None:
    paths = [paint(tmp_path / f"{n}.png", (n % 4, n)) for n in range(160)]

    def kill_worker() -> None:
        for pid in two_nodes.last.workers_of(WORKER):
            os.kill(pid, signal.SIGKILL)

    assert what == "node" or two_nodes.last.runs
    with open_ray(RayJob(two_nodes.address, SlowPaintedAnalyzer, SPACE)) as analysis:
        kill = kill_worker if what == "worker" else two_nodes.last.kill
        found = list(interrupted(analysis, paths, kill))
    assert two_nodes.last.runs is (what == "worker")
    assert [picture.path for picture in found] == paths
    assert all(map(same, found, LocalAnalysis(PaintedAnalyzer()).analyze(paths)))


def test_a_picture_that_ends_its_worker_is_left_out_and_the_others_are_not(
    two_nodes: RayCluster, tmp_path: Path
) -> None:
    paths = [paint(tmp_path / f"{n}.png", (n % 4, n)) for n in range(40)]
    paths[21] = paint(tmp_path / "bad.png", (0, 1), blue=DEADLY)
    with open_ray(RayJob(two_nodes.address, DeadlyAnalyzer, SPACE)) as analysis:
        found = list(analysis.analyze(paths))
    assert [picture.path for picture in found] == paths
    assert isinstance(found[21].problem, ImageUnreadable)
    assert "each worker that had it in hand ended, the last 2 with nothing else, on " in found[21].problem.why
    del found[21], paths[21]
    assert all(map(same, found, LocalAnalysis(PaintedAnalyzer()).analyze(paths)))


def test_machines_that_compute_in_different_ways_are_known(two_nodes: RayCluster, tmp_path: Path) -> None:
    paths = [paint(tmp_path / f"{n}.png", (n % 4, n)) for n in range(32)]
    with open_ray(RayJob(two_nodes.address, ManyKindsAnalyzer, SPACE)) as analysis:
        assert len(list(analysis.analyze(paths))) == 32
    assert len(analysis.kinds) > 1


ALONE = """
import sys
from pathlib import Path
from facepool.bulk import RayJob, open_ray
from support.fake_analyzer import SPACE
from support.painted import PaintedAnalyzer

if __name__ == "__main__":
    with open_ray(RayJob("local", PaintedAnalyzer, SPACE)) as analysis:
        (found,) = analysis.analyze([Path(sys.argv[1])])
        (token,) = Path(sys.argv[2]).glob("*/token")
        print(len(found.faces), oct(token.stat().st_mode & 0o777))
"""


def test_workers_of_this_machine_leave_nothing_in_its_users_home(tmp_path: Path) -> None:
    picture = paint(tmp_path / "ada.png", (0, 1))
    (home := tmp_path / "home").mkdir()
    with tempfile.TemporaryDirectory(prefix="t-") as short:  # the path of a socket has to be
        own = {"HOME": str(home), "TMPDIR": short, "PYTHONPATH": str(Path(__file__).parents[1])}
        # In a process of its own, as a command is: Ray remembers for as long as one lives that it has had a token.
        words = [sys.executable, "-c", ALONE, str(picture), short]
        done = subprocess.run(words, env=os.environ | own, capture_output=True, text=True, timeout=120, check=False)
        left = [*home.iterdir(), *Path(short).iterdir()]
    assert done.stdout.split() == ["1", "0o600"], done.stderr
    assert done.returncode == 0
    assert left == []


def other_space() -> Analyzer:
    """Of a machine with other networks."""
    return OtherAnalyzer()


class ManyKindsAnalyzer(PaintedAnalyzer):
    """Computes in another way each time."""

    @property
    def runs_on(self) -> str:
        return str(time.monotonic_ns())


class OtherAnalyzer(PaintedAnalyzer):
    """Has other weights."""

    @property
    def space(self) -> EmbeddingSpace:
        """Of these."""
        return EmbeddingSpace("another", "1" * 64, "rgb-0-1/1", "arcface-112", mirrored=False, dimension=8)


def test_a_machine_that_cannot_do_the_same_ends_the_work_and_is_named(two_nodes: RayCluster, tmp_path: Path) -> None:
    picture = paint(tmp_path / "ada.png", (0, 1))
    with open_ray(RayJob(two_nodes.address, other_space, SPACE)) as analysis:
        with pytest.raises(ClusterFailed, match=r"different networks.*on the machine") as refused:
            list(analysis.analyze([picture]))
        with pytest.raises(ClusterFailed, match=r"does not see .*gone.*Mount"):
            list(analysis.analyze([tmp_path / "gone" / "ada.png"]))
    assert "ada" not in str(refused.value)


def test_no_cluster_and_one_without_room(two_nodes: RayCluster) -> None:
    with pytest.raises(ClusterUnreachable, match=r"127\.0\.0\.1:\d+ cannot be reached"):
        open_ray(RayJob(f"127.0.0.1:{free_port()}", PaintedAnalyzer, SPACE)).__enter__()
    with pytest.raises(ConfigError, match="no address of a Ray cluster"):
        open_ray(RayJob("ray://127.0.0.1", PaintedAnalyzer, SPACE)).__enter__()
    with pytest.raises(ClusterFailed, match="no room for a worker"):
        open_ray(RayJob(two_nodes.address, PaintedAnalyzer, SPACE, gpus=1)).__enter__()
