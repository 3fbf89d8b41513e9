"""The weights of a checkpoint, taken out by name and shape, with an account of what did not fit."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facepool.errors import ModelCorrupt, ModelUnsupported

Weights = npt.NDArray[np.float64]

_EPSILON = 1e-5
"""PyTorch's default for batch normalization, which both networks keep."""

_SHOWN = 4


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Batch normalization at inference: x * scale + shift for each channel.

    Attributes:
        scale: (C,) float64.
        shift: (C,) float64.
    """

    scale: Weights
    shift: Weights


class StateDict:
    """Hands out weights and remembers what was asked for.

    A key that is missing or misshapen gives zeros, so that a graph can be laid out to its end and ``check`` can name
    everything that is wrong at once.

    Args:
        tensors: Arrays by key.
        name: What to call the checkpoint in errors.
    """

    def __init__(self, tensors: Mapping[str, npt.NDArray[Any]], name: str) -> None:
        self._tensors = tensors
        self._name = name
        self._taken: set[str] = set()
        self._misfits: list[str] = []

    def __iter__(self) -> Iterator[str]:
        """The keys, in the file's order."""
        return iter(self._tensors)

    def rows(self, key: str, *, default: int) -> int:
        """Length of a tensor's first axis; the default where there is no such tensor."""
        tensor = self._tensors.get(key)
        return default if tensor is None or tensor.ndim == 0 else len(tensor)

    def take(self, key: str, shape: tuple[int, ...]) -> Weights:
        """A tensor as float64.

        Args:
            key: Its name.
            shape: The shape that the network's layout asks for.

        Raises:
            ModelCorrupt: It holds NaN or infinity.
        """
        self._taken.add(key)
        tensor = self._tensors.get(key)
        if tensor is None:
            self._misfits.append(f"{key} is missing")
            return np.zeros(shape)
        if tensor.shape != shape:
            self._misfits.append(f"{key} is {tensor.shape} instead of {shape}")
            return np.zeros(shape)
        if not np.isfinite(tensor).all():
            raise ModelCorrupt(f"{self._name} holds NaN or infinity", why=f"in {key}", fix="Fetch or train it again")
        return tensor.astype(np.float64)

    def take_batch_norm(self, key: str, channels: int) -> BatchNorm:
        """The four tensors of a batch normalization (weight, bias, running_mean, running_var) in one.

        Raises:
            ModelCorrupt: NaN, infinity or a negative variance.
        """
        weight, bias, mean, variance = (
            self.take(f"{key}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var")
        )
        if (variance < 0).any():
            raise ModelCorrupt(f"{self._name} holds a negative variance", why=f"in {key}", fix="Fetch it again")
        scale = weight / np.sqrt(variance + _EPSILON)
        return BatchNorm(scale, bias - mean * scale)

    def check(self, layout: str) -> None:
        """Refuse a checkpoint of which something was missing, misshapen or left over.

        Args:
            layout: The network that it was taken for.

        Raises:
            ModelUnsupported: Names the first few keys.
        """
        surplus = [f"{key} is not part of it" for key in self._tensors if not self._is_accounted_for(key)]
        misfits = self._misfits + surplus
        if not misfits:
            return
        raise ModelUnsupported(
            f"{self._name} looks like {layout} and is not",
            why=f"{shorten(misfits)} ({len(self._misfits)} missing or misshapen, {len(surplus)} unexpected keys)",
            fix="Export any other network to ONNX and import it: facepool models import",
        )

    def _is_accounted_for(self, key: str) -> bool:
        return key in self._taken or key.endswith(".num_batches_tracked")


def shorten(items: Iterable[str]) -> str:
    """The first few, for people to read."""
    shown = list(itertools.islice(items, _SHOWN + 1))
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")
