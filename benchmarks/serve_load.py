"""How many pictures a server answers, and how fast, for 1, 4 and 16 clients at once.

    python benchmarks/serve_load.py [--seconds 10] [--clients 1 4 16] [--output load.json]

Starts `facepool serve` with a pool of its own, registers the two people of the demo's photos, and then, for each number
of clients, over REST (`POST /v1/recognize`, one picture at a time and client) and over WebSockets (`/v1/live`, two
frames in flight each, as the page does): answers per second, latency at the 50th and 95th percentile, and the server's
resident memory afterwards. First comes the same work without a server, in this process: what the networks bear alone.
Clients and server share the machine.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np
import websockets.asyncio.client

from facepool import Recognizer, load_analyzer, open_pool, read_image
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import ModelStore, default_root
from facepool.types import Image

SIZE_WH = (640, 480)
WARM_UP = 40
IN_FLIGHT = 2
REGISTERED = {"Person A": "person_a_1.jpg", "Person B": "person_b_1.jpg"}
_HEAD = struct.Struct(">Qd")
Client = Callable[[str, bytes, float], Awaitable[list[float]]]


@dataclass(frozen=True)
class Load:
    """What came of one number of clients."""

    over: str
    clients: int
    seconds: float
    answers: int
    per_second: float
    p50_ms: float
    p95_ms: float
    memory_mib: float
    cpu_ms: float  # of the server, an answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    photos = ModelStore(default_root()).pull_asset(DEMO_PHOTOS)
    frame = fitted(read_image(photos / "person_a_2.jpg"))
    _, encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 80])
    picture = encoded.tobytes()
    print(f"{SIZE_WH[0]}x{SIZE_WH[1]}, one face, {len(picture) / 1024:.0f} KiB; {os.cpu_count()} CPUs")
    results: list[Load] = []
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool.db"
        with serving(pool) as address:
            for name, photo in REGISTERED.items():
                told = httpx.post(f"{address}/v1/persons/{name}/samples", files={"file": (photos / photo).read_bytes()})
                assert told.json()["stored"] == 1, told.text
            for over, client in (("REST", ask), ("live", look)):
                for clients in options.clients:
                    results.append(asyncio.run(measure(over, client, clients, address, picture, options.seconds)))
                    show(results[-1])
        alone = without_server(pool, picture, options.seconds)
        show(alone)
    if options.output is not None:
        options.output.write_text(json.dumps([asdict(load) for load in (alone, *results)], indent=1))


async def measure(over: str, client: Client, clients: int, address: str, picture: bytes, seconds: float) -> Load:
    await client(address, picture, 1.0)  # the networks get to know the picture's size
    cpu_before = counted(address, "process_cpu_seconds_total")
    began = time.perf_counter()
    parts = await asyncio.gather(*(client(address, picture, seconds) for _ in range(clients)))
    took = time.perf_counter() - began
    cpu = counted(address, "process_cpu_seconds_total") - cpu_before
    memory = counted(address, "process_resident_memory_bytes") / 1024**2
    return load_of(over, clients, [latency for part in parts for latency in part], took, memory, cpu)


async def ask(address: str, picture: bytes, seconds: float) -> list[float]:
    """One client over REST: latencies in seconds."""
    latencies = []
    until = time.perf_counter() + seconds
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        while (began := time.perf_counter()) < until:
            answer = await client.post("/v1/recognize", content=picture, headers={"content-type": "image/jpeg"})
            (face,) = answer.json()["pictures"][0]["faces"]
            assert face["person"] == "Person A", answer.text
            latencies.append(time.perf_counter() - began)
    return latencies


async def look(address: str, picture: bytes, seconds: float) -> list[float]:
    """One client over a WebSocket, two frames in flight: latencies in seconds; dropped frames do not count."""
    latencies, sent = [], {}
    until = time.perf_counter() + seconds
    async with websockets.asyncio.client.connect(
        f"{address.replace('http', 'ws', 1)}/v1/live", compression=None
    ) as socket_:
        number = 0
        while time.perf_counter() < until or sent:
            while len(sent) < IN_FLIGHT and time.perf_counter() < until:
                number += 1
                sent[number] = time.perf_counter()
                await socket_.send(_HEAD.pack(number, sent[number]) + picture)
            message = json.loads(await socket_.recv())
            began = sent.pop(message["frame"])
            if not message.get("dropped"):
                latencies.append(time.perf_counter() - began)
    return latencies


def without_server(pool: Path, picture: bytes, seconds: float) -> Load:
    """Decoding, finding, embedding and deciding in one thread of this process."""
    analyzer = load_analyzer()
    latencies = []
    with open_pool(pool, analyzer.space) as opened:
        recognizer = Recognizer(analyzer, opened)
        for _ in range(WARM_UP):
            recognizer.recognize(read_image(picture))
        cpu_before = time.process_time()
        began = time.perf_counter()
        until = began + seconds
        while (start := time.perf_counter()) < until:
            assert list(recognizer.recognize(read_image(picture)).names) == ["Person A"]
            latencies.append(time.perf_counter() - start)
        took = time.perf_counter() - began
        cpu = time.process_time() - cpu_before
    return load_of("alone", 1, latencies, took, 0.0, cpu)


def load_of(over: str, clients: int, latencies: list[float], took: float, memory: float, cpu: float) -> Load:
    p50, p95 = (1000 * float(np.percentile(latencies, share)) for share in (50, 95))
    count = len(latencies)
    return Load(over, clients, took, count, count / took, p50, p95, memory, 1000 * cpu / count)


def show(load: Load) -> None:
    memory = f", {load.memory_mib:4.0f} MiB" if load.memory_mib else ""
    print(
        f"{load.over:6} {load.clients:2} clients: {load.per_second:6.1f}/s, p50 {load.p50_ms:6.1f} ms, "
        f"p95 {load.p95_ms:6.1f} ms, {load.cpu_ms:5.1f} ms of CPU each{memory}",
        flush=True,
    )


def fitted(image_bgr: Image) -> Image:
    """The photo in a frame of a camera's size."""
    width, height = SIZE_WH
    scale = min(width / image_bgr.shape[1], height / image_bgr.shape[0])
    small = cv2.resize(image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = np.full((height, width, 3), 110, np.uint8)
    frame[: small.shape[0], : small.shape[1]] = small
    return frame


def counted(address: str, name: str) -> float:
    """One of the server's own metrics."""
    found = re.search(rf"^{name} (\S+)$", httpx.get(f"{address}/metrics").text, re.MULTILINE)
    assert found, name
    return float(found[1])


@contextmanager
def serving(pool: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ("serve", "--port", str(port), "--pool", str(pool), "--rate-limit", "1000000/minute")
    with subprocess.Popen([sys.executable, "-m", "facepool", *words], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        assert "facepool is at" in said, said
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
