"""How well and how fast photos are grouped into people: facepool's rule beside DBSCAN and HDBSCAN.

python benchmarks/grouping.py ../shared/data/lfw ../shared/data/face-api-bbt --cache /tmp/grouping
python benchmarks/grouping.py --synthetic 10000 --synthetic 100000

Each folder has a folder for each person; what lies beside them is grouped, too, and does not count. All faces of all
photos are grouped; of each photo of a person, the face that is largest and nearest to the centre counts as theirs.
Faces of photos are kept in --cache, which has to be erased afterwards: it holds biometric data.

Pairwise precision: of all pairs of faces that are in one group, those of one person. Recall: of all pairs of one
person, those in one group. BCubed F: the same face by face, so that large groups count no more than small ones. A face
in no group is a group of its own.
"""

import argparse
import json
import resource
import time
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.cluster import DBSCAN, HDBSCAN

from facepool import ThresholdPolicy, load_analyzer
from facepool.bulk import LocalAnalysis
from facepool.capture.folders import walk_folder
from facepool.evaluation.embeddings import choose_face
from facepool.groups.cluster import LooseFaces, group_faces, grouping_threshold
from facepool.groups.library import CLEAR, PhotoLibrary
from facepool.groups.shelf import KeptFaces, Shelf
from facepool.models.catalog import FmrCurve

Labels = npt.NDArray[np.intp]
_IMMICHS_DISTANCE, _IMMICHS_FACES = 0.5, 3
_DIMENSION = 128
_MOST_OF_A_PERSON = 2000


def figures(labels: Labels, people: Labels) -> dict[str, float]:
    """Precision and recall of the groups of faces whose people are known."""
    _, groups = np.unique(np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels), return_inverse=True)
    _, truth = np.unique(people, return_inverse=True)
    both = Counter(zip(groups.tolist(), truth.tolist(), strict=True))
    of_group, of_person = np.bincount(groups), np.bincount(truth)
    right = sum(count * (count - 1) // 2 for count in both.values())
    found, wanted = (int((sizes * (sizes - 1) // 2).sum()) for sizes in (of_group, of_person))
    precision = sum(count**2 / of_group[group] for (group, _), count in both.items()) / len(labels)
    recall = sum(count**2 / of_person[person] for (_, person), count in both.items()) / len(labels)
    return {
        "precision": right / max(found, 1),
        "recall": right / max(wanted, 1),
        "bcubed_f": 2 * precision * recall / (precision + recall),
        "wrong_pairs": found - right,
        "groups": int((of_group > 1).sum()),
    }


def counted_faces(kept: KeptFaces, paths: dict[int, list[str]]) -> tuple[Labels, list[str]]:
    """Rows of the faces that count, and whose they are."""
    rows, people = [], []
    for picture in np.unique(kept.pictures).tolist():
        for path in paths[picture]:
            if "/" in path:
                of_picture = np.flatnonzero(kept.pictures == picture)
                rows.append(int(of_picture[choose_face(kept.boxes[of_picture], kept.sizes[picture])]))
                people.append(path.partition("/")[0])
    return np.array(rows, np.intp), people


def measure_folder(root: Path, cache: Path) -> dict[str, object]:
    """Group the photos of a folder in several ways."""
    analyzer = load_analyzer(threads=2)
    policy = ThresholdPolicy(analyzer.fmr)
    with Shelf(cache / f"{root.name}.db", analyzer.space) as shelf:
        library = PhotoLibrary(root, shelf, policy)
        began = time.perf_counter()
        library.look(walk_folder(root), LocalAnalysis(analyzer, aligned=True))
        looking_s = time.perf_counter() - began
        kept, paths = shelf.faces(), shelf.paths()
    rows, names = counted_faces(kept, paths)
    people = np.unique(names, return_inverse=True)[1]
    clear = np.array([not flaws for flaws in CLEAR.flaws(kept.measures)])
    loose = LooseFaces(kept.embeddings, kept.pictures, clear, np.full(len(kept), -1))
    threshold = grouping_threshold(policy, len(kept))
    began = time.perf_counter()
    labels = group_faces(loose, threshold.value)
    seconds = time.perf_counter() - began
    result: dict[str, object] = {
        "folder": root.name,
        "photos": sum(map(len, paths.values())),
        "faces": len(kept),
        "people": len(set(names)),
        "people_of_two_or_more": sum(count > 1 for count in Counter(names).values()),
        "looking_s": round(looking_s, 1),
        "grouping_s": round(seconds, 2),
        "threshold": round(threshold.value, 4),
        "facepool": figures(labels[rows], people),
        "most_wrong": most_wrong(labels[rows], names),
    }
    for offset in (-0.02, -0.01, 0.01, 0.02):
        result[f"facepool {offset:+}"] = figures(group_faces(loose, threshold.value + offset)[rows], people)
    distances = np.maximum(0, 1 - kept.embeddings @ kept.embeddings.T)
    for distance in (0.40, 0.42, 0.44, 0.46, 0.48, 0.50, 0.55, 0.60):
        for least in (2, _IMMICHS_FACES):
            found = DBSCAN(eps=distance, min_samples=least, metric="precomputed").fit(distances).labels_
            result[f"DBSCAN distance {distance:.2f}, {least} faces"] = figures(found[rows], people)
    del distances
    began = time.perf_counter()
    found = HDBSCAN(min_cluster_size=2, copy=True).fit(kept.embeddings).labels_
    result["HDBSCAN"] = figures(found[rows], people) | {"seconds": round(time.perf_counter() - began, 1)}
    return result


def most_wrong(labels: Labels, names: list[str]) -> list[list[str]]:
    """People whom the groups take for one, with the number of pairs: some are one person under two names."""
    of_group: dict[int, Counter[str]] = {}
    for label, name in zip(labels.tolist(), names, strict=True):
        if label >= 0:
            of_group.setdefault(label, Counter())[name] += 1
    mixed = [people for people in of_group.values() if len(people) > 1]
    return [[f"{name} {count}" for name, count in people.most_common()] for people in mixed]


def measure_synthetic(count: int) -> dict[str, object]:
    """Time and memory for so many made-up faces of people who have one to two thousand each."""
    random = np.random.default_rng(0)
    sizes = np.clip(random.pareto(1.0, size=count).astype(int), 1, _MOST_OF_A_PERSON)
    people = np.repeat(np.arange(count), sizes)[:count]
    people = people[random.permutation(count)]
    centers = random.normal(size=(people.max() + 1, _DIMENSION)).astype(np.float32)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    vectors = centers[people] + random.normal(size=(count, _DIMENSION)).astype(np.float32) * 0.8 / np.sqrt(_DIMENSION)
    vectors = np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
    loose = LooseFaces(vectors, np.arange(count), np.ones(count, bool), np.full(count, -1))
    policy = ThresholdPolicy(FmrCurve(((1e-4, 0.426), (1e-5, 0.477)), "of the default pack"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, processor = time.perf_counter(), time.process_time()
    labels = group_faces(loose, grouping_threshold(policy, count).value)
    return {
        "synthetic": count,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - processor, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "before_mb": round(before / 1024),
        "facepool": figures(labels, people),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("/tmp/grouping"))
    parser.add_argument("--synthetic", type=int, action="append", default=[])
    given = parser.parse_args()
    for folder in given.folders:
        print(json.dumps(measure_folder(folder, given.cache), indent=1), flush=True)
    for count in given.synthetic:
        print(json.dumps(measure_synthetic(count), indent=1), flush=True)


if __name__ == "__main__":
    main()
