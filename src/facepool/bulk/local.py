"""The faces of many picture files, found by this process."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from facepool.bulk.pictures import PictureFaces, look_at
from facepool.faces.analyze import Analyzer
from facepool.types import EmbeddingSpace


class LocalAnalysis:
    """Looks at one picture after the other, a few at a time.

    Args:
        analyzer: Finds the faces.
        aligned: Whether faces keep their pixels, which a pool that keeps pictures wants.
    """

    def __init__(self, analyzer: Analyzer, *, aligned: bool = False) -> None:
        self._analyzer = analyzer
        self._aligned = aligned

    @property
    def space(self) -> EmbeddingSpace:
        """Of the vectors."""
        return self._analyzer.space

    @property
    def runs_on(self) -> str:
        """As ``PictureAnalysis.runs_on``."""
        return self._analyzer.runs_on

    def analyze(self, paths: Sequence[Path], known: Collection[str] = frozenset()) -> Iterator[PictureFaces]:
        """As ``PictureAnalysis.analyze``; nothing is read before it is asked for."""
        return look_at(paths, self._analyzer, known, aligned=self._aligned)
