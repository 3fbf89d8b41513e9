"""``facepool recognize``: pictures one by one, and sources that move, with a line whenever somebody comes or goes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click
from rich.text import Text

from facepool.capture import FrameSource, write_image
from facepool.cli.commands.verify import PASSIVE_MEANING
from facepool.cli.context import (
    DECISION,
    DETECTION,
    EVENTS,
    KEEPING,
    LIVE,
    MODELS,
    SEARCH,
    CommandContext,
    json_option,
    settings_options,
)
from facepool.cli.ui.console import Console, people_count
from facepool.cli.ui.recording import PICTURE_SUFFIXES, VIDEO_SUFFIXES, NewNames, open_recording, stem_of
from facepool.cli.ui.sources import Sources, in_arguments, more_sources, note_too_small, note_turned, source_option
from facepool.cli.ui.viewer import Viewer, is_still
from facepool.errors import ConfigError, InputError
from facepool.files import storage_errors
from facepool.gallery import Pool, open_pool
from facepool.groups.keeper import SightingKeeper, UnknownReturned
from facepool.groups.learn import Learning, Suggested, Suggester, Why
from facepool.liveness.session import LivenessResult
from facepool.overlay import (
    Canvas,
    Painter,
    PresencePanel,
    Present,
    advice_words,
    challenge_labels,
    label_of,
    live_labels,
    mark_challenges,
    outcome_words,
)
from facepool.recognize.challenges import ChallengeOptions
from facepool.recognize.events import Event, LiveView
from facepool.recognize.live import LiveRecognizer, LiveSession
from facepool.recognize.pictures import RecognizedFaces, Recognizer
from facepool.recognize.sightings import Keep, TrackSighting, sightings_of_picture
from facepool.records import event_record, face_records, live_records
from facepool.search import Behind, Outage
from facepool.types import Decision, Frame, Image, counted
from facepool.window import Window

if TYPE_CHECKING:
    from facepool.sinks import EventOutputs


_KEEP_PATIENCE_S = 60.0
"""How long pictures and films wait while the pool is too slow to keep who is in them; cameras do not."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go beside the terminal.

    Attributes:
        recording: Annotated frames: a video, a picture or a folder.
        crops: Folder for the faces of events.
    """

    recording: Path | None = None
    crops: Path | None = None


@click.command()
@more_sources
@source_option
@settings_options(
    "pool", "rotate", "every", *EVENTS, *DECISION, *SEARCH, *LIVE, "require_live", *KEEPING, *MODELS, *DETECTION
)
@click.option("--partial", is_flag=True, help="With --require-live, for people who cannot turn their head far; weaker.")
@click.option("--window/--headless", default=None, help="Show a window or not; by default for anything that moves.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Keep annotated frames: a video, a picture or a folder."
)
@click.option("--save-crops", type=click.Path(path_type=Path), help="Folder for the face of each event.")
@json_option
def recognize(
    context: CommandContext,
    sources: tuple[str, ...],
    more: tuple[str, ...],
    partial: bool,
    window: bool | None,
    output: Path | None,
    save_crops: Path | None,
) -> int:
    """Say who is in a camera's view, a video or pictures.

    In anything that moves, faces are followed, and each is named once it was seen often enough. With --json every
    face of every frame is an object, and so is every event: somebody appeared, was recognized, changed or was lost.

    \b
    facepool recognize                                live, with a window: Q quits
    facepool recognize photo.jpg                      one picture
    facepool recognize -s party.mp4 --headless -o named.mp4
    facepool recognize -s rtsp://host/stream --headless --json
    facepool recognize --webhook http://home/hook     tell another program who comes and goes
    facepool recognize --keep-unknown                 keep strangers, to name them: facepool unknown list
    facepool recognize --require-live                 name nobody who has not looked where they were asked to
    """
    outputs = Outputs(output, save_crops)
    context.warn_of_passwords(*in_arguments(sources), *more)
    challenge = ChallengeOptions(partial=partial) if context.settings.require_live else None
    if partial and challenge is None:
        raise ConfigError("--partial is about how people show that they are alive", fix="Add --require-live")
    return recognize_sources((*sources, *more) or ("0",), context, outputs, challenge, window=window)


def recognize_sources(
    named: tuple[str, ...],
    context: CommandContext,
    outputs: Outputs,
    challenge: ChallengeOptions | None = None,
    *,
    window: bool | None,
) -> int:
    """Recognize everybody in some sources, one after the other.

    Raises:
        ConfigError: People have to show that they are alive, and one of the sources is pictures.
    """
    console, settings = context.console, context.settings
    painter, sources = Painter(), Sources(named, context)
    sources.check(window)
    if challenge is not None:
        _check_moving(sources)
    with ExitStack() as stack:
        event_output = stack.enter_context(_EventOutput.of(context, outputs.crops))
        pool = stack.enter_context(context.open_pool(context.analyzer.space, must_exist=not settings.keep_unknown))
        recognizer = Recognizer(context.analyzer, pool, context.policy, settings.recognize_options())
        threshold = recognizer.threshold
        record = None
        if outputs.recording is not None:
            record = stack.enter_context(open_recording(outputs.recording, settings.threads))
        screen = stack.enter_context(Window())  # one for all sources; it opens with the first picture
        console.note(f"{people_count(pool.size().people)} in {pool.address}")
        context.say_how_searched(pool)
        console.note(f"Threshold {threshold.value:.3f}: {threshold.meaning}")
        keeper = None
        if settings.keeps_faces:
            keeper = stack.enter_context(_keeping(context, pool, event_output))
        live_options = settings.live_options(keep_crops=outputs.crops is not None, challenge=challenge)
        for named_source in sources.all:
            with sources.report_errors(), sources.open(named_source) as source:
                _check_recording(outputs.recording, source, sources)
                show = (not is_still(source)) if window is None else window
                viewer = Viewer(painter, screen if show else None, record)
                if is_still(source):
                    _recognize_pictures(source, recognizer, viewer, context, painter, keeper)
                else:
                    live = LiveRecognizer(context.analyzer, pool, context.policy, options=live_options)
                    event_output.watch(source)
                    keep = None if keeper is None else _keep_by(keeper, 0.0 if source.live else _KEEP_PATIENCE_S)
                    session = LiveSession(live, event_output.emit, keep)
                    _recognize_moving(source, session, viewer, console, painter)
                if viewer.ended:
                    break
    return sources.exit_code


def _check_moving(sources: Sources) -> None:
    if any(map(sources.is_pictures, sources.all)):
        raise ConfigError(
            "Nobody in a picture can show that they are alive",
            why="--require-live asks people to turn their head",
            fix="Name cameras and videos, or leave out --require-live (require_live in the settings)",
        )


@contextmanager
def _keeping(context: CommandContext, pool: Pool, event_output: "_EventOutput") -> Iterator[SightingKeeper]:
    """Keep who is seen, and say what is kept, where and for how long; at the end, what came of it.

    Raises:
        ConfigError: The pool is of a kind that has no place for that.
    """
    console, settings = context.console, context.settings
    _ = pool.inbox  # raises where there is no place for one
    whom = " and ".join(
        who for who, kept in (("unknown", settings.keep_unknown), ("recognized", settings.keeps_recognized)) if kept
    )
    console.note(
        f"Faces of {whom} people are kept in {pool.address}, for {settings.keep_days:g} days at most (no more than "
        f"{settings.keep_sightings:,} sightings or {settings.keep_mb:g} MB). Erase strangers: facepool unknown forget"
    )
    keeper = SightingKeeper(
        partial(open_pool, context.pool_address, context.analyzer.space),
        context.policy,
        settings.keep_options,
        on_returned=event_output.tell_of_return,
        on_kept=Suggester(
            Learning(context.policy, context.analyzer.fmr),
            lambda: settings.refresh == "suggest",
            event_output.tell_of_suggestion,
        ),
        say=console.note,
    )
    with keeper:
        yield keeper
    counts = keeper.counts
    if counts.kept:
        before = f", {counts.joined} of them of unknown people who were seen before" if counts.joined else ""
        console.note(f"Kept {counted(counts.kept, 'sighting')}{before}")


def _keep_by(keeper: SightingKeeper, patience_s: float) -> Keep:
    return lambda frame, sightings: keeper.take(frame.source, sightings, patience_s=patience_s)


class _EventOutput:
    """Passes events on: to the console, and to other programs, with crops of faces in files.

    Args:
        console: For the user.
        crops: Folder for the faces of events.
        others: Other programs; None: there are none.
    """

    def __init__(self, console: Console, crops: Path | None, others: "EventOutputs | None") -> None:
        self._console = console
        self._crops = crops
        self._names = NewNames()
        self._others = others
        self._watched: dict[str, str] = {}

    @classmethod
    @contextmanager
    def of(cls, context: CommandContext, crops: Path | None) -> Iterator[Self]:
        """At the end what waits is delivered; what never arrived, the log says.

        Raises:
            ConfigError: An address cannot be used, or the client for it is not installed.
        """
        settings = context.settings
        if not (settings.webhook or settings.mqtt or settings.home_assistant):
            yield cls(context.console, crops, None)
            return
        from facepool.sinks import EventOutputs  # noqa: PLC0415 -- HTTP takes long to import, and few commands need it

        with EventOutputs(settings, partial(open_pool, context.pool_address, ids_path=context.ids_path)) as others:
            yield cls(context.console, crops, others)

    def watch(self, source: FrameSource) -> None:
        """A source that moves is recognized from now on."""
        self._watched[source.name] = source.name
        if self._others is not None:
            self._others.set_cameras(self._watched)

    def emit(self, frame: Frame, events: Sequence[Event]) -> None:
        """Tell everybody of some events."""
        records = [event_record(frame, event, self._keep_crop(frame, event)) for event in events]
        if self._others is not None:  # before the console, whose reader may be gone
            for record in records:
                self._others.put(record, frame.source)
        for record in records:
            self._console.emit(record)

    def tell_of_return(self, returned: UnknownReturned) -> None:
        """Tell everybody that somebody unknown is there again."""
        record = returned.record()
        if self._others is not None:
            self._others.put(record, returned.source)
        self._console.emit(record)
        since = returned.since[:16].replace("T", " ")
        self._console.say(f"Stranger {returned.group} is there again: {returned.times} times since {since} UTC")

    def tell_of_suggestion(self, suggested: Suggested) -> None:
        """Tell everybody that a new view of somebody is suggested."""
        record, suggestion = suggested.record(), suggested.suggestion
        if self._others is not None:
            self._others.put(record, suggestion.source)
        self._console.emit(record)
        self._console.say(
            f"A new view of {suggestion.person} is suggested ({Why.of(suggestion).words}): facepool suggestions list"
        )

    def _keep_crop(self, frame: Frame, event: Event) -> Path | None:
        """Where the best picture of the event's face so far is kept, if it is."""
        if self._crops is None or event.crop_bgr is None:
            return None
        with storage_errors(self._crops):
            self._crops.mkdir(parents=True, exist_ok=True)
        # No name of a person in it: a name may hold what no file name may.
        stem = f"{stem_of(frame.source, 'camera')}-{frame.index:06d}-{event.track}-{event.kind}"
        path = self._crops / self._names.new(stem, ".png")
        write_image(path, event.crop_bgr)
        return path


def _check_recording(output: Path | None, source: FrameSource, sources: Sources) -> None:
    """Refuse a file that would hold the last picture or video only, or that replaces what is looked at."""
    if output is None or output.suffix.lower() not in (*PICTURE_SUFFIXES, *VIDEO_SUFFIXES):
        return
    if output.resolve() == Path(source.name).resolve():
        raise ConfigError(
            f"{output} would be replaced by its annotated copy", fix="Name another file or a folder with --output"
        )
    is_picture = output.suffix.lower() in PICTURE_SUFFIXES
    if len(sources.all) > 1 or (is_picture and not (is_still(source) and source.frame_count == 1)):
        raise ConfigError(
            f"{output} cannot hold everything that is recognized",
            why="it is one picture" if is_picture else "it is one video, and there are several sources",
            fix="Name a folder with --output" + ("" if is_picture else ", or take one source at a time"),
        )


def _recognize_pictures(
    source: FrameSource,
    recognizer: Recognizer,
    viewer: Viewer,
    context: CommandContext,
    painter: Painter,
    keeper: SightingKeeper | None,
) -> None:
    console, detection = context.console, context.settings.detect_options()
    rows: list[tuple[str | Text, ...]] = []
    has_passive = False
    index = _Notes(console, "The index has everybody again")
    with console.counting("Recognizing", source.frame_count) as counter:
        for frame in viewer.pictures(source):
            if keeper is None:
                faces = recognizer.recognize(frame.image_bgr)
            else:
                faces, sightings = _recognize_and_prepare(frame, recognizer, context)
                keeper.take(frame.source, sightings, patience_s=_KEEP_PATIENCE_S)
            note_turned(console, frame.source, faces.detections)
            index.update(faces.behind)
            for record in face_records(frame, faces, say_when_empty=True):
                console.emit(record)
            passive = _passive_cells(faces)
            rows += [
                (frame.source, str(row + 1), *decision_cells(one), *passive[row])
                for row, one in enumerate(faces.decisions)
            ]
            has_passive = has_passive or faces.passive is not None
            if not faces.decisions:
                rows.append((frame.source, "", Text("no face", style="dim"), "", "", "no_face"))
                note_too_small(console, frame, detection)
            labels = [label_of(faces, row) for row in range(len(faces))]
            viewer.show(frame, partial(Canvas.paint, painter=painter, labels=labels))
            counter.step()
    columns: tuple[str, ...] = ("picture", ">face", "person", ">similarity", ">threshold", "reason")
    if has_passive:
        console.note(f"passive: {PASSIVE_MEANING}")
        columns += (">passive",)
        rows = [row if len(row) == len(columns) else (*row, "") for row in rows]
    console.table(columns, rows)


def _passive_cells(faces: RecognizedFaces) -> list[tuple[str, ...]]:
    """How alive each face looks, for the table: a cell each, or none without a network for it."""
    return [()] * len(faces) if faces.passive is None else [(f"{score:.2f}",) for score in faces.passive]


def _recognize_and_prepare(
    frame: Frame, recognizer: Recognizer, context: CommandContext
) -> tuple[RecognizedFaces, list[TrackSighting]]:
    """The people in a picture, and what there is to keep of them."""
    analyzed = context.analyzer.analyze(frame.image_bgr)
    (faces,) = recognizer.decide([(analyzed.detections, analyzed.embeddings)])
    faces = replace(faces, passive=context.analyzer.passive_scores(frame.image_bgr, faces.detections))
    min_size_px = context.settings.recognize_options().min_size_px
    return faces, sightings_of_picture(analyzed, faces.decisions, min_size_px)


def _recognize_moving(
    source: FrameSource, session: LiveSession, viewer: Viewer, console: Console, painter: Painter
) -> None:
    """Say who comes, who goes and who is in view, until the source or the user ends.

    Raises:
        InputError: The source broke. The events of everybody who was in view are out before that.
    """
    presence, panel, asked = Presence(), PresencePanel(painter), Asked()
    outages = _Notes(console, "The pool's database is there again")
    index = _Notes(console, "The index has everybody again")

    def draw(view: LiveView, canvas: Canvas) -> Image:
        hud = (*view.notes, canvas.keys) if view.notes else ()
        labels = [*live_labels(view), *challenge_labels(view)]
        painted = mark_challenges(canvas.paint(painter, labels, hud), view, canvas)
        return panel.draw(painted, presence.people())

    def say(*changes: str | None) -> None:
        for change in filter(None, changes):
            minutes, seconds = divmod(presence.now_s, 60)
            console.say(f"{minutes:02.0f}:{seconds:04.1f}  {change}")

    def end() -> None:
        say(presence.last_word(session.close(film=not (source.live or viewer.ended))))

    with (
        closing(session),  # Ctrl-C decides nothing
        console.counting("Recognizing", source.frame_count) as counter,
        closing(viewer.play(source, session.process, draw, lambda: say(presence.lose(session.interrupt())))) as played,
    ):
        try:
            for frame, view in played:
                for record in live_records(frame, view):
                    console.emit(record)
                session.report(frame, view)
                outages.update(view.outage)
                index.update(view.behind)
                say(*asked.update(view), presence.update(view))
                counter.step()
        except InputError:
            end()
            raise
        end()


def _ended_words(result: LivenessResult) -> str:
    return ". ".join(filter(None, (outcome_words(result), advice_words(result))))


class Asked:
    """Says what faces are asked to do to show that they are alive, each thing once, and what came of it."""

    def __init__(self) -> None:
        self._asked: dict[int, tuple[int, str]] = {}

    def update(self, view: LiveView) -> list[str]:
        """Take in one frame; a line for each thing that is new."""
        lines = [
            ". ".join(
                filter(None, (f"Face {event.track}: {outcome_words(event.liveness)}", advice_words(event.liveness)))
            )
            for event in view.events
            if event.kind == "challenged" and event.liveness is not None
        ]
        asked = {
            int(track): (step.number, step.hint.text)
            for track, step in zip(view.track_ids, view.challenges, strict=False)
            if step is not None
        }
        new = {track: text for track, (number, text) in asked.items() if self._asked.get(track) != (number, text)}
        self._asked = asked
        return lines + [f"Face {track}: {text}" for track, text in new.items()]


class _Notes:
    """Says once that something is not as it should be, and once that it is again.

    Args:
        console: For the user.
        over: What is said then.
    """

    def __init__(self, console: Console, over: str) -> None:
        self._console = console
        self._over = over
        self._is_told = False

    def update(self, wrong: Outage | Behind | None) -> None:
        """Take in what is wrong as of the newest picture; None: nothing."""
        if wrong is not None and not self._is_told:
            self._console.note(wrong.words)
        elif wrong is None and self._is_told:
            self._console.note(self._over)
        self._is_told = wrong is not None


def decision_cells(decision: Decision) -> tuple[str | Text, ...]:
    """One face in a table: person, similarity, threshold, reason."""
    person = Text(decision.person, style="green") if decision.person else Text("unknown", style="red")
    similarity = "" if decision.similarity is None else f"{decision.similarity:.3f}"
    return (person, similarity, f"{decision.threshold:.3f}", decision.reason)


_TENTATIVE = "tentative"


NOBODY = "nobody"
UNKNOWN = "unknown"


@dataclass(slots=True)
class _Guest:
    since_s: float
    name: str | None = None
    decided: bool = False


class Presence:
    """Keeps a list of who is in view, from one frame to the next.

    Attributes:
        now_s: Time of the last frame.
    """

    def __init__(self) -> None:
        self._guests: dict[int, _Guest] = {}
        self._tentative: Counter[str] = Counter()
        self._stated: Counter[str] | None = None
        self.now_s = 0.0

    def update(self, view: LiveView) -> str | None:
        """Take in one frame.

        Returns:
            A line that says who is in view now, or None while that has not changed.
        """
        self.now_s = view.time_s
        for event in view.events:
            if event.kind == "lost":
                self._guests.pop(event.track, None)
            elif event.kind == "appeared":
                self._guests[event.track] = _Guest(event.time_s)
        for track, decision in zip(view.track_ids, view.decisions, strict=True):
            guest = self._guests.get(int(track))
            if guest is not None and decision is not None and decision.reason != "not_live":
                guest.name, guest.decided = decision.person, True
        tentative = [decision for decision in view.tentative if decision is not None and decision.reason != "not_live"]
        self._tentative = Counter(decision.person or UNKNOWN for decision in tentative)
        if not self._seen() and (self._guests or len(view)):
            return None  # somebody is there, and nobody knows yet who
        return self._state()

    def lose(self, events: Sequence[Event]) -> str | None:
        """Take in who is lost because the source shows nothing any more; else as ``update``."""
        if not events:
            return None
        self._guests.clear()
        self._tentative.clear()
        return self._state()

    def people(self) -> list[Present]:
        """Who is in view, for the window: who has been there longest first."""
        decided = sorted((guest for guest in self._guests.values() if guest.decided), key=lambda guest: guest.since_s)
        return [
            Present(guest.name or UNKNOWN, self.now_s - guest.since_s, "known" if guest.name else "unknown")
            for guest in decided
        ]

    def last_word(self, events: Sequence[Event] = ()) -> str | None:
        """A line at the end, if there is more to say: who was seen too seldom to be sure of.

        Args:
            events: What the end has brought.
        """
        if late := [event for event in events if event.kind == "lost" and not event.firm]:
            tentative = [f"{event.person or UNKNOWN} ({_TENTATIVE}: seen {_times(event.frames)})" for event in late]
            firm = [_describe(self._seen())] if self._seen() else []
            return ", ".join(firm + tentative)
        if self._stated or not self._tentative:
            return None
        return f"{_describe(self._tentative)} ({_TENTATIVE})"

    def _seen(self) -> Counter[str]:
        return Counter(guest.name or UNKNOWN for guest in self._guests.values() if guest.decided)

    def _state(self) -> str | None:
        seen = self._seen()
        if seen == self._stated:
            return None
        self._stated = seen
        return _describe(seen)


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def _describe(seen: Counter[str]) -> str:
    """``Ada, Bob, 2 unknown``; ``nobody`` for nobody."""
    known = sorted(name for name in seen.elements() if name != UNKNOWN)
    unknown = [f"{seen[UNKNOWN]} {UNKNOWN}"] if seen[UNKNOWN] > 1 else [UNKNOWN] * seen[UNKNOWN]
    return ", ".join(known + unknown) or NOBODY
