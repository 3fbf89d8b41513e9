"""How well landmarks are placed, and what that is worth: the shared hundred people of CFP, frontal and profile.

    python benchmarks/accuracy/landmarks.py                            # the qualities as they are
    python benchmarks/accuracy/landmarks.py --ways balanced face-112 face-160 face-160-mirror

The error of the visible eye, the nose tip and the visible mouth corner, in per cent of the annotated distance from eye
to mouth, which no way of looking chooses; and what the faces cut out by these landmarks give: accuracy and equal error
rate of the 1,400 pairs, and of all pairs of a frontal and a profile picture, which tell ways apart. Intervals (95 %)
and differences to the first way by drawing people with replacement. ``--half 0`` or ``1`` takes half of the people.
"""

import argparse
import zlib
from pathlib import Path

import numpy as np
from features import CACHE, SHARED, Features, Find, Look, Networks, Way, central, cut, extract, lfw_pairs

from facepool.evaluation.bootstrap import draws
from facepool.evaluation.metrics import Values, error_rates, fold_accuracy
from facepool.faces.detect import DETECTOR_PRESETS, DetectOptions, RetinaFace
from facepool.faces.find import PictureFinder
from facepool.types import Detections, Floats, Image

CFP = SHARED / "cfp"
FIRST_PROFILE = 11
FMR = 1e-3


def as_facepool_looks(look: Look, options: DetectOptions, image: Image) -> Detections:
    detector: RetinaFace = look(options)
    return PictureFinder(detector, detector.detect, detector.detect_closer).find([image])[0].detections


def face_scaled_to(face_px: int, *, mirror: bool = False) -> Find:
    """Landmarks by a look at each face alone, so large; of both sides of the mirror if asked."""

    def find(look: Look, options: DetectOptions, image: Image) -> Detections:
        found = as_facepool_looks(look, options, image)
        if not len(found):
            return found
        row = central(found, image)
        crop, corner, scale = cut(image, found.boxes[row], 0.5, 2 * face_px)
        seen = [look(DetectOptions()).detect([crop])[0]]
        if mirror:
            turned = look(DetectOptions()).detect([np.ascontiguousarray(crop[:, ::-1])])[0]
            points = turned.landmarks[:, [1, 0, 2, 4, 3]] * (-1, 1) + (2 * face_px, 0)
            seen.append(Detections(turned.boxes, turned.scores, points.astype(np.float32)))
        points = [one.landmarks[0] / scale + corner for one in seen if len(one)]
        landmarks = found.landmarks.copy()
        landmarks[row] = np.mean(points, axis=0) if points else landmarks[row]
        return Detections(found.boxes, found.scores, landmarks)

    return find


WAYS = {name: Way(find=as_facepool_looks, options=options) for name, options in DETECTOR_PRESETS.items()} | {
    f"face-{face_px}{'-mirror' if mirror else ''}": Way(find=face_scaled_to(face_px, mirror=mirror))
    for face_px in (80, 112, 160, 224)
    for mirror in (False, True)
}


def pictures() -> tuple[list[str], Floats]:
    """Names, and (N, 3, 2) annotated eye, nose tip and mouth corner."""
    rows = [line.split("\t") for line in (CFP / "points.tsv").read_text().splitlines()[1:]]
    return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float32).reshape(-1, 3, 2)


def point_errors(landmarks: Floats, points: Floats) -> Floats:
    """(N, 3) per cent of the distance from eye to mouth; of the side that is nearer to what was annotated."""
    sides = [np.linalg.norm(landmarks[:, side] - points, axis=2) for side in ([0, 2, 3], [1, 2, 4])]
    away = np.where((sides[0].mean(axis=1) <= sides[1].mean(axis=1))[:, None], sides[0], sides[1])
    return np.asarray(100 * away / np.linalg.norm(points[:, 0] - points[:, 2], axis=1)[:, None], np.float32)


class Judged:
    """One way's figures, of people drawn so often."""

    def __init__(self, found: Features, points: Floats) -> None:
        self.names = list(found.names)
        self.people = np.unique(found.people, return_inverse=True)[1]
        self.profile = np.array([int(Path(name).stem[-4:]) >= FIRST_PROFILE for name in self.names])
        self.errors = point_errors(found.landmarks, points)
        vectors = np.where(found.found[:, None], found.averaged, 0)
        row_of = {name: row for row, name in enumerate(self.names)}
        pairs = [pair for pair in lfw_pairs(CFP / "pairs.txt") if pair[0] in row_of and pair[1] in row_of]
        first, second = ([row_of[pair[side]] for pair in pairs] for side in (0, 1))
        self.same = np.array([pair[2] for pair in pairs])
        self.similarities = np.einsum("nd,nd->n", vectors[first], vectors[second])
        rows, columns = np.flatnonzero(~self.profile), np.flatnonzero(self.profile)
        crossed = vectors[rows] @ vectors[columns].T
        mated = self.people[rows][:, None] == self.people[columns][None]
        self.genuine, self.impostor = crossed[mated], crossed[~mated]
        self.genuine_person = np.broadcast_to(self.people[rows][:, None], mated.shape)[mated]
        threshold = error_rates(self.genuine, self.impostor).at(FMR).threshold
        self.passed = (self.genuine >= threshold).astype(np.float64)

    def rates(self) -> tuple[float, float, float]:
        """Accuracy and equal error rate of the pairs, equal error rate of all pairs."""
        folds = np.arange(len(self.same)) // max(1, len(self.same) // 10)
        pairs = error_rates(self.similarities[self.same], self.similarities[~self.same]).equal_error().rate
        accuracy = fold_accuracy(self.similarities, self.same, folds).mean
        return accuracy, pairs, error_rates(self.genuine, self.impostor).equal_error().rate

    def drawn(self, times: Values) -> Floats:
        """Error of landmarks, frontal and profile, and the share of genuine pairs above the threshold."""
        weights = times[self.people]
        means = [
            float(weights[rows] @ self.errors[rows].mean(axis=1) / weights[rows].sum())
            for rows in (~self.profile, self.profile)
        ]
        mates = times[self.genuine_person]
        return np.array([*means, 100 * float(mates @ self.passed / mates.sum())], np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["balanced", "best", "fast"])
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    names, points = pictures()
    networks = Networks()
    halves = np.array([zlib.crc32(name.split("/")[0].encode()) % 2 for name in names])
    kept = np.ones(len(names), np.bool_) if arguments.half is None else halves == arguments.half
    reference: Floats | None = None
    for way in arguments.ways:
        path = arguments.cache / f"cfp-{way}.npz"
        if not path.is_file():
            extract(networks, WAYS[way], names, CFP).save(path)
        judged = Judged(Features.load(path)[kept], points[kept])
        count = int(judged.people.max()) + 1
        samples = np.array([judged.drawn(times) for times in draws(count, 500, 0)])
        reference = samples if reference is None else reference
        point, less = judged.drawn(np.ones(count)), samples - reference
        ends, ends_less = (np.quantile(values, (0.025, 0.975), axis=0) for values in (samples, less))
        accuracy, pairs_error, error = judged.rates()
        print(f"{way}: pairs {accuracy:.2%}, EER {pairs_error:.2%}; all frontal-profile pairs EER {error:.2%}")
        for row, what in enumerate(("landmarks, frontal, %", "landmarks, profile, %", f"TAR at FMR {FMR:g}, %")):
            print(f"  {what:24} {point[row]:6.2f} [{ends[0, row]:.2f}, {ends[1, row]:.2f}], difference "
                  f"{less[:, row].mean():+.2f} [{ends_less[0, row]:+.2f}, {ends_less[1, row]:+.2f}]")  # fmt: skip
        for rows, what in ((~judged.profile, "frontal"), (judged.profile, "profile")):
            eye, nose, mouth = judged.errors[rows].mean(axis=0)
            print(f"  {what}: eye {eye:.1f}, nose {nose:.1f}, mouth corner {mouth:.1f} %", flush=True)


if __name__ == "__main__":
    main()
