"""Annotated faces for detection, in the format of WIDER FACE (Yang et al., 2016).

A picture's path, the number of its faces, and a line for each: ``x y w h blur expression illumination invalid
occlusion pose``; only the first four are needed. A picture without faces has the number 0 and, in the original, one
line of zeros.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facepool.errors import InputError, PathMissing, ProtocolInvalid
from facepool.types import Floats, Mask

_INVALID = 7  # the column of the flag "invalid"
_BELOW_ROOT = (".", "images", "WIDER_val/images", "WIDER_train/images")
_FORMAT = "Give WIDER FACE's wider_face_val_bbx_gt.txt, or a file like it: picture, number of faces, x y w h of each"


@dataclass(frozen=True, slots=True)
class AnnotatedPicture:
    """A picture and the faces that people saw in it.

    Attributes:
        path: The file.
        boxes: (F, 4) float32, xyxy, pixels.
        ignored: (F,) those that count neither way: marked as invalid, or of no extent.
    """

    path: Path
    boxes: Floats
    ignored: Mask


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """All pictures of a file that are there.

    Attributes:
        pictures: In the order of the file.
        missing: How many more it names.
    """

    pictures: tuple[AnnotatedPicture, ...]
    missing: int


def read_ground_truth(file: Path, root: Path) -> GroundTruth:
    """Read a file of annotated boxes.

    Args:
        file: In the format of WIDER FACE.
        root: The folder that its paths begin in, or one that has it as ``images`` or ``WIDER_val/images``.

    Raises:
        PathMissing: The file or the folder does not exist, or none of the pictures does.
        ProtocolInvalid: It is no such file, or breaks off.
    """
    if not file.is_file():
        raise PathMissing(f"There is no ground truth {file}", fix="Check the spelling of the path")
    if not root.is_dir():
        raise PathMissing(f"There is no folder {root}", fix="Name the folder with the pictures: --root DIR")
    entries = list(_entries(file))
    named = [name for name, _ in entries]
    base = next((root / part for part in _BELOW_ROOT if any((root / part / name).is_file() for name in named)), None)
    if base is None:
        raise PathMissing(
            f"None of the {len(named)} pictures that {file} names is there",
            why=f"for example {root / named[0]}",
            fix="Check --root",
        )
    here = tuple(_picture(base / name, rows) for name, rows in entries if (base / name).is_file())
    return GroundTruth(here, len(entries) - len(here))


def _entries(file: Path) -> Iterator[tuple[str, list[list[float]]]]:
    lines = _numbered_lines(file)
    if not lines:
        raise ProtocolInvalid(f"{file} is not a ground truth of faces", why="it is empty", fix=_FORMAT)
    position = 0
    while position < len(lines):
        name = lines[position][1]
        if position + 1 == len(lines):
            raise _unreadable(file, lines[position][0], "it ends where the number of faces should follow")
        number, count = lines[position + 1]
        if not count.isdecimal():
            raise _unreadable(file, number, f"{count[:40]!r} is not the number of faces in {name[:80]}")
        first = position + 2
        position = first + int(count)
        if position > len(lines):
            raise _unreadable(file, number, f"{count} faces are promised, {len(lines) - first} lines follow")
        yield name, [_numbers(file, *line) for line in lines[first:position]]
        if int(count) == 0 and position < len(lines) and set(lines[position][1].split()) == {"0"}:
            position += 1


def _numbered_lines(file: Path) -> list[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProtocolInvalid(f"{file} is not a ground truth of faces", why="it is no text in UTF-8") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read", why=error.strerror or str(error)) from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _numbers(file: Path, number: int, line: str) -> list[float]:
    try:
        values = [float(field) for field in line.split()]
    except ValueError as error:
        raise _unreadable(file, number, f"{line[:40]!r} is not a box") from error
    if len(values) < 4 or not np.isfinite(values).all():
        raise _unreadable(file, number, "a box has at least x y w h")
    return values


def _unreadable(file: Path, number: int, why: str) -> ProtocolInvalid:
    return ProtocolInvalid(f"Line {number} of {file} cannot be understood", why=why, fix=_FORMAT)


def _picture(path: Path, rows: list[list[float]]) -> AnnotatedPicture:
    xywh = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    invalid = np.array([len(row) > _INVALID and row[_INVALID] == 1 for row in rows], np.bool_)
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    return AnnotatedPicture(path, boxes, invalid | (xywh[:, 2:] <= 0).any(axis=1))
