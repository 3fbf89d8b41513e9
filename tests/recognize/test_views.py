"""Of a track the views of a face are embedded in turn; where one comparison decides, and of what is kept, both."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facepool import Pool, open_pool
from facepool.faces.analyze import PreparedFaces
from facepool.recognize.live import LiveOptions, LiveRecognizer
from facepool.types import AlignedFaces, Detections, EmbeddingSpace, Floats, Image, Sample
from support.fake_analyzer import SPACE, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer

AVERAGED = replace(SPACE, mirrored=True)
MARK = 255


class TwoViews(FakeLiveAnalyzer):
    """Keeps which view of a face was embedded: ``both``, ``straight`` or ``mirrored``."""

    def __init__(self, space: EmbeddingSpace = AVERAGED) -> None:
        super().__init__()
        self._space = space
        self.views: list[str] = []

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    def prepare(self, image_bgr: Image, detections: Detections) -> PreparedFaces:
        prepared = super().prepare(image_bgr, detections)
        prepared.aligned.images_bgr[:, 1, 0] = MARK
        return prepared

    def embed(self, aligned: AlignedFaces) -> Floats:
        mirrored = aligned.images_bgr[:, 1, 1, 0] == MARK
        assert aligned.one_view or not mirrored.any()
        self.views += [("mirrored" if one else "straight") if aligned.one_view else "both" for one in mirrored]
        upright = [image[:, ::-1] if one else image for one, image in zip(mirrored, aligned.images_bgr, strict=True)]
        return super().embed(AlignedFaces(np.stack(upright), aligned.template))


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", AVERAGED) as opened:
        opened.register("Ada", [Sample(view(0, 0))], AVERAGED)
        yield opened


def ada(x: float = 100) -> Actor:
    return Actor(view(0, 10), x=x)


def test_the_views_of_a_face_take_turns(pool: Pool) -> None:
    analyzer = TwoViews()
    live = LiveRecognizer(analyzer, pool)
    for _ in range(4):
        seen = live.process(analyzer.frame(ada()))
    assert seen.names == ("Ada",)
    assert analyzer.views == ["straight", "mirrored", "straight"]


def test_each_face_of_a_frame_has_the_view_that_is_its_turn(pool: Pool) -> None:
    analyzer = TwoViews()
    live = LiveRecognizer(analyzer, pool)
    live.process(analyzer.frame(ada()))
    seen = live.process(analyzer.frame(ada(), Actor(view(2, 10), x=400)))
    assert sorted(analyzer.views[1:]) == ["mirrored", "straight"]
    assert seen.tentative[0] is not None
    assert seen.tentative[0].person == "Ada"


def test_a_face_that_may_be_another_one_is_compared_by_both(pool: Pool) -> None:
    analyzer = TwoViews()
    live = LiveRecognizer(analyzer, pool)
    for _ in range(4):
        live.process(analyzer.frame(ada()))
    live.process(analyzer.frame(ada(x=160)))  # half a face farther, from one frame to the next
    assert analyzer.views[3:] == ["both"]


def test_what_is_kept_is_embedded_by_both(pool: Pool) -> None:
    analyzer = TwoViews()
    live = LiveRecognizer(analyzer, pool, options=LiveOptions(keep_faces=5))
    for _ in range(4):
        live.process(analyzer.frame(ada()))
    assert set(analyzer.views) == {"both"}


def test_a_space_of_one_view_goes_on_as_it_does(tmp_path: Path) -> None:
    analyzer = TwoViews(SPACE)
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        pool.register("Ada", [Sample(view(0, 0))], SPACE)
        live = LiveRecognizer(analyzer, pool)
        for _ in range(4):
            live.process(analyzer.frame(ada()))
    assert set(analyzer.views) == {"both"}
