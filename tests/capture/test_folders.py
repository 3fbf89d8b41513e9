"""Folders as NAS, phones, archives and links leave them."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest

from facepool.capture import PictureFolder, PictureSource, open_source, walk_folder
from facepool.errors import InputError, PathMissing, PathUnreadable, SourceEmpty
from support.media import jpeg
from support.permissions import permissions_apply


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def below(folder: PictureFolder, paths: Iterable[Path]) -> list[str]:
    return [path.relative_to(folder.root).as_posix() for path in paths]


def people(root: Path) -> dict[str, list[str]]:
    folder = walk_folder(root)
    return {name: below(folder, paths) for name, paths in folder.people().items()}


def test_pictures_are_found_at_any_depth_in_order_without_hidden_ones(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a/x.png", "a/.thumbs/x.png", "._b.jpg", "notes.txt", "clip.mp4", "c.heic", "d.HIF")
    folder = walk_folder(tmp_path)
    assert below(folder, folder.pictures) == ["a/x.png", "b.JPG", "c.heic", "d.HIF"]


def test_a_folder_below_a_hidden_one_is_searched(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden/#recycle/a.jpg")
    assert len(walk_folder(tmp_path / ".hidden" / "#recycle").pictures) == 1


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PathMissing, match="nowhere"):
        walk_folder(tmp_path / "nowhere")


def test_a_tree_has_people_as_folders_and_as_files(tmp_path: Path) -> None:
    touch(tmp_path, "Grace Hopper/2.jpg", "Grace Hopper/old/1.jpg", "Ada.png", "Ada/extra.jpg", "Empty/notes.txt")
    assert people(tmp_path) == {
        "Ada": ["Ada/extra.jpg", "Ada.png"],
        "Empty": [],
        "Grace Hopper": ["Grace Hopper/2.jpg", "Grace Hopper/old/1.jpg"],
    }


def test_a_name_is_the_same_however_the_file_system_spells_it(tmp_path: Path) -> None:
    touch(tmp_path, unicodedata.normalize("NFD", "Zoë") + ".jpg", "Zoë/1.jpg")
    assert list(people(tmp_path)) == ["Zoë"]


def test_what_systems_leave_in_folders_is_nobody_and_is_said(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *("Ada/1.jpg", "Ada/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/Bob/old.jpg", "$RECYCLE.BIN/S-1/$R1.jpg"),
        *("@eaDir/Ada/x.jpg", "lost+found/1.jpg", "System Volume Information/1.jpg", "__MACOSX/Ada/._1.jpg"),
        *(".stversions/Ada/1.jpg", ".Trash-1000/files/1.jpg", "Ada/._1.jpg", "Ada/Thumbs.db", "Ada/.DS_Store"),
    )
    assert people(tmp_path) == {"Ada": ["Ada/1.jpg"]}
    (remark,) = walk_folder(tmp_path).remarks()
    assert remark == "7 system folders passed over: #recycle, $RECYCLE.BIN, @eaDir and 4 more"


def test_files_that_are_no_pictures_by_name_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.MP4", "c/d.mp4", "e.dng", "README")
    (remark,) = walk_folder(tmp_path).remarks()
    assert remark.endswith("left out as no picture by the name: 2 .mp4, 1 without an ending, 1 .dng")
    assert remark.startswith("4 files of ")


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "store/ada/1.jpg", "store/old/2.jpg", "store/x.jpg", "people/Bob/1.jpg")
    link(tmp_path / "people/Ada/2023", "../../store/old")
    link(tmp_path / "people/Eve", "../store/ada")
    link(tmp_path / "people/Eve again", "../store/ada")
    link(tmp_path / "people/Bob/loop", ".")
    link(tmp_path / "people/Bob/up", "../..")
    link(tmp_path / "people/Bob/same.jpg", "1.jpg")
    link(tmp_path / "people/Cy.jpg", "../store/x.jpg")
    folder = walk_folder(tmp_path / "people")
    assert {name: below(folder, paths) for name, paths in folder.people().items()} == {
        "Ada": ["Ada/2023/2.jpg"],
        "Bob": ["Bob/1.jpg"],
        "Cy": ["Cy.jpg"],
        "Eve": ["Eve/1.jpg"],
    }
    assert not folder.unreadable


def test_a_folder_is_looked_at_at_its_own_place_before_links(tmp_path: Path) -> None:
    touch(tmp_path, "Zoe/1.jpg")
    link(tmp_path / "Ada", "Zoe")
    assert people(tmp_path) == {"Zoe": ["Zoe/1.jpg"]}
    assert walk_folder(tmp_path).remarks() == ["1 link passed over, to what is looked at in another place: Ada"]


def test_two_names_of_one_file_are_two_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "Ada/1.jpg", "Bob/2.jpg")
    os.link(tmp_path / "Ada/1.jpg", tmp_path / "Bob/1.jpg")  # as programs do that save room
    assert people(tmp_path) == {"Ada": ["Ada/1.jpg"], "Bob": ["Bob/1.jpg", "Bob/2.jpg"]}


def told(folder: PictureFolder) -> dict[str, str]:
    return {path.relative_to(folder.root).as_posix(): error.why for path, error in folder.unreadable}


def test_links_that_lead_nowhere_and_pipes_are_errors(tmp_path: Path) -> None:
    touch(tmp_path, "Ada/1.jpg")
    link(tmp_path / "Zoe", "/nonexistent")
    link(tmp_path / "Ada/gone.jpg", "/nonexistent.jpg")
    link(tmp_path / "Ada/round.jpg", "round.jpg")
    os.mkfifo(tmp_path / "Ada/pipe.jpg")
    whys = told(walk_folder(tmp_path))
    assert list(whys) == ["Ada/gone.jpg", "Ada/pipe.jpg", "Ada/round.jpg", "Zoe"]
    assert whys["Zoe"] == whys["Ada/gone.jpg"] == "it is a link that leads nowhere"
    assert whys["Ada/pipe.jpg"] == "it is neither a file nor a folder"
    assert whys["Ada/round.jpg"].startswith("it is a link that cannot be followed")


def test_folders_that_may_not_be_opened_are_errors(tmp_path: Path) -> None:
    touch(tmp_path, "Ada/1.jpg", "Bob/1.jpg", "Bob/private/2.jpg", "Eve/1.jpg")
    for name in ("Bob/private", "Eve"):
        (tmp_path / name).chmod(0)
    with permissions_apply():
        folder = walk_folder(tmp_path)
        assert told(folder) == {"Bob/private": "you may not open it", "Eve": "you may not open it"}
        assert [folder.person_of(path) for path, _ in folder.unreadable] == ["Bob", "Eve"]
        assert {name: len(paths) for name, paths in folder.people().items()} == {"Ada": 1, "Bob": 1, "Eve": 0}
        with pytest.raises(PathUnreadable, match="Change its permissions"):
            walk_folder(tmp_path / "Eve")
        (tmp_path / "Bob/1.jpg").unlink()
        with pytest.raises(PathUnreadable, match="private"):
            open_source(tmp_path / "Bob")


def test_a_source_says_what_its_folder_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "clip.mp4")
    (tmp_path / "a.jpg").write_bytes(jpeg())
    link(tmp_path / "b.jpg", "/nonexistent")
    skipped: list[tuple[Path, InputError]] = []
    with open_source(tmp_path, on_skip=lambda path, error: skipped.append((path, error))) as source:
        assert [Path(frame.source).name for frame in source] == ["a.jpg"]
        assert [path.name for path, _ in skipped] == ["b.jpg"]
        assert isinstance(source, PictureSource)
        assert list(source.remarks) == walk_folder(tmp_path).remarks()


def test_an_empty_folder_says_what_it_holds_instead(tmp_path: Path) -> None:
    touch(tmp_path, "clip.mp4", "#recycle/a.jpg")
    with pytest.raises(SourceEmpty, match=r"1 \.mp4; 1 system folder passed over: #recycle"):
        open_source(tmp_path)
