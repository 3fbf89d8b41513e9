"""What the README shows is true: its program runs, and the commands and files that it names exist."""

import re
import shutil
from pathlib import Path

import pytest

from support.commands import Commands
from support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_program_of_the_readme_recognizes(facepool: Commands, photos: Path, tmp_path: Path) -> None:
    (program,) = blocks("python")
    shutil.copy(photos / "person_a_1.jpg", tmp_path / "ada.jpg")
    shutil.copy(photos / "person_a_2.jpg", tmp_path / "somebody.jpg")
    home = {"XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}
    (tmp_path / "facepool").mkdir()
    (tmp_path / "facepool" / "models").symlink_to(facepool.env["FACEPOOL_MODELS_DIR"])
    outcome = facepool.python("-c", program, env=home)
    assert outcome.code == 0, outcome.err
    assert outcome.out == "('Ada',)\n"
    assert facepool.people() == {"Ada": 1}


SHELL = [line for block in blocks("sh") for line in block.splitlines()]
COMMANDS = sorted({re.split(r" +#", line)[0].removeprefix(".venv/bin/") for line in SHELL if "facepool " in line})


def test_the_readme_shows_commands() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_of_the_readme_is_understood(line: str) -> None:
    import click

    from facepool.cli.commands.group import FolderGroup
    from facepool.cli.main import cli

    command: click.Command = cli
    context = click.Context(cli)
    words = line.split()[1:]
    while isinstance(command, click.Group):
        name, *words = command.in_full(context, words) if isinstance(command, FolderGroup) else words
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name}"
        command = found
    command.make_context(command.name, words)  # parses, and raises on what it does not know


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w./-]+)\)", README))))
def test_each_link_of_the_readme_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_exit_codes_of_the_readme_are_those_of_the_errors() -> None:
    from facepool import errors

    table = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| (.*?) \|$", README, re.MULTILINE)}
    kinds = errors.FacepoolError.__subclasses__()
    assert {kind.exit_code for kind in kinds} | {0, 1, 130} == table.keys()


def test_the_programs_of_the_guide_for_developers_run(facepool: Commands, photos: Path, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "developer.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    shutil.copy(photos / "person_a_1.jpg", tmp_path / "ada.jpg")
    shutil.copy(photos / "person_a_2.jpg", tmp_path / "somebody.jpg")
    home = {"XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}
    (tmp_path / "facepool").mkdir()
    (tmp_path / "facepool" / "models").symlink_to(facepool.env["FACEPOOL_MODELS_DIR"])
    program = "\n".join(blocks).replace("clip.mp4", "ada.jpg").replace('"0"', '"ada.jpg"')
    outcome = facepool.python("-c", program, env=home)
    assert outcome.code == 0, outcome.err
    assert " Ada " in outcome.out
    assert "\nTrue " in outcome.out
    assert "path_missing Check" in outcome.out
