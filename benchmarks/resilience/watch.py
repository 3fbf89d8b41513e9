"""What somebody outside sees of a server while something happens to it: good clients, /health, and its memory.

The clients and the probe are a process of their own, so that an attacker in this one does not slow down their clocks.
"""

import http.client
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from resilience.server import Server, good_names

PATIENCE_S = 30.0
"""Of a good client with one request; what takes longer is an error."""
PROBE_EVERY_S = 0.1
GOOD_ADDRESSES = tuple(f"127.0.0.{number}" for number in range(11, 15))
_PROBE_ADDRESS = "127.0.0.20"
_MIB = 1024 * 1024
_PSS_EVERY = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a good client, or of the probe."""

    began_s: float
    took_s: float
    wrong: str  # the status, or the exception; empty: it was 200

    def overlaps(self, begin_s: float, end_s: float) -> bool:
        return self.began_s < end_s and self.began_s + self.took_s >= begin_s

    def within(self, begin_s: float, end_s: float) -> bool:
        return begin_s <= self.began_s and self.began_s + self.took_s < end_s


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the server and all that it has started; 0 where it was not measured."""

    at_s: float
    rss_mib: float
    pss_mib: float


@dataclass
class Seen:
    """Everything that was seen, in the time of `time.monotonic`."""

    recognize: list[Asked] = field(default_factory=list)
    health: list[Asked] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    killed: bool = False


@dataclass(frozen=True)
class Phase:
    """What good clients saw in a span of time."""

    answers: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    errors: int
    wrong: dict[str, int]
    health_max_ms: float
    health_errors: int
    memory_mib: float


def phase(seen: Seen, begin_s: float, end_s: float) -> Phase:
    """Sum up what was under way between two moments, begun and answered then or before and later.

    A client that waits asks nothing meanwhile, so that a silence of 20 s would be one slow answer among a hundred fast
    ones. Therefore each answer that took longer than usual counts as often as the client would have asked meanwhile,
    with what was left to wait, as HdrHistogram does it.
    """
    asked = [one for one in seen.recognize if one.overlaps(begin_s, end_s)]
    health = [one for one in seen.health if one.overlaps(begin_s, end_s)]
    took = waits([one.took_s for one in asked])
    wrong = Counter(one.wrong for one in asked if one.wrong)
    memory = [max(one.pss_mib, 0) for one in seen.memory if begin_s <= one.at_s <= end_s and one.pss_mib]
    return Phase(
        answers=len(asked),
        p50_ms=_quantile(took, 50),
        p95_ms=_quantile(took, 95),
        max_ms=_quantile(took, 100),
        errors=sum(wrong.values()),
        wrong=dict(wrong),
        health_max_ms=_quantile([one.took_s for one in health], 100),
        health_errors=sum(1 for one in health if one.wrong),
        memory_mib=max(memory, default=0.0),
    )


def only(seen: Seen, begin_s: float, end_s: float) -> Seen:
    """What was begun and answered between two moments, and the memory then."""
    return Seen(
        [one for one in seen.recognize if one.within(begin_s, end_s)],
        [one for one in seen.health if one.within(begin_s, end_s)],
        [one for one in seen.memory if begin_s <= one.at_s < end_s],
    )


def waits(took_s: Sequence[float]) -> list[float]:
    """Latencies, with those of the requests that would have been made during the long ones."""
    usual = max(float(np.median(took_s)), 0.005) if took_s else 1.0
    return [left for one in took_s for left in np.arange(one, usual / 2, -usual)] or list(took_s)


def _quantile(values_s: Sequence[float], percent: float) -> float:
    return round(1000 * float(np.percentile(values_s, percent)), 1) if values_s else 0.0


@contextmanager
def watching(server: Server, picture: bytes, most_mib: float) -> Iterator[Seen]:
    """Watch a server until the end of the block; what was seen is complete after it.

    Args:
        server: That runs.
        picture: What the good clients send.
        most_mib: The server is killed when it takes more, to keep the machine alive.
    """
    seen = Seen()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    keys = [server.keys[name] for name in good_names()]
    clients = context.Process(target=_clients, args=(theirs, server.port, keys, picture), daemon=True)
    over = threading.Event()
    memory = threading.Thread(target=_weigh, args=(server, seen, most_mib, over))
    clients.start()
    ours.recv()  # they have begun
    memory.start()
    try:
        yield seen
    finally:
        ours.send("end")
        seen.recognize, seen.health = ours.recv()
        clients.join()
        over.set()
        memory.join()


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def rss_mib(pids: Sequence[int]) -> float:
    """Resident memory; what processes share counts for each."""
    return sum(_number(Path(f"/proc/{pid}/status"), "VmRSS:") for pid in pids) / 1024


def pss_mib(pids: Sequence[int]) -> float:
    """Resident memory, in which what processes share counts once."""
    return sum(_number(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") for pid in pids) / 1024


def _number(path: Path, word: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(word)), 0)


def _weigh(server: Server, seen: Seen, most_mib: float, over: threading.Event) -> None:
    number = 0
    while not over.wait(PROBE_EVERY_S):
        pids = tree(server.process.pid)
        rss = rss_mib(pids)
        # Summing up shared pages holds a lock of the process: not each time, but whenever it grows.
        heaviest = max((one.rss_mib for one in seen.memory), default=0.0)
        pss = pss_mib(pids) if number % _PSS_EVERY == 0 or rss > heaviest + 20 else 0.0
        seen.memory.append(Memory(time.monotonic(), rss, pss))
        number += 1
        if rss > most_mib and not seen.killed:
            seen.killed = True
            server.kill()


# What follows runs in the process of the clients.


def _clients(pipe: Connection, port: int, keys: Sequence[str], picture: bytes) -> None:
    recognize: list[Asked] = []
    health: list[Asked] = []
    over = threading.Event()
    threads = [
        threading.Thread(target=_recognize, args=(port, address, key, picture, recognize, over))
        for address, key in zip(GOOD_ADDRESSES, keys, strict=True)
    ]
    threads.append(threading.Thread(target=_probe, args=(port, health, over)))
    for thread in threads:
        thread.start()
    pipe.send("begun")
    pipe.recv()
    over.set()
    for thread in threads:
        thread.join()
    pipe.send((recognize, health))


def _recognize(port: int, address: str, key: str, picture: bytes, asked: list[Asked], over: threading.Event) -> None:
    """One client that asks again as soon as it has an answer, over a connection that it keeps."""
    headers = {"x-api-key": key, "content-type": "image/jpeg"}
    connection = _connect(port, address, PATIENCE_S)
    while not over.is_set():
        asked.append(_ask(connection, "POST", "/v1/recognize", picture, headers))
        if asked[-1].wrong:
            over.wait(0.05)  # or a server that refuses at once would be asked without end


def _probe(port: int, asked: list[Asked], over: threading.Event) -> None:
    """Whoever looks whether the server is alive, with a connection for each look."""
    while not over.is_set():
        connection = _connect(port, _PROBE_ADDRESS, PATIENCE_S)
        asked.append(_ask(connection, "GET", "/health", None, {"connection": "close"}))
        connection.close()
        over.wait(max(0.0, PROBE_EVERY_S - asked[-1].took_s))


def _connect(port: int, address: str, timeout_s: float) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s, source_address=(address, 0))


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> Asked:
    began = time.monotonic()
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        wrong = "" if answer.status == 200 else str(answer.status)
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        wrong = type(error).__name__
    return Asked(began, time.monotonic() - began, wrong)
