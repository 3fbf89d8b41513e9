"""``facepool people``."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from facepool.cli.commands.other_files import other_key_option, plain_option, to_read, to_write
from facepool.cli.commands.privacy import also_option
from facepool.cli.context import MODELS, CommandContext, json_option, settings_options
from facepool.cli.ui.consent import consent_of
from facepool.cli.ui.console import counted, people_count, wall_clock
from facepool.cli.ui.privacy import check_places, say_whether_gone
from facepool.enroll.reembed import reembed
from facepool.errors import ConfigError, PoolError, StorageError
from facepool.gallery import (
    Details,
    Pool,
    TransferReport,
    check_gallery,
    clean_name,
    find_name,
    open_foreign,
    open_pool,
    transfer,
    verify_transfer,
)
from facepool.gallery.address import PoolAddress, pool_address
from facepool.gallery.collections import DEFAULT, collections_in
from facepool.gallery.vectors import check_vectors_of, load, open_vectors
from facepool.privacy.traces import marks_of
from facepool.records import consent_record, person_record, template_record
from facepool.search.index_status import still_there
from facepool.types import Consent, EmbeddingSpace, Person, Template

_FIRST_PAGE = 100
"""Shown at once, however large the pool is."""
_NEXT_PAGES = 2000
_SHOWN_OF_TEXT = 60


@click.group()
def people() -> None:
    """Who is in the pool."""


@people.command("list")
@click.argument("prefix", default="")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="How many, at most.  [everybody]")
@click.option("--after", default="", metavar="NAME", help="Those who come after NAME, the last one of a list before.")
@click.option("--tag", default="", metavar="TAG", help="Those who have this tag, in either case.")
@click.option("--external-id", default="", metavar="ID", help="The one whom another system calls so.")
@settings_options("pool")
@json_option
def list_people(
    context: CommandContext, prefix: str, limit: int | None, after: str, tag: str, external_id: str
) -> None:
    """List everybody with the number of their views, or those whose names begin with PREFIX, in either case.

    \b
    facepool people list
    facepool people list ann                        Ann, Anna, anne...
    facepool people list --limit 100 --after Ann    the next hundred
    facepool people list --tag family               who has the tag; `facepool people edit` gives it
    facepool people list --json                     one object a line, the first at once, however many there are
    """
    with context.open_pool() as pool:
        shown = 0

        def pages() -> Iterator[list[tuple[dict[str, object], tuple[str, ...]]]]:
            nonlocal shown
            following: str | None = after
            while following is not None and (limit is None or shown < limit):
                size = min(_FIRST_PAGE if shown == 0 else _NEXT_PAGES, limit - shown if limit else _NEXT_PAGES)
                page = pool.people_page(prefix, tag=tag, external_id=external_id, after=following, limit=size)
                shown, following = shown + len(page.people), page.following
                yield [
                    (
                        person_record(one),
                        (one.name, str(one.templates), wall_clock(one.created_at), ", ".join(one.tags)),
                    )
                    for one in page.people
                ]

        context.console.pages(("person", ">views", "since", "tags"), pages())
        whole = limit is None and not after
        found = shown if whole else pool.count_people(prefix, tag=tag, external_id=external_id)
        _tell_of_list(context, pool, shown, prefix, found)


@people.command()
@click.argument("name")
@settings_options("pool")
@json_option
def show(context: CommandContext, name: str) -> None:
    """Show what is known of one person, and their views: where they came from, how good they are."""
    with context.open_pool() as pool:
        templates, person = pool.templates(name), pool.person(name)
    if person is not None:
        _tell_of_details(context, person)
    columns = (">view", ">quality", ">size", ">yaw", ">pitch", ">roll", "source", ">time", "stored", "model")
    entries = [(template_record(template), _row(template)) for template in templates]
    context.console.results(columns, entries, title=name)


@people.command()
@click.argument("name")
@click.option("--notes", metavar="TEXT", help="What is to be known of them, any number of lines; '' for nothing.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Give them a tag; may be repeated.")
@click.option("--untag", "untags", multiple=True, metavar="TAG", help="Take a tag away; may be repeated.")
@click.option("--external-id", metavar="ID", help="What another system calls them, nobody else; '' for nothing.")
@settings_options("pool")
@json_option
def edit(
    context: CommandContext,
    name: str,
    notes: str | None,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    external_id: str | None,
) -> None:
    """Say what is to be known of NAME beside their face: notes, tags, and what another system calls them.

    \b
    facepool people edit Ada --tag family --tag "second floor"
    facepool people edit Ada --notes "Has the key to the cellar" --external-id A-1815
    facepool people edit Ada --untag family --notes ''

    `facepool people show` tells it, and `facepool people list --tag` finds people by it. It goes where they go: into
    copies and backups. A .npy pool has no place for it.
    """
    details = Details(notes, None, tags, untags, external_id)
    if details == Details():
        raise ConfigError(
            "Nothing is said of anybody", fix="Add --notes, --tag, --untag or --external-id; people show tells them"
        )
    with context.changing_pool() as pool:
        person = pool.describe(name, details)
    context.console.emit(person_record(person))
    _tell_of_details(context, person)
    context.console.say(f"{person.name} has the notes and tags above", "good")


@people.command()
@click.argument("name")
@click.argument("text", required=False, metavar="[FILE|TEXT]")
@click.option("--given", default="", metavar="DAY", help="When it was given, such as 2026-05-31.  [now]")
@click.option("--method", default="", metavar="TEXT", help="How it was given, such as 'signed form'.")
@settings_options("pool")
@json_option
def consent(context: CommandContext, name: str, text: str | None, given: str, method: str) -> None:
    """Show to what NAME has agreed, or record that they have agreed to a text, from a FILE or as it is.

    \b
    facepool people consent Ada
    facepool people consent Ada consent.txt --method "signed form" --given 2026-05-31

    It is kept with the person: it goes into copies and backups, and is erased with them. Somebody who takes their
    consent back is erased: `facepool people remove`.
    """
    if text is None:
        if given or method:
            raise ConfigError("Nothing is recorded", why="no text is named", fix="Name the text, or a file that has it")
        with context.open_pool() as pool:
            _tell_of_consents(context, name, pool.consents(name))
        return
    agreed = consent_of(text, method, given)
    with context.changing_pool() as pool:
        kept = pool.record_consent(name, agreed)
    context.console.emit(consent_record(kept))
    context.console.say(f"It is recorded that {name} agreed, {wall_clock(kept.given_at)}", "good")


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
@click.option(
    "--verify",
    is_flag=True,
    help="Look afterwards whether all of it is gone: every place of `facepool privacy report`, and the bytes of files.",
)
@also_option
@settings_options("pool")
@json_option
def remove(context: CommandContext, name: str, yes: bool, verify: bool, also: tuple[Path, ...]) -> int:
    """Erase NAME and everything stored about them.

    \b
    facepool people remove Ada
    facepool people remove Ada --verify --also /backup

    With --verify, the exit code is 1 where something is left, such as a backup, or could not be looked at.
    """
    if also and not verify:
        raise ConfigError("--also does nothing", why="it says where --verify looks, too", fix="Add --verify")
    check_places(also)
    with context.changing_pool() as pool:
        count = len(pool.templates(name))
        if not (yes or click.confirm(f"Erase {name} and {counted(count, 'view')} for good?", err=True)):
            raise click.Abort("nothing was erased")
        numbers = [template.id for template in pool.templates(name)]
        remarks, marks = len(pool.notes), marks_of(pool, find_name(name)) if verify else None
        erased = pool.remove(name)
        for remark in pool.notes[remarks:]:
            context.console.note(remark)
        left = sum(still_there(pool).values())
    context.console.emit({"person": name, "erased": erased, "still_in_index": left})
    context.console.say(f"{name} erased, with {counted(erased, 'view')}", "good")
    return 0 if marks is None else say_whether_gone(context, name, marks, also, numbers)


@people.command("export")
@click.argument("target", type=pool_address)
@other_key_option
@plain_option
@settings_options("pool")
def export_people(context: CommandContext, target: PoolAddress, other_key_file: Path | None, plain: bool) -> None:
    """Copy everybody into TARGET: a .db file, a model_faces.npy or postgresql://user@host/database.

    \b
    facepool people export copy.db
    facepool people export model_faces.npy          for other programs; they keep no pictures
    facepool people export postgresql://me@db/faces

    A .db file gets the key of the pool, if that is encrypted.

    What is there already stays and is added to. If it is interrupted, run it again: it goes on where it was. At the end
    everybody is compared with their copy, vectors and pictures. Calibrations, and settings, keys and logs of a server,
    are not copied.
    """
    context.warn_of_pool(target)
    target = to_write(context, target, other_key_file, plain=plain)
    with context.open_pool() as pool, open_pool(target, pool.space) as other, context.noting(other):
        _copy(context, pool, other)
    _tell_of_others(context, context.gallery_address, context.settings.collection, "--collection NAME copies one")


@people.command("import")
@click.argument("source", type=pool_address)
@other_key_option
@settings_options("pool", "pack", "embedder", "models_dir")
def import_people(context: CommandContext, source: PoolAddress, other_key_file: Path | None) -> None:
    """Copy everybody of SOURCE, also a .db file, a model_faces.npy or postgresql://..., into the pool.

    People who are in both get the views of both.

    \b
    facepool people import old.db
    facepool people import model_faces.npy --embedder sface
    facepool people import postgresql://me@db/faces

    An original pair without model_faces.json does not say which model made it; it is taken for --embedder's. If it is
    interrupted, run it again: it goes on where it was. At the end everybody is compared with their copy.
    """
    context.warn_of_pool(source)
    source = to_read(context, source, other_key_file)
    with context.console.working(f"Looking at {source}"):
        other = open_foreign(source)
    with other:
        space = other.space or context.space_in_use()
        with context.changing_pool(space, must_exist=False) as pool:
            _copy(context, other, pool)
    _tell_of_others(context, source, DEFAULT, "facepool pool restore takes all of them")


@people.command("load")
@click.argument("vectors", type=click.Path(path_type=Path))
@click.argument("names", required=False, type=click.Path(path_type=Path))
@click.option("--normalize", is_flag=True, help="Divide each vector by its length, where that is not 1.")
@settings_options("pool", "pack", "embedder", "models_dir")
@json_option
def load_people(context: CommandContext, vectors: Path, names: Path | None, normalize: bool) -> None:
    """Load embeddings that were computed before, by any program, from a file of VECTORS and one of NAMES.

    \b
    facepool people load vectors.npy names.txt --embedder sface --pool new.db
    facepool people load people.npz
    facepool people load people.csv --normalize
    facepool people load people.jsonl

    VECTORS is a .npy or .npz file of NumPy (a row of numbers each), a .csv (name,0.1,-0.2,...) or a .jsonl with one
    {"person": "Ada", "embedding": [0.1, -0.2, ...]} a line. NAMES has one name a row: text, .csv or .npy; without it,
    they are in VECTORS. Names repeat where somebody has several views.

    The vectors have to be the model's, of faces that were aligned as facepool does: nothing else can be recognized
    with them. A pool that has people says which model that is, for a new one --embedder does. All of the file is
    looked at before any of it is stored. Nobody is asked about look-alikes, and similar views are all kept.

    If it is interrupted, run it again: it goes on where it was, and nothing is stored twice. At the end the pool is
    asked for every view of the file.
    """
    file = open_vectors(vectors, names)
    with context.changing_pool(must_exist=False) as pool:
        space = _space_of_vectors(context, pool)
        check_gallery(pool, space)
        with context.console.measuring("Checking") as report:
            checked = check_vectors_of(file, space.dimension, normalize=normalize, report=report)
        began_s = time.monotonic()
        with _going_on(context), context.console.measuring("Loading", "view") as report:
            loaded = load(checked, pool, space, report)
    rate = round(loaded.added / max(time.monotonic() - began_s, 1e-3))
    record = {"added": loaded.added, "skipped": loaded.skipped, "created": loaded.created, "people": loaded.people}
    context.console.emit({**record, "per_second": rate})
    if loaded.skipped:
        context.console.note(f"{counted(loaded.skipped, 'view')} already there, or twice in the file")
    context.console.note(
        f"verified: {counted(checked.rows, 'view')} of {people_count(loaded.people)} are in {pool.address}"
    )
    speed = f", {rate:,} a second" if loaded.added else ""
    context.console.say(f"{counted(loaded.added, 'view')} loaded into {pool.address}{speed}", "good")


@people.command("reembed")
@click.option("--drop", is_flag=True, help="Let go what cannot come along: views without a picture, and sightings.")
@settings_options("pool", *MODELS)
@json_option
def reembed_people(context: CommandContext, drop: bool) -> None:
    """Take the pool to the model of --pack or --embedder: every view is embedded again, from its stored picture.

    Names, ids, dates, pictures and look-alikes stay; a calibration goes, as it is of the old model. If something would
    be lost, it is said and nothing is done, unless --drop lets it go: views whose picture was not stored, and what was
    kept of who was seen before cameras. It is one change: if it is interrupted, the pool is as it was.

    \b
    facepool models pull open-plus
    facepool people reembed --pack open-plus
    facepool recognize 0 --pack open-plus
    """
    with context.changing_pool() as pool, context.console.measuring("Embedding", "view") as report:
        was = pool.space
        done = reembed(pool, context.analyzer, drop=drop, report=report)
    context.console.emit(
        {
            "views": done.views,
            "dropped_views": done.lost.views,
            "without_views": list(done.lost.unknown),
            "dropped_sightings": done.lost.sightings,
            "dropped_calibration": done.had_calibration,
            "space": context.analyzer.space.id,
        }
    )
    if done.lost:
        context.console.note(f"Gone: {done.lost}")
    if done.had_calibration:
        context.console.note("The calibration is gone, as it was of the old model: facepool calibrate")
    context.console.say(f"{counted(done.views, 'view')} embedded again, from {was} to {context.analyzer.space}", "good")


@contextmanager
def _going_on(context: CommandContext) -> Iterator[None]:
    """Say what to do where something is interrupted that goes on by itself."""
    try:
        yield
    except (KeyboardInterrupt, StorageError, PoolError):
        context.console.note("What was stored stays stored: the same command goes on from there")
        raise


def _space_of_vectors(context: CommandContext, pool: Pool) -> EmbeddingSpace:
    """What the vectors of a file are: what the pool has, unless the user names a model.

    Raises:
        ConfigError: Neither says it.
    """
    named = {"embedder", "pack"} & context.settings.model_fields_set
    space = context.space_in_use() if named else pool.space
    if space is None:
        raise ConfigError(
            "The vectors cannot be loaded",
            why="nothing says which model made them",
            fix="Name it: --embedder; `facepool models list` has those that there are",
        )
    return space


def _tell_of_details(context: CommandContext, person: Person) -> None:
    """What is known of somebody beside their views."""
    said = (("tags", ", ".join(person.tags)), ("external id", person.external_id), ("notes", person.notes))
    for what, text in said:
        if text:
            context.console.note(f"{what}: {text}")


def _tell_of_consents(context: CommandContext, name: str, consents: Sequence[Consent]) -> None:
    """To what somebody has agreed, each with its text."""
    if not consents:
        context.console.note(f"Nothing is recorded of what {name} has agreed to")
    entries = [
        (consent_record(one), (wall_clock(one.given_at), one.recorded_by, one.method, _begin_of(one.text)))
        for one in consents
    ]
    if entries:
        context.console.results(("given", "recorded by", "how", "text"), entries, title=name)


def _begin_of(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_OF_TEXT else f"{line[: _SHOWN_OF_TEXT - 3]}..."


def _tell_of_list(context: CommandContext, pool: Pool, shown: int, prefix: str, found: int) -> None:
    """How many were listed, and of how many."""
    space = f", {pool.space}" if pool.space else ""
    few = "" if found == shown else f"{shown:,} of "
    such = f" whose names begin with {prefix!r}" if prefix else ""
    context.console.note(f"{few}{people_count(found)}{such} in {pool.address}{space}")


def _copy(context: CommandContext, source: Pool, target: Pool) -> None:
    """Copy everybody from one pool to another, compare them, and say what was done."""
    with _going_on(context), context.console.measuring("Copying", "view") as report:
        copied = transfer(source, target, report)
    with context.console.measuring("Comparing", "person") as report:
        verified = verify_transfer(source, target, report)
    _report(context, target.address, copied)
    both = f"{people_count(verified.people)}, {counted(verified.templates, 'view')}"
    context.console.note(f"verified: {both} of {source.address} are in {target.address}")


def _tell_of_others(context: CommandContext, gallery: PoolAddress, copied: str, how: str) -> None:
    """No collection is left out without a word."""
    if others := [name for name in collections_in(gallery) if name != copied]:
        context.console.note(f"Only the collection {copied} was copied, not {', '.join(others)}: {how}")


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
        f"{Path(sample.source).name}{', learned' if sample.learned_from else ''}",
        "" if sample.time_s is None else f"{sample.time_s:.1f} s",
        wall_clock(template.created_at),
        template.model,
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
