"""How many pictures a server answers, and how fast, against what its networks bear without a server.

    python benchmarks/serve_load.py [--seconds 10] [--rounds 3] [--clients 1 4 16] [--size 640x480] [--output load.json]

Starts `facepool serve` with a pool of its own, registers the two people of the demo's photos, and then, for each number
of clients, over REST (`POST /v1/recognize`, one picture at a time and client) and over WebSockets (`/v1/live`, two
frames in flight each, as the page does): answers per second, latency at the 50th and 95th percentile, processor time of
the server with the processes that decode for it, and memory of all of them together. `alone` is the same work without a
server, while the server rests: decoding, finding, embedding and deciding in this process, as many pictures at a time
as its threads. Live, each client's frames are followed by a recognizer of its own in both cases. The best of `alone` is
the engine's own rate. All of it is done in rounds, one after the other, and the median of the rounds is shown.

Clients share the machine with the server. They are one process that speaks HTTP by hand, and each has an address of its
own, because a server lets one address have eight live streams only. Their processor time is measured: "without clients"
is the rate that the server would have if the cores had not worked for them.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import httpx
import numpy as np
import websockets.asyncio.client

from facepool import Recognizer, load_analyzer, open_pool, read_image
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import ModelStore, default_root
from facepool.recognize.live import LiveOptions, LiveRecognizer, LiveSession
from facepool.recognize.sightings import FACES_KEPT
from facepool.types import Frame, Image

SIZE_WH = (640, 480)
WARM_UP = 40
IN_FLIGHT = 2
FRAMES_PER_S = 60
REGISTERED = {"Person A": "person_a_1.jpg", "Person B": "person_b_1.jpg"}
EXPECTED = "Person A"
_HEAD = struct.Struct(">Qd")
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_TICKS = os.sysconf("SC_CLK_TCK")
_CORES = len(os.sched_getaffinity(0))
_GATHERED_S = 3.0
"""Streams find out who is there before it is measured."""

Latencies = list[float]


@dataclass(frozen=True)
class Load:
    """What came of one number of clients, in one round.

    Attributes:
        over: REST, live, or either without a server.
        clients: How many; without a server, how many threads.
        per_second: Answers.
        p50_ms: Half of them took no longer.
        p95_ms: Likewise.
        cpu_ms: Of a core for an answer: the server and its decoders, or this process.
        client_ms: Likewise for clients.
        memory_mib: Of the server and its decoders.
    """

    over: str
    clients: int
    per_second: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    client_ms: float = 0.0
    memory_mib: float = 0.0

    @property
    def without_clients(self) -> float:
        """Answers per second if the cores had not worked for clients."""
        return self.per_second / max(0.1, 1 - self.per_second * self.client_ms / 1000 / _CORES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--over", nargs="+", choices=("REST", "live"), default=["REST", "live"])
    parser.add_argument("--size", default="x".join(map(str, SIZE_WH)), help="Width and height of the picture.")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    size_wh = tuple(map(int, options.size.split("x")))
    photos = ModelStore(default_root()).pull_asset(DEMO_PHOTOS)
    picture = encoded(fitted(read_image(photos / "person_a_2.jpg"), (size_wh[0], size_wh[1])))
    print(f"{options.size}, one face, {len(picture) / 1024:.0f} KiB; {_CORES} CPUs")
    rounds: list[Load] = []
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool.db"
        with serving(pool) as server:
            register(server.address, photos)
            alone = Alone(pool, picture, max(options.clients))
            for _ in range(options.rounds):
                for over in options.over:
                    rounds += [alone.measure(over, threads, options.seconds) for threads in dict.fromkeys((1, _CORES))]
                    rounds += [measure(over, clients, server, picture, options.seconds) for clients in options.clients]
    loads = medians(rounds)
    for load in loads:
        show(load, own_rate(loads, load.over))
    if options.output is not None:
        options.output.write_text(
            json.dumps({"medians": list(map(asdict, loads)), "rounds": list(map(asdict, rounds))})
        )


@dataclass(frozen=True)
class Server:
    """One that runs."""

    address: str
    number: int

    @property
    def processes(self) -> list[int]:
        """It, and those that decode for it."""
        tasks = Path(f"/proc/{self.number}/task").iterdir()
        return [self.number, *(int(child) for task in tasks for child in (task / "children").read_text().split())]

    @property
    def cpu_s(self) -> float:
        """What they have used so far."""
        fields = [Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split() for number in self.processes]
        return sum(int(one[11]) + int(one[12]) for one in fields) / _TICKS

    @property
    def memory_mib(self) -> float:
        """Resident, together."""
        pages = [int(Path(f"/proc/{number}/statm").read_text().split()[1]) for number in self.processes]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1024**2


def measure(over: str, clients: int, server: Server, picture: bytes, seconds: float) -> Load:
    """The server with so many clients."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_be_clients, args=(over, clients, server.address, picture, seconds, theirs))
    process.start()
    mine.recv()  # they are there, and the networks know the picture's size
    cpu_before = server.cpu_s
    mine.send("go")
    latencies, took, client_cpu_s = mine.recv()
    cpu_s = server.cpu_s - cpu_before
    process.join()
    return load_of(over, clients, latencies, took, cpu_s, client_cpu_s, server.memory_mib)


def _be_clients(over: str, count: int, address: str, picture: bytes, seconds: float, pipe: Connection) -> None:
    """What the process of clients does."""
    host, port = address.removeprefix("http://").split(":")
    client = partial({"REST": ask, "live": look}[over], host, int(port), picture)

    async def all_of_them() -> None:
        await asyncio.gather(*(client(number, _GATHERED_S, []) for number in range(count)))
        pipe.send("ready")
        pipe.recv()
        latencies: Latencies = []
        began, cpu_before = time.perf_counter(), time.process_time()
        await asyncio.gather(*(client(number, seconds, latencies) for number in range(count)))
        pipe.send((latencies, time.perf_counter() - began, time.process_time() - cpu_before))

    asyncio.run(all_of_them())


async def ask(host: str, port: int, picture: bytes, number: int, seconds: float, latencies: Latencies) -> None:
    """One client over REST: adds its latencies in seconds."""
    head = f"POST /v1/recognize HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}"
    request = head.encode() + b"\r\n\r\n" + picture
    reader, writer = await asyncio.open_connection(host, port, local_addr=own_address(number))
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        writer.write(request)
        length = _LENGTH.search(await reader.readuntil(b"\r\n\r\n"))
        assert length is not None
        answer = await reader.readexactly(int(length[1]))
        assert f'"person":"{EXPECTED}"'.encode() in answer, answer
        latencies.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()


async def look(host: str, port: int, picture: bytes, number: int, seconds: float, latencies: Latencies) -> None:
    """One client over a WebSocket, two frames in flight: adds its latencies; dropped frames do not count.

    It sends no faster than a camera does: a server ends connections that send 120 messages a second.
    """
    sent: dict[int, float] = {}
    started = time.perf_counter()
    until, frame = started + seconds, 0
    async with websockets.asyncio.client.connect(
        f"ws://{host}:{port}/v1/live", compression=None, local_addr=own_address(number)
    ) as socket_:
        while time.perf_counter() < until or sent:
            while len(sent) < IN_FLIGHT and time.perf_counter() < until:
                frame += 1
                await asyncio.sleep(max(0.0, started + frame / FRAMES_PER_S - time.perf_counter()))
                sent[frame] = time.perf_counter()
                await socket_.send(_HEAD.pack(frame, sent[frame]) + picture)
            message = json.loads(await socket_.recv())
            began = sent.pop(message["frame"])
            if not message.get("dropped"):
                latencies.append(time.perf_counter() - began)


def own_address(number: int) -> tuple[str, int] | None:
    """An address of the loopback for one client; None where there is only one."""
    address = f"127.0.1.{number + 1}"
    with suppress(OSError), socket.socket() as probe:
        probe.bind((address, 0))
        return address, 0
    return None


class Alone:
    """The same work without a server, in this process.

    Args:
        pool: Of the server.
        picture: What is recognized.
        streams: Sources that are followed, one after the other.
    """

    def __init__(self, pool: Path, picture: bytes, streams: int) -> None:
        self._pool = pool
        self._picture = picture
        self._streams = streams
        self._analyzer = load_analyzer()

    def measure(self, over: str, threads: int, seconds: float) -> Load:
        """So many pictures at a time, each by one thread."""
        work = {"REST": self._recognize, "live": self._follow}[over]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, [_GATHERED_S] * threads))
            cpu_before, began = time.process_time(), time.perf_counter()
            latencies = [latency for part in pool.map(work, [seconds] * threads) for latency in part]
            took, cpu_s = time.perf_counter() - began, time.process_time() - cpu_before
        return load_of(f"{over} alone", threads, latencies, took, cpu_s)

    def _recognize(self, seconds: float) -> Latencies:
        with open_pool(self._pool, self._analyzer.space) as opened:
            recognizer = Recognizer(self._analyzer, opened)
            return repeated(lambda: self._check(recognizer), seconds)

    def _check(self, recognizer: Recognizer) -> None:
        assert list(recognizer.recognize(read_image(self._picture)).names) == [EXPECTED]

    def _follow(self, seconds: float) -> Latencies:
        """Frames of several streams in turn, as with a server."""
        options = LiveOptions(keep_faces=FACES_KEPT)
        with open_pool(self._pool, self._analyzer.space) as opened:
            recognizers = [LiveRecognizer(self._analyzer, opened, options=options) for _ in range(self._streams)]
            sessions = [LiveSession(recognizer, lambda _frame, _events: None) for recognizer in recognizers]
            frames = iter(range(sys.maxsize))

            def next_frame() -> None:
                index = next(frames)
                frame = Frame(read_image(self._picture), "browser", index, time.perf_counter())
                sessions[index % self._streams].look(frame)

            return repeated(next_frame, seconds)


def repeated(work: Callable[[], None], seconds: float) -> Latencies:
    """Do it again and again, for so long: how long each took."""
    latencies = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        work()
        latencies.append(time.perf_counter() - began)
    return latencies


def load_of(
    over: str,
    clients: int,
    latencies: Latencies,
    took: float,
    cpu_s: float,
    client_cpu_s: float = 0.0,
    memory_mib: float = 0.0,
) -> Load:
    count = len(latencies)
    p50, p95 = (1000 * float(np.percentile(latencies, share)) for share in (50, 95))
    return Load(over, clients, count / took, p50, p95, 1000 * cpu_s / count, 1000 * client_cpu_s / count, memory_mib)


def medians(rounds: list[Load]) -> list[Load]:
    """One of each kind, with the median of each number over the rounds."""
    kinds = dict.fromkeys((load.over, load.clients) for load in rounds)
    numbers = ("per_second", "p50_ms", "p95_ms", "cpu_ms", "client_ms", "memory_mib")
    return [
        Load(
            *kind,
            **{
                name: statistics.median(getattr(load, name) for load in rounds if (load.over, load.clients) == kind)
                for name in numbers
            },
        )
        for kind in kinds
    ]


def own_rate(loads: list[Load], over: str) -> float:
    """What the networks bear without a server: the best arrangement counts."""
    return max(load.per_second for load in loads if load.over == f"{over.removesuffix(' alone')} alone")


def show(load: Load, own: float) -> None:
    shares = f", {load.per_second / own:4.0%} of the engine's own rate"
    if load.client_ms:
        shares += (
            f" ({load.without_clients / own:4.0%} without clients, who take {load.client_ms:.1f} ms each), "
            f"{load.memory_mib:4.0f} MiB"
        )
    print(
        f"{load.over:10} {load.clients:2}: {load.per_second:6.1f}/s, p50 {load.p50_ms:6.1f} ms, "
        f"p95 {load.p95_ms:6.1f} ms, {load.cpu_ms:5.1f} ms of CPU each{shares}"
    )


def fitted(image_bgr: Image, size_wh: tuple[int, int] = SIZE_WH) -> Image:
    """The photo in a frame of a camera's size."""
    width, height = size_wh
    scale = min(width / image_bgr.shape[1], height / image_bgr.shape[0])
    sized = cv2.resize(
        image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    frame = np.full((height, width, 3), 110, np.uint8)
    frame[: sized.shape[0], : sized.shape[1]] = sized[:height, :width]
    return frame


def encoded(image_bgr: Image) -> bytes:
    """JPEG, as a browser makes it of a camera's frame."""
    return bytes(cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])


def register(address: str, photos: Path) -> None:
    """Make the two people of the demo known."""
    for name, photo in REGISTERED.items():
        told = httpx.post(f"{address}/v1/persons/{name}/samples", files={"file": (photos / photo).read_bytes()})
        assert told.json()["stored"] == 1, told.text


@contextmanager
def serving(pool: Path) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ("serve", "--port", str(port), "--pool", str(pool), "--rate-limit", "1000000/minute")
    with subprocess.Popen([sys.executable, "-m", "facepool", *words], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        assert "facepool is at" in said, said
        try:
            yield Server(f"http://127.0.0.1:{port}", server.pid)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
