import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest
from filelock import FileLock

from facepool.errors import (
    ConfigError,
    FacepoolError,
    InvalidEmbedding,
    PoolCorrupt,
    PoolLocked,
    PoolTooNew,
    SpaceMismatch,
)
from facepool.gallery import NpyGallery, check_gallery, open_pool, transfer
from facepool.search import Search
from facepool.types import Pose, Sample
from support.paths import SEED
from support.pools import MEASURED, opened, samples, space, unit, units


def write_pair(folder: Path, vectors: npt.NDArray[Any], ids: npt.NDArray[Any]) -> Path:
    np.save(folder / "model_faces.npy", vectors)
    np.save(folder / "model_face_ids.npy", ids)
    return folder / "model_faces.npy"


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    return write_pair(tmp_path, units(3), np.array(["Ada", "Bob", "Ada"]))


def test_a_pair_of_the_original_project_is_read_with_one_remark(legacy: Path) -> None:
    with open_pool(legacy, space()) as pool:
        assert {person.name: person.templates for person in pool.people()} == {"Ada": 2, "Bob": 1}
        assert (pool.space, pool.dimension) == (None, 8)
        assert pool.notes == (
            "model_faces.npy has no sidecar: its embedding space is unknown; checked by dimension only.",
        )
        assert Search(pool).nearest(units(3)).candidates[1][0].person == "Bob"
    assert sorted(path.name for path in legacy.parent.iterdir()) == ["model_face_ids.npy", "model_faces.npy"]


def test_the_original_project_can_read_what_we_write(tmp_path: Path) -> None:
    with opened(tmp_path, "model_faces.npy") as pool:
        pool.register("李", samples(1), space())
        pool.register("Ada", samples(2), space())
        pool.register("李", samples(3), space())
    vectors = np.load(tmp_path / "model_faces.npy", allow_pickle=False)
    ids = np.load(tmp_path / "model_face_ids.npy", allow_pickle=False)
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [unit(seed).tolist() for seed in (1, 2, 3)]
    assert ids.tolist() == ["李", "Ada", "李"]


def test_templates_added_to_an_unlabelled_pair_do_not_label_the_others(legacy: Path) -> None:
    with open_pool(legacy, space()) as pool:
        pool.register("Eve", samples(9), space())
    with open_pool(legacy, space()) as again:
        assert again.space is None
        assert "unknown embedding space" in again.notes[0]
        assert [template.model for template in again.templates()] == ["", "", "", "test-net"]
        for name in ("Ada", "Bob", "Eve"):
            again.remove(name)
        again.register("New", samples(5), space())
        assert again.space == space()


def test_an_unlabelled_pair_of_another_dimension_is_refused(legacy: Path) -> None:
    with pytest.raises(SpaceMismatch, match=r"8-d.*test-net \(16-d"):
        open_pool(legacy, space(16))
    with open_pool(legacy) as pool, pytest.raises(SpaceMismatch, match=r"8-d.*test-net \(16-d"):
        check_gallery(pool, space(16))


def test_an_unlabelled_pair_moves_into_a_database_on_the_users_word_only(legacy: Path, tmp_path: Path) -> None:
    with open_pool(legacy) as source, open_pool(tmp_path / "pool.db") as nameless, pytest.raises(SpaceMismatch):
        transfer(source, nameless)
    with open_pool(legacy) as source, open_pool(tmp_path / "pool.db", space()) as target:
        report = transfer(source, target)
        assert (report.added, target.space) == (3, space())
        assert "unknown" in report.notes[0]


@pytest.mark.parametrize(
    ("vectors", "ids", "kind", "message"),
    [
        (units(3), np.array(["Ada"]), PoolCorrupt, "3 vectors and 1 names"),
        (units(2).astype(np.float64), np.array(["A", "B"]), PoolCorrupt, "float64"),
        (unit(1), np.array(["A"]), PoolCorrupt, r"shape \(8,\)"),
        (units(2), np.array([1, 2]), PoolCorrupt, "no names"),
        (units(2), np.array(["A", " "]), PoolCorrupt, "name"),
        (units(2), np.array(["A", "B"], object), PoolCorrupt, "pickled"),
        (np.array([{}, {}], object), np.array(["A", "B"]), PoolCorrupt, "pickled"),
        (np.stack([unit(1), unit(2) * np.nan]), np.array(["A", "B"]), InvalidEmbedding, "row 1.*NaN"),
        (np.stack([unit(1), unit(2) * 3, unit(3) * 3]), np.array(["A", "B", "C"]), InvalidEmbedding, r"row 1 \(and 1"),
    ],
)
def test_files_that_are_no_pool_are_refused(
    tmp_path: Path, vectors: npt.NDArray[Any], ids: npt.NDArray[Any], kind: type[FacepoolError], message: str
) -> None:
    path = write_pair(tmp_path, vectors, ids)
    with pytest.raises(kind, match=message):
        open_pool(path)


@pytest.mark.parametrize("name", ["model_faces.npy", "model_face_ids.npy"])
@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_missing_or_broken_half_is_refused(legacy: Path, name: str, content: bytes | None) -> None:
    victim = legacy.with_name(name)
    whole = victim.read_bytes()
    victim.unlink()
    if content is not None:
        victim.write_bytes(content)
    with pytest.raises(PoolCorrupt, match=name):
        open_pool(legacy)
    victim.write_bytes(whole[:-4])
    with pytest.raises(PoolCorrupt, match=name):
        open_pool(legacy)


INFINITE_SIDECAR = """{"format": "facepool-pair", "version": 1, "space": null, "vectors_sha256": "", "ids_sha256": "",
"next_id": Infinity, "templates": []}"""


def npy_file(header: str) -> bytes:
    """A .npy file of a header as it is written, and 64 bytes of numbers."""
    padded = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + bytes(64)


@pytest.mark.parametrize("name", ["model_faces.npy", "model_face_ids.npy"])
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 512)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 0)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -16)}",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (1000000000000,)}",
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**40},)}}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8), 1: 2}",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (2, 8)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8",
        "{'descr': '",
        "(" * 100,
        "{[1]: 2}",
        "\x00",
    ],
)
def test_a_header_that_lies_or_cannot_be_read_is_told(legacy: Path, name: str, header: str) -> None:
    legacy.with_name(name).write_bytes(npy_file(header))
    with pytest.raises(PoolCorrupt, match=name):
        open_pool(legacy)


def test_letters_that_do_not_exist_are_told(legacy: Path) -> None:
    header = "{'descr': '<U4', 'fortran_order': False, 'shape': (4,)}"
    legacy.with_name("model_face_ids.npy").write_bytes(npy_file(header)[:-4] + b"\xff" * 4)
    with pytest.raises(PoolCorrupt, match=r"model_face_ids\.npy"):
        open_pool(legacy)


@pytest.mark.parametrize("content", ["[" * 100_000, INFINITE_SIDECAR])
def test_a_sidecar_that_cannot_be_parsed_is_told(legacy: Path, content: str) -> None:
    legacy.with_suffix(".json").write_text(content)
    with pytest.raises(PoolCorrupt, match=r"model_faces\.json"):
        open_pool(legacy)


def test_files_changed_behind_the_sidecars_back_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path, "model_faces.npy") as pool:
        pool.register("Ada", samples(1, 2), space())
    write_pair(tmp_path, units(2), np.array(["Ada", "Bob"]))
    with pytest.raises(PoolCorrupt, match="another program"):
        opened(tmp_path, "model_faces.npy")
    (tmp_path / "model_faces.json").unlink()
    with opened(tmp_path, "model_faces.npy") as pool:
        assert len(pool.people()) == 2


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"version": 99}, PoolTooNew),
        ({"format": "something else"}, PoolCorrupt),
        ({"templates": []}, PoolCorrupt),
        ({"templates": [{}]}, PoolCorrupt),
        ({"space": {"model": "x"}}, PoolCorrupt),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, Any], kind: type[FacepoolError]
) -> None:
    with opened(tmp_path, "model_faces.npy") as pool:
        pool.register("Ada", samples(1), space())
    path = tmp_path / "model_faces.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(kind, match=r"model_faces\.json"):
        opened(tmp_path, "model_faces.npy")


@pytest.mark.parametrize("content", ["[1, 2]", "{", '{"other": 1}'])
def test_a_file_of_another_program_in_the_sidecars_place_is_not_overwritten(legacy: Path, content: str) -> None:
    legacy.with_suffix(".json").write_text(content)
    with pytest.raises(PoolCorrupt, match="sidecar"):
        open_pool(legacy)
    assert legacy.with_suffix(".json").read_text() == content


def test_a_file_of_another_program_is_not_taken_for_the_sidecar_of_a_new_pool(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"their": "data"}')
    with pytest.raises(PoolCorrupt, match=r"data\.json"):
        open_pool(tmp_path / "data.npy", space())
    assert [path.name for path in tmp_path.iterdir()] == ["data.json"]


def test_a_file_that_appears_in_the_sidecars_place_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with open_pool(tmp_path / "data.npy", space()) as pool:
        (tmp_path / "data.json").write_text('{"their": "data"}')
        with pytest.raises(PoolCorrupt, match=r"data\.json"):
            pool.register("Ada", samples(1), space())
    assert (tmp_path / "data.json").read_text() == '{"their": "data"}'


@pytest.mark.parametrize("ids", ["faces.npy", "faces.json", "link.npy", "../{folder}/faces.npy"])
def test_two_files_of_a_pool_in_one_place_are_refused(tmp_path: Path, ids: str) -> None:
    if os.name != "nt":
        (tmp_path / "link.npy").symlink_to(tmp_path / "faces.npy")
    with pytest.raises(ConfigError, match=r"faces\."):
        open_pool(tmp_path / "faces.npy", space(), ids_path=tmp_path / ids.format(folder=tmp_path.name))


def test_a_lock_held_by_another_process_is_told(tmp_path: Path) -> None:
    with opened(tmp_path, "model_faces.npy", timeout_s=0.05) as pool:
        pool.register("Ada", samples(1), space())
        with FileLock(tmp_path / "model_faces.npy.lock"), pytest.raises(PoolLocked):
            pool.register("Bob", samples(2), space())
        assert pool.register("Bob", samples(2), space()) == 1


@pytest.mark.parametrize("moved", range(3))
def test_an_interrupted_commit_is_finished_by_the_next_reader(
    tmp_path: Path, moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = opened(tmp_path, "model_faces.npy")
    pool.register("Ada", samples(1), space())
    moves = 0
    really_move = Path.replace

    def dies(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves > moved + 1:  # the first move makes the commit record
            raise SystemExit
        return really_move(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        with pytest.raises(SystemExit):
            pool.register("Bob", samples(2), space())
    with opened(tmp_path, "model_faces.npy") as again:
        assert [person.name for person in again.people()] == ["Ada", "Bob"]
        assert [person.name for person in pool.people()] == ["Ada", "Bob"]
    pool.close()
    assert not [path for path in tmp_path.iterdir() if path.suffix in {".new", ".commit"}]


def test_an_uncommitted_write_is_thrown_away_by_the_next_writer(tmp_path: Path) -> None:
    with opened(tmp_path, "model_faces.npy") as pool:
        pool.register("Ada", samples(1), space())
        for name in ("model_faces.npy", "model_face_ids.npy", "model_faces.npy.commit"):
            (tmp_path / f"{name}.new").write_bytes(b"half")
        assert len(pool.people()) == 1
        pool.register("Bob", samples(2), space())
    assert not list(tmp_path.glob("*.new"))


def test_an_interrupted_commit_of_other_files_is_not_applied(legacy: Path) -> None:
    legacy.with_name("model_faces.npy.commit").write_text(json.dumps(["model_faces.npy", "others.npy"]))
    with pytest.raises(PoolCorrupt, match=r"others\.npy"):
        open_pool(legacy)


def test_files_keep_the_permissions_that_the_user_gave_them(legacy: Path) -> None:
    legacy.chmod(0o644)
    with open_pool(legacy, space()) as pool:
        pool.register("Eve", samples(9), space())
    assert legacy.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_to_the_pool_stays_a_link(legacy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    for path in (legacy, legacy.with_name("model_face_ids.npy")):
        (folder / path.name).symlink_to(path)
    with open_pool(folder / "model_faces.npy", space()) as pool:
        pool.register("Eve", samples(9), space())
    assert (folder / "model_faces.npy").is_symlink()
    with open_pool(legacy) as original:
        assert len(original.people()) == 3


def test_the_names_file_is_found_or_given(tmp_path: Path) -> None:
    np.save(tmp_path / "crew.npy", units(1))
    np.save(tmp_path / "crew_ids.npy", np.array(["Ada"]))
    np.save(tmp_path / "who.npy", np.array(["Bob"]))
    with open_pool(str(tmp_path / "crew.npy")) as pool:
        assert [person.name for person in pool.people()] == ["Ada"]
    with NpyGallery(tmp_path / "crew.npy", tmp_path / "who.npy") as pool:
        assert [person.name for person in pool.people()] == ["Bob"]


def test_a_file_of_another_ending_is_no_pool(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.txt"):
        open_pool(tmp_path / "pool.txt")


@pytest.mark.shared
def test_the_sample_pool_of_the_original_project_loads() -> None:
    with open_pool(SEED / "model_faces.npy", must_exist=True) as pool:
        assert {person.name: person.templates for person in pool.people()} == {"Tin": 6, "Tri": 3}
        assert pool.dimension == 512


def test_a_sidecar_of_the_first_version_is_read(tmp_path: Path) -> None:
    with opened(tmp_path, "model_faces.npy") as pool:
        pool.register("Ada", samples(1), space())
        path = tmp_path / "model_faces.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["look_alikes"], content["templates"][0]["appearance"], content["templates"][0]["partial"]
    path.write_text(json.dumps(content | {"version": 1}), encoding="utf-8")
    with opened(tmp_path, "model_faces.npy") as again:
        (template,) = again.templates()
        assert (template.sample.appearance, template.sample.partial) == ("", False)
        assert again.look_alikes() == frozenset()


def test_a_sidecar_of_the_second_version_is_read(tmp_path: Path) -> None:
    with opened(tmp_path, "model_faces.npy") as pool:
        pool.register("Ada", samples(1), space())
        path = tmp_path / "model_faces.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["calibration"]
    path.write_text(json.dumps(content | {"version": 2}), encoding="utf-8")
    with opened(tmp_path, "model_faces.npy") as again:
        assert again.calibration() is None
        again.set_calibration(MEASURED)
        assert again.calibration() == MEASURED


def test_a_pair_of_unknown_space_is_calibrated_as_such(tmp_path: Path) -> None:
    with opened(tmp_path, "model_faces.npy") as pool:
        pool.register("Ada", samples(1), space())
        (tmp_path / "model_faces.json").unlink()
        pool.set_calibration(replace(MEASURED, space_id=""))
        assert pool.space is None
        assert pool.calibration() == replace(MEASURED, space_id="")
        pool.set_calibration(MEASURED)  # of a space that the pair does not claim
        assert pool.calibration() is None


def test_ids_of_a_pair_that_has_none_follow_from_its_names_and_rows(legacy: Path) -> None:
    with open_pool(legacy) as pool:
        ids = [person.id for person in pool.people()], [template.uuid for template in pool.templates()]
    assert {UUID(uuid).version for uuid in (*ids[0], *ids[1])} == {5}
    assert len({*ids[0], *ids[1]}) == 5
    with open_pool(legacy, space()) as pool:
        assert [person.id for person in pool.people()] == ids[0]
        pool.rename("Ada", "Zoe")
    with open_pool(legacy) as again:
        assert {person.name: person.id for person in again.people()} == {"Zoe": ids[0][0], "Bob": ids[0][1]}
        assert [template.uuid for template in again.templates()] == ids[1]


def test_a_sidecar_of_the_fifth_version_keeps_what_was_straight_ahead(tmp_path: Path) -> None:
    with opened(tmp_path, "model_faces.npy") as pool:
        pool.register("Ada", [*samples(1), Sample(unit(2), appearance="hat")], space())
        path = tmp_path / "model_faces.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for row in content["templates"]:
        del row["frontal_pose"]
    older = {"version": 5, "frontal_poses": [["Ada", "hat", [1.0, 2.0, 3.0]]]}
    path.write_text(json.dumps(content | older), encoding="utf-8")
    with opened(tmp_path, "model_faces.npy") as again:
        assert [one.sample.frontal_pose for one in again.templates()] == [None, Pose(1.0, 2.0, 3.0)]


def test_a_sidecar_of_the_fourth_version_is_read(tmp_path: Path) -> None:
    with opened(tmp_path, "model_faces.npy") as pool:
        pool.register("Ada", [replace(*samples(1), frontal_pose=Pose(1.0, 2.0, 3.0))], space())
        pool.create("Bob")
        path = tmp_path / "model_faces.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["version"] == 7
    del content["person_ids"], content["templates"][0]["uuid"], content["templates"][0]["frontal_pose"]
    path.write_text(json.dumps(content | {"version": 4}), encoding="utf-8")
    with opened(tmp_path, "model_faces.npy") as again:
        assert [(person.name, person.templates) for person in again.people()] == [("Ada", 1), ("Bob", 0)]
        assert again.templates()[0].sample.frontal_pose is None
        again.create("Eve")
    with opened(tmp_path, "model_faces.npy") as again:
        assert [person.name for person in again.people()] == ["Ada", "Bob", "Eve"]
