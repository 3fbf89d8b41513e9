"""The original project's PyTorch checkpoints, turned into ONNX once and kept."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from facepool.errors import ModelUnavailable, ModelUnsupported, PathMissing
from facepool.files import digest_of, write_whole
from facepool.models.catalog import EmbedderSpec, RetinaFaceSpec
from facepool.models.checkpoints.layers import StateDict, shorten
from facepool.models.checkpoints.networks import RETINAFACE_SPEC, build_ir_embedder, build_retinaface, ir_spec_of
from facepool.models.checkpoints.torch_file import is_checkpoint, read_state_dict

_VERSION = 1
"""Part of the cached file's name: raise it when the graphs that are written change."""

_EXPECTED = (
    "facepool converts RetinaFace MobileNet-0.25 (keys body.stage1.0.0.weight, fpn.output1.0.weight, "
    "ClassHead.0.conv1x1.weight) and IR embedders (input_layer.0.weight, body.0.res_layer.1.weight, "
    "output_layer.3.weight)"
)


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """A checkpoint as ONNX.

    Attributes:
        graph: Path of the ONNX file.
        spec: How it is fed and read; its type says whether it is a detector or an embedder.
        sha256: Of the checkpoint, in hexadecimal digits.
    """

    graph: Path
    spec: RetinaFaceSpec | EmbedderSpec
    sha256: str


def convert_checkpoint(path: Path, cache_dir: Path) -> ConvertedModel:
    """Turn a PyTorch checkpoint into ONNX, or find what an earlier call made of the same bytes.

    Needs no PyTorch and runs nothing that the file contains.

    Args:
        path: ``mobilenet_header.pth`` (RetinaFace MobileNet-0.25) or an IR embedder in face.evoLVe's layout, under
            any name.
        cache_dir: Where the ONNX file is kept, under the checkpoint's digest; made if missing. A damaged ONNX file is
            made again.

    Returns:
        The file, its spec and the checkpoint's digest.

    Raises:
        PathMissing: There is no such file.
        ModelUnavailable: It cannot be read.
        ModelCorrupt: It is damaged or cut short.
        ModelUnsupported: It is no checkpoint, or of another network.
        NotWritable, DiskFull: The ONNX file cannot be kept.
    """
    content = _read(path)
    sha256 = hashlib.sha256(content).hexdigest()
    weights = StateDict(read_state_dict(content, path.name), path.name)
    spec, build = _recognize(weights, path.name)
    graph = cache_dir / f"{sha256}.v{_VERSION}.onnx"
    if not _is_intact(graph):
        written = build(weights).SerializeToString()
        write_whole(graph, written)
        write_whole(_digest_file(graph), hashlib.sha256(written).hexdigest().encode())
    return ConvertedModel(graph, spec, sha256)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(4)
            # Whatever was named by mistake, a video say, is not read to its end.
            return head + file.read() if is_checkpoint(head) else head
    except FileNotFoundError as error:
        raise PathMissing(f"The checkpoint {path} does not exist", fix="Check the path") from error
    except OSError as error:
        raise ModelUnavailable(f"The checkpoint {path} cannot be read", why=error.strerror or str(error)) from error


def _digest_file(graph: Path) -> Path:
    return graph.with_suffix(".sha256")


def _is_intact(graph: Path) -> bool:
    """Whether a graph of an earlier call is there, with the bytes that were written."""
    try:
        return _digest_file(graph).read_bytes() == digest_of(graph).encode()
    except OSError:
        return False


def _recognize(
    weights: StateDict, name: str
) -> tuple[RetinaFaceSpec | EmbedderSpec, Callable[[StateDict], onnx.ModelProto]]:
    keys = set(weights)
    if "body.stage1.0.0.weight" in keys:
        return RETINAFACE_SPEC, build_retinaface
    if "input_layer.0.weight" in keys:
        if any(".res_layer.5." in key for key in keys):
            raise ModelUnsupported(f"{name} is an IR-SE embedder, which is not supported", why=_EXPECTED)
        return ir_spec_of(weights), build_ir_embedder
    if any(key.startswith("body.layer1.") for key in keys):
        raise ModelUnsupported(
            f"{name} is a RetinaFace with a ResNet-50 body, which is not supported",
            why=_EXPECTED,
            fix="Use mobilenet_header.pth, or export it to ONNX and import it: facepool models import",
        )
    if {"stage1.0.0.weight", "fc.weight"} <= keys:
        raise ModelUnsupported(
            f"{name} holds only the body that the detector's training started from",
            fix="Give mobilenet_header.pth, which holds all weights; this file is not needed",
        )
    raise ModelUnsupported(f"{name} is a checkpoint of another network: it has {shorten(weights)}", why=_EXPECTED)
