"""Reads a Containerfile, and runs its steps in folders in place of a container engine.

For machines that have none: each stage is a copy of a Debian root (debootstrap's smallest, for any base image), ``RUN``
is run in it by chroot, ``COPY`` copies, and what is left is what the image would be. Only what the project's own
Containerfile uses is understood; anything else is refused, so that nothing is passed over.

It wants to be root in a mount namespace of its own: what it mounts goes when the process ends.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_WORDS = {"WORKDIR": "folder", "USER": "user", "STOPSIGNAL": "stop_signal"}
_LISTS = {"VOLUME": "volumes", "EXPOSE": "ports"}
_COMMANDS = {"ENTRYPOINT": "entrypoint", "CMD": "command", "HEALTHCHECK": "health"}
KNOWN = frozenset({"ARG", "COPY", "ENV", "FROM", "LABEL", "RUN", *_WORDS, *_LISTS, *_COMMANDS})
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NotUnderstood(ValueError):
    """The file has something that this module cannot do."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of the file, with those that continue it.

    Attributes:
        name: In capitals.
        text: What follows it.
        line: Where it begins, from 1.
    """

    name: str
    text: str
    line: int


@dataclass(slots=True)
class Image:
    """What a stage becomes: its root, and how a container of it is started.

    Attributes:
        root: The folder that is ``/`` there.
        environment: Of each process.
        user: Number of user and group, ``10001:10001``; empty: root.
        folder: Working directory.
        entrypoint: The first words of the command.
        command: The others, unless others are given.
        volumes: Folders whose content outlives a container.
        ports: That it listens at.
        stop_signal: Which asks it to end.
        health: Command that tells whether it is well.
    """

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    user: str = ""
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"
    health: list[str] = field(default_factory=list)


def read(path: Path) -> list[Instruction]:
    """The instructions of a file.

    Raises:
        NotUnderstood: One is none that this module knows.
    """
    found: list[Instruction] = []
    parts: list[str] = []
    began = 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        began = number if not parts else began
        parts.append(line.rstrip().removesuffix("\\").strip())
        if line.rstrip().endswith("\\"):
            continue
        name, _, text = " ".join(parts).partition(" ")
        if name.upper() not in KNOWN:
            raise NotUnderstood(f"{path}, line {began}: {name} is not understood")
        found.append(Instruction(name.upper(), text.strip(), began))
        parts = []
    return found


class Builder:
    """Runs the steps of a file.

    Args:
        base: A Debian root, which stays as it is: what each base image is taken for.
        context: The folder that ``COPY`` takes from.
        roots: Where the roots of the stages are made; those that are there go.
        secrets: Files for ``RUN --mount=type=secret``, by their id.
        lent: Files and folders of this machine, by where steps that get a secret can read them; not in the image.
        arguments: For ``ARG``, in place of its default.
    """

    def __init__(
        self,
        base: Path,
        context: Path,
        roots: Path,
        *,
        secrets: Mapping[str, Path] | None = None,
        lent: Mapping[str, Path] | None = None,
        arguments: Mapping[str, str] | None = None,
    ) -> None:
        self._base = base
        self._context = context
        self._roots = roots
        self._secrets = secrets or {}
        self._lent = lent or {}
        self._arguments = arguments or {}
        self._before: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self._stages: dict[str, Image] = {}

    def build(self, path: Path) -> Image:
        """Run all steps; the last stage.

        Raises:
            NotUnderstood: A step cannot be done here.
            subprocess.CalledProcessError: A step failed.
        """
        image: Image | None = None
        for step in read(path):
            print(f"  line {step.line}: {step.name} {step.text[:100]}", flush=True)
            if step.name == "ARG":
                name, _, default = step.text.partition("=")
                value = self._arguments.get(name, self._filled(default.strip('"')))
                (self._before if image is None else self._known)[name] = value
            elif step.name == "FROM":
                image = self._begin(step)
            elif image is None:
                raise NotUnderstood(f"line {step.line}: {step.name} before FROM")
            else:
                self._do(step, image)
        if image is None:
            raise NotUnderstood("no FROM")
        return image

    def _filled(self, text: str) -> str:
        return _VARIABLE.sub(lambda found: self._known.get(found[1], ""), text)

    def _begin(self, step: Instruction) -> Image:
        self._known = {}  # what is said before the first FROM counts in FROM only
        _source, *words = _VARIABLE.sub(lambda found: self._before[found[1]], step.text).split()
        name = words[1] if [word.upper() for word in words[:1]] == ["AS"] else "image"
        self._roots.mkdir(parents=True, exist_ok=True)
        root = self._roots / name
        if root.exists():
            shutil.rmtree(root)
        subprocess.run(["cp", "--archive", self._base, root], check=True)
        self._stages[name] = Image(root)
        return self._stages[name]

    def _do(self, step: Instruction, image: Image) -> None:
        """One step of a stage."""
        if step.name == "RUN":
            self._run(step, image)
        elif step.name == "COPY":
            self._copy(step, image)
        else:
            _describe(step.name, self._filled(step.text), image)
        if step.name == "WORKDIR":
            _inside(image.root, step.text).mkdir(parents=True, exist_ok=True)

    def _run(self, step: Instruction, image: Image) -> None:
        text, secrets = step.text, {}
        while text.startswith("--"):
            option, _, text = text.partition(" ")
            kind, _, value = option.partition("=")
            wanted = dict(pair.split("=", 1) for pair in value.split(","))
            if kind != "--mount" or wanted.get("type") != "secret":
                raise NotUnderstood(f"line {step.line}: {option}")
            if wanted["id"] in self._secrets:
                secrets[wanted["target"]] = self._secrets[wanted["id"]]
        arguments = [f"{name}={value}" for name, value in self._known.items()]
        variables = [f"{name}={value}" for name, value in image.environment.items()]
        with mounted(image.root, {**self._lent, **secrets} if secrets else {}):
            command = ["chroot", str(image.root), "env", "-i", f"--chdir={image.folder}", "HOME=/root"]
            command += [*variables, *arguments, "sh", "-c", text.strip()]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def _copy(self, step: Instruction, image: Image) -> None:
        words = step.text.split()
        source = self._context
        if words[0].startswith("--from="):
            source = self._stages[words.pop(0).removeprefix("--from=")].root
        *names, target = words
        if any(word.startswith("--") or "*" in word for word in words):
            raise NotUnderstood(f"line {step.line}: COPY {step.text}")
        place = _inside(image.root, str(Path("/", image.folder, target)))
        for name in names:
            taken = _inside(source, name)
            if taken.is_dir():  # the content of a folder is copied, not the folder
                place.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "--archive", f"{taken}/.", place], check=True)
            else:
                into = place / taken.name if target.endswith("/") or place.is_dir() else place
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(taken, into)


def _describe(name: str, text: str, image: Image) -> None:
    """What a step says of the containers of an image, without doing anything to its root."""
    if name == "ENV":
        image.environment |= dict(pair.split("=", 1) for pair in shlex.split(text))
    elif name in _WORDS:
        setattr(image, _WORDS[name], text)
    elif name in _LISTS:
        setattr(image, _LISTS[name], text.split())
    elif name in _COMMANDS:
        setattr(image, _COMMANDS[name], json.loads(text.partition("CMD ")[2] if name == "HEALTHCHECK" else text))
    elif name != "LABEL":
        raise NotUnderstood(f"{name} {text}")


def _inside(root: Path, path: str) -> Path:
    return root / path.removeprefix("/")


class mounted:  # noqa: N801 -- used like a function
    """Mounts what processes in a root need, and takes it away again; empty files that were made for it, too.

    Args:
        root: The folder.
        lent: Files and folders of this machine, to be read only, by the path at which they are seen.
    """

    def __init__(self, root: Path, lent: Mapping[str, Path]) -> None:
        self._root = root
        self._files = {"/etc/resolv.conf": Path("/etc/resolv.conf"), **lent}
        self._mounts: list[Path] = []
        self._made: list[Path] = []

    def __enter__(self) -> "mounted":
        self._mount(["-t", "proc", "proc"], self._root / "proc")
        self._mount(["--rbind", "/dev"], self._root / "dev")
        self._mount(["--rbind", "/sys"], self._root / "sys")
        for inside, outside in self._files.items():
            place = self._place(inside, is_folder=outside.is_dir())
            self._mount(["--bind", "-o", "ro", str(outside.resolve())], place)
        return self

    def _place(self, inside: str, *, is_folder: bool) -> Path:
        place = _inside(self._root, inside)
        self._made += [path for path in (place, *place.parents) if not path.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
        if is_folder:
            place.mkdir(exist_ok=True)
        elif not place.exists():
            place.touch()
        return place

    def _mount(self, options: Sequence[str], place: Path) -> None:
        subprocess.run(["mount", *options, str(place)], check=True)
        self._mounts.append(place)

    def __exit__(self, *_: object) -> None:
        for place in reversed(self._mounts):
            subprocess.run(["umount", "--recursive", "--lazy", str(place)], check=True)
        for path in self._made:  # the deepest of each first
            if not path.is_dir():
                path.unlink()
            elif not any(path.iterdir()):
                path.rmdir()


def lines_of_environment(image: Image, more: Mapping[str, str]) -> Iterator[str]:
    """``NAME=value`` of a container."""
    yield from (f"{name}={value}" for name, value in {**image.environment, **more}.items())


def is_root() -> bool:
    """Whether steps can be run at all."""
    return hasattr(os, "geteuid") and os.geteuid() == 0
