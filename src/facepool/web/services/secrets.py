"""The logins of cameras, in a file of their own that only its owner may read: no other file and no answer has them.

The file beside the pool is JSON: whole addresses, by what is shown of them. What is shown stands wherever a camera is
named, also in the server's own store.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from facepool.capture import mask_credentials
from facepool.capture.source import STREAM_SCHEMES
from facepool.errors import ConfigError, StorageError
from facepool.files import PRIVATE, storage_errors, write_whole
from facepool.gallery.address import PoolAddress, beside


class CameraSecrets:
    """Whole addresses of cameras that are remembered, by what is shown of them.

    Args:
        path: The file; it is made when there is something to keep, and deleted when there is nothing any more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, str]:
        """All of them.

        Raises:
            StorageError: The file cannot be read, or is damaged.
        """
        with storage_errors(self.path, "cannot be read"):
            if not self.path.exists():
                return {}
            content = self.path.read_bytes()
        try:
            found = json.loads(content)
            return {str(shown): str(found[shown]) for shown in found}
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise StorageError(
                f"The logins of cameras in {self.path} cannot be read",
                why="the file is damaged",
                fix="Delete it, start the server again and add those cameras anew",
            ) from error

    def write(self, addresses: Mapping[str, str]) -> None:
        """Keep these and no others; the file is whole, or as it was.

        Raises:
            StorageError: It cannot be written.
        """
        if addresses == self.read():
            return
        if addresses:
            write_whole(self.path, json.dumps(addresses, ensure_ascii=False, indent=1).encode(), PRIVATE)
            return
        with storage_errors(self.path, "cannot be deleted"):
            self.path.unlink(missing_ok=True)


def secrets_beside(pool: PoolAddress) -> Path:
    """Where the logins of a server's cameras are: ``pool.db`` has ``pool.server.secrets``."""
    return beside(pool, ".server.secrets")


def has_secret(source: str) -> bool:
    """Whether a part of it is not shown."""
    return mask_credentials(source) != source


def with_login(source: str, user: str, password: str) -> str:
    """An address with a login in it, as cameras are opened.

    Args:
        source: The address, without a login of its own.
        user: As it is; nothing is encoded in it.
        password: Likewise.

    Raises:
        ConfigError: It is no address of a stream, or has a login already.
    """
    scheme, separator, rest = source.partition("://")
    if not separator or scheme.lower() not in STREAM_SCHEMES:
        raise ConfigError(
            "This camera takes no login",
            why="only the addresses of streams and pictures do",
            fix="Leave user and password out",
        )
    try:
        own = "@" in urlsplit(source).netloc
    except ValueError:
        own = False
    if own:
        raise ConfigError(
            "There are two logins for this camera",
            why="one stands in its address, one beside it",
            fix="Take the one out of the address",
        )
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"
