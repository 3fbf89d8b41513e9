"""From faces to results and their JSON, on cases whose figures can be told by hand."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facepool.capture import write_image
from facepool.errors import NotEnoughScores
from facepool.evaluation.detection import evaluate_detection
from facepool.evaluation.embeddings import EvaluatedPictures
from facepool.evaluation.identification import evaluate_split
from facepool.evaluation.metrics import NOT_ACQUIRED
from facepool.evaluation.protocols import AnnotatedPicture, GroundTruth, Pairs, Split
from facepool.evaluation.report.summary import Run, to_record
from facepool.evaluation.verification import evaluate_all_pairs, evaluate_pairs
from facepool.thresholds import ThresholdPolicy
from facepool.types import Detections, Floats, Image
from support.fake_analyzer import view

RUN = Run(
    command="facepool evaluate",
    subject="a test",
    model="emb",
    detector="det",
    embedder="emb",
    space="a space",
    device="a device",
    detection={"size": 640},
    face_choice="the largest",
    versions={"facepool": "0"},
    started_at="2026-01-01T00:00:00+00:00",
    seconds=0.0,
    pictures_from_cache=3,
)
POLICY = ThresholdPolicy(None, fixed=0.5)


def faces(*people_and_vectors: tuple[str, Floats | None]) -> EvaluatedPictures:
    """Pictures of the given people, without a face where there is no vector."""
    count = len(people_and_vectors)
    there = np.array([vector is not None for _, vector in people_and_vectors])
    nan = np.where(there, 1, np.nan).astype(np.float32)
    return EvaluatedPictures(
        paths=tuple(Path(f"{row}.jpg") for row in range(count)),
        people=tuple(person for person, _ in people_and_vectors),
        problems=tuple("" if vector is not None else "no face was found" for _, vector in people_and_vectors),
        embeddings=np.stack(
            [np.zeros(8, np.float32) if vector is None else vector for _, vector in people_and_vectors]
        ),
        boxes=np.tile(nan[:, None], (1, 4)),
        face_counts=there.astype(np.intp),
        qualities=np.asarray(nan * np.arange(count), np.float32),
        yaws=nan * 15,
    )


# Ada is herself at 10 degrees, less so at 70; nobody could find her face in the fourth picture. Bob resembles nobody.
CROWD = faces(
    *(("Ada", view(0, 0)), ("Ada", view(0, 10)), ("Ada", view(0, 70)), ("Ada", None)),
    *(("Bob", view(1, 0)), ("Bob", view(1, 30)), ("Cy", view(2, 0)), ("Cy", view(2, 5))),
)


def pairs(*rows: tuple[int, int, bool], folds: Sequence[int] | None = None) -> Pairs:
    first, second, same = (np.array(column) for column in zip(*rows, strict=True))
    fold_of = None if folds is None else np.array(folds)
    return Pairs(CROWD.paths, CROWD.people, first, second, same.astype(np.bool_), fold_of)


LISTED = pairs(
    *((0, 1, True), (0, 2, True), (0, 3, True), (4, 5, True)),
    *((0, 4, False), (1, 6, False), (3, 6, False), (5, 7, False)),
)


def test_pairs_become_rates_and_a_face_that_is_missing_is_a_miss() -> None:
    results = evaluate_pairs(LISTED, CROWD, POLICY)
    similarities = results.comparisons.similarities
    expected = [np.cos(np.radians(10)), np.cos(np.radians(70)), NOT_ACQUIRED, np.cos(np.radians(30))]
    np.testing.assert_allclose(similarities[:4], expected, atol=1e-6)
    assert similarities[6] == NOT_ACQUIRED
    assert results.default.misses == 0.5
    assert results.default.false_matches == 0
    assert results.points[0].asked == 0.01
    assert results.points[0].tar == 0.75  # every one but the one without a face: no stranger is alike at all
    assert not results.points[0].resolved
    assert results.accuracy is None


def test_folds_give_an_accuracy() -> None:
    rows = [(0, 1, True), (0, 4, False), (4, 5, True), (1, 6, False), (6, 7, True), (5, 7, False)]
    results = evaluate_pairs(pairs(*rows, folds=[0, 0, 1, 1, 2, 2]), CROWD, POLICY)
    assert results.accuracy is not None
    # Bob's pair is below the threshold that suits the others' pairs.
    assert results.accuracy.folds.tolist() == [1.0, 0.5, 1.0]
    record = to_record(results, RUN)
    assert record["accuracy"]["mean"] == pytest.approx(5 / 6, abs=1e-6)  # type: ignore[index]
    assert record["accuracy"]["folds"] == [1.0, 0.5, 1.0]  # type: ignore[index]


def test_misses_are_broken_down_by_the_worse_face() -> None:
    results = evaluate_pairs(LISTED, CROWD, POLICY)
    at_15_degrees = results.by_pose[1]
    assert (at_15_degrees.pairs, at_15_degrees.fnmr) == (3, 1 / 3)
    assert sum(each.pairs for each in results.by_pose) == results.comparisons.genuine_count - 1


def test_all_pairs_of_a_folder() -> None:
    results = evaluate_all_pairs(CROWD, POLICY)
    assert results.comparisons.genuine_count == 6 + 1 + 1
    assert results.comparisons.impostor_count == 28 - 8
    assert np.isneginf(results.comparisons.similarities).sum() == 7
    assert results.default.misses == pytest.approx(4 / 8)  # 0-2 at 70 degrees, and three with the lost face


def test_one_kind_of_pair_is_not_enough() -> None:
    with pytest.raises(NotEnoughScores):
        evaluate_pairs(pairs((0, 1, True), (4, 5, True)), CROWD, POLICY)


# Ada and Bob are registered with one picture each, Cy and Dan are strangers; Dan looks like Bob. Flo has no face.
TOWN = faces(
    *(("Ada", view(0, 0)), ("Ada", view(0, 10)), ("Ada", view(0, 80))),
    *(("Bob", view(1, 0)), ("Bob", None), ("Flo", None), ("Flo", view(3, 0))),
    *(("Cy", view(2, 0)), ("Dan", view(1, 20))),
)


def parted(
    pictures: EvaluatedPictures, templates: Sequence[int], mated: Sequence[int], strangers: Sequence[int]
) -> Split:
    rows = (np.array(rows, np.intp) for rows in (templates, mated, strangers))
    return Split(pictures.paths, pictures.people, *rows)


def test_open_set_identification() -> None:
    results = evaluate_split(parted(TOWN, [0, 3, 5], [1, 2, 4, 6], [7, 8]), TOWN, POLICY)
    assert results.enrolled.people == ("Ada", "Bob")
    assert results.enrolled.failed == ("Flo",)
    probes = results.probes
    assert probes.rows.tolist() == [1, 2, 4, 6, 7, 8]
    assert probes.mated.tolist() == [True, True, True, True, False, False]
    np.testing.assert_allclose(probes.right[:2], np.cos(np.radians([10, 80])), atol=1e-6)
    assert np.isneginf(probes.right[2:]).all()  # Bob's face was not found, Flo could not be registered
    assert probes.right_rows.tolist()[:3] == [0, 0, -1]
    assert probes.ranks.tolist() == [1, 1, 0, 0, 0, 0]
    assert probes.other[5] == pytest.approx(np.cos(np.radians(20)))
    assert probes.other_rows[5] == 3
    assert results.probes.rank_one == 0.5
    assert results.default.false_matches == 0.5  # Dan is taken for Bob
    assert results.default.misses == 0.75


def test_the_best_template_of_a_person_speaks() -> None:
    results = evaluate_split(parted(TOWN, [0, 1, 3], [2], [7, 8]), TOWN, POLICY)
    assert results.enrolled.templates_asked == 2
    assert results.probes.right[0] == pytest.approx(np.cos(np.radians(70)), abs=1e-6)
    assert results.probes.right_rows[0] == 1


def test_a_threshold_that_is_read_off_the_record_keeps_out_whom_it_promises_to() -> None:
    like_bob = view(1, 40)  # 0.7660444, which rounds down
    town = faces(("Ada", view(0, 0)), ("Ada", view(0, 10)), ("Bob", view(1, 0)), ("Bob", view(1, 5)), ("Dan", like_bob))
    record = to_record(evaluate_split(parted(town, [0, 2], [1, 3], [4]), town, POLICY), RUN)
    point = record["fnir_at_fpir"]["0.01"]  # type: ignore[index]
    assert point["fpir"] == 0
    assert point["threshold"] > float(view(1, 0) @ like_bob)


def test_nobody_registered_is_an_error() -> None:
    with pytest.raises(NotEnoughScores, match="Nobody could be registered"):
        evaluate_split(parted(TOWN, [5], [6], [7]), TOWN, POLICY)


class Finder:
    """Finds the boxes it is told, by the size of the picture."""

    def __init__(self, boxes: dict[int, list[list[float]]]) -> None:
        self._boxes = boxes

    def __call__(self, image_bgr: Image) -> Detections:
        boxes = np.array(self._boxes[image_bgr.shape[1]], np.float32).reshape(-1, 4)
        scores = np.linspace(0.9, 0.3, len(boxes), dtype=np.float32)
        return Detections(boxes, scores, np.zeros((len(boxes), 5, 2), np.float32))


def annotated(folder: Path, width: int, *boxes: list[float], ignored: Sequence[bool] = ()) -> AnnotatedPicture:
    path = folder / f"{width}.png"
    write_image(path, np.zeros((10, width, 3), np.uint8))
    flags = np.array(ignored or [False] * len(boxes), np.bool_)
    return AnnotatedPicture(path, np.array(boxes, np.float32).reshape(-1, 4), flags)


SMALL, LARGE = [0.0, 0.0, 20.0, 20.0], [100.0, 100.0, 300.0, 300.0]


def test_detection_counts_what_is_found_missed_ignored_and_unreadable(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"broken")
    truth = GroundTruth(
        (
            annotated(tmp_path, 50, SMALL, LARGE),
            annotated(tmp_path, 60, SMALL, ignored=[True]),
            AnnotatedPicture(tmp_path / "broken.png", np.array([LARGE], np.float32), np.array([False])),
        ),
        missing=7,
    )
    steps: list[None] = []
    finder = Finder({50: [LARGE, [500.0, 500.0, 520.0, 520.0]], 60: [SMALL]})
    results = evaluate_detection(truth, finder, 0.6, on_picture=lambda: steps.append(None))
    assert len(steps) == 3
    assert list(results.unreadable) == [tmp_path / "broken.png"]
    assert results.curve.ap == pytest.approx(1 / 3)
    assert results.recall == pytest.approx(1 / 3)
    assert results.precision == 1.0  # the box beside the face has a score of 0.3
    by_size = {each.at_least: each for each in results.by_size}
    assert (by_size[16].faces, by_size[16].recall) == (1, 0)
    assert (by_size[96].faces, by_size[96].recall) == (2, 0.5)
    assert by_size[256].faces == 0
    assert np.isnan(by_size[256].recall)
    record = to_record(results, RUN)
    assert record["pictures_not_there"] == 7
    assert (record["faces"], record["faces_ignored"]) == (3, 1)
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_small_faces_can_be_ignored(tmp_path: Path) -> None:
    truth = GroundTruth((annotated(tmp_path, 50, SMALL, LARGE), annotated(tmp_path, 60, LARGE)), missing=0)
    finder = Finder({50: [LARGE], 60: [LARGE]})
    assert evaluate_detection(truth, finder, 0.6).recall == pytest.approx(2 / 3)
    assert evaluate_detection(truth, finder, 0.6, ignore_below_px=21).recall == 1.0


def test_the_record_of_pairs_has_the_figures_that_programs_read() -> None:
    record = to_record(evaluate_pairs(LISTED, CROWD, POLICY), RUN)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["pairs"] == 8
    assert record["failures_to_acquire"] == 1
    assert record["failures"] == [{"path": "3.jpg", "reason": "no face was found"}]
    assert list(record["tar_at_fmr"]) == ["0.01", "0.001", "0.0001"]  # type: ignore[call-overload]
    assert record["tar_at_fmr"]["0.01"]["tar"] == 0.75  # type: ignore[index]
    assert record["eer"] == pytest.approx(0.25, abs=0.13)
    assert (record["model"], record["space"], record["device"]) == ("emb", "a space", "a device")
    assert record["worst_misses"][0] == {"first": "0.jpg", "second": "3.jpg", "similarity": None}  # type: ignore[index]


def test_the_record_of_identification() -> None:
    record = to_record(evaluate_split(parted(TOWN, [0, 3, 5], [1, 2, 4, 6], [7, 8]), TOWN, POLICY), RUN)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["gallery"] == {"people": 2, "templates": 2, "templates_asked": 1, "failures_to_enroll": ["Flo"]}
    assert (record["mated_probes"], record["stranger_probes"]) == (4, 2)
    assert record["failures_to_acquire"] == 2
