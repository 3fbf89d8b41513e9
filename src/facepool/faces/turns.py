"""How a camera is mounted, seen by how the faces in its pictures lie."""

from collections.abc import Callable

from facepool.faces.analyze import Analyzer
from facepool.faces.find import FoundFaces
from facepool.geometry import turn_image
from facepool.types import TURNS, Image, Turn

_AGREEING = 3
"""Pictures that must show faces by one turn more than by any other."""
_EAGER = 100
"""Pictures that are looked at one by one; while nobody comes, only each tenth is looked at after them."""
_PATIENT = 10


def upright_share(analyzer: Analyzer, image_bgr: Image) -> float:
    """How much speaks for a picture being the right way up: the scores of its clear, upright faces, added up."""
    found = FoundFaces.of(analyzer.find(image_bgr, moving=True), (image_bgr.shape[1], image_bgr.shape[0]))
    return float(found.detections.scores[found.plausible].sum())


class TurnFinder:
    """Finds out by which turn the pictures of one source show faces upright. One finder for each source.

    Until then a picture costs four detections; while nobody is to be seen, nine in ten cost nothing.

    Args:
        analyzer: Finds faces.
        on_found: Is told the turn.
    """

    def __init__(self, analyzer: Analyzer, on_found: Callable[[Turn], None] = lambda _turn: None) -> None:
        self._analyzer = analyzer
        self._on_found = on_found
        self._seen = 0
        self._votes: dict[Turn, int] = dict.fromkeys(TURNS, 0)

    def look(self, image_bgr: Image) -> Turn | None:
        """Take in one picture.

        Args:
            image_bgr: (H, W, 3) uint8 BGR, as the source gives it.

        Returns:
            Degrees clockwise by which the source has to be turned; None while that is not certain.
        """
        self._seen += 1
        if self._seen > _EAGER and self._seen % _PATIENT:
            return None
        shares = {turn: upright_share(self._analyzer, turn_image(image_bgr, turn)) for turn in TURNS}
        best = max(TURNS, key=lambda turn: shares[turn])
        if shares[best] == 0:
            return None
        self._votes[best] += 1
        first, second = sorted(self._votes.values(), reverse=True)[:2]
        if first - second < _AGREEING:
            return None
        return self.settle()

    def settle(self) -> Turn:
        """The turn by which most pictures showed faces upright; 0 where none did."""
        turn = max(TURNS, key=lambda turn: self._votes[turn])
        if self._votes[turn]:
            self._on_found(turn)
        return turn
