"""What the core does by itself, and the one line that says what to install for the rest."""

import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from facepool import extras, open_pool
from facepool.errors import ExtraMissing
from facepool.types import Sample
from support.commands import Commands, Outcome
from support.crowds import crowd
from support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_THE_EXTRAS = sorted({module for extra in extras.EXTRAS.values() for module in extra.modules} - {"onnxruntime"})
WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({OF_THE_EXTRAS}));from facepool.cli.main import main; main()"


def core_only(facepool: Commands, *words: str | Path) -> Outcome:
    """``facepool WORDS`` as if only the core were installed."""
    return facepool.python("-c", WITHOUT, *words)


def packages(requirements: list[str]) -> set[str]:
    return {line.split(">=")[0].partition("[")[0] for line in requirements if not line.startswith("facepool[")}


def test_the_core_is_small() -> None:
    assert len(PROJECT["dependencies"]) <= 18


@pytest.mark.parametrize("name", extras.EXTRAS)
def test_the_table_names_what_the_extra_installs(name: str) -> None:
    wanted = packages(PROJECT["optional-dependencies"][name]) - {"uvloop"}  # nothing of ours imports it
    installed_by = packages_distributions()
    assert {installed_by[module][0].lower().replace("_", "-") for module in extras.EXTRAS[name].modules} == wanted


def test_all_is_everything_but_what_chooses_an_engine() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    named = set(everything.removeprefix("facepool[").removesuffix("]").split(","))
    apart = {"all", "fonts", "optimize", "onnxruntime", "cuda", "milvus", "ray"}
    assert set(PROJECT["optional-dependencies"]) - named == apart


def test_what_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    assert extras.missing("window") == ("pygame",)
    with pytest.raises(ExtraMissing) as raised:
        extras.require("window")
    assert str(raised.value) == (
        "No window can be opened: pygame is not installed. "
        "Run: pip install 'facepool[window]', or use --headless, with --output to keep pictures."
    )


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("window", ["recognize"]),
        ("window", ["recognize", "--window", "photo.jpg"]),
        ("window", ["register", "Ada"]),
        ("server", ["serve"]),
        ("server", ["keys", "list"]),
        ("evaluate", ["evaluate", "folder", "people", "--output", "report"]),
        ("mqtt", ["recognize", "--headless", "--mqtt", "mqtt://localhost"]),
        ("optimize", ["models", "optimize"]),
    ],
)
def test_a_missing_extra_is_one_line_before_anything_happens(facepool: Commands, extra: str, words: list[str]) -> None:
    for person in ("Ada", "Bob"):
        (facepool.folder / "people" / person).mkdir(parents=True)
        for name in ("1.jpg", "2.jpg"):
            (facepool.folder / "people" / person / name).touch()
    outcome = core_only(facepool, *words)
    assert outcome.code == extras.EXTRAS[extra].error.exit_code
    assert f"pip install 'facepool[{extra}]'" in outcome.error
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""
    assert not facepool.pool.exists()


@pytest.mark.parametrize("words", [["recognize"], ["register", "Ada"]])
def test_the_core_says_that_a_file_is_missing_before_it_asks_for_a_window(
    facepool: Commands, words: list[str], photos: Path
) -> None:
    outcome = core_only(facepool, *words, "typo.jpg")
    assert outcome.code == 3
    assert "[path_missing] There is no file or folder typo.jpg" in outcome.error
    one_of_two = core_only(facepool, "register", "Ada", "typo.jpg", photos / "person_a_1.jpg")
    assert "typo.jpg" in one_of_two.error
    assert facepool.people() == {"Ada": 1}


def test_the_core_registers_recognizes_calibrates_and_draws(facepool: Commands, photos: Path) -> None:
    for person in ("a", "b"):
        pictures = sorted(photos.glob(f"person_{person}_*"))
        for picture in pictures:
            folder = facepool.folder / "people" / person
            folder.mkdir(parents=True, exist_ok=True)
            (folder / picture.name).write_bytes(picture.read_bytes())
    assert core_only(facepool, "--help").code == 0
    assert core_only(facepool, "register", "-s", "people").code == 0
    recognized = core_only(facepool, "recognize", photos / "person_a_1.jpg", "--headless", "--json", "-o", "named.png")
    assert [record["person"] for record in recognized.records] == ["a"]
    assert (facepool.folder / "named.png").is_file()
    assert core_only(facepool, "evaluate", "folder", "people", "--json").code == 0
    with open_pool(facepool.pool) as pool:
        assert pool.space is not None
        for number, templates in enumerate(crowd(30, 2, seed=1)):
            pool.register(f"p{number:03}", [Sample(vector) for vector in templates], pool.space)
    assert core_only(facepool, "calibrate").code == 0
    examined = core_only(facepool, "doctor")
    assert examined.code == 0
    assert "pip install 'facepool[server]'" in examined.out.replace("\n", " ")
