"""Turns: who asks for much waits for itself."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facepool.web.problems import ServerBusy
from facepool.web.services.turns import Line, Places, Workers, work_for


@given(st.lists(st.sampled_from(["Ada", "Bob", "Eve"]), max_size=40))
def test_everybody_is_first_before_anybody_is_second_and_nothing_is_lost(clients: list[str]) -> None:
    line: Line[int] = Line()
    for number, client in enumerate(clients):
        line.put(client, number)
    taken = [one for _ in clients if (one := line.take())]
    assert sorted(number for _, number in taken) == list(range(len(clients)))
    for client in set(clients):
        own = [number for one, number in taken if one == client]
        assert own == sorted(own)
    rounds = [sum(one == client for one, _ in taken[:place]) for place, (client, _) in enumerate(taken)]
    assert rounds == sorted(rounds)
    assert (line.take(), len(line)) == (None, 0)


def test_what_may_not_yet_stays_in_its_place() -> None:
    line: Line[int] = Line()
    for client, number in (("Ada", 1), ("Bob", 2), ("Ada", 3)):
        line.put(client, number)
    assert line.take(lambda client, _: client != "Ada") == ("Bob", 2)
    assert line.take(lambda client, _: client != "Ada") is None
    line.remove("Ada", 3)
    line.remove("Ada", 99)
    assert (line.clear(), len(line)) == ([1], 0)


class Workshop:
    """Work that waits until it is let through."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.done: list[str] = []

    def work(self, name: str) -> None:
        assert self.open.wait(60)
        self.done.append(name)


def test_one_client_holds_only_so_many_threads_and_so_much_of_what_waits() -> None:
    workers, shop = Workers(threads=3, threads_each=2, most=10, most_each=5, name="test"), Workshop()
    own = [workers.submit("greedy", lambda: shop.work("greedy")) for _ in range(5)]
    with pytest.raises(ServerBusy, match="busy"):
        workers.submit("greedy", lambda: shop.work("greedy"))
    workers.submit("modest", lambda: shop.done.append("modest")).result(60)
    assert shop.done == ["modest"]
    shop.open.set()
    for future in own:
        future.result(60)
    workers.close()
    assert len(workers) == 0


def test_everybody_together_may_have_only_so_much_here() -> None:
    workers, shop = Workers(threads=1, threads_each=1, most=3, most_each=2, name="test"), Workshop()
    for client in ("Ada", "Bob", "Eve"):
        workers.submit(client, lambda: shop.work(""))
    with pytest.raises(ServerBusy):
        workers.submit("Zoe", lambda: shop.work(""))
    shop.open.set()
    workers.close()


def test_work_that_was_given_up_is_let_go_of_at_once() -> None:
    """Otherwise a client that hangs up again and again would fill the memory with pictures that nobody waits for."""
    workers, shop = Workers(threads=1, threads_each=1, most=10, most_each=5, name="test"), Workshop()
    workers.submit("Ada", lambda: shop.work("first"))
    for _ in range(100):
        assert workers.submit("Ada", lambda: shop.work("given up")).cancel()
    assert len(workers) == 1
    assert len(workers._line) == 0
    shop.open.set()
    workers.close()
    assert shop.done == ["first"]


def test_what_waits_at_the_end_is_told_so_and_what_is_begun_is_finished() -> None:
    workers, shop = Workers(threads=1, threads_each=1, most=10, most_each=5, name="test"), Workshop()
    begun = workers.submit("Ada", lambda: shop.work("begun"))
    waiting = workers.submit("Ada", lambda: shop.work("waiting"))
    with ThreadPoolExecutor(1) as closing:
        closed = closing.submit(workers.close)
        with pytest.raises(ServerBusy, match="ends"):
            waiting.result(60)
        shop.open.set()
        closed.result(60)
    assert begun.done()
    assert shop.done == ["begun"]
    with pytest.raises(ServerBusy):
        workers.submit("Ada", lambda: None)


def test_who_finds_no_thread_is_told_so_and_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, shop = Workers(threads=2, threads_each=2, most=10, most_each=2, name="test"), Workshop()
    begun = workers.submit("Ada", lambda: shop.work("begun"))
    with monkeypatch.context() as patch:

        def fail(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(ServerBusy, match="thread"):
            workers.submit("Ada", lambda: shop.done.append("never"))
    shop.open.set()
    begun.result(60)
    for number in range(4):
        assert workers.submit("Ada", partial(int, number)).result(60) == number
    workers.close()
    assert shop.done == ["begun"]
    assert (len(workers), workers._free) == (0, 2)


def test_what_fails_is_raised_where_it_was_asked_for() -> None:
    workers = Workers(threads=1, threads_each=1, most=2, most_each=2, name="test")

    def fail() -> None:
        raise KeyError(13)

    with pytest.raises(KeyError):
        workers.submit("Ada", fail).result(60)
    assert workers.submit("Bob", lambda: 5).result(60) == 5
    workers.close()


def test_room_is_given_in_turn_and_never_all_of_it_to_one() -> None:
    places, shop = Places(room=4, each=3), Workshop()

    def stay() -> str:
        work_for("greedy")
        with places.place():
            shop.work("greedy")
        return "greedy"

    def pass_through() -> str:
        work_for("modest")
        with places.place():
            return "passed"

    with ThreadPoolExecutor(6) as threads:
        greedy = [threads.submit(stay) for _ in range(5)]
        passed: Future[str] = threads.submit(pass_through)
        assert passed.result(60) == "passed"
        shop.open.set()
        assert [one.result(60) for one in greedy] == ["greedy"] * 5


def test_what_is_larger_than_all_the_room_has_it_alone() -> None:
    places, entered = Places(room=4, each=3), threading.Event()
    with ThreadPoolExecutor(1) as thread:

        def enter() -> None:
            with places.place(1):
                entered.set()

        with places.place(100):
            other = thread.submit(enter)
            assert not entered.wait(0.05)
        other.result(60)
    assert entered.is_set()


def test_nobody_is_passed_for_ever_who_wants_much() -> None:
    places, entered = Places(room=10, each=8, patience_s=0), threading.Event()

    def enter() -> None:
        with places.place(9):
            entered.set()

    assert places.take_now(2)
    assert places.take_now(2)
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(enter)
        while not places._line:
            assert not other.done()
        time.sleep(0.05)  # longer than the clock's steps
        places.give_back(2)
        passed = places.take_now(2)  # as somebody would for ever who wants little, again and again
        places.give_back(4 if passed else 2)
        other.result(60)
    assert entered.is_set()
    assert not passed
    assert places.take_now(2), "who was late has come and gone"
