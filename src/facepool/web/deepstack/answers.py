"""What DeepStack answers when all is well. ``code``, ``message`` and ``count`` are CodeProject.AI's."""

from typing import Literal

from pydantic import BaseModel, Field


class _Answer(BaseModel):
    success: Literal[True] = True
    code: Literal[200] = 200
    duration: float = Field(default=0, description="Seconds")


class VisionBox(BaseModel):
    """Where a face is, in whole pixels inside the picture."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int


class VisionFace(VisionBox):
    """A face."""

    confidence: float = Field(description="The detector's score, 0 to 1")


class NamedVisionFace(VisionFace):
    """A face, and who it is."""

    confidence: float = Field(description="0.5 or more where facepool names somebody; 0 for `unknown`")
    userid: str = Field(description="The person's name, or `unknown`")
    box: VisionBox = Field(description="The same edges again, where Viseron looks for them")


class VisionFaces(_Answer):
    """Of ``face``, largest face first."""

    predictions: list[VisionFace]
    count: int


class NamedVisionFaces(_Answer):
    """Of ``face/recognize``, largest face first."""

    predictions: list[NamedVisionFace]
    count: int
    message: str


class FaceAdded(_Answer):
    """Of ``face/register``."""

    message: str


class UserIds(_Answer):
    """Of ``face/list``."""

    faces: list[str]


class UserGone(_Answer):
    """Of ``face/delete``."""


class VisionMatch(_Answer):
    """Of ``face/match``."""

    similarity: float = Field(description="0 to 1; 0.5 or more: one person")
