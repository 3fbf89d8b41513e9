"""Wherever a gallery is searched, in memory or in its database, the answer is that of a loop that anybody can read."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import pytest

from facepool.errors import ConfigError, InvalidEmbedding, SpaceMismatch
from facepool.gallery import Pool, open_pool
from facepool.gallery.index_address import IndexAddress, index_address
from facepool.recognize.fuse import fuse
from facepool.search import Nearest, Search, SearchChoice, choose, describe, follow
from facepool.search import beside as beside_module
from facepool.search import known as known_module
from facepool.search import mirror as mirror_module
from facepool.search.follower import sync
from facepool.types import EmbeddingSpace, Floats, Sample, Template
from support import milvus, postgres
from support.index_double import ADDRESS, IndexServer
from support.pools import MEASURED, POSTGRES, opened, space, unit, units

DIMENSION = 16
SPACE = space(DIMENSION)
_DATABASE = pytest.mark.postgres
_SERVER = pytest.mark.milvus
PLACES = (
    "file",
    "beside a file",
    pytest.param("beside", marks=_DATABASE),
    pytest.param("milvus beside a file", marks=_SERVER),
    pytest.param("memory", marks=_DATABASE),
    pytest.param("exact", marks=_DATABASE),
    pytest.param("index", marks=_DATABASE),
)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name.startswith("beside"):  # by an index in memory, which overlooks nobody
        monkeypatch.setattr(beside_module, "MilvusIndex", IndexServer())
    return name


def opened_at(folder: Path, place: str, of: EmbeddingSpace = SPACE) -> Pool:
    """A pool that is searched in a place; by the index also where comparing everybody would be faster."""
    if place == "file":
        return open_pool(folder / "pool.db", of)
    if "beside" in place:
        beside = open_pool(folder / "pool.db" if "file" in place else postgres.database_of(folder), of)
        choose(beside, SearchChoice(index=address_of(place)))
        return beside
    pool = open_pool(f"{postgres.database_of(folder)}?options=-c%20enable_seqscan%3Doff", of)
    choose(pool, SearchChoice("memory" if place == "memory" else "database", exact=place == "exact"))
    return pool


@pytest.fixture
def pool(tmp_path: Path, place: str) -> Iterator[Pool]:
    with opened_at(tmp_path, place) as opened_pool:
        yield opened_pool


def store(pool: Pool, vectors: Floats, names: list[str]) -> None:
    """Store templates of people whose ids are the same in each run."""
    templates = [
        Template(0, name, Sample(vector, "made up"), "", SPACE.model, person_id=str(uuid5(NAMESPACE_OID, name)))
        for name, vector in zip(names, vectors, strict=True)
    ]
    pool.add(templates, SPACE)


def address_of(place: str) -> IndexAddress:
    return index_address(milvus.address()) if place.startswith("milvus") else ADDRESS


def with_index(pool: Pool, place: str) -> None:
    if "beside" in place:
        sync(pool, address_of(place), open_engine=vars(beside_module)["MilvusIndex"])
    if place == "index":
        from facepool.gallery.postgres import PostgresGallery
        from facepool.search import hnsw

        assert isinstance(pool, PostgresGallery)
        assert hnsw.make_index(pool)
        assert describe(pool).startswith("searched in the database, by its index")


def crowd(people: int, per_person: int = 3, seed: int = 0) -> tuple[Floats, list[str]]:
    """Templates around people who are not all equally far from each other."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, DIMENSION)) + 0.5
    vectors = np.repeat(centres, per_person, axis=0) + rng.normal(scale=0.5, size=(people * per_person, DIMENSION))
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / norms, np.float32), [f"P{row // per_person:04d}" for row in range(len(vectors))]


def in_memory(folder: Path, vectors: Floats, names: list[str]) -> Pool:
    pool = open_pool(folder / "other.db", SPACE)
    store(pool, vectors, names)
    return pool


def told(found: Nearest) -> list[list[tuple[str, float, float]]]:
    return [
        [(one.person, one.similarity, round(one.score_offset, 6)) for one in of_face] for of_face in found.candidates
    ]


def test_everybody_is_found_as_by_a_search_in_memory(pool: Pool, place: str, tmp_path: Path) -> None:
    vectors, names = crowd(200)
    store(pool, vectors, names)
    with_index(pool, place)
    probes = np.concatenate([units(5, DIMENSION, seed=3), vectors[::150]])
    with in_memory(tmp_path, vectors, names) as other:
        for normalize in (False, True):
            for k in (1, 2, 5, 40):
                expected = Search(other).nearest(probes, k, normalize=normalize)
                found = Search(pool, SPACE).nearest(probes, k, normalize=normalize)
                assert told(found) == told(expected)
                assert found.state.behind is None


def test_a_face_seen_several_times_is_found_as_by_a_search_in_memory(pool: Pool, place: str, tmp_path: Path) -> None:
    vectors, names = crowd(200)
    store(pool, vectors, names)
    with_index(pool, place)
    views = np.concatenate([units(3, DIMENSION, seed=4), vectors[7:9]])

    def merge(similarities: Floats) -> Floats:
        return fuse(similarities, [0.2, 1, 0.5, 0.7, 0.1])

    with in_memory(tmp_path, vectors, names) as other:
        for normalize in (False, True):
            expected = Search(other).nearest(views, 5, merge=merge, normalize=normalize)
            assert told(Search(pool).nearest(views, 5, merge=merge, normalize=normalize)) == told(expected)


def test_more_people_than_there_are_and_people_who_are_equal(pool: Pool, place: str) -> None:
    vectors = np.concatenate([np.repeat(units(1, DIMENSION), 120, axis=0), units(30, DIMENSION, seed=2)])
    names = [f"P{number:03d}" for number in np.random.default_rng(1).permutation(150)]
    store(pool, vectors, names)
    with_index(pool, place)
    search = Search(pool)
    found = [one.person for one in search.nearest(vectors[:1], 7).candidates[0]]
    assert found == sorted(names[:120])[:7]
    assert len(search.nearest(vectors[:1], 500).candidates[0]) == 150


def test_an_empty_pool_and_an_empty_question(pool: Pool) -> None:
    search = Search(pool, SPACE)
    assert search.nearest(units(2, DIMENSION)).candidates == ((), ())
    assert search.matching(units(2, DIMENSION), 0.3) == {}
    assert search.state().templates == 0
    store(pool, units(1, DIMENSION), ["Ada"])
    assert search.nearest(np.zeros((0, DIMENSION), np.float32)).candidates == ()
    assert [one.person for one in search.nearest(units(1, DIMENSION)).candidates[0]] == ["Ada"]


def test_what_does_not_fit_is_refused(pool: Pool, tmp_path: Path, place: str) -> None:
    store(pool, units(3, DIMENSION), list("ABC"))
    with pytest.raises(InvalidEmbedding):
        Search(pool).nearest(units(1, DIMENSION + 1))
    with pytest.raises(InvalidEmbedding):
        Search(pool).nearest(2 * units(1, DIMENSION))
    with pytest.raises(SpaceMismatch):
        Search(pool, space(DIMENSION, weights="cd" * 32)).nearest(units(1, DIMENSION))


def test_everybody_who_matches_a_view(pool: Pool, place: str, tmp_path: Path) -> None:
    vectors, names = crowd(150)
    store(pool, vectors, names)
    with_index(pool, place)
    views = vectors[[0, 3, 200]]
    with in_memory(tmp_path, vectors, names) as other:
        for threshold in (0.9, 0.5, -1.0):
            expected, found = Search(other).matching(views, threshold), Search(pool).matching(views, threshold)
            assert found.keys() == expected.keys()
            for name, similarities in expected.items():
                assert found[name] == pytest.approx(similarities, abs=1e-5)


def test_changes_are_followed(pool: Pool, place: str, tmp_path: Path) -> None:
    check_changes(pool, place, tmp_path)


@pytest.mark.postgres
@pytest.mark.milvus
def test_changes_of_a_database_are_followed_by_a_server_beside_it(tmp_path: Path) -> None:
    with opened_at(tmp_path, "milvus beside") as pool:
        check_changes(pool, "milvus beside", tmp_path)


def check_changes(pool: Pool, place: str, tmp_path: Path) -> None:
    vectors, names = crowd(60)
    store(pool, vectors[:90], names[:90])
    with_index(pool, place)
    search, probes = Search(pool, SPACE), vectors[::17]
    steps: list[Callable[[Pool], object]] = [
        lambda gallery: store(gallery, vectors[90:], names[90:]),
        lambda gallery: gallery.remove("P0000"),
        lambda gallery: gallery.rename("P0001", "Zoe"),
        lambda gallery: gallery.merge("P0002", "P0003"),
        lambda gallery: gallery.remove_template(gallery.templates("P0004")[0].id),
        lambda gallery: gallery.register("New", [Sample(unit(5, DIMENSION), "x")], SPACE, look_alikes=["Zoe"]),
        lambda gallery: gallery.set_calibration(MEASURED),
        lambda gallery: gallery.remove_many([f"P{number:04d}" for number in range(10, 50)]),
        lambda gallery: gallery.create("Nobody yet"),
        lambda gallery: gallery.remove("New"),
    ]
    with in_memory(tmp_path, vectors[:90], names[:90]) as other:
        beside = Search(other, SPACE)
        for number, step in enumerate(steps):
            search.nearest(probes)
            step(pool)
            step(other)
            if "beside" in place and number % 2:  # or else the index does not have it yet
                with_index(pool, place)
            assert told(search.nearest(probes, 5, normalize=True)) == told(beside.nearest(probes, 5, normalize=True))
            state, expected = search.state(), beside.state()
            assert state.templates == expected.templates == len(pool.templates())
            assert state.look_alikes == expected.look_alikes
            assert state.margins == pytest.approx(expected.margins)
            assert state.calibration == expected.calibration
            answered = search.nearest(probes).state
            assert (answered.revision, answered.behind) == (pool.revision(), None)


@pytest.mark.postgres
@pytest.mark.parametrize("cohort", [16, 64])
def test_some_people_stand_for_all_in_a_large_pool(
    cohort: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "COHORT", cohort)
    vectors, names = crowd(400, 1)
    with opened_at(tmp_path, "exact") as pool:
        store(pool, vectors[:300], names[:300])
        search, probes = Search(pool), vectors[:20]
        with in_memory(tmp_path, vectors, names) as other:
            search.nearest(probes)
            store(pool, vectors[300:], names[300:])  # beside the mirror, which follows
            pool.remove_many(names[200:210])
            pool.merge(names[211], names[212])
            other.remove_many(names[200:210])
            other.merge(names[211], names[212])
            found = told(search.nearest(probes, 1, normalize=True))
            assert [one[0][0] for one in found] == [
                one[0].person for one in Search(other).nearest(probes, 1, normalize=True).candidates
            ]
        with opened_at(tmp_path, "exact") as again:
            mirror = known_module.known_of(pool).mirror
            known_module.known_of(again).mirror = None
            assert told(Search(again).nearest(probes, 1, normalize=True)) == found
            fresh = known_module.known_of(again).mirror
            assert mirror is not None
            assert fresh is not None
            assert cohort / 4 < len(fresh.cohort.names) <= cohort
            assert fresh.cohort.names == mirror.cohort.names
            assert sorted(fresh.cohort.template_ids) == sorted(mirror.cohort.template_ids)


@pytest.mark.postgres
def test_who_is_erased_leaves_the_memory_of_a_pool_that_is_searched_in_its_database(tmp_path: Path) -> None:
    vectors, names = crowd(30)
    with opened_at(tmp_path, "exact") as pool:
        store(pool, vectors, names)
        Search(pool).state()
        before = known_module.known_of(pool).mirror
        assert before is not None
        assert (before.cohort.vectors == vectors[0]).all(axis=1).any()
        pool.remove(names[0])
        follow(pool)
        assert not (before.cohort.vectors == vectors[0]).all(axis=1).any()


@pytest.mark.postgres
def test_a_small_pool_is_searched_in_memory_and_a_large_one_in_its_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, POSTGRES) as pool:
        store_small = [Sample(unit(seed), "x") for seed in range(3)]
        pool.register("Ada", store_small, space())
        choose(pool, SearchChoice())
        assert describe(pool) == "searched in the memory of each process, exactly"
        assert known_module.known_of(pool).index is None  # asking loads nothing
    monkeypatch.setattr(known_module, "_MOST_IN_MEMORY", 100)
    with opened(tmp_path, POSTGRES) as pool:
        assert "has no index yet" in describe(pool)
        assert [one.person for one in Search(pool).nearest(unit(1)[None]).candidates[0]] == ["Ada"]
        with pytest.raises(ConfigError, match="too many"):
            Search(pool).index()


def test_a_file_cannot_be_searched_in_a_database(tmp_path: Path) -> None:
    with opened(tmp_path, "pool.db") as pool:
        with pytest.raises(ConfigError, match="cannot be searched in a database"):
            choose(pool, SearchChoice("database"))
        assert describe(pool) == ""
