"""What is to be known of people beside their faces: notes, tags, and what another system calls them."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from facepool.errors import ConfigError, PersonExists
from facepool.gallery.checks import folded
from facepool.gallery.database import Database
from facepool.types import Person

NOTES_LIMIT = 10_000
TAG_LIMIT = 50
TAGS_LIMIT = 50
EXTERNAL_ID_LIMIT = 200
_AT_ONCE = 500
_ALLOWED = frozenset("\n\t")
"""Control characters that notes may have."""


@dataclass(frozen=True, slots=True)
class Details:
    """What becomes of what is known of somebody; None leaves it as it is.

    Attributes:
        notes: Text of any number of lines; empty: none.
        tags: All that they have from now on.
        more_tags: Which they get beside those that they have.
        fewer_tags: Which they lose.
        external_id: What another system calls them; empty: nothing.
    """

    notes: str | None = None
    tags: Collection[str] | None = None
    more_tags: Collection[str] = ()
    fewer_tags: Collection[str] = ()
    external_id: str | None = None

    def cleaned(self) -> "Details":
        """The same as it is stored.

        Raises:
            ConfigError: Something cannot be stored.
        """
        return Details(
            None if self.notes is None else clean_notes(self.notes),
            None if self.tags is None else clean_tags(self.tags),
            clean_tags(self.more_tags),
            clean_tags(self.fewer_tags),
            None if self.external_id is None else clean_external_id(self.external_id),
        )

    def applied(self, person: Person) -> Person:
        """Somebody as they are after it.

        Raises:
            ConfigError: They would have too many tags.
        """
        tags = {folded(tag): tag for tag in (person.tags if self.tags is None else self.tags)}
        tags.update((folded(tag), tag) for tag in self.more_tags if folded(tag) not in tags)
        for tag in self.fewer_tags:
            tags.pop(folded(tag), None)
        return replace(
            person,
            notes=person.notes if self.notes is None else self.notes,
            tags=clean_tags(tags.values()),
            external_id=person.external_id if self.external_id is None else self.external_id,
        )


def clean_notes(text: str) -> str:
    """Notes as they are stored: NFC, lines that end in one way, no blanks around.

    Raises:
        ConfigError: They are too long, or have characters that are no text.
    """
    cleaned = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    check_text(cleaned, "The notes", NOTES_LIMIT, _ALLOWED)
    return cleaned


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags as they are stored: each once, in either case, in order.

    Raises:
        ConfigError: One is empty, too long, or has a comma or characters that are no text; or there are too many.
    """
    cleaned = {folded(tag): tag for tag in map(_clean_tag, tags)}
    if len(cleaned) > TAGS_LIMIT:
        raise ConfigError(
            "So many tags cannot be stored",
            why=f"there are {len(cleaned)}, the limit is {TAGS_LIMIT} for one person",
            fix="Leave some out",
        )
    return tuple(cleaned[tag] for tag in sorted(cleaned))


def _clean_tag(tag: str) -> str:
    cleaned = re.sub(" +", " ", unicodedata.normalize("NFC", tag).strip())
    if not cleaned or "," in cleaned:
        raise ConfigError(
            f"The tag {cleaned[:20]!r} cannot be used",
            why="it has a comma, which stands between tags" if cleaned else "it is empty",
            fix="Give tags of letters, digits and blanks",
        )
    check_text(cleaned, f"The tag {cleaned[:20]!a}", TAG_LIMIT)
    return cleaned


def clean_external_id(text: str) -> str:
    """An id of another system as it is stored: as it was given, without blanks around.

    Raises:
        ConfigError: It is too long, or has characters that are no text.
    """
    cleaned = text.strip()
    check_text(cleaned, "The external id", EXTERNAL_ID_LIMIT)
    return cleaned


def check_text(text: str, what: str, limit: int, allowed: Collection[str] = ()) -> None:
    """Refuse text that cannot be stored.

    Raises:
        ConfigError: It is longer than the limit, or has control characters other than those that are allowed.
    """
    if len(text) > limit:
        why = f"there are {len(text)} characters, the limit is {limit}"
        raise ConfigError(f"{what} cannot be stored", why=why, fix="Give less")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in allowed:
            why = f"there is a character that is no text (U+{ord(character):04X})"
            raise ConfigError(f"{what} cannot be stored", why=why, fix="Leave it out")


def with_tags(db: Database, people: Sequence[tuple[int, Person]]) -> list[Person]:
    """People with the tags of their rows."""
    tags: dict[int, list[str]] = {row: [] for row, _ in people}
    rows = list(tags)
    for first in range(0, len(rows), _AT_ONCE):
        part = rows[first : first + _AT_ONCE]
        query = f"SELECT person_id, tag FROM tags WHERE person_id IN ({', '.join('?' * len(part))}) ORDER BY folded"  # noqa: S608 -- places of values
        for row, tag in db.execute(query, part):
            tags[row].append(tag)
    return [replace(person, tags=tuple(tags[row])) if tags[row] else person for row, person in people]


def store_details(db: Database, row: int, before: Person, after: Person) -> tuple[str, ...]:
    """Store what is known of somebody; what has changed.

    Raises:
        PersonExists: Somebody else has the external id.
    """
    changed = tuple(
        word
        for word, attribute in (("notes", "notes"), ("tags", "tags"), ("external id", "external_id"))
        if getattr(before, attribute) != getattr(after, attribute)
    )
    if "external id" in changed and after.external_id:
        holder = db.execute(
            "SELECT name FROM persons WHERE external_id = ? AND id != ?", (after.external_id, row)
        ).fetchone()
        if holder is not None:
            raise PersonExists(
                f"The external id {after.external_id!r} cannot be given to {after.name!r}",
                why=f"{holder[0]!r} has it",
                fix="Take another one, or make the two one: facepool people merge",
            )
    values = (after.notes, after.external_id, row)
    db.execute("UPDATE persons SET notes = ?, external_id = ? WHERE id = ?", values)
    if "tags" in changed:
        db.execute("DELETE FROM tags WHERE person_id = ?", (row,))
        rows = [(row, tag, folded(tag)) for tag in after.tags]
        db.executemany("INSERT INTO tags (person_id, tag, folded) VALUES (?, ?, ?)", rows)
    return changed


def missing(here: Person, elsewhere: Person) -> Person:
    """Somebody with what is known of them elsewhere and not here."""
    tags = {folded(tag): tag for tag in (*elsewhere.tags, *here.tags)}
    return replace(
        here,
        notes=here.notes or clean_notes(elsewhere.notes),
        tags=clean_tags(list(tags.values())[:TAGS_LIMIT]),
        external_id=here.external_id or clean_external_id(elsewhere.external_id),
    )


def united(staying: Person, leaving: Person) -> Person:
    """What is known of somebody who was two: what only one of them has, and the notes of both."""
    notes = "\n".join(dict.fromkeys(filter(None, (staying.notes, leaving.notes))))[:NOTES_LIMIT]
    tags = {folded(tag): tag for tag in (*leaving.tags, *staying.tags)}
    return replace(
        staying,
        notes=notes,
        tags=tuple(tags[tag] for tag in sorted(tags))[:TAGS_LIMIT],
        external_id=staying.external_id or leaving.external_id,
    )
