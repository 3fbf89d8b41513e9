"""The parts that commands work with, made from the settings when they are first needed."""

import sys
from functools import cached_property
from pathlib import Path

import click

from facepool.cli.options import GivenSettings
from facepool.cli.ui.console import Console
from facepool.config import Settings, load_settings
from facepool.faces.analyze import Analyzer
from facepool.faces.load import ModelChoice, load_analyzer
from facepool.gallery import Pool, open_pool
from facepool.models.catalog import ModelEntry, Progress, find_pack, space_of
from facepool.models.store import ModelStore, default_root
from facepool.thresholds import ThresholdPolicy
from facepool.types import EmbeddingSpace


class CommandContext:
    """Console, models, analyzer and pool of one command.

    Args:
        given: What the command line says of the settings.
        json_lines: Print results for programs.
        accept_licence: The user has said that they accept terms that restrict use.
        ids_path: Where the names of a ``.npy`` pool are, if not beside it.
    """

    def __init__(
        self,
        given: GivenSettings,
        *,
        json_lines: bool = False,
        accept_licence: bool = False,
        ids_path: Path | None = None,
    ) -> None:
        self.console = Console(json_lines=json_lines)
        self.settings: Settings = load_settings(given.values, given.config)
        self._accept_licence = accept_licence
        self._ids_path = ids_path

    @cached_property
    def analyzer(self) -> Analyzer:
        """The networks; says what they run on."""
        settings = self.settings
        choice = ModelChoice(settings.pack, settings.detector, settings.embedder, settings.precision)
        with self.console.downloads() as progress:
            analyzer = load_analyzer(
                choice,
                device=settings.device,
                threads=settings.threads,
                detect=settings.detect_options(),
                store=self.store(progress),
            )
        self.console.note(f"Running on {analyzer.runs_on}")
        return analyzer

    @cached_property
    def policy(self) -> ThresholdPolicy:
        """How thresholds are chosen; a pool's own calibration speaks for its target unless the user sets another."""
        settings = self.settings
        target_fpir = settings.target_fpir if "target_fpir" in settings.model_fields_set else None
        return ThresholdPolicy(self.analyzer.fmr, target_fpir, settings.threshold)

    def store(self, progress: Progress = lambda _name, _done, _total: None) -> ModelStore:
        """Where models are kept; downloads are reported to ``progress``."""
        return ModelStore(
            self.settings.models_dir or default_root(),
            offline_dir=self.settings.offline_dir,
            progress=progress,
            accept_licence=self._ask_for_licence,
        )

    def named_space(self) -> EmbeddingSpace:
        """The space of the embedder that the settings name, without loading it."""
        store = self.store()
        return space_of(store.resolve(self.settings.embedder or find_pack(self.settings.pack).embedder))

    def open_pool(self, space: EmbeddingSpace | None = None, *, must_exist: bool) -> Pool:
        """The pool of the settings; passes its remarks on."""
        if not must_exist:
            self.settings.pool.parent.mkdir(parents=True, exist_ok=True)
        pool = open_pool(self.settings.pool, space, ids_path=self._ids_path, must_exist=must_exist)
        for remark in pool.notes:
            self.console.note(remark)
        return pool

    def _ask_for_licence(self, entry: ModelEntry) -> bool:
        if self._accept_licence:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        self.console.note(f"{entry.name}: {entry.licence.name}. {entry.licence.summary} {entry.licence.url}")
        return click.confirm("Do you accept these terms?", default=False, err=True)
