"""``facepool unknown``."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import click

from facepool.capture import read_image, write_image
from facepool.cli.context import DECISION, REGISTRATION, CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted, wall_clock
from facepool.cli.ui.look_alikes import discarded, resolve_found, resolve_named, say_look_alikes
from facepool.enroll.identity import LookAlike
from facepool.gallery import Pool
from facepool.gallery.sightings import GroupState, UnknownGroup
from facepool.groups.undoing import undo, undoable
from facepool.groups.unknown import UnknownPeople
from facepool.overlay import contact_sheet
from facepool.records import look_alike_record, naming_record, sighting_record, undo_record, unknown_record
from facepool.types import Image, SightedFaces, Sighting

_NUMBER = click.IntRange(min=1)
_COLUMNS = 6
_SHOWN = 60
"""Faces of a sheet."""


@click.group()
def unknown() -> None:
    """Strangers whom cameras saw: who was that, and was this person here before?

    \b
    facepool recognize --source 0 --keep-unknown    keep the best faces of people whom nobody has named
    facepool unknown list                           who there was, how often, when, and before which cameras
    facepool unknown show 12 --picture who.jpg      look at stranger 12
    facepool unknown name 12 Bo                     they are Bo: recognized from now on, and named in the activity
    facepool unknown undo                           take the last change back

    Nothing is kept without --keep-unknown, and what is kept goes by itself after --keep-days.
    """


@unknown.command("list")
@click.option("--ignored", is_flag=True, help="Those who are ignored.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, at most.")
@settings_options("pool", *DECISION)
@json_option
def list_groups(context: CommandContext, ignored: bool, limit: int) -> None:
    """List strangers, the one who was seen last first.

    \b
    facepool unknown list
    facepool unknown list --ignored

    Each line is one unnamed person: by which number, how often they were seen, from when to when, before which cameras,
    and whom of the pool they look like, if anybody.
    """
    console = context.console
    with context.open_pool() as pool:
        state: GroupState = "ignored" if ignored else "open"
        groups = pool.inbox.groups(state, limit=limit)
        alike = _people(context, pool).looks_like([group.number for group in groups])
        total, proposals = pool.inbox.count_groups(state), () if ignored else pool.inbox.proposals()
    entries = [
        (unknown_record(group, alike[group.number]), (*_row(group), _names(alike[group.number]))) for group in groups
    ]
    console.results((">stranger", ">seen", "first", "last", "cameras", "looks like"), entries)
    if not entries:
        console.note("Nobody is ignored" if ignored else "No stranger is kept: facepool recognize --keep-unknown")
    if total > len(entries):
        console.note(f"{len(entries)} of {total} are shown")
    for proposal in proposals:
        both = f"{proposal.one} {proposal.other}"
        console.note(
            f"Strangers {proposal.one} and {proposal.other} may be one person (similarity {proposal.similarity:.2f}): "
            f"facepool unknown join {both}, or facepool unknown apart {both}"
        )


@unknown.command()
@click.argument("stranger", type=_NUMBER)
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture of all their faces to FILE."
)
@settings_options("pool")
@json_option
def show(context: CommandContext, stranger: int, picture: Path | None) -> None:
    """Show when and where a stranger was seen, and what they look like.

    \b
    facepool unknown show 12
    facepool unknown show 12 --picture who.jpg    one picture with the best faces of each time
    """
    with context.open_pool() as pool:
        group = pool.inbox.group(stranger)
        sightings = pool.inbox.sightings(group=stranger, limit=group.sightings)
        faces = pool.inbox.faces([sighting.id for sighting in sightings])
    entries = [
        (
            sighting_record(sighting) | {"faces": list(faces[sighting.id].ids) if sighting.id in faces else []},
            (
                sighting.id,
                wall_clock(sighting.since),
                wall_clock(sighting.until),
                _camera(sighting.source),
                _count(faces, sighting),
            ),
        )
        for sighting in sightings
    ]
    state = ", ignored" if group.state == "ignored" else ""
    context.console.results(("sighting", "from", "to", "camera", ">faces"), entries, f"Stranger {stranger}{state}")
    if picture is not None:
        write_image(picture, _sheet(sightings, faces))
        context.console.note(f"Their faces are in {picture}")


@unknown.command("name")
@click.argument("stranger", type=_NUMBER)
@click.argument("person")
@click.option(
    "--same-as", multiple=True, metavar="NAME", help="Who looks alike in the pool is this person, and gets the faces."
)
@click.option("--different-from", multiple=True, metavar="NAME", help="Who looks alike in the pool is somebody else.")
@click.option(
    "--force", is_flag=True, help="Store faces although they belong to somebody else, or look like somebody else."
)
@settings_options("pool", *REGISTRATION, *DECISION)
@json_option
def name_stranger(
    context: CommandContext,
    stranger: int,
    person: str,
    same_as: tuple[str, ...],
    different_from: tuple[str, ...],
    force: bool,
) -> None:
    """Make STRANGER a new PERSON of the pool.

    \b
    facepool unknown name 12 Bo
    facepool unknown name 12 Bo --different-from Ada    they look like Ada, and are not

    The best faces that differ become Bo's views, so that Bo is recognized from now on, and the activity of a server
    says of each time that they were seen that it was Bo, named later. As with any registration, people of the pool who
    look alike are shown before: you say whether they are the same person.
    """
    _give(context, stranger, person, same_as, different_from, force=force, create=True)


@unknown.command()
@click.argument("stranger", type=_NUMBER)
@click.argument("person")
@click.option("--different-from", multiple=True, metavar="NAME", help="Who looks alike in the pool is somebody else.")
@click.option(
    "--force", is_flag=True, help="Store faces although they do not look like PERSON, or look like somebody else."
)
@settings_options("pool", *REGISTRATION, *DECISION)
@json_option
def add(context: CommandContext, stranger: int, person: str, different_from: tuple[str, ...], force: bool) -> None:
    """Give STRANGER to PERSON, whom the pool knows.

    \b
    facepool unknown add 12 Ada    stranger 12 is Ada, who was not recognized

    Faces that are new views of Ada are kept as such; the activity of a server names her.
    """
    _give(context, stranger, person, (), different_from, force=force, create=False)


@unknown.command()
@click.argument("strangers", type=_NUMBER, nargs=-1, required=True)
@settings_options("pool")
@json_option
def ignore(context: CommandContext, strangers: tuple[int, ...]) -> None:
    """Keep STRANGERS unnamed: they are remembered, so that they raise nothing when they come again.

    \b
    facepool unknown ignore 12 15
    facepool unknown list --ignored    who is ignored
    facepool unknown watch 12          no longer
    """
    with context.changing_pool() as pool:
        for stranger in dict.fromkeys(strangers):
            entry = _people(context, pool).ignore(stranger)
            _changed(context, stranger, entry, f"Stranger {stranger} is ignored")


@unknown.command()
@click.argument("strangers", type=_NUMBER, nargs=-1, required=True)
@settings_options("pool")
@json_option
def watch(context: CommandContext, strangers: tuple[int, ...]) -> None:
    """Ignore STRANGERS no longer.

    \b
    facepool unknown watch 12
    """
    with context.changing_pool() as pool:
        for stranger in dict.fromkeys(strangers):
            entry = _people(context, pool).watch(stranger)
            _changed(context, stranger, entry, f"Stranger {stranger} is not ignored")


@unknown.command()
@click.argument("stranger", type=_NUMBER)
@click.argument("sightings", nargs=-1, required=True)
@settings_options("pool")
@json_option
def split(context: CommandContext, stranger: int, sightings: tuple[str, ...]) -> None:
    """Say that some SIGHTINGS of STRANGER were of somebody else, who becomes a stranger of their own.

    \b
    facepool unknown show 12 --picture who.jpg    which sighting is of somebody else?
    facepool unknown split 12 4f1c                the beginning of its id is enough
    """
    with context.changing_pool() as pool:
        whole = [_whole_id(pool, stranger, sighting) for sighting in sightings]
        other, entry = _people(context, pool).split(stranger, whole)
        words = f"{counted(len(set(whole)), 'sighting')} of stranger {stranger} became stranger {other}"
        _changed(context, other, entry, words)


@unknown.command()
@click.argument("stranger", type=_NUMBER)
@click.argument("others", type=_NUMBER, nargs=-1, required=True)
@settings_options("pool")
@json_option
def join(context: CommandContext, stranger: int, others: tuple[int, ...]) -> None:
    """Say that OTHERS are STRANGER, too: one person, under the number of STRANGER.

    \b
    facepool unknown join 12 15
    """
    with context.changing_pool() as pool:
        for other in dict.fromkeys(others):
            entry = _people(context, pool).join(stranger, other)
            _changed(context, stranger, entry, f"Stranger {other} was joined to stranger {stranger}")


@unknown.command()
@click.argument("stranger", type=_NUMBER)
@click.argument("other", type=_NUMBER)
@settings_options("pool")
@json_option
def apart(context: CommandContext, stranger: int, other: int) -> None:
    """Say that STRANGER and OTHER are two people: they are not proposed again.

    \b
    facepool unknown apart 12 15
    """
    with context.changing_pool() as pool:
        entry = _people(context, pool).apart(stranger, other)
        _changed(context, stranger, entry, f"Strangers {stranger} and {other} are two people")


@unknown.command()
@click.argument("strangers", type=_NUMBER, nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@settings_options("pool")
@json_option
def delete(context: CommandContext, strangers: tuple[int, ...], yes: bool) -> None:
    """Erase STRANGERS with all that is kept of them. There is no way back.

    \b
    facepool unknown delete 12
    facepool unknown delete 12 15 --yes    for scripts
    """
    with context.changing_pool() as pool:
        for stranger in dict.fromkeys(strangers):
            count = pool.inbox.group(stranger).sightings
            if not (yes or click.confirm(f"Erase stranger {stranger} and {counted(count, 'sighting')}?", err=True)):
                raise click.Abort("nothing more was erased")
            gone = _people(context, pool).delete(stranger)
            context.console.emit({"id": stranger, "sightings": gone})
            context.console.say(f"Stranger {stranger} erased, with {counted(gone, 'sighting')}", "good")


@unknown.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@settings_options("pool")
@json_option
def forget(context: CommandContext, yes: bool) -> None:
    """Erase all that is kept of people whom nobody has named, those who are ignored too.

    \b
    facepool unknown forget --yes    consent is withdrawn: everything goes at once

    There is no way back. What is kept from then on, --keep-unknown says.
    """
    with context.changing_pool() as pool:
        if not (yes or click.confirm("Erase everything that is kept of unknown people?", err=True)):
            raise click.Abort("nothing was erased")
        gone = _people(context, pool).forget()
    context.console.emit({"sightings": gone})
    context.console.say(f"{counted(gone, 'sighting')} of unknown people erased", "good")


@unknown.command("undo")
@click.argument("change", type=_NUMBER, required=False)
@click.option("-l", "--list", "is_list", is_flag=True, help="Show what can be undone.")
@settings_options("pool")
@json_option
def undo_change(context: CommandContext, change: int | None, is_list: bool) -> None:
    """Take the last CHANGE back, or the one of a number.

    \b
    facepool unknown undo           the last one
    facepool unknown undo --list    which there are
    facepool unknown undo 7         the one of number 7

    A name is taken back with the views that came of it and what it changed in the activity. What was erased stays so.
    """
    if is_list:
        with context.open_pool() as pool:
            changes = undoable(pool)
        rows = [(undo_record(one), (str(one.number), wall_clock(one.at), one.caller, one.what)) for one in changes]
        context.console.results((">change", "when", "by", "what"), rows)
        return
    with context.changing_pool() as pool:
        undone = undo(pool, change)
    context.console.emit(undo_record(undone))
    context.console.say(f"Undone: {undone.what}", "good")


def _people(context: CommandContext, pool: Pool, *, force: bool = False) -> UnknownPeople:
    return UnknownPeople(pool, context.policy_of(pool), context.settings.enroll_options(force=force))


def _give(
    context: CommandContext,
    stranger: int,
    person: str,
    same_as: Collection[str],
    different_from: Collection[str],
    *,
    force: bool,
    create: bool,
) -> None:
    """Give a stranger to somebody, after the question who only looks alike."""
    console = context.console
    with context.changing_pool() as pool:
        naming = _people(context, pool, force=force).naming(stranger, person, create=create)
        resolve_named(naming, pool, same_as, different_from)
        try:
            alike = resolve_found(naming, same_as, console)
        except KeyboardInterrupt:
            raise discarded(naming.person) from None
        named = naming.commit()
    console.emit(naming_record(named) | {"look_alikes": [look_alike_record(one) for one in alike]})
    say_look_alikes(alike, named.person, console)
    seen = counted(named.sightings, "sighting")
    console.say(f"Stranger {stranger} is {named.person}: {counted(named.templates, 'new view')}, {seen} named", "good")
    console.note(f"facepool unknown undo {named.undo} takes it back")


def _changed(context: CommandContext, stranger: int, entry: int | None, words: str) -> None:
    context.console.emit({"id": stranger, "undo": entry})
    context.console.say(words, "good")
    if entry is not None:
        context.console.note(f"facepool unknown undo {entry} takes it back")


def _whole_id(pool: Pool, stranger: int, beginning: str) -> str:
    """The id of the one sighting of a stranger that begins so; what begins none is passed on."""
    theirs = [
        sighting.id for sighting in pool.inbox.sightings(group=stranger, limit=pool.inbox.group(stranger).sightings)
    ]
    found = [one for one in theirs if one.startswith(beginning.lower())]
    if len(found) > 1:
        raise click.UsageError(
            f"{len(found)} sightings of stranger {stranger} begin with {beginning}: write more of it"
        )
    return found[0] if found else beginning


def _row(group: UnknownGroup) -> tuple[str, ...]:
    times = f"{group.sightings} time{'' if group.sightings == 1 else 's'}"
    return (
        str(group.number),
        times,
        wall_clock(group.since),
        wall_clock(group.until),
        ", ".join(map(_camera, group.sources)),
    )


def _names(alike: Sequence[LookAlike]) -> str:
    return ", ".join(f"{one.person} {one.similarity:.2f}" for one in alike)


def _sheet(sightings: Sequence[Sighting], faces: Mapping[str, SightedFaces]) -> Image:
    """The faces of each time on one picture, newest first."""
    pictures, captions = [], []
    for sighting in sightings:
        kept = faces.get(sighting.id) or SightedFaces.empty()
        for row, jpeg in enumerate(kept.pictures):
            pictures.append(read_image(jpeg))
            captions.append(
                f"{wall_clock(sighting.since)}, {_camera(sighting.source)}\n{sighting.id[:8]}, face {row + 1}"
            )
    return contact_sheet(pictures[:_SHOWN], captions[:_SHOWN], _COLUMNS)


def _count(faces: Mapping[str, SightedFaces], sighting: Sighting) -> str:
    return str(len(faces[sighting.id]) if sighting.id in faces else 0)


def _camera(source: str) -> str:
    """A camera by its name; of a file, the last part of its path."""
    return Path(source).name or source
