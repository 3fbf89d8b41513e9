"""A cluster's head that is gone is noticed, and what happened is said."""

import socket
import threading

from facepool.bulk.head import watched_head
from facepool.errors import ClusterFailed


def test_a_head_that_does_not_answer_any_more_is_lost_and_one_that_does_is_not() -> None:
    said: list[ClusterFailed] = []
    lost = threading.Event()

    def on_lost(error: ClusterFailed) -> None:
        said.append(error)
        lost.set()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        with watched_head(address, on_lost, every_s=0.01):
            assert not lost.wait(0.2)
            head.close()
            assert lost.wait(30)
    assert f"The Ray cluster {address} has lost its head" in str(said[0])
    assert len(said) == 1
