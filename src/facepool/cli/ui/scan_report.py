"""What is said and kept after a scan: a table, figures, advice, and a picture when it was asked for."""

from pathlib import Path

from rich.text import Text

from facepool.capture import write_image
from facepool.cli.ui.console import Console
from facepool.cli.ui.recording import PICTURE_SUFFIXES
from facepool.cli.ui.thumbnails import Thumbnails
from facepool.enroll.coverage import Coverage
from facepool.errors import ConfigError
from facepool.overlay import (
    COLUMNS,
    Painter,
    coverage_advice,
    coverage_picture,
    coverage_rows,
    coverage_summary,
    coverage_title,
)


def check_report_name(path: Path) -> None:
    """Refuse, before the scan, a name that its picture could not have.

    Raises:
        ConfigError: It does not end like a picture's name.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ConfigError(f"{path} is not a name for a picture", fix=f"End --report in {', '.join(PICTURE_SUFFIXES)}")


def tell_coverage(coverage: Coverage, console: Console) -> None:
    """Print the table, what it comes to, and what to scan again."""
    headings = [name if index == 0 or not name else f">{name}" for index, name in enumerate(COLUMNS)]
    rows: list[list[str | Text]] = [[*row[:-1], Text(row[-1], "yellow")] for row in coverage_rows(coverage)]
    console.table(headings, rows, title=coverage_title(coverage))
    for line in coverage_summary(coverage):
        console.say(line)
    advice = coverage_advice(coverage)
    if advice:
        console.say(advice, "yellow")


def write_report(path: Path, coverage: Coverage, thumbnails: Thumbnails, painter: Painter) -> None:
    """Keep the report as a picture, with the captured faces in it.

    Raises:
        StorageError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, coverage_picture(coverage, thumbnails.by_slot, painter=painter))
