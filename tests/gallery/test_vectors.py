"""Embeddings that another program computed: every format that they come in, everything that may be wrong with them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from facepool.errors import ConfigError, FacepoolError, PathMissing, TransferIncomplete, VectorsUnreadable
from facepool.gallery import Pool, Stored
from facepool.gallery.sql import SqlGallery
from facepool.gallery.vectors import Checked, Loaded, check_vectors_of, load, open_vectors
from facepool.types import Floats
from support.pools import BACKENDS, DIMENSION, opened, space, units

PEOPLE = ["Ada", "Bob", " Ada ", "李雷"]
VECTORS = units(len(PEOPLE))


@pytest.fixture(params=BACKENDS)
def pool(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pool]:
    (tmp_path / "pool").mkdir()
    with opened(tmp_path / "pool", request.param) as pool:
        yield pool


def checked(vectors: Path, names: Path | None = None, *, normalize: bool = False) -> Checked:
    return check_vectors_of(open_vectors(vectors, names), DIMENSION, normalize=normalize)


def text(vectors: Floats) -> list[str]:
    return [",".join(map(repr, row.tolist())) for row in vectors]


def npy(folder: Path, vectors: Floats = VECTORS) -> Path:
    np.save(folder / "v.npy", vectors)
    return folder / "v.npy"


def names_txt(folder: Path, names: list[str] = PEOPLE, name: str = "n.txt") -> Path:
    (folder / name).write_text("\n".join(names) + "\n", encoding="utf-8")
    return folder / name


def of_npy_and_text(folder: Path) -> tuple[Path, Path | None]:
    return npy(folder), names_txt(folder)


def of_two_npy(folder: Path) -> tuple[Path, Path | None]:
    np.save(folder / "n.npy", np.array(PEOPLE))
    return npy(folder), folder / "n.npy"


def of_npy_and_csv(folder: Path) -> tuple[Path, Path | None]:
    return npy(folder), names_txt(folder, ["row,name", *(f"{row},{name}" for row, name in enumerate(PEOPLE))], "n.csv")


def of_npz(folder: Path) -> tuple[Path, Path | None]:
    np.savez(folder / "both.npz", embeddings=VECTORS.astype(np.float64), names=np.array(PEOPLE))
    return folder / "both.npz", None


def of_csv(folder: Path) -> tuple[Path, Path | None]:
    lines = [f"{name},{row}" for name, row in zip(PEOPLE, text(VECTORS), strict=True)]
    heading = "name," + ",".join(f"v{column}" for column in range(DIMENSION))
    return names_txt(folder, ["\ufeff" + heading, *lines], "v.csv"), None


def of_csv_and_text(folder: Path) -> tuple[Path, Path | None]:
    return names_txt(folder, text(VECTORS), "v.csv"), names_txt(folder)


def of_json_lines(folder: Path) -> tuple[Path, Path | None]:
    lines = [json.dumps({"person": name, "embedding": row}) for name, row in zip(PEOPLE, VECTORS.tolist(), strict=True)]
    return names_txt(folder, [*lines, ""], "v.jsonl"), None


@pytest.mark.parametrize(
    "written", [of_npy_and_text, of_two_npy, of_npy_and_csv, of_npz, of_csv, of_csv_and_text, of_json_lines]
)
def test_vectors_of_every_format_are_loaded_once(
    pool: Pool, tmp_path: Path, written: Callable[[Path], tuple[Path, Path | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, names = written(tmp_path)
    monkeypatch.setattr(type(pool), "rows_at_once", 3)
    told: list[tuple[int, int]] = []
    loaded = load(checked(vectors, names), pool, space(), lambda done, total: told.append((done, total)))
    assert (loaded, told) == (Loaded(4, 0, 3, 3), [(3, 4), (4, 4)])
    assert {person.name: person.templates for person in pool.people()} == {"Ada": 2, "Bob": 1, "李雷": 1}
    for template, vector in zip(pool.templates(), VECTORS, strict=True):
        assert template.sample.embedding.tobytes() == vector.tobytes()
        assert (template.sample.source, template.model) == (vectors.name, "test-net")
    assert [template.sample.frame for template in pool.templates()] == [0, 1, 2, 3]
    assert load(checked(vectors, names), pool, space()) == Loaded(0, 4, 0, 3)


def test_the_same_vectors_are_the_same_in_every_format(pool: Pool, tmp_path: Path) -> None:
    for number, written in enumerate([of_npz, of_csv, of_json_lines, of_two_npy]):
        assert load(checked(*written(tmp_path)), pool, space()).added == (0 if number else 4)


@pytest.mark.parametrize("survive", [0, 1, 2])
def test_loading_goes_on_after_an_interruption(
    pool: Pool, tmp_path: Path, survive: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = checked(*of_npy_and_text(tmp_path))
    monkeypatch.setattr(type(pool), "rows_at_once", 2)
    batches, real = iter(range(survive)), SqlGallery.load

    def interrupted(self: SqlGallery, *args: object) -> Stored:
        if next(batches, None) is None:
            raise KeyboardInterrupt
        return real(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(SqlGallery, "load", interrupted)
        if survive < 2:
            with pytest.raises(KeyboardInterrupt):
                load(file, pool, space())
    done = 0 if survive == 2 else 2 * survive
    assert pool.size().templates == done
    assert load(file, pool, space()) == Loaded(4 - done, done, 3 if not done else 1, 3)


def test_vectors_that_somebody_removes_meanwhile_are_missed(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SqlGallery.load

    def removing(self: SqlGallery, *args: object) -> Stored:
        stored = real(self, *args)  # type: ignore[arg-type]
        self.remove("Bob")
        return stored

    monkeypatch.setattr(SqlGallery, "load", removing)
    with pytest.raises(TransferIncomplete, match="of 4 views only 3"):
        load(checked(*of_npy_and_text(tmp_path)), pool, space())


def test_vectors_of_any_length_are_loaded_only_where_that_is_said(pool: Pool, tmp_path: Path) -> None:
    files = npy(tmp_path, VECTORS * 7), names_txt(tmp_path)
    with pytest.raises(VectorsUnreadable, match=r"Row 0 of v.npy .* norm is 7, not 1.* --normalize"):
        checked(*files)
    load(checked(*files, normalize=True), pool, space())
    for template, vector in zip(pool.templates(), VECTORS, strict=True):
        assert np.allclose(template.sample.embedding, vector, atol=1e-6)


def spoilt(row: int, value: float) -> Floats:
    vectors = VECTORS.copy()
    vectors[row] = value
    return vectors


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    ("vectors", "names", "why"),
    [
        (spoilt(2, np.nan), PEOPLE, "Row 2 of v.npy is not an embedding"),
        (spoilt(3, np.inf), PEOPLE, "Row 3 of v.npy is not an embedding"),
        (spoilt(1, 0), PEOPLE, "Row 1 of v.npy is not an embedding"),
        (units(4, DIMENSION + 1), PEOPLE, "9 numbers, those of the pool 8.*--embedder"),
        (VECTORS, PEOPLE[:3], "4 vectors and 3 names"),
        (VECTORS, ["Ada", "\x07", "Bob", "Eve"], "Row 1 of v.npy has a name that cannot be used"),
        (VECTORS[:0], [], "it has no vectors"),
        (VECTORS[0], ["Ada"], "not one array of numbers"),
        (np.array([["a"]]), ["Ada"], "not one array of numbers"),
        (np.array([[None]], dtype=object), ["Ada"], "cannot be read.*[Oo]bject"),
    ],
)
def test_what_is_wrong_with_an_array_is_told_before_anything_is_stored(
    tmp_path: Path, vectors: Floats, names: list[str], why: str, normalize: bool
) -> None:
    np.save(tmp_path / "v.npy", vectors)
    (tmp_path / "n.txt").write_text("\n".join(names), encoding="utf-8")
    with pytest.raises(FacepoolError, match=why):
        checked(tmp_path / "v.npy", tmp_path / "n.txt", normalize=normalize)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("v.csv", b"Ada,1,0\nBob,1,x\n", "Row 1 of .*could not convert"),
        ("v.csv", b"Ada,1,0\nBob,1\n", "different numbers of numbers"),
        ("v.csv", b"\xff\xfe\x00", "cannot be read"),
        ("v.jsonl", b'{"person": "Ada"}\n', "Row 0 of .*none of embedding, vector"),
        ("v.jsonl", b'{"person": "Ada", "embedding": [1, null]}\n', "Row 0 of .*TypeError"),
        ("v.jsonl", b"[1]\n", "Row 0 of "),
        ("v.jsonl", b"not json\n", "Row 0 of .*JSONDecodeError"),
        ("v.jsonl", b"", "it has no vectors"),
        ("v.npy", b"not an array", "cannot be read"),
        ("v.npz", b"PK\x03\x04 not a zip", "cannot be read"),
        ("v.parquet", b"PAR1", "its ending is '.parquet'"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FacepoolError, match=why):
        checked(tmp_path / name)


def test_files_that_are_not_there_or_lack_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PathMissing):
        open_vectors(tmp_path / "v.npy")
    with pytest.raises(ConfigError, match="nothing says whose"):
        open_vectors(npy(tmp_path))
    with pytest.raises(PathMissing):
        open_vectors(npy(tmp_path), tmp_path / "n.txt")
    short = names_txt(tmp_path, PEOPLE[:2])
    for rows in (of_csv_and_text(tmp_path)[0],):
        (tmp_path / "n.txt").write_text("\n".join(PEOPLE[:2]), encoding="utf-8")
        with pytest.raises(VectorsUnreadable, match="do not belong together"):
            checked(rows, short)
