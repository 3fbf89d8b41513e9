"""``facepool recognize`` on pictures, folders and videos, as a user runs it."""

import json
import socket
import time
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from uuid import UUID

import av
import numpy as np
import pytest

from facepool import open_pool, read_image
from facepool.capture import VideoSource, write_image
from facepool.geometry import turn_image
from support.broker import broker, listening
from support.commands import Commands, film, interrupt, nobody, pan, shot
from support.loopback_camera import camera_before, moving, write_video
from support.media import join, server
from support.ports import free_port
from support.webhook import listener

KEYS = (
    *("source", "frame", "time_s", "bbox", "score", "person", "person_id"),
    *("similarity", "threshold", "margin", "reason"),
)


def test_pictures_of_a_folder_become_one_object_a_face(crowd: Commands, photos: Path) -> None:
    outcome = crowd("recognize", photos, "--json")
    assert outcome.code == 0, outcome.err
    assert all(tuple(record) == KEYS for record in outcome.records)
    named = {Path(str(record["source"])).stem: record["person"] for record in outcome.records}
    assert named == {
        "person_a_1": "Ada",
        "person_a_2": "Ada",
        "person_b_1": "Bob",
        "person_b_2": "Bob",
        "impostor_1": None,
        "impostor_2": None,
    }
    stranger = outcome.records[0]
    assert stranger["reason"] == "below_threshold"
    assert float(str(stranger["similarity"])) < float(str(stranger["threshold"]))
    assert stranger["time_s"] is None


def test_of_a_large_picture_without_a_face_it_is_said_what_finds_smaller_ones(crowd: Commands, tmp_path: Path) -> None:
    write_image(tmp_path / "wide.png", np.full((300, 4000, 3), 90, np.uint8))
    write_image(tmp_path / "small.png", np.full((300, 400, 3), 90, np.uint8))
    outcome = crowd("recognize", tmp_path / "wide.png", tmp_path / "small.png")
    assert outcome.code == 0
    assert outcome.err.count("less than about 100 pixels may be missed") == 1
    assert "--detect-size 2560" in outcome.err


def test_nobody_is_two_faces_of_one_photo(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    ada = shot(photos / "person_a_2.jpg")
    write_image(tmp_path / "mirror.png", np.hstack([ada, shot(photos / "person_b_2.jpg"), ada[:, ::-1]]))
    outcome = crowd("recognize", tmp_path / "mirror.png", "--json")
    assert sorted(str(record["person"]) for record in outcome.records) == ["Ada", "Bob", "None"]
    assert {record["reason"] for record in outcome.records} == {"match", "already_in_view"}


def test_a_picture_without_a_face_gives_one_line_that_says_so(crowd: Commands, tmp_path: Path) -> None:
    write_image(tmp_path / "wall.png", nobody(1)[0])
    outcome = crowd("recognize", tmp_path / "wall.png", "--json")
    assert outcome.code == 0
    (record,) = outcome.records
    assert record == dict.fromkeys(KEYS) | {"source": str(tmp_path / "wall.png"), "frame": 0, "reason": "no_face"}


def test_a_video_says_who_is_in_view_whenever_that_changes(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    both = [np.hstack([shot(photos / "person_a_2.jpg", n), shot(photos / "person_b_2.jpg", n)]) for n in range(4)]
    wide = [np.pad(frame, ((0, 0), (0, 320), (0, 0))) for frame in pan(photos / "person_a_2.jpg", 4)]
    film(tmp_path / "party.mp4", [*wide, *both, *(np.pad(n, ((0, 0), (0, 320), (0, 0))) for n in nobody(15))])
    outcome = crowd("recognize", "-s", tmp_path / "party.mp4", "--headless", "-o", tmp_path / "named.mp4")
    assert outcome.code == 0, outcome.err
    assert [line.split("  ")[1] for line in outcome.out.splitlines()] == ["Ada", "Ada, Bob", "nobody"]
    with VideoSource(tmp_path / "party.mp4") as before, VideoSource(tmp_path / "named.mp4") as after:
        pairs = [(a.image_bgr, b.image_bgr) for a, b in zip(before, after, strict=True)]
    assert len(pairs) == 23
    assert _green(pairs[3][1]) > _green(pairs[3][0]) + 100  # the box
    assert _green(pairs[-1][1]) < 10  # nobody, no box


def test_joined_parts_are_followed_and_recorded_in_full(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    part = write_video(tmp_path / "part.ts", pan(photos / "person_a_2.jpg", 10), fps=10)
    join(tmp_path / "joined.ts", part, part, part)
    outcome = crowd("recognize", tmp_path / "joined.ts", "--headless", "--json", "-o", tmp_path / "named.mp4")
    assert outcome.code == 0, outcome.err
    times = [float(str(record["time_s"])) for record in outcome.records]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(2.9, abs=0.01)
    with av.open(str(tmp_path / "named.mp4")) as container:
        assert (container.duration or 0) / 1e6 == pytest.approx(3.0, abs=0.01)


def test_squeezed_films_are_looked_at_and_recorded_in_the_shape_that_players_show(
    crowd: Commands, photos: Path, tmp_path: Path
) -> None:
    squeezed = [np.ascontiguousarray(picture[:, ::2]) for picture in pan(photos / "person_a_2.jpg", 6)]
    write_video(tmp_path / "half.mkv", squeezed, fps=10, pixel_aspect=Fraction(2, 1))
    outcome = crowd("recognize", tmp_path / "half.mkv", "--headless", "-o", tmp_path / "named.mp4")
    assert outcome.code == 0, outcome.err
    assert [line.split("  ")[1] for line in outcome.out.splitlines()] == ["Ada"]
    with VideoSource(tmp_path / "named.mp4") as recorded:
        assert {frame.image_bgr.shape for frame in recorded} == {(400, 320, 3)}


def test_an_address_longer_than_any_name_has_its_pictures_kept(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    data = film(tmp_path / "a.mp4", pan(photos / "person_a_2.jpg", 4)).read_bytes()
    head = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % len(data)

    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(head + data)

    with server(answer) as address:
        url = f"http://{address}/{'party' * 60}"
        outcome = crowd(
            *("recognize", url, "--headless", "-o", tmp_path / "kept", "--save-crops", tmp_path / "crops"),
            no_proxy="127.0.0.1",
        )
    assert outcome.code == 0, outcome.err
    assert len(list((tmp_path / "kept").iterdir())) == 4
    assert list((tmp_path / "crops").iterdir())


def test_a_camera_on_its_side_is_watched_and_recorded_upright(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    film(tmp_path / "side.mp4", [turn_image(frame, 90) for frame in pan(photos / "person_a_2.jpg", 6)])
    outcome = crowd(
        "recognize", "-s", tmp_path / "side.mp4", "--headless", "--rotate", "auto", "-o", tmp_path / "up.mp4"
    )
    assert outcome.code == 0, outcome.err
    assert [line.split("  ")[1] for line in outcome.out.splitlines()] == ["Ada"]
    assert outcome.err.count("turned clockwise by 270 degrees") == 1
    with VideoSource(tmp_path / "up.mp4") as recorded:
        assert {frame.image_bgr.shape for frame in recorded} == {(400, 320, 3)}


def test_the_faces_of_a_video_come_with_frame_time_and_track(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", [*pan(photos / "person_a_2.jpg", 4), *nobody(2)])
    outcome = crowd("recognize", tmp_path / "a.mp4", "--headless", "--json")
    assert outcome.code == 0, outcome.err
    faces = [record for record in outcome.records if record["event"] is None]
    assert [(face["frame"], face["time_s"], face["track"]) for face in faces] == [
        (0, 0.0, 1),
        (1, 0.1, 1),
        (2, 0.2, 1),
        (3, 0.3, 1),
    ]
    assert [(face["person"], face["reason"]) for face in faces] == [
        *[(None, "undecided")] * 2,
        *[("Ada", "match")] * 2,
    ]
    assert all(set(KEYS) <= set(face) for face in faces)


def test_events_say_who_came_and_went_and_keep_the_face(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", [*pan(photos / "person_a_2.jpg", 5), *nobody(15)])
    outcome = crowd("recognize", tmp_path / "a.mp4", "--headless", "--json", "--save-crops", tmp_path / "crops")
    assert outcome.code == 0, outcome.err
    events = [record for record in outcome.records if record["event"] is not None]
    assert [(event["event"], event["person"], event["frame"]) for event in events] == [
        ("appeared", None, 2),
        ("recognized", "Ada", 2),
        ("lost", "Ada", 15),
    ]
    crops = [Path(str(event["crop"])) for event in events]
    assert sorted(crops) == sorted((tmp_path / "crops").iterdir())
    assert {read_image(crop).shape for crop in crops} == {(112, 112, 3)}
    assert "Ada" not in {part for crop in crops for part in crop.name.split("-")}


def test_a_face_that_is_in_view_at_the_end_is_lost_then(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", pan(photos / "person_a_2.jpg", 4))
    outcome = crowd("recognize", tmp_path / "a.mp4", "--headless", "--json")
    assert (outcome.records[-1]["event"], outcome.records[-1]["person"]) == ("lost", "Ada")


def test_how_soon_a_name_is_said_can_be_set(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", pan(photos / "person_a_2.jpg", 4))
    outcome = crowd("recognize", tmp_path / "a.mp4", "--headless", "--json", "--firm-frames", "1")
    assert [record["person"] for record in outcome.records if record["event"] is None] == ["Ada"] * 4


def test_another_program_is_told_of_events(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", pan(photos / "person_a_2.jpg", 4))
    with listener() as (url, heard):
        outcome = crowd("recognize", tmp_path / "a.mp4", "--headless", "--json", "--webhook", url)
    assert outcome.code == 0, outcome.err
    assert [(event["event"], event["person"]) for event in heard] == [
        ("appeared", None),
        ("recognized", "Ada"),
        ("lost", "Ada"),
    ]
    assert heard == [record for record in outcome.records if record["event"]], "one record, wherever it goes"
    assert len({UUID(str(event["id"])) for event in heard}) == 3
    assert all(datetime.fromisoformat(str(event["at"])).tzinfo for event in heard)
    assert [bool(event["person_id"]) for event in heard] == [False, True, True]


def test_where_events_go_can_be_a_setting(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", pan(photos / "person_a_2.jpg", 4))
    with listener() as (one, first), listener() as (other, second):
        outcome = crowd("recognize", tmp_path / "a.mp4", "--headless", FACEPOOL_WEBHOOK=f"{one} {other}")
    assert (len(first), len(second)) == (3, 3), outcome.err


def test_home_assistant_sees_who_is_before_the_camera(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", pan(photos / "person_a_2.jpg", 25))
    port = free_port()
    with broker(port, tmp_path), listening(port) as heard:
        url = f"mqtt://127.0.0.1:{port}"
        outcome = crowd("recognize", tmp_path / "a.mp4", "--headless", "--mqtt", url, "--home-assistant")
    assert outcome.code == 0, outcome.err
    (state,) = {topic for topic, _ in heard.messages if topic.startswith("facepool/cameras/")}
    assert "Ada" in [json.loads(text)["state"] for text in heard.of(state)]
    assert json.loads(heard.kept[state])["state"] == "nobody"
    names = {json.loads(text)["name"] for topic, text in heard.kept.items() if topic.startswith("homeassistant/")}
    assert names == {"Ada", "Bob", "People", "Unknown person again"}


def test_home_assistant_without_a_broker_is_refused_before_the_work(crowd: Commands, photos: Path) -> None:
    outcome = crowd("recognize", photos / "person_a_2.jpg", "--home-assistant")
    assert outcome.code == 2
    assert "--mqtt" in outcome.error


def test_a_program_that_is_not_there_holds_nothing_up_and_is_told_of(
    crowd: Commands, photos: Path, tmp_path: Path
) -> None:
    film(tmp_path / "a.mp4", pan(photos / "person_a_2.jpg", 4))
    with listener() as (url, _):
        pass
    outcome = crowd("recognize", tmp_path / "a.mp4", "--headless", "--webhook", url)
    assert outcome.code == 0
    assert "Ada" in outcome.out
    assert "0 delivered, 3 dropped" in outcome.err


def test_an_address_that_cannot_be_one_is_refused_before_the_work(crowd: Commands, photos: Path) -> None:
    outcome = crowd("recognize", photos / "person_a_2.jpg", "--webhook", "home")
    assert outcome.code == 2
    assert "webhook" in outcome.error


def test_annotated_pictures_go_to_a_folder(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    names = ("person_a_2.jpg", "impostor_1.jpg")
    outcome = crowd("recognize", *(photos / name for name in names), "-o", tmp_path / "named")
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in (tmp_path / "named").iterdir()) == sorted(names)
    for name in names:
        assert np.any(read_image(tmp_path / "named" / name) != read_image(photos / name))


@pytest.mark.parametrize("output", ["all.png", "all.mp4"])
def test_a_file_that_cannot_hold_everything_is_refused_before_the_work(
    crowd: Commands, photos: Path, tmp_path: Path, output: str
) -> None:
    film(tmp_path / "a.mp4", nobody(2))
    outcome = crowd("recognize", photos / "person_a_2.jpg", tmp_path / "a.mp4", "--headless", "-o", tmp_path / output)
    assert outcome.code == 2
    assert "Name a folder" in outcome.error
    assert not (tmp_path / output).exists()


def test_a_kind_of_file_that_is_not_made_is_no_folder(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    outcome = crowd("recognize", photos / "person_a_2.jpg", "-o", tmp_path / "all.avi")
    assert outcome.code == 2
    assert "end it in .mp4" in outcome.error
    assert not (tmp_path / "all.avi").exists()


@pytest.mark.parametrize(
    ("flags", "threshold", "meaning"),
    [
        ((), 0.325, "about 1.0% of strangers would be named in a pool of 2 templates"),
        (("-t", "0.55"), 0.55, "set by you; about 1 in"),
        (("--target-fpir", "0.0001"), 0.442, "about 1 in 10,000 strangers would be named in a pool of 2 templates"),
    ],
)
def test_the_threshold_is_printed_with_what_it_means(
    crowd: Commands, photos: Path, flags: tuple[str, ...], threshold: float, meaning: str
) -> None:
    outcome = crowd("recognize", photos / "person_a_2.jpg", "--json", *flags)
    assert f"Threshold {threshold:.3f}: {meaning}" in outcome.err
    assert outcome.records[0]["threshold"] == pytest.approx(threshold, abs=6e-4)


def test_a_threshold_out_of_reach_names_nobody(crowd: Commands, photos: Path) -> None:
    outcome = crowd("recognize", photos / "person_a_2.jpg", "-t", "0.99")
    assert "unknown" in outcome.out
    assert "below_threshold" in outcome.out
    assert "Ada" not in outcome.out


def test_a_source_that_fails_does_not_keep_the_next_from_being_looked_at(
    crowd: Commands, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.mp4").touch()
    outcome = crowd("recognize", tmp_path / "empty.mp4", photos / "person_b_2.jpg", "--headless", "--json")
    assert outcome.code == 3
    assert outcome.records[0]["person"] == "Bob"
    assert "video_unreadable" in outcome.err


def test_an_animation_too_short_for_news_still_has_a_last_word(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    import PIL.Image

    stills = [PIL.Image.fromarray(image[:, :, ::-1]) for image in pan(photos / "person_b_2.jpg", 2)]
    stills[0].save(tmp_path / "wave.gif", save_all=True, append_images=stills[1:], duration=100)
    outcome = crowd("recognize", tmp_path / "wave.gif", "--headless")
    assert outcome.code == 0, outcome.err
    assert outcome.out.strip() == "00:00.1  Bob (tentative: seen twice)"
    said = crowd("recognize", tmp_path / "wave.gif", "--headless", "--json").records
    assert [(face["person"], face["reason"]) for face in said if face["event"] is None] == [(None, "undecided")] * 2
    events = [(event["event"], event["person"], event["frames"], event["firm"]) for event in said if event["event"]]
    assert events == [("appeared", None, 2, False), ("recognized", "Bob", 2, False), ("lost", "Bob", 2, False)]


def test_ctrl_c_finishes_the_recording(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    film(tmp_path / "long.mp4", pan(photos / "person_a_2.jpg", 15) * 20)
    process = crowd.start(
        "-m", "facepool", "recognize", tmp_path / "long.mp4", "--headless", "-o", tmp_path / "named.mp4", "--json"
    )
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    outcome = interrupt(process, "Looking at")
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "Interrupted"
    with VideoSource(tmp_path / "named.mp4") as recording:
        assert 2 <= len(list(recording)) < 300


def test_who_was_before_a_camera_that_falls_silent_is_lost_and_appears_again(crowd: Commands, photos: Path) -> None:
    with camera_before(moving(read_image(photos / "person_a_2.jpg"))) as camera:
        process = crowd.start("-m", "facepool", "recognize", "-s", camera.url, "--headless", "--json")
        assert process.stdout is not None
        told: list[dict[str, object]] = []
        try:
            silent_s = None
            while [event["event"] for event in told] != ["appeared", "recognized", "lost", "appeared", "recognized"]:
                record = json.loads(process.stdout.readline())
                if record["event"] is None:
                    continue
                told.append(record)
                if len(told) == 2:
                    camera.silent.set()
                    silent_s = time.monotonic()
                if len(told) == 3:
                    assert silent_s is not None
                    assert 4.5 < time.monotonic() - silent_s < 10, "long before it is given up"
                    camera.silent.clear()
        finally:
            process.kill()
            process.communicate()
    assert (told[2]["person"], told[2]["reason"]) == ("Ada", "source_silent")
    assert told[3]["track"] != told[0]["track"]


def _green(image_bgr: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> int:
    blue, green, red = (image_bgr[:, :, channel].astype(int) for channel in range(3))
    return int(np.count_nonzero((green > blue + 60) & (green > red + 60)))


def test_an_annotated_copy_does_not_replace_the_picture(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    picture = tmp_path / "mine.jpg"
    picture.write_bytes((photos / "person_a_2.jpg").read_bytes())
    outcome = crowd("recognize", picture, "-o", picture)
    assert outcome.code == 2
    assert "replaced" in outcome.error
    assert picture.read_bytes() == (photos / "person_a_2.jpg").read_bytes()


def test_a_password_in_a_source_is_warned_of_unless_the_environment_has_it(facepool: Commands, crowd: Commands) -> None:
    facepool.take_pool_of(crowd)
    source = "rtsp://admin:s3cret@127.0.0.1:9/1"
    named = facepool("recognize", "-s", source, "--headless")
    assert "in the list of processes. Set FACEPOOL_SOURCE in its place" in named.err
    hidden = facepool("recognize", "--headless", FACEPOOL_SOURCE=source)
    assert "list of processes" not in hidden.err
    for outcome in (named, hidden):
        assert "rtsp://***@127.0.0.1:9/1" in outcome.error
        assert "s3cret" not in outcome.out + outcome.err


def test_strangers_of_pictures_and_films_are_kept_and_recognized_when_they_come_again(
    facepool: Commands, crowd: Commands, photos: Path
) -> None:
    facepool.take_pool_of(crowd)
    first = facepool("recognize", photos, "--keep-unknown")
    assert first.code == 0, first.err
    assert "Faces of unknown people are kept in" in first.err
    assert "for 14 days at most" in first.err
    assert "Erase strangers: facepool unknown forget" in first.err
    assert "Kept 2 sightings" in first.err
    again = facepool("recognize", photos / "impostor_1.jpg", "--keep-unknown")
    assert "Kept 1 sighting, 1 of them of unknown people who were seen before" in again.err
    with open_pool(facepool.pool) as pool:
        assert sorted(group.sightings for group in pool.inbox.groups()) == [1, 2]
        assert all(one.person is None for one in pool.inbox.sightings())
    silent = facepool("recognize", photos)
    assert "kept" not in silent.err


def test_strangers_are_kept_where_nobody_is_registered_yet(facepool: Commands, photos: Path) -> None:
    outcome = facepool("recognize", photos / "impostor_1.jpg", "--keep-unknown")
    assert outcome.code == 0, outcome.err
    assert "Kept 1 sighting" in outcome.err
    assert [one["id"] for one in facepool("unknown", "list", "--json").records] == [1]


def test_a_pool_without_room_for_who_was_seen_is_refused(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    pair = tmp_path / "pair.npy"
    assert crowd("people", "export", pair).code == 0
    outcome = crowd("recognize", photos / "person_a_1.jpg", "--keep-unknown", "-p", pair)
    assert outcome.code == 2
    assert "cannot keep who was seen" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["person_a_1.jpg", "--require-live"], "Nobody in a picture can show that they are alive"),
        (["--partial"], "--partial is about how people show that they are alive"),
    ],
)
def test_only_what_moves_can_show_that_somebody_is_alive(
    crowd: Commands, photos: Path, words: list[str], said: str
) -> None:
    outcome = crowd("recognize", *(photos / word if word.endswith(".jpg") else word for word in words))
    assert outcome.code == 2
    assert said in outcome.error


def test_nobody_is_named_who_does_not_do_what_is_asked(crowd: Commands, photos: Path, tmp_path: Path) -> None:
    pictures = moving(read_image(photos / "person_a_2.jpg"))
    clip = write_video(tmp_path / "ada.mp4", pictures[:16])
    outcome = crowd("recognize", clip, "--headless", "--require-live")
    assert outcome.code == 0, outcome.err
    assert "look straight at the camera" in outcome.out
    assert "Ada" not in outcome.out
