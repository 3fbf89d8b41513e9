"""What a request brings of a liveness check: the person who has made it is compared, and no picture of anybody.

`look` comes before work is spent on the request, `take` after its pictures were looked at, so that a picture that
cannot be read costs nobody a check; whoever takes a result first has it.
"""

from typing import Annotated

from fastapi import Depends, Header, Query
from starlette.concurrency import run_in_threadpool

from facepool.recognize.verify import cosine
from facepool.types import Floats
from facepool.web.middleware.authentication import Share
from facepool.web.services import CurrentServices, Services
from facepool.web.services.keys import Caller
from facepool.web.services.liveness.results import LivenessNeeded, PassedCheck

LONGEST_TOKEN = 200
_WORDS = "The token that a liveness check has ended with; it is used once"


class Proof:
    """Takes the liveness checks of one client; in a thread.

    Args:
        services: Of the collection.
        client: Whose checks they have to be.
    """

    def __init__(self, services: Services, client: str) -> None:
        self._services = services
        self._client = client

    def look(self, token: str) -> None:
        """Make sure that there is a check where the server asks for one, and that it could be used.

        Args:
            token: As it was sent; empty: none.

        Raises:
            LivenessNeeded: There is none.
            LivenessUnknown: It is none of this server's for this client and collection.
            LivenessOver: It was used, or has expired.
        """
        if token:
            self._services.liveness.results.look(token, self._client)
        elif self._services.settings.require_live:
            raise needed()

    def take(self, token: str) -> PassedCheck | None:
        """The person who has made the check, who is given out once; None: no token was sent, and none is needed.

        Raises:
            LivenessNeeded: None was sent, and the server asks for one.
            LivenessUnknown: It is none of this server's for this client and collection.
            LivenessOver: It was used, or has expired.
        """
        if token:
            return self._services.liveness.results.use(token, self._client)
        self.look(token)
        return None

    def note(self, caller: Caller, action: str, seen: PassedCheck | None, person: str = "") -> None:
        """Have the audit log say what a check was used for; nothing where there was none."""
        if seen is not None:
            self._services.audit.note(caller, action, person, liveness=seen.liveness)

    def shows(self, seen: PassedCheck, embedding: Floats) -> bool:
        """Whether a face is that of the person who has made the check."""
        return cosine(seen.embedding, embedding) >= self._services.policy.verification().value


class SentProof:
    """What a request brings of a check.

    Args:
        proof: Of the client.
        token: As it was sent; empty: none.
    """

    def __init__(self, proof: Proof, token: str) -> None:
        self._proof = proof
        self._token = token
        self.shows = proof.shows

    @property
    def given(self) -> bool:
        """Whether a token was sent."""
        return bool(self._token)

    async def look(self) -> None:
        """`Proof.look`."""
        if self._token:
            await run_in_threadpool(self._proof.look, self._token)
        else:
            self._proof.look("")

    async def take(self) -> PassedCheck | None:
        """`Proof.take`."""
        return await run_in_threadpool(self._proof.take, self._token) if self._token else None

    async def note(self, caller: Caller, action: str, seen: PassedCheck | None, person: str = "") -> None:
        """`Proof.note`."""
        if seen is not None:
            await run_in_threadpool(self._proof.note, caller, action, seen, person)


async def proof_of(
    services: CurrentServices,
    share: Share,
    in_header: Annotated[str, Header(alias="Facepool-Liveness", max_length=LONGEST_TOKEN, description=_WORDS)] = "",
    in_query: Annotated[
        str, Query(alias="liveness", max_length=LONGEST_TOKEN, description="The same, in the address")
    ] = "",
) -> SentProof:
    """The check that a request brings, looked at.

    Raises:
        LivenessNeeded: There is none, and the server asks for one.
        LivenessUnknown: It is none of this server's for this client and collection.
        LivenessOver: It was used, or has expired.
    """
    proof = SentProof(Proof(services, share), in_header or in_query)
    await proof.look()
    return proof


LiveProof = Annotated[SentProof, Depends(proof_of)]


async def no_check_needed(services: CurrentServices) -> None:
    """For routes that cannot be told of a check: other programs' interfaces, and cameras of clients.

    Raises:
        LivenessNeeded: The server asks for one.
    """
    if services.settings.require_live:
        raise needed()


NO_CHECK_NEEDED = Depends(no_check_needed)


def needed() -> LivenessNeeded:
    """The server asks for a check, and there is none."""
    return LivenessNeeded(
        "A liveness check is needed",
        why="this server takes nobody's word for being there (--require-live)",
        fix="Make one at /v1/liveness, and send its token as Facepool-Liveness",
    )
