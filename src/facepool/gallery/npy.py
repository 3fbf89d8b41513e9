"""The pool in the original project's two .npy files: equal in use, rewritten as a whole by every change."""

import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from facepool.errors import PathMissing, PoolError, PoolLocked
from facepool.files import exists, only_writer
from facepool.gallery.base import check_pool, new_templates, pairs_of
from facepool.gallery.calibrations import fitting
from facepool.gallery.checks import (
    check_dimension,
    check_samples,
    check_space,
    clean_name,
    clean_pair,
    name_taken,
    person_exists,
    pool_changed,
    space_needed,
    unknown_person,
    unknown_template,
)
from facepool.gallery.columns import Changes, LookAlikes, PoolMatrix
from facepool.gallery.commit import FileSet
from facepool.gallery.pair import PairContent, PairPaths, contents, read
from facepool.types import Calibration, EmbeddingSpace, Person, Sample, Template

_NOT_READ: tuple[tuple[int, int, int], ...] = ()


class NpyPool:
    """A `Pool` in ``model_faces.npy`` and ``model_face_ids.npy``.

    A JSON file beside the vectors keeps embedding space and provenance. A pair without one is taken as it is, checked
    by dimension only; it stays of unknown space when templates are added. Every change writes all files anew and every
    template is an object in memory, so large pools belong into ``pool.db``; so do pictures, which these files do not
    keep.

    Args:
        vectors_path: The vectors.
        ids_path: The names.
        space: What the caller's embeddings are; None: only what the pool itself says.
        must_exist: Whether files that do not exist are an error.
        timeout_s: How long to wait for other processes.

    Raises:
        ConfigError: The two paths are the same, or one is the sidecar's.
        PathMissing: The files must exist and do not.
        PoolCorrupt: The files are no pool, or contradict each other.
        PoolTooNew: A newer facepool wrote them.
        PoolLocked: Another process kept them locked for `timeout_s`.
        InvalidEmbedding: A row is no unit vector.
        SpaceMismatch: The pool holds embeddings of another space or dimension.
    """

    def __init__(
        self,
        vectors_path: Path,
        ids_path: Path,
        space: EmbeddingSpace | None = None,
        *,
        must_exist: bool = False,
        timeout_s: float = 5.0,
    ) -> None:
        self.path = vectors_path
        self._offered = space
        # A move onto a link would replace the link.
        self._paths = PairPaths(vectors_path.resolve(), ids_path.resolve())
        self._paths.check_distinct()
        self._files = FileSet(self._paths.all)
        self._timeout_s = timeout_s
        self._closed = False
        self._seen = _NOT_READ
        self._content: PairContent | None = None
        if must_exist and not (exists(vectors_path) or exists(ids_path)):
            raise PathMissing(
                f"The pool {vectors_path} does not exist", fix="Register somebody first, or name another pool"
            )
        self._check_fit(self._current(), space)

    @property
    def space(self) -> EmbeddingSpace | None:
        """What the vectors are; None for a pair that does not say; for an empty one, what it was opened with."""
        content = self._current()
        return content.space if content.templates else content.space or self._offered

    @property
    def dimension(self) -> int | None:
        """Length of a vector; None for a new pool without a space."""
        content = self._current()
        if content.dimension is not None:
            return content.dimension
        return self._offered.dimension if self._offered else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the user, one line each."""
        content = self._current()
        if content.space or not content.templates:
            return ()
        if not content.labelled:
            return (f"{self.path.name} has no sidecar: its embedding space is unknown; checked by dimension only.",)
        return (f"{self.path.name} has rows of an unknown embedding space; checked by dimension only.",)

    def revision(self) -> int:
        """A number made of the files' identities, times and sizes."""
        return hash(self._current_signature())

    def people(self) -> list[Person]:
        """Everybody, sorted by name."""
        content = self._current()
        stored: dict[str, list[str]] = {name: [] for name in content.bare}
        for template in content.templates:
            stored.setdefault(template.person, []).append(template.created_at)
        return [
            Person(name, len(times), min(filter(None, times), default="")) for name, times in sorted(stored.items())
        ]

    def person(self, name: str) -> Person | None:
        """Somebody by name."""
        name = clean_name(name)
        return next((entry for entry in self.people() if entry.name == name), None)

    def templates(self, person: str | None = None) -> list[Template]:
        """The templates of one person, or of everybody, oldest first."""
        content = self._current()
        if person is None:
            return list(content.templates)
        name = clean_name(person)
        _check_known(content.names, name)
        return [template for template in content.templates if template.person == name]

    def template(self, template_id: int) -> Template:
        """One template."""
        return _find(self._current(), template_id)

    def picture(self, template_id: int) -> bytes | None:
        """None: these files keep no pictures."""
        _find(self._current(), template_id)
        return None

    def template_ids_with_image(self, person: str) -> frozenset[int]:
        """None of them: these files keep no pictures."""
        clean_name(person)
        return frozenset()

    def look_alikes(self) -> frozenset[LookAlikes]:
        """Pairs of people who are easily taken for each other."""
        return self._current().look_alikes

    def calibration(self) -> Calibration | None:
        """What was measured of the pool in its embedding space."""
        content = self._current()
        return fitting(content.calibration, content.space)

    def changes(self, since: int | None = None) -> Changes:  # noqa: ARG002 -- the files do not tell
        """All templates as they are now."""
        return _everything(self._current(), self.dimension or 0, hash(self._seen))

    def matrix(self) -> PoolMatrix:
        """All templates as they are now. Deprecated: ``changes`` and ``facepool.search.Search`` take its place."""
        warnings.warn("Pool.matrix() is deprecated: use facepool.search.Search", DeprecationWarning, stacklevel=2)
        return PoolMatrix.of(self.changes())

    def create(self, person: str) -> None:
        """Make a person known who has no templates yet; the sidecar keeps the name."""
        name = clean_name(person)
        with self._locked() as content:
            if name in content.names:
                raise name_taken(name)
            space = content.space if content.templates else content.space or self._offered
            self._store(replace(content, space=space, bare=content.bare | {name}, labelled=True))

    def register(
        self,
        person: str,
        samples: Sequence[Sample],
        space: EmbeddingSpace,
        *,
        look_alikes: Collection[str] = (),
        expected_revision: int | None = None,
    ) -> int:
        """Store samples of a new or known person, all or none."""
        templates = new_templates(person, samples, space.model)
        return self._add(templates, space, pairs_of(person, look_alikes) if templates else (), (), expected_revision)

    def add(
        self,
        templates: Sequence[Template],
        space: EmbeddingSpace | None,
        look_alikes: Collection[LookAlikes] = (),
        people: Collection[str] = (),
    ) -> int:
        """Store templates with their provenance, all or none."""
        return self._add(templates, space, look_alikes, people, None)

    def set_calibration(self, calibration: Calibration | None, *, expected_revision: int | None = None) -> None:
        """Keep what was measured of the pool in place of what was kept."""
        if calibration is None and self._current().calibration is None:
            return
        with self._locked() as content:
            if expected_revision is not None and hash(self._seen) != expected_revision:
                raise pool_changed(self.path)
            self._store(replace(content, calibration=calibration, labelled=True))

    def rename(self, old: str, new: str) -> None:
        """Give a person another name."""
        old, new = clean_name(old), clean_name(new)
        with self._rewrite(old) as content:
            if new != old and new in content.names:
                raise person_exists(old, new)
            self._rename_in(content, old, new)

    def merge(self, source: str, target: str) -> int:
        """Give all templates of `source` to `target`; `source` is gone."""
        source, target = clean_pair(source, target)
        with self._rewrite(source) as content:
            _check_known(content.names, target)
            self._rename_in(content, source, target)
        return sum(template.person == source for template in content.templates)

    def remove(self, person: str) -> int:
        """Erase a person and all their templates. The old files are deleted; their blocks are not overwritten."""
        name = clean_name(person)
        with self._rewrite(name) as content:
            kept = tuple(template for template in content.templates if template.person != name)
            pairs = frozenset(pair for pair in content.look_alikes if name not in pair)
            self._store(replace(content, templates=kept, look_alikes=pairs, bare=content.bare - {name}, labelled=True))
        return len(content.templates) - len(kept)

    def remove_many(self, people: Collection[str]) -> dict[str, int]:
        """Erase several people who are there in one change, as `remove` does."""
        names = {clean_name(person) for person in people}
        if names.isdisjoint(self._current().names):
            return {}
        with self._locked() as content:
            gone = names & content.names
            kept = tuple(template for template in content.templates if template.person not in gone)
            pairs = frozenset(pair for pair in content.look_alikes if gone.isdisjoint(pair))
            self._store(replace(content, templates=kept, look_alikes=pairs, bare=content.bare - gone, labelled=True))
        counts = Counter(template.person for template in content.templates)
        return {name: counts[name] for name in gone}

    def remove_template(self, template_id: int, person: str | None = None) -> str:
        """Erase one template. The old files are deleted; their blocks are not overwritten."""
        name = None if person is None else clean_name(person)
        _find(self._current(), template_id, name)
        with self._locked() as content:
            owner = _find(content, template_id, name).person
            kept = tuple(template for template in content.templates if template.id != template_id)
            bare = content.bare if any(template.person == owner for template in kept) else content.bare | {owner}
            self._store(replace(content, templates=kept, bare=bare, labelled=True))
        return owner

    def close(self) -> None:
        """Let go of what was read; no file is open between calls."""
        self._closed = True
        self._content = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def _current_signature(self) -> tuple[tuple[int, int, int], ...]:
        self._current()
        return self._seen

    def _current(self) -> PairContent:
        """What the files say now, read without a lock: again until no other process wrote meanwhile."""
        if self._closed:
            raise ValueError(f"the pool {self.path} is closed")
        while True:
            seen = self._files.signature()
            if self._files.interrupted:
                with self._lock():
                    self._files.recover()
                continue
            if self._content is not None and seen == self._seen:
                return self._content
            content = self._read_unless_changed(seen)
            if content is not None:
                self._content, self._seen = content, seen
                return content

    def _read_unless_changed(self, seen: tuple[tuple[int, int, int], ...]) -> PairContent | None:
        """None when another process wrote while the files were read; then what was found wrong may not be."""
        try:
            content = read(self._paths)
        except (PoolError, FileNotFoundError):
            if self._files.signature() == seen and not self._files.interrupted:
                raise
            return None
        return content if self._files.signature() == seen and not self._files.interrupted else None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other writers out; the operating system lets go when the process dies."""
        folder = self._paths.vectors.parent
        if not folder.is_dir():
            raise PathMissing(
                f"The pool {self.path} cannot be made", why="its folder does not exist", fix=f"Make the folder {folder}"
            )
        busy = PoolLocked(
            f"The pool {self.path} cannot be used",
            why="another process is writing to it",
            fix="Try again, or end the other process",
        )
        with only_writer(self._paths.vectors.with_name(self._paths.vectors.name + ".lock"), self._timeout_s, busy):
            yield

    @contextmanager
    def _locked(self) -> Iterator[PairContent]:
        """The pool's content, which nobody else changes inside the block."""
        with self._lock():
            self._files.recover()
            yield self._current()

    def _add(
        self,
        templates: Sequence[Template],
        space: EmbeddingSpace | None,
        look_alikes: Collection[LookAlikes],
        people: Collection[str],
        expected_revision: int | None,
    ) -> int:
        named = [
            replace(template, person=clean_name(template.person), sample=replace(template.sample, picture=b""))
            for template in templates
        ]
        bare = {clean_name(name) for name in people}
        if not named and not look_alikes and not bare:
            return 0
        space = space or self.space or self._offered
        if space is None and named:
            raise space_needed(self.path)
        if space is not None:
            check_pool(self, space)
        samples = [template.sample for template in named]
        check_samples(samples, space.dimension if space else None)
        with self._locked() as content:
            if expected_revision is not None and hash(self._seen) != expected_revision:
                raise pool_changed(self.path)
            self._check_fit(content, space)
            numbered = [replace(template, id=content.next_id + row) for row, template in enumerate(named)]
            together = (*content.templates, *numbered)
            names = content.names.union(bare, (template.person for template in numbered))
            for name in frozenset[str]().union(*look_alikes):
                _check_known(names, name)
            self._store(
                PairContent(
                    space=content.space if content.templates else space,
                    templates=together,
                    next_id=content.next_id + len(numbered),
                    labelled=True,
                    look_alikes=content.look_alikes.union(look_alikes),
                    calibration=content.calibration,
                    bare=names.difference(template.person for template in together),
                )
            )
        return len(named)

    @contextmanager
    def _rewrite(self, person: str) -> Iterator[PairContent]:
        """The same for a change to somebody who is there; a pool without them is not even locked."""
        _check_known(self._current().names, person)
        with self._locked() as content:
            _check_known(content.names, person)
            yield content

    def _rename_in(self, content: PairContent, old: str, new: str) -> None:
        templates = tuple(
            replace(template, person=new) if template.person == old else template for template in content.templates
        )
        pairs = [frozenset(new if name == old else name for name in pair) for pair in content.look_alikes]
        # Two who have become one are nobody's look-alike.
        two = frozenset(pair for pair in pairs if len(pair) > 1)
        bare = content.names - {old} | {new}
        bare = bare.difference(template.person for template in templates)
        self._store(replace(content, templates=templates, look_alikes=two, bare=bare, labelled=True))

    def _store(self, content: PairContent) -> None:
        self._files.replace(contents(self._paths, content))
        self._content, self._seen = content, self._files.signature()

    def _check_fit(self, content: PairContent, space: EmbeddingSpace | None) -> None:
        check_space(self.path, content.space, space)
        check_dimension(self.path, content.dimension, space)


def _check_known(names: Collection[str], name: str) -> None:
    if name not in names:
        raise unknown_person(name, names)


def _find(content: PairContent, template_id: int, person: str | None = None) -> Template:
    for template in content.templates:
        if template.id == template_id and person in (None, template.person):
            return template
    raise unknown_template(template_id, person)


def _everything(content: PairContent, dimension: int, revision: int) -> Changes:
    templates = content.templates
    names = sorted({template.person for template in templates})
    number_of = {name: number for number, name in enumerate(names)}
    vectors = np.array([template.sample.embedding for template in templates], np.float32)
    ids = np.array([template.id for template in templates], np.int64)
    return Changes(
        revision,
        ids,
        np.array([number_of[template.person] for template in templates], np.intp),
        vectors.reshape(len(templates), dimension),
        tuple(names),
        tuple(names),
        ids[:0],
        content.look_alikes,
        fitting(content.calibration, content.space),
        whole=True,
    )
