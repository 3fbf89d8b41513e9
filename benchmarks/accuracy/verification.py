"""Mirror averaging, sizes, a second look for the landmarks, borders: what each is worth on LFW.

    python benchmarks/accuracy/verification.py                # View 2 by the default, with and without averaging
    python benchmarks/accuracy/verification.py --few          # ways of looking, on 439 people with four images each

``--few`` compares all pairs of those images: 2,634 genuine and 1.5 million impostor ones, so that lower false match
rates can be told than by View 2's 3,000. There the thresholds are those of the whole set, and intervals (95 %, people
drawn with replacement) and paired differences are of the share of genuine pairs above them. Probes of ``hard`` and
``cut`` are compared with each other as they are.
"""

import argparse
from pathlib import Path

import numpy as np
from features import CACHE, Features, features, lfw_pairs

from facepool.evaluation.bootstrap import draws, verification_intervals
from facepool.evaluation.metrics import error_rates, fold_accuracy
from facepool.types import Floats

FMRS = (1e-3, 1e-4, 1e-5)
GROUPS = (
    ("plain", "plain:straight", "plain:mirrored", "enlarged-640", "refined", "best"),
    ("size-80", "size-160", "refined-far"),
    ("hard", "hard-refined"),
    ("cut", "cut-padded"),
)


def vectors_of(features_: Features, averaging: str) -> Floats:
    vectors = {"": features_.averaged, "straight": features_.straight, "mirrored": features_.mirrored}[averaging]
    return np.asarray(np.where(features_.found[:, None], vectors, 0), np.float32)


def view2(cache: Path) -> None:
    found = features("plain", cache)
    row_of = {name: row for row, name in enumerate(found.names)}
    pairs = lfw_pairs()
    first, second = (np.array([row_of[pair[side]] for pair in pairs]) for side in (0, 1))
    same, fold_of = np.array([pair[2] for pair in pairs]), np.arange(len(pairs)) // 600
    people = np.unique(found.people, return_inverse=True)[1]
    print(f"{len(pairs)} pairs, {int((~found.found).sum())} images without a face")
    for averaging in ("straight", ""):
        vectors = vectors_of(found, averaging)
        similarities = np.einsum("nd,nd->n", vectors[first], vectors[second])
        folds = fold_accuracy(similarities, same, fold_of)
        rates = error_rates(similarities[same], similarities[~same])
        point, error = rates.at(1e-3), rates.equal_error()
        ends = verification_intervals(
            similarities, same, people[first], people[second], (1e-3,), fold_of=fold_of, replicates=200
        )
        print(f"{averaging or 'averaged':9} accuracy {folds.mean:.4%} "
              f"[{ends.accuracy.low:.2%}, {ends.accuracy.high:.2%}]"
              f" (deviation of folds {folds.std:.2%}), TAR at FMR 1e-3 {point.tar:.2%} "
              f"[{ends.tar_at_fmr[1e-3].low:.2%}, {ends.tar_at_fmr[1e-3].high:.2%}] at {point.threshold:.3f}, "
              f"EER {error.rate:.3%} [{ends.eer.low:.2%}, {ends.eer.high:.2%}]", flush=True)  # fmt: skip


def few(cache: Path) -> None:
    print(f"{'way':16} {'no face':>7}   TAR at FMR " + "".join(f"{fmr:<34g}" for fmr in FMRS))
    for group in GROUPS:
        shares = [genuine_shares(name, cache) for name in group]
        for name, (lost, tar, replicates) in zip(group, shares, strict=True):
            less, least = tar - shares[0][1], np.quantile(replicates - shares[0][2], (0.025, 0.975), axis=0)
            columns = [
                f"{tar[k]:.2%}" + (f" {less[k]:+.2%} [{least[0, k]:+.2%}, {least[1, k]:+.2%}]" if less.any() else "")
                for k in range(len(FMRS))
            ]
            print(f"{name:16} {lost:7}              " + "".join(f"{column:34}" for column in columns), flush=True)


def genuine_shares(name: str, cache: Path) -> tuple[int, Floats, Floats]:
    """Images without a face, the TAR at each rate, and its replicates."""
    way, _, averaging = name.partition(":")
    found = features(way, cache, few=True)
    vectors = vectors_of(found, averaging)
    people = np.unique(found.people, return_inverse=True)[1]
    first, second = np.triu_indices(len(vectors), 1)
    similarities, same = (vectors @ vectors.T)[first, second], people[first] == people[second]
    impostor = np.sort(similarities[~same])[::-1]
    thresholds = [impostor[int(fmr * len(impostor))] for fmr in FMRS]
    above = np.array([similarities[same] > threshold for threshold in thresholds], np.float64)
    person = people[first[same]]
    replicates = [above @ drawn[person] / drawn[person].sum() for drawn in draws(int(people.max()) + 1, 500, 0)]
    return int((~found.found).sum()), above.mean(axis=1), np.array(replicates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    (few if arguments.few else view2)(arguments.cache)


if __name__ == "__main__":
    main()
