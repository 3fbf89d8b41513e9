"""``facepool models optimize``."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from facepool import extras
from facepool.capture import find_pictures, read_image
from facepool.cli.context import CommandContext
from facepool.cli.options import DETECTION, GivenSettings, json_option, settings_options
from facepool.cli.ui.console import Console
from facepool.errors import InputError
from facepool.models.catalog import DEMO_PHOTOS, PACKS, InstalledModel, find_pack
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
def optimize(
    given: GivenSettings, names: tuple[str, ...], pictures: Path | None, remove: bool, json_lines: bool
) -> int:
    """Make graphs of 8 bits, about twice as fast on CPUs; the networks in use by default. Needs facepool[optimize].

    They are made with one half of the pictures and judged on the other half, and kept only if they find the same
    faces in the same places and give vectors that a pool of float32 vectors can be searched with. Then every command
    takes them (--precision auto). Many people, and the camera that will be used, make the best pictures.

    \b
    facepool models optimize
    facepool models optimize sface --pictures people/
    facepool models optimize --remove
    """
    context = CommandContext(given, json_lines=json_lines)
    if remove:
        return _remove(context, names)
    extras.require("optimize")
    with context.console.downloads() as progress:
        store = context.store(progress)
        models = [store.load(name) for name in _names(context, names)]
        images = _pictures(pictures or store.pull_asset(DEMO_PHOTOS), context.console)
        detector, embedder = (store.load(name) for name in _chosen(context))
    settings = context.settings
    runtime = Runtime(Device("cpu"), settings.threads)
    optimizer = Optimizer(detector, embedder, runtime, store, images, settings.detect_options())
    context.console.note(_what_with(images))
    verdicts = [_optimize(optimizer, model, store, context.console) for model in models]
    return 0 if all(verdicts) else REFUSED


def _optimize(optimizer: Optimizer, model: InstalledModel, store: ModelStore, console: Console) -> bool:
    name = model.entry.name
    report = optimizer.optimize(model)
    console.emit(_record(name, report))
    console.table(("difference", ">measured", ">bound", "what it is"), _rows(report), title=name)
    if report.accepted:
        console.say(f"{name}: accepted on {report.faces} faces, and used from now on", "good")
        return True
    kept = "; the one that was accepted before stays" if store.optimized.known(model.entry) else ""
    console.say(f"{name}: refused, so nothing changes{kept}", "bad")
    return False


def _remove(context: CommandContext, names: tuple[str, ...]) -> int:
    store = context.store()
    for name in _names(context, names):
        there_was = store.optimized.remove(store.resolve(name))
        words = "int8 graph removed" if there_was else "there is no int8 graph"
        context.console.say(f"{name}: {words}", "good")
    return 0


def _names(context: CommandContext, names: Sequence[str]) -> list[str]:
    """The models of packs and models by name, each once; the ones in use by default."""
    members = [(PACKS[name].detector, PACKS[name].embedder) if name in PACKS else (name,) for name in names]
    return list(dict.fromkeys(name for pair in members or [_chosen(context)] for name in pair))


def _chosen(context: CommandContext) -> tuple[str, str]:
    settings = context.settings
    pack = find_pack(settings.pack)
    return settings.detector or pack.detector, settings.embedder or pack.embedder


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


def _what_with(images: Sequence[Image]) -> str:
    halves = (
        f"{len(images) - len(images) // 2} pictures to make them with and {len(images) // 2} others to judge them on"
    )
    few = f", each filled up to {FEW} by variants: more pictures are better" if len(images) < 2 * FEW else ""
    return f"{halves}{few}"


def _record(name: str, report: AcceptanceReport) -> dict[str, object]:
    return {
        "model": name,
        "accepted": report.accepted,
        "faces": report.faces,
        "pictures": report.pictures,
        "figures": [
            {"name": m.name, "value": round(m.value, 5), "bound": m.bound, "meaning": m.meaning, "holds": m.passed}
            for m in report.metrics
        ],
    }


def _rows(report: AcceptanceReport) -> list[tuple[str | Text, ...]]:
    return [
        (m.name.replace("_", " "), Text(f"{m.value:.4g}", style="" if m.passed else "red"), f"{m.bound:g}", m.meaning)
        for m in report.metrics
    ]
