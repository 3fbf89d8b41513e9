"""CompreFace's scale of similarity: 0 to 1, and 0.5 at the decision.

CompreFace makes it of the Euclidean distance of two unit vectors with a logistic curve whose middle is the distance at
which its model decides. Here the middle is the threshold of facepool, which follows the pool, so that 0.5 means the
same for every model and pool; the slope is about the one of CompreFace's default model, so that limits which users have
set for their clients stay sensible.
"""

import math

from facepool.types import Candidate, Decision

STEEPNESS = 5.3
"""Of the curve at its middle: a cosine that is 0.1 beyond a threshold of 0.45 becomes about 0.76."""
_DIGITS = 5
_JUST_BELOW = 0.49999


def scaled(similarity: float, threshold: float) -> float:
    """A cosine on CompreFace's scale.

    Args:
        similarity: -1..1; less a candidate's bar, if it has one.
        threshold: The cosine from which on two faces are one person.

    Returns:
        0..1 with 5 digits; 0.5 or more exactly where the similarity reaches the threshold.
    """
    value = round((1 + math.tanh(STEEPNESS * (_distance(threshold) - _distance(similarity)))) / 2, _DIGITS)
    return max(value, 0.5) if similarity >= threshold else min(value, _JUST_BELOW)


def scaled_candidate(candidate: Candidate, decision: Decision) -> float:
    """One candidate of a decision. Clients decide by this number alone, so it keeps to what was decided.

    Where nobody is named although somebody is similar enough (two people who cannot be told apart, a face too small),
    all candidates stay below 0.5.
    """
    threshold = decision.threshold - (decision.candidates[0].score_offset if decision.candidates else 0.0)
    value = scaled(candidate.normalized_score, threshold)
    if decision.person is None:
        return min(value, _JUST_BELOW)
    return max(value, 0.5) if candidate.person == decision.person else value


def _distance(similarity: float) -> float:
    """Between two unit vectors of a cosine; a bar may push it out of range."""
    return math.sqrt(max(0.0, 2 - 2 * similarity))
