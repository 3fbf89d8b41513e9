"""Rows of what is suggested, and of what can be undone; `inbox` says what they are for."""

import json
from collections.abc import Mapping
from typing import Any

from facepool.errors import UnknownSuggestion
from facepool.gallery.database import Database
from facepool.gallery.rows import fits, plain_text
from facepool.gallery.schema import uuid_bytes, uuid_text
from facepool.gallery.sighting_rows import unknown_sighting
from facepool.gallery.sightings import JournalEntry, Suggestion, SuggestionState
from facepool.types import Pose

_MOST_ENTRIES = 1000
"""Of the journal: the newest."""
_SUGGESTIONS = """
    SELECT suggestions.id, sighting_faces.uuid, sightings.uuid, sightings.source, sightings.began_at, persons.name,
        persons.uuid, suggestions.similarity, sighting_faces.quality, sighting_faces.yaw, sighting_faces.pitch,
        sighting_faces.roll, suggestions.reason, suggestions.state, suggestions.made_at, suggestions.expires_at
    FROM suggestions JOIN sighting_faces ON sighting_faces.id = suggestions.face_id
    JOIN sightings ON sightings.id = sighting_faces.sighting_id JOIN persons ON persons.id = suggestions.person_id
"""
_ENTRIES = "SELECT id, at, caller, action, content FROM journal"


def unknown_suggestion(number: int) -> UnknownSuggestion:
    """The error for a suggestion that is not there, or of which it was decided already."""
    return UnknownSuggestion(
        f"There is no suggestion {number} to decide on",
        why="it has expired, its face is gone, or somebody was faster",
        fix="`facepool suggestions list` shows those that there are",
    )


def store_suggestion(
    db: Database, face_id: str, person: int, similarity: float, reason: str, now: str, expires_at: str
) -> int | None:
    """Suggest a face for a person; its number, or None where the face was suggested before, whatever was said to it.

    Raises:
        UnknownSighting: The face is not there.
    """
    face = db.execute("SELECT id FROM sighting_faces WHERE uuid = ?", (uuid_bytes(face_id),)).fetchone()
    if face is None:
        raise unknown_sighting()
    row = db.execute(
        """INSERT INTO suggestions (face_id, person_id, similarity, reason, state, made_at, expires_at)
        VALUES (?, ?, ?, ?, 'open', ?, ?) ON CONFLICT (face_id) DO NOTHING RETURNING id""",
        (face[0], person, float(similarity), plain_text(reason), now, expires_at),
    ).fetchone()
    return None if row is None else int(row[0])


def read_suggestions(
    db: Database, state: SuggestionState | None, person: int | None, now: str, number: int | None = None
) -> list[Suggestion]:
    """Suggestions that have not expired, newest first.

    Args:
        db: A gallery's.
        state: Of which state; None: of any.
        person: Row of whom they are for; None: anybody.
        now: Those that expire before are left out if nothing was said to them.
        number: Of which one; None: of all.
    """
    if number is not None and not fits(number):
        return []
    terms, values = ["(suggestions.state != 'open' OR suggestions.expires_at >= ?)"], list[Any]([now])
    for column, value in (("state", state), ("person_id", person), ("id", number)):
        if value is not None:
            terms.append(f"suggestions.{column} = ?")
            values.append(value)
    found = db.execute(f"{_SUGGESTIONS} WHERE {' AND '.join(terms)} ORDER BY suggestions.id DESC", values)
    return list(map(_suggestion, found))


def _suggestion(row: tuple[Any, ...]) -> Suggestion:
    number, face, sighting, source, seen_at, person, person_uuid, similarity, quality, *angles, reason, state = row[:14]
    return Suggestion(
        number=number,
        face_id=uuid_text(face),
        sighting_id=uuid_text(sighting),
        source=source,
        seen_at=seen_at,
        person=person,
        person_id=uuid_text(person_uuid),
        similarity=similarity,
        quality=quality,
        pose=None if angles[0] is None else Pose(*angles),
        reason=reason,
        state=state,
        made_at=row[14],
        expires_at=row[15],
    )


def close_suggestion(db: Database, number: int, state: SuggestionState, now: str) -> Suggestion:
    """Say what was decided on a suggestion; what it was before.

    Raises:
        UnknownSuggestion: It is not there, or that was decided already.
    """
    found = read_suggestions(db, "open" if state != "open" else None, None, now, number)
    if not found:
        raise unknown_suggestion(number)
    db.execute("UPDATE suggestions SET state = ? WHERE id = ?", (state, number))
    return found[0]


def forget_old(db: Database, now: str, before: str) -> None:
    """Delete suggestions that have expired, and entries of the journal that are from before a moment."""
    db.execute("DELETE FROM suggestions WHERE state = 'open' AND expires_at < ?", (now,))
    db.execute("DELETE FROM journal WHERE at < ?", (before,))


def store_entry(db: Database, action: str, caller: str, content: Mapping[str, Any], now: str) -> int:
    """Remember something that can be undone; its number."""
    query = "INSERT INTO journal (at, caller, action, content) VALUES (?, ?, ?, ?) RETURNING id"
    (number,) = db.execute(query, (now, plain_text(caller), action, json.dumps(content))).fetchone()
    keep = "SELECT id FROM journal ORDER BY id DESC LIMIT ?"
    db.execute(f"DELETE FROM journal WHERE id NOT IN ({keep})", (_MOST_ENTRIES,))  # noqa: S608 -- ours
    return int(number)


def read_entries(db: Database, limit: int) -> list[JournalEntry]:
    """What can be undone, newest first."""
    return [_entry(row) for row in db.execute(f"{_ENTRIES} ORDER BY id DESC LIMIT ?", (limit,))]


def read_entry(db: Database, number: int) -> JournalEntry | None:
    """One entry; None: it is not there, or not any more."""
    row = db.execute(f"{_ENTRIES} WHERE id = ?", (number,)).fetchone() if fits(number) else None
    return None if row is None else _entry(row)


def _entry(row: tuple[Any, ...]) -> JournalEntry:
    number, at, caller, action, content = row
    return JournalEntry(number, at, caller, action, json.loads(content))


def forget_entry(db: Database, number: int) -> bool:
    """Delete an entry; whether it was there."""
    return bool(fits(number) and db.execute("DELETE FROM journal WHERE id = ?", (number,)).rowcount)
