"""``facepool demo``."""

import tempfile
from pathlib import Path

import click
from rich.text import Text

from facepool.capture import read_image, write_image
from facepool.cli.commands.recognize import decision_cells
from facepool.cli.context import MODELS, CommandContext, settings_options
from facepool.enroll.session import EnrollmentSession
from facepool.gallery import Pool, open_pool
from facepool.models.catalog import DEMO_PHOTOS
from facepool.overlay import Painter, contact_sheet, label_of
from facepool.recognize.pictures import Recognizer
from facepool.types import Frame, Image

REGISTERED = {"Person A": "person_a_1.jpg", "Person B": "person_b_1.jpg"}
PROBES = ("person_a_2.jpg", "person_b_2.jpg", "impostor_1.jpg", "impostor_2.jpg")


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the annotated pictures.",
)
@settings_options(*MODELS)
def demo(context: CommandContext, output: Path) -> None:
    """Register one photo each of two people, then recognize another of each, and two strangers.

    The photos are of public persons, free to use, and fetched with the models; your own pool is not touched.
    """
    with context.console.downloads() as progress:
        photos = context.store(progress).pull_asset(DEMO_PHOTOS)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_pool(Path(folder) / "demo.db", context.analyzer.space) as pool,
    ):
        _register(context, pool, photos)
        sheet_path = _recognize(context, pool, photos, output)
    context.console.say("")
    context.console.say(f"Look at {sheet_path} and the pictures beside it.")
    _say_what_next(context)


def _register(context: CommandContext, pool: Pool, photos: Path) -> None:
    for person, photo in REGISTERED.items():
        session = EnrollmentSession(person, context.analyzer, pool, context.policy)
        offer = session.offer(Frame(read_image(photos / photo), photo))
        session.commit()
        context.console.say(f"Registered {person} from {photo}: {offer}")


def _recognize(context: CommandContext, pool: Pool, photos: Path, output: Path) -> Path:
    recognizer = Recognizer(context.analyzer, pool, context.policy)
    threshold = recognizer.threshold
    context.console.say(f"Threshold {threshold.value:.3f}: {threshold.meaning}")
    context.console.say("")
    painter = Painter()
    output.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str | Text, ...]] = []
    annotated: list[Image] = []
    for photo in PROBES:
        image_bgr = read_image(photos / photo)
        faces = recognizer.recognize(image_bgr)
        rows += [(photo, *decision_cells(decision)) for decision in faces.decisions]
        annotated.append(painter.draw(image_bgr, [label_of(faces, row) for row in range(len(faces))]))
        write_image(output / photo, annotated[-1])
    context.console.table(("photo", "person", ">similarity", ">threshold", "reason"), rows)
    sheet = contact_sheet(annotated, PROBES, columns=len(PROBES), painter=painter)
    write_image(output / "all.png", sheet)
    return output / "all.png"


def _say_what_next(context: CommandContext) -> None:
    context.console.say("With a camera, in this folder:")
    command = Path(".venv/bin/facepool")
    name = str(command) if command.exists() else "facepool"
    context.console.say(f"  {name} register YOUR-NAME     look straight ahead, then around in a circle")
    context.console.say(f"  {name} recognize              live, Q quits")
