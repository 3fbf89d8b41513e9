"""The index: a gallery's templates at one revision, ordered and measured for searching, and how it follows changes."""

import json
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from facepool.gallery.columns import Changes, LookAlikes, Numbers, grouping
from facepool.search.int8 import FAST, Codes, aligned, code, extended_codes, in_blocks, spliced
from facepool.types import Calibration, Floats, Indices

_CODED_TEMPLATES = 1 << 14
"""From so many on a gallery is searched by codes; in smaller ones there is little to gain."""
_PEOPLE_AT_ONCE = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """What the people of a gallery have in common: what scores are normalized by.

    Attributes:
        lengths: (P,) float32, read-only: norm of the mean of each person's templates.
        total: (D,) float64, read-only: sum of the means.
        squares: Sum of the squared norms.
    """

    lengths: Floats
    total: npt.NDArray[np.float64]
    squares: float

    @property
    def usual(self) -> float:
        """The mean similarity of the means of two different people; 0 where there are no two."""
        pairs = len(self.lengths) * (len(self.lengths) - 1)
        return float(self.total @ self.total - self.squares) / max(1, pairs)


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """A gallery's templates at one revision, the rows of a person next to each other.

    The arrays are read-only, and never change: a changed gallery has a new index. So threads may share one.

    Attributes:
        vectors: (T, D) float32, C-contiguous, rows of L2 norm 1. (0, D) for an empty gallery; D is 0 where it does not
            know its dimension yet.
        person_of: (T,) intp, index into ``names``, never falling.
        names: P names, sorted; each has at least one row.
        person_ids: P ids, in the same order.
        template_ids: (T,) int64, rising within a person.
        starts: (P,) intp, the first row of each person.
        counts: (P,) intp, how many rows a person has.
        revision: The gallery's revision that this is a picture of.
        cohort: What its people have in common.
        look_alikes: Pairs of people who need a larger margin to be told apart.
        margins: That margin, for the pairs whose templates suffice to measure it; see ``facepool.search.index``.
        calibration: What was measured of the gallery; None: nothing, or in another embedding space.
        codes: The vectors again, in a byte a number, where that makes searching faster: in large galleries.
    """

    vectors: Floats
    person_of: Indices
    names: tuple[str, ...]
    person_ids: tuple[str, ...]
    template_ids: Numbers
    starts: Indices
    counts: Indices
    revision: int
    cohort: Cohort
    look_alikes: frozenset[LookAlikes]
    margins: Mapping[LookAlikes, float]
    calibration: Calibration | None
    codes: Codes | None

    def __len__(self) -> int:
        """Number of templates."""
        return len(self.vectors)

    @classmethod
    def of(cls, changes: Changes) -> "Index":
        """The index of a gallery, from all that it has."""
        rows = grouping(changes.person_of, changes.names, changes.template_ids)
        vectors = aligned(changes.vectors.shape, np.float32)
        np.take(changes.vectors, rows.order, axis=0, out=vectors)
        names = tuple(changes.names[person] for person in rows.people)
        return _frozen(
            cls(
                vectors=vectors,
                person_of=rows.person_of,
                names=names,
                person_ids=tuple(changes.person_ids[person] for person in rows.people),
                template_ids=changes.template_ids[rows.order],
                starts=rows.starts,
                counts=rows.counts,
                revision=changes.revision,
                cohort=_cohort_of(vectors, rows.starts, rows.counts),
                look_alikes=changes.look_alikes,
                margins=_margins(changes.look_alikes, names, vectors, rows.starts, rows.counts),
                calibration=changes.calibration,
                codes=code(vectors, rows.starts) if _is_coded(len(vectors)) else None,
            )
        )

    @classmethod
    def of_rows(
        cls,
        vectors: Floats,
        person_of: Indices,
        names: Sequence[str],
        *,
        template_ids: Numbers | None = None,
        look_alikes: frozenset[LookAlikes] = frozenset(),
    ) -> "Index":
        """The index of templates that are in no gallery.

        Args:
            vectors: (T, D) float32, rows of L2 norm 1.
            person_of: (T,) index into ``names`` of each row.
            names: One a person, none twice; those without a row are left out.
            template_ids: (T,) numbers of the templates; None: those of the rows.
            look_alikes: Pairs of names.
        """
        numbers = np.arange(len(vectors)) if template_ids is None else template_ids
        people = tuple(names)
        gone = np.zeros(0, np.int64)
        return cls.of(Changes(1, numbers, person_of, vectors, people, people, gone, look_alikes, whole=True))

    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """All that the index is made of, as arrays by name: what an image of it on disk keeps; `of_parts` takes it."""
        names, name_ends = _packed(self.names)
        ids, id_ends = _packed(self.person_ids)
        about = {
            "revision": self.revision,
            "squares": self.cohort.squares,
            "look_alikes": sorted(map(sorted, self.look_alikes)),
            "margins": [[*sorted(pair), margin] for pair, margin in self.margins.items()],
            "calibration": asdict(self.calibration) if self.calibration else None,
            "scale": self.codes.scale if self.codes else None,
        }
        found: dict[str, npt.NDArray[Any]] = {
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "names": names,
            "name_ends": name_ends,
            "ids": ids,
            "id_ends": id_ends,
            "counts": self.counts,
            "template_ids": self.template_ids,
            "lengths": self.cohort.lengths,
            "total": self.cohort.total,
            "vectors": self.vectors,
        }
        if self.codes is not None:
            found |= {"codes": self.codes.rows, "errors": self.codes.errors}
        return found

    @classmethod
    def of_parts(cls, parts: Mapping[str, npt.NDArray[Any]]) -> "Index":
        """The index that `parts` came from. Of large arrays no copy is made: they may be read-only maps of a file.

        Args:
            parts: As `parts` gives them.
        """
        about = json.loads(bytes(parts["about"]))
        counts = np.asarray(parts["counts"], np.intp)
        starts = np.cumsum(counts) - counts
        calibration = about["calibration"]
        if calibration is not None:
            calibration = Calibration(**calibration | {"points": tuple(map(tuple, calibration["points"]))})
        codes = None
        if "codes" in parts:
            codes = in_blocks(parts["codes"], np.asarray(parts["errors"]), about["scale"], starts)
        return _frozen(
            cls(
                vectors=parts["vectors"],
                person_of=np.repeat(np.arange(len(counts)), counts),
                names=_unpacked(parts["names"], parts["name_ends"]),
                person_ids=_unpacked(parts["ids"], parts["id_ends"]),
                template_ids=np.asarray(parts["template_ids"]),
                starts=starts,
                counts=counts,
                revision=about["revision"],
                cohort=_frozen_cohort(np.array(parts["lengths"]), np.array(parts["total"]), about["squares"]),
                look_alikes=frozenset(map(frozenset, about["look_alikes"])),
                margins={frozenset((one, other)): margin for one, other, margin in about["margins"]},
                calibration=calibration,
                codes=codes,
            )
        )

    def following(self, changes: Changes) -> "Index":
        """The index of the gallery after some changes: what was measured stays where only templates were added."""
        if changes.whole or not len(self):
            return Index.of(changes)
        if self._only_adds(changes):
            return self._extended(changes)
        return Index.of(self._with(changes))

    def means(self, people: Indices) -> Floats:
        """(..., D) float32: the mean of the templates of each of (...) people, of at least one person."""
        wanted, place = np.unique(people, return_inverse=True)
        rows = self.vectors[ranges(self.starts[wanted], self.counts[wanted])]
        return _means_of(rows, self.counts[wanted])[place.reshape(people.shape)]

    def rows_of(self, people: Indices) -> tuple[Indices, Indices]:
        """All rows of some people, at least one, one person's after the other's; and where each person's begin."""
        counts = self.counts[people]
        ends = counts.cumsum()
        starts = ends - counts
        return np.arange(ends[-1]) + (self.starts[people] - starts).repeat(counts), starts

    def _only_adds(self, changes: Changes) -> bool:
        """Whether nothing that is known here is gone, somebody else's or called otherwise."""
        touched = np.concatenate([changes.template_ids, changes.removed])
        if np.isin(touched, self.template_ids).any():
            return False
        others = [
            person_id
            for person_id, name in zip(changes.person_ids, changes.names, strict=True)
            if (place := _find(self.names, name)) is None or self.person_ids[place] != person_id
        ]
        return not others or set(self.person_ids).isdisjoint(others)

    def _with(self, changes: Changes) -> Changes:
        """All that the gallery has after some changes."""
        kept = ~np.isin(self.template_ids, np.concatenate([changes.template_ids, changes.removed]))
        name_of = dict(zip(self.person_ids, self.names, strict=True))
        name_of.update(zip(changes.person_ids, changes.names, strict=True))
        place_of = {person_id: place for place, person_id in enumerate(name_of)}
        new_places = np.array([place_of[person_id] for person_id in changes.person_ids], np.intp)
        return Changes(
            revision=changes.revision,
            template_ids=np.concatenate([self.template_ids[kept], changes.template_ids]),
            person_of=np.concatenate([self.person_of[kept], new_places[changes.person_of]]),
            vectors=np.concatenate([self.vectors[kept], changes.vectors]),
            person_ids=tuple(name_of),
            names=tuple(name_of.values()),
            removed=changes.removed[:0],
            look_alikes=changes.look_alikes,
            calibration=changes.calibration,
            whole=True,
        )

    def _extended(self, changes: Changes) -> "Index":
        """The index with some more rows: nothing else is sorted or computed anew."""
        added = grouping(changes.person_of, changes.names, changes.template_ids)
        vectors = changes.vectors[added.order]
        owners = [changes.names[person] for person in added.people]
        fresh = [place for place, name in enumerate(owners) if _find(self.names, name) is None]
        fresh_at = [bisect_left(self.names, owners[place]) for place in fresh]
        names, person_ids = self.names, self.person_ids
        if fresh:
            ids_of = {owners[place]: changes.person_ids[added.people[place]] for place in fresh}
            ids_of.update(zip(self.names, self.person_ids, strict=True))
            names = tuple(sorted(ids_of))
            person_ids = tuple(ids_of[name] for name in names)
        people = np.array([bisect_left(names, name) for name in owners], np.intp)
        counts = np.insert(self.counts, fresh_at, 0)
        counts[people] += added.counts
        starts = np.cumsum(counts) - counts
        at = np.repeat(np.array([self._end(name) for name in owners], np.intp), added.counts)
        rows = spliced(self.vectors, at, vectors)
        codes = None
        if self.codes is not None:
            codes = extended_codes(self.codes, at, vectors, starts)
        elif _is_coded(len(rows)):
            codes = code(rows, starts)
        return _frozen(
            Index(
                vectors=rows,
                person_of=np.repeat(np.arange(len(counts)), counts),
                names=names,
                person_ids=person_ids,
                template_ids=spliced(self.template_ids, at, changes.template_ids[added.order]),
                starts=starts,
                counts=counts,
                revision=changes.revision,
                cohort=self._changed_cohort(owners, fresh_at, people, rows, starts, counts),
                look_alikes=changes.look_alikes,
                margins=_margins(changes.look_alikes, names, rows, starts, counts),
                calibration=changes.calibration,
                codes=codes,
            )
        )

    def _end(self, name: str) -> int:
        """The row before which the next template of a person comes, whether they have one yet or not."""
        place = bisect_left(self.names, name)
        if place == len(self.names):
            return len(self)
        return int(self.starts[place] + (self.counts[place] if self.names[place] == name else 0))

    def _changed_cohort(
        self,
        owners: Sequence[str],
        fresh_at: Sequence[int],
        people: Indices,
        vectors: Floats,
        starts: Indices,
        counts: Indices,
    ) -> Cohort:
        """The cohort after some people have got more templates, or are new; nobody else is measured."""
        if not owners:
            return self.cohort
        known = (_find(self.names, name) for name in owners)
        old = np.array([place for place in known if place is not None], np.intp)
        before = self.means(old) if len(old) else self.vectors[:0]
        after = _means_of(vectors[ranges(starts[people], counts[people])], counts[people])
        total = self.cohort.total - before.sum(axis=0, dtype=np.float64) + after.sum(axis=0, dtype=np.float64)
        squares = _squares(after)
        lengths = np.insert(self.cohort.lengths, fresh_at, 0)
        lengths[people] = np.sqrt(squares)
        return _frozen_cohort(lengths, total, self.cohort.squares - _squares(before).sum() + squares.sum())


def _means_of(vectors: Floats, counts: Indices) -> Floats:
    """(P, D) float32: the mean of the rows of each person.

    Args:
        vectors: (T, D) float32, the rows of the first person, then those of the second, and so on.
        counts: (P,) how many rows each has, 1 or more.
    """
    if len(counts) == len(vectors):
        return vectors
    sums = np.add.reduceat(vectors, np.cumsum(counts) - counts, axis=0)
    return np.asarray(sums / counts[:, None], np.float32)


def _cohort_of(vectors: Floats, starts: Indices, counts: Indices) -> Cohort:
    lengths = np.empty(len(counts), np.float32)
    total, squares = np.zeros(vectors.shape[1]), 0.0
    for first in range(0, len(counts), _PEOPLE_AT_ONCE):
        part = slice(first, first + _PEOPLE_AT_ONCE)
        end = starts[part][-1] + counts[part][-1]
        means = _means_of(vectors[starts[first] : end], counts[part])
        of_part = _squares(means)
        lengths[part] = np.sqrt(of_part)
        total += means.sum(axis=0, dtype=np.float64)
        squares += of_part.sum()
    return _frozen_cohort(lengths, total, squares)


def _squares(means: Floats) -> npt.NDArray[np.float64]:
    return np.asarray(np.einsum("nd,nd->n", means, means), np.float64)


def _frozen_cohort(lengths: Floats, total: npt.NDArray[np.float64], squares: float) -> Cohort:
    lengths.setflags(write=False)
    total.setflags(write=False)
    return Cohort(lengths, total, float(squares))


def _margins(
    pairs: frozenset[LookAlikes], names: Sequence[str], vectors: Floats, starts: Indices, counts: Indices
) -> dict[LookAlikes, float]:
    own = {}
    for name in {name for pair in pairs for name in pair}:
        place = _find(names, name)
        if place is not None:
            own[name] = vectors[starts[place] : starts[place] + counts[place]]
    return measured_margins(pairs, own)


def _packed(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Texts as one array of bytes, and where each ends."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), ends


def _unpacked(texts: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> tuple[str, ...]:
    whole, places = bytes(texts), [0, *ends.tolist()]
    return tuple(whole[first:end].decode() for first, end in pairwise(places))


def _find(names: Sequence[str], name: str) -> int | None:
    """Where a name is among sorted ones; None: it is not."""
    place = bisect_left(names, name)
    return place if place < len(names) and names[place] == name else None


def _frozen(index: Index) -> Index:
    for array in (index.vectors, index.person_of, index.template_ids, index.starts, index.counts):
        array.setflags(write=False)
    return index


def ranges(firsts: Indices, lengths: Indices) -> Indices:
    """Ranges of numbers one after the other, of lengths above 0; at least one range."""
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(ends[-1]) + np.repeat(firsts - (ends - lengths), lengths), np.intp)


CONFUSED = 0.01
"""Share of a look-alike's faces that may be named as the other one."""
_EXPECTED_SPREAD = 0.07
"""Standard deviation of how far faces of one person are ahead of another person: LFW, four templates, SFace."""
_EXPECTED_DEGREES = 4
"""So many templates say as much of it as this expectation."""
_LEAST = 4
"""Templates of a pair, of people who have two or more, below which their spread says nothing."""


def measured_margins(pairs: Collection[frozenset[str]], vectors: Mapping[str, Floats]) -> dict[frozenset[str], float]:
    """The margin of each pair that has templates enough.

    Each template is taken for a new face of its person: it is ahead of the other person by its similarity to the
    person's other templates, minus that to the other's. How far ahead faces are is taken for normal; a face would be
    named as the other person if it were behind by the margin, and the margin is such that `CONFUSED` of the faces are.
    It is that of a prediction from few values (Student's t), and of the person of the two who is told apart worse. The
    templates of a person were chosen to differ from each other, so faces in use are rather further ahead.

    Args:
        pairs: Names of two people each.
        vectors: (T, D) float32 unit rows, one array a person.

    Returns:
        Similarity, 0 or more, by pair. Pairs that cannot be measured are left out.
    """
    found = {}
    for pair in pairs:
        margin = _margin(*(vectors.get(name) for name in sorted(pair)))
        if margin is not None:
            found[pair] = margin
    return found


def _margin(one: Floats | None, other: Floats | None) -> float | None:
    if one is None or other is None:
        return None  # known by name only
    if sum(len(templates) for templates in (one, other) if len(templates) > 1) < _LEAST:
        return None
    # In a small gallery the best template counts, in a large one it and the mean by half: whichever asks for more.
    measured = (
        _needed([_leads(*sides, mean_counts) for sides in ((one, other), (other, one)) if len(sides[0]) > 1])
        for mean_counts in (0.0, 0.5)
    )
    return max(0.0, *measured)


def _needed(sides: Sequence[Floats]) -> float:
    """The margin by how far the templates of each person are ahead of the other."""
    # One spread for both, and what is expected of it, so that two templates do not decide by chance.
    degrees = sum(map(len, sides)) - len(sides) + _EXPECTED_DEGREES
    squares = sum(float(((side - side.mean()) ** 2).sum()) for side in sides)
    spread = np.sqrt((squares + _EXPECTED_DEGREES * _EXPECTED_SPREAD**2) / degrees)
    reach = _t_quantile(1 - CONFUSED, degrees) * spread
    return max(float(reach * np.sqrt(1 + 1 / len(side)) - side.mean()) for side in sides)


def _leads(own: Floats, other: Floats, mean_counts: float) -> Floats:
    """(T,) by how much each template is ahead of the other person, judged by the person's other templates."""
    return np.array(
        [
            _score(face, np.delete(own, row, axis=0), mean_counts) - _score(face, other, mean_counts)
            for row, face in enumerate(own)
        ],
        np.float32,
    )


def _score(face: Floats, templates: Floats, mean_counts: float) -> float:
    """One face and (T, D) templates of one person, as in ``facepool.search.normalization``."""
    similarities = templates @ face
    length = max(float(np.linalg.norm(templates.mean(axis=0))), 1e-3)
    return float((1 - mean_counts) * similarities.max() + mean_counts * similarities.mean() / length)


def _t_quantile(share: float, degrees: int) -> float:
    """Of Student's t, by the expansion of Cornish and Fisher (Abramowitz and Stegun 26.7.5); 2 degrees or more."""
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(float(term / degrees**power) for power, term in enumerate(terms, start=1))


def _is_coded(templates: int) -> bool:
    """Whether so many are searched by codes first."""
    return FAST and templates >= _CODED_TEMPLATES
