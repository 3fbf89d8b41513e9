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

A network that says whether a face looks alive or like a picture of one (PAD) takes the face with what is around it. It
has ``task = "pad"`` and, instead of ``[embed]``; those that are imported run together, and their answers are averaged::

    [pad]
    crop_scale = 2.7                 # the sides of the face's box are multiplied by this
    side = 80                        # optional from here on: of the square that it takes, in pixels
    classes = 3                      # kinds of pictures that it tells apart
    live_class = 1                   # which of them is a living face, from 0 on
    softmax = true                   # its outputs are no shares yet
    channel_order = "bgr"
    mean = 0.0
    scale = 1.0
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from facepool.errors import ConfigError, PathMissing
from facepool.models.catalog import (
    EmbedderSpec,
    FmrCurve,
    Licence,
    ModelEntry,
    PadSpec,
    Preparation,
    RetinaFaceSpec,
    Task,
)
from facepool.types import ChannelOrder

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_DETECTOR = RetinaFaceSpec()
_PAD = PadSpec(crop_scale=1.0)


def _rule(is_kept: Callable[[Any], bool], complaint: str) -> AfterValidator:
    """What a value must fulfil beyond its type, and what is said of one that does not."""

    def check(value: Any) -> Any:  # noqa: ANN401 -- of any type
        if not is_kept(value):
            raise ValueError(complaint)
        return value

    return AfterValidator(check)


def _is_curve(points: Sequence[tuple[float, float]]) -> bool:
    rates, similarities = [rate for rate, _ in points], [similarity for _, similarity in points]
    return len(points) >= 2 and sorted(rates, reverse=True) == rates and sorted(similarities) == similarities


# The description of a type says in a complaint what a value should be.
_Text = Annotated[StrictStr, Field(description="text")]
_Flag = Annotated[StrictBool, Field(description="true or false")]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False, description="a number")]
_Numbers = Annotated[tuple[_Number, ...], Field(min_length=1, description="some numbers")]
_Count = Annotated[
    StrictInt, Field(description="a whole number"), _rule(lambda count: count >= 1, "should be at least 1")
]
_Divisor = Annotated[_Number, _rule(lambda scale: scale != 0, "divides, so it cannot be 0")]
_Order = Annotated[ChannelOrder, Field(description="one of bgr, rgb")]
_Points = Annotated[
    tuple[tuple[_Number, _Number], ...],
    Field(description="2 numbers a row, a rate and a similarity"),
    _rule(_is_curve, "should be two or more [rate, similarity], rates falling and similarities rising"),
    _rule(lambda points: all(0 < rate < 1 for rate, _ in points), "has a rate that is not between 0 and 1"),
]


class _TomlTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _LicenceTable(_TomlTable):
    name: _Text
    url: _Text = ""
    restricts_use: _Flag = False
    summary: _Text = ""


class _FmrTable(_TomlTable):
    points: _Points
    source: _Text


class _EmbedTable(_TomlTable):
    dimension: _Count
    channel_order: _Order
    mean: _Number = 0.0
    scale: _Divisor = 1.0
    template: Literal["arcface-112"] = Field(default="arcface-112", description="one of arcface-112")
    mirrored: _Flag = True
    fmr: _FmrTable | None = Field(default=None, description="a table")


class _DetectTable(_TomlTable):
    channel_order: _Order = _DETECTOR.channel_order
    mean: tuple[_Number, _Number, _Number] = Field(default=_DETECTOR.mean, description="3 numbers")
    strides: _Numbers = _DETECTOR.strides
    prior_sizes: tuple[_Numbers, ...] = Field(
        default=_DETECTOR.prior_sizes, description="some numbers a row", validate_default=True
    )
    variances: tuple[_Number, _Number] = Field(default=_DETECTOR.variances, description="2 numbers")
    outputs: tuple[StrictStr, StrictStr, StrictStr] = Field(default=_DETECTOR.outputs, description="a list of 3 texts")

    @field_validator("prior_sizes")
    @classmethod
    def _has_a_row_a_stride(
        cls, prior_sizes: tuple[tuple[float, ...], ...], others: ValidationInfo
    ) -> tuple[tuple[float, ...], ...]:
        strides = others.data.get("strides", prior_sizes)
        if len(strides) != len(prior_sizes):
            raise ValueError(f"should have one row a stride, {len(strides)} in all")
        return prior_sizes


class _PadTable(_TomlTable):
    crop_scale: Annotated[_Number, _rule(lambda scale: scale > 0, "should be above 0")]
    side: _Count = _PAD.side
    classes: Annotated[_Count, _rule(lambda count: count >= 2, "should be at least 2")] = _PAD.classes
    live_class: Annotated[StrictInt, Field(description="a whole number")] = Field(
        default=_PAD.live_class, description="a whole number", validate_default=True
    )
    softmax: _Flag = _PAD.softmax
    channel_order: _Order = _PAD.channel_order
    mean: _Number = _PAD.mean
    scale: _Divisor = _PAD.scale

    @field_validator("live_class")
    @classmethod
    def _is_a_class(cls, live_class: int, others: ValidationInfo) -> int:
        classes = others.data.get("classes", live_class + 1)
        if not 0 <= live_class < classes:
            raise ValueError(f"should be one of its {classes} classes, 0 to {classes - 1}")
        return live_class


class _ModelTable(_TomlTable):
    name: Annotated[_Text, _rule(_NAME.fullmatch, "may have lower-case letters, digits, hyphens and dots only")]
    task: Task = Field(description="one of detect, embed, pad")
    file: _Text
    licence: _LicenceTable = Field(description="a table")


class EmbedderDescription(_ModelTable):
    """What a description of an embedder says."""

    embed: _EmbedTable = Field(description="a table")

    @property
    def spec(self) -> EmbedderSpec:
        """How the network is fed and read."""
        embed = self.embed
        return EmbedderSpec(
            dimension=embed.dimension,
            channel_order=embed.channel_order,
            mean=embed.mean,
            scale=embed.scale,
            template=embed.template,
            mirrored=embed.mirrored,
            fmr=FmrCurve(embed.fmr.points, embed.fmr.source) if embed.fmr else None,
        )


class DetectorDescription(_ModelTable):
    """What a description of a detector says."""

    detect: _DetectTable = Field(default_factory=_DetectTable, description="a table")

    @property
    def spec(self) -> RetinaFaceSpec:
        """How the network is fed and read."""
        detect = self.detect
        return RetinaFaceSpec(
            channel_order=detect.channel_order,
            mean=detect.mean,
            strides=tuple(map(int, detect.strides)),
            prior_sizes=tuple(tuple(map(int, sizes)) for sizes in detect.prior_sizes),
            variances=detect.variances,
            outputs=detect.outputs,
        )


class PadDescription(_ModelTable):
    """What a description of a network says that tells living faces from pictures of faces."""

    pad: _PadTable = Field(description="a table")

    @property
    def spec(self) -> PadSpec:
        """How the network is fed and read."""
        pad = self.pad
        return PadSpec(
            crop_scale=pad.crop_scale,
            side=pad.side,
            classes=pad.classes,
            live_class=pad.live_class,
            softmax=pad.softmax,
            channel_order=pad.channel_order,
            mean=pad.mean,
            scale=pad.scale,
        )


Description = EmbedderDescription | DetectorDescription | PadDescription
_DESCRIPTIONS: dict[object, type[Description]] = {"detect": DetectorDescription, "pad": PadDescription}


def read_tables(path: Path) -> dict[str, object]:
    """Read a TOML file.

    Raises:
        PathMissing: No such file.
        ConfigError: It is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PathMissing(f"{path} does not exist", fix="Give the path of the TOML file that describes it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path} cannot be read as TOML", why=str(error)) from error


def parse_description(tables: Mapping[str, object], origin: str) -> Description:
    """Check the tables of a description.

    Args:
        tables: As read from TOML.
        origin: Where they come from, for messages.

    Raises:
        ConfigError: A key is missing, unknown or of the wrong kind; names the key.
    """
    task = tables.get("task")
    model = _DESCRIPTIONS.get(task, EmbedderDescription) if isinstance(task, str) else EmbedderDescription
    try:
        return model.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(
            f"{origin}: {_complaint(model, error)}", fix="`facepool models import --help` shows an example"
        ) from error


def entry_of(description: Description, sha256: str, size_bytes: int, preparation: Preparation) -> ModelEntry:
    """The described model, with what is known of its file."""
    terms = description.licence
    licence = Licence(terms.name, terms.url, terms.restricts_use, terms.summary)
    return ModelEntry(
        description.name, description.task, sha256, size_bytes, licence, (), preparation, description.spec
    )


def read_kept_entry(path: Path) -> ModelEntry:
    """An imported model, from the JSON that the store keeps of it.

    Raises:
        OSError, ValueError, KeyError, TypeError, ConfigError: It is damaged.
    """
    record = json.loads(path.read_bytes())
    description = parse_description(record["description"], str(path))
    return entry_of(description, str(record["sha256"]), int(record["size_bytes"]), record.get("preparation", "none"))


def _complaint(model: type[BaseModel], invalid: ValidationError) -> str:
    """What is wrong with which key, in words for people that wrote TOML."""
    error = invalid.errors()[0]
    keys = [part for part in error["loc"] if isinstance(part, str)]
    key = ".".join(keys)
    if error["type"] == "extra_forbidden":
        return f"`{key}` is unknown"
    if error["type"] == "value_error":
        return f"`{key}` {error['ctx']['error']}"
    wanted = _description(model, keys)
    if error["type"] == "missing" and keys == list(error["loc"]):
        return f"`{key}` is missing; it should be {wanted}"
    return f"`{key}` should be {wanted}, not {error['input']!r}"


def _description(model: type[BaseModel], keys: Sequence[str]) -> str:
    """What the field of a key should be."""
    field = model.model_fields[keys[0]]
    if len(keys) == 1:
        return field.description or ""
    kinds = (field.annotation, *get_args(field.annotation))
    table = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return _description(table, keys[1:])
