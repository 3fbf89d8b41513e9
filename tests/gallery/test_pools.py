"""Every kind of pool keeps the same promises."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from facepool.errors import (
    ConfigError,
    InvalidEmbedding,
    PathMissing,
    PersonExists,
    PoolChanged,
    SpaceMismatch,
    UnknownPerson,
    UnknownTemplate,
)
from facepool.gallery import Pool, check_gallery, open_pool, transfer
from facepool.search import Index, Search
from facepool.types import Pose, Sample, Template
from support.pools import (
    BACKENDS,
    DIMENSION,
    ENCRYPTED,
    FILES,
    MEASURED,
    POSTGRES,
    kept,
    opened,
    place,
    samples,
    space,
    unit,
    units,
)

pytestmark = pytest.mark.parametrize("backend", [*BACKENDS, ENCRYPTED])


@pytest.fixture
def pool(tmp_path: Path, backend: str) -> Iterator[Pool]:
    with opened(tmp_path, backend) as pool:
        yield pool


def names(pool: Pool) -> dict[str, int]:
    return {person.name: person.templates for person in pool.people()}


def test_a_new_pool_is_empty_and_makes_no_file(pool: Pool, tmp_path: Path) -> None:
    assert pool.people() == []
    assert pool.templates() == []
    assert Search(pool).index().vectors.shape == (0, DIMENSION)
    assert Search(pool).nearest(units(2)).candidates == ((), ())
    with pytest.raises(UnknownPerson):
        pool.rename("Ada", "Eve")
    assert list(tmp_path.iterdir()) == []


def test_a_pool_that_must_exist_and_does_not_is_refused(tmp_path: Path, backend: str) -> None:
    with pytest.raises(PathMissing):
        open_pool(place(tmp_path, backend), must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_what_was_registered_is_there_after_opening_again(pool: Pool, tmp_path: Path, backend: str) -> None:
    assert pool.register("Ada", samples(1, 2), space()) == 2
    assert pool.register("Bob", samples(3), space()) == 1
    assert pool.register("Ada", samples(4), space()) == 1
    with open_pool(place(tmp_path, backend), must_exist=True) as again:
        assert names(again) == {"Ada": 3, "Bob": 1}
        assert again.space == space()
        assert [template.sample.embedding.tolist() for template in again.templates("Ada")] == [
            unit(seed).tolist() for seed in (1, 2, 4)
        ]


def test_a_registration_decided_on_an_older_revision_is_refused(pool: Pool, tmp_path: Path, backend: str) -> None:
    seen = pool.revision()
    with opened(tmp_path, backend) as other:
        other.register("Eve", samples(1), space())
    with pytest.raises(PoolChanged):
        pool.register("Ada", samples(2), space(), expected_revision=seen)
    assert names(pool) == {"Eve": 1}
    assert pool.register("Ada", samples(2), space(), expected_revision=pool.revision()) == 1


def test_no_samples_make_nobody_known(pool: Pool) -> None:
    assert pool.register("Ada", [], space()) == 0
    assert pool.people() == []


def test_provenance_comes_back_as_it_was_given(pool: Pool, tmp_path: Path, backend: str) -> None:
    sample = Sample(
        unit(1), "rtsp://cam \udcff", 1.5, Pose(10.0, -5.0, 0.5), 88.0, 0.99, 120.0, 37, "glasses", partial=True
    )
    bare = Sample(unit(2))
    measured = replace(bare, quality=np.float32(0.5), frame=np.int64(3))  # type: ignore[arg-type] # NumPy's numbers
    pool.register("Ada", [sample, bare, measured], space())
    with open_pool(place(tmp_path, backend)) as again:
        first, second, third = again.templates()
    assert (first.person, first.model) == ("Ada", "test-net")
    assert first.created_at.endswith("+00:00")
    assert replace(first.sample, embedding=sample.embedding, source=sample.source) == sample
    assert first.sample.source == r"rtsp://cam \udcff"
    assert replace(second.sample, embedding=bare.embedding) == bare
    assert (third.sample.quality, third.sample.frame) == (0.5, 3)
    assert first.sample.embedding.dtype == np.float32


def test_a_measure_that_is_no_number_is_none(pool: Pool) -> None:
    pool.register("Ada", [replace(samples(1)[0], quality=float("nan"), time_s=float("nan"))], space())
    (template,) = pool.templates("Ada")
    assert (template.sample.quality, template.sample.time_s) == (None, None)


def test_the_matrix_keeps_a_person_together_and_follows_the_pool(pool: Pool) -> None:
    pool.register("Bob", samples(1), space())
    pool.register("Ada", samples(2), space())
    assert Search(pool).index() is Search(pool).index()
    pool.register("Bob", samples(3), space())
    matrix = Search(pool).index()
    assert matrix.names == ("Ada", "Bob")
    assert matrix.person_of.tolist() == [0, 1, 1]
    assert matrix.starts.tolist() == [0, 1]
    assert matrix.vectors.tolist() == [unit(seed).tolist() for seed in (2, 1, 3)]
    assert [template.id for template in pool.templates("Bob")] == matrix.template_ids[1:].tolist()
    assert matrix.vectors.flags.c_contiguous
    assert not matrix.vectors.flags.writeable


def test_the_matrix_follows_what_another_process_writes(pool: Pool, tmp_path: Path, backend: str) -> None:
    pool.register("Ada", samples(1), space())
    before = pool.revision(), Search(pool).index()
    with opened(tmp_path, backend) as other:
        other.register("Bob", samples(2), space())
        assert pool.revision() != before[0]
        assert Search(pool).index().names == ("Ada", "Bob")
        other.rename("Ada", "Zoe")
        assert Search(pool).index().names == ("Bob", "Zoe")
        other.remove("Bob")
        assert Search(pool).index().names == ("Zoe",)
        assert Search(pool).index().revision == pool.revision()
    assert before[1].names == ("Ada",)


def test_renaming_keeps_the_templates_and_refuses_a_name_that_is_taken(pool: Pool) -> None:
    pool.register("Ada", samples(1, 2), space())
    pool.register("Bob", samples(3), space())
    pool.rename("Ada", "Ada Lovelace")
    pool.rename("Bob", " Bob ")
    assert names(pool) == {"Ada Lovelace": 2, "Bob": 1}
    with pytest.raises(PersonExists):
        pool.rename("Bob", "Ada Lovelace")
    with pytest.raises(UnknownPerson, match="Perhaps 'Ada Lovelace' is meant"):
        pool.rename("Ada Lovelac", "Eve")


def test_merging_moves_the_templates(pool: Pool) -> None:
    pool.register("Ada", samples(1, 2), space())
    pool.register("Ada L.", samples(3), space())
    assert pool.merge("Ada L.", "Ada") == 1
    assert names(pool) == {"Ada": 3}
    with pytest.raises(UnknownPerson):
        pool.merge("Ada", "Ada L.")
    with pytest.raises(ConfigError):
        pool.merge("Ada", "Ada")
    assert names(pool) == {"Ada": 3}


def test_a_removed_person_leaves_no_bytes_behind(pool: Pool, tmp_path: Path, backend: str) -> None:
    for seed in range(40):
        pool.register(f"person {seed % 8}", samples(seed), space())
    for number in (3, 1, 6):
        assert pool.remove(f"person {number}") == 5
    left = kept(tmp_path, backend)
    gone = [seed for seed in range(40) if seed % 8 in (1, 3, 6)]
    assert not [seed for seed in gone if unit(seed).tobytes() in left]
    assert unit(0).tobytes() in left
    assert names(pool) == {f"person {number}": 5 for number in (0, 2, 4, 5, 7)}
    with pytest.raises(UnknownPerson):
        pool.remove("person 3")


def test_several_are_erased_in_one_change_and_who_is_not_there_is_passed_over(
    pool: Pool, tmp_path: Path, backend: str
) -> None:
    assert pool.remove_many(["Ada"]) == {}
    assert list(tmp_path.iterdir()) == []
    for seed, name in enumerate(("Ada", "Bob", "Ada", "Zoe")):
        pool.register(name, samples(seed), space())
    pool.create("Eve")
    pool.register("Bob", samples(9), space(), look_alikes=["Ada"])
    before = pool.revision()
    assert pool.remove_many(["Nobody"]) == {}
    assert pool.revision() == before
    assert pool.remove_many(["Ada", "Eve", "Nobody", "Zoe"]) == {"Ada": 2, "Eve": 0, "Zoe": 1}
    assert (names(pool), flags(pool)) == ({"Bob": 2}, set())
    assert len(Search(pool).index()) == 2
    left = kept(tmp_path, backend)
    assert [seed for seed in range(4) if unit(seed).tobytes() in left] == [1]


def test_template_numbers_are_not_used_again(pool: Pool) -> None:
    pool.register("Ada", samples(1), space())
    pool.register("Bob", samples(2), space())
    erased = {template.id for template in pool.templates("Bob")}
    pool.remove("Bob")
    pool.register("Eve", samples(3), space())
    assert not erased & {template.id for template in pool.templates()}


def test_an_emptied_pool_works_on(pool: Pool, tmp_path: Path, backend: str) -> None:
    pool.register("Ada", samples(1), space())
    pool.remove("Ada")
    assert len(Search(pool).index()) == 0
    with opened(tmp_path, backend) as again:
        assert again.space == space()
        again.register("Bob", samples(2), space())
    assert names(pool) == {"Bob": 1}


@pytest.mark.parametrize(
    "name", ["李小龍", "Олег", "محمد", "José", "O'Neil; DROP TABLE", "👩‍🚀", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "അവന്‍", "x" * 200]
)
def test_names_of_any_script_are_kept(pool: Pool, tmp_path: Path, backend: str, name: str) -> None:
    pool.register(name, samples(1), space())
    with open_pool(place(tmp_path, backend)) as again:
        assert names(again) == {name: 1}


@pytest.mark.parametrize("given", ["\ufeffAda", "Ada\u200e", "\u2068Ada\u2069", "\u200b Ada\u3000\u200b", "Ada\u00ad"])
def test_what_copying_leaves_around_a_name_makes_no_second_person(pool: Pool, given: str) -> None:
    pool.register("Ada", samples(1), space())
    pool.register(given, samples(2), space())
    assert names(pool) == {"Ada": 2}


def test_two_spellings_of_one_name_are_one_person(pool: Pool) -> None:
    pool.register("Jose\u0301", samples(1), space())
    pool.register("  José\t", samples(2), space())
    assert names(pool) == {"José": 2}
    assert len(pool.templates("Jose\u0301")) == 2


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "\ud800", "x" * 201])
def test_names_that_cannot_be_read_are_refused(pool: Pool, name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        pool.register(name, samples(1), space())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("\u200b", "invisible or combining characters (U+200B)"),
        ("\u200e\u200f\u200e", "invisible or combining characters (U+200E, U+200F)"),
        ("\ufeff", "(U+FEFF)"),
        ("\u0301\u0308", "(U+0301, U+0308)"),
        ("\u3164", "(U+3164)"),
        ("\u2800 \u2800", "(U+2800, U+0020)"),
        ("\u3000\u2003", "only blanks"),
        ("", "is empty"),
        ("Jos\udce9", "the byte 0xE9, which is no text in UTF-8"),
        ("a\ud83d", "half of a character (U+D83D)"),
        ("a\u2028b", "a line break (U+2028)"),
        ("a\x07b", "a control character (U+0007)"),
        (".", "means a folder"),
        (" ..\u200b", "means a folder"),
        ("erased-0123456789abcdef", "audit logs name those who were erased"),
        ("Erased-Ada", "audit logs name those who were erased"),
    ],
)
def test_why_a_name_is_refused_is_what_was_seen(pool: Pool, name: str, why: str) -> None:
    pool.register("Ada", samples(1), space())
    for act in (partial(pool.create, name), partial(pool.rename, "Ada", name)):
        with pytest.raises(ConfigError) as refused:
            act()
        assert why in str(refused.value)
    assert names(pool) == {"Ada": 1}


@pytest.mark.parametrize(
    "embedding",
    [
        np.full(DIMENSION, np.nan, np.float32),
        np.zeros(DIMENSION, np.float32),
        unit(1) * np.float32(1.1),
        unit(1, DIMENSION + 1),
        unit(1).astype(np.float64),
        unit(1)[None],
    ],
    ids=["NaN", "zero", "not unit", "too long", "float64", "two axes"],
)
def test_a_bad_embedding_stores_nothing_of_the_registration(
    pool: Pool, embedding: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    pool.register("Ada", samples(1), space())
    with pytest.raises(InvalidEmbedding):
        pool.register("Bob", [*samples(2), Sample(embedding)], space())
    assert names(pool) == {"Ada": 1}


def test_another_embedding_space_is_refused_with_both_names(pool: Pool, tmp_path: Path, backend: str) -> None:
    pool.register("Ada", samples(1), space())
    other = space(model="other-net", weights="cd" * 32)
    with pytest.raises(SpaceMismatch, match=r"test-net.*other-net"):
        open_pool(place(tmp_path, backend), other)
    with pytest.raises(SpaceMismatch):
        pool.add([Template(0, "Bob", samples(2)[0])], other)
    assert names(pool) == {"Ada": 1}
    renamed = space(model="the same under another name")
    with open_pool(place(tmp_path, backend), renamed) as same:
        assert same.register("Bob", samples(2), renamed) == 1


def test_a_new_pool_is_pinned_to_whoever_stores_first(pool: Pool, tmp_path: Path, backend: str) -> None:
    other_space = space(model="other-net", weights="cd" * 32)
    with open_pool(place(tmp_path, backend), other_space) as other:
        pool.register("Ada", samples(1), space())
        with pytest.raises(SpaceMismatch):
            other.register("Bob", samples(2), other_space)
    assert names(pool) == {"Ada": 1}


def test_nothing_is_stored_without_an_embedding_space(tmp_path: Path, backend: str) -> None:
    with open_pool(place(tmp_path, backend)) as pool:
        assert (pool.space, pool.dimension) == (None, None)
        with pytest.raises(SpaceMismatch):
            pool.add([Template(0, "Ada", samples(1)[0])], None)
    assert list(tmp_path.iterdir()) == []


def test_samples_are_of_the_space_that_they_come_with_not_of_the_one_that_the_pool_was_opened_with(
    pool: Pool, tmp_path: Path, backend: str
) -> None:
    other = space(model="other-net", weights="cd" * 32)
    with pytest.raises(SpaceMismatch, match=r"test-net.*other-net"):
        pool.register("Ada", samples(1), other)
    assert list(tmp_path.iterdir()) == []
    with open_pool(place(tmp_path, backend)) as nameless:
        nameless.register("Ada", samples(1), other)
        assert nameless.space == other
    with pytest.raises(SpaceMismatch, match=r"other-net.*test-net"):
        pool.register("Bob", samples(2), space())


def test_a_pool_is_asked_whether_it_fits_before_it_is_used(pool: Pool, tmp_path: Path, backend: str) -> None:
    other = space(model="other-net", weights="cd" * 32)
    check_gallery(pool, space())
    with pytest.raises(SpaceMismatch, match=r"test-net.*other-net"):  # new, but meant for another space
        check_gallery(pool, other)
    pool.register("Ada", samples(1), space())
    with open_pool(place(tmp_path, backend)) as nameless, pytest.raises(SpaceMismatch, match=r"test-net.*other-net"):
        check_gallery(nameless, other)


def test_a_pool_is_private_to_its_owner(pool: Pool, tmp_path: Path, backend: str) -> None:
    if backend == POSTGRES:
        pytest.skip("a database has its own permissions")
    pool.register("Ada", samples(1), space())
    assert (tmp_path / backend).stat().st_mode & 0o077 == 0


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path, backend: str) -> None:
    if backend == POSTGRES:
        pytest.skip("a database lies in no folder")
    with open_pool(tmp_path / "nowhere" / backend, space()) as pool, pytest.raises(PathMissing, match="nowhere"):
        pool.register("Ada", samples(1), space())


def test_a_closed_pool_says_so(pool: Pool) -> None:
    pool.register("Ada", samples(1), space())
    pool.close()
    pool.close()
    with pytest.raises(ValueError, match="closed"):
        pool.people()


@pytest.mark.parametrize("target_backend", BACKENDS)
def test_a_transfer_keeps_everything_and_skips_what_is_there(
    pool: Pool, tmp_path: Path, backend: str, target_backend: str
) -> None:
    pool.register(
        "Ada", [Sample(unit(1), "a.mp4", 2.0, Pose(1.0, 2.0, 3.0), 50.0, 0.9, 80.0, 60), *samples(2)], space()
    )
    pool.register("Bob", samples(3), space())
    (tmp_path / "target").mkdir()
    with open_pool(place(tmp_path / "target", target_backend)) as target:
        report = transfer(pool, target)
        assert (report.created, report.extended, report.added, report.skipped) == (("Ada", "Bob"), (), 3, 0)
        assert target.space == pool.space
        for mine, theirs in zip(pool.templates(), target.templates(), strict=True):
            assert mine.sample.embedding.tobytes() == theirs.sample.embedding.tobytes()
            assert replace(theirs.sample, embedding=mine.sample.embedding) == mine.sample
            assert (mine.created_at, mine.model, mine.person) == (theirs.created_at, theirs.model, theirs.person)
        pool.register("Bob", samples(4), space())
        report = transfer(pool, target)
        assert (report.created, report.extended, report.added, report.skipped) == ((), ("Bob",), 1, 3)
        assert target.people() == pool.people()


def flags(pool: Pool) -> set[tuple[str, ...]]:
    return {tuple(sorted(pair)) for pair in pool.look_alikes()}


def test_look_alikes_are_flagged_with_the_registration_and_follow_their_people(
    pool: Pool, tmp_path: Path, backend: str
) -> None:
    for name, seed in (("Ada", 1), ("Bob", 2), ("Eve", 3)):
        pool.register(name, samples(seed), space())
    assert flags(pool) == set()
    pool.register("Ann", samples(4), space(), look_alikes=["Ada", "Eve", " Ada "])
    assert flags(pool) == {("Ada", "Ann"), ("Ann", "Eve")}
    with open_pool(place(tmp_path, backend)) as again:
        assert flags(again) == {("Ada", "Ann"), ("Ann", "Eve")}
    pool.rename("Ann", "Anna")
    assert flags(pool) == {("Ada", "Anna"), ("Anna", "Eve")}
    pool.merge("Eve", "Bob")
    assert flags(pool) == {("Ada", "Anna"), ("Anna", "Bob")}
    pool.merge("Anna", "Ada")
    assert flags(pool) == {("Ada", "Bob")}
    pool.remove("Bob")
    assert flags(pool) == set()


def test_a_look_alike_who_is_not_there_undoes_the_registration(pool: Pool) -> None:
    pool.register("Ada", samples(1), space())
    with pytest.raises(UnknownPerson):
        pool.register("Ann", samples(2), space(), look_alikes=["Adda"])
    with pytest.raises(ConfigError):
        pool.register("Ann", samples(2), space(), look_alikes=["Ann"])
    assert (names(pool), flags(pool)) == ({"Ada": 1}, set())


@pytest.mark.parametrize("target_backend", BACKENDS)
def test_a_transfer_takes_look_alikes_along(pool: Pool, tmp_path: Path, backend: str, target_backend: str) -> None:
    pool.register("Ada", samples(1), space())
    pool.register("Ann", samples(2), space())
    (tmp_path / "target").mkdir()
    with open_pool(place(tmp_path / "target", target_backend)) as target:
        transfer(pool, target)
        pool.register("Ann", samples(3), space(), look_alikes=["Ada"])
        pool.register("Eve", samples(4), space())
        transfer(pool, target)
        assert flags(target) == {("Ada", "Ann")}
        revision = target.revision()
        transfer(pool, target)
        assert target.revision() == revision


def test_a_calibration_is_kept_with_the_pool_and_seen_by_other_processes(
    pool: Pool, tmp_path: Path, backend: str
) -> None:
    pool.register("Ada", samples(1), space())
    with opened(tmp_path, backend) as other:
        assert other.calibration() is None
        pool.set_calibration(MEASURED)
        assert other.revision() == pool.revision()
        assert other.calibration() == MEASURED
        other.register("Bob", samples(2), space(), look_alikes=["Ada"])
        other.rename("Ada", "Zoe")
        assert pool.calibration() == MEASURED
        other.set_calibration(replace(MEASURED, threshold=0.5))
    with open_pool(place(tmp_path, backend)) as again:
        assert again.calibration() == replace(MEASURED, threshold=0.5)
        again.set_calibration(None)
    assert pool.calibration() is None
    assert names(pool) == {"Zoe": 1, "Bob": 1}


def test_a_calibration_that_was_measured_on_an_older_revision_is_refused(
    pool: Pool, tmp_path: Path, backend: str
) -> None:
    pool.register("Ada", samples(1), space())
    seen = pool.revision()
    with opened(tmp_path, backend) as other:
        other.register("Eve", samples(2), space())
    with pytest.raises(PoolChanged):
        pool.set_calibration(MEASURED, expected_revision=seen)
    assert pool.calibration() is None
    pool.set_calibration(MEASURED, expected_revision=pool.revision())
    assert pool.calibration() == MEASURED


def test_erasing_a_person_leaves_a_calibration_that_says_nothing_of_them(
    pool: Pool, tmp_path: Path, backend: str
) -> None:
    pool.register("Ada", samples(1), space())
    pool.register("Bob", samples(2), space(), look_alikes=["Ada"])
    pool.set_calibration(MEASURED)
    pool.remove("Ada")
    assert pool.calibration() == MEASURED  # counts and rates over everybody
    assert (pool.look_alikes(), Search(pool).state().margins) == (frozenset(), {})
    left = kept(tmp_path, backend)
    assert b"Ada" not in left
    assert "Ada".encode("utf-32-le") not in left


def test_forgetting_what_was_never_measured_changes_nothing(pool: Pool, tmp_path: Path) -> None:
    pool.set_calibration(None)
    assert list(tmp_path.iterdir()) == []


def test_a_calibration_of_another_space_is_not_used(pool: Pool) -> None:
    pool.register("Ada", samples(1), space())
    pool.set_calibration(replace(MEASURED, space_id="0123456789abcdef"))
    assert pool.calibration() is None


def test_margins_follow_the_templates_of_a_pair(pool: Pool) -> None:
    pool.register("Ada", samples(1, 2), space())
    pool.register("Ann", samples(3), space(), look_alikes=["Ada"])
    assert Search(pool).state().margins == {}
    pool.register("Ann", samples(4), space())
    before = Search(pool).state().margins
    assert set(before) == {frozenset({"Ada", "Ann"})}
    pool.register("Ann", samples(5), space())
    assert Search(pool).state().margins != before


def test_a_person_without_templates_is_listed_and_nobody_is_taken_for_them(
    pool: Pool, tmp_path: Path, backend: str
) -> None:
    pool.create(" Ada ")
    assert names(pool) == {"Ada": 0}
    assert pool.templates("Ada") == []
    assert (Search(pool).index().names, Search(pool).nearest(units(1)).candidates) == ((), ((),))
    pool.register("Bob", samples(1), space())
    pool.create("Eve")
    assert (names(pool), Search(pool).index().names) == ({"Ada": 0, "Bob": 1, "Eve": 0}, ("Bob",))
    with open_pool(place(tmp_path, backend)) as again:
        assert names(again) == {"Ada": 0, "Bob": 1, "Eve": 0}
        again.register("Ada", samples(2), space())
    assert (names(pool)["Ada"], Search(pool).index().names) == (1, ("Ada", "Bob"))


def test_somebody_who_is_there_is_not_made_again(pool: Pool) -> None:
    pool.create("Ada")
    pool.register("Bob", samples(1), space())
    for name in ("Ada", "Bob"):
        with pytest.raises(PersonExists, match=name):
            pool.create(name)
    with pytest.raises(ConfigError):
        pool.create("\n")
    assert names(pool) == {"Ada": 0, "Bob": 1}


def test_people_without_templates_are_renamed_merged_flagged_and_erased_like_others(pool: Pool) -> None:
    for name in ("Ada", "Eve", "Zoe"):
        pool.create(name)
    pool.register("Bob", samples(1), space(), look_alikes=["Ada"])
    pool.rename("Ada", "Ann")
    with pytest.raises(PersonExists):
        pool.rename("Bob", "Ann")
    assert flags(pool) == {("Ann", "Bob")}
    assert pool.merge("Eve", "Bob") == 0
    assert pool.merge("Bob", "Zoe") == 1
    assert (names(pool), flags(pool)) == ({"Ann": 0, "Zoe": 1}, {("Ann", "Zoe")})
    assert pool.remove("Ann") == 0
    assert (names(pool), flags(pool)) == ({"Zoe": 1}, set())


def test_one_template_is_erased_and_its_person_stays(pool: Pool, tmp_path: Path, backend: str) -> None:
    pool.register("Ada", samples(1, 2), space())
    pool.register("Bob", samples(3), space())
    Search(pool).index()
    first, second = (template.id for template in pool.templates("Ada"))
    assert pool.template(second).sample.embedding.tolist() == unit(2).tolist()
    assert pool.remove_template(first) == "Ada"
    assert Search(pool).index().vectors.tolist() == [unit(2).tolist(), unit(3).tolist()]
    assert pool.remove_template(second, person="Ada") == "Ada"
    assert (names(pool), Search(pool).index().names) == ({"Ada": 0, "Bob": 1}, ("Bob",))
    left = kept(tmp_path, backend)
    assert not [seed for seed in (1, 2) if unit(seed).tobytes() in left]
    with open_pool(place(tmp_path, backend)) as again:
        assert names(again) == {"Ada": 0, "Bob": 1}
        again.register("Ada", samples(4), space())
        assert again.templates("Ada")[0].id not in (first, second)


def test_a_template_that_is_not_there_or_not_the_persons_is_told(pool: Pool, tmp_path: Path) -> None:
    for number in (1, -1, 10**30):
        for use in (pool.template, pool.picture, pool.remove_template):
            with pytest.raises(UnknownTemplate):
                use(number)
    assert list(tmp_path.iterdir()) == []
    pool.register("Ada", samples(1), space())
    pool.register("Bob", samples(2), space())
    (bobs,) = pool.templates("Bob")
    with pytest.raises(UnknownTemplate, match="Ada has no view"):
        pool.remove_template(bobs.id, person="Ada")
    for number in (bobs.id + 1, -1, 10**30):
        for use in (pool.template, pool.picture, pool.remove_template):
            with pytest.raises(UnknownTemplate):
                use(number)
    assert names(pool) == {"Ada": 1, "Bob": 1}


@pytest.mark.parametrize("target_backend", BACKENDS)
def test_a_transfer_takes_people_without_templates_along(
    pool: Pool, tmp_path: Path, backend: str, target_backend: str
) -> None:
    pool.create("Ada")
    (tmp_path / "target").mkdir()
    with open_pool(place(tmp_path / "target", target_backend)) as target:
        assert transfer(pool, target).created == ("Ada",)
        pool.register("Bob", samples(1), space())
        pool.create("Eve")
        report = transfer(pool, target)
        assert (report.created, report.added, names(target)) == (("Bob", "Eve"), 1, {"Ada": 0, "Bob": 1, "Eve": 0})
        revision = target.revision()
        assert transfer(pool, target).created == ()
        assert target.revision() == revision


def test_people_and_templates_have_ids_that_stay_whatever_people_are_called(
    pool: Pool, tmp_path: Path, backend: str
) -> None:
    pool.register("Ada", samples(1, 2), space())
    pool.register("Bob", samples(3), space())
    ada, bob = (person.id for person in pool.people())
    first, second, third = (template.uuid for template in pool.templates())
    assert {UUID(uuid).version for uuid in (ada, bob, first, second, third)} == {4}
    assert [template.person_id for template in pool.templates()] == [ada, ada, bob]
    pool.rename("Ada", "Zoe")
    pool.rename("Bob", "Ada")
    with opened(tmp_path, backend) as again:
        assert [(person.name, person.id) for person in again.people()] == [("Ada", bob), ("Zoe", ada)]
        assert again.person_by_id(ada) == again.person("Zoe")
        assert again.template_number(second) == again.templates("Zoe")[1].id
        assert Search(again).nearest(units(1)).candidates[0][0].person_id in (ada, bob)
        again.merge("Ada", "Zoe")
        assert [template.uuid for template in again.templates()] == [first, second, third]
    assert [person.id for person in pool.people()] == [ada]
    assert (pool.person_by_id(bob), pool.person("Ada"), pool.person("Bob")) == (None, None, None)


@pytest.mark.parametrize("nobody", ["", "Ada", "00000000-0000-0000-0000-000000000000", "x" * 36])
def test_an_id_that_nobody_has_finds_nobody(pool: Pool, nobody: str) -> None:
    pool.register("Ada", samples(1), space())
    assert (pool.person_by_id(nobody), pool.template_number(nobody)) == (None, None)


@pytest.mark.parametrize("target_backend", BACKENDS)
def test_a_transfer_keeps_ids_unless_they_are_taken(
    pool: Pool, tmp_path: Path, backend: str, target_backend: str
) -> None:
    pool.register("Ada", samples(1), space())
    pool.create("Eve")
    (tmp_path / "target").mkdir()
    with open_pool(place(tmp_path / "target", target_backend)) as target:
        transfer(pool, target)
        assert target.people() == pool.people()
        assert [template.uuid for template in target.templates()] == [template.uuid for template in pool.templates()]
        pool.rename("Ada", "Ann")
        transfer(pool, target)  # Ada has the id there
        assert target.person("Ada") is not None
        people = target.people()
        assert [person.name for person in people] == ["Ada", "Ann", "Eve"]
        assert len({person.id for person in people}) == 3
        assert len({template.uuid for template in target.templates()}) == 2


def test_what_was_straight_ahead_in_a_scan_is_kept_with_its_samples(pool: Pool, tmp_path: Path, backend: str) -> None:
    low, high = Pose(1.5, -8.0, 0.25), Pose(2.0, 3.0, 0.0)
    pool.register("Ada", [replace(*samples(1), frontal_pose=low)], space())
    pool.register("Ada", [replace(*samples(2), frontal_pose=high)], space())  # a later scan of the same appearance
    pool.register("Bob", [*samples(3), replace(*samples(4), frontal_pose=low, appearance="hat")], space())
    pool.merge("Bob", "Ada")
    expected = [low, high, None, low]
    assert [template.sample.frontal_pose for template in pool.templates("Ada")] == expected
    with open_pool(place(tmp_path, backend)) as again:
        assert [template.sample.frontal_pose for template in again.templates("Ada")] == expected
    (tmp_path / "target").mkdir()
    for target_backend in FILES if backend == POSTGRES else (backend,):
        with open_pool(place(tmp_path / "target", target_backend)) as target:
            transfer(pool, target)
            assert [template.sample.frontal_pose for template in target.templates("Ada")] == expected


def test_templates_come_in_pages(pool: Pool) -> None:
    pool.register("Ada", samples(1, 2, 3), space())
    pool.register("Bob", samples(4), space())
    numbers = [template.id for template in pool.templates()]
    assert [template.id for template in pool.templates(offset=1, limit=2)] == numbers[1:3]
    assert [template.id for template in pool.templates("Ada", offset=2, limit=5)] == numbers[2:3]
    assert pool.templates("Bob", offset=1) == pool.templates(limit=0) == []


def test_changes_since_a_revision_say_all_that_a_follower_needs(pool: Pool, tmp_path: Path, backend: str) -> None:
    with opened(tmp_path, backend) as other:
        pool.register("Ada", samples(1, 2), space())
        pool.register("Bob", samples(3), space())
        pool.register("Eve", samples(4), space())
        followed = Index.of(other.changes())
        for change in (
            lambda: pool.register("Ada", samples(5), space(), look_alikes=["Eve"]),
            lambda: pool.rename("Ada", "Zoe"),
            lambda: pool.register("Ada", samples(6), space()),
            lambda: pool.merge("Bob", "Ada"),
            lambda: pool.remove_template(pool.templates("Zoe")[0].id),
            lambda: pool.set_calibration(MEASURED),
            lambda: (pool.remove("Eve"), pool.register("Eve", samples(7), space())),
            lambda: pool.create("Yan"),
            lambda: None,
        ):
            change()
            followed = followed.following(other.changes(followed.revision))
            now = Index.of(pool.changes())
            for name in ("names", "person_ids", "revision", "look_alikes", "margins", "calibration"):
                assert getattr(followed, name) == getattr(now, name)
            for name in ("vectors", "person_of", "template_ids", "starts", "counts"):
                np.testing.assert_array_equal(getattr(followed, name), getattr(now, name))


def test_the_matrix_is_still_there_for_programs_that_use_it(pool: Pool) -> None:
    pool.register("Bob", samples(1), space())
    pool.register("Ada", samples(2, 3), space(), look_alikes=["Bob"])
    with pytest.warns(DeprecationWarning, match=r"facepool\.search\.Search"):
        matrix = pool.matrix()
    index = Search(pool).index()
    assert (matrix.names, matrix.revision, len(matrix)) == (("Ada", "Bob"), pool.revision(), 3)
    assert matrix.look_alikes == {frozenset(("Ada", "Bob"))}
    for name in ("vectors", "person_of", "template_ids", "starts", "counts"):
        np.testing.assert_array_equal(getattr(matrix, name), getattr(index, name))
        assert not getattr(matrix, name).flags.writeable
