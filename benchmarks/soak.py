"""Everything at once, at a moderate rate, for an hour: whether memory, files and logs of a server stay as they are.

    python benchmarks/soak.py --output soak                       an hour; soak.json and soak.png
    python benchmarks/soak.py --minutes 5 --output soak           to see that it runs; no judge of a slope
    python benchmarks/soak.py --video film.mp4 --python ../old/.venv/bin/python

Clients recognize, register, rename, merge, export and erase people, send the frames of a film over WebSockets, begin
scans and drop them, listen to events and leave, sign in and out, offer wrong keys and broken pictures, import and
export the pool, calibrate it without keeping that, and change settings; the server watches cameras that die. Each five
seconds it is measured. The verdict is about what comes after the first ten minutes (or the first fifth of a shorter
run): memory may grow by 2 MiB an hour, open files not at all, the logs of SQLite not beyond 1 MiB; and nothing that was
asked may be answered in an unexpected way. Look at the plot, too: a slope is not all that a curve says.
"""

import argparse
import itertools
import json
import random
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import httpx
import numpy as np
import websockets.exceptions
import websockets.sync.client
from resilience.cameras import dying_cameras
from resilience.server import ADMIN, SMALL, Checkout, Furnished, Server, furnish, good_names
from resilience.watch import pss_mib, rss_mib, tree
from resilience.wire import ATTACKER, live_message

from facepool import read_image
from facepool.types import Image

EVERY_S = 5.0
MOST_SLOPE_MIB = 2.0
MOST_FILES_MORE = 8
MOST_LOG_MIB = 1.0
MOST_PEOPLE = 25
_MIB = 1024 * 1024
_FRAMES = 100


@dataclass(frozen=True)
class Sample:
    """The server at a moment: memory of all processes (RSS, PSS) and of the one that answers (PSS)."""

    at_s: float
    rss_mib: float
    pss_mib: float
    server_mib: float
    processes: int
    files: int
    threads: int
    pool_log_mib: float
    store_log_mib: float
    log_kib: int
    answers: int
    p95_ms: float
    unexpected: int


@dataclass
class World:
    """What all clients share.

    Attributes:
        told: How often a route answered how, among them what was not expected.
        took_s: Of the answers to /v1/recognize since the last sample.
    """

    server: Server
    photos: Sequence[bytes]
    frames: Sequence[bytes]
    cameras: str
    over: threading.Event
    told: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def client(self, key: str = ADMIN, source: str = "127.0.0.1") -> httpx.Client:
        transport = httpx.HTTPTransport(local_address=source)
        headers = {"x-api-key": self.server.keys[key]} if key else {}
        return httpx.Client(base_url=self.server.url, headers=headers, timeout=60, transport=transport)

    def tell(self, route: str, outcome: object, *expected: object) -> None:
        """Count an outcome. 200, 201 and 204 are expected of all."""
        word = f"{route}: {outcome}"
        self.told[word] += 1
        if outcome not in (200, 201, 204, *expected):
            self.unexpected[word] += 1


Job = Callable[[World], None]
JOBS: list[tuple[Job, float, int]] = []


def job(every_s: float, *, clients: int = 1) -> Callable[[Job], Job]:
    """Do something again and again, with a pause of about so long."""

    def put(work: Job) -> Job:
        JOBS.append((work, every_s, clients))
        return work

    return put


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--python", type=Path, help="of the environment whose facepool is measured; this one")
    parser.add_argument("--serve", nargs="*", default=[], metavar="WORD", help="more options of `facepool serve`")
    parser.add_argument("--photos", type=Path, help="folder of photos with a face in each; the demo's")
    parser.add_argument("--video", type=Path, help="what live sockets send; a swaying photo")
    parser.add_argument("--without", nargs="*", default=[], help="jobs that are left out, to find out which one leaks")
    parser.add_argument("--output", type=Path, default=Path("soak"), help="NAME of NAME.json and NAME.png")
    options = parser.parse_args()
    words = tuple(options.serve)
    checkout = Checkout(options.python, words) if options.python else Checkout(options=words)
    jobs = [one for one in JOBS if one[0].__name__ not in options.without]
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        pool = furnish(checkout, Path(folder) / "furnished", options.photos)
        samples, world = soaked(
            pool, Path(folder) / "served", options.minutes * 60, frames_of(options.video, pool), jobs
        )
        report(samples, world, options.output)


def soaked(
    pool: Furnished, folder: Path, seconds: float, frames: Sequence[bytes], jobs: Sequence[tuple[Job, float, int]]
) -> tuple[list[Sample], World]:
    """Let all clients work until the time is over."""
    server = pool.serve(folder)
    over = threading.Event()
    samples: list[Sample] = []
    with dying_cameras(frames) as cameras:
        photos = [path.read_bytes() for path in pool.photos]
        world = World(server, photos, frames, cameras, over)
        threads = [
            threading.Thread(target=repeat, args=(world, work, every_s))
            for work, every_s, clients in jobs
            for _ in range(clients)
        ]
        for thread in threads:
            thread.start()
        began_s = time.monotonic()
        try:
            while (at_s := time.monotonic() - began_s) < seconds and server.process.poll() is None:
                samples.append(sample(world, at_s))
                if len(samples) % 12 == 1:
                    print(line(samples[-1]), flush=True)
                time.sleep(max(0.0, EVERY_S - (time.monotonic() - began_s - at_s)))
        finally:
            over.set()
            for thread in threads:
                thread.join()
            world.tell("the end", "in time" if server.stop() else "too late", "in time")
    return samples, world


def repeat(world: World, work: Job, every_s: float) -> None:
    """Do a job until the time is over; what fails is told."""
    while not world.over.wait(every_s * random.uniform(0.5, 1.5)):
        try:
            work(world)
        except (httpx.HTTPError, OSError, websockets.exceptions.WebSocketException) as error:
            world.tell(work.__name__, type(error).__name__)


def sample(world: World, at_s: float) -> Sample:
    """Measure the server and all that it has started."""
    pids = tree(world.server.process.pid)
    pool = world.server.pool
    took, world.took_s = world.took_s, []
    return Sample(
        at_s=round(at_s, 1),
        rss_mib=round(rss_mib(pids), 1),
        pss_mib=round(pss_mib(pids), 1),
        server_mib=round(pss_mib(pids[:1]), 1),
        processes=len(pids),
        files=sum(_count(Path(f"/proc/{pid}/fd")) for pid in pids),
        threads=sum(_count(Path(f"/proc/{pid}/task")) for pid in pids),
        pool_log_mib=_mib(pool.with_name("pool.db-wal")),
        store_log_mib=_mib(pool.with_name("pool.server.db-wal")),
        log_kib=world.server.log.stat().st_size // 1024,
        answers=len(took),
        p95_ms=round(1000 * float(np.percentile(took, 95)), 1) if took else 0.0,
        unexpected=sum(world.unexpected.values()),
    )


def _count(folder: Path) -> int:
    try:
        return sum(1 for _ in folder.iterdir())
    except OSError:
        return 0


def _mib(path: Path) -> float:
    try:
        return round(path.stat().st_size / _MIB, 3)
    except OSError:
        return 0.0


def line(one: Sample) -> str:
    return (
        f"{one.at_s / 60:5.1f} min: {one.pss_mib:.0f} MiB, {one.server_mib:.0f} of them its own, {one.processes} "
        f"processes, {one.files} files, "
        f"{one.threads} threads, logs {one.pool_log_mib:.2f} and {one.store_log_mib:.2f} MiB, p95 {one.p95_ms:.0f} ms, "
        f"{one.unexpected} unexpected"
    )


# The verdict.


def report(samples: Sequence[Sample], world: World, output: Path) -> None:
    """Judge, write and draw."""
    steady = [one for one in samples if one.at_s >= min(600.0, samples[-1].at_s / 5)]
    slope = slope_an_hour(steady)
    more = files_more(steady)
    logs = max(max(one.pool_log_mib, one.store_log_mib) for one in samples)
    verdict = {
        f"memory grows by {slope:.1f} MiB an hour, at most {MOST_SLOPE_MIB:g}": slope <= MOST_SLOPE_MIB,
        f"open files grow by {more}, at most {MOST_FILES_MORE}": more <= MOST_FILES_MORE,
        f"logs of SQLite take {logs:.2f} MiB, at most {MOST_LOG_MIB:g}": logs < MOST_LOG_MIB,
        f"{sum(world.unexpected.values())} unexpected answers": not world.unexpected,
    }
    found = {
        "minutes": round(samples[-1].at_s / 60, 1),
        "slope_mib_an_hour": round(slope, 2),
        "files_more": more,
        "verdict": verdict,
        "unexpected": dict(world.unexpected.most_common()),
        "told": dict(sorted(world.told.items())),
        "samples": [asdict(one) for one in samples],
    }
    output.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    draw(samples, steady, output.with_suffix(".png"))
    for what, holds in verdict.items():
        print(f"{'held' if holds else 'MISSED'}: {what}")
    for what, count in world.unexpected.most_common(20):
        print(f"  {count} x {what}")


def slope_an_hour(samples: Sequence[Sample]) -> float:
    """Of the memory in MiB, by least squares."""
    if len(samples) < 3:
        return 0.0
    at_h = np.array([one.at_s / 3600 for one in samples])
    return float(np.polyfit(at_h, [one.pss_mib for one in samples], 1)[0])


def files_more(samples: Sequence[Sample]) -> int:
    """How many more are open in the last quarter than in the first one."""
    quarter = max(len(samples) // 4, 1)
    first, last = samples[:quarter], samples[-quarter:]
    return int(np.median([one.files for one in last]) - np.median([one.files for one in first]))


def draw(samples: Sequence[Sample], steady: Sequence[Sample], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 -- it takes a second, and only the end needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    minutes = [one.at_s / 60 for one in samples]
    curves = (
        ("memory, MiB", ("pss_mib", "rss_mib", "server_mib")),
        ("open files, threads", ("files", "threads")),
        ("logs of SQLite, MiB", ("pool_log_mib", "store_log_mib")),
        ("p95 of /v1/recognize, ms", ("p95_ms",)),
        ("unexpected answers", ("unexpected",)),
    )
    figure, axes = plt.subplots(len(curves), 1, figsize=(10, 14), sharex=True)
    for axis, (title, names) in zip(axes, curves, strict=True):
        for name in names:
            axis.plot(minutes, [getattr(one, name) for one in samples], label=name, linewidth=1)
        axis.set_title(title, loc="left", fontsize=9)
        axis.legend(loc="lower right", fontsize=8)
        axis.grid(visible=True, alpha=0.3)
    at_h = np.array([one.at_s / 3600 for one in steady])
    if len(steady) > 2:
        slope, offset = np.polyfit(at_h, [one.pss_mib for one in steady], 1)
        axes[0].plot(at_h * 60, slope * at_h + offset, "k--", label=f"{slope:.1f} MiB an hour")
        axes[0].legend(loc="lower right", fontsize=8)
    axes[-1].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def frames_of(video: Path | None, pool: Furnished) -> list[bytes]:
    """Pictures of a camera: some of a film, or a photo that sways."""
    if video is None:
        still = read_image(pool.picture)
        return [_jpeg(np.roll(still, step - 10, axis=1)) for step in range(20)]
    film = cv2.VideoCapture(str(video))
    frames: list[bytes] = []
    while len(frames) < _FRAMES:
        there, frame = film.read()
        if not there:
            break
        scale = 640 / frame.shape[1]
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        frames.append(_jpeg(np.asarray(small, np.uint8)))
    film.release()
    return frames


def _jpeg(image_bgr: Image) -> bytes:
    _, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return data.tobytes()


# What clients do. Each job is one thing that one of them does, again and again.


@job(0.4, clients=2)
def recognize(world: World) -> None:
    with world.client(random.choice(good_names())) as client:
        for _ in range(20):
            began = time.monotonic()
            answer = client.post("/v1/recognize", content=random.choice(world.frames), headers=_KIND)
            world.took_s.append(time.monotonic() - began)
            world.tell("recognize", answer.status_code)
            if world.over.wait(0.3):
                return


@job(6)
def send_a_broken_picture(world: World) -> None:
    photo = world.photos[0]
    broken = (photo[: len(photo) // 3], b"\xff\xd8\xff" + bytes(5000), b"GIF89a" + bytes(100), b"no picture")
    with world.client(SMALL) as client:
        answer = client.post("/v1/recognize", content=random.choice(broken), headers=_KIND)
        world.tell("recognize a broken picture", answer.status_code, 400, 415)


@job(4)
def register(world: World) -> None:
    with world.client() as client:
        name = f"Soak {next(world.numbers):06}"
        files = [("file", random.choice(world.photos)) for _ in range(2)]
        answer = client.post(f"/v1/persons/{name}/samples", params={"force": True}, files=files)
        world.tell("register", answer.status_code)


@job(4)
def erase_the_oldest(world: World) -> None:
    with world.client() as client:
        for name in _soaked_people(client)[:-MOST_PEOPLE][:5]:
            world.tell("erase", client.delete(f"/v1/persons/{name}").status_code, 404)


@job(7)
def rename(world: World) -> None:
    with world.client() as client:
        people = _soaked_people(client)
        if people:
            new = {"person": f"Soak {next(world.numbers):06}"}
            world.tell("rename", client.patch(f"/v1/persons/{random.choice(people)}", json=new).status_code, 404)


@job(15)
def merge(world: World) -> None:
    with world.client() as client:
        people = _soaked_people(client)
        if len(people) > 5:
            one, other = random.sample(people, 2)
            answer = client.post(f"/v1/persons/{one}/merge", json={"into": other})
            world.tell("merge", answer.status_code, 404)


@job(10)
def export_somebody(world: World) -> None:
    with world.client() as client:
        people = _soaked_people(client)
        if people:
            world.tell("export somebody", client.get(f"/v1/persons/{people[-1]}/export").status_code, 404)


@job(30)
def export_and_import_the_pool(world: World) -> None:
    with world.client() as client:
        exported = client.get("/v1/pool/export")
        world.tell("export the pool", exported.status_code)
        answer = client.post("/v1/pool/import", files={"file": exported.content})
        world.tell("import the pool", answer.status_code)
        answer = client.post("/v1/pool/import", files={"file": exported.content[: len(exported.content) // 2]})
        world.tell("import half a pool", answer.status_code, 400)


@job(60)
def calibrate(world: World) -> None:
    with world.client() as client:
        world.tell("calibrate", client.post("/v1/pool/calibrate", json={"keep": False}).status_code, 409)


@job(3)
def offer_a_wrong_key(world: World) -> None:
    with world.client("", ATTACKER) as client:
        answer = client.get("/v1/pool", headers={"x-api-key": f"fp_{random.random()}"})
        world.tell("a wrong key", answer.status_code, 401, 429)
        answer = client.post("/v1/session", json={"key": "fp_wrong"})
        world.tell("sign in with a wrong key", answer.status_code, 401, 429)


@job(8)
def sign_in_and_out(world: World) -> None:
    with world.client("") as client:
        world.tell("sign in", client.post("/v1/session", json={"key": world.server.keys[SMALL]}).status_code)
        world.tell("the page's pool", client.get("/v1/pool").status_code)
        world.tell("sign out", client.delete("/v1/session").status_code)


@job(12)
def make_and_remove_a_key(world: World) -> None:
    with world.client() as client:
        name = f"Key {next(world.numbers)}"
        world.tell("make a key", client.post("/v1/keys", json={"name": name, "role": "enroll"}).status_code)
        world.tell("remove a key", client.delete(f"/v1/keys/{name}").status_code)


@job(15)
def change_settings(world: World) -> None:
    with world.client() as client:
        answer = client.patch("/v1/settings", json={"min_margin": random.choice((0.02, 0.03, 0.04))})
        world.tell("settings", answer.status_code)


@job(5)
def look_around(world: World) -> None:
    with world.client() as client:
        for path in _LOOKED_AT:
            world.tell(path.partition("?")[0], client.get(path).status_code)


@job(3, clients=2)
def listen_to_events_and_leave(world: World) -> None:
    until = time.monotonic() + random.uniform(1, 10)
    with world.client(SMALL) as client, client.stream("GET", "/v1/events") as stream:
        world.tell("events", stream.status_code)
        with suppress(httpx.ReadTimeout):
            for _ in stream.iter_bytes():  # pings come at least each 15 s
                if time.monotonic() > until or world.over.is_set():
                    return


@job(3, clients=2)
def send_a_film(world: World) -> None:
    """Some frames a second over a live socket; it is closed, or left without a word."""
    with _socket(world, "/v1/live", good_names()[0]) as connection:
        for number in range(random.randrange(20, 100)):
            connection.send(live_message(number, world.frames[number % len(world.frames)]))
            told = json.loads(connection.recv(30))
            world.tell("a live frame", told.get("code", 200))
            if world.over.wait(0.2):
                return
        if random.random() < 0.5:
            _vanish(connection)


@job(10)
def begin_a_scan_and_drop_it(world: World) -> None:
    with _socket(world, "/v1/enroll", ADMIN) as connection:
        connection.send(json.dumps({"do": "start", "person": f"Soak {next(world.numbers):06}", "force": True}))
        for number in range(random.randrange(1, 20)):
            connection.send(live_message(number, world.frames[number % len(world.frames)]))
            world.tell("a frame of a scan", json.loads(connection.recv(30)).get("code", 200))
        _vanish(connection)


@job(20)
def watch_cameras_that_die(world: World) -> None:
    with world.client() as client:
        added = []
        for path in ("picture.jpg", "stream.mjpg"):
            answer = client.post("/v1/cameras", json={"source": f"{world.cameras}/{path}", "every": 0.5})
            world.tell("add a camera", answer.status_code)
            if answer.is_success:
                added.append(answer.json()["id"])
        for _ in range(30):
            if world.over.wait(1.5):
                break
            for number in added:
                answer = client.get(f"/v1/cameras/{number}/picture")
                world.tell("a camera's picture", answer.status_code, 404, 503)
        for number in added:
            world.tell("remove a camera", client.delete(f"/v1/cameras/{number}").status_code)


_KIND = {"content-type": "image/jpeg"}
_LOOKED_AT = (
    "/health",
    "/ready",
    "/metrics",
    "/openapi.json",
    "/",
    "/v1/session",
    "/v1/persons?size=100",
    "/v1/pool",
    "/v1/activity",
    "/v1/activity/visits",
    "/v1/audit",
    "/v1/cameras",
    "/v1/keys",
)


def _soaked_people(client: httpx.Client) -> list[str]:
    """Those whom this script has made, the oldest first."""
    answer = client.get("/v1/persons", params={"search": "Soak ", "size": 500})
    return [one["person"] for one in answer.raise_for_status().json()["persons"]]


@contextmanager
def _socket(world: World, path: str, key: str) -> Iterator[websockets.sync.client.ClientConnection]:
    with websockets.sync.client.connect(
        f"ws://127.0.0.1:{world.server.port}{path}",
        additional_headers={"x-api-key": world.server.keys[key]},
        compression=None,
        max_queue=None,
        close_timeout=2,
    ) as connection:
        yield connection


def _vanish(connection: websockets.sync.client.ClientConnection) -> None:
    """Leave without a word."""
    connection.socket.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main()
