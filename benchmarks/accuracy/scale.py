"""What a limit on the similarity that CompreFace's clients get does: which of the known are named, and which strangers.

    python benchmarks/accuracy/scale.py                            # the scale that is shipped
    python benchmarks/accuracy/scale.py --steepness 5.3 10 20 40   # others beside it
    python benchmarks/accuracy/scale.py --verification             # two faces, no pool: every pair of photos

Pools of people of LFW with k photos of each; some other photos of each are looked for, and one of each of many
strangers. A client takes the first subject if its similarity is the limit or more, and nobody otherwise. The decision
is facepool's own: threshold for the pool's size, score offsets, margin; nothing is calibrated. A photo without a face
takes no part. Vectors are kept where ``calibration.py`` keeps them; they are biometric data.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from calibration import CACHE, LFW, Faces, look_at

from facepool.models.catalog import CATALOG, EmbedderSpec
from facepool.recognize.decide import Criteria, decide
from facepool.recognize.pictures import CANDIDATES, RecognizeOptions
from facepool.search import Index
from facepool.search.exact import nearest
from facepool.thresholds import ThresholdPolicy
from facepool.types import Decision, Floats, Indices
from facepool.web.scale import STEEPNESS, scaled, scaled_people

LIMITS = (0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
POOLS = ((5, 1, 200), (5, 4, 200), (20, 1, 100), (20, 4, 100), (60, 1, 40), (60, 4, 40), (200, 4, 10), (1000, 1, 5))
"""People, photos of each, pools."""
PROBES = 3
"""Other photos of each person that are looked for, at most, so that those with many do not speak for all."""
STRANGERS = 1000
"""Photos of strangers that are looked for in each pool, one a person."""


def policy() -> ThresholdPolicy:
    spec = CATALOG["sface"].spec
    assert isinstance(spec, EmbedderSpec)
    return ThresholdPolicy(spec.fmr)


def decisions(index: Index, probes: Floats) -> list[Decision]:
    """What facepool decides of each probe."""
    threshold = policy().identification(len(index)).value
    criteria = Criteria(threshold, RecognizeOptions().min_margin, index.look_alikes, margins=index.margins)
    found = nearest(index, probes, CANDIDATES, normalize=True)
    return [decide(candidates, criteria) for candidates in found]


def draw(faces: Faces, people: int, templates: int, random: np.random.Generator) -> tuple[Index, Indices, Indices]:
    """A pool, and the rows of the photos of its people and of strangers that are looked for in it."""
    shuffled = random.permutation(len(faces.owners))
    photos = np.bincount(faces.owners)
    chosen = random.permutation(np.flatnonzero(photos > templates))[:people]
    of = {int(one): shuffled[faces.owners[shuffled] == one] for one in chosen}
    rows = np.concatenate([of[one][:templates] for one in of])
    index = Index.of_rows(faces.vectors[rows], np.repeat(np.arange(len(of)), templates), list(map(str, of)))
    mates = np.concatenate([of[one][templates : templates + PROBES] for one in of])
    foreign = shuffled[~np.isin(faces.owners[shuffled], chosen)]
    one_each = foreign[np.unique(faces.owners[foreign], return_index=True)[1]]
    return index, mates, random.permutation(one_each)[:STRANGERS]


def by_limit(faces: Faces, setting: tuple[int, int, int], steepnesses: Sequence[float]) -> None:
    people, templates, pools = setting
    kinds = ("the known", "known, named as another", "strangers")
    named = {(steepness, kind): np.zeros(len(LIMITS)) for steepness in steepnesses for kind in kinds}
    known_count = stranger_count = ambiguous = rightly = 0
    for number in range(pools):
        index, mates, strangers = draw(faces, people, templates, np.random.default_rng(number))
        known, foreign = decisions(index, faces.vectors[mates]), decisions(index, faces.vectors[strangers])
        known_count, stranger_count = known_count + len(known), stranger_count + len(foreign)
        right = np.array([int(decision.candidates[0].person) for decision in known]) == faces.owners[mates]
        undecided = np.array([decision.reason == "ambiguous" for decision in known])
        ambiguous, rightly = ambiguous + int(undecided.sum()), rightly + int((undecided & right).sum())
        for steepness in steepnesses:
            values, of_strangers = similarities(known, steepness), similarities(foreign, steepness)
            named[steepness, kinds[0]] += above(values[right])
            named[steepness, kinds[1]] += above(values[~right])
            named[steepness, kinds[2]] += above(of_strangers)
    threshold = policy().identification(people * templates).value
    print(f"\n{people} people x {templates} photos, {pools} pools, threshold {threshold:.3f}; {known_count} photos of "
          f"the known, {stranger_count} of strangers; {ambiguous} ambiguous, the first right in {rightly}")  # fmt: skip
    table(
        {
            (steepness, kind): count / (stranger_count if kind == "strangers" else known_count)
            for (steepness, kind), count in named.items()
        },
        2,
    )


def by_limit_of_verification(faces: Faces, steepnesses: Sequence[float]) -> None:
    threshold = policy().verification().value
    kinds = ("one person", "two people")
    least = {steepness: [least_cosine(limit, threshold, steepness) for limit in LIMITS] for steepness in steepnesses}
    passed = {(steepness, kind): np.zeros(len(LIMITS)) for steepness in steepnesses for kind in kinds}
    counts = dict.fromkeys(kinds, 0)
    for row in range(len(faces.vectors) - 1):
        cosines = faces.vectors[row + 1 :] @ faces.vectors[row]
        same = faces.owners[row + 1 :] == faces.owners[row]
        for kind, some in zip(kinds, (cosines[same], cosines[~same]), strict=True):
            counts[kind] += len(some)
            ordered = np.sort(some)
            for steepness in steepnesses:
                passed[steepness, kind] += len(some) - np.searchsorted(ordered, least[steepness])
    print(f"\nverification, threshold {threshold:.3f}; pairs of "
          + ", of ".join(f"{kind}: {count}" for kind, count in counts.items()))  # fmt: skip
    table({(steepness, kind): count / counts[kind] for (steepness, kind), count in passed.items()}, 4)


def similarities(found: Sequence[Decision], steepness: float) -> Floats:
    """What a client reads of each decision: the similarity of its first subject."""
    return np.array([scaled_people(decision, steepness)[0][1] for decision in found])


def above(values: Floats) -> Floats:
    """How many reach each limit."""
    return (values[:, None] >= np.array(LIMITS)).sum(axis=0)


def least_cosine(limit: float, threshold: float, steepness: float) -> float:
    """From which on the similarity reaches a limit, to within a thousandth."""
    cosines = np.arange(-1, 1, 0.0005)
    return float(cosines[np.array([scaled(float(c), threshold, steepness) for c in cosines]) >= limit].min())


def table(shares: Mapping[tuple[float, str], Floats], digits: int) -> None:
    print("| steepness | | " + " | ".join(f"{limit:g}" for limit in LIMITS) + " |")
    print("|---" * (2 + len(LIMITS)) + "|")
    for (steepness, kind), row in shares.items():
        print(f"| {steepness:g} | {kind} | {' | '.join(f'{share:.{digits}%}' for share in row)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=LFW)
    parser.add_argument("--steepness", type=float, nargs="+", default=[STEEPNESS])
    parser.add_argument("--verification", action="store_true", help="two faces, no pool: all pairs of photos")
    parser.add_argument("--people", type=int, nargs="+", help="only pools of so many people")
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    faces = look_at(arguments.root, "none", None, "sface", arguments.cache).without_twice_named()
    if arguments.verification:
        by_limit_of_verification(faces, arguments.steepness)
        return
    for setting in POOLS:
        if not arguments.people or setting[0] in arguments.people:
            by_limit(faces, setting, arguments.steepness)


if __name__ == "__main__":
    main()
