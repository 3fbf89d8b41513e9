import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facepool.bulk import LocalAnalysis
from facepool.capture import write_image
from facepool.capture.folders import walk_folder
from facepool.errors import ConfigError, SpaceMismatch
from facepool.groups.library import PhotoGroups, PhotoLibrary, group_photos, stable_numbers
from facepool.groups.shelf import Shelf
from facepool.records import groups_record
from facepool.thresholds import ThresholdPolicy
from facepool.types import EmbeddingSpace, Floats
from support.fake_analyzer import CURVE, SPACE, FakeAnalyzer, view

ADA, BO = 0, 1


class Photos:
    """A folder of photos of which it is known whom they show, and its library."""

    def __init__(self, root: Path, shelf_path: Path) -> None:
        self.root = root
        self.shelf_path = shelf_path
        self.analyzer = FakeAnalyzer()
        root.mkdir()

    def add(self, name: str, *vectors: Floats) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, self.analyzer.frame(*vectors).image_bgr)

    def group(self) -> PhotoGroups:
        with Shelf(self.shelf_path, SPACE) as shelf:
            shelf.belong_to(self.root)
            library = PhotoLibrary(self.root, shelf, ThresholdPolicy(CURVE))
            library.look(walk_folder(self.root), LocalAnalysis(self.analyzer, aligned=True))
            return library.group()

    @property
    def looked_at(self) -> int:
        return sum(self.analyzer.batches)


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return Photos(tmp_path / "photos", tmp_path / "groups" / "library.db")


def paths_of(found: PhotoGroups) -> dict[int, list[str]]:
    return {group.id: sorted(face.path for face in group.faces) for group in found.groups}


def test_faces_of_photos_are_in_groups_with_their_places(photos: Photos) -> None:
    photos.add("a.png", view(ADA, 0))
    photos.add("deep/b.png", view(ADA, 5), view(BO, 0))
    photos.add("c.png", view(2, 0))
    found = photos.group()
    assert paths_of(found) == {1: ["a.png", "deep/b.png"]}
    assert sorted(face.path for face in found.ungrouped) == ["c.png", "deep/b.png"]
    record = json.loads(json.dumps(groups_record(found)))
    assert set(record) == {"groups", "ungrouped"}
    assert record["groups"][0]["id"] == 1
    assert record["groups"][0]["person"] is None
    assert record["groups"][0]["faces"][0] == {"path": "a.png", "bbox": [0.0, 0.0, 100.0, 100.0], "score": 0.99}


def test_a_second_run_looks_at_new_photos_only_and_groups_keep_their_numbers(photos: Photos) -> None:
    photos.add("b1.png", view(BO, 0))
    photos.add("b2.png", view(BO, 5))
    assert paths_of(photos.group()) == {1: ["b1.png", "b2.png"]}
    assert photos.looked_at == 2
    photos.add("a1.png", view(ADA, 0))
    photos.add("a2.png", view(ADA, 5))
    photos.add("a3.png", view(ADA, 7))
    photos.add("b3.png", view(BO, 7))
    assert paths_of(photos.group()) == {1: ["b1.png", "b2.png", "b3.png"], 2: ["a1.png", "a2.png", "a3.png"]}
    assert photos.looked_at == 6


def test_a_photo_that_moved_or_was_copied_is_not_looked_at_again(photos: Photos) -> None:
    photos.add("a1.png", view(ADA, 0))
    photos.add("a2.png", view(ADA, 5))
    photos.group()
    (photos.root / "a1.png").rename(photos.root / "moved.png")
    (photos.root / "copy.png").write_bytes((photos.root / "a2.png").read_bytes())
    assert paths_of(photos.group()) == {1: ["a2.png", "copy.png", "moved.png"]}
    assert photos.looked_at == 2


def test_a_photo_that_was_changed_is_looked_at_again(photos: Photos) -> None:
    photos.add("a1.png", view(ADA, 0))
    photos.add("a2.png", view(ADA, 5))
    photos.group()
    photos.add("a2.png", view(BO, 0))
    os.utime(photos.root / "a2.png", ns=(1, 1))
    found = photos.group()
    assert found.groups == ()
    assert found.faces == 2


def test_faces_of_photos_that_are_gone_are_forgotten_and_their_numbers_never_used_again(photos: Photos) -> None:
    for person in (ADA, BO):
        for angle in (0, 5):
            photos.add(f"{person}-{angle}.png", view(person, angle))
    assert set(paths_of(photos.group())) == {1, 2}
    for path in photos.root.glob("1-*.png"):
        path.unlink()
    found = photos.group()
    assert set(paths_of(found)) == {1}
    assert found.faces == 2
    embedding = view(BO, 5).astype("<f4").tobytes()
    assert embedding not in photos.shelf_path.read_bytes()
    photos.add("2-0.png", view(2, 0))
    photos.add("2-5.png", view(2, 5))
    assert set(paths_of(photos.group())) == {1, 3}


@pytest.mark.skipif(os.name == "nt", reason="links take permission there")
def test_a_photo_that_is_gone_is_forgotten_whatever_else_cannot_be_read(photos: Photos) -> None:
    for name in ("a.png", "b.png", "away/c.png", "broken.png"):
        photos.add(name, view(ADA, 0))
    assert photos.group().faces == 4
    (photos.root / "a.png").unlink()
    (photos.root / "broken.png").write_bytes(b"no picture any more")
    (photos.root / "away").rename(photos.root.parent / "elsewhere")
    (photos.root / "away").symlink_to("nowhere")  # as a drive that is not plugged in
    found = photos.group()
    assert [face.path for group in found.groups for face in group.faces] == ["away/c.png", "b.png"]
    assert [path.name for path, _ in found.unreadable] == ["away", "broken.png"]


@pytest.mark.skipif(os.name == "nt", reason="such a file is not sparse there")
def test_a_file_that_no_memory_could_hold_is_left_out(photos: Photos) -> None:
    photos.add("a.png", view(ADA, 0))
    with (photos.root / "huge.jpg").open("wb") as huge:
        huge.truncate((1 << 30) + 1)
    found = photos.group()
    assert found.faces == 1
    assert [(path.name, "MB" in error.why) for path, error in found.unreadable] == [("huge.jpg", True)]


def test_a_run_that_ended_early_goes_on_where_it_was(photos: Photos) -> None:
    for number in range(20):
        photos.add(f"{number:02}.png", view(ADA, number / 10), view(BO, number / 10))

    def end() -> None:
        raise KeyboardInterrupt

    with Shelf(photos.shelf_path, SPACE) as shelf:
        library = PhotoLibrary(photos.root, shelf, ThresholdPolicy(CURVE))
        with pytest.raises(KeyboardInterrupt):
            library.look(walk_folder(photos.root), LocalAnalysis(photos.analyzer, aligned=True), end)
    kept = photos.looked_at
    assert 0 < kept < 20
    found = photos.group()
    assert photos.looked_at == 20
    assert [len(group.faces) for group in found.groups] == [20, 20]


def test_faces_kept_before_their_quality_was_unified_have_that_of_their_capture(photos: Photos) -> None:
    analyzer, unified = FakeAnalyzer(), np.array([80], np.float32)
    faces = analyzer.analyze(analyzer.frame(view(0, 0)).image_bgr)
    with Shelf(photos.shelf_path, SPACE) as shelf:
        shelf.put({"new": ((8, 8), replace(faces, measures=replace(faces.measures, unified=unified)))}, [])
        shelf.put({"old": ((8, 8), faces)}, [])
        with sqlite3.connect(photos.shelf_path) as database:
            database.execute("UPDATE faces SET numbers = substr(numbers, 1, 96) WHERE id = 2")
        assert shelf.faces().measures.overall.tolist() == [80, faces.measures.overall[0]]


def test_what_cannot_be_read_is_left_out_and_named(photos: Photos) -> None:
    photos.add("a1.png", view(ADA, 0))
    photos.add("a2.png", view(ADA, 5))
    (photos.root / "broken.jpg").write_bytes(b"no picture")
    found = photos.group()
    assert paths_of(found) == {1: ["a1.png", "a2.png"]}
    assert [path.name for path, _ in found.unreadable] == ["broken.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_is_kept_is_readable_by_its_owner_only(photos: Photos) -> None:
    photos.add("a1.png", view(ADA, 0))
    photos.group()
    assert photos.shelf_path.stat().st_mode & 0o777 == 0o600


def test_a_library_takes_no_other_folder_and_no_other_space(photos: Photos, tmp_path: Path) -> None:
    photos.add("a1.png", view(ADA, 0))
    photos.group()
    with Shelf(photos.shelf_path, SPACE) as shelf, pytest.raises(ConfigError, match="another folder"):
        shelf.belong_to(tmp_path)
    other = EmbeddingSpace("other", "1" * 64, "rgb-0-1/1", "arcface-112", mirrored=False, dimension=8)
    with pytest.raises(SpaceMismatch, match="other"):
        Shelf(photos.shelf_path, other)


def test_numbers_stay_with_most_of_the_faces() -> None:
    labels = np.array([0, 0, 0, 1, 1, -1, 2, 2])
    before = np.array([5, 5, 7, 5, -1, 5, -1, -1])
    assert stable_numbers(labels, before, 9).tolist() == [5, 5, 5, 9, 9, -1, 10, 10]
    assert stable_numbers(np.array([], int), np.array([], int), 1).tolist() == []


def test_one_call_groups_a_folder_and_keeps_nothing_unless_asked(photos: Photos) -> None:
    photos.add("a1.png", view(ADA, 0))
    photos.add("a2.png", view(ADA, 5))
    assert paths_of(group_photos(photos.root, photos.analyzer)) == {1: ["a1.png", "a2.png"]}
    assert not photos.shelf_path.exists()
    for _ in range(2):
        group_photos(photos.root, photos.analyzer, photos.shelf_path)
    assert photos.looked_at == 4
