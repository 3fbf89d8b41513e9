"""``facepool group``: the people in a folder of photos, without any name; and from groups to registered people."""

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from facepool import extras
from facepool.capture.folders import PictureFolder, pictures_or_error
from facepool.cli.context import DETECTION, MODELS, CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted
from facepool.errors import ConfigError, ImageUnreadable, InputError, PoolLocked, SourceEmpty
from facepool.files import PRIVATE, only_writer, write_whole
from facepool.groups.library import PhotoGroups, PhotoLibrary
from facepool.groups.shelf import FILE_NAME, Shelf
from facepool.records import groups_record

JSON_NAME = "groups.json"
PAGE_NAME = "groups.html"
_LISTED = 20


class FolderGroup(click.Group):
    """A group of commands whose first argument may be a folder, which is then grouped."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the usual command before what names none."""
        if args and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = ["folder", *args]
        return super().parse_args(ctx, args)


@click.group(cls=FolderGroup)
def group() -> None:
    """Group the faces of thousands of photos into people, without any name.

    \b
    facepool group photos/                           say who is in how many photos
    facepool group photos/ --output groups/          and write groups.json and a page, groups.html
    facepool group photos/ --output groups/          again: only new photos are looked at, numbers stay

    FOLDER may hold folders at any depth. Photos are only read. A face joins a group where it is alike enough; the
    similarity that it takes rises with the number of faces. Two faces of one photo are two people.

    What was found is kept in the output folder (library-1.db, readable by you only), so that a run that was killed
    goes on where it was. It holds biometric data: facepool group forget erases it.
    """


@group.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for groups.json, groups.html, and what is kept for the next run.",
)
@settings_options(*MODELS, *DETECTION)
@json_option
def folder(context: CommandContext, folder: Path, output: Path | None) -> int:
    """Group the faces of FOLDER; facepool group FOLDER is short for it.

    \b
    facepool group folder photos/ --output groups/
    """
    console = context.console
    if output is not None:
        extras.require("photos")
        _check_apart(folder, output)
    found = _walk(folder, output)
    for remark in found.remarks():
        console.note(remark)
    analyzer = context.analyzer
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    shelf_path = None if output is None else output / FILE_NAME
    with _only_one(output), Shelf(shelf_path, analyzer.space) as shelf:
        shelf.belong_to(folder.resolve())
        library = PhotoLibrary(folder, shelf, context.policy)
        try:
            with console.counting("Looking at photos", len(found.pictures)) as counter:
                library.look(found, analyzer, counter.step, lambda path, error: console.note(f"{path}: {error.why}"))
        except KeyboardInterrupt:
            if output is None:
                raise
            raise click.Abort("what was found so far is kept, and the same command goes on from there") from None
        _check_readable(library, found)
        with console.measuring("Grouping") as report:
            groups = library.group(report)
        known = len(found.pictures) - library.looked_at - len(library.unreadable)
        if output is not None and known > 0:
            console.note(f"{counted(known, 'photo')} known from an earlier run")
        if output is not None:
            _write(groups, folder, shelf, output)
    _say(groups, context)
    if output is not None:
        console.note(f"The groups are in {output / PAGE_NAME}, and for programs in {JSON_NAME} beside it")
    return InputError.exit_code if library.unreadable else 0


def _check_apart(folder: Path, output: Path) -> None:
    """Refuse to write among the photos themselves."""
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
    written = output.resolve()
    pictures = tuple(path for path in found.pictures if not path.absolute().is_relative_to(written))
    if not pictures:
        raise SourceEmpty(f"The folder {folder} holds no picture", why="what it has was written by an earlier run")
    return PictureFolder(
        found.root, pictures, found.folders, found.unreadable, found.system, found.repeated, found.other_files
    )


def _only_one(output: Path | None) -> AbstractContextManager[None]:
    """Keep other processes from working on the same library."""
    if output is None:
        return nullcontext()
    busy = PoolLocked(
        f"{output} is in use", why="another facepool group works on it", fix="Wait until that is done, or end it"
    )
    return only_writer(output / "library.lock", 1.0, busy)


def _check_readable(library: PhotoLibrary, found: PictureFolder) -> None:
    if len(library.unreadable) < len(found.pictures):
        return
    path, error = library.unreadable[0]
    raise ImageUnreadable(
        f"None of the {len(found.pictures)} pictures of {found.root} can be read",
        why=f"the first: {path}: {error.why}",
        fix=error.fix,
    )


def _write(groups: PhotoGroups, folder: Path, shelf: Shelf, output: Path) -> None:
    from facepool.groups.page import write_page  # noqa: PLC0415 -- it needs an extra

    text = json.dumps(groups_record(groups), indent=1, allow_nan=False) + "\n"
    write_whole(output / JSON_NAME, text.encode(), PRIVATE)
    write_page(groups, folder, shelf.jpegs, output / PAGE_NAME)


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
