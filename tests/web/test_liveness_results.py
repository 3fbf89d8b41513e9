"""What came out of liveness checks: used once, by the client whose check it was, whichever process is asked."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facepool.gallery.address import PoolAddress
from facepool.types import Floats
from facepool.web.problems import TooManyRequests
from facepool.web.services.liveness.record import LivenessRecord
from facepool.web.services.liveness.results import (
    MOST_FAILED,
    MOST_LONGER,
    RESULT_S,
    DrawnCheck,
    LivenessOver,
    LivenessResults,
    LivenessUnknown,
    PassedCheck,
)
from support.stores import KINDS, Open, fresh_address, stores_of

SPACE, ME = "space", "key Me"
RECORD = LivenessRecord(
    passed=True,
    method="challenge",
    reason="live",
    score=0.9,
    flatness=0.1,
    steps=3,
    steps_passed=3,
    passive=None,
)


class Clock:
    """Seconds since 1970, as a server may have them."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> PoolAddress:
    return fresh_address(request.param, tmp_path)


@pytest.fixture
def open_one(address: PoolAddress) -> Iterator[Open]:
    with stores_of(address) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def results(open_one: Open, clock: Clock) -> LivenessResults:
    return LivenessResults(open_one(), SPACE, clock)


def face() -> Floats:
    vector = np.arange(1, 129, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def draw(results: LivenessResults, client: str = ME) -> DrawnCheck:
    return results.draw(client, 3, lambda steps: 10.0 * steps)


def passed(results: LivenessResults, client: str = ME) -> str:
    return results.passed(draw(results, client), PassedCheck(face(), RECORD))


def test_a_result_stands_for_the_face_that_was_seen_and_is_used_once_by_whatever_process(
    open_one: Open, clock: Clock
) -> None:
    one, other = (LivenessResults(open_one(), SPACE, clock) for _ in range(2))
    token = passed(one)
    other.look(token, ME)
    seen = other.use(token, ME)
    assert np.array_equal(seen.embedding, face())
    assert seen.liveness == RECORD
    for results in (one, other):
        for use in (results.look, results.use):
            with pytest.raises(LivenessOver):
                use(token, ME)


def test_of_many_who_use_it_at_the_same_time_one_does(open_one: Open, clock: Clock) -> None:
    processes = [LivenessResults(open_one(), SPACE, clock) for _ in range(4)]
    token = passed(processes[0])

    def use(results: LivenessResults) -> bool:
        try:
            results.use(token, ME)
        except LivenessOver:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(use, 4 * processes)) == 1


def test_it_is_of_no_use_to_others(results: LivenessResults) -> None:
    token = passed(results)
    wrong = [("key Bo", token), ("address 127.0.0.1", token), ("", token), (ME + "\0", token)]
    changed = [(ME, token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]) for at in (5, 30, 40, 80, 110)]
    broken = [
        (ME, text) for text in ("", "fpl_", "x" * 500, "\N{SNOWMAN}", token[:-1], token + "A", draw(results).token)
    ]
    for client, text in [*wrong, *changed, *broken]:
        for use in (results.look, results.use):
            with pytest.raises(LivenessUnknown):
                use(text, client)
    assert results.use(token, ME).liveness.passed


def test_it_expires_by_the_servers_clock(results: LivenessResults, clock: Clock) -> None:
    token, later = passed(results), passed(results)
    clock.now += RESULT_S - 2
    results.use(token, ME)
    clock.now += 4
    with pytest.raises(LivenessOver):
        results.use(later, ME)


def test_a_server_whose_clock_is_set_back_takes_no_result_for_longer(results: LivenessResults, clock: Clock) -> None:
    token = passed(results)
    clock.now -= 3600
    for use in (results.look, results.use):
        with pytest.raises(LivenessOver):
            use(token, ME)


def test_nor_does_it_remember_failures_for_longer(results: LivenessResults, clock: Clock) -> None:
    """A clock that was a year ahead is put right: whoever failed before is not shut out for a year."""
    clock.now += 365 * 86400
    for _ in range(MOST_FAILED):
        results.fail(draw(results))
    with pytest.raises(TooManyRequests):
        draw(results)
    clock.now -= 365 * 86400
    assert draw(results).steps == 3


def test_a_check_that_took_too_long_is_not_passed(results: LivenessResults, clock: Clock) -> None:
    drawn = draw(results)
    clock.now += 10 * drawn.steps + 1
    assert not results.is_open(drawn.id, ME)
    with pytest.raises(LivenessOver):
        results.passed(drawn, PassedCheck(face(), RECORD))


def test_a_check_ends_once(results: LivenessResults) -> None:
    drawn = draw(results)
    assert results.is_open(drawn.id, ME)
    assert not results.is_open(drawn.id, "key Bo")
    results.fail(drawn)
    assert not results.is_open(drawn.id, ME)
    with pytest.raises(LivenessOver):
        results.passed(drawn, PassedCheck(face(), RECORD))


def test_a_pool_of_another_server_or_another_model_knows_no_such_token(
    results: LivenessResults, open_one: Open, tmp_path: Path
) -> None:
    token = passed(results)
    with stores_of(tmp_path / "other.db") as opened, pytest.raises(LivenessUnknown):
        LivenessResults(opened(), SPACE).use(token, ME)
    with pytest.raises(LivenessUnknown):
        LivenessResults(open_one(), "another space").use(token, ME)


def test_checks_become_longer_for_those_who_fail_and_then_end(results: LivenessResults, clock: Clock) -> None:
    steps = []
    for _ in range(5):
        drawn = draw(results)
        steps.append(drawn.steps)
        results.fail(drawn)
    assert steps == [3, 4, 5, 3 + MOST_LONGER, 3 + MOST_LONGER]
    assert draw(results, "key Bo").steps == 3
    clock.now += 3601
    assert draw(results).steps == 3


def test_a_client_who_asks_for_one_after_another_and_takes_none_up_gets_no_more(
    results: LivenessResults, clock: Clock
) -> None:
    for _ in range(MOST_FAILED):
        draw(results)
    clock.now += 100
    with pytest.raises(TooManyRequests):
        draw(results)
    draw(results, "key Bo")


def test_whoever_begins_many_at_once_is_asked_for_more(results: LivenessResults) -> None:
    assert [draw(results).steps for _ in range(9)] == [3, 3, 4, 5, 6, 6, 6, 6, 6]


def test_one_failure_in_ten_costs_those_nothing_who_pass(results: LivenessResults) -> None:
    for _ in range(10):
        passed(results)
    results.fail(draw(results))
    assert draw(results).steps == 3


def test_no_row_has_the_face_nor_the_client(results: LivenessResults, open_one: Open) -> None:
    token = passed(results)
    store = open_one()
    rows = repr(store.read("SELECT * FROM server_liveness"))
    ((seen,),) = store.read("SELECT seen FROM server_liveness WHERE state = 'passed'")
    assert isinstance(seen, bytes)
    assert ME not in rows
    assert seen != face().tobytes()
    results.use(token, ME)
    assert store.read("SELECT seen FROM server_liveness WHERE state = 'used'") == [(None,)]
    assert "fpl_" not in repr(DrawnCheck("1", token, ME, 3, 0.0))
