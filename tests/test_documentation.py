"""Whatever a user can set, type or be told is documented, and what the documentation shows exists."""

import re
import shlex
from collections.abc import Iterator
from typing import get_args

import click
import pytest
from pydantic.fields import FieldInfo

import facepool
from facepool.cli.commands import original
from facepool.cli.commands.group import FolderGroup
from facepool.cli.main import cli
from facepool.config import Settings
from facepool.errors import FacepoolError
from facepool.recognize.events import EventKind
from facepool.types import Reason
from reference_pages import (
    EXAMPLES,
    CommandPage,
    commands,
    commands_page,
    error_kinds,
    errors_page,
    help_of,
    meaning_and_remedy,
    settings_page,
)
from support.paths import ROOT

PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if "_generated" not in path.parts)
SETTINGS = sorted(Settings.model_fields.items())
COMMANDS = commands()
KINDS = error_kinds()
PACKAGE = ROOT / "src" / "facepool"
CODE = "\n".join(path.read_text(encoding="utf-8") for path in [*PACKAGE.rglob("*.py"), *ROOT.glob("tools/*.py")])


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "field"), SETTINGS, ids=[name for name, _ in SETTINGS])
def test_every_setting_is_documented(name: str, field: FieldInfo) -> None:
    assert len(field.description or "") > 10
    page = settings_page()
    assert f"## `{name}`" in page
    assert str(field.description) in page
    assert f"`FACEPOOL_{name.upper()}`" in page


def test_every_command_is_on_the_page() -> None:
    assert len(COMMANDS) > 20
    assert not EXAMPLES.keys() - {page.path for page in COMMANDS}, "examples of commands that are gone"
    assert "{include} ../_generated/commands.md" in read("docs/reference/commands.md")


@pytest.mark.parametrize("page", COMMANDS, ids=[page.path for page in COMMANDS])
def test_every_command_and_option_is_documented(page: CommandPage) -> None:
    shown = commands_page()
    assert f"## `facepool {page.path}`" in shown
    assert help_of(page.command)
    assert page.examples, "neither --help nor EXAMPLES shows how the command is typed"
    for option in page.command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert all(f"`{name}`" in shown for name in option.opts if name.startswith("--") and name != "--config")


@pytest.mark.parametrize("command", [original.register, original.recognize], ids=["register.py", "recognize.py"])
def test_the_original_flags_are_documented(command: click.Command) -> None:
    page = read("docs/reference/commands.md")
    for option in command.params:
        assert "/".join(sorted(option.opts, key=len)) in page, option.name


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_every_error_says_what_it_means_and_what_to_do(kind: type[FacepoolError]) -> None:
    meaning, remedy = meaning_and_remedy(kind)
    assert meaning.endswith(".")
    assert remedy.endswith(".")
    assert kind.code != FacepoolError.code
    assert f"| `{kind.code}`<br>`{kind.__name__}` |" in errors_page()


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(codes) > 40
    assert len(codes) == len(set(codes))


def test_every_public_name_is_in_the_api_page() -> None:
    shown = re.findall(r"^\.\. auto\w+:: (\w+)$", read("docs/reference/api.md"), re.MULTILINE)
    assert sorted(shown) == sorted(facepool.__all__)


@pytest.mark.parametrize("word", [*get_args(EventKind), *get_args(Reason)])
def test_every_event_and_reason_is_documented(word: str) -> None:
    assert f"`{word}`" in read("docs/events.md")


def shown_lines() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                if line.startswith("facepool "):
                    yield path.relative_to(ROOT).as_posix(), line
    for page in COMMANDS:
        for line in page.examples:
            yield f"help of {page.path}", re.split(r" {2,}", line)[0]


@pytest.mark.parametrize(("where", "line"), sorted(set(shown_lines())))
def test_every_command_line_that_is_shown_is_understood(where: str, line: str) -> None:
    command: click.Command = cli
    context = click.Context(cli)
    words = shlex.split(line, comments=True)[1:]
    if "..." in words:
        return
    while isinstance(command, click.Group):
        name, *words = command.in_full(context, words) if isinstance(command, FolderGroup) else words
        found = command.get_command(context, name)
        assert found is not None, f"{where}: there is no command {name}"
        command = found
    command.make_context(command.name, words)  # parses, and raises on what it does not know


def rooms_of_the_map() -> dict[str, str]:
    """Room to the module that is to be read first, empty where the room is one module."""
    table = read("CONTRIBUTING.md").partition("## The map")[2].partition("\n## ")[0]
    rooms: dict[str, str] = {}
    for names, first in re.findall(r"^\| (`.+?`) \|.*\| (?:`(.+?)` )?\|$", table, re.MULTILINE):
        rooms |= dict.fromkeys(re.findall(r"`(.+?)`", names), first)
    return rooms


def test_the_map_shows_every_room_and_no_other() -> None:
    private = {"__init__.py", "__main__.py"}
    modules = {path.name for path in PACKAGE.glob("*.py")} - private
    folders = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert rooms_of_the_map().keys() == modules | folders


@pytest.mark.parametrize(("room", "first"), [(room, first) for room, first in rooms_of_the_map().items() if first])
def test_the_module_to_read_first_exists(room: str, first: str) -> None:
    assert (PACKAGE / room / first).is_file()


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:[\w.]+/)+[\w.]*)`", read("CONTRIBUTING.md").partition("## How to add")[2])))
)
def test_what_contributing_names_exists(path: str) -> None:
    assert (ROOT / path).exists() or (PACKAGE / path).exists()


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`@?(_?[A-Za-z]\w+)\b", read("CONTRIBUTING.md").partition("## How to add")[2])))
)
def test_the_code_has_what_contributing_speaks_of(name: str) -> None:
    assert re.search(rf"\b{name}\b", CODE) or (PACKAGE / name).exists() or (ROOT / name).exists()


def test_readme_and_glossary_stay_short() -> None:
    assert len(read("README.md").splitlines()) < 150
    glossary = read("CONTRIBUTING.md").partition("## Glossary")[2].partition("\n## ")[0]
    assert len(glossary.splitlines()) <= 40
