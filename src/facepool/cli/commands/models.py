"""``facepool models``."""

from pathlib import Path

import click
from rich.text import Text

from facepool.cli.commands.optimize import optimize
from facepool.cli.context import CommandContext, json_option, licence_option, members, settings_options
from facepool.models.catalog import PACKS, EmbedderSpec, ModelEntry, space_of

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
        size = "" if entry.size_bytes is None else f"{entry.size_bytes / 1e6:.1f} MB"
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
            path = store.pull(entry)
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
        context.console.note("A damaged file is fetched again when it is next used, or now: facepool models pull")
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
    """Take in an ONNX detector or embedder of your own, described by a small TOML file beside it.

    \b
    name = "my-embedder"
    task = "embed"                  # or "detect", for a RetinaFace, with a table [detect]
    file = "my-embedder.onnx"
    [licence]
    name = "MIT"
    [embed]
    dimension = 512
    channel_order = "rgb"
    mean = 127.5
    scale = 127.5
    """
    entry = context.store().import_model(description)
    option = "--detector" if entry.task == "detect" else "--embedder"
    context.console.say(f"{entry.name} imported; use it with {option} {entry.name}", "good")


models.add_command(optimize)


def _record(entry: ModelEntry, *, here: bool) -> dict[str, object]:
    record: dict[str, object] = {
        "model": entry.name,
        "task": entry.task,
        "here": here,
        "licence": entry.licence.name,
        "restricts_use": entry.licence.restricts_use,
        "terms": f"{entry.licence.summary} {entry.licence.url}".strip(),
        "sha256": entry.sha256,
        "size_bytes": entry.size_bytes,
        "sources": [str(source) for source in entry.sources],
    }
    if isinstance(entry.spec, EmbedderSpec):
        record["space"] = space_of(entry).id
        record["dimension"] = entry.spec.dimension
        record["mirrored"] = entry.spec.mirrored
        record["error_rates"] = entry.spec.fmr.source if entry.spec.fmr else None
    return record


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key.replace('_', ' ')}: {part}" for key, part in value.items())
    return "\n".join(str(part) for part in value) if isinstance(value, list) else str(value)
