"""Where a pool is: a file of this machine, encrypted or not, or a PostgreSQL database that many machines may use.

`pool_address` reads what a user has typed. All kinds can be shown, by ``str``: a password or a key is not part of that.
The key of an encrypted file is a part of its address, so that whatever is made beside it has the same one, see `at`.
`beside` says where those things lie that belong to a pool and are kept on this machine.
"""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from facepool.errors import ConfigError
from facepool.files import in_a_home, safe_stem, storage_errors, users_folder
from facepool.gallery.keys import PoolKey

_FORM = "postgresql://user@host/database"
_SCHEME = re.compile(r"(?i:postgres(?:ql)?)://")
_MEANT = re.compile(r"\s*postgres(?:ql)?:|\s*(?:host|hostaddr|port|dbname|user|password|service)\s*=", re.IGNORECASE)
"""How those begin who mean a database, and do not write it as we read it."""
_PARTS = re.compile(
    r"""(?:(?P<user>[^:@/\s]*)(?::(?P<password>[^@/\s]*))?@)?
    (?P<hosts>[^/?#@\s]*)
    (?:/(?P<database>[^/?#@\s]*))?
    (?:\?(?P<options>[^@\s]*))?""",
    re.VERBOSE,
)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]*\]|[^:\[\]]*)(?::[0-9]*)?")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
COLLECTIONS = ".collections"
"""How the folder ends that has a pool's collections: ``pool.db`` has ``pool.collections`` beside it."""
_SECRET = re.compile(r"pass(?!file)|secret|token|client_key|server_key", re.IGNORECASE)
"""Parts of the names of libpq's parameters whose values are not shown; ``passfile`` is a path."""
_HIDDEN = "***"
_SHORTEST_SECRET = 3
"""Shorter ones are parts of nearly every sentence."""
_IDENTIFYING = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "service": "PGSERVICE",
    "options": "PGOPTIONS",
}
"""libpq's parameters that lead to another pool, with what libpq reads where the address does not say them."""


class PostgresAddress:
    """A PostgreSQL database: ``postgresql://user:password@host/database``, with all that libpq knows of such addresses.

    No dataclass, as those are turned into dicts with all that is in them by whoever prints or stores them.

    Args:
        url: The whole address, with its password; not shown.
        collection: Of the pool there, if not its default one: `facepool.gallery.collections`.

    Raises:
        ConfigError: It cannot be read, or libpq would take it for something else, a part of the password for a host,
            for example. The message does not have it, as its password could be anywhere in it.
    """

    __slots__ = ("_parts", "_url", "collection")

    def __init__(self, url: str, collection: str = "") -> None:
        self._url = url
        self.collection = collection
        scheme = _SCHEME.match(url)
        parts = scheme and _PARTS.fullmatch(url, scheme.end())
        if not parts:
            raise _unreadable(
                "it has a character where there can be none",
                f"Write it as {_FORM}; in a user name or password, @ as %40, / as %2F, % as %25 and a space as %20",
            )
        if any(part and _BROKEN_ESCAPE.search(part) for part in parts.groups()):
            raise _unreadable("two hexadecimal digits have to come after each %", "Write % itself as %25")
        if not _is_text(url):
            raise _unreadable("what stands after its % is no UTF-8", "Write ä as %C3%A4, for example")
        if not all(map(_HOST.fullmatch, parts["hosts"].split(","))):
            raise _unreadable(
                "one of its hosts is none",
                "Write them as name:port, [2001:db8::1]:port or %2Frun%2Fpostgresql, with a comma between two; "
                "in a password, write / as %2F",
            )
        if any("=" not in option for option in _options(parts["options"])):
            raise _unreadable("an option has no value", "Write them as sslmode=verify-full, with & between two")
        self._parts = parts

    @property
    def url(self) -> str:
        """The whole address, with its password, for libpq."""
        return self._url

    def __eq__(self, other: object) -> bool:
        """Whether libpq would be told the same, and the same collection is meant."""
        return isinstance(other, PostgresAddress) and (other.url, other.collection) == (self.url, self.collection)

    def __hash__(self) -> int:
        return hash((self._url, self.collection))

    def __reduce__(self) -> tuple[type["PostgresAddress"], tuple[str, str]]:
        return PostgresAddress, (self._url, self.collection)

    def __str__(self) -> str:
        """The address without its password, and the collection."""
        parts = self._parts
        user = "" if parts["user"] is None else parts["user"] + (f":{_HIDDEN}@" if parts["password"] else "@")
        database = "" if parts["database"] is None else f"/{parts['database']}"
        options = "&".join(map(_shown, _options(parts["options"])))
        shown = f"postgresql://{user}{parts['hosts']}{database}" + (f"?{options}" if options else "")
        return f"{shown} (collection {self.collection})" if self.collection else shown

    def __repr__(self) -> str:
        """As ``str``."""
        return f"PostgresAddress({str(self)!r})"

    @property
    def name(self) -> str:
        """What the database is called, in the place of a file's name, with the collection."""
        found = self._found()
        said = (found.get("dbname"), found.get("service"), os.environ.get("PGDATABASE"), found.get("user"))
        database = next(filter(None, said), "postgresql")
        return f"{database} ({self.collection})" if self.collection else database

    @property
    def has_secret(self) -> bool:
        """Whether a part of it is not shown."""
        parts = self._parts
        return bool(parts["password"]) or any(_shown(option) != option for option in _options(parts["options"]))

    @property
    def key(self) -> str:
        """The same for addresses that differ only in how one connects; another one for each pool."""
        found = self._found()
        said = [f"{name}={found.get(name) or os.environ.get(of, '')}" for name, of in _IDENTIFYING.items()]
        return "\n".join([*said, f"collection={self.collection}"] if self.collection else said)

    def without_secrets(self, text: str) -> str:
        """What somebody else says of it, a database's own client for example, without the parts that are not shown."""
        found = self._found()
        secrets = [self._parts["password"] or "", *(value for name, value in found.items() if _SECRET.search(name))]
        words = {word for secret in secrets for word in (secret, unquote(secret), quote(secret, safe=""))}
        for word in sorted(words, key=len, reverse=True):
            if len(word) >= _SHORTEST_SECRET:
                text = text.replace(word, _HIDDEN)
        return text

    def _found(self) -> dict[str, str]:
        """What the address says, by the names that libpq has for it."""
        parts = self._parts
        hosts = [host.rpartition(":") if _has_port(host) else (host, "", "") for host in parts["hosts"].split(",")]
        said = {
            "host": ",".join(unquote(host) for host, _, _ in hosts),
            "port": ",".join(port for _, _, port in hosts).strip(","),
            "user": unquote(parts["user"] or ""),
            "dbname": unquote(parts["database"] or ""),
        }
        pairs = (option.partition("=") for option in _options(parts["options"]))
        return {**said, **{unquote(name): unquote(value) for name, _, value in pairs}}


class EncryptedFile:
    """A file and the key that it is encrypted with.

    No dataclass, as those are turned into dicts with all that is in them by whoever prints or stores them.

    Args:
        path: The file.
        key: Its key; not shown.
    """

    __slots__ = ("key", "path")

    def __init__(self, path: Path, key: PoolKey) -> None:
        self.path = path
        self.key = key

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.path.name

    def __eq__(self, other: object) -> bool:
        """Whether it is the same file with the same key."""
        return isinstance(other, EncryptedFile) and (other.path, other.key) == (self.path, self.key)

    def __hash__(self) -> int:
        return hash((EncryptedFile, self.path))

    def __reduce__(self) -> tuple[type["EncryptedFile"], tuple[Path, PoolKey]]:
        return EncryptedFile, (self.path, self.key)

    def __str__(self) -> str:
        """The path."""
        return str(self.path)

    def __repr__(self) -> str:
        """The path."""
        return f"EncryptedFile({str(self.path)!r})"


FileAddress = Path | EncryptedFile
"""A file, with its key if it has one."""
PoolAddress = Path | EncryptedFile | PostgresAddress
"""Where a pool is."""


def file_of(pool: PoolAddress) -> Path | None:
    """The file that a pool is in, encrypted or not; None: it is in a database."""
    if isinstance(pool, PostgresAddress):
        return None
    return path_of(pool)


def path_of(file: FileAddress) -> Path:
    """The path of a file, encrypted or not."""
    return file.path if isinstance(file, EncryptedFile) else file


def key_of(pool: PoolAddress) -> PoolKey | None:
    """The key that what belongs to a pool is encrypted with; None: it is not."""
    return pool.key if isinstance(pool, EncryptedFile) else None


def at(path: Path, pool: PoolAddress) -> FileAddress:
    """The address of a file that belongs to a pool, with the pool's key if it has one.

    Args:
        path: The file, beside the pool or elsewhere.
        pool: Whose.
    """
    return keyed(path, key_of(pool))


def keyed(path: Path, key: PoolKey | None) -> FileAddress:
    """The address of a file, with a key if there is one."""
    return path if key is None else EncryptedFile(path, key)


def pool_address(text: str | PoolAddress) -> PoolAddress:
    """What a user means who names a pool.

    Args:
        text: A file, or ``postgresql://...``.

    Raises:
        ConfigError: It is an address of another kind, or cannot be read.
    """
    if isinstance(text, PostgresAddress | EncryptedFile):
        return text
    address = str(text).strip()
    if _SCHEME.match(address):
        return PostgresAddress(address)
    if _MEANT.match(address):
        raise _unreadable("it is no address of libpq's URI form", f"Write it as {_FORM}; in a program, as text")
    scheme, separator, _ = address.partition("://")
    if separator:
        raise ConfigError(
            f"No pool can be kept at {scheme}://...",
            why="it is neither a file nor a PostgreSQL database",
            fix=f"Name a .db file, a .npy file, or {_FORM}",
        )
    return Path(text)


def folder_of(pool: PoolAddress) -> Path:
    """The folder for what belongs to a pool and is kept on this machine.

    That of the pool's file, or one of the user's that has the name of the database. Each pool has its own, and no
    password is in its name.

    Raises:
        ConfigError: This user has no home for it.
    """
    if not isinstance(pool, PostgresAddress):
        return path_of(pool).parent
    digest = hashlib.sha256(pool.key.encode()).hexdigest()[:12]
    folder = users_folder("data") / "postgresql" / f"{safe_stem(pool.name, 'pool')}-{digest}"
    return in_a_home(folder, "XDG_DATA_HOME")


def make_folder_of(pool: PoolAddress) -> None:
    """Make the folder of a pool where there is none; that of a database or of collections is for its user only.

    Raises:
        NotWritable: It cannot be made.
    """
    folder = folder_of(pool)
    if file_of(pool) is not None and not is_of_collections(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return
    with storage_errors(folder, "cannot be made"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)


def is_of_collections(folder: Path) -> bool:
    """Whether it is where the collections of a pool in a file lie: ``pool.collections``."""
    return folder.suffix == COLLECTIONS


def beside(pool: PoolAddress, ending: str) -> Path:
    """A file of this machine that belongs to a pool: ``pool.db`` has ``pool.server.pem`` beside it."""
    file = file_of(pool)
    return folder_of(pool) / f"pool{ending}" if file is None else file.with_suffix(ending)


def _unreadable(why: str, fix: str) -> ConfigError:
    return ConfigError("The address of the pool cannot be read", why=why, fix=fix)


def _is_text(url: str) -> bool:
    try:
        unquote(url, errors="strict").encode()
    except UnicodeError:
        return False
    return True


def _options(text: str | None) -> list[str]:
    return text.split("&") if text else []


def _shown(option: str) -> str:
    name, _, value = option.partition("=")
    return f"{name}={_HIDDEN}" if value and _SECRET.search(unquote(name)) else option


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]
