"""What clients see of a server when the machine fails under it, and afterwards; for Linux, as root.

    python benchmarks/scenarios.py                                  all of them, some minutes
    python benchmarks/scenarios.py --only disk-full frozen-writer   some; --list names them
    python benchmarks/scenarios.py --python ../old/.venv/bin/python --output scenarios

A disk that is full, one that turns read-only, a writer that was stopped while it holds the pool, model files that are
overwritten, a clock that is set back. Everything that clients usually ask is asked before, during and after. During it
recognizing has to go on; whatever cannot be done has to be refused with 503 or 507 and a code, within 15 seconds; and
after it everything has to be answered as before within ten seconds. Mounts are in a namespace of the script's own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
from resilience.attacks import held
from resilience.server import SMALL, Checkout, Furnished, Server, furnish, good_names, start

from facepool.models.store import default_root

MOST_S = 15.0
RECOVERY_S = 10.0
_INSIDE = "FACEPOOL_SCENARIOS_INSIDE"
_DISK_MIB = 64
_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@dataclass(frozen=True)
class Answer:
    """What came of one request."""

    route: str
    status: str
    took_s: float
    said: str


@dataclass
class Result:
    """What came of one scenario.

    Attributes:
        faults: What should not have been.
    """

    name: str
    what: str
    before: list[Answer] = field(default_factory=list)
    during: list[Answer] = field(default_factory=list)
    after: list[Answer] = field(default_factory=list)
    recovered_s: float | None = None
    faults: list[str] = field(default_factory=list)
    log: str = ""


@dataclass
class Stage:
    """Where a scenario plays: its own folder, the pool to copy, and the server once it runs."""

    folder: Path
    pool: Furnished
    server: Server | None = None

    @property
    def running(self) -> Server:
        assert self.server is not None
        return self.server


Play = Callable[[Stage, Result], None]
SCENARIOS: dict[str, tuple[str, Play]] = {}


def scenario(name: str, what: str) -> Callable[[Play], Play]:
    """Put a function among the scenarios."""

    def put(play: Play) -> Play:
        SCENARIOS[name] = (what, play)
        return play

    return put


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help="of the environment whose facepool is measured; this one")
    parser.add_argument("--only", nargs="+", choices=sorted(SCENARIOS), metavar="NAME")
    parser.add_argument("--output", type=Path, help="NAME of NAME.json")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name:18} {what}" for name, (what, _) in SCENARIOS.items()))
        return
    if _INSIDE not in os.environ:
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        os.execvpe(words[0], words, os.environ | {_INSIDE: "yes"})
    checkout = Checkout(options.python) if options.python else Checkout()
    results = []
    with tempfile.TemporaryDirectory(prefix="scenarios-") as folder:
        pool = furnish(checkout, Path(folder) / "furnished")
        for name in options.only or SCENARIOS:
            results.append(played(name, pool, Path(folder) / name))
            show(results[-1])
            if options.output is not None:
                text = json.dumps([asdict(result) for result in results], indent=1)
                options.output.with_suffix(".json").write_text(text + "\n")


def played(name: str, pool: Furnished, folder: Path) -> Result:
    what, play = SCENARIOS[name]
    result = Result(name, what)
    folder.mkdir()
    stage = Stage(folder, pool)
    try:
        play(stage, result)
    finally:
        if stage.server is not None:
            if not stage.server.stop():
                result.faults.append("the server did not end when it was asked to")
            with suppress(OSError):
                result.log = stage.server.log.read_text(errors="replace")[-2000:]
    judge(result)
    return result


def judge(result: Result) -> None:
    for answer in result.before + result.after:
        if not answer.status.startswith("2"):
            result.faults.append(f"{answer.route}: {answer.status} {answer.said}, while nothing was wrong")
    for answer in result.during:
        refused = answer.said and answer.status in ("503", "507", "404")  # nobody is there if making them was refused
        if not (answer.status.startswith("2") or refused):
            result.faults.append(f"{answer.route}: {answer.status} {answer.said} meanwhile")
        if answer.took_s > MOST_S:
            result.faults.append(f"{answer.route} took {answer.took_s:.1f} s meanwhile")
        if answer.route in _HAVE_TO_WORK and not answer.status.startswith("2"):
            result.faults.append(f"{answer.route}: {answer.status} {answer.said}, although it needs none of it")


def show(result: Result) -> None:
    print(f"{result.name}: {result.what}")
    for answer in result.during:
        print(f"  {answer.route:22} {answer.status:4} {answer.took_s:5.1f} s  {answer.said}")
    print(f"  as before after {result.recovered_s} s" if result.recovered_s is not None else "  not as before")
    for fault in dict.fromkeys(result.faults):
        print(f"  FAULT {fault}")
    sys.stdout.flush()


# What clients ask.

_HAVE_TO_WORK = ("/health", "recognize", "people")


def usual_requests(server: Server, picture: bytes, photo: bytes) -> list[Answer]:
    """Everything that clients usually ask, once."""
    name, other = f"Scene {time.monotonic_ns()}", f"Other {time.monotonic_ns()}"
    good = {"x-api-key": server.keys[good_names()[0]]}
    asked: list[tuple[str, Callable[[httpx.Client], httpx.Response]]] = [
        ("/health", lambda client: client.get("/health")),
        ("/ready", lambda client: client.get("/ready")),
        ("recognize", _recognizing(picture)),
        ("people", lambda client: client.get("/v1/persons", headers=good)),
        ("pool", lambda client: client.get("/v1/pool", headers=good)),
        (
            "register",
            lambda client: client.post(f"/v1/persons/{name}/samples?force=true", content=photo, headers=_KIND),
        ),
        ("create", lambda client: client.post("/v1/persons", json={"person": other})),
        ("rename", lambda client: client.patch("/v1/persons/Random 0001", json={"person": "Random again"})),
        ("rename back", lambda client: client.patch("/v1/persons/Random again", json={"person": "Random 0001"})),
        ("erase", lambda client: client.delete(f"/v1/persons/{name}")),
        ("erase the other", lambda client: client.delete(f"/v1/persons/{other}")),
        ("sign in", lambda client: client.post("/v1/session", json={"key": server.keys[SMALL]})),
        ("settings", lambda client: client.patch("/v1/settings", json={"min_margin": 0.03})),
        ("audit", lambda client: client.get("/v1/audit")),
        ("export the pool", lambda client: client.get("/v1/pool/export")),
    ]
    with server.admin() as client:
        return [answered(client, route, ask) for route, ask in asked]


def answered(client: httpx.Client, route: str, ask: Callable[[httpx.Client], httpx.Response]) -> Answer:
    began = time.monotonic()
    try:
        answer = ask(client)
    except httpx.TransportError as error:
        return Answer(route, "none", round(time.monotonic() - began, 2), type(error).__name__)
    said = ""
    if not answer.is_success:
        with suppress(ValueError):
            body = answer.json()
            said = f"{body.get('code', '')}: {body.get('message') or body}"[:150]
    return Answer(route, str(answer.status_code), round(time.monotonic() - began, 2), said)


_KIND = {"content-type": "image/jpeg"}


def _recognizing(picture: bytes) -> Callable[[httpx.Client], httpx.Response]:
    return lambda client: client.post("/v1/recognize", content=picture, headers=_KIND)


def ask_usually(stage: Stage) -> list[Answer]:
    return usual_requests(stage.running, stage.pool.picture, stage.pool.photos[1].read_bytes())


def recover(stage: Stage, result: Result) -> None:
    """Ask until everything is answered as before, or the time is over."""
    began = time.monotonic()
    while True:
        result.after = ask_usually(stage)
        if all(answer.status.startswith("2") for answer in result.after):
            result.recovered_s = round(time.monotonic() - began, 1)
            return
        if time.monotonic() - began > RECOVERY_S:
            return
        time.sleep(0.5)


# The scenarios.


@scenario("disk-full", "The disk of the pool is full, and has room again")
def disk_full(stage: Stage, result: Result) -> None:
    with mounted("-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "none", at=stage.folder / "disk") as disk:
        stage.server = stage.pool.serve(disk)
        try:
            result.before = ask_usually(stage)
            filler = disk / "filler"
            _fill(filler)
            result.during = ask_usually(stage)
            filler.unlink()
            recover(stage, result)
        finally:
            stage.server.stop()


@scenario("read-only", "The disk turns read-only, as after an error of the disk; it is mended and the server restarted")
def read_only(stage: Stage, result: Result) -> None:
    image = stage.folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(_DISK_MIB * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    where = stage.folder / "disk"
    with mounted("-o", "loop,errors=remount-ro", str(image), at=where) as disk:
        stage.server = stage.pool.serve(disk)
        try:
            result.before = ask_usually(stage)
            subprocess.run(["mount", "-o", "remount,abort", disk], check=True)
            result.during = ask_usually(stage)
        finally:
            if not stage.server.stop():
                result.faults.append("the server did not end when it was asked to")
    subprocess.run(["e2fsck", "-fy", image], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with mounted("-o", "loop", str(image), at=where) as disk:
        stage.server = start(stage.pool.checkout, disk / "pool.db", stage.pool.keys)
        try:
            recover(stage, result)
        finally:
            stage.server.stop()


@scenario("frozen-pool", "A stopped process holds the lock of pool.db")
def frozen_pool(stage: Stage, result: Result) -> None:
    _frozen(stage, result, "pool.db")


@scenario("frozen-store", "A stopped process holds the lock of pool.server.db")
def frozen_store(stage: Stage, result: Result) -> None:
    _frozen(stage, result, "pool.server.db")


def _frozen(stage: Stage, result: Result, name: str) -> None:
    stage.server = stage.pool.serve(stage.folder / "served")
    result.before = ask_usually(stage)
    with held(stage.server.pool.with_name(name)):
        result.during = ask_usually(stage)
    recover(stage, result)


@scenario("model-corrupt", "The files of the networks, and what was compiled of them, are overwritten and cut")
def model_corrupt(stage: Stage, result: Result) -> None:
    data, cache = stage.folder / "data", stage.folder / "cache"
    shutil.copytree(default_root(), data / "facepool" / "models")
    env = {"XDG_DATA_HOME": str(data), "XDG_CACHE_HOME": str(cache)}
    stage.pool.serve(stage.folder / "first", env=env).stop()  # what is compiled is there from now on
    stage.server = stage.pool.serve(stage.folder / "served", env=env)
    result.before = ask_usually(stage)
    victims = [path for folder in (data, cache) for path in folder.rglob("*") if path.suffix in (".onnx", ".compiled")]
    kept = {path: path.read_bytes() for path in victims}
    for path in victims:
        path.write_bytes(b"x" * (path.stat().st_size // 2))
    result.during = ask_usually(stage)
    with stage.server.admin() as client:
        for picture in _of_other_sizes(stage.pool.picture):  # for another size another network may be compiled
            result.during.append(answered(client, "recognize", _recognizing(picture)))
    result.faults += _start_with(stage, env)
    for path, content in kept.items():
        path.write_bytes(content)
    recover(stage, result)


def _start_with(stage: Stage, env: dict[str, str]) -> list[str]:
    """Whether a server that is started now works, or says what is wrong."""
    try:
        second = stage.pool.serve(stage.folder / "second", env=env)
    except RuntimeError as error:
        print(f"  started with these files: {error}")
        return ["a server that is started now ends with a traceback"] if "Traceback" in str(error) else []
    except TimeoutError:
        return ["a server that is started now hangs"]
    answers = usual_requests(second, stage.pool.picture, stage.pool.photos[1].read_bytes())
    second.stop()
    return [f"started anew, {one.route}: {one.status} {one.said}" for one in answers if not one.status.startswith("2")]


def _of_other_sizes(picture: bytes) -> list[bytes]:
    import cv2  # noqa: PLC0415 -- only here
    import numpy as np  # noqa: PLC0415

    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return [cv2.imencode(".jpg", cv2.resize(image, size))[1].tobytes() for size in ((960, 400), (333, 777))]


@scenario("clock-back", "The clock is set back by a day, and then by ten years")
def clock_back(stage: Stage, result: Result) -> None:
    if not _FAKETIME.exists():
        result.faults.append("left out: libfaketime is not installed")
        return
    clock = stage.folder / "clock"
    clock.write_text("+0")
    env = {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    stage.server = stage.pool.serve(stage.folder / "served", env=env)
    result.before = ask_usually(stage)
    with httpx.Client(base_url=stage.server.url, timeout=60) as browser:
        browser.post("/v1/session", json={"key": stage.server.keys[SMALL]}).raise_for_status()
        for offset in ("-1d", "-10y"):
            clock.write_text(offset)
            time.sleep(1)
            result.during += ask_usually(stage)
            result.during.append(answered(browser, "the browser's session", lambda client: client.get("/v1/pool")))
    clock.write_text("+0")
    recover(stage, result)


@contextmanager
def mounted(*words: str, at: Path) -> Iterator[Path]:
    """A mount until the end of the block."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", *words, str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def _fill(path: Path) -> None:
    """Write until there is no room."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


if __name__ == "__main__":
    main()
