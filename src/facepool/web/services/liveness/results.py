"""Which liveness checks there were, for all processes that serve a pool, and what came out, which is used once.

A check has a row in the store from when its challenge is drawn. Passed, it gives its client a token: who brings it is
the person whose head was followed. The token is bound to the client and to the pool's collection, is good for a short
time, and is taken once, whichever process takes it. The row has no face that could be read: the vector is masked with
a secret that stands in the token only.
"""

import base64
import binascii
import hashlib
import hmac
import json
import math
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from facepool.gallery.database import Database
from facepool.types import Floats, one_line
from facepool.web.problems import RequestError, TooManyRequests
from facepool.web.services.liveness.record import LivenessRecord
from facepool.web.services.store import ServerStore

RESULT_S = 120
"""How long a result may wait to be used."""
MOST_LONGER = 3
"""So many checks that failed make the next ones longer."""
MOST_FAILED = 60
"""So many checks of one client may fail in an hour, more than can be expected."""
_REMEMBERED_S = 3600.0
_SKEW_S = 60.0
"""So much may the clocks of several servers differ. What comes from later than that is from a clock set back since."""
_AT_ONCE = 2
"""So many checks of one client may be under way without making the next ones longer."""
_EXPECTED = 10
"""One in so many that pass may fail without making the next ones longer."""
_NAME = "liveness key"
_PREFIX = "fpl_"
_TOKEN = struct.Struct(">16sQ32s32s")
_AGAIN = "Make another check: POST /v1/liveness"


class LivenessNeeded(RequestError):
    """The server names, compares and registers only people who have shown that they are there.

    Remedy: make a check at `/v1/liveness`, and send the token that it ends with.
    """

    code = "liveness_needed"
    status = 403
    closes_with = 4428


class LivenessUnknown(RequestError):
    """The token of a liveness check is none of this server's for this client and this collection.

    Remedy: make the check with the same key, and at the same server and collection, as what follows.
    """

    code = "liveness_unknown"
    status = 403


class LivenessOver(RequestError):
    """The token of a liveness check was used, or has expired.

    Remedy: make another check; each is good for one request, within two minutes.
    """

    code = "liveness_over"
    status = 409


class LivenessOther(RequestError):
    """The face that is to be stored is not that of the person who has made the liveness check.

    Remedy: let the person who is registered make the check, and be scanned right after it.
    """

    code = "liveness_other"
    status = 409


@dataclass(frozen=True, slots=True)
class DrawnCheck:
    """A check that a client may make.

    Attributes:
        id: Of the check, and of the row.
        token: Goes with each frame that is posted.
        client: Whose it is.
        steps: How many directions it asks for.
        ends_at: Until when, in seconds since 1970.
    """

    id: str
    token: str = field(repr=False)
    client: str
    steps: int
    ends_at: float


@dataclass(frozen=True, slots=True)
class PassedCheck:
    """Somebody who has shown that they are there.

    Attributes:
        embedding: (D,) float32, L2 norm 1, of their face while they looked straight ahead.
        liveness: How that was found out.
    """

    embedding: Floats = field(repr=False)
    liveness: LivenessRecord

    def __repr__(self) -> str:
        """How it was found out; nothing of the face."""
        return one_line(self, f"{self.liveness.method}, {self.liveness.reason}")


class LivenessResults:
    """The checks of a collection.

    Args:
        store: Where they are kept.
        space: Id of the embedding space; what was seen in another one cannot be used.
        clock: Seconds since 1970, of this server: no client says what time it is.
    """

    def __init__(self, store: ServerStore, space: str, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._space = space
        self._clock = clock
        kept = store.kept(_NAME) or store.keep_first(_NAME, {"key": secrets.token_hex(32)})
        self._key = bytes.fromhex(str(kept["key"]))

    def draw(self, client: str, steps: int, seconds: Callable[[int], float], *, more: int = 1) -> DrawnCheck:
        """Let a client make a check. The more of its checks have failed, the more directions it is asked for.

        So a film of a head that happens to turn as asked does not get there by being tried again and again.

        Args:
            client: Whose it is.
            steps: How many directions a check has at least.
            seconds: How long a check of so many directions may take.
            more: By how many directions it becomes longer for each that has failed.

        Raises:
            TooManyRequests: Too many of the client's checks have failed.
        """
        now, number = self._clock(), secrets.token_bytes(16)
        digest = _client_digest(self._key, client)
        with self._store.transaction() as db:
            db.execute(
                "DELETE FROM server_liveness WHERE drawn_at < ? OR drawn_at > ?", (now - _REMEMBERED_S, now + _SKEW_S)
            )
            db.execute("UPDATE server_liveness SET seen = NULL WHERE ends_at < ?", (now,))
            failed = _failed(db, digest, now)
            if failed >= MOST_FAILED:
                raise TooManyRequests(
                    "Too many of your liveness checks have failed",
                    why=f"{MOST_FAILED} in an hour are allowed",
                    fix="Wait some minutes; look whether the camera sees the whole face in good light",
                )
            steps += more * min(failed, MOST_LONGER)
            ends_at = now + seconds(steps)
            db.execute(
                "INSERT INTO server_liveness (id, client, drawn_at, ends_at, state) VALUES (?, ?, ?, ?, 'open')",
                (number.hex(), digest, now, ends_at),
            )
        token = self._sign("check", client, number, math.ceil(ends_at), secrets.token_bytes(32))
        return DrawnCheck(number.hex(), token, client, steps, ends_at)

    def is_of_check(self, token: str, drawn: DrawnCheck, client: str) -> bool:
        """Whether a token is that of a check, brought by its client."""
        return hmac.compare_digest(token.encode(), drawn.token.encode()) and client == drawn.client

    def is_open(self, check_id: str, client: str) -> bool:
        """Whether a client has such a check, which is not over yet, in whatever process."""
        query = "SELECT 1 FROM server_liveness WHERE id = ? AND client = ? AND state = 'open' AND ends_at > ?"
        return bool(self._store.read(query, (check_id, _client_digest(self._key, client), self._clock())))

    def fail(self, check: DrawnCheck) -> None:
        """A check was not passed, or was given up."""
        with self._store.transaction() as db:
            db.execute("UPDATE server_liveness SET state = 'failed' WHERE id = ? AND state = 'open'", (check.id,))

    def passed(self, check: DrawnCheck, seen: PassedCheck) -> str:
        """A check was passed.

        Returns:
            The token that stands for the person, once.

        Raises:
            LivenessOver: It had expired before.
        """
        number, secret = bytes.fromhex(check.id), secrets.token_bytes(32)
        ends_at = math.floor(self._clock()) + RESULT_S
        masked = _masked(seen.embedding.astype("<f4").tobytes(), secret, number)
        with self._store.transaction() as db:
            found = db.execute(
                "UPDATE server_liveness SET state = 'passed', ends_at = ?, digest = ?, seen = ?, space = ?, result = ? "
                "WHERE id = ? AND state = 'open' AND ends_at > ?",
                (
                    ends_at,
                    hashlib.sha256(secret).digest(),
                    masked,
                    self._space,
                    seen.liveness.model_dump_json(),
                    check.id,
                    self._clock(),
                ),
            )
            if not found.rowcount:
                raise LivenessOver("This liveness check has taken too long", fix=_AGAIN)
        return self._sign("result", check.client, number, ends_at, secret)

    def look(self, token: str, client: str) -> None:
        """Make sure that a result could be used, before work is spent on what it is for.

        Raises:
            LivenessUnknown: It is none of this server's for this client and collection.
            LivenessOver: It was used, or has expired.
        """
        number, _ = self._opened(token, client)
        rows = self._store.read("SELECT state FROM server_liveness WHERE id = ?", (number.hex(),))
        if rows != [("passed",)]:
            raise _over()

    def use(self, token: str, client: str) -> PassedCheck:
        """Take a result, which nobody can take again.

        Raises:
            LivenessUnknown: It is none of this server's for this client and collection.
            LivenessOver: It was used, or has expired.
        """
        number, secret = self._opened(token, client)
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT digest, seen, space, result FROM server_liveness WHERE id = ? AND state = 'passed'",
                (number.hex(),),
            ).fetchone()
            db.execute("UPDATE server_liveness SET state = 'used', seen = NULL WHERE id = ?", (number.hex(),))
        if row is None or row[1] is None:
            raise _over()
        digest, seen, space, result = row
        if not hmac.compare_digest(bytes(digest), hashlib.sha256(secret).digest()) or space != self._space:
            raise _unknown()
        embedding = np.frombuffer(_masked(bytes(seen), secret, number), "<f4").astype(np.float32)
        return PassedCheck(embedding, LivenessRecord.model_validate(json.loads(result)))

    def _sign(self, use: str, client: str, number: bytes, ends_at: int, secret: bytes) -> str:
        token = _TOKEN.pack(number, ends_at, secret, self._signature(use, client, number, ends_at, secret))
        return _PREFIX + base64.urlsafe_b64encode(token).rstrip(b"=").decode()

    def _signature(self, use: str, client: str, number: bytes, ends_at: int, secret: bytes) -> bytes:
        said = b"\0".join((use.encode(), number.hex().encode(), str(ends_at).encode(), secret.hex().encode()))
        return hmac.new(self._key, said + b"\0" + client.encode(), hashlib.sha256).digest()

    def _opened(self, token: str, client: str) -> tuple[bytes, bytes]:
        """Id and secret of a result that this server has signed for this client, and that has not expired."""
        try:
            data = base64.b64decode(token.removeprefix(_PREFIX) + "==", altchars=b"-_", validate=True)
            number, ends_at, secret, signature = _TOKEN.unpack(data)
        except (binascii.Error, ValueError, struct.error) as error:
            raise _unknown() from error
        if not hmac.compare_digest(signature, self._signature("result", client, number, ends_at, secret)):
            raise _unknown()
        if not 0 <= ends_at - self._clock() <= RESULT_S + _SKEW_S:
            raise _over()
        return number, secret


def _failed(db: Database, client: str, now: float) -> int:
    """How many of a client's checks have failed lately, or were given up, beyond those of people who did pass.

    Of checks that are under way together, all but a few count as well: else somebody could begin many at once.
    """
    failed, passed, begun = db.execute(
        "SELECT coalesce(sum(CASE WHEN state = 'failed' OR state = 'open' AND ends_at < ? THEN 1 ELSE 0 END), 0), "
        "coalesce(sum(CASE WHEN state IN ('passed', 'used') THEN 1 ELSE 0 END), 0), "
        "coalesce(sum(CASE WHEN state = 'open' AND ends_at >= ? THEN 1 ELSE 0 END), 0) "
        "FROM server_liveness WHERE client = ?",
        (now, now, client),
    ).fetchone()
    return max(0, int(failed) + max(0, int(begun) - _AT_ONCE + 1) - int(passed) // _EXPECTED)


def _client_digest(key: bytes, client: str) -> str:
    """What stands for a client in the store, which need not know addresses for that."""
    return hmac.new(key, client.encode(), hashlib.sha256).hexdigest()[:24]


def _masked(data: bytes, secret: bytes, number: bytes) -> bytes:
    """Some bytes under a mask that is used once (SHAKE-256 of a fresh secret); twice, they are as they were."""
    mask = hashlib.shake_256(secret + number).digest(len(data))
    return bytes(np.bitwise_xor(np.frombuffer(data, np.uint8), np.frombuffer(mask, np.uint8)))


def _unknown() -> LivenessUnknown:
    return LivenessUnknown(
        "This liveness token cannot be used",
        why="it is none that this server gave to you for this collection",
        fix="Make the check with the same key and collection",
    )


def _over() -> LivenessOver:
    return LivenessOver(
        "This liveness token cannot be used",
        why=f"it was used already, or is older than {RESULT_S} s",
        fix=_AGAIN,
    )
