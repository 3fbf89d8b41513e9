"""What is kept of a person is found wherever it is, and what is left after an erasure."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from facepool.errors import ConfigError
from facepool.gallery import Details, Pool, SqlGallery, open_pool, transfer
from facepool.gallery.address import keyed
from facepool.gallery.backup import back_up
from facepool.gallery.collections import collection_address, create_collection
from facepool.gallery.schema import copy_of
from facepool.groups.shelf import FILE_NAME, Shelf
from facepool.privacy.erasure import findings_of, wait_for_wiping
from facepool.privacy.holdings import KINDS, HoldingKind, RetentionLimits, holding
from facepool.privacy.report import PrivacyReport, privacy_report
from facepool.privacy.traces import Marks, marks_of, mentions_of, traces_in
from facepool.types import Consent
from support.paths import ROOT
from support.pools import KEY, POSTGRES, opened, samples, space
from support.sightings import ROOMY, faces, sighting

NAME = "Ada Lovelace"
KIND_OF_POOLS = ("pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres))


@pytest.fixture(params=KIND_OF_POOLS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool(tmp_path: Path, backend: str) -> Iterator[Pool]:
    with opened(tmp_path, backend) as pool:
        fill(pool)
        yield pool


@pytest.fixture
def file_pool(tmp_path: Path) -> Iterator[SqlGallery]:
    with opened(tmp_path, "pool.db") as pool:
        assert isinstance(pool, SqlGallery)
        fill(pool)
        yield pool


def fill(pool: Pool) -> None:
    """Bo, and Ada with something in every table that may have something of her."""
    pool.register("Bo", samples(7), space())
    pictures = (b"\xff\xd8" + bytes(range(200)), b"\xff\xd8" + bytes(200))  # one could be anybody's
    views = [replace(sample, picture=picture) for sample, picture in zip(samples(0, 1), pictures, strict=True)]
    consent = Consent("I agree", "Guard", "2026-05-31")
    pool.register(NAME, views, space(), look_alikes=["Bo"], consent=consent)
    pool.describe(NAME, Details("Has the key", ("family", "staff"), external_id="A-1815"))
    sees(pool, NAME)


def sees(pool: Pool, name: str) -> None:
    person = pool.person(name)
    assert person is not None
    pool.inbox.keep(sighting(person_id=person.id), faces(30), ROOMY)


def counts(report: PrivacyReport) -> dict[str, int | None]:
    return {one.kind: one.count for one in report.kept}


def test_every_table_that_has_something_of_a_person_is_in_the_report(pool: Pool) -> None:
    report = privacy_report(pool, NAME)
    assert counts(report) == {
        "person": 1,
        "details": 4,
        "consents": 1,
        "templates": 2,
        "pictures": 2,
        "look_alikes": 1,
        "sightings": 1,
    }
    (sightings,) = [one for one in report.kept if one.kind == "sightings"]
    assert (sightings.detail, sightings.since[:2]) == ("with 1 faces", "20")
    assert "14 days at most" in sightings.stays
    assert any("nobody has named" in line for line in report.elsewhere)
    assert NAME not in repr(report)


def test_nothing_is_left_of_somebody_erased_but_for_copies_that_say_so(file_pool: SqlGallery, tmp_path: Path) -> None:
    marks = marks_of(file_pool, NAME)
    back_up(file_pool, tmp_path / "of_today.bak")
    file_pool.remove(NAME)
    report = privacy_report(file_pool, NAME, person_id=marks.person_id)
    assert [(one.kind, one.count, Path(one.place).name) for one in report.kept] == [("backup", 2, "of_today.bak")]
    (tmp_path / "of_today.bak").unlink()
    assert is_gone(file_pool, marks)


def is_gone(pool: Pool, marks: Marks) -> bool:
    wait_for_wiping(pool)
    report = privacy_report(pool, marks.name, person_id=marks.person_id)
    return all(one.is_good for one in findings_of(report, pool.address, marks))


def test_bytes_that_are_left_are_found(file_pool: SqlGallery, tmp_path: Path) -> None:
    marks = marks_of(file_pool, NAME)
    before = [traces_in(tmp_path / name, marks) for name in ("pool.db", "pool.db-wal")]
    assert before[0] | before[1] == {"id", "name", "vector", "picture"}
    file_pool.remove(NAME)
    assert is_gone(file_pool, marks)
    for part in (NAME.encode(), marks.parts[0][1], marks.parts[2][1]):
        (tmp_path / "pool.db.old").write_bytes(bytes(100) + part + bytes(100))
        assert not is_gone(file_pool, marks)
    (tmp_path / "pool.db.old").write_bytes(bytes(8 << 20) + marks.parts[0][1])  # where one piece ends
    assert not is_gone(file_pool, marks)


def test_what_is_left_in_encrypted_files_is_found_or_said_to_be_out_of_reach(tmp_path: Path) -> None:
    path, left = tmp_path / "pool.db", tmp_path / "pool.db.old"
    with open_pool(path, space(), key=KEY) as pool:
        fill(pool)
        pool.describe("Bo", Details(f"Married to {NAME}"))
        marks = marks_of(pool, NAME)
    before = path.read_bytes()
    assert traces_in(keyed(path, KEY), marks) == {"id", "name", "vector", "picture"}
    with open_pool(path, key=KEY) as pool:
        pool.remove(NAME)
        report = privacy_report(pool, NAME, person_id=marks.person_id)
    outcomes = {one.outcome for one in findings_of(report, keyed(path, KEY), marks)}
    assert outcomes == {"gone", "mentioned"}
    for content, outcome in ((before, "left"), (bytes(reversed(before)), "unknown")):
        left.write_bytes(content)
        found = findings_of(report, keyed(path, KEY), marks)
        assert [one.outcome for one in found if one.place == str(left)] == [outcome]


def test_a_name_that_is_a_part_of_what_others_have_is_told_apart(file_pool: SqlGallery, tmp_path: Path) -> None:
    file_pool.describe("Bo", Details(f"Married to {NAME}"))
    marks = marks_of(file_pool, NAME)
    file_pool.remove(NAME)
    wait_for_wiping(file_pool)
    found = findings_of(privacy_report(file_pool, NAME, person_id=marks.person_id), file_pool.address, marks)
    (mentioned,) = [one for one in found if one.outcome == "mentioned"]
    assert "persons.notes (1)" in mentioned.detail
    assert mentions_of(tmp_path / "pool.db", NAME) == {"persons.notes": 1}


def test_a_short_name_is_not_looked_for_in_bytes(file_pool: SqlGallery) -> None:
    marks = marks_of(file_pool, "Bo")
    file_pool.remove("Bo")
    found = findings_of(privacy_report(file_pool, "Bo", person_id=marks.person_id), file_pool.address, marks)
    assert [one.detail for one in found if one.outcome == "skipped"] == [
        "it is too short to be told from chance, so files were searched for the rest only"
    ]
    assert all(one.is_good for one in found)


def test_copies_backups_and_libraries_are_looked_into(file_pool: SqlGallery, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    (other / "deep").mkdir(parents=True)
    back_up(file_pool, other / "deep" / "backup.db")
    with open_pool(tmp_path / "model_faces.npy") as pair:
        transfer(file_pool, pair)
    back_up(file_pool, copy_of(tmp_path / "pool.db", 9))
    (tmp_path / "pool.db.index").write_bytes(b"")
    (tmp_path / ".unfinished-folder-7").mkdir()
    ada = file_pool.person(NAME)
    assert ada is not None
    library(other / FILE_NAME, ada.id)
    (tmp_path / "damaged.db").write_bytes((other / "deep" / "backup.db").read_bytes()[:5000])
    report = privacy_report(file_pool, NAME, also=[other], whole_paths=False)
    beside = {(one.kind, one.place, one.count) for one in report.kept if one.place != "pool.db"}
    assert beside == {
        ("index", "pool.db.index", 1),
        ("unfinished", ".unfinished-folder-7", 1),
        ("copy", "pool.db.version-9", 2),
        ("backup", "model_face_ids.npy", 2),
        ("backup", "damaged.db", None),
        ("backup", "backup.db", 2),
        ("photos", FILE_NAME, 1),
    }


def test_copies_that_nobody_can_look_into_are_no_proof(file_pool: SqlGallery, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    back_up(file_pool, keyed(tmp_path / "backup.sav", KEY))
    for path in (tmp_path / "pool-monday.tar.gz", other / "monday.db.gz", other / "music.tar.gz"):
        path.write_bytes(b"packed")
    unknown = [one.place for one in privacy_report(file_pool, NAME, also=[other]).left if one.count is None]
    assert [Path(place).name for place in unknown] == ["backup.sav", "pool-monday.tar.gz", "monday.db.gz"]


def test_a_backup_of_a_collection_is_looked_into(file_pool: SqlGallery, tmp_path: Path) -> None:
    folder = tmp_path / "backup.collections"
    folder.mkdir()
    for name in ("guests", "staff"):
        back_up(file_pool, folder / f"{name}.db")
    create_collection(tmp_path / "pool.db", "guests")
    with open_pool(tmp_path / "pool.db", space(), collection="guests") as guests:
        guests.register(NAME, samples(5), space())
        report = privacy_report(guests, NAME)
    assert [one.place for one in report.left if one.kind == "backup"] == [str(folder / "guests.db")]


def library(path: Path, person_id: str) -> None:
    with Shelf(path, None):
        pass
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO pictures VALUES (1, 'x', 1, 1)")
        db.execute("INSERT INTO groups VALUES (1, ?)", (person_id,))
        db.execute("INSERT INTO faces VALUES (1, 1, x'', x'', x'', 1)")


def test_other_collections_are_asked_for_the_name(file_pool: SqlGallery, tmp_path: Path) -> None:
    pool = tmp_path / "pool.db"
    create_collection(pool, "guests")
    guests = collection_address(pool, "guests")
    assert not any(
        one.kind == "collection" and one.count
        for one in privacy_report(file_pool, NAME, collections=[("guests", guests)]).holdings
    )
    with open_pool(guests, space()) as other:
        other.register(NAME, samples(5), space())
    report = privacy_report(file_pool, NAME, collections=[("guests", guests)])
    assert [(one.place, one.count) for one in report.kept if one.kind == "collection"] == [("collection guests", 1)]


def test_a_report_changes_no_file(file_pool: SqlGallery, tmp_path: Path) -> None:
    back_up(file_pool, tmp_path / "backup.db")
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    privacy_report(file_pool, NAME)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_name_that_is_none_is_refused(file_pool: SqlGallery) -> None:
    with pytest.raises(ConfigError):
        privacy_report(file_pool, "")


def test_each_kind_says_what_it_is_how_long_it_stays_and_what_removes_it() -> None:
    assert [*KINDS] == [*get_args(HoldingKind)]
    for kind in KINDS:
        told = holding(kind, "pool.db", 1, RetentionLimits(audit_days=365, audit_entries=1000))
        assert told.what
        assert told.stays
        assert told.removed_by
        assert "{" not in told.stays
    assert holding("audit", "", 1, RetentionLimits()).stays == "for ever"
    assert holding("audit", "", 1, RetentionLimits(audit_days=365, audit_entries=1000)).stays == (
        "365 days at most, and no more than 1,000 entries"
    )


def test_the_page_on_privacy_has_every_kind() -> None:
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    for kind, told in KINDS.items():
        assert f"| `{kind}` | {told.what}" in page
