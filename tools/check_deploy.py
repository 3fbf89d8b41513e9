"""Runs the steps of ``deploy/Containerfile`` in a bare Debian root, starts the server there, and asks it.

    sudo deploy/check DIR            # everything; DIR keeps the roots, and the next run is quicker
    sudo deploy/check DIR --again    # with the image of the last run

It wants root, debootstrap, a Debian mirror (that of apt, or MIRROR=ADDRESS) and a package index (that of pip). The
server runs as the image says: as its user, as process 1, without privileges, on a root that cannot be written to.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from containerfile import Builder, Image, is_root, lines_of_environment  # noqa: E402 -- it lies beside this file

_OWN_MOUNTS = "FACEPOOL_CHECK_MOUNTS"
_PATIENCE_S = 120.0
_ENDS_WITHIN_S = 15.0


class Failed(Exception):
    """Something is not as it was promised."""


def main() -> int:
    """Build, check, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--again", action="store_true", help="take the image of the last run")
    parser.add_argument("--only", action="append", default=[], help="run the checks whose names have this in them")
    options = parser.parse_args()
    if not is_root() or shutil.which("debootstrap") is None:
        print("Only root may run the steps, and debootstrap has to be installed")
        return 2
    if _OWN_MOUNTS not in os.environ:  # what is mounted goes when this ends
        os.environ[_OWN_MOUNTS] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])  # noqa: S606
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    image = built(folder, again=options.again)
    failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        if options.only and not any(part in name for part in options.only):
            continue
        began = time.monotonic()
        try:
            told = check(image, folder)
        except Failed as failure:
            failed += 1
            print(f"FAILED  {name}: {failure}", flush=True)
        else:
            print(f"ok      {name} ({time.monotonic() - began:.1f} s): {told}", flush=True)
    return 1 if failed else 0


def built(folder: Path, *, again: bool) -> Image:
    """The image, from the steps or from the last run."""
    kept = folder / "image.json"
    if again and kept.is_file():
        found = json.loads(kept.read_text())
        return Image(**found | {"root": Path(found["root"])})
    base = folder / "base"
    if not (base / "usr/bin/apt-get").exists():
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", base, mirror()], check=True)
    pip, lent = pips_settings(folder)
    builder = Builder(base, ROOT, folder / "roots", secrets={"pip": pip}, lent=lent)
    began = time.monotonic()
    image = builder.build(ROOT / "deploy" / "Containerfile")
    print(f"The steps took {time.monotonic() - began:.0f} s")
    shutil.rmtree(folder / "roots" / "build")
    kept.write_text(json.dumps({name: getattr(image, name) for name in Image.__slots__}, default=str))
    return image


def mirror() -> str:
    """Where apt takes Debian 12 from."""
    if "MIRROR" in os.environ:
        return os.environ["MIRROR"]
    wanted = ["Created-By: Packages", "Codename: bookworm", "Component: main"]
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted], check=True, capture_output=True, text=True
    )
    return told.stdout.split()[0]


def pips_settings(folder: Path) -> tuple[Path, dict[str, Path]]:
    """This machine's settings of pip as one file, and the files that they name; neither gets into the image."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    if told.returncode:  # an environment without pip
        told = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True)
    lent: dict[str, Path] = {}

    def seen(found: re.Match[str]) -> str:
        folder = Path(found[2].removesuffix("/simple"))
        if not folder.exists():
            return found[0]
        place = f"/run/lent/{len(lent)}"
        lent[place] = folder
        return (found[1] or "") + place + found[2].removeprefix(str(folder))

    settings: dict[str, str] = {}
    for line in told.stdout.splitlines():
        name, _, value = line.partition("=")
        words = value.strip("'\"").replace("\\n", " ").split()
        words = [re.sub(r"^(file://)?(/.*)$", seen, word) for word in words]
        settings.setdefault(name.rpartition(".")[2], " ".join(words))  # the environment, which wins, comes first
    path = folder / "pip.conf"
    path.touch(mode=0o600)
    path.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    return path, lent


@dataclass(slots=True)
class Container:
    """One that runs.

    Attributes:
        process: What started it; its exit code is the container's.
        port: Where its server is.
        log: What it has said.
        key: For requests.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    key: str = ""

    @property
    def first(self) -> int:
        """The number that its process 1 has outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def ask(self, path: str, *, files: Mapping[str, bytes] | None = None, method: str = "") -> tuple[int, Any]:
        """Status and content of an answer.

        Raises:
            OSError: There is none.
        """
        body, headers = None, {"x-api-key": self.key}
        if files:
            body, headers["Content-Type"] = form(files)
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers, method=method or None)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 -- of this machine
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Ask it to end; its exit code, and the seconds that it took."""
        began = time.monotonic()
        os.kill(self.first, number)
        try:
            code = self.process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise Failed(f"it has not ended {_ENDS_WITHIN_S:.0f} s after {number.name}") from error
        return code, time.monotonic() - began


def form(files: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A form with files, and its type."""
    mark = "facepool-check"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files.items()
    ]
    return b"".join(parts) + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


@dataclass(slots=True)
class Run:
    """How a container is started.

    Attributes:
        image: Of what.
        words: In place of the image's command.
        volumes: Folders of this machine by where they are seen.
        read: The same, but not to be written to; files, too.
        environment: Beside the image's.
    """

    image: Image
    words: Sequence[str] = ()
    volumes: Mapping[str, Path] = field(default_factory=dict)
    read: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self) -> list[str]:
        """What starts it: its root read-only, as its user, without privileges, with processes of its own."""
        root = self.image.root
        lines = [
            "set -e",
            f"mount --bind {root} {root}",
            f"mount -t proc proc {root}/proc",
            f"mount -t tmpfs -o mode=755 tmpfs {root}/dev",
            *(f"touch {root}/dev/{name}; mount --bind /dev/{name} {root}/dev/{name}" for name in DEVICES),
            f"mkdir -m 1777 {root}{SHARED}; mount -t tmpfs tmpfs {root}{SHARED}",
            f"mount --rbind -o ro /sys {root}/sys",
            f"mount -t tmpfs -o size=256m,mode=1777 tmpfs {root}{TEMPORARY}",
            f"mount -t tmpfs -o mode=755 tmpfs {root}/run",
            f"mount -t tmpfs -o mode=700,uid=10001,gid=10001 tmpfs {root}/var/cache/facepool",
        ]
        for inside, outside in {**self.volumes, **self.read}.items():
            made = (
                f"mkdir -p {root}{inside}"
                if outside.is_dir()
                else f"mkdir -p {root}{Path(inside).parent}; touch {root}{inside}"
            )
            lines.append(f"{made}; mount --bind {outside} {root}{inside}")
            if inside in self.read:
                lines.append(f"mount -o remount,bind,ro {root}{inside}")
        user, _, group = self.image.user.partition(":")
        rights = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
        rights += ["--bounding-set=-all", "--inh-caps=-all"]
        environment = ["env", "-i", f"--chdir={self.image.folder}", *lines_of_environment(self.image, self.environment)]
        words = [*self.image.entrypoint, *(self.words or self.image.command)]
        lines += [f"mount -o remount,bind,ro {root}", 'exec chroot "$0" "$@"']
        inner = ["sh", "-c", "\n".join(lines), str(root), *rights, *environment, *words]
        return ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", *inner]

    def once(self) -> tuple[int, str, str]:
        """Run it to its end: exit code, output, errors."""
        done = subprocess.run(self.command(), capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
        return done.returncode, done.stdout, done.stderr

    @contextmanager
    def running(self, port: int, log: Path, key: str = "") -> Iterator[Container]:
        """It runs inside the block, and answers."""
        with log.open("wb") as told, subprocess.Popen(self.command(), stdout=told, stderr=told) as process:
            container = Container(process, port, log, key)
            try:
                wait_for(container)
                yield container
            finally:
                if process.poll() is None:
                    process.kill()


SHARED, TEMPORARY = "/dev/shm", "/tmp"  # noqa: S108 -- of the container
DEVICES = ("null", "zero", "full", "random", "urandom")


def wait_for(container: Container) -> None:
    """Until it is healthy."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        if container.process.poll() is not None:
            raise Failed(f"it ended with {container.process.returncode}: {container.log.read_text()[-800:]}")
        try:
            if container.ask("/health")[0] == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise Failed(f"it does not answer: {container.log.read_text()[-800:]}")


@cache
def portrait() -> bytes:
    """A painted face, as a JPEG."""
    import cv2  # noqa: PLC0415 -- of the project's environment

    from drawn_head import paint_portrait  # noqa: PLC0415 -- uses it

    return bytes(cv2.imencode(".jpg", paint_portrait().image_bgr)[1].tobytes())


def volume(folder: Path, name: str) -> Path:
    """An empty folder that belongs to the image's user, as a new volume does."""
    place = folder / "volumes" / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    os.chown(place, 10001, 10001)
    place.chmod(0o700)
    return place


def free_port() -> int:
    """One that nobody listens at."""
    import socket  # noqa: PLC0415 -- here only

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def expect(seen: object, wanted: object, what: str) -> None:
    """Fail if they differ."""
    if seen != wanted:
        raise Failed(f"{what}: {seen!r} in place of {wanted!r}")


# The checks: each says what it saw.


def the_image_has_what_it_needs_and_no_more(image: Image, folder: Path) -> str:
    """Size, user, and that nothing of this machine or of the build got in."""
    del folder
    root = image.root
    size = int(subprocess.run(["du", "-sm", root], capture_output=True, text=True, check=True).stdout.split()[0])
    expect(image.user, "10001:10001", "user")
    for absent in ("etc/pip.conf", "opt/facepool/bin/pip", "usr/bin/gcc", "usr/bin/curl", "src", "root/.config"):
        if (root / absent).exists():
            raise Failed(f"/{absent} is in the image")
    writable = [
        str(path.relative_to(root))
        for top in ("opt", "usr/share/facepool", "usr/local")
        for path in (root / top).rglob("*")
        if not path.is_symlink() and (path.stat().st_uid != 0 or path.stat().st_mode & 0o022)
    ]
    expect(writable, [], "what the user could change")
    return f"{size} MB, user {image.user}, nothing of it can be changed by that user"


def a_household_on_a_file(image: Image, folder: Path) -> str:
    """Without a key it says what to do; then somebody is enrolled, recognized, and still there after TERM."""
    data, port, log = volume(folder, "household"), free_port(), folder / "household.log"
    volumes = {"/var/lib/facepool": data}
    code, _, err = Run(image, volumes=volumes).once()
    if code != 2 or "facepool keys add" not in err:
        raise Failed(f"without a key it ended with {code}: {err}")
    code, out, err = Run(image, ["keys", "add", "Me", "--role", "admin"], volumes).once()
    expect(code, 0, f"keys add ({err})")
    key = out.split()[0]
    serve = Run(image, [*image.command, "--port", str(port)], volumes)
    with serve.running(port, log, key) as container:
        expect(container.ask("/ready")[0], 200, "/ready")
        health = [
            "nsenter",
            f"--target={container.first}",
            "--mount",
            "--pid",
            f"--root={image.root}",
            *image.health,
            "/ready",
            str(port),
        ]
        told = subprocess.run(health, capture_output=True, text=True, check=False)
        expect(told.returncode, 0, f"health check ({told.stdout}{told.stderr})")
        status, answer = container.ask("/v1/persons/Ada/samples", files={"ada.jpg": portrait()})
        expect(status, 200, f"enrolling ({answer})")
        status, answer = container.ask("/v1/recognize", files={"who.jpg": portrait()})
        expect((status, named(answer)), (200, ["Ada"]), f"recognizing ({answer})")
        container.key = ""
        expect(container.ask("/v1/persons")[0], 401, "without a key")
        container.key = key
        code, took, load = term_under_load(container)
    with serve.running(port, log, key) as container:
        expect(named(container.ask("/v1/recognize", files={"who.jpg": portrait()})[1]), ["Ada"], "after a restart")
        expect(container.end()[0], 0, "exit code")
    left = sorted(path.name for path in data.iterdir())
    return f"enrolled, recognized; TERM under load: exit code {code} after {took:.1f} s, {load}; the volume has {left}"


def named(answer: dict[str, Any]) -> list[str]:
    """The people of an answer."""
    return [face["person"] for picture in answer["pictures"] for face in picture["faces"]]


def term_under_load(container: Container, clients: int = 4) -> tuple[int, float, str]:
    """Ask it to end while clients recognize; code, seconds, and what became of the requests."""
    picture, ended = portrait(), threading.Event()
    answers: list[int | str] = []

    def client() -> None:
        while not ended.is_set():
            try:
                answers.append(container.ask("/v1/recognize", files={"who.jpg": picture})[0])
            except (http.client.RemoteDisconnected, ConnectionResetError):
                answers.append("cut")
            except OSError:  # it does not listen any more
                answers.append("refused")
                return

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    code, took = container.end()
    ended.set()
    for thread in threads:
        thread.join()
    expect(code, 0, "exit code after TERM")
    bad = [answer for answer in answers if answer not in (200, 503, "refused")]
    expect(bad, [], "answers under TERM")
    return code, took, f"{answers.count(200)} answered, {answers.count(503)} told that it stops"


CHECKS: list[Callable[[Image, Path], str]] = [
    the_image_has_what_it_needs_and_no_more,
    a_household_on_a_file,
]

if __name__ == "__main__":
    sys.exit(main())
