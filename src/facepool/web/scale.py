"""The scale of similarity that other programs' clients decide by: 0 to 1, and 0.5 where facepool decides.

CompreFace makes its similarity of the Euclidean distance of two unit vectors, with a logistic curve whose middle is the
distance at which its model decides. Here the middle is the threshold of facepool, which follows the pool, so that 0.5
means the same for every model and pool. The slope is chosen for the limits above 0.5 that clients ship with: they are
to keep the people who are known, and still to keep strangers out. ``docs/compreface.md`` has what was measured.
"""

import math

from facepool.types import Decision

STEEPNESS = 20.0
"""Of the curve at its middle: a cosine that is 0.05 beyond a threshold of 0.45 becomes about 0.87."""
_DIGITS = 5
_JUST_BELOW = 0.49999


def scaled(similarity: float, threshold: float, steepness: float = STEEPNESS) -> float:
    """A cosine on the scale.

    Args:
        similarity: -1..1; less a candidate's score offset, if it has one.
        threshold: The cosine from which on two faces are one person.
        steepness: Of the curve at its middle.

    Returns:
        0..1 with 5 digits; 0.5 or more exactly where the similarity reaches the threshold.
    """
    value = round((1 + math.tanh(steepness * (_distance(threshold) - _distance(similarity)))) / 2, _DIGITS)
    return max(value, 0.5) if similarity >= threshold else min(value, _JUST_BELOW)


def scaled_people(decision: Decision, steepness: float = STEEPNESS) -> list[tuple[str, float]]:
    """The people of a decision with their similarities, best first.

    Clients decide by these numbers alone, so they keep to what was decided: the first is 0.5 or more where facepool
    names somebody, who then is the first. Where two people match and cannot be told apart, both are 0.5 or more, as
    for somebody who is in the pool under two names. Where nobody is named for any other reason, such as a face too
    small, or a person who is another face of the picture, everybody stays below 0.5.

    Args:
        decision: About one face.
        steepness: As of `scaled`.
    """
    candidates = decision.candidates
    if not candidates:
        return []
    first = next((one for one in candidates if one.person == decision.person), candidates[0])
    threshold = decision.threshold - first.score_offset  # the decision says what the best candidate's similarity needed
    value = {one.person: scaled(one.normalized_score, threshold, steepness) for one in candidates}
    if decision.reason not in ("match", "ambiguous"):
        return [(person, min(own, _JUST_BELOW)) for person, own in value.items()]
    highest = max(value.pop(first.person), 0.5)
    # Somebody who is even more similar has to be another face of the picture.
    others = [(person, own if own <= highest else _JUST_BELOW) for person, own in value.items()]
    return [(first.person, highest), *sorted(others, key=lambda entry: -entry[1])]


def _distance(similarity: float) -> float:
    """Between two unit vectors of a cosine; a score offset may push it out of range."""
    return math.sqrt(max(0.0, 2 - 2 * similarity))
