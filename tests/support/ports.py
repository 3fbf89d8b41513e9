"""Ports for servers that have to be told theirs, and for addresses where nobody answers."""

import random
import socket

_BELOW_THOSE_OF_CONNECTIONS = range(20_000, 32_000)


def free_port() -> int:
    """A port of the loopback address that nobody listens on.

    Systems lend their own choices (port 0) to connections, too, and could give this one away before it is used; they
    take them from 32768 upwards. Chance keeps apart the tests that run at the same time.
    """
    while True:
        port = random.SystemRandom().choice(_BELOW_THOSE_OF_CONNECTIONS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
