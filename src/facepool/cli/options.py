"""Options that commands share: each is a setting, with the setting's words and default."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from facepool.config import Settings

Command = Callable[..., Any]

MODELS = ("pack", "detector", "embedder", "precision", "device", "threads", "models_dir", "offline_dir")
DETECTION = ("quality", "detect_size", "detect_threshold")
DECISION = ("threshold", "target_fpir", "min_margin")
LIVE = ("firm_frames", "unknown_after", "detect_every")
REGISTRATION = ("register_threshold", "max_templates", "min_face", "min_sharpness")

_SHORT = {"pool": "-p", "threshold": "-t"}


@dataclass(slots=True)
class GivenSettings:
    """What the command line says of the settings.

    Attributes:
        values: Setting to value; a setting that was not given is absent, so that the environment and the file speak.
        config: The settings file that was named.
    """

    values: dict[str, object] = field(default_factory=dict)
    config: Path | None = None


def settings_options(*names: str) -> Callable[[Command], Command]:
    """Add one option a setting, in the order given, and ``--config``; the command gets them as its first argument."""

    def decorate(command: Command) -> Command:
        decorated = click.make_pass_decorator(GivenSettings, ensure=True)(command)
        decorated = click.option(
            "--config",
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_keep_config,
            help="Settings file in TOML; by default the user's own. FACEPOOL_<OPTION> in the environment works too.",
        )(decorated)
        for name in reversed(names):
            decorated = _option(name, Settings.model_fields[name])(decorated)
        return decorated

    return decorate


def _option(name: str, setting: FieldInfo) -> Callable[[Command], Command]:
    flags = [f"--{name.replace('_', '-')}"]
    if name in _SHORT:
        flags.insert(0, _SHORT[name])
    default = "" if setting.default_factory or setting.default is None else f"  [{setting.default}]"
    return click.option(
        *flags,
        name,
        type=_kind(setting),
        expose_value=False,
        callback=_keep,
        help=f"{setting.description}.{default}",
    )


def _kind(setting: FieldInfo) -> type | click.Path | click.Choice[str]:
    if setting.annotation in (Path, Path | None):
        return click.Path(path_type=Path)
    if get_origin(setting.annotation) is Literal:
        return click.Choice(get_args(setting.annotation))
    for kind in (float, int, str):
        if setting.annotation in (kind, kind | None):
            return kind
    raise TypeError(f"a setting of type {setting.annotation} has no option")


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None and parameter.name is not None:
        context.ensure_object(GivenSettings).values[parameter.name] = value


def _keep_config(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    context.ensure_object(GivenSettings).config = value


json_option = click.option("--json", "json_lines", is_flag=True, help="Print one JSON object a line, for programs.")
