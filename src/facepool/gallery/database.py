"""What galleries and logs ask of a database, in words that SQLite and PostgreSQL both understand.

Queries are written once, with ``?`` for values; `sqlite3.Connection` is a `Database` as it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol


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
