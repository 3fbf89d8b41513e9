"""A guided scan that begins with a challenge."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from facepool.enroll.session import EnrollmentSession, EnrollOptions
from facepool.errors import NotLive
from facepool.gallery import Pool, open_pool
from support.fake_scan_analyzer import OTHER, SPACE, FakeScanAnalyzer, Head, circle, still
from support.liveness import FPS, to_and_fro


@pytest.fixture
def analyzer() -> FakeScanAnalyzer:
    return FakeScanAnalyzer()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        yield pool


def live_session(analyzer: FakeScanAnalyzer, pool: Pool) -> EnrollmentSession:
    return EnrollmentSession("Ada", analyzer, pool, options=EnrollOptions(live=True))


def pass_challenge(session: EnrollmentSession, analyzer: FakeScanAnalyzer) -> None:
    """Look where it is asked to, frame by frame, until the challenge has ended."""
    heads = deque([Head()] * FPS)
    while session.is_challenged:
        head = heads.popleft() if heads else Head()
        step, _ = session.challenge(analyzer.frame(head))
        if not heads and step.phase == "turn" and step.angle_deg is not None:
            heads.extend(to_and_fro(step.angle_deg))


def test_a_live_registration_begins_with_a_challenge(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    session = live_session(analyzer, pool)
    assert session.is_challenged
    pass_challenge(session, analyzer)
    assert session.liveness is not None
    assert session.liveness.passed
    for head in [*still(), *circle()]:
        session.scan(analyzer.frame(head))
    session.finish()
    assert session.commit() > 3
    assert [person.name for person in pool.people()] == ["Ada"]


def test_nothing_is_scanned_or_stored_where_the_challenge_was_not_passed(
    analyzer: FakeScanAnalyzer, pool: Pool
) -> None:
    session = live_session(analyzer, pool)
    session.offer(analyzer.frame(Head()))
    with pytest.raises(NotLive, match="0 of 3 turns"):
        session.commit()
    with pytest.raises(NotLive):
        session.scan(analyzer.frame(Head()))
    assert pool.people() == []
    with pytest.raises(NotLive, match="not challenged"):
        EnrollmentSession("Bob", analyzer, pool).challenge(analyzer.frame(Head()))


def test_who_was_challenged_is_the_one_who_is_scanned_and_no_picture(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    session = live_session(analyzer, pool)
    pass_challenge(session, analyzer)
    assert {session.scan(analyzer.frame(Head(OTHER))).outcome for _ in range(9)} == {"not_the_registered"}
    for head in [*still(), *circle()]:
        session.scan(analyzer.frame(replace(head, flat=True)))
    session.finish()
    with pytest.raises(NotLive, match="flat picture"):
        session.commit()
    assert pool.people() == []
