"""``facepool verify``: two pictures, or a picture and somebody alive before a camera."""

from contextlib import ExitStack

import click

from facepool.capture import read_image
from facepool.cli.context import DETECTION, MODELS, CommandContext, json_option, settings_options
from facepool.cli.ui.challenge import ChallengeScreen
from facepool.cli.ui.console import Console
from facepool.cli.ui.sources import Sources, note_turned
from facepool.cli.ui.viewer import Viewer
from facepool.errors import ConfigError
from facepool.faces.analyze import Faces
from facepool.overlay import Painter, advice_words, outcome_words
from facepool.recognize.verify import LiveVerification, LiveVerifier
from facepool.recognize.verify import verify as compare
from facepool.records import Record, liveness_record, rounded
from facepool.thresholds import Threshold
from facepool.window import Window

NO_MATCH = 1
PASSIVE_MEANING = "1 looks alive, 0 like a picture of a face: an opinion, often wrong, that decides nothing"


@click.command()
@click.argument("picture_a")
@click.argument("picture_b", metavar="PICTURE_B|SOURCE", required=False)
@settings_options("threshold", "rotate", *MODELS, *DETECTION)
@click.option(
    "--live",
    is_flag=True,
    help="Compare with the person before a camera, once they have shown that they are alive: they are asked to look in "
    "three random directions.",
)
@click.option("--partial", is_flag=True, help="With --live, for people who cannot turn their head far; weaker.")
@click.option("--window/--headless", default=None, help="With --live, show a window or not; shown by default.")
@json_option
def verify(
    context: CommandContext, picture_a: str, picture_b: str | None, live: bool, partial: bool, window: bool | None
) -> int:
    """Say whether two pictures show one person, or a picture somebody alive: exit code 0 if so, 1 if not.

    Of several faces in a picture the largest is compared. The default threshold lets one in a thousand pairs of
    different people pass.

    \b
    facepool verify a.jpg b.jpg               two pictures
    facepool verify --live a.jpg              a picture and the person before the first camera
    facepool verify --live a.jpg rtsp://door  and before another

    With --live a window says where to look, in an order that nobody can foresee. Exit code 0 means that the person of
    the picture did so. It does not tell masks, a face that is swapped in the camera's picture, or films that are made
    or chosen while it runs.
    """
    if live:
        return _verify_live(context, picture_a, picture_b or "0", partial=partial, window=window)
    if partial or window is not None:
        given = "--partial" if partial else "--window" if window else "--headless"
        raise ConfigError(f"{given} cannot be used with two pictures", why="they do not move", fix="Add --live")
    if picture_b is None:
        raise ConfigError(
            f"There is nothing to compare {picture_a} with", fix="Name a second picture, or a camera with --live"
        )
    return _verify_pictures(context, (picture_a, picture_b))


def _verify_pictures(context: CommandContext, pictures: tuple[str, str]) -> int:
    image_a, image_b = (read_image(picture) for picture in pictures)
    result = compare(image_a, image_b, context.analyzer, context.policy)
    console = context.console
    for picture, faces in zip(pictures, result.faces, strict=True):
        _note_faces(console, picture, faces)
    verdict = "same person" if result.match else "different people"
    console.say(f"similarity {result.similarity:.3f}, threshold {result.threshold.value:.3f}: {verdict}")
    console.note(result.threshold.meaning)
    record = _record(result.similarity, result.threshold, match=result.match)
    if result.passive is not None:
        record["passive"] = [round(score, 4) for score in result.passive]
        console.note(f"Passive check: {result.passive[0]:.2f} and {result.passive[1]:.2f}; {PASSIVE_MEANING}")
    console.emit(record)
    return 0 if result.match else NO_MATCH


def _verify_live(context: CommandContext, picture: str, named: str, *, partial: bool, window: bool | None) -> int:
    """Compare a picture with the person before a camera.

    Raises:
        ConfigError: The camera is a picture.
        InputError: The camera, or the film, broke before the challenge had ended.
    """
    console, painter = context.console, Painter()
    context.warn_of_passwords(named)
    sources = Sources((named,), context)
    sources.check(window)
    if sources.is_pictures(sources.all[0]):
        raise ConfigError(
            f"{named} cannot show that somebody is alive", why="it is a picture", fix="Name a camera or a video"
        )
    verifier = LiveVerifier(read_image(picture), context.analyzer, context.policy, partial=partial)
    _note_faces(console, picture, verifier.faces)
    with ExitStack() as stack:
        source = stack.enter_context(sources.open(sources.all[0]))
        screen = None
        if window is not False:
            screen = stack.enter_context(Window(mirrored=source.live))  # people before a camera expect a mirror
        challenge = ChallengeScreen(
            lambda frame: (verifier.look(frame), verifier.box), painter, console, title="", headless=screen is None
        )
        challenge.run(source, Viewer(painter, screen))
    result = verifier.end()
    _say(result, console)
    console.emit(
        _record(result.similarity, result.threshold, match=result.match)
        | {"liveness": liveness_record(result.liveness)}
    )
    return 0 if result.match else NO_MATCH


def _say(result: LiveVerification, console: Console) -> None:
    console.say(outcome_words(result.liveness))
    if advice := advice_words(result.liveness):
        console.note(advice)
    if result.similarity is None:
        return
    verdict = "same person" if result.match else "different people"
    console.say(f"similarity {result.similarity:.3f}, threshold {result.threshold.value:.3f}: {verdict}")
    console.note(result.threshold.meaning)


def _note_faces(console: Console, picture: str, faces: Faces) -> None:
    if len(faces) > 1:
        console.note(f"{picture} has {len(faces)} faces; the largest is compared")
    note_turned(console, picture, faces.detections)


def _record(similarity: float | None, threshold: Threshold, *, match: bool) -> Record:
    return {
        "similarity": rounded(similarity, 4),
        "threshold": round(threshold.value, 4),
        "match": match,
        "meaning": threshold.meaning,
    }
