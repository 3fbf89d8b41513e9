"""Decisions: from candidates to a person or unknown, and why."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from facepool.recognize.assignment import assign
from facepool.types import Candidate, Decision, Reason

LOOK_ALIKE_MARGIN = 0.1
"""By how much one of two people who are flagged as look-alikes must beat the other, where their templates do not
suffice to measure it: about the standard deviation of similarities between strangers, several times the margin that
other people need."""
_LEAST_GAIN = 1e-6  # the threshold itself is a match


@dataclass(frozen=True, slots=True)
class Criteria:
    """What it takes to be named.

    Attributes:
        threshold: A candidate matches at this similarity or above, once its score offset is taken off.
        min_margin: By how much the best must beat a runner-up who also matches; otherwise ``ambiguous``.
        look_alikes: Pairs of people of whom one must beat the other by a margin of its own, matching or not.
        hysteresis: What the person whom a face is taken for is ahead by, so that a name does not come and go.
        margins: The margin of each pair of look-alikes that was measured; ``LOOK_ALIKE_MARGIN`` for the others.
    """

    threshold: float
    min_margin: float = 0.0
    look_alikes: Collection[frozenset[str]] = ()
    hysteresis: float = 0.0
    margins: Mapping[frozenset[str], float] = field(default_factory=dict)

    def margin_between(self, one: str, other: str) -> float:
        """By how much one of two people must beat the other."""
        pair = frozenset((one, other))
        if pair not in self.look_alikes:
            return self.min_margin
        return max(self.min_margin, self.margins.get(pair, LOOK_ALIKE_MARGIN))


@dataclass(frozen=True, slots=True)
class Claim:
    """One of several faces that are in view together.

    Attributes:
        candidates: Best first, one a person.
        usable: False when the face is too poor to name anybody.
        held: Who the face has been until now, if it was anybody.
        frames: Number of frames that the similarities rest on.
    """

    candidates: Sequence[Candidate]
    usable: bool = True
    held: str | None = None
    frames: int = 1


def decide(
    candidates: Sequence[Candidate], criteria: Criteria, *, usable: bool = True, held: str | None = None
) -> Decision:
    """Name the nearest person, or nobody.

    Args:
        candidates: Best first, one a person.
        criteria: What it takes to be named.
        usable: False when the face is too poor to name anybody: ``low_quality``.
        held: Who the face has been until now, if it was anybody.
    """
    threshold = criteria.threshold
    if not candidates:
        return Decision(None, None, threshold, None, "empty_pool")
    if held is not None:
        candidates = sorted(candidates, key=lambda candidate: -_favoured(candidate, held, criteria.hysteresis))
    best, others = candidates[0], candidates[1:]
    margin = best.normalized_score - others[0].normalized_score if others else None
    favour = criteria.hysteresis if best.person == held else 0.0
    reason = _reason(best, others, favour, criteria) if usable else "low_quality"
    person = best.person if reason == "match" else None
    return Decision(
        person, best.similarity, threshold + best.score_offset, margin, reason, candidates=tuple(candidates)
    )


def decide_together(claims: Sequence[Claim], criteria: Criteria) -> list[Decision]:
    """Name the faces of one picture. Nobody is two of them.

    Each face claims the people whom it cannot tell from its best match; people are given to faces so that the
    similarities above the threshold add up to the most (exactly, see ``assignment``). A face whose person
    went to another one is ``already_in_view``: it is not given somebody whom it resembles less. A face between two
    people of whom one is clearly another face of the picture is the other one.

    Args:
        claims: One a face, in any order.
        criteria: What it takes to be named.

    Returns:
        One decision a claim. Of a single claim it is the plain decision.
    """
    alone = [decide(claim.candidates, criteria, usable=claim.usable, held=claim.held) for claim in claims]
    settled = _settle_all(claims, alone, criteria) if len(claims) > 1 else alone
    return [
        replace(decision, frames=claim.frames, candidates=tuple(claim.candidates))
        for claim, decision in zip(claims, settled, strict=True)
    ]


def _settle_all(claims: Sequence[Claim], alone: Sequence[Decision], criteria: Criteria) -> list[Decision]:
    given = _give_out(claims, criteria)
    clearly = {
        decision.person: index
        for index, decision in enumerate(alone)
        if decision.person is not None and given.get(index) == decision.person
    }
    return [
        _settle(index, claim, decision, clearly, given, criteria)
        for index, (claim, decision) in enumerate(zip(claims, alone, strict=True))
    ]


def _settle(
    index: int,
    claim: Claim,
    alone: Decision,
    clearly: Mapping[str, int],
    given: Mapping[int, str],
    criteria: Criteria,
) -> Decision:
    """What a claim's own decision becomes next to the other claims."""
    if alone.person is not None and clearly.get(alone.person) != index:
        return replace(alone, person=None, reason="already_in_view")
    if alone.reason != "ambiguous":
        return alone
    elsewhere = {person for person, holder in clearly.items() if holder != index}
    left = [candidate for candidate in claim.candidates if candidate.person not in elsewhere]
    resolved = decide(left, criteria, usable=claim.usable, held=claim.held)
    return resolved if resolved.person is not None and resolved.person == given.get(index) else alone


def _give_out(claims: Sequence[Claim], criteria: Criteria) -> dict[int, str]:
    """Which claim gets whom."""
    wanted = [_wanted(claim, criteria) for claim in claims]
    people = sorted({person for gains in wanted for person in gains})
    gains = np.array([[row.get(person, 0.0) for person in people] for row in wanted], np.float32)
    pairs = assign(gains.reshape(len(claims), len(people)))
    return {index: people[column] for index, column in pairs}


def _wanted(claim: Claim, criteria: Criteria) -> dict[str, float]:
    """What each person whom a face may be is worth to it: above 0, more for more similarity."""
    if not claim.usable or not claim.candidates:
        return {}
    value = {
        candidate.person: _favoured(candidate, claim.held, criteria.hysteresis) - criteria.threshold
        for candidate in claim.candidates
    }
    best = max(value, key=lambda person: value[person])
    return {
        person: worth + _LEAST_GAIN
        for person, worth in value.items()
        if worth >= 0 and (person == best or value[best] - worth < criteria.margin_between(best, person))
    }


def _favoured(candidate: Candidate, held: str | None, hysteresis: float) -> float:
    return candidate.normalized_score + (hysteresis if candidate.person == held else 0.0)


def _reason(best: Candidate, others: Sequence[Candidate], favour: float, criteria: Criteria) -> Reason:
    if best.similarity + favour < criteria.threshold + best.score_offset:
        return "below_threshold"
    for rank, other in enumerate(others):
        flagged = frozenset((best.person, other.person)) in criteria.look_alikes
        rival = flagged or (rank == 0 and other.normalized_score >= criteria.threshold)
        if rival and best.normalized_score + favour - other.normalized_score < criteria.margin_between(
            best.person, other.person
        ):
            return "ambiguous"
    return "match"
