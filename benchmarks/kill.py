"""What is left of a server's changes when it is killed in the middle of them, and whether what was erased is gone.

    python benchmarks/kill.py                                       20 rounds of each operation
    python benchmarks/kill.py --only rename erase --rounds 3        some
    python benchmarks/kill.py --python ../old/.venv/bin/python      the server of another checkout
    python benchmarks/kill.py --output kill                         kill.json and kill.md

In each round three clients do one kind of change as fast as they can, until the server gets SIGKILL at a random moment.
It is started anew on the same files. What was acknowledged has to be stored; what is stored has to have its entry of
the audit log, once, and nothing else may have one; what was refused may not be stored; the activity may not speak of
who is not there any more; and the names of people who were erased may be in no file of the pool's folder. The server
has some seconds after its start to bring that about.
"""

import argparse
import json
import random
import shutil
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
from resilience.server import Checkout, Furnished, Server, furnish, start

CLIENTS = 3
PEOPLE = 1500
FEW = 3
ALIVE_S = (0.05, 0.8)
PATIENCE_S = 15.0
_OF_ACTIVITY = "INSERT INTO {} (at, event, person, source, person_id) VALUES (?, 'recognized', ?, 'door', ?)"
_AT = "2026-11-30T00:00:00+00:00"


@dataclass
class Did:
    """What clients did in one round, by the names of the changes.

    Attributes:
        since: Newest entry of the audit log before.
    """

    since: int
    tried: list[str] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What is there after the start: changes that were stored, and how often the audit log has each."""

    stored: set[str]
    audited: Counter[str]
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Operation:
    """A kind of change.

    Attributes:
        name: For `--only`.
        names: Those of the changes that one client makes in one round, in order.
        change: Makes one, of a name; there is a small pool for it. The answer of the server.
        found: What became of the changes of one round.
        clients: How many make them at once.
    """

    name: str
    names: Callable[[int, int], Iterator[str]]
    change: Callable[[httpx.Client, str, Path], httpx.Response]
    found: Callable[[Server, Did], Found]
    clients: int = CLIENTS


@dataclass
class Row:
    """What came of all rounds of one operation."""

    operation: str
    rounds: int = 0
    tried: int = 0
    acknowledged: int = 0
    refused: int = 0
    stored: int = 0
    audited: int = 0
    violations: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help="of the environment whose facepool is killed; this one")
    parser.add_argument("--only", nargs="+", choices=sorted(OPERATIONS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    checkout = Checkout(options.python) if options.python else Checkout()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        pool = furnish(checkout, Path(folder) / "furnished", people=PEOPLE)
        for name in options.only or OPERATIONS:
            rows.append(
                killed(OPERATIONS[name], pool, Path(folder) / name, options.rounds, random.Random(options.seed))
            )
            if options.output is not None:
                options.output.with_suffix(".json").write_text(
                    json.dumps([asdict(row) for row in rows], indent=1) + "\n"
                )
                options.output.with_suffix(".md").write_text(table(rows))
    print(table(rows))


def killed(operation: Operation, pool: Furnished, folder: Path, rounds: int, chance: random.Random) -> Row:
    """Kill one server again and again, and start it on the same files."""
    row, few = Row(operation.name), few_people(pool.folder / "pool.db")
    server = pool.serve(folder)
    remember(server)
    try:
        for number in range(rounds):
            did = change_until_killed(server, operation, number, chance.uniform(*ALIVE_S), few)
            server = start(pool.checkout, server.pool, server.keys)
            found, wrong = settled(server, operation, did)
            row.rounds += 1
            row.tried += len(did.tried)
            row.acknowledged += len(did.acknowledged)
            row.refused += len(did.refused)
            row.stored += len(found.stored)
            row.audited += found.audited.total()
            row.violations += [f"round {number + 1}: {one}" for one in wrong]
            show(row, did, wrong)
    finally:
        server.kill()
    return row


def change_until_killed(server: Server, operation: Operation, number: int, alive_s: float, few: Path) -> Did:
    """Let clients change the pool, and kill the server after a time from the first one that it acknowledged."""
    did = Did(newest_entry(server))
    first = threading.Event()

    def work(client_number: int) -> None:
        with server.admin() as client:
            for name in operation.names(number, client_number):
                did.tried.append(name)
                try:
                    answer = operation.change(client, name, few)
                except httpx.TransportError:
                    return
                if answer.is_success:
                    did.acknowledged.add(name)
                    first.set()
                else:
                    did.refused[name] = answer.status_code

    threads = [threading.Thread(target=work, args=(client,)) for client in range(operation.clients)]
    for thread in threads:
        thread.start()
    first.wait(30)
    time.sleep(alive_s)
    server.kill()
    for thread in threads:
        thread.join()
    return did


def settled(server: Server, operation: Operation, did: Did) -> tuple[Found, list[str]]:
    """What is there once nothing is wrong any more, or when patience is over."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = operation.found(server, did)
        wrong = violations(did, found)
        if not wrong or time.monotonic() > until:
            return found, wrong
        time.sleep(0.5)


def violations(did: Did, found: Found) -> list[str]:
    checks = {
        "acknowledged, but not stored": did.acknowledged - found.stored,
        "refused, but stored": found.stored & did.refused.keys(),
        "stored, but not audited": found.stored - found.audited.keys(),
        "audited, but not stored": found.audited.keys() - found.stored,
        "audited twice": {name for name, count in found.audited.items() if count > 1},
    }
    told = [f"{len(names)} {what} ({min(names)})" for what, names in checks.items() if names]
    return told + found.others


def show(row: Row, did: Did, wrong: Sequence[str]) -> None:
    words = "; ".join(wrong) or "as it should be"
    print(f"{row.operation:10} {row.rounds:2}: {len(did.acknowledged):3} of {len(did.tried):3}: {words}", flush=True)


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    head = ("operation", "rounds", "tried", "acknowledged", "refused", "stored", "audited", "violations")
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        counts = (row.rounds, row.tried, row.acknowledged, row.refused, row.stored, row.audited, len(row.violations))
        lines.append([row.operation, *map(str, counts)])
    told = [f"- {row.operation}, {one}" for row in rows for one in row.violations]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", *told])


# What is there.


def remember(server: Server) -> None:
    """Let the activity speak of everybody, so that it has something to forget."""
    people = [(one["person"], one["person_id"]) for one in everybody(server)]
    with closing(sqlite3.connect(server.pool.with_suffix(".server.db"), timeout=30)) as db, db:
        db.executemany(_OF_ACTIVITY.format(activity_in(db)), [(_AT, name, number) for name, number in people])


def everybody(server: Server) -> list[dict[str, str]]:
    with server.admin() as client:
        found: list[dict[str, str]] = []
        while True:
            page = client.get("/v1/persons", params={"page": len(found) // 500, "size": 500}).raise_for_status().json()
            found += page["persons"]
            if len(found) >= page["total"]:
                return found


def names_of(server: Server) -> set[str]:
    return {one["person"] for one in everybody(server)}


def newest_entry(server: Server) -> int:
    """Of the audit log, by its number."""
    with server.admin() as client:
        entries = client.get("/v1/audit", params={"limit": 1}).raise_for_status().json()["entries"]
    return int(entries[0]["id"]) if entries else 0


def audit_of(server: Server, action: str, did: Did) -> list[dict[str, str]]:
    """The entries of one kind of a round."""
    found: list[dict[str, str]] = []
    before: dict[str, int] = {}
    with server.admin() as client:
        while True:
            answer = client.get("/v1/audit", params={"limit": 1000, **before}).raise_for_status()
            entries = [entry for entry in answer.json()["entries"] if entry["id"] > did.since]
            if not entries:
                return [entry for entry in found if entry["action"] == action]
            found += entries
            before = {"before": entries[-1]["id"]}


def in_activity(server: Server) -> set[str]:
    """Everybody whom the activity speaks of, as its file says."""
    with closing(sqlite3.connect(server.pool.with_suffix(".server.db"), timeout=30)) as db:
        query = f"SELECT DISTINCT person FROM {activity_in(db)} WHERE person IS NOT NULL"
        return {name for (name,) in db.execute(query)}


def activity_in(db: sqlite3.Connection) -> str:
    """What the table of the activity is called in the file of a server, which may be an earlier one."""
    (name,) = db.execute("SELECT name FROM sqlite_master WHERE name IN ('activity', 'server_activity')").fetchone()
    return str(name)


def strangers(server: Server) -> list[str]:
    """What is wrong with the activity: it speaks of people who are not there."""
    gone = in_activity(server) - names_of(server)
    return [f"the activity speaks of {len(gone)} who are not there ({min(gone)})"] if gone else []


def traces(server: Server, names: Sequence[str]) -> list[str]:
    """The names of people who are gone, in any file of the pool's folder."""
    told = []
    for path in sorted(server.pool.parent.iterdir()):
        data = path.read_bytes()
        left = [name for name in names if name.encode() in data]
        if left:
            told.append(f"{path.name} has {len(left)} erased names ({left[0]})")
    return told


# The operations.


def _numbered(word: str) -> Callable[[int, int], Iterator[str]]:
    def names(number: int, client: int) -> Iterator[str]:
        return (f"{word} {number:02}-{client}-{step:03}" for step in range(1000))

    return names


def _people_in(number: int, client: int) -> range:
    """Whose people a client may use up in a round."""
    each = PEOPLE // (20 * CLIENTS)
    first = ((number % 20) * CLIENTS + client) * each
    return range(first, first + each)


def _random_people(number: int, client: int) -> Iterator[str]:
    return (f"Random {person:04}" for person in _people_in(number, client))


def _rename(client: httpx.Client, name: str, _: Path) -> httpx.Response:
    """The next name of a client's person of the round: Renamed 03-1-004 was Renamed 03-1-003, or Random 0100."""
    number, of_client, step = (int(part) for part in name.split()[1].split("-"))
    first = f"Random {_people_in(number, of_client)[0]:04}"
    old = f"Renamed {number:02}-{of_client}-{step - 1:03}" if step else first
    return client.patch(f"/v1/persons/{quote(old)}", json={"person": name})


def _renamed(server: Server, did: Did) -> Found:
    """Chains: who has a name now had all the names before."""
    now = names_of(server)
    stored = set()
    for client in {name.rpartition("-")[0] for name in did.tried}:
        chain = sorted(name for name in did.tried if name.startswith(client))
        last = max((step for step, name in enumerate(chain) if name in now), default=-1)
        stored |= {name for name in chain[: last + 1] if name not in did.refused or name in now}
    audited = Counter(entry["person"] for entry in audit_of(server, "renamed", did))
    return Found(stored, audited, strangers(server))


def _merge(client: httpx.Client, name: str, _: Path) -> httpx.Response:
    return client.post(f"/v1/persons/{quote(name)}/merge", json={"into": "person_a"})


def _merged(server: Server, did: Did) -> Found:
    stored = set(did.tried) - names_of(server)
    entries = audit_of(server, "merged", did)
    return Found(stored, Counter(entry["detail"] for entry in entries), strangers(server))


def _erase(client: httpx.Client, name: str, _: Path) -> httpx.Response:
    return client.delete(f"/v1/persons/{quote(name)}")


def _erased(server: Server, did: Did) -> Found:
    stored = set(did.tried) - names_of(server)
    audited: Counter[str] = Counter()
    with server.admin() as client:
        for name in did.tried:
            entries = client.get("/v1/audit", params={"person": name}).raise_for_status().json()["entries"]
            audited[name] = sum(entry["action"] == "erased" for entry in entries)
    return Found(stored, +audited, traces(server, sorted(stored)) + strangers(server))


def _make_key(client: httpx.Client, name: str, _: Path) -> httpx.Response:
    return client.post("/v1/keys", json={"name": name, "role": "recognize"})


def _made_keys(server: Server, did: Did) -> Found:
    with server.admin() as client:
        stored = {key["name"] for key in client.get("/v1/keys").json()["keys"]} & set(did.tried)
    names = (entry["detail"].rpartition(" (")[0] for entry in audit_of(server, "made a key", did))
    return Found(stored, Counter(names))


def few_people(pool: Path) -> Path:
    """A copy of a pool with three of its people, beside it."""
    path = pool.with_name("few.db")
    with closing(sqlite3.connect(pool)) as source, closing(sqlite3.connect(path)) as copy, copy:
        source.backup(copy)
        copy.execute("PRAGMA foreign_keys = ON")
        copy.execute("DELETE FROM persons WHERE id > ?", (FEW,))
    with closing(sqlite3.connect(path)) as copy:
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("VACUUM")
    return path


def _import(client: httpx.Client, name: str, few: Path) -> httpx.Response:
    """People whose names tell of which import they came."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.db"
        shutil.copy2(few, path)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE persons SET uuid = randomblob(16), name = ? || ' ' || id", (name,))
            db.execute("UPDATE templates SET uuid = randomblob(16)")
        return client.post("/v1/pool/import", files={"file": path.read_bytes()})


def _imported(server: Server, did: Did) -> Found:
    """Which import an entry of the log is about it does not say: they are counted."""
    names = names_of(server)
    there = {name: sum(f"{name} {number}" in names for number in range(1, FEW + 1)) for name in did.tried}
    stored = {name for name, count in there.items() if count}
    parts = [f"{name}: {count} of {FEW} people" for name, count in there.items() if 0 < count < FEW]
    return Found(stored, _as_many(stored, audit_of(server, "imported a pool", did)), parts)


def _calibrate(client: httpx.Client, name: str, _: Path) -> httpx.Response:
    """With a target that tells which calibration it was."""
    return client.post("/v1/pool/calibrate", json={"target_fpir": _target(name)})


def _calibrated(server: Server, did: Did) -> Found:
    """The pool has the last one of those that were stored: the client that made them waited for each."""
    with server.admin() as client:
        kept = client.get("/v1/pool").raise_for_status().json()["calibration"]
    targets = [_target(name) for name in did.tried]
    last = targets.index(kept["target_fpir"]) if kept and kept["target_fpir"] in targets else -1
    stored = {name for step, name in enumerate(did.tried[: last + 1]) if step == last or name not in did.refused}
    return Found(stored, _as_many(stored, audit_of(server, "calibrated the pool", did)))


def _target(name: str) -> float:
    number, client, step = (int(part) for part in name.split()[1].split("-"))
    return round(0.01 + number * 1e-3 + client * 3e-4 + step * 1e-6, 6)


def _as_many(names: set[str], entries: Sequence[object]) -> Counter[str]:
    """As if entries without a name were about these."""
    known = sorted(names)[: len(entries)]
    return Counter(known + [f"another {number}" for number in range(len(entries) - len(known))])


OPERATIONS = {
    one.name: one
    for one in (
        Operation("merge", _random_people, _merge, _merged),
        Operation("import", _numbered("Imported"), _import, _imported, clients=2),
        Operation("calibrate", _numbered("Calibrated"), _calibrate, _calibrated, clients=1),
        Operation("rename", _numbered("Renamed"), _rename, _renamed),
        Operation("erase", _random_people, _erase, _erased),
        Operation("key", _numbered("Key"), _make_key, _made_keys),
    )
}


if __name__ == "__main__":
    main()
