"""Starts containers of an image that is a folder, as a container engine would, and talks with the server in them.

Root of the file system read-only, the user of the image, no capability, process 1 of its own; the network is that of
the machine. It wants to be root.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from containerfile import Image, lines_of_environment

_PATIENCE_S = 180.0
_ENDS_WITHIN_S = 20.0


class Failed(Exception):
    """Something is not as it was promised."""


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

    @property
    def memory_mb(self) -> int:
        """What its processes hold now; what they share is counted once for each."""
        children = Path(f"/proc/{self.first}/task/{self.first}/children").read_text().split()
        texts = [Path(f"/proc/{number}/status").read_text() for number in (self.first, *children)]
        lines = [line for text in texts for line in text.splitlines() if line.startswith("VmRSS")]
        return sum(int(line.split()[1]) for line in lines) // 1024

    def kill(self) -> None:
        """End it at once, with all of its processes."""
        if self.process.poll() is None:
            with suppress(OSError, IndexError):
                os.kill(self.first, signal.SIGKILL)
            self.process.kill()

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
            self.kill()
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
        user, _, group = self.image.user.partition(":")
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
            f"mount -t tmpfs -o mode=700,uid={user},gid={group} tmpfs {root}/var/cache/facepool",
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
                container.kill()


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


def portrait(folder: Path) -> bytes:
    """A painted face, as a JPEG; painting takes seconds, so it is kept."""
    kept = folder / "portrait.jpg"
    if not kept.is_file():
        import cv2  # noqa: PLC0415 -- of the project's environment

        from drawn_head import paint_portrait  # noqa: PLC0415 -- uses it

        kept.write_bytes(cv2.imencode(".jpg", paint_portrait().image_bgr)[1].tobytes())
    return kept.read_bytes()


def volume(folder: Path, name: str, owner: int = 10001) -> Path:
    """An empty folder that belongs to the image's user, as a new volume does."""
    place = folder / "volumes" / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    os.chown(place, owner, owner)
    place.chmod(0o700)
    return place


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def expect(seen: object, wanted: object, what: str) -> None:
    """Fail if they differ."""
    if seen != wanted:
        raise Failed(f"{what}: {seen!r} in place of {wanted!r}")


def named(answer: dict[str, Any]) -> list[str]:
    """The people of an answer."""
    return [face["person"] for picture in answer["pictures"] for face in picture["faces"]]


def term_under_load(container: Container, picture: bytes, clients: int = 4) -> tuple[int, float, str]:
    """Ask it to end while clients recognize; code, seconds, and what became of the requests."""
    ended = threading.Event()
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
