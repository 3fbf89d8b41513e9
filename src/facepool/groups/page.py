"""One page of HTML that shows the groups of a photo library: it holds every face that it shows, and asks no host.

Jinja is imported here, and only where a page is made. All text is escaped by the template.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from facepool.files import PRIVATE, write_whole
from facepool.groups.library import PhotoFace, PhotoGroup, PhotoGroups
from facepool.types import counted

MOST_FACES_OF_GROUP = 12
MOST_FACES = 3000
"""On a page: a face is about 4 KB."""
_MOST_UNGROUPED = 60
_MOST_UNREADABLE = 100


def write_page(
    found: PhotoGroups, folder: Path, jpegs: Callable[[Iterable[int]], Mapping[int, bytes]], path: Path
) -> None:
    """Write the page to a file, whole or not at all; only its owner may read it.

    Args:
        found: What is shown.
        folder: The photos' folder, for the heading.
        jpegs: The aligned faces as JPEG, by the numbers of faces.
        path: The file; its folder is made.

    Raises:
        StorageError: It cannot be written.
    """
    shown = _shown(found.groups)
    ungrouped = found.ungrouped[:_MOST_UNGROUPED]
    numbers = {face.id for faces in (*shown.values(), ungrouped) for face in faces}
    pictures = {number: _address(jpeg) for number, jpeg in jpegs(numbers).items()}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8")
    text = environment.from_string(template).render(
        found=found,
        folder=str(folder),
        shown=shown,
        ungrouped=ungrouped,
        pictures=pictures,
        unreadable=found.unreadable[:_MOST_UNREADABLE],
        counted=counted,
    )
    write_whole(path, text.encode("utf-8", "replace"), PRIVATE)  # a path may hold bytes that are no text


def _shown(groups: Iterable[PhotoGroup]) -> dict[int, tuple[PhotoFace, ...]]:
    """The faces that are shown of each group that is."""
    shown: dict[int, tuple[PhotoFace, ...]] = {}
    left = MOST_FACES
    for group in groups:
        faces = tuple({face.id: face for face in group.faces}.values())[: min(left, MOST_FACES_OF_GROUP)]
        if not faces:
            break
        shown[group.id] = faces
        left -= len(faces)
    return shown


def _address(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
