"""The logins of cameras, in a place of their own: nothing else has them, no answer, no log and no export.

They are whole addresses, by what is shown of them. What is shown stands wherever a camera is named, also in the
server's own store. A pool in a file has them in another file (JSON) that only its owner may read; a pool in PostgreSQL
in the table ``server_secrets``, since any of its servers may have to watch a camera, and an encrypted one in the same
table of its encrypted store.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from facepool.capture import mask_credentials
from facepool.capture.source import STREAM_SCHEMES
from facepool.errors import ConfigError, StorageError
from facepool.files import PRIVATE, storage_errors, write_whole
from facepool.gallery.database import Database


class CameraSecrets(Protocol):
    """Whole addresses of cameras that are remembered, by what is shown of them.

    They are put there inside the transaction of the store that remembers the cameras. Whenever that ends, the store
    names no camera whose login is not there.
    """

    @property
    def name(self) -> str:
        """What the place is called, for messages."""

    def read(self, db: Database) -> dict[str, str]:
        """All of them, as a part of a transaction or of reading.

        Raises:
            FacepoolError: They cannot be read.
        """

    def put(self, db: Database, addresses: Mapping[str, str]) -> None:
        """Have these there, as a part of a transaction; others may stay until `drop_others`.

        Raises:
            FacepoolError: They cannot be written.
        """

    def undo(self, before: Mapping[str, str]) -> None:
        """The transaction was undone: what was there before it is there again."""

    def drop_others(self, addresses: Mapping[str, str]) -> None:
        """The transaction was committed: nothing but these is there."""


class SecretsTable:
    """`CameraSecrets` in the database of the store: what its transactions do, they do whole."""

    name = "server_secrets"

    def read(self, db: Database) -> dict[str, str]:
        """All of them."""
        return {str(shown): str(whole) for shown, whole in db.execute("SELECT shown, whole FROM server_secrets")}

    def put(self, db: Database, addresses: Mapping[str, str]) -> None:
        """Keep these and no others."""
        if addresses == self.read(db):
            return
        db.execute("DELETE FROM server_secrets")
        db.executemany("INSERT INTO server_secrets (shown, whole) VALUES (?, ?)", list(addresses.items()))

    def undo(self, before: Mapping[str, str]) -> None:
        """The database has done so."""

    def drop_others(self, addresses: Mapping[str, str]) -> None:
        """They are gone."""


class SecretsFile:
    """`CameraSecrets` in a file.

    Args:
        path: The file; it is made when there is something to keep, and deleted when there is nothing any more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.path.name

    def read(self, _db: Database | None = None) -> dict[str, str]:
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

    def put(self, _db: Database | None, addresses: Mapping[str, str]) -> None:
        """Keep these besides those that are there: the store may not come to name them."""
        self.write({**self.read(), **addresses})

    def undo(self, before: Mapping[str, str]) -> None:
        """Keep what was there before."""
        self.write(before)

    def drop_others(self, addresses: Mapping[str, str]) -> None:
        """Keep these and no others."""
        self.write(addresses)

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
