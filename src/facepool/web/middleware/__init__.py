"""What every request passes on its way to a route, and its answer on the way back.

In come ASGI scopes of requests and WebSockets; the route finds the path with names intact and the caller in the scope,
or the request was answered here already. Read the table below first.
"""

from starlette.middleware import Middleware

from facepool.web.middleware.authentication import Authenticate
from facepool.web.middleware.bounds import Bounds
from facepool.web.middleware.guard import Guard, SecurityHeaders
from facepool.web.middleware.paths import KeepSlashes
from facepool.web.middleware.traffic import Traffic
from facepool.web.problems import Refusal
from facepool.web.services import Services


def middleware(services: Services, *, most_bytes: int, deadline_s: float, refusal: Refusal) -> list[Middleware]:
    """The middleware of the server, in the order in which a request passes it.

    ==================  ================================================================================
    KeepSlashes         keeps a slash inside a person's name apart from those between the parts of a path
    Traffic             counts and logs every request, also those that are refused below
    SecurityHeaders     adds to every answer what the page may do in a browser
    Guard               refuses pages of other sites, and clients that ask too often
    Authenticate        finds out who asks, before anything of a body is read; routes read it from the scope
    Bounds              limits the size of a body, and the time until an answer begins
    ==================  ================================================================================

    Args:
        services: Whose keys, limits and metrics are used.
        most_bytes: Largest body of a request.
        deadline_s: How long a request may take until its answer begins.
        refusal: Makes the answer to a request that is refused.
    """
    return [
        Middleware(KeepSlashes),
        Middleware(Traffic, metrics=services.metrics),
        Middleware(SecurityHeaders),
        Middleware(Guard, limits=services.limits, refusal=refusal),
        Middleware(Authenticate, keys=services.keys, limits=services.limits, refusal=refusal),
        Middleware(Bounds, refusal=refusal, most_bytes=most_bytes, deadline_s=deadline_s),
    ]
