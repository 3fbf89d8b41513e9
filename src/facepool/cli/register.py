"""``facepool register``."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
from rich.text import Text

from facepool.capture import FrameSource, is_person_tree, iter_person_tree, read_image
from facepool.cli.console import Console
from facepool.cli.options import DECISION, DETECTION, MODELS, REGISTRATION, Flags, json_option, settings_options
from facepool.cli.sources import Tour, more_sources, source_option
from facepool.cli.tally import STORED_BEFORE, Tally
from facepool.cli.viewer import Viewer, is_still
from facepool.cli.wording import counted, people_count
from facepool.cli.workbench import Workbench
from facepool.errors import ConfigError, InputError
from facepool.gallery import Pool
from facepool.overlay import Label, Painter
from facepool.pipelines.enroll import Enrollment, Offer, Outcome
from facepool.types import Frame
from facepool.window import Window

_KEYS = "Q saves and quits · Ctrl-C discards · M mirrors"
_HINTS: dict[Outcome, str] = {
    "taken": "got it",
    "known_view": "known view, turn your head a little",
    "enough": "that is enough, press Q",
}
"""What to do now, where the outcome's own words do not say so."""


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
@click.option(
    "--force", is_flag=True, help="Store a face although it belongs to somebody else, or looks like somebody else."
)
@click.option("--window/--headless", default=None, help="Show a window or not; by default for anything that moves.")
@json_option
def register(
    flags: Flags,
    name: str | None,
    sources: tuple[str, ...],
    more: tuple[str, ...],
    window: bool | None,
    force: bool,
    json_lines: bool,
) -> int:
    """Add a person, or a folder of people, to the pool.

    \b
    facepool register Ada                            with the camera: Q saves, Ctrl-C does not
    facepool register Ada -s ada.mp4                 from a video
    facepool register Ada ada1.jpg ada2.jpg          from pictures
    facepool register -s people/                     everybody in people/NAME/*.jpg and people/NAME.jpg

    Only views that differ from what is stored of the person are kept. A frame with two faces is not stored, nor is
    a face that belongs to somebody else.
    """
    workbench = Workbench(flags, json_lines=json_lines)
    specs = (*sources, *more)
    if name is not None and not specs and Path(name).exists():
        raise _name_forgotten(name)
    if name is None:
        return _register_tree(specs, workbench, force=force)
    return register_person(name, specs or ("0",), workbench, window=window, force=force)


def _name_forgotten(path: str) -> ConfigError:
    meant = f"--source {path}" if Path(path).is_dir() else f"NAME {path}"
    return ConfigError(
        f"{path} is taken for a name",
        why="and it is the name of a file or folder",
        fix=f"Say `facepool register {meant}`, or `facepool register {path} --source 0` for the camera",
    )


def register_person(
    name: str, specs: Sequence[str], workbench: Workbench, *, window: bool | None, force: bool = False
) -> int:
    """Register one person from some sources; stores once, at the end."""
    console, painter = workbench.console, Painter()
    tour = Tour(specs, console, workbench.settings.capture_options())
    with ExitStack() as stack:
        pool = stack.enter_context(workbench.open_pool(workbench.analyzer.space, must_exist=False))
        enrollment = _enrollment(name, workbench, pool, force=force)
        screen = stack.enter_context(Window())  # one for all sources; it opens with the first picture
        tally = Tally()
        try:
            for stop in tour.stops:
                # What a source gave before it broke is good, and is stored.
                with tour.telling(), tour.open(stop) as source:
                    show = (not is_still(source)) if window is None else window
                    viewer = Viewer(painter, screen if show else None)
                    _offer_source(source, enrollment, viewer, console, tally)
                    if viewer.ended:
                        break
        except KeyboardInterrupt:
            raise click.Abort(f"nothing was stored of {enrollment.person}") from None
        stored = enrollment.commit()
        if tally.frames or not tour.exit_code:
            _report_person(enrollment, tally, stored, pool, console)
    return tour.exit_code


def _enrollment(name: str, workbench: Workbench, pool: Pool, *, force: bool) -> Enrollment:
    options = workbench.settings.enroll_options(force=force)
    return Enrollment(name, workbench.analyzer, pool, workbench.policy, options)


def _offer_source(source: FrameSource, enrollment: Enrollment, viewer: Viewer, console: Console, tally: Tally) -> None:
    with console.counting(f"Registering {enrollment.person}", source.frame_count) as counter:
        if is_still(source):
            for offer in enrollment.offer_pictures(_counted(source, counter.step)):
                tally.add(offer)
            return
        for frame in viewer.frames(source):
            offer = enrollment.offer(frame)
            tally.add(offer)
            counter.step()
            viewer.show(frame, _labels(offer, enrollment.person), _hud(offer, enrollment))
            if enrollment.full and not source.live:
                return


def _counted(frames: Iterable[Frame], step: Callable[[], None]) -> Iterable[Frame]:
    for frame in frames:
        yield frame
        step()


def _labels(offer: Offer, person: str) -> list[Label]:
    good = offer.outcome in {"taken", *STORED_BEFORE}
    boxes = [tuple(float(edge) for edge in box) for box in offer.faces.detections.boxes]
    text = person if good else ""
    return [Label((x1, y1, x2, y2), text, "known" if good else "unknown") for x1, y1, x2, y2 in boxes]


def _hud(offer: Offer, enrollment: Enrollment) -> list[str]:
    hint = _HINTS.get(offer.outcome, str(offer))
    return [f"Registering {enrollment.person}", f"{counted(enrollment.taken, 'new view')} · {hint}", _KEYS]


def _report_person(enrollment: Enrollment, tally: Tally, stored: int, pool: Pool, console: Console) -> None:
    tally.withdraw(enrollment.withdrawn)
    console.emit(
        {
            "person": enrollment.person,
            "stored": stored,
            "frames": tally.frames,
            "outcomes": dict(tally.outcomes),
        }
    )
    for remark in tally.remarks():
        console.note(remark)
    failure = tally.failure(enrollment.person)
    if failure is not None:
        raise failure
    console.say(f"{enrollment.person}: {counted(stored, 'new view')} stored in {pool.path}", "good")


def _register_tree(specs: Sequence[str], workbench: Workbench, *, force: bool) -> int:
    if len(specs) != 1 or not is_person_tree(specs[0]):
        raise click.UsageError("Say who it is (facepool register NAME), or name one folder: --source ROOT/NAME/*.jpg")
    console = workbench.console
    people = list(iter_person_tree(specs[0]))
    left_out: list[LeftOut] = []
    stored: dict[str, int] = {}
    with (
        workbench.open_pool(workbench.analyzer.space, must_exist=False) as pool,
        console.counting("Registering", sum(len(paths) for _, paths in people)) as counter,
    ):
        try:
            for name, paths in people:
                try:
                    enrollment = _enrollment(name, workbench, pool, force=force)
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
