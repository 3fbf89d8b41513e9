"""``facepool people``: list, show, rename, merge, remove, export, import."""

import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from facepool import open_pool
from facepool.faces.analyze import face_jpeg
from facepool.gallery import GallerySize
from facepool.models.catalog import CATALOG, space_of
from facepool.types import Sample
from support import postgres
from support.commands import Commands
from support.paths import SEED


@pytest.fixture
def pool(facepool: Commands, crowd: Commands) -> Commands:
    """Commands with a pool of one's own that holds a view each of Ada and Bob."""
    facepool.take_pool_of(crowd)
    return facepool


def test_everybody_is_listed_with_the_number_of_views(crowd: Commands) -> None:
    outcome = crowd("people", "list", "--json")
    fields = ("person", "person_id", "templates", "created_at", "notes", "tags", "external_id")
    assert [tuple(record) for record in outcome.records] == [fields] * 2
    assert [(record["person"], record["templates"]) for record in outcome.records] == [("Ada", 1), ("Bob", 1)]
    table = crowd("people", "list")
    assert "Ada" in table.out
    assert "2 people in" in table.err
    assert "sface (128-d" in table.err


def test_people_are_listed_by_how_their_names_begin_and_from_somebody_on(pool: Commands) -> None:
    with open_pool(pool.pool) as gallery:
        gallery.add((), None, (), ["adam", "Zoe", *(f"Nobody {number:03}" for number in range(250))])
    begun = pool("people", "list", "AD")
    assert [line.split()[0] for line in begun.out.splitlines()] == ["person", "Ada", "adam"]
    assert "2 people whose names begin with 'AD' in" in begun.err
    first = pool("people", "list", "--limit", "3", "--json")
    assert [record["person"] for record in first.records] == ["Ada", "adam", "Bob"]
    assert "3 of 254 people in" in first.err
    rest = pool("people", "list", "--after", "Bob")
    lines = rest.out.splitlines()
    assert (len(lines), lines[1].split()[1], lines[-1].split()[0]) == (252, "000", "Zoe")
    assert {line.rindex("0") for line in lines[1:]} == {lines[0].index("views") + len("views") - 1}
    assert len(pool("people", "list", "--json").records) == 254


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
    assert "verified: 2 people, 2 views of" in exported.err
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


def vectors_of(folder: Path, count: int) -> tuple[Path, Path]:
    """Two files of vectors as the model in use makes them, four a person."""
    vectors = np.random.default_rng(0).normal(size=(count, 128))
    np.save(folder / "v.npy", (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))
    (folder / "n.txt").write_text("".join(f"Person {row // 4}\n" for row in range(count)), encoding="utf-8")
    return folder / "v.npy", folder / "n.txt"


def test_embeddings_that_were_computed_before_are_loaded(pool: Commands, tmp_path: Path) -> None:
    files = vectors_of(tmp_path, 10)
    loaded = pool("people", "load", *files, "--json")
    (record,) = loaded.records
    assert {name: record[name] for name in ("added", "skipped", "created", "people")} == {
        "added": 10,
        "skipped": 0,
        "created": 3,
        "people": 3,
    }
    assert pool.people() == {"Ada": 1, "Bob": 1, "Person 0": 4, "Person 1": 4, "Person 2": 2}
    again = pool("people", "load", *files)
    assert again.out.startswith("0 views loaded into")
    assert "10 views already there" in again.err
    assert "verified: 10 views of 3 people are in" in again.err
    shown = pool("people", "show", "Person 2", "--json").records
    assert [(view["source"], view["frame"], view["model"]) for view in shown] == [
        ("v.npy", 8, "sface"),
        ("v.npy", 9, "sface"),
    ]


def test_a_new_pool_wants_to_know_which_model_made_the_embeddings(facepool: Commands, tmp_path: Path) -> None:
    files = vectors_of(tmp_path, 4)
    refused = facepool("people", "load", *files)
    assert (refused.code, facepool.pool.exists()) == (2, False)
    assert "nothing says which model made them. Name it: --embedder" in refused.error
    wrong = np.load(files[0])[:, :100]
    np.save(files[0], wrong)
    short = facepool("people", "load", *files, "--embedder", "sface")
    assert (short.code, facepool.pool.exists()) == (3, False)
    assert "[vectors_unreadable]" in short.error
    assert "100 numbers, those of the pool 128" in short.error


def test_a_killed_load_and_a_killed_export_go_on(facepool: Commands, tmp_path: Path) -> None:
    files, after_s = vectors_of(tmp_path, 40_000), 1.2
    loading = ("people", "load", *map(str, files), "--embedder", "sface")
    _kill(facepool.start("-m", "facepool", *loading), after_s)
    stored = sum(facepool.people().values()) if facepool.pool.exists() else 0
    (record,) = facepool(*loading, "--json").records
    assert (record["added"], record["skipped"]) == (40_000 - stored, stored)
    _kill(facepool.start("-m", "facepool", "people", "export", "copy.db"), after_s)
    assert facepool("people", "export", "copy.db").code == 0
    with open_pool(facepool.pool) as pool, open_pool(tmp_path / "copy.db") as copy:
        assert copy.size() == pool.size() == GallerySize(10_000, 40_000)


@pytest.mark.postgres
def test_people_move_from_a_database_to_files_and_back(facepool: Commands, tmp_path: Path) -> None:
    address, files = postgres.new_database(), vectors_of(tmp_path, 40)
    assert facepool("people", "load", *files, "--embedder", "sface", "-p", address).code == 0
    exported = facepool("people", "export", "copy.db", "-p", address)
    assert exported.out == "40 views of 10 people copied to copy.db\n"
    assert "verified: 10 people, 40 views of postgresql://" in exported.err
    assert facepool("people", "export", "model_faces.npy", "-p", "copy.db").code == 0
    other = postgres.new_database()
    imported = facepool("people", "import", "model_faces.npy", "-p", other)
    assert imported.out.startswith("40 views of 10 people copied to postgresql://")
    assert facepool("people", "import", address, "-p", other).out.startswith("0 views of 0 people")
    listed = facepool("people", "list", "person 1", "-p", other, "--json").records
    assert [(record["person"], record["templates"]) for record in listed] == [("Person 1", 4)]


def _kill(process: "subprocess.Popen[str]", after_s: float) -> None:
    with suppress(subprocess.TimeoutExpired):  # a fast machine is done by then
        process.wait(after_s)
    process.kill()
    process.communicate()


def test_what_is_known_of_a_person_is_said_shown_and_found(crowd: Commands) -> None:
    name = str(crowd("people", "list", "--json").records[0]["person"])
    said = crowd("people", "edit", name, "--tag", "Family", "--tag", "guest", "--notes", "Has the key", "--json")
    assert said.records[0]["tags"] == ["Family", "guest"]
    crowd("people", "edit", name, "--untag", "guest", "--external-id", "A-1815")
    shown = crowd("people", "show", name)
    assert "external id: A-1815" in shown.err
    assert "tags: Family" in shown.err
    found = crowd("people", "list", "--tag", "family", "--json").records
    assert [(one["person"], one["notes"], one["external_id"]) for one in found] == [(name, "Has the key", "A-1815")]
    assert crowd("people", "list", "--external-id", "nobody", "--json").records == []
    refused = crowd("people", "edit", name)
    assert (refused.code, "--notes" in refused.error) == (2, True)


def test_a_pool_goes_over_to_another_model_by_its_pictures_and_loses_nobody_unasked(pool: Commands) -> None:
    grey = face_jpeg(np.full((112, 112, 3), 128, np.uint8))
    with open_pool(pool.pool) as gallery:
        space = gallery.space
        assert space is not None
        gallery.register("Cy", [Sample(np.eye(1, 128, dtype=np.float32)[0], picture=grey)], space)
    refused = pool("people", "reembed", "--embedder", "sface-single")
    assert refused.code == 2
    assert "people without a view, until they are registered again: Ada, Bob" in refused.err
    assert "facepool people reembed --drop" in refused.err
    (record,) = pool("people", "reembed", "--embedder", "sface-single", "--drop", "--json").records
    assert (record["views"], record["dropped_views"], record["without_views"]) == (1, 2, ["Ada", "Bob"])
    with open_pool(pool.pool) as gallery:
        assert gallery.space == space_of(CATALOG["sface-single"])
    again = pool("people", "reembed", "--pack", "open-fast")
    assert (again.code, "is of sface-single" in again.err) == (2, True)


def test_a_registration_records_consent(facepool: Commands, photos: Path) -> None:
    assert facepool("register", "Ada", photos / "person_a_1.jpg", "--consent", "I agree").code == 0
    with open_pool(facepool.pool) as gallery:
        assert [consent.text for consent in gallery.consents("Ada")] == ["I agree"]
