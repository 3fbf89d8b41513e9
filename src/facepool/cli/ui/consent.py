"""To what somebody has agreed, as commands are told it: the text itself, or the file that has it."""

import getpass
from pathlib import Path

from facepool.errors import InputError, PathMissing
from facepool.files import exists
from facepool.gallery.consents import TEXT_LIMIT, clean_consent
from facepool.gallery.notices import COMMAND_LINE
from facepool.types import Consent

_ENDINGS = frozenset({".txt", ".md", ".text"})
_MOST_BYTES = 4 * TEXT_LIMIT


def consent_of(told: str, method: str = "", given_at: str = "") -> Consent:
    """A record of what was told, recorded by the user of this machine.

    Args:
        told: The text that somebody has agreed to, or the name of the file that has it.
        method: How it was given.
        given_at: When, as the user wrote it; empty: now.

    Raises:
        ConfigError: Something of it cannot be recorded.
        PathMissing: It is the name of a file that is not there.
        InputError: The file is no text.
    """
    return clean_consent(Consent(_text_of(told), _user(), given_at, method))


def _text_of(told: str) -> str:
    if "\n" in told or len(told) > 255:
        return told
    path = Path(told)
    if not (exists(path) and path.is_file()):
        if path.suffix.lower() in _ENDINGS and " " not in told:
            raise PathMissing(
                f"There is no file {path}", fix="Check the spelling of --consent, or give the text in its place"
            )
        return told
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"The text of the consent cannot be read from {path}", why="it is no UTF-8 text", fix="Save it as UTF-8"
        ) from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # of a container without a name for its user
        return COMMAND_LINE
