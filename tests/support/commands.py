"""What end-to-end tests share: run the real commands as a user does, and make films out of the demo's photos."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from facepool import open_pool, read_image
from facepool.capture import VideoWriter
from facepool.cli.main import cli, run
from facepool.runtime import default_cache
from facepool.types import Image
from support.warm_commands import warm_commands

FRAME_WH = (320, 400)
FPS = 10.0
_PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, object]]:
        """Standard output, every line of which has to be one JSON object."""
        found = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(record, dict) for record in found)
        return found

    @property
    def error(self) -> str:
        """The one line of the error; fails when there is none, more than one, or a traceback."""
        assert "Traceback" not in self.err + self.out
        lines = [line for line in self.err.splitlines() if line.startswith("error [")]
        assert len(lines) == 1, self.err
        return lines[0]


class Commands:
    """Runs commands in a folder of their own, with a pool of its own and no screen.

    Args:
        folder: Where they run; relative paths start here.
        models_dir: The store with the open pack.
    """

    def __init__(self, folder: Path, models_dir: Path) -> None:
        self.folder = folder
        self.pool = folder / "pool.db"
        self.address: str | Path = self.pool
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACEPOOL_")}
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            inherited.pop(name, None)
        self.env = inherited | {
            "FACEPOOL_POOL": str(self.pool),
            "FACEPOOL_MODELS_DIR": str(models_dir),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PYTHONIOENCODING": "utf-8",
        }
        self._share_compiled_graphs()

    def __call__(self, *words: str | Path, **env: str) -> Outcome:
        """``facepool WORDS``, with further environment variables."""
        environment, warm = self.env | env, warm_commands()
        if warm is None or not warm.can_run(environment):
            return self.python("-m", "facepool", *words, env=env)
        return Outcome(*warm.run(list(map(str, words)), self.folder, environment, _PATIENCE_S))

    def original(self, program: Path, *words: str | Path) -> Outcome:
        """``python PROGRAM WORDS``: one of the original project's commands."""
        warm = warm_commands()
        if warm is None or not warm.can_run(self.env):
            return self.python(program, *words)
        return Outcome(*warm.run(list(map(str, words)), self.folder, self.env, _PATIENCE_S, program))

    def python(
        self, *words: str | Path, env: Mapping[str, str] | None = None, preexec: Callable[[], None] | None = None
    ) -> Outcome:
        """``python WORDS``; ``preexec`` runs in the child before."""
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=self.folder,
            env=self.env | dict(env or {}),
            capture_output=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
            check=False,
            preexec_fn=preexec,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str | Path, wrapped_in: Sequence[str] = ()) -> "subprocess.Popen[str]":
        """``python WORDS``, not waited for; another command may run it."""
        return subprocess.Popen(
            [*wrapped_in, sys.executable, *map(str, words)],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
        )

    def _share_compiled_graphs(self) -> None:
        """Let commands find what engines compiled in the user's own cache, so that not each compiles it anew."""
        compiled, own = self.folder / "cache" / "facepool" / "compiled", default_cache()
        if own is None or sys.platform == "win32" or compiled.is_symlink():
            return
        with suppress(OSError):  # users whose home cannot be written have no such cache
            own.mkdir(parents=True, exist_ok=True)
            compiled.parent.mkdir(parents=True)
            compiled.symlink_to(own)

    def keep_people_in(self, address: str) -> None:
        """Keep them in a database from now on, in place of the file."""
        self.address = self.env["FACEPOOL_POOL"] = address

    def take_pool_of(self, other: "Commands") -> None:
        """Begin with a copy of another's pool."""
        self.pool.write_bytes(other.pool.read_bytes())

    def people(self) -> dict[str, int]:
        """Who is in the pool with how many views."""
        with open_pool(self.address) as pool:
            return {person.name: person.templates for person in pool.people()}


def typed_here(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """What runs ``facepool WORDS`` in this process, in the folder and with the environment of others."""
    monkeypatch.chdir(commands.folder)

    def typed(*words: str | Path) -> Outcome:
        for name, value in commands.env.items():
            if name.startswith(("FACEPOOL_", "XDG_")):
                monkeypatch.setenv(name, value)
        capfd.readouterr()
        code = run(cli, list(map(str, words)))
        return Outcome(code, *capfd.readouterr())

    return typed


def interrupt(process: "subprocess.Popen[str]", when_it_says: str) -> Outcome:
    """Press Ctrl-C as soon as a process says something on either output, and see how it ends."""
    assert process.stderr is not None
    said = ""
    while when_it_says not in said:
        line = process.stderr.readline()
        assert line, f"it ended with {process.wait()}, having said: {said}"
        said += line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=_PATIENCE_S)
    return Outcome(process.returncode, out, said + err)


def shot(photo: Path, shift: int = 0) -> Image:
    """A photo at the size of the films' frames, its picture pushed to the right by some pixels."""
    image = read_image(photo)
    scale = min(FRAME_WH[0] / image.shape[1], FRAME_WH[1] / image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = np.full((FRAME_WH[1], FRAME_WH[0], 3), 110, np.uint8)
    frame[: small.shape[0], : small.shape[1]] = small
    return np.roll(frame, shift, axis=1)


def pan(photo: Path, count: int) -> list[Image]:
    """A photo that wanders through the picture, frame by frame."""
    return [shot(photo, 3 * number) for number in range(count)]


def nobody(count: int) -> list[Image]:
    """Frames of a gray wall."""
    return [np.full((FRAME_WH[1], FRAME_WH[0], 3), 110, np.uint8)] * count


def film(path: Path, frames: Sequence[Image]) -> Path:
    """Write a video of frames."""
    with VideoWriter(path, FPS, (frames[0].shape[1], frames[0].shape[0])) as writer:
        for frame in frames:
            writer.write(frame)
    return path
