"""Sources as the command line names them: opened one after the other, with remarks on what becomes of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import click

from facepool import extras
from facepool.capture import FrameSource, LiveStatus, PictureSource, is_picture_file, open_source
from facepool.cli.context import CommandContext
from facepool.errors import InputError
from facepool.faces.turns import TurnFinder
from facepool.types import Turn

source_option = click.option(
    "-s",
    "--source",
    "sources",
    multiple=True,
    help="Camera number, URL, video, picture or folder; may be repeated.  [0, the first camera]",
)
more_sources = click.argument("more", metavar="[SOURCE]...", nargs=-1)

Source = tuple[str, ...]
"""One source: what the user named, or pictures that were named in a row."""


class Sources:
    """The sources of one command, one after the other. One that fails is reported and does not stop the others.

    Args:
        named: What the user named.
        context: Console for remarks and errors, and how videos, cameras and streams are opened.

    Attributes:
        all: The sources, not opened yet. Pictures that follow one another are one, as if a folder held them.
        exit_code: 0 as long as everything could be read.
    """

    def __init__(self, named: Sequence[str], context: CommandContext) -> None:
        self.all = _grouped(named)
        self.exit_code = 0
        self._console = context.console
        self._options = context.settings.capture_options(lambda: TurnFinder(context.analyzer, self._turned))

    @contextmanager
    def report_errors(self) -> Iterator[None]:
        """Keeps a source's failure from ending the command: it is reported, and sets the exit code."""
        try:
            yield
        except InputError as error:
            self._console.fail(error)
            self.exit_code = error.exit_code

    def check_window(self, window: bool | None) -> None:
        """Refuse early where a window is to open and cannot: before a network is loaded or a camera opened.

        Args:
            window: Whether there is to be one; None for one that shows what moves.

        Raises:
            ExtraMissing: The packages for it are not installed.
        """
        if window or (window is None and any(map(may_move, self.all))):
            extras.require("window")

    def open(self, source: Source) -> FrameSource:
        """Open one source and say so; errors as ``open_source``."""
        if len(source) > 1:
            description = ", ".join(source) if len(source) <= 3 else f"{source[0]} ... {source[-1]}"
            opened: FrameSource = PictureSource(source, description, self._skipped)
        else:
            opened = open_source(source[0], self._options, on_skip=self._skipped, on_status=self._news)
        rate = f", {_rounded(opened.fps)} frames a second" if opened.fps else ""
        self._console.note(f"Looking at {opened.description}{rate}")
        return opened

    def _skipped(self, path: Path, error: InputError) -> None:
        self._console.note(f"Left out {path}: {error.why or error}")
        self.exit_code = error.exit_code

    def _turned(self, turn: Turn) -> None:
        how = f"turned clockwise by {turn} degrees" if turn else "not turned"
        self._console.note(f"Faces lie upright when pictures are {how}: that is how they are looked at from now on")

    def _news(self, status: LiveStatus) -> None:
        if status.state == "reconnecting":
            self._console.note(f"Connection lost ({status.reason}); attempt {status.attempt} in {status.wait_s:g} s")
        elif status.state == "connected" and status.attempt:
            self._console.note("Connected again")


def _rounded(fps: float) -> str:
    """Whole frames a second, or as much of a fraction as tells slow films apart."""
    return f"{fps:.0f}" if fps >= 9.5 else f"{fps:.2g}"


def may_move(source: Source) -> bool:
    """Whether a source is not known to be pictures before it is opened."""
    return not (is_picture_file(source[0]) or Path(source[0]).is_dir())


def _grouped(named: Sequence[str]) -> list[Source]:
    sources: list[Source] = []
    for are_pictures, group in groupby(named, is_picture_file):
        names = tuple(group)
        sources += [names] if are_pictures else [(name,) for name in names]
    return sources
