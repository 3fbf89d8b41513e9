"""Who is known: people and their templates go in, and come out as rows, columns and changes since a revision.

Read ``base`` first: the `Gallery` protocol; ``address`` says where one is. Then ``sql``: what is asked of the tables,
wherever these are. ``sqlite`` has them in a file (``connection``, ``schema``), ``postgres`` in a database
(``postgres_connection``, ``postgres_schema``). ``npy`` is the original project's two files, ``foreign`` has pools that
come from elsewhere.

A gallery may have several ``collections``, each of them a pool of its own.

``listing`` is people by pages, ``batches`` many templates at once, ``vectors`` loads them from files, ``transfer``
copies from one gallery into another, ``backup`` copies one as a whole. ``image`` is where an index lies on the disk.
"""

from pathlib import Path

from facepool.errors import ConfigError
from facepool.extras import require
from facepool.gallery.address import (
    EncryptedFile,
    PoolAddress,
    PostgresAddress,
    keyed,
    path_of,
    pool_address,
)
from facepool.gallery.base import Gallery, check_gallery
from facepool.gallery.batches import Stored, TemplateBatch
from facepool.gallery.checks import clean_name, find_name, known_name
from facepool.gallery.collections import DEFAULT, collection_address
from facepool.gallery.columns import Changes, PoolMatrix
from facepool.gallery.details import Details
from facepool.gallery.foreign import ForeignGallery
from facepool.gallery.keys import PoolKey, no_key_for
from facepool.gallery.listing import GallerySize, PeoplePage
from facepool.gallery.npy import NpyGallery
from facepool.gallery.sql import SqlGallery
from facepool.gallery.sqlite import SqliteGallery
from facepool.gallery.transfer import TransferReport, Verified, transfer, verify_transfer
from facepool.types import EmbeddingSpace

__all__ = [
    "Changes",
    "Details",
    "EncryptedFile",
    "Gallery",
    "GallerySize",
    "NpyGallery",
    "PeoplePage",
    "Pool",
    "PoolAddress",
    "PoolKey",
    "PoolMatrix",
    "PostgresAddress",
    "SqlGallery",
    "SqliteGallery",
    "Stored",
    "TemplateBatch",
    "TransferReport",
    "Verified",
    "check_gallery",
    "clean_name",
    "find_name",
    "known_name",
    "open_foreign",
    "open_pool",
    "pool_address",
    "transfer",
    "verify_transfer",
]

Pool = Gallery
"""The name that users of the library know: for them a gallery is a pool."""

_SQLITE_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})


def open_pool(
    path: str | PoolAddress,
    space: EmbeddingSpace | None = None,
    *,
    collection: str = DEFAULT,
    key: PoolKey | None = None,
    ids_path: Path | str | None = None,
    must_exist: bool = False,
    timeout_s: float = 5.0,
) -> Gallery:
    """Open the pool in a file, of the kind that its ending tells, or in a PostgreSQL database.

    Args:
        path: ``*.db``, ``*.sqlite``, ``*.sqlite3``: SQLite. ``*.npy``: the original pair's vectors.
            ``postgresql://...``: a database, which needs ``facepool[postgres]``.
        space: What the caller's embeddings are; None to look at people without a model.
        collection: Which of the pool's: each has its own people, and knows nothing of the others.
        key: Of a SQLite file that is encrypted, or is to be where there is none yet: `facepool.gallery.keys.find_key`.
            Needs ``facepool[encrypted]``. An address may have it already.
        ids_path: The original pair's names; None: ``model_face_ids.npy`` beside ``model_faces.npy``, and
            ``NAME_ids.npy`` beside any other ``NAME.npy``.
        must_exist: Whether a pool that does not exist is an error. Otherwise it is made when something is stored.
        timeout_s: How long to wait for other processes.

    Raises:
        ConfigError: The ending is another one, or the address cannot be read.
        ExtraMissing: For a database, ``facepool[postgres]`` is not installed.
        PathMissing: The pool must exist and does not.
        PoolError: The files are no pool, or do not fit `space`.
    """
    address = collection_address(with_key(pool_address(path), key), collection)
    if isinstance(address, PostgresAddress):
        require("postgres")
        from facepool.gallery.postgres import PostgresGallery  # noqa: PLC0415 -- of an extra

        return PostgresGallery(address, space, must_exist=must_exist, timeout_s=timeout_s)
    file = path_of(address)
    suffix = file.suffix.lower()
    if suffix in _SQLITE_SUFFIXES:
        return SqliteGallery(address, space, must_exist=must_exist, timeout_s=timeout_s)
    if suffix == ".npy":
        if isinstance(address, EncryptedFile):
            raise no_key_for(str(file), "a pair of .npy files cannot be encrypted")
        ids = Path(ids_path or _ids_beside(address))
        return NpyGallery(address, ids, space, must_exist=must_exist, timeout_s=timeout_s)
    raise ConfigError(
        f"{address} cannot be a pool",
        why=f"its ending is {suffix!r}",
        fix="Name a file that ends in .db (SQLite) or .npy (the original pair), or postgresql://user@host/database",
    )


def with_key(address: PoolAddress, key: PoolKey | None) -> PoolAddress:
    """An address, with a key if one is given.

    Raises:
        ConfigError: It is a pool of a kind that takes none.
    """
    if key is None:
        return address
    if isinstance(address, PostgresAddress):
        raise no_key_for(str(address), "a PostgreSQL database is encrypted by its own means")
    return keyed(path_of(address), key)


def open_foreign(path: str | PoolAddress, *, deadline_s: float | None = None) -> Gallery:
    """Open a pool that may come from anywhere, to copy from it; everything in it is looked at first.

    Args:
        path: As for `open_pool`.
        deadline_s: How long reading it may take; None: as long as it takes.

    Raises:
        ConfigError: The ending is another one.
        PathMissing: There is no such pool.
        PoolError: It is no pool, or not a whole one.
    """
    address = pool_address(path)
    if not isinstance(address, PostgresAddress) and path_of(address).suffix.lower() in _SQLITE_SUFFIXES:
        return ForeignGallery(address, deadline_s=deadline_s)
    return open_pool(address, must_exist=True)


def _ids_beside(vectors_path: Path) -> Path:
    stem = "model_face" if vectors_path.stem == "model_faces" else vectors_path.stem
    return vectors_path.with_name(f"{stem}_ids.npy")
