"""How a liveness result looks in answers, in the activity and in the audit log."""

import json
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field


class LivenessRecord(BaseModel):
    """What a liveness check has found. Nothing of it tells who the person is."""

    passed: bool
    method: str = Field(description="`challenge`; `challenge_partial` for people who cannot turn, which is weaker")
    reason: str = Field(description="`live`, or why it is not taken for that")
    score: float | None = Field(description="0..1; higher is more alive")
    flatness: float | None = Field(description="How well the motion fits a flat picture's; null: it was not measured")
    steps: int = Field(description="How many directions were asked for")
    steps_passed: int = Field(description="How many were followed")
    passive: float | None = Field(
        description="What a network for pictures says beside, which decides nothing; null: none"
    )


def _of_text(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


KeptLiveness = Annotated[
    LivenessRecord | None, BeforeValidator(_of_text), Field(description="The liveness check; null: there was none")
]
"""As it comes out of a column of text."""
