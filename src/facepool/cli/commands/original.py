"""The original project's two commands, ``register.py`` and ``recognize.py``, with its flags and files.

What differs, and why, is in ``docs/adr/0007-the-original-commands.md``.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import click

from facepool.capture import FrameSource
from facepool.cli.commands.recognize import Reporting, recognize_sources
from facepool.cli.commands.register import RegisterOptions, new_session
from facepool.cli.context import CommandContext
from facepool.cli.main import set_up_log
from facepool.cli.options import GivenSettings
from facepool.cli.ui.console import Console, counted
from facepool.cli.ui.look_alikes import discarded
from facepool.cli.ui.registration import STORED_BEFORE, PictureTally, offer_pictures, store_pictures
from facepool.cli.ui.sources import Sources
from facepool.cli.ui.viewer import Viewer, is_still
from facepool.enroll.pictures import Offer, Outcome
from facepool.enroll.session import EnrollmentSession
from facepool.errors import PathMissing
from facepool.overlay import Canvas, Label, Painter
from facepool.types import Image
from facepool.window import Window

Command = Callable[..., Any]

_KEYS = "Q saves and quits · Ctrl-C discards · M mirrors"
_HINTS: dict[Outcome, str] = {
    "taken": "got it",
    "known_view": "known view, turn your head a little",
    "enough": "that is enough, press Q",
}
"""What to do now, where the outcome's own words do not say so."""


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
    return _register_unguided(register_name, camera_url, context, window=not headless)


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
    """Recognize everybody in view, and print a line whenever that changes: Q quits."""
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


def _register_unguided(name: str, spec: str, context: CommandContext, *, window: bool) -> int:
    """Register one person from one source, view by view as they come; stores once, at the end."""
    console, painter = context.console, Painter()
    sources = Sources((spec,), console, context.settings.capture_options())
    sources.check_window(None if window else False)
    with ExitStack() as stack:
        pool = stack.enter_context(context.open_pool(context.analyzer.space, must_exist=False))
        session = new_session(name, context, pool, RegisterOptions())
        screen = stack.enter_context(Window())
        tally = PictureTally()
        try:
            # What the source gave before it broke is good, and is stored.
            with sources.report_errors(), sources.open(sources.all[0]) as source:
                if is_still(source):
                    offer_pictures(source, session, console, tally)
                else:
                    viewer = Viewer(painter, screen if window else None)
                    _take_views(source, session, viewer, painter, console, tally)
        except KeyboardInterrupt:
            raise discarded(session.person) from None
        if tally.frames or not sources.exit_code:
            store_pictures(session, tally, pool, console)
    return sources.exit_code


def _take_views(
    source: FrameSource,
    session: EnrollmentSession,
    viewer: Viewer,
    painter: Painter,
    console: Console,
    tally: PictureTally,
) -> None:
    """Take views of something that moves, until it or the user ends, or a file has given enough."""
    with (
        console.counting(f"Registering {session.person}", source.frame_count) as counter,
        closing(viewer.play(source, session.offer, partial(_draw, session, painter))) as played,
    ):
        for _, offer in played:
            tally.add(offer)
            counter.step()
            if not source.live and session.full:
                return


def _draw(session: EnrollmentSession, painter: Painter, canvas: Canvas, offer: Offer) -> Image:
    person = session.person
    hint = _HINTS.get(offer.outcome, str(offer))
    hud = [f"Registering {person}", f"{counted(session.taken, 'new view')} · {hint}", _KEYS]
    good = offer.outcome in {"taken", *STORED_BEFORE}
    boxes = [tuple(float(edge) for edge in box) for box in offer.faces.detections.boxes]
    text = person if good else ""
    labels = [Label((x1, y1, x2, y2), text, "known" if good else "unknown") for x1, y1, x2, y2 in boxes]
    return canvas.paint(painter, labels, hud)
