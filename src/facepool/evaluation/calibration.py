"""From a gallery to the threshold at which a given share of strangers would be named in it. NumPy is all that it needs.

1. Each registered person is taken for a stranger to the others, and scored as recognition would (``leave_one_out``).
2. How fast the scores of strangers fall off is known of the embedder's cohort (``TailShape``). Laid over the mean and
   deviation of the gallery's own scores, it turns each best score into a rarity: -log of the share of strangers who
   would reach it. Where the cohort describes the gallery exactly, rarities are exponentially distributed with mean 1.
3. The upper half of the rarities is the tail, whose mean length is estimated from the gallery together with what is
   known of other galleries, a conjugate prior (peaks over a threshold: Coles, An Introduction to Statistical Modeling
   of Extreme Values, ch. 4).
4. The interval is by bootstrap over people, who are drawn as probes and as gallery at once (Owen, The pigeonhole
   bootstrap, 2007), with the prior drawn along.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import NormalDist

import numpy as np

from facepool.errors import ConfigError, InsufficientData
from facepool.evaluation.bootstrap import LEVEL
from facepool.evaluation.metrics import Values
from facepool.gallery import Gallery
from facepool.models.catalog import FmrCurve
from facepool.search import Index, Search, normalized_scores
from facepool.types import Calibration, Floats, Indices, Mask

MIN_PEOPLE = 20
"""Fewer say next to nothing about others, whatever is known of others."""
_ERROR = 0.8
"""Standard deviation of the logarithm of the share named, as far as it comes from the tail's length, that is borne."""
MAX_TARGET_FPIR = 0.5
"""Beyond, there is no tail to speak of."""
_TAIL = 0.5
"""Share of probes whose best similarities are the tail."""
_CHANCE = 0.01
"""Two people are too alike to be strangers to each other when so few galleries would have such a pair by chance."""
_POINTS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 5e-3, 3e-3, 2e-3, 1e-3, 3e-4, 1e-4, 1e-5)
_GRID = np.linspace(-0.2, 1.2, 701)
_NOBODY = -1
_DEPTH = 8
"""Nearest others kept of a probe: enough for one of them to be among the people whom a bootstrap draws."""
_MEMBERS = 500
"""So many people tell the spread of similarities as well as more would."""
_BLOCK_VALUES = 1 << 23
_BULK = 0.8
"""A curve that reaches this rate has the middle of the distribution as well as its tail."""
_ONE_SIGMA = NormalDist().cdf(1.0)
_BEYOND = 60.0
_MEASURED_TAIL, _UNKNOWN_TAIL = (1.0, 70.0), (1.25, 8.0)
"""Mean excess and strength of the prior, with and without a cohort; where they come from is in ADR 14."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a calibration.

    Attributes:
        calibration: What the gallery is to keep.
        look_alikes: Pairs of names of whom one would be taken for the other if they were not registered themselves.
        too_alike: Those of them who are hardly two people, or are twins; they did not take part as strangers.
    """

    calibration: Calibration
    look_alikes: tuple[frozenset[str], ...]
    too_alike: tuple[frozenset[str], ...]


def calibrate_gallery(
    gallery: Gallery, cohort: FmrCurve | None, target_fpir: float, *, now: datetime, keep: bool = True
) -> Measured:
    """Measure a gallery, and keep with it what was measured and who was found to look alike.

    Args:
        gallery: Any.
        cohort: As for ``calibrate``.
        target_fpir: As for ``calibrate``.
        now: When this is.
        keep: False: only measure.

    Raises:
        ConfigError: There is no telling so large a share.
        InsufficientData: The gallery has too few people.
        PoolChanged: Another process has changed it meanwhile; nothing was kept.
    """
    if target_fpir > MAX_TARGET_FPIR:
        raise ConfigError(
            f"A pool cannot be calibrated for {target_fpir:.0%} of strangers",
            why=f"at most {MAX_TARGET_FPIR:.0%} can be told from it",
            fix="Give a smaller --target-fpir",
        )
    search, space = Search(gallery), gallery.space
    while True:
        index = search.index()
        measured = calibrate(index, cohort, target_fpir, space_id=space.id if space else "", now=now)
        if not index.spoiled:
            break
    if keep:
        gallery.set_calibration(measured.calibration, expected_revision=index.revision)
        new_pairs = [pair for pair in measured.look_alikes if pair not in index.look_alikes]
        if new_pairs:
            gallery.add((), space, new_pairs)
    return measured


def calibrate(
    index: Index,
    cohort: FmrCurve | None,
    target_fpir: float,
    *,
    space_id: str,
    now: datetime,
    replicates: int = 400,
    seed: int = 0,
) -> Measured:
    """Measure how often a gallery would name strangers.

    Args:
        index: The gallery.
        cohort: How similar strangers are to the same embedder elsewhere, from the middle of the distribution to its
            tail; None: nobody has measured it, and the gallery's own people have to suffice.
        target_fpir: Share of strangers that may be named, above 0 and at most 0.5.
        space_id: Of the gallery's embedding space; empty where the gallery does not know it.
        now: When this is.
        replicates: How often the gallery is drawn anew for the interval.
        seed: Of all that is drawn.

    Returns:
        The threshold at which the target is what can be expected, and what else is worth knowing.

    Raises:
        InsufficientData: The gallery has too few people to say anything about others.
    """
    index = index.compact()
    people = index.people
    shape = shape_of(cohort)
    needed = _people_needed(target_fpir, shape)
    if people < needed:
        raise InsufficientData(
            f"Insufficient data: have {people} people, need {needed}",
            why="how often strangers are named cannot be told from so few",
            fix="Register more people, or ask for a higher --target-fpir; until then the threshold follows the model's "
            "own error rates",
        )
    rng = np.random.default_rng(seed)
    strangers = leave_one_out(index, rng)
    too_alike = _too_alike(strangers, shape)
    strangers = strangers.without(too_alike)
    fits = _fit(strangers, shape, *_draws(people, shape, replicates, rng))
    expected = fits.named(_GRID, shape, people).mean(axis=0)
    threshold = _at(target_fpir, expected)
    if threshold > 1:
        raise InsufficientData(
            "Insufficient data: no similarity keeps strangers out",
            why="the people of this pool are as alike as one person",
            fix="See whether the same people are in it under several names: facepool people list",
        )
    low, high = np.quantile(fits.named(np.array([threshold]), shape, people), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    calibration = Calibration(
        threshold=threshold,
        target_fpir=target_fpir,
        low=float(low),
        high=float(high),
        points=_curve(expected, target_fpir),
        people=people,
        templates=len(index),
        comparisons=strangers.comparisons,
        borrowed=shape.strength / (shape.strength + _TAIL * people),
        created_at=now.isoformat(timespec="seconds"),
        space_id=space_id,
    )
    look_alikes = np.concatenate([too_alike, _pairs(strangers, threshold)])
    names = index.names
    return Measured(calibration, _named(look_alikes, names), _named(too_alike, names))


# --- the gallery's own people as strangers to it


@dataclass(frozen=True, slots=True)
class Strangers:
    """The searches of a gallery without the person who is searched for.

    Attributes:
        people: How many the gallery has.
        comparisons: Similarities of templates of different people that were looked at.
        owners: (R,) intp, whose template each probe is, an index into the gallery's names.
        nearest: (R, K) intp, the people who are most alike, best first; ``_NOBODY`` where there are fewer.
        similarities: (R, K) float64, how alike they are.
        members: (M,) intp, some of the people, or all.
        first: (M, M) float64, mean similarity of a member's probes to another; 0 on the diagonal.
        second: (M, M) float64, the same for its square.
    """

    people: int
    comparisons: int
    owners: Indices
    nearest: Indices
    similarities: Values
    members: Indices
    first: Values
    second: Values

    def without(self, pairs: Indices) -> "Strangers":
        """The same without what (N, 2) pairs of people have in common, as far as it is the nearest of a probe."""
        codes = np.concatenate([pairs @ [self.people, 1], pairs @ [1, self.people]])
        left_out = np.isin(self.owners[:, None] * self.people + self.nearest, codes)
        return replace(self, nearest=np.where(left_out, _NOBODY, self.nearest))

    def best_among(self, drawn: Mask) -> tuple[Indices, Values]:
        """The best similarity of each probe of the people who are drawn to the others who are.

        Args:
            drawn: (P,) bool.

        Returns:
            (Q,) rows of the probes, (Q,) similarities.
        """
        found = drawn[self.nearest] & (self.nearest != _NOBODY)
        rows = np.flatnonzero(drawn[self.owners] & found.any(axis=1))
        return rows, self.similarities[rows, found[rows].argmax(axis=1)]

    def spread(self, draws: Values) -> tuple[Values, Values]:
        """Mean and standard deviation of the similarities of different people.

        Args:
            draws: (B, P) how often each person is drawn.

        Returns:
            (B,) and (B,) float64.
        """
        weights = draws[:, self.members]
        pairs = np.maximum(weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1), 1.0)
        mean, square = (
            np.einsum("bp,pq,bq->b", weights, moment, weights, optimize=True) / pairs
            for moment in (self.first, self.second)
        )
        return mean, np.sqrt(np.maximum(square - mean**2, 1e-8))


def leave_one_out(index: Index, rng: np.random.Generator, limit: int = 5000) -> Strangers:
    """Score the gallery for each template as recognition does, as if whose template it is were not in it.

    Args:
        index: The gallery, of two people or more.
        rng: Draws the probes of a gallery that has more templates than the limit.
        limit: The most probes.
    """
    people = index.people
    rows = np.arange(len(index))
    if len(rows) > limit:
        rows = np.sort(rng.choice(len(index), limit, replace=False))
    owners = index.person_of[rows]
    members = np.unique(owners)
    if len(members) > _MEMBERS:
        members = np.sort(rng.choice(members, _MEMBERS, replace=False))
    place_of = np.full(people, _NOBODY)
    place_of[members] = np.arange(len(members))
    sums = np.zeros((2, len(members), len(members)))
    nearest, similarities = [], []
    size = max(1, _BLOCK_VALUES // len(index))
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        scores = normalized_scores(index.vectors[rows[block]] @ index.vectors.T, index, owners[block])
        best = _best(scores, min(_DEPTH, people - 1))
        nearest.append(best)
        similarities.append(np.take_along_axis(scores, best, axis=1).astype(np.float64))
        places = place_of[owners[block]]
        among = places != _NOBODY
        places, of_members = places[among], scores[among][:, members].astype(np.float64)
        of_members[np.arange(len(places)), places] = 0.0  # nobody is compared with themselves
        for moment, values in zip(sums, (of_members, of_members**2), strict=True):
            np.add.at(moment, places, values)
    first, second = sums / np.bincount(owners, minlength=people)[members][:, None]
    comparisons = int((len(index) - index.counts[owners]).sum())
    return Strangers(
        people, comparisons, owners, np.concatenate(nearest), np.concatenate(similarities), members, first, second
    )


def _best(scores: Floats, top: int) -> Indices:
    """(R, top) columns of the highest of (R, P), best first, equal ones by position."""
    least = -np.partition(-scores, top - 1, axis=1)[:, top - 1 : top]
    order = np.argsort(np.where(scores >= least, -scores, np.inf), axis=1, kind="stable")
    return np.asarray(order[:, :top], np.intp)


# --- the tail: what is known of other galleries, and what the gallery's own people add to it


@dataclass(frozen=True, slots=True)
class TailShape:
    """The share of comparisons of different people that are more alike than so many standard deviations.

    Attributes:
        deviations: (N,) float64, rising.
        log_rates: (N,) float64, natural logarithm, falling; both ends extended in a straight line.
        mean_excess: What the tail of galleries is expected to be, in units of this one's.
        strength: So many people of the gallery's own tail say as much of it as this expectation.
    """

    deviations: Values
    log_rates: Values
    mean_excess: float
    strength: float

    def log_rate(self, deviations: Values) -> Values:
        """(...,) natural logarithm of the share."""
        return np.interp(deviations, self.deviations, self.log_rates)


def shape_of(cohort: FmrCurve | None) -> TailShape:
    """The shape of a cohort's distribution, or the normal one where there is none."""
    if cohort is None or max(rate for rate, _ in cohort.points) < _BULK:
        rates = np.concatenate([[0.9, 0.7], np.logspace(-0.3, -9, 60)])
        deviations, log_rates = np.array([NormalDist().inv_cdf(1 - rate) for rate in rates]), np.log(rates)
        prior = _UNKNOWN_TAIL
    else:
        points = sorted(cohort.points, reverse=True)
        log_rates = np.log([rate for rate, _ in points])
        similarities = np.array([similarity for _, similarity in points])
        low, middle, high = np.interp(-np.log([_ONE_SIGMA, 0.5, 1 - _ONE_SIGMA]), -log_rates, similarities)
        deviations = (similarities - middle) / ((high - low) / 2)
        prior = _MEASURED_TAIL
    slope = (log_rates[-1] - log_rates[-2]) / (deviations[-1] - deviations[-2])
    return TailShape(
        np.concatenate([[-_BEYOND], deviations, [deviations[-1] + _BEYOND]]),
        np.concatenate([[0.0], log_rates, [log_rates[-1] + slope * _BEYOND]]),
        *prior,
    )


def _people_needed(target_fpir: float, shape: TailShape) -> int:
    """How many people tell the length of the tail well enough to follow it from its start to the target.

    The tail has half of the people, and as likeness is mutual, half as many independent ones. The number depends on
    nothing that was measured: galleries whose tail happens to look short must not be the ones that are accepted.
    """
    independent = (np.log(_TAIL / target_fpir) / _ERROR) ** 2 - shape.strength
    return max(MIN_PEOPLE, int(np.ceil(independent / (_TAIL / 2))))


@dataclass(frozen=True, slots=True)
class _Fits:
    """The distribution of a stranger's best similarity, as often as the gallery was drawn: (B,) float64 each.

    Attributes:
        mean: Of the similarities of different people.
        spread: Their standard deviation.
        start: Where the tail begins.
        share: How many strangers are in it.
        excess: Its mean length.
    """

    mean: Values
    spread: Values
    start: Values
    share: Values
    excess: Values

    def named(self, similarities: Values, shape: TailShape, people: int) -> Values:
        """(B, N) share of strangers who reach (N,) similarities in a gallery of so many people."""
        deviations = (similarities - self.mean[:, None]) / self.spread[:, None]
        rarity = _rarity(shape.log_rate(deviations), people)
        start, share, excess = (column[:, None] for column in (self.start, self.share, self.excess))
        in_tail = share * np.exp(-np.maximum(rarity - start, 0.0) / excess)
        return np.asarray(np.where(rarity >= start, in_tail, share ** (rarity / np.maximum(start, 1e-9))), np.float64)


def _draws(people: int, shape: TailShape, replicates: int, rng: np.random.Generator) -> tuple[Values, Values]:
    """How often each person is drawn, and what the prior says each time: (B, P) and (B,)."""
    draws = rng.multinomial(people, np.full(people, 1 / people), size=replicates).astype(np.float64)
    expected = shape.mean_excess * rng.gamma(shape.strength, 1 / shape.strength, size=replicates)
    return draws, expected


def _fit(strangers: Strangers, shape: TailShape, draws: Values, expected: Values) -> _Fits:
    """Fit the tail to each draw of people, (B, P), with (B,) expectations of its mean excess."""
    means, spreads = strangers.spread(draws)
    probes_of = np.bincount(strangers.owners, minlength=strangers.people)
    columns = []
    for drawn, mean, deviation, prior in zip(draws, means, spreads, expected, strict=True):
        present = drawn > 0
        rows, best = strangers.best_among(present)
        owners = strangers.owners[rows]
        weights = drawn[owners] / probes_of[owners]  # a person counts as one, however many templates they have
        rarity = _rarity(shape.log_rate((best - mean) / deviation), int(present.sum()) - 1)
        columns.append((mean, deviation, *_fit_tail(rarity, weights, prior, shape.strength)))
    return _Fits(*np.array(columns).T)


def _fit_tail(rarity: Values, weights: Values, prior: float, strength: float) -> tuple[float, float, float]:
    """Start, share and mean excess of the tail of weighted (Q,) values."""
    order = np.argsort(-rarity, kind="stable")
    rarity, weights = rarity[order], weights[order]
    last = int(np.searchsorted(np.cumsum(weights), _TAIL * weights.sum()))
    start = float(rarity[last])
    above = weights[: last + 1]
    excess = float((above * np.maximum(rarity[: last + 1] - start, 0.0)).sum())
    return start, float(above.sum() / weights.sum()), (excess + strength * prior) / (float(above.sum()) + strength)


def _rarity(log_rates: Values, people: int) -> Values:
    """-log of the share of strangers that would be as alike to one of so many people, were all independent."""
    matches = np.exp(np.maximum(log_rates, -600.0)) * people
    return np.asarray(-np.log(-np.expm1(-np.minimum(matches, 30.0))), np.float64)


def _too_alike(strangers: Strangers, shape: TailShape) -> Indices:
    """(N, 2) pairs of people whose likeness is no chance."""
    fit = _fit(strangers, shape, np.ones((1, strangers.people)), np.array([shape.mean_excess]))
    _, best = strangers.best_among(np.ones(strangers.people, bool))
    rarity = _rarity(shape.log_rate((best - fit.mean[0]) / fit.spread[0]), strangers.people - 1)
    # As far as a typical excess tells, which the pairs that are looked for cannot lengthen.
    typical = float(np.median(rarity[rarity >= fit.start[0]] - fit.start[0])) / np.log(2)
    own = _TAIL * strangers.people
    excess = (own * typical + shape.strength * shape.mean_excess) / (own + shape.strength)
    chances = strangers.people * fit.share[0] * np.exp(-(rarity - fit.start[0]) / excess)
    return _pairs(strangers, float(best[chances < _CHANCE].min(initial=np.inf)))


def _pairs(strangers: Strangers, limit: float) -> Indices:
    """(N, 2) pairs of people of whom one's probe is as alike to the other as the limit."""
    found = (strangers.similarities >= limit) & (strangers.nearest != _NOBODY)
    probes, places = np.nonzero(found)
    pairs = np.stack([strangers.owners[probes], strangers.nearest[probes, places]], axis=1)
    return np.unique(np.sort(pairs, axis=1), axis=0).astype(np.intp)


def _named(pairs: Indices, names: Sequence[str]) -> tuple[frozenset[str], ...]:
    return tuple(frozenset((names[one], names[other])) for one, other in pairs)


def _curve(expected: Values, target_fpir: float) -> tuple[tuple[float, float], ...]:
    """Shares and similarities of the grid around the target, which is one of them."""
    shares = sorted({*_POINTS, target_fpir}, reverse=True)
    points = [(share, _at(share, expected)) for share in shares]
    return tuple((share, similarity) for share, similarity in points if similarity < _GRID[-1])


def _at(share: float, named: Values) -> float:
    """The similarity at which a share is named, log-linear on the grid, on which shares fall."""
    return float(np.interp(-np.log(share), -np.log(np.maximum(named, 1e-300)), _GRID))
