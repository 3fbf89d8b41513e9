"""Any sequence of changes leaves a pool with the content that a plain dictionary would have."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from facepool.errors import ConfigError, PersonExists, UnknownPerson
from facepool.gallery import Pool
from facepool.search import Search
from support.pools import POSTGRES, opened, samples, space, unit

NAMES = st.sampled_from(["Ada", "Bob", "李", "zoe"])


class PoolMachine(RuleBasedStateMachine):
    backend: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        # Two views of one pool, as two processes have them.
        self.pools: list[Pool] = [opened(Path(self.folder.name), self.backend) for _ in range(2)]
        self.model: dict[str, list[int]] = {}
        self.flags: set[frozenset[str]] = set()

    def teardown(self) -> None:
        for pool in self.pools:
            pool.close()
        self.folder.cleanup()

    @rule(view=st.integers(0, 1), name=NAMES, seeds=st.lists(st.integers(0, 50), max_size=3))
    def register(self, view: int, name: str, seeds: list[int]) -> None:
        assert self.pools[view].register(name, samples(*seeds), space()) == len(seeds)
        if seeds:
            self.model.setdefault(name, []).extend(seeds)

    @rule(view=st.integers(0, 1), name=NAMES)
    def create(self, view: int, name: str) -> None:
        if name in self.model:
            with pytest.raises(PersonExists):
                self.pools[view].create(name)
        else:
            self.pools[view].create(name)
            self.model[name] = []

    @rule(view=st.integers(0, 1), name=NAMES, which=st.integers(0, 3))
    def remove_template(self, view: int, name: str, which: int) -> None:
        if which >= len(self.model.get(name, [])):
            return
        template = self.pools[view].templates(name)[which]
        assert self.pools[view].remove_template(template.id, name) == name
        left = [unit(seed).tobytes() for seed in self.model[name]].index(template.sample.embedding.tobytes())
        del self.model[name][left]

    @rule(view=st.integers(0, 1), name=NAMES, other=NAMES)
    def register_look_alike(self, view: int, name: str, other: str) -> None:
        if name == other:
            with pytest.raises(ConfigError):
                self.pools[view].register(name, samples(7), space(), look_alikes=[other])
        elif other not in self.model:
            with pytest.raises(UnknownPerson):
                self.pools[view].register(name, samples(7), space(), look_alikes=[other])
        else:
            self.pools[view].register(name, samples(7), space(), look_alikes=[other])
            self.model.setdefault(name, []).append(7)
            self.flags.add(frozenset((name, other)))

    def now_called(self, old: str, new: str) -> None:
        renamed = {frozenset(new if name == old else name for name in pair) for pair in self.flags}
        self.flags = {pair for pair in renamed if len(pair) > 1}

    @rule(view=st.integers(0, 1), old=NAMES, new=NAMES)
    def rename(self, view: int, old: str, new: str) -> None:
        if old not in self.model:
            with pytest.raises(UnknownPerson):
                self.pools[view].rename(old, new)
        elif new in self.model and new != old:
            with pytest.raises(PersonExists):
                self.pools[view].rename(old, new)
        else:
            self.pools[view].rename(old, new)
            self.model[new] = self.model.pop(old)
            self.now_called(old, new)

    @rule(view=st.integers(0, 1), old=NAMES, new=NAMES)
    def merge(self, view: int, old: str, new: str) -> None:
        if old == new:
            with pytest.raises(ConfigError):
                self.pools[view].merge(old, new)
        elif old not in self.model or new not in self.model:
            with pytest.raises(UnknownPerson):
                self.pools[view].merge(old, new)
        else:
            moved = self.model.pop(old)
            assert self.pools[view].merge(old, new) == len(moved)
            self.model[new] += moved
            self.now_called(old, new)

    @rule(view=st.integers(0, 1), name=NAMES)
    def remove(self, view: int, name: str) -> None:
        if name not in self.model:
            with pytest.raises(UnknownPerson):
                self.pools[view].remove(name)
        else:
            assert self.pools[view].remove(name) == len(self.model.pop(name))
            self.flags = {pair for pair in self.flags if name not in pair}

    @invariant()
    def both_views_agree_with_the_dictionary(self) -> None:
        expected = {name: sorted(unit(seed).tobytes() for seed in seeds) for name, seeds in self.model.items()}
        for pool in self.pools:
            matrix = Search(pool).index()
            assert {person.name: person.templates for person in pool.people()} == {
                name: len(seeds) for name, seeds in self.model.items()
            }
            assert matrix.names == tuple(sorted(name for name, seeds in self.model.items() if seeds))
            assert matrix.look_alikes == self.flags
            found: dict[str, list[bytes]] = {}
            for person, vector in zip(matrix.person_of, matrix.vectors, strict=True):
                found.setdefault(matrix.names[person], []).append(vector.tobytes())
            assert {name: sorted(found.get(name, [])) for name in expected} == expected
            assert sorted(matrix.template_ids.tolist()) == [
                template.id for template in sorted(pool.templates(), key=lambda kept: kept.id)
            ]


class SqliteMachine(PoolMachine):
    backend = "pool.db"


class NpyMachine(PoolMachine):
    backend = "model_faces.npy"


class PostgresMachine(PoolMachine):
    backend = POSTGRES


_SETTINGS = settings(max_examples=15, stateful_step_count=15)
TestSqliteGallery = SqliteMachine.TestCase
TestSqliteGallery.settings = _SETTINGS
TestNpyGallery = NpyMachine.TestCase
TestNpyGallery.settings = _SETTINGS
TestPostgresGallery = pytest.mark.postgres(PostgresMachine.TestCase)
TestPostgresGallery.settings = _SETTINGS
