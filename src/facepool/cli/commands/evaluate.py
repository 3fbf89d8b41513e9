"""``facepool evaluate``: what the four kinds of evaluation have in common is `Evaluation`."""

import json
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import cv2
import numpy as np

import facepool
from facepool import extras
from facepool.capture import PictureFolder, pictures_or_error
from facepool.cli.context import DETECTION, MODELS, CommandContext, json_option, settings_options
from facepool.cli.ui.console import Console, counted, people_count
from facepool.errors import InputError
from facepool.evaluation.detection import SCORE_FLOOR, DetectionResults, evaluate_detection
from facepool.evaluation.embeddings import EmbeddingCache, EvaluatedPictures, embed_pictures
from facepool.evaluation.identification import IdentificationResults, evaluate_split
from facepool.evaluation.protocols import read_ground_truth, read_pairs, read_people, split
from facepool.evaluation.report.summary import Results, Run, summarize, to_record
from facepool.evaluation.verification import evaluate_all_pairs, evaluate_pairs
from facepool.faces.analyze import PREPARATION, Analyzer
from facepool.files import digest_of, exists, in_a_home, users_folder, write_whole
from facepool.runtime import installed_engines
from facepool.thresholds import ThresholdPolicy

Command = Callable[..., Any]

JSON_NAME = "report.json"
HTML_NAME = "report.html"
_NAMED = 10
"""So many failures are listed; the report has them all."""

_people_argument = click.argument("people", metavar="PEOPLE", type=click.Path(path_type=Path))
_root_option = click.option(
    "--root", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder with the pictures."
)
_output_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for report.json and report.html, which shows the worst pictures.",
)


def _cache_options(command: Command) -> Command:
    command = click.option(
        "--no-cache", is_flag=True, help="Keep no embeddings between runs; an interrupted run starts anew."
    )(command)
    return click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder where embeddings are kept between runs, readable by you only.  [the user's cache]",
    )(command)


class Evaluation:
    """One evaluation from the command line to its reports.

    Args:
        context: Settings, console and networks.
        subject: What is evaluated.
        output: Folder for the reports; None for none. It is made at once, before hours of work.
        folder: What a walk through the folder of people found, where that is the subject.
        least_score: Take faces from this detector score on, whatever the settings say.
    """

    def __init__(
        self,
        context: CommandContext,
        subject: Path,
        output: Path | None,
        *,
        folder: PictureFolder | None = None,
        least_score: float | None = None,
    ) -> None:
        self._context = context
        self._subject = subject
        self._output = output
        self._started_at = datetime.now(UTC)
        self._started_s = perf_counter()
        self._folder = folder
        self._runs_on: str | None = None
        self.console = self._context.console
        self.detect_threshold = self._context.settings.detect_threshold
        if least_score is not None:
            self._context.settings = self._context.settings.model_copy(update={"detect_threshold": least_score})
        if output is not None:
            extras.require("evaluate")
            output.mkdir(parents=True, exist_ok=True)

    @property
    def analyzer(self) -> Analyzer:
        """The networks; says what they run on."""
        return self._context.analyzer

    @property
    def exit_code(self) -> int:
        """0 if everything could be read that the folder of people holds."""
        return InputError.exit_code if self._folder is not None and self._folder.unreadable else 0

    def embed(
        self, paths: Sequence[Path], people: Sequence[str], cache: Path | None, *, keep: bool
    ) -> EvaluatedPictures:
        """A face of each picture, with a progress bar.

        Args:
            paths: N pictures.
            people: N names.
            cache: Folder for what is kept between runs; by default the user's.
            keep: Whether anything is.
        """
        folder = in_a_home(cache or users_folder("cache"), "--cache")
        with (
            self._context.picture_analysis() as analysis,
            EmbeddingCache(folder, self._recipe()) if keep else nullcontext() as known,
        ):
            self._runs_on = analysis.runs_on
            try:
                with self.console.counting("Looking at pictures", len(paths)) as counter:
                    pictures = embed_pictures(paths, people, analysis, known, counter.step)
            except KeyboardInterrupt:
                if not keep:
                    raise
                raise click.Abort("what was done so far is kept, and the same command goes on from there") from None
        if pictures.from_cache:
            self.console.note(f"{pictures.from_cache:,} of {len(paths):,} pictures were known from an earlier run")
        return pictures

    def compute(self, figures: Callable[[ThresholdPolicy], Results]) -> Results:
        """Error rates by the thresholds that recognition would use, with a sign of life, as they take seconds."""
        with self.console.working("Computing error rates and intervals"):
            return figures(self._context.policy)

    def report(self, results: Results) -> None:
        """Print the results, and write them to the folder."""
        run = self._run(results)
        record = to_record(results, run)
        self.console.emit(record)
        headline, tables = summarize(results)
        self.console.say(headline)
        for place, table in enumerate(tables):
            if place:
                self.console.say("")
            self.console.table(table.columns, table.rows)
        for remark in _remarks(results):
            self.console.note(remark)
        if self._output is None:
            self.console.note("For the whole report, with plots and the worst pictures: --output FOLDER")
            return
        # matplotlib takes a second to import, and most commands draw no plot.
        from facepool.evaluation.report.page import write_html_report  # noqa: PLC0415 -- see above

        text = json.dumps(record, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        write_whole(self._output / JSON_NAME, text.encode("utf-8", "surrogateescape"))
        with self.console.working("Writing the report"):
            write_html_report(results, run, self._output / HTML_NAME)
        self.console.note(f"The report is in {self._output / HTML_NAME}, its figures in {JSON_NAME} beside it")

    def _run(self, results: Results) -> Run:
        embedded = not isinstance(results, DetectionResults)
        space = self.analyzer.space
        engines = {engine.name: engine.version for engine in installed_engines()}
        return Run(
            command=shlex.join(["facepool", *sys.argv[1:]]),
            subject=str(self._subject),
            model=space.model if embedded else self._context.detector_in_use,
            detector=self._context.detector_in_use,
            embedder=space.model if embedded else None,
            space=str(space) if embedded else None,
            device=self._runs_on or self.analyzer.runs_on,
            detection=asdict(self._context.settings.detect_options()),
            face_choice="of several faces the one that is largest and nearest the centre",
            versions={
                "facepool": facepool.__version__,
                "Python": platform.python_version(),
                **engines,
                "NumPy": np.__version__,
                "OpenCV": cv2.__version__,
                "system": f"{platform.system()} {platform.machine()}",
            },
            started_at=self._started_at.isoformat(timespec="seconds"),
            seconds=perf_counter() - self._started_s,
            pictures_from_cache=0 if isinstance(results, DetectionResults) else results.pictures.from_cache,
            not_read=tuple(
                {"path": str(path), "why": error.why}
                for path, error in (self._folder.unreadable if self._folder is not None else ())
            ),
        )

    def _recipe(self) -> str:
        """Everything beside a picture that its embedding depends on."""
        detector = self._context.detector_in_use
        named = Path(detector)
        parts = {
            "facepool": facepool.__version__,
            "detector": digest_of(named) if exists(named) else self._context.store().resolve(detector).sha256,
            "detection": asdict(self._context.settings.detect_options()),
            "space": self.analyzer.space.id,
            "preparation": PREPARATION,
            "engines": self._engines,
        }
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def _engines(self) -> str:
        """What the results depend on; a cluster's processors compute what this one does, its GPUs do not."""
        device = self._context.settings.device
        elsewhere = self._context.computes_elsewhere and device not in ("auto", "cpu")
        return device if elsewhere else self.analyzer.runs_on


def _remarks(results: Results) -> list[str]:
    """What people should know beside the figures, one line each."""
    if isinstance(results, DetectionResults):
        unreadable = list(results.unreadable.items())[:_NAMED]
        return [f"Cannot be read, so its faces count as missed: {path}: {reason}" for path, reason in unreadable]
    remarks: list[str] = []
    failed = results.enrolled.failed if isinstance(results, IdentificationResults) else ()
    if failed:
        more = f" and {len(failed) - _NAMED:,} more" if len(failed) > _NAMED else ""
        remarks.append(f"Not enrolled: {', '.join(failed[:_NAMED])}{more}")
    pictures = results.pictures
    several, failures = int((pictures.face_counts > 1).sum()), pictures.failures
    if several:
        remarks.append(
            f"{counted(several, 'picture')} with several faces: the largest and nearest to the centre was taken"
        )
    remarks += [f"Counted as an error: {pictures.paths[row]}: {pictures.problems[row]}" for row in failures[:_NAMED]]
    if len(failures) > _NAMED:
        remarks.append(f"... and {len(failures) - _NAMED:,} more")
    return remarks


def _walk(people: Path, console: Console) -> PictureFolder:
    """The pictures of a folder of people; says what the walk passed over, and what it could not read."""
    folder = pictures_or_error(people)
    for remark in folder.remarks():
        console.note(remark)
    for path, error in folder.unreadable[:_NAMED]:
        console.note(f"Left out {path}: {error.why}")
    if len(folder.unreadable) > _NAMED:
        console.note(f"... and {len(folder.unreadable) - _NAMED:,} more")
    return folder


@click.group()
def evaluate() -> None:
    """Measure error rates on pictures of known people, with intervals.

    \b
    facepool evaluate folder PEOPLE        every picture with every other one
    facepool evaluate identify PEOPLE      some are registered, the rest are strangers
    facepool evaluate pairs PAIRS.txt --root PEOPLE
    facepool evaluate detection TRUTH.txt --root PICTURES

    PEOPLE is a folder with a folder for each person. A picture without a face counts as an error, never as nothing.
    Intervals are by bootstrap over people: 95 of 100 such intervals hold the true figure.

    Embeddings of the pictures are kept in your cache folder, so that an interrupted run goes on where it was. They are
    biometric data: --no-cache keeps none.
    """


@evaluate.command()
@click.argument("pairs_file", metavar="PAIRS", type=click.Path(path_type=Path))
@_root_option
@_output_option
@click.option("--allow-missing", is_flag=True, help="Leave out pairs whose pictures are not there.")
@_cache_options
@settings_options("threshold", "ray", *MODELS, *DETECTION)
@json_option
def pairs(
    context: CommandContext,
    pairs_file: Path,
    root: Path,
    output: Path | None,
    allow_missing: bool,
    cache: Path | None,
    no_cache: bool,
) -> None:
    """Verification on the pairs of a list.

    PAIRS is LFW's pairs.txt, or has lines of: picture picture 1, or 0 for two people; a fourth column is the fold.
    Tells the accuracy over the folds, TAR at several false match rates and the equal error rate.
    """
    listed = read_pairs(pairs_file, root, allow_missing=allow_missing)
    evaluation = Evaluation(context, pairs_file, output)
    if listed.left_out:
        evaluation.console.note(f"{counted(listed.left_out, 'pair')} left out: a picture is not there")
    evaluation.console.note(f"{len(listed.same):,} pairs of {len(listed.paths):,} pictures")
    pictures = evaluation.embed(listed.paths, listed.people, cache, keep=not no_cache)
    evaluation.report(evaluation.compute(lambda policy: evaluate_pairs(listed, pictures, policy)))


@evaluate.command()
@_people_argument
@_output_option
@_cache_options
@settings_options("threshold", "ray", *MODELS, *DETECTION)
@json_option
def folder(context: CommandContext, people: Path, output: Path | None, cache: Path | None, no_cache: bool) -> int:
    """Verification of every picture with every other one.

    PEOPLE is a folder with a folder for each person. Tells TAR at several false match rates and the equal error rate.
    """
    found = _walk(people, context.console)
    paths, names = read_people(found)
    evaluation = Evaluation(context, people, output, folder=found)
    evaluation.console.note(f"{counted(len(paths), 'picture')} of {people_count(len(set(names)))}")
    pictures = evaluation.embed(paths, names, cache, keep=not no_cache)
    evaluation.report(evaluation.compute(lambda policy: evaluate_all_pairs(pictures, policy)))
    return evaluation.exit_code


@evaluate.command()
@_people_argument
@click.option(
    "--templates", type=click.IntRange(1), default=1, show_default=True, help="Pictures to register of each person."
)
@click.option(
    "--people",
    "registered",
    type=click.IntRange(1),
    help="How many people to register, drawn at random.  [all who have a picture more than --templates]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@_output_option
@_cache_options
@settings_options("threshold", "target_fpir", "ray", *MODELS, *DETECTION)
@json_option
def identify(
    context: CommandContext,
    people: Path,
    templates: int,
    registered: int | None,
    seed: int,
    output: Path | None,
    cache: Path | None,
    no_cache: bool,
) -> int:
    """Open-set identification: registered people and strangers.

    PEOPLE is a folder with a folder for each person. Those with enough pictures are registered with their first ones
    and looked for with the others; everybody else is a stranger, whom nobody should be taken for. Your pool is not
    touched.
    """
    found = _walk(people, context.console)
    parted = split(found, templates=templates, people=registered, seed=seed)
    evaluation = Evaluation(context, people, output, folder=found)
    in_gallery = len({parted.people[row] for row in parted.templates})
    strangers = len({parted.people[row] for row in parted.strangers})
    evaluation.console.note(
        f"{people_count(in_gallery)} registered with {counted(templates, 'picture')} each, "
        f"{counted(len(parted.mated), 'other picture')} of them, {counted(len(parted.strangers), 'picture')} of "
        f"{strangers:,} strangers"
    )
    pictures = evaluation.embed(parted.paths, parted.people, cache, keep=not no_cache)
    evaluation.report(evaluation.compute(lambda policy: evaluate_split(parted, pictures, policy)))
    return evaluation.exit_code


@evaluate.command()
@click.argument("truth", metavar="TRUTH", type=click.Path(path_type=Path))
@_root_option
@click.option(
    "--ignore-below",
    type=click.FloatRange(0),
    default=0,
    help="Annotated faces whose shorter side has fewer pixels count neither way.  [0]",
)
@_output_option
@settings_options(*MODELS, *DETECTION)
@json_option
def detection(context: CommandContext, truth: Path, root: Path, ignore_below: float, output: Path | None) -> None:
    """Average precision of the detector.

    TRUTH has annotated boxes in the format of WIDER FACE: picture, number of faces, then x y w h ... of each.
    """
    annotated = read_ground_truth(truth, root)
    evaluation = Evaluation(context, truth, output, least_score=SCORE_FLOOR)
    if annotated.missing:
        verb = "is" if annotated.missing == 1 else "are"
        evaluation.console.note(f"{counted(annotated.missing, 'picture')} of {truth} {verb} not there, and left out")
    analyzer = evaluation.analyzer
    with evaluation.console.counting("Looking at pictures", len(annotated.pictures)) as counter:
        results = evaluate_detection(
            annotated,
            analyzer.find,
            evaluation.detect_threshold,
            ignore_below_px=ignore_below,
            on_picture=counter.step,
        )
    evaluation.report(results)
