"""``facepool sightings``: list, show, correct, delete."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from facepool import open_pool
from facepool.gallery import Pool
from facepool.gallery.sightings import InboxBounds
from facepool.types import Floats, Pose, SightedFaces, Sighting
from support.commands import Commands, typed_here

JPEG = b"\xff\xd8 a jpeg \xff\xd9"


@pytest.fixture
def pool(facepool: Commands, crowd: Commands) -> Commands:
    """Commands with a pool of one's own that holds a view each of Ada and Bob."""
    facepool.take_pool_of(crowd)
    return facepool


def own(pool: Pool, name: str) -> Floats:
    return pool.templates(name)[0].sample.embedding


def see(pool: Commands, toward_bob: float, person: str | None = "Ada") -> str:
    """Keep a sighting that was taken for somebody, of a face on the way from Ada to Bob."""
    with open_pool(pool.pool) as gallery:
        face = (1 - toward_bob) * own(gallery, "Ada") + toward_bob * own(gallery, "Bob")
        vectors = np.asarray(face / np.linalg.norm(face), np.float32)[None]
        one = np.full(1, 1, np.float32)
        known = None if person is None else gallery.person(person)
        until = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        sighting = Sighting(str(uuid4()), "door", until, until, person, known.id if known else None, 0.7, 0.4, 9)
        faces = SightedFaces(vectors, (JPEG,), one * 80, one * 0.99, one * 90, (Pose(5, -2, 0),))
        gallery.inbox.keep(sighting, faces, InboxBounds(), "new" if known is None else None)
    return sighting.id


def views(pool: Commands) -> dict[str, int]:
    return pool.people()


def test_sightings_are_listed_and_shown(pool: Commands, tmp_path: Path) -> None:
    assert "--keep-recognized" in pool("sightings", "list").err
    one, stranger = see(pool, 0.45), see(pool, 0.5, None)
    listed = pool("sightings", "list")
    assert {one, stranger} <= set(listed.out.split())
    assert "stranger 1" in listed.out
    (record,) = pool("sightings", "list", "--person", "Ada", "--json").records
    assert (record["id"], record["person"], record["source"], record["named_at"]) == (one, "Ada", "door", None)
    folder = tmp_path / "faces"
    shown = pool("sightings", "show", one, "--pictures", str(folder))
    (picture,) = folder.iterdir()
    assert picture.read_bytes() == JPEG
    assert picture.stem in shown.out
    (face,) = pool("sightings", "show", one, "--json").records
    assert (face["face"], face["quality"], face["person"]) == (picture.stem, 80, "Ada")
    assert "sighting_unknown" in pool("sightings", "show", "nothing").error


def test_a_correction_is_previewed_made_and_undone(pool: Commands) -> None:
    one = see(pool, 0.45)
    told = pool("sightings", "correct", one, "Bob", "--preview")
    assert told.code == 0
    assert told.out == "Ada would be Bob; nothing was changed\n"
    assert "The face becomes a view of Bob. Ada and Bob are look-alikes" in told.err
    assert views(pool) == {"Ada": 1, "Bob": 1}
    (record,) = pool("sightings", "correct", one, "Bob", "--json").records
    assert (record["person"], record["previous"], record["template"]) == ("Bob", "Ada", True)
    assert record["look_alikes"] == ["Ada", "Bob"]
    assert views(pool) == {"Ada": 1, "Bob": 2}
    assert pool("sightings", "correct", one, "Bob").out == "It is Bob already\n"
    undone = pool("unknown", "undo", str(record["undo"]))
    assert undone.code == 0, undone.err
    assert views(pool) == {"Ada": 1, "Bob": 1}
    assert pool("sightings", "list", "--json").records[0]["person"] == "Ada"


def test_nobody_known_is_forgotten_unless_strangers_are_kept(pool: Commands) -> None:
    one, other = see(pool, 0.45), see(pool, 0.4)
    assert pool("sightings", "correct", one, "--nobody", "--keep-unknown").out == "Ada is unknown\n"
    assert pool("sightings", "correct", other, "--nobody").code == 0
    assert [record["id"] for record in pool("sightings", "list", "--json").records] == [one]


def test_a_slip_of_the_hand_is_asked_about(pool: Commands) -> None:
    one = see(pool, 0.0)
    outcome = pool("sightings", "correct", one, "Bob")
    assert "identity_conflict" in outcome.error
    assert "--no-template" in outcome.error
    assert views(pool) == {"Ada": 1, "Bob": 1}
    assert pool("sightings", "correct", one, "Bob", "--no-template", "--no-look-alikes").code == 0
    assert views(pool) == {"Ada": 1, "Bob": 1}
    assert pool("sightings", "correct", one, "Ada").code == 0
    assert pool("sightings", "correct", one, "Bob", "--force").code == 0
    assert views(pool) == {"Ada": 1, "Bob": 2}


def test_somebody_at_a_terminal_is_asked_before_faces_go_for_good(
    pool: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    one = see(pool, 0.45)
    monkeypatch.setattr("facepool.cli.commands.sightings._is_asked", lambda _context: True)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    asked = typed_here(pool, monkeypatch, capfd)("sightings", "correct", one, "--nobody")
    assert asked.code == 130
    assert "erased for good" in asked.err
    assert pool("sightings", "show", one, "--json").records[0]["person"] == "Ada"


@pytest.mark.parametrize("arguments", [[], ["Bob", "--nobody"]])
def test_a_correction_names_somebody_or_says_nobody(pool: Commands, arguments: list[str]) -> None:
    outcome = pool("sightings", "correct", "some sighting", *arguments)
    assert outcome.code == 2
    assert "--nobody" in outcome.error


def test_a_sighting_is_deleted(pool: Commands) -> None:
    one = see(pool, 0.45)
    assert pool("sightings", "delete", one).code == 130  # asked, and nobody answered
    assert pool("sightings", "delete", one, "--yes").out == "The sighting is deleted\n"
    assert pool("sightings", "list", "--json").records == []
    assert "sighting_unknown" in pool("sightings", "delete", one, "--yes").error
