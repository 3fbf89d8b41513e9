"""Error rates of open-set identification (1:N): some who are searched for are registered, some are strangers.

FPIR and FNIR: ISO/IEC 19795-1, NIST FRTE 1:N (NISTIR 8271). A registered person's probe is missed if the most similar
person is somebody else, or is below the threshold; a stranger's probe is a false positive if anybody is at or above
it. Rates belong to one gallery and its size.
"""

from dataclasses import dataclass

import numpy as np

from facepool.errors import InvalidScores
from facepool.evaluation.metrics import thin
from facepool.evaluation.ranking import Ranking, Scores, Values
from facepool.types import Indices


@dataclass(frozen=True, slots=True)
class MatedSearches:
    """Probes of registered people, one row a probe.

    Attributes:
        right: (M,) similarity to the person themselves. Minus infinity (or -1) where no face was acquired, or the
            person could not be enrolled.
        other: (M,) similarity to the most similar of all others; minus infinity (or -1) where there is none.
        ranks: (M,) how many others are as similar or more, plus 1; 0 where there is no similarity to the right one.
    """

    right: Scores
    other: Scores
    ranks: Indices

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        if not len(self.right) == len(self.other) == len(self.ranks):
            raise InvalidScores("Columns of searches disagree", why="they have different lengths")

    def __len__(self) -> int:
        """Number of probes."""
        return len(self.ranks)

    @property
    def found(self) -> Values:
        """(M,) similarity of the right person where they are first; minus infinity where they are not."""
        return np.where(self.ranks == 1, np.asarray(self.right, np.float64), -np.inf)

    @property
    def misnamed(self) -> Values:
        """(M,) similarity of the wrong person where one is first; minus infinity where none is."""
        return np.where(self.ranks == 1, -np.inf, np.asarray(self.other, np.float64))


@dataclass(frozen=True, slots=True)
class IdentificationPoint:
    """What one threshold does.

    Attributes:
        fpir_asked: The false positive identification rate that was asked for.
        threshold: The lowest similarity threshold that keeps to it.
        fpir: The rate that it has: share of strangers' probes that are named.
        fnir: Share of registered people's probes that are not named rightly.
        misnamed: Share of registered people's probes that are named as somebody else; part of ``fnir``.
        strangers: Number of strangers' probes, of which a rate below 1 / strangers cannot be seen.
    """

    fpir_asked: float
    threshold: float
    fpir: float
    fnir: float
    misnamed: float
    strangers: int

    @property
    def resolved(self) -> bool:
        """Whether there are enough strangers for the rate that was asked for to be one of them at least."""
        return self.fpir_asked * self.strangers >= 1 - 1e-9


@dataclass(frozen=True, slots=True)
class OpenSetCurve:
    """Both errors at every threshold.

    Attributes:
        thresholds: (T,) float64, rising.
        fpir: (T,) never rising.
        fnir: (T,) never falling.
    """

    thresholds: Values
    fpir: Values
    fnir: Values

    def __len__(self) -> int:
        """Number of thresholds."""
        return len(self.thresholds)

    def thinned(self, points: int = 500) -> "OpenSetCurve":
        """About so many of the points, spread so that plots over linear and logarithmic axes look the same."""
        rows = thin(self.fpir, self.fnir, points)
        return OpenSetCurve(self.thresholds[rows], self.fpir[rows], self.fnir[rows])


def searches(people: Scores, right: Indices) -> MatedSearches:
    """What became of probes whose similarity to each person is known.

    Args:
        people: (M, P) similarity of each probe to each of P people, P at least 1.
        right: (M,) column of the person whom a probe shows.
    """
    rows = np.arange(len(people))
    own = people[rows, right]
    others = np.array(people, np.float64)
    others[rows, right] = -np.inf
    return MatedSearches(own, others.max(axis=1), 1 + (others >= own[:, None]).sum(axis=1))


def fnir_at_fpir(mated: MatedSearches, strangers: Scores, fpir: float) -> IdentificationPoint:
    """The rate of misses at a rate of false positives.

    Args:
        mated: Probes of registered people.
        strangers: (N,) for each stranger's probe the similarity to whomever it is most like; minus infinity (or -1)
            without a face.
        fpir: 0..1. At 0 the threshold is just above the stranger who is most like somebody.

    Raises:
        NotEnoughScores: There is no probe of one kind.
        InvalidScores: A similarity is NaN or infinitely high.
    """
    if not 0 <= fpir <= 1:
        raise ValueError(f"a false positive identification rate is 0..1, not {fpir}")
    threshold = Ranking(mated.found, strangers).rates().threshold_at(fpir)
    return _point(mated, strangers, fpir, threshold)


def at_threshold(mated: MatedSearches, strangers: Scores, threshold: float) -> IdentificationPoint:
    """What a threshold does that was chosen elsewhere; ``fpir_asked`` is the rate that it has."""
    rates = Ranking(mated.found, strangers).rates()
    return _point(mated, strangers, rates.fmr(threshold), threshold)


def open_set_curve(mated: MatedSearches, strangers: Scores) -> OpenSetCurve:
    """FPIR and FNIR at every threshold that makes a difference. Arguments and errors as for ``fnir_at_fpir``."""
    ranking = Ranking(mated.found, strangers)
    fpir, fnir = ranking.rates().curve()
    return OpenSetCurve(ranking.thresholds, fpir, fnir)


def rank_one(mated: MatedSearches) -> float:
    """Share of registered people's probes that are most similar to the right person; NaN for no probe."""
    return float((mated.ranks == 1).mean()) if len(mated) else float("nan")


def _point(mated: MatedSearches, strangers: Scores, fpir: float, threshold: float) -> IdentificationPoint:
    return IdentificationPoint(
        fpir_asked=fpir,
        threshold=threshold,
        fpir=float((np.asarray(strangers, np.float64) >= threshold).mean()),
        fnir=float((mated.found < threshold).mean()),
        misnamed=float((mated.misnamed >= threshold).mean()),
        strangers=len(strangers),
    )
