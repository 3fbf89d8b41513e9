"""``facepool evaluate``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from facepool.cli.options import DETECTION, MODELS, GivenSettings, json_option, settings_options
from facepool.cli.ui.console import counted, people_count
from facepool.cli.ui.evaluation_study import Study
from facepool.evaluation.detection import SCORE_FLOOR, evaluate_detection
from facepool.evaluation.ground_truth import read_ground_truth
from facepool.evaluation.protocols import read_pairs, read_people, split
from facepool.evaluation.recognition import evaluate_all_pairs, evaluate_pairs, evaluate_split

Command = Callable[..., Any]

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
@settings_options("threshold", *MODELS, *DETECTION)
@json_option
def pairs(
    flags: GivenSettings,
    pairs_file: Path,
    root: Path,
    output: Path | None,
    allow_missing: bool,
    cache: Path | None,
    no_cache: bool,
    json_lines: bool,
) -> None:
    """Verification on the pairs of a list.

    PAIRS is LFW's pairs.txt, or has lines of: picture picture 1, or 0 for two people; a fourth column is the fold.
    Tells the accuracy over the folds, TAR at several false match rates and the equal error rate.
    """
    listed = read_pairs(pairs_file, root, allow_missing=allow_missing)
    study = Study(flags, pairs_file, output, json_lines=json_lines)
    if listed.left_out:
        study.console.note(f"{counted(listed.left_out, 'pair')} left out: a picture is not there")
    study.console.note(f"{len(listed.same):,} pairs of {len(listed.paths):,} pictures")
    acquired = study.acquire(listed.paths, listed.people, cache, keep=not no_cache)
    with study.computing():
        results = evaluate_pairs(listed, acquired, study.run(acquired.from_memory), study.policy)
    study.report(results)


@evaluate.command()
@click.argument("people", metavar="PEOPLE", type=click.Path(path_type=Path))
@_output_option
@_cache_options
@settings_options("threshold", *MODELS, *DETECTION)
@json_option
def folder(
    flags: GivenSettings, people: Path, output: Path | None, cache: Path | None, no_cache: bool, json_lines: bool
) -> None:
    """Verification of every picture with every other one.

    PEOPLE is a folder with a folder for each person. Tells TAR at several false match rates and the equal error rate.
    """
    listed = read_people(people)
    study = Study(flags, people, output, json_lines=json_lines)
    study.console.note(f"{counted(len(listed.paths), 'picture')} of {people_count(len(set(listed.people)))}")
    acquired = study.acquire(listed.paths, listed.people, cache, keep=not no_cache)
    with study.computing():
        results = evaluate_all_pairs(acquired, study.run(acquired.from_memory), study.policy)
    study.report(results)


@evaluate.command()
@click.argument("people", metavar="PEOPLE", type=click.Path(path_type=Path))
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
@settings_options("threshold", "target_fpir", *MODELS, *DETECTION)
@json_option
def identify(
    flags: GivenSettings,
    people: Path,
    templates: int,
    registered: int | None,
    seed: int,
    output: Path | None,
    cache: Path | None,
    no_cache: bool,
    json_lines: bool,
) -> None:
    """Open-set identification: registered people and strangers.

    PEOPLE is a folder with a folder for each person. Those with enough pictures are registered with their first ones
    and looked for with the others; everybody else is a stranger, whom nobody should be taken for. Your pool is not
    touched.
    """
    parted = split(people, templates=templates, people=registered, seed=seed)
    study = Study(flags, people, output, json_lines=json_lines)
    in_gallery = len({parted.people[row] for row in parted.templates})
    strangers = len({parted.people[row] for row in parted.strangers})
    study.console.note(
        f"{people_count(in_gallery)} registered with {counted(templates, 'picture')} each, "
        f"{counted(len(parted.mated), 'other picture')} of them, {counted(len(parted.strangers), 'picture')} of "
        f"{strangers:,} strangers"
    )
    acquired = study.acquire(parted.paths, parted.people, cache, keep=not no_cache)
    with study.computing():
        results = evaluate_split(parted, acquired, study.run(acquired.from_memory), study.policy)
    study.report(results)


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
def detection(
    flags: GivenSettings, truth: Path, root: Path, ignore_below: float, output: Path | None, json_lines: bool
) -> None:
    """Average precision of the detector.

    TRUTH has annotated boxes in the format of WIDER FACE: picture, number of faces, then x y w h ... of each.
    """
    annotated = read_ground_truth(truth, root)
    study = Study(flags, truth, output, json_lines=json_lines, least_score=SCORE_FLOOR)
    if annotated.missing:
        verb = "is" if annotated.missing == 1 else "are"
        study.console.note(f"{counted(annotated.missing, 'picture')} of {truth} {verb} not there, and left out")
    analyzer = study.analyzer
    with study.console.counting("Looking at pictures", len(annotated.pictures)) as counter:
        results = evaluate_detection(
            annotated,
            analyzer.find,
            study.run(embedded=False),
            study.settings.detect_threshold,
            ignore_below_px=ignore_below,
            on_picture=counter.step,
        )
    study.report(results)
