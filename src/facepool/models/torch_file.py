"""PyTorch checkpoints read without PyTorch, as data: no object that a file names is ever imported or called.

A checkpoint is a pickle that refers to blocks of numbers (storages) by key. Both ways of storing it are read: the zip
archive of PyTorch 1.6 and later (``*/data.pkl`` beside ``*/data/<key>``), and the older stream of pickles followed
by the storages. The rule is that of ``torch.load(weights_only=True)``: ordered dictionaries, tensors and
plain values, and nothing else.
"""

import io
import math
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from facepool.errors import ModelUnsupported
from facepool.models.torch_pickle import RESAVE, Storage, Tensor, refuse_corrupt, unpickle

Array = npt.NDArray[Any]

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar")
"""How the names of checkpoints end."""

_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_PROTOCOL = 1001
_COUNT_BYTES = 8

# What the standard library raises on archives that contradict themselves, are encrypted or of an unknown method.
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


def is_checkpoint(head: bytes) -> bool:
    """Whether a file that starts with these bytes (4 or more) may be a PyTorch checkpoint."""
    return head.startswith((_ZIP_MAGIC, _PICKLE_MAGIC))


def read_state_dict(content: bytes, name: str) -> dict[str, Array]:
    """The named tensors of a checkpoint.

    Looks inside a wrapper such as ``{"epoch": ..., "state_dict": ...}`` and drops the prefix ``module.`` that data
    parallel training leaves.

    Args:
        content: The whole file.
        name: What to call the file in errors.

    Returns:
        Read-only little-endian arrays by key, in the file's order; never empty.

    Raises:
        ModelCorrupt: The file is cut short or contradicts itself.
        ModelUnsupported: It is not a checkpoint, or holds something else than tensors and plain values.
    """
    if not is_checkpoint(content):
        raise ModelUnsupported(f"{name} is not a PyTorch checkpoint", why="it is neither a zip archive nor a pickle")
    read = _read_archive if content.startswith(_ZIP_MAGIC) else _read_stream
    checkpoint, buffers = read(content, name)
    tensors = _find_tensors(checkpoint)
    if not tensors:
        raise ModelUnsupported(f"{name} holds no state dict", why="no tensor has a name in it", fix=RESAVE)
    return {key: _as_array(tensor, buffers, key, name) for key, tensor in tensors.items()}


def _read_archive(content: bytes, name: str) -> tuple[object, dict[str, bytes]]:
    """The object of a zip checkpoint and the bytes of each storage by key."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            folder = _find_folder(archive, len(content), name)
            checkpoint, storages = unpickle(io.BytesIO(archive.read(f"{folder}data.pkl")), name)
            return checkpoint, {key: archive.read(f"{folder}data/{key}") for key in storages}
    except KeyError as error:
        refuse_corrupt(name, f"a part is missing: {error.args[0]}", error)
    except _ARCHIVE_ERRORS as error:
        refuse_corrupt(name, str(error), error)


def _find_folder(archive: zipfile.ZipFile, file_bytes: int, name: str) -> str:
    members = archive.infolist()
    pickles = [member.filename for member in members if member.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ModelUnsupported(f"{name} is not a PyTorch checkpoint", why="the zip archive has no single data.pkl")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ModelUnsupported(f"{name} was compressed after it was saved", fix=RESAVE)
    # Uncompressed members that add up to more than the file overlap: a way to fill the memory.
    if sum(member.file_size for member in members) > file_bytes:
        raise ValueError("its parts are larger than the file")
    folder = pickles[0].removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ModelUnsupported(f"{name} was saved on a big-endian machine", fix="Convert it on a little-endian one")
    return folder


def _read_stream(content: bytes, name: str) -> tuple[object, dict[str, bytes]]:
    """The object of a pre-1.6 checkpoint and the bytes of each storage by key."""
    stream = io.BytesIO(content)
    magic, _ = unpickle(stream, name)
    if magic != _STREAM_MAGIC:
        raise ModelUnsupported(f"{name} is not a PyTorch checkpoint", why="it is a pickle of something else")
    protocol, _ = unpickle(stream, name)
    system, _ = unpickle(stream, name)
    if protocol != _STREAM_PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ModelUnsupported(f"{name} was saved on a machine or by a PyTorch of another kind", fix=RESAVE)
    checkpoint, storages = unpickle(stream, name)
    keys, _ = unpickle(stream, name)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        refuse_corrupt(name, "its list of storages does not fit its tensors")
    return checkpoint, {key: _read_storage(stream, storages[key], name) for key in keys}


def _read_storage(stream: io.BytesIO, storage: Storage, name: str) -> bytes:
    count = int.from_bytes(stream.read(_COUNT_BYTES), "little")
    rest = len(stream.getbuffer()) - stream.tell()
    if count != storage.count or storage.nbytes > rest:
        refuse_corrupt(name, f"storage {storage.key} has not the size that its tensors say")
    return stream.read(storage.nbytes)


def _find_tensors(checkpoint: object) -> dict[str, Tensor]:
    if not isinstance(checkpoint, Mapping):
        return {}
    wrapped = checkpoint.get("state_dict")
    state = wrapped if isinstance(wrapped, Mapping) else checkpoint
    tensors = {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if all(key.startswith("module.") for key in tensors):
        return {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    return tensors


def _as_array(tensor: Tensor, buffers: Mapping[str, bytes], key: str, name: str) -> Array:
    """A view of the storage, after a check that it stays inside."""
    storage = tensor.storage
    buffer = buffers[storage.key]
    if len(buffer) != storage.nbytes:
        refuse_corrupt(name, f"storage {storage.key} has {len(buffer)} bytes instead of {storage.nbytes}")
    sides = list(zip(tensor.shape, tensor.strides, strict=True))
    reach = sum((side - 1) * stride for side, stride in sides)
    is_empty = 0 in tensor.shape
    if not is_empty and (tensor.offset + reach >= storage.count or math.prod(tensor.shape) > storage.count):
        refuse_corrupt(name, f"tensor {key} does not fit into its storage")
    # The stride of a side of 1 is never walked, and may be any number.
    strides = [stride * storage.dtype.itemsize if side > 1 else 0 for side, stride in sides]
    try:
        if is_empty:
            return np.zeros(tensor.shape, storage.dtype)
        values = np.frombuffer(buffer, storage.dtype)[tensor.offset :]
        return np.lib.stride_tricks.as_strided(values, tensor.shape, strides, writeable=False)
    except (ValueError, OverflowError) as error:  # more or longer sides than NumPy knows
        refuse_corrupt(name, f"tensor {key}: {error}", error)
