"""``facepool pool``."""

import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import click

from facepool import extras
from facepool.cli.commands.collections import collections
from facepool.cli.commands.encryption import decrypt, encrypt, rekey
from facepool.cli.commands.other_files import file_to_read, file_to_write, other_key_option, plain_option
from facepool.cli.context import CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted, people_count
from facepool.errors import ConfigError, FacepoolError, PoolCorrupt
from facepool.gallery import Pool, SqlGallery, open_pool
from facepool.gallery.address import (
    FileAddress,
    PoolAddress,
    PostgresAddress,
    at,
    file_of,
    folder_of,
    key_of,
    make_folder_of,
    path_of,
)
from facepool.gallery.backup import (
    Backup,
    Comparison,
    Contents,
    back_up,
    compared,
    opened_backup,
    replace_damaged,
    restore,
)
from facepool.gallery.collections import collection_address, collections_in
from facepool.gallery.notices import COMMAND_LINE, logs_beside
from facepool.gallery.schema import kept_before_restoring

_MOST_SHOWN = 20


@click.group()
def pool() -> None:
    """Back up, restore, encrypt and divide the pool, and index a large one.

    \b
    facepool pool backup /backup/pool.db                 also while a server runs
    facepool pool encrypt --key-file ~/facepool.key      so that a stolen disk or backup tells nothing
    facepool pool collections list                       several groups of people, apart from each other
    """


pool.add_command(collections)
pool.add_command(encrypt)
pool.add_command(decrypt)
pool.add_command(rekey)


@pool.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-f", "--force", is_flag=True, help="Write over a file of that name.")
@other_key_option
@plain_option
@settings_options("pool")
@json_option
def backup_pool(context: CommandContext, file: Path, force: bool, other_key_file: Path | None, plain: bool) -> None:
    """Copy all people of the pool into FILE, verified, also while others use the pool.

    \b
    facepool pool backup /backup/pool.db
    facepool pool backup /backup/pool.db --force     over the one of yesterday
    facepool pool backup staff.db --collection staff

    Of a pool with several collections all are copied, each into a file of its own: that of default is FILE, and beside
    it, for /backup/pool.db, /backup/pool.collections has the others. With --collection only that one is.

    FILE is one SQLite file that only you may read, whatever the pool is kept in, and a pool itself: --pool FILE looks
    into it. It has names, vectors, pictures, calibration and what is kept of who was seen, but no keys, cameras or logs
    of a server: what was removed or erased there is not to come back.

    The backup of an encrypted pool is encrypted with the same key: without it, it cannot be restored either.

    People who are erased from the pool stay in its backups: delete those after the time that you have promised.

    Of a pool in PostgreSQL, pg_dump copies keys and logs of its servers, too.
    """
    target_of_all = file_to_write(context, file, other_key_file, plain=plain)
    console, files = context.console, _files_of(context, context.gallery_address, target_of_all)
    for name, target in files.items():
        if target != target_of_all:
            make_folder_of(target)
        with context.for_collection(name).open_pool() as gallery, console.measuring("Copying") as report:
            contents = back_up(_in_sql(gallery), target, replace=force, report=report)
        record = {"backup": str(target), **_record(contents), "bytes": path_of(target).stat().st_size}
        console.emit({**record, "collection": name})
        how = ", encrypted" if key_of(target) is not None else ""
        console.say(f"{_told(contents)}{_of(name, files)} copied to {target}{how}", "good")
    _tell_of_others(context, files, "Not copied")
    if left := [name for name in collections_in(file) if name not in files]:
        console.note(
            f"Of an earlier backup, and not in the pool any more: {_names(left)}. Delete what must not come back"
        )


@pool.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--with-erased", is_flag=True, help="Bring people and views back, too, who were erased since the backup.")
@click.option("--keep/--no-keep", "keeps", default=True, help="Keep the pool as it was beside it; see below.  [keep]")
@other_key_option
@settings_options("pool")
@json_option
def restore_pool(
    context: CommandContext, file: Path, yes: bool, with_erased: bool, keeps: bool, other_key_file: Path | None
) -> None:
    """Put the people of FILE into the place of those of the pool, after asking.

    \b
    facepool pool restore /backup/pool.db
    facepool pool restore /backup/pool.db --yes      for scripts
    facepool pool restore pool.db.before-restore     undo the last one

    FILE is verified first, and says who comes and who goes. A server that runs sees the pool of before, then that of
    FILE, without a restart; killed in between, it is one of the two. Who was erased from the pool since the backup
    stays erased, unless you say --with-erased. Who was seen, named or not, stays what the pool has of it, so that no
    stranger comes back who was forgotten; a pool that never kept anybody who was seen takes what FILE has.

    The pool as it was is kept as a file beside it that ends in .before-restore, until anybody is erased. A pool that
    is damaged is replaced while nobody has it open, and kept as .damaged.

    Of a pool in PostgreSQL nothing is kept: make a backup first.

    A backup of several collections is restored to all of them, one after the other; with --collection, FILE is the
    backup of one of them. Collections that are not in the backup stay as they are.
    """
    backup_address = file_to_read(context, file, other_key_file)
    console, files = context.console, _files_of(context, backup_address, backup_address)
    with ExitStack() as stack:
        backups = {}
        for name, source in files.items():  # all of them, before anything is restored
            address = context.for_collection(name).pool_address
            make_folder_of(address)
            folder, is_secret = folder_of(address), key_of(address) is not None
            with console.measuring("Verifying") as report:
                opening = opened_backup(source, folder, report, secret=is_secret)
                backup = backups[name] = stack.enter_context(opening)
            console.note(f"{source}: {_told(backup.contents)}, {backup.contents.space or 'of an unknown model'}")
        for name, backup in backups.items():
            _restore_one(context.for_collection(name), backup, yes=yes, with_erased=with_erased, keeps=keeps)
    _tell_of_others(context, files, "Not restored, and as before")


@pool.command("index")
@click.option("--drop", is_flag=True, help="Do without it, for example while millions of views are loaded.")
@settings_options("pool")
@json_option
def index_pool(context: CommandContext, drop: bool) -> None:
    """Make the index by which PostgreSQL searches a large pool (HNSW, by pgvector).

    \b
    facepool pool index --pool postgresql://host/faces
    facepool pool index --drop       before many views are loaded: each takes longer with an index

    A pool of up to some millions of views is searched in the memory of each process, exactly, and needs none. One that
    is larger, or is searched with --search database, is searched by this index; without it everybody is looked at,
    which takes longer and finds the same or a little more. A server makes it by itself. The pool can be used
    meanwhile; of several who make it, one does.
    """
    console, address = context.console, context.pool_address
    if not isinstance(address, PostgresAddress):
        raise ConfigError(
            f"{address.name} needs no index", why="it is a file, which each process searches in its memory, exactly"
        )
    with context.open_pool() as gallery:
        from facepool.gallery.postgres import PostgresGallery  # noqa: PLC0415 -- of an extra
        from facepool.search import hnsw  # noqa: PLC0415 -- of an extra

        if not isinstance(gallery, PostgresGallery):
            raise TypeError(f"{address} is in a database")
        if drop:
            hnsw.drop_index(gallery)
            outcome = "dropped"
        else:
            with console.measuring("Making the index") as report:
                outcome = "made" if hnsw.make_index(gallery, report) else "there already"
    console.emit({"index": str(address), "outcome": outcome})
    console.say(f"The index of {address} is {outcome}", "good")


def _files_of(context: CommandContext, gallery: PoolAddress, file: FileAddress) -> dict[str, FileAddress]:
    """The file of each collection of a backup: that of the one that was named, or those of all that there are.

    Args:
        context: Of the command.
        gallery: The pool, or the backup: where collections are looked for.
        file: What the user has named.
    """
    if "collection" in context.settings.model_fields_set:
        return {context.settings.collection: file}
    files = {name: collection_address(file, name) for name in collections_in(gallery)}
    return {name: one for name, one in files.items() if not isinstance(one, PostgresAddress)}


def _of(name: str, names: Collection[str]) -> str:
    return f" of the collection {name}" if len(names) > 1 else ""


def _tell_of_others(context: CommandContext, names: Collection[str], outcome: str) -> None:
    """No collection is left out without a word."""
    if others := [name for name in collections_in(context.gallery_address) if name not in names]:
        context.console.note(f"{outcome}: {_names(others)}")


def _restore_one(context: CommandContext, backup: Backup, *, yes: bool, with_erased: bool, keeps: bool) -> None:
    address, console = context.pool_address, context.console
    try:
        outcome = _restore(context, backup, yes=yes, with_erased=with_erased, keeps=keeps)
    except PoolCorrupt as error:
        if isinstance(address, PostgresAddress):
            raise
        outcome = _replace_damaged(context, address, backup, error, yes=yes)
    people, views = people_count(int(str(outcome["people"]))), counted(int(str(outcome["templates"])), "view")
    console.emit(outcome)
    console.say(f"{people} with {views} restored to {address}", "good")


def _restore(
    context: CommandContext, backup: Backup, *, yes: bool, with_erased: bool, keeps: bool
) -> dict[str, object]:
    """Restore a backup to a pool that can be read; what became of it, for programs."""
    address, console = context.pool_address, context.console
    with _in_sql(context.open_pool(must_exist=False)) as gallery:
        erased = _erased_by_server(gallery, [name for (name,) in backup.db.execute("SELECT name FROM persons")])
        changes, before = compared(gallery, backup, erased), gallery.size().people
        _tell(context, changes, with_erased=with_erased)
        if before and not yes:
            _ask(_question(backup, address, before))
        pool_file = file_of(address)
        kept = kept_before_restoring(pool_file) if keeps and before and pool_file is not None else None

        def keep_it(target: Path) -> None:
            with _in_sql(open_pool(address)) as unchanged, console.measuring("Keeping the pool as it was") as report:
                back_up(unchanged, at(target, address), replace=True, with_sightings=False, report=report)

        with console.measuring("Restoring") as report, context.noting(gallery), context.following(gallery):
            restore(
                gallery,
                backup,
                erased_names=erased,
                with_erased=with_erased,
                before=None if kept is None else partial(keep_it, kept),
                report=report,
            )
        if kept is None:
            gallery.forget_what_was()
        else:
            console.note(
                f"The pool as it was is {kept}, until anybody is erased. To undo: facepool pool restore {kept}"
            )
        size = gallery.size()
        return {
            "restored": str(address),
            "people": size.people,
            "templates": size.templates,
            "coming": list(changes.coming),
            "going": list(changes.going),
            "erased": [] if with_erased else list(changes.erased),
            "kept": None if kept is None else str(kept),
        }


def _in_sql(gallery: Pool) -> SqlGallery:
    if not isinstance(gallery, SqlGallery):
        raise TypeError("every kind of pool is kept in tables")
    return gallery


def _question(backup: Backup, pool: PoolAddress, before: int) -> str:
    coming = people_count(backup.contents.people)
    return f"Put the {coming} of {backup.path} into the place of the {people_count(before)} of {pool}?"


def _ask(question: str) -> None:
    """Go on only with a yes, for which there has to be somebody to ask."""
    try:
        click.confirm(question, err=True, abort=True)
    except click.Abort as error:
        how = "" if sys.stdin.isatty() else "; --yes restores without asking, for scripts"
        raise click.Abort(f"nothing was restored{how}") from error


def _tell(context: CommandContext, changes: Comparison, *, with_erased: bool) -> None:
    """Who comes, who goes, and who was erased."""
    note = context.console.note
    if changes.going:
        note(f"Not in the backup, and gone from the pool afterwards: {_names(changes.going)}")
    if changes.coming:
        note(f"Not in the pool now, and back afterwards: {_names(changes.coming)}")
    if changes.renamed:
        note(f"Called otherwise again: {_names([f'{now} becomes {then}' for now, then in changes.renamed])}")
    if changes.erased or changes.erased_templates:
        what = counted(changes.erased_templates, "view")
        who = f", and as a whole {_names(changes.erased)}" if changes.erased else ""
        outcome = "They come back, by --with-erased" if with_erased else "They stay erased, without --with-erased"
        note(f"Erased since the backup: {what}{who}. {outcome}")


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_SHOWN])
    return shown if len(names) <= _MOST_SHOWN else f"{shown} and {len(names) - _MOST_SHOWN:,} more"


def _told(contents: Contents) -> str:
    views = f"{people_count(contents.people)} with {counted(contents.templates, 'view')}"
    return f"{views} and {counted(contents.images, 'picture')}"


def _record(contents: Contents) -> dict[str, object]:
    return {
        "people": contents.people,
        "templates": contents.templates,
        "pictures": contents.images,
        "model": None if contents.space is None else contents.space.model,
    }


def _replace_damaged(
    context: CommandContext, address: FileAddress, backup: Backup, error: PoolCorrupt, *, yes: bool
) -> dict[str, object]:
    """Restore a backup in place of a file that can be read no more; what became of it, for programs."""
    console = context.console
    console.note(str(error))
    if not yes:
        _ask(f"Put the {people_count(backup.contents.people)} of {backup.path} there?")
    with console.measuring("Restoring") as report:
        aside = replace_damaged(address, backup, error, report=report)
    console.note(f"The damaged file is {aside} now, until anybody is erased")
    _log(context, address, counted(backup.contents.templates, "view"))
    return {"restored": str(address), **_record(backup.contents), "kept": str(aside)}


def _erased_by_server(gallery: Pool, names: Collection[str]) -> frozenset[str]:
    """Who of some people was erased by a server, as its log says, which the pool itself may not know any more."""
    if not gallery.has_logs or extras.missing("server"):
        return frozenset()
    from facepool.web.services.audit import Audit  # noqa: PLC0415 -- an extra
    from facepool.web.services.store import open_store  # noqa: PLC0415 -- an extra

    with closing(open_store(gallery.address)) as store:
        return Audit(store, lambda _name: None).erased_of(names)


def _log(context: CommandContext, address: FileAddress, detail: str) -> None:
    """Leave an entry in the audit log of a server, if there is one; a pool that was damaged could leave no notice."""
    if not logs_beside(address).exists() or extras.missing("server"):
        return
    from facepool.web.services.store import insert_entry, open_store  # noqa: PLC0415 -- an extra

    try:
        with closing(open_store(address)) as store, store.transaction() as db:
            insert_entry(db, COMMAND_LINE, "restored the pool", detail=detail)
    except FacepoolError as error:
        context.console.note(f"The audit log was not told: {error}")
