"""The pickle inside a PyTorch checkpoint, read as data: a file can name tensors and have nothing run.

The steps of the pickle are checked before it is read; what it names resolves to a few stand-ins or not at all; and
the stand-ins cannot be changed by the file (pickle's BUILD step sets attributes on any object that lets it).
"""

import io
import pickle
import pickletools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn, TypeGuard

import numpy as np

from facepool.errors import ModelCorrupt, ModelUnsupported
from facepool.models.torch_stack import PickleStack

RESAVE = "Save it again in PyTorch with torch.save(model.state_dict(), path)"

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

# What PyTorch writes (pickle protocol 2) and nothing that could make an object of a class.
_OPCODES = frozenset(
    {
        *("PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
        *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
    }
)

# What the standard library raises on bytes that are no pickle, or on one that contradicts itself.
_UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
    DeprecationWarning,  # of the oldest opcodes, where the user's settings turn warnings into errors
)


class _Mapping(dict[Any, Any]):
    """Stands for OrderedDict; has no attributes, so a file cannot put any there."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Ignore what PyTorch attaches to a state dict (``_metadata``)."""


class Storage(NamedTuple):
    """A block of numbers that tensors are cut from.

    Attributes:
        key: Its name in the file.
        dtype: Of one number.
        count: Of numbers, 0 or more.
    """

    key: str
    dtype: np.dtype[Any]
    count: int  # type: ignore[assignment]  # hides a tuple's method that nobody needs

    def __setstate__(self, state: object) -> None:
        """Let no file change it."""
        _refuse_change()

    @property
    def nbytes(self) -> int:
        """Size of the block."""
        return self.count * self.dtype.itemsize


class Tensor(NamedTuple):
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

    def __setstate__(self, state: object) -> None:
        """Let no file change it."""
        _refuse_change()


class _Rebuilder:
    """A function that a file may call."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        """Let no file change it."""
        _refuse_change()


def _refuse_change() -> NoReturn:
    raise pickle.UnpicklingError("it changes what is not its own")


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


def _rebuild_mapping(pairs: Iterable[tuple[object, object]] = ()) -> _Mapping:
    listed = [(key, value) for key, value in pairs]
    if not all(isinstance(key, str | int) for key, _ in listed):
        raise TypeError("a dictionary has a key that is neither text nor a number")
    return _Mapping(listed)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _are_counts(sides: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(sides, tuple) and all(map(_is_count, sides))


_REBUILDERS = {
    ("collections", "OrderedDict"): _Rebuilder(_rebuild_mapping),
    ("torch._utils", "_rebuild_tensor"): _Rebuilder(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuilder(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Rebuilder(_rebuild_parameter),
}


def _resolve(module: str, qualified_name: str, name: str) -> Any:  # noqa: ANN401 -- a function, a class or a name
    """What stands for a global that a file asks for; nothing else is ever resolved."""
    if (module, qualified_name) in _REBUILDERS:
        return _REBUILDERS[module, qualified_name]
    if module in ("torch", "torch.cuda") and qualified_name in _DTYPES:
        return qualified_name
    raise ModelUnsupported(
        f"{name} asks for {module}.{qualified_name}, which was not run",
        why="facepool reads tensors out of a checkpoint, never code",
        fix=RESAVE,
    )


class _DataUnpickler(pickle.Unpickler):
    """Turns a checkpoint's pickle into dictionaries of ``Tensor``; collects the storages that it refers to."""

    def __init__(self, payload: bytes, name: str) -> None:
        super().__init__(io.BytesIO(payload), encoding="utf-8")
        self._name = name
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, qualified_name: str) -> Any:  # noqa: ANN401 -- the base class's signature
        return _resolve(module, qualified_name, self._name)

    def persistent_load(self, reference: Any) -> Storage:  # noqa: ANN401 -- the base class's signature
        kind, type_name, key, _location, count, *view = reference
        if kind != "storage" or not isinstance(type_name, str) or not isinstance(key, str) or not _is_count(count):
            raise ValueError("a storage is not described by a type, a key and a size")
        if view not in ([], [None]):
            raise ModelUnsupported(f"{self._name} holds views of storages", why="its format is too old", fix=RESAVE)
        storage = Storage(key, _DTYPES[type_name], count)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"storage {key} is described in two ways")
        return storage


def unpickle(stream: io.BytesIO, name: str) -> tuple[object, dict[str, Storage]]:
    """The next object of a stream, which is left behind it, and the storages that the object refers to.

    Raises:
        ModelCorrupt: The pickle is cut short or contradicts itself.
        ModelUnsupported: It holds something else than dictionaries, lists, tuples, tensors and plain values.
    """
    start = stream.tell()
    stack = PickleStack()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            _check_step(opcode.name, argument, count, name)
            stack.step(opcode, argument)
        unpickler = _DataUnpickler(stream.getvalue()[start : stream.tell()], name)
        return unpickler.load(), unpickler.storages
    except _UNPICKLING_ERRORS as error:
        refuse_corrupt(name, str(error), error)


def _check_step(opcode: str, argument: object, steps_before: int, name: str) -> None:
    if opcode not in _OPCODES:
        raise ModelUnsupported(f"{name} holds more than tensors and plain values", why=f"opcode {opcode}", fix=RESAVE)
    if opcode == "GLOBAL":
        module, _, qualified_name = str(argument).partition(" ")
        _resolve(module, qualified_name, name)
    # The unpickler would make room for as many entries as the number says.
    if opcode == "LONG_BINPUT" and isinstance(argument, int) and argument > steps_before:
        raise ValueError("a memo number is out of range")


def refuse_corrupt(name: str, why: str, cause: BaseException | None = None) -> NoReturn:
    """Say that a checkpoint is damaged.

    Raises:
        ModelCorrupt: Always.
    """
    raise ModelCorrupt(f"{name} is damaged or cut short", why=why, fix="Fetch or save it again") from cause
