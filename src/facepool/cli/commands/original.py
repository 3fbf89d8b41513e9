"""The original project's two commands, ``register.py`` and ``recognize.py``, with its flags and files.

What differs, and why, is in ``docs/adr/0007-the-original-commands.md``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from facepool.cli.commands.recognize import Reporting, recognize_sources
from facepool.cli.context import CommandContext
from facepool.cli.main import set_up_log
from facepool.cli.options import GivenSettings
from facepool.cli.ui.unguided import register_unguided
from facepool.errors import PathMissing

Command = Callable[..., Any]


def _original_options(command: Command) -> Command:
    """The flags that both commands have."""
    options = (
        click.option(
            "-c", "--camera_url", default="0", show_default=True, help="Camera number, URL, video or picture."
        ),
        click.option(
            "-dt", "--detect_threshold", type=float, default=0.975, show_default=True, help="Detector score of a face."
        ),
        click.option("--device", default=None, help="cpu or cuda:N.  [cuda:0 if it works, else cpu]"),
        click.option("--detect_face_model", default=None, help="Detector .pth.  [the open pack's]"),
        click.option("--detect_face_backbone", default=None, help="Its backbone; accepted, not needed."),
        click.option("--recognized_model", default=None, help="Embedder .pth.  [the open pack's]"),
        click.option(
            "--model_registered", type=click.Path(path_type=Path), default=Path("model_faces.npy"), show_default=True
        ),
        click.option(
            "--model_ids", type=click.Path(path_type=Path), default=Path("model_face_ids.npy"), show_default=True
        ),
        click.option("--headless", is_flag=True, help="Show no window."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@_original_options
@click.option(
    "-rf",
    "--register_threshold",
    type=float,
    default=0.8,
    show_default=True,
    help="A view is stored if less similar than this to the person's others.",
)
@click.option("--register_name", required=True, help="Who it is.")
def register(
    camera_url: str,
    detect_threshold: float,
    device: str | None,
    detect_face_model: str | None,
    detect_face_backbone: str | None,
    recognized_model: str | None,
    model_registered: Path,
    model_ids: Path,
    headless: bool,
    register_threshold: float,
    register_name: str,
) -> int:
    """Register a person: Q saves and quits, Ctrl-C leaves without saving."""
    models = _models(detect_face_model, detect_face_backbone, recognized_model)
    given = models | _pool_and_device(model_registered, device) | {"detect_threshold": detect_threshold}
    context = _context(given | {"register_threshold": register_threshold}, model_ids)
    return register_unguided(register_name, camera_url, context, window=not headless)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@_original_options
@click.option(
    "-rf",
    "--recognized_threshold",
    type=float,
    default=None,
    help="Similarity that makes a match.  [follows the pool's size]",
)
def recognize(
    camera_url: str,
    detect_threshold: float,
    device: str | None,
    detect_face_model: str | None,
    detect_face_backbone: str | None,
    recognized_model: str | None,
    model_registered: Path,
    model_ids: Path,
    headless: bool,
    recognized_threshold: float | None,
) -> int:
    """Recognize whoever is in view, and print a line whenever that changes: Q quits."""
    models = _models(detect_face_model, detect_face_backbone, recognized_model)
    given = models | _pool_and_device(model_registered, device) | {"detect_threshold": detect_threshold}
    if recognized_threshold is not None:
        given["threshold"] = recognized_threshold
    return recognize_sources((camera_url,), _context(given, model_ids), Reporting(), window=not headless)


def _models(detector: str | None, backbone: str | None, embedder: str | None) -> dict[str, object]:
    for path in (detector, backbone, embedder):
        if path is not None and not Path(path).is_file():
            raise PathMissing(f"There is no model file {path}", fix="Check the path, or leave the option out")
    return {name: path for name, path in (("detector", detector), ("embedder", embedder)) if path is not None}


def _pool_and_device(vectors: Path, device: str | None) -> dict[str, object]:
    # The original's default was cuda:0; a default must not fail where there is no GPU, a wish of the user's must.
    return {"pool": vectors, "device": device or "auto"}


def _context(given: dict[str, object], ids: Path) -> CommandContext:
    set_up_log(0)
    context = CommandContext(GivenSettings(given), ids_path=ids)
    absent = [name for name in ("detector", "embedder") if name not in given]
    if absent:
        context.console.note(f"No {' and no '.join(absent)} model was named: the open pack's is used")
    return context
