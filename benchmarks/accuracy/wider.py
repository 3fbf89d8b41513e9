"""Detection sizes, looks and borders on the WIDER FACE sample: average precision and what it takes.

    python benchmarks/accuracy/wider.py
    python benchmarks/accuracy/wider.py --only fast balanced best

All boxes of a score of 0.02 and above count, as in WIDER FACE's own evaluation; precision and recall are also given at
0.6, where facepool draws the line. Intervals come from a bootstrap over pictures; a difference is paired with
``balanced``, which is what the same weights find at 640 run plainly. Times are medians of interleaved runs.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np
from features import SHARED, Look, Networks, padded

from facepool import read_image
from facepool.evaluation.bootstrap import draws
from facepool.evaluation.detection import JudgedPicture, average_precision, limited_to_size
from facepool.evaluation.protocols import AnnotatedPicture, read_ground_truth
from facepool.faces.detect import DETECTOR_PRESETS, DetectOptions
from facepool.geometry import iou, non_maximum_suppression
from facepool.types import Detections, Floats, Image

WIDER = SHARED / "widerface"
LEAST_SCORE = 0.02
OVERLAP = DetectOptions().iou_threshold
SIZES_PX = ((0, 16), (16, 32), (32, 96), (96, 10_000))

Seek = Callable[[Look, Image], Detections]


def plain(options: DetectOptions) -> Seek:
    return lambda look, image: look(replace(options, threshold=LEAST_SCORE)).detect([image])[0]


def with_border(share: float) -> Seek:
    return lambda look, image: padded(share)(look, DetectOptions(threshold=LEAST_SCORE), image)


def mirrored(look: Look, image: Image) -> Detections:
    """What the picture and its mirror image show, the surest of both."""
    detector = look(DetectOptions(threshold=LEAST_SCORE))
    straight, turned = detector.detect([image, np.ascontiguousarray(image[:, ::-1])])
    boxes = turned.boxes.copy()
    boxes[:, [0, 2]] = image.shape[1] - turned.boxes[:, [2, 0]]
    return nearest_each(Detections(*(
        np.concatenate(pair) for pair in (
            (straight.boxes, boxes), (straight.scores, turned.scores), (straight.landmarks, turned.landmarks)
        )
    )))  # fmt: skip


def nearest_each(found: Detections) -> Detections:
    return found[non_maximum_suppression(found.boxes, found.scores, OVERLAP)]


def voted(look: Look, image: Image) -> Detections:
    """Each box is the mean of those that overlap it by half, weighted by their scores."""
    every = look(DetectOptions(threshold=LEAST_SCORE, iou_threshold=1.0)).detect([image])[0]
    best = nearest_each(every)
    weights = np.where(iou(best.boxes, every.boxes) >= 0.5, every.scores, 0)
    boxes = np.asarray(weights @ every.boxes / weights.sum(axis=1, keepdims=True), np.float32)
    return Detections(boxes, best.scores, best.landmarks)


CHOICES: Mapping[str, Seek] = {
    "balanced": plain(DETECTOR_PRESETS["balanced"]),
    "fast": plain(DETECTOR_PRESETS["fast"]),
    "best": plain(DETECTOR_PRESETS["best"]),
    "320": plain(DetectOptions(size=320)),
    "480": plain(DetectOptions(size=480)),
    "800": plain(DetectOptions(size=800)),
    "1024": plain(DetectOptions(size=1024)),
    "320 and 960": plain(DetectOptions(size=320, second_size=960)),
    "640 and 1280": plain(DetectOptions(second_size=1280)),
    "320 and 1600": plain(DetectOptions(size=320, second_size=1600)),
    "640, boxes voted": voted,
    "640 and its mirror image": mirrored,
    "640, border of 10 %": with_border(0.1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--replicates", type=int, default=300)
    arguments = parser.parse_args()
    names = list(dict.fromkeys(["balanced", *arguments.only]))
    truth = read_ground_truth(WIDER / "wider_face_split/wider_face_val_bbx_gt.txt", WIDER / "WIDER_val/images")
    networks = Networks()
    found: dict[str, list[Detections]] = {name: [] for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for picture in truth.pictures:
        image = read_image(picture.path)
        for name in names:
            started = perf_counter()
            found[name].append(CHOICES[name](networks.detector, image))
            times[name].append((perf_counter() - started) * 1000)
    random = list(draws(len(truth.pictures), arguments.replicates, 0))
    reference: Floats | None = None
    print(f"{len(truth.pictures)} pictures\n{'choice':26} {'average precision':>23} {'difference':>25}  "
          "AP of faces below 16, 16-32, 32-96, above 96 px   at 0.6: precision recall    ms")  # fmt: skip
    for name in names:
        judged = faces_of(truth.pictures, found[name], (0, 10_000))
        whole = average_precision(judged)
        areas = np.array([average_precision(repeated(judged, drawn)).ap for drawn in random], np.float32)
        reference = areas if reference is None else reference
        less = areas - reference
        parts = [average_precision(faces_of(truth.pictures, found[name], size)).ap for size in SIZES_PX]
        precision, recall = whole.at(0.6)
        print(f"{name:26} {whole.ap:.3f} {spread(areas)}  {less.mean():+.3f} {spread(less)}  "
              f"{'   '.join(f'{part:.3f}' for part in parts):44}   {precision:15.3f}  {recall:.3f} "
              f"{np.median(times[name]):7.1f}", flush=True)  # fmt: skip


def faces_of(
    pictures: Sequence[AnnotatedPicture], found: Sequence[Detections], size_px: tuple[int, int]
) -> list[JudgedPicture]:
    """Detections and truth of each picture; neither counts for a face of another size."""
    return [
        limited_to_size(JudgedPicture(seen.boxes, seen.scores, picture.boxes, picture.ignored), *size_px)
        for picture, seen in zip(pictures, found, strict=True)
    ]


def repeated(judged: Sequence[JudgedPicture], times: Floats) -> list[JudgedPicture]:
    return [faces for faces, count in zip(judged, times, strict=True) for _ in range(int(count))]


def spread(values: Floats) -> str:
    low, high = np.quantile(values, (0.025, 0.975))
    return f"[{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    main()
