from facepool import Offer
from facepool.cli.ui.registration import PictureTally
from facepool.enroll.pictures import Outcome
from facepool.errors import IdentityConflict, NoFace
from support.fake_analyzer import FakeAnalyzer, view


def offered(outcome: Outcome, rival: str | None = None) -> Offer:
    analyzer = FakeAnalyzer()
    frame = analyzer.frame(view(0, 0))
    return Offer(frame, analyzer.analyze(frame.image_bgr), outcome, rival)


def test_a_stored_view_is_no_failure_whatever_else_happened() -> None:
    tally = PictureTally()
    for outcome in ("blurred", "blurred", "taken", "no_face"):
        tally.add(offered(outcome))
    assert tally.failure("Ada") is None
    assert [remark.split(":")[0] for remark in tally.remarks()] == ["2 not stored", "1 not stored"]
    assert tally.frames == 4


def test_views_that_the_pool_had_before_are_no_failure() -> None:
    tally = PictureTally()
    tally.add(offered("known_view"))
    assert tally.failure("Ada") is None


def test_nothing_stored_says_the_commonest_reason() -> None:
    tally = PictureTally()
    for outcome in ("no_face", "too_small", "too_small"):
        tally.add(offered(outcome))
    failure = tally.failure("Ada")
    assert isinstance(failure, NoFace)
    assert "in 2 of 3 frames" in str(failure)


def test_a_face_that_fits_no_head_has_a_code_of_its_own() -> None:
    tally = PictureTally()
    tally.add(offered("implausible_landmarks"))
    failure = tally.failure("Ada")
    assert failure is not None
    assert failure.code == "implausible_landmarks"
    assert "half of the face hidden, or no face in 1 of 1 frames" in str(failure)


def test_a_face_of_somebody_else_is_named() -> None:
    tally = PictureTally()
    tally.add(offered("other_person", "Bob"))
    failure = tally.failure("Ada")
    assert isinstance(failure, IdentityConflict)
    assert "Register it as Bob" in str(failure)


def test_views_that_another_process_made_superfluous_are_not_counted_as_taken() -> None:
    tally = PictureTally()
    tally.add(offered("taken"))
    tally.withdraw([offered("other_person", "Bob")])
    assert dict(tally.outcomes) == {"other_person": 1}
    assert isinstance(tally.failure("Ada"), IdentityConflict)


def test_no_frame_is_a_failure() -> None:
    assert isinstance(PictureTally().failure("Ada"), NoFace)
