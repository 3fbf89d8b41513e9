"""Notes, tags and external ids: the same in every kind of pool that has a place for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from facepool.errors import ConfigError, PersonExists, PoolCorrupt, UnknownPerson
from facepool.gallery import Details, Pool, SqlGallery, SqliteGallery, open_foreign, open_pool, transfer
from facepool.gallery.backup import back_up, opened_backup, restore
from facepool.gallery.details import NOTES_LIMIT, TAGS_LIMIT
from support.pools import POSTGRES, opened, place, samples, space

KINDS = ("pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres))
ALL = Details("Has the key\r\nto the cellar ", ("Family", "second  floor"), external_id=" A-1815 ")


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool(tmp_path: Path, backend: str) -> Iterator[Pool]:
    with opened(tmp_path, backend) as pool:
        for seed, name in enumerate(("Ada", "Bo", "Eve")):
            pool.register(name, samples(seed), space())
        yield pool


def test_what_is_known_of_somebody_is_there_after_opening_again(pool: Pool, tmp_path: Path, backend: str) -> None:
    ada = pool.describe("Ada", ALL)
    assert (ada.notes, ada.tags, ada.external_id) == (
        "Has the key\nto the cellar",
        ("Family", "second floor"),
        "A-1815",
    )
    with open_pool(place(tmp_path, backend)) as again:
        assert again.person("Ada") == ada == again.person_by_id(ada.id) == again.people()[0]
        assert again.people_page().people[0] == ada
        assert again.people()[1].tags == ()


def test_only_what_is_said_changes(pool: Pool) -> None:
    pool.describe("Ada", ALL)
    ada = pool.describe("Ada", Details(more_tags=("new", "FAMILY"), fewer_tags=("Second Floor", "none")))
    assert (ada.notes, ada.tags, ada.external_id) == ("Has the key\nto the cellar", ("Family", "new"), "A-1815")
    ada = pool.describe("Ada", Details("", (), external_id=""))
    assert (ada.notes, ada.tags, ada.external_id) == ("", (), "")
    assert pool.person("Ada") == ada


def test_a_name_changes_in_the_same_change_or_nothing_does(pool: Pool) -> None:
    pool.describe("Bo", Details(external_id="B"))
    before = pool.person("Ada")
    with pytest.raises(PersonExists, match="'Bo' has it"):
        pool.describe("Ada", Details("new", external_id="B"), name="Ann")
    with pytest.raises(PersonExists):
        pool.describe("Ada", ALL, name="Bo")
    with pytest.raises(UnknownPerson):
        pool.describe("Nobody", ALL)
    assert pool.person("Ada") == before
    ann = pool.describe("Ada", Details("new"), name="Ann")
    assert (ann.name, ann.notes, pool.person("Ada")) == ("Ann", "new", None)


def test_people_are_found_by_tag_and_by_external_id(pool: Pool) -> None:
    pool.describe("Ada", ALL)
    pool.describe("Eve", Details(more_tags=("family",)))
    assert [person.name for person in pool.people_page(tag="FAMILY").people] == ["Ada", "Eve"]
    assert [person.name for person in pool.people_page(tag="family", limit=1, after="Ada").people] == ["Eve"]
    assert pool.count_people(tag="family") == 2
    assert [person.name for person in pool.people_page(external_id="A-1815").people] == ["Ada"]
    assert pool.count_people("e", tag="family", external_id="A-1815") == 0
    assert pool.people_page(tag="fam\0").people == ()


@pytest.mark.parametrize(
    "details",
    [
        Details("x" * (NOTES_LIMIT + 1)),
        Details("bell \a"),
        Details("half \udc80"),
        Details(tags=("",)),
        Details(tags=("a,b",)),
        Details(tags=("a\nb",)),
        Details(tags=("x" * 51,)),
        Details(tags=tuple(map(str, range(TAGS_LIMIT + 1)))),
        Details(external_id="x" * 201),
        Details(external_id="a\0b"),
    ],
)
def test_what_cannot_be_stored_is_refused(pool: Pool, details: Details) -> None:
    before = pool.revision()
    with pytest.raises(ConfigError):
        pool.describe("Ada", details)
    assert pool.revision() == before


def test_nobody_has_more_tags_than_that_bit_by_bit(pool: Pool) -> None:
    pool.describe("Ada", Details(tags=tuple(map(str, range(TAGS_LIMIT)))))
    with pytest.raises(ConfigError, match="limit is 50"):
        pool.describe("Ada", Details(more_tags=("one",)))


def test_who_was_two_has_what_was_known_of_both(pool: Pool) -> None:
    pool.describe("Ada", ALL)
    pool.describe("Bo", Details("Comes on Mondays", ("FAMILY", "guest")))
    pool.merge("Ada", "Bo")
    bo = pool.person("Bo")
    assert bo is not None
    assert bo.notes == "Comes on Mondays\nHas the key\nto the cellar"
    assert (bo.tags, bo.external_id) == (("FAMILY", "guest", "second floor"), "A-1815")


def test_copies_and_backups_have_it(pool: Pool, tmp_path: Path) -> None:
    ada = pool.describe("Ada", ALL)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with open_pool(folder / "copy.db", space()) as copy:
        copy.register("Eve", samples(9), space())
        copy.describe("Eve", Details("hers", external_id="A-1815"))
        transfer(pool, copy)
        one = copy.person("Ada")
        assert one is not None
        assert (one.notes, one.tags, one.external_id) == (ada.notes, ada.tags, ""), "somebody has that id there"
        assert copy.describe("Eve", Details(external_id="")).notes == "hers"
        transfer(pool, copy)
        assert copy.person("Ada") == ada
    with open_foreign(folder / "copy.db") as foreign:
        assert foreign.person("Ada") == ada
    with open_pool(folder / "model_faces.npy", space()) as pair:
        assert "those of 1 name are not copied" in transfer(pool, pair).notes[-1]
    assert isinstance(pool, SqlGallery)
    back_up(pool, folder / "backup.db")
    pool.describe("Ada", Details("other", ("x",), external_id="C"))
    with opened_backup(folder / "backup.db", folder) as backup:
        restore(pool, backup)
    assert pool.person("Ada") == ada


def test_erased_people_leave_none_of_it(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "pool.db", space()) as pool:
        pool.register("Ada", samples(1), space())
        pool.describe("Ada", Details("cellar", ("attic",), external_id="roof"))
        pool.remove("Ada")
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(word in content for word in (b"cellar", b"attic", b"roof"))


def test_changes_are_noted_without_their_content(pool: Pool) -> None:
    with pool.noting("page") as notices:
        pool.describe("Ada", ALL)
        pool.describe("Ada", ALL)
    assert [(notice.action, notice.person, notice.detail) for notice in notices] == [
        ("described", "Ada", "notes, tags, external id")
    ]


def test_npy_pools_have_no_place_for_it(tmp_path: Path) -> None:
    with opened(tmp_path, "model_faces.npy") as pool:
        pool.register("Ada", samples(1), space())
        with pytest.raises(ConfigError, match="people export"):
            pool.describe("Ada", ALL)
        assert pool.describe("Ada", Details(), name="Ann").name == "Ann"
        assert pool.people_page(tag="family").people == ()


def test_a_file_from_elsewhere_that_says_what_nobody_may_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    for statement in (
        "UPDATE persons SET notes = 'bell' || char(7)",
        "UPDATE persons SET notes = x'00'",
        "UPDATE persons SET external_id = ' blank'",
        "INSERT INTO tags (person_id, tag, folded) VALUES (1, 'A', 'b')",
        "INSERT INTO tags (person_id, tag, folded) VALUES (1, 'a,b', 'a,b')",
    ):
        with SqliteGallery(path, space()) as pool:
            pool.register("Ada", samples(1), space())
            pool._connection().execute(statement)
        with pytest.raises(PoolCorrupt):
            open_foreign(path)
        path.unlink()
