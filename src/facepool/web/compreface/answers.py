"""What CompreFace answers when all is well. Fields that are None are left out."""

from pydantic import BaseModel, Field

from facepool.web.services.following import BehindInfo


class FaceBox(BaseModel):
    """Where a face is, in whole pixels inside the picture."""

    probability: float
    x_max: int
    y_max: int
    x_min: int
    y_min: int


class HeadPose(BaseModel):
    """Of the plugin ``pose``, in degrees."""

    pitch: float
    roll: float
    yaw: float


class _FaceOfPicture(BaseModel):
    box: FaceBox
    landmarks: list[tuple[int, int]] | None = None
    pose: HeadPose | None = None
    embedding: list[float] | None = None
    execution_time: dict[str, float] | None = None


class ExaminedFace(_FaceOfPicture):
    """A face of a picture."""


class SubjectSimilarity(BaseModel):
    """Somebody whom a face resembles."""

    subject: str
    similarity: float


class RecognizedFace(_FaceOfPicture):
    """A face with the people nearest to it."""

    subjects: list[SubjectSimilarity]


class MatchedFace(_FaceOfPicture):
    """A face with its similarity to one other face."""

    similarity: float


class VerifiedFace(MatchedFace):
    """A face with its similarity to an example of somebody."""

    subject: str


class DetectedFaces(BaseModel):
    """Of ``detection/detect``."""

    result: list[ExaminedFace]
    plugins_versions: dict[str, str] | None = None


class NearestSubjects(BaseModel):
    """Of ``recognition/recognize``."""

    result: list[RecognizedFace]
    plugins_versions: dict[str, str] | None = None
    index_behind: BehindInfo | None = Field(None, description="facepool's own: whom the answer may miss, and why")


class VerifiedFaces(BaseModel):
    """Of ``recognition/faces/{image_id}/verify``."""

    result: list[VerifiedFace]
    plugins_versions: dict[str, str] | None = None


class Comparison(BaseModel):
    """The one face of a picture held against all faces of another."""

    source_image_face: ExaminedFace
    face_matches: list[MatchedFace]
    plugins_versions: dict[str, str] | None = None


class Compared(BaseModel):
    """Of ``verification/verify``."""

    result: list[Comparison]


class EmbeddingSubjects(BaseModel):
    """An embedding with the people nearest to it."""

    embedding: list[float]
    similarities: list[SubjectSimilarity]


class RecognizedEmbeddings(BaseModel):
    """Of ``recognition/embeddings/recognize``."""

    result: list[EmbeddingSubjects]
    index_behind: BehindInfo | None = Field(None, description="facepool's own: whom the answer may miss, and why")


class EmbeddingSimilarity(BaseModel):
    """An embedding with its similarity to one other."""

    embedding: list[float]
    similarity: float


class ComparedEmbeddings(BaseModel):
    """Of the two that compare embeddings, most similar first."""

    result: list[EmbeddingSimilarity]


class Example(BaseModel):
    """A stored face."""

    image_id: str
    subject: str


class ExamplePage(BaseModel):
    """Some of the stored faces."""

    faces: list[Example]
    page_number: int
    page_size: int
    total_pages: int
    total_elements: int


class SubjectName(BaseModel):
    """One name."""

    subject: str


class SubjectNames(BaseModel):
    """All names."""

    subjects: list[str]


class SizeLimits(BaseModel):
    """Of ``config``, in bytes."""

    clientMaxFileSize: int  # noqa: N815 -- CompreFace's own names
    clientMaxBodySize: int  # noqa: N815


class Consistency(BaseModel):
    """Of ``consistence/status``."""

    demoFaceCollectionIsInconsistent: bool = False  # noqa: N815
    dbIsInconsistent: bool  # noqa: N815
    saveImagesToDB: bool = True  # noqa: N815
    status: str = "OK"


class Updated(BaseModel):
    """Whether anything changed."""

    updated: bool


class Deleted(BaseModel):
    """How many are gone."""

    deleted: int
