import os
from pathlib import Path

import pytest

from facepool.errors import ConfigError
from facepool.groups.library import PhotoFace, PhotoGroup
from facepool.groups.people_folders import FOLDER_NAME, Kind, folder_names, place_photos
from facepool.groups.shelf import Shelf

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links take permission there")


def group(number: int, person: str | None, *paths: str) -> PhotoGroup:
    faces = tuple(PhotoFace(i, path, (0, 0, 1, 1), 0.9, 50, (9, 9)) for i, path in enumerate(paths))
    return PhotoGroup(number, person, person and f"id of {person}", faces)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for path in ("a.jpg", "2019/a.jpg", "2020/a.jpg"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return root


def placed(output: Path) -> list[str]:
    root = output / FOLDER_NAME
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("kind", ["link", "copy"])
def test_each_person_has_a_folder_with_their_photos(photos: Path, tmp_path: Path, kind: Kind) -> None:
    output = tmp_path / "out"
    groups = [group(1, "Ada", "a.jpg", "2019/a.jpg"), group(2, None, "2019/a.jpg", "2020/a.jpg")]
    with Shelf(None, None) as shelf:
        assert place_photos(groups, photos, output, kind, shelf) == 4
        assert placed(output) == [
            "Ada/2019 - a.jpg",
            "Ada/a.jpg",
            "group-2/2019 - a.jpg",
            "group-2/2020 - a.jpg",
        ]
        made = output / FOLDER_NAME / "Ada" / "2019 - a.jpg"
        assert made.read_bytes() == b"2019/a.jpg"
        assert made.is_symlink() is (kind == "link")
        # The other kind takes its place, and what is no longer wanted goes, with its folder.
        other: Kind = "copy" if kind == "link" else "link"
        place_photos(groups[:1], photos, output, other, shelf)
        assert made.is_symlink() is (other == "link")
        assert placed(output) == ["Ada/2019 - a.jpg", "Ada/a.jpg"]
    assert (photos / "a.jpg").read_bytes() == b"a.jpg"


@pytest.mark.parametrize("other", ["2019 - a.jpg", "2019 - A.jpg", "2019 _ a.jpg"])
def test_no_photo_takes_the_place_of_another(photos: Path, tmp_path: Path, other: str) -> None:
    first = "2019/a.jpg" if "-" in other else "2019 : a.jpg"
    for path in (first, other):
        (photos / path).write_bytes(path.encode())
    output = tmp_path / "out"
    with Shelf(None, None) as shelf:
        for _ in range(2):
            assert place_photos([group(1, "Ada", first, other)], photos, output, "copy", shelf) == 2
            found = {path.read_bytes().decode() for path in (output / FOLDER_NAME / "Ada").iterdir()}
            assert found == {first, other}


def test_what_others_have_put_there_stays(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with Shelf(None, None) as shelf:
        place_photos([group(1, "Ada", "a.jpg")], photos, output, "link", shelf)
        (output / FOLDER_NAME / "Ada" / "letter.txt").write_text("mine", encoding="utf-8")
        place_photos([], photos, output, "link", shelf)
        assert placed(output) == ["Ada/letter.txt"]
        (output / FOLDER_NAME / "Ada" / "a.jpg").write_text("mine", encoding="utf-8")
        with pytest.raises(ConfigError, match="is there already"):
            place_photos([group(1, "Ada", "a.jpg")], photos, output, "link", shelf)


def test_names_that_no_folder_may_have_get_others_and_two_people_never_share_one() -> None:
    names = folder_names(
        [group(1, "../etc"), group(2, "A/B"), group(3, "A_B"), group(4, "ada"), group(5, "Ada"), group(6, "con")]
    )
    assert names == {
        1: "_etc",
        2: "A_B",
        3: "A_B (group 3)",
        4: "ada",
        5: "Ada (group 5)",
        6: "con_",
    }


def test_groups_of_one_person_share_a_folder() -> None:
    assert folder_names([group(1, "Ada"), group(2, "Ada")]) == {1: "Ada", 2: "Ada"}
