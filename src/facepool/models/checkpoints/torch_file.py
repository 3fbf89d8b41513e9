"""PyTorch checkpoints read without PyTorch, as data: no object that a file names is ever imported or called.

A checkpoint is a pickle that refers to blocks of numbers (storages) by key. Both ways of storing it are read: the zip
archive of PyTorch 1.6 and later (``*/data.pkl`` beside ``*/data/<key>``), and the older stream of pickles followed
by the storages. The pickle is followed step by step by an interpreter of our own, which knows ordered dictionaries,
tensors and plain values, as ``torch.load(weights_only=True)`` does, and nothing else.
"""

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

import numpy as np
import numpy.typing as npt

from facepool.errors import ModelCorrupt, ModelUnsupported

Array = npt.NDArray[Any]

_RESAVE = "Save it again in PyTorch with torch.save(model.state_dict(), path)"
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_PROTOCOL = 1001
_COUNT_BYTES = 8

_DTYPES: dict[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

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

# What following the steps of bytes raises that are no pickle, or of one that contradicts itself.
_PICKLE_ERRORS = (
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    DeprecationWarning,  # of the oldest opcodes, where the user's settings turn warnings into errors
)


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of numbers that tensors are cut from.

    Attributes:
        key: Its name in the file.
        dtype: Of one number.
        count: Of numbers, 0 or more.
    """

    key: str
    dtype: np.dtype[Any]
    count: int

    @property
    def nbytes(self) -> int:
        """Size of the block."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a file says of a tensor; whether it stays inside its storage is not checked yet.

    Attributes:
        storage: Where its numbers are.
        offset: Of the first, in numbers, 0 or more.
        shape: Sides, 0 or more.
        strides: Steps along each side, in numbers, 0 or more.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


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
        raise ModelUnsupported(f"{name} holds no state dict", why="no tensor has a name in it", fix=_RESAVE)
    return {key: _as_array(tensor, buffers, key, name) for key, tensor in tensors.items()}


def _read_archive(content: bytes, name: str) -> tuple[object, dict[str, bytes]]:
    """The object of a zip checkpoint and the bytes of each storage by key."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            folder = _find_folder(archive, len(content), name)
            checkpoint, storages = _unpickle(io.BytesIO(archive.read(f"{folder}data.pkl")), name)
            return checkpoint, {key: archive.read(f"{folder}data/{key}") for key in storages}
    except KeyError as error:
        _refuse_corrupt(name, f"a part is missing: {error.args[0]}", error)
    except _ARCHIVE_ERRORS as error:
        _refuse_corrupt(name, str(error), error)


def _find_folder(archive: zipfile.ZipFile, file_bytes: int, name: str) -> str:
    members = archive.infolist()
    pickles = [member.filename for member in members if member.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ModelUnsupported(f"{name} is not a PyTorch checkpoint", why="the zip archive has no single data.pkl")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ModelUnsupported(f"{name} was compressed after it was saved", fix=_RESAVE)
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
    magic, _ = _unpickle(stream, name)
    if magic != _STREAM_MAGIC:
        raise ModelUnsupported(f"{name} is not a PyTorch checkpoint", why="it is a pickle of something else")
    protocol, _ = _unpickle(stream, name)
    system, _ = _unpickle(stream, name)
    if protocol != _STREAM_PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ModelUnsupported(f"{name} was saved on a machine or by a PyTorch of another kind", fix=_RESAVE)
    checkpoint, storages = _unpickle(stream, name)
    keys, _ = _unpickle(stream, name)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        _refuse_corrupt(name, "its list of storages does not fit its tensors")
    return checkpoint, {key: _read_storage(stream, storages[key], name) for key in keys}


def _read_storage(stream: io.BytesIO, storage: Storage, name: str) -> bytes:
    count = int.from_bytes(stream.read(_COUNT_BYTES), "little")
    rest = len(stream.getbuffer()) - stream.tell()
    if count != storage.count or storage.nbytes > rest:
        _refuse_corrupt(name, f"storage {storage.key} has not the size that its tensors say")
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
        _refuse_corrupt(name, f"storage {storage.key} has {len(buffer)} bytes instead of {storage.nbytes}")
    sides = list(zip(tensor.shape, tensor.strides, strict=True))
    reach = sum((side - 1) * stride for side, stride in sides)
    is_empty = 0 in tensor.shape
    if not is_empty and (tensor.offset + reach >= storage.count or math.prod(tensor.shape) > storage.count):
        _refuse_corrupt(name, f"tensor {key} does not fit into its storage")
    # The stride of a side of 1 is never walked, and may be any number.
    strides = [stride * storage.dtype.itemsize if side > 1 else 0 for side, stride in sides]
    try:
        if is_empty:
            return np.zeros(tensor.shape, storage.dtype)
        values = np.frombuffer(buffer, storage.dtype)[tensor.offset :]
        return np.lib.stride_tricks.as_strided(values, tensor.shape, strides, writeable=False)
    except (ValueError, OverflowError) as error:  # more or longer sides than NumPy knows
        _refuse_corrupt(name, f"tensor {key}: {error}", error)


class _OrderedDict(dict[object, object]):
    """Stands for ``collections.OrderedDict``, the one thing that a file may attach something to."""


def _rebuild_mapping(pairs: Iterable[tuple[object, object]] = ()) -> _OrderedDict:
    mapping = _OrderedDict()
    for key, value in pairs:
        _put(mapping, key, value)
    return mapping


def _rebuild_tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> Tensor:
    if not isinstance(storage, Storage) or not _is_count(offset) or not _are_counts(shape) or not _are_counts(strides):
        raise TypeError("a tensor is not described by a storage, an offset, a shape and strides")
    if len(shape) != len(strides):
        raise ValueError("a tensor has not as many strides as sides")
    return Tensor(storage, offset, shape, strides)


def _rebuild_parameter(data: object, *_: object) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError("a parameter is not a tensor")
    return data


def _put(mapping: dict[object, object], key: object, value: object) -> None:
    # Python hashes a tuple by recursion without a limit: one nested a million deep would end the process.
    if not isinstance(key, str | int | float | None):
        raise TypeError("a dictionary has a key that is neither text nor a number")
    mapping[key] = value


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _are_counts(sides: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(sides, tuple) and all(map(_is_count, sides))


# The only functions that a file may call, by the names that it has for them.
_FUNCTIONS: dict[str, Callable[..., object]] = {
    "collections OrderedDict": _rebuild_mapping,
    "torch._utils _rebuild_tensor": _rebuild_tensor,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
}

# What an opcode puts on the stack for its argument.
_VALUES: dict[str, Callable[[Any], object]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"), lambda value: value),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), lambda text: text.encode("latin-1").decode()),
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class _Interpreter:
    """Follows the steps of one pickle (protocol 2, as PyTorch writes it).

    Attributes:
        storages: What the object refers to, by key.
    """

    def __init__(self, name: str) -> None:
        self.storages: dict[str, Storage] = {}
        self._name = name
        self._stack: list[object] = []
        self._memo: dict[object, object] = {}
        self._steps: dict[str, Callable[[Any], None]] = {
            "PROTO": self._check_protocol,
            "MARK": lambda _: self._stack.append(_MARK),
            "GLOBAL": self._resolve,
            "REDUCE": lambda _: self._call(),
            "BUILD": lambda _: self._attach(),
            "BINPERSID": lambda _: self._refer(),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._memorize),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda number: self._stack.append(self._memo[number])),
            "SETITEM": lambda _: self._set_items(self._pop(2)),
            "SETITEMS": lambda _: self._set_items(self._pop_to_mark()),
            "APPEND": lambda _: self._extend(self._pop(1)),
            "APPENDS": lambda _: self._extend(self._pop_to_mark()),
            "TUPLE": lambda _: self._stack.append(tuple(self._pop_to_mark())),
        }

    def read(self, stream: io.BytesIO) -> object:
        """The next object of a stream, which is left behind it."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            name = opcode.name
            if name in _VALUES:
                self._stack.append(_VALUES[name](argument))
            elif name in _TUPLES:
                self._stack.append(tuple(self._pop(_TUPLES[name])))
            elif name in self._steps:
                self._steps[name](argument)
            elif name != "STOP":
                why = f"opcode {name}"
                raise ModelUnsupported(f"{self._name} holds more than tensors and plain values", why=why, fix=_RESAVE)
            if name == "LONG_BINPUT" and isinstance(argument, int) and argument > count:
                raise ValueError("a memo number is out of range")
        return self._stack.pop()

    def _check_protocol(self, number: int) -> None:
        if number > pickle.HIGHEST_PROTOCOL:
            raise ValueError(f"unsupported pickle protocol: {number}")

    def _resolve(self, wanted: str) -> None:
        module, _, name = wanted.partition(" ")
        if wanted in _FUNCTIONS:
            self._stack.append(_FUNCTIONS[wanted])
        elif module in ("torch", "torch.cuda") and name in _DTYPES:
            self._stack.append(name)
        else:
            raise ModelUnsupported(
                f"{self._name} asks for {module}.{name}, which was not run",
                why="facepool reads tensors out of a checkpoint, never code",
                fix=_RESAVE,
            )

    def _call(self) -> None:
        function, arguments = self._pop(2)
        if function not in _FUNCTIONS.values() or not callable(function) or not isinstance(arguments, tuple):
            raise TypeError("it calls what is no function")
        self._stack.append(function(*arguments))

    def _attach(self) -> None:
        """Ignore what PyTorch attaches to a state dict (``_metadata``)."""
        target, _ = self._pop(2)
        if not isinstance(target, _OrderedDict):
            raise TypeError("it changes what is not its own")
        self._stack.append(target)

    def _refer(self) -> None:
        (reference,) = self._pop(1)
        if not isinstance(reference, tuple):
            raise TypeError("a storage is not described by a type, a key and a size")
        kind, type_name, key, _location, count, *view = reference
        if kind != "storage" or not isinstance(type_name, str) or not isinstance(key, str) or not _is_count(count):
            raise ValueError("a storage is not described by a type, a key and a size")
        if view not in ([], [None]):
            raise ModelUnsupported(f"{self._name} holds views of storages", why="its format is too old", fix=_RESAVE)
        storage = Storage(key, _DTYPES[type_name], count)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"storage {key} is described in two ways")
        self._stack.append(storage)

    def _memorize(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    def _set_items(self, items: list[object]) -> None:
        mapping = self._stack[-1]
        if not isinstance(mapping, dict):
            raise TypeError("something else than a dictionary gets entries")
        for key, value in zip(items[::2], items[1::2], strict=True):
            _put(mapping, key, value)

    def _extend(self, items: list[object]) -> None:
        values = self._stack[-1]
        if not isinstance(values, list):
            raise TypeError("something else than a list gets entries")
        values.extend(items)

    def _pop(self, count: int) -> list[object]:
        """The uppermost entries of the stack, in order."""
        return [self._stack.pop() for _ in range(count)][::-1]

    def _pop_to_mark(self) -> list[object]:
        items = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]


def _unpickle(stream: io.BytesIO, name: str) -> tuple[object, dict[str, Storage]]:
    """The next object of a stream, and the storages that it refers to."""
    interpreter = _Interpreter(name)
    try:
        return interpreter.read(stream), interpreter.storages
    except _PICKLE_ERRORS as error:
        _refuse_corrupt(name, str(error), error)


def _refuse_corrupt(name: str, why: str, cause: BaseException | None = None) -> NoReturn:
    raise ModelCorrupt(f"{name} is damaged or cut short", why=why, fix="Fetch or save it again") from cause
