"""Error rates of verification (1:1), from the similarities of genuine and impostor pairs.

A pair matches if its similarity is at or above the threshold. FMR, FNMR: ISO/IEC 19795-1; TAR is 1 - FNMR, pairs of
which a face could not be acquired included. Every figure but a threshold stays the same when all similarities go
through a rising function.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facepool.errors import InvalidScores, NotEnoughScores
from facepool.evaluation.ranking import Ranking, Scores, Values, checked, just_above
from facepool.types import Indices, Mask


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What one threshold does.

    Attributes:
        fmr_asked: The false match rate that was asked for.
        threshold: The lowest similarity threshold that keeps to it.
        fmr: The rate that it has. Less than asked where several impostors share a similarity.
        tar: Share of the genuine pairs that match.
        impostors: Number of impostor pairs, of which a rate below 1 / impostors cannot be seen.
    """

    fmr_asked: float
    threshold: float
    fmr: float
    tar: float
    impostors: int

    @property
    def resolved(self) -> bool:
        """Whether there are enough impostors for the rate that was asked for to be one of them at least."""
        return self.fmr_asked * self.impostors >= 1 - 1e-9


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """Both errors at every threshold; what ROC and DET plots show.

    Attributes:
        thresholds: (T,) float64, rising: every similarity that occurs, and one above them all.
        fmr: (T,) never rising.
        fnmr: (T,) never falling.
    """

    thresholds: Values
    fmr: Values
    fnmr: Values

    def __len__(self) -> int:
        """Number of thresholds."""
        return len(self.thresholds)

    def thinned(self, points: int = 500) -> "ErrorCurve":
        """About so many of the points, spread so that plots over linear and logarithmic axes look the same."""
        rows = thin(self.fmr, self.fnmr, points)
        return ErrorCurve(self.thresholds[rows], self.fmr[rows], self.fnmr[rows])


@dataclass(frozen=True, slots=True)
class EqualError:
    """Where FMR and FNMR meet.

    Attributes:
        rate: The equal error rate (EER), linear between two neighbouring thresholds.
        threshold: The upper one of the two.
    """

    rate: float
    threshold: float


@dataclass(frozen=True, slots=True)
class FoldAccuracy:
    """Share of pairs that are judged rightly, the threshold coming from the other folds each time.

    Attributes:
        mean: Over the folds.
        std: Population standard deviation over the folds, which is what papers print.
        folds: (F,) accuracy of each fold, by its number.
        thresholds: (F,) what it was judged with.
    """

    mean: float
    std: float
    folds: Values
    thresholds: Values


def tar_at_fmr(genuine: Scores, impostor: Scores, fmr: float, *, weights: Values | None = None) -> OperatingPoint:
    """The true accept rate at a false match rate.

    Args:
        genuine: (G,) similarities of pairs that show one person.
        impostor: (I,) similarities of pairs that show two.
        fmr: 0..1. At 0 the threshold is just above the most similar impostor.
        weights: (I,) how many impostor pairs each one stands for, see ``all_pairs``; None: one.

    Raises:
        NotEnoughScores: One kind is missing.
        InvalidScores: A similarity is NaN or infinitely high.
    """
    return operating_points(genuine, impostor, (fmr,), weights=weights)[0]


def operating_points(
    genuine: Scores, impostor: Scores, fmrs: tuple[float, ...], *, weights: Values | None = None
) -> tuple[OperatingPoint, ...]:
    """``tar_at_fmr`` at several rates, sorting once."""
    for fmr in fmrs:
        if not 0 <= fmr <= 1:
            raise ValueError(f"a false match rate is 0..1, not {fmr}")
    rates = Ranking(genuine, impostor).rates(impostor_weights=weights)
    count = round(float(rates.matched[-1]))
    return tuple(
        OperatingPoint(
            fmr_asked=fmr,
            threshold=rates.threshold_at(fmr),
            fmr=rates.fmr(rates.threshold_at(fmr)),
            tar=rates.tar_at(fmr),
            impostors=count,
        )
        for fmr in fmrs
    )


def error_curve(genuine: Scores, impostor: Scores, *, weights: Values | None = None) -> ErrorCurve:
    """FMR and FNMR at every threshold that makes a difference. Arguments and errors as for ``tar_at_fmr``."""
    ranking = Ranking(genuine, impostor)
    fmr, fnmr = ranking.rates(impostor_weights=weights).curve()
    return ErrorCurve(ranking.thresholds, fmr, fnmr)


def equal_error(genuine: Scores, impostor: Scores, *, weights: Values | None = None) -> EqualError:
    """The equal error rate. Arguments and errors as for ``tar_at_fmr``."""
    return EqualError(*Ranking(genuine, impostor).rates(impostor_weights=weights).equal_error())


def thin(fmr: Values, fnmr: Values, points: int) -> Indices:
    """Rows of a curve, the first and last among them, evenly spread over both errors and over their logarithms."""
    if len(fmr) <= points:
        return np.arange(len(fmr))
    wanted = max(2, points // 5)
    scales = [np.arange(len(fmr), dtype=np.float64)]
    for values in (-fmr, fnmr):  # both rise along the curve
        least = np.abs(values[values != 0]).min(initial=1.0)
        scales += [values, np.sign(values) * np.log(np.maximum(np.abs(values) / least, 1.0))]
    rows = [np.searchsorted(scale, np.linspace(scale[0], scale[-1], wanted)) for scale in scales]
    return np.unique(np.clip(np.concatenate(rows), 0, len(fmr) - 1)).astype(np.intp)


def fold_accuracy(similarities: Scores, same: Mask, fold_of: Indices) -> FoldAccuracy:
    """Accuracy by cross-validation, the protocol of LFW's View 2 (Huang et al., 2007).

    The threshold of a fold is the similarity that judges most pairs of the other folds rightly; of several that do
    equally well the middle one.

    Args:
        similarities: (P,).
        same: (P,) whether a pair shows one person.
        fold_of: (P,) number of the fold; two different ones at least.

    Raises:
        NotEnoughScores: There is no pair, or only one fold.
        InvalidScores: A similarity is NaN or infinitely high, or the columns have different lengths.
    """
    folds = Folds(similarities, same, fold_of)
    accuracies, thresholds = folds.judge(np.ones(len(folds)))
    return FoldAccuracy(float(accuracies.mean()), float(accuracies.std()), accuracies, thresholds)


class Folds:
    """Pairs in order of similarity, with their folds, ready to be judged under any weights.

    Args:
        similarities: (P,).
        same: (P,).
        fold_of: (P,).
    """

    def __init__(self, similarities: Scores, same: Mask, fold_of: Indices) -> None:
        values = checked(similarities, "pairs")
        if not len(values) == len(same) == len(fold_of):
            raise InvalidScores(
                "Pairs cannot be judged",
                why=f"there are {len(values)} similarities, {len(same)} answers and {len(fold_of)} folds",
            )
        numbers, fold = np.unique(fold_of, return_inverse=True)
        if len(numbers) == 1:
            raise NotEnoughScores("All pairs are in one fold", why="its threshold has to come from others")
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        self._same = np.asarray(same, np.bool_)[self._order]
        self._member = fold[self._order] == np.arange(len(numbers))[:, None]  # (F, P)
        distinct, self._starts = np.unique(ordered, return_index=True)
        # A threshold is a similarity of the other folds, not of the fold that is judged, or matches nothing.
        elsewhere = np.add.reduceat(~self._member, self._starts, axis=1) > 0
        self._allowed = np.concatenate([elsewhere, np.ones((len(numbers), 1), np.bool_)], axis=1)
        self._starts = np.append(self._starts, len(ordered))
        self._thresholds = np.append(distinct, just_above(distinct[-1]))

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self._order)

    def judge(self, weights: npt.NDArray[np.floating]) -> tuple[Values, Values]:
        """Accuracy of each fold and its threshold, a pair counting as often as its weight says.

        Args:
            weights: (P,), 0 or more, whole numbers, in the order in which the pairs were given.

        Returns:
            (F,) accuracies, NaN for a fold without weight, and (F,) thresholds.
        """
        ordered = np.asarray(weights, np.float64)[self._order]
        by_fold = self._member * ordered
        # Raising the threshold past a pair makes an impostor right and a genuine pair wrong.
        gains = np.zeros((len(by_fold), len(ordered) + 1))
        np.cumsum(np.where(self._same, -by_fold, by_fold), axis=1, out=gains[:, 1:])
        right = gains[:, self._starts] + (by_fold * self._same).sum(axis=1, keepdims=True)
        elsewhere = np.where(self._allowed, right.sum(axis=0) - right, -1.0)
        best = elsewhere == elsewhere.max(axis=1, keepdims=True)
        place = [places[(len(places) - 1) // 2] for places in map(np.flatnonzero, best)]
        found = right[np.arange(len(right)), place]
        total = by_fold.sum(axis=1)
        return np.divide(found, total, out=np.full(len(total), np.nan), where=total > 0), self._thresholds[place]
