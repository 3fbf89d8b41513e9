"""``facepool calibrate`` held to its word: many random pools, everybody else a stranger.

    python benchmarks/accuracy/calibration.py                      # LFW beside this checkout
    python benchmarks/accuracy/calibration.py --change dark --people 1500    # some of them, by a poor camera
    python benchmarks/accuracy/calibration.py --alone              # without the embedder's cohort

A pool is made of people who are drawn from everybody, each with up to so many pictures; their other pictures are
searched for, and all pictures of everybody else are those of strangers, each person counting as one. What is expected:
the share of strangers who are named lies in the interval that the pool was calibrated with, in about 95 of 100 pools.
Vectors are kept in ``--cache``, by default the temporary folder; they are biometric data.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facepool import ModelChoice, ModelStore, load_analyzer, read_image
from facepool.evaluation.calibration import calibrate
from facepool.evaluation.embeddings import choose_face
from facepool.models.catalog import EmbedderSpec, FmrCurve
from facepool.models.store import default_root
from facepool.search import Index, normalized_scores
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Image, Indices

LFW = Path(__file__).parents[2].parent / "shared" / "data" / "lfw"
CACHE = Path(tempfile.gettempdir()) / "facepool-calibration"
SETTINGS = (
    *((20, 4, 0.01, 100), (30, 4, 0.01, 100), (60, 1, 0.01, 100), (60, 4, 0.01, 200), (120, 4, 0.01, 60)),
    *((100, 4, 0.01, 60), (300, 4, 0.01, 30), (1000, 4, 0.01, 8), (60, 4, 0.1, 100), (60, 4, 0.001, 100)),
)
"""People, pictures of each at most, target, pools."""
FEWEST_ALONE = 70
"""Fewer are refused at 1 % without a cohort."""
ONE_PERSON = 0.6
"""Two of LFW's names whose pictures are as alike as this show one person (14 names); one of them is left out."""
_SCALE = 1000
_BATCH = 16


def dark(image: Image) -> Image:
    """A third of the light, gamma 2.2, and noise."""
    random = np.random.default_rng(int(image[::7, ::5].astype(np.int64).sum()))
    return _as_image((image / 255.0) ** 2.2 * 90 + random.normal(0, 6, image.shape))


def small(image: Image) -> Image:
    """Shrunk to 40 %, enlarged again, and compressed hard."""
    height, width = image.shape[:2]
    shrunk = cv2.resize(image, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", enlarged, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1), np.uint8)


CHANGES: dict[str, Callable[[Image], Image]] = {"none": lambda image: image, "dark": dark, "small": small}


@dataclass(frozen=True)
class Faces:
    """(N, D) vectors and (N,) numbers of the people that they show."""

    vectors: Floats
    owners: npt.NDArray[np.int64]

    def without_twice_named(self) -> "Faces":
        """Less one of each two names that show one person."""
        gone: set[int] = set()
        for start in range(0, len(self.vectors), _SCALE):
            similarities = self.vectors[start : start + _SCALE] @ self.vectors.T
            for row, column in np.argwhere(similarities >= ONE_PERSON):
                one, other = sorted((int(self.owners[start + row]), int(self.owners[column])))
                if one != other and one not in gone:
                    gone.add(other)
        kept = ~np.isin(self.owners, list(gone))
        return Faces(self.vectors[kept], self.owners[kept])


def look_at(root: Path, change: str, people: int | None, embedder: str, cache: Path) -> Faces:
    """The face nearest to the centre of each ``root/NAME/*.jpg``, of so many people or all."""
    file = cache / f"{embedder}-{change}-{people or 'all'}.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        analyzer = load_analyzer(ModelChoice(embedder=embedder))
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        if people:
            folders = list(np.random.default_rng(0).permutation(np.array(folders))[:people])
        paths = [path for folder in folders for path in sorted(folder.glob("*.jpg"))]
        vectors, names = [], []
        for start in range(0, len(paths), _BATCH):
            images = [CHANGES[change](read_image(path)) for path in paths[start : start + _BATCH]]
            for path, image, faces in zip(paths[start:], images, analyzer.analyze_batch(images), strict=False):
                if len(faces):
                    vectors.append(faces.embeddings[choose_face(faces.detections.boxes, image.shape[1::-1])])
                    names.append(path.parent.name)
        np.savez(file, vectors=np.stack(vectors), names=np.array(names))
    with np.load(file, allow_pickle=False) as columns:
        return Faces(columns["vectors"], np.unique(columns["names"], return_inverse=True)[1].astype(np.int64))


def draw(faces: Faces, people: int, templates: int, random: np.random.Generator) -> tuple[Index, Indices, Indices]:
    """A pool, the rows of its people's other pictures, and the rows of strangers."""
    shuffled = random.permutation(len(faces.owners))
    chosen = random.permutation(np.unique(faces.owners))[:people]
    stored = [shuffled[faces.owners[shuffled] == one][:templates] for one in chosen]
    rows = np.concatenate(stored)
    owners = np.repeat(np.arange(people), [len(one) for one in stored])
    matrix = Index.of_rows(faces.vectors[rows], owners, list(map(str, chosen)))
    known = np.isin(faces.owners, chosen)
    mates = np.setdiff1d(np.flatnonzero(known), rows)
    return matrix, mates, np.flatnonzero(~known)


def best_scores(matrix: Index, vectors: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The best similarity less bar of each vector, and whose it is."""
    blocks = [
        normalized_scores(vectors[start : start + _SCALE] @ matrix.vectors.T, matrix)
        for start in range(0, len(vectors), _SCALE)
    ]
    best = np.concatenate([np.stack([block.max(axis=1), block.argmax(axis=1)], axis=1) for block in blocks])
    names = np.array([int(name) for name in matrix.names])
    return best[:, 0], names[best[:, 1].astype(np.intp)]


def trials(
    faces: Faces, setting: tuple[int, int, float, int], cohort: FmrCurve | None, default: FmrCurve | None
) -> Iterator[tuple[float, ...]]:
    """Of each pool: threshold, interval, strangers named, misses of friends; the last two at the default threshold."""
    people, templates, target, pools = setting
    for number in range(pools):
        matrix, mates, strangers = draw(faces, people, templates, np.random.default_rng(number))
        found = calibrate(matrix, cohort, target, space_id="", now=datetime.now(UTC), seed=number).calibration
        scores, _ = best_scores(matrix, faces.vectors[strangers])
        weights = 1 / np.bincount(faces.owners)[faces.owners[strangers]]
        friends, named = (
            best_scores(matrix, faces.vectors[mates]) if len(mates) else (np.zeros(0), np.zeros(0, np.int64))
        )
        right = named == faces.owners[mates]
        rates = []
        for threshold in (found.threshold, ThresholdPolicy(default, target).identification(len(matrix)).value):
            missed = np.mean(~right | (friends < threshold)) if len(friends) else np.nan
            rates += [float((weights * (scores >= threshold)).sum() / weights.sum()), float(missed)]
        yield (found.threshold, found.low, found.high, *rates)


def _as_image(values: npt.NDArray[np.floating]) -> Image:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=LFW)
    parser.add_argument("--change", choices=sorted(CHANGES), default="none")
    parser.add_argument("--people", type=int, help="so many of them, drawn at random")
    parser.add_argument("--embedder", default="sface", help="of the catalog, or an imported one")
    parser.add_argument("--alone", action="store_true", help="without the embedder's cohort")
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    looked = look_at(arguments.root, arguments.change, arguments.people, arguments.embedder, arguments.cache)
    faces = looked.without_twice_named()
    spec = ModelStore(default_root()).resolve(arguments.embedder).spec
    assert isinstance(spec, EmbedderSpec)
    cohort = None if arguments.alone else spec.fmr
    head = ("people x pictures", "target", "pools", "threshold", "interval", "strangers named (95 % of pools)")
    print("|", " | ".join((*head, "in the interval", "FNIR", "uncalibrated: FPIR", "FNIR")), "|")
    print("|---" * 10 + "|")
    for setting in SETTINGS:
        people, templates, target, pools = setting
        if (cohort is None and people < FEWEST_ALONE) or people * 3 > len(np.unique(faces.owners)):
            continue
        columns = np.array(list(trials(faces, setting, cohort, spec.fmr))).T
        threshold, low, high, named, missed, plain_named, plain_missed = columns
        inside = np.mean((low <= named) & (named <= high))
        first, last = np.quantile(named, [0.025, 0.975])
        cells = (
            f"{people} x {templates}",
            f"{target:.1%}",
            str(pools),
            f"{threshold.mean():.3f} ± {threshold.std():.3f}",
            f"{np.median(low):.2%} to {np.median(high):.2%}",
            f"{named.mean():.2%} ({first:.2%} to {last:.2%})",
            f"{inside:.0%}",
            f"{np.nanmean(missed):.2%}",
            f"{plain_named.mean():.2%}",
            f"{np.nanmean(plain_missed):.2%}",
        )
        print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
