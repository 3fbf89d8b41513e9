"""``facepool group``: the people in a folder of photos, end to end."""

import json
import os
import shutil
from pathlib import Path
from xml.dom.minidom import parseString

import pytest

from facepool import open_pool
from support.commands import Commands

MWG = "http://www.metadataworkinggroup.com/schemas/regions/"


@pytest.fixture
def library(facepool: Commands, photos: Path) -> Commands:
    """Commands beside a folder with photos of two people and of one stranger."""
    folder = facepool.folder / "library"
    for person in ("a", "b"):
        for number in (1, 2):
            (folder / person).mkdir(parents=True, exist_ok=True)
            shutil.copy(photos / f"person_{person}_{number}.jpg", folder / person / f"{number}.jpg")
    shutil.copy(photos / "impostor_1.jpg", folder / "stranger.jpg")
    return facepool


def groups_of(library: Commands) -> list[tuple[int, str | None, list[str]]]:
    record = json.loads((library.folder / "out" / "groups.json").read_text(encoding="utf-8"))
    assert set(record) == {"groups", "ungrouped"}
    return [
        (group["id"], group["person"], sorted(face["path"] for face in group["faces"])) for group in record["groups"]
    ]


@pytest.mark.slow
def test_from_a_folder_to_registered_people_and_back(library: Commands) -> None:
    first = library("group", "library", "--output", "out", "--json")
    assert first.code == 0, first.err
    assert groups_of(library) == [(1, None, ["a/1.jpg", "a/2.jpg"]), (2, None, ["b/1.jpg", "b/2.jpg"])]
    (record,) = first.records
    assert record == json.loads((library.folder / "out" / "groups.json").read_text(encoding="utf-8"))
    page = (library.folder / "out" / "groups.html").read_text(encoding="utf-8")
    assert "Group 1" in page
    assert page.count("data:image/jpeg;base64,") == 5
    assert (library.folder / "out" / "groups.jpg").stat().st_size > 1000

    named = library("group", "name", "1", "Ada/../Lovelace", "--output", "out")
    assert named.code == 0, named.err
    assert groups_of(library)[0][1] == "Ada/../Lovelace"
    with open_pool(library.pool) as pool:
        assert sorted(one.sample.source for one in pool.templates("Ada/../Lovelace")) == ["a/1.jpg", "a/2.jpg"]

    refused = library("group", "name", "1", "Bo", "--output", "out")
    assert refused.code == 4
    assert "belong to Ada" in refused.error
    assert "There is no group 9" in library("group", "name", "9", "Bo", "--output", "out").error

    again = library("group", "library", "--output", "out", "--folders", "copy", "--xmp")
    assert "5 photos known from an earlier run" in again.err
    people = library.folder / "out" / "people"
    assert sorted(path.name for path in people.iterdir()) == ["Ada_.._Lovelace", "group-2"]
    assert sorted(path.name for path in (people / "group-2").iterdir()) == ["b - 1.jpg", "b - 2.jpg"]
    sidecar = parseString((library.folder / "library" / "a" / "1.jpg.xmp").read_bytes())
    (described,) = [
        node for node in sidecar.getElementsByTagName("rdf:Description") if node.hasAttributeNS(MWG, "Name")
    ]
    assert described.getAttributeNS(MWG, "Name") == "Ada/../Lovelace"

    # Who is erased from the pool has no name here either, once the groups are made anew.
    assert library("people", "remove", "Ada/../Lovelace", "--yes").code == 0
    library("group", "library", "--output", "out", "--folders", "copy", "--xmp")
    assert groups_of(library)[0][1] is None
    assert sorted(path.name for path in people.iterdir()) == ["group-1", "group-2"]
    assert b"Lovelace" not in (library.folder / "library" / "a" / "1.jpg.xmp").read_bytes()

    (library.folder / "out" / "mine.txt").write_text("mine", encoding="utf-8")
    assert library("group", "forget", "--output", "out", "--yes").code == 0
    assert [path.name for path in (library.folder / "out").iterdir()] == ["mine.txt"]
    assert sorted(path.name for path in (library.folder / "library").rglob("*") if path.is_file()) == [
        "1.jpg", "1.jpg", "2.jpg", "2.jpg", "stranger.jpg",
    ]  # fmt: skip


@pytest.mark.slow
def test_groups_get_the_names_of_people_of_the_pool_whom_they_match(library: Commands) -> None:
    assert library("register", "Bo", "library/b/1.jpg").code == 0
    library("group", "library", "--output", "library/out")
    record = json.loads((library.folder / "library" / "out" / "groups.json").read_text(encoding="utf-8"))
    assert [group["person"] for group in record["groups"]] == [None, "Bo"]
    # What was written lies in the folder of the photos, and is none of them.
    assert library("group", "library", "--output", "library/out").code == 0
    again = json.loads((library.folder / "library" / "out" / "groups.json").read_text(encoding="utf-8"))
    assert again == record


@pytest.mark.slow
def test_bad_photos_are_named_and_the_rest_goes_on(library: Commands) -> None:
    folder = library.folder / "library"
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    if os.name != "nt":
        (folder / "loop").symlink_to(folder)
        (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    outcome = library("group", "library")
    assert outcome.code == 3
    assert "broken.jpg" in outcome.err
    assert "2 groups of 5 faces in 5 photos, 1 face in none" in outcome.out
    assert not list(library.folder.glob("**/library-1.db"))


def test_what_cannot_be_grouped_is_one_clear_line(facepool: Commands) -> None:
    empty = facepool.folder / "empty"
    empty.mkdir()
    assert "source_empty" in facepool("group", "empty").error
    assert "path_missing" in facepool("group", "nowhere").error
    assert "is the folder of the photos" in facepool("group", "empty", "--output", "empty").error
    assert "--xmp needs --output" in facepool("group", "empty", "--xmp").error
    assert "has no groups" in facepool("group", "name", "1", "Ada", "--output", "empty").error
    assert "has no groups" in facepool("group", "forget", "--output", "empty", "--yes").error


@pytest.mark.slow
def test_a_folder_where_nothing_can_be_read_is_an_error(facepool: Commands) -> None:
    (facepool.folder / "bad").mkdir()
    (facepool.folder / "bad" / "a.jpg").write_bytes(b"no picture")
    outcome = facepool("group", "bad", "--output", "out")
    assert outcome.code == 3
    assert "image_unreadable" in outcome.error
