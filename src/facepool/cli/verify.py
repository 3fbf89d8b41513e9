"""``facepool verify``."""

import click

from facepool.capture import read_image
from facepool.cli.options import DETECTION, MODELS, Flags, json_option, settings_options
from facepool.cli.workbench import Workbench
from facepool.pipelines.verify import verify as compare
from facepool.types import Frame

NO_MATCH = 1


@click.command()
@click.argument("picture_a")
@click.argument("picture_b")
@settings_options("threshold", *MODELS, *DETECTION)
@json_option
def verify(flags: Flags, picture_a: str, picture_b: str, json_lines: bool) -> int:
    """Say whether two pictures show one person: exit code 0 if so, 1 if not.

    Of several faces in a picture the largest is compared. The default threshold lets one in a thousand pairs of
    different people pass.
    """
    workbench = Workbench(flags, json_lines=json_lines)
    frames = [Frame(read_image(picture), picture) for picture in (picture_a, picture_b)]
    result = compare(workbench.analyzer, frames[0], frames[1], workbench.policy.verification())
    console = workbench.console
    for frame, faces in zip(frames, result.faces, strict=True):
        if len(faces) > 1:
            console.note(f"{frame.source} has {len(faces)} faces; the largest is compared")
    verdict = "same person" if result.match else "different people"
    console.say(f"similarity {result.similarity:.3f}, threshold {result.threshold.value:.3f}: {verdict}")
    console.note(result.threshold.meaning)
    console.emit(
        {
            "similarity": round(result.similarity, 4),
            "threshold": round(result.threshold.value, 4),
            "match": result.match,
            "meaning": result.threshold.meaning,
        }
    )
    return 0 if result.match else NO_MATCH
