"""One evaluation from the command line to its reports."""

import json
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import click
import cv2
import numpy as np
import platformdirs

import facepool
from facepool import extras
from facepool.cli.context import CommandContext
from facepool.cli.options import GivenSettings
from facepool.cli.ui.evaluation_tables import show
from facepool.evaluation.acquisition import Acquired, acquire
from facepool.evaluation.embedding_cache import EmbeddingCache, Memory, NoMemory
from facepool.evaluation.records import to_record
from facepool.evaluation.results import Results, Run
from facepool.faces.analyze import Analyzer
from facepool.files import digest_of, exists, write_whole
from facepool.models.catalog import find_pack
from facepool.runtime import installed_engines
from facepool.thresholds import ThresholdPolicy

JSON_NAME = "report.json"
HTML_NAME = "report.html"


class Study:
    """What the commands of ``facepool evaluate`` have in common.

    Args:
        flags: What the command line says of the settings.
        subject: What is evaluated.
        output: Folder for the reports; None for none. It is made at once, before hours of work.
        json_lines: Print the results for programs.
        least_score: Take faces from this detector score on, whatever the settings say.
    """

    def __init__(
        self,
        flags: GivenSettings,
        subject: Path,
        output: Path | None,
        *,
        json_lines: bool,
        least_score: float | None = None,
    ) -> None:
        self._context = CommandContext(flags, json_lines=json_lines)
        self._subject = subject
        self._output = output
        self._least_score = least_score
        self._started_at = datetime.now(UTC)
        self._started_s = perf_counter()
        self.console = self._context.console
        self.settings = self._context.settings
        if output is not None:
            extras.require("evaluate")
            output.mkdir(parents=True, exist_ok=True)

    @cached_property
    def analyzer(self) -> Analyzer:
        """The networks; says what they run on."""
        if self._least_score is not None:
            self._context.settings = self.settings.model_copy(update={"detect_threshold": self._least_score})
        return self._context.analyzer

    @property
    def policy(self) -> ThresholdPolicy:
        """The thresholds that recognition would use."""
        return self._context.policy

    def acquire(self, paths: Sequence[Path], people: Sequence[str], cache: Path | None, *, keep: bool) -> Acquired:
        """A face of each picture, with a progress bar.

        Args:
            paths: N pictures.
            people: N names.
            cache: Folder for what is kept between runs; by default the user's.
            keep: Whether anything is.
        """
        analyzer = self.analyzer
        with self._memory(cache, keep=keep) as memory:
            try:
                with self.console.counting("Looking at pictures", len(paths)) as counter:
                    acquired = acquire(paths, people, analyzer, memory, counter.step)
            except KeyboardInterrupt:
                if not keep:
                    raise
                raise click.Abort("what was done so far is kept, and the same command goes on from there") from None
        if acquired.from_memory:
            self.console.note(f"{acquired.from_memory:,} of {len(paths):,} pictures were known from an earlier run")
        return acquired

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Say that the error rates are being computed, which takes seconds."""
        with self.console.working("Computing error rates and intervals"):
            yield

    def run(self, from_cache: int = 0, *, embedded: bool = True) -> Run:
        """What is run, on what."""
        settings = self._context.settings
        space = self.analyzer.space
        return Run(
            command=shlex.join(["facepool", *sys.argv[1:]]),
            subject=str(self._subject),
            detector=self._detector,
            embedder=space.model if embedded else "",
            space=str(space) if embedded else "",
            runs_on=self.analyzer.runs_on,
            detection=asdict(settings.detect_options()),
            versions=_versions(),
            started_at=self._started_at.isoformat(timespec="seconds"),
            from_cache=from_cache,
        )

    def report(self, results: Results) -> None:
        """Print the results, and write them to the folder."""
        results = replace(results, run=replace(results.run, seconds=perf_counter() - self._started_s))
        record = to_record(results)
        self.console.emit(record)
        show(results, self.console)
        if self._output is None:
            self.console.note("For the whole report, with plots and the worst pictures: --output FOLDER")
            return
        # matplotlib takes a second to import, and most commands draw no plot.
        from facepool.evaluation.report import write_html_report  # noqa: PLC0415 -- see above

        text = json.dumps(record, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        write_whole(self._output / JSON_NAME, text.encode("utf-8", "surrogateescape"))
        with self.console.working("Writing the report"):
            write_html_report(results, self._output / HTML_NAME)
        self.console.note(f"The report is in {self._output / HTML_NAME}, its figures in {JSON_NAME} beside it")

    @contextmanager
    def _memory(self, folder: Path | None, *, keep: bool) -> Iterator[Memory]:
        if not keep:
            yield NoMemory()
            return
        folder = folder or platformdirs.user_cache_path("facepool", appauthor=False)
        with EmbeddingCache(folder, self._recipe()) as cache:
            yield cache

    def _recipe(self) -> str:
        """Everything beside a picture that its embedding depends on."""
        analyzer = self.analyzer
        parts = {
            "facepool": facepool.__version__,
            "detector": self._detector_digest(),
            "detection": asdict(self._context.settings.detect_options()),
            "space": analyzer.space.id,
            "engines": analyzer.runs_on,
        }
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def _detector(self) -> str:
        return self.settings.detector or find_pack(self.settings.pack).detector

    def _detector_digest(self) -> str:
        if exists(Path(self._detector)):
            return digest_of(Path(self._detector))
        return self._context.store().resolve(self._detector).sha256


def _versions() -> dict[str, str]:
    engines = {engine.name: engine.version for engine in installed_engines()}
    return {
        "facepool": facepool.__version__,
        "Python": platform.python_version(),
        **engines,
        "NumPy": np.__version__,
        "OpenCV": cv2.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }
