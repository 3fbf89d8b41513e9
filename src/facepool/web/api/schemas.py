"""What the REST routes take and give, as it stands in the OpenAPI document. Words are those of the library.

Boxes and landmarks are in pixels of the picture as it is shown (EXIF orientation applied), similarities are cosines in
-1..1, qualities 0..100, times ISO 8601 in UTC.
"""

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from facepool.enroll.pictures import Outcome
from facepool.evaluation.calibration import MAX_TARGET_FPIR
from facepool.gallery.checks import NAME_LIMIT
from facepool.gallery.consents import METHOD_LIMIT, TEXT_LIMIT
from facepool.gallery.details import EXTERNAL_ID_LIMIT, NOTES_LIMIT, TAGS_LIMIT
from facepool.groups.correct import LAST
from facepool.thresholds import TARGET_FPIR
from facepool.types import Reason
from facepool.web.problems import Answers
from facepool.web.services.activity import ActivityEntry
from facepool.web.services.following import BehindInfo
from facepool.web.services.liveness.record import LivenessRecord
from facepool.web.services.visits import Visit

Name = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT, description="A person's name, in any script")]
PersonId = Annotated[
    str, Field(description="The same for as long as the pool has the person, whatever they are called")
]
Share = Annotated[float, Field(ge=0, le=1)]


class Body(BaseModel):
    """What a client sends; a field that nobody knows is an error, not a wish that is ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def _to(digits: int) -> AfterValidator:
    return AfterValidator(lambda value: round(value, digits))


Tenths = Annotated[float, _to(1)]
FourDigits = Annotated[float, _to(4)]


class PoseAngles(BaseModel):
    """Head pose in degrees: yaw to the picture's right side, pitch upwards, roll clockwise."""

    yaw: Tenths
    pitch: Tenths
    roll: Tenths


class FoundFace(BaseModel):
    """A face of a picture."""

    bbox: tuple[float, float, float, float] = Field(description="left, top, right, bottom; may reach beyond the border")
    score: Share = Field(description="The detector's own score")
    landmarks: list[tuple[float, float]] = Field(
        description="Image-left eye, image-right eye, nose tip, image-left and image-right mouth corner"
    )


class EmbeddedFace(FoundFace):
    """A face with its vector, and how well it was captured."""

    embedding: list[float] = Field(description="L2 norm 1, comparable within one embedding space only")
    quality: float = Field(ge=0, le=100, description="How well it is to be recognized; 100 is best")
    pose: PoseAngles | None


_PASSIVE = "Of networks of the operator's (task `pad`), 1: alive; an opinion that decides nothing. null: there are none"


class CandidatePerson(BaseModel):
    """Somebody whom a face resembles."""

    person: str
    person_id: PersonId
    similarity: float


class Decided(BaseModel):
    """A decision: a person, or unknown and why."""

    person: str | None = Field(description="null: unknown")
    person_id: str | None = Field(description="The same for as long as the pool has the person; null: unknown")
    similarity: float | None = Field(description="Of the best candidate; null with an empty pool")
    threshold: float = Field(description="From which similarity on the best candidate is a match")
    margin: float | None = Field(description="Best candidate minus runner-up")
    reason: Reason = Field(description="`match` is the only one that names a person")
    candidates: list[CandidatePerson] = Field(description="The nearest people, best first")
    passive: Share | None = Field(None, description=f"How alive the face looks. {_PASSIVE}")


class NamedFace(Decided, FoundFace):
    """A face with a decision: a person, or unknown and why."""


class LivePerson(Decided):
    """Who has made a liveness check."""

    liveness: LivenessRecord


class _PictureWithFaces(BaseModel):
    """A picture that was looked at."""

    name: str = Field(description="As the client called it")
    width: int
    height: int
    turn: int = Field(
        description="Degrees clockwise by which it was turned to find its faces upright; 90, 180 or 270 for one on its "
        "side or head. Boxes are in the picture as it lies"
    )


class DetectedPicture(_PictureWithFaces):
    """Its faces, best detector score first."""

    faces: list[FoundFace]


class EmbeddedPicture(_PictureWithFaces):
    """Its faces with their vectors, best detector score first."""

    faces: list[EmbeddedFace]


class RecognizedPicture(_PictureWithFaces):
    """Its faces with a decision each, best detector score first."""

    faces: list[NamedFace]


class Detected(BaseModel):
    """The faces of each picture, in the order in which the pictures came."""

    pictures: list[DetectedPicture]


class Embedded(BaseModel):
    """The faces of each picture with their vectors."""

    space: str = Field(description="Which vectors these are comparable with")
    pictures: list[EmbeddedPicture]


class Recognized(BaseModel):
    """The faces of each picture with a decision each."""

    pictures: list[RecognizedPicture]
    live: LivePerson | None = Field(description="Who has made the liveness check; null: none was sent")
    behind: BehindInfo | None = Field(None, description="null: there is no index, or it has everybody")


class Verified(BaseModel):
    """Whether the largest faces of two pictures, or of one and of who made a liveness check, are one person's."""

    match: bool
    similarity: float
    threshold: float
    meaning: str = Field(description="What the threshold stands for")
    faces: list[FoundFace] = Field(description="What was compared, one of each picture")
    passive: list[Share] | None = Field(None, description=f"How alive the faces of the pictures look. {_PASSIVE}")
    liveness: LivenessRecord | None = Field(description="The liveness check; null: none was sent")


class GroupedFace(BaseModel):
    """A face of one of the pictures of a request."""

    picture: int = Field(ge=0, description="Which picture of the request, from 0 on")
    bbox: tuple[float, float, float, float] = Field(description="left, top, right, bottom; may reach beyond the border")
    score: Share = Field(description="The detector's own score")


class FaceGroup(BaseModel):
    """Faces that show one person, as far as one can tell."""

    id: int = Field(ge=1, description="Of this answer only")
    faces: list[GroupedFace]


class Grouped(BaseModel):
    """The faces of some pictures, put together by whom they show; nobody is named, and nothing is stored."""

    groups: list[FaceGroup] = Field(description="The largest first")
    ungrouped: list[GroupedFace] = Field(description="Faces that are like no other")


class RingPlace(BaseModel):
    """One place of the ring around straight ahead."""

    direction: int
    amplitude: Literal["near", "far"]
    angle_deg: float = Field(description="0 is the picture's right side, 90 up")
    quality: Tenths | None = Field(description="Of the view there; null: none looks that way")


class PersonSummary(BaseModel):
    """Somebody of the pool."""

    person: str
    person_id: PersonId
    samples: int = Field(description="Stored views")
    created_at: str | None
    notes: str = Field(description="What somebody has written of them")
    tags: list[str] = Field(description="Words by which people are told apart, sorted")
    external_id: str | None = Field(description="What another system calls them; nobody else has it")
    look_alikes: list[str] = Field(description="People whom they are easily taken for")
    face: int | None = Field(description="Number of the sample whose picture shows them best; null: no picture is kept")
    coverage: Share = Field(description="Share of the ring's directions that some view looks to")
    ring: list[RingPlace]


class PeoplePage(BaseModel):
    """A page of the pool's people, by name."""

    persons: list[PersonSummary]
    total: int = Field(description="How many there are, on all pages")
    page: int
    size: int
    next: str | None = Field(description="What `after` has to be for those who follow; null: nobody does")


class StoredSample(BaseModel):
    """A stored view."""

    id: int
    uuid: str = Field(description="The same in every pool that the view is copied to")
    source: str
    frame: int
    time_s: float | None
    pose: PoseAngles | None
    quality: Tenths | None
    size_px: Tenths | None
    score: FourDigits | None
    appearance: str = Field(description="Which of the person's looks it shows; empty for the usual one")
    partial: bool = Field(description="From a guided scan that was accepted although directions were missing")
    learned_from: str | None = Field(
        description="`uuid` of the registered view near which it was learned, after a yes; null: it was registered"
    )
    created_at: str | None
    model: str | None
    picture: bool = Field(description="Whether a picture of the face is kept")


class PersonDetail(PersonSummary):
    """Somebody of the pool with their views."""

    views: list[StoredSample]


class NewPerson(Body):
    """Somebody who is to be known, without a view yet."""

    person: Name


class Describing(Body):
    """What is to be known of somebody from now on; what is left out, or null, stays as it is."""

    person: Name | None = Field(default=None, description="Another name")
    notes: str | None = Field(default=None, max_length=NOTES_LIMIT, description="Any text; empty: none")
    tags: list[str] | None = Field(
        default=None, max_length=TAGS_LIMIT, description="All of their tags, of at most 50 characters each"
    )
    external_id: str | None = Field(
        default=None, max_length=EXTERNAL_ID_LIMIT, description="What another system calls them; empty: nothing"
    )


class NewConsent(Body):
    """To what somebody has agreed."""

    text: str = Field(min_length=1, max_length=TEXT_LIMIT, description="What they have agreed to, word by word")
    given_at: str = Field(
        default="", max_length=40, description="When, ISO 8601; without a zone, in UTC; empty: now, when it is recorded"
    )
    method: str = Field(default="", max_length=METHOD_LIMIT, description="How, such as `signed form`")


class RecordedConsent(BaseModel):
    """To what somebody has agreed, and who has recorded it."""

    id: str
    given_at: str = Field(description="ISO 8601 in UTC")
    recorded_by: str = Field(description="Name of the key, `local`, or a user of the machine")
    method: str
    text: str


class Holding(BaseModel):
    """What one place keeps of a person."""

    kind: str
    what: str = Field(description="The kind in words")
    place: str = Field(description="The name of a file or database")
    count: int | None = Field(description="How many; null: it could not be found out, `detail` says why")
    detail: str
    since: str | None = Field(description="Of when the oldest is, ISO 8601 in UTC")
    until: str | None = Field(description="Of when the newest is")
    stays: str = Field(description="Until when it stays by itself")
    removed_by: str = Field(description="What removes it before that")


class PrivacyReport(BaseModel):
    """All that is kept of a person, as far as the server knows."""

    person: str
    person_id: str | None = Field(description="null: the person is not in the pool any more")
    kept: list[Holding]
    elsewhere: list[str] = Field(description="What nobody here can look into, one line each")


class Merging(Body):
    """Who gets the views."""

    into: Name


class Merged(BaseModel):
    """What a merge did."""

    person: str
    person_id: PersonId
    moved: int


class Erased(BaseModel):
    """What is gone."""

    person: str
    samples: int
    activity: int = Field(description="Entries of the activity that spoke of them")
    still_in_index: int = Field(
        0, description="Templates that left the pool and may still be in its index, which is away; it is tried again"
    )
    notes: list[str] = Field(description="What could not be done, for example because another program reads the pool")


class ErasedSample(BaseModel):
    """Which view is gone."""

    person: str
    id: int
    notes: list[str]


class OfferedPicture(BaseModel):
    """What became of one picture."""

    name: str
    outcome: Outcome | Literal["unreadable", "not_live"] = Field(
        description="`taken` is the only one that stores a view; `not_live`: not the person of the liveness check"
    )
    message: str = Field(description="The outcome in words")
    rival: str | None = Field(description="Whose face it is, for `other_person`")
    similarity: float | None = Field(description="To the rival, or to the person's own nearest view")
    sample: int | None = Field(description="Number of the stored view")
    faces: int = Field(description="How many were found")


class Registered(BaseModel):
    """What a registration stored, and why not more."""

    person: str
    person_id: str | None = Field(description="null: nothing was stored of somebody who is not in the pool")
    stored: int
    pictures: list[OfferedPicture]
    liveness: LivenessRecord | None = Field(description="The liveness check; null: none was sent")


class Space(BaseModel):
    """What vectors must share to be comparable."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    model: str
    dimension: int
    mirrored: bool


class ErrorRate(BaseModel):
    """What a threshold would mean."""

    similarity: float = Field(description="The threshold")
    fpir: float = Field(description="Share of strangers who would be named in the pool as it is now")


class KeptCalibration(BaseModel):
    """What was measured of the pool: counts and rates over everybody."""

    threshold: FourDigits
    target_fpir: float
    interval: tuple[float, float] = Field(description="95 % interval of the share of strangers who are named")
    people: int
    templates: int
    comparisons: int
    borrowed: FourDigits = Field(description="0..1, how much of the tail's shape came from elsewhere than the pool")
    created_at: str


class LookAlikePair(BaseModel):
    """Two people who are easily taken for each other."""

    people: tuple[str, str]
    margin: float = Field(description="By how much one must beat the other to be named")


class PoolInfo(BaseModel):
    """The pool as a whole."""

    name: str
    people: int
    templates: int
    space: Space | None
    threshold: float = Field(description="From which similarity on a face is somebody of the pool")
    meaning: str = Field(description="What the threshold stands for")
    verification_threshold: float = Field(description="From which similarity on two pictures show one person")
    verification_meaning: str
    curve: list[ErrorRate] = Field(description="What other thresholds would mean; empty: nobody has measured it")
    calibration: KeptCalibration | None
    calibratable_from: int = Field(description="How many people a pool needs to be calibrated")
    look_alikes: list[LookAlikePair]
    notes: list[str]


class PoolFile(BaseModel):
    """A pool as a file of a form."""

    file: UploadFile = Field(description="A pool.db", json_schema_extra={"format": "binary"})


class Imported(BaseModel):
    """What came in."""

    created: list[str]
    extended: list[str]
    imported: int = Field(description="Views that came in")
    skipped: int = Field(description="Views that were there already")
    notes: list[str]


class Calibrating(Body):
    """What to calibrate the pool for."""

    target_fpir: Annotated[float, Field(ge=1e-6, le=MAX_TARGET_FPIR)] = TARGET_FPIR
    keep: Annotated[bool, Field(description="false: only measure")] = True


class SimilarPair(BaseModel):
    """Two people whom the calibration found alike."""

    people: tuple[str, str]
    same_person: bool = Field(description="As alike as one person: registered twice, or twins")


class Calibrated(BaseModel):
    """What a calibration measured."""

    calibration: KeptCalibration
    look_alikes: list[SimilarPair]
    kept: bool


class ActivityPage(BaseModel):
    """Who was seen when, newest first."""

    entries: list[ActivityEntry]


class VisitPage(BaseModel):
    """Who was there from when to when, newest first."""

    visits: list[Visit]


class SightingSummary(BaseModel):
    """Somebody who was followed before one camera, from when to when, of whom faces are kept."""

    id: str
    source: str = Field(description="Which camera; `browser` for that of the page")
    since: str = Field(description="ISO 8601 in UTC")
    until: str = Field(description="The same, of when they were last seen")
    person: str | None = Field(description="Who they are taken for; null: nobody known")
    person_id: str | None
    similarity: FourDigits | None = Field(description="Of the decision; null: it compared with nobody")
    threshold: FourDigits | None = Field(description="That it was compared with")
    frames: int = Field(description="How many frames the decision rests on")
    group: int | None = Field(description="Number of the unknown person's group; null: they are in none")
    named_at: str | None = Field(description="When they were named later, or corrected; null: never")
    first_person_id: str | None = Field(description="Whom they were taken for at first, where that was corrected")


class SightingPage(BaseModel):
    """A page of sightings, the one that ended last first."""

    sightings: list[SightingSummary]
    next: str | None = Field(description="What `before` has to be for those that follow; null: none does")


class KeptFace(BaseModel):
    """One of the best faces of a sighting."""

    id: str = Field(description="For its picture")
    quality: Tenths
    pose: PoseAngles | None


class SightingDetail(SightingSummary):
    """A sighting with its faces, best first."""

    faces: list[KeptFace]


class Correcting(Body):
    """Who somebody is who was seen."""

    person: Name | None = Field(description="null: nobody known")
    preview: Annotated[bool, Field(description="Only say what it would do")] = False
    template: Annotated[
        bool, Field(description="Make the best face of the sighting a view of the person, if it is good")
    ] = True
    look_alikes: Annotated[
        bool, Field(description="Flag the person, and whom it was taken for, as look-alikes, whose margin is measured")
    ] = True
    force: Annotated[bool, Field(description="Make the face a view although the pool speaks against it")] = False
    last: Annotated[
        int,
        Field(
            ge=0,
            le=5000,
            description="How many of the newest sightings to look at for others who are named differently by it",
        ),
    ] = LAST


class NamedOtherwise(BaseModel):
    """A sighting that is named differently after a correction."""

    sighting: str
    before: str | None = Field(description="Who the pool names by its faces before; null: nobody")
    after: str | None = Field(description="The same, afterwards")


class Corrected(BaseModel):
    """What a correction did, or would do."""

    sighting: str | None = Field(description="Its id; null: no face was kept, and only the activity is corrected")
    person: str | None = Field(description="Who it is now; null: nobody known")
    previous: str | None = Field(description="Whom it was taken for")
    template: bool = Field(description="Whether a face became a view of the person")
    outcome: Outcome | None = Field(description="What became of the face, as when registering; null: nothing was asked")
    removed: int = Field(description="Views that came from the sighting and left whom it is not")
    look_alikes: tuple[str, str] | None = Field(description="Who are look-alikes by it; null: nobody")
    margin: float | None = Field(
        description="By how much one of them has to beat the other to be named; null: they have too few views for that "
        "to be measured, and it is 0.1"
    )
    again: str | None = Field(description="Who the face would be named next time; null: nobody")
    changes: list[NamedOtherwise] = Field(description="Who else is named differently among those looked at")
    erased: bool = Field(description="The kept faces go for good: nobody known, and `keep_unknown` is off")
    looked_at: int = Field(description="How many other sightings were looked at, the newest first")
    undo: int | None = Field(description="Number by which it is taken back; null: nothing was changed")
    message: str = Field(description="What happened to the face, in one line; empty: nothing is to be said")
    notes: list[str] = Field(description="What could not be done yet")


class DeletedSighting(BaseModel):
    """Which sighting is gone, with its faces."""

    id: str
    notes: list[str]


BYTES = "application/octet-stream"
"""Programs that make clients know a file by this type only, so that it stands beside what files really are."""


def file_of(media_type: str, words: str) -> Answers:
    """An answer that is a file."""
    described = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": words, "content": {media_type: described, BYTES: described}}}


JPEG = file_of("image/jpeg", "The picture")
ZIP = file_of("application/zip", "The archive")
DATABASE_TYPE = "application/vnd.sqlite3"
DATABASE = file_of(DATABASE_TYPE, "The pool.db")


def attachment(name: str) -> dict[str, str]:
    """Headers that make a browser keep the answer under a name, in any script (RFC 6266)."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}", "Cache-Control": "no-store"}


def head_of(media_type: str, name: str) -> Response:
    """The head of an answer to a request for all of it; its length is not known yet."""
    return StreamingResponse(iter(()), media_type=media_type, headers=attachment(name))
