"""``facepool group``: the people in a folder of photos, without any name; and from groups to registered people."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from facepool import extras
from facepool.bulk import PictureAnalysis
from facepool.capture.folders import PictureFolder, pictures_or_error
from facepool.cli.context import DETECTION, MODELS, CommandContext, json_option, settings_options
from facepool.cli.ui.console import Console, counted
from facepool.cli.ui.photo_groups import (
    JSON_NAME,
    PAGE_NAME,
    erase_written,
    write_folders,
    write_groups,
    write_sidecars,
)
from facepool.cli.ui.registration import PictureTally, store_pictures
from facepool.enroll.session import EnrollmentSession
from facepool.errors import (
    ConfigError,
    IdentityConflict,
    ImageUnreadable,
    InputError,
    KeyNeeded,
    PoolLocked,
    PoolNotEncrypted,
    SourceEmpty,
)
from facepool.files import exists, only_writer, storage_errors
from facepool.gallery import Gallery
from facepool.gallery.address import file_of, key_of
from facepool.gallery.keys import is_plain, looks_encrypted
from facepool.groups.library import PhotoGroups, PhotoLibrary
from facepool.groups.people_folders import Kind
from facepool.groups.shelf import FILE_NAME, Shelf
from facepool.records import groups_record
from facepool.types import EmbeddingSpace, Frame

_LISTED = 20
_output_option = click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The output folder of facepool group FOLDER.",
)


class FolderGroup(click.Group):
    """A group of commands whose first argument may be a folder, which is then grouped."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Understand what names no command as what is meant by it."""
        return super().parse_args(ctx, self.in_full(ctx, args))

    def in_full(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments with the name of the command that is meant by none."""
        if args and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            return ["folder", *args]
        return args


@click.group(cls=FolderGroup)
def group() -> None:
    """Group the faces of thousands of photos into people, without any name; then register them in one go each.

    \b
    facepool group folder photos/                         say who is in how many photos; short: facepool group photos/
    facepool group photos/ --output groups/               and write groups.json, a page and a contact sheet
    facepool group photos/ --output groups/               again: only new photos are looked at, numbers stay
    facepool group name 12 Ada --output groups/           group 12 is Ada, who is registered with its best faces
    facepool group photos/ --output groups/ --xmp         write who is where beside the photos, for photo managers
    facepool group forget --output groups/                erase everything that was kept and written

    FOLDER may hold folders at any depth; a folder that is called like a command is ./name. Photos are only read.
    """


@group.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for what is written, and for what is kept for the next run.",
)
@click.option(
    "--folders",
    "kind",
    type=click.Choice(["link", "copy"]),
    help="Make people/NAME/ in the output folder, with links to the photos of each person, or copies.",
)
@click.option(
    "--xmp", is_flag=True, help="Write PHOTO.xmp beside each photo, with the faces of groups and their names."
)
@settings_options("pool", "ray", *MODELS, *DETECTION)
@json_option
def folder(context: CommandContext, folder: Path, output: Path | None, kind: Kind | None, xmp: bool) -> int:
    """Group the faces of FOLDER; facepool group FOLDER is short for it.

    \b
    facepool group folder photos/ --output groups/
    facepool group folder photos/ --output groups/ --folders link      and groups/people/NAME/ with photos of each

    A face joins a group where it is alike enough; the similarity that it takes rises with the number of faces. Two
    faces of one photo are two people. Groups that match somebody of the pool get the name.

    What was found is kept in the output folder (library-1.db, readable by you only), so that a run that was killed goes
    on where it was. It holds biometric data. Faces of photos that are gone are forgotten.

    Sidecars (--xmp) have face regions of the Metadata Working Group. What is in them already stays, and so do regions
    that other programs wrote.
    """
    console = context.console
    _check_options(folder, output, kind, xmp=xmp)
    found = _walk(folder, output)
    for remark in found.remarks():
        console.note(remark)
    with (
        context.picture_analysis(aligned=True) as analysis,
        _open_shelf(context, output, analysis.space) as shelf,
        _names(context) as pool,
    ):
        shelf.belong_to(folder.resolve())
        library = PhotoLibrary(folder, shelf, context.policy)
        _look(library, found, analysis, context.console, is_kept=output is not None)
        with console.measuring("Grouping") as report:
            groups = library.group(pool, report)
        failed = len(library.unreadable)
        if output is not None:
            write_groups(groups, folder, shelf, output)
        if output is not None and kind is not None:
            write_folders(groups, folder, output, kind, shelf, console)
        if xmp:
            failed += write_sidecars(groups, folder, shelf, console)
    _say(groups, context)
    if output is not None:
        console.note(f"The groups are in {output / PAGE_NAME}, and for programs in {JSON_NAME} beside it")
    return InputError.exit_code if failed else 0


@group.command()
@click.argument("number", metavar="ID", type=click.IntRange(1))
@click.argument("person")
@_output_option
@click.option("--force", is_flag=True, help="Store the faces although they belong to, or look like, somebody else.")
@settings_options("pool", "register_threshold", "max_templates", "min_face", "min_sharpness", *MODELS)
@json_option
def name(context: CommandContext, number: int, person: str, output: Path, force: bool) -> None:
    """Say that group ID is PERSON, who is registered with its best faces.

    \b
    facepool group name 12 Ada --output groups/
    facepool group name 15 Ada --output groups/        the same person: their groups become one

    Of its faces those that are good and differ from what is stored of the person are kept, as by facepool register. A
    group that looks like somebody else of the pool is not registered without --force. groups.json and the page get the
    name at once; folders and sidecars with the next facepool group FOLDER.
    """
    console, analyzer = context.console, context.analyzer
    extras.require("photos")
    with (
        _open_shelf(context, output, analyzer.space, must_exist=True) as shelf,
        context.changing_pool(analyzer.space, must_exist=False) as pool,
    ):
        faces = shelf.faces_of(number)
        if not faces:
            raise ConfigError(f"There is no group {number} in {output}", fix=f"See {output / PAGE_NAME}")
        options = context.settings.enroll_options(force=force, appearance="", partial=False)
        session = EnrollmentSession(person, analyzer, pool, context.policy, options)
        tally = PictureTally()
        pixels = np.empty((0, 0, 3), np.uint8)
        offers = session.offer_faces([(Frame(pixels, path), one) for path, one in faces])
        for offer in offers:
            tally.add(offer)
        if 2 * tally.outcomes["other_person"] >= len(offers):
            rival = next(offer.rival for offer in offers if offer.outcome == "other_person")
            raise IdentityConflict(
                f"Group {number} was not registered as {session.person}",
                why=f"{tally.outcomes['other_person']} of its {counted(len(offers), 'face')} belong to {rival}",
                fix=f"Name it {rival}, or add --force if they are two people",
            )
        store_pictures(session, tally, pool, console)
        registered = pool.person(session.person)
        if registered is not None:
            shelf.name_group(number, registered.id)
        library = PhotoLibrary(shelf.folder, shelf, context.policy)
        write_groups(library.group(pool), shelf.folder, shelf, output)


@group.command()
@_output_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@settings_options("key_file")
@json_option
def forget(context: CommandContext, output: Path, yes: bool) -> None:
    """Erase everything that was kept and written of a library: embeddings, pages, folders, regions in sidecars.

    \b
    facepool group forget --output groups/

    Photos and the people of the pool stay. What others have written into sidecars stays, too.
    """
    if not yes:
        click.confirm(f"Erase all faces and groups of {output}?", abort=True, err=True)
    with _open_shelf(context, output, None, must_exist=True) as shelf:
        erase_written(output, shelf, context.console)
        shelf.erase()
    (output / _LOCK_NAME).unlink(missing_ok=True)
    context.console.emit({"erased": str(output)})
    context.console.say(f"Everything kept in {output} is erased", "good")


_LOCK_NAME = "library.lock"


@contextmanager
def _open_shelf(
    context: CommandContext, output: Path | None, space: EmbeddingSpace | None, *, must_exist: bool = False
) -> Iterator[Shelf]:
    """What is kept of a library, which no other process works on meanwhile."""
    if output is None:
        with Shelf(None, space) as shelf:
            yield shelf
        return
    if must_exist and not exists(output / FILE_NAME):
        raise ConfigError(
            f"{output} has no groups", why="facepool group has kept nothing there", fix="Name the --output of that run"
        )
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    busy = PoolLocked(
        f"{output} is in use", why="another facepool group works on it", fix="Wait until that is done, or end it"
    )
    key = key_of(context.gallery_address)
    if space is None and is_plain(output / FILE_NAME):  # it is only erased
        key = None
    _check_key(output / FILE_NAME, has_key=key is not None)
    with only_writer(output / _LOCK_NAME, 1.0, busy), Shelf(output / FILE_NAME, space, key) as shelf:
        yield shelf


def _check_key(shelf: Path, *, has_key: bool) -> None:
    """Keep faces neither plain beside an encrypted pool nor out of reach.

    Raises:
        PoolNotEncrypted: They were kept before the pool was encrypted.
        KeyNeeded: They are encrypted, and there is no key.
    """
    if has_key and is_plain(shelf):
        raise PoolNotEncrypted(
            f"The faces in {shelf} are not encrypted, and the pool is",
            why="they were kept before it was",
            fix=f"Erase them, without the key, and run it again: facepool group forget --output {shelf.parent}",
        )
    if not has_key and looks_encrypted(shelf):
        raise KeyNeeded(
            f"The faces in {shelf} cannot be read without the key of the pool",
            why="they are encrypted",
            fix="Name the file of the key with --key-file",
        )


@contextmanager
def _names(context: CommandContext) -> Iterator[Gallery | None]:
    """The pool, where there is one: it knows names."""
    file = file_of(context.pool_address)
    if file is not None and not exists(file):
        yield None
        return
    with context.open_pool(context.analyzer.space) as pool:
        yield pool


def _check_options(folder: Path, output: Path | None, kind: Kind | None, *, xmp: bool) -> None:
    """Refuse what cannot be done before hours of work."""
    if output is None:
        if kind or xmp:
            raise ConfigError(f"{'--folders' if kind else '--xmp'} needs --output", fix="Name a folder with --output")
        return
    extras.require("photos")
    if output.resolve() == folder.resolve():
        raise ConfigError(
            f"{output} cannot be the output folder",
            why="it is the folder of the photos",
            fix="Name another one, for example a folder in it",
        )


def _walk(folder: Path, output: Path | None) -> PictureFolder:
    """The photos of a folder, without what was written into an output folder in it."""
    found = pictures_or_error(folder)
    if output is None or not output.resolve().is_relative_to(folder.resolve()):
        return found
    written = found.root / output.resolve().relative_to(folder.resolve())
    pictures = tuple(path for path in found.pictures if not path.is_relative_to(written))
    if not pictures:
        raise SourceEmpty(f"The folder {folder} holds no picture", why=f"beside those in {output}")
    return replace(found, pictures=pictures)


def _look(
    library: PhotoLibrary, found: PictureFolder, analysis: PictureAnalysis, console: Console, *, is_kept: bool
) -> None:
    """Look at the photos that are not known, with a progress bar."""

    def left_out(path: Path, error: InputError) -> None:
        console.note(f"Left out {path}: {error.why}")

    try:
        with console.counting("Looking at photos", len(found.pictures)) as counter:
            library.look(found, analysis, counter.step, left_out)
    except KeyboardInterrupt:
        if not is_kept:
            raise
        raise click.Abort("what was found so far is kept, and the same command goes on from there") from None
    _check_readable(library, found)
    known = len(found.pictures) - library.looked_at - len(library.unreadable)
    if is_kept and known > 0:
        console.note(f"{counted(known, 'photo')} known from an earlier run, or copies of others")


def _check_readable(library: PhotoLibrary, found: PictureFolder) -> None:
    if len(library.unreadable) < len(found.pictures):
        return
    path, error = library.unreadable[0]
    raise ImageUnreadable(
        f"None of the {len(found.pictures)} pictures of {found.root} can be read",
        why=f"the first: {path}: {error.why}",
        fix=error.fix,
    )


def _say(groups: PhotoGroups, context: CommandContext) -> None:
    console = context.console
    console.emit(groups_record(groups))
    rows = [(str(one.id), one.person or "", str(len(one.faces)), one.faces[0].path) for one in groups.groups[:_LISTED]]
    if rows:
        console.table((">group", "person", ">faces", "best face in"), rows)
    if len(groups.groups) > _LISTED:
        console.say(f"... and {len(groups.groups) - _LISTED:,} smaller groups")
    console.say(
        f"{counted(len(groups.groups), 'group')} of {counted(groups.faces, 'face')} in "
        f"{counted(groups.photos, 'photo')}, {counted(len(groups.ungrouped), 'face')} in none",
        "good",
    )
    console.note(f"Alike enough is {groups.threshold.value:.3f}: {groups.threshold.meaning}")
