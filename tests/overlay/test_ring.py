"""The enrollment screen and the list of who is in view: what is green, where it is, and what stays as it was."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from facepool.enroll.ring import RingPart
from facepool.enroll.scan import Phase
from facepool.overlay import PresencePanel, Present, RingPainter, RingView
from facepool.overlay.presence import duration
from facepool.overlay.ring import Follower, Oval, Room
from facepool.types import Image, Mask

Floats64 = npt.NDArray[np.float64]
SIZES = [(240, 320), (480, 640), (720, 1280), (640, 480)]
PHASES: list[Phase] = ["frontal", "ring", "enough", "done", "paused"]


def gray(height: int = 480, width: int = 640) -> Image:
    return np.full((height, width, 3), 120, np.uint8)


def ring(near: dict[int, float], far: dict[int, float] | None = None, directions: int = 12) -> tuple[RingPart, ...]:
    return tuple(
        RingPart(number * 360 / directions, near.get(number), (far or {}).get(number)) for number in range(directions)
    )


def greens(image: Image) -> Mask:
    blue, green, red = (image[..., channel].astype(int) for channel in range(3))
    return (green > red + 60) & (green > blue + 60)


def angles_of(mask: Mask) -> Floats64:
    """Angles on the ring of the pixels of a mask, for an oval in the middle of the columns and rows of the ring."""
    oval = oval_of(mask.shape[0], mask.shape[1])
    ys, xs = np.nonzero(mask)
    return np.asarray(np.degrees(np.arctan2((oval.y - ys) / oval.half_h, (xs - oval.x) / oval.half_w)) % 360)


def oval_of(height: int, width: int) -> Oval:
    """Where the drawn outline is: the face is bright, the rest is dimmed."""
    drawn = RingPainter().draw(gray(height, width), RingView("ring", ()))
    ys, xs = np.nonzero((drawn == 120).all(axis=2))
    return Oval((xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2, np.ptp(ys) / 2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("direction", range(12))
def test_a_captured_direction_is_green_where_it_is_and_nowhere_else(size: tuple[int, int], direction: int) -> None:
    drawn = RingPainter().draw(gray(*size), RingView("ring", ring({direction: 80})))
    away = (angles_of(greens(drawn)) - direction * 30 + 180) % 360 - 180
    assert np.abs(away).max() < 19
    assert np.ptp(away) > 15


def test_a_mirror_turns_the_directions_and_the_picture() -> None:
    image = gray(480, 641)
    image[:, :200] = 200
    view = RingView("ring", ring({0: 90, 2: 90}), heading_deg=0.0, reach=1.0, target_deg=60.0)
    plain, mirrored = RingPainter().draw(image, view), RingPainter().draw(image, view, mirrored=True)
    assert np.median(angles_of(greens(plain)) % 350) < 90
    assert np.abs(plain[:, ::-1].astype(int) - mirrored).mean() < 0.5
    assert mirrored[:, -150:].mean() > mirrored[:, :150].mean()


def test_the_text_of_a_mirrored_screen_is_not_mirrored() -> None:
    view = RingView("ring", (), hint="slowly look left", person="Ada", keys="Q quit")
    image = gray(480, 641)
    plain, mirrored = RingPainter().draw(image, view), RingPainter().draw(image, view, mirrored=True)
    assert np.array_equal(plain, mirrored)


def test_the_outer_ring_lies_outside_the_inner_one() -> None:
    oval = oval_of(480, 640)

    def distances(view: RingView) -> Floats64:
        ys, xs = np.nonzero(greens(RingPainter().draw(gray(), view)))
        return np.asarray(np.hypot((xs - oval.x) / oval.half_w, (ys - oval.y) / oval.half_h))

    inner, outer = distances(RingView("ring", ring({3: 80}))), distances(RingView("ring", ring({}, {3: 80})))
    assert inner.min() > 1
    assert inner.max() < outer.min()


def test_better_views_are_a_brighter_green() -> None:
    brightness = []
    for quality in (20, 60, 100):
        drawn = RingPainter().draw(gray(), RingView("ring", ring(dict.fromkeys(range(12), quality))))
        brightness.append(drawn[..., 1][greens(drawn)].mean())
    assert brightness == sorted(brightness)
    assert brightness[2] > brightness[0] + 40


def test_a_pending_ring_is_faint_and_not_green() -> None:
    drawn = RingPainter().draw(gray(), RingView("ring", ring({})))
    assert not greens(drawn).any()
    bare = RingPainter().draw(gray(), RingView("ring", ()))
    assert 10 < (drawn.astype(int) - bare).max() < 90


def test_the_face_is_left_as_it_is_and_the_surroundings_are_dimmed() -> None:
    drawn = RingPainter().draw(gray(), RingView("ring", ring({0: 80}), hint="slowly look up", progress=0.1))
    oval = oval_of(480, 640)
    ys, xs = np.mgrid[:480, :640]
    outward = np.hypot((xs - oval.x) / oval.half_w, (ys - oval.y) / oval.half_h)
    assert (drawn[outward < 0.95] == 120).all()
    assert (drawn[:350][outward[:350] > 1.6] == round(120 * 0.38)).all()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("size", SIZES)
def test_text_and_ring_stay_inside(size: tuple[int, int], phase: Phase) -> None:
    view = RingView(
        phase,
        ring({0: 80}, {6: 20}),
        hint="this does not look like Bartholomew Featherstonehaugh as registered " * 2,
        person="محمد بن علي " * 9,
        keys="Enter finish · Q quit · M mirror · F full screen · " * 4,
        progress=0.7,
        target_deg=90.0,
        heading_deg=200.0,
        reach=2.0,
    )
    image = gray(*size)
    drawn = RingPainter().draw(image, view)
    dim = round(120 * 0.38)
    for border in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]):
        assert (border == dim).all()
    assert (image == 120).all()


def test_ring_and_text_do_not_meet() -> None:
    for height, width in SIZES:
        ticks = RingPainter().draw(gray(height, width), RingView("ring", ring({}), target_deg=270.0))
        text = RingPainter().draw(gray(height, width), RingView("ring", (), hint="Slowly gjpq", keys="Q quit"))
        bare = RingPainter().draw(gray(height, width), RingView("ring", ()))
        assert not ((ticks != bare).any(axis=2) & (text != bare).any(axis=2)).any()


def test_a_pause_is_amber_and_the_end_has_a_check_mark() -> None:
    paused = RingPainter().draw(gray(), RingView("paused", ring({}), hint="one person only"))
    amber = (paused[..., 2] > 200) & (paused[..., 0] < 120)
    assert amber[400:].any()
    assert amber[:350].any()
    done = RingPainter().draw(gray(), RingView("done", ring(dict.fromkeys(range(12), 80))))
    oval = oval_of(480, 640)
    assert greens(done)[int(oval.y + 0.05 * oval.half_h) :, int(oval.x - 0.2 * oval.half_w) :][:60, :60].any()


def test_looking_straight_fills_the_outline_clockwise_from_the_top() -> None:
    seen = []
    for progress in (0.0, 0.25, 1.0):
        drawn = RingPainter().draw(gray(), RingView("frontal", ring({}), progress=progress))
        seen.append(greens(drawn[:380]))
    assert not seen[0].any()
    quarter = angles_of(np.vstack([seen[1], np.zeros((100, 640), bool)]))
    assert ((quarter < 92) | (quarter > 356)).all()
    assert seen[2].sum() > 3.5 * seen[1].sum()


def test_the_progress_bar_grows() -> None:
    lengths = []
    for progress in (0.0, 0.5, 1.0, 7.0):
        drawn = RingPainter().draw(gray(), RingView("ring", (), progress=progress))
        lengths.append(int(greens(drawn).any(axis=0).sum()))
    assert lengths[0] == 0
    assert lengths[1] == pytest.approx(lengths[2] / 2, abs=2)
    assert lengths[2] == lengths[3]


def test_the_way_to_turn_is_marked_outside_the_ring() -> None:
    view = RingView("ring", ring({}))
    without, to_the_right = (RingPainter().draw(gray(), replace(view, target_deg=angle)) for angle in (None, 0.0))
    _, xs = np.nonzero((without != to_the_right).any(axis=2))
    oval = oval_of(480, 640)
    assert xs.min() > oval.x + oval.half_w * 1.2


def test_ticks_stand_out_where_the_head_points() -> None:
    view = RingView("ring", ring({}))
    at_rest, turned = (
        RingPainter().draw(gray(), replace(view, heading_deg=heading, reach=1.0)) for heading in (None, 100.0)
    )
    away = (angles_of((at_rest != turned).any(axis=2)) - 100 + 180) % 360 - 180
    assert 5 < np.abs(away).max() < 20


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (20, 20)])
@pytest.mark.parametrize("phase", PHASES)
def test_the_smallest_pictures_are_drawn_on_without_fault(shape: tuple[int, int], phase: Phase) -> None:
    view = RingView(phase, ring({1: 50}), "hint", "Ada", "keys", 0.5, (0, 0, 3, 3), 10.0, 1.0, 20.0)
    assert RingPainter().draw(gray(*shape), view, mirrored=True).shape == (*shape, 3)


def test_the_oval_follows_a_face_that_walks_and_not_one_that_nods() -> None:
    follower, room = Follower(), Room(0, 0, 640, 400)
    start = follower.follow((250, 100, 390, 280), room)
    assert follower.follow((258, 108, 398, 288), room) == start
    assert follower.follow(None, room) == start
    assert follower.follow((math.nan, 0, 1, 1), room) == start
    for _ in range(60):
        end = follower.follow((450, 100, 590, 280), room)
    assert end.x > start.x + 120
    assert end.x + end.half_w < 640


@pytest.mark.parametrize("box", [(-90, -90, 10, 10), (600, 380, 900, 700), (0, 0, 640, 400), None])
def test_the_ring_is_within_its_room_wherever_the_face_is(box: tuple[float, float, float, float] | None) -> None:
    oval = Room(0, 0, 640, 400).around(box)
    points = [oval.point(angle, 0.39 * oval.half_h) for angle in range(360)]
    assert all(0 <= x <= 640 and 0 <= y <= 400 for x, y in points)


def test_a_list_of_nobody_changes_nothing() -> None:
    drawn = PresencePanel().draw(gray(), [])
    assert np.array_equal(drawn, gray())
    assert not np.shares_memory(drawn, gray())


@pytest.mark.parametrize("size", SIZES)
def test_the_list_stands_at_the_top_right_and_inside(size: tuple[int, int]) -> None:
    people = [Present("Ada" * 20, 12), Present("محمد", 75, "unknown"), Present("สมชาย ក្ញុំ", 1e9, "neutral")]
    drawn = PresencePanel().draw(gray(*size), people)
    ys, xs = np.nonzero((drawn != 120).any(axis=2))
    assert xs.min() > size[1] * 0.6
    assert xs.max() < size[1] - 2
    assert ys.max() < size[0] * 0.85
    assert greens(drawn).any()


def test_a_long_list_ends_in_a_count() -> None:
    crowd = [Present(f"Person {number}", number) for number in range(40)]
    panel = PresencePanel()
    assert np.array_equal(panel.draw(gray(), crowd), panel.draw(gray(), [*crowd[:-1], Present("Ada", 1)]))
    assert not np.array_equal(panel.draw(gray(), crowd), panel.draw(gray(), crowd[:-1]))


def test_how_long_is_told_coarsely() -> None:
    durations = [duration(seconds) for seconds in (-1, 0.2, 1, 59.9, 60, 3599, 7200, float("nan"))]
    assert durations == ["now", "now", "1 s", "59 s", "1 min", "59 min", "2 h", "now"]


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (20, 20)])
def test_a_list_on_the_smallest_pictures_does_no_harm(shape: tuple[int, int]) -> None:
    assert PresencePanel().draw(gray(*shape), [Present("Ada", 1)]).shape == (*shape, 3)
