"""A segment: whole people with their templates, ordered and measured for searching; an index is made of some.

A segment is never added to: whoever gets another template, or another name, is written into a newer one with all that
they have. Only what is to be gone for good is overwritten in place, see `Segment.wipe`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import numpy.typing as npt

from facepool.gallery.columns import Numbers
from facepool.search.int8 import Codes, Places, aligned, coded_rows
from facepool.search.texts import Texts, ranges
from facepool.types import Floats, Indices, counted, one_line

Keys = npt.NDArray[np.bytes_]

_CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEY_BYTES = 16
_PEOPLE_AT_ONCE = 1024
_FIXED_POINT = 2.0**38
"""Sums of means are whole numbers of this fraction: the same in whatever order people come and go. There is room for
33 million people with one face."""


@dataclass(slots=True)
class Validity:
    """From which generation of an index on a segment is as that index says: none of its people is wiped since."""

    since: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Segment:
    """Some people of a gallery, in the order of their names, the rows of a person next to each other.

    Attributes:
        vectors: (T, D) float32, C-contiguous, rows of L2 norm 1.
        template_ids: (T,) int64, rising within a person.
        starts: (P + 1,) int32, the first row of each person, and the end of the last one's.
        names: P names.
        ids: (P,) of 16 bytes: the people's ids where these are UUIDs, else digests of them.
        id_texts: Their ids, where one is no UUID.
        by_id: (P,) int32, places of people in the order of ``ids``.
        by_template: (T,) int32, rows in the order of their templates' numbers.
        lengths: (P,) float32, norm of the mean of each person's templates.
        codes: The vectors again, in a byte a number; None in small galleries.
        key: Stands for what is in it.
        validity: The only thing here that changes, beside what is wiped.
    """

    vectors: Floats
    template_ids: Numbers
    starts: Places
    names: Texts
    ids: Keys
    id_texts: Texts | None
    by_id: Places
    by_template: Places
    lengths: Floats
    codes: Codes | None
    key: str
    validity: Validity = field(default_factory=Validity)

    def __repr__(self) -> str:
        """How much there is."""
        return one_line(self, f"{counted(self.rows, 'template')} of {counted(self.people, 'name')}")

    @property
    def people(self) -> int:
        """How many people it has."""
        return len(self.ids)

    @property
    def rows(self) -> int:
        """How many templates it has."""
        return len(self.template_ids)

    def places_of_ids(self, keys: Keys) -> Indices:
        """Where those of some ids are who are here, rising; each once."""
        return _found(self.ids, self.by_id, keys)

    def places_of_templates(self, numbers: Numbers) -> Indices:
        """Where the people are whose templates have these numbers, rising; each once."""
        rows = _found(self.template_ids, self.by_template, numbers)
        return np.unique(self.owners(rows)) if len(rows) else rows

    def owners(self, rows: Indices) -> Indices:
        """Whose some rows are."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def counts(self, places: Indices) -> Indices:
        """(...) how many templates each of (...) people has."""
        return np.asarray(self.starts[places + 1] - self.starts[places], np.intp)

    def person_id(self, place: int) -> str:
        """The id of somebody."""
        if self.id_texts is not None:
            return self.id_texts[place]
        return str(UUID(bytes=self.ids[place].ljust(_KEY_BYTES, b"\0")))

    def means(self, places: Indices) -> Floats:
        """(K, D) float32: the mean of the templates of each of (K,) people."""
        counts = self.counts(places)
        return means_of(self.vectors[ranges(self.starts[places], counts)], counts)

    def has(self, numbers: Numbers) -> bool:
        """Whether any of some templates is here."""
        return len(_found(self.template_ids, self.by_template, numbers)) > 0

    def wipe(self, numbers: Numbers) -> None:
        """Overwrite all that there is of some templates, and of people who have no other.

        The order of ids and names stays such that others are found: an id becomes that of the person before.

        Args:
            numbers: Of the templates; those that are not here are passed over.
        """
        rows = _found(self.template_ids, self.by_template, numbers)
        self.vectors[rows] = 0
        if self.codes is not None:
            self.codes.rows[rows] = 0
            self.codes.errors[rows] = 0
        places = np.unique(self.owners(rows))
        if len(places):
            counts = self.counts(places)
            is_zero = ~self.vectors[ranges(self.starts[places], counts)].any(axis=1)
            self._wipe_people(places[np.logical_and.reduceat(is_zero, np.cumsum(counts) - counts)])

    def _wipe_people(self, places: Indices) -> None:
        self.lengths[places] = 0
        for texts in (self.names, self.id_texts):
            if texts is not None:
                texts.blank(places)
        rank = np.empty(self.people, np.intp)
        rank[self.by_id] = np.arange(self.people)
        for place in np.sort(rank[places]).tolist():
            self.ids[self.by_id[place]] = self.ids[self.by_id[place - 1]] if place else b""

    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays by name."""
        found: dict[str, npt.NDArray[Any]] = {
            "vectors": self.vectors,
            "template_ids": self.template_ids,
            "starts": self.starts,
            "names": self.names.letters,
            "name_ends": self.names.ends,
            "ids": self.ids.view(np.uint8),
            "by_id": self.by_id,
            "by_template": self.by_template,
            "lengths": self.lengths,
        }
        if self.id_texts is not None:
            found |= {"id_letters": self.id_texts.letters, "id_ends": self.id_texts.ends}
        if self.codes is not None:
            found |= {"codes": self.codes.rows, "errors": self.codes.errors}
        return found

    @classmethod
    def of_parts(cls, parts: Mapping[str, npt.NDArray[Any]], scale: float | None, key: str) -> "Segment":
        """The segment of some arrays by name, none of which is copied."""
        starts = parts["starts"]
        codes = None
        if scale is not None:
            codes = Codes.of(parts["codes"], parts["errors"], scale, starts)
            codes.measure()
        return cls(
            vectors=parts["vectors"],
            template_ids=parts["template_ids"],
            starts=starts,
            names=Texts(parts["names"], parts["name_ends"]),
            ids=parts["ids"].view(f"S{_KEY_BYTES}"),
            id_texts=Texts(parts["id_letters"], parts["id_ends"]) if "id_ends" in parts else None,
            by_id=parts["by_id"],
            by_template=parts["by_template"],
            lengths=parts["lengths"],
            codes=codes,
            key=key,
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that a segment is made of.

    Attributes:
        vectors: (N, D) float32.
        codes: Of the same rows; None: there are none yet.
    """

    vectors: Floats
    codes: Codes | None = None


@dataclass(frozen=True, slots=True)
class People:
    """Whole people, one after the other: what a segment is made of beside the vectors.

    Attributes:
        names: P names.
        ids: (P,) as in `Segment`.
        id_texts: As in `Segment`.
        counts: (P,) how many templates each has, one or more.
        template_ids: (T,) int64, the numbers of the first person's templates, of the second's, ...
        sources: (T,) which source each template is from; None: there is one.
        rows: (T,) and which row of that.
    """

    names: Texts
    ids: Keys
    id_texts: Texts | None
    counts: Indices
    template_ids: Numbers
    sources: Indices | None
    rows: Indices

    @classmethod
    def of(cls, segments: Sequence[tuple[Segment, Indices]]) -> "People":
        """People of one or more segments: each with the places of those who are meant, one or more."""
        names = Texts.joined([segment.names.take(places) for segment, places in segments])
        id_texts = None
        if any(segment.id_texts is not None for segment, _ in segments):
            id_texts = Texts.joined([_id_texts(segment, places) for segment, places in segments])
        counts = [segment.counts(places) for segment, places in segments]
        rows = [
            ranges(segment.starts[places], of_each) for (segment, places), of_each in zip(segments, counts, strict=True)
        ]
        return cls(
            names=names,
            ids=np.concatenate([segment.ids[places] for segment, places in segments]),
            id_texts=id_texts,
            counts=np.concatenate(counts),
            template_ids=np.concatenate(
                [segment.template_ids[of_each] for (segment, _), of_each in zip(segments, rows, strict=True)]
            ),
            sources=np.repeat(np.arange(len(segments)), [len(of_each) for of_each in rows]),
            rows=np.concatenate(rows),
        ).sorted()

    def sorted(self) -> "People":
        """The same people in the order of their names, and their templates in that of their numbers."""
        order = self.names.order()
        rank = np.empty(len(order), np.intp)
        rank[order] = np.arange(len(order))
        by_name = np.lexsort((self.template_ids, np.repeat(rank, self.counts)))
        return People(
            self.names.take(order),
            self.ids[order],
            None if self.id_texts is None else self.id_texts.take(order),
            self.counts[order],
            self.template_ids[by_name],
            None if self.sources is None else self.sources[by_name],
            self.rows[by_name],
        )

    def parted(self, most_rows: int) -> Iterator["People"]:
        """The same people in parts of about as many rows, as few as there can be of at most so many.

        A single person may have more.
        """
        starts = np.cumsum(self.counts) - self.counts
        parts = -(-len(self.rows) // most_rows)
        cuts = np.searchsorted(starts, np.arange(1, parts) * len(self.rows) // parts)
        # In order already, and np.unique would import masked arrays when a pool is opened.
        bounds = [0, *dict.fromkeys(cuts[(cuts > 0) & (cuts < len(starts))].tolist()), len(starts)]
        row_bounds = [*starts[bounds[:-1]].tolist(), len(self.rows)]
        for place, first in enumerate(bounds[:-1]):
            people, rows = slice(first, bounds[place + 1]), slice(row_bounds[place], row_bounds[place + 1])
            yield People(
                self.names.part(people),
                self.ids[people],
                None if self.id_texts is None else self.id_texts.part(people),
                self.counts[people],
                self.template_ids[rows],
                None if self.sources is None else self.sources[rows],
                self.rows[rows],
            )


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """What people add to the sums over a gallery, in whole numbers of a fixed fraction.

    Attributes:
        people: How many they are.
        means: (D,) int64, sum of the means of their templates.
        squares: Sum of the squared norms of these.
    """

    people: int
    means: Numbers
    squares: int

    @classmethod
    def of(cls, means: Floats) -> "Share":
        """Of people with (P, D) means."""
        fixed = np.rint(means * _FIXED_POINT).astype(np.int64).sum(axis=0)
        return cls(len(means), fixed, int(np.rint(squares_of(means) * _FIXED_POINT).astype(np.int64).sum()))

    def __add__(self, other: "Share") -> "Share":
        return Share(self.people + other.people, self.means + other.means, self.squares + other.squares)

    def __sub__(self, other: "Share") -> "Share":
        return Share(self.people - other.people, self.means - other.means, self.squares - other.squares)

    @property
    def total(self) -> npt.NDArray[np.float64]:
        """(D,) sum of the means."""
        return self.means / _FIXED_POINT

    @property
    def usual(self) -> float:
        """The mean similarity of the means of two different people; 0 where there are no two."""
        total = self.total
        return float((total * total).sum() - self.squares / _FIXED_POINT) / max(1, self.people * (self.people - 1))


class Building:
    """A segment that is being filled.

    Args:
        people: Whose it is to be, in the order of their names.
        sources: Where the rows come from.
        scale: What codes are made with; None: there are to be none.

    Attributes:
        segment: Takes shape while it is filled.
    """

    def __init__(self, people: People, sources: Sequence[Source], scale: float | None) -> None:
        self._people = people
        self._sources = sources
        rows, dimension = len(people.rows), sources[0].vectors.shape[1]
        starts = np.concatenate([np.zeros(1, np.int32), np.cumsum(people.counts, dtype=np.int32)])
        codes = None
        if scale is not None:
            codes = Codes.of(aligned((rows, dimension), np.int8), np.zeros(rows, np.float32), scale, starts)
        self.segment = Segment(
            vectors=aligned((rows, dimension), np.float32),
            template_ids=people.template_ids,
            starts=starts,
            names=people.names,
            ids=people.ids,
            id_texts=people.id_texts,
            by_id=np.argsort(people.ids, kind="stable").astype(np.int32),
            by_template=np.argsort(people.template_ids, kind="stable").astype(np.int32),
            lengths=np.zeros(len(people.ids), np.float32),
            codes=codes,
            key=uuid4().hex,
        )

    def fill(self, guard: AbstractContextManager[object] | None = None) -> Share:
        """Copy and measure everything.

        Args:
            guard: Entered for each of many small steps: whoever has it meanwhile may overwrite rows of the sources and
                of the segment.
        """
        guard = guard or nullcontext()
        share = Share(0, np.zeros(self.segment.vectors.shape[1], np.int64), 0)
        for first in range(0, self.segment.people, _PEOPLE_AT_ONCE):
            with guard:
                share += self._fill(first, min(first + _PEOPLE_AT_ONCE, self.segment.people))
        if self.segment.codes is not None:
            with guard:
                self.segment.codes.measure()
        return share

    def _fill(self, first: int, end: int) -> Share:
        segment = self.segment
        rows = slice(segment.starts[first], segment.starts[end])
        of = None if self._people.sources is None else self._people.sources[rows]
        wanted = self._people.rows[rows]
        for number, source in enumerate(self._sources):
            if of is None:
                np.take(source.vectors, wanted, axis=0, out=segment.vectors[rows])
            else:
                here = np.flatnonzero(of == number)
                segment.vectors[rows][here] = source.vectors[wanted[here]]
        if segment.codes is not None:
            self._code(segment.codes, rows, of, wanted)
        means = means_of(segment.vectors[rows], np.diff(segment.starts[first : end + 1]))
        segment.lengths[first:end] = np.sqrt(squares_of(means))
        return Share.of(means)

    def _code(self, codes: Codes, rows: slice, of: Indices | None, wanted: Indices) -> None:
        """Codes of the same scale are copied, and all others made."""
        for number, source in enumerate(self._sources):
            here: slice | Indices = slice(None) if of is None else np.flatnonzero(of == number)
            if source.codes is not None and source.codes.scale == codes.scale:
                codes.rows[rows][here] = source.codes.rows[wanted[here]]
                codes.errors[rows][here] = source.codes.errors[wanted[here]]
            else:
                codes.rows[rows][here], codes.errors[rows][here] = coded_rows(
                    self.segment.vectors[rows][here], codes.scale
                )


def keys_of(ids: Sequence[str]) -> tuple[Keys, Texts | None]:
    """Ids as `Segment` keeps them: 16 bytes each, and as texts where one is no UUID."""
    if all(map(_CANONICAL.fullmatch, ids)):
        packed = bytes.fromhex("".join(ids).replace("-", ""))
        return np.frombuffer(bytearray(packed), f"S{_KEY_BYTES}"), None
    return np.array([_key(one) for one in ids], f"S{_KEY_BYTES}"), Texts.of(ids)


def means_of(vectors: Floats, counts: Indices) -> Floats:
    """(P, D) float32: the mean of the rows of each person.

    Args:
        vectors: (T, D) float32, the rows of the first person, then those of the second, and so on.
        counts: (P,) how many rows each has, 1 or more.
    """
    if len(counts) == len(vectors):
        return vectors
    sums = np.add.reduceat(vectors, np.cumsum(counts) - counts, axis=0)
    return np.asarray(sums / counts[:, None], np.float32)


def squares_of(means: Floats) -> npt.NDArray[np.float64]:
    """(P,) squared norms, each summed by itself in an order that depends on the dimension alone."""
    doubles = means.astype(np.float64)
    found: npt.NDArray[np.float64] = np.square(doubles, out=doubles).sum(axis=1)
    return found


def _key(person_id: str) -> bytes:
    if _CANONICAL.fullmatch(person_id):
        return UUID(person_id).bytes
    return blake2b(person_id.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()


def _id_texts(segment: Segment, places: Indices) -> Texts:
    if segment.id_texts is not None:
        return segment.id_texts.take(places)
    return Texts.of([segment.person_id(place) for place in places.tolist()])


def _found(values: npt.NDArray[Any], order: Places, wanted: npt.NDArray[Any]) -> Indices:
    """Where the wanted values are, given the order of all; there may be several of one whose neighbour was wiped."""
    if not len(values) or not len(wanted):
        return np.zeros(0, np.intp)
    first = np.searchsorted(values, wanted, sorter=order)
    there = values[order[np.minimum(first, len(values) - 1)]] == wanted
    if not there.any():
        return np.zeros(0, np.intp)
    first = first[there]
    end = np.searchsorted(values, wanted[there], side="right", sorter=order)
    return np.unique(order[ranges(first, end - first)]).astype(np.intp)
