"""A folder of photos whose faces are grouped into people: what was found is kept, so that the next run goes on.

`PhotoLibrary` looks at the photos that it does not know, groups all faces by the rule of ``facepool.groups.cluster``,
and gives every group a number that stays as photos come and go. What it keeps lies in one SQLite file, see
``facepool.groups.shelf``. The photos themselves are only read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np

from facepool.bulk import LocalAnalysis, PictureAnalysis
from facepool.capture.folders import PictureFolder, pictures_or_error
from facepool.errors import InputError, PathUnreadable
from facepool.faces.analyze import Analyzer, Faces
from facepool.faces.quality import QualityPolicy
from facepool.gallery import Gallery
from facepool.gallery.address import key_of
from facepool.groups.cluster import LooseFaces, Progress, group_faces, grouping_threshold
from facepool.groups.shelf import KeptFaces, PhotoFile, Shelf
from facepool.search import Search
from facepool.thresholds import Threshold, ThresholdPolicy
from facepool.types import Floats, Indices, Mask, Person, counted, one_line

CLEAR = QualityPolicy(min_size_px=32.0)
"""Which faces may start a group. Faces of photos are smaller than those that are registered."""
_KEPT_TOGETHER = 16
"""Photos that a run which is killed looks at again, at most."""
_VIEWS = 16
"""So many faces of a group are compared with people of the pool, the best ones."""

OnPicture = Callable[[], None]
LeaveOut = Callable[[Path, InputError], None]


@dataclass(frozen=True, slots=True)
class PhotoFace:
    """One face of one photo.

    Attributes:
        id: The library's own number of it.
        path: The photo, from the folder on, with ``/``.
        bbox: Left, top, right and bottom in pixels of the photo as it is shown, upright.
        score: The detector's, 0..1.
        quality: How good the capture is, 0..100.
        size_wh: Of the photo as it is shown, in pixels.
    """

    id: int
    path: str
    bbox: tuple[float, float, float, float]
    score: float
    quality: float
    size_wh: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PhotoGroup:
    """Faces that show one person.

    Attributes:
        id: The group's number in this library; it stays.
        person: The name of who it is in the pool; None: nobody knows.
        person_id: Their id; None likewise.
        faces: The best ones first.
    """

    id: int
    person: str | None
    person_id: str | None
    faces: tuple[PhotoFace, ...]

    def __repr__(self) -> str:
        """Who, and how many faces."""
        return one_line(self, f"{self.id} of {counted(len(self.faces), 'face')}")


@dataclass(frozen=True, slots=True)
class PhotoGroups:
    """The faces of a folder of photos in groups.

    Attributes:
        groups: The largest first.
        ungrouped: Faces that are in none.
        photos: How many photos there are.
        threshold: How alike groups must be to become one.
        unreadable: What could not be looked at, and why.
    """

    groups: tuple[PhotoGroup, ...]
    ungrouped: tuple[PhotoFace, ...]
    photos: int
    threshold: Threshold
    unreadable: tuple[tuple[Path, InputError], ...] = ()

    @property
    def faces(self) -> int:
        """How many faces there are, of groups and others."""
        return sum(len(group.faces) for group in self.groups) + len(self.ungrouped)

    def __repr__(self) -> str:
        """How many groups, faces and photos."""
        what = f"{counted(len(self.groups), 'group')} of {counted(self.faces, 'face')}"
        return one_line(self, f"{what} in {counted(self.photos, 'photo')}")


class PhotoLibrary:
    """The faces of a folder of photos.

    Args:
        folder: With photos, at any depth.
        shelf: Where what is found is kept.
        policy: How alike strangers get.

    Attributes:
        unreadable: What could not be looked at, and why.
        looked_at: How many photos were looked at by `look`; the others were known.
    """

    def __init__(self, folder: Path, shelf: Shelf, policy: ThresholdPolicy) -> None:
        self._folder = folder
        self._shelf = shelf
        self._policy = policy
        self.unreadable: list[tuple[Path, InputError]] = []
        self.looked_at = 0

    def look(
        self,
        found: PictureFolder,
        analysis: PictureAnalysis,
        on_picture: OnPicture = lambda: None,
        on_unreadable: LeaveOut = lambda _path, _error: None,
    ) -> None:
        """Find the faces of all photos that are not known yet; what was found is kept batch by batch.

        Faces of photos that are gone are forgotten, but for those of a part of the folder that could not be read.

        Args:
            found: What a walk through the folder has found.
            analysis: Finds the faces of photos, with their pixels; of the shelf's embedding space.
            on_picture: Called after each photo, once it is kept.
            on_unreadable: Called for each photo that cannot be read.

        Raises:
            StorageError: What was found cannot be kept.
        """

        def leave_out(path: Path, error: InputError) -> None:
            self.unreadable.append((path, error))
            on_unreadable(path, error)

        for path, error in found.unreadable:
            leave_out(path, error)
        known = self._shelf.files()
        here: set[str] = set()
        changed: list[PhotoFile] = []
        for path in found.pictures:
            try:
                file = PhotoFile.of(path, self._folder)
            except OSError as error:
                leave_out(path, _unreadable(path, error))
                on_picture()
                continue
            if file.is_as(known.get(file.path)):
                here.add(file.path)
                on_picture()
            else:
                changed.append(file)
        here |= self._look_at(changed, analysis, on_picture, leave_out)
        self._shelf.keep_only(here | _beneath(found, known))

    def _look_at(
        self, changed: Sequence[PhotoFile], analysis: PictureAnalysis, on_picture: OnPicture, leave_out: LeaveOut
    ) -> set[str]:
        """Find the faces of photos that are new or were changed; the paths of all but those that are no pictures."""
        here: set[str] = set()
        known = self._shelf.contents()
        pictures = zip(changed, analysis.analyze([self._folder / file.path for file in changed], known), strict=True)
        while batch := list(islice(pictures, _KEPT_TOGETHER)):
            fresh = {
                one.content: (one.image_wh, one.faces)
                for _, one in batch
                if one.faces is not None and one.content not in known
            }
            files = [replace(file, content=one.content) for file, one in batch if one.problem is None]
            self._shelf.put(fresh, files)
            known |= fresh.keys()
            self.looked_at += len(fresh)
            for file, one in batch:
                if one.problem is not None:
                    leave_out(self._folder / file.path, one.problem)
                if one.problem is None or not one.content:  # what cannot be opened may be opened another time
                    here.add(file.path)
                on_picture()
        return here

    def group(self, gallery: Gallery | None = None, progress: Progress = lambda _done, _total: None) -> PhotoGroups:
        """Put all faces into groups, and keep them.

        Args:
            gallery: Who is known: groups that match somebody in it get their name. None: nobody.
            progress: Told how many faces were compared.

        Raises:
            SpaceMismatch: The gallery is of another embedding space.
        """
        kept = self._shelf.faces()
        threshold = grouping_threshold(self._policy, len(kept))
        clear = np.array([not flaws for flaws in CLEAR.flaws(kept.measures)], bool)
        loose = LooseFaces(kept.embeddings, kept.pictures, clear, kept.person_numbers())
        labels = group_faces(loose, threshold.value, progress)
        numbers = stable_numbers(labels, kept.groups, self._shelf.next_group)
        self._shelf.set_groups(kept, numbers)
        people = {} if gallery is None else self._people(gallery, kept, numbers, clear)
        return self._in_groups(kept, numbers, people, threshold)

    def _people(self, gallery: Gallery, kept: KeptFaces, numbers: Indices, clear: Mask) -> dict[int, Person]:
        """Who groups are: those whom they were registered as, as far as the gallery still has them, and who matches."""
        people = {
            number: person
            for number, person_id in kept.people.items()
            if (person := gallery.person_by_id(person_id)) is not None
        }
        search = Search(gallery, self._shelf.space)
        state = search.state()
        if not state.templates:
            return people
        # Each group is one more chance to resemble somebody, as each template is.
        found = sorted(set(numbers.tolist()) - {-1, *people})
        chances = state.templates * max(1, len(found))
        threshold = self._policy.identification(chances, state.calibration).value
        order = np.lexsort((-kept.measures.overall, ~clear, numbers))
        starts = np.searchsorted(numbers[order], found).tolist()
        ends = np.searchsorted(numbers[order], found, side="right").tolist()
        for number, start, end in zip(found, starts, ends, strict=True):
            views = kept.embeddings[order[start : min(end, start + _VIEWS)]]
            name = _whom_most_match(search.matching(views, threshold), threshold)
            person = None if name is None else gallery.person(name)
            if person is not None:
                people[number] = person
        return people

    def _in_groups(
        self, kept: KeptFaces, numbers: Indices, people: Mapping[int, Person], threshold: Threshold
    ) -> PhotoGroups:
        paths = self._shelf.paths()
        quality = kept.measures.overall
        members: dict[int, list[PhotoFace]] = {}
        for row in np.lexsort((-quality, numbers)).tolist():
            picture = int(kept.pictures[row])
            box = [round(edge, 1) for edge in kept.boxes[row].tolist()]
            members.setdefault(int(numbers[row]), []).extend(
                PhotoFace(
                    id=int(kept.ids[row]),
                    path=path,
                    bbox=(box[0], box[1], box[2], box[3]),
                    score=float(kept.scores[row]),
                    quality=float(quality[row]),
                    size_wh=kept.sizes[picture],
                )
                for path in paths[picture]
            )
        ungrouped = members.pop(-1, [])
        groups = [
            PhotoGroup(
                number,
                people[number].name if number in people else None,
                people[number].id if number in people else None,
                tuple(faces),
            )
            for number, faces in members.items()
        ]
        groups.sort(key=lambda group: (-len(group.faces), group.id))
        photos = sum(map(len, paths.values()))
        return PhotoGroups(tuple(groups), tuple(ungrouped), photos, threshold, tuple(self.unreadable))


def group_photos(
    folder: str | Path, analyzer: Analyzer, kept: str | Path | None = None, pool: Gallery | None = None
) -> PhotoGroups:
    """Group the faces of a folder of photos into people, without any name.

    Args:
        folder: With photos, at any depth; they are only read.
        analyzer: Turns pictures into faces.
        kept: File in which what was found is kept, so that the next call looks at new photos only and groups keep their
            numbers; None: nothing is kept. It holds biometric data, and is readable by its owner only; with
            an encrypted pool it is encrypted with the same key.
        pool: Who is known: groups that match somebody in it get the name.

    Returns:
        The groups, faces that are in none, and what could not be read.

    Raises:
        SourceEmpty: The folder holds no picture.
        SpaceMismatch: What was kept, or the pool, is of another embedding space.
        StorageError: What was found cannot be kept.
    """
    found = pictures_or_error(folder)
    key = None if pool is None else key_of(pool.address)
    with Shelf(None if kept is None else Path(kept), analyzer.space, key) as shelf:
        shelf.belong_to(found.root.resolve())
        library = PhotoLibrary(found.root, shelf, ThresholdPolicy(analyzer.fmr))
        library.look(found, LocalAnalysis(analyzer, aligned=True))
        return library.group(pool)


def group_analyzed(pictures: Sequence[Faces], policy: ThresholdPolicy) -> Indices:
    """Which faces of some pictures show one person; nothing is kept.

    Args:
        pictures: The faces of each.
        policy: How alike strangers get.

    Returns:
        A number for the group of each face, those of the first picture first; -1: it is in none.
    """
    counts = [len(faces) for faces in pictures]
    if not sum(counts):
        return np.empty(0, np.intp)
    loose = LooseFaces(
        np.concatenate([faces.embeddings for faces in pictures]),
        np.repeat(np.arange(len(pictures)), counts),
        np.array([not flaws for faces in pictures for flaws in CLEAR.flaws(faces.measures)], bool),
        np.full(sum(counts), -1, np.intp),
    )
    return group_faces(loose, grouping_threshold(policy, len(loose)).value)


def stable_numbers(labels: Indices, before: Indices, following: int) -> Indices:
    """Numbers for groups that stay those of before: of two groups that could have one, the one with more of its faces.

    Args:
        labels: (N,) groups as they are now, from 0 on; -1: none.
        before: (N,) numbers of the groups of before; -1: none.
        following: The first number that no group ever had.

    Returns:
        (N,) -1 where ``labels`` is.
    """
    both = (labels >= 0) & (before >= 0)
    shared = Counter(zip(labels[both].tolist(), before[both].tolist(), strict=True))
    number_of: dict[int, int] = {}
    taken: set[int] = set()
    for (label, number), _ in sorted(shared.items(), key=lambda entry: (-entry[1], entry[0])):
        if label not in number_of and number not in taken:
            number_of[label] = number
            taken.add(number)
    for label in range(int(labels.max(initial=-1)) + 1):
        if label not in number_of:
            number_of[label] = following
            following += 1
    return np.array([number_of.get(label, -1) for label in labels.tolist()], np.intp)


def _whom_most_match(matching: Mapping[str, Floats], threshold: float) -> str | None:
    """Whom more than half of the views of a group match; None: nobody, or as many match somebody else."""
    counts = Counter({name: int((similarities >= threshold).sum()) for name, similarities in matching.items()})
    best = counts.most_common(2)
    if not best or 2 * best[0][1] <= len(next(iter(matching.values()))):
        return None
    return None if len(best) > 1 and best[1][1] == best[0][1] else best[0][0]


def _beneath(found: PictureFolder, paths: Iterable[str]) -> set[str]:
    """Those of some paths that may still be there: they lie in what could not be read of a folder."""
    unreadable = {path.relative_to(found.root).as_posix() for path, _ in found.unreadable}
    return {path for path in paths if unreadable.intersection((path, *map(str, PurePosixPath(path).parents)))}


def _unreadable(path: Path, error: OSError) -> PathUnreadable:
    return PathUnreadable(
        f"{path} cannot be read",
        why=(error.strerror or str(error)).lower(),
        fix="Check its permissions, or leave it out",
    )
