"""The results in Markdown: targets, then every case side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from sidebyside.targets import Results, Verdict

_HOW_TO_READ = (
    "Median (lower to upper quartile), then after a dot the faces or decisions found where they are not the same for "
    "all, then facepool's time as a share of the peer's.\n"
)
_FACTORS = {"ms": 1000.0, "s": 1.0, "MiB": 1.0}


def markdown(results: Results, verdicts: Sequence[Verdict]) -> str:
    """The whole report, ending in a line break."""
    peers = [name for name in results["libraries"] if _took_part(results, name)]
    parts = [
        _machine(results),
        "### Targets\n",
        _targets(verdicts),
        "### Side by side\n",
        _HOW_TO_READ,
        _cases(results, peers),
        _batches(results, peers),
        (results.get("search") or {}).get("markdown", ""),
        _stages(results),
        "### Libraries\n",
        _libraries(results),
    ]
    return "\n".join(part for part in parts if part)


def _took_part(results: Results, name: str) -> bool:
    return any(name in case["results"] for case in results["cases"].values())


def _machine(results: Results) -> str:
    machine, settings = results["machine"], results["settings"]
    instructions = ", ".join(machine["instructions"])
    load = results["load_average"]
    return (
        f"{machine['date']}; {machine['processor']} ({machine['architecture']}; {instructions}), {machine['cores']} "
        f"cores, {machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}. "
        f"{settings['threads']} threads each, {settings['repetitions']} interleaved repetitions after warm-up; device "
        f"{settings['device']}; load average before and after {load['before']} and {load['after']}.\n"
    )


def _targets(verdicts: Sequence[Verdict]) -> str:
    rows = ["| target | bound | reached | by processor time | |", "|---|---|---|---|---|"]
    words = {True: "met", False: "**missed**", None: "not measured"}
    for verdict in verdicts:
        sign = "≥" if verdict.at_least else "≤"
        reached = "" if verdict.value is None else _amount(verdict.value, verdict.unit)
        if verdict.low is not None and verdict.high is not None:
            reached += f" ({_digits(verdict.low)} to {_digits(verdict.high)})"
        bound = f"{sign} {_amount(verdict.limit, verdict.unit)}"
        cpu = "" if verdict.cpu is None else _digits(verdict.cpu)
        rows.append(f"| {verdict.title} | {bound} | {reached} | {cpu} | {words[verdict.met]} |")
    return "\n".join(rows) + "\n"


def _amount(value: float, unit: str) -> str:
    return f"{_digits(value)} {unit}".strip()


def _digits(value: float) -> str:
    """Three digits that mean something, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _cases(results: Results, peers: Sequence[str]) -> str:
    rows = [f"| | {' | '.join(peers)} |", "|---" * (len(peers) + 1) + "|"]
    for case in results["cases"].values():
        cells = [_cell(case, name) for name in peers]
        rows.append(f"| {case['title']} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _cell(case: Mapping[str, Any], name: str) -> str:
    record = case["results"].get(name)
    if record is None:
        return ""
    factor, unit = _FACTORS[case["unit"]], case["unit"]
    middle, low, high = (record[key] * factor for key in ("median", "p25", "p75"))
    counts = {each["count"] for each in case["results"].values()}
    found = f" · {record['count']}" if len(counts) > 1 and record["count"] is not None else ""
    spread = f" ({_digits(low)} to {_digits(high)})" if record["n"] > 1 else ""
    ours = case["results"].get("facepool")
    beside = f" → {ours['median'] / record['median']:.2g}" if ours and not name.startswith("facepool") else ""
    return f"{_digits(middle)} {unit}{spread}{found}{beside}"


def _batches(results: Results, peers: Sequence[str]) -> str:
    """Embeddings a second, from the cases that embed aligned faces."""
    cases = {name: case for name, case in results["cases"].items() if case["section"] == "batches"}
    able = [name for name in peers if any(name in case["results"] for case in cases.values())]
    if not able:
        return ""
    rows = [f"| embeddings a second | {' | '.join(able)} |", "|---" * (len(able) + 1) + "|"]
    for case in cases.values():
        records = [case["results"].get(name) for name in able]
        cells = ["" if record is None else f"{record['count'] / record['median']:.0f}" for record in records]
        rows.append(f"| {case['title']} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _stages(results: Results) -> str:
    """Where the time of a frame goes."""
    parts = []
    for title, budget in ((results.get("stages") or {}).get("frames", {})).items():
        rows = [f"| {title.replace(' in ', ' face(s), ')} | wall | processor |", "|---|---|---|"]
        for stage, spent in sorted(budget["stages"].items(), key=lambda item: -item[1]["wall"]):
            rows.append(f"| {stage} | {spent['wall'] * 1000:.2f} ms | {spent['cpu'] * 1000:.2f} ms |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(["### Where the time of a frame goes\n", *parts]) if parts else ""


def _libraries(results: Results) -> str:
    rows = ["| library | version | what runs | |", "|---|---|---|---|"]
    for name, library in results["libraries"].items():
        missing = f"left out: {library['missing']}" if library.get("missing") else library.get("note", "")
        rows.append(f"| {name} | {library.get('version', '')} | {library.get('runs', '')} | {missing} |")
    return "\n".join(rows) + "\n"
