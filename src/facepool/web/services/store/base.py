"""What the server keeps beside the pool: keys, sessions, the audit log, the activity, and what was set on the page.

All of it is written in SQL that SQLite and PostgreSQL both understand, over a `Database` that a `ServerStore` gives.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

from facepool.gallery.database import Database
from facepool.gallery.notices import now
from facepool.web.services.writing import WriteQueue

Row = tuple[object, ...]
LAST = (1 << 63) - 1
"""Larger than any number of a row."""


class ServerStore(ABC):
    """The tables of a server; any thread may use them.

    Who reads waits for nobody who writes. Those who write do so one at a time, whatever process they are of, so that
    what is looked up inside a transaction still holds when it ends.

    Args:
        name: What it is called, for messages.
        what: What a request changes that has to wait, for messages.

    Attributes:
        each_text: A query of the texts of a JSON array, which is its only value.
        hidden: Names that readers of the logs must not see: they are erased, and the logs could not be told yet.
        queue: For those who write from the event loop, or who do not want to wait.
    """

    each_text: ClassVar[str]

    def __init__(self, name: str, what: str) -> None:
        self.name = name
        self.hidden: frozenset[str] = frozenset()
        self.queue = WriteQueue(what, "facepool-store")

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
        """A number that differs after anybody has changed keys or sessions, other processes included; cheap."""

    @abstractmethod
    def owe(self, db: Database) -> None:
        """Remember, as a part of a transaction, that bytes of what it deletes are to be wiped."""

    @abstractmethod
    def owes(self) -> bool:
        """Whether bytes of what was erased may still be somewhere."""

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


def insert_entry(
    db: Database,
    caller: str,
    action: str,
    person: str = "",
    detail: str = "",
    person_id: str | None = None,
    at: str | None = None,
) -> None:
    """Add an entry to the audit log, as a part of a transaction of the store."""
    db.execute(
        "INSERT INTO server_audit (at, caller, action, person, detail, person_id) VALUES (?, ?, ?, ?, ?, ?)",
        (at or now(), caller, action, person, detail, person_id),
    )
