"""Forms of DeepStack's clients: pictures under any name, and fields beside them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field

from facepool.errors import ConfigError
from facepool.gallery import clean_name, known_name
from facepool.web.api.pictures import SentPicture, open_form, picture_of_part
from facepool.web.bodies import BoundedRequest
from facepool.web.deepstack.errors import DeepStackError
from facepool.web.problems import schema_of

_MOST_PICTURES = 100
_MOST_FIELDS = 20
_TEXTS = frozenset({"userid", "min_confidence", "api_key", "admin_key"})
"""Fields that are no pictures, whatever is in them."""


@dataclass(frozen=True, slots=True)
class VisionForm:
    """What a client has sent.

    Attributes:
        pictures: Undecoded, in the order in which they were sent.
        fields: What else was in the form, by name.
    """

    pictures: Sequence[bytes] = ()
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def picture(self) -> bytes:
        """The one picture.

        Raises:
            DeepStackError: There is none.
        """
        if not self.pictures:
            raise DeepStackError("No valid image file found")
        return self.pictures[0]

    @property
    def sent(self) -> list[SentPicture]:
        """All pictures, as other interfaces have them."""
        return [SentPicture("", data) for data in self.pictures]

    @property
    def userid(self) -> str:
        """A new person's name as the pool spells it.

        Raises:
            DeepStackError: It is missing, or nobody can have that name.
        """
        return self._name(clean_name)

    @property
    def known_userid(self) -> str:
        """The name of somebody who may be there; errors as `userid`."""
        return self._name(known_name)

    @property
    def min_confidence(self) -> float:
        """What a client asks for at least; 0 where it does not say.

        Raises:
            DeepStackError: It is no number, or too large a one.
        """
        text = self.fields.get("min_confidence", "").strip()
        try:
            value = float(text or 0)
        except ValueError as error:
            raise DeepStackError("Invalid value for min_confidence") from error
        if math.isnan(value):
            raise DeepStackError("Invalid value for min_confidence")
        if value > 1:
            raise DeepStackError("min_confidence cannot be greater than 1")
        return max(value, 0.0)  # single precision, in which it is compared, has no room for -1e300

    def _name(self, spelled: Callable[[str], str]) -> str:
        name = self.fields.get("userid", "")
        if not name.strip():
            raise DeepStackError("userid not specified")
        try:
            return spelled(name)
        except ConfigError as error:
            raise DeepStackError(str(error)) from error


async def read_form(request: BoundedRequest) -> VisionForm:
    """The form of a request; of another kind of body nothing."""
    pictures: list[bytes] = []
    fields: dict[str, str] = {}
    async with open_form(request, most_files=_MOST_PICTURES, most_fields=_MOST_FIELDS) as form:
        for name, value in form.multi_items():
            data = None if name in _TEXTS else await picture_of_part(value)
            if data is not None:
                pictures.append(data)
            elif isinstance(value, str):
                fields.setdefault(name, value)
    return VisionForm(pictures, fields)


class _WithKey(BaseModel):
    api_key: str | None = Field(
        default=None, description="A key, where one is needed and no header has it; within the first 64 KiB"
    )


class VisionKey(_WithKey):
    """A form with nothing but a key."""


class VisionPicture(_WithKey):
    """A picture."""

    image: bytes
    min_confidence: float | None = Field(
        default=None, description="Score of the detector, or confidence of a name, from which on a face counts"
    )


class VisionViews(_WithKey):
    """A picture of somebody; more of them may follow under other names."""

    userid: str = Field(description="The person's name")
    image: bytes


class VisionUser(_WithKey):
    """Somebody."""

    userid: str = Field(description="The person's name")


class VisionPair(_WithKey):
    """Two pictures."""

    image1: bytes
    image2: bytes


FORMS = (VisionKey, VisionPicture, VisionViews, VisionUser, VisionPair)


def form_of(model: type[BaseModel]) -> dict[str, Any]:
    """How a form stands in the description of the interface."""
    return {"requestBody": {"content": {"multipart/form-data": {"schema": schema_of(model)}}}}
