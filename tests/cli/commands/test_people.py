"""``facepool people``: list, show, rename, merge, remove, export, import."""

from pathlib import Path

import numpy as np
import pytest

from facepool import open_pool
from support.commands import Commands
from support.paths import SEED


@pytest.fixture
def pool(facepool: Commands, crowd: Commands) -> Commands:
    """Commands with a pool of one's own that holds a view each of Ada and Bob."""
    facepool.take_pool_of(crowd)
    return facepool


def test_everybody_is_listed_with_the_number_of_views(crowd: Commands) -> None:
    outcome = crowd("people", "list", "--json")
    assert [tuple(record) for record in outcome.records] == [("person", "person_id", "templates", "created_at")] * 2
    assert [(record["person"], record["templates"]) for record in outcome.records] == [("Ada", 1), ("Bob", 1)]
    table = crowd("people", "list")
    assert "Ada" in table.out
    assert "2 people in" in table.err
    assert "sface (128-d" in table.err


def test_a_person_is_shown_with_where_the_views_came_from(crowd: Commands) -> None:
    (record,) = crowd("people", "show", "Ada", "--json").records
    assert record["person"] == "Ada"
    assert Path(str(record["source"])).name == "Ada.jpg"
    assert record["model"] == "sface"
    assert float(str(record["quality"])) > 0
    assert record["pose"]
    assert record["created_at"]
    assert "Ada.jpg" in crowd("people", "show", "Ada").out


def test_an_unknown_person_brings_up_the_right_one(crowd: Commands) -> None:
    outcome = crowd("people", "show", "Adda")
    assert outcome.code == 4
    assert "[person_unknown] The pool has nobody called 'Adda'. Perhaps 'Ada' is meant." in outcome.error


def test_people_are_renamed_merged_and_removed(pool: Commands) -> None:
    taken = pool("people", "rename", "Ada", "Bob")
    assert taken.code == 4
    assert "people merge" in taken.error
    assert pool("people", "rename", "Ada", "Adá").code == 0
    assert pool.people() == {"Adá": 1, "Bob": 1}
    merged = pool("people", "merge", "Bob", "Adá")
    assert merged.out == "1 view of Bob moved to Adá\n"
    assert pool.people() == {"Adá": 2}
    assert pool("people", "remove", "Adá").code == 130  # asked, and nobody answered
    assert pool.people() == {"Adá": 2}
    assert pool("people", "remove", "Adá", "--yes").out == "Adá erased, with 2 views\n"
    assert pool.people() == {}


def test_export_to_npy_and_import_back_keep_everything(pool: Commands, photos: Path, tmp_path: Path) -> None:
    exported = pool("people", "export", "model_faces.npy")
    assert exported.out == "2 views of 2 people copied to model_faces.npy\n"
    assert np.load(tmp_path / "model_faces.npy").dtype == np.float32
    assert np.load(tmp_path / "model_face_ids.npy").tolist() == ["Ada", "Bob"]
    assert pool("people", "import", "model_faces.npy", "-p", "back.db").code == 0
    with open_pool(pool.pool) as before, open_pool(tmp_path / "back.db") as after:
        assert after.space == before.space
        for old, new in zip(before.templates(), after.templates(), strict=True):
            assert np.array_equal(old.sample.embedding, new.sample.embedding)
            assert (old.person, old.created_at, old.model) == (new.person, new.created_at, new.model)
            assert (old.sample.source, old.sample.pose) == (new.sample.source, new.sample.pose)
    again = pool("people", "import", "model_faces.npy")
    assert again.out.startswith("0 views of 0 people copied")
    assert "2 views already there" in again.err
    named = pool("recognize", photos / "person_a_2.jpg", "-p", "model_faces.npy", "--json")
    assert named.records[0]["person"] == "Ada"


@pytest.mark.shared
def test_the_original_sample_pool_loads_and_is_flagged_in_one_line(facepool: Commands, photos: Path) -> None:
    outcome = facepool("people", "list", "-p", SEED / "model_faces.npy", "--json")
    assert outcome.code == 0
    assert [(record["person"], record["templates"]) for record in outcome.records] == [("Tin", 6), ("Tri", 3)]
    assert outcome.err.count("no sidecar") == 1
    refused = facepool("recognize", photos / "person_a_1.jpg", "-p", SEED / "model_faces.npy")
    assert refused.code == 4
    assert "[space_mismatch]" in refused.error
    assert "512 and 128 numbers cannot be compared" in refused.error
