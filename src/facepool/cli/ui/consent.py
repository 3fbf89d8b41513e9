"""To what somebody has agreed, as commands are told it."""

import getpass

from facepool.gallery.consents import clean_consent, text_of
from facepool.gallery.notices import COMMAND_LINE
from facepool.types import Consent


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
    return clean_consent(Consent(text_of(told), _user(), given_at, method))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # of a container without a name for its user
        return COMMAND_LINE
