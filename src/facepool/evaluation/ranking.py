"""Scores in order, from which every rate at every threshold is read off.

Genuine and impostor scores are sorted once; weights (how often a comparison counts) may change without sorting
again. So one piece of code gives the figure itself and each replicate of its bootstrap.
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facepool.errors import InvalidScores, NotEnoughScores
from facepool.types import Indices

Scores = npt.NDArray[np.floating[Any]]
"""Similarities, higher is more alike. Minus infinity: a comparison that could not be made, and matches nowhere."""
Values = npt.NDArray[np.float64]

_ROUNDING = 1e-9  # a thousandth of 3,000 impostors is three of them, whatever the product of floats says


def checked(scores: Scores, what: str) -> Values:
    """Scores as (N,) float64.

    Raises:
        NotEnoughScores: There are none.
        InvalidScores: One is NaN or infinitely high, or they do not form one column.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1:
        raise InvalidScores(f"Scores of {what} must form one column", why=f"their shape is {values.shape}")
    if not len(values):
        raise NotEnoughScores(
            f"There are no {what}", why="an error rate needs some", fix="Check the protocol and the pictures"
        )
    wrong = int((np.isnan(values) | np.isposinf(values)).sum())
    if wrong:
        raise InvalidScores(
            f"{wrong} of {len(values)} scores of {what} are no numbers",
            fix="Give a comparison that could not be made the score of minus infinity",
        )
    return values


def just_above(score: float) -> float:
    """The least threshold at which a score does not match any more."""
    return float(np.nextafter(score, np.inf))


@dataclass(frozen=True, slots=True)
class Rates:
    """Error rates of a ranking under some weights. Read by `Ranking.rates`' callers only through its methods.

    Attributes:
        ranking: The scores.
        missed: (G + 1,) weight of the genuine below each place, lowest score first.
        matched: (I + 1,) weight of the impostors above each place, highest score first.
    """

    ranking: "Ranking"
    missed: Values
    matched: Values

    @property
    def usable(self) -> bool:
        """Whether there is any weight on both sides."""
        return bool(self.missed[-1] > 0 and self.matched[-1] > 0)

    def threshold_at(self, fmr: float) -> float:
        """The lowest threshold whose FMR is not above the one asked for."""
        place = self._crossing(fmr)
        if place == len(self.ranking.impostor) or np.isneginf(self.ranking.impostor[place]):
            return float(self.ranking.thresholds[0])
        return just_above(self.ranking.impostor[place])

    def tar_at(self, fmr: float) -> float:
        """Share of the genuine that matches at that threshold."""
        return 1.0 - self.fnmr(self.threshold_at(fmr))

    def fmr(self, threshold: float) -> float:
        """Share of the impostors that matches."""
        return float(self.matched[self.ranking.impostors_from(threshold)] / self.matched[-1])

    def fnmr(self, threshold: float) -> float:
        """Share of the genuine that does not match."""
        return float(self.missed[np.searchsorted(self.ranking.genuine, threshold)] / self.missed[-1])

    def curve(self) -> tuple[Values, Values]:
        """FMR and FNMR at each of the ranking's thresholds."""
        fmr = self.matched[self.ranking.impostors_at] / self.matched[-1]
        fnmr = self.missed[self.ranking.genuine_below] / self.missed[-1]
        return fmr, fnmr

    def equal_error(self) -> tuple[float, float]:
        """The rate at which FMR and FNMR meet, linear between two thresholds, and the upper one of the two."""
        thresholds = self.ranking.thresholds
        place = min(bisect_left(range(len(thresholds)), 0.0, key=self._excess), len(thresholds) - 1)
        fnmr, excess = self._fnmr_at(place), self._excess(place)
        if place == 0:  # even at the lowest threshold more are missed than matched: the curves do not meet
            return fnmr - excess / 2, float(thresholds[0])
        fnmr_before, excess_before = self._fnmr_at(place - 1), self._excess(place - 1)
        share = excess_before / (excess_before - excess)
        return fnmr_before + share * (fnmr - fnmr_before), float(thresholds[place])

    def _crossing(self, fmr: float) -> int:
        """The place, highest impostor first, from which on there are too many."""
        allowed = fmr * self.matched[-1]
        return int(np.searchsorted(self.matched[1:], allowed * (1 + _ROUNDING), side="right"))

    def _fnmr_at(self, place: int) -> float:
        return float(self.missed[self.ranking.genuine_below[place]] / self.missed[-1])

    def _excess(self, place: int) -> float:
        """FNMR less FMR at a threshold, which never falls from one to the next."""
        return self._fnmr_at(place) - float(self.matched[self.ranking.impostors_at[place]] / self.matched[-1])


class Ranking:
    """Genuine and impostor scores in order.

    Args:
        genuine: (G,) scores.
        impostor: (I,) scores.

    Raises:
        NotEnoughScores: One side is empty, or no score of either is finite.
        InvalidScores: One is NaN or infinitely high.
    """

    def __init__(self, genuine: Scores, impostor: Scores) -> None:
        genuine, impostor = checked(genuine, "genuine comparisons"), checked(impostor, "impostor comparisons")
        self.genuine_order: Indices = np.argsort(genuine, kind="stable")
        self.impostor_order: Indices = np.argsort(-impostor, kind="stable")
        self.genuine: Values = genuine[self.genuine_order]
        """(G,) lowest first."""
        self.impostor: Values = impostor[self.impostor_order]
        """(I,) highest first."""
        present = np.unique(np.concatenate([genuine, impostor]))
        present = present[np.isfinite(present)]
        if not len(present):
            raise NotEnoughScores(
                "No comparison could be made", why="a face is missing in each", fix="Check the pictures"
            )
        self.thresholds: Values = np.append(present, just_above(present[-1]))
        """(T,) every score, lowest first, and one above them all."""
        self.genuine_below: Indices = np.searchsorted(self.genuine, self.thresholds)
        """(T,) how many of the genuine each threshold refuses."""
        self.impostors_at: Indices = len(self.impostor) - np.searchsorted(self.impostor[::-1], self.thresholds)
        """(T,) how many of the impostors each threshold lets through."""

    def impostors_from(self, threshold: float) -> int:
        """How many impostors match."""
        return len(self.impostor) - int(np.searchsorted(self.impostor[::-1], threshold))

    def rates(self, genuine_weights: Values | None = None, impostor_weights: Values | None = None) -> Rates:
        """Error rates where each comparison counts as often as its weight says, once without weights.

        Args:
            genuine_weights: (G,), 0 or more, in the order in which the scores were given.
            impostor_weights: (I,), likewise.
        """
        return Rates(
            self,
            missed=_sums(genuine_weights, self.genuine_order),
            matched=_sums(impostor_weights, self.impostor_order),
        )


def _sums(weights: Values | None, order: Indices) -> Values:
    sums = np.zeros(len(order) + 1)
    if weights is None:
        sums[1:] = np.arange(1, len(order) + 1)
    else:
        np.cumsum(np.asarray(weights, np.float64)[order], out=sums[1:])
    return sums
