"""``facepool keys``."""

import click

from facepool.cli.context import CommandContext, json_option, settings_options
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
@settings_options("pool", whole_pool=True)
@json_option
def add(context: CommandContext, name: str, role: Role) -> None:
    """Make a key and show it, this once."""
    key = _open(context).add(name, role)
    context.console.emit({"name": name, "role": role, "key": key})
    context.console.say(key)
    context.console.note(f"Keep it: {name}'s key is not shown again. Clients send it as x-api-key.")


@keys.command("list")
@settings_options("pool", whole_pool=True)
@json_option
def list_keys(context: CommandContext) -> None:
    """Show the names of keys, what they are for, and when they were last used."""
    found = _open(context).all()
    entries = [(key.model_dump(), (key.name, key.role, key.created_at, key.last_used_at or "never")) for key in found]
    context.console.results(("name", "role", "made", "last used"), entries)


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
