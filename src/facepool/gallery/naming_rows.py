"""What becomes of sightings that are kept: they are named, put together and apart, and that is undone."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from facepool.errors import ConfigError, GroupChanged
from facepool.gallery.database import Database
from facepool.gallery.rows import delete_learned_from, fits, read_space
from facepool.gallery.schema import uuid_bytes, uuid_text
from facepool.gallery.sealing import sealed
from facepool.gallery.sighting_rows import (
    delete_empty_groups,
    find_sighting,
    group_gone,
    new_group,
    parts,
    places,
    read_sighting,
    touch_group,
    unknown_sighting,
)
from facepool.gallery.sightings import GroupState, Proposal
from facepool.types import Pose, Sample, Sighting, Template

_FACE = """
    SELECT sighting_faces.uuid, sighting_keys.key, sighting_faces.embedding, sighting_faces.jpeg,
        sighting_faces.quality, sighting_faces.score, sighting_faces.size_px, sightings.source, sighting_faces.yaw,
        sighting_faces.pitch, sighting_faces.roll
    FROM sighting_faces JOIN sightings ON sightings.id = sighting_faces.sighting_id
    JOIN sighting_keys ON sighting_keys.sighting_id = sightings.id
"""
_PROPOSALS = """
    SELECT proposals.group_id, proposals.other_id, proposals.similarity FROM proposals
    JOIN unknown_groups AS one ON one.id = proposals.group_id
    JOIN unknown_groups AS other ON other.id = proposals.other_id
    WHERE proposals.apart = 0 AND one.state = 'open' AND other.state = 'open'
    ORDER BY proposals.similarity DESC, proposals.group_id, proposals.other_id
"""


def group_changed(number: int) -> GroupChanged:
    """The error for a group that somebody else has changed since it was looked at."""
    return GroupChanged(
        f"Stranger {number} was not changed",
        why="somebody else has named, joined, split or deleted them meanwhile",
        fix="Look at the list again",
    )


def check_groups(db: Database, expected: Mapping[int, int]) -> None:
    """Refuse a decision if a group is of another revision, or gone.

    Raises:
        GroupChanged: One is.
    """
    for number, revision in expected.items():
        query = "SELECT revision FROM unknown_groups WHERE id = ?"
        row = db.execute(query, (number,)).fetchone() if fits(number) else None
        if row is None or row[0] != revision:
            raise group_changed(number)


def rows_of(db: Database, sighting_ids: Collection[str]) -> list[int]:
    """The rows of some sightings.

    Raises:
        UnknownSighting: One is not there.
    """
    rows = [find_sighting(db, sighting_id) for sighting_id in dict.fromkeys(sighting_ids)]
    found = [row for row in rows if row is not None]
    if len(found) != len(rows):
        raise unknown_sighting()
    return found


def set_state(db: Database, number: int, state: GroupState, revision: int) -> None:
    """Change what a group is.

    Raises:
        GroupGone: It is not there.
    """
    touch_group(db, number, revision)
    db.execute("UPDATE unknown_groups SET state = ? WHERE id = ?", (state, number))


def split(db: Database, number: int, sightings: Sequence[int], revision: int) -> int:
    """Take sightings out of a group into one of their own; the two are never proposed to be one again.

    Raises:
        GroupGone: The group is not there.
        GroupChanged: A sighting is not in it.
        ConfigError: It would be nothing, or all of it.
    """
    touch_group(db, number, revision)
    held = {row for (row,) in db.execute("SELECT id FROM sightings WHERE group_id = ?", (number,)).fetchall()}
    if not held.issuperset(sightings):
        raise group_changed(number)
    if not sightings or held == set(sightings):
        what = "all" if sightings else "none"
        raise ConfigError(
            f"Stranger {number} cannot be split",
            why=f"{what} of their sightings would leave",
            fix="Choose those that are somebody else's",
        )
    other = new_group(db, revision)
    _move(db, sightings, other, revision)
    keep_apart(db, number, other)
    return other


def join(db: Database, into: int, number: int, revision: int) -> None:
    """Put the sightings of one group into another.

    Raises:
        GroupGone: One is not there.
        ConfigError: They are the same.
    """
    if into == number:
        raise ConfigError(f"Stranger {number} cannot be joined with themselves", fix="Name two strangers")
    touch_group(db, into, revision)
    touch_group(db, number, revision)
    _move(db, [row for (row,) in db.execute("SELECT id FROM sightings WHERE group_id = ?", (number,))], into, revision)
    apart = db.execute(
        "SELECT group_id, other_id FROM proposals WHERE apart = 1 AND (group_id = ? OR other_id = ?)", (number, number)
    ).fetchall()
    for one, other in apart:
        third = other if one == number else one
        if third != into:
            keep_apart(db, into, third)
    delete_empty_groups(db)


def _move(db: Database, sightings: Sequence[int], group: int, revision: int) -> None:
    values = [(group, revision, row) for row in sightings]
    db.executemany("UPDATE sightings SET group_id = ?, revision = ? WHERE id = ?", values)


def propose(db: Database, one: int, other: int, similarity: float) -> bool:
    """Ask whether two groups are one; False: somebody has said that they are not.

    Raises:
        GroupGone: One is not there.
    """
    pair = _pair(db, one, other)
    return bool(
        db.execute(
            """INSERT INTO proposals (group_id, other_id, similarity) VALUES (?, ?, ?)
            ON CONFLICT (group_id, other_id) DO UPDATE SET similarity = excluded.similarity
            WHERE proposals.apart = 0""",
            (*pair, float(similarity)),
        ).rowcount
    )


def read_apart(db: Database, number: int) -> frozenset[int]:
    """Groups of which somebody has said that they are not of the same person as one."""
    query = "SELECT group_id, other_id FROM proposals WHERE apart = 1 AND (group_id = ? OR other_id = ?)"
    return frozenset({one for pair in db.execute(query, (number, number)).fetchall() for one in pair} - {number})


def keep_apart(db: Database, one: int, other: int) -> None:
    """Never propose two groups to be one again.

    Raises:
        GroupGone: One is not there.
    """
    db.execute(
        """INSERT INTO proposals (group_id, other_id, apart) VALUES (?, ?, 1)
        ON CONFLICT (group_id, other_id) DO UPDATE SET apart = 1""",
        _pair(db, one, other),
    )


def allow_together(db: Database, one: int, other: int) -> None:
    """Take `keep_apart` back."""
    db.execute("DELETE FROM proposals WHERE group_id = ? AND other_id = ?", sorted((one, other)))


def _pair(db: Database, one: int, other: int) -> list[int]:
    for number in (one, other):
        query = "SELECT 1 FROM unknown_groups WHERE id = ?"
        if not fits(number) or db.execute(query, (number,)).fetchone() is None:
            raise group_gone(number)
    if one == other:
        raise ConfigError(f"Stranger {one} is one already", fix="Name two strangers")
    return sorted((one, other))


def read_proposals(db: Database) -> list[Proposal]:
    """Pairs of open groups that may be one, the most similar first."""
    return [Proposal(*row) for row in db.execute(_PROPOSALS)]


def templates_of_faces(db: Database, face_ids: Collection[str], person: str, now: str) -> list[Template]:
    """Templates of a person, of faces that were seen; each has its face's UUID.

    Raises:
        UnknownSighting: One is not there.
    """
    uuids = [uuid_bytes(face_id) for face_id in dict.fromkeys(face_ids)]
    found: dict[bytes, tuple[Any, ...]] = {}
    for part in parts([uuid for uuid in uuids if uuid is not None]):
        rows = db.execute(f"{_FACE} WHERE sighting_faces.uuid IN ({places(part)})", part)
        found.update((bytes(row[0]), row) for row in rows)
    if not all(uuid in found for uuid in uuids):
        raise unknown_sighting()
    space = read_space(db)
    model = "" if space is None else space.model
    return [
        Template(0, person, _sample(found[uuid]), now, model, uuid_text(uuid)) for uuid in uuids if uuid is not None
    ]


def _sample(row: tuple[Any, ...]) -> Sample:
    uuid, key, blob, jpeg, quality, score, size_px, source, *angles = row
    return Sample(
        embedding=np.frombuffer(sealed(blob, key, uuid, "embedding"), "<f4").astype(np.float32),
        source=source,
        pose=None if angles[0] is None else Pose(*angles),
        quality=quality,
        score=score,
        size_px=size_px,
        picture=sealed(jpeg, key, uuid, "picture"),
    )


def owner_of_template(db: Database, template_uuid: str) -> int | None:
    """The row of the person who has a template of a UUID; None: there is none."""
    row = db.execute(
        "SELECT samples.person_id FROM samples JOIN templates ON templates.sample_id = samples.id WHERE uuid = ?",
        (uuid_bytes(template_uuid),),
    ).fetchone()
    return None if row is None else int(row[0])


def is_theirs(db: Database, template_uuid: str, person_id: str) -> bool:
    """Whether a template is there and of somebody, by id."""
    owner = owner_of_template(db, template_uuid)
    return owner is not None and owner == _row_of(db, person_id)


def give_template(db: Database, template_uuid: str, person: int, revision: int) -> None:
    """Make a template another person's; what was learned from it of whom it is not is gone."""
    uuid = uuid_bytes(template_uuid)
    before = owner_of_template(db, template_uuid)
    if uuid is not None and before is not None and before != person:
        delete_learned_from(db, uuid, before, revision)
    query = "UPDATE samples SET person_id = ? WHERE id = (SELECT sample_id FROM templates WHERE uuid = ?)"
    db.execute(query, (person, uuid))
    db.execute("UPDATE templates SET revision = ? WHERE uuid = ?", (revision, uuid))


def delete_templates(db: Database, template_uuids: Collection[str], revision: int) -> int:
    """Delete templates with their pictures, and what was learned from them; how many of them there were."""
    gone = 0
    for template_uuid in template_uuids:
        uuid, owner = uuid_bytes(template_uuid), owner_of_template(db, template_uuid)
        if uuid is not None and owner is not None:
            delete_learned_from(db, uuid, owner, revision)
        db.execute("INSERT INTO removed_templates SELECT id, ? FROM templates WHERE uuid = ?", (revision, uuid))
        query = "DELETE FROM samples WHERE id IN (SELECT sample_id FROM templates WHERE uuid = ?)"
        gone += db.execute(query, (uuid,)).rowcount
    return gone


def assign(db: Database, sightings: Sequence[int], person: int | None, now: str, revision: int) -> None:
    """Say who was seen, once and for all: a person, or nobody who is known.

    Args:
        db: Of the change.
        sightings: Their rows.
        person: The row of the person.
        now: When that was said.
        revision: Of the inbox.
    """
    for part in parts(sightings):
        which = f"id IN ({places(part)})"
        db.execute(
            f"UPDATE unknown_groups SET revision = ? WHERE id IN (SELECT group_id FROM sightings WHERE {which})",  # noqa: S608 -- places of values
            (revision, *part),
        )
        firsts = f"UPDATE sightings SET first_person_id = person_id WHERE first_person_id IS NULL AND {which}"  # noqa: S608 -- places of values
        if person is None:
            db.execute(firsts, part)
        else:
            db.execute(f"{firsts} AND person_id != ?", (*part, person))
        db.execute(
            f"UPDATE sightings SET person_id = ?, group_id = NULL, named_at = ?, revision = ? WHERE {which}",  # noqa: S608 -- places of values
            (person, now, revision, *part),
        )
    delete_empty_groups(db)


def put_back(db: Database, before: Sequence[Sighting], revision: int) -> int:
    """Have sightings say again what they said before; how many of them are still there.

    A group that is gone is made anew under its number. Of people who are gone nothing comes back.
    """
    there = 0
    for one in before:
        row = find_sighting(db, one.id)
        if row is None:
            continue
        there += 1
        if one.group is not None:
            db.execute(
                """INSERT INTO unknown_groups (id, state, revision) VALUES (?, 'open', ?)
                ON CONFLICT (id) DO UPDATE SET revision = excluded.revision""",
                (one.group, revision),
            )
        people = [_row_of(db, person_id) for person_id in (one.person_id, one.first_person_id)]
        db.execute(
            """UPDATE sightings SET person_id = ?, first_person_id = ?, group_id = ?, named_at = ?, revision = ?
            WHERE id = ?""",
            (*people, one.group, one.named_at, revision, row),
        )
    delete_empty_groups(db)
    return there


def _row_of(db: Database, person_id: str | None) -> int | None:
    row = db.execute("SELECT id FROM persons WHERE uuid = ?", (uuid_bytes(person_id or ""),)).fetchone()
    return None if row is None else int(row[0])


def row_of_person_id(db: Database, person_id: str) -> int | None:
    """The row of a person by id; None: they are not there."""
    return _row_of(db, person_id)


def has_nothing(db: Database, person: int) -> bool:
    """Whether a person has neither a template nor a sighting, and has agreed to nothing."""
    found = (
        db.execute(f"SELECT 1 FROM {table} WHERE person_id = ? LIMIT 1", (person,)).fetchone()  # noqa: S608 -- ours
        for table in ("samples", "sightings", "consents")
    )
    return not any(found)


def sightings_of(db: Database, sighting_ids: Collection[str]) -> tuple[Sighting, ...]:
    """Some sightings as they are.

    Raises:
        UnknownSighting: One is not there.
    """
    return tuple(read_sighting(db, sighting_id) for sighting_id in dict.fromkeys(sighting_ids))
