"""People by name: pages of the list, a search for names, and the names that may be meant by one that nobody has.

Whatever is asked here takes as long for a pool of a million people as for one of a hundred, but for a search for what
is inside names, which looks at all names, and for the counts, which a database makes from an index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facepool.gallery.checks import folded
from facepool.gallery.database import Database
from facepool.gallery.details import with_tags
from facepool.gallery.schema import uuid_text
from facepool.types import Person, counted, one_line

SUGGESTED_FROM = 1000
"""How many names are looked at for those that may be meant."""
_PAGE = """
    SELECT page.id, page.name, page.uuid, count(templates.id), coalesce(min(nullif(templates.created_at, '')), ''),
        page.notes, page.external_id
    FROM (
        SELECT id, name, uuid, folded, notes, external_id FROM persons{where} ORDER BY folded, name LIMIT ? OFFSET ?
    ) AS page
    LEFT JOIN samples ON samples.person_id = page.id LEFT JOIN templates ON templates.sample_id = samples.id
    GROUP BY page.id, page.name, page.uuid, page.folded, page.notes, page.external_id ORDER BY page.folded, page.name
"""
_LONGEST_PART = 10_000
"""Longer ones are in nobody's name, nor does SQLite look for them."""
_LAST = "\U0010ffff"
"""Comes after all that a name may go on with."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose names are wanted; in either case, whatever is empty says nothing.

    Attributes:
        prefix: How they begin.
        part: What they have somewhere.
        after: The last name that was seen: those that come after it. It need not be anybody's.
        tag: One of their tags.
        external_id: What another system calls them, to the letter.
    """

    prefix: str = ""
    part: str = ""
    after: str = ""
    tag: str = ""
    external_id: str = ""

    def condition(self) -> tuple[str, list[str]]:
        """The part of a query that selects them, and its values."""
        terms, values = [], []
        if "\0" in self.prefix + self.part + self.tag + self.external_id or len(self.part) > _LONGEST_PART:
            return " WHERE 1 = 0", []
        if self.prefix:
            terms.append("folded >= ? AND folded < ?")
            values += [folded(self.prefix), folded(self.prefix) + _LAST]
        if self.part:
            terms.append("folded LIKE ? ESCAPE '!'")
            values.append(f"%{_literal(folded(self.part))}%")
        if self.tag:
            terms.append("id IN (SELECT person_id FROM tags WHERE tags.folded = ?)")
            values.append(folded(self.tag.strip()))
        if self.external_id:
            terms.append("external_id = ?")
            values.append(self.external_id)
        if self.after:
            # As it is stored: another version of Python may have folded the name otherwise.
            terms.append("(folded, name) > (coalesce((SELECT folded FROM persons WHERE name = ?), ?), ?)")
            values += [self.after, folded(self.after), self.after]
        return (f" WHERE {' AND '.join(terms)}" if terms else ""), values


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """Some people, in the order of their names without regard to case, then by code point.

    Attributes:
        people: At most as many as were asked for.
        following: The name to ask for those after; None: nobody comes after them.
    """

    people: tuple[Person, ...]
    following: str | None

    def __repr__(self) -> str:
        """How many there are, and whether there are more."""
        return one_line(self, counted(len(self.people), "name") + (", more follow" if self.following else ""))


@dataclass(frozen=True, slots=True)
class GallerySize:
    """How much a gallery holds."""

    people: int
    templates: int


def read_page(db: Database, wanted: Wanted, limit: int, offset: int = 0) -> PeoplePage:
    """The first people that a search finds, after some that are left out."""
    where, values = wanted.condition()
    rows = db.execute(_PAGE.format(where=where), (*values, limit + 1, offset)).fetchall()
    people = tuple(people_of(db, rows[:limit]))
    return PeoplePage(people, people[-1].name if people and len(rows) > limit else None)


def count_people(db: Database, wanted: Wanted) -> int:
    """How many people a search finds."""
    where, values = wanted.condition()
    return int(db.execute(f"SELECT count(*) FROM persons{where}", values).fetchone()[0])  # noqa: S608 -- ours


def read_names(db: Database) -> list[str]:
    """All names, in the order of pages."""
    return [name for (name,) in db.execute("SELECT name FROM persons ORDER BY folded, name")]


def read_size(db: Database) -> GallerySize:
    """How much there is."""
    return GallerySize(
        *db.execute("SELECT (SELECT count(*) FROM persons), (SELECT count(*) FROM templates)").fetchone()
    )


def names_near(db: Database, name: str) -> list[str]:
    """Names among which the right one may be for one that nobody has: all of a small pool, else those around it."""
    names = [known for (known,) in db.execute("SELECT name FROM persons LIMIT ?", (SUGGESTED_FROM + 1,))]
    if len(names) <= SUGGESTED_FROM:
        return names
    half = SUGGESTED_FROM // 2
    before = "SELECT name FROM persons WHERE folded < ? ORDER BY folded DESC, name DESC LIMIT ?"
    after = "SELECT name FROM persons WHERE folded >= ? ORDER BY folded, name LIMIT ?"
    return [known for query in (before, after) for (known,) in db.execute(query, (folded(name), half))]


def people_of(db: Database, rows: Sequence[Sequence[Any]]) -> list[Person]:
    """People from rows: number, name, UUID, how many templates, when the first one was stored, notes, external id."""
    people = [
        (int(row), Person(name, templates, created_at, uuid_text(uuid), notes, (), external_id))
        for row, name, uuid, templates, created_at, notes, external_id in rows
    ]
    return with_tags(db, people)


def _literal(text: str) -> str:
    """Text in which nothing has a meaning for LIKE."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
