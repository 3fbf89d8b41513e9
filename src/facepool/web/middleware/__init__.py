"""What every request passes on its way to a route, and its answer on the way back.

In come ASGI scopes of requests and WebSockets; the route finds the path with names intact and the caller in the scope,
or the request was answered here already. Read the table below first.
"""

from dataclasses import dataclass

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from facepool.web.middleware.address import OneAddress
from facepool.web.middleware.authentication import Authenticate
from facepool.web.middleware.bounds import Bounds
from facepool.web.middleware.collections import InCollection
from facepool.web.middleware.guard import Rates, RefuseForeign, SecurityHeaders
from facepool.web.middleware.paths import KeepSlashes
from facepool.web.middleware.proxies import Forwarded
from facepool.web.middleware.traffic import Traffic
from facepool.web.problems import Refusal
from facepool.web.services.collections import Collections

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_SENT_BY_PAGES = ("x-api-key", "authorization", "content-type", "facepool-collection", "facepool-liveness")
_READ_BY_PAGES = ("allow", "content-disposition", "retry-after")


@dataclass(frozen=True, slots=True)
class Deployment:
    """What stands between a server and those who use it.

    Attributes:
        origins: Pages of other sites whose scripts may use the server, by their origins: ``https://host:port``.
        frames: Pages of other sites that may show the server's page in a frame, likewise.
        proxies: Addresses and networks of proxies that are believed.
        path_prefix: Below which path of theirs the server lies, such as ``/faces``; empty: below none.
        insist_on_tls: Browsers that came over TLS once are to come in no other way.
    """

    origins: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    path_prefix: str = ""
    insist_on_tls: bool = True


def middleware(
    collections: Collections, deployment: Deployment, *, most_bytes: int, deadline_s: float, refusal: Refusal
) -> list[Middleware]:
    """The middleware of the server, in the order in which a request passes it.

    ==================  ================================================================================
    Forwarded           undoes what proxies that are believed have changed of the request
    KeepSlashes         keeps a slash inside a person's name apart from those between the parts of a path
    Traffic             counts and logs every request, also those that are refused below
    SecurityHeaders     adds to every answer what the page may do in a browser
    OneAddress          refuses what names no host, several, or very many parameters
    RefuseForeign       refuses pages of other sites, but those that may
    CORSMiddleware      tells browsers which those are; answers what they ask before they ask (preflight)
    Authenticate        finds out who asks, before anything of a body is read; routes read it from the scope
    Rates               refuses clients that ask too often, by their key or else their address
    InCollection        finds out which collection is meant, and opens it; routes read its services from the scope
    Bounds              limits the size of a body, and the time until an answer begins
    ==================  ================================================================================

    Args:
        collections: Those of the server, whose keys, limits and metrics are used.
        deployment: What stands between the server and those who use it.
        most_bytes: Largest body of a request.
        deadline_s: How long a request may take until its answer begins.
        refusal: Makes the answer to a request that is refused.
    """
    services = collections.root
    cors = Middleware(
        CORSMiddleware,
        allow_origins=deployment.origins,
        allow_methods=_METHODS,
        allow_headers=_SENT_BY_PAGES,
        allow_private_network=True,
        expose_headers=_READ_BY_PAGES,
    )
    return [
        Middleware(Forwarded, proxies=deployment.proxies, path_prefix=deployment.path_prefix),
        Middleware(KeepSlashes),
        Middleware(Traffic, metrics=services.metrics),
        Middleware(SecurityHeaders, frames=deployment.frames, insist_on_tls=deployment.insist_on_tls),
        Middleware(OneAddress, refusal=refusal),
        Middleware(RefuseForeign, origins=deployment.origins, refusal=refusal),
        *([cors] if deployment.origins else []),
        Middleware(Authenticate, keys=services.keys, limits=services.limits, refusal=refusal),
        Middleware(Rates, limits=services.limits, refusal=refusal),
        Middleware(InCollection, collections=collections, refusal=refusal),
        Middleware(Bounds, refusal=refusal, most_bytes=most_bytes, deadline_s=deadline_s),
    ]
