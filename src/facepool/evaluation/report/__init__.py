"""What an evaluation found as one page of HTML for people: figures, charts, and the photos that went worst.

The page holds everything it shows, including photos of faces, and asks no host for anything. matplotlib and Jinja are
imported with this package, so import it where a report is made.
"""

from pathlib import Path

from facepool.evaluation.report.detection import detection_page
from facepool.evaluation.report.identification import identification_page
from facepool.evaluation.report.page import Page, render
from facepool.evaluation.report.verification import verification_page
from facepool.evaluation.results import DetectionResults, IdentificationResults, Results, VerificationResults
from facepool.files import write_whole

__all__ = ["html_report", "write_html_report"]


def html_report(results: Results) -> str:
    """The page as text.

    Args:
        results: What was found. Photos are read again from their files; one that is gone stays blank.
    """
    return render(_page(results))


def write_html_report(results: Results, path: Path) -> None:
    """Write the page to a file, whole or not at all.

    Args:
        results: What was found; see ``html_report``.
        path: The file; its folder is made.

    Raises:
        StorageError: It cannot be written.
    """
    content = html_report(results).encode("utf-8", "replace")  # a path may hold bytes that are no text
    write_whole(path, content)


def _page(results: Results) -> Page:
    match results:
        case VerificationResults():
            return verification_page(results)
        case IdentificationResults():
            return identification_page(results)
        case DetectionResults():
            return detection_page(results)
