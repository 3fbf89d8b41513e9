"""One person's registration while it runs: ``EnrollmentSession``. Nothing reaches the pool before ``commit``.

Views come from pictures, or frames one by one, of which the good and new ones are taken (``offer``), and from a guided
scan (``scan``). The session knows who gets them, who in the pool looks alike and what the user says of it, how much
room there is, and what another process changes meanwhile; it stores everything in one transaction.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np

from facepool.enroll.coverage import Coverage, report
from facepool.enroll.pictures import Offer, flaw_of, typical_first, without_pixels
from facepool.enroll.ring import direction_angle, direction_words
from facepool.enroll.scan import RingScan, ScanStep, View, choose
from facepool.errors import IdentityConflict, PoolChanged, ScanIncomplete, UnknownPerson
from facepool.faces.analyze import Analyzer, Faces
from facepool.faces.quality import QualityPolicy
from facepool.gallery import Gallery, clean_name, find_name
from facepool.search import Search
from facepool.thresholds import SAME_SCAN_FMR, ThresholdPolicy
from facepool.types import Candidate, Floats, Frame, Image, Pose, Sample, Template, counted, one_line

Resolution = Literal["same", "different"]
"""What a look-alike is: the person who is registered, or somebody else."""

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

    @property
    def quality(self) -> QualityPolicy:
        """Which faces are good enough: these limits, and the usual ones for light and hidden parts."""
        return QualityPolicy(min_score=self.min_score, min_size_px=self.min_size_px, min_sharpness=self.min_sharpness)


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Somebody of the pool who matches views of a scan.

    Attributes:
        person: Their name.
        similarity: The highest of any view.
        mean_similarity: Over all views.
        views_matched: How many views match.
        views: How many there are.
        resolution: What they are; None while nobody has said it, ``different`` where the pool has them as a pair.
    """

    person: str
    similarity: float
    mean_similarity: float
    views_matched: int
    views: int
    resolution: Resolution | None

    @property
    def probably_same(self) -> bool:
        """Whether most views match: somebody who looks alike seldom does so from every side."""
        return self.views_matched > self.views / 2


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
        self.name = clean_name(person)
        self.options = options or EnrollOptions()
        self._appearance = clean_name(self.options.appearance) if self.options.appearance else ""
        self._analyzer = analyzer
        self._pool = pool
        self._search = Search(pool, analyzer.space)
        self._policy = policy or ThresholdPolicy(analyzer.fmr)
        self._same_person = self._policy.same_person().value
        self._quality = self.options.quality
        self._resolved: dict[str, Resolution] = {}
        self._must_be_known: set[str] = set()
        self._taken: list[Offer] = []
        self._withdrawn: list[Offer] = []
        self._scanned = False
        self._scan = RingScan(
            self.name,
            self._contradicts,
            self._policy.same_person(SAME_SCAN_FMR).value,
            self._quality,
            partial=self.options.partial,
            keep_pictures=self.options.keep_pictures,
        )
        self._read_pool()

    @property
    def person(self) -> str:
        """Who gets the views: the name that was given, or the look-alike who is the same person."""
        return next((name for name, resolution in self._resolved.items() if resolution == "same"), self.name)

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
        of_appearance = sum(sample.appearance == self._appearance for sample in self._stored)
        return max(0, self.options.max_templates - of_appearance)

    def scan(self, frame: Frame) -> ScanStep:
        """Look at one frame and keep its face if it is the best of its place so far."""
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
        threshold = self._policy.identification(self._state.templates + len(chosen), self._state.calibration)
        return report(self._scan, chosen, threshold, person=self.person, appearance=self._appearance)

    # Who looks alike.

    def look_alikes(self) -> tuple[LookAlike, ...]:
        """People of the pool who match a view of the scan, likeliest first; all to be resolved before ``commit``."""
        self._follow()
        return self._find_look_alikes()

    def resolve(self, name: str, resolution: Resolution) -> None:
        """Decide on a look-alike: the same person, to whom the views then go, or somebody else, flagged as a pair.

        Raises:
            IdentityConflict: They are the same, but two people of the pool would have to become one.
        """
        name = find_name(name)
        if resolution == "same":
            self._check_one_person(name)
        self._resolved[name] = resolution
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
        """
        if self._scanned:
            self._settle()
        while self._taken or self._scanned:
            self._read_pool()
            self._check_still_known()
            if self._scanned:
                self._check_identity()
            samples = self._samples()
            try:
                stored = self._pool.register(
                    self.person,
                    samples,
                    self._analyzer.space,
                    look_alikes=self._different(),
                    expected_revision=self._revision,
                )
            except PoolChanged:
                continue  # another process was faster: look again
            self._taken = []
            self._stored += samples
            if stored:
                self._must_be_known.add(self.person)
            return stored
        return 0

    # The pool as it was read last, and what it says of a face.

    def _follow(self) -> None:
        if self._pool.revision() != self._revision:
            self._read_pool()

    def _read_pool(self) -> None:
        """Take the pool as it is now as what everything is compared with, and judge what was taken anew."""
        self._revision = self._pool.revision()  # first: what is read after it is of this revision, or register refuses
        self._state = self._search.state()
        self._belongs_to_rival = self._policy.identification(self._state.templates, self._state.calibration).value
        templates = self._templates(self.person)
        self._is_known = templates is not None
        self._stored = [template.sample for template in templates or ()]
        if self._is_known:
            self._must_be_known.add(self.person)
        taken, self._taken = self._taken, []
        for offer in taken:
            judged = self._compare(offer.frame, offer.faces)
            if judged.outcome != "taken":
                self._withdrawn.append(judged)

    def _templates(self, name: str) -> list[Template] | None:
        """What the pool has of somebody; None: it does not know them."""
        if self._pool.person(name) is None:
            return None  # asked first: the error for an unknown name looks through all names for similar ones
        try:
            return self._pool.templates(name)
        except UnknownPerson:  # removed just now
            return None

    def _stored_vectors(self) -> Floats:
        """(S, D) float32; S may be 0."""
        return self._stacked([sample.embedding for sample in self._stored])

    def _own(self) -> Floats:
        """(V, D) float32, every view of the person, stored or to be stored; V may be 0."""
        scanned = [view.sample.embedding for view in self._chosen()]
        pictured = [offer.faces.embeddings[0] for offer in self._taken]
        return np.concatenate([self._stored_vectors(), self._stacked([*scanned, *pictured])])

    def _stacked(self, embeddings: list[Floats]) -> Floats:
        return np.array(embeddings, np.float32).reshape(len(embeddings), self._analyzer.space.dimension)

    def _contradicts(self, embedding: Floats) -> bool:
        """Whether a face is not that of the person whom the pool has under the name."""
        if self.options.force or self.person != self.name or not self._stored:
            return False
        return bool(np.max(self._stored_vectors() @ embedding) < self._same_person)

    def _check_still_known(self) -> None:
        name = self.person
        if self._is_known or (name == self.name and name not in self._must_be_known):
            return
        raise PoolChanged(
            f"Nothing was stored of {name}",
            why=f"{name} is no longer in the pool: removed, renamed or merged meanwhile",
            fix=f"{'Scan' if self._scanned else 'Register'} again if that is wanted",
        )

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
        self._check_still_known()
        return self._compare(frame, faces)

    def _compare(self, frame: Frame, faces: Faces) -> Offer:
        """Take the one good face of a frame, unless the pool or the views so far speak against it."""
        embedding, own = faces.embeddings[0], self._own()
        nearest = float(np.max(own @ embedding)) if len(own) else None
        rival = self._rival(embedding)
        if rival is not None and (nearest is None or rival.similarity > nearest) and not self.options.force:
            return Offer(frame, faces, "other_person", rival.person, rival.similarity)
        if nearest is not None and nearest < self._same_person and not self.options.force:
            return Offer(frame, faces, "not_the_same_person", similarity=nearest)
        if nearest is not None and nearest >= self.options.novelty:
            return Offer(frame, faces, "known_view", similarity=nearest)
        if len(own) >= self.options.max_templates:
            return Offer(frame, faces, "enough")
        offer = Offer(frame, faces, "taken", similarity=nearest)
        self._taken.append(offer.without_pixels())
        return offer

    def _rival(self, embedding: Floats) -> Candidate | None:
        """Somebody else of the pool to whom a face is similar enough to be theirs."""
        nearest = self._search.nearest(embedding[None]).candidates[0]
        others = [candidate for candidate in nearest if candidate.person != self.person]
        return others[0] if others and others[0].similarity >= self._belongs_to_rival else None

    # The scan, and look-alikes.

    def _chosen(self) -> list[View]:
        """The views of the scan that are to be stored."""
        return choose(self.views, self.room, self._stored_vectors())

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

    def _find_look_alikes(self) -> tuple[LookAlike, ...]:
        views, count = self.views, len(self.views)
        if not views:
            return ()
        # Each view is one more chance to resemble somebody: so many scans, not views, are to raise the question.
        threshold = self._policy.identification(self._state.templates * count, self._state.calibration).value
        matching = self._search.matching(np.stack([view.sample.embedding for view in views]), threshold)
        found = [
            LookAlike(
                person=name,
                similarity=float(similarities.max()),
                mean_similarity=float(similarities.mean()),
                views_matched=int((similarities >= threshold).sum()),
                views=count,
                resolution=self._resolution(name),
            )
            for name, similarities in matching.items()
            if name != self.name
        ]
        return tuple(sorted(found, key=lambda alike: (-alike.views_matched, -alike.similarity, alike.person)))

    def _resolution(self, name: str) -> Resolution | None:
        flagged = frozenset((name, self.name)) in self._state.look_alikes
        return self._resolved.get(name, "different" if flagged else None)

    def _different(self) -> list[str]:
        """Who looks alike and is somebody else; people who are gone need no flag any more."""
        different = [name for name, resolution in self._resolved.items() if resolution == "different"]
        return [name for name in different if self._pool.person(name) is not None]

    def _check_identity(self) -> None:
        """Refuse to store the scan if the pool as it is now speaks against it."""
        self._check_one_person(self.person)
        if self.views and self._contradicts(self.views[0].sample.embedding):  # the frontal one, if there is one
            raise IdentityConflict(
                f"The scan does not look like {self.name} of the pool",
                why=f"somebody else is stored as {self.name}",
                fix="Scan again under another name",
            )
        unresolved = [alike.person for alike in self._find_look_alikes() if alike.resolution is None]
        if unresolved:
            raise IdentityConflict(
                f"{self.name} looks like {' and '.join(unresolved)} of the pool",
                why="nobody has said whether they are the same person",
                fix="Say whether they are the same person, or two who look alike",
            )

    def _check_one_person(self, name: str) -> None:
        """Refuse that one person of the pool is the person of the scan if another one already is."""
        same = [other for other, resolution in self._resolved.items() if resolution == "same"]
        if self._pool.person(self.name) is not None:
            same.append(self.name)
        rival = next((other for other in same if other != name), None)
        if rival is not None:
            raise IdentityConflict(
                f"{name} and {rival} are both in the pool",
                why="they would have to become one person",
                fix=f"Make them one, then scan again: facepool people merge {name!r} {rival!r}",
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
