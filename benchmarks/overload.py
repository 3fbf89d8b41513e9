"""What cameras get of a core that is not enough for all of them, and whether names stay right: in simulated time.

    python benchmarks/overload.py [--cameras 4 8 12 16 24] [--fps 5 15] [--seconds 20] [--film]

Many cameras share one core, one `LiveRecognizer` each. Time is simulated: what a frame costs is the processor time that
it takes here, and while one camera's frame is looked at the others' go by; whoever has waited longest comes next, as on
a server. So it says the same on a machine that others use, where ``cameras.py`` needs a quiet one; that one is for the
whole server. Cameras show the two people of the demo's photos who sway (640x480), or with ``--film`` the six of
``in_video.mp4``, each from another moment on, whose names are held against the labels. After ``--until`` seconds all
cameras but two stop sending: `back` is what these get then.
"""

import argparse
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from cameras import REGISTERED, register, scene
from recognition_in_video import Label, read_labels, register_portraits

from facepool import Analyzer, Pool, load_analyzer, open_pool, open_source
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import ModelStore, default_root
from facepool.recognize.live import LiveRecognizer
from facepool.types import Frame, Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "videos" / "yakhyo-retinaface"
FILM_FPS = 25.0
SETTLING_S = 4.0


@dataclass
class Show:
    """What cameras show.

    Attributes:
        images: (H, W, 3) uint8 BGR each, in a loop.
        step: How many of them go by from one sent frame to the next.
        labels: Who is where, by number of the image; none: both registered people are in every one.
    """

    images: Sequence[Image]
    step: float
    labels: Sequence[Label] = ()


@dataclass
class Camera:
    number: int
    live: LiveRecognizer
    taken: int = -1
    looked: list[float] = field(default_factory=list)
    right: int = 0
    wrong: int = 0
    unnamed: int = 0


@dataclass
class World:
    show: Show
    fps: float
    cameras: list[Camera]
    now_s: float = 0.0
    decode_s: float = 0.0

    def newest(self, camera: Camera) -> int:
        """The frame that was sent last, by its number; each camera sends at a moment of its own."""
        return int((self.now_s - self._offset(camera)) * self.fps)

    def _offset(self, camera: Camera) -> float:
        return (camera.number * 0.37) % 1 / self.fps

    def look(self, camera: Camera) -> None:
        index = camera.taken = self.newest(camera)
        place = int(index * self.show.step + 97 * camera.number) % len(self.show.images)
        sent_s = self._offset(camera) + index / self.fps
        began_s = time.process_time()
        view = camera.live.process(Frame(self.show.images[place], f"camera {camera.number}", index, sent_s))
        took_s = time.process_time() - began_s
        self.now_s += took_s / max(0.2, 1 - self.decode_s * self.fps * len(self.cameras))
        camera.looked.append(self.now_s)
        names = [decision.person if decision else None for decision in view.decisions]
        if not self.show.labels:
            camera.right += len(set(names) & set(REGISTERED))
            camera.unnamed += len(set(REGISTERED) - set(names))
            camera.wrong += len([name for name in names if name]) - len(set(names) & set(REGISTERED))
            return
        for box, name in zip(view.detections.boxes, names, strict=True):
            label = next((one for one in self.show.labels if one.covers(place, box)), None)
            truth = None if label is None else label.name
            camera.right += name is not None and name == truth
            camera.wrong += name not in (None, truth)
            camera.unnamed += name is None and truth is not None

    def run(self, until_s: float, senders: Sequence[Camera]) -> None:
        line = deque(senders)
        while self.now_s < until_s:
            camera = next((one for one in line if self.newest(one) > one.taken), None)
            if camera is None:
                due_s = (self._offset(one) + (one.taken + 1) / self.fps for one in senders)
                self.now_s = max(self.now_s, min(due_s)) + 1e-6
                continue
            line.remove(camera)
            line.append(camera)
            self.look(camera)


def rates(cameras: Sequence[Camera], since_s: float, until_s: float) -> list[float]:
    return [sum(since_s <= at < until_s for at in one.looked) / (until_s - since_s) for one in cameras]


def measure(show: Show, analyzer: Analyzer, pool: Pool, count: int, fps: float, seconds: float, until_s: float) -> str:
    cameras = [Camera(number, LiveRecognizer(analyzer, pool)) for number in range(count)]
    world = World(show, fps, cameras, decode_s=decode_s(show.images[0]))
    spent_s = time.process_time()
    world.run(SETTLING_S, cameras)
    for one in cameras:
        one.right = one.wrong = one.unnamed = 0
    world.run(SETTLING_S + seconds, cameras)
    spent_s, end_s = time.process_time() - spent_s, world.now_s
    each = rates(cameras, SETTLING_S, end_s)
    right, wrong, unnamed = (sum(getattr(one, what) for one in cameras) for what in ("right", "wrong", "unnamed"))
    looks = sum(len(one.looked) for one in cameras)
    few = cameras[:2]
    world.run(end_s + until_s, few)
    back = min(rates(few, end_s + until_s / 2, world.now_s))
    named = 100 * right / max(1, right + unnamed)
    return (
        f"| {count} | {fps:g} | {min(each):.2f} | {statistics.median(each):.2f} | {1000 * spent_s / looks:.1f} | "
        f"{named:.1f} % | {wrong} of {right + wrong} | {back:.1f} |"
    )


def decode_s(image_bgr: Image) -> float:
    data = cv2.imencode(".jpg", image_bgr)[1]
    began_s = time.process_time()
    for _ in range(20):
        cv2.imdecode(data, cv2.IMREAD_COLOR)
    return (time.process_time() - began_s) / 20


def film(analyzer: Analyzer, pool: Pool) -> tuple[list[Image], Sequence[Label]]:
    labels = read_labels()
    register_portraits(SHARED / "faces", sorted({label.name for label in labels}), analyzer, pool)
    with open_source(str(SHARED / "in_video.mp4")) as source:
        return [frame.image_bgr for frame in source], labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, nargs="+", default=[4, 8, 12, 16, 24])
    parser.add_argument("--fps", type=float, nargs="+", default=[5, 15])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--until", type=float, default=6)
    parser.add_argument("--film", action="store_true", help="in_video.mp4 of ../shared, with its labels")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    analyzer = load_analyzer(threads=1)
    print("| cameras | they send | slowest/s | median/s | ms a frame | named | wrong | back |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.db"
        if not asked.film:
            photos = ModelStore(default_root()).pull_asset(DEMO_PHOTOS)
            register(path, photos)
        with open_pool(path, analyzer.space) as pool:
            if asked.film:
                images, labels = film(analyzer, pool)
            else:
                images = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR) for one in scene(photos)]
                labels = ()
            for fps in asked.fps:
                show = Show(images, FILM_FPS / fps if asked.film else 1, labels)
                for count in asked.cameras:
                    print(measure(show, analyzer, pool, count, fps, asked.seconds, asked.until), flush=True)


if __name__ == "__main__":
    main()
