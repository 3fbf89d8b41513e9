"""Protocols: which pictures are compared with which, or show which faces, read from files and folders.

* The pairs of LFW (Huang et al., 2007): a line with the number of folds and of pairs, then ``name 1 2`` or
  ``name 1 other 3``, meaning ``name/name_0001.jpg``.
* Lines of one's own: ``path path 1`` for one person, ``0`` for two, by tabs, commas or spaces; a fourth column is
  the fold.
* Folders ``root/Person/*``: every picture with every other one, or some people as a gallery and the rest as strangers.
* Annotated faces in the format of WIDER FACE (Yang et al., 2016): a picture's path, the number of its faces, and a line
  for each: ``x y w h blur expression illumination invalid occlusion pose``; only the first four are needed. A picture
  without faces has the number 0 and, in the original, one line of zeros.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facepool.capture import PictureFolder
from facepool.errors import InputError, PathMissing, ProtocolInvalid, SourceEmpty
from facepool.types import Floats, Indices, Mask

_LFW_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_NAMED = 3  # so many of a list are named in a message
_INVALID = 7  # WIDER FACE's column of the flag "invalid"
_BELOW_ROOT = (".", "images", "WIDER_val/images", "WIDER_train/images")
_PAIRS_FORMAT = "Give LFW's pairs.txt, or lines of: picture picture 1 (one person) or 0 (two people)"
_PEOPLE_FORMAT = "Give a folder with one folder a person: root/Ada/1.jpg, root/Ada/2.jpg, root/Bob/1.jpg"
_FACES_FORMAT = (
    "Give WIDER FACE's wider_face_val_bbx_gt.txt, or a file like it: picture, number of faces, x y w h of each"
)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pictures and which of them are compared.

    Attributes:
        paths: N pictures.
        people: N names, for those errors that are estimated over people.
        first: (P,) index into ``paths``.
        second: (P,) likewise.
        same: (P,) whether both show one person.
        fold_of: (P,) 0, 1, ...; None where there are no folds.
        left_out: Number of pairs left out because a picture is not there.
    """

    paths: tuple[Path, ...]
    people: tuple[str, ...]
    first: Indices
    second: Indices
    same: Mask
    fold_of: Indices | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """A folder of people, parted into those who are registered and strangers.

    Attributes:
        paths: N pictures.
        people: N names.
        templates: Indices of the pictures that are registered.
        mated: Indices of the registered people's other pictures.
        strangers: Indices of everybody else's pictures.
    """

    paths: tuple[Path, ...]
    people: tuple[str, ...]
    templates: Indices
    mated: Indices
    strangers: Indices


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
    """All pictures of a file of annotated faces that are there.

    Attributes:
        pictures: In the order of the file.
        missing: How many more it names.
    """

    pictures: tuple[AnnotatedPicture, ...]
    missing: int


def read_pairs(file: Path, root: Path, *, allow_missing: bool = False) -> Pairs:
    """Read a pairs file; see the module's text for its two kinds.

    Args:
        file: The list.
        root: Where the pictures are that it names.
        allow_missing: Whether pairs whose pictures are not there are left out, rather than refused.

    Raises:
        PathMissing: The file, the root or a picture does not exist.
        ProtocolInvalid: It is no such list, or breaks off.
    """
    if not root.is_dir():
        raise PathMissing(f"There is no folder {root}", fix="Name the folder with the pictures: --root DIR")
    if not file.is_file():
        raise PathMissing(f"There is no pairs file {file}", fix="Check the spelling of the path")
    text = _numbered_lines(file, "a pairs file", _PAIRS_FORMAT)
    lines = [(number, _fields(line)) for number, line in text if not line.startswith("#")]
    if not lines:
        raise ProtocolInvalid(f"{file} is not a pairs file", why="it is empty", fix=_PAIRS_FORMAT)
    header = _lfw_header(lines[0][1])
    entries = _lfw_pairs(file, lines[1:], header, root) if header else _plain_pairs(file, lines, root)
    pairs = _collect(entries, root, allow_missing=allow_missing)
    if pairs.same.all() or not pairs.same.any():
        kind = "one person" if len(pairs.same) and pairs.same.all() else "two people"
        raise ProtocolInvalid(f"{file} has only pairs of {kind}", why="error rates need both kinds", fix=_PAIRS_FORMAT)
    return pairs


class _Pair(NamedTuple):
    paths: tuple[Path, Path]
    people: tuple[str, str] | None
    same: bool
    fold: int | None


def _numbered_lines(file: Path, what: str, expected: str) -> list[tuple[int, str]]:
    """Line numbers and text of what is not empty."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProtocolInvalid(f"{file} is not {what}", why="it is no text in UTF-8") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read", why=error.strerror or str(error)) from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ProtocolInvalid(f"{file} is not {what}", why="it is empty", fix=expected)
    return lines


def _fields(line: str) -> list[str]:
    separator = next((mark for mark in ("\t", ",") if mark in line), None)
    return [field.strip() for field in line.split(separator)]


def _lfw_header(fields: Sequence[str]) -> tuple[int, int] | None:
    """Folds and pairs of each kind in a fold; a single number is the pairs of a list without folds."""
    if not 1 <= len(fields) <= 2 or not all(field.isdecimal() for field in fields):
        return None
    return (1, int(fields[0])) if len(fields) == 1 else (int(fields[0]), int(fields[1]))


def _lfw_pairs(
    file: Path, lines: Sequence[tuple[int, list[str]]], header: tuple[int, int], root: Path
) -> Iterator[_Pair]:
    folds, count = header
    if len(lines) != folds * count * 2:
        raise ProtocolInvalid(
            f"{file} does not hold what its first line says",
            why=f"{folds} x {count} x 2 pairs are promised, {len(lines)} are there",
            fix="Fetch it again",
        )
    for index, (number, fields) in enumerate(lines):
        try:
            sides = _lfw_sides(fields)
        except ValueError as error:
            raise _unreadable_line(file, number, "Name 1 2, or Name 1 Other 3") from error
        pictures = (_lfw_picture(root, *sides[0]), _lfw_picture(root, *sides[1]))
        people = (sides[0][0], sides[1][0])
        yield _Pair(pictures, people, people[0] == people[1], index // (2 * count) if folds > 1 else None)


def _lfw_sides(fields: Sequence[str]) -> tuple[tuple[str, int], tuple[str, int]]:
    name, first, *rest = fields
    other, second = rest if len(rest) > 1 else (name, *rest)
    return (name, int(first)), (other, int(second))


def _lfw_picture(root: Path, name: str, number: int) -> Path:
    stem = root / name / f"{name}_{number:04d}"
    candidates = [stem.with_name(stem.name + suffix) for suffix in _LFW_SUFFIXES]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _plain_pairs(file: Path, lines: Sequence[tuple[int, list[str]]], root: Path) -> Iterator[_Pair]:
    columns = len(lines[0][1])
    for number, fields in lines:
        verdicts = fields[2:3]
        folds = fields[3:]
        if len(fields) != columns or columns not in (3, 4) or verdicts not in (["0"], ["1"]):
            raise _unreadable_line(file, number, "picture picture 1, or 0 for two people")
        if folds and not folds[0].isdecimal():
            raise _unreadable_line(file, number, "picture picture 1 FOLD, with a number for the fold")
        paths = (root / fields[0], root / fields[1])
        yield _Pair(paths, None, verdicts == ["1"], int(folds[0]) if folds else None)


def _unreadable_line(file: Path, number: int, expected: str) -> ProtocolInvalid:
    what = f"Line {number} of {file} is not a pair"
    return ProtocolInvalid(what, why=f"it should read: {expected}", fix=_PAIRS_FORMAT)


def _collect(entries: Iterable[_Pair], root: Path, *, allow_missing: bool) -> Pairs:
    pairs = list(entries)
    paths = sorted({path for pair in pairs for path in pair.paths})
    missing = {path for path in paths if not path.is_file()}
    if missing and (not allow_missing or len(missing) == len(paths)):
        raise _missing(sorted(missing), len(paths), root)
    kept = [pair for pair in pairs if missing.isdisjoint(pair.paths)]
    paths = [path for path in paths if path not in missing]
    row_of = {path: row for row, path in enumerate(paths)}
    first, second = (np.array([row_of[pair.paths[side]] for pair in kept], np.intp) for side in (0, 1))
    same = np.array([pair.same for pair in kept], np.bool_)
    folds = [pair.fold for pair in kept if pair.fold is not None]
    fold_of = np.unique(folds, return_inverse=True)[1].reshape(-1) if len(set(folds)) > 1 else None
    named = {path: person for pair in kept for path, person in zip(pair.paths, pair.people or (), strict=False)}
    people = [named[path] for path in paths] if named else _people_of(paths, first, second, same)
    return Pairs(tuple(paths), tuple(people), first, second, same, fold_of, len(pairs) - len(kept))


def _missing(missing: Sequence[Path], total: int, root: Path) -> PathMissing:
    share = "None" if len(missing) == total else f"{len(missing)} of {total}"
    what = f"{share} of the pictures is there" if share == "None" else f"{share} pictures are not there"
    examples = ", ".join(str(_below(root, path)) for path in missing[:_NAMED])
    more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
    skip = "" if len(missing) == total else ", or leave their pairs out: --allow-missing"
    return PathMissing(what, why=f"{root} has no {examples}{more}", fix=f"Check --root{skip}")


def _below(root: Path, path: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _people_of(paths: Sequence[Path], first: Indices, second: Indices, same: Mask) -> list[str]:
    """Names for pictures of which only pairs are known: their folders, where those agree with the pairs."""
    folders = np.array([str(path.parent) for path in paths])
    if np.array_equal(folders[first] == folders[second], same):
        return [path.parent.name for path in paths] if _unambiguous(paths) else folders.tolist()
    leader = list(range(len(paths)))
    for one, other in zip(first[same], second[same], strict=True):
        leader[_leader(leader, int(other))] = _leader(leader, int(one))
    return [paths[_leader(leader, row)].name for row in range(len(paths))]


def _unambiguous(paths: Sequence[Path]) -> bool:
    parents = {path.parent for path in paths}
    return len({parent.name for parent in parents}) == len(parents)


def _leader(leader: list[int], row: int) -> int:
    while leader[row] != row:
        leader[row] = leader[leader[row]]
        row = leader[row]
    return row


def read_people(folder: PictureFolder) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """A folder of people, to compare every picture with every other one.

    Args:
        folder: ``root/Person/*``, at any depth below the person; loose pictures are people of their own.

    Returns:
        N pictures and N names.

    Raises:
        SourceEmpty: It holds no picture.
        ProtocolInvalid: Nobody has two pictures, or there is only one person.
    """
    root, tree = folder.root, _tree(folder)
    if len(tree) < 2:
        raise ProtocolInvalid(f"{root} shows one person", why="comparing strangers takes two", fix=_PEOPLE_FORMAT)
    if not any(len(pictures) > 1 for pictures in tree.values()):
        raise ProtocolInvalid(
            f"Nobody in {root} has two pictures", why="comparing a person with themselves takes two", fix=_PEOPLE_FORMAT
        )
    return _rows(tree)


def split(folder: PictureFolder, *, templates: int = 1, people: int | None = None, seed: int = 0) -> Split:
    """Part a folder of people into a gallery, probes of those who are in it, and strangers.

    Who has more than ``templates`` pictures can be registered: with the first ones, in the order of their names; the
    others are probes. All other people are strangers.

    Args:
        folder: ``root/Person/*``.
        templates: Pictures that a person is registered with, at least 1.
        people: How many are registered, drawn at random; everybody who can be by default.
        seed: Of the draw.

    Raises:
        SourceEmpty: It holds no picture.
        ProtocolInvalid: Nobody can be registered, too few can, or no stranger is left.
    """
    root, tree = folder.root, _tree(folder)
    able = [name for name, pictures in tree.items() if len(pictures) > templates]
    if len(able) < (people or 1):
        raise ProtocolInvalid(
            f"{len(able)} people in {root} can be registered, {people or 1} are needed",
            why=f"that takes {templates + 1} pictures of a person: {templates} to register and one to look for",
            fix="Give fewer --people or --templates" if able else _PEOPLE_FORMAT,
        )
    registered = set(able if people is None else np.random.default_rng(seed).permutation(able)[:people].tolist())
    if len(registered) == len(tree):
        raise ProtocolInvalid(
            f"Nobody in {root} is left as a stranger",
            why=f"all {len(tree)} people have enough pictures to be registered",
            fix="Register fewer, for example half of them: --people " + str(max(1, len(tree) // 2)),
        )
    paths, names = _rows(tree)
    place = np.concatenate([np.arange(len(pictures)) for pictures in tree.values()])
    inside = np.array([name in registered for name in names])
    rows = (np.flatnonzero(mask) for mask in (inside & (place < templates), inside & (place >= templates), ~inside))
    return Split(paths, names, *rows)


def _tree(folder: PictureFolder) -> dict[str, list[Path]]:
    tree = {name: pictures for name, pictures in folder.people().items() if pictures}
    if not tree:
        raise SourceEmpty(f"The folder {folder.root} holds no picture", fix=_PEOPLE_FORMAT)
    return tree


def _rows(tree: Mapping[str, Sequence[Path]]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    rows = [(path, name) for name, pictures in tree.items() for path in pictures]
    return tuple(path for path, _ in rows), tuple(name for _, name in rows)


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
    entries = list(_annotations(file))
    named = [name for name, _ in entries]
    base = next((root / part for part in _BELOW_ROOT if any((root / part / name).is_file() for name in named)), None)
    if base is None:
        raise PathMissing(
            f"None of the {len(named)} pictures that {file} names is there",
            why=f"for example {root / named[0]}",
            fix="Check --root",
        )
    here = tuple(_annotated(base / name, rows) for name, rows in entries if (base / name).is_file())
    return GroundTruth(here, len(entries) - len(here))


def _annotations(file: Path) -> Iterator[tuple[str, list[list[float]]]]:
    lines = _numbered_lines(file, "a ground truth of faces", _FACES_FORMAT)
    position = 0
    while position < len(lines):
        name = lines[position][1]
        if position + 1 == len(lines):
            raise _not_understood(file, lines[position][0], "it ends where the number of faces should follow")
        number, count = lines[position + 1]
        if not count.isdecimal():
            raise _not_understood(file, number, f"{count[:40]!r} is not the number of faces in {name[:80]}")
        first = position + 2
        position = first + int(count)
        if position > len(lines):
            raise _not_understood(file, number, f"{count} faces are promised, {len(lines) - first} lines follow")
        yield name, [_box_numbers(file, *line) for line in lines[first:position]]
        if int(count) == 0 and position < len(lines) and set(lines[position][1].split()) == {"0"}:
            position += 1


def _box_numbers(file: Path, number: int, line: str) -> list[float]:
    try:
        values = [float(field) for field in line.split()]
    except ValueError as error:
        raise _not_understood(file, number, f"{line[:40]!r} is not a box") from error
    if len(values) < 4 or not np.isfinite(values).all():
        raise _not_understood(file, number, "a box has at least x y w h")
    return values


def _not_understood(file: Path, number: int, why: str) -> ProtocolInvalid:
    return ProtocolInvalid(f"Line {number} of {file} cannot be understood", why=why, fix=_FACES_FORMAT)


def _annotated(path: Path, rows: list[list[float]]) -> AnnotatedPicture:
    xywh = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    invalid = np.array([len(row) > _INVALID and row[_INVALID] == 1 for row in rows], np.bool_)
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    return AnnotatedPicture(path, boxes, invalid | (xywh[:, 2:] <= 0).any(axis=1))
