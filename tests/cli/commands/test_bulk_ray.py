"""``evaluate`` and ``group`` with ``--ray``: what one process finds, also in two runs and without a node."""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

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
PICTURES = 60
STOPPED_AT, KILLED_AT = 20, 10
KEPT = 16
UNLIKE = {"command", "device", "seconds", "started_at", "pictures_from_cache"}


@pytest.fixture
def run(facepool: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command in this process, in a folder with people, whose faces networks here and on the cluster read."""
    monkeypatch.setattr(context_module, "load_analyzer", lambda *_choice, **_options: PaintedAnalyzer())
    monkeypatch.setattr(context_module, "AnalyzerRecipe", lambda *_parts: SlowPaintedAnalyzer)
    for place in range(PICTURES - 2):
        paint(facepool.folder / "people" / "ABCD"[place % 4] / f"{place:02}.png", (place % 4, place), blue=place)
    paint(facepool.folder / "people" / "A" / "nobody.png")
    (facepool.folder / "people" / "B" / "text.png").write_text("no picture")
    return typed_here(facepool, monkeypatch, capfd)


def when(place: int, happens: Callable[[], None]) -> Callable[[RayJob], object]:
    """What opens a cluster on which something happens after so many pictures."""

    @contextmanager
    def opened(job: RayJob) -> Iterator[RayAnalysis]:
        with open_ray(job) as analysis:
            looked = analysis.analyze

            def look(paths: Sequence[Path], known: Collection[str] = frozenset()) -> Iterator[PictureFaces]:
                for at, picture in enumerate(looked(paths, known)):
                    if at == place:
                        happens()
                    yield picture

            analysis.analyze = look  # type: ignore[method-assign]
            yield analysis

    return opened


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


def rows_of(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return sorted(database.execute(query).fetchall())


def test_an_evaluation_that_was_stopped_and_lost_a_node_finds_what_one_process_finds(
    run: Run, two_nodes: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("evaluate", "folder", "people", "--json", "--cache")
    alone = run(*words, tmp_path / "alone")
    ray = (tmp_path / "ray", "--ray", two_nodes.address)
    monkeypatch.setattr(context_module, "open_ray", when(STOPPED_AT, press_ctrl_c))
    stopped = run(*words, *ray)
    assert stopped.code == 130
    assert "the same command goes on from there" in stopped.err
    monkeypatch.setattr(context_module, "open_ray", when(KILLED_AT, two_nodes.last.kill))
    resumed = run(*words, *ray)
    assert not two_nodes.last.runs
    assert alone.code == resumed.code == 0, resumed.err
    assert f"{KEPT} of {PICTURES} pictures were known" in resumed.err
    (one,), (other,) = alone.records, resumed.records
    assert other["device"] == "Ray, 2 workers"
    assert {name: one[name] for name in one.keys() - UNLIKE} == {name: other[name] for name in other.keys() - UNLIKE}
    faces = [rows_of(folder / "embeddings-1.db", "SELECT * FROM captures") for folder in (tmp_path / "alone", ray[0])]
    assert len(faces[0]) == PICTURES - 1
    assert faces[0] == faces[1]


def test_groups_that_a_cluster_has_found_in_two_runs_are_those_of_one_process(
    run: Run, two_nodes: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("group", "people", "--json", "--output")
    alone = run(*words, tmp_path / "alone")
    ray = (tmp_path / "ray", "--ray", two_nodes.address)
    monkeypatch.setattr(context_module, "open_ray", when(STOPPED_AT, press_ctrl_c))
    assert run(*words, *ray).code == 130
    monkeypatch.setattr(context_module, "open_ray", open_ray)
    resumed = run(*words, *ray)
    assert alone.code == resumed.code == 3  # one file is no picture
    assert f"{KEPT} photos known from an earlier run" in resumed.err
    assert resumed.records == alone.records
    assert "ray log level" not in resumed.err
    assert len(json.loads(alone.out)["groups"]) > 1
    query = "SELECT content, numbers, embedding, jpeg, group_id FROM faces JOIN pictures ON pictures.id = picture"
    found = [rows_of(folder / "library-1.db", query) for folder in (tmp_path / "alone", ray[0])]
    assert found[0] == found[1]
