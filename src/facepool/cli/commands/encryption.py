"""``facepool pool encrypt``, ``decrypt`` and ``rekey``."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from facepool.cli.context import CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted
from facepool.errors import ConfigError, KeyUnusable
from facepool.extras import missing, require
from facepool.gallery.address import EncryptedFile, FileAddress, PostgresAddress, make_folder_of
from facepool.gallery.collections import collection_address, collections_in, make_tables
from facepool.gallery.conversion import convert, files_of, overwriting, room_needed
from facepool.gallery.keys import (
    NEXT,
    PoolKey,
    find_key,
    is_plain,
    read_key_file,
    read_keyring,
    write_key_file,
    write_keyring,
)
from facepool.gallery.notices import logs_beside

_WARNING = (
    "If you lose the key, you lose the pool: without it nobody can read one name or face any more, neither you nor the "
    "authors of facepool. Keep a copy of the key in another place, not where the backups of the pool are."
)
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.command()
@click.option("--keyring", "in_keyring", is_flag=True, help="Keep the key in the keyring of the system.")
@_yes
@settings_options("pool", whole_pool=True)
@json_option
def encrypt(context: CommandContext, in_keyring: bool, yes: bool) -> None:
    """Encrypt the pool with all of its collections, and what a server keeps of it: keys, logs, pictures.

    \b
    facepool pool encrypt --key-file ~/facepool.key      makes the key, where there is no such file yet
    facepool pool encrypt --keyring                      keeps it in the keyring of the system
    facepool recognize 0 --key-file ~/facepool.key       from then on

    If you lose the key, you lose the pool. The key is 256 random bits, in a file that only you may read; put key_file
    in the settings file to name it once. A service of systemd takes it from the credential facepool-key, and the
    environment has FACEPOOL_KEY last.

    Nobody may have the pool open meanwhile. It is converted as a whole or not at all: what is interrupted goes on with
    the next command. The files that were there are overwritten; backups and copies that you have made elsewhere stay
    as they are. A pool that is not there yet is made.
    """
    path = _file_of_pool(context)
    if path.suffix.lower() == ".npy":
        raise ConfigError(
            f"{path} cannot be encrypted",
            why="other programs read a pair of .npy files",
            fix="Copy it into an encrypted .db file: facepool people export pool.db --other-key-file FILE",
        )
    require("encrypted")
    is_there = path.exists() and path.stat().st_size > 0
    if is_there and not is_plain(path):
        _encrypt_rest(context, _encrypted(context))
        return
    key, place, keep = _key_to_be(context, path, in_keyring=in_keyring)
    _warn(context, path, context.settings.key_file)
    _ask(f"Encrypt {path} with {place}?", "encrypted", yes=yes)
    keep()
    make_folder_of(path)
    if is_there:
        with context.console.measuring("Encrypting") as report:
            count = convert(path, key, report=report)
    else:
        make_tables(EncryptedFile(path, key))
        count = 1
    _move_logins(context, EncryptedFile(path, key))
    _tell_of_plain(context, path)
    context.console.emit({"encrypted": str(path), "files": count, "fingerprint": key.fingerprint})
    context.console.say(f"{path} is encrypted, {counted(count, 'file')} in all, with {place}", "good")


def _encrypt_rest(context: CommandContext, address: EncryptedFile) -> None:
    """Encrypt what belongs to an encrypted pool and is not, because somebody has put it there, with the same key."""
    left = [file.name for file in files_of(address) if is_plain(file)]
    if left:
        convert(address, address.key)
        _move_logins(context, address)
    context.console.emit({"encrypted": str(address), "files": len(left), "fingerprint": address.key.fingerprint})
    also = f"; {', '.join(left)} was not, and is now" if left else ""
    context.console.say(f"{address} is encrypted already, with this key{also}", "good")


@click.command()
@_yes
@settings_options("pool", whole_pool=True)
@json_option
def decrypt(context: CommandContext, yes: bool) -> None:
    """Take the encryption of the pool away, with that of all that belongs to it.

    \b
    facepool pool decrypt --key-file ~/facepool.key

    Keep the key as long as you keep backups that were made before.
    """
    address = _encrypted(context)
    _ask(f"Decrypt {address}, so that anybody who has the file can read it?", "decrypted", yes=yes)
    with context.console.measuring("Decrypting") as report:
        count = convert(address, None, report=report)
    _move_logins(context, address.path)
    context.console.emit({"decrypted": str(address), "files": count})
    context.console.say(f"{address} is not encrypted any more, {counted(count, 'file')} in all", "good")
    context.console.note(
        "Leave out --key-file, key_file and FACEPOOL_KEY from now on. Backups that were made before still need the key"
    )


@click.command()
@click.option("--new-key-file", type=click.Path(path_type=Path), help="File of the new key; made where there is none.")
@click.option("--keyring", "in_keyring", is_flag=True, help="Keep the new key in the keyring of the system.")
@_yes
@settings_options("pool", whole_pool=True)
@json_option
def rekey(context: CommandContext, new_key_file: Path | None, in_keyring: bool, yes: bool) -> None:
    """Encrypt the pool with another key, with all that belongs to it.

    \b
    facepool pool rekey --key-file old.key --new-key-file new.key
    facepool pool rekey --keyring

    Somebody who had the old key and a copy of the pool can still read that copy. Backups that were made before need the
    old key: keep it as long as you keep them. The keyring keeps it, too.
    """
    address = _encrypted(context)
    path = address.path
    if in_keyring == (new_key_file is not None):
        raise ConfigError(
            "It is not clear where the new key is to be kept", fix="Say either --new-key-file FILE or --keyring"
        )
    if new_key_file is None:
        key = PoolKey.new()
        keep: Callable[[], None] = lambda: write_keyring(path, key, NEXT)  # noqa: E731 -- one of three
    else:
        key, keep = _key_of_file(new_key_file, path)
    if key == address.key:
        raise ConfigError("The new key is the old one", fix="Name another file; one that is not there is made")
    place = "a key in the keyring" if new_key_file is None else f"the key file {new_key_file}"
    _warn(context, path, new_key_file)
    _ask(f"Encrypt {path} anew, with {place}?", "changed", yes=yes)
    keep()
    with context.console.measuring("Encrypting") as report:
        count = convert(address, key, in_keyring=in_keyring, report=report)
    context.console.emit({"rekeyed": str(path), "files": count, "fingerprint": key.fingerprint})
    context.console.say(f"{path} has another key now, {counted(count, 'file')} in all: {place}", "good")
    context.console.note("Backups that were made before need the old key; keep it as long as you keep them")


def _file_of_pool(context: CommandContext) -> Path:
    pool = context.settings.pool
    if isinstance(pool, PostgresAddress):
        raise ConfigError(
            f"{pool} is not encrypted by facepool",
            why="a PostgreSQL database is encrypted by its own means, or by its disk",
            fix="See docs/guides/encryption.md",
        )
    return context.path_of_pool


def _encrypted(context: CommandContext) -> EncryptedFile:
    """The pool, which has to be there and to be encrypted with the key that was found."""
    path = _file_of_pool(context)
    address = context.gallery_address
    with context.open_pool():
        pass
    if not isinstance(address, EncryptedFile):
        raise ConfigError(f"{path} is not encrypted", fix="Encrypt it: facepool pool encrypt")
    return address


def _key_to_be(context: CommandContext, path: Path, *, in_keyring: bool) -> tuple[PoolKey, str, Callable[[], None]]:
    """The key that a pool is encrypted with, where it is, and what keeps it there if it is a new one."""
    key_file = context.settings.key_file
    if in_keyring and key_file is not None:
        raise ConfigError("--keyring and a key file are given", fix="Leave one out")
    if key_file is not None:
        key, keep = _key_of_file(key_file, path)
        return key, f"the key file {key_file}", keep
    if in_keyring:
        kept = read_keyring(path)
        if kept is not None:  # of an earlier time, and perhaps of its backups: nothing may write over it
            return PoolKey(bytes.fromhex(kept)), "the key that the keyring has for it", lambda: None
        key = PoolKey.new()
        return key, "a key in the keyring", lambda: write_keyring(path, key)
    found = find_key(path)
    if found is not None:
        return found.key, found.place, lambda: None
    raise ConfigError(
        "It is not clear where the key is to be kept",
        fix="Say --key-file FILE, a new file for the key, or --keyring",
    )


def _key_of_file(file: Path, pool: Path) -> tuple[PoolKey, Callable[[], None]]:
    """The key in a file, or a new one for it, and what writes that."""
    if os.path.lexists(file):
        return read_key_file(file), lambda: None
    if file.absolute().parent.is_file():
        raise KeyUnusable(f"The key file {file} cannot be made", why="its folder is a file", fix="Name another file")
    key = PoolKey.new()
    return key, lambda: write_key_file(file, key, pool)


def _warn(context: CommandContext, path: Path, key_file: Path | None) -> None:
    """Before anything is done."""
    note = context.console.note
    note(_WARNING)
    if key_file is not None and key_file.absolute().parent == path.absolute().parent:
        note(f"The key would lie beside the pool, in {path.parent}: a thief of that folder, or of its backup, has both")
    if path.exists():
        needed, free = room_needed(path)
        if needed > free:
            note(f"It takes {needed / 1e6:,.0f} MB for a while, and {free / 1e6:,.0f} are free")


def _move_logins(context: CommandContext, pool: FileAddress) -> None:
    """Have a server's stores take the logins of cameras in, or give them back to a file: each does at its opening."""
    pools = [collection_address(pool, name) for name in collections_in(pool)]
    stores = [address for address in pools if logs_beside(address).exists()]
    if stores and missing("server"):
        context.console.note("The logins of cameras stay as they are until a server is started, which takes them along")
        return
    for address in stores:
        from facepool.web.services.store import open_store  # noqa: PLC0415 -- an extra

        with overwriting(logs_beside(address).with_suffix(".secrets")):
            open_store(address).close()


def _tell_of_plain(context: CommandContext, path: Path) -> None:
    """Say which other pools beside it everybody can still read: copies that the user has made, perhaps."""
    mine = {path.resolve(), *files_of(path)}
    left = [file.name for file in _plain_files(path.parent) if file.resolve() not in mine]
    if left:
        context.console.note(f"Not encrypted, and left as they are: {', '.join(sorted(left)[:20])}, beside {path.name}")


def _plain_files(folder: Path) -> Iterator[Path]:
    return (
        file
        for file in folder.iterdir()
        if file.suffix in {".db", ".npy", ".sqlite"} and file.is_file() and (file.suffix == ".npy" or is_plain(file))
    )


def _ask(question: str, outcome: str, *, yes: bool) -> None:
    """Go on only with a yes, for which there has to be somebody to ask."""
    if yes:
        return
    try:
        click.confirm(question, err=True, abort=True)
    except click.Abort as error:
        how = "" if sys.stdin.isatty() else "; --yes does it without asking, for scripts"
        raise click.Abort(f"nothing was {outcome}{how}") from error
