"""One person's registration while it runs: ``EnrollmentSession``. Nothing reaches the pool before ``commit``.

Views come from pictures, or frames one by one, of which the good and new ones are taken (``offer``), and from a guided
scan (``scan``). The session knows who gets them, who in the pool looks alike and what the user says of it, how much
room there is, and what another process changes meanwhile; it stores everything in one transaction.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from facepool.enroll.coverage import Coverage, report
from facepool.enroll.identity import IdentityCheck, LookAlike, Resolution
from facepool.enroll.pictures import Offer, flaw_of, typical_first, without_pixels
from facepool.enroll.scan import RingScan, ScanStep, View, choose
from facepool.errors import NotLive, PoolChanged, ScanIncomplete
from facepool.faces.analyze import Analyzer, Faces
from facepool.faces.facing import direction_angle, direction_words
from facepool.faces.quality import QualityPolicy
from facepool.gallery import Gallery, clean_name
from facepool.gallery.consents import clean_consent
from facepool.liveness.challenge import draw_challenge
from facepool.liveness.session import LivenessResult, LivenessSession, LivenessStep
from facepool.thresholds import SAME_SCAN_FMR, ThresholdPolicy
from facepool.types import Consent, Floats, Frame, Image, Pose, Sample, counted, one_line

PICTURES_AT_ONCE = 8
"""Stills that are in memory together, to run the networks on; photos of 24 megapixels take 72 MB each."""


@dataclass(frozen=True, slots=True)
class EnrollOptions:
    """Which views are worth keeping.

    Attributes:
        novelty: A view is new when its similarity to each of the person's own views is below this.
        max_templates: Views kept a person, and by a scan an appearance, those stored before included; more slow the
            search and raise the chance that a stranger matches one.
        min_size_px: Shorter side of the face's box in source pixels.
        min_sharpness: Variance of the Laplacian of the aligned face; see ``facepool.faces.quality``.
        min_score: The detector's score in 0..1; stricter than for finding faces, because a template stays.
        force: Store a face although it belongs to another person of the pool, or does not look like this one.
        keep_pictures: Keep the aligned face as a small JPEG beside its template.
        appearance: Name of the look that is scanned, for example ``glasses``; empty for the usual one.
        partial: Accept any coverage of a scan, on purpose; what is stored is marked as partial if it is.
        live: Before the scan the person does a random challenge, a weaker one where any coverage is accepted; the scan
            is of the same person, and does not move like a flat picture.
        consent: To what the person has agreed, to be kept with what is stored of them; None: nothing is kept of it.
    """

    novelty: float = 0.8
    max_templates: int = 16
    min_size_px: float = QualityPolicy().min_size_px
    min_sharpness: float = QualityPolicy().min_sharpness
    min_score: float = QualityPolicy().min_score
    force: bool = False
    keep_pictures: bool = False
    appearance: str = ""
    partial: bool = False
    live: bool = False
    consent: Consent | None = None

    @property
    def quality(self) -> QualityPolicy:
        """Which faces are good enough: these limits, and the usual ones for light and hidden parts."""
        return QualityPolicy(min_score=self.min_score, min_size_px=self.min_size_px, min_sharpness=self.min_sharpness)


class EnrollmentSession:
    """One person's registration, from pictures, a guided scan, or both.

    Args:
        person: Name that the views are stored under; new or known to the pool.
        analyzer: Turns frames into faces.
        pool: Where the views go; of the analyzer's embedding space.
        policy: From which similarity on a face is somebody, and two captures show one person.
        options: Which views are worth keeping.

    Attributes:
        name: The name that was given.

    Raises:
        ConfigError: The name, or that of the appearance, cannot be used.
        SpaceMismatch: The pool is of another embedding space.
    """

    def __init__(
        self,
        person: str,
        analyzer: Analyzer,
        pool: Gallery,
        policy: ThresholdPolicy | None = None,
        options: EnrollOptions | None = None,
    ) -> None:
        self.options = options or EnrollOptions()
        policy = policy or ThresholdPolicy(analyzer.fmr)
        self._identity = IdentityCheck(
            person,
            pool,
            analyzer.space,
            policy,
            novelty=self.options.novelty,
            most=self.options.max_templates,
            force=self.options.force,
        )
        self.name = self._identity.name
        self._appearance = clean_name(self.options.appearance) if self.options.appearance else ""
        self._analyzer = analyzer
        self._pool = pool
        self._quality = self.options.quality
        self._taken: list[Offer] = []
        self._withdrawn: list[Offer] = []
        self._scanned = False
        self._same = policy.same_person(SAME_SCAN_FMR).value
        self._challenge = (
            LivenessSession(draw_challenge(partial=self.options.partial), self._same) if self.options.live else None
        )
        self._scan = RingScan(
            self.name,
            self._contradicts,
            self._same,
            self._quality,
            partial=self.options.partial,
            keep_pictures=self.options.keep_pictures,
        )

    @property
    def person(self) -> str:
        """Who gets the views: the name that was given, or the look-alike who is the same person."""
        return self._identity.person

    @property
    def subject(self) -> str:
        """What looks like somebody else, where the user is asked about that."""
        return "the scan"

    # Pictures, or frames one by one.

    @property
    def taken(self) -> int:
        """Number of new views of pictures so far."""
        return len(self._taken)

    @property
    def withdrawn(self) -> list[Offer]:
        """Views that had been taken and are not stored, with the reason: what else is stored speaks against them."""
        return list(self._withdrawn)

    @property
    def full(self) -> bool:
        """Whether the person has as many views as are kept."""
        return len(self._own()) >= self.options.max_templates

    def offer(self, frame: Frame) -> Offer:
        """Look at one frame and take its face if it is a new, good view of this person alone.

        Raises:
            PoolChanged: The person, known before, is no longer in the pool.
        """
        moving = frame.time_s is not None
        return self._consider(frame, self._analyzer.analyze(frame.image_bgr, moving=moving))

    def offer_pictures(self, frames: Iterable[Frame]) -> list[Offer]:
        """Look at a set of stills, most typical face first, so that a stray picture cannot take the lead.

        Returns:
            One offer a frame, in the frames' order.

        Raises:
            PoolChanged: The person, known before, is no longer in the pool.
        """
        analyzed: list[tuple[Frame, Faces]] = []
        frames = iter(frames)
        while batch := self._analyze_some(frames):
            analyzed += batch
        return self.offer_faces(analyzed)

    def offer_faces(self, analyzed: Sequence[tuple[Frame, Faces]]) -> list[Offer]:
        """The same for stills that were analyzed already.

        Args:
            analyzed: Frames, with pixels or without, and what the analyzer found in them.
        """
        order = typical_first([faces for _, faces in analyzed], self._quality)
        offers = {i: self._consider(*analyzed[i]) for i in order}
        return [offers[i] for i in range(len(analyzed))]

    # A challenge before a guided scan.

    @property
    def is_challenged(self) -> bool:
        """Whether the person has to show, frame by frame, that they are alive, before the scan."""
        return self._challenge is not None and self._challenge.result is None

    @property
    def liveness(self) -> LivenessResult | None:
        """How the challenge ended; None before that, and where there is none."""
        return None if self._challenge is None else self._challenge.result

    def challenge(self, frame: Frame) -> tuple[LivenessStep, Floats | None]:
        """Look at one frame of the challenge; nothing changes after it has ended.

        Returns:
            What is to be done next, and where the face is, (4,) float32 xyxy in pixels; None where there is none.

        Raises:
            NotLive: There is no challenge, because the options do not ask for one.
        """
        if self._challenge is None:
            raise NotLive(f"{self.name} is not challenged", why="the options of the registration do not ask for it")
        faces = self._analyzer.analyze(frame.image_bgr, moving=True)
        step = self._challenge.add(frame.moment_s, faces, (frame.image_bgr.shape[0], frame.image_bgr.shape[1]))
        return step, None if step.row is None else np.asarray(faces.detections.boxes[step.row])

    def check_live(self) -> None:
        """Refuse to go on, where a challenge was asked for, if it was not passed, or if what is scanned is flat.

        Raises:
            NotLive: It is so.
        """
        if self._challenge is None:
            return
        result = self._challenge.interrupt()
        if not result.passed:
            raise NotLive(
                f"{self.name} was not registered",
                why=f"{result.meaning} ({result.reason}, {result.steps_passed} of {result.steps} turns done)",
                fix=f"{result.advice.capitalize()}. Add --partial for people who cannot turn far",
            )
        if self._scan.motion == "flat":
            raise NotLive(
                f"{self.name} was not registered",
                why="what was scanned moved like a flat picture, not like a head",
                fix="Scan the person, not a picture",
            )

    # A guided scan.

    @property
    def frontal(self) -> Pose | None:
        """The person's own frontal pose in the scan, as the camera sees it; None before it is known."""
        return self._scan.frontal

    @property
    def can_finish(self) -> bool:
        """Whether ``commit`` would accept the coverage of the scan."""
        return self._scan.can_finish

    @property
    def several_people(self) -> bool:
        """Whether a partial scan cannot tell whom of several people it is about."""
        return self._scan.several_people

    @property
    def views(self) -> list[View]:
        """What the scan has captured: the frontal view, then around the ring, near before far."""
        return self._scan.views

    @property
    def room(self) -> int:
        """How many views of this appearance the pool still takes; 0: remove some first, or name another appearance."""
        of_appearance = sum(sample.appearance == self._appearance for sample in self._identity.stored)
        return max(0, self.options.max_templates - of_appearance)

    def scan(self, frame: Frame) -> ScanStep:
        """Look at one frame and keep its face if it is the best of its place so far.

        Raises:
            NotLive: A challenge was asked for, and not passed.
        """
        if not self._scanned:
            self.check_live()
        self._scanned = True
        return self._scan.look(frame, self._analyzer.analyze(frame.image_bgr, moving=True))

    def redo(self, direction: int) -> None:
        """Give up the views of one direction, which then has to be looked at again.

        Args:
            direction: 0-based, as in the report on coverage.
        """
        self._scan.redo(direction)

    def finish(self) -> Coverage:
        """End the scan: the report on what ``commit`` will store.

        Raises:
            ScanIncomplete: Too many directions are missing, and a partial scan was not asked for.
        """
        self._settle()
        return self.coverage()

    def coverage(self) -> Coverage:
        """The report on the scan as it is now."""
        self._follow()
        chosen = self._chosen()
        return report(
            self._scan, chosen, self._identity.threshold(len(chosen)), person=self.person, appearance=self._appearance
        )

    # Who looks alike.

    def look_alikes(self) -> tuple[LookAlike, ...]:
        """People of the pool who match a view of the scan, likeliest first; all to be resolved before ``commit``."""
        self._follow()
        return self._identity.look_alikes(self._views())

    def resolve(self, name: str, resolution: Resolution) -> None:
        """Decide on a look-alike: the same person, to whom the views then go, or somebody else, flagged as a pair.

        Raises:
            IdentityConflict: They are the same, but two people of the pool would have to become one.
        """
        self._identity.resolve(name, resolution)
        self._read_pool()

    # All of it.

    def commit(self) -> int:
        """Store everything, and who looks alike, in one transaction, as the pool is then.

        Of pictures, the views that the pool or the scan speaks against by now are `withdrawn`.

        Returns:
            How many were stored; 0 changes nothing.

        Raises:
            ScanIncomplete: Too many directions are missing, and a partial scan was not asked for.
            IdentityConflict: A look-alike is not resolved, or somebody else is stored under the name meanwhile.
            PoolChanged: The person who is to get the views is no longer in the pool. Nothing was stored.
            NotLive: A challenge was asked for, and not passed; or what was scanned is flat.
        """
        if self._scanned:
            self._settle()
        self.check_live()
        while self._taken or self._scanned:
            self._read_pool()
            self._identity.check_still_known(self._again)
            if self._scanned:
                self._identity.check(self._views(), "The scan", "Scan")  # the frontal one first, if there is one
            samples = self._samples()
            try:
                stored = self._pool.register(
                    self.person,
                    samples,
                    self._analyzer.space,
                    look_alikes=self._identity.different(),
                    expected_revision=self._identity.revision,
                    consent=self.options.consent,
                )
            except PoolChanged:
                continue  # another process was faster: look again
            self._taken = []
            if stored:
                self._identity.was_stored(samples)
            return stored
        self._record_consent()
        return 0

    def _record_consent(self) -> None:
        """Somebody of whom there is nothing new to store may agree to something new all the same."""
        consent, person = self.options.consent, self.person
        if consent is None or self._pool.person(person) is None:
            return
        consent = clean_consent(consent)
        if all(one.text != consent.text for one in self._pool.consents(person)):
            self._pool.record_consent(person, consent)

    # The pool as it was read last, and what it says of a face.

    def _follow(self) -> None:
        if self._identity.follow():
            self._judge_anew()

    def _read_pool(self) -> None:
        """Take the pool as it is now as what everything is compared with, and judge what was taken anew."""
        self._identity.read()
        self._judge_anew()

    def _judge_anew(self) -> None:
        taken, self._taken = self._taken, []
        for offer in taken:
            judged = self._compare(offer.frame, offer.faces)
            if judged.outcome != "taken":
                self._withdrawn.append(judged)

    def _own(self) -> Floats:
        """(V, D) float32, every view of the person, stored or to be stored; V may be 0."""
        scanned = [view.sample.embedding for view in self._chosen()]
        pictured = [offer.faces.embeddings[0] for offer in self._taken]
        return np.concatenate([self._identity.vectors(), self._identity.stacked([*scanned, *pictured])])

    def _views(self) -> Floats:
        """(V, D) float32, what the scan has captured; V may be 0."""
        return self._identity.stacked([view.sample.embedding for view in self.views])

    @property
    def _again(self) -> str:
        return "Scan" if self._scanned else "Register"

    # Pictures.

    def _analyze_some(self, frames: Iterator[Frame]) -> list[tuple[Frame, Faces]]:
        """The next few frames, without pixels that nobody will ask for: a folder may hold thousands of pictures."""
        batch = list(islice(frames, PICTURES_AT_ONCE))
        if not batch:
            return []
        found = self._analyzer.analyze_batch([frame.image_bgr for frame in batch])
        kept = found if self.options.keep_pictures else [replace(faces, aligned=None) for faces in found]
        return list(zip(map(without_pixels, batch), kept, strict=True))

    def _consider(self, frame: Frame, faces: Faces) -> Offer:
        flaw = flaw_of(faces, self._quality)
        if flaw is not None:
            return Offer(frame, faces, flaw)
        self._follow()
        self._identity.check_still_known(self._again)
        return self._compare(frame, faces)

    def _compare(self, frame: Frame, faces: Faces) -> Offer:
        """Take the one good face of a frame, unless the pool or the views so far speak against it."""
        own = self._own()
        compared = self._identity.compare(faces.embeddings[0], own, len(own))
        offer = Offer(frame, faces, compared.outcome, compared.rival, compared.similarity)
        if offer.outcome == "taken":
            self._taken.append(offer.without_pixels())
        return offer

    # The scan.

    def _contradicts(self, embedding: Floats) -> bool:
        """Whether a face is not the one of the pool, or not the one that was challenged."""
        if self._identity.contradicts(embedding):
            return True
        challenged = None if self.liveness is None else self.liveness.embedding
        return challenged is not None and float(challenged @ embedding) < self._same

    def _chosen(self) -> list[View]:
        """The views of the scan that are to be stored."""
        return choose(self.views, self.room, self._identity.vectors())

    def _samples(self) -> list[Sample]:
        """What is to be stored: of the scan, then of pictures."""
        partial, keep = self._scan.is_partial, self.options.keep_pictures
        scanned = [
            replace(view.sample, appearance=self._appearance, partial=partial, frontal_pose=self.frontal)
            for view in self._chosen()
        ]
        return [*scanned, *(offer.faces.sample(0, offer.frame, with_picture=keep) for offer in self._taken)]

    def _settle(self) -> None:
        if not self.can_finish:
            raise self._incomplete()
        self._scan.settle()

    def _incomplete(self) -> ScanIncomplete:
        if self._scan.several_people:
            return ScanIncomplete(
                f"{self.name} was not registered",
                why="several people are seen about as often, and none of them looks straight ahead and keeps still",
                fix=f"Take a film, or a part of it, that shows {self.name} most of the time",
            )
        covered = self._scan.covered
        missing = [direction_words(direction_angle(way)) for way, captured in enumerate(covered) if not captured]
        return ScanIncomplete(
            f"The scan of {self.name} is not complete",
            why=f"{sum(covered)} of {len(covered)} directions are captured, not {', '.join(dict.fromkeys(missing))}",
            fix="Scan again and look that way too, or accept what there is with --partial",
        )


Enrollment = EnrollmentSession
"""The name under which ``facepool`` exports it."""


class Registration(list[Offer]):
    """What became of each picture of somebody who was to be registered.

    Attributes:
        person: Whom they show.
        stored: How many of them were stored.
    """

    def __init__(self, offers: Iterable[Offer], person: str, stored: int) -> None:
        super().__init__(offers)
        self.person = person
        self.stored = stored

    def __repr__(self) -> str:
        """How many were stored, and why the others were not."""
        if not self:
            return one_line(self, f"nothing of {self.person} stored, no picture was given")
        left_out = Counter(offer.outcome for offer in self if offer.outcome != "taken")
        reasons = ", ".join(f"{count} {outcome}" for outcome, count in left_out.most_common())
        stored = f"{self.stored or 'nothing'} of {counted(len(self), 'picture')} of {self.person} stored"
        return one_line(self, f"{stored}: {reasons}" if reasons else stored)


def register(person: str, images_bgr: Iterable[Image], analyzer: Analyzer, pool: Gallery) -> Registration:
    """Register a person from pictures with the default options, and store what is good.

    Args:
        person: New or known to the pool.
        images_bgr: (H, W, 3) uint8 BGR each, one face in each.
        analyzer: Turns images into faces.
        pool: Where the views go; of the analyzer's embedding space.

    Returns:
        What became of each picture, and how many were stored, which may be none.
    """
    session = EnrollmentSession(person, analyzer, pool)
    offers = session.offer_pictures(Frame(image, "array", index) for index, image in enumerate(images_bgr))
    stored = session.commit()
    return Registration(offers, session.person, stored)
