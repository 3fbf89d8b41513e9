"""Pictures of cameras that other workers of the same parent watch: whoever asks the server cannot choose among them.

Workers know each other by the key that Python gives to all processes of one parent; nobody else is answered, and
nothing of it leaves the machine.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import AuthenticationError, current_process, parent_process
from multiprocessing.connection import Client, Connection, Listener

from facepool.errors import FacepoolError
from facepool.web.services.processes import Peer, Processes, name_of_machine

_LOG = logging.getLogger(__name__)
_PATIENCE_S = 5.0
_LONGEST_QUESTION = 20
_MOST_BYTES = 64 * 1024 * 1024
_FAILURES = (OSError, EOFError, AuthenticationError)
_SAID = "pictures"


class Neighbours:
    """The workers beside this one.

    Args:
        processes: Those that serve the pool.
        picture: Gives the newest picture of a camera that this worker watches, by its id.
    """

    def __init__(self, processes: Processes, picture: Callable[[str], bytes]) -> None:
        self._processes = processes
        self._picture = picture
        self._key = bytes(current_process().authkey)
        self._listener = Listener(family="AF_UNIX" if sys.platform != "win32" else "AF_PIPE", authkey=self._key)
        self._closing = False
        self._thread = threading.Thread(target=self._answer_all, name="facepool-neighbours", daemon=True)
        self._thread.start()
        processes.say(_SAID, lambda: [_place(), self._listener.address])

    def picture(self, number: str) -> bytes | None:
        """The newest picture of a camera that a worker beside this one watches; None: none does, or it has none."""
        for address in _addresses(self._processes.peers, number):
            with suppress(*_FAILURES), Client(address, authkey=self._key) as connection:
                connection.send_bytes(number.encode())
                if connection.poll(_PATIENCE_S):
                    return connection.recv_bytes(_MOST_BYTES) or None
        return None

    def close(self) -> None:
        """Answer no more."""
        self._closing = True
        with suppress(*_FAILURES):
            Client(self._listener.address, authkey=self._key).close()  # it waits for somebody
        self._thread.join()
        self._listener.close()

    def _answer_all(self) -> None:
        while not self._closing:
            with suppress(*_FAILURES), self._listener.accept() as connection:
                self._answer(connection)

    def _answer(self, connection: "Connection[bytes, bytes]") -> None:
        if not connection.poll(_PATIENCE_S):
            return
        number = connection.recv_bytes(_LONGEST_QUESTION).decode("ascii", "replace")
        try:
            connection.send_bytes(self._picture(number))
        except FacepoolError as error:
            _LOG.info("no picture for another worker: %s", error)
            connection.send_bytes(b"")


def _place() -> str:
    """What workers of one parent have in common, and no others."""
    parent = parent_process()
    return f"{name_of_machine()}/{os.getpid() if parent is None else parent.pid}"


def _addresses(peers: Sequence[Peer], number: str) -> list[str]:
    """Where workers beside this one answer that watch a camera."""
    found = []
    for peer in peers:
        said, cameras = peer.report.get(_SAID), peer.report.get("cameras")
        watches = isinstance(cameras, list) and any(camera.get("id") == number for camera in cameras)
        if watches and isinstance(said, list) and said[0] == _place():
            found.append(str(said[1]))
    return found
