"""Labels cover no face and no other label, however many there are."""

import numpy as np
import pytest

from facepool.overlay.placement import Edges, Place, Rect, Wanted, arrange

ROOM = (720, 480)
FULL, NUMBER = (80, 26), (22, 26)


def crowd(rows: int, columns: int, apart: tuple[int, int] = (50, 62)) -> list[Wanted]:
    """Faces of 28 by 32 pixels in rows, as on a school's photo."""
    corners = [(60 + apart[0] * column, 60 + apart[1] * row) for row in range(rows) for column in range(columns)]
    return [Wanted((x, y, x + 28, y + 32), (FULL, NUMBER)) for x, y in corners]


def plates(wanted: list[Wanted], places: list[Place | None]) -> list[Edges]:
    found = [(place.x, place.y, *one.sizes[place.choice]) for one, place in zip(wanted, places, strict=True) if place]
    return [(x, y, x + width, y + height) for x, y, width, height in found]


def overlap(one: Edges, other: Edges) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_nothing_is_placed_where_nothing_is_wanted() -> None:
    assert arrange([], ROOM) == []


def test_a_label_alone_stands_above_its_face_with_its_fullest_text() -> None:
    assert arrange([Wanted((100, 100, 200, 220), (FULL, NUMBER))], ROOM) == [Place(0, 100, 74)]


@pytest.mark.parametrize("faces", [2, 19, 51])
def test_many_labels_cover_no_face_and_no_other_label(faces: int) -> None:
    wanted = crowd(5, 12)[:faces]
    places = arrange(wanted, ROOM)
    assert None not in places  # there is room for everybody's number
    drawn = plates(wanted, places)
    assert not any(overlap(plate, one.box) for plate in drawn for one in wanted)
    assert not any(overlap(a, b) for row, a in enumerate(drawn) for b in drawn[:row])
    assert all(left >= 0 and top >= 0 and right <= ROOM[0] and bottom <= ROOM[1] for left, top, right, bottom in drawn)


def test_a_long_name_does_not_take_the_place_of_a_neighbours_number() -> None:
    wanted = [Wanted((0, 26, 30, 480), ((60, 26), (30, 26))), Wanted((30, 26, 60, 480), ((30, 26),))]
    assert arrange(wanted, (60, 480)) == [Place(1, 0, 0), Place(0, 30, 0)]


def test_a_face_that_fills_the_picture_has_its_label_in_its_corner() -> None:
    assert arrange([Wanted((0, 0, 720, 480), (FULL,))], ROOM) == [Place(0, 0, 0)]
    hud: Rect = (0, 0, 100, 60)
    assert arrange([Wanted((0, 0, 720, 480), (FULL,))], ROOM, [hud]) == [Place(0, 640, 0)]


def test_without_any_room_a_name_covers_as_little_as_it_can_and_what_may_be_left_out_is() -> None:
    packed = [Wanted((x, y, x + 28, y + 32), ((60, 26),)) for y in range(0, 480, 32) for x in range(0, 720, 28)]
    named = arrange(packed, ROOM)
    assert None not in named
    dispensable = [Wanted(one.box, (*one.sizes, (0, 0))) for one in packed]
    assert arrange(dispensable, ROOM) == [None] * len(packed)


def test_a_thousand_faces_take_no_noticeable_time() -> None:
    rng = np.random.default_rng(3)
    corners = rng.integers(0, (700, 460), (1000, 2)).tolist()
    wanted = [Wanted((x, y, x + 8, y + 9), (FULL, NUMBER, (0, 0))) for x, y in corners]
    assert len(arrange(wanted, ROOM)) == 1000
