"""Repetitions that interleave, and what is read off them."""

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidebyside.clients import Client, WorkerFailed

WARMUPS = 3
_PAUSE_S = 0.01
"""Between turns: engines' threads spin for a while after their work, and would take the next one's cores."""


@dataclass(slots=True)
class Series:
    """The repetitions of one case by one library.

    Attributes:
        walls: Wall times in seconds (or, where the case says so, another quantity), in the order of the rounds.
        cpus: Processor times in seconds of the same repetitions.
        count: Faces, vectors or decisions of the last repetition.
        extras: What else each repetition told, a list a name.
    """

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    count: int | None = None
    extras: dict[str, list[float]] = field(default_factory=dict)

    def take(self, reply: Mapping[str, Any]) -> None:
        """Add one repetition."""
        self.walls.append(reply["wall_s"])
        self.cpus.append(reply["cpu_s"])
        self.count = int(reply["count"])
        for name, value in reply.items():
            if name not in {"wall_s", "cpu_s", "count"}:
                self.extras.setdefault(name, []).append(value)

    def record(self) -> dict[str, Any]:
        """For JSON: quantiles and every single value."""
        return {
            **quantiles(self.walls),
            **({"cpu_median": statistics.median(self.cpus)} if self.cpus else {}),
            "count": self.count,
            "extras": {name: statistics.median(values) for name, values in self.extras.items()},
            "values": [round(value, 7) for value in self.walls],
            "cpu_values": [round(value, 7) for value in self.cpus],
        }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles, extremes and number of some values."""
    return {
        "median": statistics.median(values),
        "p25": percentile(values, 0.25),
        "p75": percentile(values, 0.75),
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share (0..1) of the values lies, between neighbours where it falls there."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """The ratio of two medians with its 95 % interval over resampled rounds (bootstrap, fixed seed)."""
    dice = random.Random(0)
    rounds = min(len(ours), len(theirs))
    drawn = []
    for _ in range(1000):
        rows = [dice.randrange(rounds) for _ in range(rounds)]
        drawn.append(statistics.median(ours[i] for i in rows) / statistics.median(theirs[i] for i in rows))
    return {
        "value": statistics.median(ours) / statistics.median(theirs),
        "low": percentile(drawn, 0.025),
        "high": percentile(drawn, 0.975),
    }


def interleave(
    clients: Sequence[Client],
    case: Mapping[str, Any],
    repetitions: int,
    budget_s: float,
    failed: Callable[[str, str], None],
) -> dict[str, Series]:
    """Measure a case by all who can do it: A, B, C, then B, C, A, and so on.

    Args:
        clients: The workers.
        case: What they are asked for.
        repetitions: Rounds. A library so slow that its share would take longer than the budget sits out the later
            ones, after at least five.
        budget_s: Seconds that one library may take for the case.
        failed: Told who cannot do it and why.

    Returns:
        A series a library, without those that cannot do it.
    """
    series: dict[str, Series] = {}
    rounds: dict[str, int] = {}
    able: list[Client] = []
    for client in clients:
        try:
            unsupported = client.prepare(case)
            if unsupported is None:
                slowest_s = _warm(client, repetitions)
        except WorkerFailed as reason:
            unsupported = str(reason)
        if unsupported is not None:
            failed(client.name, unsupported)
            continue
        able.append(client)
        series[client.name] = Series()
        rounds[client.name] = affordable(repetitions, slowest_s, budget_s)
    for number in range(repetitions):
        shift = number % max(1, len(able))
        for client in [*able[shift:], *able[:shift]]:
            if number >= rounds[client.name]:
                continue
            time.sleep(_PAUSE_S)
            try:
                series[client.name].take(client.run(warm=_is_quick(series[client.name])))
            except WorkerFailed as reason:
                failed(client.name, str(reason))
                rounds[client.name] = 0
    return {name: found for name, found in series.items() if found.walls}


def affordable(repetitions: int, seconds: float, budget_s: float) -> int:
    """How many repetitions of so many seconds fit a budget, five at least where as many are wanted."""
    return min(repetitions, max(5, int(min(budget_s, 1e6) / max(1e-6, seconds))))


def _warm(client: Client, repetitions: int) -> float:
    """Run a few times; the seconds of the last."""
    for _ in range(min(WARMUPS, repetitions)):
        wall_s = client.run(warm=False)["wall_s"]
        if wall_s > 1:
            break
    return wall_s


def _is_quick(series: Series) -> bool:
    """Whether one untimed repetition before each timed one is cheap; the others' turns have cooled the caches."""
    return not series.walls or series.walls[-1] < 0.5
