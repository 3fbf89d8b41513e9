"""What it costs ordinary pictures that the server decodes them in processes of their own, and what these take.

    python benchmarks/decoding.py [--rounds 40] [--models-dir DIR]

Each round decodes every picture in this process and in the server's decoder, in turns; then it finds and embeds the
faces, as a request has it done. Printed are medians by the clock, of the differences within a round, and in brackets
those of processor time (this thread's and the process's), which other work on the computer changes less.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import PIL.Image

from facepool import Analyzer, ModelStore, load_analyzer, read_image
from facepool.capture.reading import read_picture
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import default_root
from facepool.types import Image
from facepool.web.services.decoding import Decoder


def encoded(image_bgr: Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(image_bgr[:, :, ::-1])).save(file, kind, **options)
    return file.getvalue()


def pictures(photo: Image) -> dict[str, bytes]:
    """Ordinary ones: a face on a larger canvas, with the noise of a camera."""
    rng = np.random.default_rng(0)

    def of_size(width: int, height: int) -> Image:
        grown = cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        noise = rng.integers(-4, 5, (height, width, 1), np.int16)
        return np.clip(grown + noise, 0, 255).astype(np.uint8)

    frame, hd, phone = of_size(640, 480), of_size(1280, 720), of_size(4000, 3000)
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    return {
        "640x480 JPEG": encoded(frame, "JPEG", quality=85),
        "640x480 PNG": encoded(frame, "PNG"),
        "1280x720 JPEG": encoded(hd, "JPEG", quality=85),
        "4000x3000 JPEG": encoded(phone, "JPEG", quality=90),
        "4000x3000 JPEG, on its side": encoded(phone, "JPEG", quality=90, exif=turned),
        "4000x3000 PNG": encoded(phone, "PNG", compress_level=1),
    }


class Times(NamedTuple):
    """Of one piece of work, in milliseconds: by the clock, and of processors."""

    wall: float
    cpu: float


def timed(work: Callable[[], object], numbers: Sequence[int] = ()) -> Times:
    """How long something takes, in this thread and in some processes."""
    began = time.perf_counter(), time.thread_time() + cpu_s(numbers)
    work()
    return Times(1000 * (time.perf_counter() - began[0]), 1000 * (time.thread_time() + cpu_s(numbers) - began[1]))


def cpu_s(numbers: Sequence[int]) -> float:
    """Processor time that processes have had, on Linux."""
    files = [Path(f"/proc/{number}/schedstat") for number in numbers]
    return sum(int(file.read_text().split()[0]) for file in files if file.exists()) / 1e9


def measure(name: str, data: bytes, decoder: Decoder, analyzer: Analyzer, rounds: int) -> None:
    image_bgr = read_picture(data)
    assert np.array_equal(decoder.decode(data), image_bgr), name
    here, there, looking = [], [], []
    for number in range(rounds if len(data) < 1_000_000 else max(5, rounds // 4)):
        ways = [(here, lambda: read_picture(data), ()), (there, lambda: decoder.decode(data), decoder.processes)]
        for times, work, numbers in ways if number % 2 else reversed(ways):
            times.append(timed(work, numbers))
        looking.append(timed(lambda: analyzer.embed_batch([image_bgr])))
    more = [statistics.median(b[way] - a[way] for a, b in zip(here, there, strict=True)) for way in (0, 1)]
    decoding = [statistics.median(one[way] for one in here) for way in (0, 1)]
    request = statistics.median(a.wall + c.wall for a, c in zip(here, looking, strict=True))
    print(
        f"{name:28} decoding {decoding[0]:7.1f} ({decoding[1]:6.1f}) ms, in a process {more[0]:+6.1f} ({more[1]:+6.1f})"
        f" ms, {100 * more[0] / request:+5.1f} % ({100 * more[1] / request:+5.1f} %) of a request's {request:7.1f} ms"
    )


def memory_mb(number: int) -> float:
    """Its own share of memory (PSS), on Linux."""
    rollup = Path(f"/proc/{number}/smaps_rollup")
    if not rollup.exists():
        return float("nan")
    line = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--models-dir", type=Path)
    options = parser.parse_args()
    store = ModelStore(options.models_dir or default_root())
    analyzer = load_analyzer(store=store)
    photo = read_image(store.pull_asset(DEMO_PHOTOS) / "person_b_2.jpg")
    decoder = Decoder()
    began_s = time.perf_counter()
    decoder.decode(encoded(photo, "JPEG"))
    print(f"the first picture, for which a process is started: {1000 * (time.perf_counter() - began_s):.0f} ms")
    for name, data in pictures(photo).items():
        measure(name, data, decoder, analyzer, options.rounds)
    print(f"a process then takes {memory_mb(decoder.processes[0]):.0f} MiB of its own")
    decoder.close()


if __name__ == "__main__":
    main()
