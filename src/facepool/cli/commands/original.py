"""The original project's two commands, ``register.py`` and ``recognize.py``, with its flags and files.

What differs, and why, is in ``docs/adr/0007-the-original-commands.md``.
"""

from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import click

from facepool.capture import FrameSource
from facepool.cli.commands.recognize import Outputs, recognize_sources
from facepool.cli.commands.register import RegisterOptions, new_session
from facepool.cli.context import Command, CommandContext, keep_attribute, keep_setting, pass_context
from facepool.cli.main import set_up_log
from facepool.cli.ui.console import Console, counted
from facepool.cli.ui.look_alikes import discarded
from facepool.cli.ui.registration import STORED_BEFORE, PictureTally, offer_pictures, store_pictures
from facepool.cli.ui.sources import Sources
from facepool.cli.ui.viewer import Viewer, is_still
from facepool.enroll.pictures import Offer, Outcome
from facepool.enroll.session import EnrollmentSession
from facepool.errors import PathMissing
from facepool.gallery.address import pool_address
from facepool.overlay import Canvas, Label, Painter
from facepool.types import Image
from facepool.window import Window

_KEYS = "Q saves and quits · Ctrl-C discards · M mirrors"
_HINTS: dict[Outcome, str] = {
    "taken": "got it",
    "known_view": "known view, turn your head a little",
    "enough": "that is enough, press Q",
}
"""What to do now, where the outcome's own words do not say so."""


def _keep_model(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
    """Callback of an option that names a file; the backbone's is looked for and not used."""
    if path is not None and not Path(path).is_file():
        raise PathMissing(f"There is no model file {path}", fix="Check the path, or leave the option out")
    if parameter.name in {"detector", "embedder"}:
        keep_setting(context, parameter, path)


_setting = partial(click.option, expose_value=False, callback=keep_setting)
_model = partial(click.option, expose_value=False, callback=_keep_model)
_file = click.Path(path_type=Path)
# What each flag is here: an option of the command, or a setting or attribute of its context.
_OPTIONS = (
    click.option("-c", "--camera_url", default="0", show_default=True, help="Camera number, URL, video or picture."),
    _setting(
        "-dt", "--detect_threshold", type=float, default=0.975, show_default=True, help="Detector score of a face."
    ),
    # The original's default was cuda:0; a default must not fail where there is no GPU, a wish of the user's must.
    _setting("--device", default="auto", help="cpu or cuda:N.  [cuda:0 if it works, else cpu]"),
    _model("--detect_face_model", "detector", help="Detector .pth.  [the open pack's]"),
    _model("--detect_face_backbone", help="Its backbone; accepted, not needed."),
    _model("--recognized_model", "embedder", help="Embedder .pth.  [the open pack's]"),
    _setting(
        "--model_registered",
        "pool",
        type=pool_address,
        metavar="POOL",
        default=Path("model_faces.npy"),
        show_default=True,
    ),
    _setting("--key_file", type=_file, help="Key of an encrypted .db file."),
    click.option(
        "--model_ids",
        "ids_path",
        type=_file,
        default=Path("model_face_ids.npy"),
        show_default=True,
        expose_value=False,
        callback=keep_attribute,
    ),
    click.option("--headless", is_flag=True, help="Show no window."),
)


def _original_options(command: Command) -> Command:
    """The flags that both commands have."""
    command = pass_context(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@_original_options
@_setting(
    "-rf",
    "--register_threshold",
    type=float,
    default=0.8,
    show_default=True,
    help="A view is stored if less similar than this to the person's others.",
)
@click.option("--register_name", required=True, help="Who it is.")
def register(context: CommandContext, camera_url: str, headless: bool, register_name: str) -> int:
    """Register a person: Q saves and quits, Ctrl-C leaves without saving."""
    _begin(context)
    console, painter = context.console, Painter()
    sources = Sources((camera_url,), context)
    sources.check(not headless)
    with ExitStack() as stack:
        pool = stack.enter_context(context.changing_pool(context.analyzer.space, must_exist=False))
        session = new_session(register_name, context, pool, RegisterOptions())
        screen = stack.enter_context(Window())
        tally = PictureTally()
        try:
            # What the source gave before it broke is good, and is stored.
            with sources.report_errors(), sources.open(sources.all[0]) as source:
                if is_still(source):
                    offer_pictures(source, session, console, tally)
                else:
                    _take_views(source, session, Viewer(painter, None if headless else screen), painter, console, tally)
        except KeyboardInterrupt:
            raise discarded(session.person) from None
        if tally.frames or not sources.exit_code:
            store_pictures(session, tally, pool, console)
    return sources.exit_code


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@_original_options
@_setting(
    "-rf",
    "--recognized_threshold",
    "threshold",
    type=float,
    help="Similarity that makes a match.  [follows the pool's size]",
)
def recognize(context: CommandContext, camera_url: str, headless: bool) -> int:
    """Recognize everybody in view, and print a line whenever that changes: Q quits."""
    _begin(context)
    return recognize_sources((camera_url,), context, Outputs(), window=not headless)


def _begin(context: CommandContext) -> None:
    set_up_log(0)
    absent = [name for name in ("detector", "embedder") if name not in context.given]
    if absent:
        context.console.note(f"No {' and no '.join(absent)} model was named: the open pack's is used")


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


def _draw(session: EnrollmentSession, painter: Painter, offer: Offer, canvas: Canvas) -> Image:
    person = session.person
    hint = _HINTS.get(offer.outcome, str(offer))
    hud = [f"Registering {person}", f"{counted(session.taken, 'new view')} · {hint}", _KEYS]
    good = offer.outcome in {"taken", *STORED_BEFORE}
    boxes = [tuple(float(edge) for edge in box) for box in offer.faces.detections.boxes]
    text = person if good else ""
    labels = [Label((x1, y1, x2, y2), text, "known" if good else "unknown") for x1, y1, x2, y2 in boxes]
    return canvas.paint(painter, labels, hud)
