"""``facepool sightings``."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from facepool.cli.context import DECISION, REGISTRATION, CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted, wall_clock
from facepool.errors import ConfigError, IdentityConflict
from facepool.files import write_new
from facepool.gallery.notices import COMMAND_LINE
from facepool.groups.correct import HOW_TO_KEEP, LAST, Correction, Corrections, Wish, delete_sighting
from facepool.records import correction_record, pose_record, rounded, sighting_record
from facepool.types import SightedFaces, Sighting

_SHOWN = 10
"""Others who would be named differently, of whom a line is printed each."""


@click.group()
def sightings() -> None:
    """Who was seen, where faces are kept; say who it really was.

    \b
    facepool recognize --source 0 --keep-recognized    keep the best faces of people who are recognized
    facepool sightings list                            who was seen, when, and before which camera
    facepool sightings correct ID Bo --preview         what would change if that were Bo
    facepool sightings correct ID Bo                   that is Bo
    facepool sightings correct ID --nobody             that is nobody known

    Nothing is kept without --keep-recognized or --keep-unknown, and all of it goes by itself after --keep-days.
    """


@sightings.command("list")
@click.option("--person", metavar="NAME", help="Only those of NAME.")
@click.option("--stranger", type=click.IntRange(min=1), help="Only those of an unknown person, by number.")
@click.option("--before", type=click.DateTime(["%Y-%m-%dT%H:%M:%S.%f%z"]), help="`until` of the last one of a list.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, at most.")
@settings_options("pool")
@json_option
def list_sightings(
    context: CommandContext, person: str | None, stranger: int | None, before: datetime | None, limit: int
) -> None:
    """List who was seen, the one who was seen last first.

    \b
    facepool sightings list
    facepool sightings list --person Ada
    facepool sightings list --json          with ids of cameras and people, for programs
    """
    until = before.astimezone(UTC).isoformat(timespec="milliseconds") if before else ""
    with context.open_pool() as pool:
        found = pool.inbox.sightings(person=person, group=stranger, before=until, limit=limit)
    columns = ("sighting", "person", "from", "to", "camera", ">similarity", "said later")
    context.console.results(columns, [(sighting_record(one), _row(one)) for one in found])
    if not found:
        context.console.note(f"No sighting is kept. {HOW_TO_KEEP}")


@sightings.command()
@click.argument("sighting")
@click.option(
    "--pictures", type=click.Path(path_type=Path, file_okay=False), help="Write each face into FOLDER as a JPEG."
)
@settings_options("pool")
@json_option
def show(context: CommandContext, sighting: str, pictures: Path | None) -> None:
    """Show one SIGHTING: who it was taken for, and the faces that are kept of it.

    \b
    facepool sightings show 6f1c7d1e-0a4b-4c39-9d56-2f6f0f6d9a11 --pictures look/
    """
    with context.open_pool() as pool:
        one = pool.inbox.sighting(sighting)
        faces = pool.inbox.faces([sighting]).get(sighting) or SightedFaces.empty()
    who = one.person or "unknown"
    entries = [_face(one, faces, row) for row in range(len(faces))]
    title = f"{who}, {one.source}, {wall_clock(one.since, seconds=True)} to {wall_clock(one.until, seconds=True)}"
    context.console.results(("face", ">quality", ">yaw", ">pitch", ">size"), entries, title)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        for face, picture in zip(faces.ids, faces.pictures, strict=True):
            write_new(pictures / f"{face}.jpg", picture)
        context.console.note(f"{counted(len(faces), 'face')} written into {pictures}")


@sightings.command()
@click.argument("sighting")
@click.argument("person", required=False)
@click.option("--nobody", is_flag=True, help="It is nobody known; without --keep-unknown its faces are erased.")
@click.option("--preview", is_flag=True, help="Only say what would change.")
@click.option("--no-template", is_flag=True, help="Correct the name, and make no view of the face.")
@click.option("--no-look-alikes", is_flag=True, help="Do not flag the two who were taken for each other.")
@click.option("--force", is_flag=True, help="Make a view of the face although the pool speaks against it.")
@click.option(
    "--last",
    type=click.IntRange(0, 5000),
    default=LAST,
    show_default=True,
    help="How many of the newest sightings to look at for others who are named differently by it.",
)
@settings_options("pool", *DECISION, *REGISTRATION, "keep_unknown")
@json_option
def correct(
    context: CommandContext,
    sighting: str,
    person: str | None,
    nobody: bool,
    preview: bool,
    no_template: bool,
    no_look_alikes: bool,
    force: bool,
    last: int,
) -> None:
    """Say that SIGHTING is PERSON, not the one it was taken for, or --nobody known.

    \b
    facepool sightings correct 6f1c7d1e-0a4b-4c39-9d56-2f6f0f6d9a11 Bo --preview
    facepool sightings correct 6f1c7d1e-0a4b-4c39-9d56-2f6f0f6d9a11 Bo
    facepool sightings correct 6f1c7d1e-0a4b-4c39-9d56-2f6f0f6d9a11 --nobody
    facepool unknown undo                                                      take it back

    The best face becomes a view of PERSON where it is good and shows something new; a view that came from this sighting
    leaves whom it is not. PERSON and whom it was taken for become look-alikes: how far one has to be ahead of the other
    is measured, so that they are rather not named than taken for each other. --preview says who of those that were seen
    last would be named differently by all that.

    If the face is far more like somebody else than like PERSON, you are asked; a program gets an error.
    """
    if (person is None) != nobody:
        raise ConfigError("Nobody is named", fix="Name who it is, or say --nobody")
    wish = Wish(
        person,
        learn=not no_template,
        flag=not no_look_alikes,
        force=force,
        keep_nobody=context.settings.keep_unknown,
        last=last,
    )
    with context.changing_pool() as pool:
        settings = context.settings
        corrections = Corrections(pool, context.policy_of(pool), settings.enroll_options(), settings.live_options())
        found, wish = _looked_through(context, corrections, sighting, wish)
        if found.erased and not preview and _is_asked(context):
            click.confirm(f"{found}. Go on?", abort=True, err=True)
        if not preview:
            done = corrections.correct(sighting, wish, COMMAND_LINE)
            found = replace(done, changes=found.changes, looked_at=found.looked_at)
    _tell(context, found, preview=preview)


@sightings.command()
@click.argument("sighting")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@settings_options("pool")
def delete(context: CommandContext, sighting: str, yes: bool) -> None:
    """Delete SIGHTING and the faces that are kept of it; views that were made of them stay.

    \b
    facepool sightings delete 6f1c7d1e-0a4b-4c39-9d56-2f6f0f6d9a11
    """
    with context.changing_pool() as pool:
        one = pool.inbox.sighting(sighting)
        who = one.person or "an unknown person"
        if not (
            yes
            or click.confirm(
                f"Delete the faces of {who}, {wall_clock(one.since, seconds=True)} at {one.source}?", err=True
            )
        ):
            raise click.Abort("nothing was deleted")
        delete_sighting(pool, sighting)
    context.console.say("The sighting is deleted", "good")


def _looked_through(
    context: CommandContext, corrections: Corrections, sighting: str, wish: Wish
) -> tuple[Correction, Wish]:
    """A preview; where the pool speaks against the correction, the user is asked first."""
    try:
        with context.console.working("Looking who else it would change"):
            return corrections.preview(sighting, wish), wish
    except IdentityConflict as error:
        if not _is_asked(context):
            raise
        context.console.note(f"{error.what}: {error.why}")
        if not click.confirm(f"Make it a view of {wish.person} all the same?", default=False, err=True):
            raise click.Abort("nothing was changed") from None
    wish = replace(wish, force=True)
    return corrections.preview(sighting, wish), wish


def _is_asked(context: CommandContext) -> bool:
    """Whether there is somebody to ask."""
    return not context.json_lines and sys.stdin.isatty() and sys.stderr.isatty()


def _tell(context: CommandContext, found: Correction, *, preview: bool) -> None:
    """Say what a correction did, or would do."""
    console = context.console
    console.emit(correction_record(found))
    if words := str(found):
        console.note(words)
    if found.lost:
        console.note(f"{counted(len(found.lost), 'view')} that came from it: no longer of {found.sighting.person}")
    seen = counted(found.looked_at, "other sighting")
    if found.changes:
        rows = [(one.sighting, one.before or "unknown", one.after or "unknown") for one in found.changes[:_SHOWN]]
        console.table(("sighting", "named now" if preview else "named before", "then"), rows)
        more = f", of whom {_SHOWN} are shown" if len(found.changes) > _SHOWN else ""
        console.note(f"{len(found.changes)} of {seen} would be named differently{more}")
    elif found.looked_at:
        console.note(f"Nobody of {seen} is named differently by it")
    if found.lost or found.template:
        console.note(f"Next time the face is {found.again or 'unknown'}")
    now, before = found.person or "unknown", found.sighting.person or "unknown"
    if preview:
        console.say(f"{before} would be {now}; nothing was changed")
    elif found.entry is None:
        console.say(f"It is {now} already")
    else:
        console.say(f"{before} is {now}", "good")
        console.note(f"facepool unknown undo {found.entry} takes it back")


def _row(sighting: Sighting) -> tuple[str, ...]:
    stranger = "unknown" if sighting.group is None else f"stranger {sighting.group}"
    similarity = "" if sighting.similarity is None else f"{sighting.similarity:.2f}"
    return (
        sighting.id,
        sighting.person or stranger,
        wall_clock(sighting.since, seconds=True),
        wall_clock(sighting.until, seconds=True),
        sighting.source,
        similarity,
        wall_clock(sighting.named_at, seconds=True),
    )


def _face(sighting: Sighting, faces: SightedFaces, row: int) -> tuple[Mapping[str, object], tuple[str, ...]]:
    pose, quality = faces.poses[row], float(faces.qualities[row])
    record = sighting_record(sighting) | {
        "face": faces.ids[row],
        "quality": rounded(quality, 1),
        "pose": pose_record(pose, 1),
    }
    angles = ("", "") if pose is None else (f"{pose.yaw:.0f}", f"{pose.pitch:.0f}")
    return record, (faces.ids[row], f"{quality:.0f}", *angles, f"{faces.sizes_px[row]:.0f}")
