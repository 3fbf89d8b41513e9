"""The thread behind cameras and streams, on a connection that the test writes itself."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import facepool.capture.live
from facepool.capture import LiveSource, LiveStatus, ReconnectPolicy, frames_or_silence
from facepool.capture.source import Shot
from facepool.errors import InputError, StreamLost, StreamUnavailable
from support.fake_connection import END, HANG_GUARD_S, FakeConnection, FakeConnector, ManualClock

AT_ONCE = ReconnectPolicy(first_wait_s=0.0, longest_wait_s=0.0)


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeConnection]:
    """One whose read still hangs when the source is closed."""
    monkeypatch.setattr(facepool.capture.live, "_CLOSE_GRACE_S", 0.0)
    fake = FakeConnection()
    yield fake
    fake.stop(END)


def gray(source: LiveSource) -> int:
    frame = source.poll(HANG_GUARD_S)
    while frame is None:  # woken by news
        frame = source.poll(HANG_GUARD_S)
    return int(frame.image_bgr[0, 0, 0])


def test_a_slow_loop_gets_the_newest_frame_and_none_twice(connection: FakeConnection) -> None:
    with LiveSource(FakeConnector(connection)) as source:
        source._start()
        connection.send(10, 11, 12, 13, 14)
        frames = iter(source)
        assert next(frames).index == 4
        assert source.poll(0.0) is None
        connection.send(15)
        frame = next(frames)
        assert (frame.index, int(frame.image_bgr[0, 0, 0])) == (5, 15)


def test_a_file_over_the_network_is_read_whole_and_ends() -> None:
    connection = FakeConnection(every_frame=True)
    source = LiveSource(FakeConnector(connection))
    source._start()
    for value in range(5):
        connection._script.put(Shot(np.full((2, 2, 3), value, np.uint8), value / 10))
    connection.stop(END)
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time_s for frame in frames] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert not source.live
    assert connection.is_closed.is_set()


def test_a_file_over_the_network_that_breaks_off_is_not_begun_again() -> None:
    connection = FakeConnection(every_frame=True)
    source = LiveSource(FakeConnector(connection, FakeConnection()), AT_ONCE)
    source._start()
    connection.send(1)
    connection.stop(StreamLost("broke off"))
    frames = iter(source)
    assert next(frames).index == 0
    with pytest.raises(StreamLost, match="broke off"):
        next(frames)


def test_a_source_that_dies_is_opened_again_and_counts_on() -> None:
    first, second = FakeConnection(), FakeConnection()
    news: list[LiveStatus] = []
    outcomes = (first, StreamUnavailable("still off", why="no route"), second)
    source = LiveSource(FakeConnector(*outcomes), AT_ONCE, news.append)
    source._start()
    first.send(10)
    assert gray(source) == 10
    first.stop(StreamLost("died", why="cable pulled"))
    second.send(20)
    assert first.is_closed.is_set()
    frame = source.poll(HANG_GUARD_S)
    assert frame is not None
    assert frame.index == 1
    second.stop(END)
    assert list(source) == []
    assert [(status.state, status.attempt, status.reason) for status in news] == [
        ("connected", 0, ""),
        ("reconnecting", 1, "cable pulled"),
        ("reconnecting", 2, "no route"),
        ("connected", 2, ""),
    ]


def no_route(clock: ManualClock) -> Iterator[InputError]:
    """Each attempt takes 7 s and fails."""
    while True:
        clock.now += 7.0
        yield StreamUnavailable("off", why="off")


def lose(policy: ReconnectPolicy) -> tuple[StreamLost, list[LiveStatus]]:
    """The error and the news of a source that dies after a picture and stays dead."""
    first, clock, news = FakeConnection(), ManualClock(), list[LiveStatus]()
    connector = FakeConnector(first)
    source = LiveSource(connector, policy, news.append, clock=clock)
    source._start()
    first.send(10)
    connector._outcomes = no_route(clock)
    first.stop(StreamLost("died", why="died"))
    assert gray(source) == 10
    with pytest.raises(StreamLost) as caught:
        list(source)
    assert list(source) == []
    return caught.value, news


def test_a_source_that_stays_dead_is_given_up_by_the_clock() -> None:
    error, news = lose(ReconnectPolicy(first_wait_s=0.0, longest_wait_s=0.0, give_up_s=30.0))
    assert "5 attempts" in error.why
    assert news[-1].state == "lost"


def test_a_source_is_not_insisted_on_where_there_is_no_time_for_it() -> None:
    error, _ = lose(ReconnectPolicy(first_wait_s=1.0, give_up_s=0.0))
    assert "0 attempts" in error.why


def test_pauses_double_up_to_the_longest() -> None:
    _, news = lose(ReconnectPolicy(first_wait_s=0.001, longest_wait_s=0.004, give_up_s=27.0))
    assert [status.wait_s for status in news if status.state == "reconnecting"] == [0.001, 0.002, 0.004, 0.004]


def test_a_source_that_never_opened_is_not_insisted_on() -> None:
    source = LiveSource(FakeConnector(StreamUnavailable("off")), AT_ONCE)
    with pytest.raises(StreamUnavailable, match="off"):
        source.open(HANG_GUARD_S)
    assert list(source) == []


def test_a_source_that_does_not_answer_in_time_is_unavailable(connection: FakeConnection) -> None:
    source = LiveSource(FakeConnector(connection))
    with pytest.raises(StreamUnavailable, match="no answer within 0 s"):
        source.open(0.0)


def test_open_returns_once_there_is_a_picture(connection: FakeConnection) -> None:
    with LiveSource(FakeConnector(connection)) as source:
        connection._script.put(Shot(np.zeros((2, 2, 3), np.uint8), None))
        source.open(HANG_GUARD_S)
        assert gray(source) == 0


def test_closing_returns_while_a_read_hangs_and_ends_the_loop(connection: FakeConnection) -> None:
    source = LiveSource(FakeConnector(connection))
    source._start()
    connection.send(1, 2)
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    assert source.poll(HANG_GUARD_S) is None


def test_closing_ends_the_pause_before_a_reconnect() -> None:
    first = FakeConnection()
    policy = ReconnectPolicy(first_wait_s=3600.0, longest_wait_s=3600.0, give_up_s=7200.0)
    closer: list[Callable[[], None]] = []
    source = LiveSource(
        FakeConnector(first), policy, lambda status: closer[0]() if status.state == "reconnecting" else None
    )
    closer.append(source.close)
    source._start()
    first.send(1)
    first.stop(StreamLost("died"))
    assert [frame.index for frame in source] == [0]
    assert not source._thread.is_alive()


def test_the_frame_rate_is_measured(connection: FakeConnection) -> None:
    clock = ManualClock()
    with LiveSource(FakeConnector(connection), clock=clock) as source:
        source._start()
        assert source.fps is None
        for value in range(5):
            connection.send(value)
            clock.now += 0.125
        assert source.fps == 8.0


def is_silent(source: LiveSource) -> bool:
    """Asked anew: to mypy a property that was true stays true."""
    return source.silent


def test_a_source_is_silent_after_its_time_and_until_the_next_picture(connection: FakeConnection) -> None:
    clock = ManualClock()
    with LiveSource(FakeConnector(connection), clock=clock, silent_after_s=5.0) as source:
        source._start()
        assert not source.silent
        for value in range(3):
            connection.send(value)
            clock.now += 0.1
        clock.now += 5.0
        assert not source.silent, "the newest picture was not looked at yet"
        assert gray(source) == 2
        assert is_silent(source)
        connection.send(3)
        assert not is_silent(source)
        assert gray(source) == 3
        clock.now += 4.9
        assert not source.silent


def test_a_source_whose_pictures_are_rare_is_silent_after_three_of_its_intervals(connection: FakeConnection) -> None:
    clock = ManualClock()
    with LiveSource(FakeConnector(connection), clock=clock, silent_after_s=5.0) as source:
        source._start()
        for value in range(4):
            connection.send(value)
            assert gray(source) == value
            clock.now += 10.0
        assert source.interval_s == 10.0
        clock.now += 19.9
        assert not source.silent
        clock.now += 0.2
        assert source.silent


def test_a_source_that_died_is_silent_while_it_is_tried_again() -> None:
    first, second, clock = FakeConnection(), FakeConnection(), ManualClock()
    policy = ReconnectPolicy(first_wait_s=0.05, longest_wait_s=0.05)
    source = LiveSource(FakeConnector(first, StreamUnavailable("off"), second), policy, clock=clock, silent_after_s=5.0)
    frames = frames_or_silence(source)
    source._start()
    first.send(1)
    assert next(frames) is not None
    first.stop(StreamLost("died"))
    clock.now += 5.1
    assert next(frames) is None
    second.send(2)
    frame = next(frame for frame in frames if frame is not None)
    assert frame.index == 1
    second.stop(END)
    assert list(frames) == []


def test_what_is_no_live_source_is_never_silent() -> None:
    connection = FakeConnection(every_frame=True)
    clock = ManualClock()
    source = LiveSource(FakeConnector(connection), clock=clock)
    source._start()
    connection.send(1)
    frames = frames_or_silence(source)
    assert next(frames) is not None
    clock.now += 100.0
    assert not source.silent
    connection.stop(END)
    assert list(frames) == []


def test_time_counts_from_the_first_frame(connection: FakeConnection) -> None:
    clock = ManualClock()
    with LiveSource(FakeConnector(connection), clock=clock) as source:
        source._start()
        connection.send(1)
        clock.now += 2.5
        connection.send(2)
        frame = source.poll(0.0) or source.poll(0.0)
        assert frame is not None
        assert frame.time_s == 2.5


def test_a_bug_in_the_thread_reaches_the_loop(connection: FakeConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(connection, "read", lambda: 1 / 0)
    source = LiveSource(FakeConnector(connection))
    with pytest.raises(ZeroDivisionError):
        list(source)
    source._thread.join(HANG_GUARD_S)
