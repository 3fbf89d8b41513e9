"""The guided registration of one person: scan what moves, settle who looks alike, store once."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from facepool.capture import FrameSource, is_picture_file
from facepool.cli.context import CommandContext
from facepool.cli.register_options import RegisterOptions
from facepool.cli.ui.console import counted
from facepool.cli.ui.guided_scan import GuidedScan
from facepool.cli.ui.look_alikes import Settled, Settlement
from facepool.cli.ui.scan_report import tell_coverage, write_report
from facepool.cli.ui.sources import Sources, Stop
from facepool.cli.ui.tally import Tally
from facepool.cli.ui.unguided import discarded, new_enrollment, offer_pictures, report_views, views_record
from facepool.cli.ui.viewer import Viewer, is_still
from facepool.enroll.coverage import Coverage
from facepool.enroll.guided import GuidedEnrollment
from facepool.enroll.pictures import Enrollment
from facepool.errors import PersonFull
from facepool.gallery import Pool
from facepool.overlay import Painter
from facepool.records import coverage_record, look_alike_record
from facepool.window import Window


def register_person(
    name: str, specs: Sequence[str], context: CommandContext, options_given: RegisterOptions, *, window: bool | None
) -> int:
    """Register one person from some sources, those that move guided; stores once, at the end."""
    console = context.console
    tour = Sources(specs, console, context.settings.capture_options())
    moving = [_may_move(stop) for stop in tour.stops]
    options_given.check(moving=any(moving), pictures=not all(moving))
    with ExitStack() as stack:
        pool = stack.enter_context(context.open_pool(context.analyzer.space, must_exist=False))
        registration = _Registration(name, context, pool, options_given)
        if any(moving):
            registration.check_room()
        screen = stack.enter_context(Window())  # one for all sources; it opens with the first picture
        try:
            registration.look_at(tour, screen, window=window)
            screen.close()  # nobody looks at it while a question is asked
            registration.decide()
        except KeyboardInterrupt:
            raise discarded(registration.person) from None
        if registration.frames or not tour.exit_code:
            registration.store()
    return tour.exit_code


class _Registration:
    """One person, scanned and photographed, before and while they are stored.

    Args:
        name: Who.
        context: Models, settings and console.
        pool: Where the views go.
        options_given: What the command line says.
    """

    def __init__(self, name: str, context: CommandContext, pool: Pool, options_given: RegisterOptions) -> None:
        options = context.settings.guided_options(
            appearance=options_given.appearance, partial=options_given.partial, force=options_given.force
        )
        self._guided = GuidedEnrollment(name, context.analyzer, pool, context.policy, options)
        self._context = context
        self._console = context.console
        self._pool = pool
        self._wishes = options_given
        self._painter = Painter()
        self._settlement = Settlement(self._guided, pool, options_given.answers, self._console)
        self._scan = GuidedScan(self._guided, self._painter, self._console, keep_faces=options_given.report is not None)
        self._pictures: list[FrameSource] = []
        self._coverage: Coverage | None = None
        self._settled: tuple[Settled, ...] = ()
        self._enrollment: Enrollment | None = None
        self._tally = Tally()

    @property
    def person(self) -> str:
        """Who gets the views."""
        return self._settlement.person

    @property
    def frames(self) -> int:
        """How many frames were looked at."""
        return self._scan.tally.frames + self._tally.frames

    def check_room(self) -> None:
        """Refuse a person who has as many views of this look as are kept.

        Raises:
            PersonFull: Nothing more could be stored.
        """
        if self._guided.room:
            return
        look = f" as {self._wishes.appearance}" if self._wishes.appearance else ""
        raise PersonFull(
            f"{self.person} has all the views{look} that are kept",
            why=f"they are {self._guided.options.max_templates}",
            fix="Remove the person first (facepool people remove), name another look with --appearance, "
            "or raise --max-templates",
        )

    def look_at(self, tour: Sources, screen: Window, *, window: bool | None) -> None:
        """Scan what moves; put pictures aside until it is known whose they are."""
        in_window = window is not False
        for stop in tour.stops:
            if self._scan.over and _may_move(stop):
                continue
            # What a source gave before it broke is good.
            with tour.telling():
                source = tour.open(stop)
                if is_still(source):
                    self._pictures.append(source)
                    continue
                with source:
                    screen.mirrored = source.live  # who stands before a camera expects a mirror
                    self._scan.run(source, Viewer(self._painter, screen if in_window else None), in_window=in_window)

    def decide(self) -> None:
        """Settle everything that may refuse or ask, before anything is stored.

        Raises:
            ScanIncomplete: Too many directions are missing.
            NoFace: The scan captured nothing.
            IdentityConflict: Somebody looks alike, and nobody can be asked.
        """
        if self._scan.tally.frames:
            self._finish_scan()
        if self._pictures:
            self._enrollment = new_enrollment(self.person, self._context, self._pool, force=self._wishes.force)
            for source in self._pictures:
                with source:
                    offer_pictures(source, self._enrollment, self._console, self._tally)

    def store(self) -> None:
        """Store everything, and say what became of it."""
        if self._coverage is None:
            self._store_pictures_only()
            return
        stored = self._guided.commit()
        pictures = self._enrollment.commit() if self._enrollment is not None else 0
        self._tell(self._coverage, stored, pictures)
        if self._wishes.report is not None:
            write_report(self._wishes.report, self._coverage, self._scan.thumbnails, self._painter)
            self._console.note(f"The report is in {self._wishes.report}")

    def _finish_scan(self) -> None:
        if not self._guided.coverage().views:
            raise self._scan.tally.failure(self._guided.person)
        self._guided.finish()
        self._settled = self._settlement.settle()
        self.check_room()
        self._coverage = replace(self._guided.finish(), person=self.person)

    def _store_pictures_only(self) -> None:
        if self._enrollment is None:
            raise self._scan.tally.failure(self._guided.person)
        report_views(self._enrollment, self._tally, self._enrollment.commit(), self._pool, self._console)

    def _tell(self, coverage: Coverage, stored: int, pictures: int) -> None:
        console, scan = self._console, self._scan
        record: dict[str, object] = {
            "person": self.person,
            "stored": stored,
            "partial": coverage.partial,
            "appearance": coverage.appearance,
            "frames": scan.tally.frames,
            "coverage": coverage_record(coverage),
            "look_alikes": [look_alike_record(entry.alike, entry.resolution) for entry in self._settled],
            "outcomes": dict(scan.tally.outcomes),
        }
        if self._enrollment is not None:
            self._tally.withdraw(self._enrollment.withdrawn)
            record["pictures"] = views_record(self._tally, pictures)
        console.emit(record)
        for remark in (*scan.tally.remarks(), *self._tally.remarks()):
            console.note(remark)
        tell_coverage(coverage, console)
        for settled in self._settled:
            console.note(f"{settled.alike.person} looks alike: {_consequence(settled, self.person)}")
        console.say(f"{self.person}: {counted(stored + pictures, 'new view')} stored in {self._pool.path}", "good")


def _consequence(settled: Settled, person: str) -> str:
    if settled.resolution == "same":
        return f"the views are stored as {person}"
    return "flagged, recognition asks for a larger lead between the two"


def _may_move(stop: Stop) -> bool:
    """Whether a source is not known to be pictures before it is opened."""
    return not (is_picture_file(stop[0]) or Path(stop[0]).is_dir())
