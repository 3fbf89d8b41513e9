"""The entry point: the group of commands, the log, and errors as one clear line."""

import logging
import sys
from typing import Any

import click

import facepool
from facepool.cli.console import Console
from facepool.errors import FacepoolError

INTERRUPTED = 130

COMMANDS = {
    "demo": "facepool.cli.demo:demo",
    "register": "facepool.cli.register:register",
    "recognize": "facepool.cli.recognize:recognize",
    "verify": "facepool.cli.verify:verify",
    "people": "facepool.cli.people:people",
    "models": "facepool.cli.models:models",
    "doctor": "facepool.cli.doctor:doctor",
}
"""Name to module and attribute: a command's module is imported when the command is called."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed, in the order of ``COMMANDS``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a newcomer meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module_name, _, attribute = COMMANDS[cmd_name].partition(":")
        module = __import__(module_name, fromlist=[attribute])
        command: click.Command = getattr(module, attribute)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(facepool.__version__, "-V", "--version", message="facepool %(version)s")
@click.option("-v", "--verbose", count=True, help="Say more; twice for everything.")
def cli(verbose: int) -> None:
    """Register a face once, from every angle, and recognize it anywhere.

    \b
    facepool demo                          try it with photos that come along
    facepool register Ada                  register Ada with the camera
    facepool recognize                     recognize live

    Exit codes: 0 done, 1 no match, 2 wrong usage, 3 input, 4 pool, 5 models, 6 device or display, 7 disk,
    130 interrupted.
    """
    set_up_log(verbose)


def set_up_log(verbose: int) -> None:
    """Warnings by default, then what happens, then everything; to standard error."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("facepool").setLevel(level)


def run(command: click.Command, arguments: list[str] | None = None) -> int:
    """Run a command and turn errors into one line and an exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        outcome: Any = command.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FacepoolError as error:
        Console(json_lines="--json" in arguments).fail(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return 0
    return outcome if isinstance(outcome, int) else 0


def main() -> None:
    """What the ``facepool`` command calls."""
    sys.exit(run(cli))
