"""Workers without networks, for tests: each answers every connection with its number and process.

Run as ``python -m support.little_workers COUNT [EXIT_CODE]``: with an exit code, the second worker cannot start.
"""

import os
import socket
import sys
from functools import partial

from facepool.cli.main import guarded
from facepool.cli.ui.console import Console
from facepool.web.server import bind
from facepool.web.workers import Place, Workers


def work(exit_code: int, place: Place) -> int:
    """What a worker does."""
    return guarded(lambda: _answer(exit_code, place), Console())


def _answer(exit_code: int, place: Place) -> int:
    if exit_code and place.number == 2:
        return exit_code
    place.listener.listen()
    place.news.send({"first": place.is_first})
    place.listener.settimeout(None)
    while True:
        connection, _ = place.listener.accept()
        with connection:
            connection.sendall(f"{place.number} {os.getpid()}".encode())


def ask(port: int) -> tuple[int, int]:
    """Number and process of the worker that answers; zeros: it died meanwhile."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        number, process = connection.recv(100).split() or (0, 0)
    return int(number), int(process)


def main() -> None:
    """Serve until the end."""
    count, exit_code = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        together = Workers(partial(work, exit_code), listener, count, lambda _news: print(port, flush=True))
        sys.exit(guarded(together.run, Console()))


if __name__ == "__main__":
    main()
