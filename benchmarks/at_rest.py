"""What a stolen disk tells of a busy server's pool: every byte that it writes, searched for what is known; for Linux.

    python benchmarks/at_rest.py --seconds 60 --output at_rest       plain, then encrypted; at_rest.json and at_rest.md
    python benchmarks/at_rest.py --seconds 60 --only encrypted

A real `facepool serve`, with real photos and a camera, does everything that a server does, again and again: registers,
recognizes, keeps a stranger and names them, imports, exports, backs up, restores, makes and removes a collection, adds
a camera with a login, erases. Two thieves watch. One copies every file in the server's folders at every moment, and all
that the server has open, files without a name included. The other sees every write of the server and its children on
the way to a file (`strace`), so that nothing that is deleted at once escapes. Both look for vectors, names, the kept
pictures, the photos as they were sent, the login of a camera and the key. In a plain pool they have to find all that a
pool keeps: otherwise the search would prove nothing.
"""

import argparse
import json
import os
import re
import secrets
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from resilience.cameras import steady_camera
from resilience.server import Checkout, Server, start

from facepool import read_image
from facepool.gallery import open_pool
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import ModelStore, default_root
from facepool.types import Image

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.busy import OF_IMPORT, WORDS, Work, be_busy, make_administrator
from support.stolen import Thief, windows_of

KINDS = ("plain", "encrypted")
NEVER = frozenset({"photo as sent", "picture of the camera", "key"})
"""What is in no file of a server, whatever its pool is."""
_PATIENCE_S = 60.0
_LARGE_BYTES = 1 << 20
_MOST_BYTES = 1 << 22
_CALLS = "write,pwrite64,writev,pwritev,pwritev2"
_WRITE = re.compile(rb"^\d+ +p?writev?(?:64|2)?\(\d+<((?:\\x[0-9a-f]{2})*)>[^,]*, (.*)")
_TEXT = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"')
_NO_FILE = ("pipe:", "socket:", "anon_inode:", "TCP", "UNIX", "UDP", "/dev/")


@dataclass
class Written:
    """What the one who watches writes has seen: bytes by file, and in which files something known was."""

    bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    found: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


@dataclass(frozen=True)
class Material:
    """Photos, what is made of them, and what is known of it all."""

    photo: bytes
    other_photo: bytes
    sent_pool: bytes
    before_camera: tuple[list[bytes], bytes]
    known: Mapping[str, Sequence[bytes]]


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--no-trace", action="store_true", help="Copy files only.")
    parser.add_argument("--output", type=Path, help="PATH.json and PATH.md")
    given = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        material = made(Path(folder, "material"))
        for kind in [given.only] if given.only else KINDS:
            results[kind] = watched(Path(folder, kind), kind, material, given.seconds, trace=not given.no_trace)
            print(shown(kind, results[kind]), flush=True)
    if given.output:
        given.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        given.output.with_suffix(".md").write_text("\n".join(shown(*one) for one in results.items()), encoding="utf-8")
    wrong = [kind for kind, told in results.items() if bool(told["missed"] if kind == "plain" else told["found"])]
    sys.exit(f"not as it has to be: {', '.join(wrong)}" if wrong else 0)


def made(folder: Path) -> Material:
    """Rehearse with a server: what a pool keeps of the same photos."""
    folder.mkdir()
    demo = ModelStore(default_root()).pull_asset(DEMO_PHOTOS)
    photo, other, imported, stranger = (
        read_image(demo / f"{name}.jpg") for name in ("person_a_2", "person_b_1", "impostor_1", "impostor_2")
    )
    of = {"registered": large(photo), "in a collection": large(other)}
    server = start(Checkout(), folder / "pool.db", {})
    try:
        with httpx.Client(base_url=server.url, timeout=_PATIENCE_S) as web:
            register(web, OF_IMPORT, large(imported))
            sent_pool = web.get("/v1/pool/export").content
            for what, data in of.items():
                register(web, what, data)
    finally:
        server.kill()
    frames, empty = before_camera(stranger)
    known: dict[str, Sequence[bytes]] = {word: [word.encode()] for word in WORDS}
    with open_pool(folder / "pool.db") as pool:
        stored = pool.batch()
        for row, (name, vector) in enumerate(zip(stored.names, stored.vectors, strict=True)):
            what = name.replace(OF_IMPORT, "imported")
            known[f"vector {what}"] = windows_of(vector.astype("<f4").tobytes())
            known[f"kept picture {what}"] = windows_of(stored.pictures[row])
    known["photo as sent"] = [part for data in of.values() for part in windows_of(data, count=8)]
    known["picture of the camera"] = [part for frame in frames for part in windows_of(frame)]
    return Material(of["registered"], of["in a collection"], sent_pool, (frames, empty), known)


def register(web: httpx.Client, name: str, photo: bytes) -> None:
    """Store a face."""
    stored = web.post(f"/v1/persons/{name}/samples", files={"files": photo}).raise_for_status().json()["stored"]
    if not stored:
        raise RuntimeError(f"the photo of {name} was not stored")


def large(image_bgr: Image) -> bytes:
    """A picture as a file that outgrows the memory of a form."""
    scale = 1400 / max(image_bgr.shape[:2])
    larger = cv2.resize(image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".png", larger)[1].tobytes()
    if len(data) < _LARGE_BYTES:
        raise RuntimeError(f"a photo has {len(data)} bytes only")
    return data


def before_camera(image_bgr: Image) -> tuple[list[bytes], bytes]:
    """A face that moves a little, and an empty room, as files."""
    scale = 640 / max(image_bgr.shape[:2])
    small = cv2.resize(image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    moved = [np.roll(small, 3 * step, axis=1) for step in (0, 1, 2, 3, 2, 1)]
    encoded = [cv2.imencode(".jpg", one)[1].tobytes() for one in (*moved, np.full_like(small, 90))]
    return encoded[:-1], encoded[-1]


def watched(folder: Path, kind: str, material: Material, seconds: float, *, trace: bool) -> dict[str, Any]:
    """Be busy on a pool of a kind for so long: what was found in which files, and which were written."""
    folder.mkdir()
    place, written = folder / "served", Written()
    place.mkdir()
    key_file = None if kind == "plain" else new_key(folder / "pool.key")
    key = () if key_file is None else ("--key-file", str(key_file))
    known = {**material.known, "key": [] if key_file is None else forms_of_key(key_file)}
    with (
        traced(folder, known, written) if trace else untraced() as python,
        steady_camera(*material.before_camera) as camera,
    ):
        options = ("--camera", f"Hall={camera}", "--keep-unknown", *key)
        server = start(Checkout(python), place / "pool.db", {}, options=options)
        try:
            with Thief([place], known, [server.process.pid]) as thief:
                rounds = keep_busy(server, material, key, seconds)
        finally:
            server.stop()
    found = {what: sorted({*thief.found.get(what, ()), *written.found.get(what, ())}) for what in known}
    return {
        "rounds": rounds,
        "copies": thief.rounds,
        "files": sorted({*thief.files, *written.bytes}),
        "written_bytes": dict(sorted(written.bytes.items())),
        "found": {what: where for what, where in found.items() if where},
        "missed": sorted(what for what, where in found.items() if not where and what not in NEVER),
    }


def new_key(path: Path) -> Path:
    """A key for a pool, as one would make it by hand."""
    path.write_text(f"{secrets.token_hex(32)}\n", encoding="ascii")
    path.chmod(0o600)
    return path


def forms_of_key(path: Path) -> list[bytes]:
    """The key as text and as bytes, the first half of it each."""
    text = path.read_text(encoding="ascii").strip()[:32]
    return [text.encode(), text.upper().encode(), bytes.fromhex(text)]


def keep_busy(server: Server, material: Material, key: Sequence[str], seconds: float) -> int:
    """Do everything again and again; how often."""
    copy = server.pool.with_name("copy.db")
    checkout, pool = Checkout(), ("--pool", str(server.pool), *key)

    def copies() -> None:
        checkout.run("pool", "backup", copy, "--force", *pool)
        checkout.run("pool", "restore", copy, "--yes", *pool)

    with httpx.Client(base_url=server.url, timeout=_PATIENCE_S) as web:
        make_administrator(web)

        def stranger_comes() -> None:
            until = time.monotonic() + _PATIENCE_S
            while not web.get("/v1/unknown").json()["groups"]:
                if time.monotonic() > until:
                    raise TimeoutError("nobody came before the camera")
                time.sleep(0.1)

        work = Work(web, material.photo, material.other_photo, material.sent_pool, stranger_comes, copies)
        rounds, ends_s = 0, time.monotonic() + seconds
        while rounds == 0 or time.monotonic() < ends_s:
            be_busy(work)
            rounds += 1
    return rounds


@contextmanager
def untraced() -> Iterator[Path]:
    """A Python whose writes nobody sees."""
    yield Path(sys.executable)


@contextmanager
def traced(folder: Path, known: Mapping[str, Sequence[bytes]], written: Written) -> Iterator[Path]:
    """A Python whose writes are looked at, and those of all that it starts, until it ends."""
    told, python = folder / "writes", folder / "python"
    os.mkfifo(told)
    strace = f"strace -D -f --seccomp-bpf -y -xx -s {_MOST_BYTES} -e trace={_CALLS} -e signal=none -e quiet=all"
    python.write_text(f'#!/bin/sh\nexec {strace} -o {told} {sys.executable} "$@"\n', encoding="ascii")
    python.chmod(0o700)
    reader = threading.Thread(target=look_at_writes, args=(told, known, written), daemon=True)
    reader.start()
    yield python
    reader.join(_PATIENCE_S)
    if reader.is_alive():
        raise TimeoutError("something goes on writing after the server has ended")
    if not written.bytes:
        raise RuntimeError("no write was seen: is strace there, and may it trace?")


def look_at_writes(told: Path, known: Mapping[str, Sequence[bytes]], written: Written) -> None:
    """Search what strace tells of writes, line by line."""
    with told.open("rb") as lines:
        for line in lines:
            call = _WRITE.match(line)
            if call is None:
                continue
            path = of_hex(call[1]).decode(errors="replace")
            if path.startswith(_NO_FILE):
                continue
            name = f"written: {Path(path).name}"
            content = b"".join(map(of_hex, _TEXT.findall(call[2])))
            written.bytes[name] += len(content)
            for what, parts in known.items():
                if any(part in content for part in parts):
                    written.found[what].add(name)


def of_hex(text: bytes) -> bytes:
    """What ``\\x41\\x42`` stands for."""
    return bytes.fromhex(text.replace(b"\\x", b"").decode())


def shown(kind: str, told: Mapping[str, Any]) -> str:
    """The result, for people."""
    megabytes = sum(told["written_bytes"].values()) / 1e6
    lines = [
        f"## {kind}",
        f"{told['rounds']} rounds of everything, {told['copies']} copies of all files, {megabytes:.1f} MB written.",
        "",
        "| known | found in |",
        "| --- | --- |",
        *(f"| {what} | {', '.join(where)} |" for what, where in told["found"].items()),
        *(f"| {what} | nowhere |" for what in told["missed"]),
        "",
        f"Files: {', '.join(told['files'])}",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
