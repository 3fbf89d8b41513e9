"""Pictures a second in the window at 640x480, while recognition takes as long as it takes.

    xvfb-run python benchmarks/window_rate.py [--shared ../shared] [--seconds 6]

A camera with 30 pictures a second looks at a swaying portrait. Recognition is made slower by doing it several times
over. Needs a display; a virtual one is drawn by the processor too, so a desktop is faster than that.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from facepool import Analyzer, Pool, load_analyzer, open_pool, read_image
from facepool.capture import LiveSource
from facepool.capture.source import Shot
from facepool.cli.commands.recognize import Presence
from facepool.cli.ui.viewer import Viewer
from facepool.errors import StreamLost, StreamUnavailable
from facepool.overlay import Canvas, Painter, PresencePanel, live_labels
from facepool.recognize.events import LiveView
from facepool.recognize.live import LiveRecognizer
from facepool.types import Frame, Image
from facepool.window import Window

FPS = 30
SIZE_WH = (640, 480)


class SwayingCamera:
    """Gives a picture every thirtieth of a second."""

    name = "swaying"
    description = "swaying portrait"
    every_frame = False

    def __init__(self, portrait_bgr: Image) -> None:
        self._portrait_bgr = portrait_bgr
        self._number = 0

    def connect(self) -> "SwayingCamera":
        return self

    def read(self) -> Shot | None:
        time.sleep(1 / FPS)
        self._number += 1
        shift = np.array([[1, 0, 12 * np.sin(self._number / 9)], [0, 1, 8 * np.sin(self._number / 13)]], np.float32)
        return Shot(np.asarray(cv2.warpAffine(self._portrait_bgr, shift, SIZE_WH), np.uint8), None)

    def close(self) -> None:
        pass

    def unavailable(self, why: str) -> StreamUnavailable:
        return StreamUnavailable("unavailable", why=why)

    def lost(self, why: str) -> StreamLost:
        return StreamLost("lost", why=why)


class CountingWindow(Window):
    """Counts what it shows."""

    shown = 0

    def show(self, image_bgr: Image) -> None:
        super().show(image_bgr)
        self.shown += 1


def fitted(image_bgr: Image) -> Image:
    scale = min(SIZE_WH[0] / image_bgr.shape[1], SIZE_WH[1] / image_bgr.shape[0])
    small = cv2.resize(image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    whole = np.full((SIZE_WH[1], SIZE_WH[0], 3), 90, np.uint8)
    whole[: small.shape[0], : small.shape[1]] = small
    return whole


def recognition(analyzer: Analyzer, pool: Pool, times: int) -> tuple[Callable[[Frame], LiveView], object]:
    recognizer, painter = LiveRecognizer(analyzer, pool), Painter()
    panel, presence = PresencePanel(painter), Presence()

    def work(frame: Frame) -> LiveView:
        for _ in range(times):
            analyzer.analyze(frame.image_bgr, moving=True)
        return recognizer.process(frame)

    def draw(view: LiveView, canvas: Canvas) -> Image:
        presence.update(view)
        return panel.draw(canvas.paint(painter, live_labels(view)), presence.people())

    return work, draw


def rates(source: LiveSource, work: Callable[[Frame], object], draw: object, seconds: float) -> tuple[float, float]:
    """Pictures shown and frames worked on, a second."""
    window = CountingWindow()
    with window, source, closing(Viewer(Painter(), window).play(source, work, draw)) as played:
        next(played)
        begun_s, shown, worked = time.perf_counter(), window.shown, 0
        for _ in played:
            worked += 1
            if time.perf_counter() - begun_s >= seconds:
                break
        elapsed_s = time.perf_counter() - begun_s
        return (window.shown - shown) / elapsed_s, worked / elapsed_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    portrait = fitted(read_image(options.shared / "data/videos/yakhyo-retinaface/faces/Rachel.png"))
    analyzer = load_analyzer()
    with tempfile.TemporaryDirectory() as folder, open_pool(Path(folder) / "pool.db", analyzer.space) as pool:
        for times in (0, 4, 16):
            work, draw = recognition(analyzer, pool, times)
            shown, worked = rates(LiveSource(SwayingCamera(portrait)), work, draw, options.seconds)
            print(f"{times:2} analyses more: {shown:5.1f} pictures/s shown, {worked:5.1f} frames/s recognized")


if __name__ == "__main__":
    main()
