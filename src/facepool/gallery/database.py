"""What galleries and logs ask of a database, in words that SQLite and PostgreSQL both understand.

Queries are written once, with ``?`` for values; `sqlite3.Connection` is a `Database` as it is.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

_VALUES_AT_ONCE = 500


class Rows(Protocol):
    """What a statement has found, or how many rows it has changed."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""

    def fetchone(self) -> Any:  # noqa: ANN401 -- what is in a column is known where the query stands
        """The next row; None: there is none."""

    def fetchmany(self, size: int = ..., /) -> list[Any]:
        """Some rows; none at the end."""

    def fetchall(self) -> list[Any]:
        """All that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """A connection, used by one thread at a time."""

    def execute(self, query: str, values: Sequence[Any] = ..., /) -> Rows:
        """Run a statement with values for its ``?``."""

    def executemany(self, query: str, values: Iterable[Sequence[Any]], /) -> Rows:
        """Run a statement once for each of several rows of values."""


@runtime_checkable
class Remote(Protocol):
    """A database of a server, which is given up when it says nothing for long."""

    def patient(self) -> AbstractContextManager[None]:
        """Inside the block it is not."""


def patient(db: Database) -> AbstractContextManager[None]:
    """For looking at all rows, which may take longer than a server that is there usually says nothing."""
    return db.patient() if isinstance(db, Remote) else nullcontext()


def select(db: Database, query: str, values: Collection[Any]) -> Iterator[Any]:
    """The rows of a query with ``IN ({})``, for all of some values; those of each part of these come together."""
    for part, marks in parts_of(list(values)):
        yield from db.execute(query.format(marks), part).fetchall()


def parts_of(values: Sequence[Any]) -> Iterator[tuple[Sequence[Any], str]]:
    """Values in parts of one size, the last one filled up with its last: databases keep the plans of few queries.

    With each part come its places in a query.
    """
    for first in range(0, len(values), _VALUES_AT_ONCE):
        part = list(values[first : first + _VALUES_AT_ONCE])
        size = 1 << (len(part) - 1).bit_length()
        part += [part[-1]] * (min(size, _VALUES_AT_ONCE) - len(part))
        yield part, ", ".join("?" * len(part))
