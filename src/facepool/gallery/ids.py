"""Ids of people and templates: random ones in a store, derived ones where files have no room for them."""

from hashlib import sha256
from uuid import UUID, uuid5

_PEOPLE = UUID("5b0c6f7e-3d3a-4c55-9a37-0f6a6a1d7a11")
_TEMPLATES = UUID("0a6c1f0e-94b1-4a7e-8f5e-5c1b0f3f9e2d")


def derived_person_uuid(name: str) -> bytes:
    """The id of a person of whom nothing but the name is known."""
    return uuid5(_PEOPLE, name).bytes


def derived_template_uuid(number: int, embedding: bytes) -> bytes:
    """The id of a template of which nothing but its number and its embedding is known."""
    return uuid5(_TEMPLATES, f"{number}-{sha256(embedding).hexdigest()}").bytes


def uuid_text(uuid: bytes) -> str:
    """A UUID of 16 bytes as it is shown."""
    return str(UUID(bytes=uuid))


def uuid_bytes(text: str) -> bytes | None:
    """The 16 bytes of a UUID as it is shown; None for other text."""
    try:
        return UUID(text).bytes
    except ValueError:
        return None
