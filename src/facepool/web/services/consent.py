"""To what people agree who are registered by a server: its own text, by a tick."""

from facepool.types import Consent
from facepool.web.problems import InvalidRequest
from facepool.web.services import Services
from facepool.web.services.keys import Caller

METHOD = "tick on the page, or by a program"


def agreed(services: Services, caller: Caller, ticked: bool) -> Consent | None:  # noqa: FBT001 -- a tick
    """The record of somebody who has agreed to the server's text; None: they have not.

    Raises:
        InvalidRequest: The server has no text.
    """
    if not ticked:
        return None
    if not services.consent_text:
        raise InvalidRequest(
            "Nobody can agree to the server's text", why="it has none: --consent-text says which", fix="Leave it out"
        )
    return Consent(services.consent_text, caller.name, method=METHOD)
