"""Take a pool to another model: every view is embedded again, from the picture of the face that was stored with it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facepool.errors import ConfigError
from facepool.faces.analyze import Analyzer
from facepool.gallery import Gallery
from facepool.geometry import CROP, TEMPLATES
from facepool.types import AlignedFaces, Floats, Image

_AT_ONCE = 64
_SHOWN = 20
_JPEG_END = b"\xff\xd9"

Report = Callable[[int, int], None]
"""Is told how many views are done, of how many."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What a pool would lose on the way to another model.

    Attributes:
        views: How many views have no picture.
        people: Names of those who would have fewer views.
        unknown: Of these, those who would have none: they stay in the pool, and nobody is recognized as them.
        sightings: How many sightings are kept, which are forgotten.
    """

    views: int
    people: tuple[str, ...]
    unknown: tuple[str, ...]
    sightings: int

    def __bool__(self) -> bool:
        """Whether anything would be lost."""
        return bool(self.views or self.sightings)

    def __str__(self) -> str:
        """In words, for people."""
        parts = []
        if self.views:
            parts.append(f"views without a picture: {self.views}, of {_listed(self.people)}")
        if self.unknown:
            parts.append(f"people without a view, until they are registered again: {_listed(self.unknown)}")
        if self.sightings:
            parts.append(f"sightings that are kept, all of the old model: {self.sightings}")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Reembedded:
    """What came of it.

    Attributes:
        views: How many views were embedded again.
        lost: What went.
        had_calibration: Whether a calibration went: it was of the old model.
    """

    views: int
    lost: Loss
    had_calibration: bool


def reembed(
    gallery: Gallery, analyzer: Analyzer, *, drop: bool = False, report: Report = lambda _done, _all: None
) -> Reembedded:
    """Embed all views of a gallery again, and put the new vectors in the place of the old ones in one change.

    Ids, names, provenance, dates, pictures and look-alikes stay. A calibration goes, as it is of the old vectors.

    Args:
        gallery: In SQLite or PostgreSQL, opened without a space.
        analyzer: Whose space it is to be of.
        drop: What cannot come along may go: views without a picture, and what was kept of who was seen.
        report: Told after each batch.

    Raises:
        ConfigError: Nothing has to be done, files of its kind keep no pictures, or something would be lost that may
            not go; nothing was changed.
        PoolChanged: Another process has changed the gallery meanwhile; nothing was changed.
    """
    space = gallery.space
    if space is not None and space.id == analyzer.space.id:
        raise ConfigError(
            f"The pool {gallery.address.name} is of {space} already", fix="Name another model: --pack or --embedder"
        )
    if not gallery.keeps_images:
        raise ConfigError(
            f"The pool {gallery.address.name} cannot be taken to another model",
            why="a .npy pool has no pictures of the faces",
            fix="Register the people again into a new pool: facepool register --source FOLDER --pool NEW.db",
        )
    revision = gallery.revision()
    vectors, blind = _embedded(gallery, analyzer, report)
    loss = _loss(gallery, blind)
    if loss and not drop:
        raise ConfigError(
            f"The pool {gallery.address.name} would lose something on the way to {analyzer.space.model}",
            why=str(loss),
            fix=f"Let it go: facepool people reembed --drop --embedder {analyzer.space.model}"
            + (", and register those people again" if loss.views else ""),
        )
    had_calibration = gallery.calibration() is not None
    gallery.replace_vectors(vectors, analyzer.space, expected_revision=revision)
    return Reembedded(len(vectors), loss, had_calibration)


def _embedded(gallery: Gallery, analyzer: Analyzer, report: Report) -> tuple[dict[int, Floats], dict[int, str]]:
    """The new vector of each template, by its number, and whose those are that have no picture."""
    total = gallery.size().templates
    vectors: dict[int, Floats] = {}
    blind: dict[int, str] = {}
    for start in range(0, total, _AT_ONCE):
        crops: dict[int, Image] = {}
        for template in gallery.templates(offset=start, limit=_AT_ONCE):
            crop = _crop_of(gallery.picture(template.id))
            if crop is None:
                blind[template.id] = template.person
            else:
                crops[template.id] = crop
        if crops:
            embedded = analyzer.embed(AlignedFaces(np.stack(list(crops.values())), CROP))
            vectors.update(zip(crops, embedded, strict=True))
        report(min(start + _AT_ONCE, total), total)
    return vectors, blind


def _crop_of(jpeg: bytes | None) -> Image | None:
    """The aligned face in a stored picture; None where there is no whole one of the size that faces are cut out at."""
    if not jpeg or not jpeg.rstrip(b"\0").endswith(_JPEG_END):  # OpenCV makes grey of what is missing
        return None
    try:
        image_bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # it says that it is larger than pictures are
        return None
    side = TEMPLATES[CROP][1]
    return None if image_bgr is None or image_bgr.shape != (side, side, 3) else np.asarray(image_bgr, np.uint8)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _loss(gallery: Gallery, blind: dict[int, str]) -> Loss:
    lacking = Counter(blind.values())
    held = {name: person.templates for name in sorted(lacking) if (person := gallery.person(name))}
    unknown = tuple(name for name, views in held.items() if views == lacking[name])
    return Loss(len(blind), tuple(held), unknown, gallery.inbox.usage().sightings)
