"""``facepool people``."""

from datetime import datetime
from pathlib import Path

import click

from facepool.cli.context import CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted, people_count
from facepool.gallery import TransferReport, clean_name, open_foreign, open_pool, transfer
from facepool.gallery.address import PoolAddress, pool_address
from facepool.records import person_record, template_record
from facepool.types import Template


@click.group()
def people() -> None:
    """Who is in the pool."""


@people.command("list")
@settings_options("pool")
@json_option
def list_people(context: CommandContext) -> None:
    """List everybody with the number of their views."""
    with context.open_pool() as pool:
        found = pool.people()
        entries = [(person_record(one), (one.name, str(one.templates), _local(one.created_at))) for one in found]
        context.console.results(("person", ">views", "since"), entries)
        space = f", {pool.space}" if pool.space else ""
        context.console.note(f"{people_count(len(found))} in {pool.address}{space}")


@people.command()
@click.argument("name")
@settings_options("pool")
@json_option
def show(context: CommandContext, name: str) -> None:
    """Show the views of one person: where they came from, how good they are."""
    with context.open_pool() as pool:
        templates = pool.templates(name)
    columns = (">view", ">quality", ">size", ">yaw", ">pitch", ">roll", "source", ">time", "stored", "model")
    entries = [(template_record(template), _row(template)) for template in templates]
    context.console.results(columns, entries, title=name)


@people.command()
@click.argument("old")
@click.argument("new")
@settings_options("pool")
def rename(context: CommandContext, old: str, new: str) -> None:
    """Give OLD the name NEW, which nobody may have yet."""
    with context.changing_pool() as pool:
        pool.rename(old, new)
    context.console.say(f"{old} is now {clean_name(new)}", "good")


@people.command()
@click.argument("source")
@click.argument("target")
@settings_options("pool")
def merge(context: CommandContext, source: str, target: str) -> None:
    """Give all views of SOURCE to TARGET; SOURCE is gone."""
    with context.changing_pool() as pool:
        moved = pool.merge(source, target)
    context.console.say(f"{counted(moved, 'view')} of {source} moved to {target}", "good")


@people.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@settings_options("pool")
def remove(context: CommandContext, name: str, yes: bool) -> None:
    """Erase NAME and everything stored about them."""
    with context.changing_pool() as pool:
        count = len(pool.templates(name))
        if not (yes or click.confirm(f"Erase {name} and {counted(count, 'view')} for good?", err=True)):
            raise click.Abort("nothing was erased")
        remarks = len(pool.notes)
        erased = pool.remove(name)
        for remark in pool.notes[remarks:]:
            context.console.note(remark)
    context.console.say(f"{name} erased, with {counted(erased, 'view')}", "good")


@people.command("export")
@click.argument("target", type=pool_address)
@settings_options("pool")
def export_people(context: CommandContext, target: PoolAddress) -> None:
    """Copy everybody into TARGET: a .db file, a model_faces.npy or postgresql://user@host/database.

    What is there already stays and is added to.
    """
    with context.open_pool() as pool, open_pool(target, pool.space) as other, context.noting(other):
        _report(context, target, transfer(pool, other))


@people.command("import")
@click.argument("source", type=pool_address)
@settings_options("pool", "pack", "embedder", "models_dir")
def import_people(context: CommandContext, source: PoolAddress) -> None:
    """Copy everybody of SOURCE, also a .db file, a model_faces.npy or postgresql://..., into the pool.

    Who is in both gets both's views.

    An original pair without model_faces.json does not say which model made it; it is taken for --embedder's.
    """
    with open_foreign(source) as other:
        space = other.space or context.space_in_use()
        with context.changing_pool(space, must_exist=False) as pool:
            _report(context, pool.address, transfer(other, pool))


def _report(context: CommandContext, target: PoolAddress, report: TransferReport) -> None:
    for remark in report.notes:
        context.console.note(remark)
    if report.skipped:
        context.console.note(f"{counted(report.skipped, 'view')} already there")
    touched = len(report.created) + len(report.extended)
    context.console.say(f"{counted(report.added, 'view')} of {people_count(touched)} copied to {target}", "good")


def _row(template: Template) -> tuple[str, ...]:
    sample = template.sample
    pose = sample.pose
    return (
        str(template.id),
        _number(sample.quality),
        _number(sample.size_px),
        *(("", "", "") if pose is None else map(_number, (pose.yaw, pose.pitch, pose.roll))),
        Path(sample.source).name,
        "" if sample.time_s is None else f"{sample.time_s:.1f} s",
        _local(template.created_at),
        template.model,
    )


def _local(iso: str) -> str:
    """A stored UTC time as the clock on the wall shows it; empty for empty."""
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M") if iso else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
