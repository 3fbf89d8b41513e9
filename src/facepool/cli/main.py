"""The entry point: the group of commands, the log, and errors as one clear line."""

import importlib
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

import facepool
from facepool import extras
from facepool.cli.signals import Termination, leave_no_core
from facepool.cli.ui.console import Console
from facepool.errors import ConfigError, FacepoolError, system_limit
from facepool.files import storage_error
from facepool.lazy import importing

# In the order in which a newcomer meets them; the module of each has its name and is imported when it is called.
COMMANDS = {
    "demo": "Try it with photos that come along: two people and two strangers.",
    "register": "Add a person, or a folder of people, to the pool.",
    "recognize": "Say who is in a camera's view, a video or pictures.",
    "group": "Group the faces of a folder of photos into people, without any name.",
    "verify": "Say whether two pictures show one person, or a picture somebody alive before a camera.",
    "serve": "Serve a page, a REST interface and CompreFace's, with live cameras.",
    "keys": "Make, list and remove the API keys of a server.",
    "unknown": "Who strangers were: list, show, name, add, ignore, split, join, delete, undo.",
    "suggestions": "Say yes or no to new views of people, which cameras proposed.",
    "people": "List, show, rename, merge, remove, export and import people; record their consent.",
    "sightings": "Who was seen, where faces are kept; say who it really was.",
    "privacy": "Say all that is kept of a person, and where; delete what is kept for too long.",
    "pool": "Back up, restore, encrypt and divide the pool; index a large one.",
    "index": "Make, follow, check and remove an index of Milvus, for very many views.",
    "evaluate": "Measure error rates on pictures of known people.",
    "calibrate": "Measure the threshold that your own pool needs.",
    "models": "List, pull, verify, show and import networks.",
    "doctor": "Say what this machine can do, and what is missing.",
}
_OF_THE_SERVER = frozenset({"serve", "keys"})


class LazyGroup(click.Group):
    """A group that lists its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None if there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in _OF_THE_SERVER:
            extras.require("server")
        with importing():
            command: click.Command = getattr(importlib.import_module(f"facepool.cli.commands.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and summaries."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(facepool.__version__, "-V", "--version", message="facepool %(version)s")
@click.option("-v", "--verbose", count=True, help="Say more; twice for everything.")
def cli(verbose: int) -> None:
    """Register a face once, from every angle, and recognize it anywhere.

    \b
    facepool demo                          try it with photos that come along
    facepool register Ada                  register Ada with the camera
    facepool recognize                     recognize live

    Exit codes: 0 done, 1 no match or not all erased, 2 wrong usage, 3 input, 4 pool, 5 models, 6 device or
    display, 7 disk, 8 memory or open files, 130 interrupted with Ctrl-C, 143 and 129 by SIGTERM and SIGHUP.
    """
    set_up_log(verbose)


def set_up_log(verbose: int) -> None:
    """Warnings by default, then what happens, then everything; to standard error."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("facepool").setLevel(level)


def run(command: click.Command, arguments: list[str] | None = None) -> int:
    """Run a command and turn errors, and what ends it from outside, into one line and an exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: command.main(given, standalone_mode=False), Console(json_lines="--json" in given))


def guarded(work: Callable[[], object], console: Console) -> int:
    """Do the work of a command and turn errors, and what ends it from outside, into one line and an exit code."""
    _survive_narrow_encodings()
    with Termination() as termination:
        return _guarded(work, console, termination)


def _guarded(work: Callable[[], object], console: Console, termination: Termination) -> int:
    try:
        outcome = work()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _fail(console, _in_our_words(error))
    except FacepoolError as error:
        return _fail(console, error)
    except (click.Abort, KeyboardInterrupt) as interruption:
        what = "Interrupted" if termination.number is None else f"Ended by {termination.number.name}"
        console.note(": ".join([what, *map(str, interruption.args)]))
        return termination.exit_code
    except OSError as error:
        # What the modules below did not put into words of their own: folders that cannot be made, and the like.
        return _fail(console, storage_error(Path(error.filename or "A file"), error, "cannot be used"))
    except (MemoryError, ImportError) as error:
        # Python itself ran out of memory, or the system could not map a library that is installed.
        limit = system_limit("facepool cannot go on", error)
        if limit is None:
            raise
        return _fail(console, limit)
    return outcome if isinstance(outcome, int) else 0


def _survive_narrow_encodings() -> None:
    """A name that the terminal cannot show comes out as escapes, rather than ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(console: Console, error: FacepoolError) -> int:
    console.fail(error)
    return error.exit_code


def _in_our_words(error: click.ClickException) -> FacepoolError:
    context = error.ctx if isinstance(error, click.UsageError) else None
    from facepool.capture import mask_credentials  # noqa: PLC0415 -- it is not needed to print --help

    what = mask_credentials(error.format_message())  # an address may stand where none belongs
    return ConfigError(what, fix=f"See {context.command_path} --help" if context else "")


def main() -> None:
    """What the ``facepool`` command calls."""
    leave_no_core()
    # It would ask every installed package whether it has something to add to checks of settings: 20 ms, and nobody has.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    sys.exit(run(cli))
