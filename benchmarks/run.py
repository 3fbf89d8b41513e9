"""facepool and its peers side by side, on the same pictures, in one run.

    python benchmarks/run.py --output results            everything; the first run installs the peers
    python benchmarks/run.py --quick                     a smoke test of some seconds: facepool alone, few repetitions
    python benchmarks/run.py --only uniface --only detect

Each library runs in a process of its own, from an environment with the exact versions of ``benchmarks/peers``, on the
same number of threads. Repetitions take turns (A, B, C, B, C, A, …), so that whatever else the machine does meets all
of them; only ratios within one run mean something. Writes results.json, results.md and PNG plots.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from sidebyside import machine, marks, report, targets
from sidebyside.cases import QUICK, SECTIONS, Catalogue, Measured, Scale
from sidebyside.clients import Client, Launch, WorkerFailed, run_fresh
from sidebyside.environments import InstallFailed, python_of
from sidebyside.fresh import FreshProcesses
from sidebyside.measure import Series, interleave
from sidebyside.roster import FACEPOOL, PEERS, VARIANTS, Peer, WeightsMissing, lay_out_weights
from sidebyside.scenes import Scenes

from facepool.models.store import ModelStore, default_root

_BUDGET_S = 45
_COMMAND_PATIENCE_S = 3600
_QUICK_REPETITIONS = 1


class Comparison:
    """One run: who takes part, what was measured, and what was left out and why.

    Args:
        arguments: Of the command line.
        work: A folder for scenes and pools, thrown away at the end.
        store: Where models are.
    """

    def __init__(self, arguments: argparse.Namespace, work: Path, store: ModelStore) -> None:
        self._arguments = arguments
        self._store = store
        self._work = work
        self._scale = QUICK if arguments.quick else Scale()
        self._sections = [name for name in SECTIONS if name in arguments.only] or list(SECTIONS)
        scenes = Scenes(work, store, arguments.shared)
        self._catalogue = Catalogue(scenes, work, self._scale, real=not arguments.quick)
        self.results: dict[str, Any] = {
            "machine": machine.describe(),
            "settings": {
                "threads": arguments.threads,
                "repetitions": arguments.repetitions,
                "device": arguments.device,
                "quick": arguments.quick,
            },
            "load_average": {"before": machine.load_average(), "after": None},
            "libraries": {},
            "cases": {},
            "left_out": {},
            "engines_imported": None,
            "stages": None,
            "search": None,
        }

    def run(self) -> None:
        """Measure everything."""
        launches = list(self._launches())
        with ExitStack() as stack:
            clients = [client for launch in launches if (client := self._start(launch, stack)) is not None]
            for measured in self._catalogue.cases():
                if measured.section in self._sections:
                    self._measure(measured, clients)
        running = {client.name for client in clients}
        if "fresh" in self._sections:
            self._measure_fresh([launch for launch in launches if launch.peer.name in running])
        if "overhead" in self._sections and not self._arguments.quick:
            self.results["stages"] = self._command("stages", "--repetitions", str(self._arguments.repetitions))
        if "search" in self._sections:
            quick = ("--quick",) if self._arguments.quick else ()
            self.results["search"] = self._command("search", "--cache", str(self._arguments.cache), *quick)
        self.results["load_average"]["after"] = machine.load_average()

    def _launches(self) -> Iterator[Launch]:
        others = (*VARIANTS, *PEERS)
        named = [peer for peer in others if peer.name in self._arguments.only]
        chosen = [] if self._arguments.quick else named or others
        for peer in (FACEPOOL, *chosen):
            try:
                yield self._launch(peer)
            except (InstallFailed, WeightsMissing) as reason:
                self._leave_out(peer, str(reason))

    def _launch(self, peer: Peer) -> Launch:
        if peer.heavy and not self._arguments.heavy and peer.name not in self._arguments.only:
            raise InstallFailed(peer.heavy)
        folder = self._arguments.cache
        weights, variables = lay_out_weights(peer, folder / "weights", self._store, self._arguments.shared)
        options = {"threads": self._arguments.threads, **peer.setup, **weights}
        pins = peer.pins()
        if pins is None:
            models = str(self._arguments.models_dir)
            chosen = {"device": self._arguments.device, "models_dir": models, **dict(self._arguments.set or [])}
            return Launch(peer, Path(sys.executable), chosen | options, {})
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        return Launch(peer, python_of(pins, folder), options, variables | {"HOME": str(home)})

    def _start(self, launch: Launch, stack: ExitStack) -> Client | None:
        try:
            client = Client(launch)
            stack.callback(client.close)
            self.results["libraries"][client.name] = client.about()
        except WorkerFailed as reason:
            self._leave_out(launch.peer, str(reason))
            return None
        return client

    def _leave_out(self, peer: Peer, reason: str) -> None:
        print(f"{peer.name} is left out: {reason}", flush=True)
        self.results["libraries"][peer.name] = {"missing": self._without_paths(reason)}

    def _measure(self, measured: Measured, clients: Sequence[Client]) -> None:
        print(f"{measured.title} …", flush=True)
        repetitions = max(2, round(self._arguments.repetitions * measured.part))
        found = interleave(clients, measured.case, repetitions, _BUDGET_S, self._failed(measured.name))
        self._keep(measured.name, measured.section, measured.title, "ms", found, measured.axis)

    def _measure_fresh(self, launches: Sequence[Launch]) -> None:
        processes = FreshProcesses(launches, self._arguments.repetitions, _BUDGET_S)
        print("Importing …", flush=True)
        found, engines = processes.imports(lambda peer: f"import {peer.module}", self._failed("import"))
        self.results["engines_imported"] = engines
        self._keep("import", "fresh", "import of the package", "s", found)
        found, _engines = processes.imports(lambda peer: peer.usual, self._failed("import-usual"))
        self._keep("import-usual", "fresh", "import of what a program uses", "s", found)
        print("First decisions …", flush=True)
        found = processes.first_decisions(self._catalogue.first_decision(), self._failed("first-decision"))
        self._keep("first-decision", "fresh", "from start of the process to the first decision", "s", found)
        print("Peak memory …", flush=True)
        found = processes.peak_memory(self._catalogue.watched_film(), self._failed("memory"))
        self._keep("memory", "fresh", f"peak memory, film, {self._scale.pool:,} people", "MiB", found)

    def _command(self, name: str, *flags: str) -> dict[str, Any] | None:
        """What a benchmark beside this one has found, as its --json; None where it failed, which is noted."""
        script, found = Path(__file__).with_name(f"{name}.py"), self._work / f"{name}.json"
        if not script.is_file():
            return None
        print(f"{script.name} …", flush=True)
        whole = [sys.executable, str(script), "--json", str(found), "--threads", str(self._arguments.threads), *flags]
        try:
            run_fresh(whole, os.environ, patience_s=_COMMAND_PATIENCE_S)
        except WorkerFailed as reason:
            self._failed(name)("facepool", str(reason))
            return None
        record: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
        return record

    def _keep(
        self, name: str, section: str, title: str, unit: str, found: Mapping[str, Series], axis: float | None = None
    ) -> None:
        records = {library: series.record() for library, series in found.items()}
        self.results["cases"][name] = {
            "section": section,
            "title": title,
            "unit": unit,
            "axis": axis,
            "results": records,
        }

    def _failed(self, case: str) -> Callable[[str, str], None]:
        def note(library: str, reason: str) -> None:
            self.results["left_out"].setdefault(case, {})[library] = self._without_paths(reason)

        return note

    def _without_paths(self, text: str) -> str:
        for folder in (self._work, self._arguments.cache, self._arguments.shared, Path.home(), Path.cwd()):
            text = text.replace(str(folder), "…")
        return text


def add_to(earlier: Path, results: dict[str, Any]) -> dict[str, Any]:
    """What was measured, beside what an earlier run has measured of other cases on this machine.

    Raises:
        ValueError: The earlier run was on another machine.
    """
    if not earlier.is_file():
        return results
    before: dict[str, Any] = json.loads(earlier.read_text(encoding="utf-8"))
    if before["machine"]["processor"] != results["machine"]["processor"]:
        raise ValueError(f"{earlier} is of another machine")
    merged = {name: before[name] | results[name] for name in ("libraries", "cases", "left_out")}
    found = {
        name: before[name] if results[name] is None else results[name]
        for name in ("engines_imported", "stages", "search")
    }
    return results | merged | found


def write(results: dict[str, Any], folder: Path, document: Path | None) -> None:
    """Write the JSON, the report and the plots, and put the report into a document."""
    folder.mkdir(parents=True, exist_ok=True)
    verdicts = targets.judge(results)
    results["targets"] = [{**asdict(verdict), "met": verdict.met} for verdict in verdicts]
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = report.markdown(results, verdicts)
    (folder / "results.md").write_text(text, encoding="utf-8")
    if document is not None:
        marks.insert(document, "benchmarks/run.py", text)
    from sidebyside import plots  # noqa: PLC0415 -- takes half a second, and would warm what is measured

    plots.draw(results, folder)
    print(text)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [*SECTIONS, *(peer.name for peer in (*VARIANTS, *PEERS))]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="facepool alone, small inputs, few repetitions")
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--output", type=Path, default=Path("benchmark-results"))
    parser.add_argument("--add", action="store_true", help="keep what --output has of cases that this run leaves out")
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("--cache", type=Path, default=user_cache_path("facepool") / "benchmarks")
    parser.add_argument("--models-dir", type=Path, default=default_root())
    parser.add_argument("--repetitions", type=int, default=None, help="30 by default; few mean nothing")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="facepool's; peers stay on the CPU")
    parser.add_argument("--heavy", action="store_true", help="install peers of several gigabytes, too")
    parser.add_argument("--set", action="append", type=_assignment, metavar="NAME=VALUE", help="facepool's own")
    parser.add_argument("--document", type=Path, help="put the report between the marks of this file, too")
    arguments = parser.parse_args(words)
    arguments.repetitions = arguments.repetitions or (_QUICK_REPETITIONS if arguments.quick else 30)
    return arguments


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in {"detector", "embedder"}:
        raise argparse.ArgumentTypeError("detector=NAME or embedder=NAME")
    return name, value


@contextmanager
def _working_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="facepool-benchmarks-") as folder:
        yield Path(folder)


def main() -> None:
    """Measure and write."""
    arguments = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was measured until then is kept
    machine.stay_on_cores(arguments.threads)
    with _working_folder() as work:
        comparison = Comparison(arguments, work, ModelStore(arguments.models_dir))
        try:
            comparison.run()
        except KeyboardInterrupt:
            print("Interrupted: what was measured until now is written", flush=True)
        finally:  # an interruption may come out of a library as another error
            results = comparison.results
            if arguments.add:
                results = add_to(arguments.output / "results.json", results)
            write(results, arguments.output, arguments.document)


if __name__ == "__main__":
    main()
