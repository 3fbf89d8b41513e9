"""What errors depend on: error-versus-discard curves, and error rates by ranges of a measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from facepool.errors import InvalidScores
from facepool.evaluation.bootstrap import Interval, People, rate_interval
from facepool.evaluation.ranking import Scores, Values, checked
from facepool.types import Mask


@dataclass(frozen=True, slots=True)
class DiscardCurve:
    """Misses among what is left when the poorest pairs are left out (error-versus-discard, ISO/IEC 29794-1).

    Attributes:
        discarded: (K,) share of the genuine pairs that is left out, rising from 0, less than 1.
        fnmr: (K,) share of the others that does not match.
        qualities: (K,) least quality among the others.
    """

    discarded: Values
    fnmr: Values
    qualities: Values

    @property
    def best(self) -> Values:
        """(K,) what the FNMR would be if exactly the pairs that are missed had the least quality."""
        missed = self.fnmr[0]
        return np.asarray(np.maximum(0.0, missed - self.discarded) / (1.0 - self.discarded))

    def area(self, up_to: float = 0.2) -> float:
        """Mean FNMR while up to that share is left out: lower is better, `fnmr[0]` is a measure that tells nothing."""
        steps = np.append(self.discarded, up_to)
        widths = np.diff(np.minimum(steps, up_to))
        return float((widths * self.fnmr).sum() / up_to)


@dataclass(frozen=True, slots=True)
class Bin:
    """Errors of the trials whose measure lies in one range.

    Attributes:
        low: From here on.
        high: Up to here, exclusive.
        count: Number of trials.
        errors: How many of them went wrong.
        rate: Share; NaN without a trial.
        people: Whose trials they are, how many; 0 where it was not said.
        interval: Of the rate, by bootstrap over people; None where these are not known.
    """

    low: float
    high: float
    count: int
    errors: int
    rate: float
    people: int
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Error rates by ranges of a measure.

    Attributes:
        bins: The ranges, in order.
        unmeasured: Trials whose measure is not known, or lies in no range.
    """

    bins: tuple[Bin, ...]
    unmeasured: int


def errors_versus_discard(qualities: Scores, similarities: Scores, threshold: float) -> DiscardCurve:
    """FNMR at one threshold against the share of pairs that is left out, poorest first.

    Args:
        qualities: (G,) of the genuine pairs: the lesser of the two faces. Equal ones are left out together. A pair
            of which a face was not acquired belongs here, with the least quality of all (0, say).
        similarities: (G,).
        threshold: A pair matches at this similarity or above.

    Returns:
        One point for each quality that occurs, the first with nothing left out.

    Raises:
        NotEnoughScores: There is no pair.
        InvalidScores: A quality or similarity is NaN or infinitely high, or the columns have different lengths.
    """
    qualities, similarities = checked(qualities, "qualities"), checked(similarities, "genuine pairs")
    if len(qualities) != len(similarities):
        raise InvalidScores(
            "Qualities and similarities do not belong together",
            why=f"there are {len(qualities)} of the ones and {len(similarities)} of the others",
        )
    order = np.argsort(qualities, kind="stable")
    present, starts = np.unique(qualities[order], return_index=True)
    missed = np.concatenate([[0], np.cumsum(similarities[order] < threshold)])
    left = len(order) - starts
    return DiscardCurve(starts / len(order), (missed[-1] - missed[starts]) / left, present)


def breakdown(
    measures: Scores, edges: Sequence[float], wrong: Mask, people: People | None = None, *, seed: int = 0
) -> Breakdown:
    """Error rates by ranges of a measure, such as the yaw or the quality of a face.

    Args:
        measures: (N,) of each trial; NaN where it is not known.
        edges: Rising, at least two: between each and the next lies a range. May be infinite.
        wrong: (N,) whether a trial went wrong.
        people: (N,) whose trial it is, for intervals; None: none.
        seed: Of the bootstrap.

    Raises:
        InvalidScores: The columns have different lengths.
    """
    measures, wrong = np.asarray(measures, np.float64), np.asarray(wrong, np.bool_)
    names = None if people is None else np.asarray(people)
    if len(measures) != len(wrong) or (names is not None and len(names) != len(wrong)):
        raise InvalidScores("Columns of a breakdown disagree", why="they have different lengths")
    bins: list[Bin] = []
    for low, high in pairwise(edges):
        inside = (measures >= low) & (measures < high)
        bins.append(_bin(low, high, wrong[inside], None if names is None else names[inside], seed))
    return Breakdown(tuple(bins), len(measures) - sum(each.count for each in bins))


def _bin(low: float, high: float, wrong: Mask, people: People | None, seed: int) -> Bin:
    count, errors = len(wrong), int(wrong.sum())
    return Bin(
        low=low,
        high=high,
        count=count,
        errors=errors,
        rate=errors / count if count else float("nan"),
        people=0 if people is None else len(np.unique(np.asarray(people))),
        interval=None if people is None else rate_interval(wrong, people, seed=seed),
    )
