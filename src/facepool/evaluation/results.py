"""What an evaluation found: frozen data, which the report shows and which becomes ``report.json``.

Arrays with one row a picture, a comparison or a search stay arrays; what people read is counted and rounded in
``to_json``. A picture in which no face was found keeps its row: nothing that was asked for is dropped from a rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facepool.evaluation.average_precision import PrecisionRecall
from facepool.evaluation.bootstrap import IdentificationIntervals, Interval, VerificationIntervals
from facepool.evaluation.discard import Breakdown, DiscardCurve
from facepool.evaluation.metrics import EqualError, ErrorCurve, FoldAccuracy, OperatingPoint
from facepool.evaluation.open_set import IdentificationPoint, MatedSearches, OpenSetCurve
from facepool.evaluation.ranking import Values
from facepool.thresholds import Threshold
from facepool.types import Floats, Indices, Mask

NOT_ACQUIRED = float("-inf")
"""The similarity of a comparison of which one side has no face: below every threshold, so that it never matches."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was run, on what, so that somebody else can run it again.

    Attributes:
        command: The whole command line.
        subject: What was evaluated: the path of a pairs file, a folder or ground truth.
        detector: Its name.
        embedder: Its name; empty where nothing was embedded.
        space: The embedding space, for people; empty where nothing was embedded.
        runs_on: Engine and device.
        detection: What counts as a face: option to value.
        versions: Program to version: facepool, Python, the engines, the machine's system.
        started_at: ISO 8601 in UTC with seconds.
        seconds: How long it took, cached pictures included.
        from_cache: How many pictures were not looked at again because an earlier run had.
        face_choice: How faces were chosen where a picture has several.
    """

    command: str
    subject: str
    detector: str
    embedder: str
    space: str
    runs_on: str
    detection: Mapping[str, object]
    versions: Mapping[str, str]
    started_at: str
    seconds: float = 0.0
    from_cache: int = 0
    face_choice: str = "of several faces the one that is largest and nearest the centre"


@dataclass(frozen=True, slots=True)
class Captures:
    """The pictures of a run and the face that was taken from each, one row a picture.

    Attributes:
        paths: N files.
        people: N names; who a picture shows by its protocol.
        problems: N reasons why there is no face, for people; empty where there is one.
        embeddings: (N, D) float32, L2 norm 1; zeros without a face.
        boxes: (N, 4) float32 xyxy in pixels of the picture; NaN without a face.
        face_counts: (N,) how many faces were found.
        sizes_px: (N,) float32, shorter side of the box; NaN without a face.
        qualities: (N,) float32, 0..100; NaN without a face.
        yaws: (N,) float32, degrees, see ``facepool.types.Pose``; NaN where unknown.
        pitches: (N,) float32, likewise.
    """

    paths: tuple[Path, ...]
    people: tuple[str, ...]
    problems: tuple[str, ...]
    embeddings: Floats
    boxes: Floats
    face_counts: Indices
    sizes_px: Floats
    qualities: Floats
    yaws: Floats
    pitches: Floats

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    @property
    def acquired(self) -> Mask:
        """(N,) whether a face was found."""
        return np.asarray(self.face_counts > 0)

    @property
    def failures(self) -> list[int]:
        """Rows of the pictures without a face."""
        return [int(row) for row in np.flatnonzero(~self.acquired)]


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Pairs of pictures, one row a pair.

    Attributes:
        first: (P,) rows of ``Captures``.
        second: (P,) likewise.
        same: (P,) whether both show one person.
        similarities: (P,) float32 in -1..1; ``NOT_ACQUIRED`` where a side has no face.
        weights: (P,) float64, how many pairs each one stands for: 1, but where all pairs of a folder are too many.
        exact_from: Impostor pairs at this similarity or above are all here; minus infinity where all are.
        fold_of: (P,) number of the fold; None where the protocol has none.
        left_out: Number of pairs left out because a picture is not there.
    """

    first: Indices
    second: Indices
    same: Mask
    similarities: Floats
    weights: Values
    exact_from: float = float("-inf")
    fold_of: Indices | None = None
    left_out: int = 0

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.same)

    @property
    def genuine(self) -> Floats:
        """Similarities of the pairs that show one person; they have equal weights."""
        return np.asarray(self.similarities[self.same])

    @property
    def impostor(self) -> Floats:
        """Similarities of the pairs that show two."""
        return np.asarray(self.similarities[~self.same])

    @property
    def impostor_weights(self) -> Values:
        """How many pairs each of those stands for."""
        return np.asarray(self.weights[~self.same])

    @property
    def genuine_count(self) -> int:
        """Number of pairs that show one person."""
        return round(float(self.weights[self.same].sum()))

    @property
    def impostor_count(self) -> int:
        """Number of pairs that show two."""
        return round(float(self.impostor_weights.sum()))


@dataclass(frozen=True, slots=True)
class DefaultThreshold:
    """What facepool does when nobody tells it a threshold, held against this data.

    Attributes:
        threshold: The threshold and what it promises.
        false_matches: The share of impostor comparisons (1:1, FMR) or of strangers (1:N, FPIR) that pass it.
        misses: The share of genuine comparisons (FNMR) or of registered people's pictures (FNIR) that do not.
    """

    threshold: Threshold
    false_matches: float
    misses: float


@dataclass(frozen=True, slots=True)
class VerificationResults:
    """1:1: of a pairs file or of all pairs of a folder.

    Attributes:
        run: What was run.
        captures: The pictures.
        comparisons: The pairs.
        curve: Both errors at every threshold.
        eer: Where they are equal.
        points: TAR at the false match rates that were asked for.
        accuracy: Of the folds; None where the protocol has none.
        intervals: Of the figures above, by bootstrap over people.
        default: What ``facepool verify`` does here.
        by_pose: Misses at the default threshold by the larger yaw of a genuine pair's faces, in degrees to either side.
        by_quality: Likewise by the lesser of their qualities, 0..100.
        discard: What is left of those misses when the pairs of least quality are left out.
    """

    run: Run
    captures: Captures
    comparisons: Comparisons
    curve: ErrorCurve
    eer: EqualError
    points: tuple[OperatingPoint, ...]
    accuracy: FoldAccuracy | None
    intervals: VerificationIntervals
    default: DefaultThreshold
    by_pose: Breakdown
    by_quality: Breakdown
    discard: DiscardCurve


@dataclass(frozen=True, slots=True)
class Gallery:
    """Who was registered for an identification run.

    Attributes:
        people: Names of those who are in it, sorted.
        rows: (T,) rows of ``Captures`` that became templates.
        failed: Names of those who are not, because no picture that was meant for it has a face (failure to enroll).
        templates_asked: How many pictures of each were meant for it.
    """

    people: tuple[str, ...]
    rows: Indices
    failed: tuple[str, ...]
    templates_asked: int


@dataclass(frozen=True, slots=True)
class Probes:
    """The searches of an identification run, one row a probe.

    Attributes:
        rows: (Q,) rows of ``Captures``.
        mated: (Q,) whether the person is among those who were to be registered; all others are strangers.
        right: (Q,) float32, similarity to the person themselves; ``NOT_ACQUIRED`` for strangers, for people who
            could not be registered, and without a face.
        right_rows: (Q,) rows of ``Captures``: the template that it comes from; -1 where there is none.
        other: (Q,) float32, similarity to the nearest of all others; ``NOT_ACQUIRED`` without a face.
        other_rows: (Q,) rows of ``Captures``: the template that it comes from; -1 where there is none.
        ranks: (Q,) how many others are as similar or more, plus 1; 0 where there is no similarity to the right one.
    """

    rows: Indices
    mated: Mask
    right: Floats
    right_rows: Indices
    other: Floats
    other_rows: Indices
    ranks: Indices

    def __len__(self) -> int:
        """Number of probes."""
        return len(self.rows)

    @property
    def searches(self) -> MatedSearches:
        """The registered people's probes alone."""
        return MatedSearches(self.right[self.mated], self.other[self.mated], self.ranks[self.mated])

    @property
    def strangers(self) -> Floats:
        """The best similarity of each stranger to anybody."""
        return np.asarray(self.other[~self.mated])


@dataclass(frozen=True, slots=True)
class IdentificationResults:
    """Open-set 1:N: registered people and strangers against a gallery.

    Attributes:
        run: What was run.
        captures: The pictures.
        gallery: Who was registered, and who could not be.
        probes: The searches.
        curve: Both errors at every threshold.
        points: FNIR at the false positive rates that were asked for.
        rank_one: Share of the registered people's probes that are nearest to the right person, whatever the threshold.
        intervals: Of the figures above, by bootstrap over people.
        default: What ``facepool recognize`` does with a pool of this size, before any calibration.
    """

    run: Run
    captures: Captures
    gallery: Gallery
    probes: Probes
    curve: OpenSetCurve
    points: tuple[IdentificationPoint, ...]
    rank_one: float
    intervals: IdentificationIntervals
    default: DefaultThreshold


@dataclass(frozen=True, slots=True)
class FacesOfSize:
    """Detection of the faces of some range of sizes; those of other sizes count neither way.

    Attributes:
        at_least_px: Shorter side of the annotated box, from here on.
        below_px: Up to here, exclusive; infinite for the largest.
        faces: How many are annotated.
        average_precision: 0..1; NaN where none is annotated.
        recall: Share of them that is found at the detector's threshold; NaN likewise.
    """

    at_least_px: float
    below_px: float
    faces: int
    average_precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class PictureOfFaces:
    """One picture of a detection run.

    Attributes:
        path: The file.
        truth: (F, 4) float32 xyxy, annotated boxes that count.
        ignored: (I, 4) float32 xyxy, annotated boxes that count neither way.
        boxes: (N, 4) float32 xyxy, what was found, best score first.
        scores: (N,) float32 in 0..1.
    """

    path: Path
    truth: Floats
    ignored: Floats
    boxes: Floats
    scores: Floats


@dataclass(frozen=True, slots=True)
class DetectionResults:
    """Faces that were found against faces that are annotated.

    Attributes:
        run: What was run.
        pictures: Those that were looked at.
        unreadable: Path to reason of those that could not be decoded; their faces count as missed.
        missing: How many pictures of the ground truth are not there; they are left out.
        curve: Precision and recall at every score, and the average precision.
        interval: Of the average precision, by bootstrap over pictures.
        threshold: The detector's threshold in the settings.
        precision: At that threshold.
        recall: At that threshold.
        by_size: The same by the size of the annotated face.
    """

    run: Run
    pictures: tuple[PictureOfFaces, ...]
    unreadable: Mapping[Path, str]
    missing: int
    curve: PrecisionRecall
    interval: Interval
    threshold: float
    precision: float
    recall: float
    by_size: tuple[FacesOfSize, ...]


Results = VerificationResults | IdentificationResults | DetectionResults
