"""What to run on, as people name it."""

from dataclasses import dataclass
from typing import Literal

from facepool.errors import ConfigError

DeviceKind = Literal["auto", "cpu", "cuda", "tensorrt", "coreml"]
_KINDS: tuple[DeviceKind, ...] = ("auto", "cpu", "cuda", "tensorrt", "coreml")
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
        for kind in _KINDS:
            if name == kind and (not colon or (kind in NUMBERED and number.isdecimal())):
                return cls(kind, int(number or 0))
        raise ConfigError(
            f"There is no device {text!r}",
            fix="Say auto, cpu, cuda:0 (or another number), tensorrt:0 or coreml",
        )

    def __str__(self) -> str:
        """The text that ``parse`` reads."""
        return f"{self.kind}:{self.index}" if self.kind in NUMBERED else self.kind
