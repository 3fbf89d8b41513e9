"""A gallery in a few dictionaries: says what happens in it as a pool would, and what it has after all."""

from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from facepool.gallery import Changes
from facepool.types import Floats
from support.pools import unit

DIMENSION = 16
WORDS = ("Ada", "ада", "李", "Zoë", "b", "Grace Brewster Murray Hopper")


@dataclass
class Town:
    """A gallery in a few dictionaries, which says what it does as `Changes`."""

    uuids: bool
    revision: int = 0
    names: dict[str, str] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    vectors: dict[int, Floats] = field(default_factory=dict)
    erased: list[int] = field(default_factory=list)
    made: int = 0

    def new_person(self) -> str:
        number = len(self.names) + 1000 * self.revision
        person_id = str(UUID(int=number * 7919 % (1 << 128))) if self.uuids else f"id {number}"
        self.names[person_id] = f"{WORDS[number % len(WORDS)]} {number}"
        return person_id

    def new_templates(self, person_id: str, count: int) -> list[int]:
        numbers = list(range(self.made + 1, self.made + count + 1))
        for number in numbers:
            # Some are copies of others, so that names decide.
            self.vectors[number] = unit(number % 50 if number % 3 else number, DIMENSION)
            self.owners[number] = person_id
        self.made += count
        return numbers

    def pairs(self) -> frozenset[frozenset[str]]:
        names = sorted(self.names.values())[:12]
        return frozenset(frozenset(pair) for pair in zip(names[::3], names[1::3], strict=False))

    def changes(self, numbers: list[int], people: list[str], removed: list[int], *, whole: bool = False) -> Changes:
        people = list(dict.fromkeys([*people, *(self.owners[number] for number in numbers)]))
        vectors = [self.vectors[number] for number in numbers]
        return Changes(
            revision=self.revision,
            template_ids=np.array(numbers, np.int64),
            person_of=np.array([people.index(self.owners[number]) for number in numbers], np.intp),
            vectors=np.array(vectors, np.float32).reshape(len(numbers), DIMENSION),
            person_ids=tuple(people),
            names=tuple(self.names[person] for person in people),
            removed=np.array(removed, np.int64),
            look_alikes=self.pairs(),
            whole=whole,
        )

    def everything(self) -> Changes:
        return self.changes(sorted(self.owners), list(self.names), [], whole=True)

    def step(self, kind: str, which: int, size: int) -> Changes:
        """Do something, to somebody who is chosen by a number."""
        self.revision += 1
        people = sorted(self.names)
        one = people[which % len(people)] if people else self.new_person()
        other = people[(which + 1) % len(people)] if people else one
        if kind == "register":
            return self.changes(self.new_templates(one, size), [], [])
        if kind == "rename":
            self.names[one] = f"{WORDS[size % len(WORDS)]} new {self.revision}"
            return self.changes([], [one], [])
        if kind == "merge" and one != other:
            moved = self.of(one)
            self.owners.update(dict.fromkeys(moved, other))
            del self.names[one]
            return self.changes(moved, [], [])
        if kind == "remove":
            gone = self.of(one)
            del self.names[one]
            return self.forget(gone)
        if kind == "remove_template" and self.owners:
            numbers = sorted(self.owners)
            return self.forget([numbers[which % len(numbers)]])
        new = [self.new_person() for _ in range(size)]
        return self.changes([number for person in new for number in self.new_templates(person, 1 + which % 3)], [], [])

    def of(self, person_id: str) -> list[int]:
        return [number for number, owner in self.owners.items() if owner == person_id]

    def forget(self, gone: list[int]) -> Changes:
        for number in gone:
            del self.owners[number]
        self.erased += gone
        return self.changes([], [], gone)
