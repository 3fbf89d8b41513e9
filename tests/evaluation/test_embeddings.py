"""Pictures to faces: which face, what is kept between runs, what happens to pictures without one."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facepool.bulk import LocalAnalysis
from facepool.capture import write_image
from facepool.errors import StorageError
from facepool.evaluation.embeddings import (
    FILE_NAME,
    NO_FACE,
    EmbeddingCache,
    EvaluatedPictures,
    choose_face,
    embed_pictures,
)
from facepool.faces.analyze import AnyImage, Faces
from support.fake_analyzer import FakeAnalyzer, Scene, unit, view
from support.pools import DIMENSION

RECIPE = "a recipe"


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


def shoot(analyzer: FakeAnalyzer, path: Path, scene: Scene) -> Path:
    """A file that the fake analyzer sees a scene in."""
    write_image(path, analyzer.frame_of(scene).image_bgr)
    return path


def look(
    analyzer: FakeAnalyzer, paths: Sequence[Path], cache: Path | None = None, recipe: str = RECIPE
) -> EvaluatedPictures:
    if cache is None:
        return embed_pictures(paths, ["somebody"] * len(paths), LocalAnalysis(analyzer))
    with EmbeddingCache(cache, recipe) as opened:
        return embed_pictures(paths, ["somebody"] * len(paths), LocalAnalysis(analyzer), opened)


def test_one_row_a_picture_whatever_becomes_of_it(analyzer: FakeAnalyzer, tmp_path: Path) -> None:
    good = shoot(analyzer, tmp_path / "good.png", Scene(view(0, 20)))
    empty = shoot(analyzer, tmp_path / "empty.png", Scene())
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:40])
    steps: list[None] = []
    files = [good, empty, broken, tmp_path / "gone.png"]
    pictures = embed_pictures(files, list("abcd"), LocalAnalysis(analyzer), on_picture=lambda: steps.append(None))
    assert len(steps) == len(pictures) == 4
    assert pictures.people == ("a", "b", "c", "d")
    assert pictures.acquired.tolist() == [True, False, False, False]
    assert pictures.failures == [1, 2, 3]
    assert pictures.problems[:2] == ("", NO_FACE)
    assert all(pictures.problems[2:])
    assert pictures.problems[3] == "no such file or directory"
    np.testing.assert_array_equal(pictures.embeddings[0], view(0, 20))
    assert pictures.embeddings.shape == (4, DIMENSION)
    assert not pictures.embeddings[1:].any()
    assert pictures.boxes[0].tolist() == [0, 0, 100, 100]
    assert np.isnan(pictures.boxes[1:]).all()
    assert np.isnan(pictures.qualities[1:]).all()


def test_no_picture_is_no_row(analyzer: FakeAnalyzer) -> None:
    pictures = look(analyzer, [])
    assert len(pictures) == 0
    assert pictures.embeddings.shape == (0, DIMENSION)
    assert pictures.boxes.shape == (0, 4)


def test_the_face_in_the_middle_is_taken_unless_another_is_much_larger() -> None:
    middle, corner = [80, 80, 120, 120], [0, 0, 50, 50]
    assert choose_face(np.array([corner, middle], np.float32), (200, 200)) == 1
    larger = [0, 0, 150, 150]
    assert choose_face(np.array([middle, larger], np.float32), (200, 200)) == 1
    doubled = np.array([corner, middle], np.float32) * 2
    assert choose_face(doubled, (400, 400)) == 1


def test_pictures_are_looked_at_once_and_found_again_as_they_were(analyzer: FakeAnalyzer, tmp_path: Path) -> None:
    paths = [
        shoot(analyzer, tmp_path / "a.png", Scene(view(0, 33), unit(1, 2, 3))),
        shoot(analyzer, tmp_path / "b.png", Scene()),
    ]
    fresh = look(analyzer, paths, tmp_path)
    assert fresh.from_cache == 0
    batches = len(analyzer.batches)
    moved = [path.rename(path.with_name(f"moved-{path.name}")) for path in paths]
    again = look(analyzer, moved, tmp_path)
    assert len(analyzer.batches) == batches
    assert again.from_cache == 2
    for name in ("embeddings", "boxes", "face_counts", "qualities", "yaws"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fresh, name), err_msg=name)
    assert again.problems == fresh.problems == ("", NO_FACE)


def test_another_recipe_or_another_content_is_looked_at_anew(analyzer: FakeAnalyzer, tmp_path: Path) -> None:
    path = shoot(analyzer, tmp_path / "a.png", Scene(view(0, 0)))
    look(analyzer, [path], tmp_path)
    assert look(analyzer, [path], tmp_path, "another recipe").from_cache == 0
    shoot(analyzer, path, Scene(view(1, 0)))
    replaced = look(analyzer, [path], tmp_path)
    assert replaced.from_cache == 0
    np.testing.assert_array_equal(replaced.embeddings[0], view(1, 0))


def test_the_same_content_twice_is_looked_at_once(analyzer: FakeAnalyzer, tmp_path: Path) -> None:
    path = shoot(analyzer, tmp_path / "a.png", Scene(view(0, 0)))
    (tmp_path / "b.png").write_bytes(path.read_bytes())
    pictures = look(analyzer, [path, tmp_path / "b.png"], tmp_path)
    assert analyzer.batches == [1]
    np.testing.assert_array_equal(pictures.embeddings[0], pictures.embeddings[1])


class Interrupted(FakeAnalyzer):
    """Somebody presses Ctrl-C while it looks at the third batch."""

    def analyze_batch(self, images_bgr: Sequence[AnyImage], *, moving: bool = False) -> list[Faces]:
        if len(self.batches) == 2:
            raise KeyboardInterrupt
        return super().analyze_batch(images_bgr, moving=moving)


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    analyzer = Interrupted()
    paths = [shoot(analyzer, tmp_path / f"{number}.png", Scene(view(0, number))) for number in range(40)]
    with pytest.raises(KeyboardInterrupt):
        look(analyzer, paths, tmp_path)
    calm = FakeAnalyzer()
    calm._scenes = analyzer._scenes
    resumed = look(calm, paths, tmp_path)
    assert resumed.from_cache == 16
    assert sum(calm.batches) == 24
    np.testing.assert_allclose(resumed.embeddings[:, 0], np.cos(np.radians(np.arange(40))), atol=1e-6)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_the_cache_is_for_its_owner_only(tmp_path: Path) -> None:
    with EmbeddingCache(tmp_path / "new", RECIPE) as cache:
        assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600


def test_two_processes_may_use_one_cache(analyzer: FakeAnalyzer, tmp_path: Path) -> None:
    paths = [
        shoot(analyzer, tmp_path / "a.png", Scene(view(0, 0))),
        shoot(analyzer, tmp_path / "b.png", Scene(view(1, 0))),
    ]
    with EmbeddingCache(tmp_path, RECIPE) as one, EmbeddingCache(tmp_path, RECIPE) as other:
        embed_pictures(paths[:1], ["a"], LocalAnalysis(analyzer), one)
        embed_pictures(paths, ["a", "b"], LocalAnalysis(analyzer), other)
        assert embed_pictures(paths, ["a", "b"], LocalAnalysis(analyzer), one).from_cache == 2


def test_a_file_that_is_no_cache_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("my diary, which is long enough to be looked at " * 40)
    with pytest.raises(StorageError, match="--no-cache"), EmbeddingCache(tmp_path, RECIPE) as cache:
        cache.find("0")
    assert (tmp_path / FILE_NAME).read_text().startswith("my diary")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be used as a cache"):
        EmbeddingCache(tmp_path / "file", RECIPE)
