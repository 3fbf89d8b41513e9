"""``facepool keys``."""

from pathlib import Path

import click

from facepool.cli.context import CommandContext, json_option, settings_options
from facepool.files import read_secret
from facepool.gallery.collections import has_collection, unknown_collection
from facepool.web.services.keys import ROLES, Keys, Role
from facepool.web.services.store import open_store


@click.group()
def keys() -> None:
    """API keys of ``facepool serve``: who may recognize, enroll, or administer.

    Needed as soon as the server listens elsewhere than on the loopback, and there once an administrator has one.
    """


@keys.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="Each may do what the ones before it may.")
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="NAME",
    help="A collection that it is for; repeatable. Without it, it is for all, and for the server as a whole.",
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="File with a key that was made elsewhere, such as a secret of a container; it replaces one of that name.",
)
@settings_options("pool", whole_pool=True)
@json_option
def add(context: CommandContext, name: str, role: Role, collections: tuple[str, ...], source: Path | None) -> None:
    """Make a key and show it, this once.

    \b
    facepool keys add Me --role admin
    facepool keys add reception --role recognize --collection guests
    facepool keys add admin --role admin --from /run/secrets/facepool-admin-key

    A key that is for one collection needs no other word of it: clients of CompreFace and DeepStack, too, find its
    people only. It learns nothing of other collections, not even whether there are any.
    """
    for collection in collections:
        if not has_collection(context.gallery_address, collection):
            raise unknown_collection(context.gallery_address, collection)
    if source is not None:
        changed = _open(context).keep(name, role, read_secret(source), collections)
        context.console.emit({"name": name, "role": role, "collections": list(collections), "changed": changed})
        context.console.note(f"{name}'s key is that of {source} now" if changed else f"{name} has that key already")
        return
    key = _open(context).add(name, role, collections)
    context.console.emit({"name": name, "role": role, "collections": list(collections), "key": key})
    context.console.say(key)
    context.console.note(f"Keep it: {name}'s key is not shown again. Clients send it as x-api-key.")


@keys.command("list")
@settings_options("pool", whole_pool=True)
@json_option
def list_keys(context: CommandContext) -> None:
    """Show the names of keys, what they are for, and when they were last used."""
    found = _open(context).all()
    entries = [
        (
            key.model_dump(),
            (key.name, key.role, ", ".join(key.collections) or "all", key.created_at, key.last_used_at or "never"),
        )
        for key in found
    ]
    context.console.results(("name", "role", "collections", "made", "last used"), entries)


@keys.command()
@click.argument("name")
@settings_options("pool", whole_pool=True)
def remove(context: CommandContext, name: str) -> None:
    """Remove a key, which signs out everybody who is signed in with it."""
    _open(context).remove(name)
    context.console.say(f"Removed {name}'s key", "good")


def _open(context: CommandContext) -> Keys:
    context.make_folder()
    return Keys(open_store(context.gallery_address))
