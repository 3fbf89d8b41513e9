"""The SDK of CompreFace, unchanged, against a real server with the real networks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facepool import ModelStore, load_analyzer, read_image
from support.compreface_client import (
    CompreFace,
    DetectionService,
    FaceCollection,
    IncorrectFieldException,
    RecognitionService,
    Subjects,
    VerificationService,
)
from support.live_server import Server, jpeg, serving

# The SDK leaves the files that it sends open.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

KEY = "00000000-0000-0000-0000-000000000002"
NOBODY = "00000000-0000-0000-0000-0000000000ff"
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, open_store: ModelStore) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("compreface") / "pool.db", load_analyzer(store=open_store)) as server:
        yield server


@pytest.fixture(scope="module")
def blank() -> bytes:
    return jpeg(np.full((240, 320, 3), 127, np.uint8))


@pytest.fixture(scope="module")
def two_people(photos: Path) -> bytes:
    ada, bob = (read_image(photos / f"{name}.jpg") for name in ("person_a_1", "person_b_1"))
    return jpeg(np.hstack([np.asarray(cv2.resize(picture, (480, 480)), np.uint8) for picture in (ada, bob)]))


@pytest.fixture
def client(server: Server) -> Iterator[CompreFace]:
    client = CompreFace("http://127.0.0.1", str(server.port))
    yield client
    client.init_face_recognition(KEY).get_subjects().delete_all()


@pytest.fixture
def recognition(client: CompreFace) -> RecognitionService:
    return client.init_face_recognition(KEY)


@pytest.fixture
def verification(client: CompreFace) -> VerificationService:
    return client.init_face_verification(KEY)


@pytest.fixture
def detection(client: CompreFace) -> DetectionService:
    return client.init_face_detection(KEY)


@pytest.fixture
def subjects(recognition: RecognitionService) -> Subjects:
    return recognition.get_subjects()


@pytest.fixture
def faces(recognition: RecognitionService) -> FaceCollection:
    return recognition.get_face_collection()


@pytest.fixture
def known(faces: FaceCollection, photos: Path) -> dict[str, str]:
    """An example each of Ada and Bob: name to image id."""
    pictures = {"Ada": "person_a_1.jpg", "Bob": "person_b_1.jpg"}
    return {name: faces.add(str(photos / picture), name)["image_id"] for name, picture in pictures.items()}


def only(answer: Answer) -> Answer:
    (result,) = answer["result"]
    assert isinstance(result, dict)
    return result


def test_subjects_are_added_listed_renamed_and_deleted(subjects: Subjects) -> None:
    assert subjects.list() == {"subjects": []}
    assert subjects.add("Ada") == {"subject": "Ada"}
    assert subjects.add("Ada") == {"message": "Subject already exists", "code": 43}
    assert subjects.add("Čeněk Žák") == {"subject": "Čeněk Žák"}
    assert subjects.list() == {"subjects": ["Ada", "Čeněk Žák"]}
    assert subjects.update("Ada", "Ada Lovelace") == {"updated": True}
    assert subjects.update("Čeněk Žák", "Čeněk Žák") == {"updated": False}
    assert subjects.update("Nobody", "Somebody") == {"message": "Subject Nobody not found", "code": 42}
    assert subjects.delete("Čeněk Žák") == {"subject": "Čeněk Žák"}
    assert subjects.delete("Čeněk Žák") == {"message": "Subject Čeněk Žák not found", "code": 42}
    assert subjects.list() == {"subjects": ["Ada Lovelace"]}
    assert subjects.delete_all() == {"deleted": 1}


def test_renaming_onto_somebody_makes_the_two_one(
    subjects: Subjects, faces: FaceCollection, known: dict[str, str]
) -> None:
    assert subjects.update("Ada", "Bob") == {"updated": True}
    assert subjects.list() == {"subjects": ["Bob"]}
    assert {face["image_id"] for face in faces.list()["faces"]} == set(known.values())
    assert {face["subject"] for face in faces.list()["faces"]} == {"Bob"}


def test_examples_are_added_from_a_file_from_bytes_and_from_an_address(
    faces: FaceCollection, photos: Path, server: Server
) -> None:
    first = faces.add(str(photos / "person_a_1.jpg"), "Ada", {"det_prob_threshold": 0.8})
    second = faces.add((photos / "person_a_2.jpg").read_bytes(), "Ada")
    third = faces.add(f"{server.url}/api/v1/recognition/faces/{first['image_id']}/img", "Ada")
    assert [example["subject"] for example in (first, second, third)] == ["Ada"] * 3
    assert len({example["image_id"] for example in (first, second, third)}) == 3
    assert faces.list() == {
        "faces": [first, second, third],
        "page_number": 0,
        "page_size": 20,
        "total_pages": 1,
        "total_elements": 3,
    }


def test_examples_are_deleted_alone_and_together(
    faces: FaceCollection, subjects: Subjects, known: dict[str, str], photos: Path
) -> None:
    faces.add(str(photos / "person_a_2.jpg"), "Ada")
    assert faces.delete(known["Ada"]) == {"image_id": known["Ada"], "subject": "Ada"}
    assert faces.delete(known["Ada"]) == {"message": f"Image {known['Ada']} not found", "code": 44}
    assert faces.delete_all("Ada") == {"deleted": 1}
    assert faces.delete_all("Nobody") == {"deleted": 0}
    assert subjects.list() == {"subjects": ["Bob"]}
    assert faces.list()["faces"] == [{"image_id": known["Bob"], "subject": "Bob"}]


@pytest.mark.usefixtures("known")
def test_the_known_are_recognized_and_strangers_are_not(recognition: RecognitionService, photos: Path) -> None:
    for picture, name in (("person_a_2.jpg", "Ada"), ("person_b_2.jpg", "Bob")):
        (best,) = only(recognition.recognize(str(photos / picture)))["subjects"]
        assert best["subject"] == name
        assert best["similarity"] > 0.8
    for picture in ("impostor_1.jpg", "impostor_2.jpg"):
        (best,) = only(recognition.recognize(str(photos / picture)))["subjects"]
        assert best["similarity"] < 0.3


@pytest.mark.usefixtures("known")
def test_everything_that_can_be_asked_for_is_told(recognition: RecognitionService, photos: Path) -> None:
    answer = recognition.recognize(
        str(photos / "person_a_2.jpg"),
        {
            "limit": 1,
            "prediction_count": 2,
            "det_prob_threshold": 0.5,
            "face_plugins": "age,gender,mask,landmarks,calculator",
            "status": True,
        },
    )
    face = only(answer)
    assert [subject["subject"] for subject in face["subjects"]] == ["Ada", "Bob"]
    assert face["box"].keys() == {"probability", "x_max", "y_max", "x_min", "y_min"}
    assert face["box"]["x_min"] < face["landmarks"][0][0] < face["landmarks"][1][0] < face["box"]["x_max"]
    assert len(face["embedding"]) == 128
    assert face["execution_time"]["calculator"] > 0
    assert answer["plugins_versions"].keys() == {"detector", "calculator"}


@pytest.mark.usefixtures("known")
def test_what_is_not_asked_for_is_left_out(recognition: RecognitionService, photos: Path) -> None:
    answer = recognition.recognize(str(photos / "person_a_2.jpg"))
    assert answer.keys() == {"result"}
    assert only(answer).keys() == {"box", "subjects"}


def test_options_of_the_client_hold_for_every_call(server: Server, known: dict[str, str], photos: Path) -> None:
    client = CompreFace(
        "http://127.0.0.1", str(server.port), {"limit": 0, "prediction_count": 2, "face_plugins": "landmarks"}
    )
    face = only(client.init_face_recognition(KEY).recognize(str(photos / "person_a_2.jpg")))
    assert [subject["subject"] for subject in face["subjects"]] == list(known)
    assert len(face["landmarks"]) == 5
    face = only(client.init_face_detection(KEY).detect(str(photos / "person_a_2.jpg")))
    assert face.keys() == {"box", "landmarks"}


def test_an_empty_collection_knows_nobody(recognition: RecognitionService, photos: Path) -> None:
    assert only(recognition.recognize(str(photos / "person_a_1.jpg")))["subjects"] == []


def test_faces_are_verified_against_an_example(faces: FaceCollection, known: dict[str, str], photos: Path) -> None:
    same = only(faces.verify(str(photos / "person_a_2.jpg"), known["Ada"], {"limit": 1, "status": True}))
    assert same["subject"] == "Ada"
    assert same["similarity"] > 0.8
    assert only(faces.verify(str(photos / "person_b_2.jpg"), known["Ada"]))["similarity"] < 0.3
    assert only(faces.verify(str(photos / "person_a_2.jpg"), NOBODY))["similarity"] == 0


def test_two_pictures_are_verified(verification: VerificationService, photos: Path) -> None:
    answer = verification.verify(
        str(photos / "person_a_1.jpg"),
        (photos / "person_a_2.jpg").read_bytes(),
        {"face_plugins": "calculator", "status": True},
    )
    result = only(answer)
    (match,) = result["face_matches"]
    assert match["similarity"] > 0.8
    assert len(result["source_image_face"]["embedding"]) == len(match["embedding"]) == 128
    assert result["plugins_versions"]["calculator"]
    answer = verification.verify(str(photos / "person_a_1.jpg"), str(photos / "impostor_1.jpg"))
    assert only(answer)["face_matches"][0]["similarity"] < 0.3


def test_faces_are_detected(detection: DetectionService, photos: Path) -> None:
    face = only(detection.detect(str(photos / "person_a_1.jpg"), {"limit": 0, "status": True}))
    assert face["execution_time"]["detector"] > 0
    box = face["box"]
    assert box["probability"] > 0.9
    assert [box[edge] for edge in ("x_min", "y_min", "x_max", "y_max")] == pytest.approx([64, 48, 139, 151], abs=3)


def test_pictures_without_a_face_are_told_as_such(
    recognition: RecognitionService, detection: DetectionService, verification: VerificationService, blank: bytes
) -> None:
    expected = {"message": "No face is found in the given image", "code": 28}
    assert recognition.recognize(blank) == expected
    assert recognition.get_face_collection().add(blank, "Ada") == expected
    assert detection.detect(blank) == expected
    assert verification.verify(blank, blank) == expected
    assert recognition.get_subjects().list() == {"subjects": []}


def test_pictures_of_several_people_are_no_examples(
    faces: FaceCollection, recognition: RecognitionService, verification: VerificationService, two_people: bytes
) -> None:
    expected = {"message": "More than one face in the source image", "code": 31}
    assert faces.add(two_people, "Ada") == expected
    assert verification.verify(two_people, two_people) == expected
    assert len(recognition.recognize(two_people)["result"]) == 2
    boxes = [face["box"] for face in recognition.recognize(two_people)["result"]]
    areas = [(box["x_max"] - box["x_min"]) * (box["y_max"] - box["y_min"]) for box in boxes]
    assert areas == sorted(areas, reverse=True)
    assert len(recognition.recognize(two_people, {"limit": 1})["result"]) == 1
    assert len(only(verification.verify(two_people, two_people, {"limit": 1}))["face_matches"]) == 1


def test_a_count_of_none_is_refused_as_compreface_refuses_it(recognition: RecognitionService, photos: Path) -> None:
    answer = recognition.recognize(str(photos / "person_a_1.jpg"), {"prediction_count": 0})
    assert answer == {"message": "prediction_count should be equal or greater than 1; ", "code": 26}
    with pytest.raises(IncorrectFieldException):
        recognition.recognize(str(photos / "person_a_1.jpg"), {"limit": -1})  # the SDK itself
