"""Whether the head of a Ray cluster is still there, while this process waits for what the cluster does.

Without its head Ray waits for a minute, and then ends the program, with no word of why. Nothing that waits for Ray
comes back before, not even what disconnects from it.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from facepool.errors import ClusterFailed

_EVERY_S = 2.0
_ANSWER_S = 5.0
_TRIES = 4
"""So a head is lost 8 s after its programs ended, or 28 s after its machine became silent."""


@contextmanager
def watched_head(address: str, on_lost: Callable[[ClusterFailed], None], every_s: float = _EVERY_S) -> Iterator[None]:
    """Watch it for as long as the block takes.

    Args:
        address: Where it listens, host and port.
        on_lost: Called once with what to say, in a thread of its own, when it has not answered for some time.
        every_s: How often it is asked.
    """
    host, _, port = address.rpartition(":")
    over = threading.Event()

    def watch() -> None:
        silent = 0
        while not over.wait(every_s):
            silent = 0 if _answers(host.strip("[]"), int(port)) else silent + 1
            if silent == _TRIES:
                on_lost(_lost(address))
                return

    thread = threading.Thread(target=watch, name="ray-head", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _ANSWER_S).close()
    except OSError:
        return False
    return True


def _lost(address: str) -> ClusterFailed:
    return ClusterFailed(
        f"The Ray cluster {address} has lost its head",
        why="the machine on which `ray start --head` ran does not answer any more",
        fix="Start the cluster again, and run the same again: it does what is left",
    )
