"""Subjects and image ids of CompreFace as people and templates of a pool."""

from uuid import UUID

from facepool.errors import ConfigError
from facepool.gallery import Pool, clean_name
from facepool.web.compreface.errors import invalid, subject_not_found

EMPTY_NAME = "Subject name is empty"
_LARGEST_NUMBER = 2**63 - 1


def image_id(template_id: int) -> str:
    """The id of a template for clients, who expect a UUID."""
    return str(UUID(int=template_id))


def template_id(image: UUID) -> int | None:
    """The number of a template; None for a UUID that no template can have."""
    return image.int if 0 < image.int <= _LARGEST_NUMBER else None


def usable(subject: str, ending: str = "") -> str:
    """A subject's name as the pool spells it.

    Raises:
        CompreFaceError: Nobody can have that name.
    """
    if not subject.strip():
        raise invalid(EMPTY_NAME + ending)
    try:
        return clean_name(subject)
    except ConfigError as error:
        raise invalid(str(error)) from error


def find(pool: Pool, subject: str) -> str | None:
    """Who has that name; CompreFace does not tell upper from lower case, so nobody else is found next to a namesake."""
    names = [person.name for person in pool.people()]
    if subject in names:
        return subject
    folded = subject.casefold()
    return next((name for name in names if name.casefold() == folded), None)


def known(pool: Pool, subject: str) -> str:
    """The same, of somebody who has to be there.

    Raises:
        CompreFaceError: Nobody has that name.
    """
    found = find(pool, subject)
    if found is None:
        raise subject_not_found(subject)
    return found
