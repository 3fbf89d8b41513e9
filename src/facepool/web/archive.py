"""Everything about one person in one file, for them to take away."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from facepool.gallery import Pool
from facepool.records import Record, template_record
from facepool.types import Template

_ABOUT = (
    "Everything that this server keeps about the person. vectors.npy has a row of float32 for each sample, in the same "
    "order; pictures are the faces that the vectors were made from, where they were kept. activity.json: when the "
    "person was seen. audit.json: who registered, changed or exported the person."
)


def person_archive(
    pool: Pool, name: str, activity: Sequence[Mapping[str, object]], audit: Sequence[Mapping[str, object]]
) -> bytes:
    """A zip file with all that is stored about somebody.

    Args:
        pool: Where they are.
        name: Whom it is about.
        activity: When they were seen.
        audit: What was done to them, and by whom.

    Raises:
        UnknownPerson: Nobody has that name.
    """
    templates = pool.templates(name)
    pictures = {template.id: pool.picture(template.id) for template in templates}
    alike = sorted(other for pair in pool.look_alikes() if name in pair for other in pair - {name})
    person = {
        "about": _ABOUT,
        "person": name,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "embedding_space": str(pool.space) if pool.space else None,
        "look_alikes": alike,
        "samples": [_sample(template, pictures[template.id]) for template in templates],
    }
    rows = [template.sample.embedding for template in templates]
    vectors = io.BytesIO()
    np.save(vectors, np.array(rows, np.float32).reshape(len(rows), pool.dimension or 0), allow_pickle=False)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("person.json", _json(person))
        archive.writestr("vectors.npy", vectors.getvalue())
        archive.writestr("activity.json", _json(activity))
        archive.writestr("audit.json", _json(audit))
        for number, picture in pictures.items():
            if picture is not None:
                archive.writestr(_picture_name(number), picture, zipfile.ZIP_STORED)
    return file.getvalue()


def _sample(template: Template, picture: bytes | None) -> Record:
    record = template_record(template) | {"picture": None if picture is None else _picture_name(template.id)}
    del record["person"]  # the file says it once
    return record


def _picture_name(number: int) -> str:
    return f"pictures/{number}.jpg"


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1)
