"""The key of a file that a command reads or writes beside the pool: a backup, or another pool."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from facepool.cli.context import CommandContext
from facepool.errors import ConfigError
from facepool.gallery.address import (
    EncryptedFile,
    FileAddress,
    PoolAddress,
    PostgresAddress,
    at,
    key_of,
    path_of,
)
from facepool.gallery.keys import is_plain, read_key_file

_NPY = ".npy"
other_key_option = click.option(
    "--other-key-file",
    type=click.Path(path_type=Path),
    help="Key of that file, if it is another one than the pool's.",
)


def plain_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--plain``, for a command that writes a file."""
    return click.option("--plain", is_flag=True, help="Do not encrypt it, although the pool is.")(command)


def to_write(context: CommandContext, target: PoolAddress, key_file: Path | None, *, plain: bool) -> PoolAddress:
    """Where something of the pool is written: with the pool's key, unless the user says otherwise.

    Raises:
        ConfigError: A key and none are asked for, or the target takes none.
    """
    if plain and key_file is not None:
        raise ConfigError("--plain and --other-key-file are given", fix="Leave one out")
    if isinstance(target, PostgresAddress) or path_of(target).suffix.lower() == _NPY:
        if key_file is not None:
            raise ConfigError(f"{target} takes no key", why="only .db files are encrypted", fix="Leave the key out")
        if key_of(context.gallery_address) is not None:
            context.console.note(f"{target} is not encrypted by facepool, as the pool is")
        return target
    path = path_of(target)
    if plain:
        return path
    return at(path, context.gallery_address) if key_file is None else EncryptedFile(path, read_key_file(key_file))


def to_read(context: CommandContext, source: PoolAddress, key_file: Path | None) -> PoolAddress:
    """Where something is read from: encrypted files are tried with the pool's key, unless the user names another."""
    if isinstance(source, PostgresAddress):
        return source
    path = path_of(source)
    if key_file is not None:
        _check_pool(context, source)
        return EncryptedFile(path, read_key_file(key_file))
    if is_plain(path) or path.suffix.lower() == _NPY or not path.exists():
        return path
    return at(path, context.gallery_address)


def _check_pool(context: CommandContext, source: PoolAddress) -> None:
    """Make no plain pool out of what is encrypted, only because a key was forgotten."""
    pool = context.gallery_address
    if isinstance(pool, EncryptedFile):
        return
    if isinstance(pool, Path) and not pool.exists():
        raise ConfigError(
            f"The pool {pool} would not be encrypted, and {source} is",
            why="it is not there yet, and no key was named for it",
            fix="Name one with --key-file, which may be the same; or make the pool before: facepool pool encrypt",
        )
    context.console.note(f"{source} is encrypted, and {pool} is not by facepool")


def file_to_write(context: CommandContext, file: Path, key_file: Path | None, *, plain: bool) -> FileAddress:
    """As `to_write`, of a .db file."""
    address = to_write(context, file, key_file, plain=plain)
    return file if isinstance(address, PostgresAddress) else address


def file_to_read(context: CommandContext, file: Path, key_file: Path | None) -> FileAddress:
    """As `to_read`, of a .db file."""
    address = to_read(context, file, key_file)
    return file if isinstance(address, PostgresAddress) else address
