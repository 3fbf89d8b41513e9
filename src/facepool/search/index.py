"""The index: a gallery's templates at one revision, ordered and measured for searching, and how it follows changes.

It is made of segments (``facepool.search.segment``), most of which it has in common with the index of the revision
before: a change writes the people whom it is about into a small newest segment, and their old copies are dead from
then on. `Index.worn` says which segments are better rewritten, which ``facepool.search.shared`` does beside those who
search.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from facepool.gallery.columns import Changes, LookAlikes, Numbers, grouping
from facepool.search.int8 import FAST, Blocks, Number, SearchCounts, scale_for
from facepool.search.margins import measured_margins
from facepool.search.segment import Building, People, Segment, Share, Source, keys_of, means_of
from facepool.search.texts import Texts, ranges
from facepool.threads import allowed_threads
from facepool.types import Calibration, Floats, Indices, Mask, counted, one_line

_CODED_TEMPLATES = 1 << 14
"""From so many on a gallery is searched by codes; in smaller ones there is little to gain."""
_SEGMENT_ROWS = 1 << 18
"""Templates in a segment at most, unless they are of one person: what is copied at a time."""
_TAIL_ROWS = 1 << 10
"""Templates up to which the newest segment is written anew with those that are added."""
_ALIKE = 4
"""Segments of about one size from which on they are made one; of one size are those within so large a factor."""
_PEOPLE_AT_ONCE = 8192
_DEAD = 0.125
"""Share of dead templates from which on a segment is rewritten."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Layer:
    """A segment as an index sees it.

    Attributes:
        segment: The segment, which other indices may have, too.
        alive: (P,) who of it is not elsewhere or gone by now; None: everybody.
        people: How many these are.
        rows: How many templates they have.
    """

    segment: Segment
    alive: Mask | None
    people: int
    rows: int

    def __repr__(self) -> str:
        """How much of it is alive."""
        return one_line(self, f"{counted(self.rows, 'template')} of {counted(self.people, 'name')}")

    @classmethod
    def of(cls, segment: Segment, alive: Mask | None = None) -> "Layer":
        """A segment of which some people are alive; None: all."""
        if alive is None or alive.all():
            return cls(segment, None, segment.people, segment.rows)
        places = np.flatnonzero(alive)
        return cls(segment, alive, len(places), int(segment.counts(places).sum()))

    def living(self) -> Indices:
        """Where those are who are alive, rising."""
        return np.arange(self.segment.people) if self.alive is None else np.flatnonzero(self.alive)

    def those_alive(self, places: Indices) -> Indices:
        """Those of some places who are alive."""
        return places if self.alive is None else places[self.alive[places]]

    def without(self, places: Indices) -> "Layer":
        """The same after some people have died."""
        if not len(places):
            return self
        alive = np.ones(self.segment.people, bool) if self.alive is None else self.alive.copy()
        alive[places] = False
        return Layer(self.segment, alive, self.people - len(places), self.rows - int(self.segment.counts(places).sum()))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Index:
    """A gallery's templates at one revision.

    It never changes: a changed gallery has a new index. So threads may share one. The one exception is `spoiled`.

    People are numbered through all segments, templates (rows) as well; the dead ones have numbers, too.

    Attributes:
        layers: The segments; none in an empty gallery.
        dimension: D, length of a vector; 0 where an empty gallery does not know it yet.
        revision: The gallery's revision that this is a picture of.
        cohort: What its people have in common: what scores are normalized by.
        look_alikes: Pairs of people who need a larger margin to be told apart.
        margins: That margin, for the pairs whose templates suffice to measure it; see ``facepool.search.margins``.
        calibration: What was measured of the gallery; None: nothing, or in another embedding space.
        generation: Rises with each index that follows another one.
        search_counts: Counts searches, over all generations.
        people: How many have a template.
        first_people: (L + 1,) the number of the first person of each layer, and the end.
        first_rows: (L + 1,) the number of the first row of each layer, and the end.
        blocks: Codes of all rows, where that makes searching faster: in large galleries.
    """

    layers: tuple[Layer, ...]
    dimension: int
    revision: int
    cohort: Share
    look_alikes: frozenset[LookAlikes]
    margins: Mapping[LookAlikes, float]
    calibration: Calibration | None
    generation: int = 0
    search_counts: SearchCounts = field(default_factory=SearchCounts)
    people: int = field(init=False)
    first_people: Indices = field(init=False)
    first_rows: Indices = field(init=False)
    blocks: Blocks | None = field(init=False)

    def __post_init__(self) -> None:
        """Number people, rows and blocks."""
        segments = [layer.segment for layer in self.layers]
        codes = [segment.codes for segment in segments if segment.codes is not None]
        numbered = {
            "people": sum(layer.people for layer in self.layers),
            "first_people": np.cumsum([0, *(segment.people for segment in segments)]),
            "first_rows": np.cumsum([0, *(segment.rows for segment in segments)]),
            "blocks": Blocks(codes) if codes and len(codes) == len(segments) else None,
        }
        for name, value in numbered.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """How much there is."""
        return one_line(self, f"{counted(len(self), 'template')} of {counted(self.people, 'name')}")

    def __len__(self) -> int:
        """Number of templates."""
        return sum(layer.rows for layer in self.layers)

    @property
    def spoiled(self) -> bool:
        """Whether somebody who is in this index has been overwritten meanwhile: what was found in it may be wrong.

        Ask after the last look at it.
        """
        return any(layer.segment.validity.since > self.generation for layer in self.layers)

    @classmethod
    def of(cls, changes: Changes) -> "Index":
        """The index of a gallery, from all that it has."""
        layers: tuple[Layer, ...] = ()
        share = Share(0, np.zeros(changes.vectors.shape[1], np.int64), 0)
        if len(changes.vectors):
            scale = scale_for(changes.vectors) if _is_coded(len(changes.vectors)) else None
            layers, share = _layers_of(_people_of(changes), [Source(changes.vectors)], scale)
        return cls(
            layers=layers,
            dimension=changes.vectors.shape[1],
            revision=changes.revision,
            cohort=share,
            look_alikes=changes.look_alikes,
            margins=_margins(layers, changes.look_alikes, {}),
            calibration=changes.calibration,
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
        """All that the index is made of, as arrays by name: what an image of it on disk keeps; `of_parts` takes it.

        Those of a segment begin with its number, as in ``0003.vectors``. ``about`` is JSON, in which each segment has a
        ``key`` that no other content has. A segment of a key never changes, except that people in it are overwritten.
        """
        about = {
            "revision": self.revision,
            "dimension": self.dimension,
            "people": self.cohort.people,
            "squares": self.cohort.squares,
            "look_alikes": sorted(map(sorted, self.look_alikes)),
            "margins": [[*sorted(pair), margin] for pair, margin in self.margins.items()],
            "calibration": asdict(self.calibration) if self.calibration else None,
            "segments": [
                {"key": layer.segment.key, "scale": layer.segment.codes and layer.segment.codes.scale}
                for layer in self.layers
            ],
        }
        found: dict[str, npt.NDArray[Any]] = {
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "means": self.cohort.means,
        }
        for number, layer in enumerate(self.layers):
            found |= {f"{number:04d}.{name}": part for name, part in layer.segment.parts().items()}
            if layer.alive is not None:
                found[f"{number:04d}.alive"] = layer.alive.view(np.uint8)
        return found

    @classmethod
    def of_parts(cls, parts: Mapping[str, npt.NDArray[Any]]) -> "Index":
        """The index that `parts` came from. Of large arrays no copy is made: they may be maps of a file.

        Args:
            parts: As `parts` gives them. Where they are not writable, nobody can be erased from the index.
        """
        about = json.loads(bytes(parts["about"]))
        layers = []
        for number, segment in enumerate(about["segments"]):
            prefix = f"{number:04d}."
            own = {name.removeprefix(prefix): part for name, part in parts.items() if name.startswith(prefix)}
            scale = segment["scale"] if FAST else None
            layers.append(
                Layer.of(
                    Segment.of_parts(own, scale, segment["key"]), own["alive"].view(bool) if "alive" in own else None
                )
            )
        calibration = about["calibration"]
        if calibration is not None:
            calibration = Calibration(**calibration | {"points": tuple(map(tuple, calibration["points"]))})
        return cls(
            layers=tuple(layers),
            dimension=about["dimension"],
            revision=about["revision"],
            cohort=Share(about["people"], np.array(parts["means"]), about["squares"]),
            look_alikes=frozenset(map(frozenset, about["look_alikes"])),
            margins={frozenset((one, other)): margin for one, other, margin in about["margins"]},
            calibration=calibration,
        )

    # --- following a gallery

    def following(self, changes: Changes) -> "Index":
        """The index of the gallery after some changes: nobody whom they are not about is looked at.

        What is gone from the gallery is still in memory; `erase` ends that. Somebody else may have done so already.
        """
        if changes.whole or not self.layers:
            return Index.of(changes)
        touched = self._touched(changes)
        before = self._share_of(touched)
        layers = [layer.without(places) for layer, places in zip(self.layers, touched, strict=True)]
        layers, after = self._rewritten(layers, touched, changes)
        if not all(layer.segment.codes for layer in layers) and _is_coded(sum(layer.rows for layer in layers)):
            layers = _coded(layers)
        names = {name for layer, places in zip(self.layers, touched, strict=True) for name in _names(layer, places)}
        names.update(changes.names)
        known = {pair: self.margins.get(pair) for pair in self.look_alikes if names.isdisjoint(pair)}
        return replace(
            self,
            layers=tuple(layers),
            revision=changes.revision,
            cohort=_cohort_of(layers) if self.spoiled else self.cohort - before + after,
            look_alikes=changes.look_alikes,
            margins=_margins(layers, changes.look_alikes, known),
            calibration=changes.calibration,
            generation=self.generation + 1,
        )

    def erase(self, template_ids: Numbers) -> None:
        """Overwrite templates that are gone from the gallery, and people who have no other; spoils this index.

        Only when a newer index has taken its place: what people still have is elsewhere in that one.

        Args:
            template_ids: (R,) of the templates that are gone.
        """
        for layer in self.layers:
            if layer.segment.has(template_ids):
                layer.segment.validity.since = self.generation + 1
                layer.segment.wipe(template_ids)

    def clean(self) -> None:
        """Overwrite whoever is in a segment and not alive in this index, the newest; spoils older ones.

        Those are people who have got templates, or another name, and are in another segment with that.
        """
        for layer in self.layers:
            if layer.alive is None:
                continue
            segment, dead = layer.segment, np.flatnonzero(~layer.alive)
            segment.validity.since = max(segment.validity.since, self.generation)
            segment.wipe(segment.template_ids[ranges(segment.starts[dead], segment.counts(dead))])

    def worn(self) -> tuple[Layer, ...]:
        """Layers that are better made one: several small ones, or such with many dead; none where all is well."""
        old = [
            layer
            for layer in self.layers
            if layer.segment.rows > _TAIL_ROWS or layer.segment is not self.layers[-1].segment
        ]
        for layer in old:
            if layer.segment.rows - layer.rows > _DEAD * layer.segment.rows:
                return (layer,)
        size = _TAIL_ROWS
        while size < _SEGMENT_ROWS:
            size *= _ALIKE
            alike = [layer for layer in old if layer.rows <= min(size, _SEGMENT_ROWS // 2)]
            if len(alike) >= _ALIKE:
                return tuple(alike)
        return ()

    def rewritten(self, old: Collection[Layer], new: Sequence[Segment]) -> "Index | None":
        """The index with some segments in the place of others; None where these are not here any more.

        Args:
            old: Layers of this index or an earlier one.
            new: The people who were alive in them.
        """
        now = {id(layer.segment): layer for layer in self.layers}
        if not all(id(layer.segment) in now for layer in old):
            return None
        alive = [np.ones(segment.people, bool) for segment in new]
        for layer in old:
            died = layer.those_alive(np.setdiff1d(np.arange(layer.segment.people), now[id(layer.segment)].living()))
            for segment, of_segment in zip(new, alive, strict=True):
                of_segment[segment.places_of_templates(layer.segment.template_ids[layer.segment.starts[died]])] = False
        replaced = {id(layer.segment) for layer in old}
        kept = [layer for layer in self.layers if id(layer.segment) not in replaced]
        added = [Layer.of(segment, of_segment) for segment, of_segment in zip(new, alive, strict=True)]
        layers = tuple(layer for layer in (*added, *kept) if layer.people)
        return replace(self, layers=layers, generation=self.generation + 1)

    def _touched(self, changes: Changes) -> list[Indices]:
        """For each layer, where those are whom changes are about: rising."""
        keys, _ = keys_of(changes.person_ids)
        gone = np.concatenate([changes.template_ids, changes.removed])
        found = []
        for layer in self.layers:
            places = layer.segment.places_of_ids(keys), layer.segment.places_of_templates(gone)
            found.append(layer.those_alive(np.unique(np.concatenate(places))) if any(map(len, places)) else places[0])
        return found

    def _share_of(self, touched: Sequence[Indices]) -> Share:
        """What some people add to the cohort."""
        share = Share(0, np.zeros(self.dimension, np.int64), 0)
        for layer, places in zip(self.layers, touched, strict=True):
            if len(places):
                share += Share.of(layer.segment.means(places))
        return share

    def _rewritten(
        self, layers: Sequence[Layer], touched: Sequence[Indices], changes: Changes
    ) -> tuple[list[Layer], Share]:
        """Layers after changes, given those without whom the changes are about; and what these add to the cohort."""
        scale = _scale_of(layers)
        people, sources = self._people_after(touched, changes)
        added: tuple[Layer, ...] = ()
        share = Share(0, np.zeros(self.dimension, np.int64), 0)
        if people is not None:
            added, share = _layers_of(people, sources, scale)
        found = [layer for layer in (*layers, *added) if layer.people]
        tail = found[-1 - len(added) :] if len(added) <= 1 else []
        worn = len(tail) > 1 or any(layer.alive is not None for layer in tail)
        if worn and sum(layer.rows for layer in tail) <= _TAIL_ROWS:
            found[-len(tail) :] = [Layer.of(joined(tail, scale)[0])]
        return found, share

    def _people_after(self, touched: Sequence[Indices], changes: Changes) -> tuple[People | None, list[Source]]:
        """Those whom changes are about, with what they have afterwards; None: nobody has anything."""
        gone = np.concatenate([changes.template_ids, changes.removed])
        number = {person_id: place for place, person_id in enumerate(changes.person_ids)}
        names, ids = list(changes.names), list(changes.person_ids)
        owners, numbers, rows = [changes.person_of], [changes.template_ids], [np.arange(len(changes.vectors))]
        origins = [np.zeros(len(changes.vectors), np.intp)]
        sources = [Source(changes.vectors)]
        for layer, places in zip(self.layers, touched, strict=True):
            if not len(places):
                continue
            segment = layer.segment
            counts = segment.counts(places)
            own = ranges(segment.starts[places], counts)
            kept = ~np.isin(segment.template_ids[own], gone)
            own, place_of = own[kept], places.repeat(counts)[kept]
            with_some, person_of = np.unique(place_of, return_inverse=True)
            those = []
            for place in with_some.tolist():
                person_id = segment.person_id(place)
                if person_id not in number:
                    number[person_id] = len(ids)
                    ids.append(person_id)
                    names.append(segment.names[place])
                those.append(number[person_id])
            owners.append(np.array(those, np.intp)[person_of])
            numbers.append(segment.template_ids[own])
            rows.append(own)
            origins.append(np.full(len(own), len(sources)))
            sources.append(Source(segment.vectors, segment.codes))
        if not sum(map(len, rows)):
            return None, sources
        grouped = grouping(np.concatenate(owners), names, np.concatenate(numbers))
        keys, texts = keys_of([ids[person] for person in grouped.people])
        people = People(
            names=Texts.of([names[person] for person in grouped.people]),
            ids=keys,
            id_texts=texts,
            counts=grouped.counts,
            template_ids=np.concatenate(numbers)[grouped.order],
            sources=np.concatenate(origins)[grouped.order],
            rows=np.concatenate(rows)[grouped.order],
        )
        return people, sources

    # --- asking for people and rows by their numbers

    def alive(self, people: Indices) -> Mask:
        """(K,) who of some people is alive."""
        if all(layer.alive is None for layer in self.layers):
            return np.ones(len(people), bool)
        found = np.ones(len(people), bool)
        for number, those, places in _grouped(self.first_people, people):
            alive = self.layers[number].alive
            if alive is not None:
                found[those] = alive[places]
        return found

    def rows_of(self, people: Indices) -> tuple[Indices, Indices, Indices]:
        """All rows of some people, at least one, one person's after the other's; where each begins, and how many."""
        firsts, counts = np.empty(len(people), np.intp), np.empty(len(people), np.intp)
        for number, those, places in _grouped(self.first_people, people):
            segment = self.layers[number].segment
            firsts[those] = segment.starts[places] + self.first_rows[number]
            counts[those] = segment.counts(places)
        return ranges(firsts, counts), np.cumsum(counts) - counts, counts

    def vectors_of(self, rows: Indices) -> Floats:
        """(K, D) the vectors of some rows."""
        if len(self.layers) == 1:
            return self.layers[0].segment.vectors[rows]
        found = np.empty((len(rows), self.dimension), np.float32)
        for number, those, places in _grouped(self.first_rows, rows):
            found[those] = self.layers[number].segment.vectors[places]
        return found

    def template_ids_of(self, rows: Indices) -> Numbers:
        """(K,) the numbers of the templates of some rows."""
        found = np.empty(len(rows), np.int64)
        for number, those, places in _grouped(self.first_rows, rows):
            found[those] = self.layers[number].segment.template_ids[places]
        return found

    def name_of(self, person: int) -> str:
        """What somebody is called."""
        layer = int(np.searchsorted(self.first_people, person, side="right")) - 1
        return self.layers[layer].segment.names[person - int(self.first_people[layer])]

    def id_of(self, person: int) -> str:
        """The id of somebody."""
        layer = int(np.searchsorted(self.first_people, person, side="right")) - 1
        return self.layers[layer].segment.person_id(person - int(self.first_people[layer]))

    def lengths_of(self, people: Indices) -> Floats:
        """(...) the norm of the mean of the templates of each of (...) people."""
        flat = people.reshape(-1)
        found = np.empty(len(flat), np.float32)
        for number, those, places in _grouped(self.first_people, flat):
            found[those] = self.layers[number].segment.lengths[places]
        return found.reshape(people.shape)

    def means(self, people: Indices) -> Floats:
        """(..., D) float32: the mean of the templates of each of (...) people, of at least one person."""
        wanted, place = np.unique(people, return_inverse=True)
        rows, _, counts = self.rows_of(wanted)
        return means_of(self.vectors_of(rows), counts)[place.reshape(people.shape)]

    # --- everything at once, for those who measure galleries

    def compact(self) -> "Index":
        """The same in one segment, which costs a copy of everything unless it is so already."""
        if len(self.layers) <= 1 and all(layer.alive is None for layer in self.layers):
            return self
        return replace(self, layers=(Layer.of(joined(self.layers, None)[0]),), search_counts=SearchCounts())

    @property
    def names(self) -> tuple[str, ...]:
        """The P names of everybody who has a template, sorted. Made anew each time."""
        return tuple(name for name, _ in self._named())

    @property
    def person_ids(self) -> tuple[str, ...]:
        """P ids, in the same order."""
        return tuple(layer.segment.person_id(place) for _, (layer, place) in self._named())

    def _named(self) -> list[tuple[str, tuple[Layer, int]]]:
        found = []
        for layer in self.layers:
            places = layer.living().tolist()
            names = layer.segment.names.all()
            found += [(names[place], (layer, place)) for place in places]
        return sorted(found, key=lambda one: one[0])

    @property
    def vectors(self) -> Floats:
        """(T, D) float32, read-only: the rows of a person next to each other, people in the order of their names.

        This and what follows is free of a `compact` index, and of any other a copy of everything.
        """
        return _read_only(self._only().vectors) if self.layers else np.zeros((0, self.dimension), np.float32)

    @property
    def template_ids(self) -> Numbers:
        """(T,) int64, read-only: rising within a person."""
        return _read_only(self._only().template_ids) if self.layers else np.zeros(0, np.int64)

    @property
    def starts(self) -> Indices:
        """(P,) intp, the first row of each person."""
        return _read_only(self._only().starts[:-1].astype(np.intp)) if self.layers else np.zeros(0, np.intp)

    @property
    def counts(self) -> Indices:
        """(P,) intp, how many rows a person has."""
        return _read_only(np.diff(self._only().starts).astype(np.intp)) if self.layers else np.zeros(0, np.intp)

    @property
    def person_of(self) -> Indices:
        """(T,) intp, index into ``names``, never falling."""
        counts = self.counts
        return _read_only(np.repeat(np.arange(len(counts)), counts))

    @property
    def lengths(self) -> Floats:
        """(P,) float32, norm of the mean of each person's templates."""
        return self._only().lengths if self.layers else np.zeros(0, np.float32)

    def _only(self) -> Segment:
        return self.compact().layers[0].segment


def joined(
    layers: Sequence[Layer], scale: float | None, guard: AbstractContextManager[object] | None = None
) -> tuple[Segment, Share]:
    """Everybody who is alive in one or more layers, in one segment; and what they add to the cohort."""
    building = Building(People.of([(layer.segment, layer.living()) for layer in layers]), _sources(layers), scale)
    share = building.fill(guard)
    return building.segment, share


def buildings(layers: Sequence[Layer]) -> list[Building]:
    """Segments of everybody who is alive in one or more layers, to be filled."""
    scale = _scale_of(layers)
    people = People.of([(layer.segment, layer.living()) for layer in layers])
    return [Building(part, _sources(layers), scale) for part in people.parted(_SEGMENT_ROWS)]


def _scale_of(layers: Sequence[Layer]) -> float | None:
    return next((layer.segment.codes.scale for layer in layers if layer.segment.codes is not None), None)


def _sources(layers: Sequence[Layer]) -> list[Source]:
    return [Source(layer.segment.vectors, layer.segment.codes) for layer in layers]


def _layers_of(people: People, sources: Sequence[Source], scale: float | None) -> tuple[tuple[Layer, ...], Share]:
    """Segments of some people, and what they add to the cohort."""
    made = [Building(part, sources, scale) for part in people.parted(_SEGMENT_ROWS)]
    if len(made) == 1:
        shares = [made[0].fill()]
    else:
        with ThreadPoolExecutor(allowed_threads()) as threads:
            shares = list(threads.map(Building.fill, made))
    return tuple(Layer.of(one.segment) for one in made), reduce(Share.__add__, shares)


def _people_of(changes: Changes) -> People:
    rows = grouping(changes.person_of, changes.names, changes.template_ids)
    keys, texts = keys_of([changes.person_ids[person] for person in rows.people])
    return People(
        names=Texts.of([changes.names[person] for person in rows.people]),
        ids=keys,
        id_texts=texts,
        counts=rows.counts,
        template_ids=changes.template_ids[rows.order],
        sources=None,
        rows=rows.order,
    )


def _coded(layers: Sequence[Layer]) -> list[Layer]:
    """The same people with codes."""
    people = People.of([(layer.segment, layer.living()) for layer in layers])
    added, _ = _layers_of(people, _sources(layers), scale_for(layers[0].segment.vectors))
    return list(added)


def _cohort_of(layers: Sequence[Layer]) -> Share:
    shares = [
        Share.of(layer.segment.means(places))
        for layer in layers
        for places in np.array_split(layer.living(), 1 + layer.people // _PEOPLE_AT_ONCE)
    ]
    return reduce(Share.__add__, shares)


def _names(layer: Layer, places: Indices) -> list[str]:
    return [layer.segment.names[place] for place in places.tolist()]


def _margins(
    layers: Sequence[Layer], pairs: frozenset[LookAlikes], known: Mapping[LookAlikes, float | None]
) -> dict[LookAlikes, float]:
    """The margins of some pairs; for those that are known already, what is known: None, that they have too little."""
    new = [pair for pair in pairs if pair not in known]
    own = {}
    for name in {name for pair in new for name in pair}:
        for layer in layers:
            place = layer.segment.names.find(name)
            if place is not None and (layer.alive is None or layer.alive[place]):
                own[name] = layer.segment.vectors[layer.segment.starts[place] : layer.segment.starts[place + 1]]
    kept = {pair: margin for pair in pairs if (margin := known.get(pair)) is not None}
    return kept | measured_margins(new, own)


def _grouped(firsts: Indices, numbers: Indices) -> Iterator[tuple[int, Indices | slice, Indices]]:
    """Numbers of people or rows by layer: its number, which of the numbers are its, and these within the layer."""
    if len(firsts) == 2:  # one layer, from its first to its end
        yield 0, slice(None), numbers
        return
    layers = np.searchsorted(firsts, numbers, side="right") - 1
    for layer in np.unique(layers).tolist():
        those = np.flatnonzero(layers == layer)
        yield layer, those, numbers[those] - firsts[layer]


def _read_only(array: npt.NDArray[Number]) -> npt.NDArray[Number]:
    view = array.view()
    view.setflags(write=False)
    return view


def _is_coded(templates: int) -> bool:
    """Whether so many are searched by codes first."""
    return FAST and templates >= _CODED_TEMPLATES
