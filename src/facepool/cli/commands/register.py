"""``facepool register``: one person, guided, from cameras, videos and pictures; or a folder of people."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.text import Text

from facepool.bulk import PictureAnalysis, PictureFaces
from facepool.capture import FrameSource, PictureFolder, pictures_or_error
from facepool.cli.context import (
    DECISION,
    DETECTION,
    MODELS,
    REGISTRATION,
    SEARCH,
    CommandContext,
    json_option,
    settings_options,
)
from facepool.cli.ui.challenge import ChallengeScreen
from facepool.cli.ui.consent import consent_of
from facepool.cli.ui.console import Console, counted, people_count
from facepool.cli.ui.look_alikes import discarded, resolve_found, resolve_named, say_look_alikes
from facepool.cli.ui.registration import (
    STORED_BEFORE,
    PictureTally,
    ScanScreen,
    check_report_name,
    offer_pictures,
    say_coverage,
    store_pictures,
    write_report,
)
from facepool.cli.ui.sources import Sources, in_arguments, more_sources, note_turned, source_option
from facepool.cli.ui.viewer import Viewer, is_still
from facepool.enroll.finished import FinishedPeople
from facepool.enroll.identity import LookAlike
from facepool.enroll.session import EnrollmentSession
from facepool.errors import ConfigError, InputError, PersonFull
from facepool.faces.analyze import Faces
from facepool.gallery import Gallery
from facepool.overlay import Painter
from facepool.records import coverage_record, liveness_record, look_alike_record
from facepool.types import Consent, Frame
from facepool.window import Window

_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class RegisterOptions:
    """What the command line says of a registration beside the settings.

    Attributes:
        partial: Accept any coverage.
        appearance: Name of the look; empty for the usual one.
        same_as: People of the pool who are the person of the scan.
        different_from: People of the pool who only look alike.
        report: Where the report's picture goes; None for nowhere.
        force: Store although the face speaks against it; everybody who looks alike is somebody else.
        consent: To what they have agreed; None: nothing is kept of it.
        live: They do a random challenge first.
    """

    partial: bool = False
    appearance: str = ""
    same_as: tuple[str, ...] = ()
    different_from: tuple[str, ...] = ()
    report: Path | None = None
    force: bool = False
    consent: Consent | None = None
    live: bool = False

    @property
    def about_scans(self) -> list[str]:
        """Those that are given and mean a scan."""
        given = {
            "--partial": self.partial,
            "--appearance": self.appearance,
            "--same-as": self.same_as,
            "--different-from": self.different_from,
            "--report": self.report,
            "--live": self.live,
        }
        return [option for option, value in given.items() if value]

    def check(self, *, moving: bool, pictures: bool) -> None:
        """Refuse options that would do nothing, or not to everything.

        Args:
            moving: Whether anything is to be scanned.
            pictures: Whether there are pictures.

        Raises:
            ConfigError: One of them.
        """
        if self.about_scans and not moving:
            raise ConfigError(
                f"{self.about_scans[0]} cannot be used with pictures",
                why="it is about a scan, in which a head turns",
                fix="Name a camera or a video, or leave it out",
            )
        if self.live and pictures:
            raise ConfigError(
                "--live cannot be used with pictures",
                why="they would be stored although nobody was there",
                fix="Register the pictures in a command of their own",
            )
        if self.appearance and pictures:
            raise ConfigError(
                "--appearance cannot be used with pictures",
                why="they would be stored as the usual look",
                fix="Register the pictures in a command of their own",
            )


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
@settings_options("pool", "ray", "rotate", "every", *REGISTRATION, *DECISION, *SEARCH, *MODELS, *DETECTION)
@click.option(
    "--partial", is_flag=True, help="Accept any coverage, for people who cannot turn or keep still; marked as partial."
)
@click.option(
    "--live",
    is_flag=True,
    help="First ask to look in three random directions, and refuse flat pictures; --partial is weaker.",
)
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
@click.option(
    "--consent",
    metavar="FILE|TEXT",
    help="Record that the person has agreed to this text: when, and who recorded it. Kept and erased with them.",
)
@click.option("--consent-method", default="", metavar="TEXT", help="How they have agreed, such as 'signed form'.")
@click.option("--window/--headless", default=None, help="Show a window or not; by default for anything that moves.")
@json_option
def register(
    context: CommandContext,
    name: str | None,
    sources: tuple[str, ...],
    more: tuple[str, ...],
    partial: bool,
    live: bool,
    appearance: str,
    same_as: tuple[str, ...],
    different_from: tuple[str, ...],
    force: bool,
    report: Path | None,
    consent: str | None,
    consent_method: str,
    window: bool | None,
) -> int:
    """Add a person, or a folder of people, to the pool.

    \b
    facepool register Ada                            with the camera: look straight ahead, then around
    facepool register Ada -s ada.mp4                 from a video in which Ada looks around
    facepool register Ada --partial                  as far as Ada can turn
    facepool register Ada --live                     only after Ada has shown that she is there; no picture of her
    facepool register Ada --appearance glasses       a second look of the same person
    facepool register Ada ada1.jpg ada2.jpg          from pictures
    facepool register -s people/                     everybody in people/NAME/*.jpg and people/NAME.jpg
    facepool register -s people/ --ray auto          the same, with all machines of a Ray cluster
    facepool register Ada --consent consent.txt      keep what Ada has agreed to, when, and who recorded it

    Before a camera, and in a video, a ring shows which directions are captured; hints say what to do. It saves by
    itself when the ring is closed. Enter saves as soon as enough is captured; Q ends, and saves if that is enough;
    Ctrl-C saves nothing. People of the pool who look alike are shown before saving: you say whether they are the same
    person.

    If a flat picture is scanned instead of a head, the report says so; with --live it is refused. It does not tell
    masks, a face that is swapped in the camera's picture, or films that are made or chosen while it runs.

    Of pictures, only views that differ from what is stored of the person are kept. A picture with two faces is not
    stored, nor is a face that belongs to somebody else.
    """
    context.warn_of_passwords(*in_arguments(sources), *more)
    named = (*sources, *more)
    if name is not None and not named and Path(name).exists():
        raise _name_forgotten(name)
    agreed = consent_of(consent, consent_method) if consent is not None else None
    options = RegisterOptions(partial, appearance, same_as, different_from, report, force, agreed, live)
    if report is not None:
        check_report_name(report)
    if name is None:
        return _register_people(named, context, options)
    if "ray" in context.given:
        raise ConfigError(
            "--ray cannot be used for one person",
            why="their pictures are few, and cameras and videos are on this machine",
            fix="Leave it out, or name a folder of people: facepool register -s people/ --ray ADDRESS",
        )
    return register_person(name, named or ("0",), context, options, window=window)


def _name_forgotten(path: str) -> ConfigError:
    meant = f"--source {path}" if Path(path).is_dir() else f"NAME {path}"
    return ConfigError(
        f"{path} is taken for a name",
        why="and it is the name of a file or folder",
        fix=f"Say `facepool register {meant}`, or `facepool register {path} --source 0` for the camera",
    )


def register_person(
    name: str, named: Sequence[str], context: CommandContext, options: RegisterOptions, *, window: bool | None
) -> int:
    """Register one person from some sources, those that move guided; stores once, at the end.

    Raises:
        PersonFull: Nothing more could be stored.
        ScanIncomplete: Too many directions are missing.
        NoFace: There was no good face.
        IdentityConflict: Somebody looks alike, and nobody can be asked; or the face is that of somebody else.
        NotLive: The challenge was not passed, or what was scanned is flat.
        click.Abort: The user would rather store nothing.
    """
    console, painter = context.console, Painter()
    sources = Sources(named, context)
    sources.check(window)
    if options.about_scans:  # only then: to ask what an address serves takes a moment
        pictures_only = [sources.is_pictures(source) for source in sources.all]
        options.check(moving=not all(pictures_only), pictures=any(pictures_only))
    with ExitStack() as stack:
        pool = stack.enter_context(context.changing_pool(context.analyzer.space, must_exist=False))
        session = new_session(name, context, pool, options)
        resolve_named(session, pool, options.same_as, options.different_from)
        if not session.room and any(map(sources.moves, sources.all)):
            _check_room(session)
        scan, tally = ScanScreen(session, painter, console), PictureTally()
        screen = stack.enter_context(Window())  # one for all sources; it opens with the first picture
        try:
            pictures = _look_at(sources, session, scan, screen, painter, console, in_window=window is not False)
            screen.close()  # nobody looks at it while a question is asked
            look_alikes = _finish_scan(session, scan, options, console) if scan.tally.frames else ()
            for source in pictures:
                with source:
                    offer_pictures(source, session, console, tally)
        except KeyboardInterrupt:
            raise discarded(session.person) from None
        if scan.tally.frames:
            coverage = session.finish()
            stored = session.commit()
            tally.withdraw(session.withdrawn)
            console.emit(
                {
                    "person": session.person,
                    "stored": stored - tally.outcomes["taken"],
                    "partial": coverage.partial,
                    "appearance": coverage.appearance,
                    "frames": scan.tally.frames,
                    "coverage": coverage_record(coverage),
                    "look_alikes": [look_alike_record(alike) for alike in look_alikes],
                    "outcomes": dict(scan.tally.outcomes),
                }
                | ({} if session.liveness is None else {"liveness": liveness_record(session.liveness)})
                | ({"pictures": tally.record()} if pictures else {})
            )
            for remark in (*scan.tally.remarks(), *tally.remarks()):
                console.note(remark)
            say_coverage(coverage, console)
            say_look_alikes(look_alikes, session.person, console)
            console.say(f"{session.person}: {counted(stored, 'new view')} stored in {pool.address}", "good")
            if options.report is not None:
                write_report(options.report, coverage, session.views, painter)
                console.note(f"The report is in {options.report}")
        elif tally.frames or not sources.exit_code:
            if not pictures:
                raise scan.tally.failure(session.name)
            store_pictures(session, tally, pool, console)
    return sources.exit_code


def new_session(name: str, context: CommandContext, pool: Gallery, options: RegisterOptions) -> EnrollmentSession:
    """The registration of one person with the options of the settings and of the command line."""
    enroll_options = context.settings.enroll_options(
        force=options.force,
        appearance=options.appearance,
        partial=options.partial,
        live=options.live,
        consent=options.consent,
    )
    return EnrollmentSession(name, context.analyzer, pool, context.policy, enroll_options)


def _check_room(session: EnrollmentSession) -> None:
    """Refuse a person who has as many views of this look as are kept."""
    if session.room:
        return
    look = f" as {session.options.appearance}" if session.options.appearance else ""
    raise PersonFull(
        f"{session.person} has all the views{look} that are kept",
        why=f"they are {session.options.max_templates}",
        fix="Remove the person first (facepool people remove), name another look with --appearance, "
        "or raise --max-templates",
    )


def _look_at(
    sources: Sources,
    session: EnrollmentSession,
    scan: ScanScreen,
    screen: Window,
    painter: Painter,
    console: Console,
    *,
    in_window: bool,
) -> list[FrameSource]:
    """Scan what moves; put pictures aside until it is known whose they are."""
    pictures: list[FrameSource] = []
    for named in sources.all:
        if scan.over and sources.moves(named):
            continue
        # What a source gave before it broke is good.
        with sources.report_errors():
            source = sources.open(named)
            if is_still(source):
                pictures.append(source)
                continue
            with source:
                screen.mirrored = source.live  # people before a camera expect a mirror
                viewer = Viewer(painter, screen if in_window else None)
                if not _has_shown_to_be_there(session, source, viewer, painter, console, in_window=in_window):
                    continue
                scan.run(source, viewer, in_window=in_window)
    session.check_live()
    return pictures


def _has_shown_to_be_there(
    session: EnrollmentSession,
    source: FrameSource,
    viewer: Viewer,
    painter: Painter,
    console: Console,
    *,
    in_window: bool,
) -> bool:
    """Challenge the person before a source, where that is asked for; whether they may be scanned."""
    if session.is_challenged:
        screen = ChallengeScreen(session.challenge, painter, console, title=session.name, headless=not in_window)
        screen.run(source, viewer)
    return not session.options.live or (session.liveness is not None and session.liveness.passed)


def _finish_scan(
    session: EnrollmentSession, scan: ScanScreen, options: RegisterOptions, console: Console
) -> tuple[LookAlike, ...]:
    """Settle everything that may refuse or ask, before anything is stored."""
    if not session.views and not session.can_finish and not session.several_people:
        raise scan.tally.failure(session.name)
    session.finish()
    look_alikes = resolve_found(session, options.same_as, console)
    _check_room(session)
    return look_alikes


def _register_people(named: Sequence[str], context: CommandContext, options: RegisterOptions) -> int:
    if len(named) != 1 or not Path(named[0]).is_dir():
        raise click.UsageError(
            "Say who it is (facepool register NAME), or name one folder: --source ROOT for ROOT/NAME/*.jpg"
        )
    options.check(moving=False, pictures=True)
    console = context.console
    folder = pictures_or_error(named[0])
    for remark in folder.remarks():
        console.note(remark)
    people = folder.people()
    left_out = _without_pictures(folder)
    stored: dict[str, int] = {}
    with (
        context.picture_analysis() as analysis,
        context.changing_pool(analysis.space, must_exist=False) as pool,
        console.counting("Registering", len(folder.pictures)) as counter,
    ):
        finished = FinishedPeople(_recipe(folder, context, options, analysis))
        left = {name: paths for name, paths in people.items() if not finished.has(name, paths, pool)}
        before = len(people) - len(left)
        if before:
            console.note(f"{people_count(before)} done and stored before an earlier run was interrupted")
        try:
            for name, pictures in _by_person(left, analysis, counter.step):
                try:
                    session = new_session(name, context, pool, options)
                except ConfigError as error:  # a name that no pool takes; the others go on
                    left_out.append(LeftOut(name, "", error.code, str(error), unreadable=True))
                    continue
                readable = _readable(name, pictures, left_out)
                stored[name] = _store(session, name, readable, left_out, console)
                if len(readable) == len(pictures):
                    finished.add(name, people[name], pool)
                console.emit({"person": name, "stored": stored[name], "pictures": len(pictures)})
        except KeyboardInterrupt:
            progress = f"{before + len(stored)} of {people_count(len(people))} done and stored"
            raise click.Abort(f"{progress}; run it again for the rest") from None
        finished.forget()
    _say_left_out(left_out, console)
    registered, views = sum(count > 0 for count in stored.values()), sum(stored.values())
    summary = f"{counted(views, 'new view')} of {people_count(registered)} stored in {pool.address}"
    console.say(f"{summary}, {counted(len(left_out), 'picture')} left out" if left_out else summary, "good")
    failed = [entry for entry in left_out if entry.reason not in STORED_BEFORE]
    if any(entry.unreadable for entry in left_out) or (failed and not views):
        return InputError.exit_code
    return 0


def _store(
    session: EnrollmentSession,
    name: str,
    pictures: Sequence[tuple[Frame, Faces]],
    left_out: list[LeftOut],
    console: Console,
) -> int:
    """Store what is new of one person's pictures, all or nothing; how many views that is."""
    offers = session.offer_faces(pictures)
    for offer in offers:
        note_turned(console, offer.frame.source, offer.faces.detections)
    stored = session.commit()
    unused = [offer for offer in offers if offer.outcome != "taken"]
    left_out += [LeftOut(name, offer.frame.source, offer.outcome, str(offer)) for offer in unused]
    return stored


def _without_pictures(folder: PictureFolder) -> list[LeftOut]:
    """What the walk through the folder could not look at, by the person whose it would be; and who has no picture."""
    closed = [
        LeftOut(folder.person_of(path), str(path), error.code, error.why, unreadable=True)
        for path, error in folder.unreadable
    ]
    told = {entry.person for entry in closed}
    empty = [name for name, paths in folder.people().items() if not paths and name not in told]
    return closed + [LeftOut(name, "", "source_empty", "the folder holds no picture") for name in empty]


def _recipe(
    folder: PictureFolder, context: CommandContext, options: RegisterOptions, analysis: PictureAnalysis
) -> list[object]:
    """All that says what a registration stores beside the pictures."""
    settings = context.settings
    return [
        str(context.pool_address.absolute() if isinstance(context.pool_address, Path) else context.pool_address),
        str(folder.root.resolve()),
        analysis.space.id,
        options,
        settings.model_dump_json(include={*REGISTRATION, *DECISION, *MODELS, *DETECTION} - {"threads", "models_dir"}),
    ]


def _by_person(
    people: Mapping[str, Sequence[Path]], analysis: PictureAnalysis, step: Callable[[], None]
) -> Iterator[tuple[str, list[PictureFaces]]]:
    """People and what was found in their pictures, in the order of the folder; told of each picture."""
    found = analysis.analyze([path for paths in people.values() for path in paths])
    for name, paths in people.items():
        pictures = []
        for _ in paths:
            pictures.append(next(found))
            step()
        yield name, pictures


def _readable(name: str, pictures: Sequence[PictureFaces], left_out: list[LeftOut]) -> list[tuple[Frame, Faces]]:
    analyzed = []
    for index, picture in enumerate(pictures):
        if picture.faces is not None:
            analyzed.append((Frame(_NO_PIXELS, str(picture.path), index), picture.faces))
        elif picture.problem is not None:
            why = picture.problem.why or str(picture.problem)
            left_out.append(LeftOut(name, str(picture.path), picture.problem.code, why, unreadable=True))
    return analyzed


def _say_left_out(left_out: Sequence[LeftOut], console: Console) -> None:
    entries = [
        (
            {"person": one.person, "picture": one.picture, "reason": one.reason, "why": one.why},
            (one.person, Path(one.picture).name, Text(one.why, style="yellow")),
        )
        for one in left_out
    ]
    if entries:
        console.results(("person", "left out", "why"), entries)
