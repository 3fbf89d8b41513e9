"""Where the index of a pool is: a Milvus server, or a file of milvus-lite, that lists the templates nearest to a face.

`index_address` reads what a user has typed. An address can be shown, by ``str``: a password or token is not part of
that. ``place`` is what the pool remembers of it: where the index is, without who logs in.
"""

import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from facepool.errors import ConfigError
from facepool.gallery.address import EncryptedFile, PoolAddress, PostgresAddress

_FORM = "milvus://host:19530"
_LITE = "milvus+lite:"
_SERVER = re.compile(
    r"""(?i:(?P<scheme>milvus(?:\+tls)?))://
    (?:(?P<user>[^:@/\s]*)(?::(?P<password>[^@/\s]*))?@)?
    (?P<host>\[[0-9A-Fa-f:.%]+\]|[^:/?\#@\s,\[\]]+)
    (?::(?P<port>[0-9]{1,5}))?
    (?:/(?P<database>[A-Za-z0-9_]*))?/?""",
    re.VERBOSE,
)
_PORT = 19530
_LARGEST_PORT = 65535
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_HIDDEN = "***"
_SHORTEST_SECRET = 3
"""Shorter ones are parts of nearly every sentence."""


class IndexAddress:
    """A Milvus server, ``milvus://user:password@host:19530/database``, or a file of milvus-lite.

    No dataclass, as those are turned into dicts with all that is in them by whoever prints or stores them.

    Args:
        text: The whole address, with its password; not shown.

    Raises:
        ConfigError: It cannot be read. The message does not have it, as its password could be anywhere in it.

    Attributes:
        path: The file of milvus-lite; None: it is a server.
        host: Of the server, an IPv6 address in brackets; empty for a file.
        port: Of the server; 0 for a file.
        database: On the server; empty: its default one.
        is_tls: Whether the server is reached by TLS.
    """

    __slots__ = ("_text", "_token", "_user", "database", "host", "is_tls", "path", "port")

    def __init__(self, text: str) -> None:
        self._text = text
        self.path: Path | None = None
        self.host, self.port, self.database, self.is_tls = "", 0, "", False
        self._user, self._token = "", ""
        if text.lower().startswith(_LITE):
            self.path = _file_of(text[len(_LITE) :])
            return
        found = _SERVER.fullmatch(text)
        if found is None:
            raise _unreadable(
                "it is not of that form",
                f"Write it as {_FORM}, milvus+tls://user:password@host:19530/database or milvus+lite:index.db; in a "
                "user name or password, @ as %40, : as %3A, / as %2F and % as %25",
            )
        if any(part and _BROKEN_ESCAPE.search(part) for part in (found["user"], found["password"])):
            raise _unreadable("two hexadecimal digits have to come after each %", "Write % itself as %25")
        if not 0 < int(found["port"] or _PORT) <= _LARGEST_PORT:
            raise _unreadable("its port is none", f"Write it as {_FORM}")
        self.host, self.port = found["host"].lower(), int(found["port"] or _PORT)
        self.database, self.is_tls = found["database"] or "", found["scheme"].lower() != "milvus"
        self._user, self._token = unquote(found["user"] or ""), unquote(found["password"] or "")

    @property
    def uri(self) -> str:
        """What pymilvus calls so, without login: ``http://host:19530``, or the path of the file."""
        if self.path is not None:
            return str(self.path)
        return f"{'https' if self.is_tls else 'http'}://{self.host}:{self.port}"

    @property
    def token(self) -> str:
        """What pymilvus calls so: ``user:password``, or a token where no user is named; not to be shown."""
        return f"{self._user}:{self._token}" if self._user else self._token

    @property
    def place(self) -> str:
        """Where it is, without who logs in: the same for all that reach the same index in the same way."""
        if self.path is not None:
            return f"{_LITE}{self.path}"
        database = f"/{self.database}" if self.database else ""
        return f"milvus{'+tls' if self.is_tls else ''}://{self.host}:{self.port}{database}"

    @property
    def has_secret(self) -> bool:
        """Whether a part of it is not shown."""
        return bool(self._token)

    def without_secrets(self, text: str) -> str:
        """What somebody else says of it, the server's client for example, without the parts that are not shown."""
        words = {self._token, quote(self._token, safe="")}
        for word in sorted(words, key=len, reverse=True):
            if len(word) >= _SHORTEST_SECRET:
                text = text.replace(word, _HIDDEN)
        return text

    def __eq__(self, other: object) -> bool:
        """Whether it is the same place with the same login."""
        return isinstance(other, IndexAddress) and (other.place, other.token) == (self.place, self.token)

    def __hash__(self) -> int:
        return hash(self.place)

    def __reduce__(self) -> tuple[type["IndexAddress"], tuple[str]]:
        return IndexAddress, (self._text,)

    def __str__(self) -> str:
        """The address without its password."""
        if not (self._user or self._token):
            return self.place
        scheme, separator, rest = self.place.partition("://")
        return f"{scheme}{separator}{quote(self._user, safe='')}{f':{_HIDDEN}' if self._token else ''}@{rest}"

    def __repr__(self) -> str:
        """As ``str``."""
        return f"IndexAddress({str(self)!r})"


def index_address(text: "str | IndexAddress") -> IndexAddress:
    """What a user means who names an index.

    Args:
        text: ``milvus://host:19530``, ``milvus+tls://user:password@host/database`` or ``milvus+lite:index.db``.

    Raises:
        ConfigError: It cannot be read.
    """
    return text if isinstance(text, IndexAddress) else IndexAddress(text.strip())


def check_can_have_index(pool: PoolAddress) -> None:
    """Refuse an index for a pool whose vectors may not, or cannot, be followed by one.

    Raises:
        ConfigError: It is encrypted, or a pair of ``.npy`` files.
    """
    if isinstance(pool, EncryptedFile):
        raise ConfigError(
            f"The encrypted pool {pool.name} can have no index",
            why="its vectors would lie at the index unencrypted",
            fix="Leave out --index, or decrypt the pool first: facepool pool decrypt",
        )
    if not isinstance(pool, PostgresAddress) and pool.suffix.lower() == ".npy":
        raise ConfigError(
            f"The pool {pool.name} can have no index",
            why="a pair of .npy files has no place for what the index has and has not yet",
            fix="Leave out --index, or copy it into a .db file or PostgreSQL: facepool people export pool.db",
        )


def _file_of(text: str) -> Path:
    path = Path(text)
    if path.suffix != ".db":
        raise _unreadable("milvus-lite keeps an index in a file that ends in .db", "Write it as milvus+lite:index.db")
    with suppress(RuntimeError):  # a user without a home
        path = path.expanduser()
    return path.absolute()


def _unreadable(why: str, fix: str) -> ConfigError:
    return ConfigError("The address of the index cannot be read", why=why, fix=fix)
