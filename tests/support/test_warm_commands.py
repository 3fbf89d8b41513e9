"""Commands in a process that has imported everything do what they do in one of their own."""

import os
import subprocess
from pathlib import Path

import pytest

from support.commands import Commands
from support.paths import ROOT
from support.warm_commands import WarmCommands, warm_commands


@pytest.fixture(scope="module")
def warm() -> WarmCommands:
    found = warm_commands()
    if found is None:
        pytest.skip("processes cannot be copied here")
    return found


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path, tmp_path / "models")


@pytest.mark.parametrize(
    "words", [["--version"], ["people", "list", "--json"], ["models", "show", "nobody's"], ["people", "Łukasz"]]
)
def test_a_command_says_and_ends_as_it_does_alone(commands: Commands, warm: WarmCommands, words: list[str]) -> None:
    assert warm.can_run(commands.env)
    assert commands(*words) == commands.python("-m", "facepool", *words)


def test_the_original_commands_do_so_too(commands: Commands) -> None:
    program = ROOT / "register.py"
    assert commands.original(program, "--help") == commands.python(program, "--help")


def test_one_leaves_nothing_to_the_next(commands: Commands) -> None:
    elsewhere = commands.folder / "elsewhere.db"
    assert "elsewhere.db" in commands("people", "list", FACEPOOL_POOL=str(elsewhere)).err
    assert "elsewhere.db" not in commands("people", "list").err


def test_who_needs_another_environment_from_the_beginning_has_a_process_of_its_own(
    commands: Commands, warm: WarmCommands
) -> None:
    for name in ("LANG", "PYTHONIOENCODING", "PYTHONPATH", "OMP_NUM_THREADS", "HOME"):
        assert not warm.can_run(commands.env | {name: "ascii"})
    assert not warm.can_run({name: value for name, value in commands.env.items() if name != "PATH"})


def test_what_takes_too_long_is_ended(commands: Commands, warm: WarmCommands) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run(["--version"], commands.folder, commands.env | dict(os.environ), timeout_s=0)
    assert commands("--version").code == 0
