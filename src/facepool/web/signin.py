"""Who makes a request: the key in a header, or the session of a browser that signed in."""

from fastapi.requests import HTTPConnection
from starlette.responses import Response

from facepool.web.keys import LOCAL, SESSION_S, Caller, Keys
from facepool.web.limits import Limits
from facepool.web.problems import KeyMissing, KeyUnknown

COOKIE = "facepool_session"
_HINT = "Send it as x-api-key, or sign in on the page; facepool keys add makes one"


def identify(connection: HTTPConnection, keys: Keys, limits: Limits) -> Caller:
    """Who makes a request.

    Raises:
        KeyMissing: A key is needed.
        KeyUnknown: The key is nobody's, or the session has ended.
        TooManyRequests: The address has offered too many wrong keys.
    """
    key, token = key_of(connection), connection.cookies.get(COOKIE)
    needed = keys.required
    if key is None and token is None:
        if needed:
            raise KeyMissing("This takes an API key", fix=_HINT)
        return LOCAL
    caller = keys.find(key) if key is not None else keys.session(token or "")
    if caller is not None:
        return caller
    if not needed:
        return LOCAL  # clients that know no service without a key send any
    if key is not None:
        address = address_of(connection)
        limits.check_failures(address)  # of unknown keys only: others at the address keep theirs
        limits.count_failure(address)
        raise KeyUnknown("There is no such API key", fix=_HINT)
    raise KeyUnknown("You are not signed in any more", fix="Sign in again")


def key_of(connection: HTTPConnection) -> str | None:
    """The key that a request brings; None: none."""
    key = connection.headers.get("x-api-key")
    if key:
        return key
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def address_of(connection: HTTPConnection) -> str:
    """Where a request comes from."""
    return connection.client.host if connection.client is not None else ""


def set_cookie(response: Response, token: str, *, secure: bool) -> None:
    """Let the browser keep a session; no script can read it, and no other site can have it sent."""
    response.set_cookie(
        COOKIE, token, max_age=int(SESSION_S), path="/", secure=secure, httponly=True, samesite="strict"
    )


def drop_cookie(response: Response, *, secure: bool) -> None:
    """Let the browser forget a session."""
    response.delete_cookie(COOKIE, path="/", secure=secure, httponly=True, samesite="strict")
