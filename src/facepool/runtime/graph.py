"""What every engine offers: a graph on a device."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

from facepool.errors import ConfigError, FacepoolError, ModelCorrupt, system_limit
from facepool.types import Floats, Image, PixelFeed

DeviceKind = Literal["auto", "cpu", "cuda", "tensorrt", "coreml"]
NUMBERED: frozenset[DeviceKind] = frozenset({"cuda", "tensorrt"})
"""Kinds of which a machine may have several."""


@dataclass(frozen=True, slots=True)
class Device:
    """What to run on.

    Attributes:
        kind: ``auto`` means the best that works.
        index: Which one of several; 0 for kinds that have no number.
    """

    kind: DeviceKind
    index: int = 0

    @classmethod
    def parse(cls, text: str) -> "Device":
        """Read ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt:0`` or ``coreml``.

        Raises:
            ConfigError: The text is none of these.
        """
        name, colon, number = text.strip().lower().partition(":")
        for kind in get_args(DeviceKind):
            if name == kind and (not colon or (kind in NUMBERED and number.isdecimal())):
                return cls(kind, int(number or 0))
        raise ConfigError(
            f"There is no device {text!r}",
            fix="Say auto, cpu, cuda:0 (or another number), tensorrt:0 or coreml",
        )

    def __str__(self) -> str:
        """The text that ``parse`` reads."""
        return f"{self.kind}:{self.index}" if self.kind in NUMBERED else self.kind


class Graph(Protocol):
    """A network on a device, ready to run, from several threads at once if need be."""

    @property
    def engine(self) -> str:
        """Name and version of the engine, for people."""

    @property
    def device(self) -> str:
        """The device in use, for people: ``cpu``, ``cuda:0``."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the order in which ``run`` returns them."""

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        """Run the network once.

        Args:
            batch: C-contiguous, N of at least 1. Where the graph was loaded with a feed (N, H, W, 3) uint8 BGR;
                otherwise (N, C, H, W) float32, as the file has it.

        Returns:
            One float32 array an output, owned by the caller, N rows each.
        """


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """An ONNX file, and how it is to be run.

    Attributes:
        path: The file.
        device: What to run on.
        threads: CPU threads.
        cache: Folder for what the engine makes of the file, to start faster the next time; None to keep nothing.
        feed: Makes a graph that takes pixels; None for one that takes what the file says.
        bfloat16: Numbers may be rounded to bfloat16 inside the graph, 8 significant bits in place of 24, where that is
            faster.
        together: So many images come in a batch at least; an engine may run them side by side, on fewer threads each.
    """

    path: Path
    device: Device
    threads: int
    cache: Path | None = None
    feed: PixelFeed | None = None
    bfloat16: bool = False
    together: int = 1


Loader = Callable[[GraphRequest], Graph]
"""Loads a file. Raises ``ModelCorrupt`` where the engine cannot read it, ``DeviceUnavailable`` where the device refuses
the network."""


@dataclass(frozen=True, slots=True)
class EngineReport:
    """An installed engine, for ``facepool doctor``.

    Attributes:
        name: For people.
        version: As the engine states it.
        devices: What it says it can run on.
    """

    name: str
    version: str
    devices: tuple[str, ...]


def unreadable(path: Path, engine: str, error: Exception) -> FacepoolError:
    """The error of a file that an engine cannot load, with the first line of the engine's own words."""
    if (limit := system_limit(f"{engine} cannot load {path.name}", error)) is not None:
        return limit
    words = str(error).strip().splitlines()
    return ModelCorrupt(
        f"{engine} cannot load {path.name}",
        why=words[0] if words else "no reason given",
        fix="Fetch it again: facepool models pull, or check the file that you imported",
    )


@contextmanager
def limits_named(what: str) -> Iterator[None]:
    """Tell a user where an engine fails inside the block because memory is short; other failures are our own.

    Raises:
        SystemLimit: Memory is short.
    """
    try:
        yield
    except (RuntimeError, MemoryError, ImportError) as error:
        if (limit := system_limit(what, error)) is not None:
            raise limit from error
        raise
