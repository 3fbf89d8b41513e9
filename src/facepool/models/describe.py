"""The description of a user's own model: a small TOML file beside the ONNX file.

An embedder::

    name = "my-arcface"              # what you will type; lower-case letters, digits, - and .
    task = "embed"
    file = "my_arcface.onnx"         # relative to this file

    [licence]
    name = "MIT"
    url = "https://example.org/terms"    # optional
    restricts_use = false                # optional
    summary = "Trained by ourselves."    # optional

    [embed]
    dimension = 512
    channel_order = "rgb"            # or "bgr"
    mean = 127.5                     # subtracted from 0..255
    scale = 127.5                    # divides what is left
    template = "arcface-112"         # optional
    mirrored = true                  # optional: average the face and its mirror image

    [embed.fmr]                      # optional: without it, thresholds must be given by hand
    points = [[1e-2, 0.25], [1e-3, 0.32], [1e-4, 0.38]]
    source = "2 million impostor pairs of our own cameras"

A detector of the RetinaFace family takes any number of pictures of any size, has ``task = "detect"`` and, instead of
``[embed]``::

    [detect]                         # each key optional, with the value of RetinaFace MobileNet-0.25
    channel_order = "bgr"
    mean = [104, 117, 123]
    strides = [8, 16, 32]
    prior_sizes = [[16, 32], [64, 128], [256, 512]]
    variances = [0.1, 0.2]
    outputs = ["loc", "conf", "landmarks"]   # boxes, scores, landmarks
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, cast, get_args

from facepool.errors import ConfigError, PathMissing
from facepool.models.entries import Licence, Task
from facepool.models.specs import EmbedderSpec, FmrCurve, NetworkSpec, RetinaFaceSpec
from facepool.types import ChannelOrder

TEMPLATES = {"arcface-112": 112}
"""Alignment templates, and the side of the square pictures that faces are aligned on, in pixels."""
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_TYPES = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "a table"}


@dataclass(frozen=True, slots=True)
class Description:
    """What a description says.

    Attributes:
        name: What people type.
        task: What the network does.
        file: The ONNX file as written in the description.
        licence: Its terms.
        spec: How the network is fed and read.
    """

    name: str
    task: Task
    file: str
    licence: Licence
    spec: NetworkSpec


def read_description(path: Path) -> tuple[Description, dict[str, object]]:
    """Read and check a TOML file; gives the tables as well, for keeping.

    Raises:
        PathMissing: No such file.
        ConfigError: It is no TOML, or a key is missing, unknown or of the wrong kind; names the key.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PathMissing(f"{path} does not exist", fix="Give the path of the TOML file that describes it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path} cannot be read as TOML", why=str(error)) from error
    return parse_description(tables, str(path)), tables


def parse_description(tables: Mapping[str, object], origin: str) -> Description:
    """Check the tables of a description.

    Args:
        tables: As read from TOML.
        origin: Where they come from, for messages.

    Raises:
        ConfigError: A key is missing, unknown or of the wrong kind; names the key.
    """
    top = _Table(tables, "", origin)
    name, task, file = top.text("name"), top.choice("task", get_args(Task)), top.text("file")
    if not _NAME.fullmatch(name):
        top.refuse("name", "may have lower-case letters, digits, hyphens and dots only")
    licence = _licence(top.table("licence"))
    spec = _embedder(top.table("embed")) if task == "embed" else _detector(top.table("detect", {}))
    top.finish()
    return Description(name, cast("Task", task), file, licence, spec)


class _Table:
    """One TOML table that is read key by key, so that what was never asked for is known to be a mistake."""

    def __init__(self, values: Mapping[str, object], path: str, origin: str) -> None:
        self._rest = dict(values)
        self._path = path
        self._origin = origin

    def refuse(self, key: str, why: str) -> NoReturn:
        raise ConfigError(
            f"{self._origin}: `{self._path}{key}` {why}", fix="`facepool models import --help` shows an example"
        )

    def value(self, key: str, kind: type, default: object = None) -> object:
        if key not in self._rest:
            if default is None:
                self.refuse(key, f"is missing; it should be {_TYPES[kind]}")
            return default
        value = self._rest.pop(key)
        allowed = (int, float) if kind is float else kind
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            self.refuse(key, f"should be {_TYPES[kind]}, not {value!r}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return cast("str", self.value(key, str, default))

    def flag(self, key: str, *, default: bool) -> bool:
        return cast("bool", self.value(key, bool, default))

    def number(self, key: str, default: float | None = None) -> float:
        return float(cast("float", self.value(key, float, default)))

    def choice(self, key: str, options: tuple[str, ...], default: str | None = None) -> str:
        value = self.text(key, default)
        if value not in options:
            self.refuse(key, f"should be one of {', '.join(options)}, not {value!r}")
        return value

    def numbers(self, key: str, count: int | None, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        return self._as_numbers(key, self.value(key, list, default), count)

    def rows(
        self, key: str, count: int | None, default: tuple[tuple[float, ...], ...] | None = None
    ) -> tuple[tuple[float, ...], ...]:
        rows = cast("list[object]", self.value(key, list, default))
        return tuple(self._as_numbers(key, row, count) for row in rows)

    def texts(self, key: str, count: int, default: tuple[str, ...]) -> tuple[str, ...]:
        values = tuple(cast("list[object]", self.value(key, list, default)))
        if len(values) != count or not all(isinstance(value, str) for value in values):
            self.refuse(key, f"should be a list of {count} texts")
        return cast("tuple[str, ...]", values)

    def table(self, key: str, default: Mapping[str, object] | None = None) -> "_Table":
        values = cast("Mapping[str, object]", self.value(key, dict, default))
        return _Table(values, f"{self._path}{key}.", self._origin)

    def has(self, key: str) -> bool:
        return key in self._rest

    def finish(self) -> None:
        for key in self._rest:
            self.refuse(key, "is unknown")

    def _as_numbers(self, key: str, values: object, count: int | None) -> tuple[float, ...]:
        numbers = [v for v in values if isinstance(v, int | float)] if isinstance(values, list | tuple) else []
        if not numbers or numbers != list(cast("list[object]", values)) or len(numbers) != (count or len(numbers)):
            self.refuse(key, f"should be {count or 'some'} numbers, not {values!r}")
        return tuple(float(number) for number in numbers)


def _licence(table: _Table) -> Licence:
    licence = Licence(
        name=table.text("name"),
        url=table.text("url", ""),
        restricts_use=table.flag("restricts_use", default=False),
        summary=table.text("summary", ""),
    )
    table.finish()
    return licence


def _embedder(table: _Table) -> EmbedderSpec:
    dimension = cast("int", table.value("dimension", int))
    if dimension < 1:
        table.refuse("dimension", "should be at least 1")
    scale = table.number("scale", 1.0)
    if scale == 0:
        table.refuse("scale", "divides, so it cannot be 0")
    spec = EmbedderSpec(
        dimension=dimension,
        channel_order=cast("ChannelOrder", table.choice("channel_order", get_args(ChannelOrder))),
        mean=table.number("mean", 0.0),
        scale=scale,
        template=table.choice("template", tuple(TEMPLATES), "arcface-112"),
        mirrored=table.flag("mirrored", default=True),
        fmr=_fmr(table.table("fmr")) if table.has("fmr") else None,
    )
    table.finish()
    return spec


def _fmr(table: _Table) -> FmrCurve:
    points = table.rows("points", 2)
    rates, similarities = zip(*points, strict=True) if points else ((), ())
    if len(points) < 2 or sorted(rates, reverse=True) != list(rates) or sorted(similarities) != list(similarities):
        table.refuse("points", "should be two or more [rate, similarity], rates falling and similarities rising")
    if not all(0 < rate < 1 for rate in rates):
        table.refuse("points", "has a rate that is not between 0 and 1")
    curve = FmrCurve(cast("tuple[tuple[float, float], ...]", points), table.text("source"))
    table.finish()
    return curve


def _detector(table: _Table) -> RetinaFaceSpec:
    usual = RetinaFaceSpec()
    spec = RetinaFaceSpec(
        channel_order=cast("ChannelOrder", table.choice("channel_order", get_args(ChannelOrder), usual.channel_order)),
        mean=cast("tuple[float, float, float]", table.numbers("mean", 3, usual.mean)),
        strides=tuple(int(stride) for stride in table.numbers("strides", None, usual.strides)),
        prior_sizes=tuple(tuple(map(int, sizes)) for sizes in table.rows("prior_sizes", None, usual.prior_sizes)),
        variances=cast("tuple[float, float]", table.numbers("variances", 2, usual.variances)),
        outputs=cast("tuple[str, str, str]", table.texts("outputs", 3, usual.outputs)),
    )
    if len(spec.strides) != len(spec.prior_sizes):
        table.refuse("prior_sizes", f"should have one row a stride, {len(spec.strides)} in all")
    table.finish()
    return spec
