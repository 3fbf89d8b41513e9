"""The words of the domain as frozen data: what stages hand to each other.

Collections are columnar: one array a column, one row a face. Coordinates are float32 pixels of the source image,
x to the right, y downwards, origin at the top-left corner of the top-left pixel.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, channel order given by the variable's suffix (``_bgr`` or ``_rgb``)."""
_NO_PIXELS: Image = np.empty((0, 0, 3), np.uint8)
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

ChannelOrder = Literal["bgr", "rgb"]
Turn = Literal[0, 90, 180, 270]
"""By how many degrees a picture is turned, clockwise."""
TURNS: tuple[Turn, ...] = (0, 90, 180, 270)

Reason = Literal[
    "match",
    "below_threshold",
    "ambiguous",
    "already_in_view",
    "low_quality",
    "implausible_landmarks",
    "not_live",
    "empty_pool",
]
"""Why a decision came out as it did. ``match`` is the only one that names a person."""


_FPS_UNKNOWN = 25.0
_LINE = 96
"""Characters that a terminal shows on one line."""


def one_line(thing: object, text: str) -> str:
    """How a result is shown in a Python session: ``<Faces: 2 faces, ...>``, on one line, whatever it holds."""
    shown = f"<{type(thing).__name__}: {text}"
    return f"{shown}>" if len(shown) < _LINE else f"{shown[: _LINE - 2]}…>"


def counted(number: int, thing: str) -> str:
    """``no face``, ``1 face``, ``2 faces``."""
    return f"{number or 'no'} {thing}{'' if number < 2 else 's'}"


@dataclass(frozen=True, slots=True)
class PixelFeed:
    """What happens to pixels before a network sees them; the inference engine does it as part of the network.

    Attributes:
        channel_order: Of the planes that the network takes.
        mean: Subtracted from each plane, in that order, on the 0..255 scale.
        scale: Divides what is left.
    """

    channel_order: ChannelOrder
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0


class ReducedImage:
    """A still picture that may have been decoded smaller than it is.

    Its faces are found in fewer pixels, and those that are large in it are cut out of these. For others there is
    ``settle``, which has it decoded as it is.

    Args:
        image_bgr: (h, w, 3) uint8 BGR, upright.
        size_wh: Of the picture, in pixels.
        scale: Pixels of the picture for one of the image, along a side; 1: the image is the picture.
        enlarge: Gives the picture as it is, (H, W, 3).
        forget: It will not be needed as it is.
    """

    def __init__(
        self,
        image_bgr: Image,
        size_wh: tuple[int, int],
        scale: int = 1,
        enlarge: Callable[[], Image] = lambda: _NO_PIXELS,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        self.image_bgr = image_bgr
        self.size_wh = size_wh
        self.scale = scale
        self._enlarge = enlarge
        self._forget = forget

    @classmethod
    def whole(cls, image_bgr: Image) -> Self:
        """One that is a picture as it is."""
        return cls(image_bgr, (image_bgr.shape[1], image_bgr.shape[0]))

    def settle(self, *, whole: bool) -> None:
        """Say once whether the picture is needed as it is; then ``image_bgr`` is that, and ``scale`` is 1.

        Where nobody says, what it takes to have it is kept for as long as the picture is.
        """
        if self.scale == 1:
            return
        if not whole:
            self._forget()
            return
        self.image_bgr = _NO_PIXELS  # both at once would take more room than the picture
        self.image_bgr, self.scale = self._enlarge(), 1


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source.

    Attributes:
        image_bgr: (H, W, 3) uint8, BGR, upright (EXIF orientation applied).
        source: What the user named: a path, a URL or a camera number.
        index: 0-based number of the frame within its source.
        time_s: Seconds since the start of the source, never less than those of the frame before; None for a still
            picture.
    """

    image_bgr: Image
    source: str
    index: int = 0
    time_s: float | None = None

    @property
    def moment_s(self) -> float:
        """Seconds since the start of the source; where nobody knows, as if it gave 25 frames a second."""
        return self.index / _FPS_UNKNOWN if self.time_s is None else self.time_s

    def __repr__(self) -> str:
        """Which frame, and how large."""
        height, width = self.image_bgr.shape[:2]
        time = "" if self.time_s is None else f" at {self.time_s:.3f} s"
        return one_line(self, f"{self.index} of {self.source}{time}, {width} x {height} pixels")


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces of one image, best score first.

    Attributes:
        boxes: (N, 4) float32, xyxy, source pixels; may reach beyond the image where a face is cut by the border.
        scores: (N,) float32 in 0..1, the detector's own score.
        landmarks: (N, 5, 2) float32, source pixels: image-left eye, image-right eye, nose tip, image-left mouth
            corner, image-right mouth corner; left and right in the picture as it is when it is turned.
        turn: Degrees clockwise by which the picture has to be turned for its faces to be upright. Boxes and landmarks
            are in the picture as it lies.
        misfit_mm: (N,) float32, how far the landmarks are from those of a head, see ``facepool.faces.pose``; None
            where it was not measured, as in frames of what moves.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats
    turn: Turn = 0
    misfit_mm: Floats | None = None

    def __post_init__(self) -> None:
        """Refuse columns that do not describe the same faces."""
        count = len(self.scores)
        shapes = (self.boxes.shape, self.scores.shape, self.landmarks.shape)
        if shapes != ((count, 4), (count,), (count, 5, 2)):
            raise ValueError(f"columns of Detections disagree: boxes, scores, landmarks have shapes {shapes}")
        if self.misfit_mm is not None and self.misfit_mm.shape != (count,):
            raise ValueError(f"columns of Detections disagree: {count} faces, {self.misfit_mm.shape} of misfit_mm")

    @classmethod
    def empty(cls) -> Self:
        """No face: arrays of length 0."""
        return cls(
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            landmarks=np.zeros((0, 5, 2), np.float32),
        )

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.scores)

    def __repr__(self) -> str:
        """How many faces."""
        return one_line(self, counted(len(self), "face"))

    def __getitem__(self, rows: Indices | Mask | slice) -> "Detections":
        """The given rows, in the given order: an index array, a boolean mask or a slice."""
        misfit_mm = None if self.misfit_mm is None else self.misfit_mm[rows]
        return Detections(self.boxes[rows], self.scores[rows], self.landmarks[rows], self.turn, misfit_mm)

    @property
    def sizes(self) -> Floats:
        """The shorter side of each box in pixels, (N,) float32."""
        return np.asarray(np.minimum(self.boxes[:, 2] - self.boxes[:, 0], self.boxes[:, 3] - self.boxes[:, 1]))


@dataclass(frozen=True, slots=True)
class AlignedFaces:
    """Faces turned upright and cut out on one template.

    Attributes:
        images_bgr: (N, S, S, 3) uint8, BGR.
        template: Name of the alignment template, part of the embedding space.
        one_view: Each is embedded as it lies here, also where the space averages a face and its mirror image: half the
            work, and a vector of the same space that tells nearly as much (docs/adr/0056-live-cost.md).
    """

    images_bgr: Image
    template: str
    one_view: bool = False

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.images_bgr)

    def __getitem__(self, rows: Indices | Mask | slice) -> "AlignedFaces":
        """The given rows, in the given order: an index array, a boolean mask or a slice."""
        return AlignedFaces(self.images_bgr[rows], self.template, self.one_view)

    def __repr__(self) -> str:
        """How many faces, and how large."""
        height, width = self.images_bgr.shape[1:3]
        return one_line(self, f"{counted(len(self.images_bgr), 'face')} of {width} x {height} pixels")


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """What two embeddings must share to be comparable.

    Attributes:
        model: The embedder's name in the catalog; shown to people, not part of the identity.
        weights_sha256: Digest of the weights as fetched, before any clean-up.
        preprocessing: Version of the pixel preprocessing, for example ``rgb-0-255/1``.
        template: Name of the alignment template, for example ``arcface-112``.
        mirrored: Whether the embedding averages the face and its mirror image.
        dimension: Length of a vector.
    """

    model: str
    weights_sha256: str
    preprocessing: str
    template: str
    mirrored: bool
    dimension: int

    @property
    def id(self) -> str:
        """16 hex digits over everything but the name."""
        identity = [self.weights_sha256, self.preprocessing, self.template, self.mirrored, self.dimension]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        """For people: name, dimension, averaging and id."""
        mirrored = ", mirror-averaged" if self.mirrored else ""
        return f"{self.model} ({self.dimension}-d{mirrored}, space {self.id})"


@dataclass(frozen=True, slots=True)
class Pose:
    """Head pose in degrees, relative to the camera.

    Attributes:
        yaw: Positive when the face turns towards the image's right side.
        pitch: Positive when the face looks up.
        roll: Positive when the head tilts towards the image's right side (clockwise as seen).
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Hint:
    """One line for the person in front of the camera.

    Attributes:
        code: For programs; stays.
        text: For people, in English. ``left`` is the person's own left.
        angle_deg: Where to turn, as on the ring (0: the picture's right side, 90: up); None where it is not about that.
    """

    code: str
    text: str
    angle_deg: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One captured face, ready to become a template.

    Attributes:
        embedding: (D,) float32, L2 norm 1.
        source: Where it came from: path, URL or camera number.
        time_s: Seconds since the start of the source; None for a still picture.
        pose: None where it could not be measured.
        quality: 0..100, higher is better; None where it was not measured.
        score: The detector's score in 0..1.
        size_px: Shorter side of the face's box in source pixels.
        frame: Number of the frame within its source.
        appearance: Which of the person's looks it shows, for example ``glasses``; empty for the usual one.
        partial: Whether it comes from a guided scan that was accepted although directions were missing.
        frontal_pose: What was straight ahead in the guided scan that it comes from, as that camera saw it; None: it
            comes from no scan.
        picture: JPEG of the aligned face, to be kept beside the template; empty: none. Pools give templates out
            without it, and the picture when they are asked for it.
        learned_from: The UUID of the template that it was learned from, if it was; empty: it is somebody's face as it
            was seen.
    """

    embedding: Floats
    source: str = ""
    time_s: float | None = None
    pose: Pose | None = None
    quality: float | None = None
    score: float | None = None
    size_px: float | None = None
    frame: int = 0
    appearance: str = ""
    partial: bool = False
    frontal_pose: Pose | None = None
    picture: bytes = field(default=b"", repr=False)
    learned_from: str = ""

    def __repr__(self) -> str:
        """Where it comes from, and how good it is."""
        return one_line(self, f"frame {self.frame} of {self.source or 'an unknown source'}{_measured(self)}")


def _measured(sample: Sample) -> str:
    quality = "" if sample.quality is None else f", quality {sample.quality:.0f}"
    pose = "" if sample.pose is None else f", yaw {sample.pose.yaw:.0f}, pitch {sample.pose.pitch:.0f}"
    return f"{quality}{pose}"


@dataclass(frozen=True, slots=True)
class SightedFaces:
    """The best faces that were seen of one person before one camera, best first.

    Attributes:
        embeddings: (F, D) float32, rows of L2 norm 1.
        pictures: F times the JPEG of an aligned face (112 x 112).
        qualities: (F,) float32, 0..100, higher is better.
        scores: (F,) float32, the detector's, 0..1.
        sizes_px: (F,) float32, the shorter side of each box in pixels of its frame.
        poses: F head poses; None where one could not be measured.
        ids: F UUIDs, which the pool gives; a face that becomes a template keeps it as that one's. Empty before that.
    """

    embeddings: Floats
    pictures: tuple[bytes, ...]
    qualities: Floats
    scores: Floats
    sizes_px: Floats
    poses: tuple[Pose | None, ...]
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse columns that do not describe the same faces."""
        count = len(self.embeddings)
        columns = (self.pictures, self.qualities, self.scores, self.sizes_px, self.poses, self.ids or self.pictures)
        if self.embeddings.ndim != 2 or any(len(column) != count for column in columns):
            lengths = ", ".join(str(len(column)) for column in columns)
            raise ValueError(f"columns of SightedFaces disagree: {self.embeddings.shape} embeddings, and {lengths}")

    @classmethod
    def empty(cls, dimension: int = 0) -> Self:
        """No face: arrays of length 0."""
        nothing = np.zeros(0, np.float32)
        return cls(np.zeros((0, dimension), np.float32), (), nothing, nothing, nothing, ())

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.embeddings)

    def __getitem__(self, rows: Indices | slice) -> "SightedFaces":
        """The given rows, in the given order: an index array or a slice."""
        chosen = np.arange(len(self))[rows].tolist()
        return SightedFaces(
            self.embeddings[chosen],
            tuple(self.pictures[row] for row in chosen),
            self.qualities[chosen],
            self.scores[chosen],
            self.sizes_px[chosen],
            tuple(self.poses[row] for row in chosen),
            tuple(self.ids[row] for row in chosen) if self.ids else (),
        )

    def __repr__(self) -> str:
        """How many faces, and how good they are."""
        best = ", ".join(f"{quality:.0f}" for quality in self.qualities)
        return one_line(self, counted(len(self), "face") + (f" of quality {best}" if best else ""))


@dataclass(frozen=True, slots=True)
class Sighting:
    """Somebody who was followed before one camera, from when to when.

    Attributes:
        id: A UUID, given when the face is first followed.
        source: The camera, for people, as in the activity.
        since: When they came, ISO 8601 in UTC with milliseconds.
        until: When they were last seen, likewise.
        person: Who they are taken for now; None: nobody who is known.
        person_id: That person's id, see `Person`.
        similarity: Of the decision; None: it compared with nobody.
        threshold: That it was compared with.
        frames: How many frames the decision rests on.
        group: The number of the unknown person's group; None: they are in none.
        named_at: When they were named later, or corrected, ISO 8601 in UTC; empty: never.
        first_person_id: Who they were taken for at first, where that was corrected; None: nobody, or somebody who was
            erased.
    """

    id: str
    source: str
    since: str
    until: str
    person: str | None
    person_id: str | None
    similarity: float | None
    threshold: float | None
    frames: int
    group: int | None = None
    named_at: str = ""
    first_person_id: str | None = None

    def __repr__(self) -> str:
        """Who was seen where, and when."""
        return one_line(self, f"{self.person or 'unknown'} at {self.source}, {self.since} to {self.until}")


@dataclass(frozen=True, slots=True)
class Template:
    """A sample that a pool keeps, with where and when it came from.

    Attributes:
        id: The pool's own number, unique within the pool.
        person: Name of the person it belongs to.
        sample: What was captured.
        created_at: ISO 8601 in UTC with seconds; empty where the format does not keep it.
        model: Name of the embedder that made it; empty where the format does not keep it.
        uuid: Of this template in whatever pool it is; empty before a pool has it.
        person_id: Of the person it belongs to, see `Person`; empty before a pool has it.
    """

    id: int
    person: str
    sample: Sample
    created_at: str = ""
    model: str = ""
    uuid: str = ""
    person_id: str = ""

    def __repr__(self) -> str:
        """Whose it is, and what it shows."""
        made = f", {self.created_at}" if self.created_at else ""
        return one_line(self, f"{self.id} of {self.person}{_measured(self.sample)}{made}")


@dataclass(frozen=True, slots=True)
class Person:
    """One entry of the pool's list.

    Attributes:
        name: Unique within the pool, any script.
        templates: How many are stored.
        created_at: ISO 8601 in UTC with seconds; empty where the format does not keep it.
        id: A UUID that stays the same when the person is renamed.
        notes: What the user has written of them.
        tags: Words by which people are told apart, sorted.
        external_id: What another system calls them; nobody else of the pool has it. Empty: it calls them nothing.
    """

    name: str
    templates: int
    created_at: str = ""
    id: str = ""
    notes: str = field(default="", repr=False)
    tags: tuple[str, ...] = ()
    external_id: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """That somebody has agreed to be registered: which text they have agreed to, when, and who has recorded it.

    It is evidence, not a switch: nobody is recognized or forgotten by it.

    Attributes:
        text: What they have agreed to, word by word; any number of lines.
        recorded_by: Who has recorded it: the name of a key, or of a user of the machine.
        given_at: When it was given, ISO 8601 in UTC with seconds; empty: now, when it is recorded.
        method: How it was given, in few words: ``signed form``. Empty: nobody has said so.
        id: A UUID, which the pool gives and copies keep; empty: it is new.
    """

    text: str = field(repr=False)
    recorded_by: str = field(repr=False)
    given_at: str = ""
    method: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often a pool would name strangers, as measured on the pool itself.

    Counts and rates over everybody: nothing in it is about one person.

    Attributes:
        threshold: Cosine similarity at which the target was expected to be met.
        target_fpir: Share of strangers that may be named.
        low: Lower end of the 95 % interval of the share that is named at the threshold.
        high: Upper end of it.
        points: (share of strangers named, similarity) pairs around the threshold, shares falling, at this pool's size.
        people: How many the pool had.
        templates: How many they had.
        comparisons: Similarities of different people that were looked at.
        borrowed: 0..1, how much of the tail's shape came from elsewhere than the pool.
        created_at: ISO 8601 in UTC with seconds.
        space_id: Of the pool's embedding space; empty where the pool does not know it.
    """

    threshold: float
    target_fpir: float
    low: float
    high: float
    points: tuple[tuple[float, float], ...]
    people: int
    templates: int
    comparisons: int
    borrowed: float
    created_at: str
    space_id: str

    @property
    def date(self) -> str:
        """The day, in UTC: 2026-11-23."""
        return self.created_at[:10]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person that a probe may be.

    Attributes:
        person: Name.
        similarity: Cosine in -1..1 of the probe and the person's templates, merged by the search's rule.
        template_id: The template that spoke loudest.
        score_offset: How much more similarity than usual it takes here: more for a face that resembles everybody, or
            only one of the person's templates; less where it is negative. 0 in small pools and for thresholds of the
            user.
        person_id: Of the person, see `Person`.
    """

    person: str
    similarity: float
    template_id: int
    score_offset: float = 0.0
    person_id: str = ""

    @property
    def normalized_score(self) -> float:
        """What is left of the similarity beyond the score offset; candidates are ranked by it."""
        return self.similarity - self.score_offset


@dataclass(frozen=True, slots=True)
class Decision:
    """Person or unknown, and why.

    Attributes:
        person: Name, or None for unknown.
        similarity: Of the best candidate; None when the pool is empty.
        threshold: The similarity from which on the best candidate is a match: the pool's threshold and the candidate's
            score offset, so it is higher for a face that resembles everybody.
        margin: Best candidate minus runner-up, each less its score offset; None with fewer than two people.
        frames: Number of frames that the decision rests on.
        reason: A code; ``match`` is the only one that comes with a person.
        candidates: The nearest people, best first.
    """

    person: str | None
    similarity: float | None
    threshold: float
    margin: float | None
    reason: Reason
    frames: int = 1
    candidates: Sequence[Candidate] = field(default=())

    def __repr__(self) -> str:
        """Who, why and by which figures."""
        compared = "" if self.similarity is None else f", similarity {self.similarity:.3f}"
        margin = "" if self.margin is None else f", margin {self.margin:.3f}"
        who = f"{self.person or 'unknown'} ({self.reason})"
        return one_line(self, f"{who}{compared}, threshold {self.threshold:.3f}{margin}")

    @property
    def person_id(self) -> str | None:
        """The id of the person, see `Person`; None for unknown."""
        return next((candidate.person_id for candidate in self.candidates if candidate.person == self.person), None)
