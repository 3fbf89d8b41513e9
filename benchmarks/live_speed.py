"""Frames per second of live recognition with one, six and about twenty faces, embeddings spared, and memory over time.

    python benchmarks/live_speed.py [--shared ../shared] [--threads 2] [--loop-minutes 10]

Group pictures, fitted into 1280x720, sway by some pixels a frame as a hand-held camera does. Frames are made before;
what is timed is detection, tracking, embedding and decision, without camera and window.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from facepool import Analyzer, Pool, Recognizer, load_analyzer, open_pool, open_source, read_image
from facepool.recognize.live import LiveOptions, LiveRecognizer
from facepool.types import EmbeddingSpace, Frame, Image, Sample

FPS = 30
SIZE_WH = (1280, 720)
PICTURES = (
    ("videos/yakhyo-retinaface/faces/Rachel.png", 1),
    ("group/t1.jpg", 6),
    ("group/ultralight_imgs/10.jpg", 20),
)


def canvas(image_bgr: Image) -> Image:
    scale = min(SIZE_WH[0] / image_bgr.shape[1], SIZE_WH[1] / image_bgr.shape[0])
    fitted = cv2.resize(image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    whole = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    whole[: fitted.shape[0], : fitted.shape[1]] = fitted
    return whole


def swaying(image_bgr: Image, frames: int) -> list[Frame]:
    def moved(index: int) -> Image:
        shift = np.array([[1, 0, 12 * np.sin(index / 9)], [0, 1, 8 * np.sin(index / 13)]], np.float32)
        return np.asarray(cv2.warpAffine(image_bgr, shift, SIZE_WH), np.uint8)

    return [Frame(moved(index), "swaying", index, index / FPS) for index in range(frames)]


def pool_of_strangers(pool: Pool, people: int, space: EmbeddingSpace) -> None:
    rng = np.random.default_rng(0)
    for number in range(people):
        vector = rng.normal(size=space.dimension).astype(np.float32)
        pool.register(f"person {number}", [Sample(vector / np.linalg.norm(vector))], space)


def timed(step: Callable[[Frame], int], frames: list[Frame]) -> tuple[float, float, float]:
    """After the first second: frames a second, processor ms and embeddings a frame.

    Processor time says what a frame costs also where other work shares the machine.
    """
    for frame in frames[:FPS]:
        step(frame)
    began_s, worked_s = time.perf_counter(), time.process_time()
    embedded = sum(step(frame) for frame in frames[FPS:])
    count = len(frames) - FPS
    return (
        count / (time.perf_counter() - began_s),
        (time.process_time() - worked_s) / count * 1000,
        embedded / count,
    )


def detection(analyzer: Analyzer) -> Callable[[Frame], int]:
    return lambda frame: 0 * len(analyzer.find(frame.image_bgr, moving=True))


def by_frame(recognizer: Recognizer) -> Callable[[Frame], int]:
    return lambda frame: len(recognizer.recognize(frame.image_bgr))


def by_track(recognizer: LiveRecognizer) -> Callable[[Frame], int]:
    return lambda frame: int(recognizer.process(frame).embedded.sum())


def speed(analyzer: Analyzer, pool: Pool, shared: Path, frame_count: int) -> None:
    print(f"{'faces':>6} {'what':<28}{'frames/s':>9}{'CPU ms':>8}{'embeddings a frame':>20}")
    for picture, wanted in PICTURES:
        frames = swaying(canvas(read_image(shared / "data" / picture)), frame_count)
        faces = len(analyzer.find(frames[0].image_bgr, moving=True))
        every = LiveOptions(detect_every=1)
        ways: list[tuple[str, Callable[[Frame], int]]] = [
            ("detection alone", detection(analyzer)),
            ("every frame by itself", by_frame(Recognizer(analyzer, pool))),
            ("by track", by_track(LiveRecognizer(analyzer, pool))),
            ("by track, detect in each", by_track(LiveRecognizer(analyzer, pool, options=every))),
        ]
        for title, step in ways:
            rate, worked_ms, embedded = timed(step, frames)
            print(f"{faces:>6} {title:<28}{rate:>9.1f}{worked_ms:>8.1f}{embedded:>20.2f}", flush=True)
        if faces != wanted:
            print(f"       ({picture} was meant to show {wanted})")


def memory(analyzer: Analyzer, pool: Pool, shared: Path, minutes: float) -> None:
    video = shared / "data" / "videos" / "yakhyo-retinaface" / "in_video.mp4"
    live = LiveRecognizer(analyzer, pool)
    began, said, offset_s, index, time_s = time.monotonic(), 0.0, 0.0, 0, 0.0
    print("minutes   frames  resident MiB", flush=True)
    while time.monotonic() - began < minutes * 60:
        with open_source(str(video)) as source:
            for frame in source:
                time_s = offset_s + (frame.time_s or 0.0)
                live.process(Frame(frame.image_bgr, frame.source, index, time_s))
                index += 1
        offset_s = time_s + 1 / FPS
        if time.monotonic() - began >= said:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            resident = pages * resource.getpagesize() / 2**20
            print(f"{(time.monotonic() - began) / 60:>7.1f} {index:>8} {resident:>13.1f}", flush=True)
            said += 60


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=180)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--loop-minutes", type=float, default=0)
    arguments = parser.parse_args()
    analyzer = load_analyzer(threads=arguments.threads)
    with tempfile.TemporaryDirectory() as temporary, open_pool(f"{temporary}/pool.db", analyzer.space) as pool:
        pool_of_strangers(pool, arguments.people, analyzer.space)
        speed(analyzer, pool, arguments.shared, arguments.frames)
        if arguments.loop_minutes:
            memory(analyzer, pool, arguments.shared, arguments.loop_minutes)


if __name__ == "__main__":
    main()
