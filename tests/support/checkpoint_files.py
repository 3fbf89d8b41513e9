"""Writes PyTorch checkpoints without PyTorch, honest and hostile ones: the pickle is put together by hand."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Format = Literal["zip", "stream"]
FORMATS: tuple[Format, ...] = ("zip", "stream")

_STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "b1": "BoolStorage"}


@dataclass(frozen=True)
class Raw:
    """Bytes of a pickle as they are."""

    code: bytes


def named(module: str, name: str) -> Raw:
    """Whatever a module calls by that name: what a hostile pickle begins with."""
    return Raw(f"c{module}\n{name}\n".encode())


def call(function: Raw, *arguments: object) -> Raw:
    return Raw(function.code + encode(arguments) + b"R")


def storage(key: str, values: npt.NDArray[Any], count: int | None = None, *, stream: bool = False) -> Raw:
    """Reference to a storage; ``count`` lies about its size."""
    kind = named("torch", _STORAGES[values.dtype.str[1:]])
    reference: tuple[object, ...] = ("storage", kind, key, "cpu", values.size if count is None else count)
    return Raw(encode((*reference, None) if stream else reference) + b"Q")


def tensor(place: Raw, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> Raw:
    hooks = call(named("collections", "OrderedDict"))
    return call(named("torch._utils", "_rebuild_tensor_v2"), place, offset, tuple(shape), tuple(strides), False, hooks)


def encode(value: object) -> bytes:
    """A value in the opcodes of pickle's protocol 2, without the frame around it."""
    match value:
        case Raw():
            return value.code
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            size = value.bit_length() // 8 + 1
            return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
        case str():
            return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()
        case tuple():
            return b"(" + b"".join(map(encode, value)) + b"t"
        case list():
            return b"](" + b"".join(map(encode, value)) + b"e"
        case dict():
            return b"}(" + b"".join(encode(key) + encode(item) for key, item in value.items()) + b"u"
    raise TypeError(type(value))


def pickled(value: object) -> bytes:
    return b"\x80\x02" + encode(value) + b"."


def pack(value: object, blocks: Mapping[str, npt.NDArray[Any]], layout: Format) -> bytes:
    """The file of an object that refers to storages."""
    if layout == "stream":
        head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001}, value, list(blocks))
        return b"".join(map(pickled, head)) + b"".join(
            block.size.to_bytes(8, "little") + block.tobytes() for block in blocks.values()
        )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", pickled(value))
        archive.writestr("model/byteorder", "little")
        for key, block in blocks.items():
            archive.writestr(f"model/data/{key}", block.tobytes())
    return file.getvalue()


def checkpoint(
    state: Mapping[str, npt.NDArray[Any]], layout: Format = "zip", *, wrapped: bool = False, prefix: str = ""
) -> bytes:
    """What ``torch.save(model.state_dict(), path)`` would write for these tensors."""
    blocks = {str(number): np.ascontiguousarray(values) for number, values in enumerate(state.values())}
    entries = {}
    for (key, block), name, values in zip(blocks.items(), state, state.values(), strict=True):
        strides = [stride // block.itemsize for stride in block.strides] if values.ndim else []
        place = storage(key, block, stream=layout == "stream")
        entries[prefix + name] = tensor(place, values.shape, strides)
    return pack({"epoch": 3, "state_dict": entries} if wrapped else entries, blocks, layout)
