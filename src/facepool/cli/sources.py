"""Naming sources on the command line, and telling people what becomes of them."""

from pathlib import Path

import click

from facepool.capture import FrameSource, LiveStatus, OnSkip, OnStatus
from facepool.cli.console import Console
from facepool.errors import InputError

source_option = click.option(
    "-s",
    "--source",
    "sources",
    multiple=True,
    help="Camera number, URL, video, picture or folder; may be repeated.  [0, the first camera]",
)
more_sources = click.argument("more", metavar="[SOURCE]...", nargs=-1)


def announce(console: Console, source: FrameSource) -> None:
    """Say what is being looked at."""
    rate = f", {source.fps:.0f} frames a second" if source.fps else ""
    console.note(f"Looking at {source.description}{rate}")


def report_skipped(console: Console) -> OnSkip:
    """Tell of each picture of a folder that cannot be read."""

    def skipped(path: Path, error: InputError) -> None:
        console.note(f"Left out {path.name}: {error}")

    return skipped


def report_status(console: Console) -> OnStatus:
    """Tell of a camera or stream that breaks off and comes back."""

    def changed(status: LiveStatus) -> None:
        if status.state == "reconnecting":
            console.note(f"Connection lost ({status.reason}); attempt {status.attempt} in {status.wait_s:.0f} s")
        elif status.state == "connected" and status.attempt:
            console.note("Connected again")

    return changed
