"""What every engine offers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from facepool.errors import ModelCorrupt
from facepool.runtime.device import Device
from facepool.types import Floats, Image, PixelFeed


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


class Loader(Protocol):
    """A function that loads an ONNX file."""

    def __call__(
        self,
        path: Path,
        device: Device,
        threads: int,
        cache: Path | None = None,
        feed: PixelFeed | None = None,
        *,
        bfloat16: bool = False,
    ) -> Graph:
        """Load a file on a device with so many CPU threads.

        Args:
            path: The ONNX file.
            device: What to run on.
            threads: CPU threads.
            cache: Folder for what the engine makes of it, to start faster the next time; None to keep nothing.
            feed: Makes a graph that takes pixels; None for one that takes what the file says.
            bfloat16: Numbers may be rounded to bfloat16 inside the graph, where that is faster.

        Raises:
            ModelCorrupt: The engine cannot read the file.
            DeviceUnavailable: The device refused the network.
        """


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


def unreadable(path: Path, engine: str, error: Exception) -> ModelCorrupt:
    """The error of a file that an engine cannot load, with the first line of the engine's own words."""
    words = str(error).strip().splitlines()
    return ModelCorrupt(
        f"{engine} cannot load {path.name}",
        why=words[0] if words else "no reason given",
        fix="Fetch it again: facepool models pull, or check the file that you imported",
    )
