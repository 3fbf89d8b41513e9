"""The page of an evaluation: self-contained, escaped, and whole whatever was found."""

import base64
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from facepool.capture import write_image
from facepool.errors import StorageError
from facepool.evaluation.detection import DetectionResults, PrecisionRecall, evaluate_detection
from facepool.evaluation.embeddings import EvaluatedPictures
from facepool.evaluation.identification import IdentificationResults, evaluate_split
from facepool.evaluation.metrics import ErrorCurve, OperatingPoint
from facepool.evaluation.protocols import AnnotatedPicture, GroundTruth, Pairs, Split
from facepool.evaluation.report.page import (
    face_photo,
    html_report,
    lowest,
    precision_recall_chart,
    similarities_chart,
    trade_off_chart,
    write_html_report,
)
from facepool.evaluation.report.summary import Results, Run, percent
from facepool.evaluation.verification import VerificationResults, evaluate_all_pairs, evaluate_pairs
from facepool.models.catalog import FmrCurve
from facepool.thresholds import ThresholdPolicy
from facepool.types import Detections, Floats

PEOPLE, EACH = 6, 5
POLICY = ThresholdPolicy(FmrCurve(((1e-2, 0.3), (1e-5, 0.6)), "nowhere"))
RUN = Run(
    command="facepool evaluate folder 'a & b' --output report",
    subject="a & b",
    model="embedder",
    detector="finder",
    embedder="embedder",
    space="embedder (8-d, space 0123456789abcdef)",
    device="an engine",
    detection={"min_score": 0.5},
    face_choice="the largest",
    versions={"facepool": "0.1.0"},
    started_at="2026-11-23T12:00:00+00:00",
    seconds=75.0,
    pictures_from_cache=3,
)
NAMES = ("Ada", "<script>alert(1)</script>", "渡辺 直美", "محمد", '"><img src=x>', "O'Neil & Söhne")
NONE = np.zeros(0)


def floats(values: object) -> Floats:
    return np.asarray(values, np.float32)


class Outline(HTMLParser):
    """What a browser would find: tags that are open, addresses, words."""

    VOID = frozenset({"meta", "img", "wbr", "br", "path", "use", "rect"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "srcset"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Grey pictures, the first of which is missing and the second of which is no picture."""
    folder = tmp_path_factory.mktemp("photos")
    files = [folder / f"{index}.png" for index in range(PEOPLE * EACH)]
    for file in files[2:]:
        write_image(file, np.full((64, 48, 3), 120, np.uint8))
    files[1].write_text("no picture")
    return files


def pictures(
    photos: Sequence[Path], without_face: Sequence[int] = (), *, names: Sequence[str] = NAMES
) -> EvaluatedPictures:
    """Faces of six people, five each, of whom two are a little alike."""
    random = np.random.default_rng(0)
    count = len(photos)
    person = [row // EACH % len(names) for row in range(count)]
    centres = np.eye(8)[:PEOPLE] + np.eye(8)[1] * 0.4
    embeddings = centres[np.asarray(person) % PEOPLE] + random.normal(0, 0.25, (count, 8))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    missed = np.isin(np.arange(count), without_face)
    blank = np.where(missed, np.nan, 1.0)
    embeddings[missed] = 0
    return EvaluatedPictures(
        paths=tuple(photos),
        people=tuple(names[each] for each in person),
        problems=tuple("no face was found" if each else "" for each in missed),
        embeddings=embeddings.astype(np.float32),
        boxes=(floats([[-10, 5, 30, 60]]) * blank[:, None]).astype(np.float32),
        face_counts=(~missed).astype(np.intp),
        qualities=(random.uniform(0, 100, count) * blank).astype(np.float32),
        yaws=(random.normal(0, 30, count) * blank).astype(np.float32),
        from_cache=3,
    )


def verification(photos: Sequence[Path], without_face: Sequence[int] = ()) -> VerificationResults:
    return evaluate_all_pairs(pictures(photos, without_face), POLICY)


def verification_in_folds(photos: Sequence[Path]) -> VerificationResults:
    found = pictures(photos)
    first, second = np.triu_indices(len(photos), 1)
    same = np.asarray([found.people[a] == found.people[b] for a, b in zip(first, second, strict=True)])
    pairs = Pairs(found.paths, found.people, first, second, same, np.arange(len(same)) % 5, left_out=2)
    return evaluate_pairs(pairs, found, POLICY)


def identification(photos: Sequence[Path], without_face: Sequence[int] = ()) -> IdentificationResults:
    found = pictures(photos, without_face)
    rows = np.arange(len(photos))
    registered = rows < 3 * EACH
    split = Split(
        found.paths,
        found.people,
        templates=rows[registered & (rows % EACH < 2)],
        mated=rows[registered & (rows % EACH >= 2)],
        strangers=rows[~registered],
    )
    return evaluate_split(split, found, POLICY)


def detection(photos: Sequence[Path], found: Detections) -> DetectionResults:
    boxes = floats([[5, 5, 25, 25], [30, 30, 44, 44]])
    truth = GroundTruth(tuple(AnnotatedPicture(path, boxes, np.array([False, True])) for path in photos[:4]), 7)
    return evaluate_detection(truth, lambda _: found, 0.6)


FINDS = Detections(floats([[5, 5, 25, 26], [0, 40, 20, 60]]), floats([0.9, 0.7]), np.zeros((2, 5, 2), np.float32))
KINDS: dict[str, Callable[[Sequence[Path]], Results]] = {
    "folder": verification,
    "pairs": verification_in_folds,
    "folder without any face of two people": lambda photos: verification(photos, range(10)),
    "identification": identification,
    "identification with failures": lambda photos: identification(photos, [0, 1, 3, 20]),
    "identification where nobody is found": lambda photos: identification(photos, range(2, 24)),
    "detection": lambda photos: detection(photos, FINDS),
    "detection of nothing": lambda photos: detection(photos, Detections.empty()),
}


@pytest.fixture(scope="module", params=KINDS)
def page(request: pytest.FixtureRequest, photos: list[Path]) -> str:
    """A page of each kind."""
    return html_report(KINDS[request.param](photos), RUN)


def test_a_page_is_whole_and_asks_nobody_for_anything(page: str) -> None:
    outline = Outline(page)
    assert not outline.open
    assert not {"script", "link", "iframe", "base"} & set(outline.tags)
    assert all(
        address.startswith(("data:image/jpeg;base64,", "data:image/svg+xml;base64,")) for address in outline.addresses
    )
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|@import|url\((?!#)", page)


def test_a_page_says_how_to_get_it_again(page: str) -> None:
    text = Outline(page).text
    assert RUN.command in text
    for words in ("finder", "an engine", "facepool 0.1.0", "75.0 s; 3 pictures came from an earlier run"):
        assert words in text


def test_a_page_says_what_could_not_be_read(photos: list[Path]) -> None:
    run = replace(RUN, not_read=({"path": "people/<Eve>", "why": "you may not open it"},))
    assert "people/&lt;Eve&gt;: you may not open it" in html_report(verification(photos), run)


def test_a_page_has_a_word_for_what_is_no_number(page: str) -> None:
    assert not re.search(r"\b(nan|inf)\b|>None<", re.sub(r"data:[^\"]*", "", page))


def test_names_are_text_whatever_is_in_them(photos: list[Path]) -> None:
    page = html_report(verification(photos), RUN)
    assert "<script" not in page
    assert "<img src=x" not in page
    assert set(NAMES) <= set(re.findall("|".join(map(re.escape, NAMES)), Outline(page).text))


def test_the_worst_pairs_are_the_worst(photos: list[Path]) -> None:
    results = verification(photos)
    comparisons = results.comparisons
    text = Outline(html_report(results, RUN)).text
    least, most = comparisons.genuine.min(), comparisons.impostor.max()
    sections = text.split("Same person, least alike")[1].split("Different people, most alike")
    assert re.findall(r"similarity (-?\d\.\d+)", sections[0])[0] == f"{least:.3f}"
    assert re.findall(r"similarity (-?\d\.\d+)", sections[1])[0] == f"{most:.3f}"


def test_one_bad_picture_does_not_fill_the_page() -> None:
    values = floats([0.1, 0.2, 0.3, 0.4])
    bad, others = np.array([7, 7, 7, 7]), np.array([1, 2, 3, 4])
    assert lowest(values, np.arange(4), (bad, others)) == [0, 1]


def test_the_figures_of_the_page_are_those_of_the_results(photos: list[Path]) -> None:
    results = verification_in_folds(photos)
    text = Outline(html_report(results, RUN)).text
    assert results.accuracy is not None
    assert percent(results.accuracy.mean) in text
    assert percent(results.eer.rate) in text
    assert "2 pairs of the protocol were left out" in text
    assert "Only 6 people" in text


def test_a_rate_that_cannot_be_seen_is_not_stated(photos: list[Path]) -> None:
    text = Outline(html_report(verification(photos), RUN)).text
    assert re.search(r"TAR at FMR 0.01%\s+-\s+too few pairs of two", text)


def test_pictures_without_a_face_are_counted_and_shown(photos: list[Path]) -> None:
    text = Outline(html_report(verification(photos, [3, 20]), RUN)).text
    assert "2 of 30 pictures" in text
    assert text.count("no face was found") == 2
    assert "no failure to acquire" in Outline(html_report(verification(photos), RUN)).text


def test_people_who_could_not_be_registered_are_named(photos: list[Path]) -> None:
    text = Outline(html_report(identification(photos, [0, 1]), RUN)).text
    assert "Ada" in text.split("People who could not be registered")[1].split("Pictures without a face")[0]
    assert "Nobody: no failure to enroll." in Outline(html_report(identification(photos), RUN)).text


def test_detection_counts_what_is_missed_and_what_is_no_face(photos: list[Path]) -> None:
    text = Outline(html_report(detection(photos, FINDS), RUN)).text
    assert "0 of 1 face missed, 1 box without one" in text
    assert "1 of 1 face missed, 0 boxes without one" in text
    assert "7 pictures of the ground truth are not there" in text
    assert "Green: found." in text


def test_writing_replaces_the_old_page_and_says_why_it_cannot(photos: list[Path], tmp_path: Path) -> None:
    results = detection(photos, FINDS)
    file = tmp_path / "report.html"
    file.write_text("old")
    write_html_report(results, RUN, file)
    assert file.read_text(encoding="utf-8") == html_report(results, RUN)
    with pytest.raises(StorageError):
        write_html_report(results, RUN, photos[2] / "report.html")


def test_a_path_that_is_no_text_is_written_all_the_same(photos: list[Path], tmp_path: Path) -> None:
    results = detection(photos, FINDS)
    write_html_report(results, replace(RUN, subject="caf\udce9"), tmp_path / "report.html")
    assert "caf?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_commands_that_draw_nothing_do_not_wait_for_matplotlib() -> None:
    look = "import sys, facepool.cli.commands.evaluate; print({'matplotlib', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "set()"


def test_a_face_beyond_its_picture_is_cut_out_and_a_lost_picture_is_blank(photos: list[Path]) -> None:
    whole = np.full(4, np.nan, np.float32)
    assert face_photo(photos[2], floats([-500, -500, -400, -400])).startswith("data:image/jpeg")
    assert face_photo(photos[2], floats([20, 20, 20, 20])).startswith("data:image/jpeg")
    assert face_photo(photos[2], whole).startswith("data:image/jpeg")
    assert face_photo(photos[0], whole) == face_photo(photos[1], whole) == ""


def drawn(address: str) -> str:
    """The SVG of a chart."""
    kind, _, data = address.partition(",")
    assert kind == "data:image/svg+xml;base64"
    return base64.b64decode(data).decode()


POINT = OperatingPoint(0.01, 0.3, 0.01, 0.2, 100)


def test_charts_of_nothing_are_charts() -> None:
    empty = [
        similarities_chart({"a": (NONE, None), "b": (np.array([-np.inf]), np.ones(1))}, [POINT], "FMR"),
        trade_off_chart(ErrorCurve(np.arange(2.0), np.array([1.0, 0.0]), np.ones(2)), [POINT], 0, ("x", "y")),
        trade_off_chart(ErrorCurve(np.zeros(3), np.zeros(3), np.zeros(3)), [], 1e12, ("x", "y")),
        precision_recall_chart(PrecisionRecall(NONE, NONE, NONE, 0.0, 1), 0.5),
    ]
    assert all(drawn(chart).rstrip().endswith("</svg>") for chart in empty)


def test_charts_name_their_thresholds_and_ask_nobody_for_anything() -> None:
    svg = drawn(similarities_chart({"a": (np.arange(9.0), None), "b": (-np.arange(9.0), None)}, [POINT], "FMR"))
    assert ">FMR 1%</text>" in svg
    assert all(address.startswith("#") for address in re.findall(r'href="([^"]*)"', svg))
    assert not re.search(r"<script|@import|url\((?!#)", svg)


def test_a_curve_of_a_million_pairs_stays_small() -> None:
    random = np.random.default_rng(0)
    rates = np.sort(random.uniform(0, 1, 1_000_000))
    curve = ErrorCurve(rates, np.append(rates[:0:-1], 0), rates)
    assert len(trade_off_chart(curve, [], 1e6, ("x", "y"))) < 60_000


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.9937, "99.37%"), (0.0, "0.00%"), (1.0, "100.00%"), (0.000035, "0.0035%"), (float("nan"), "-")],
)
def test_percentages_keep_what_would_vanish(share: float, words: str) -> None:
    assert percent(share) == words
