"""The original checkpoints' networks layer by layer in NumPy, batch normalization and all, as the oracle.

Written from PyTorch's definitions and sharing nothing with the ONNX writer. A network makes up its weights as it
asks for them, so that one forward pass gives both a state dict and the output that belongs to it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Layers:
    """PyTorch's layers on (N,C,H,W) float64, with given weights or random ones.

    Args:
        state: Weights by key; random ones are made up where it is None.
    """

    def __init__(self, state: Mapping[str, npt.NDArray[Any]] | None = None) -> None:
        self.state = dict(state or {})
        self._is_random = state is None
        self._rng = np.random.default_rng(7)

    def weight(self, key: str, shape: tuple[int, ...], low: float, high: float) -> Array:
        if self._is_random:
            self.state[key] = self._rng.uniform(low, high, shape).astype(np.float32)
        assert self.state[key].shape == shape
        return self.state[key].astype(np.float64)

    def conv(self, x: Array, key: str, out: int, *, kernel: int = 3, stride: int = 1, groups: int = 1) -> Array:
        planes = x.shape[1] // groups
        bound = (3 / (planes * kernel**2)) ** 0.5
        weight = self.weight(f"{key}.weight", (out, planes, kernel, kernel), -bound, bound)
        edge = kernel // 2
        padded = np.pad(x, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
        windows = windows[:, :, ::stride, ::stride]
        if groups > 1:
            return np.asarray(np.einsum("nchwij,cij->nchw", windows, weight[:, 0]))
        return np.moveaxis(np.tensordot(windows, weight, axes=((1, 4, 5), (1, 2, 3))), -1, 1)

    def bias(self, x: Array, key: str) -> Array:
        return x + _planes(self.weight(f"{key}.bias", (x.shape[1],), -0.5, 0.5), x)

    def norm(self, x: Array, key: str) -> Array:
        shape = (x.shape[1],)
        weight, bias = self.weight(f"{key}.weight", shape, 0.5, 1.5), self.weight(f"{key}.bias", shape, -0.5, 0.5)
        mean = self.weight(f"{key}.running_mean", shape, -0.5, 0.5)
        variance = self.weight(f"{key}.running_var", shape, 0.5, 2)
        if self._is_random:
            self.state[f"{key}.num_batches_tracked"] = np.array(9)
        normal = (x - _planes(mean, x)) / np.sqrt(_planes(variance, x) + 1e-5)
        return normal * _planes(weight, x) + _planes(bias, x)

    def prelu(self, x: Array, key: str) -> Array:
        return np.where(x > 0, x, x * _planes(self.weight(f"{key}.weight", (x.shape[1],), 0, 0.5), x))

    def conv_norm(self, x: Array, key: str, out: int, *, kernel: int = 3, stride: int = 1, at: int = 0) -> Array:
        return self.norm(self.conv(x, f"{key}.{at}", out, kernel=kernel, stride=stride), f"{key}.{at + 1}")

    def conv_norm_leaky(self, x: Array, key: str, out: int, *, kernel: int = 3, stride: int = 1) -> Array:
        return _leaky(self.conv_norm(x, key, out, kernel=kernel, stride=stride))


def _planes(values: Array, like: Array) -> Array:
    return values.reshape(1, -1, *[1] * (like.ndim - 2))


def _leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.1 * x)


def retinaface(layers: Layers, x: Array) -> tuple[Array, Array, Array]:
    """Box deltas, scores and landmark deltas of RetinaFace MobileNet-0.25."""
    stage1 = layers.conv_norm_leaky(x, "body.stage1.0", 8, stride=2)
    for number, (out, stride) in enumerate(((16, 1), (32, 2), (32, 1), (64, 2), (64, 1)), start=1):
        stage1 = _separable(layers, stage1, f"body.stage1.{number}", out, stride)
    stage2 = stage1
    for number in range(6):
        stage2 = _separable(layers, stage2, f"body.stage2.{number}", 128, 2 if number == 0 else 1)
    stage3 = stage2
    for number in range(2):
        stage3 = _separable(layers, stage3, f"body.stage3.{number}", 256, 2 if number == 0 else 1)
    p3, p4, p5 = (
        layers.conv_norm_leaky(stage, f"fpn.output{number}", 64, kernel=1)
        for number, stage in ((1, stage1), (2, stage2), (3, stage3))
    )
    p4 = layers.conv_norm_leaky(p4 + _nearest(p5, p4), "fpn.merge2", 64)
    p3 = layers.conv_norm_leaky(p3 + _nearest(p4, p3), "fpn.merge1", 64)
    levels = [_ssh(layers, level, f"ssh{number}") for number, level in enumerate((p3, p4, p5), start=1)]
    scores = np.exp(_head(layers, levels, "ClassHead", 2))
    boxes, landmarks = _head(layers, levels, "BboxHead", 4), _head(layers, levels, "LandmarkHead", 10)
    return boxes, scores / scores.sum(axis=2, keepdims=True), landmarks


def _separable(layers: Layers, x: Array, key: str, out: int, stride: int) -> Array:
    depthwise = layers.conv(x, f"{key}.0", x.shape[1], stride=stride, groups=x.shape[1])
    return _leaky(layers.conv_norm(_leaky(layers.norm(depthwise, f"{key}.1")), key, out, kernel=1, at=3))


def _nearest(x: Array, like: Array) -> Array:
    rows, columns = (
        np.floor(np.arange(big) * small / big).astype(int)
        for small, big in zip(x.shape[2:], like.shape[2:], strict=True)
    )
    return x[:, :, rows][:, :, :, columns]


def _ssh(layers: Layers, x: Array, key: str) -> Array:
    first = layers.conv_norm_leaky(x, f"{key}.conv5X5_1", 16)
    second = layers.conv_norm_leaky(first, f"{key}.conv7X7_2", 16)
    wide = layers.conv_norm(x, f"{key}.conv3X3", 32)
    branches = [wide, layers.conv_norm(first, f"{key}.conv5X5_2", 16), layers.conv_norm(second, f"{key}.conv7x7_3", 16)]
    return np.maximum(np.concatenate(branches, axis=1), 0)


def _head(layers: Layers, levels: Sequence[Array], key: str, values: int) -> Array:
    rows = []
    for number, x in enumerate(levels):
        name = f"{key}.{number}.conv1x1"
        planes = layers.bias(layers.conv(x, name, 2 * values, kernel=1), name)
        rows.append(planes.transpose(0, 2, 3, 1).reshape(len(x), -1, values))
    return np.concatenate(rows, axis=1)


def ir_embedder(layers: Layers, x: Array, planes: Sequence[int], dimension: int) -> Array:
    """An IR embedder with one unit for each entry of ``planes``; the first entry is also the stem's."""
    x = layers.prelu(layers.conv_norm(x, "input_layer", planes[0]), "input_layer.2")
    for number, out in enumerate(planes):
        x = _ir_unit(layers, x, f"body.{number}", out, is_first=number == 0)
    flat = layers.norm(x, "output_layer.0").reshape(len(x), -1)
    bound = (3 / flat.shape[1]) ** 0.5
    linear = layers.weight("output_layer.3.weight", (dimension, flat.shape[1]), -bound, bound)
    return layers.norm(layers.bias(flat @ linear.T, "output_layer.3"), "output_layer.4")


def _ir_unit(layers: Layers, x: Array, key: str, out: int, *, is_first: bool) -> Array:
    stride = 2 if is_first or out != x.shape[1] else 1
    residual = layers.conv(layers.norm(x, f"{key}.res_layer.0"), f"{key}.res_layer.1", out)
    residual = layers.prelu(residual, f"{key}.res_layer.2")
    residual = layers.conv_norm(residual, f"{key}.res_layer", out, stride=stride, at=3)
    if out == x.shape[1]:
        return residual + x[:, :, ::stride, ::stride]
    return residual + layers.conv_norm(x, f"{key}.shortcut_layer", out, kernel=1, stride=stride)
