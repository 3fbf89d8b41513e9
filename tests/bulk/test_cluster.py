"""A Ray cluster finds the same faces as one process, whatever of it is killed meanwhile."""

from pathlib import Path

import numpy as np
import pytest

from facepool.bulk import LocalAnalysis, PictureFaces, RayJob, open_ray
from support.fake_analyzer import SPACE
from support.painted import PaintedAnalyzer, paint
from support.ray_cluster import RayCluster

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]


def same(one: PictureFaces, other: PictureFaces) -> bool:
    if (one.path, one.content, one.image_wh) != (other.path, other.content, other.image_wh):
        return False
    if one.faces is None or other.faces is None:
        return one.faces is other.faces and str(one.problem)[:20] == str(other.problem)[:20]
    return bool(np.array_equal(one.faces.embeddings, other.faces.embeddings))


def test_a_cluster_finds_what_one_process_finds_in_the_same_order(two_nodes: RayCluster, tmp_path: Path) -> None:
    paths = [paint(tmp_path / f"{n}.png", (n % 4, n)) for n in range(40)]
    paths.insert(7, tmp_path / "gone.png")
    paths.insert(9, paint(tmp_path / "nobody.png"))
    with open_ray(RayJob(two_nodes.address, PaintedAnalyzer, SPACE)) as analysis:
        found = list(analysis.analyze(paths))
    alone = list(LocalAnalysis(PaintedAnalyzer()).analyze(paths))
    assert len(found) == len(alone) == 42
    assert all(map(same, found, alone))
