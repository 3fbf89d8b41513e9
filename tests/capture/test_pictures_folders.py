import unicodedata
from pathlib import Path

import pytest

from facepool.capture import find_pictures, is_person_tree, iter_person_tree
from facepool.errors import PathMissing


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_pictures_are_found_at_any_depth_in_order_without_hidden_ones(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a/x.png", "a/.thumbs/x.png", "._b.jpg", "notes.txt", "clip.mp4", "c.heic")
    names = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert names == ["a/x.png", "b.JPG", "c.heic"]


def test_a_folder_below_a_hidden_one_is_searched(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden/folder/a.jpg")
    assert len(find_pictures(tmp_path / ".hidden" / "folder")) == 1


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PathMissing, match="nowhere"):
        find_pictures(tmp_path / "nowhere")


def test_a_tree_has_people_as_folders_and_as_files(tmp_path: Path) -> None:
    touch(tmp_path, "Grace Hopper/2.jpg", "Grace Hopper/old/1.jpg", "Ada.png", "Ada/extra.jpg", "Empty/notes.txt")
    people = {
        name: [path.relative_to(tmp_path).as_posix() for path in paths] for name, paths in iter_person_tree(tmp_path)
    }
    assert people == {
        "Ada": ["Ada/extra.jpg", "Ada.png"],
        "Empty": [],
        "Grace Hopper": ["Grace Hopper/2.jpg", "Grace Hopper/old/1.jpg"],
    }


def test_a_name_is_the_same_however_the_file_system_spells_it(tmp_path: Path) -> None:
    touch(tmp_path, unicodedata.normalize("NFD", "Zoë") + ".jpg")
    assert [name for name, _ in iter_person_tree(tmp_path)] == ["Zoë"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [([], False), (["notes.txt"], False), (["Ada/notes.txt"], False), (["Ada/1.jpg"], True), (["Ada.jpg"], True)],
)
def test_a_tree_is_told_by_its_pictures(tmp_path: Path, names: list[str], expected: bool) -> None:
    touch(tmp_path, *names)
    assert is_person_tree(tmp_path) is expected


def test_a_file_is_no_tree(tmp_path: Path) -> None:
    touch(tmp_path, "Ada.jpg")
    assert not is_person_tree(tmp_path / "Ada.jpg")
