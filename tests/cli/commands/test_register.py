"""``facepool register`` from pictures, videos and folder trees, as a user runs it."""

import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from facepool import read_image
from facepool.capture import write_image
from facepool.geometry import turn_image
from facepool.types import Turn
from support.commands import Commands, film, interrupt, nobody, pan, shot
from support.media import server
from support.permissions import like_any_user

NAMES = ("Ada Lovelace", "Зоя", "李小龙", "محمد", "Zoë")


def copy(photo: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(photo.read_bytes())
    return target


def test_views_that_differ_are_stored_and_known_ones_are_not(facepool: Commands, photos: Path) -> None:
    both = (photos / "person_a_1.jpg", photos / "person_a_2.jpg")
    outcome = facepool("register", "Ada", *both)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"Ada: 2 new views stored in {facepool.pool}\n"
    again = facepool("register", "Ada", both[0], "--json")
    assert again.code == 0
    assert again.records == [{"person": "Ada", "stored": 0, "frames": 1, "outcomes": {"known_view": 1}}]
    assert facepool.people() == {"Ada": 2}


def test_photos_on_their_side_or_head_are_registered_and_recognized_upright(
    facepool: Commands, photos: Path, tmp_path: Path
) -> None:
    lying: list[tuple[str, Turn]] = [("person_a_1", 90), ("person_a_2", 180), ("person_b_1", 270)]
    for name, turn in lying:
        folder = tmp_path / "people" / name[:-2]
        folder.mkdir(parents=True, exist_ok=True)
        write_image(folder / f"{name}.png", turn_image(read_image(photos / f"{name}.jpg"), turn))
    outcome = facepool("register", "-s", tmp_path / "people")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("looked at turned clockwise by") == 3
    found = facepool("recognize", tmp_path / "people" / "person_a", photos, "--json")
    named = {Path(str(record["source"])).stem: record["person"] for record in found.records}
    assert named == {
        "person_a_1": "person_a",
        "person_a_2": "person_a",
        "person_b_1": "person_b",
        "person_b_2": "person_b",
        "impostor_1": None,
        "impostor_2": None,
    }


def test_the_register_threshold_decides_how_many_views_differ(facepool: Commands, photos: Path) -> None:
    both = (photos / "person_a_1.jpg", photos / "person_a_2.jpg")
    outcome = facepool("register", "Ada", *both, "--register-threshold", "0.5")
    assert outcome.code == 0, outcome.err
    assert facepool.people() == {"Ada": 1}


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--max-templates", "1"), "1 not stored: enough views are stored"),
        (("--min-face", "100"), "1 not stored: face too small"),
        (("--min-sharpness", "3000"), "2 not stored: face blurred"),
    ],
)
def test_views_are_capped_and_of_a_minimum_size_and_sharpness(
    facepool: Commands, photos: Path, flags: tuple[str, ...], reason: str
) -> None:
    outcome = facepool("register", "Ada", photos / "person_a_1.jpg", photos / "person_a_2.jpg", *flags)
    assert reason in outcome.err
    assert facepool.people() == ({} if "blurred" in reason else {"Ada": 1})
    assert outcome.code == (3 if "blurred" in reason else 0)


def test_a_frame_with_two_faces_is_not_stored(facepool: Commands, photos: Path, tmp_path: Path) -> None:
    pair = np.hstack([shot(photos / "person_a_2.jpg"), shot(photos / "person_b_2.jpg")])
    outcome = facepool("register", "Ada", film(tmp_path / "pair.mp4", [pair] * 3), "--headless")
    assert outcome.code == 3
    assert "more than one face in 3 of 3 frames" in outcome.error
    assert facepool.people() == {}


def test_a_face_that_belongs_to_somebody_else_is_refused_unless_forced(
    facepool: Commands, crowd: Commands, photos: Path
) -> None:
    facepool.take_pool_of(crowd)
    refused = facepool("register", "Eve", photos / "person_a_2.jpg")
    assert refused.code == 4
    assert "[identity_conflict]" in refused.error
    assert "belongs to Ada" in refused.error
    assert "--force" in refused.error
    assert facepool.people() == {"Ada": 1, "Bob": 1}
    assert facepool("register", "Eve", photos / "person_a_2.jpg", "--force").code == 0
    assert facepool.people() == {"Ada": 1, "Bob": 1, "Eve": 1}


def test_a_folder_tree_registers_with_a_report_of_what_was_left_out(
    facepool: Commands, photos: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "people"
    copy(photos / "person_a_1.jpg", tree / "Ada" / "one.jpg")
    copy(photos / "person_a_1.jpg", tree / "Ada" / "same again.jpg")
    copy(photos / "impostor_1.jpg", tree / "Ada" / "stray.jpg")
    copy(photos / "person_b_1.jpg", tree / "Bob.jpg")
    for folder in ("Bob", "Nobody"):
        (tree / folder).mkdir()
    write_image(tree / "Bob" / "wall.png", nobody(1)[0])
    (tree / "Bob" / "torn.jpg").write_bytes(b"no picture")
    outcome = facepool("register", "--source", tree, "--json")
    assert outcome.code == 3  # a picture could not be read
    assert outcome.records[:3] == [
        {"person": "Ada", "stored": 1, "pictures": 3},
        {"person": "Bob", "stored": 1, "pictures": 3},
        {"person": "Nobody", "stored": 0, "pictures": 0},
    ]
    left_out = {(r["person"], Path(str(r["picture"])).name): r["reason"] for r in outcome.records[3:]}
    assert left_out == {
        ("Ada", "same again.jpg"): "known_view",
        ("Ada", "stray.jpg"): "not_the_same_person",
        ("Bob", "wall.png"): "no_face",
        ("Bob", "torn.jpg"): "image_unreadable",
        ("Nobody", ""): "source_empty",
    }
    assert all(record["why"] for record in outcome.records[3:])
    assert facepool.people() == {"Ada": 1, "Bob": 1}


def test_a_tree_of_a_nas_registers_people_and_nobody_else(facepool: Commands, photos: Path, tmp_path: Path) -> None:
    tree = tmp_path / "people"
    for name in ("Ada/1.jpg", "#recycle/Old/1.jpg", "@eaDir/Ada/x.jpg", "$RECYCLE.BIN/S-1/$R.jpg", "Eve/1.jpg"):
        copy(photos / "person_a_1.jpg", tree / name)
    copy(photos / "person_b_1.jpg", tree / "Bob/1.jpg")
    (tree / "Bob/clip.mp4").touch()
    (tree / "Bob/gone.jpg").symlink_to("/nonexistent")
    (tree / "Bob/loop").symlink_to(tree)
    (tree / "Eve").chmod(0)
    outcome = facepool.python("-m", "facepool", "register", "-s", "people", "--json", preexec=like_any_user)
    (tree / "Eve").chmod(0o700)
    assert outcome.code == 3
    stored = {str(record["person"]): record["stored"] for record in outcome.records if "stored" in record}
    assert stored == {"Ada": 1, "Bob": 1, "Eve": 0}
    left_out = {(r["person"], Path(str(r["picture"])).name): r["reason"] for r in outcome.records if "why" in r}
    assert left_out == {("Bob", "gone.jpg"): "path_unreadable", ("Eve", "Eve"): "path_unreadable"}
    assert "3 system folders passed over: #recycle, $RECYCLE.BIN, @eaDir" in outcome.err
    assert "1 file of people left out as no picture by the name: 1 .mp4" in outcome.err
    assert facepool.people() == {"Ada": 1, "Bob": 1}


def test_a_person_is_registered_from_addresses_of_pictures(facepool: Commands, photos: Path) -> None:
    data = (photos / "person_a_1.jpg").read_bytes()

    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + data)

    with server(answer) as place:
        url = f"http://ada:secret@{place}/snap"
        assert facepool("register", "Ada", url, photos / "person_a_2.jpg").code == 0
        assert facepool.people() == {"Ada": 2}
        recognized = facepool("recognize", url, "--headless", "--json")
        assert [(r["person"], r["source"]) for r in recognized.records] == [("Ada", f"http://***@{place}/snap")]
        compared = facepool("verify", url, photos / "person_a_2.jpg", "--json")
        assert (compared.code, compared.records[0]["match"]) == (0, True)
        refused = facepool("register", "Bob", url, "--partial")
    assert "--partial cannot be used with pictures" in refused.error
    assert "secret" not in recognized.err + recognized.out + compared.err + refused.err


def test_names_of_any_script_survive_registering_listing_recognizing(
    facepool: Commands, photos: Path, tmp_path: Path
) -> None:
    sources = ("person_a_1", "person_b_1", "impostor_1", "impostor_2", "person_a_2")
    for name, photo in zip(NAMES, sources, strict=True):
        copy(photos / f"{photo}.jpg", tmp_path / "people" / name / "face.jpg")
    outcome = facepool("register", "-s", "people", "--force")
    assert outcome.code == 0, outcome.err
    assert facepool.people() == dict.fromkeys(NAMES, 1)
    recognized = facepool("recognize", "people", "--json", "-o", "named")
    assert {Path(str(r["source"])).parent.name: r["person"] for r in recognized.records} == {n: n for n in NAMES}


def test_names_reach_a_terminal_that_cannot_show_them(facepool: Commands, photos: Path) -> None:
    assert facepool("register", "李小龙", photos / "person_a_1.jpg", PYTHONIOENCODING="ascii").code == 0
    outcome = facepool("people", "list", "--json", PYTHONIOENCODING="ascii")
    assert outcome.out.isascii()
    assert outcome.records[0]["person"] == "李小龙"


def test_ctrl_c_leaves_the_pool_as_it_was(facepool: Commands, crowd: Commands, photos: Path, tmp_path: Path) -> None:
    facepool.take_pool_of(crowd)
    film(tmp_path / "eve.mp4", pan(photos / "impostor_1.jpg", 15) * 20)
    outcome = interrupt(
        facepool.start("-m", "facepool", "register", "Eve", tmp_path / "eve.mp4", "--headless"), "Looking at"
    )
    assert outcome.code == 130
    assert "Traceback" not in outcome.err
    assert "nothing was stored of Eve" in outcome.err.splitlines()[-1]
    assert facepool.people() == {"Ada": 1, "Bob": 1}


def test_ctrl_c_in_a_folder_tree_keeps_who_is_done(facepool: Commands, photos: Path, tmp_path: Path) -> None:
    copy(photos / "person_a_1.jpg", tmp_path / "people" / "Ada" / "1.jpg")
    for number in range(300):
        copy(photos / "impostor_1.jpg", tmp_path / "people" / "Eve" / f"{number}.jpg")
    process = facepool.start("-m", "facepool", "register", "-s", "people", "--json")
    assert process.stdout is not None
    assert '"Ada"' in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "Interrupted: 1 of 2 people done and stored; run it again for the rest"
    assert facepool.people() == {"Ada": 1}


@pytest.mark.skipif(os.name == "nt", reason="no such signal there")
def test_a_killed_registration_leaves_the_pool_as_it_was(
    facepool: Commands, crowd: Commands, photos: Path, tmp_path: Path
) -> None:
    facepool.take_pool_of(crowd)
    film(tmp_path / "eve.mp4", pan(photos / "impostor_1.jpg", 15) * 20)
    process = facepool.start("-m", "facepool", "register", "Eve", tmp_path / "eve.mp4", "--headless")
    assert process.stderr is not None
    while "Looking at" not in process.stderr.readline():
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert facepool.people() == {"Ada": 1, "Bob": 1}


def test_two_processes_register_at_once(facepool: Commands, photos: Path) -> None:
    running = [
        facepool.start("-m", "facepool", "register", name, photos / photo)
        for name, photo in (("Ada", "person_a_1.jpg"), ("Bob", "person_b_1.jpg"), ("Eve", "impostor_1.jpg"))
    ]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert facepool.people() == {"Ada": 1, "Bob": 1, "Eve": 1}


@pytest.mark.parametrize("target", ["ada.jpg", "folder"])
def test_a_forgotten_name_is_noticed(facepool: Commands, photos: Path, tmp_path: Path, target: str) -> None:
    copy(photos / "person_a_1.jpg", tmp_path / "ada.jpg")
    copy(photos / "person_a_1.jpg", tmp_path / "folder" / "Ada.jpg")
    outcome = facepool("register", target)
    assert outcome.code == 2
    assert f"{target} is taken for a name" in outcome.error
    assert facepool.people() == {}


def test_a_folder_whose_name_no_pool_takes_does_not_stop_the_others(facepool: Commands, photos: Path) -> None:
    for name, photo in (("Ada", "person_a_1.jpg"), ("B\x07d", "impostor_1.jpg"), ("Cleo", "person_b_1.jpg")):
        (facepool.folder / "people" / name).mkdir(parents=True)
        (facepool.folder / "people" / name / photo).write_bytes((photos / photo).read_bytes())
    outcome = facepool("register", "-s", "people")
    assert outcome.code == 3
    assert "control" in outcome.out + outcome.err
    assert "\x07" not in outcome.out + outcome.err
    listed = facepool("people", "list", "--json").records
    assert [entry["person"] for entry in listed] == ["Ada", "Cleo"]
