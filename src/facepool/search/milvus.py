"""A collection of a Milvus server, or of a file of milvus-lite, that lists the templates nearest to a face.

It has the number and the vector of each template and nothing else, so it knows nobody. What a server's answers and
failures mean to a user is said here; nothing above this module knows Milvus.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facepool.errors import IndexUnreachable, IndexUnusable, PoolError
from facepool.extras import require
from facepool.gallery.columns import Numbers
from facepool.gallery.index_address import IndexAddress
from facepool.types import Floats

if TYPE_CHECKING:
    from pymilvus import MilvusClient

Answer = TypeVar("Answer")

LINKS, BUILD_LINKS = 24, 128
"""``M`` and ``efConstruction`` of the server's HNSW; ``benchmarks/scaling.py`` has what others find and take."""
IN_VIEW = 512
"""``ef``: templates that a search of the server's index keeps in view, at least."""
LONGEST_LIST = 16_384
"""Templates that a server lists for one view, at most."""

_ID, _VECTOR = "id", "vector"
_SEARCH_S = 5.0
"""How long a search may take before the server is taken for dead: somebody stands before a camera."""
_CHANGE_S = 10.0
"""How long anything else may take: whoever brings an index up to date keeps others from doing so meanwhile."""
_MAKING_S = 120.0
_BUILDING_S = 900.0
_LOOK_EVERY_S = 0.2
_SMALLEST_BUILT = 1024
"""Rows of the smallest part of a collection of which a server builds anything; it looks at all of a smaller one."""
_BYTES_AT_ONCE = 4 << 20
"""Of vectors, in one message; servers take 64 MiB."""
_NUMBERS_AT_ONCE = 8192
_HIGHEST = (1 << 63) - 1
_VIEWS_AT_ONCE = 64
_SHOWN = 160
"""Letters of a server's own words that are passed on."""

_NO_CONNECTION, _NOT_FOUND, _NOT_LOADED, _NO_DATABASE = 2, 100, 101, 800
"""The server's codes of errors, of which clients of Milvus 2.3 and later know the same."""
_NO_DATABASE_WORDS = re.compile(r"database:?\s*\S* not found")
"""What a server of Milvus 2.3 says in place of the code."""
_NO_FILE = "open local milvus failed"
_NO_TLS = re.compile(r"\b(?:ssl|tls)\b", re.IGNORECASE)
_NO_ROOM = frozenset({8, 9})
_LATER = "It is tried again by itself; look whether the server runs, and into its log"
_FILE = (
    "its file cannot be opened: its folder is not there, another process has it open, or it is something else",
    "Make the folder, end the other process (a file is for one at a time), or name another file",
)
_TLS = (
    "its server does not speak TLS, or has a certificate that nobody here trusts",
    "Write milvus:// where it has none; name your own authority's certificates in GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)
_LOGIN = "Check the user and the password, or the token, of the address"
_REBUILD = "Have it made anew: facepool index rebuild"
_REFUSED = ("unauthenticated", "permission", "auth check", "token")
"""What a server's words have that does not accept the login."""
_UNFIT = ("dimension", "the dim", "metric type", "field", "schema", "not match", "illegal")
"""What they have where a collection is not as it was made here."""
_CHATTER = ("pymilvus", "pymilvus.milvus_client", "milvus_lite", "grpc._server")
"""Loggers of libraries: what went wrong is said by our errors, which have no vectors in them."""
_CALLS = {
    "UNAVAILABLE": ("no server answers there", _LATER),
    "DEADLINE_EXCEEDED": ("its server does not answer in time", _LATER),
    "UNAUTHENTICATED": ("its server does not accept the login", _LOGIN),
    "PERMISSION_DENIED": ("its server does not allow this user to", _LOGIN),
    "UNIMPLEMENTED": (
        "what answers there is no Milvus, or one that is too old",
        "Name a server of Milvus 2.3 or later",
    ),
}
"""What a call that failed by itself means, by gRPC's code."""


class MilvusIndex:
    """One collection of templates.

    Making one costs nothing: the server is asked first by the first method. It may be used by several threads.

    Args:
        address: Of the server or file.
        name: What the collection is called: letters, digits and ``_``, a letter first.

    Every method raises `IndexUnreachable` where the server is away or does not do what it is asked to within seconds,
    and `IndexUnusable` where the collection was deleted, or is not as it was made here.
    """

    def __init__(self, address: IndexAddress, name: str) -> None:
        self._address = address
        self._name = name
        self._connected: MilvusClient | None = None

    def __repr__(self) -> str:
        """Where it is."""
        return f"MilvusIndex({self._name!r} at {self._address})"

    def create(self, dimension: int) -> None:
        """Make the collection, unless there is one already; what was begun and cut off is brought to its end.

        Args:
            dimension: Length of a vector.

        Raises:
            IndexUnusable: There is one of that name that is not as it would be made.
        """
        if self.exists():
            self._check(dimension)
        else:
            self._ask(lambda client: self._make(client, dimension))
        self._ask(self._make_searchable)

    def exists(self) -> bool:
        """Whether there is a collection of that name."""
        return bool(self._ask(lambda client: client.has_collection(self._name, timeout=_CHANGE_S)))

    def drop(self) -> None:
        """Delete the collection; one that is not there is no error."""
        if self.exists():  # later servers do not drop what has another name, too
            self._drop_stamps(self._ask(self._stamps))
        self._ask(lambda client: client.drop_collection(self._name, timeout=_CHANGE_S))

    def close(self) -> None:
        """Let go of the server; it may be used again."""
        client, self._connected = self._connected, None
        if client is not None:
            client.close()

    def put(self, numbers: Numbers, vectors: Floats) -> None:
        """Store templates in the place of those that have the same numbers; the server has them when this returns.

        Args:
            numbers: (N,) of the templates, none twice.
            vectors: (N, D) float32.
        """
        size = max(1, _BYTES_AT_ONCE // max(1, vectors.itemsize * vectors.shape[1]))
        for part in _parts(len(numbers), size):
            rows = [
                {_ID: number, _VECTOR: vector}
                for number, vector in zip(numbers[part].tolist(), vectors[part], strict=True)
            ]
            self._ask(partial(self._put, rows))

    def remove(self, numbers: Numbers) -> None:
        """Delete templates of (N,) numbers; those that are not there are no error."""
        for part in _parts(len(numbers), _NUMBERS_AT_ONCE):
            self._ask(partial(self._remove, numbers[part].tolist()))

    def settle(self) -> None:
        """Return when what was stored or deleted before is seen by searches."""
        self.count()

    def count(self) -> int:
        """How many templates there are."""
        found = self._ask(partial(self._query, "", ["count(*)"]))
        return int(found[0]["count(*)"])

    def numbers(self, after: int, limit: int) -> Numbers:
        """(N,) rising, the lowest numbers of templates that are there and above `after`; none: there are none above."""
        # Engines do not say in which order they list: so of some range it is all or nothing.
        width, is_any = LONGEST_LIST, False
        while True:
            found = self._numbers(f"{_ID} > {int(after)} and {_ID} <= {min(int(after) + width, _HIGHEST)}")
            if len(found) and (len(found) < LONGEST_LIST or width <= LONGEST_LIST):
                return found[:limit]
            if len(found):
                width //= 2
                continue
            if not is_any:
                found = self._numbers(f"{_ID} > {int(after)}")
                if len(found) < LONGEST_LIST:
                    return found[:limit]
                is_any = True
            after, width = after + width, 2 * width

    def _numbers(self, which: str) -> Numbers:
        """Some that are so, rising: all, if they are fewer than `LONGEST_LIST`."""
        found = self._ask(partial(self._query, which, [_ID], limit=LONGEST_LIST))
        return np.unique(np.array([row[_ID] for row in found], np.int64))

    def nearest(self, views: Floats, length: int, *, settled: bool = False) -> list[tuple[Numbers, Floats]]:
        """The templates nearest to views, about: an index may overlook some, and what was stored seconds ago.

        Args:
            views: (V, D) float32, rows of L2 norm 1; V may be 0.
            length: How many templates a view, 1 to `LONGEST_LIST`.
            settled: Wait until whatever was stored before is seen by this search: half a second.

        Returns:
            For each view (N,) numbers and (N,) float32 similarities, most similar first; N is at most `length`.
        """
        found: list[tuple[Numbers, Floats]] = []
        for part in _parts(len(views), _VIEWS_AT_ONCE):
            lists = self._ask(partial(self._search, list(views[part]), length, settled=settled))
            found += [
                (
                    np.array([hit[_ID] for hit in hits], np.int64),
                    np.array([hit["distance"] for hit in hits], np.float32),
                )
                for hits in lists
            ]
        return found

    def purge(self) -> None:
        """Have the server rewrite its files without what was deleted; it does so in its own time."""
        self._ask(lambda client: client.flush(self._name, timeout=_MAKING_S))
        self._ask(lambda client: client.compact(self._name, timeout=_MAKING_S))

    def finish(self) -> None:
        """Return when all that was stored is searched by what was built of it, not by what is for the meantime.

        Raises:
            IndexUnreachable: That takes longer than a quarter of an hour.
        """
        self._ask(lambda client: client.flush(self._name, timeout=_MAKING_S))
        if self._address.path is not None:
            return
        ends_at_s = time.monotonic() + _BUILDING_S
        while not self._ask(self._is_built):
            if time.monotonic() >= ends_at_s:
                raise self._unreachable("it has not built its index in time", "Look into the log of its server")
            time.sleep(_LOOK_EVERY_S)

    def stamp(self) -> str:
        """What `set_stamp` has left; empty: nothing. Cut off in between, what was there before or what was to be."""
        return next(iter(self._ask(self._stamps)), "")

    def set_stamp(self, text: str) -> None:
        """Leave a short text with the collection, in place of the one that was there.

        It is an alias of the collection: servers of Milvus 2.3 forget a collection's properties when they are started
        again.

        Args:
            text: Letters and digits.
        """
        before = self._ask(self._stamps)
        if text not in before:
            self._ask(lambda client: client.create_alias(self._name, self._alias(text), timeout=_CHANGE_S))
        self._drop_stamps([one for one in before if one != text])

    def _stamps(self, client: "MilvusClient") -> list[str]:
        if not client.has_collection(self._name, timeout=_CHANGE_S):  # milvus-lite says that one has no aliases
            raise self._is_missing()
        aliases = client.list_aliases(self._name, timeout=_CHANGE_S)["aliases"]
        return sorted(one.removeprefix(self._alias("")) for one in aliases if one.startswith(self._alias("")))

    def _alias(self, text: str) -> str:
        return f"{self._name}_{text}"

    def _drop_stamps(self, texts: list[str]) -> None:
        for text in texts:
            self._ask(partial(self._drop_stamp, text))

    def _drop_stamp(self, text: str, client: "MilvusClient") -> None:
        client.drop_alias(self._alias(text), timeout=_CHANGE_S)

    def _is_built(self, client: "MilvusClient") -> bool:
        """Whether all that is stored is in what was built, and loaded: some seconds lie between the two."""
        if any(int(index.get("pending_index_rows") or 0) for index in self._indexes(client)):
            return False
        stored = client.list_persistent_segments(self._name, timeout=_CHANGE_S)
        loaded = client.list_loaded_segments(self._name, timeout=_CHANGE_S)
        wanted = {segment.segment_id for segment in stored if segment.num_rows >= _SMALLEST_BUILT}
        return wanted <= {segment.segment_id for segment in loaded if segment.index_name}

    def _indexes(self, client: "MilvusClient") -> list[dict[str, Any]]:
        """What the server says of the indexes that it has built, or builds."""
        names = client.list_indexes(self._name, timeout=_CHANGE_S)
        return [client.describe_index(self._name, name, timeout=_CHANGE_S) for name in names]

    def _put(self, rows: list[dict[str, Any]], client: "MilvusClient") -> None:
        client.upsert(self._name, rows, timeout=_CHANGE_S)

    def _remove(self, numbers: list[int], client: "MilvusClient") -> None:
        client.delete(self._name, ids=numbers, timeout=_CHANGE_S)

    def _query(self, which: str, fields: list[str], client: "MilvusClient", **options: int) -> list[dict[str, Any]]:
        """Rows as they are after all that was stored before."""
        found: list[dict[str, Any]] = client.query(
            self._name, filter=which, output_fields=fields, consistency_level="Strong", timeout=_CHANGE_S, **options
        )
        return found

    def _search(
        self, views: list[Floats], length: int, client: "MilvusClient", *, settled: bool
    ) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = client.search(
            self._name,
            data=views,
            anns_field=_VECTOR,
            limit=length,
            output_fields=[_ID],
            search_params={"metric_type": "IP", "params": {"ef": max(IN_VIEW, length)}},
            consistency_level="Strong" if settled else "Bounded",
            timeout=_SEARCH_S,
        )
        return found

    def _make(self, client: "MilvusClient", dimension: int) -> None:
        from pymilvus import DataType  # noqa: PLC0415 -- costs a second

        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(_ID, DataType.INT64, is_primary=True)
        schema.add_field(_VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
        client.create_collection(self._name, schema=schema, consistency_level="Bounded", timeout=_MAKING_S)

    def _make_searchable(self, client: "MilvusClient") -> None:
        built = self._indexes(client)
        if any(index.get("metric_type") != "IP" for index in built):
            raise self._unusable("it compares vectors in another way than facepool")
        if not built:
            order = client.prepare_index_params()
            parameters = {"M": LINKS, "efConstruction": BUILD_LINKS}
            order.add_index(_VECTOR, index_type="HNSW", metric_type="IP", params=parameters)
            client.create_index(self._name, order, timeout=_MAKING_S)
        client.load_collection(self._name, timeout=_MAKING_S)

    def _check(self, dimension: int) -> None:
        """Refuse a collection that was not made here, or for vectors of another length."""
        seen = self._ask(lambda client: client.describe_collection(self._name, timeout=_CHANGE_S))
        fields = {field["name"]: field for field in seen["fields"]}
        if set(fields) != {_ID, _VECTOR} or not fields[_ID].get("is_primary") or seen.get("enable_dynamic_field"):
            raise self._unusable("it has other fields than an index of facepool")
        length = int(fields[_VECTOR].get("params", {}).get("dim", 0))
        if length != dimension:
            raise self._unusable(f"its vectors have {length} dimensions, those of the pool {dimension}")

    def _unusable(self, why: str) -> IndexUnusable:
        return IndexUnusable(f"The index {self._address} cannot be used", why=why, fix=_REBUILD)

    def _is_missing(self) -> IndexUnusable:
        return self._unusable(f"its server has no collection {self._name}: it was deleted, or never made")

    def _unreachable(self, why: str, fix: str = _LATER) -> IndexUnreachable:
        return IndexUnreachable(f"The index {self._address} cannot be reached", why=why, fix=fix)

    def _client(self) -> "MilvusClient":
        if self._connected is None:
            self._connected = _connected(self._address)
            if self._address.path is not None and self._connected.has_collection(self._name):
                self._connected.load_collection(self._name)  # a file is opened anew by each process
        return self._connected

    def _ask(self, question: "Callable[[MilvusClient], Answer]") -> Answer:
        """What the server answers, or its failure in our words.

        The client's errors are not passed on as causes: some have vectors in them.
        """
        require("milvus")
        import grpc  # noqa: PLC0415 -- costs a second, which only those who have an index pay
        from pymilvus.exceptions import MilvusException  # noqa: PLC0415

        try:
            return question(self._client())
        except MilvusException as error:
            if error.code == _NO_CONNECTION and isinstance(error.__cause__, grpc.Call):  # why stands there alone
                raise self._unreachable(*_call_meaning(error.__cause__)) from None
            raise self._meaning(error.code, str(error.message)) from None
        except grpc.RpcError as error:
            raise self._unreachable(*_call_meaning(error)) from None

    def _meaning(self, code: object, message: str) -> PoolError:
        """What an answer means that is an error."""
        if isinstance(code, Enum) and code.name in _CALLS:  # a call that was repeated, until its time was over
            return self._unreachable(*_CALLS[code.name])
        words = message.lower()
        if self._address.path is not None and _NO_FILE in words:
            return self._unreachable(*_FILE)
        if any(word in words for word in _REFUSED):
            return self._unreachable("its server does not accept the login", _LOGIN)
        if code == _NO_CONNECTION:
            return self._unreachable(*_CALLS["UNAVAILABLE"])
        if code == _NOT_FOUND:
            return self._is_missing()
        if code == _NO_DATABASE or _NO_DATABASE_WORDS.search(words):
            return IndexUnusable(
                f"The index {self._address} cannot be used",
                why=f"its server has no database {self._address.database}",
                fix="Make it there, or name another one",
            )
        if code in _NO_ROOM:
            return self._unreachable("its server has no room left, or is asked too much", _LATER)
        if any(word in words for word in _UNFIT):
            return self._unusable("its collection is not as facepool makes it")
        shown = self._address.without_secrets(message.partition("\n")[0])[:_SHOWN]
        return self._unreachable(f"its server says: {shown}")


def _call_meaning(error: object) -> tuple[str, str]:
    """Why a call of gRPC failed by itself, and what to do."""
    import grpc  # noqa: PLC0415 -- costs a second, which only those who have an index pay

    name = error.code().name if isinstance(error, grpc.Call) else "UNKNOWN"
    if name == "UNAVAILABLE" and isinstance(error, grpc.Call) and _NO_TLS.search(error.details() or ""):
        return _TLS
    return _CALLS.get(name, (f"the call to its server failed ({name})", _LATER))


def _connected(address: IndexAddress) -> "MilvusClient":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # or its library writes lines of its own to stderr
    from pymilvus import MilvusClient  # noqa: PLC0415 -- costs a second

    for name in _CHATTER:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return MilvusClient(uri=address.uri, token=address.token, db_name=address.database, timeout=_SEARCH_S)


def _parts(count: int, size: int) -> Iterator[slice]:
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))
