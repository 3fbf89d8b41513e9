"""What ``facepool group`` writes: groups.json, the page, the contact sheet, folders of people and sidecars."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from facepool.cli.ui.console import Console, counted
from facepool.errors import SidecarUnreadable
from facepool.files import PRIVATE, write_whole
from facepool.groups.library import PhotoGroup, PhotoGroups
from facepool.groups.people_folders import FOLDER_NAME, Kind, place_photos, remove_placed
from facepool.groups.shelf import Shelf
from facepool.groups.sidecar import Lie, Region, merge_regions, sidecar_of
from facepool.overlay import Painter, contact_sheet
from facepool.records import groups_record
from facepool.types import Image

JSON_NAME = "groups.json"
PAGE_NAME = "groups.html"
SHEET_NAME = "groups.jpg"
_SHEET_GROUPS = 60
_SHEET_COLUMNS = 5
_TILE_COLUMNS, _TILE_ROWS, _FACE_PX = 4, 3, 112

Jpegs = Callable[[Iterable[int]], Mapping[int, bytes]]


def write_groups(groups: PhotoGroups, photos: Path, shelf: Shelf, output: Path) -> None:
    """Write groups.json, the page and the contact sheet; each is whole at any time, and only its owner may read it.

    Raises:
        StorageError: One of them cannot be written.
    """
    from facepool.groups.page import write_page  # noqa: PLC0415 -- it needs an extra

    text = json.dumps(groups_record(groups), indent=1, allow_nan=False) + "\n"
    write_whole(output / JSON_NAME, text.encode(), PRIVATE)
    write_page(groups, photos, shelf.jpegs, output / PAGE_NAME)
    sheet = groups_sheet(groups.groups, shelf.jpegs)
    ok, jpeg = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    write_whole(output / SHEET_NAME, jpeg.tobytes() if ok else b"", PRIVATE)


def groups_sheet(groups: Iterable[PhotoGroup], jpegs: Jpegs, painter: Painter | None = None) -> Image:
    """A contact sheet: a tile of faces for each of the largest groups.

    Args:
        groups: The largest first.
        jpegs: The aligned faces as JPEG, by the numbers of faces.
        painter: Writes the captions; a new one by default.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    shown = list(groups)[:_SHEET_GROUPS]
    faces = [list({face.id: None for face in group.faces})[: _TILE_COLUMNS * _TILE_ROWS] for group in shown]
    pictures = jpegs({face for of_group in faces for face in of_group})
    tiles = [_tile([pictures[face] for face in of_group]) for of_group in faces]
    captions = [f"{group.person or f'Group {group.id}'}\n{_below(group)}" for group in shown]
    return contact_sheet(tiles, captions, _SHEET_COLUMNS, painter=painter)


def write_sidecars(groups: PhotoGroups, photos: Path, shelf: Shelf, console: Console) -> int:
    """Put the faces of groups into the sidecars of their photos, and take those out that are in none any more.

    Returns:
        How many sidecars could not be used; each is named in a remark.
    """
    photos = photos.absolute()  # as it is noted: the next run may start in another folder
    regions: dict[str, list[Region]] = {}
    for group in groups.groups:
        for face in group.faces:
            regions.setdefault(face.path, []).append(Region(face.bbox, group.person, group.id))
    by_folder: dict[Path, list[Path]] = {}
    for path in regions:
        by_folder.setdefault((photos / path).parent, []).append(photos / path)
    of_photo = {path: sidecar_of(photos / path, by_folder[(photos / path).parent]) for path in regions}
    current = set(map(str, of_photo.values()))
    stale = {path for path in shelf.written() if path.endswith(".xmp") and path not in current}
    failed, written = 0, 0
    with console.counting("Writing sidecars", len(regions)) as counter:
        for path, faces in regions.items():
            shelf.note_written([str(of_photo[path])])
            try:
                written += merge_regions(of_photo[path], Lie.of(photos / path), faces)
            except SidecarUnreadable as error:
                failed += 1
                console.note(str(error))
            counter.step()
    failed += take_out_regions(stale, shelf, console)
    console.note(f"{counted(written, 'sidecar')} of {len(regions):,} written; the others were as they should be")
    return failed


def take_out_regions(sidecars: Iterable[str], shelf: Shelf, console: Console) -> int:
    """Take what we wrote out of sidecars; everything else in them stays.

    Returns:
        How many could not be used; each is named in a remark.
    """
    failed = 0
    for path in sorted(sidecars):
        try:
            merge_regions(Path(path), Lie((1, 1), 1), [])
        except SidecarUnreadable as error:
            failed += 1
            console.note(str(error))
        shelf.note_removed([path])
    return failed


def write_folders(groups: PhotoGroups, photos: Path, output: Path, kind: Kind, shelf: Shelf, console: Console) -> None:
    """Make a folder for each group, with its photos."""
    total = sum(len(group.faces) for group in groups.groups)
    with console.counting("Making folders", total) as counter:
        count = place_photos(groups.groups, photos, output, kind, shelf, counter.step)
    console.note(f"{counted(count, 'photo')} in the folders of {output / FOLDER_NAME}")


def erase_written(output: Path, shelf: Shelf, console: Console) -> None:
    """Remove what was written: pages, links, copies, and our regions in sidecars; photos stay."""
    written = shelf.written()
    sidecars = {path for path in written if path.endswith(".xmp")}
    take_out_regions(sidecars, shelf, console)
    remove_placed(written - sidecars, output.resolve() / FOLDER_NAME, shelf)
    for name in (JSON_NAME, PAGE_NAME, SHEET_NAME):
        (output / name).unlink(missing_ok=True)


def _below(group: PhotoGroup) -> str:
    faces = counted(len(group.faces), "face")
    return f"group {group.id}, {faces}" if group.person else faces


def _tile(jpegs: list[bytes]) -> Image:
    """Up to twelve faces, row by row."""
    tile = np.full((_TILE_ROWS * _FACE_PX, _TILE_COLUMNS * _FACE_PX, 3), 244, np.uint8)
    for place, jpeg in enumerate(jpegs):
        face = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if face is not None:
            row, column = divmod(place, _TILE_COLUMNS)
            part = (slice(row * _FACE_PX, (row + 1) * _FACE_PX), slice(column * _FACE_PX, (column + 1) * _FACE_PX))
            tile[part] = cv2.resize(face, (_FACE_PX, _FACE_PX), interpolation=cv2.INTER_AREA)
    return tile
