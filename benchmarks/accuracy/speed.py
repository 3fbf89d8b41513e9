"""What each quality takes, for a picture of one face: detection alone, and all of analysis.

    python benchmarks/accuracy/speed.py [--wh 640 480]

The qualities take turns picture by picture, so that what else the machine does falls on all alike. Medians.
"""

import argparse
from time import perf_counter

import cv2
import numpy as np

from facepool import Analyzer, ModelStore, load_analyzer, read_image
from facepool.faces.detect import DETECTOR_PRESETS
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import default_root
from facepool.types import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wh", type=int, nargs=2, default=(640, 480))
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    store = ModelStore(default_root())
    photo = read_image(store.pull_asset(DEMO_PHOTOS) / "person_b_2.jpg")
    image = np.asarray(cv2.resize(photo, tuple(arguments.wh)), np.uint8)
    analyzers = {
        name: load_analyzer(store=store, detect=options, threads=arguments.threads)
        for name, options in DETECTOR_PRESETS.items()
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in analyzers}
    for number in range(arguments.rounds + 3):
        for name, analyzer in analyzers.items():
            taken = timed(analyzer, image)
            times[name] += [taken] if number >= 3 else []
    for name, taken in times.items():
        find, analyze = np.median(np.array(taken), axis=0)
        print(f"{name:9} find {find:6.1f} ms, analyze {analyze:6.1f} ms")


def timed(analyzer: Analyzer, image: Image) -> tuple[float, float]:
    started = perf_counter()
    analyzer.find(image)
    found = perf_counter()
    analyzer.analyze(image)
    return (found - started) * 1000, (perf_counter() - found) * 1000


if __name__ == "__main__":
    main()
