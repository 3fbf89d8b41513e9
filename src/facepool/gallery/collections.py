"""Several collections in one gallery: each is a pool of its own, so that nothing of one can be found in another.

A collection has its own people, index, backups, and, where there is a server, its own logs. ``default`` is the pool at
the address itself. The others of ``pool.db`` are files in ``pool.collections``; those of a PostgreSQL database are
schemas beside that of the default one, called ``public.NAME`` where that is ``public``. A connection to a collection
sees no other schema, and a process that has one open has no name of another in its memory.

`collection_address` says where one is, and everything else is asked of the pool there: `facepool.gallery.open_pool`.
"""

import json
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from facepool.errors import CollectionExists, ConfigError, PoolError, UnknownCollection
from facepool.extras import require
from facepool.files import storage_errors, sync_folders
from facepool.gallery.address import (
    COLLECTIONS,
    PoolAddress,
    PostgresAddress,
    at,
    file_of,
    folder_of,
    is_of_collections,
    path_of,
)
from facepool.gallery.index_rows import read_indexes, write_index
from facepool.gallery.sql import SqlGallery
from facepool.gallery.sqlite import SqliteGallery

DEFAULT = "default"
"""The collection that is meant where none is named."""
NEWS: Final = "collections"
"""What is announced when one was made or removed, to those who serve the pool."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_DEVICES_OF_WINDOWS = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]")
_NPY = ".npy"


def check_collection(name: str) -> str:
    """The name of a collection, if it can be one: it is the name of a file, too, and of a schema.

    Raises:
        ConfigError: It cannot.
    """
    if _NAME.fullmatch(name) and not _DEVICES_OF_WINDOWS.fullmatch(name):
        return name
    raise ConfigError(
        f"A collection cannot be called {name[:60]!r}",
        why="such a name is 1 to 40 of the characters a-z, 0-9, - and _, the first of them a letter or digit"
        if not _NAME.fullmatch(name)
        else "on Windows a file cannot",
        fix="Choose another one, such as staff or site-2",
    )


def collection_address(pool: PoolAddress, name: str) -> PoolAddress:
    """Where a collection of a gallery is kept, whether it is there or not.

    Args:
        pool: Where the gallery is: the address of its default collection.
        name: Of the collection.

    Raises:
        ConfigError: The name cannot be one, or a pool of that kind has no collections.
    """
    check_collection(name)
    if name == DEFAULT:
        return pool
    if isinstance(pool, PostgresAddress):
        return PostgresAddress(pool.url, name)
    path = path_of(pool)
    if path.suffix.lower() == _NPY:
        raise ConfigError(
            f"{pool} has no collection {name!r}",
            why="a pair of .npy files has room for one collection only",
            fix="Copy it into a .db file or a PostgreSQL database, which have room for several: "
            "facepool people export pool.db",
        )
    return at(_folder_of(path) / f"{name}{path.suffix}", pool)


def collections_in(pool: PoolAddress) -> list[str]:
    """The names of a gallery's collections: ``default``, which is always one, then the others in their order.

    Args:
        pool: Where the gallery is.

    Raises:
        PoolUnreachable: Its database is away.
    """
    if isinstance(pool, PostgresAddress):
        others = _schemas_beside(pool)
    elif (path := path_of(pool)).suffix.lower() == _NPY:
        others = []
    else:
        others = [file.stem for file in _folder_of(path).glob(f"*{path.suffix}") if file.suffix == path.suffix]
    return [DEFAULT, *sorted(name for name in others if _NAME.fullmatch(name) and name != DEFAULT)]


def has_collection(pool: PoolAddress, name: str) -> bool:
    """Whether a gallery has a collection; of every gallery, ``default`` is one."""
    address = collection_address(pool, name)
    if name == DEFAULT:
        return True
    file = file_of(address)
    return name in collections_in(pool) if file is None else file.exists()


def create_collection(pool: PoolAddress, name: str) -> PoolAddress:
    """Make a collection without anybody; who stores somebody in one that is not there makes it, too.

    Returns:
        Where it is kept.

    Raises:
        CollectionExists: There is one of that name.
        NotWritable: The folder, or the database, does not allow it: the error says which right is missing.
    """
    address = collection_address(pool, name)
    if has_collection(pool, name):
        raise CollectionExists(f"There is a collection {name!r} already", fix="Choose another name")
    if (file := file_of(address)) is not None:
        _delete_files(file)  # of one that was removed by a process that was killed
    make_tables(address)
    return address


def make_tables(address: PoolAddress) -> None:
    """Make the tables of a pool, without anybody, where there are none: an administrator may have made the schema."""
    with _opened(address) as tables:
        tables.make_tables()


def _opened(address: PoolAddress) -> SqlGallery:
    if not isinstance(address, PostgresAddress):
        return SqliteGallery(address)
    require("postgres")
    from facepool.gallery.postgres import PostgresGallery  # noqa: PLC0415 -- of an extra

    return PostgresGallery(address)


def remove_collection(pool: PoolAddress, name: str) -> None:
    """Erase a collection with everybody and everything in it: people, pictures, index, and what a server keeps of it.

    Whoever has it open is told that it is gone. Where the process is killed meanwhile, do it again. Its indexes of
    Milvus are left to the pool, which deletes them when it brings its own up to date (`facepool.search.follower`).

    Raises:
        ConfigError: It is the default one.
        UnknownCollection: There is none of that name.
        PoolLocked: Others use it for too long; it is still there.
    """
    if name == DEFAULT:
        raise ConfigError(
            "The default collection cannot be removed",
            why="it is the pool itself",
            fix="Erase its people: facepool people remove; or delete the pool's file or schema",
        )
    address = collection_address(pool, name)
    if has_collection(pool, name):
        _hand_over_indexes(pool, address)
    if isinstance(address, PostgresAddress):
        _drop_schema(pool, address, name)
        _delete_folder(address)
    elif not _delete_files(path_of(address)):
        raise unknown_collection(pool, name)


def _hand_over_indexes(pool: PoolAddress, collection: PoolAddress) -> None:
    """Have the pool remember the indexes of a collection as some that are to be deleted."""
    try:
        with _opened(collection) as gallery, gallery.reading() as db:
            rows = read_indexes(db)
    except PoolError:  # a damaged one can be removed, too
        return
    if rows:
        with _opened(pool) as gallery, gallery.changing() as db:
            for row in rows:
                write_index(db, replace(row, state="leaving"))


def delete_leftovers(pool: PoolAddress, name: str) -> None:
    """Delete what lies beside one that is not there any more: whoever had it open may have written an index since."""
    file = file_of(collection_address(pool, name))
    if name != DEFAULT and file is not None and not file.exists():
        _delete_files(file)


def unknown_collection(pool: PoolAddress, name: str) -> UnknownCollection:
    """The error for whoever may know which collections there are."""
    there = ", ".join(collections_in(pool))
    return UnknownCollection(
        f"There is no collection {name!r} in {pool}",
        why=f"it has {there}",
        fix=f"Check the spelling, or make it: facepool pool collections create {name}",
    )


def _folder_of(pool: Path) -> Path:
    return pool.with_suffix(COLLECTIONS)


def _schemas_beside(pool: PostgresAddress) -> list[str]:
    require("postgres")
    from facepool.gallery.postgres_connection import PostgresDatabase, connect, explained  # noqa: PLC0415 -- an extra

    with explained(pool), closing(connect(pool)) as connection:
        rows = PostgresDatabase(connection).execute(
            "SELECT substr(nspname, length(current_schema()) + 2) FROM pg_namespace "
            "WHERE starts_with(nspname, current_schema() || '.')"
        )
        return [str(name) for (name,) in rows]


def _drop_schema(pool: PoolAddress, address: PostgresAddress, name: str) -> None:
    from psycopg import sql  # noqa: PLC0415 -- an extra

    from facepool.gallery.postgres_connection import CHANNEL, connect, explained  # noqa: PLC0415 -- an extra

    if not has_collection(pool, name):
        raise unknown_collection(pool, name)
    with explained(address), closing(connect(address)) as connection, connection.transaction():
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(connection.schema)))
        # To the servers of the default one: they close it.
        news = json.dumps({"kind": NEWS, "schema": connection.root})
        connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, news))


def _delete_folder(address: PostgresAddress) -> None:
    """What this machine keeps of a collection in a database; another has none of it."""
    folder = folder_of(address)
    if not folder.is_dir():
        return
    with storage_errors(folder, "cannot be deleted"):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def _delete_files(address: Path) -> bool:
    """Delete the file of a collection and all that lies beside it; whether there was anything.

    The file goes last but for its log: as long as it is there, the collection can be removed again.
    """
    folder = address.parent
    if not is_of_collections(folder):
        raise ValueError(f"{address} is no collection")
    files = [file for file in folder.glob(f"{address.stem}.*") if file.is_file()]
    logs = [address.with_name(f"{address.name}{ending}") for ending in ("-wal", "-shm", "-journal")]
    first = [file for file in files if file != address and file not in logs]
    with storage_errors(address, "cannot be deleted"):
        for file in (*first, address, *logs):
            file.unlink(missing_ok=True)
        if files:
            sync_folders([address])
    return bool(files)
