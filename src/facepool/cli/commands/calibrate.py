"""``facepool calibrate``."""

from datetime import UTC, datetime

import click

from facepool.cli.context import CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted, people_count
from facepool.errors import ConfigError
from facepool.evaluation.bootstrap import LEVEL
from facepool.evaluation.calibration import Measured, calibrate_gallery
from facepool.gallery import Gallery
from facepool.models.catalog import FmrCurve
from facepool.recognize.decide import LOOK_ALIKE_MARGIN
from facepool.search import GalleryState, Search
from facepool.types import EmbeddingSpace


@click.command()
@settings_options("pool", "target_fpir", "search", "models_dir")
@click.option("--dry-run", is_flag=True, help="Measure and tell, and keep nothing.")
@click.option("--forget", is_flag=True, help="Let the threshold follow the model's error rates again.")
@json_option
def calibrate(context: CommandContext, dry_run: bool, forget: bool) -> None:
    """Measure on your own pool which threshold lets --target-fpir of strangers be named.

    Each person of the pool is taken for a stranger to the others. Where they are few, what is known of the model on
    other people's faces is added. The result is kept with the pool, and recognition uses it; it holds counts and rates
    over everybody, and nothing about one person. People who look alike are flagged on the way, so that recognition
    asks for a larger margin between them.
    """
    if dry_run and forget:
        raise ConfigError("--dry-run and --forget cannot go together", fix="Leave one out")
    with context.changing_pool() as pool:
        if forget:
            pool.set_calibration(None)
            context.console.say("The calibration is forgotten; the threshold follows the model's error rates", "good")
            return
        _calibrate(context, pool, keep=not dry_run)


def _calibrate(context: CommandContext, pool: Gallery, *, keep: bool) -> None:
    cohort = _cohort(context, pool.space)
    with context.console.working("Measuring"):
        measured = calibrate_gallery(pool, cohort, context.settings.target_fpir, now=datetime.now(UTC), keep=keep)
    _report(context, measured, cohort, Search(pool).state(), kept=keep)


def _cohort(context: CommandContext, space: EmbeddingSpace | None) -> FmrCurve | None:
    """What is known of the pool's embedder; None where it or its pool is not known."""
    embedder = context.store().embedder_of_space(space) if space else None
    return embedder.fmr if embedder else None


def _report(
    context: CommandContext, measured: Measured, cohort: FmrCurve | None, gallery: GalleryState, *, kept: bool
) -> None:
    console, calibration = context.console, measured.calibration
    low, high = calibration.low, calibration.high
    console.say(
        f"Threshold {calibration.threshold:.3f}: {calibration.target_fpir:.2%} of strangers would be named "
        f"({LEVEL:.0%} interval {low:.2%} to {high:.2%})",
        "good",
    )
    console.say(
        f"Measured on {people_count(calibration.people)} with {counted(calibration.templates, 'view')}: "
        f"{counted(calibration.comparisons, 'comparison')} of different people"
    )
    source = f"the model's cohort: {cohort.source}" if cohort else "experience with other models"
    console.say(f"The tail's shape comes to {calibration.borrowed:.0%} from {source}")
    for pair in measured.look_alikes:
        names = " and ".join(sorted(pair))
        if pair in measured.too_alike:
            console.note(f"{names} are as alike as one person: registered twice, or twins? They did not take part")
        elif kept:
            margin = gallery.margins.get(pair, LOOK_ALIKE_MARGIN)
            console.note(f"{names} look alike: one is named only when {margin:.2f} ahead of the other")
    console.note("Kept with the pool; recognition uses it from now on" if kept else "Nothing was kept (--dry-run)")
    console.emit(
        {
            "threshold": round(calibration.threshold, 4),
            "target_fpir": calibration.target_fpir,
            "interval": [round(low, 6), round(high, 6)],
            "level": LEVEL,
            "people": calibration.people,
            "templates": calibration.templates,
            "comparisons": calibration.comparisons,
            "borrowed": round(calibration.borrowed, 4),
            "cohort": cohort.source if cohort else None,
            "created_at": calibration.created_at,
            "space": calibration.space_id or None,
            "kept": kept,
            "look_alikes": [
                {
                    "people": sorted(pair),
                    "same_person": pair in measured.too_alike,
                    "margin": round(gallery.margins[pair], 4) if pair in gallery.margins else None,
                }
                for pair in measured.look_alikes
            ],
        }
    )
