"""``facepool models``."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import click
from rich.text import Text

from facepool import extras
from facepool.capture import read_image, walk_folder
from facepool.cli.context import DETECTION, CommandContext, json_option, licence_option, members, settings_options
from facepool.cli.ui.console import Console
from facepool.errors import InputError
from facepool.models.catalog import DEMO_PHOTOS, PACKS, EmbedderSpec, InstalledModel, ModelEntry, PadSpec, space_of
from facepool.models.store import ModelStore
from facepool.optimize.acceptance import AcceptanceReport
from facepool.optimize.optimizer import FEW, MANY, Optimizer, shrunk
from facepool.runtime import Device, Runtime
from facepool.types import Image

CORRUPT = 5


@click.group()
def models() -> None:
    """The networks that find and embed faces."""


@models.command("list")
@settings_options("models_dir")
@json_option
def list_models(context: CommandContext) -> None:
    """List packs and models: what is here, what it costs, under which licence."""
    store, console = context.store(), context.console
    here = {model.entry.name for model in store.installed()}
    packs = [(pack.name, pack.detector, pack.embedder, pack.description) for pack in PACKS.values()]
    console.table(("pack", "detector", "embedder", "what it is"), packs)
    console.say("")
    entries = []
    for entry in store.entries().values():
        is_here, is_int8 = entry.name in here, store.optimized.known(entry) is not None
        size = "" if entry.whole_size_bytes is None else f"{entry.whole_size_bytes / 1e6:.1f} MB"
        place = ("here, int8" if is_int8 else "here") if is_here else ""
        terms = Text(entry.licence.name, style="yellow" if entry.licence.restricts_use else "")
        row = (entry.name, entry.task, size, place, terms)
        entries.append((_record(entry, here=is_here) | {"int8": is_int8}, row))
    console.results(("model", "task", ">size", "here", "licence"), entries)


@models.command()
@click.argument("names", nargs=-1)
@licence_option
@settings_options("pack", "models_dir", "offline_dir")
def pull(context: CommandContext, names: tuple[str, ...]) -> None:
    """Fetch packs or models; the pack of the settings by default. With --offline-dir, copy them there as well.

    A machine without a network then uses the same folder: facepool models pull --offline-dir DIR.
    """
    console, settings = context.console, context.settings
    with console.downloads() as progress:
        store = context.store(progress)
        for entry in [store.resolve(name) for name in members(names or (settings.pack,))]:
            path = store.pull(entry, thorough=True)
            console.say(f"{entry.name}: {path}", "good")
            console.note(f"  licence: {entry.licence.name}. {entry.licence.summary}")
            if settings.offline_dir is not None:
                store.export(entry, settings.offline_dir)
    if settings.offline_dir is not None:
        console.note(f"{settings.offline_dir} now serves machines without a network: carry it over, run the same there")


@models.command()
@settings_options("models_dir")
@json_option
def verify(context: CommandContext) -> int:
    """Check every model file against its digest; exit code 5 if one is damaged."""
    verdicts = context.store().verify()
    for verdict in verdicts:
        context.console.emit({"model": verdict.entry.name, "problem": verdict.problem})
        outcome = "good" if verdict.problem is None else verdict.problem
        context.console.say(f"{verdict.entry.name}: {outcome}", "bad" if verdict.problem else "good")
    if any(verdict.problem for verdict in verdicts):
        context.console.note("A damaged file is fetched again by: facepool models pull")
        return CORRUPT
    return 0


@models.command()
@click.argument("name")
@settings_options("models_dir")
@json_option
def info(context: CommandContext, name: str) -> None:
    """Show what is known of one model."""
    store = context.store()
    entry = store.resolve(name)
    here = any(model.entry.name == name for model in store.installed())
    known = store.optimized.known(entry)
    record = _record(entry, here=here) | {"int8": dict(known.report) if known else None}
    context.console.emit(record)
    context.console.table(("", ""), [(key.replace("_", " "), _shown(value)) for key, value in record.items()])


@models.command()
@click.argument("name")
@settings_options("models_dir")
def remove(context: CommandContext, name: str) -> None:
    """Delete a model's files; one of the catalog is fetched again when it is next used."""
    store = context.store()
    store.remove(store.resolve(name))
    context.console.say(f"{name} removed", "good")


@models.command("import")
@click.argument("description", type=click.Path(path_type=Path))
@settings_options("models_dir")
def import_model(context: CommandContext, description: Path) -> None:
    """Take in an ONNX network of your own, described by a small TOML file beside it.

    \b
    name = "my-embedder"
    task = "embed"                  # or "detect", a RetinaFace, with [detect]; or "pad", with [pad]
    file = "my-embedder.onnx"
    [licence]
    name = "MIT"
    [embed]
    dimension = 512
    channel_order = "rgb"
    mean = 127.5
    scale = 127.5

    A network of task "pad" says of one picture whether a face looks alive: an opinion beside the result, which decides
    nothing. Its table is [pad], with crop_scale = 2.7, for example; see docs/liveness.md.
    """
    entry = context.store().import_model(description)
    context.console.say(f"{entry.name} imported; {_use_of(entry)}", "good")


def _use_of(entry: ModelEntry) -> str:
    if entry.task == "pad":
        return (
            "from now on faces of pictures have a score `passive` beside their decision, which it does not change; "
            f"to end that: facepool models remove {entry.name}"
        )
    option = "--detector" if entry.task == "detect" else "--embedder"
    return f"use it with {option} {entry.name}"


def _record(entry: ModelEntry, *, here: bool) -> dict[str, object]:
    record: dict[str, object] = {
        "model": entry.name,
        "task": entry.task,
        "here": here,
        "licence": entry.licence.name,
        "restricts_use": entry.licence.restricts_use,
        "terms": f"{entry.licence.summary} {entry.licence.url}".strip(),
        "sha256": entry.sha256,
        "size_bytes": entry.whole_size_bytes,
        "sources": [str(source) for source in chain(entry.sources, *(file.sources for file in entry.beside))],
    }
    if isinstance(entry.spec, EmbedderSpec):
        record["space"] = space_of(entry).id
        record["dimension"] = entry.spec.dimension
        record["mirrored"] = entry.spec.mirrored
        record["error_rates"] = entry.spec.fmr.source if entry.spec.fmr else None
    if isinstance(entry.spec, PadSpec):
        record["crop_scale"] = entry.spec.crop_scale
    return record


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key.replace('_', ' ')}: {part}" for key, part in value.items())
    return "\n".join(str(part) for part in value) if isinstance(value, list) else str(value)


REFUSED = 5


@models.command()
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
    names = tuple(members(names)) or tuple(context.models_in_use)
    if remove:
        _remove(context, names)
        return 0
    extras.require("optimize")
    with context.console.downloads() as progress:
        store = context.store(progress)
        models = [store.load(name) for name in names]
        images = _pictures(pictures or store.pull_asset(DEMO_PHOTOS), context.console)
        detector, embedder = map(store.load, context.models_in_use[:2])
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
    found = walk_folder(folder)
    for remark in found.remarks():
        console.note(remark)
    for path, error in found.unreadable:
        console.note(f"Left out {path}: {error.why}")
    paths = found.pictures
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
