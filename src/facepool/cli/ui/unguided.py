"""Registration without guidance: pictures, and whatever the original project's command looks at."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing

import click

from facepool.capture import FrameSource
from facepool.cli.context import CommandContext
from facepool.cli.ui.console import Console, counted
from facepool.cli.ui.sources import Sources
from facepool.cli.ui.tally import STORED_BEFORE, Tally
from facepool.cli.ui.viewer import Viewer, is_still
from facepool.enroll.pictures import Enrollment, Offer, Outcome
from facepool.gallery import Pool
from facepool.overlay import Canvas, Label, Painter
from facepool.types import Frame, Image
from facepool.window import Window

_KEYS = "Q saves and quits · Ctrl-C discards · M mirrors"
_HINTS: dict[Outcome, str] = {
    "taken": "got it",
    "known_view": "known view, turn your head a little",
    "enough": "that is enough, press Q",
}
"""What to do now, where the outcome's own words do not say so."""


def register_unguided(name: str, spec: str, context: CommandContext, *, window: bool) -> int:
    """Register one person from one source, view by view as they come; stores once, at the end."""
    console, painter = context.console, Painter()
    tour = Sources((spec,), console, context.settings.capture_options())
    with ExitStack() as stack:
        pool = stack.enter_context(context.open_pool(context.analyzer.space, must_exist=False))
        enrollment = new_enrollment(name, context, pool)
        screen = stack.enter_context(Window())
        tally = Tally()
        try:
            # What the source gave before it broke is good, and is stored.
            with tour.telling(), tour.open(tour.stops[0]) as source:
                if is_still(source):
                    offer_pictures(source, enrollment, console, tally)
                else:
                    _Unguided(enrollment, painter).run(
                        source, Viewer(painter, screen if window else None), tally, console
                    )
        except KeyboardInterrupt:
            raise discarded(enrollment.person) from None
        stored = enrollment.commit()
        if tally.frames or not tour.exit_code:
            report_views(enrollment, tally, stored, pool, console)
    return tour.exit_code


def new_enrollment(name: str, context: CommandContext, pool: Pool, *, force: bool = False) -> Enrollment:
    """An enrollment with the options of the settings."""
    options = context.settings.enroll_options(force=force)
    return Enrollment(name, context.analyzer, pool, context.policy, options)


def offer_pictures(source: FrameSource, enrollment: Enrollment, console: Console, tally: Tally) -> None:
    """Look at the pictures of a source."""
    with console.counting(f"Registering {enrollment.person}", source.frame_count) as counter:
        for offer in enrollment.offer_pictures(_counted(source, counter.step)):
            tally.add(offer)


def report_views(enrollment: Enrollment, tally: Tally, stored: int, pool: Pool, console: Console) -> None:
    """Say what was stored, and why the rest was not.

    Raises:
        NoFace: No frame showed a good face.
        IdentityConflict: The face is that of somebody else.
    """
    tally.withdraw(enrollment.withdrawn)
    console.emit({"person": enrollment.person, **views_record(tally, stored)})
    for remark in tally.remarks():
        console.note(remark)
    failure = tally.failure(enrollment.person)
    if failure is not None:
        raise failure
    console.say(f"{enrollment.person}: {counted(stored, 'new view')} stored in {pool.path}", "good")


def views_record(tally: Tally, stored: int) -> dict[str, object]:
    """What became of some pictures, for programs."""
    return {"stored": stored, "frames": tally.frames, "outcomes": dict(tally.outcomes)}


def discarded(person: str) -> click.Abort:
    """What ends the command when the user does not want it any more."""
    return click.Abort(f"nothing was stored of {person}")


class _Unguided:
    """Takes views of something that moves as they come.

    Args:
        enrollment: Takes them.
        painter: Draws boxes and hints.
    """

    def __init__(self, enrollment: Enrollment, painter: Painter) -> None:
        self._enrollment = enrollment
        self._painter = painter

    def run(self, source: FrameSource, viewer: Viewer, tally: Tally, console: Console) -> None:
        """Look until the source or the user ends, or a file has given enough."""
        with (
            console.counting(f"Registering {self._enrollment.person}", source.frame_count) as counter,
            closing(viewer.play(source, self._enrollment.offer, self._draw)) as played,
        ):
            for _, offer in played:
                tally.add(offer)
                counter.step()
                if self._enrollment.full and not source.live:
                    return

    def _draw(self, canvas: Canvas, offer: Offer) -> Image:
        person = self._enrollment.person
        hint = _HINTS.get(offer.outcome, str(offer))
        hud = [f"Registering {person}", f"{counted(self._enrollment.taken, 'new view')} · {hint}", _KEYS]
        return canvas.paint(self._painter, _labels(offer, person), hud)


def _counted(frames: Iterable[Frame], step: Callable[[], None]) -> Iterable[Frame]:
    for frame in frames:
        yield frame
        step()


def _labels(offer: Offer, person: str) -> list[Label]:
    good = offer.outcome in {"taken", *STORED_BEFORE}
    boxes = [tuple(float(edge) for edge in box) for box in offer.faces.detections.boxes]
    text = person if good else ""
    return [Label((x1, y1, x2, y2), text, "known" if good else "unknown") for x1, y1, x2, y2 in boxes]
