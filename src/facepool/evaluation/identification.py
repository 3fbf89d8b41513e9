"""Open-set identification (1:N): registered people and strangers are searched for in a gallery.

FPIR and FNIR: ISO/IEC 19795-1, NIST FRTE 1:N (NISTIR 8271). A registered person's probe is missed if the most similar
person is somebody else, or is below the threshold; a stranger's probe is a false positive if anybody is at or above
it. Rates belong to one gallery and its size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facepool.errors import NotEnoughScores
from facepool.evaluation.bootstrap import IdentificationIntervals, identification_intervals
from facepool.evaluation.embeddings import EvaluatedPictures
from facepool.evaluation.metrics import NOT_ACQUIRED, DefaultThreshold, ErrorCurve, OperatingPoint, error_rates
from facepool.evaluation.protocols import Split
from facepool.search import Index, best_template, normalized_scores
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Indices, Mask

FPIRS = (0.1, 0.01, 0.001)
_BLOCK_VALUES = 1 << 24

Rule = Callable[[Floats, Index], Floats]
"""From (P, T) similarities of probes and templates to (P, N) scores of probes and people, N at least 1."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Who was registered for an identification run.

    Attributes:
        people: Names of those who are in the gallery, sorted.
        rows: (T,) rows of ``EvaluatedPictures`` that became templates.
        failed: Names of those who are not, because no picture that was meant for it has a face (failure to enroll).
        templates_asked: How many pictures of each were meant for it.
    """

    people: tuple[str, ...]
    rows: Indices
    failed: tuple[str, ...]
    templates_asked: int


@dataclass(frozen=True, slots=True)
class Probes:
    """The searches of an identification run, one row a probe.

    Attributes:
        rows: (Q,) rows of ``EvaluatedPictures``.
        mated: (Q,) whether the person is among those who were to be registered; all others are strangers.
        right: (Q,) float32, similarity to the person themselves; ``NOT_ACQUIRED`` for strangers, for people who
            could not be registered, and without a face.
        right_rows: (Q,) rows of ``EvaluatedPictures``: the template that it comes from; -1 where there is none.
        other: (Q,) float32, similarity to the nearest of all others; ``NOT_ACQUIRED`` without a face.
        other_rows: (Q,) rows of ``EvaluatedPictures``: the template that it comes from; -1 where there is none.
        ranks: (Q,) how many others are as similar or more, plus 1; 0 where there is no similarity to the right one.
    """

    rows: Indices
    mated: Mask
    right: Floats
    right_rows: Indices
    other: Floats
    other_rows: Indices
    ranks: Indices

    def __len__(self) -> int:
        """Number of probes."""
        return len(self.rows)

    @property
    def found(self) -> Floats:
        """(M,) of each registered person's probe: similarity to them where they are first, else minus infinity."""
        return np.where(self.ranks == 1, self.right, np.float32(NOT_ACQUIRED))[self.mated]

    @property
    def strangers(self) -> Floats:
        """(S,) the best similarity of each stranger to anybody."""
        return np.asarray(self.other[~self.mated])

    @property
    def rank_one(self) -> float:
        """Share of registered people's probes that are most similar to the right person; NaN for no probe."""
        return float((self.ranks[self.mated] == 1).mean()) if self.mated.any() else float("nan")

    def misnamed(self, threshold: float) -> float:
        """Share of registered people's probes that are named as somebody else; part of the misses."""
        wrong = (self.ranks != 1) & (self.other.astype(np.float64) >= threshold)
        return float(wrong[self.mated].mean())


@dataclass(frozen=True, slots=True)
class IdentificationResults:
    """Open-set 1:N: registered people and strangers against a gallery.

    Attributes:
        pictures: The pictures.
        enrolled: Who was registered, and who could not be.
        probes: The searches.
        curve: Both errors (FPIR and FNIR) at every threshold.
        points: FNIR at the false positive rates that were asked for.
        intervals: Of the figures above, by bootstrap over people.
        default: What ``facepool recognize`` does with a pool of this size, before any calibration.
    """

    pictures: EvaluatedPictures
    enrolled: Enrolled
    probes: Probes
    curve: ErrorCurve
    points: tuple[OperatingPoint, ...]
    intervals: IdentificationIntervals
    default: DefaultThreshold


def evaluate_split(split: Split, pictures: EvaluatedPictures, policy: ThresholdPolicy) -> IdentificationResults:
    """Error rates of registered people and strangers against a gallery.

    Args:
        split: Who is registered.
        pictures: A face of each of its pictures, row by row.
        policy: The threshold that ``facepool recognize`` would use.

    Raises:
        NotEnoughScores: Nobody could be registered, or there is no probe of one kind.
    """
    enrolled = _enroll(split, pictures)
    index = _index(enrolled, pictures)
    probes = _search(split, pictures, index, normalized_scores if policy.follows_pool else best_template)
    rates = error_rates(probes.found, probes.strangers)
    person_of = pictures.person_of[probes.rows]
    return IdentificationResults(
        pictures=pictures,
        enrolled=enrolled,
        probes=probes,
        curve=rates.curve(),
        points=tuple(rates.at(fpir) for fpir in FPIRS),
        intervals=identification_intervals(
            probes.found, probes.strangers, person_of[probes.mated], person_of[~probes.mated], FPIRS
        ),
        default=rates.default(policy.identification(len(index))),
    )


def _enroll(split: Split, pictures: EvaluatedPictures) -> Enrolled:
    rows = split.templates[pictures.acquired[split.templates]]
    registered = {split.people[row] for row in rows}
    if not registered:
        raise NotEnoughScores("Nobody could be registered", why="no picture has a face", fix="Check the pictures")
    wanted, counts = np.unique([split.people[row] for row in split.templates], return_counts=True)
    return Enrolled(tuple(sorted(registered)), rows, tuple(sorted({*wanted.tolist()} - registered)), int(counts.max()))


def _index(enrolled: Enrolled, pictures: EvaluatedPictures) -> Index:
    """The gallery that registration would have made; a template's number is its row of the pictures."""
    number = {person: place for place, person in enumerate(enrolled.people)}
    owners = np.array([number[pictures.people[row]] for row in enrolled.rows], np.intp)
    numbers = enrolled.rows.astype(np.int64)
    return Index.of_rows(pictures.embeddings[enrolled.rows], owners, enrolled.people, template_ids=numbers)


def _search(split: Split, pictures: EvaluatedPictures, index: Index, rule: Rule) -> Probes:
    rows = np.concatenate([split.mated, split.strangers])
    number = {person: place for place, person in enumerate(index.names)}
    mated = np.arange(len(rows)) < len(split.mated)
    right = np.array([number.get(pictures.people[row], -1) for row in rows], np.intp)
    size = max(1, _BLOCK_VALUES // len(index))
    blocks = [
        _search_block(pictures.embeddings[rows[start : start + size]], right[start : start + size], index, rule)
        for start in range(0, len(rows), size)
    ]
    own, own_rows, other, other_rows, ranks = (np.concatenate(column) for column in zip(*blocks, strict=True))
    lost: Mask = ~pictures.acquired[rows]
    own[lost] = other[lost] = NOT_ACQUIRED
    own_rows[lost] = other_rows[lost] = -1
    ranks[lost] = 0
    return Probes(rows, mated, own, own_rows, other, other_rows, ranks)


def _search_block(
    embeddings: Floats, right: Indices, index: Index, rule: Rule
) -> tuple[Floats, Indices, Floats, Indices, Indices]:
    """Similarity and template of the right person and of the nearest other one, and the rank of the right one."""
    similarities = embeddings @ index.vectors.T
    people = np.clip(rule(similarities, index), -1.0, 1.0)
    rows = np.arange(len(people))
    known = right >= 0
    own = np.where(known, people[rows, right], np.float32(NOT_ACQUIRED))
    others = people.copy()
    others[rows[known], right[known]] = NOT_ACQUIRED
    nearest = np.argmax(others, axis=1)
    other = others[rows, nearest]
    ranks = np.where(known, 1 + (others >= own[:, None]).sum(axis=1), 0)
    own_rows = np.where(known, _nearest_templates(similarities, right, index), -1)
    other_rows = np.where(np.isfinite(other), _nearest_templates(similarities, nearest, index), -1)
    return own, own_rows, other, other_rows, ranks


def _nearest_templates(similarities: Floats, people: Indices, index: Index) -> Indices:
    """(Q,) template number of each probe's most similar one among those of a person."""
    elsewhere = index.person_of[None, :] != people[:, None]
    nearest = np.argmax(np.where(elsewhere, -np.inf, similarities), axis=1)
    return np.asarray(index.template_ids[nearest], np.intp)
