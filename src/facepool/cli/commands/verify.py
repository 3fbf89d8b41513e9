"""``facepool verify``."""

import click

from facepool.capture import read_image
from facepool.cli.context import DETECTION, MODELS, CommandContext, json_option, settings_options
from facepool.cli.ui.sources import note_turned
from facepool.recognize.verify import verify as compare

NO_MATCH = 1
PASSIVE_MEANING = "1 looks alive, 0 like a picture of a face: an opinion, often wrong, that decides nothing"


@click.command()
@click.argument("picture_a")
@click.argument("picture_b")
@settings_options("threshold", *MODELS, *DETECTION)
@json_option
def verify(context: CommandContext, picture_a: str, picture_b: str) -> int:
    """Say whether two pictures show one person: exit code 0 if so, 1 if not.

    Of several faces in a picture the largest is compared. The default threshold lets one in a thousand pairs of
    different people pass.
    """
    pictures = (picture_a, picture_b)
    image_a, image_b = (read_image(picture) for picture in pictures)
    result = compare(image_a, image_b, context.analyzer, context.policy)
    console = context.console
    for picture, faces in zip(pictures, result.faces, strict=True):
        if len(faces) > 1:
            console.note(f"{picture} has {len(faces)} faces; the largest is compared")
        note_turned(console, picture, faces.detections)
    verdict = "same person" if result.match else "different people"
    console.say(f"similarity {result.similarity:.3f}, threshold {result.threshold.value:.3f}: {verdict}")
    console.note(result.threshold.meaning)
    record: dict[str, object] = {
        "similarity": round(result.similarity, 4),
        "threshold": round(result.threshold.value, 4),
        "match": result.match,
        "meaning": result.threshold.meaning,
    }
    if result.passive is not None:
        record["passive"] = [round(score, 4) for score in result.passive]
        console.note(f"Passive check: {result.passive[0]:.2f} and {result.passive[1]:.2f}; {PASSIVE_MEANING}")
    console.emit(record)
    return 0 if result.match else NO_MATCH
