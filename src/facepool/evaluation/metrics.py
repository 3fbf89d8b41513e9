"""Error rates, from the similarities of comparisons that should match (genuine) and that should not (impostor).

The same computation serves verification (1:1: FMR, FNMR and TAR = 1 - FNMR, ISO/IEC 19795-1) and open-set
identification (1:N: FPIR and FNIR, NIST FRTE 1:N), where a stranger's search is the impostor comparison. A comparison
matches if its similarity is at or above the threshold. Every figure but a threshold stays the same when all
similarities go through a rising function.

Start with ``error_rates``. Scores are sorted once (`Ranking`); how often a comparison counts may change without
sorting again, so the same code gives the figure itself and each replicate of its bootstrap.
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facepool.errors import InvalidScores, NotEnoughScores
from facepool.thresholds import Threshold
from facepool.types import Indices, Mask

Scores = npt.NDArray[np.floating[Any]]
"""Similarities, higher is more alike. Minus infinity: a comparison that could not be made, and matches nowhere."""
Values = npt.NDArray[np.float64]

NOT_ACQUIRED = float("-inf")
"""The similarity of a comparison of which one side has no face: below every threshold, so that it never matches."""
_ROUNDING = 1e-9  # a thousandth of 3,000 impostors is three of them, whatever the product of floats says


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What one threshold does.

    Attributes:
        asked: The rate of false matches that was asked for (FMR, or FPIR of searches).
        threshold: The lowest similarity threshold that keeps to it.
        false_matches: The rate that it has. Less than asked where several impostors share a similarity.
        misses: Share of the genuine comparisons that do not match (FNMR, or FNIR of searches).
        impostors: Number of impostor comparisons, of which a rate below 1 / impostors cannot be seen.
    """

    asked: float
    threshold: float
    false_matches: float
    misses: float
    impostors: int

    @property
    def tar(self) -> float:
        """Share of the genuine comparisons that match (true accept rate)."""
        return 1.0 - self.misses

    @property
    def resolved(self) -> bool:
        """Whether there are enough impostors for the rate that was asked for to be one of them at least."""
        return self.asked * self.impostors >= 1 - 1e-9


@dataclass(frozen=True, slots=True)
class DefaultThreshold:
    """What facepool does when nobody tells it a threshold, held against this data.

    Attributes:
        threshold: The threshold and what it promises.
        false_matches: The share of impostor comparisons (1:1, FMR) or of strangers (1:N, FPIR) that pass it.
        misses: The share of genuine comparisons (FNMR) or of registered people's pictures (FNIR) that do not.
    """

    threshold: Threshold
    false_matches: float
    misses: float


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """Both errors at every threshold; what ROC and DET plots show.

    Attributes:
        thresholds: (T,) float64, rising: every similarity that occurs, and one above them all.
        false_matches: (T,) FMR or FPIR, never rising.
        misses: (T,) FNMR or FNIR, never falling.
    """

    thresholds: Values
    false_matches: Values
    misses: Values


@dataclass(frozen=True, slots=True)
class EqualError:
    """Where FMR and FNMR meet.

    Attributes:
        rate: The equal error rate (EER), linear between two neighbouring thresholds.
        threshold: The upper one of the two.
    """

    rate: float
    threshold: float


class Ranking:
    """Genuine and impostor scores in order.

    Args:
        genuine: (G,) scores.
        impostor: (I,) scores.

    Attributes:
        thresholds: (T,) every score, lowest first, and one above them all.
        genuine_below: (T,) how many of the genuine each threshold refuses.
        impostors_at: (T,) how many of the impostors each threshold lets through.

    Raises:
        NotEnoughScores: One side is empty, or no score of either is finite.
        InvalidScores: One is NaN or infinitely high.
    """

    def __init__(self, genuine: Scores, impostor: Scores) -> None:
        genuine, impostor = checked(genuine, "genuine comparisons"), checked(impostor, "impostor comparisons")
        self._genuine_order: Indices = np.argsort(genuine, kind="stable")
        self._impostor_order: Indices = np.argsort(-impostor, kind="stable")
        self.genuine = genuine[self._genuine_order]  # lowest first
        self.impostor = impostor[self._impostor_order]  # highest first
        present = np.unique(np.concatenate([genuine, impostor]))
        present = present[np.isfinite(present)]
        if not len(present):
            raise NotEnoughScores(
                "No comparison could be made", why="a face is missing in each", fix="Check the pictures"
            )
        self.thresholds = np.append(present, just_above(present[-1]))
        self.genuine_below: Indices = np.searchsorted(self.genuine, self.thresholds)
        self.impostors_at: Indices = len(self.impostor) - np.searchsorted(self.impostor[::-1], self.thresholds)

    def rates(self, genuine_weights: Values | None = None, impostor_weights: Values | None = None) -> "Rates":
        """Error rates where each comparison counts as often as its weight says, once without weights.

        Args:
            genuine_weights: (G,), 0 or more, in the order in which the scores were given.
            impostor_weights: (I,), likewise.
        """
        return Rates(
            self,
            missed=_running_sum(genuine_weights, self._genuine_order),
            matched=_running_sum(impostor_weights, self._impostor_order),
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """Error rates of a ranking under some weights, read through the methods.

    Attributes:
        ranking: The scores.
        missed: (G + 1,) weight of the genuine below each place, lowest score first.
        matched: (I + 1,) weight of the impostors above each place, highest score first.
    """

    ranking: Ranking
    missed: Values
    matched: Values

    @property
    def usable(self) -> bool:
        """Whether there is any weight on both sides."""
        return bool(self.missed[-1] > 0 and self.matched[-1] > 0)

    def at(self, rate: float) -> OperatingPoint:
        """What the lowest threshold does that keeps to a rate of false matches, 0..1.

        At 0 the threshold is just above the most similar impostor.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"a rate of false matches is 0..1, not {rate}")
        threshold, impostors = self.threshold_at(rate), round(float(self.matched[-1]))
        return OperatingPoint(rate, threshold, self.false_matches(threshold), self.misses(threshold), impostors)

    def threshold_at(self, rate: float) -> float:
        """The lowest threshold whose rate of false matches is not above the one asked for."""
        allowed = rate * self.matched[-1] * (1 + _ROUNDING)
        place = int(np.searchsorted(self.matched[1:], allowed, side="right"))  # from here on there are too many
        if place == len(self.ranking.impostor) or np.isneginf(self.ranking.impostor[place]):
            return float(self.ranking.thresholds[0])
        return just_above(self.ranking.impostor[place])

    def false_matches(self, threshold: float) -> float:
        """Share of the impostors that matches."""
        place = len(self.ranking.impostor) - int(np.searchsorted(self.ranking.impostor[::-1], threshold))
        return float(self.matched[place] / self.matched[-1])

    def misses(self, threshold: float) -> float:
        """Share of the genuine that does not match."""
        return float(self.missed[np.searchsorted(self.ranking.genuine, threshold)] / self.missed[-1])

    def default(self, threshold: Threshold) -> DefaultThreshold:
        """What a threshold does that was chosen without these scores."""
        return DefaultThreshold(threshold, self.false_matches(threshold.value), self.misses(threshold.value))

    def curve(self) -> ErrorCurve:
        """Both errors at every threshold that makes a difference."""
        false_matches = self.matched[self.ranking.impostors_at] / self.matched[-1]
        misses = self.missed[self.ranking.genuine_below] / self.missed[-1]
        return ErrorCurve(self.ranking.thresholds, false_matches, misses)

    def equal_error(self) -> EqualError:
        """Where both errors are equal. Looks at a few thresholds only, as a bootstrap asks hundreds of times."""
        thresholds = self.ranking.thresholds
        place = min(bisect_left(range(len(thresholds)), 0.0, key=self._excess), len(thresholds) - 1)
        misses, excess = self._misses_at(place), self._excess(place)
        if place == 0:  # even at the lowest threshold more are missed than matched: the curves do not meet
            return EqualError(misses - excess / 2, float(thresholds[0]))
        misses_before, excess_before = self._misses_at(place - 1), self._excess(place - 1)
        share = excess_before / (excess_before - excess)
        return EqualError(misses_before + share * (misses - misses_before), float(thresholds[place]))

    def _misses_at(self, place: int) -> float:
        return float(self.missed[self.ranking.genuine_below[place]] / self.missed[-1])

    def _excess(self, place: int) -> float:
        """Misses less false matches at a threshold, which never falls from one to the next."""
        return self._misses_at(place) - float(self.matched[self.ranking.impostors_at[place]] / self.matched[-1])


def error_rates(genuine: Scores, impostor: Scores, weights: Values | None = None) -> Rates:
    """Error rates at every threshold.

    Args:
        genuine: (G,) similarities of comparisons that show one person.
        impostor: (I,) similarities of comparisons that show two.
        weights: (I,) how many impostor comparisons each one stands for; None: one.

    Raises:
        NotEnoughScores: One kind is missing, or no similarity is finite.
        InvalidScores: A similarity is NaN or infinitely high.
    """
    return Ranking(genuine, impostor).rates(impostor_weights=weights)


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


def _running_sum(weights: Values | None, order: Indices) -> Values:
    sums = np.zeros(len(order) + 1)
    sums[1:] = np.arange(1, len(order) + 1) if weights is None else np.cumsum(np.asarray(weights, np.float64)[order])
    return sums


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
    accuracies, thresholds = Folds(similarities, same, fold_of).judge(np.ones(len(similarities)))
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

    def judge(self, weights: Values) -> tuple[Values, Values]:
        """Accuracy of each fold and its threshold, a pair counting as often as its weight says.

        Args:
            weights: (P,), 0 or more, whole numbers, in the order in which the pairs were given.

        Returns:
            (F,) accuracies, NaN for a fold without weight, and (F,) thresholds.
        """
        by_fold = self._member * np.asarray(weights, np.float64)[self._order]
        # Raising the threshold past a pair makes an impostor right and a genuine pair wrong.
        gains = np.zeros((len(by_fold), len(self._order) + 1))
        np.cumsum(np.where(self._same, -by_fold, by_fold), axis=1, out=gains[:, 1:])
        right = gains[:, self._starts] + (by_fold * self._same).sum(axis=1, keepdims=True)
        elsewhere = np.where(self._allowed, right.sum(axis=0) - right, -1.0)
        best = elsewhere == elsewhere.max(axis=1, keepdims=True)
        place = [places[(len(places) - 1) // 2] for places in map(np.flatnonzero, best)]
        found = right[np.arange(len(right)), place]
        total = by_fold.sum(axis=1)
        return np.divide(found, total, out=np.full(len(total), np.nan), where=total > 0), self._thresholds[place]
