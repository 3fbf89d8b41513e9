"""How many cameras a server bears, and what gives way first when they are more.

    python benchmarks/cameras.py [--cameras 2 4 8 12] [--fps 5 15] [--seconds 20] [--threads N] [--output cameras.json]

Cameras are streams of JPEG pictures over HTTP, as IP cameras serve them: 640x480, the two people of the demo's photos,
who sway. One process sends them all, each at its own moment. For each number and rate a `facepool serve` of its own
watches them, with a pool in which both people are registered. Once both are named before every camera it is measured:
frames looked at per second and camera (the slowest and the median), the longest time for which a camera showed no new
frame, how often one of the two was not named or a name was wrong when the server was asked (once a second), and
processor time of the server in cores. `until named` is how long it took from the start of the server until both were
named before all.
"""

import argparse
import json
import multiprocessing
import os
import socket
import socketserver
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import cv2
import httpx
import numpy as np

from facepool import read_image
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import ModelStore, default_root
from facepool.types import Image

SIZE_WH = (640, 480)
REGISTERED = {"Person A": "person_a_1.jpg", "Person B": "person_b_1.jpg"}
SHOWN = ("person_a_2.jpg", "person_b_2.jpg")
LOOP = 60
"""Pictures after which the scene is where it began."""
PATIENCE_S = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Outcome:
    """What a number of cameras got.

    Attributes:
        cameras: How many.
        sent: Frames a second that each sends.
        slowest: Frames a second looked at of the one that was looked at least.
        median: Likewise, of the one in the middle.
        unnamed: Share of answers in which one of the two was not named before a camera.
        wrong: How many names were wrong.
        cores: Processor time of the server, seconds a second.
        named_s: From its start until both were named before all.
        memory_mib: Resident.
    """

    cameras: int
    sent: float
    slowest: float
    median: float
    unnamed: float
    wrong: int
    cores: float
    named_s: float
    memory_mib: float


def scene(photos: Path) -> list[bytes]:
    """JPEGs of the two people side by side, moving to and fro."""
    half_wh = (SIZE_WH[0] // 2, SIZE_WH[1])
    whole = np.concatenate([fitted(read_image(photos / name), half_wh) for name in SHOWN], axis=1)
    turns = [2 * np.pi * number / LOOP for number in range(LOOP)]
    moves = [np.array([[1, 0, 12 * np.sin(turn)], [0, 1, 8 * np.sin(2 * turn)]], np.float32) for turn in turns]
    moved = [cv2.warpAffine(whole, move, SIZE_WH, borderMode=cv2.BORDER_REPLICATE) for move in moves]
    return [cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes() for one in moved]


def fitted(image_bgr: Image, size_wh: tuple[int, int]) -> Image:
    scale = min(size_wh[0] / image_bgr.shape[1], size_wh[1] / image_bgr.shape[0])
    small = cv2.resize(image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    whole = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    whole[: small.shape[0], : small.shape[1]] = small
    return whole


class Sender(socketserver.StreamRequestHandler):
    """One camera: sends the scene at the rate that its address says, until nobody listens."""

    pictures: Sequence[bytes] = ()

    def handle(self) -> None:
        words = self.rfile.readline().split()
        if len(words) < 2:  # only tried whether anybody is here
            return
        target = words[1].decode()
        while self.rfile.readline().strip():
            pass
        number, fps = (float(part) for part in target.strip("/").split("/"))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=x\r\n\r\n")
        began_s = time.monotonic() + (number * 0.37) % 1 / fps
        try:
            for index in count():
                time.sleep(max(0.0, began_s + index / fps - time.monotonic()))
                picture = self.pictures[(index + int(7 * number)) % len(self.pictures)]
                head = b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
                self.wfile.write(head + picture + b"\r\n")
        except OSError:  # nobody watches it any more
            return


class Senders(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


def send(pictures: Sequence[bytes], port: int) -> None:
    Sender.pictures = pictures
    Senders(("127.0.0.1", port), Sender).serve_forever()


@contextmanager
def sending(pictures: Sequence[bytes]) -> Iterator[int]:
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=send, args=(pictures, port), daemon=True)
    process.start()
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.join()


@contextmanager
def serving(pool: Path, sources: Sequence[str], threads: int | None) -> Iterator[tuple[str, int]]:
    port = free_port()
    words = ["serve", "--port", str(port), "--pool", str(pool), "--rate-limit", "1000000/minute"]
    words += [word for number, source in enumerate(sources) for word in ("--camera", f"Camera {number}={source}")]
    words += [] if threads is None else ["--threads", str(threads)]
    with subprocess.Popen([sys.executable, "-m", "facepool", *words], stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}", server.pid
        finally:
            server.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("nobody listens")


def names_of(address: str) -> list[list[str]]:
    cameras = httpx.get(f"{address}/v1/cameras", timeout=30).json()["cameras"]
    return [[face["person"] for face in one["present"] if face["person"]] for one in cameras]


def measure(pool: Path, port: int, cameras: int, fps: float, seconds: float, threads: int | None) -> Outcome:
    sources = [f"http://127.0.0.1:{port}/{number}/{fps:g}" for number in range(cameras)]
    began_s = time.monotonic()
    with serving(pool, sources, threads) as (address, process):
        until_s = began_s + PATIENCE_S
        while any(sorted(names) != sorted(REGISTERED) for names in names_of(address)) and time.monotonic() < until_s:
            time.sleep(0.2)
        named_s = time.monotonic() - began_s
        time.sleep(6)  # rates are of the last five seconds
        worked_s, since_s = cpu_s(process), time.monotonic()
        rates: list[list[float]] = []
        asked = unnamed = wrong = 0
        while time.monotonic() - since_s < seconds:
            time.sleep(1)
            shown = httpx.get(f"{address}/v1/cameras", timeout=30).json()["cameras"]
            rates.append([one["fps"] for one in shown])
            for one in shown:
                names = [face["person"] for face in one["present"] if face["person"]]
                asked += 1
                unnamed += len(set(names) & set(REGISTERED)) < len(REGISTERED)
                wrong += len(names) - len(set(names) & set(REGISTERED))
        cores = (cpu_s(process) - worked_s) / (time.monotonic() - since_s)
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    each = np.array(rates).mean(axis=0)
    return Outcome(
        cameras=cameras,
        sent=fps,
        slowest=round(float(each.min()), 2),
        median=round(statistics.median(each.tolist()), 2),
        unnamed=round(unnamed / asked, 4),
        wrong=wrong,
        cores=round(cores, 2),
        named_s=round(named_s, 1),
        memory_mib=round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20),
    )


def cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def register(pool: Path, photos: Path) -> None:
    for name, photo in REGISTERED.items():
        words = ("register", name, str(photos / photo), "--pool", str(pool))
        subprocess.run([sys.executable, "-m", "facepool", *words], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, nargs="+", default=[2, 4, 8, 12, 16])
    parser.add_argument("--fps", type=float, nargs="+", default=[5, 15])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    photos = ModelStore(default_root()).pull_asset(DEMO_PHOTOS)
    outcomes: list[Outcome] = []
    print(f"{len(os.sched_getaffinity(0))} CPUs, {SIZE_WH[0]}x{SIZE_WH[1]}, two faces")
    print("| cameras | sent/s | slowest/s | median/s | unnamed | wrong | cores | until named s | MiB |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder, sending(scene(photos)) as port:
        pool = Path(folder) / "pool.db"
        register(pool, photos)
        for fps in asked.fps:
            for cameras in asked.cameras:
                got = measure(pool, port, cameras, fps, asked.seconds, asked.threads)
                outcomes.append(got)
                print(
                    f"| {got.cameras} | {got.sent:g} | {got.slowest:.1f} | {got.median:.1f} | {got.unnamed:.1%} | "
                    f"{got.wrong} | {got.cores:.2f} | {got.named_s:.1f} | {got.memory_mib:.0f} |",
                    flush=True,
                )
    if asked.output is not None:
        asked.output.write_text(json.dumps([asdict(one) for one in outcomes], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
