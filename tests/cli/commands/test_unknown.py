"""``facepool unknown`` as a user types it, on a pool in which cameras have kept strangers."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from facepool import open_pool, read_image
from facepool.faces.analyze import face_jpeg
from facepool.gallery.sightings import InboxBounds
from support.commands import Commands, Outcome, typed_here
from support.strangers import SPACE, faces, samples, sighting

BO, ADA, CY = 1, 2, 3
BOUNDS = InboxBounds(days=36500)
Typed = Callable[..., Outcome]


@pytest.fixture
def typed(facepool: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    """What runs a command; Bo was seen twice, Cy once, and Ada is known."""
    jpeg = face_jpeg(np.full((112, 112, 3), 90, np.uint8))
    with open_pool(facepool.pool, SPACE) as pool:
        pool.register("Ada", samples(ADA, range(4)), SPACE)
        for number, person, group in ((1, BO, "new"), (2, BO, 1), (3, CY, "new")):
            kept = faces(person, range(10 * number, 10 * number + 3))
            pool.inbox.keep(sighting(number), replace(kept, pictures=(jpeg,) * 3), BOUNDS, group)  # type: ignore[arg-type]
    return typed_here(facepool, monkeypatch, capfd)


def ids(outcome: Outcome) -> list[object]:
    assert outcome.code == 0, outcome.err
    return [record["id"] for record in outcome.records]


def test_strangers_are_listed_with_how_often_when_and_where(typed: Typed) -> None:
    assert ids(typed("unknown", "list", "--json")) == [2, 1]
    shown = typed("unknown", "list").out.splitlines()
    assert shown[0].split() == ["stranger", "seen", "first", "last", "cameras", "looks", "like"]
    assert shown[2].split()[:3] == ["1", "2", "times"]
    assert "door" in shown[2]
    assert "1 of 2 are shown" in typed("unknown", "list", "-n", "1").err


def test_a_pool_without_strangers_says_how_to_keep_some(crowd: Commands) -> None:
    listed = crowd("unknown", "list")
    assert (listed.code, "--keep-unknown" in listed.err) == (0, True)
    assert crowd("unknown", "undo").code == 4


def test_a_stranger_is_shown_with_a_picture_of_all_faces(typed: Typed, facepool: Commands) -> None:
    shown = typed("unknown", "show", "1", "--picture", "who.png", "--json")
    assert [len(record["faces"]) for record in shown.records] == [3, 3]  # type: ignore[arg-type]
    assert read_image(facepool.folder / "who.png").shape[0] > 300
    assert "Stranger 1" in typed("unknown", "show", "1").out
    assert "[group_unknown]" in typed("unknown", "show", "9").error


def test_a_stranger_gets_a_name_and_loses_it_again(typed: Typed, facepool: Commands) -> None:
    (named,) = typed("unknown", "name", "1", "Bo", "--json").records
    assert (named["person"], named["sightings"], named["look_alikes"]) == ("Bo", 2, [])
    assert facepool.people() == {"Ada": 4, "Bo": named["templates"]}
    assert "Stranger 1 was named Bo (2 sightings)" in typed("unknown", "undo", "--list").out
    assert "Undone: Stranger 1 was named Bo" in typed("unknown", "undo", str(named["undo"])).out
    assert facepool.people() == {"Ada": 4}
    assert "[undo_unknown]" in typed("unknown", "undo").error
    assert ids(typed("unknown", "list", "--json")) == [2, 1]


def test_names_that_are_there_or_are_not_are_refused(typed: Typed) -> None:
    taken = typed("unknown", "name", "1", "Ada")
    assert (taken.code, "[person_exists]" in taken.error) == (4, True)
    nobody = typed("unknown", "add", "1", "Eve")
    assert (nobody.code, "[person_unknown]" in nobody.error) == (4, True)
    other = typed("unknown", "add", "1", "Ada")
    assert (other.code, "[identity_conflict]" in other.error) == (4, True)
    assert typed("unknown", "name", "one", "Bo").code == 2


def test_a_look_alike_is_asked_about_and_answered_by_an_option(typed: Typed, facepool: Commands) -> None:
    with open_pool(facepool.pool) as pool:
        pool.register("Bea", samples(BO, range(60, 64)), SPACE)
    assert "Bea" in typed("unknown", "list").out
    asked = typed("unknown", "name", "1", "Bo")
    assert "--same-as 'Bea'" in asked.error
    assert typed("unknown", "name", "1", "Bo", "--different-from", "Bea").code == 0
    typed("unknown", "undo")
    assert "Stranger 1 is Bea" in typed("unknown", "name", "1", "Bo", "--same-as", "Bea").out
    assert "Bo" not in facepool.people()


def test_strangers_are_put_in_order(typed: Typed) -> None:
    assert typed("unknown", "ignore", "1", "2", "--json").records[0]["id"] == 1
    assert ids(typed("unknown", "list", "--ignored", "--json")) == [2, 1]
    assert typed("unknown", "watch", "1", "2").code == 0
    assert typed("unknown", "join", "1", "2").code == 0
    assert ids(typed("unknown", "list", "--json")) == [1]
    whole = sighting(3).id
    assert typed("unknown", "split", "1", whole[:30]).code == 2  # so begin all of them
    (split,) = typed("unknown", "split", "1", whole, "--json").records
    assert ids(typed("unknown", "list", "--json")) == [split["id"], 1]
    assert typed("unknown", "apart", "1", str(split["id"])).code == 0
    assert len(typed("unknown", "undo", "--list", "--json").records) == 7


def test_erasing_asks_unless_told_not_to(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\nn\n"))
    refused = typed("unknown", "delete", "1")
    assert (refused.code, "nothing more was erased" in refused.err) == (130, True)
    assert typed("unknown", "delete", "1", "--yes").out == "Stranger 1 erased, with 2 sightings\n"
    assert typed("unknown", "forget").code == 130
    assert typed("unknown", "forget", "--yes", "--json").records == [{"sightings": 1}]
    assert ids(typed("unknown", "list", "--json")) == []


def test_a_npy_pool_says_which_kind_can(typed: Typed) -> None:
    with open_pool("model_faces.npy", SPACE) as pool:
        pool.register("Ada", samples(ADA, [1]), SPACE)
    assert "has room for templates only" in typed("unknown", "list", "-p", "model_faces.npy").error
