"""What the main thread gets from outside, and when."""

import signal
import threading

import pytest

from facepool.threads import interrupts_wait


def test_an_interrupt_is_heard_at_the_end_of_the_block_even_where_a_library_would_forget_it() -> None:
    done: list[str] = []

    def load() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            done.append("loaded")
        except BaseException:  # noqa: BLE001 -- as libraries written in C do it
            done.append("forgotten")

    def loaded() -> None:
        with interrupts_wait():
            load()

    with pytest.raises(KeyboardInterrupt):
        loaded()
    assert done == ["loaded"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_interrupt_nothing_is_heard_and_other_threads_are_left_alone() -> None:
    with interrupts_wait():
        pass
    failed: list[BaseException] = []

    def beside() -> None:
        try:
            with interrupts_wait():
                pass
        except BaseException as error:  # noqa: BLE001 -- for the assertion
            failed.append(error)

    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    assert failed == []
