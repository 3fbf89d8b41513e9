"""What people have agreed to: which text, when, how, and who has recorded it.

A record belongs to a person, goes with them into copies and backups, to whom they are merged into, and with them when
they are erased. A text to which many have agreed is stored once, and goes with the last record of it.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from facepool.errors import ConfigError, InputError, PathMissing
from facepool.files import exists
from facepool.gallery.database import Database
from facepool.gallery.details import check_text
from facepool.gallery.schema import uuid_bytes, uuid_text
from facepool.types import Consent

TEXT_LIMIT = 20_000
METHOD_LIMIT = 100
RECORDER_LIMIT = 200
_ALLOWED = frozenset("\n\t")
_CLOCKS_DIFFER = timedelta(days=1)
_AT_ONCE = 500
_ENDINGS = frozenset({".txt", ".md", ".text"})
_LONGEST_NAME = 255
_CONSENTS = """
    SELECT persons.name, consents.uuid, consent_texts.text, consents.recorded_by, consents.given_at, consents.method
    FROM consents JOIN persons ON persons.id = consents.person_id
    JOIN consent_texts ON consent_texts.id = consents.text_id
"""


def clean_consent(consent: Consent) -> Consent:
    """A record as it is stored: NFC, lines that end in one way, the time in UTC.

    Raises:
        ConfigError: There is no text, something is too long or no text, or the time is none or still to come.
    """
    text = _clean(consent.text.replace("\r\n", "\n").replace("\r", "\n"), "The text of the consent", TEXT_LIMIT)
    if not text:
        raise ConfigError(
            "The consent cannot be recorded", why="its text is empty", fix="Give the text that the person agreed to"
        )
    return replace(
        consent,
        text=text,
        recorded_by=_clean(consent.recorded_by, "Who recorded the consent", RECORDER_LIMIT, ()),
        given_at=clean_time(consent.given_at),
        method=_clean(consent.method, "How the consent was given", METHOD_LIMIT, ()),
    )


def text_of(told: str) -> str:
    """The text of a consent: what was told, or what is in the file that it names.

    Raises:
        InputError: The file is no text.
        PathMissing: It is the name of a file that is not there.
    """
    if "\n" in told or len(told) > _LONGEST_NAME:
        return told
    path = Path(told)
    if not (exists(path) and path.is_file()):
        if path.suffix.lower() in _ENDINGS and " " not in told:
            raise PathMissing(f"There is no file {path} with a text", fix="Check the spelling, or give the text itself")
        return told
    try:
        with path.open("rb") as file:
            return file.read(4 * TEXT_LIMIT + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"The text of the consent cannot be read from {path}", why="it is no UTF-8 text", fix="Save it as UTF-8"
        ) from error


def clean_time(text: str) -> str:
    """When consent was given, ISO 8601 in UTC with seconds; of a time without a zone, UTC is assumed; empty: now.

    Raises:
        ConfigError: It is no time, or still to come.
    """
    if not text:
        return datetime.now(UTC).isoformat(timespec="seconds")
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            "The consent cannot be recorded", why="when it was given is no time", fix="Write it like 2026-05-31"
        ) from error
    if moment > datetime.now(UTC) + _CLOCKS_DIFFER:
        raise ConfigError(
            "The consent cannot be recorded", why="it would be given in the future", fix="Give the day of the consent"
        )
    return moment.isoformat(timespec="seconds")


def store_consent(db: Database, person: int, consent: Consent) -> Consent:
    """Store a record that is clean; one whose id is there already is stored by another."""
    uuid = uuid_bytes(consent.id)
    if uuid is None or db.execute("SELECT 1 FROM consents WHERE uuid = ?", (uuid,)).fetchone():
        uuid = uuid4().bytes
    db.execute(
        "INSERT INTO consents (uuid, person_id, text_id, given_at, recorded_by, method) VALUES (?, ?, ?, ?, ?, ?)",
        (uuid, person, _row_of_text(db, consent.text), consent.given_at, consent.recorded_by, consent.method),
    )
    return replace(consent, id=uuid_text(uuid))


def add_consents(db: Database, person: int, consents: Collection[Consent]) -> int:
    """Store those records of somebody from elsewhere that are not here; how many that were."""
    query = "SELECT 1 FROM consents WHERE uuid = ?"
    new = [one for one in consents if db.execute(query, (uuid_bytes(one.id),)).fetchone() is None]
    for one in new:
        store_consent(db, person, clean_consent(one))
    return len(new)


def read_consents(db: Database, people: Sequence[str]) -> dict[str, tuple[Consent, ...]]:
    """The records of some people by name, oldest first; nobody who has none."""
    found: dict[str, list[Consent]] = {}
    for first in range(0, len(people), _AT_ONCE):
        part = people[first : first + _AT_ONCE]
        whose = f"{_CONSENTS} WHERE persons.name IN ({', '.join('?' * len(part))})"
        for name, uuid, text, recorded_by, given_at, method in db.execute(
            f"{whose} ORDER BY consents.given_at, consents.id", part
        ):
            found.setdefault(name, []).append(Consent(text, recorded_by, given_at, method, uuid_text(uuid)))
    return {name: tuple(consents) for name, consents in found.items()}


def move_consents(db: Database, leaving: int, staying: int) -> None:
    """Give the records of a person to another who takes their place."""
    db.execute("UPDATE consents SET person_id = ? WHERE person_id = ?", (staying, leaving))


def delete_consents(db: Database, person: int) -> None:
    """Delete the records of somebody, and texts of which none is left: who wrote them may have named the person."""
    texts = db.execute("SELECT DISTINCT text_id FROM consents WHERE person_id = ?", (person,)).fetchall()
    db.execute("DELETE FROM consents WHERE person_id = ?", (person,))
    unused = "DELETE FROM consent_texts WHERE id = ? AND NOT EXISTS (SELECT 1 FROM consents WHERE text_id = ?)"
    db.executemany(unused, [(text, text) for (text,) in texts])


def _row_of_text(db: Database, text: str) -> int:
    digest = sha256(text.encode()).digest()
    row = db.execute("SELECT id FROM consent_texts WHERE sha256 = ?", (digest,)).fetchone()
    if row is None:
        query = "INSERT INTO consent_texts (sha256, text) VALUES (?, ?) RETURNING id"
        row = db.execute(query, (digest, text)).fetchone()
    return int(row[0])


def _clean(text: str, what: str, limit: int, allowed: Collection[str] = _ALLOWED) -> str:
    cleaned = unicodedata.normalize("NFC", text).strip()
    check_text(cleaned, what, limit, allowed)
    return cleaned
