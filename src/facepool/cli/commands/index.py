"""``facepool index``."""

import click

from facepool.cli.context import CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted, wall_clock
from facepool.errors import ConfigError
from facepool.extras import require
from facepool.gallery.index_address import IndexAddress
from facepool.search import follower, index_status
from facepool.search.index_status import IndexStatus
from facepool.search.turn import Synced


@click.group()
def index() -> None:
    """Look after an index of Milvus that lists the nearest of very many views: --index, FACEPOOL_INDEX.

    \b
    facepool index sync --index milvus://host:19530      make it, or bring it up to date
    facepool index status                                whether it has what the pool has
    facepool index rebuild                               make it anew, while the one that is there is searched

    The pool is the record, and an index is made from it: numbers and vectors, no names. Whatever changes the pool with
    --index brings it up to date at once. (facepool pool index makes another one, inside PostgreSQL.)
    """


@index.command()
@settings_options("pool")
@json_option
def status(context: CommandContext) -> int:
    """Say whether the index has what the pool has.

    \b
    facepool index status
    facepool index status --json

    The exit code is 1 where it has not.
    """
    with context.open_pool() as pool:
        places = index_status.places_of(pool)
        if context.settings.index is None:
            context.console.results(("index",), [({"index": place}, (place,)) for place in places])
            context.console.note(
                "Name one with --index to hear how it is" if places else "The pool has no index, and does not need one"
            )
            return 0
        found = index_status.status(pool, _address(context))
        others = [place for place in places if place != found.place]
    context.console.emit(_status_record(found))
    context.console.table(("what", "index", "pool"), _rows(found), found.place)
    if found.problem is not None:
        context.console.note(str(found.problem))
    for place in others:
        context.console.note(f"The pool has another index, at {place}")
    if found.is_current:
        context.console.say("The index has what the pool has", "good")
        return 0
    context.console.say(f"The index does not have what the pool has: {_difference(found)}", "bad")
    return 1


@index.command()
@settings_options("pool")
@json_option
def sync(context: CommandContext) -> None:
    """Make the index, or bring it up to date and mend it.

    \b
    facepool index sync --index milvus://host:19530
    facepool index sync --index milvus+lite:index.db     a file, without a server

    Numbers on both sides are compared: what the index lacks goes there, what the pool has no more leaves it. If it is
    interrupted, run it again: it goes on where it was.
    """
    with context.open_pool() as pool, context.console.measuring("Storing in the index", "view") as report:
        _tell(context, follower.sync(pool, _address(context), report, thoroughly=True))


@index.command()
@settings_options("pool")
@json_option
def rebuild(context: CommandContext) -> None:
    """Make the index anew from the pool.

    \b
    facepool index rebuild

    Until it is whole, the one that is there is searched and kept up to date.
    """
    with context.open_pool() as pool, context.console.measuring("Storing in the index", "view") as report:
        _tell(context, follower.rebuild(pool, _address(context), report))


@index.command()
@click.option("--forget", is_flag=True, help="Do not ask the index, whose server is gone for good.")
@settings_options("pool")
def remove(context: CommandContext, forget: bool) -> None:
    """Delete the index with its vectors; the pool stays.

    \b
    facepool index remove --index milvus://host:19530
    """
    address = _address(context, extra=not forget)
    with context.open_pool() as pool:
        removed = follower.remove(pool, address, forget=forget)
    _tell_of_abandoned(context, removed)
    context.console.say(f"The pool has no index at {address} any more", "good")


def _address(context: CommandContext, *, extra: bool = True) -> IndexAddress:
    address = context.settings.index
    if address is None:
        raise ConfigError("No index is named", fix="Name it: --index milvus://host:19530, or FACEPOOL_INDEX")
    if extra:
        require("milvus")
    return address


def _status_record(found: IndexStatus) -> dict[str, object]:
    return {
        "index": found.place,
        "state": found.state,
        "current": found.is_current,
        "revision": found.revision,
        "position": found.position,
        "templates": found.templates,
        "in_index": found.in_index,
        "to_put": found.to_put,
        "to_remove": found.to_remove,
        "leaving": found.leaving,
        "at": found.at or None,
        "failed_since": found.failed_since or None,
        "error": None if found.problem is None else found.problem.code,
    }


def _rows(found: IndexStatus) -> list[tuple[str, str, str]]:
    in_index = "?" if found.in_index is None else str(found.in_index)
    return [
        ("views", in_index if found.state != "none" else "0", str(found.templates)),
        ("revision", str(found.position), str(found.revision)),
        ("brought up to date", wall_clock(found.at) if found.at else "never", ""),
        *([("not possible since", wall_clock(found.failed_since), "")] if found.failed_since else []),
    ]


def _difference(found: IndexStatus) -> str:
    parts = [
        "there is none yet" if found.state == "none" else "",
        "it is not whole yet" if found.state == "filling" else "",
        f"{counted(found.to_put, 'view')} to be stored" if found.to_put else "",
        f"{counted(found.to_remove, 'view')} to be removed" if found.to_remove else "",
        f"{counted(found.leaving, 'collection')} to be deleted" if found.leaving else "",
        f"it cannot be used ({found.problem.code})" if found.problem is not None else "",
    ]
    said = "; ".join(filter(None, parts)) or "the numbers of views differ"
    return said if found.problem is not None else f"{said}. Run: facepool index sync"


def _tell(context: CommandContext, done: Synced) -> None:
    context.console.emit(
        {
            "put": done.put,
            "removed": done.removed,
            "position": done.position,
            "made": done.made,
            "abandoned": [*done.abandoned],
        }
    )
    _tell_of_abandoned(context, done)
    what = "made" if done.made else "up to date"
    context.console.say(
        f"The index is {what}: {counted(done.put, 'view')} stored, {counted(done.removed, 'view')} removed", "good"
    )


def _tell_of_abandoned(context: CommandContext, done: Synced) -> None:
    for name in done.abandoned:
        context.console.note(
            f"The collection {name} stays there, as another pool may use it; if none does, delete it by Milvus' means"
        )
