"""What the server keeps beside the pool: keys, sessions, the audit log, the activity, and what was set on the page.

All of it is written in SQL that SQLite and PostgreSQL both understand, over a `Database` that a `ServerStore` gives.
"""

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar, Literal

from facepool.errors import PoolLocked
from facepool.gallery.database import Database
from facepool.gallery.notices import now
from facepool.web.problems import RequestError
from facepool.web.services.secrets import CameraSecrets
from facepool.web.services.writing import WriteQueue

Row = tuple[object, ...]
Kind = Literal["keys", "settings", "cameras", "collections"]
"""What other processes keep in memory of the tables, and have to read anew when it changes."""
LAST = (1 << 63) - 1
"""Larger than any number of a row."""
ERASURES = "erasures"
_NONE_YET = {"erased": 0, "rewritten": 0, "wiped": 0}


class StoreGone(RequestError):
    """What the server keeps of keys, sessions and logs was deleted or replaced while it ran.

    Nothing is written that would be lost, and nobody is let in for lack of keys.

    Remedy: put it back, or start the server again to let it use what is there now.
    """

    code = "store_gone"
    status = 503


class ServerStore(ABC):
    """The tables of a server; any thread may use them.

    Readers never wait for writers. Writers take turns, whatever process they are of, so that what is looked up inside a
    transaction still holds when it ends.

    Args:
        name: What it is called, for messages.
        what: What a request changes that has to wait, for messages.
        patience_s: How long a writer waits.

    Attributes:
        each_text: A query of the texts of a JSON array, which is its only value.
        secrets: The logins of cameras.
        hidden: Names that readers of the logs must not see: they are erased, and the logs could not be told yet.
        queue: For those who write from the event loop, or who do not want to wait.
    """

    each_text: ClassVar[str]
    secrets: CameraSecrets

    def __init__(self, name: str, what: str, patience_s: float) -> None:
        self.name = name
        self.hidden: frozenset[str] = frozenset()
        self.queue = WriteQueue(what, "facepool-store")
        self._patience_s = patience_s
        self._writing = threading.Lock()

    @abstractmethod
    def transaction(self, *, patience_s: float | None = None) -> AbstractContextManager[Database]:
        """One change, undone by whatever is raised inside.

        Args:
            patience_s: How long to wait for others who write; None: as the store was made.

        Raises:
            PoolLocked: Somebody else writes for longer.
            FacepoolError: The tables cannot be used; nothing was changed.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[Database]:
        """A connection that sees what was committed, for this block alone.

        Raises:
            FacepoolError: The tables cannot be used.
        """

    @abstractmethod
    def changes(self) -> int:
        """A number that differs after anybody has changed a key, other processes included; cheap.

        Raises:
            FacepoolError: It cannot be found out.
        """

    @abstractmethod
    def look_again(self) -> None:
        """Somebody says that a key has changed: `changes` is not to answer with what it knows."""

    @abstractmethod
    def announce(self, db: Database, kind: Kind) -> None:
        """Have other processes read something anew, if the transaction that this is a part of is committed."""

    @abstractmethod
    def wipe(self, patience_s: float = 1.0) -> str:
        """Leave no trace of what was erased, if that is owed.

        Args:
            patience_s: How long to wait for others, at each step.

        Returns:
            Why traces may remain, which stays owed; empty: they do not.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of everything, after those who have their turn yet."""

    def owe(self, db: Database) -> None:
        """Remember, as a part of a transaction, that bytes of what it deletes are to be wiped."""
        erasures = erasures_in(db)
        self.keep_in(db, ERASURES, erasures | {"erased": erasures["erased"] + 1})

    def owes(self) -> bool:
        """Whether bytes of what was erased may still be somewhere."""
        with self.reading() as db:
            erasures = erasures_in(db)
        return erasures["erased"] != erasures["wiped"]

    def read(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """The rows of a query."""
        with self.reading() as db:
            return db.execute(query, tuple(values)).fetchall()

    def kept(self, name: str) -> Mapping[str, object]:
        """Something that was kept under a name; empty if nothing was."""
        with self.reading() as db:
            return self.kept_in(db, name)

    def kept_in(self, db: Database, name: str) -> Mapping[str, object]:
        """The same as a part of a transaction."""
        row = db.execute("SELECT value FROM server_kept WHERE name = ?", (name,)).fetchone()
        found = json.loads(str(row[0])) if row else {}
        return found if isinstance(found, dict) else {}

    def keep(self, name: str, value: Mapping[str, object]) -> None:
        """Keep something under a name, in place of what was kept."""
        with self.transaction() as db:
            self.keep_in(db, name, value)

    def keep_in(self, db: Database, name: str, value: Mapping[str, object]) -> None:
        """The same as a part of a transaction."""
        db.execute(
            "INSERT INTO server_kept (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, json.dumps(value)),
        )

    def keep_first(self, name: str, value: Mapping[str, object]) -> Mapping[str, object]:
        """Keep something under a name, unless somebody was faster.

        Returns:
            What is kept now.
        """
        with self.transaction() as db:
            found = self.kept_in(db, name)
            if not found:
                self.keep_in(db, name, value)
        return found or value

    @contextmanager
    def _alone(self, ends_at_s: float) -> Iterator[None]:
        """As the only writer of this process."""
        if not self._writing.acquire(timeout=max(0.0, ends_at_s - time.monotonic())):
            raise PoolLocked(
                "The server cannot write down anything now", why="something else is being written", fix="Try again"
            )
        try:
            yield
        finally:
            self._writing.release()


def erasures_in(db: Database) -> dict[str, int]:
    """How many there were: in all, when the tables were last written anew, and when nothing was left of them."""
    row = db.execute("SELECT value FROM server_kept WHERE name = ?", (ERASURES,)).fetchone()
    return _NONE_YET | (json.loads(row[0]) if row else {})


def insert_entry(
    db: Database,
    caller: str,
    action: str,
    person: str = "",
    detail: str = "",
    person_id: str | None = None,
    at: str | None = None,
    liveness: str | None = None,
) -> None:
    """Add an entry to the audit log, as a part of a transaction of the store."""
    db.execute(
        "INSERT INTO server_audit (at, caller, action, person, detail, person_id, liveness) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (at or now(), caller, action, person, detail, person_id, liveness),
    )
