"""Sources as the command line names them: opened one after the other, with remarks on what becomes of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import click
from click.core import ParameterSource

from facepool import extras
from facepool.capture import (
    FrameSource,
    LiveStatus,
    PictureSource,
    SourceKind,
    is_picture_file,
    kind_of_source,
    open_source,
    url_scheme,
)
from facepool.cli.context import CommandContext
from facepool.cli.ui.console import Console
from facepool.errors import InputError
from facepool.faces.detect import DetectOptions
from facepool.faces.turns import TurnFinder
from facepool.types import Detections, Frame, Turn


class _OneALine(click.types.StringParamType):
    """Texts with spaces in them, of which the environment has several."""

    envvar_list_splitter = "\n"


source_option = click.option(
    "-s",
    "--source",
    "sources",
    multiple=True,
    type=_OneALine(),
    envvar="FACEPOOL_SOURCE",
    help="Camera number, URL, video, picture or folder; may be repeated.  [0, the first camera]",
)
more_sources = click.argument("more", metavar="[SOURCE]...", nargs=-1)


def in_arguments(sources: Sequence[str]) -> Sequence[str]:
    """Those of `source_option` where they stand on the command line, not in the environment."""
    of_environment = click.get_current_context().get_parameter_source("sources") is ParameterSource.ENVIRONMENT
    return () if of_environment else sources


_CERTAIN_PX = 32
"""Nine in ten faces of that size are found, of half of it three in four."""

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
        self._kinds: dict[Source, SourceKind] = {}

    @contextmanager
    def report_errors(self) -> Iterator[None]:
        """Keeps a source's failure from ending the command: it is reported, and sets the exit code."""
        try:
            yield
        except InputError as error:
            self._console.fail(error)
            self.exit_code = error.exit_code

    def check(self, window: bool | None) -> None:
        """Refuse early, before a network is loaded or a camera opened, what cannot come to anything.

        Args:
            window: Whether there is to be one; None for one that shows what moves.

        Raises:
            PathMissing: None of the sources exists.
            ExtraMissing: A window is to open, and the packages for it are not installed.
        """
        if window:
            extras.require("window")
        paths = [source for source in self.all if not url_scheme(source[0])]
        if len(paths) == len(self.all) and all(self._kind(source) == "absent" for source in paths):
            open_source(self.all[0][0], self._options).close()
        if window is None and extras.missing("window") and any(map(self.moves, self.all)):
            extras.require("window")

    def moves(self, source: Source) -> bool:
        """Whether a source is there and is not still pictures. An address is asked, once."""
        return self._kind(source) == "moves"

    def is_pictures(self, source: Source) -> bool:
        """Whether a source is still pictures. An address is asked, once."""
        return self._kind(source) == "pictures"

    def _kind(self, source: Source) -> SourceKind:
        if source not in self._kinds:
            self._kinds[source] = kind_of_source(source[0], self._options)
        return self._kinds[source]

    def open(self, source: Source) -> FrameSource:
        """Open one source and say so; errors as ``open_source``."""
        if len(source) > 1:
            description = ", ".join(source) if len(source) <= 3 else f"{source[0]} ... {source[-1]}"
            opened: FrameSource = PictureSource(source, description, self._skipped)
        else:
            opened = open_source(source[0], self._options, on_skip=self._skipped, on_status=self._news)
        rate = f", {_rounded(opened.fps)} frames a second" if opened.fps else ""
        self._console.note(f"Looking at {opened.description}{rate}")
        for remark in opened.remarks if isinstance(opened, PictureSource) else ():
            self._console.note(remark)
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


def note_turned(console: Console, picture: str, found: Detections) -> None:
    """Say of a picture that lies on its side or head that it was looked at upright."""
    if found.turn:
        console.note(f"{picture} does not lie upright: it was looked at turned clockwise by {found.turn} degrees")


def note_too_small(console: Console, frame: Frame, detection: DetectOptions) -> None:
    """Say of a large picture in which no face was found how small the faces are that may be in it."""
    shrunk = max(frame.image_bgr.shape[:2]) / detection.longest
    if shrunk > 1:
        console.note(
            f"{frame.source}: faces of less than about {_CERTAIN_PX * shrunk:.0f} pixels may be missed in so large a "
            f"picture; --detect-size {2 * detection.longest} looks for smaller ones"
        )


def _rounded(fps: float) -> str:
    """Whole frames a second, or as much of a fraction as tells slow films apart."""
    return f"{fps:.0f}" if fps >= 9.5 else f"{fps:.2g}"


def _grouped(named: Sequence[str]) -> list[Source]:
    sources: list[Source] = []
    for are_pictures, group in groupby(named, is_picture_file):
        names = tuple(group)
        sources += [names] if are_pictures else [(name,) for name in names]
    return sources
