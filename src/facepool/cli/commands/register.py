"""``facepool register``."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.text import Text

from facepool.capture import is_person_tree, iter_person_tree, read_image
from facepool.cli.context import CommandContext
from facepool.cli.options import DECISION, DETECTION, MODELS, REGISTRATION, GivenSettings, json_option, settings_options
from facepool.cli.register_options import RegisterOptions
from facepool.cli.ui.console import Console, counted, people_count
from facepool.cli.ui.guided import register_person
from facepool.cli.ui.look_alikes import LookAlikeChoices
from facepool.cli.ui.scan_report import check_report_name
from facepool.cli.ui.sources import more_sources, source_option
from facepool.cli.ui.tally import STORED_BEFORE
from facepool.cli.ui.unguided import new_enrollment
from facepool.errors import ConfigError, InputError
from facepool.types import Frame


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A picture that was not stored, and why."""

    person: str
    picture: str
    reason: str
    why: str
    unreadable: bool = False


@click.command()
@click.argument("name", required=False)
@more_sources
@source_option
@settings_options("pool", *REGISTRATION, *DECISION, *MODELS, *DETECTION)
@click.option("--partial", is_flag=True, help="Accept any coverage, for who cannot turn; marked as partial.")
@click.option("--appearance", default="", metavar="NAME", help="Another look of the person, for example glasses.")
@click.option(
    "--same-as", multiple=True, metavar="NAME", help="Who looks alike in the pool is this person, and gets the views."
)
@click.option("--different-from", multiple=True, metavar="NAME", help="Who looks alike in the pool is somebody else.")
@click.option(
    "--force", is_flag=True, help="Store a face although it belongs to somebody else, or looks like somebody else."
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep a picture of what was captured, with the faces in it.",
)
@click.option("--window/--headless", default=None, help="Show a window or not; by default for anything that moves.")
@json_option
def register(
    flags: GivenSettings,
    name: str | None,
    sources: tuple[str, ...],
    more: tuple[str, ...],
    partial: bool,
    appearance: str,
    same_as: tuple[str, ...],
    different_from: tuple[str, ...],
    force: bool,
    report: Path | None,
    window: bool | None,
    json_lines: bool,
) -> int:
    """Add a person, or a folder of people, to the pool.

    \b
    facepool register Ada                            with the camera: look straight ahead, then around
    facepool register Ada -s ada.mp4                 from a video in which Ada looks around
    facepool register Ada --partial                  as far as Ada can turn
    facepool register Ada --appearance glasses       a second look of the same person
    facepool register Ada ada1.jpg ada2.jpg          from pictures
    facepool register -s people/                     everybody in people/NAME/*.jpg and people/NAME.jpg

    Before a camera, and in a video, a ring shows which directions are captured; hints say what to do. It saves by
    itself when the ring is closed. Enter saves as soon as enough is captured; Q ends, and saves if that is enough;
    Ctrl-C saves nothing. Whoever in the pool looks alike is shown before saving: you say whether it is the same person.

    Of pictures, only views that differ from what is stored of the person are kept. A picture with two faces is not
    stored, nor is a face that belongs to somebody else.
    """
    context = CommandContext(flags, json_lines=json_lines)
    specs = (*sources, *more)
    if name is not None and not specs and Path(name).exists():
        raise _name_forgotten(name)
    options_given = RegisterOptions(
        partial, appearance, LookAlikeChoices(same_as, different_from, force), report, force
    )
    if report is not None:
        check_report_name(report)
    if name is None:
        return _register_tree(specs, context, options_given)
    return register_person(name, specs or ("0",), context, options_given, window=window)


def _name_forgotten(path: str) -> ConfigError:
    meant = f"--source {path}" if Path(path).is_dir() else f"NAME {path}"
    return ConfigError(
        f"{path} is taken for a name",
        why="and it is the name of a file or folder",
        fix=f"Say `facepool register {meant}`, or `facepool register {path} --source 0` for the camera",
    )


def _register_tree(specs: Sequence[str], context: CommandContext, options_given: RegisterOptions) -> int:
    if len(specs) != 1 or not is_person_tree(specs[0]):
        raise click.UsageError("Say who it is (facepool register NAME), or name one folder: --source ROOT/NAME/*.jpg")
    options_given.check(moving=False, pictures=True)
    console = context.console
    people = list(iter_person_tree(specs[0]))
    left_out: list[LeftOut] = []
    stored: dict[str, int] = {}
    with (
        context.open_pool(context.analyzer.space, must_exist=False) as pool,
        console.counting("Registering", sum(len(paths) for _, paths in people)) as counter,
    ):
        try:
            for name, paths in people:
                try:
                    enrollment = new_enrollment(name, context, pool, force=options_given.force)
                except ConfigError as error:  # a name that no pool takes; the others go on
                    left_out.append(LeftOut(name, "", error.code, str(error), unreadable=True))
                    continue
                offers = enrollment.offer_pictures(_readable(name, paths, left_out, counter.step))
                stored[name] = enrollment.commit()
                unused = [offer for offer in offers if offer.outcome != "taken"]
                left_out += [LeftOut(name, offer.frame.source, offer.outcome, str(offer)) for offer in unused]
                console.emit({"person": name, "stored": stored[name], "pictures": len(paths)})
        except KeyboardInterrupt:
            progress = f"{len(stored)} of {people_count(len(people))} done and stored"
            raise click.Abort(f"{progress}; run it again for the rest") from None
    _report_tree(left_out, console)
    registered, views = sum(count > 0 for count in stored.values()), sum(stored.values())
    summary = f"{counted(views, 'new view')} of {people_count(registered)} stored in {pool.path}"
    console.say(f"{summary}, {counted(len(left_out), 'picture')} left out" if left_out else summary, "good")
    failed = [entry for entry in left_out if entry.reason not in STORED_BEFORE]
    if any(entry.unreadable for entry in left_out) or (failed and not views):
        return InputError.exit_code
    return 0


def _readable(name: str, paths: Sequence[Path], left_out: list[LeftOut], step: Callable[[], None]) -> Iterable[Frame]:
    if not paths:
        left_out.append(LeftOut(name, "", "source_empty", "the folder holds no picture"))
    for index, path in enumerate(paths):
        try:
            yield Frame(read_image(path), str(path), index)
        except InputError as error:
            left_out.append(LeftOut(name, str(path), error.code, error.why or str(error), unreadable=True))
        step()


def _report_tree(left_out: Sequence[LeftOut], console: Console) -> None:
    for entry in left_out:
        console.emit({"person": entry.person, "picture": entry.picture, "reason": entry.reason, "why": entry.why})
    if left_out:
        rows = [(entry.person, Path(entry.picture).name, Text(entry.why, style="yellow")) for entry in left_out]
        console.table(("person", "left out", "why"), rows)
