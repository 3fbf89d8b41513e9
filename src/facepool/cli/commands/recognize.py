"""``facepool recognize``."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from rich.text import Text

from facepool.capture import FrameSource
from facepool.cli.context import CommandContext
from facepool.cli.options import DECISION, DETECTION, LIVE, MODELS, GivenSettings, json_option, settings_options
from facepool.cli.ui.console import Console, people_count
from facepool.cli.ui.event_output import EventOutput, open_sinks
from facepool.cli.ui.recording import PICTURE_SUFFIXES, VIDEO_SUFFIXES, open_recording
from facepool.cli.ui.sources import Sources, more_sources, source_option
from facepool.cli.ui.viewer import Viewer, is_still
from facepool.cli.ui.watch import Watch
from facepool.errors import ConfigError
from facepool.overlay import Canvas, Painter, label_of
from facepool.recognize.live import LiveRecognizer
from facepool.recognize.pictures import RecognizedFaces, Recognizer
from facepool.records import face_records
from facepool.types import Frame, Image
from facepool.window import Window


@dataclass(frozen=True, slots=True)
class Reporting:
    """Where what is seen goes beside the terminal.

    Attributes:
        output: Annotated frames: a video, a picture or a folder.
        crops: Folder for the faces of events.
        webhooks: Addresses that events are posted to.
        brokers: Addresses that events are published at.
    """

    output: Path | None = None
    crops: Path | None = None
    webhooks: Sequence[str] = ()
    brokers: Sequence[str] = ()


@click.command()
@more_sources
@source_option
@settings_options("pool", *DECISION, *LIVE, *MODELS, *DETECTION)
@click.option("--window/--headless", default=None, help="Show a window or not; by default for anything that moves.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Keep annotated frames: a video, a picture or a folder."
)
@click.option("--save-crops", type=click.Path(path_type=Path), help="Folder for the face of each event.")
@click.option("--webhook", multiple=True, metavar="URL", help="Post each event to this address; may be repeated.")
@click.option(
    "--mqtt",
    multiple=True,
    metavar="URL",
    help="Publish each event: mqtt://user:password@host/prefix; needs facepool[mqtt].",
)
@json_option
def recognize(
    given: GivenSettings,
    sources: tuple[str, ...],
    more: tuple[str, ...],
    window: bool | None,
    output: Path | None,
    save_crops: Path | None,
    webhook: tuple[str, ...],
    mqtt: tuple[str, ...],
    json_lines: bool,
) -> int:
    """Say who is in a camera's view, a video or pictures.

    In anything that moves, faces are followed, and each is named once it was seen often enough. With --json every
    face of every frame is an object, and so is every event: somebody appeared, was recognized, changed or was lost.

    \b
    facepool recognize                                live, with a window: Q quits
    facepool recognize photo.jpg                      one picture
    facepool recognize -s party.mp4 --headless -o named.mp4
    facepool recognize -s rtsp://host/stream --headless --json
    facepool recognize --webhook http://home/hook     tell another program who comes and goes
    """
    specs = (*sources, *more) or ("0",)
    reporting = Reporting(output, save_crops, webhook, mqtt)
    return recognize_sources(specs, CommandContext(given, json_lines=json_lines), reporting, window=window)


def recognize_sources(
    specs: tuple[str, ...], context: CommandContext, reporting: Reporting, *, window: bool | None
) -> int:
    """Recognize everybody in some sources, one after the other."""
    console, settings, output = context.console, context.settings, reporting.output
    painter, sources = Painter(), Sources(specs, console, settings.capture_options())
    sources.check_window(window)
    with ExitStack() as stack:
        sinks = stack.enter_context(open_sinks(reporting.webhooks, reporting.brokers))
        events = EventOutput(console, sinks, reporting.crops)
        pool = stack.enter_context(context.open_pool(context.analyzer.space, must_exist=True))
        recognizer = Recognizer(context.analyzer, pool, context.policy, settings.recognize_options())
        threshold = recognizer.threshold
        recording = stack.enter_context(open_recording(output, settings.threads)) if output else None
        screen = stack.enter_context(Window())  # one for all sources; it opens with the first picture
        console.note(f"{people_count(len(pool.people()))} in {pool.path}")
        console.note(f"Threshold {threshold.value:.3f}: {threshold.meaning}")
        live_options = settings.live_options(keep_crops=reporting.crops is not None)
        for named in sources.all:
            with sources.report_errors(), sources.open(named) as source:
                _check_output(output, source, sources)
                show = (not is_still(source)) if window is None else window
                viewer = Viewer(painter, screen if show else None, recording)
                if is_still(source):
                    _recognize_pictures(source, recognizer, viewer, console, painter)
                else:
                    live = LiveRecognizer(context.analyzer, pool, context.policy, options=live_options)
                    Watch(live, events, console, painter).run(source, viewer)
                if viewer.ended:
                    break
    return sources.exit_code


def _check_output(output: Path | None, source: FrameSource, sources: Sources) -> None:
    """Refuse a file that would hold the last picture or video only, or that replaces what is looked at."""
    if output is None or output.suffix.lower() not in (*PICTURE_SUFFIXES, *VIDEO_SUFFIXES):
        return
    if output.resolve() == Path(source.name).resolve():
        raise ConfigError(
            f"{output} would be replaced by its annotated copy", fix="Name another file or a folder with --output"
        )
    is_picture = output.suffix.lower() in PICTURE_SUFFIXES
    if len(sources.all) > 1 or (is_picture and not (is_still(source) and source.frame_count == 1)):
        raise ConfigError(
            f"{output} cannot hold everything that is recognized",
            why="it is one picture" if is_picture else "it is one video, and there are several sources",
            fix="Name a folder with --output" + ("" if is_picture else ", or take one source at a time"),
        )


def _recognize_pictures(
    source: FrameSource, recognizer: Recognizer, viewer: Viewer, console: Console, painter: Painter
) -> None:
    rows: list[tuple[str | Text, ...]] = []
    with console.counting("Recognizing", source.frame_count) as counter:
        for frame in viewer.pictures(source):
            faces = recognizer.recognize(frame.image_bgr)
            for record in face_records(frame, faces, say_when_empty=True):
                console.emit(record)
            rows += _rows(frame, faces)
            viewer.show(frame, partial(_draw, painter, faces))
            viewer.wait_for_next()
            counter.step()
    console.table(("picture", "person", ">similarity", ">threshold", "reason"), rows)


def _draw(painter: Painter, faces: RecognizedFaces, canvas: Canvas) -> Image:
    return canvas.paint(painter, [label_of(faces, row) for row in range(len(faces))])


def _rows(frame: Frame, faces: RecognizedFaces) -> list[tuple[str | Text, ...]]:
    if len(faces) == 0:
        return [(frame.source, Text("no face", style="dim"), "", "", "no_face")]
    return [decision_row(frame.source, faces, row) for row in range(len(faces))]


def decision_row(picture: str, faces: RecognizedFaces, row: int) -> tuple[str | Text, ...]:
    """One face as a row of a table: picture, person, similarity, threshold, reason."""
    decision = faces.decisions[row]
    person = Text(decision.person, style="green") if decision.person else Text("unknown", style="red")
    similarity = "" if decision.similarity is None else f"{decision.similarity:.3f}"
    return (picture, person, similarity, f"{decision.threshold:.3f}", decision.reason)
