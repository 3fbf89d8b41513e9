"""What people have agreed to: kept with them, copied with them, erased with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from facepool.errors import ConfigError, PoolCorrupt, UnknownPerson
from facepool.gallery import Pool, SqlGallery, SqliteGallery, open_foreign, open_pool, transfer
from facepool.gallery.backup import back_up, opened_backup, restore
from facepool.gallery.consents import METHOD_LIMIT, TEXT_LIMIT
from facepool.types import Consent
from support.pools import POSTGRES, kept, opened, place, samples, space

KINDS = ("pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres))
TEXT = "My face may be kept\nuntil I leave."
AGREED = Consent(TEXT, "Front desk", "2026-05-31T10:00:00+00:00", "signed form")


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool(tmp_path: Path, backend: str) -> Iterator[Pool]:
    with opened(tmp_path, backend) as pool:
        pool.register("Ada", samples(0), space(), consent=AGREED)
        pool.register("Bo", samples(1), space(), consent=AGREED)
        pool.register("Eve", samples(2), space())
        yield pool


def said(pool: Pool, person: str) -> list[tuple[str, str, str, str]]:
    return [(one.text, one.recorded_by, one.given_at, one.method) for one in pool.consents(person)]


def test_what_was_agreed_to_is_there_after_opening_again(pool: Pool, tmp_path: Path, backend: str) -> None:
    later = pool.record_consent("Ada", Consent(f" {TEXT}\r\nReally. ", "Guard", "2026-06-30T02:00:00+02:00"))
    assert (later.text, later.given_at) == (f"{TEXT}\nReally.", "2026-06-30T00:00:00+00:00")
    with open_pool(place(tmp_path, backend)) as again:
        assert said(again, "Ada") == [
            (TEXT, "Front desk", "2026-05-31T10:00:00+00:00", "signed form"),
            (later.text, "Guard", later.given_at, ""),
        ]
        assert again.consents("Ada")[1] == later
        assert again.consents("Eve") == ()
        assert sorted(again.consents_of(["Ada", "Bo", "Eve", "Nobody"])) == ["Ada", "Bo"]


def test_when_nothing_is_said_it_was_given_now(pool: Pool) -> None:
    assert pool.record_consent("Eve", Consent(TEXT, "Guard")).given_at[:2] == "20"
    assert pool.record_consent("Eve", Consent(TEXT, "Guard", "2020-02-01")).given_at == "2020-02-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "consent",
    [
        Consent("  ", "Guard"),
        Consent("x" * (TEXT_LIMIT + 1), "Guard"),
        Consent("nothing\0", "Guard"),
        Consent(TEXT, "Gu\nard"),
        Consent(TEXT, "Guard", "yesterday"),
        Consent(TEXT, "Guard", "3026-01-01"),
        Consent(TEXT, "Guard", method="x" * (METHOD_LIMIT + 1)),
    ],
)
def test_what_is_no_consent_stores_nothing_and_nobody(pool: Pool, consent: Consent) -> None:
    with pytest.raises(ConfigError):
        pool.record_consent("Eve", consent)
    with pytest.raises(ConfigError):
        pool.register("Zoe", samples(7), space(), consent=consent)
    assert pool.person("Zoe") is None
    assert pool.consents("Eve") == ()


def test_nobody_unknown_agrees_to_anything(pool: Pool) -> None:
    with pytest.raises(UnknownPerson):
        pool.record_consent("Nobody", AGREED)
    with pytest.raises(UnknownPerson):
        pool.consents("Nobody")


def test_it_follows_a_person_who_is_renamed_or_merged(pool: Pool) -> None:
    pool.rename("Ada", "Ann")
    assert said(pool, "Ann") == [(TEXT, "Front desk", "2026-05-31T10:00:00+00:00", "signed form")]
    pool.merge("Ann", "Eve")
    assert len(pool.consents("Eve")) == 1
    pool.merge("Bo", "Eve")
    assert len(pool.consents("Eve")) == 2


def test_it_is_erased_with_the_person_and_the_text_with_the_last_of_them(
    pool: Pool, tmp_path: Path, backend: str
) -> None:
    pool.record_consent("Ada", Consent("I, Countess Lovelace, agree", "Guard"))
    pool.remove("Ada")
    assert b"Lovelace" not in kept(tmp_path, backend)
    assert said(pool, "Bo")[0][0] == TEXT
    pool.remove_many(["Bo", "Eve"])
    assert b"may be kept" not in kept(tmp_path, backend)


def test_copies_have_it_once_however_often_they_are_made(pool: Pool, tmp_path: Path) -> None:
    with open_pool(tmp_path / "copy.db") as copy:
        for _ in range(2):
            transfer(pool, copy)
            assert copy.consents("Ada") == pool.consents("Ada")
            assert copy.consents("Eve") == ()
    with open_foreign(tmp_path / "copy.db") as copy, open_pool(tmp_path / "third.db") as third:
        transfer(copy, third)
        assert third.consents("Bo") == pool.consents("Bo")


def test_a_copy_without_room_says_so(pool: Pool, tmp_path: Path) -> None:
    with open_pool(tmp_path / "model_faces.npy") as pair:
        notes = transfer(pool, pair).notes
        assert "model_faces.npy has no place for consents: those of 2 names are not copied." in notes
        assert (pair.consents("Ada"), pair.consents_of(["Ada"]), pair.add_consents({"Ada": [AGREED]})) == ((), {}, 0)
        with pytest.raises(ConfigError, match="cannot keep what people have agreed to"):
            pair.record_consent("Ada", AGREED)
        with pytest.raises(ConfigError, match="people export"):
            pair.register("Zoe", samples(7), space(), consent=AGREED)
        assert pair.person("Zoe") is None


def test_a_backup_brings_it_back_but_not_that_of_somebody_erased_since(
    pool: Pool, tmp_path: Path, backend: str
) -> None:
    assert isinstance(pool, SqlGallery)
    pool.record_consent("Ada", Consent("I, Countess Lovelace, agree", "Guard"))
    back_up(pool, tmp_path / "backup.db")
    pool.remove("Ada")
    pool.rename("Bo", "Rob")
    with opened_backup(tmp_path / "backup.db", tmp_path) as backup:
        restore(pool, backup)
    assert pool.person("Ada") is None
    assert said(pool, "Bo") == [(TEXT, "Front desk", "2026-05-31T10:00:00+00:00", "signed form")]
    (tmp_path / "backup.db").unlink()
    assert b"Lovelace" not in kept(tmp_path, backend)
    pool.record_consent("Bo", Consent("Another text", "Guard"))  # its number is a new one


def test_a_registration_without_anything_new_to_store_makes_nobody_agree(pool: Pool) -> None:
    assert pool.register("Zoe", [], space(), consent=AGREED) == 0
    assert pool.person("Zoe") is None


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE consent_texts SET text = zeroblob(5)", "texts of consents that are none"),
        ("UPDATE consents SET method = zeroblob(5)", "consents that are none"),
        ("UPDATE consents SET given_at = 'soon'", "consent that cannot be used"),
        ("UPDATE consents SET given_at = '2026-05-31'", "not in its normal form"),
    ],
)
def test_a_pool_of_a_stranger_is_looked_at(tmp_path: Path, statement: str, why: str) -> None:
    path = tmp_path / "pool.db"
    with SqliteGallery(path, space()) as pool:
        pool.register("Ada", samples(0), space(), consent=AGREED)
        with pool.changing() as db:
            db.execute(statement)
    with pytest.raises(PoolCorrupt, match=why):
        open_foreign(path)


def test_its_text_is_not_in_what_is_shown_of_it() -> None:
    assert "kept" not in repr(AGREED)
    assert "desk" not in repr(AGREED)
