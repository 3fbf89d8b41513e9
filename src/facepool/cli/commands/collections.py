"""``facepool pool collections``."""

import sys
from contextlib import closing

import click

from facepool import extras
from facepool.cli.context import CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted, people_count
from facepool.errors import FacepoolError, PoolError
from facepool.gallery import open_pool
from facepool.gallery.collections import (
    DEFAULT,
    NEWS,
    collection_address,
    collections_in,
    create_collection,
    has_collection,
    remove_collection,
    unknown_collection,
)
from facepool.gallery.notices import COMMAND_LINE
from facepool.search.follower import tidy
from facepool.search.index_status import leaving, places_of


@click.group()
def collections() -> None:
    """Several groups of people in one pool, who know nothing of each other: tenants, sites, tests."""


@collections.command("list")
@settings_options("pool", whole_pool=True)
@json_option
def list_collections(context: CommandContext) -> None:
    """Show the collections of the pool, and how many people and views each has.

    \b
    facepool pool collections list
    facepool pool collections list --json

    Every command that takes a pool takes --collection NAME, too. Without it, default is meant: the pool itself.
    """
    gallery, entries = context.gallery_address, []
    for name in collections_in(gallery):
        with open_pool(collection_address(gallery, name)) as pool:
            size = pool.size()
        record = {"collection": name, "people": size.people, "templates": size.templates}
        entries.append((record, (name, str(size.people), str(size.templates))))
    context.console.results(("collection", ">people", ">views"), entries)


@collections.command()
@click.argument("name")
@settings_options("pool", whole_pool=True)
def create(context: CommandContext, name: str) -> None:
    """Make a collection without anybody.

    \b
    facepool pool collections create staff
    facepool register Ada ada.jpg --collection staff

    NAME is lower case: a-z, 0-9, - and _. Registering somebody in a collection that is not there makes it, too; a
    server serves only those that are there. In PostgreSQL each is a schema of its own, public.NAME for example, which
    takes the right to make one: the error says which.
    """
    context.make_folder()
    create_collection(context.gallery_address, name)
    _log(context, "made a collection", name)
    context.console.say(f"The collection {name} is there. Use it by --collection {name}", "good")


@collections.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@settings_options("pool", "index", whole_pool=True)
def remove(context: CommandContext, name: str, yes: bool) -> None:
    """Erase a collection with everybody in it, and all that a server keeps of it.

    \b
    facepool pool collections remove guests
    facepool pool collections remove guests --yes    for scripts

    People, views, pictures, unknown people, the activity and the audit log of the collection are gone at once, also for
    a server that runs. Keys that are bound to it stay, and are for nothing until there is a collection of that name
    again: remove them, too. Backups stay: delete those after the time that you have promised.
    """
    gallery = context.gallery_address
    if not yes and name != DEFAULT:
        _ask(context, name)
    remove_collection(gallery, name)
    _delete_indexes(context)
    _log(context, "removed a collection", name)
    context.console.say(f"The collection {name} is erased", "good")


def _delete_indexes(context: CommandContext) -> None:
    """Delete the indexes that the collection has left to the pool; what cannot be, is said."""
    with open_pool(context.gallery_address) as pool:
        address = context.settings.index
        if address is not None and address.place in places_of(pool):
            try:
                tidy(pool, address)
            except PoolError as error:
                context.console.note(f"{error}")
        for place in leaving(pool):
            context.console.note(
                f"Vectors of the collection are still in the index at {place}. Run: facepool index sync --index ADDRESS"
            )


def _ask(context: CommandContext, name: str) -> None:
    """Go on only with a yes, for which there has to be somebody to ask."""
    gallery = context.gallery_address
    if not has_collection(gallery, name):
        raise unknown_collection(gallery, name)
    with open_pool(collection_address(gallery, name)) as pool:
        size = pool.size()
    who = f"{people_count(size.people)} and {counted(size.templates, 'view')}"
    try:
        click.confirm(f"Erase the collection {name} with {who} for good?", err=True, abort=True)
    except click.Abort as error:
        how = "" if sys.stdin.isatty() else "; --yes erases without asking, for scripts"
        raise click.Abort(f"nothing was erased{how}") from error


def _log(context: CommandContext, action: str, name: str) -> None:
    """Leave an entry in the audit log of the default collection, where a server keeps one: the other's may be gone."""
    with open_pool(context.gallery_address) as pool:
        if not pool.has_logs or extras.missing("server"):
            return
    from facepool.web.services.store import insert_entry, open_store  # noqa: PLC0415 -- an extra

    try:
        with closing(open_store(context.gallery_address)) as store, store.transaction() as db:
            insert_entry(db, COMMAND_LINE, action, detail=name)
            store.announce(db, NEWS)
    except FacepoolError as error:
        context.console.note(f"The audit log was not told: {error}")
