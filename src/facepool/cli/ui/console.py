"""What commands print: results to standard output, everything else to standard error."""

import json
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from facepool.errors import FacepoolError

if TYPE_CHECKING:
    from facepool.models import catalog

_WIDE = 1000
_SOON_S = 1.0
STYLES = {"good": "green", "bad": "red", "faint": "dim"}


class Console:
    """Results on standard output, remarks and progress on standard error.

    Args:
        json_lines: Print results as one JSON object a line, for programs.
        is_quiet: Print no remarks.
    """

    def __init__(self, *, json_lines: bool = False, is_quiet: bool = False) -> None:
        self.json_lines = json_lines
        self._is_quiet = is_quiet
        self._out = RichConsole(highlight=False)
        if not self._out.is_terminal:
            self._out.width = _WIDE  # a file or another program wants whole rows, not folded ones
        self._err = RichConsole(stderr=True, highlight=False)

    def say(self, text: str, style: str = "") -> None:
        """A line of the result for people; nothing in JSON mode."""
        if not self.json_lines:
            self._out.print(Text(printable(text), style=STYLES.get(style, style)), soft_wrap=True)

    def emit(self, record: Mapping[str, object]) -> None:
        """A result for programs, one line; nothing outside JSON mode."""
        if self.json_lines:
            # Names stay readable wherever the other side can read them.
            readable = sys.stdout.encoding.lower().replace("-", "") == "utf8"
            sys.stdout.write(json.dumps(record, ensure_ascii=not readable) + "\n")
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """A remark that is not part of the result."""
        if not self._is_quiet:
            self._err.print(Text(printable(text), style="dim"), soft_wrap=True)

    def fail(self, error: FacepoolError) -> None:
        """An error in one line, with its code."""
        if self.json_lines:
            sys.stderr.write(json.dumps({"error": error.code, "message": str(error)}) + "\n")
            return
        line = Text("error ", style="bold red")
        line.append(f"[{error.code}] ", style="red")
        line.append(printable(str(error)), style="default")
        self._err.print(line, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], title: str = "") -> None:
        """A table for people; nothing in JSON mode. A column whose name begins with ``>`` is set to the right."""
        if self.json_lines:
            return
        table = Table(title=title or None, title_justify="left", header_style="bold", pad_edge=False, box=None)
        table.show_header = any(columns)
        for column in columns:
            table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
        for row in rows:
            table.add_row(*(_cell(cell) for cell in row))
        self._out.print(table)

    def results(
        self,
        columns: Sequence[str],
        entries: Sequence[tuple[Mapping[str, object], Sequence[str | Text]]],
        title: str = "",
    ) -> None:
        """Results of one kind: each is a record for programs, or a row of a table for people."""
        for record, _ in entries:
            self.emit(record)
        if entries or title:
            self.table(columns, [row for _, row in entries], title)

    def pages(
        self, columns: Sequence[str], pages: Iterable[Sequence[tuple[Mapping[str, object], Sequence[str]]]]
    ) -> None:
        """Results that come page by page, each printed at once; columns are never narrower than on the pages before."""
        widths = [cell_len(column.lstrip(">")) for column in columns]
        heading = [[column.lstrip(">") for column in columns]]
        for entries in pages:
            for record, _ in entries:
                self.emit(record)
            if self.json_lines or not entries:
                continue
            rows = [[printable(cell) for cell in row] for _, row in entries]
            widths = [
                max(width, *map(cell_len, cells)) for width, cells in zip(widths, zip(*rows, strict=True), strict=True)
            ]
            for lines, style in ((heading, "bold"), (rows, "")):
                if lines:
                    text = "\n".join(_line(line, columns, widths) for line in lines)
                    self._out.print(Text(text, style=style), soft_wrap=True)
            heading = []

    @contextmanager
    def counting(self, what: str, total: int | None) -> Iterator["Counter"]:
        """A progress bar over a known or unknown number of things."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bars = Progress(*columns, console=self._err, transient=True, redirect_stdout=False)
        # Where nobody watches, rich would leave an empty line instead of a bar.
        with bars if self._err.is_terminal else nullcontext():
            yield Counter(bars, what, total)

    @contextmanager
    def measuring(self, what: str, thing: str = "") -> Iterator[Callable[[int, int], None]]:
        """A progress bar for what tells how much is done of how much, where that takes more than a second.

        Args:
            what: Its label.
            thing: What is counted, to say how many there are and how many a second; empty: only the share is told.
        """
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        counts = (MofNCompleteColumn(), _RateColumn(thing)) if thing else ()
        bars = Progress(*columns, *counts, console=self._err, transient=True, redirect_stdout=False)
        task, began_s = bars.add_task(what), time.monotonic()

        def report(done: int, total: int) -> None:
            if self._err.is_terminal and time.monotonic() - began_s > _SOON_S:
                bars.start()  # only now; it may be called again
                bars.update(task, completed=done, total=total)

        try:
            yield report
        finally:
            if bars.live.is_started:  # else it would leave an empty line
                bars.stop()

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """A sign of life during something that takes seconds and cannot be counted."""
        with self._err.status(what) if self._err.is_terminal else nullcontext():
            yield

    @contextmanager
    def downloads(self) -> "Iterator[catalog.Progress]":
        """Progress bars of downloads, one a file, which appear when something is fetched."""
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        bars = Progress(*columns, console=self._err, redirect_stdout=False)
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, total: int | None) -> None:
            if not tasks:
                bars.start()  # only now: an empty display would leave a blank line
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        try:
            yield report
        finally:
            if tasks:
                bars.stop()


def printable(text: str) -> str:
    """The text without control characters: a file name or a stranger's pool must not steer the terminal."""
    return "".join("\ufffd" if unicodedata.category(char) == "Cc" and char not in "\n\t" else char for char in text)


def _line(cells: Sequence[str], columns: Sequence[str], widths: Sequence[int]) -> str:
    """Cells below each other, those of a column whose name begins with ``>`` at its right."""
    padded = [
        " " * (width - cell_len(cell)) + cell if column.startswith(">") else cell + " " * (width - cell_len(cell))
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _cell(cell: str | Text) -> Text:
    text = Text(cell) if isinstance(cell, str) else cell
    text.plain = printable(text.plain)
    return text


class _RateColumn(ProgressColumn):
    """How many a second.

    Args:
        thing: What is counted.
    """

    def __init__(self, thing: str) -> None:
        super().__init__()
        self._thing = thing

    def render(self, task: Task) -> Text:
        """The rate over the last while; empty before it is known."""
        return Text("" if task.speed is None else f"{task.speed:,.0f} {self._thing}s/s")


class Counter:
    """A progress bar that counts.

    Args:
        progress: Where it is drawn.
        what: Its label.
        total: How many there will be; None when nobody knows.
    """

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._left = total
        self._task = progress.add_task(escape(printable(what)), total=total)

    def step(self) -> None:
        """One more is done."""
        self._progress.advance(self._task)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:  # a film may hold more frames than it states
                self._left = None
                self._progress.update(self._task, total=None)

    def describe(self, text: str) -> None:
        """Change the label."""
        self._progress.update(self._task, description=escape(printable(text)))


def wall_clock(iso: str, *, seconds: bool = False) -> str:
    """A stored UTC time as the clock on the wall shows it; empty for empty."""
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return datetime.fromisoformat(iso).astimezone().strftime(form) if iso else ""


def people_count(number: int) -> str:
    """``1 person``, ``2 people``."""
    return "1 person" if number == 1 else f"{number:,} people"


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 view``, ``2 views``; with the plural where that is not only an s more."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {plural or f'{noun}s'}"
