"""Drawing: boxes and plates within the picture, sheets of pictures."""

import numpy as np
import pytest

from facepool.overlay import Label, Painter, contact_sheet, label_of, mirror
from facepool.recognize.pictures import RecognizedFaces
from facepool.types import Decision, Detections, Image, Reason


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter()


def gray(height: int = 240, width: int = 320) -> Image:
    return np.full((height, width, 3), 120, np.uint8)


def changed(image: Image, drawn: Image) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 (exclusive) of the pixels that differ."""
    ys, xs = np.nonzero((image != drawn).any(axis=2))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def test_nothing_to_draw_gives_an_equal_copy(painter: Painter) -> None:
    image = gray()
    drawn = painter.draw(image, [])
    assert np.array_equal(drawn, image)
    assert not np.shares_memory(drawn, image)


def test_the_picture_given_is_not_changed(painter: Painter) -> None:
    image = gray()
    painter.draw(image, [Label((50, 50, 150, 150), "Ada", "known")], ["status"])
    assert (image == 120).all()


def test_a_label_changes_its_border_and_plate_and_nothing_else(painter: Painter) -> None:
    image = gray()
    drawn = painter.draw(image, [Label((100, 100, 200, 200), "Ada", "known")])
    x1, y1, x2, y2 = changed(image, drawn)
    assert 96 <= x1 <= 100
    assert 70 < y1 < 90
    assert 200 <= x2 <= 204
    assert 200 <= y2 <= 204
    assert np.array_equal(drawn[106:194, 106:194], image[106:194, 106:194])


@pytest.mark.parametrize(
    ("style", "channel"), [("known", 1), ("unknown", 2)], ids=["green when known", "red when unknown"]
)
def test_a_box_is(painter: Painter, style: str, channel: int) -> None:
    label = Label((100, 100, 200, 200), "", "known" if style == "known" else "unknown")
    assert painter.draw(gray(), [label])[150, 100].argmax() == channel


@pytest.mark.parametrize(
    "box",
    [(-50, -40, 30, 30), (300, 220, 400, 300), (0, 0, 320, 240), (310, 5, 330, 20), (2, 235, 12, 239)],
    ids=["top left", "bottom right", "whole picture", "right", "bottom"],
)
def test_a_plate_stays_whole_inside_the_picture(painter: Painter, box: tuple[float, float, float, float]) -> None:
    canvas = gray()
    labelled = painter.draw(canvas, [Label(box, "Ada 0.71", "known")])
    bare = painter.draw(canvas, [Label(box, "", "known")])
    x1, y1, x2, y2 = changed(bare, labelled)
    expected = painter.text("Ada 0.71", 12, 300).shape
    assert x2 - x1 >= expected[1]
    assert y2 - y1 >= expected[0]


@pytest.mark.parametrize("box", [(400, 10, 500, 50), (10, -90, 50, -10), (50, 50, 50, 50), (float("nan"), 0, 9, 9)])
def test_a_box_outside_the_picture_or_without_area_is_left_out(
    painter: Painter, box: tuple[float, float, float, float]
) -> None:
    assert np.array_equal(painter.draw(gray(), [Label(box, "Ada")]), gray())


def test_plates_of_neighbours_do_not_cover_each_other(painter: Painter) -> None:
    first, second = Label((60, 100, 160, 200), "Ada 0.71", "known"), Label((80, 100, 180, 200), "Bob 0.66", "unknown")
    both, alone = painter.draw(gray(), [first, second]), painter.draw(gray(), [first])
    assert np.array_equal(both[75:97, 60:130], alone[75:97, 60:130])


def test_labels_of_a_crowd_leave_every_face_as_it_is(painter: Painter) -> None:
    corners = [(20 + 62 * column, 40 + 60 * row) for row in range(6) for column in range(9)]
    labels = [
        Label((x, y, x + 30, y + 34), f"{number} None", "unknown", shorter=(f"{number}", ""))
        for number, (x, y) in enumerate(corners, start=1)
    ]
    drawn = painter.draw(gray(420, 600), labels)
    boxes = painter.draw(gray(420, 600), [Label(label.box, "", "unknown") for label in labels])
    assert (drawn != boxes).any()
    for x, y in corners:
        assert np.array_equal(drawn[y : y + 34, x : x + 30], boxes[y : y + 34, x : x + 30])


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (20, 20)])
def test_the_smallest_pictures_are_drawn_on_without_fault(painter: Painter, shape: tuple[int, int]) -> None:
    drawn = painter.draw(gray(*shape), [Label((0, 0, 20, 20), "Ada", "known")], ["status"])
    assert drawn.shape == (*shape, 3)


def test_status_lines_stand_at_the_top_left(painter: Painter) -> None:
    _, _, x2, y2 = changed(gray(), painter.draw(gray(), [], ["23 fps", "", "12 people"]))
    assert x2 < 120
    assert y2 < 60


def test_text_grows_with_the_picture(painter: Painter) -> None:
    label = [Label((100, 100, 101, 101), "Ada")]
    small, large = (changed(gray(*size), painter.draw(gray(*size), label)) for size in ((240, 320), (1080, 1920)))
    assert large[2] - large[0] > 1.8 * (small[2] - small[0])


def test_a_mirrored_box_lies_on_the_mirrored_face() -> None:
    image = gray()
    image[50:60, 20:40] = 255
    flipped, (label,) = mirror(image, [Label((20, 50, 40, 60), "Ada", "known")])
    x1, y1, x2, y2 = (int(edge) for edge in label.box)
    assert (flipped[y1:y2, x1:x2] == 255).all()
    assert (label.text, label.style) == ("Ada", "known")


def test_a_sheet_shows_every_picture_in_its_shape() -> None:
    colors, shapes = [(255, 0, 0), (0, 255, 0), (0, 0, 255)], [(60, 80), (80, 60), (9, 90)]
    images = [np.full((*shape, 3), color, np.uint8) for shape, color in zip(shapes, colors, strict=True)]
    sheet = contact_sheet(images, ["a", "b\nmatch", "c " * 300], 2)
    for color, image in zip(colors, images, strict=True):
        ys, xs = np.nonzero((sheet == color).all(axis=2))
        height, width = np.ptp(ys) + 1, np.ptp(xs) + 1
        assert width / height == pytest.approx(image.shape[1] / image.shape[0], rel=0.03)


def test_a_sheet_needs_a_caption_for_each_picture_and_a_column() -> None:
    assert contact_sheet([], [], 3).ndim == 3
    with pytest.raises(ValueError, match="1 pictures, 0 captions"):
        contact_sheet([gray()], [], 3)
    with pytest.raises(ValueError, match="0 columns"):
        contact_sheet([gray()], ["a"], 0)


def recognized(*people: str | None) -> RecognizedFaces:
    boxes = np.array([(40 * row, 50, 40 * row + 30, 90) for row in range(len(people))], np.float32).reshape(-1, 4)
    found = Detections(boxes, np.ones(len(people), np.float32), np.zeros((len(people), 5, 2), np.float32))
    reasons: list[Reason] = ["match" if person else "below_threshold" for person in people]
    decisions = [Decision(person, 0.714, 0.4, None, reason) for person, reason in zip(people, reasons, strict=True)]
    return RecognizedFaces(found, tuple(decisions))


def test_a_face_alone_is_named_and_several_have_the_numbers_of_their_rows() -> None:
    alone = label_of(recognized("Ada"), 0)
    assert (alone.text.replace("\u200e", ""), alone.shorter) == ("Ada 0.71", ("Ada",))
    assert (label_of(recognized(None), 0).text, label_of(recognized(None), 0).shorter) == ("None", ("",))
    several = recognized("Ada", None)
    assert label_of(several, 0).text.replace("\u200e", "") == "1 Ada 0.71"
    assert [text.replace("\u200e", "") for text in label_of(several, 0).shorter] == ["1 Ada", "1"]
    assert label_of(several, 1).text.replace("\u200e", "") == "2 None"
    assert label_of(several, 1).shorter == ("2", "")  # the red box says the rest
