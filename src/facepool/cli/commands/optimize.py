"""``facepool models optimize``."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from facepool import extras
from facepool.capture import find_pictures, read_image
from facepool.cli.context import DETECTION, CommandContext, json_option, members, settings_options
from facepool.cli.ui.console import Console
from facepool.errors import InputError
from facepool.models.catalog import DEMO_PHOTOS, InstalledModel
from facepool.models.store import ModelStore
from facepool.optimize.acceptance import AcceptanceReport
from facepool.optimize.optimizer import FEW, MANY, Optimizer, shrunk
from facepool.runtime import Device, Runtime
from facepool.types import Image

REFUSED = 5


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--pictures", type=click.Path(path_type=Path), help="Folder of pictures with faces; the demo's photos by default."
)
@click.option("--remove", is_flag=True, help="Go back to float32: delete what was made.")
@settings_options("pack", "detector", "embedder", "threads", "models_dir", "offline_dir", *DETECTION)
@json_option
def optimize(context: CommandContext, names: tuple[str, ...], pictures: Path | None, remove: bool) -> int:
    """Make graphs of 8 bits, about twice as fast on CPUs; the networks in use by default. Needs facepool[optimize].

    They are made with one half of the pictures and judged on the other half, and kept only if they find the same
    faces in the same places and give vectors that a pool of float32 vectors can be searched with. Then every command
    takes them (--precision auto). Many people, and the camera that will be used, make the best pictures.

    \b
    facepool models optimize
    facepool models optimize sface --pictures people/
    facepool models optimize --remove
    """
    names = tuple(members(names)) or context.models_in_use
    if remove:
        _remove(context, names)
        return 0
    extras.require("optimize")
    with context.console.downloads() as progress:
        store = context.store(progress)
        models = [store.load(name) for name in names]
        images = _pictures(pictures or store.pull_asset(DEMO_PHOTOS), context.console)
        detector, embedder = map(store.load, context.models_in_use)
    runtime = Runtime(Device("cpu"), context.settings.threads)
    optimizer = Optimizer(detector, embedder, runtime, store, images, context.settings.detect_options())
    halves = (
        f"{len(images) - len(images) // 2} pictures to make them with and {len(images) // 2} others to judge them on"
    )
    few = f", each filled up to {FEW} by variants: more pictures are better" if len(images) < 2 * FEW else ""
    context.console.note(f"{halves}{few}")
    verdicts = [_optimize(optimizer, model, store, context.console) for model in models]
    return 0 if all(verdicts) else REFUSED


def _optimize(optimizer: Optimizer, model: InstalledModel, store: ModelStore, console: Console) -> bool:
    name = model.entry.name
    report = optimizer.optimize(model)
    _report(name, report, console)
    if report.accepted:
        console.say(f"{name}: accepted on {report.faces} faces, and used from now on", "good")
        return True
    kept = "; the one that was accepted before stays" if store.optimized.known(model.entry) else ""
    console.say(f"{name}: refused, so nothing changes{kept}", "bad")
    return False


def _remove(context: CommandContext, names: Sequence[str]) -> None:
    store = context.store()
    for name in names:
        there_was = store.optimized.remove(store.resolve(name))
        words = "int8 graph removed" if there_was else "there is no int8 graph"
        context.console.say(f"{name}: {words}", "good")


def _pictures(folder: Path, console: Console) -> list[Image]:
    """As many pictures as are needed, from all over the folder; those that cannot be read are reported and left out."""
    paths = find_pictures(folder)
    step = max(1, len(paths) // (2 * MANY))
    images = []
    for path in paths[::step][: 2 * MANY]:
        try:
            images.append(shrunk(read_image(path)))
        except InputError as error:
            console.note(f"Left out: {error}")
    return images


def _report(name: str, report: AcceptanceReport, console: Console) -> None:
    console.emit(
        {
            "model": name,
            "accepted": report.accepted,
            "faces": report.faces,
            "pictures": report.pictures,
            "figures": [
                {"name": m.name, "value": round(m.value, 5), "bound": m.bound, "meaning": m.meaning, "holds": m.passed}
                for m in report.metrics
            ],
        }
    )
    rows = [
        (m.name.replace("_", " "), Text(f"{m.value:.4g}", style="" if m.passed else "red"), f"{m.bound:g}", m.meaning)
        for m in report.metrics
    ]
    console.table(("difference", ">measured", ">bound", "what it is"), rows, title=name)
