"""Guided enrollment: a person looks around in a circle until every direction is captured, then goes into the pool."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from facepool.enroll.coverage import Coverage, report
from facepool.enroll.look_alikes import LookAlike, find_look_alikes
from facepool.enroll.ring import direction_angle, direction_words
from facepool.enroll.scan import Known, RingScan, Scan, ScanOptions
from facepool.enroll.views import View, choose
from facepool.errors import IdentityConflict, PoolChanged, ScanIncomplete
from facepool.faces.analyze import Analyzer
from facepool.gallery import Pool, PoolMatrix, check_pool, clean_name
from facepool.thresholds import SAME_SCAN_FMR, ThresholdPolicy
from facepool.types import Floats, Frame, Sample, Template

Resolution = Literal["same", "different"]
"""What the user says about a look-alike."""


@dataclass(frozen=True, slots=True)
class GuidedOptions:
    """What a scan keeps.

    Attributes:
        appearance: Name of the look that is scanned, for example ``glasses``; empty for the usual one.
        partial: Accept any coverage, on purpose; what is stored is marked as partial if it is.
        force: Scan somebody who does not look like the person of this name in the pool.
        max_templates: Views kept an appearance, those stored before included.
        keep_pictures: Keep the aligned face of each view as a small JPEG beside its template.
        scan: How the scan goes.
    """

    appearance: str = ""
    partial: bool = False
    force: bool = False
    max_templates: int = 16
    keep_pictures: bool = False
    scan: ScanOptions = field(default_factory=ScanOptions)


class GuidedEnrollment:
    """One person's scan while it runs. Nothing reaches the pool before ``commit``.

    Args:
        person: Name that the views are stored under; new or known to the pool.
        analyzer: Turns frames into faces.
        pool: Where the views go; of the analyzer's embedding space.
        policy: From which similarity on a face is somebody.
        options: What the scan keeps.

    Raises:
        ConfigError: The name, or that of the appearance, cannot be used.
        SpaceMismatch: The pool is of another embedding space.
    """

    def __init__(
        self,
        person: str,
        analyzer: Analyzer,
        pool: Pool,
        policy: ThresholdPolicy | None = None,
        options: GuidedOptions | None = None,
    ) -> None:
        self.person = clean_name(person)
        self.options = options or GuidedOptions()
        self._appearance = clean_name(self.options.appearance) if self.options.appearance else ""
        self._analyzer = analyzer
        self._pool = pool
        self._thresholds = policy or ThresholdPolicy(analyzer.fmr)
        self._resolved: dict[str, Resolution] = {}
        check_pool(pool, analyzer.space)
        self._must_be_known = self._is_known(self.person)
        known = self._known()
        same_scan = self._thresholds.same_person(SAME_SCAN_FMR).value
        self._scan = RingScan(
            self.person, known, same_scan, self.options.scan, keep_pictures=self.options.keep_pictures
        )

    @property
    def can_finish(self) -> bool:
        """Whether ``commit`` would accept the coverage."""
        return len(self._scan.views) > 0 and (self.options.partial or self._scan.enough)

    @property
    def room(self) -> int:
        """How many views of this appearance the pool still takes; 0: remove some first, or name another appearance."""
        return max(0, self.options.max_templates - len(self._stored_of_appearance()))

    def offer(self, frame: Frame) -> Scan:
        """Look at one frame and keep its face if it is the best of its place so far."""
        return self._scan.look(frame, self._analyzer.analyze(frame.image_bgr))

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
        if not self.can_finish:
            raise self._incomplete()
        return self.coverage()

    def coverage(self) -> Coverage:
        """The report on the scan as it is now."""
        chosen, matrix = self._chosen(), self._matrix()
        return report(
            self._scan.views,
            chosen,
            self.options.scan.ring,
            self._thresholds.identification(len(matrix) + len(chosen), matrix.calibration),
            person=self.person,
            appearance=self._appearance,
            partial=self._is_partial,
        )

    def lookalikes(self) -> tuple[LookAlike, ...]:
        """People of the pool who match a view of this scan, likeliest first; to be resolved before ``commit``."""
        matrix, views = self._matrix(), self._scan.views.all()
        # Each view is one more chance to resemble somebody: so many scans, not views, are to raise the question.
        threshold = self._thresholds.identification(len(matrix) * len(views), matrix.calibration).value
        return find_look_alikes(self.person, views, matrix, threshold)

    def resolve(self, name: str, resolution: Resolution) -> None:
        """Decide on a look-alike: the same person, to whom the views then go, or somebody else, flagged as a pair.

        Raises:
            IdentityConflict: They are the same, but two people of the pool would have to become one.
        """
        name = clean_name(name)
        if resolution == "same":
            self._check_one_person(name)
        self._resolved[name] = resolution

    def commit(self) -> int:
        """Store the chosen views, and who looks alike, in one transaction, as the pool is then.

        Returns:
            How many were stored.

        Raises:
            ScanIncomplete: Too many directions are missing, and a partial scan was not asked for.
            IdentityConflict: A look-alike is not resolved, or somebody else is stored under the name meanwhile.
            PoolChanged: Whoever is to get the views is no longer in the pool. Nothing was stored.
        """
        if not self.can_finish:
            raise self._incomplete()
        while True:
            revision = self._pool.revision()  # first: what is read after it is of this revision, or register refuses
            self._check_identity()
            try:
                stored = self._pool.register(
                    self._goes_to,
                    self._samples(),
                    self._analyzer.space,
                    look_alikes=self._different(),
                    expected_revision=revision,
                )
            except PoolChanged:
                continue  # another process was faster: look again
            self._must_be_known = self._must_be_known or stored > 0
            return stored

    def _check_identity(self) -> None:
        """Refuse to store the views if the pool as it is now speaks against it."""
        name = self._goes_to
        if (self._must_be_known or name != self.person) and not self._is_known(name):
            raise PoolChanged(
                f"Nothing was stored of {name}",
                why=f"{name} is no longer in the pool: removed, renamed or merged meanwhile",
                fix="Scan again if that is wanted",
            )
        self._check_one_person(name)
        front = self._scan.views.at(None)
        if name == self.person and front is not None and self._known().contradicts(front.sample.embedding):
            raise IdentityConflict(
                f"The scan does not look like {name} of the pool",
                why=f"somebody else is stored as {name}",
                fix="Scan again under another name",
            )
        unresolved = [alike.person for alike in self.lookalikes() if not self._is_resolved(alike.person)]
        if unresolved:
            raise IdentityConflict(
                f"{self.person} looks like {' and '.join(unresolved)} of the pool",
                why="nobody has said whether they are the same person",
                fix="Say whether they are the same person, or two who look alike",
            )

    def _check_one_person(self, name: str) -> None:
        rival = next((taken for taken in self._already_the_same() if taken != name), None)
        if rival is None:
            return
        raise IdentityConflict(
            f"{name} and {rival} are both in the pool",
            why="they would have to become one person",
            fix=f"Make them one, then scan again: facepool people merge {name!r} {rival!r}",
        )

    def _samples(self) -> list[Sample]:
        return [replace(view.sample, appearance=self._appearance, partial=self._is_partial) for view in self._chosen()]

    def _different(self) -> list[str]:
        """Who looks alike and is somebody else; who is gone needs no flag any more."""
        different = [name for name, resolution in self._resolved.items() if resolution == "different"]
        return [name for name in different if self._is_known(name)]

    def _known(self) -> Known:
        """What the pool has now of the person, for comparison."""
        stored = [] if self.options.force else self._stored()
        return Known(self._vectors(stored), self._thresholds.same_person().value)

    def _matrix(self) -> PoolMatrix:
        matrix = self._pool.matrix()
        check_pool(self._pool, self._analyzer.space)  # each time: what was a new pool may have become another model's
        return matrix

    @property
    def _is_partial(self) -> bool:
        return not self._scan.enough

    @property
    def _goes_to(self) -> str:
        """Whose views they become."""
        return next((name for name, resolution in self._resolved.items() if resolution == "same"), self.person)

    def _already_the_same(self) -> list[str]:
        same = [name for name, resolution in self._resolved.items() if resolution == "same"]
        return [*same, self.person] if self._is_known(self.person) else same

    def _is_resolved(self, name: str) -> bool:
        return name in self._resolved or frozenset((name, self.person)) in self._matrix().look_alikes

    def _is_known(self, name: str) -> bool:
        return any(entry.name == name for entry in self._pool.people())

    def _stored(self) -> list[Template]:
        """What the pool has of whoever gets the views."""
        name = self._goes_to
        return self._pool.templates(name) if self._is_known(name) else []

    def _stored_of_appearance(self) -> list[Template]:
        return [template for template in self._stored() if template.sample.appearance == self._appearance]

    def _vectors(self, templates: list[Template]) -> Floats:
        rows = [template.sample.embedding for template in templates]
        return np.array(rows, np.float32).reshape(len(rows), self._analyzer.space.dimension)

    def _chosen(self) -> list[View]:
        return choose(self._scan.views.all(), self.room, self._vectors(self._stored()))

    def _incomplete(self) -> ScanIncomplete:
        covered = self._scan.covered
        ring = self.options.scan.ring
        missing = [
            direction_words(direction_angle(direction, ring)) for direction, seen in enumerate(covered) if not seen
        ]
        return ScanIncomplete(
            f"The scan of {self.person} is not complete",
            why=f"{sum(covered)} of {len(covered)} directions are captured, not {', '.join(dict.fromkeys(missing))}",
            fix="Scan again and look that way too, or accept what there is with --partial",
        )
