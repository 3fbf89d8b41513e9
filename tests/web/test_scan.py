"""A guided scan as the page is told of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from facepool.enroll.session import EnrollmentSession, EnrollOptions
from facepool.errors import IdentityConflict, ScanIncomplete
from facepool.gallery import Pool, open_pool
from facepool.types import Sample
from facepool.web.api.enroll import Redo, Resolve, ScanCommand, report_message, step_message
from facepool.web.api.live import Message
from support.fake_scan_analyzer import OTHER, SPACE, FakeScanAnalyzer, Head, circle, embedding, still


@pytest.fixture
def analyzer() -> FakeScanAnalyzer:
    return FakeScanAnalyzer()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        yield pool


def scan_of(analyzer: FakeScanAnalyzer, pool: Pool, *heads: Head) -> tuple[EnrollmentSession, list[Message]]:
    session = EnrollmentSession("Ada", analyzer, pool, options=EnrollOptions())
    return session, [step_of(session, analyzer, head) for head in heads]


def step_of(session: EnrollmentSession, analyzer: FakeScanAnalyzer, head: Head) -> Message:
    frame = analyzer.frame(head)
    return step_message(frame, session.scan(frame))


def test_the_ring_fills_and_the_scan_can_be_finished(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    _, told = scan_of(analyzer, pool, *still(), *circle())
    first, last = told[0], told[-1]
    assert (first["phase"], first["can_finish"], first["turn"], first["size"]) == ("frontal", False, None, [320, 240])
    assert first["hint"] == {
        "code": "keep_looking_straight",
        "text": "keep looking straight at the camera",
        "angle_deg": None,
    }
    assert (last["phase"], last["can_finish"], last["coverage"], last["steady"]) == ("done", True, 1, 1)
    ring = last["ring"]
    assert isinstance(ring, list)
    assert [part["angle_deg"] for part in ring] == [30.0 * step for step in range(12)]
    assert all(part["near"] == 100 and part["far"] is None for part in ring)
    assert last["bbox"] == [104, 64, 216, 176]


def test_a_direction_is_redone_and_the_scan_goes_on(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    session, _ = scan_of(analyzer, pool, *still(), *circle())
    session.redo(3)
    told = step_of(session, analyzer, Head())
    ring = told["ring"]
    assert isinstance(ring, list)
    assert [step for step, part in enumerate(ring) if part["near"] is None] == [3]
    assert told["phase"] == "enough"


def test_the_report_says_what_is_stored(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    session, _ = scan_of(analyzer, pool, *still(), *circle())
    report = report_message(session, pool)
    assert (report["person"], report["partial"], report["look_alikes"]) == ("Ada", False, [])
    assert (session.commit(), session.person) == (report["views"], "Ada")
    assert len(pool.templates("Ada")) == report["views"]


def test_half_a_circle_is_no_report(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    session, _ = scan_of(analyzer, pool, *still(), *circle()[:12])
    with pytest.raises(ScanIncomplete):
        report_message(session, pool)


def test_a_look_alike_has_to_be_resolved_before_anything_is_stored(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    pool.register("Bob", [Sample(embedding(Head()))], SPACE)
    session, _ = scan_of(analyzer, pool, *still(), *circle())
    alikes = report_message(session, pool)["look_alikes"]
    assert isinstance(alikes, list)
    assert [(alike["person"], alike["resolution"], alike["sample"]) for alike in alikes] == [("Bob", None, None)]
    with pytest.raises(IdentityConflict):
        session.commit()
    session.resolve(" Bob ", "same")
    assert report_message(session, pool)["person"] == "Bob"
    session.commit()
    assert session.person == "Bob"


def test_two_who_look_alike_are_flagged(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    pool.register("Bob", [Sample(embedding(Head()))], SPACE)
    pool.register("Cy", [Sample(embedding(Head(person=OTHER)))], SPACE)
    session, _ = scan_of(analyzer, pool, *still(), *circle())
    session.resolve("Bob", "different")
    alikes = report_message(session, pool)["look_alikes"]
    assert isinstance(alikes, list)
    assert [alike["resolution"] for alike in alikes] == ["different"]
    session.commit()
    assert session.person == "Ada"
    assert pool.look_alikes() == {frozenset(("Ada", "Bob"))}


def test_commands_are_checked() -> None:
    commands: TypeAdapter[ScanCommand] = TypeAdapter(ScanCommand)
    assert commands.validate_json('{"do": "redo", "direction": 3}') == Redo(do="redo", direction=3)
    resolve = commands.validate_json('{"do": "resolve", "person": "Bob", "as": "same"}')
    assert isinstance(resolve, Resolve)
    assert resolve.resolution == "same"
    for wrong in ('{"do": "dance"}', '{"do": "redo"}', '{"do": "redo", "direction": -1}', "[]", "{"):
        with pytest.raises(ValidationError):
            commands.validate_json(wrong)
