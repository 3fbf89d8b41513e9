"""API keys with roles, and the sessions of browsers that signed in with one.

Keys and session tokens are 256 random bits, of which only the SHA-256 is kept: nothing slower is needed where nothing
can be guessed.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, Field

from facepool.errors import ConfigError
from facepool.gallery.checks import clean_name
from facepool.gallery.collections import check_collection
from facepool.gallery.database import Database
from facepool.gallery.notices import COMMAND_LINE
from facepool.web.problems import NotFound
from facepool.web.services.store import ServerStore, insert_entry, now

Role = Literal["recognize", "enroll", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what the ones before it may."""

MOST_BOUND = 100
"""Collections that one key may be bound to."""
SESSION_S = 7 * 24 * 3600.0
_PREFIX = "fp_"
_SHORTEST_KEY = 32
"""Of keys that were made elsewhere: half of that is as good as what is made here, if it is random."""
_TOUCH_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for something.

    Attributes:
        name: Of the key, or ``local`` where none is needed.
        role: What they may do.
        collections: In which collections; empty: in all, and with the server as a whole.
    """

    name: str
    role: Role
    collections: tuple[str, ...] = ()

    def may_use(self, collection: str) -> bool:
        """Whether the key is for a collection."""
        return not self.collections or collection in self.collections

    def may(self, role: Role) -> bool:
        """Whether the role covers another one."""
        return ROLES.index(self.role) >= ROLES.index(role)


LOCAL = Caller("local", "admin")
"""Everybody who uses this machine, as long as no key is needed."""


class KnownKey(BaseModel):
    """A key as it is kept."""

    # The key itself is not among it: of that, only the digest is kept.
    name: str
    role: Role
    collections: list[str] = Field(description="Those that it is for; empty: all, and the server as a whole")
    created_at: str
    last_used_at: str | None = Field(description="To the minute")


class Keys:
    """The keys of a server.

    Changes by other processes, such as ``facepool keys remove``, hold from the next request on.

    Args:
        store: Where they are kept.
        always_required: Whether requests need one even while there is no administrator's.
    """

    def __init__(self, store: ServerStore, *, always_required: bool = False) -> None:
        self._store = store
        self._always = always_required
        self._lock = threading.Lock()
        self._seen: int | None = None
        self._by_digest: dict[bytes, tuple[int, Caller]] = {}
        self._touched: dict[int, float] = {}

    @property
    def required(self) -> bool:
        """Whether requests need a key: elsewhere than on loopback always, there once an administrator has one."""
        return self._always or any(caller.role == "admin" for _, caller in self._current().values())

    def all(self) -> list[KnownKey]:
        """Every key, oldest first."""
        rows = self._store.read("SELECT name, role, created_at, last_used_at, collections FROM server_keys ORDER BY id")
        return [
            KnownKey.model_validate(
                {
                    "name": name,
                    "role": _role(role),
                    "collections": _collections(collections),
                    "created_at": created_at,
                    "last_used_at": last_used_at,
                }
            )
            for name, role, created_at, last_used_at, collections in rows
        ]

    def add(
        self,
        name: str,
        role: Role,
        collections: Collection[str] = (),
        *,
        by: str = COMMAND_LINE,
        check: Callable[[Sequence[str]], None] = lambda _administrators: None,
    ) -> str:
        """Make a key.

        Args:
            name: Of the key.
            role: What it is for.
            collections: Where; empty: in all collections, and with the server as a whole.
            by: Who does it, for the audit log, which says so in the same transaction.
            check: Given whose keys are administrators', raises what speaks against it.

        Returns:
            The key, which nobody can see again.

        Raises:
            ConfigError: The name is taken or cannot be used.
        """
        name = _checked(name)
        bound = ",".join(sorted(set(map(check_collection, collections))))
        key = _PREFIX + secrets.token_urlsafe(32)
        with self._store.transaction() as db:
            check(_administrators(db))
            if not self._insert(db, name, role, key, bound, by):
                raise ConfigError(f"There is a key {name!r} already", fix="Remove it first, or choose another name")
        return key

    def keep(self, name: str, role: Role, key: str, collections: Collection[str] = ()) -> bool:
        """See to it that there is a key that was made elsewhere, for servers that are set up by programs.

        Nothing happens if there is; another key of that name is replaced by it, and whoever is signed in with that no
        longer is. Several processes may do so at once.

        Args:
            name: Of the key.
            role: What it is for.
            key: The key itself; from a file, never from a command line.
            collections: Where; empty: in all collections, and with the server as a whole.

        Returns:
            Whether anything has changed.

        Raises:
            ConfigError: The name cannot be used, or the key is so short that it may be guessed.
        """
        name = _checked(name)
        if len(key) < _SHORTEST_KEY or not key.isascii() or any(map(str.isspace, key)):
            raise ConfigError(
                f"The file has no key for {name!r}",
                why=f"a key is one word of {_SHORTEST_KEY} letters, digits and marks at least",
                fix="Make one: openssl rand -hex 32",
            )
        bound = ",".join(sorted(set(map(check_collection, collections))))
        with self._store.transaction() as db:
            found = db.execute("SELECT name, role, collections FROM server_keys WHERE digest = ?", (_digest(key),))
            known = found.fetchone()
            if known is not None and tuple(known) == (name, role, bound):
                return False
            if known is not None and known[0] != name:
                raise ConfigError(f"The key for {name!r} is that of {known[0]!r} already", fix="Give each its own")
            if db.execute("DELETE FROM server_keys WHERE name = ?", (name,)).rowcount:
                insert_entry(db, COMMAND_LINE, "removed a key", detail=name)
            return self._insert(db, name, role, key, bound, COMMAND_LINE)

    def _insert(self, db: Database, name: str, role: Role, key: str, bound: str, by: str) -> bool:
        """Whether the name was free, and the key is kept now."""
        made = db.execute(
            "INSERT INTO server_keys (name, role, digest, created_at, collections) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO NOTHING RETURNING id",
            (name, role, _digest(key), now(), bound),
        ).fetchone()
        if made is None:
            return False
        self._store.announce(db, "keys")
        insert_entry(db, by, "made a key", detail=f"{name} ({role}{f' in {bound}' if bound else ''})")
        return True

    def remove(
        self,
        name: str,
        *,
        by: str = COMMAND_LINE,
        check: Callable[[Sequence[str]], None] = lambda _administrators: None,
    ) -> None:
        """Remove a key; those who are signed in with it are no longer.

        Args:
            name: Of the key.
            by: Who does it, for the audit log, which says so in the same transaction.
            check: Given whose keys are administrators', raises what speaks against it.

        Raises:
            NotFound: There is none of that name.
        """
        with self._store.transaction() as db:
            check(_administrators(db))
            if not db.execute("DELETE FROM server_keys WHERE name = ?", (name,)).rowcount:
                raise NotFound(f"There is no key {name!r}", fix="List them: facepool keys list")
            self._store.announce(db, "keys")
            insert_entry(db, by, "removed a key", detail=name)

    def find(self, key: str) -> Caller | None:
        """Whose key it is; None: nobody's."""
        number, caller = self._known(key)
        if caller is not None:
            self._touch(number)
        return caller

    def sign_in(self, key: str) -> tuple[Caller, str] | None:
        """Begin a session; the audit log says so in the same transaction.

        Returns:
            Who it is and the token for the cookie; None: the key is nobody's.
        """
        number, caller = self._known(key)
        if caller is None:
            return None
        self._touch(number)
        token = secrets.token_urlsafe(32)
        with self._store.transaction() as db:
            db.execute("DELETE FROM server_sessions WHERE ends_at < ?", (time.time(),))
            db.execute(
                "INSERT INTO server_sessions (digest, key_id, ends_at) VALUES (?, ?, ?)",
                (_digest(token), number, time.time() + SESSION_S),
            )
            insert_entry(db, caller.name, "signed in")
        return caller, token

    def session(self, token: str) -> Caller | None:
        """Who is signed in; None: nobody, or no longer."""
        rows = self._store.read(
            "SELECT name, role, collections FROM server_sessions JOIN server_keys ON server_keys.id = key_id "
            "WHERE server_sessions.digest = ? AND ends_at > ?",
            (_digest(token), time.time()),
        )
        return Caller(str(rows[0][0]), _role(rows[0][1]), _collections(rows[0][2])) if rows else None

    def sign_out(self, token: str) -> None:
        """End a session."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM server_sessions WHERE digest = ?", (_digest(token),))

    def _known(self, key: str) -> tuple[int, Caller | None]:
        digest = _digest(key)
        if digest not in self._current():
            self._store.look_again()  # another process may have made it just now
        return self._current().get(digest, (0, None))

    def _current(self) -> dict[bytes, tuple[int, Caller]]:
        with self._lock:  # or an older table could stay for the newer one
            seen = self._store.changes()
            if seen != self._seen:
                rows = self._store.read("SELECT id, name, role, digest, collections FROM server_keys")
                self._by_digest = {
                    bytes(digest): (int(str(number)), Caller(str(name), _role(role), _collections(collections)))
                    for number, name, role, digest, collections in rows
                    if isinstance(digest, bytes)
                }
                self._seen = seen
            return self._by_digest

    def _touch(self, number: int) -> None:
        """Remember the use, to the minute: a write for each request would cost more than most requests."""
        at = time.monotonic()
        if at - self._touched.get(number, -_TOUCH_EVERY_S) < _TOUCH_EVERY_S:
            return
        self._touched[number] = at
        used_at = now()

        def write() -> None:
            with self._store.transaction() as db:
                db.execute("UPDATE server_keys SET last_used_at = ? WHERE id = ?", (used_at, number))

        self._store.queue.spare(write)  # nobody waits to be let in until somebody else has written


def _administrators(db: Database) -> list[str]:
    """Those who may do everything; who may in some collections only cannot make keys."""
    query = "SELECT name FROM server_keys WHERE role = 'admin' AND collections = ''"
    return [name for (name,) in db.execute(query)]


def _checked(name: str) -> str:
    name = clean_name(name)
    if name in (LOCAL.name, COMMAND_LINE):
        raise ConfigError(f"A key cannot be called {name!r}", why="the audit log has another use for the word")
    return name


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _collections(text: object) -> tuple[str, ...]:
    return tuple(filter(None, str(text).split(",")))


def _role(text: object) -> Role:
    for role in ROLES:
        if role == text:
            return role
    raise ConfigError(f"A key has the role {text!r}", fix=f"There are {', '.join(ROLES)}; remove the key")
