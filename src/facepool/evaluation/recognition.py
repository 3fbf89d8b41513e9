"""From pictures with their faces to the error rates of a protocol: verification and open-set identification."""

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np

from facepool.errors import NotEnoughScores
from facepool.evaluation.acquisition import Acquired
from facepool.evaluation.all_pairs import all_pairs
from facepool.evaluation.bootstrap import identification_intervals, verification_intervals
from facepool.evaluation.discard import Breakdown, DiscardCurve, breakdown, errors_versus_discard
from facepool.evaluation.metrics import equal_error, error_curve, fold_accuracy, operating_points
from facepool.evaluation.open_set import (
    at_threshold,
    fnir_at_fpir,
    open_set_curve,
    rank_one,
)
from facepool.evaluation.protocols import Pairs, Split
from facepool.evaluation.results import (
    NOT_ACQUIRED,
    Captures,
    Comparisons,
    DefaultThreshold,
    Gallery,
    IdentificationResults,
    Probes,
    Run,
    VerificationResults,
)
from facepool.search import Index, best_template, normalized_scores
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Indices, Mask

FMRS = (1e-2, 1e-3, 1e-4)
FPIRS = (0.1, 0.01, 0.001)
YAW_EDGES = (0, 10, 20, 30, 45, float("inf"))
QUALITY_EDGES = (0, 20, 40, 60, 80, float("inf"))
_BLOCK_VALUES = 1 << 24

Rule = Callable[[Floats, Index], Floats]
"""From (P, T) similarities of probes and templates to (P, N) scores of probes and people, N at least 1."""


def evaluate_pairs(pairs: Pairs, acquired: Acquired, run: Run, policy: ThresholdPolicy) -> VerificationResults:
    """Error rates of the pairs of a list.

    Args:
        pairs: The list.
        acquired: A face of each of its pictures, row by row.
        run: Passed through.
        policy: The threshold that ``facepool verify`` would use.

    Raises:
        NotEnoughScores: The list has no pair of one kind, or no face was found anywhere.
    """
    captures = acquired.captures
    similarities = np.einsum("ij,ij->i", captures.embeddings[pairs.first], captures.embeddings[pairs.second])
    comparisons = Comparisons(
        first=pairs.first,
        second=pairs.second,
        same=pairs.same,
        similarities=_only_acquired(similarities, captures, pairs.first, pairs.second),
        weights=np.ones(len(pairs.same)),
        fold_of=pairs.fold_of,
        left_out=pairs.left_out,
    )
    return _verification(comparisons, captures, run, policy)


def evaluate_all_pairs(acquired: Acquired, run: Run, policy: ThresholdPolicy) -> VerificationResults:
    """Error rates of every picture against every other one. Arguments and errors as ``evaluate_pairs``."""
    captures = acquired.captures
    found = all_pairs(captures.embeddings, _numbers(captures.people), captures.acquired)
    comparisons = Comparisons(
        first=found.first,
        second=found.second,
        same=found.same,
        similarities=_only_acquired(found.similarities, captures, found.first, found.second),
        weights=found.weights,
        exact_from=found.exact_from,
    )
    return _verification(comparisons, captures, run, policy)


def _verification(
    comparisons: Comparisons, captures: Captures, run: Run, policy: ThresholdPolicy
) -> VerificationResults:
    genuine, impostor, weights = comparisons.genuine, comparisons.impostor, comparisons.impostor_weights
    points = operating_points(genuine, impostor, FMRS, weights=weights)
    person_of = _numbers(captures.people)
    threshold = policy.verification()
    accuracy = None
    if comparisons.fold_of is not None:
        accuracy = fold_accuracy(comparisons.similarities, comparisons.same, comparisons.fold_of)
    return VerificationResults(
        run=run,
        captures=captures,
        comparisons=comparisons,
        curve=error_curve(genuine, impostor, weights=weights),
        eer=equal_error(genuine, impostor, weights=weights),
        points=points,
        accuracy=accuracy,
        intervals=verification_intervals(
            comparisons.similarities,
            comparisons.same,
            person_of[comparisons.first],
            person_of[comparisons.second],
            FMRS,
            fold_of=comparisons.fold_of,
            weights=None if comparisons.fold_of is not None else comparisons.weights,
        ),
        default=DefaultThreshold(
            threshold,
            false_matches=float(weights[impostor >= threshold.value].sum() / weights.sum()),
            misses=float((genuine < threshold.value).mean()),
        ),
        **_conditions(comparisons, captures, threshold.value),
    )


class _Conditions(TypedDict):
    by_pose: Breakdown
    by_quality: Breakdown
    discard: DiscardCurve


def _conditions(comparisons: Comparisons, captures: Captures, threshold: float) -> _Conditions:
    """What the misses of a threshold depend on: a pair is as good as its worse face."""
    first, second = comparisons.first[comparisons.same], comparisons.second[comparisons.same]
    genuine = comparisons.genuine
    people = _numbers(captures.people)[first]
    yaws = np.maximum(np.abs(captures.yaws[first]), np.abs(captures.yaws[second]))
    qualities = np.minimum(captures.qualities[first], captures.qualities[second])
    missed = genuine < threshold
    return _Conditions(
        by_pose=breakdown(yaws, YAW_EDGES, missed, people),
        by_quality=breakdown(qualities, QUALITY_EDGES, missed, people),
        discard=errors_versus_discard(np.nan_to_num(qualities), genuine, threshold),
    )


def _only_acquired(similarities: Floats, captures: Captures, first: Indices, second: Indices) -> Floats:
    both = captures.acquired[first] & captures.acquired[second]
    # Rounding takes the product of two unit vectors beyond 1 now and then.
    return np.where(both, np.clip(similarities, -1, 1), np.float32(NOT_ACQUIRED))


def _numbers(people: Sequence[str]) -> Indices:
    return np.unique(people, return_inverse=True)[1].reshape(-1).astype(np.intp)


def evaluate_split(
    split: Split, acquired: Acquired, run: Run, policy: ThresholdPolicy, *, rule: Rule | None = None
) -> IdentificationResults:
    """Error rates of registered people and strangers against a gallery.

    Args:
        split: Who is registered.
        acquired: A face of each of its pictures, row by row.
        run: Passed through.
        policy: The threshold that ``facepool recognize`` would use.
        rule: Makes one similarity of those to a person's templates; by default as recognition does.

    Raises:
        NotEnoughScores: Nobody could be registered, or there is no probe of one kind.
    """
    captures = acquired.captures
    gallery = _register(split, captures)
    index = _index(gallery, captures)
    rule = rule or (normalized_scores if policy.follows_pool else best_template)
    probes = _search(split, captures, index, rule)
    threshold = policy.identification(len(index))
    people = np.array(captures.people)[probes.rows]
    default = at_threshold(probes.searches, probes.strangers, threshold.value)
    return IdentificationResults(
        run=run,
        captures=captures,
        gallery=gallery,
        probes=probes,
        curve=open_set_curve(probes.searches, probes.strangers),
        points=tuple(fnir_at_fpir(probes.searches, probes.strangers, fpir) for fpir in FPIRS),
        rank_one=rank_one(probes.searches),
        intervals=identification_intervals(
            probes.searches,
            probes.strangers,
            _numbers(people[probes.mated].tolist()),
            _numbers(people[~probes.mated].tolist()),
            FPIRS,
        ),
        default=DefaultThreshold(threshold, default.fpir, default.fnir),
    )


def _register(split: Split, captures: Captures) -> Gallery:
    rows = split.templates[captures.acquired[split.templates]]
    wanted = {split.people[row] for row in split.templates}
    registered = {split.people[row] for row in rows}
    if not registered:
        raise NotEnoughScores("Nobody could be registered", why="no picture has a face", fix="Check the pictures")
    asked = np.unique(_numbers([split.people[row] for row in split.templates]), return_counts=True)[1].max()
    return Gallery(tuple(sorted(registered)), rows, tuple(sorted(wanted - registered)), int(asked))


def _index(gallery: Gallery, captures: Captures) -> Index:
    """The pool that registration would have made; a template's number is its row of the captures."""
    number = {person: index for index, person in enumerate(gallery.people)}
    owners = np.array([number[captures.people[row]] for row in gallery.rows], np.intp)
    numbers = gallery.rows.astype(np.int64)
    return Index.of_rows(captures.embeddings[gallery.rows], owners, gallery.people, template_ids=numbers)


def _search(split: Split, captures: Captures, index: Index, rule: Rule) -> Probes:
    rows = np.concatenate([split.mated, split.strangers])
    number = {person: place for place, person in enumerate(index.names)}
    mated = np.arange(len(rows)) < len(split.mated)
    right = np.array([number.get(captures.people[row], -1) for row in rows], np.intp)
    size = max(1, _BLOCK_VALUES // len(index))
    blocks = [
        _search_block(captures.embeddings[rows[start : start + size]], right[start : start + size], index, rule)
        for start in range(0, len(rows), size)
    ]
    columns = [np.concatenate(column) for column in zip(*blocks, strict=True)]
    own, own_rows, other, other_rows, ranks = columns
    lost: Mask = ~captures.acquired[rows]
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
    own_rows = np.where(known, _loudest(similarities, right, index), -1)
    other_rows = np.where(np.isfinite(other), _loudest(similarities, nearest, index), -1)
    return own, own_rows, other, other_rows, ranks


def _loudest(similarities: Floats, people: Indices, index: Index) -> Indices:
    """(Q,) template number of each probe's most similar one among those of a person."""
    elsewhere = index.person_of[None, :] != people[:, None]
    loudest = np.argmax(np.where(elsewhere, -np.inf, similarities), axis=1)
    return np.asarray(index.template_ids[loudest], np.intp)
