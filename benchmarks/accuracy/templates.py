"""Several templates of a person: which rule makes one similarity of theirs, and does a cohort help?

    python benchmarks/accuracy/templates.py                   # LFW as it is
    python benchmarks/accuracy/templates.py --probes hard     # probes as a poor camera gives them

Open-set on LFW: a gallery of people with k templates each, the rest of their images as mated probes, everybody else's
as strangers. FNIR at the threshold that names 1 % of the strangers, and at the threshold that facepool would take for
this pool. Each replicate draws people with replacement and makes several galleries of them; all rules see the same.
Intervals are the 2.5 and 97.5 percentiles over replicates; a difference is paired with ``best``.

The cohort's mean vector comes from half of the people, who take no further part.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from features import CACHE, Features, features, unit

from facepool.models.catalog import CATALOG, EmbedderSpec
from facepool.search import Index, normalized_scores
from facepool.thresholds import TARGET_FPIR, ThresholdPolicy
from facepool.types import Floats

FPIR = 0.01
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Gallery:
    """So many people with k templates each.

    Attributes:
        vectors: (N, k, D).
        quality: (N, k) 0..100.
    """

    vectors: Floats
    quality: Floats


Rule = Callable[[Floats, Gallery], Floats]
"""From (P, N, k) similarities of probes and templates to (P, N)."""


def best(similarities: Floats, _gallery: Gallery) -> Floats:
    return np.asarray(similarities.max(axis=2))


def mean_similarity(similarities: Floats, _gallery: Gallery) -> Floats:
    return np.asarray(similarities.mean(axis=2))


def mean_vector(similarities: Floats, gallery: Gallery) -> Floats:
    length = np.linalg.norm(gallery.vectors.mean(axis=1), axis=1)
    return np.asarray(similarities.mean(axis=2) / length)


def quality_vector(similarities: Floats, gallery: Gallery) -> Floats:
    weights = (gallery.quality + 10) / (gallery.quality + 10).sum(axis=1, keepdims=True)
    length = np.linalg.norm((gallery.vectors * weights[:, :, None]).sum(axis=1), axis=1)
    return np.asarray((similarities * weights).sum(axis=2) / length)


def best_and_mean_vector(similarities: Floats, gallery: Gallery) -> Floats:
    return (best(similarities, gallery) + mean_vector(similarities, gallery)) / 2


def two_best(similarities: Floats, _gallery: Gallery) -> Floats:
    return np.asarray(np.sort(similarities, axis=2)[:, :, -2:].mean(axis=2))


def soft_best(similarities: Floats, _gallery: Gallery) -> Floats:
    return np.asarray(np.log(np.exp(20 * similarities).mean(axis=2)) / 20)


def with_score_offsets(similarities: Floats, gallery: Gallery) -> Floats:
    """What facepool ranks and decides by."""
    people, templates, dimension = gallery.vectors.shape
    rows = people * templates
    names = [f"{number:06}" for number in range(people)]
    index = Index.of_rows(gallery.vectors.reshape(rows, dimension), np.repeat(np.arange(people), templates), names)
    return normalized_scores(similarities.reshape(-1, rows), index)


def minus_others(rule: Rule) -> Rule:
    """Less what the probe resembles the gallery's other people on average: the gallery itself is the cohort."""

    def scored(similarities: Floats, gallery: Gallery) -> Floats:
        people = rule(similarities, gallery)
        others = (people.sum(axis=1, keepdims=True) - people) / (people.shape[1] - 1)
        return np.asarray(people - others)

    return scored


def over_others(rule: Rule) -> Rule:
    """The same, in deviations of the others (t-norm)."""

    def scored(similarities: Floats, gallery: Gallery) -> Floats:
        people, count = rule(similarities, gallery), similarities.shape[1] - 1
        mean = (people.sum(axis=1, keepdims=True) - people) / count
        square = ((people**2).sum(axis=1, keepdims=True) - people**2) / count
        return np.asarray((people - mean) / np.sqrt(np.maximum(square - mean**2, 1e-6)))

    return scored


RULES: dict[str, Rule] = {
    "best": best,
    "best, with score offsets (facepool)": with_score_offsets,
    "mean similarity": mean_similarity,
    "mean vector": mean_vector,
    "quality-weighted vector": quality_vector,
    "best and mean vector": best_and_mean_vector,
    "two best": two_best,
    "soft best": soft_best,
    "best, less the others": minus_others(best),
    "best and mean, less the others": minus_others(best_and_mean_vector),
    "best, t-norm": over_others(best),
}
CENTRED = ("best", "mean vector", "best and mean vector")


class Stage:
    """LFW split into a cohort, people to register and strangers.

    Args:
        stored: Where templates come from.
        probed: Where probes come from; the same images, perhaps seen otherwise.
        templates: k.
        seed: Of the split.
    """

    def __init__(self, stored: Features, probed: Features, templates: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        names, self.person = np.unique(stored.people, return_inverse=True)
        cohort = random.random(len(names)) < 0.5
        self.mean = unit(stored.averaged)[cohort[self.person] & stored.found].mean(axis=0)
        self.stored, self.probed, self.templates = stored.averaged, probed.averaged, templates
        self.quality = stored.quality
        self.images = [np.flatnonzero(self.person == number) for number in range(len(names))]
        counts = np.array([len(rows) for rows in self.images])
        self.eligible = np.flatnonzero(~cohort & (counts > templates))
        self.others = np.flatnonzero(~cohort & (counts <= templates))

    def replicate(self, random: np.random.Generator, people: int, galleries: int) -> dict[str, Floats]:
        """(FNIR at FPIR, FNIR and FPIR at the shipped threshold) a rule, for people drawn with replacement."""
        drawn = random.choice(self.eligible, len(self.eligible))
        passers = random.choice(self.others, len(self.others)) if len(self.others) else np.zeros(0, np.intp)
        rates: dict[str, list[Floats]] = {}
        for _ in range(galleries):
            enrolled = random.choice(np.unique(drawn), min(people, len(np.unique(drawn))), replace=False)
            times = np.array([(drawn == one).sum() for one in enrolled])
            strangers = np.concatenate([passers, drawn[~np.isin(drawn, enrolled)]])
            for rule, found in self._search(random, enrolled, times, strangers).items():
                rates.setdefault(rule, []).append(found)
        return {rule: np.mean(found, axis=0) for rule, found in rates.items()}

    def _search(self, random: np.random.Generator, enrolled: Ints, times: Ints, strangers: Ints) -> dict[str, Floats]:
        shuffled = [random.permutation(self.images[one]) for one in enrolled]
        kept = np.array([rows[: self.templates] for rows in shuffled])
        mated = np.concatenate([rows[self.templates :] for rows in shuffled])
        who = np.repeat(np.arange(len(enrolled)), [len(rows) - self.templates for rows in shuffled])
        weight = times[who].astype(np.float64)
        stranger = np.concatenate([random.choice(self.images[one], 1) for one in strangers])
        threshold = shipped_threshold(kept.size)
        rates = {}
        for centred in (False, True):
            probes, gallery = self._vectors(np.concatenate([mated, stranger]), kept, centred=centred)
            similarities = (probes @ gallery.vectors.reshape(kept.size, -1).T).reshape(-1, *kept.shape)
            for name, rule in RULES.items():
                if centred and name not in CENTRED:
                    continue
                people = rule(similarities, gallery)
                right = people[np.arange(len(mated)), who]
                first = people[: len(mated)].argmax(axis=1) == who
                highest = np.sort(people[len(mated) :].max(axis=1))
                at_fpir = highest[len(highest) - 1 - int(FPIR * len(highest))]
                missed = [np.average(~(first & (right > least)), weights=weight) for least in (at_fpir, threshold)]
                named = (highest >= threshold).mean()
                rates[f"{name}, centred" if centred else name] = np.array([*missed, named, at_fpir], np.float32)
        return rates

    def _vectors(self, probes: Ints, kept: Ints, *, centred: bool) -> tuple[Floats, Gallery]:
        stored, probed = self.stored[kept], self.probed[probes]
        if centred:
            stored = unit((stored - self.mean).reshape(-1, stored.shape[-1])).reshape(stored.shape)
            probed = unit(probed - self.mean)
        return probed, Gallery(stored, self.quality[kept])


def shipped_threshold(templates: int) -> float:
    spec = CATALOG["sface"].spec
    assert isinstance(spec, EmbedderSpec)
    return ThresholdPolicy(spec.fmr, TARGET_FPIR).identification(templates).value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--templates", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--probes", default="plain", help="a way of features.py that probes are seen in")
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--galleries", type=int, default=5, help="galleries a replicate")
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    few = arguments.probes != "plain"
    stored, probed = (features(way, arguments.cache, few=few) for way in ("plain", arguments.probes))
    for templates in arguments.templates:
        stage = Stage(stored, probed, templates)
        random = np.random.default_rng(1)
        runs = [stage.replicate(random, arguments.people, arguments.galleries) for _ in range(arguments.replicates)]
        people = min(arguments.people, len(stage.eligible))
        print(f"\n{people} people x {templates} templates, probes {arguments.probes}, "
              f"threshold of facepool {shipped_threshold(people * templates):.3f}")  # fmt: skip
        print(f"{'rule':34} {'FNIR at FPIR 1 %':>26} {'difference':>26}   at facepool's threshold")
        reference = np.array([run["best"] for run in runs])
        for rule in runs[0]:
            rates = np.array([run[rule] for run in runs])
            less = rates[:, 0] - reference[:, 0]
            own = f"FNIR {rates[:, 1].mean():6.2%} FPIR {rates[:, 2].mean():6.2%}"
            comparable = "others" not in rule and "t-norm" not in rule and "centred" not in rule
            print(f"{rule:34} {spread(rates[:, 0])} {spread(less)}   {own if comparable else ''}", flush=True)


def spread(values: Floats) -> str:
    low, high = np.quantile(values, (0.025, 0.975))
    return f"{values.mean():+7.2%} [{low:+7.2%}, {high:+7.2%}]"


if __name__ == "__main__":
    main()
