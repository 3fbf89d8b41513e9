"""Live recognition: one decision a person, not one a frame.

``LiveSession`` is what the command line, browsers and server cameras run for each source; it drives ``LiveRecognizer``.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from random import Random
from types import MappingProxyType

import numpy as np

from facepool.capture import FrameSource, frames_or_silence
from facepool.errors import InputError, PoolUnreachable
from facepool.faces.analyze import Analyzer, Faces, PreparedFaces
from facepool.gallery import Gallery
from facepool.liveness.session import LivenessReason, SeenFace
from facepool.recognize.assignment import assign
from facepool.recognize.cadence import Backlog, DetectEvery, DetectionCadence
from facepool.recognize.challenges import ChallengeOptions, TrackChallenges, may_begin
from facepool.recognize.decide import Claim, Criteria, decide_together
from facepool.recognize.events import Event, EventKind, EventReason, LiveView
from facepool.recognize.evidence import EvidenceOptions, Identity, Need, Sameness
from facepool.recognize.fuse import Observation, likeness, observe, weigh_capture
from facepool.recognize.motion import MotionEstimator
from facepool.recognize.sightings import Keep, TrackSighting, sighting_of
from facepool.recognize.track import Tracker, Tracks
from facepool.search import Behind, GalleryState, Outage, Search, outage
from facepool.thresholds import SAME_SCAN_FMR, Threshold, ThresholdPolicy
from facepool.types import AlignedFaces, Decision, Detections, Frame, Mask, Pose

_ENDS: Mapping[EventReason, LivenessReason] = MappingProxyType({"another_face": "another_face", "scene_cut": "cut"})
"""How a challenge ends with its track, other than ``interrupted``."""
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)

Emit = Callable[[Frame, Sequence[Event]], None]
"""Gets the events of a frame that has some."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """When a decision appears, and what is spent on it.

    Attributes:
        evidence: Which observations are embedded and remembered.
        min_margin: By how much the best must beat a runner-up who matches too; otherwise the face is ambiguous.
        hysteresis: Similarity that the person a face is taken for is ahead by, so that names do not flicker.
        min_hits: Frames that a face must be detected in before there is an event for it.
        min_score: Detector score in 0..1 that one of them must have: hands and patterns stay below, faces do not.
        unknown_after_s: How long a face is looked at before it is called unknown; names come sooner.
        max_embeddings: Faces embedded in one frame; more where more may have jumped to another face, and no limit where
            frames are few.
        detect_every: Seek faces in every k-th frame, and follow those that are known of in between. ``auto``: five
            times a second, and in every frame in which anything happens that following cannot answer; see ``cadence``.
        keep_crops: Keep the best aligned face of each track for its events.
        keep_faces: Faces that are kept of a track for its sighting; 0: there are no sightings.
        challenge: A face is named only once it has shown, so challenged, that it is somebody alive; until then it is
            ``not_live``. None: nobody has to.
    """

    evidence: EvidenceOptions = EvidenceOptions()  # noqa: RUF009 -- frozen
    min_margin: float = 0.02
    hysteresis: float = 0.05
    min_hits: int = 3
    min_score: float = 0.9
    unknown_after_s: float = 0.6
    max_embeddings: int = 2
    detect_every: DetectEvery = "auto"
    keep_crops: bool = False
    keep_faces: int = 0
    challenge: ChallengeOptions | None = None


class LiveRecognizer:
    """Recognizes the people in successive frames of one source. What it remembers is bounded by who is in view.

    Args:
        analyzer: Finds, measures and embeds faces.
        pool: Who is known; of the analyzer's embedding space. It may change meanwhile. While its database is away,
            people are named as they were before; where there is nothing in memory, nobody is decided until it is back.
        policy: Chooses the threshold for the pool's size; by default at most 1 % of strangers are named.
        tracker: Follows faces from frame to frame; one of its own for each source.
        options: When a decision appears, and what is spent on it.
        keeps_faces: Whether there are sightings now, where ``options.keep_faces`` says of how many faces.
        random: Draws challenges; by default what nobody can foresee.

    Raises:
        SpaceMismatch: The pool is of another embedding space.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        pool: Gallery,
        policy: ThresholdPolicy | None = None,
        tracker: Tracker | None = None,
        options: LiveOptions | None = None,
        keeps_faces: Callable[[], bool] = lambda: True,
        random: Random | None = None,
    ) -> None:
        self._analyzer = analyzer
        self._pool = pool
        self._search = Search(pool, analyzer.space, live=True)
        self._policy = policy or ThresholdPolicy(analyzer.fmr)
        self._tracker = tracker or Tracker()
        self._options = options or LiveOptions()
        self._keeps_faces = keeps_faces
        self._sameness = Sameness(self._policy.verification().value, self._policy.same_person().value)
        self._challenges: TrackChallenges | None = None
        if self._options.challenge is not None:
            same = self._policy.same_person(SAME_SCAN_FMR).value
            self._challenges = TrackChallenges(self._options.challenge, same, random)
        self._identities: dict[int, Identity] = {}
        self._cadence = DetectionCadence(self._options.detect_every)
        self._backlog = Backlog()
        self._motion = MotionEstimator()
        self._in_view: list[int] = []
        self._waited: dict[int, int] = {}
        self._events: list[Event] = []
        self._sightings: list[TrackSighting] = []
        self._outage: Outage | None = None
        self._behind: Behind | None = None
        self._search.check()

    @property
    def threshold(self) -> Threshold:
        """The threshold for the pool as it is now."""
        return self._threshold(self._search.state())

    def process(self, frame: Frame) -> LiveView:
        """Take in the next frame of the source."""
        time_s = frame.moment_s
        self._events, self._sightings = [], []
        self._backlog.look(frame.index)
        detections, tracks, detecting = self._find(frame, time_s)
        for track in tracks.lost:
            self._forget(track, time_s, "scene_cut" if tracks.cut else "gone")
        ids: list[int] = tracks.ids.tolist()
        for track in ids:
            self._identities.setdefault(track, Identity(self._options.evidence, time_s))
        embedded = np.zeros(len(ids), np.bool_)
        if detecting:
            looked_at = self._embed_some(frame, detections, ids, tracks.sure, time_s)
            embedded[list(looked_at)] = True
            self._in_view = list(ids)
            self._watch_passed(detections, ids, time_s)
            self._look_at_challenged(frame, {ids[row]: seen for row, seen in looked_at.items()}, time_s)
        identities = [self._identities[track] for track in ids]
        for row, identity in enumerate(identities):
            identity.see(detections.boxes[row], float(detections.scores[row]), time_s)
        tentative = self._decide(ids)
        for track in ids:
            self._show(track, tentative.get(track), time_s)
            self._challenge(track, time_s)
        challenges = self._challenges
        return LiveView(
            detections=detections,
            track_ids=np.array(ids, np.intp),
            decisions=tuple(identity.shown for identity in identities),
            tentative=tuple(tentative.get(track) for track in ids),
            confirmed=np.array([identity.announced for identity in identities], np.bool_),
            embedded=embedded,
            events=tuple(self._events),
            time_s=time_s,
            sightings=tuple(self._sightings),
            sighting_ids=tuple(one.sighting for one in identities) if self._keeping else (),
            outage=self._outage,
            behind=self._behind,
            challenges=() if challenges is None else tuple(map(challenges.step, ids)),
            liveness=() if challenges is None else tuple(map(challenges.result, ids)),
        )

    @property
    def sightings(self) -> tuple[TrackSighting, ...]:
        """What there is to keep of faces as of the last frame, silence or end."""
        return tuple(self._sightings)

    def interrupt(self, time_s: float) -> tuple[Event, ...]:
        """The source gives no pictures for a while: everybody is lost, and whoever is seen next appears anew."""
        self._events, self._sightings = [], []
        self._forget_everybody(time_s, "source_silent")
        self._tracker.forget()
        self._motion.forget()
        self._in_view = []
        return tuple(self._events)

    def finish(self, time_s: float, *, film: bool = False) -> tuple[Event, ...]:
        """End of the source: everybody is lost.

        Args:
            time_s: When, in the source's time.
            film: Whether there was no more to see of anybody. Then faces that are not decided yet are decided by what
                there was, before they are lost; their events are not ``firm``.
        """
        self._events, self._sightings = [], []
        if film:
            self._decide_the_rest(time_s)
        self._forget_everybody(time_s, "gone")
        return tuple(self._events)

    def _find(self, frame: Frame, time_s: float) -> tuple[Detections, Tracks, bool]:
        """Where the faces of a frame are, and whether they were sought in it, or followed from the last one."""
        tracker, motion, stretch = self._tracker, None, self._backlog.stretch
        pressing = self._is_pressing(time_s)
        due = self._cadence.is_due(time_s, tracker.interval_s, pressing=pressing, stretch=stretch)
        if not due or (stretch > 1 and self._cadence.follows):
            motion = self._motion.compare(frame.image_bgr, tracker.in_view)
        if motion is not None and not due and not self._cadence.is_called_for(motion, time_s, stretch=stretch):
            return *tracker.follow(motion.moves, motion.scales, time_s), False
        if motion is not None and stretch > 1:
            tracker.expect(motion.moves, motion.scales, motion.followed)
        cut = self._cadence.follows and self._motion.begin(frame.image_bgr)
        detections = self._analyzer.find(frame.image_bgr, moving=True)
        tracks = tracker.update(detections, time_s, same_picture=not cut)
        news = set(tracks.ids.tolist()) != set(self._in_view)
        self._cadence.detected(time_s, news=news, motion=None if due else motion)
        return detections, tracks, True

    def _is_pressing(self, time_s: float) -> bool:
        """Whether a face waits to be embedded before it can be decided, or stays what it is taken for."""
        if self._challenges is not None and self._challenges.running:
            return True
        # A frame that could not be looked at to its end, and the end itself, leave numbers of faces that are forgotten.
        seen = [self._identities[track] for track in self._in_view if track in self._identities]
        needs = (identity.urgent_need(time_s, sure=True) for identity in seen)
        return any(need is not None and need <= Need.UNDECIDED for need in needs)

    def _embed_some(
        self, frame: Frame, detections: Detections, ids: list[int], sure: Mask, time_s: float
    ) -> dict[int, tuple[Faces, int]]:
        """Embed the faces that may change a decision.

        A face that turns out to be another one than its track's gets a new number in ``ids``.

        Returns:
            Row of each, and what it became a row of, and of which.
        """
        urgent: dict[int, Need | None] = {}
        challenged = frozenset[int]() if self._challenges is None else self._challenges.running
        for row, track in enumerate(ids):
            need = self._identities[track].urgent_need(time_s, sure=bool(sure[row]))
            need = Need.CHALLENGED if track in challenged else need
            if need is not None or self._identities[track].measuring_due(time_s):
                urgent[row] = need
        if not urgent:
            return {}
        rows = list(urgent)
        prepared = self._analyzer.prepare(frame.image_bgr, detections[np.array(rows)])
        captures = zip(prepared.measures.overall, prepared.poses, strict=True)
        promises = [weigh_capture(float(quality), pose) for quality, pose in captures]
        chosen = self._choose([ids[row] for row in rows], list(urgent.values()), prepared.poses, promises, time_s)
        embedded = self._embed(prepared, [(place, ids[rows[place]], urgent[rows[place]]) for place in chosen])
        keep_pictures = self._options.keep_crops or self._keeping
        observations = {
            rows[place]: observe(*embedded[place], time_s, promises[place], with_picture=keep_pictures)
            for place in chosen
        }
        if self._tracker.sparse:
            self._exchange(ids, observations)
        for place in chosen:
            row = rows[place]
            ids[row] = self._absorb(ids[row], observations[row], sure=bool(sure[row]))
        return {rows[place]: embedded[place] for place in chosen}

    def _look_at_challenged(self, frame: Frame, looked_at: Mapping[int, tuple[Faces, int]], time_s: float) -> None:
        """Let the challenges that run see a frame.

        Args:
            frame: The frame.
            looked_at: The tracks that were embedded in it: each is a row of some faces.
            time_s: Of the frame.
        """
        if self._challenges is None:
            return
        for track in self._challenges.running:
            faces, row = looked_at.get(track, (None, 0))
            face = None if faces is None else _seen_face(faces, row, time_s)
            detections = Detections.empty() if faces is None else faces.detections[row : row + 1]
            judge = partial(self._analyzer.passive_scores, frame.image_bgr, detections)
            result = self._challenges.look(track, face, time_s, judge)
            if result is None:
                continue
            self._emit("challenged", track, time_s, result.reason)
            if result.passed and result.embedding is not None:
                self._identities[track].bind(result.embedding, self._sameness.after_a_jump)

    def _watch_passed(self, detections: Detections, ids: Sequence[int], time_s: float) -> None:
        """See whether those who have shown that they are alive still move like that."""
        if self._challenges is not None:
            for track, landmarks in zip(ids, detections.landmarks, strict=True):
                self._challenges.watch(track, landmarks, time_s)

    def _challenge(self, track: int, time_s: float) -> None:
        """Challenge a face that would be named, and looks this way."""
        identity = self._identities[track]
        if self._challenges is None or identity.shown is None or identity.shown.reason != "not_live":
            return
        if track not in self._challenges.running and identity.announced and may_begin(identity.pose):
            self._challenges.begin(track, identity.shown.candidates[0].person_id, time_s)

    def _embed(
        self, prepared: PreparedFaces, chosen: Sequence[tuple[int, int, Need | None]]
    ) -> dict[int, tuple[Faces, int]]:
        """Embed faces: a face and its mirror image in turn, where similarities of a track are averaged anyway.

        Both are taken where one comparison decides, and of what is kept, which may become a template.

        Args:
            prepared: Faces of a frame.
            chosen: Row of each that is to be embedded, its track, and why it has to be.

        Returns:
            What it became a row of, and of which.
        """
        if self._keeping or not self._analyzer.space.mirrored:
            return self._embed_rows(prepared, [row for row, _, _ in chosen])
        deciding = [row for row, _, need in chosen if need is not None and need <= Need.DOUBTED]
        others = {row: track for row, track, _ in chosen if row not in deciding}
        images_bgr = prepared.aligned.images_bgr.copy()
        for row, track in others.items():
            if self._identities[track].frames % 2:
                images_bgr[row] = images_bgr[row, :, ::-1]
        in_turn = replace(prepared, aligned=replace(prepared.aligned, images_bgr=images_bgr, one_view=True))
        return {**self._embed_rows(prepared, deciding), **self._embed_rows(in_turn, list(others), prepared.aligned)}

    def _embed_rows(
        self, prepared: PreparedFaces, rows: Sequence[int], upright: AlignedFaces | None = None
    ) -> dict[int, tuple[Faces, int]]:
        """Embed some rows.

        Args:
            prepared: Faces of a frame, as they are to be embedded.
            rows: Which of them.
            upright: What they look like, where that is another thing.
        """
        if not rows:
            return {}
        some = np.array(rows, np.intp)
        faces = self._analyzer.embed_prepared(prepared[some])
        faces = faces if upright is None else replace(faces, aligned=upright[some])
        return {row: (faces, place) for place, row in enumerate(rows)}

    def _exchange(self, ids: list[int], observations: Mapping[int, Observation]) -> None:
        """Between sparse frames people change places: give faces to the tracks whose faces they are.

        Args:
            ids: Track of each row; changed where it was another's.
            observations: Of the rows that were embedded.
        """
        wrong = [row for row, seen in observations.items() if not self._resembles(ids[row], seen)]
        free = [ids[row] for row in wrong] + [track for track in self._identities if track not in ids]
        gains = np.array([[self._likeness(track, observations[row]) for track in free] for row in wrong], np.float32)
        gains = gains.reshape(len(wrong), len(free)) - np.float32(self._sameness.after_a_jump)
        found = {ids[wrong[index]]: free[column] for index, column in assign(gains)}
        # Whose number was given to another, whether a row or a track that is not in view, takes one that became free.
        given = set(found.values())
        without = [ids[row] for row in wrong if ids[row] in given - found.keys()] + sorted(given.difference(ids))
        left = sorted(found.keys() - given, key=lambda track: (self._identities[track].frames, track))
        found |= dict(zip(without, left, strict=True))
        self._tracker.exchange(found)
        for row in wrong:
            ids[row] = found.get(ids[row], ids[row])

    def _likeness(self, track: int, observation: Observation) -> float:
        """How much a face resembles what is remembered of a track, -1..1; -1 where that is nothing."""
        remembered = self._identities[track].observations
        return likeness(remembered, observation.embedding) if remembered else -1.0

    def _resembles(self, track: int, observation: Observation) -> bool:
        return self._likeness(track, observation) >= self._sameness.after_a_jump

    def _choose(
        self,
        tracks: Sequence[int],
        urgent: Sequence[Need | None],
        poses: Sequence[Pose | None],
        promises: Sequence[float],
        time_s: float,
    ) -> list[int]:
        """Which of some measured faces to embed now: the most urgent, then those that have waited longest."""
        needs: list[tuple[Need, int, int]] = []
        for place, track in enumerate(tracks):
            measured = self._identities[track].need_as_measured(poses[place], promises[place], time_s)
            need = measured if urgent[place] is None else urgent[place]
            if need is not None:
                needs.append((need, -self._waited.get(track, 0), place))
        needs.sort()
        cannot_wait = sum(need <= Need.UNSURE for need, _, _ in needs)
        # Between sparse frames every face may have jumped, every time: whoever is new would wait for ever.
        most = len(needs) if self._tracker.sparse else max(self._options.max_embeddings, cannot_wait)
        taken = needs[:most]
        waiting = {tracks[place] for _, _, place in needs[most:]}
        self._waited = {track: self._waited.get(track, 0) + 1 for track in waiting}
        return [place for _, _, place in taken]

    def _absorb(self, track: int, observation: Observation, *, sure: bool) -> int:
        """Add an observation to a track's evidence. Returns the track's number: a new one for another face."""
        identity = self._identities[track]
        if identity.is_somebody_else(observation, self._sameness, sure=sure, recent_s=self._tracker.gap_s):
            successor = identity.successor(observation)
            self._forget(track, observation.time_s, "another_face")
            track = self._tracker.split(track)
            identity = self._identities[track] = successor
        identity.absorb(observation)
        return track

    def _decide(self, ids: Sequence[int]) -> dict[int, Decision]:
        """A decision for each track of the frame that was ever embedded; none while nobody can be asked."""
        try:
            gallery = self._search.state()
            decisions = self._decide_by(gallery, ids)
        except PoolUnreachable:
            self._outage = outage(self._pool)
            return {}
        self._outage, self._behind = gallery.outage, gallery.behind
        return decisions

    def _decide_by(self, gallery: GalleryState, ids: Sequence[int]) -> dict[int, Decision]:
        criteria = Criteria(
            threshold=self._threshold(gallery).value,
            min_margin=self._options.min_margin,
            look_alikes=gallery.look_alikes,
            hysteresis=self._options.hysteresis,
            margins=gallery.margins,
        )
        known = [track for track in ids if self._identities[track].frames]
        claims = [
            Claim(
                identity.nearest(self._search, gallery.revision, normalize=self._policy.follows_pool),
                identity.usable,
                identity.held,
                identity.frames,
            )
            for identity in (self._identities[track] for track in known)
        ]
        if self._challenges is None:
            return dict(zip(known, decide_together(claims, criteria), strict=True))
        # Only who is alive takes a name from others: a photo of somebody is not to stand in their way.
        passed = [self._challenges.has_passed(track) for track in known]
        together = iter(decide_together(list(compress(claims, passed)), criteria))
        return {
            track: next(together) if alive else _not_live(*decide_together([claim], criteria))
            for track, claim, alive in zip(known, claims, passed, strict=True)
        }

    def _threshold(self, gallery: GalleryState) -> Threshold:
        return self._policy.identification(gallery.templates, gallery.calibration)

    def _show(self, track: int, decision: Decision | None, time_s: float) -> None:
        """Let a decision stand if it is firm, with events for what is new."""
        identity = self._identities[track]
        before = identity.shown
        if decision is not None and (before is not None or self._is_firm(identity, decision, time_s)):
            identity.shown = decision
        if self._is_worth_an_event(identity):
            self._announce(track, time_s, before)
            self._keep(identity)

    def _announce(self, track: int, time_s: float, before: Decision | None) -> None:
        """Events for what is new of a face: that it is there, and who it is."""
        identity = self._identities[track]
        if not identity.announced:
            identity.announced = True
            self._emit("appeared", track, time_s, "new")
        if identity.shown is None:
            return
        previous = None if before is None else before.person
        if identity.held != previous:
            kind: EventKind = "recognized" if previous is None else "changed"
            self._emit(kind, track, time_s, identity.shown.reason, previous)

    def _keep(self, identity: Identity) -> None:
        """A sighting where it was not told of yet who this is taken for now."""
        if self._keeping and identity.shown is not None and identity.kept_as != (identity.shown.person_id,):
            self._tell_sighting(identity)

    def _tell_sighting(self, identity: Identity, *, ended: bool = False) -> None:
        if identity.shown is not None and identity.shown.reason == "not_live":
            return  # neither somebody of the pool nor a stranger
        sighting = sighting_of(identity, self._options.keep_faces, ended=ended)
        if sighting is not None:
            identity.kept_as = (sighting.decision.person_id,)
            self._sightings.append(sighting)

    @property
    def _keeping(self) -> bool:
        return self._options.keep_faces > 0 and self._keeps_faces()

    def _decide_the_rest(self, time_s: float) -> None:
        """Let the decisions stand that are not firm and never will be."""
        for track, decision in self._decide(list(self._identities)).items():
            identity = self._identities[track]
            if identity.shown is None and (decision.person is not None or self._is_surely_a_face(identity)):
                identity.shown, identity.firm = decision, False
                self._announce(track, time_s, before=None)

    def _is_surely_a_face(self, identity: Identity) -> bool:
        return identity.best_score >= self._options.min_score

    def _is_worth_an_event(self, identity: Identity) -> bool:
        there = identity.seen >= self._options.min_hits and self._is_surely_a_face(identity)
        return identity.announced or there or identity.held is not None

    def _is_firm(self, identity: Identity, decision: Decision, time_s: float) -> bool:
        if identity.frames < self._options.evidence.min_frames:
            return False
        named = decision.person is not None or decision.reason == "not_live"
        return named or time_s - identity.began_s >= self._options.unknown_after_s

    def _forget_everybody(self, time_s: float, reason: EventReason) -> None:
        for track in list(self._identities):
            self._forget(track, time_s, reason)

    def _forget(self, track: int, time_s: float, reason: EventReason) -> None:
        identity = self._identities.get(track)
        self._end_challenge(track, time_s, reason)
        if identity is not None and identity.announced:
            self._emit("lost", track, time_s, reason)
            if self._keeping:
                self._tell_sighting(identity, ended=True)
        self._identities.pop(track, None)
        self._waited.pop(track, None)
        if self._challenges is not None:
            self._challenges.forget(track)

    def _end_challenge(self, track: int, time_s: float, reason: EventReason) -> None:
        """A track that is challenged has ended."""
        if self._challenges is None:
            return
        result = self._challenges.interrupt(track, _ENDS.get(reason, "interrupted"), time_s)
        if result is not None:
            self._emit("challenged", track, time_s, result.reason)

    def _emit(
        self, kind: EventKind, track: int, time_s: float, reason: EventReason, previous: str | None = None
    ) -> None:
        identity = self._identities[track]
        decision = None if kind in ("appeared", "challenged") else identity.shown
        event = Event(
            kind=kind,
            track=track,
            person=None if decision is None else decision.person,
            person_id=None if decision is None else decision.person_id,
            previous=previous,
            similarity=None if decision is None else decision.similarity,
            threshold=None if decision is None else decision.threshold,
            margin=None if decision is None else decision.margin,
            frames=identity.frames,
            time_s=time_s,
            bbox=identity.bbox,
            reason=reason,
            crop_bgr=identity.crop_bgr if self._options.keep_crops else None,
            firm=identity.firm,
            sighting=identity.sighting if self._keeping else None,
            liveness=None if self._challenges is None else self._challenges.result(track),
            behind=self._behind,
        )
        self._events.append(event)


def _seen_face(faces: Faces, row: int, time_s: float) -> SeenFace | None:
    """A face as a challenge looks at it; None where its pose could not be measured."""
    pose = faces.poses[row]
    if pose is None:
        return None
    detections = faces.detections
    return SeenFace(time_s, detections.boxes[row], detections.landmarks[row], pose, faces.embeddings[row])


def _not_live(decision: Decision) -> Decision:
    """What a decision is as long as the face has not shown that it is somebody alive."""
    return decision if decision.person is None else replace(decision, person=None, reason="not_live")


class LiveSession:
    """Watches one source from its first frame to its last.

    Every event is emitted once, in order; at the end everybody who was in view is lost. ``watch`` does it all for a
    source; where frames come from elsewhere, give them to ``look``.

    Args:
        recognizer: Fresh: it remembers who is in view.
        emit: Gets what happened. A frame that comes with faces that are lost, at the end or in silence, has no pixels
            any more.
        keep: Gets the sightings, before the events that speak of them; None: nobody keeps them.
    """

    def __init__(self, recognizer: LiveRecognizer, emit: Emit, keep: Keep | None = None) -> None:
        self._recognizer = recognizer
        self._emit = emit
        self._keep = keep
        self._last: Frame | None = None

    def watch(self, source: FrameSource) -> Generator[tuple[Frame, LiveView], None, None]:
        """Look at all that a source shows, until it ends or the caller closes it or this iterator; then close.

        Raises:
            InputError: The source broke. The events of everybody who was in view are emitted before that.
        """
        film = not source.live
        with closing(self):  # the caller may leave before the end, which then decides nothing
            try:
                for frame in frames_or_silence(source):
                    if frame is None:
                        self.interrupt()
                    else:
                        yield frame, self.look(frame)
            except InputError:
                self.close(film=film)
                raise
            self.close(film=film)

    def look(self, frame: Frame) -> LiveView:
        """Take in the next frame and emit what happened."""
        view = self.process(frame)
        self.report(frame, view)
        return view

    def process(self, frame: Frame) -> LiveView:
        """The first half of ``look``, which may run in a thread of its own, one frame at a time."""
        return self._recognizer.process(frame)

    def report(self, frame: Frame, view: LiveView) -> None:
        """The second half of ``look``: emit what happened with a frame."""
        self._last = replace(frame, image_bgr=_NO_PIXELS)  # nobody's picture is kept for as long as nothing moves
        self._tell(frame, view.events, view.sightings)

    def interrupt(self) -> tuple[Event, ...]:
        """The source has fallen silent: everybody is lost now, and appears again when it shows them again.

        Returns:
            What happened, which has been emitted; nothing until the next frame.
        """
        return self._end_with(self._recognizer.interrupt)

    def close(self, *, film: bool = False) -> tuple[Event, ...]:
        """The source has ended.

        Args:
            film: Whether it was a file, to be decided by what it showed; see ``LiveRecognizer.finish``.

        Returns:
            What happened, which has been emitted; nothing if it was closed before.
        """
        return self._end_with(partial(self._recognizer.finish, film=film))

    def _end_with(self, end: Callable[[float], tuple[Event, ...]]) -> tuple[Event, ...]:
        if self._last is None:
            return ()
        last, self._last = self._last, None
        events = end(last.time_s or 0.0)
        self._tell(last, events, self._recognizer.sightings)
        return events

    def _tell(self, frame: Frame, events: Sequence[Event], sightings: Sequence[TrackSighting]) -> None:
        if sightings and self._keep is not None:
            self._keep(frame, sightings)
        if events:
            self._emit(frame, events)
