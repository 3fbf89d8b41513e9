"""Lists of the templates nearest to faces from PostgreSQL, by pgvector.

Either by an index that it has there (HNSW over half precision, see ``hnsw``), which may overlook somebody, or by
looking at all templates. What is made of the lists is in ``facepool.search.listed``.
"""

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np

from facepool.gallery.database import Database, patient
from facepool.gallery.postgres_connection import PostgresDatabase
from facepool.search import exact, hnsw
from facepool.search.listed import Listed
from facepool.types import Floats

EF_SEARCH = 200
"""Templates that a search of the index keeps in view; ``benchmarks/database_search.py`` has what it finds and takes."""
_VIEWS_AT_ONCE = 16
_HALF_UNIT_ROUNDOFF = 2.0**-11
_SETTINGS = """
    SELECT set_config('hnsw.ef_search', ?, true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
        set_config('jit', 'off', true)
"""


class DatabaseLists:
    """Asks the database for templates near to views.

    Args:
        dimension: Length of a vector.
        db: The gallery at one moment.
        exactly: Whether to look at all templates, as is done without an index anyhow.

    Attributes:
        slack: How far a similarity may be off.
        longest: How many templates are listed at most.
    """

    longest = 1 << 31

    def __init__(self, dimension: int, db: Database, *, exactly: bool) -> None:
        self._db = db
        self._exactly = exactly = exactly or not hnsw.is_ready(db)
        prefix = db.connection.vectors if isinstance(db, PostgresDatabase) else ""
        self._kind = f"{prefix}vector({dimension})" if exactly else f"{prefix}halfvec({dimension})"
        self._column = "embedding" if exactly else f"embedding::{self._kind}"
        self._nearness = f"OPERATOR({prefix}<#>)"
        rounding = 0.0 if exactly else 2 * _HALF_UNIT_ROUNDOFF
        self.slack = np.float32(rounding + exact.rounding_slack(dimension))
        db.execute(_SETTINGS, (str(EF_SEARCH),))

    def nearest(self, views: Floats, length: int) -> list[Listed]:
        """For each of (V, D) views the people of so many templates."""
        found: list[Listed] = []
        for first in range(0, len(views), _VIEWS_AT_ONCE):
            found += self._some(views[first : first + _VIEWS_AT_ONCE], length)
        return found

    def _some(self, views: Floats, length: int) -> Iterator[Listed]:
        one = (
            f"SELECT sample_id, -({self._column} {self._nearness} ?::{self._kind}) AS similarity "  # noqa: S608
            f"FROM templates ORDER BY {self._column} {self._nearness} ?::{self._kind} LIMIT {length}"
        )
        each = " UNION ALL ".join(
            f"SELECT {view} AS view, listed.* FROM ({one}) AS listed"  # noqa: S608 -- a number
            for view in range(len(views))
        )
        query = f"SELECT view, person_id, similarity FROM ({each}) AS near JOIN samples ON samples.id = sample_id"  # noqa: S608
        texts = [f"[{','.join(map(str, view.tolist()))}]" for view in views]
        with patient(self._db) if self._exactly else nullcontext():
            rows = self._db.execute(query, [text for text in texts for _ in range(2)]).fetchall()
        table = np.array(rows, np.float64).reshape(-1, 3)
        for view in range(len(views)):
            of_view = table[table[:, 0] == view]
            people, place = np.unique(of_view[:, 1].astype(np.int64), return_inverse=True)
            best = np.full(len(people), -np.inf, np.float32)
            np.maximum.at(best, place, of_view[:, 2].astype(np.float32))
            yield Listed(people, best, float(of_view[:, 2].min(initial=np.inf)), whole=len(of_view) < length)
