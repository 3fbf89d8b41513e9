"""``facepool register -s TREE --ray ADDRESS``: the same pool as by one process, whatever is killed meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from facepool import open_pool
from facepool.bulk import PictureFaces, RayAnalysis, RayJob, open_ray
from facepool.cli import context as context_module
from support.commands import Commands, Outcome, typed_here
from support.painted import PaintedAnalyzer, SlowPaintedAnalyzer, paint
from support.ray_cluster import RayCluster

Run = Callable[..., Outcome]

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]


@pytest.fixture
def run(facepool: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command in this process, whose networks, here and on the cluster, read what is painted."""
    monkeypatch.setattr(context_module, "load_analyzer", lambda *_choice, **_options: PaintedAnalyzer())
    monkeypatch.setattr(context_module, "AnalyzerRecipe", lambda *_parts: SlowPaintedAnalyzer)
    return typed_here(facepool, monkeypatch, capfd)


def town(folder: Path) -> Path:
    """Four people with many pictures, some of which are of no use."""
    for person, name in enumerate(("Ada", "Bob", "Cleo", "Dan")):
        for place in range(30):
            paint(folder / name / f"{place:02}.png", (person, 4 * place), blue=person)
    paint(folder / "Bob" / "ada.png", (0, 2))
    paint(folder / "Cleo" / "two.png", (2, 2), (3, 2))
    paint(folder / "Cleo" / "nobody.png")
    (folder / "Dan" / "text.png").write_text("no picture")
    for path in folder.rglob("*.png"):
        os.utime(path, (time.time() - 60,) * 2)
    return folder


def content(pool: Path) -> list[tuple[object, ...]]:
    """What is in it, in its order, but for what is drawn by lot and the time."""
    with open_pool(pool) as gallery:
        return [(one.id, one.person, one.model, one.sample.embedding.tobytes(), one.sample.source, one.sample.frame,
                 one.sample.quality, one.sample.score, one.sample.size_px, one.sample.pose)
                for one in gallery.templates()]  # fmt: skip


@contextmanager
def killing(two_nodes: RayCluster, job: RayJob) -> Iterator[RayAnalysis]:
    """A cluster that loses a node in the middle of its work."""
    with open_ray(job) as analysis:
        looked = analysis.analyze

        def look(paths: Sequence[Path], known: Collection[str] = frozenset()) -> Iterator[PictureFaces]:
            for place, picture in enumerate(looked(paths, known)):
                if place == 10:
                    two_nodes.last.kill()
                yield picture

        analysis.analyze = look  # type: ignore[method-assign]
        yield analysis


def test_the_pool_is_that_of_one_process_though_a_node_is_killed(
    run: Run, two_nodes: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = town(tmp_path / "town")
    alone = run("register", "-s", tree, "--pool", tmp_path / "alone.db", "--json")
    monkeypatch.setattr(context_module, "open_ray", lambda job: killing(two_nodes, job))
    together = run("register", "-s", tree, "--pool", tmp_path / "ray.db", "--json", "--ray", two_nodes.address)
    assert not two_nodes.last.runs
    assert alone.code == together.code == 3  # one file is no picture
    assert together.records == alone.records
    assert {record["reason"] for record in alone.records if "reason" in record} == {
        "known_view", "other_person", "several_faces", "no_face", "image_unreadable"
    }  # fmt: skip
    stored = content(tmp_path / "alone.db")
    assert len(stored) == 12
    assert content(tmp_path / "ray.db") == stored
    assert "2 workers" in together.err


def test_a_killed_command_goes_on_with_those_who_are_not_stored(
    run: Run, facepool: Commands, two_nodes: RayCluster, tmp_path: Path
) -> None:
    tree = town(tmp_path / "town")
    run("register", "-s", tree, "--pool", tmp_path / "alone.db")
    words = ("register", "-s", str(tree), "--pool", str(tmp_path / "ray.db"), "--json", "--ray", two_nodes.address)
    tests = str(Path(__file__).parents[2])
    command = subprocess.Popen(
        [sys.executable, "-m", "support.painted_command", *words],
        env=facepool.env | {"PYTHONPATH": tests},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    assert json.loads(command.stdout.readline())["person"] == "Ada"
    command.kill()
    said = command.communicate()[1]
    assert said.splitlines() == ["Running on Ray, 2 workers"]  # and nothing that Ray has to say
    assert command.returncode == -signal.SIGKILL
    again = run(*words)
    done = [record["person"] for record in again.records if "stored" in record]
    assert done in (["Bob", "Cleo", "Dan"], ["Cleo", "Dan"], ["Dan"])
    assert f"{4 - len(done)} " in again.err
    assert "before an earlier run was interrupted" in again.err
    assert content(tmp_path / "ray.db") == content(tmp_path / "alone.db")


def test_one_person_is_registered_without_a_cluster(run: Run, tmp_path: Path) -> None:
    picture = paint(tmp_path / "ada.png", (0, 1))
    outcome = run("register", "Ada", picture, "--ray", "local")
    assert outcome.code == 2
    assert "--ray cannot be used for one person" in outcome.error
