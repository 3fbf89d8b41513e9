"""What clients may ask for in the address."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field, model_validator

DET_PROB_THRESHOLD = 0.8
"""Detector score from which on a box is a face, where a client asks for none."""


class FaceOptions(BaseModel):
    """Which faces of a picture count, and what is told of them."""

    limit: int = Field(0, ge=0, description="Only so many faces, the largest ones; 0: all")
    det_prob_threshold: float = Field(
        DET_PROB_THRESHOLD,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Detector score that makes a face; below the server's own nothing is found",
    )
    face_plugins: str = Field("", description="landmarks, pose, calculator (the embedding), separated by commas")
    status: bool = Field(default=False, description="Tell how long it took, and with what")

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: Any) -> Any:  # noqa: ANN401 -- whatever came in
        """``limit=`` means the default, as it does for CompreFace."""
        return {name: value for name, value in given.items() if value != ""} if isinstance(given, dict) else given

    @property
    def plugins(self) -> frozenset[str]:
        """What was asked for; names that nobody knows do no harm."""
        return frozenset(name.strip() for name in self.face_plugins.split(","))


class RecognizeOptions(FaceOptions):
    """The same, and how many people are told of a face."""

    prediction_count: int = Field(1, ge=1, description="So many people, the most similar ones")
    detect_faces: bool = Field(default=True, description="False: the picture is a face, cut out already")


FaceQuery = Annotated[FaceOptions, Query()]
RecognizeQuery = Annotated[RecognizeOptions, Query()]

RULES = {
    "limit": "Limit should be equal or greater than 0; ",
    "det_prob_threshold": "det_prob_threshold should be between 0.0 and 1.0; ",
    "prediction_count": "prediction_count should be equal or greater than 1; ",
}
"""What is said when a number breaks its rule; of the score, CompreFace itself says nothing and finds nobody."""
