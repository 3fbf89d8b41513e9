"""Pairs files, folders of people and annotated boxes become pictures and questions, or a clear error."""

from pathlib import Path

import numpy as np
import pytest

from facepool.capture import walk_folder
from facepool.errors import FacepoolError, PathMissing, ProtocolInvalid, SourceEmpty
from facepool.evaluation.protocols import read_ground_truth, read_pairs, read_people, split


def pictures(root: Path, *names: str) -> Path:
    """Files that are there; nobody opens them here."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listed(folder: Path, *lines: str) -> Path:
    file = folder / "list.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    return pictures(
        tmp_path / "lfw",
        *("Ada/Ada_0001.jpg", "Ada/Ada_0002.jpg", "Ada/Ada_0010.jpg"),
        *("Bob_B/Bob_B_0001.png", "Bob_B/Bob_B_0002.png"),
    )


LFW_LINES = ("2\t1", "Ada\t1\t2", "Ada\t1\tBob_B\t2", "Bob_B\t1\t2", "Bob_B\t1\tAda\t10")


def test_lfw_pairs_have_folds_people_and_the_suffix_that_is_there(lfw: Path, tmp_path: Path) -> None:
    pairs = read_pairs(listed(tmp_path, *LFW_LINES), lfw)
    shown = [(pairs.paths[a].name, pairs.paths[b].name) for a, b in zip(pairs.first, pairs.second, strict=True)]
    assert shown == [
        ("Ada_0001.jpg", "Ada_0002.jpg"),
        ("Ada_0001.jpg", "Bob_B_0002.png"),
        ("Bob_B_0001.png", "Bob_B_0002.png"),
        ("Bob_B_0001.png", "Ada_0010.jpg"),
    ]
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.fold_of is not None
    assert pairs.fold_of.tolist() == [0, 0, 1, 1]
    assert dict(zip([path.name for path in pairs.paths], pairs.people, strict=True))["Bob_B_0002.png"] == "Bob_B"


def test_lfw_pairs_without_folds(lfw: Path, tmp_path: Path) -> None:
    pairs = read_pairs(listed(tmp_path, "2", *LFW_LINES[1:]), lfw)
    assert pairs.fold_of is None
    assert len(pairs.same) == 4


@pytest.mark.parametrize("separator", ["\t", ",", " "])
def test_lines_of_ones_own(lfw: Path, tmp_path: Path, separator: str) -> None:
    lines = (
        "# mine",
        separator.join(["Ada/Ada_0001.jpg", "Ada/Ada_0002.jpg", "1"]),
        "",
        separator.join(["Ada/Ada_0001.jpg", "Bob_B/Bob_B_0001.png", "0"]),
    )
    pairs = read_pairs(listed(tmp_path, *lines), lfw)
    assert pairs.same.tolist() == [True, False]
    assert sorted(set(pairs.people)) == ["Ada", "Bob_B"]
    assert pairs.fold_of is None


def test_a_fourth_column_is_the_fold(lfw: Path, tmp_path: Path) -> None:
    lines = ("Ada/Ada_0001.jpg Ada/Ada_0002.jpg 1 7", "Ada/Ada_0001.jpg Bob_B/Bob_B_0001.png 0 9")
    pairs = read_pairs(listed(tmp_path, *lines), lfw)
    assert pairs.fold_of is not None
    assert pairs.fold_of.tolist() == [0, 1]


def test_people_are_what_genuine_pairs_connect_where_folders_say_nothing(tmp_path: Path) -> None:
    root = pictures(tmp_path / "flat", *"abcde")
    lines = ("a b 1", "b c 1", "a d 0", "d e 0")
    pairs = read_pairs(listed(tmp_path, *lines), root)
    person = dict(zip([path.name for path in pairs.paths], pairs.people, strict=True))
    assert person["a"] == person["b"] == person["c"]
    assert len({person["a"], person["d"], person["e"]}) == 3


def test_people_of_equally_named_folders_stay_apart(tmp_path: Path) -> None:
    root = pictures(tmp_path / "sites", "x/Ada/1", "x/Ada/2", "y/Ada/1", "y/Ada/2")
    pairs = read_pairs(listed(tmp_path, "x/Ada/1 x/Ada/2 1", "x/Ada/1 y/Ada/1 0", "y/Ada/1 y/Ada/2 1"), root)
    assert len(set(pairs.people)) == 2


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ((), "it is empty"),
        (("# nothing",), "it is empty"),
        (LFW_LINES[:-1], "2 x 1 x 2 pairs are promised, 3 are there"),
        ((*LFW_LINES[:-1], "Bob_B\tone\ttwo"), "Line 5"),
        (("a.jpg b.jpg 1", "a.jpg b.jpg yes"), "Line 2"),
        (("a.jpg b.jpg 1 2", "a.jpg b.jpg 1"), "Line 2"),
        (("a.jpg b.jpg 1 x",), "FOLD"),
        (("just some text",), "Line 1"),
        (("text",), "LFW's pairs.txt"),
    ],
)
def test_a_file_that_is_no_list_of_pairs_says_where(
    lfw: Path, tmp_path: Path, lines: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ProtocolInvalid) as raised:
        read_pairs(listed(tmp_path, *lines), lfw)
    assert says in str(raised.value)


@pytest.mark.parametrize(("verdict", "kind"), [("1", "one person"), ("0", "two people")])
def test_a_list_of_one_kind_is_refused_before_any_picture_is_looked_at(
    lfw: Path, tmp_path: Path, verdict: str, kind: str
) -> None:
    with pytest.raises(ProtocolInvalid, match=f"only pairs of {kind}"):
        read_pairs(listed(tmp_path, f"Ada/Ada_0001.jpg Ada/Ada_0002.jpg {verdict}"), lfw)


def test_a_picture_elsewhere_is_named_in_full(lfw: Path, tmp_path: Path) -> None:
    with pytest.raises(PathMissing, match=f"{tmp_path}/gone.jpg"):
        read_pairs(listed(tmp_path, f"{tmp_path}/gone.jpg Ada/Ada_0002.jpg 1"), lfw)


def test_a_picture_is_no_list_of_pairs(lfw: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(ProtocolInvalid, match="no text"):
        read_pairs(tmp_path / "list.txt", lfw)


def test_what_does_not_exist_is_named(lfw: Path, tmp_path: Path) -> None:
    with pytest.raises(PathMissing, match="no pairs file"):
        read_pairs(tmp_path / "nothing.txt", lfw)
    with pytest.raises(PathMissing, match="--root"):
        read_pairs(listed(tmp_path, *LFW_LINES), tmp_path / "nowhere")
    with pytest.raises(PathMissing, match=r"None of the pictures is there.*Ada/Ada_0001.jpg"):
        read_pairs(listed(tmp_path, *LFW_LINES), tmp_path)


def test_pairs_without_pictures_are_refused_or_left_out_and_counted(lfw: Path, tmp_path: Path) -> None:
    (lfw / "Ada/Ada_0010.jpg").unlink()
    file = listed(tmp_path, *LFW_LINES)
    with pytest.raises(PathMissing, match=r"1 of 5 pictures .*Ada_0010.jpg.*--allow-missing"):
        read_pairs(file, lfw)
    pairs = read_pairs(file, lfw, allow_missing=True)
    assert pairs.left_out == 1
    assert len(pairs.same) == 3
    assert len(pairs.paths) == 4


def test_a_folder_of_people_nested_and_loose(tmp_path: Path) -> None:
    root = pictures(tmp_path / "people", "Ada/1.jpg", "Ada/2021/2.jpg", "Bob.png", "Ada/.hidden.jpg", "Ada/notes.txt")
    assert [(path.name, name) for path, name in zip(*read_people(walk_folder(root)), strict=True)] == [
        ("1.jpg", "Ada"),
        ("2.jpg", "Ada"),
        ("Bob.png", "Bob"),
    ]


@pytest.mark.parametrize(
    ("names", "kind", "says"),
    [
        ((), SourceEmpty, "holds no picture"),
        (("Ada/1.jpg", "Ada/2.jpg"), ProtocolInvalid, "shows one person"),
        (("1.jpg", "2.jpg"), ProtocolInvalid, "Nobody .* has two pictures"),
    ],
)
def test_a_folder_that_compares_nothing(
    tmp_path: Path, names: tuple[str, ...], kind: type[FacepoolError], says: str
) -> None:
    root = tmp_path / "people"
    root.mkdir()
    with pytest.raises(kind, match=says):
        read_people(walk_folder(pictures(root, *names)))


@pytest.fixture
def town(tmp_path: Path) -> Path:
    names = [
        f"{name}/{number}.jpg" for name, count in (("A", 4), ("B", 3), ("C", 2), ("D", 1)) for number in range(count)
    ]
    return pictures(tmp_path / "town", *names)


def test_those_with_enough_pictures_are_registered_the_rest_are_strangers(town: Path) -> None:
    parted = split(walk_folder(town), templates=2)

    def shown(rows: object) -> list[str]:
        return [f"{parted.people[row]}{parted.paths[row].stem}" for row in np.asarray(rows)]

    assert shown(parted.templates) == ["A0", "A1", "B0", "B1"]
    assert shown(parted.mated) == ["A2", "A3", "B2"]
    assert shown(parted.strangers) == ["C0", "C1", "D0"]


def test_the_draw_of_people_depends_on_the_seed_alone(town: Path) -> None:
    folder = walk_folder(town)
    splits = [split(folder, people=1, seed=seed) for seed in range(20)]
    assert {one.people[one.templates[0]] for one in splits} == {"A", "B", "C"}
    parted = split(folder, people=1, seed=3)
    assert len(parted.templates) == 1
    assert len(parted.templates) + len(parted.mated) + len(parted.strangers) == 10


def test_a_split_that_leaves_nobody(town: Path) -> None:
    with pytest.raises(ProtocolInvalid, match=r"0 people .* can be registered"):
        split(walk_folder(town), templates=4)
    with pytest.raises(ProtocolInvalid, match=r"3 people .* can be registered, 4 are needed"):
        split(walk_folder(town), people=4)
    (town / "D/0.jpg").unlink()
    with pytest.raises(ProtocolInvalid, match=r"left as a stranger.*--people"):
        split(walk_folder(town))


WIDER = (
    "0--Parade/a.jpg",
    "2",
    "10 20 30 40 0 0 0 0 0 0 ",
    "1 2 3 4 0 0 0 1 0 0 ",
    "1--Other/none.jpg",
    "0",
    "0 0 0 0 0 0 0 0 0 0 ",
    "0--Parade/b.jpg",
    "1",
    "5 5 0 9",
    "0--Parade/gone.jpg",
    "1",
    "1 1 9 9",
)


@pytest.mark.parametrize("below", [".", "images", "WIDER_val/images"])
def test_wider_ground_truth(tmp_path: Path, below: str) -> None:
    root = tmp_path / "wider"
    pictures(root / below, "0--Parade/a.jpg", "1--Other/none.jpg", "0--Parade/b.jpg")
    truth = read_ground_truth(listed(tmp_path, *WIDER), root)
    assert truth.missing == 1
    assert [picture.path.name for picture in truth.pictures] == ["a.jpg", "none.jpg", "b.jpg"]
    assert truth.pictures[0].boxes.tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
    assert truth.pictures[0].ignored.tolist() == [False, True]
    assert truth.pictures[1].boxes.shape == (0, 4)
    assert truth.pictures[2].ignored.tolist() == [True]  # a box without width


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ((), "it is empty"),
        (("a.jpg",), "it ends where the number of faces"),
        (("a.jpg", "b.jpg"), "'b.jpg' is not the number of faces in a.jpg"),
        (("a.jpg", "2", "1 2 3 4"), "2 faces are promised, 1 lines follow"),
        (("a.jpg", "1", "1 2 3"), "a box has at least x y w h"),
        (("a.jpg", "1", "1 2 3 nan"), "a box has at least x y w h"),
        (("a.jpg", "1", "b.jpg"), "'b.jpg' is not a box"),
    ],
)
def test_a_file_that_is_no_ground_truth_says_where(tmp_path: Path, lines: tuple[str, ...], says: str) -> None:
    pictures(tmp_path, "a.jpg")
    with pytest.raises(ProtocolInvalid) as raised:
        read_ground_truth(listed(tmp_path, *lines), tmp_path)
    assert says in str(raised.value)


def test_ground_truth_without_its_pictures(tmp_path: Path) -> None:
    with pytest.raises(PathMissing, match=r"None of the 4 pictures.*0--Parade/a.jpg.*--root"):
        read_ground_truth(listed(tmp_path, *WIDER), tmp_path)
