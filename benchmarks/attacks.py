"""What good clients of a server see while it is attacked, one attack after the other; for Linux.

    python benchmarks/attacks.py                                    all of them, about half a minute each
    python benchmarks/attacks.py --only session-lists idle          some; --list names them
    python benchmarks/attacks.py --python ../old/.venv/bin/python   the server of another checkout
    python benchmarks/attacks.py --output attacks                   attacks.json and attacks.md, brought up to date

Each attack has a server of its own: `facepool serve` on a pool with people and keys. Four good clients recognize one
picture after the other, each from an address and with a key of its own; something looks at /health each 100 ms over a
connection of its own; and the memory of the server and of all that it started is measured. Five seconds before the
attack are compared with the attack itself and with the ten seconds after it. The attacker shares the machine with
server and clients, so that some of what these lose is its own work. A server that takes more than 6 GB is killed.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from resilience.attacks import ATTACKS, Attack
from resilience.server import Checkout, Furnished, Server, furnish
from resilience.watch import Phase, Seen, only, phase, watching
from resilience.wire import Target

WARM_UP_S, BEFORE_S, AFTER_S = 3.0, 5.0, 10.0
RECOVERED_S = 4.0
MOST_MIB = 6000.0
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Goals:
    """What a server has to hold, whatever is done to it."""

    p95_ms: float = 3000
    memory_mib: float = 600
    health_ms: float = 500


@dataclass(frozen=True)
class Result:
    """What came of one attack.

    Attributes:
        took_s: The attack itself.
        recovered: Whether good clients are served as before within ten seconds; the last four of them are compared.
        ended: Whether the server ended when it was asked to.
        killed: Whether its memory became too large for the machine.
        saw: What the attacker was answered.
        failed: Which goals were missed.
    """

    name: str
    what: str
    took_s: float
    before: Phase
    during: Phase
    after: Phase
    recovered: bool
    ended: bool
    killed: bool
    saw: dict[str, int]
    hurt: dict[str, int]
    log: str
    log_kib: int
    load: float
    failed: list[str]


def main() -> None:
    options = arguments()
    if options.list:
        for one in ATTACKS.values():
            print(f"{one.name:20} {one.what}")
        return
    checkout = (
        Checkout(options.python, tuple(options.serve)) if options.python else Checkout(options=tuple(options.serve))
    )
    results = earlier(options.output)
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        pool = furnish(checkout, Path(folder) / "furnished", options.photos)
        for name in options.only or ATTACKS:
            attacked = under_attack(ATTACKS[name], pool, Path(folder) / name, options.seconds)
            print(line(attacked), flush=True)
            results[name] = attacked
            if options.output is not None:
                write(list(results.values()), options.output)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help="of the environment whose facepool is attacked; this one")
    parser.add_argument("--serve", nargs="*", default=[], metavar="WORD", help="more options of `facepool serve`")
    parser.add_argument("--photos", type=Path, help="folder of photos with a face in each; the demo's")
    parser.add_argument("--only", nargs="+", choices=sorted(ATTACKS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=15, help="how long an attack may take")
    parser.add_argument("--output", type=Path, help="NAME of NAME.json and NAME.md; attacks that are there stay")
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def under_attack(attack: Attack, pool: Furnished, folder: Path, seconds: float) -> Result:
    """Attack a server of its own."""
    sent = attack.make(pool)
    server = pool.serve(folder)
    try:
        with watching(server, pool.picture, MOST_MIB) as seen:
            time.sleep(WARM_UP_S)  # the networks get to know the picture's size
            before_s = time.monotonic()
            time.sleep(BEFORE_S)
            began_s = time.monotonic()
            target = Target(server, pool.picture, began_s + seconds)
            attack.run(target, sent)
            ended_s = time.monotonic()
            time.sleep(0 if seen.killed else AFTER_S)
            after_s = time.monotonic()
    finally:
        ended = server.stop()
    before = phase(only(seen, before_s, began_s), before_s, began_s)
    during = phase(seen, began_s, ended_s)
    recovered = not seen.killed and is_as_before(before, seen, ended_s + AFTER_S - RECOVERED_S, after_s)
    return Result(
        name=attack.name,
        what=attack.what,
        took_s=round(ended_s - began_s, 1),
        before=before,
        during=during,
        after=phase(only(seen, ended_s, ended_s + 999), ended_s, after_s),
        recovered=recovered,
        ended=ended,
        killed=seen.killed,
        saw=dict(target.saw.most_common(6)),
        hurt=dict(target.hurt),
        log=excerpt(server),
        log_kib=server.log.stat().st_size // 1024,
        load=round(os.getloadavg()[0], 1),
        failed=missed(during, target, recovered=recovered, killed=seen.killed),
    )


def is_as_before(before: Phase, seen: Seen, begin_s: float, end_s: float) -> bool:
    """Whether good clients are served as before: without errors, and not twice as slowly; all of them."""
    now = phase(seen, begin_s, end_s)
    return bool(now.answers) and not now.errors and now.p95_ms <= 2 * before.p95_ms + 100


def missed(during: Phase, target: Target, *, recovered: bool, killed: bool, goals: Goals = Goals()) -> list[str]:
    """Which goals were missed."""
    checks = {
        "p95": during.p95_ms >= goals.p95_ms or not during.answers,
        "errors": bool(during.errors or target.hurt),
        "memory": killed or during.memory_mib >= goals.memory_mib,
        "health": bool(during.health_errors) or during.health_max_ms >= goals.health_ms,
        "recovery": not recovered,
    }
    return [name for name, is_missed in checks.items() if is_missed]


def excerpt(server: Server) -> str:
    """What the server complained about, shortened."""
    text = server.log.read_text(errors="replace")
    complaints = [line for line in text.splitlines() if "Error" in line or "Traceback" in line]
    return " | ".join(complaints[-2:])[:300]


def line(result: Result) -> str:
    during = result.during
    words = ", ".join(result.failed) or "held"
    errors = ", ".join(f"{count} x {name}" for name, count in (during.wrong | result.hurt).items()) or "no error"
    saw = ", ".join(f"{count} x {name}" for name, count in result.saw.items())
    memory = ">6 GB" if result.killed else f"{during.memory_mib:.0f} MiB"
    return (
        f"{result.name:20} {result.took_s:5.1f} s: p95 {result.before.p95_ms:.0f} -> {during.p95_ms:.0f} ms "
        f"(max {during.max_ms:.0f}, {during.answers} answers), {errors}; /health {during.health_max_ms:.0f} ms, "
        f"{memory}; after {result.after.p95_ms:.0f} ms; load {result.load}; attacker: {saw}; {words}"
    )


def earlier(output: Path | None) -> dict[str, Result]:
    """What is in the file already, to be kept beside what is measured now."""
    path = output.with_suffix(".json") if output is not None else None
    if path is None or not path.exists():
        return {}
    phases = ("before", "during", "after")
    rows = [row | {name: Phase(**row[name]) for name in phases} for row in json.loads(path.read_text())["attacks"]]
    return {row["name"]: Result(**row) for row in rows}


def write(results: Sequence[Result], output: Path) -> None:
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs"
    found = {"machine": machine, "goals": asdict(Goals()), "attacks": [asdict(result) for result in results]}
    output.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    output.with_suffix(".md").write_text(table(results))


def table(results: Sequence[Result]) -> str:
    """As Markdown. What missed its goal is in bold."""
    head = ("attack", "s", "p50", "p95", "max", "answers", "errors", "/health", "memory", "after: p95", "recovered")
    rows = [[*head], ["---"] + ["---:"] * (len(head) - 1)]
    for result in results:
        during, failed = result.during, result.failed
        errors = sum(result.hurt.values()) + during.errors
        rows.append(
            [
                f"{result.what} (`{result.name}`)",
                f"{result.took_s:.1f}",
                f"{during.p50_ms:.0f}",
                _marked(f"{during.p95_ms:.0f}", "p95" in failed),
                f"{during.max_ms:.0f}",
                f"{during.answers}",
                _marked(f"{errors}", "errors" in failed),
                _marked(f"{during.health_max_ms:.0f}", "health" in failed),
                _marked(">6 GB" if result.killed else f"{during.memory_mib:.0f}", "memory" in failed),
                f"{result.after.p95_ms:.0f}",
                _marked("yes" if result.recovered else "no", "recovery" in failed),
            ]
        )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    befores = sorted(result.before.p95_ms for result in results)
    usual = f"Before: p95 {befores[0]:.0f} to {befores[-1]:.0f} ms." if befores else ""
    return "\n".join([*lines, "", f"Times in ms, memory in MiB, both while the attack lasts. {usual}", ""])


def _marked(text: str, is_missed: object) -> str:
    return f"**{text}**" if is_missed else text


if __name__ == "__main__":
    main()
