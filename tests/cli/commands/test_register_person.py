"""``facepool register`` on what moves, with a fake analyzer and no camera."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from facepool.capture import CaptureOptions, FrameSource, PictureSource, SourceKind, kind_of_source, write_image
from facepool.cli.commands.register import RegisterOptions, register_person
from facepool.cli.context import CommandContext
from facepool.errors import (
    ConfigError,
    FacepoolError,
    IdentityConflict,
    NoFace,
    PersonFull,
    ScanIncomplete,
    StreamLost,
    UnknownPerson,
)
from facepool.gallery import Pool, open_pool
from facepool.types import Frame, Sample
from support.fake_scan_analyzer import ME, OTHER, SPACE, FakeScanAnalyzer, Head, circle, embedding, still

FULL = [*still(), *circle()]
HALF = [*still(), *circle()[:12]]
OTHER_HALF = [*still(), *circle()[12:]]


class Film:
    """A source of given frames."""

    def __init__(self, name: str, frames: Sequence[Frame], ends: BaseException | None = None) -> None:
        self.name = self.description = name
        self.live = False
        self.fps = None
        self.frame_count = len(frames)
        self._frames = frames
        self._ends = ends

    def __iter__(self) -> Iterator[Frame]:
        yield from self._frames
        if self._ends is not None:
            raise self._ends

    def close(self) -> None:
        pass

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *error: object) -> None:
        pass


class Desk:
    """Registers from films by name, and remembers which were opened."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pool = folder / "pool.db"
        self.analyzer = FakeScanAnalyzer()
        self.opened: list[str] = []
        self._films: dict[str, Film] = {}
        monkeypatch.setattr("facepool.cli.ui.sources.open_source", self._open)
        monkeypatch.setattr("facepool.cli.ui.sources.kind_of_source", self._kind)

    def film(self, name: str, heads: Sequence[Head | None], ends: BaseException | None = None) -> None:
        frames = [self.analyzer.frame(*([head] if head else [])) for head in heads]
        self._films[name] = Film(name, frames, ends)

    def __call__(self, name: str, *films: str, max_templates: int = 16, **options: Any) -> int:
        context = CommandContext({"pool": self.pool, "max_templates": max_templates})
        context.json_lines = True
        vars(context)["analyzer"] = self.analyzer
        return register_person(name, films, context, RegisterOptions(**options), window=False)

    def open_pool(self) -> Pool:
        return open_pool(self.pool, SPACE)

    def people(self) -> dict[str, int]:
        with self.open_pool() as pool:
            return {person.name: person.templates for person in pool.people()}

    def store(self, name: str, *heads: Head) -> None:
        with self.open_pool() as pool:
            pool.register(name, [Sample(embedding(head)) for head in heads], SPACE)

    def _kind(self, spec: str, options: CaptureOptions) -> SourceKind:
        return "moves" if spec in self._films else kind_of_source(spec, options)

    def _open(self, spec: str, *_: object, **__: object) -> FrameSource:
        self.opened.append(spec)
        return self._films[spec] if spec in self._films else PictureSource([Path(spec)], spec)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path, monkeypatch)
    desk.film("full", FULL)
    desk.film("half", HALF)
    desk.film("other half", OTHER_HALF)
    return desk


def record(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_a_full_circle_is_stored_and_reported(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk("Ada", "full") == 0
    reported = record(capsys)
    assert desk.people() == {"Ada": reported["stored"]}
    assert (reported["person"], reported["partial"], reported["appearance"], reported["look_alikes"]) == (
        "Ada",
        False,
        "",
        [],
    )
    assert reported["coverage"]["share"] == 1
    assert len(reported["coverage"]["directions"]) == 12
    assert reported["coverage"]["directions"][0]["near"]["quality"] == 100
    assert reported["frames"] == sum(reported["outcomes"].values()) <= len(FULL)


def test_half_a_circle_is_refused_with_what_is_missing_and_stored_on_purpose(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ScanIncomplete, match=r"not .*down.*--partial"):
        desk("Ada", "half")
    assert desk.people() == {}
    assert desk("Ada", "half", partial=True) == 0
    assert record(capsys)["partial"]
    with desk.open_pool() as pool:
        assert all(template.sample.partial for template in pool.templates("Ada"))


def test_films_continue_one_scan_and_none_is_opened_after_the_ring_is_closed(desk: Desk) -> None:
    assert desk("Ada", "half", "other half", "full") == 0
    assert desk.opened == ["half", "other half"]


def test_what_a_source_gave_before_it_broke_counts(desk: Desk) -> None:
    desk.film("breaks", HALF, StreamLost("lost"))
    assert desk("Ada", "breaks", "other half") == StreamLost.exit_code
    assert desk.people().keys() == {"Ada"}


def test_ctrl_c_stores_nothing(desk: Desk) -> None:
    desk.film("interrupted", HALF, KeyboardInterrupt())
    with pytest.raises(click.Abort, match="nothing was stored of Ada"):
        desk("Ada", "interrupted", partial=True)
    assert desk.people() == {}


def test_a_second_look_is_added_to_the_same_person(desk: Desk) -> None:
    desk("Ada", "full")
    desk.film("glasses", [Head(0, head.yaw * 1.6, head.pitch * 1.6) for head in FULL])
    assert desk("Ada", "glasses", appearance="glasses") == 0
    with desk.open_pool() as pool:
        assert {template.sample.appearance for template in pool.templates("Ada")} == {"", "glasses"}


def test_nothing_is_opened_for_a_person_who_is_full(desk: Desk) -> None:
    desk.store("Ada", *circle(frames=4))
    with pytest.raises(PersonFull, match="--appearance"):
        desk("Ada", "full", max_templates=4)
    assert desk.opened == []
    assert desk("Ada", "full", max_templates=4, appearance="glasses") == 0
    assert desk.people()["Ada"] > 4


@pytest.mark.parametrize(
    ("heads", "error", "words"),
    [
        ([None] * 5, NoFace, "no face found in 5 of 5 frames"),
        ([Head(size=30)] * 5, NoFace, "face too small, come closer in 5 of 5"),
        ([Head(yaw=40)] * 5, ScanIncomplete, "Look straight at the camera first"),
    ],
)
def test_a_scan_that_captures_nothing_says_why(
    desk: Desk, heads: Sequence[Head | None], error: type[FacepoolError], words: str
) -> None:
    desk.film("poor", heads)
    with pytest.raises(error, match=words):
        desk("Ada", "poor", partial=error is NoFace)
    assert desk.people() == {}


def test_on_purpose_a_film_of_a_turned_head_is_stored_with_what_is_missing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.film("aside", [Head(yaw=40)] * 5)
    assert desk("Ada", "aside", partial=True) == 0
    coverage = record(capsys)["coverage"]
    assert (coverage["frontal"], coverage["steady"], coverage["share"]) == (None, False, 0.0833)
    assert desk.people() == {"Ada": 1}
    desk.film("two", [Head(person, yaw=40) for person in (ME, OTHER)] * 5)
    with pytest.raises(ScanIncomplete, match="several people"):
        desk("Bob", "two", partial=True)
    assert desk.people() == {"Ada": 1}


def test_somebody_else_under_a_known_name_is_refused(desk: Desk) -> None:
    desk.store("Ada", Head(OTHER))
    with pytest.raises(IdentityConflict, match="--force"):
        desk("Ada", "full")
    assert desk("Ada", "full", force=True) == 0


def test_a_look_alike_stops_who_cannot_be_asked_and_both_answers_are_named(desk: Desk) -> None:
    desk.store("Bob", Head(ME), Head(ME, yaw=15))
    with pytest.raises(IdentityConflict) as refused:
        desk("Ada", "full")
    assert "--same-as 'Bob'" in refused.value.fix
    assert "--different-from 'Bob'" in refused.value.fix
    assert "similarity 1.00, 13 of 13 views match, probably the same person" in refused.value.why
    assert desk.people() == {"Bob": 2}


def test_the_same_person_gets_the_views(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.store("Bob", Head(ME), Head(ME, yaw=15))
    assert desk("Ada", "full", same_as=("Bob",)) == 0
    reported = record(capsys)
    assert reported["person"] == "Bob"
    assert [(alike["person"], alike["resolution"]) for alike in reported["look_alikes"]] == [("Bob", "same")]
    assert desk.people() == {"Bob": 2 + reported["stored"]}


@pytest.mark.parametrize(
    "options",
    [
        {"different_from": ("Bob",)},
        {"force": True},
    ],
    ids=["different-from", "force"],
)
def test_different_people_are_flagged_and_not_asked_about_again(desk: Desk, options: dict[str, Any]) -> None:
    desk.store("Bob", Head(ME))
    assert desk("Ada", "half", partial=True, **options) == 0
    with desk.open_pool() as pool:
        assert pool.look_alikes() == {frozenset(("Ada", "Bob"))}
    assert desk("Ada", "full") == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"same_as": ("Eve",)}, UnknownPerson),
        ({"different_from": ("Eve",)}, UnknownPerson),
        ({"same_as": ("Bob",), "different_from": ("Bob",)}, ConfigError),
        ({"same_as": ("Ada",)}, ConfigError),
        ({"same_as": ("Bob", "Cleo")}, IdentityConflict),
    ],
)
def test_answers_that_cannot_be_are_refused_before_anything_is_opened(
    desk: Desk, options: dict[str, Any], error: type[FacepoolError]
) -> None:
    desk.store("Bob", Head(OTHER))
    desk.store("Cleo", Head(2))
    with pytest.raises(error):
        desk("Ada", "full", **options)
    assert desk.opened == []


def test_who_does_not_look_alike_is_not_the_same(desk: Desk) -> None:
    desk.store("Bob", Head(OTHER))
    with pytest.raises(IdentityConflict, match="does not look like Bob"):
        desk("Ada", "full", same_as=("Bob",))


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """What is typed at the terminal; gives the questions."""

    def type_lines(lines: str) -> list[str]:
        answers, asked = iter(lines.split()), list[str]()

        def prompt(question: str, *, default: str, **_: object) -> str:
            asked.append(question)
            return next(answers, default)

        monkeypatch.setattr("facepool.cli.ui.look_alikes.can_ask", lambda _: True)
        monkeypatch.setattr("click.prompt", prompt)
        return asked

    return type_lines


def test_at_a_terminal_each_look_alike_is_asked_about(desk: Desk, typed: Callable[[str], list[str]]) -> None:
    desk.store("Bob", Head(ME))
    desk.store("Cleo", Head(ME, yaw=10))
    desk.store("Eve", Head(OTHER))
    asked = typed("different same")
    assert desk("Ada", "full") == 0
    assert ["Bob" in question for question in asked] == [True, False]
    assert desk.people()["Cleo"] > 1
    assert "Ada" not in desk.people()
    with desk.open_pool() as pool:
        assert pool.look_alikes() == {frozenset(("Bob", "Cleo"))}


def test_cancel_is_the_default_and_stores_nothing(desk: Desk, typed: Callable[[str], list[str]]) -> None:
    desk.store("Bob", Head(ME))
    typed("")
    with pytest.raises(click.Abort, match="nothing was stored of Ada"):
        desk("Ada", "full")
    assert desk.people() == {"Bob": 1}


def test_two_people_of_the_pool_cannot_become_one_so_the_question_comes_again(
    desk: Desk, typed: Callable[[str], list[str]]
) -> None:
    desk.store("Ada", Head(ME))
    desk.store("Bob", Head(ME))
    asked = typed("same different")
    assert desk("Ada", "full") == 0
    assert len(asked) == 2


def test_the_report_is_written_only_when_asked_for_and_its_name_is_checked(desk: Desk, tmp_path: Path) -> None:
    desk("Ada", "half", partial=True)
    assert not list(tmp_path.glob("**/*.png"))
    desk("Ada", "full", report=tmp_path / "reports" / "ada.png")
    assert (tmp_path / "reports" / "ada.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "options",
    [
        {"partial": True},
        {"appearance": "hat"},
        {"report": Path("a.png")},
        {"same_as": ("Bob",)},
    ],
)
def test_what_is_about_scans_is_refused_for_pictures(tmp_path: Path, desk: Desk, options: dict[str, Any]) -> None:
    picture = tmp_path / "ada.png"
    write_image(picture, desk.analyzer.frame(Head()).image_bgr)
    with pytest.raises(ConfigError, match="cannot be used with pictures"):
        desk("Ada", str(picture), **options)


def test_a_film_and_pictures_are_stored_together(
    tmp_path: Path, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "ada.png"
    write_image(picture, desk.analyzer.frame(Head(yaw=30)).image_bgr)
    assert desk("Ada", str(picture), "half", partial=True, max_templates=20) == 0
    reported = record(capsys)
    assert reported["pictures"]["frames"] == 1
    assert desk.people() == {"Ada": reported["stored"] + reported["pictures"]["stored"]}
