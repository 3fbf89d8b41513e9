"""People by pages, by how their names begin, and the names that are suggested: the same in every kind of pool."""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepool.errors import ConfigError, UnknownPerson
from facepool.gallery import GallerySize, Pool, listing
from facepool.gallery.checks import clean_name, folded
from facepool.gallery.schema import in_memory
from support.pools import BACKENDS, opened, samples, space

NAMES = ["Zoe", "ada", "Ada", "ADA", "Adam", "Äda", "Straße", "STRASSE 2", "李雷", "a%b", "a_b", "Ada Lovelace"]


@pytest.fixture(params=BACKENDS)
def pool(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pool]:
    with opened(tmp_path, request.param) as pool:
        yield pool


@pytest.fixture
def full(pool: Pool) -> Pool:
    pool.add((), None, (), NAMES)
    pool.register("Ada", samples(1, 2), space())
    return pool


def in_order(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: (folded(name), name))


def by_pages(pool: Pool, limit: int, prefix: str = "", part: str = "") -> list[str]:
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = pool.people_page(prefix, part=part, after=after, limit=limit)
        assert len(page.people) <= limit
        seen += [person.name for person in page.people]
        after = page.following
    return seen


def test_an_empty_pool_has_no_page(pool: Pool) -> None:
    assert (pool.people_page().people, pool.people_page().following) == ((), None)
    assert (pool.size(), pool.count_people(), pool.names()) == (GallerySize(0, 0), 0, [])


@pytest.mark.parametrize("limit", [1, 5, len(NAMES), 100])
def test_pages_show_everybody_once_without_regard_to_case(full: Pool, limit: int) -> None:
    assert by_pages(full, limit) == in_order(NAMES) == full.names()
    assert (full.count_people(), full.size()) == (len(NAMES), GallerySize(len(NAMES), 2))


def test_people_of_a_page_are_those_of_the_list(full: Pool) -> None:
    assert sorted(full.people_page().people, key=lambda person: person.name) == full.people()


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("ADA", ["ADA", "Ada", "ada", "Ada Lovelace", "Adam"]),
        ("ada ", ["Ada Lovelace"]),
        ("ä", ["Äda"]),
        ("A\u0308", ["Äda"]),
        ("strass", ["Straße", "STRASSE 2"]),
        ("李", ["李雷"]),
        ("a%", ["a%b"]),
        ("a_", ["a_b"]),
        ("b", []),
    ],
)
def test_people_are_found_by_how_their_names_begin(full: Pool, prefix: str, found: list[str]) -> None:
    assert by_pages(full, 2, prefix) == found
    assert full.count_people(prefix) == len(found)


@pytest.mark.parametrize(("part", "found"), [("LOVE", ["Ada Lovelace"]), ("%", ["a%b"]), ("_", ["a_b"]), ("!", [])])
def test_people_are_found_by_a_part_of_their_names(full: Pool, part: str, found: list[str]) -> None:
    assert by_pages(full, 2, part=part) == found
    assert full.count_people(part=part) == len(found)


def test_pages_go_on_after_somebody_who_is_gone(full: Pool) -> None:
    page = full.people_page(limit=3)
    assert page.following is not None
    full.remove(page.following)
    rest = [name for name in in_order(NAMES) if (folded(name), name) > (folded(page.following), page.following)]
    assert [person.name for person in full.people_page(after=page.following).people] == rest


def test_who_is_renamed_is_listed_where_the_new_name_belongs(full: Pool) -> None:
    full.rename("Zoe", "abe")
    assert by_pages(full, 3, "AB") == ["abe"]
    assert by_pages(full, 3) == in_order([*(set(NAMES) - {"Zoe"}), "abe"])


def test_a_name_that_nobody_has_brings_up_those_that_are_near_in_a_pool_of_any_size(
    full: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SUGGESTED_FROM", 6)
    assert len(full.names_near("Adan")) == 6
    with pytest.raises(UnknownPerson, match="is meant"):
        full.remove("Adda")


def test_look_alikes_of_one_person_are_those_of_everybody_that_have_it(full: Pool) -> None:
    full.register("Zoe", samples(3), space(), look_alikes=["Ada", "Adam"])
    full.register("Ada", samples(4), space(), look_alikes=["ADA"])
    for name in ("Ada", "Zoe", "Adam", "ada", "Nobody"):
        assert full.look_alikes(name) == {pair for pair in full.look_alikes() if name in pair}


@given(given_names=st.lists(st.text(min_size=1, max_size=4), max_size=12), prefix=st.text(max_size=2))
@settings(deadline=None, max_examples=100)
def test_pages_are_what_sorting_all_names_gives(given_names: list[str], prefix: str) -> None:
    names = set()
    for name in given_names:
        with suppress(ConfigError):
            names.add(clean_name(name))
    with closing(in_memory()) as db:
        rows = [(name, folded(name), uuid4().bytes) for name in names]
        db.executemany("INSERT INTO persons (name, folded, uuid) VALUES (?, ?, ?)", rows)
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            page = listing.read_page(db, listing.Wanted(prefix, after=after), 2)
            seen += [person.name for person in page.people]
            after = page.following
    assert seen == in_order([name for name in names if folded(name).startswith(folded(prefix))])


@pytest.mark.parametrize("part", ["\0", "Ada\0", "a" * 60_000, "!" * 30_000])
def test_what_cannot_be_in_a_name_is_in_nobody_s(full: Pool, part: str) -> None:
    assert (full.people_page(part=part).people, full.count_people(part=part)) == ((), 0)
    assert (full.people_page(part).people, full.count_people(part)) == ((), 0)
