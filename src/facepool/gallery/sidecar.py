"""What the two .npy files of a pool have no room for: embedding space and provenance, as JSON beside them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facepool.errors import PoolCorrupt, PoolTooNew
from facepool.gallery.base import plain_number, plain_text
from facepool.gallery.calibrations import calibration_of, record_of
from facepool.gallery.columns import LookAlikes
from facepool.types import Calibration, EmbeddingSpace, Floats, Pose, Sample, Template

FORMAT = "facepool-pair"
VERSION = 4


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The content of the JSON file.

    Attributes:
        space: None where templates of unknown origin are among the rows.
        vectors_sha256: Digest of the vectors' file that it describes.
        ids_sha256: Digest of the names' file that it describes.
        next_id: The number that the next template gets; none is used twice.
        rows: One entry a template: everything but name and vector.
        look_alikes: Pairs of names; version 1 had none.
        calibration: What was measured of the pool; version 2 had none.
        bare: Names of people without templates; version 3 had none.
    """

    space: EmbeddingSpace | None
    vectors_sha256: str
    ids_sha256: str
    next_id: int
    rows: tuple[dict[str, Any], ...]
    look_alikes: frozenset[LookAlikes] = frozenset()
    calibration: Calibration | None = None
    bare: frozenset[str] = frozenset()


def dump(sidecar: Sidecar) -> bytes:
    """The JSON file's bytes."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "space": asdict(sidecar.space) if sidecar.space else None,
        "vectors_sha256": sidecar.vectors_sha256,
        "ids_sha256": sidecar.ids_sha256,
        "next_id": sidecar.next_id,
        "look_alikes": sorted(sorted(pair) for pair in sidecar.look_alikes),
        "calibration": record_of(sidecar.calibration) if sidecar.calibration else None,
        "people_without_templates": sorted(sidecar.bare),
        "templates": sidecar.rows,
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def load(data: bytes, path: Path) -> Sidecar:
    """Read the JSON file.

    Raises:
        PoolCorrupt: It is not one of ours, or damaged.
        PoolTooNew: A newer facepool wrote it.
    """
    try:
        return _parse(json.loads(data), path)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise PoolCorrupt(
            f"{path} cannot be read",
            why=f"it is no pool's sidecar, or damaged ({type(error).__name__}: {error})",
            fix="Move it away to use the two .npy files without it, checked by dimension only",
        ) from error


def _parse(content: dict[str, Any], path: Path) -> Sidecar:
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}")
    if content["version"] > VERSION:
        raise PoolTooNew(
            f"{path} cannot be read",
            why=f"a newer facepool wrote it (version {content['version']}; this one knows {VERSION})",
            fix="Update facepool",
        )
    space, calibration = content["space"], content.get("calibration")
    return Sidecar(
        space=EmbeddingSpace(**space) if space else None,
        vectors_sha256=str(content["vectors_sha256"]),
        ids_sha256=str(content["ids_sha256"]),
        next_id=int(content["next_id"]),
        rows=tuple(content["templates"]),
        look_alikes=frozenset(frozenset(map(str, pair)) for pair in content.get("look_alikes", ())),
        calibration=calibration_of(calibration) if calibration else None,
        bare=frozenset(map(str, content.get("people_without_templates", ()))),
    )


def row_of(template: Template) -> dict[str, Any]:
    """A template's entry in the JSON file."""
    sample = template.sample
    pose = sample.pose
    return {
        "id": template.id,
        "model": template.model,
        "created_at": template.created_at,
        "source": plain_text(sample.source),
        "frame": int(sample.frame),
        "time_s": plain_number(sample.time_s),
        "pose": [float(pose.yaw), float(pose.pitch), float(pose.roll)] if pose else None,
        "quality": plain_number(sample.quality),
        "score": plain_number(sample.score),
        "size_px": plain_number(sample.size_px),
        "appearance": plain_text(sample.appearance),
        "partial": bool(sample.partial),
    }


def templates_of(sidecar: Sidecar, names: Sequence[str], vectors: Floats, path: Path) -> tuple[Template, ...]:
    """Join the three files' rows.

    Args:
        sidecar: Read from `path`.
        names: One a row.
        vectors: (T, D) float32.
        path: The JSON file, for messages.

    Raises:
        PoolCorrupt: An entry is damaged, or there are more or fewer entries than rows.
    """
    try:
        return tuple(
            _template(row, name, vector) for row, name, vector in zip(sidecar.rows, names, vectors, strict=True)
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PoolCorrupt(
            f"{path} is damaged",
            why=f"its entries do not fit the rows ({type(error).__name__}: {error})",
            fix="Move it away to use the two .npy files without it, checked by dimension only",
        ) from error


def _template(row: dict[str, Any], name: str, vector: Floats) -> Template:
    sample = Sample(
        embedding=np.asarray(vector),
        source=row["source"],
        time_s=row["time_s"],
        pose=Pose(*row["pose"]) if row["pose"] else None,
        quality=row["quality"],
        score=row["score"],
        size_px=row["size_px"],
        frame=row["frame"],
        appearance=row.get("appearance", ""),  # version 1 had neither
        partial=row.get("partial", False),
    )
    return Template(int(row["id"]), name, sample, row["created_at"], row["model"])
