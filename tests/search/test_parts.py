"""An index can be taken apart into arrays, and put together again from arrays that nobody may write to."""

import numpy as np
import pytest

from facepool.search import Index
from facepool.search.exact import nearest
from support.pools import units

TWINS = frozenset(("Ada 000", "Олег 001"))


def pool() -> Index:
    people = [f"{'Ada' if number % 2 == 0 else 'Олег'} {number:03d}" for number in range(60)]
    return Index.of_rows(units(180, 64), np.arange(180) % 60, people, look_alikes=frozenset({TWINS}))


@pytest.mark.parametrize("coded", [False, True])
def test_an_index_of_parts_answers_as_the_one_that_they_are_of(monkeypatch: pytest.MonkeyPatch, *, coded: bool) -> None:
    monkeypatch.setattr("facepool.search.index._CODED_TEMPLATES", 1 if coded else 1 << 40)
    index = pool()
    parts = {name: np.array(part) for name, part in index.parts().items()}
    for part in parts.values():
        part.setflags(write=False)
    again = Index.of_parts(parts)
    for name in ("names", "person_ids", "revision", "look_alikes", "margins", "calibration"):
        assert getattr(again, name) == getattr(index, name)
    for normalize in (False, True):
        found = nearest(again, units(20, 64, seed=1), 3, normalize=normalize)
        assert found == nearest(index, units(20, 64, seed=1), 3, normalize=normalize)


def test_an_index_of_parts_copies_no_vectors() -> None:
    parts = pool().parts()
    assert Index.of_parts(parts).layers[0].segment.vectors is parts["0000.vectors"]


def test_an_empty_index_has_parts_too() -> None:
    empty = Index.of_rows(np.zeros((0, 8), np.float32), np.zeros(0, np.intp), ())
    assert len(Index.of_parts(empty.parts())) == 0
