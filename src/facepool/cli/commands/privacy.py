"""``facepool privacy``."""

from pathlib import Path

import click

from facepool import extras
from facepool.cli.context import KEEPING, KEEPING_LOGS, CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted
from facepool.cli.ui.privacy import report_of, show_report
from facepool.gallery import Pool, find_name
from facepool.gallery.checks import unknown_person
from facepool.records import privacy_record

_INBOX = tuple(name for name in KEEPING if name.startswith("keep_") and name not in ("keep_unknown", "keep_recognized"))
also_option = click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder or file to look into, too: of backups, or of photos that were grouped; may be repeated.",
)


@click.group()
def privacy() -> None:
    """What is kept of a person, and how long.

    \b
    facepool privacy report Ada                    all that is kept of Ada: what, where, until when, what removes it
    facepool privacy report Ada --also backups/    in backups and photo libraries of that folder, too
    facepool people remove Ada --verify            erase Ada, then look whether all of it is gone
    facepool privacy tidy                          delete what is kept for longer than the settings say
    """


@privacy.command()
@click.argument("name")
@also_option
@settings_options("pool", *_INBOX, *KEEPING_LOGS)
@json_option
def report(context: CommandContext, name: str, also: tuple[Path, ...]) -> None:
    """Say all that is kept of NAME, and where: for somebody who asks for their data, or before they are erased.

    \b
    facepool privacy report Ada
    facepool privacy report Ada --also /backup --also photos/groups
    facepool privacy report Ada --json

    Somebody who was erased may be asked for, too. Looked at are the pool with its inbox, the logs of a server, copies
    and backups beside the pool and in --also, and the other collections of the pool. What facepool cannot look into is
    said at the end. It is only read, and no log says that somebody asked.
    """
    name = find_name(name)
    with context.open_pool() as pool:
        found = report_of(context, pool, name, "", also)
        if not found.kept:
            raise unknown_person(name, pool.names_near(name))
    context.console.emit(privacy_record(found))
    show_report(context, found)


@privacy.command()
@settings_options("pool", *_INBOX, *KEEPING_LOGS)
@json_option
def tidy(context: CommandContext) -> None:
    """Delete, now, what is kept for longer than the settings say: who was seen, and the logs of a server.

    \b
    facepool privacy tidy
    facepool privacy tidy --keep-activity 7 --keep-audit 365

    A server does so by itself, at its start and every hour.
    """
    with context.changing_pool() as pool:
        sightings = pool.inbox.expire(context.settings.keep_options().bounds) if pool.keeps_images else 0
        activity, audit = _tidy_logs(context, pool)
    context.console.emit({"sightings": sightings, "activity": activity, "audit": audit})
    seen, done = (counted(number, "entry", "entries") for number in (activity, audit))
    said = f"Deleted: {counted(sightings, 'sighting')}, {seen} of who was seen, {done} of the audit log"
    context.console.say(said, "good")


def _tidy_logs(context: CommandContext, pool: Pool) -> tuple[int, int]:
    if not pool.has_logs:
        return 0, 0
    extras.require("server")
    from facepool.web.services.retention import tidy_beside  # noqa: PLC0415 -- only where there was a server

    tidied = tidy_beside(pool.address, context.settings.retention_limits())
    return tidied.activity, tidied.audit
