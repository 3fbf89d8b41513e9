"""Where a pool is: a file of this machine, or a PostgreSQL database that many machines may use.

`pool_address` reads what a user has typed. Both kinds can be shown, by ``str``: a password is not part of that.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from facepool.errors import ConfigError

_SCHEMES = ("postgresql", "postgres")
_SECRETS = re.compile(r"(?<=[?&])(password|sslpassword)=[^&]*", re.IGNORECASE)
_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A PostgreSQL database: ``postgresql://user:password@host/database``, with all that libpq knows of such addresses.

    Attributes:
        url: The whole address, with its password; not shown.
    """

    url: str = field(repr=False)

    def __str__(self) -> str:
        """The address without its password."""
        scheme, _, rest = self.url.partition("://")
        place, slash, path = rest.partition("/")
        login, at, hosts = place.rpartition("@")
        user, colon, _ = login.partition(":")
        shown = f"{user}:{_HIDDEN}" if colon else user
        return f"{scheme}://{shown}{at}{hosts}{slash}" + _SECRETS.sub(rf"\1={_HIDDEN}", path)

    @property
    def name(self) -> str:
        """What the database is called, in the place of a file's name."""
        return unquote(urlsplit(self.url).path.strip("/")) or "postgresql"


PoolAddress = Path | PostgresAddress
"""Where a pool is."""


def pool_address(text: str | PoolAddress) -> PoolAddress:
    """What a user means who names a pool.

    Args:
        text: A file, or ``postgresql://...``.

    Raises:
        ConfigError: It is an address of another kind.
    """
    if isinstance(text, PostgresAddress | Path):
        return text
    scheme, separator, _ = text.partition("://")
    if not separator:
        return Path(text)
    if scheme.lower() not in _SCHEMES:
        raise ConfigError(
            f"No pool can be kept at {scheme}://...",
            why="it is neither a file nor a PostgreSQL database",
            fix="Name a .db file, a .npy file, or postgresql://user@host/database",
        )
    return PostgresAddress(text)
