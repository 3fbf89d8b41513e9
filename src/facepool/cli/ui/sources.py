"""Naming sources on the command line, and telling people what becomes of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import click

from facepool.capture import CaptureOptions, FrameSource, LiveStatus, PictureSource, is_picture_file, open_source
from facepool.cli.ui.console import Console
from facepool.errors import InputError

source_option = click.option(
    "-s",
    "--source",
    "sources",
    multiple=True,
    help="Camera number, URL, video, picture or folder; may be repeated.  [0, the first camera]",
)
more_sources = click.argument("more", metavar="[SOURCE]...", nargs=-1)

Stop = tuple[str, ...]
"""One source: what the user named, or pictures that were named in a row."""


class Sources:
    """The sources of one command, one after the other. One that fails is told of and does not stop the others.

    Args:
        specs: What the user named.
        console: Where people are told.
        options: How videos, cameras and streams are opened.

    Attributes:
        stops: The sources, not opened yet. Pictures that follow one another are one, as if a folder held them.
        exit_code: 0 as long as everything could be read.
    """

    def __init__(self, specs: Sequence[str], console: Console, options: CaptureOptions) -> None:
        self.stops = _stops(specs)
        self.exit_code = 0
        self._console = console
        self._options = options

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Keeps a source's failure from ending the tour."""
        try:
            yield
        except InputError as error:
            self._console.fail(error)
            self.exit_code = error.exit_code

    def open(self, stop: Stop) -> FrameSource:
        """Open one source and say so; errors as ``open_source``."""
        if len(stop) > 1:
            source: FrameSource = PictureSource(stop, _span(stop), self._skipped)
        else:
            source = open_source(stop[0], self._options, on_skip=self._skipped, on_status=self._news)
        rate = f", {source.fps:.0f} frames a second" if source.fps else ""
        self._console.note(f"Looking at {source.description}{rate}")
        return source

    def _skipped(self, path: Path, error: InputError) -> None:
        self._console.note(f"Left out {path}: {error.why or error}")
        self.exit_code = error.exit_code

    def _news(self, status: LiveStatus) -> None:
        if status.state == "reconnecting":
            self._console.note(f"Connection lost ({status.reason}); attempt {status.attempt} in {status.wait_s:g} s")
        elif status.state == "connected" and status.attempt:
            self._console.note("Connected again")


def _stops(specs: Sequence[str]) -> tuple[Stop, ...]:
    stops: list[Stop] = []
    for are_pictures, group in groupby(specs, is_picture_file):
        named = tuple(group)
        stops += [named] if are_pictures else [(spec,) for spec in named]
    return tuple(stops)


def _span(stop: Stop) -> str:
    return ", ".join(stop) if len(stop) <= 3 else f"{stop[0]} ... {stop[-1]}"
