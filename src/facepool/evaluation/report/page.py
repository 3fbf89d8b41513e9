"""What a report's page is made of, whatever was evaluated, and its HTML.

Everything that is text is escaped by the template; only charts, which hold no word of the user's, go in as they are.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

_MOST_COLUMNS = 4
_JOINTS = re.compile(r"(?<=[_/\\.-])(?=.)")
"""Where a browser may break a name or path, because a person would."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure at the top of the page.

    Attributes:
        label: What it is, in a few words.
        value: The figure with its unit.
        note: Its interval, or what it was counted in.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of numbers.

    Attributes:
        title: What it shows.
        svg: One ``<svg>`` element, safe as it is.
        caption: How to read it, and what it says in words.
    """

    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text. The first column names the row, the others are set as numbers.

    Attributes:
        columns: Headings.
        rows: As many cells each.
        caption: Above the table; may be empty.
        words: How many of the last columns are words and not numbers.
        folded: Whether the rows appear only when the caption is clicked.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: int = 0
    folded: bool = False

    @property
    def stacked(self) -> bool:
        """Whether a phone shows a row as a list: too many columns to stand beside each other."""
        return len(self.columns) > _MOST_COLUMNS


@dataclass(frozen=True, slots=True)
class Picture:
    """One photograph, small.

    Attributes:
        source: A ``data:`` address; empty where the picture cannot be shown.
        title: Whose it is; may be empty.
        path: The file.
    """

    source: str
    title: str
    path: str


@dataclass(frozen=True, slots=True)
class Card:
    """Photographs that belong together, with what is wrong about them.

    Attributes:
        pictures: One or two.
        figure: The number that tells, for example a similarity.
        note: What happened.
    """

    pictures: Sequence[Picture]
    figure: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page under a heading.

    Attributes:
        title: The heading.
        lead: One paragraph below it; may be empty.
        tables: Then these.
        charts: Then these, two a row where there is room.
        cards: Then these.
        empty: What to say where there are no tables, charts and cards.
        wide: Whether its cards hold large pictures.
        notes: Paragraphs at the end, for example of what the figures do not tell.
    """

    title: str
    lead: str = ""
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    cards: Sequence[Card] = ()
    empty: str = ""
    wide: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report.

    Attributes:
        title: What was done.
        subject: To what: usually a path.
        summary: The result in sentences.
        tiles: The figures that matter most.
        sections: All the rest.
        command: What to type to get the same report.
        facts: What was run: label to value, in order.
        warnings: What a reader must know before the figures.
    """

    title: str
    subject: str
    summary: Sequence[str]
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    command: str
    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str] = field(default=())


def render(page: Page) -> str:
    """The page as one HTML document that asks nobody for anything."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["joints"] = _JOINTS.split
    template = files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(page=page)
