"""Drawing: text in every script, boxes and plates within the picture, sheets of pictures."""

import sys
import unicodedata

import numpy as np
import pytest
from PIL import features

from facepool.overlay import Label, Painter, contact_sheet, mirror
from facepool.overlay.bidi import levels, visual_order
from facepool.overlay.fonts import FontBook, han_region
from facepool.overlay.text import TextRenderer, before_number, clean
from facepool.types import Image

NAMES = {
    "Latin": "Ångström Nguyễn",
    "Greek": "Ελένη",
    "Cyrillic": "Пётр Њ",
    "Arabic": "محمد علي",
    "Armenian": "Արամ",
    "Bengali": "বাংলা",
    "Devanagari": "क्षत्रिय",
    "Emoji": "👍🏽",
    "Ethiopic": "ክርስቲ",
    "Georgian": "საქართველო",
    "Gujarati": "ગુજરાતી",
    "Gurmukhi": "ਪੰਜਾਬੀ",
    "Han": "田中陳",
    "Hangul": "김민준",
    "Hebrew": "שרה",
    "Kana": "さくらカナ",
    "Kannada": "ಕನ್ನಡ",
    "Khmer": "ខ្មែរ",
    "Lao": "ລາວ",
    "Malayalam": "മലയാളം",
    "Myanmar": "မြန်မာ",
    "Oriya": "ଓଡ଼ିଆ",
    "Sinhala": "සිංහල",
    "Tamil": "தமிழ்",
    "Telugu": "తెలుగు",
    "Thai": "สมชาย",
}


@pytest.fixture(scope="module")
def book() -> FontBook:
    return FontBook()


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter()


@pytest.fixture(params=["pillow", "pygame"], scope="module")
def renderer(request: pytest.FixtureRequest) -> TextRenderer:
    if request.param == "pillow" and not features.check("raqm"):
        pytest.skip("Pillow has no text shaping here: FriBiDi is missing")
    return TextRenderer(shaping=request.param == "pillow")


def gray(height: int = 240, width: int = 320) -> Image:
    return np.full((height, width, 3), 120, np.uint8)


def changed(image: Image, drawn: Image) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 (exclusive) of the pixels that differ."""
    ys, xs = np.nonzero((image != drawn).any(axis=2))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_every_character_of_a_script_has_a_glyph_that_is_not_the_missing_one(book: FontBook, name: str) -> None:
    for char in clean(name):
        font = book.font(book.choose(char, None, han_region(name)), 32)
        drawn, missing = font.getmask(char, mode="L"), font.getmask("\U0010fffd", mode="L")
        assert char == " " or bytes(drawn) != bytes(missing), unicodedata.name(char)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_every_script_is_drawn_by_either_way_of_shaping(renderer: TextRenderer, name: str) -> None:
    alpha = renderer.render(name, 24)
    assert alpha.shape[1] > 12
    assert alpha.max() == 255


def test_letters_join_and_conjuncts_form(renderer: TextRenderer) -> None:
    """The zero-width non-joiner keeps them apart, and makes no difference where nothing is shaped."""
    for joined in ("محمد", "क्षत्रिय"):
        apart = joined.replace("ح", "ح\u200c").replace("क्", "क्\u200c")
        assert not np.array_equal(renderer.render(joined, 24), renderer.render(apart, 24))


def test_right_to_left_words_stand_right_to_left(renderer: TextRenderer) -> None:
    long, short = (np.ptp(np.flatnonzero(renderer.render(word, 24).any(axis=0))) for word in ("שרה", "לוי"))
    columns = np.flatnonzero(renderer.render("שרה לוי", 24).any(axis=0))
    gap = int(np.diff(columns).argmax())
    assert np.ptp(columns[: gap + 1]) == pytest.approx(short, abs=1)
    assert np.ptp(columns[gap + 1 :]) == pytest.approx(long, abs=1)


def test_a_mixed_line_holds_each_part_in_the_order_of_the_line() -> None:
    text = "Tín 田中 محمد नमस्ते Ελένη"
    kinds = levels(text)
    assert [level % 2 == 1 for level in kinds] == ["ARABIC" in unicodedata.name(char, "") for char in text]
    assert visual_order([0, 0, 1, 0, 0]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("ab", [0, 0]),
        ("אב 12", [1, 1, 1, 2, 2]),
        ("מ 0.5", [1, 1, 2, 2, 2]),
        ("a אב", [0, 0, 1, 1]),
        ("אב a", [1, 1, 1, 2]),
        ("a 1%", [0, 0, 0, 0]),
        ("م 1 ", [1, 1, 2, 1]),
        ("ב 1+2", [1, 1, 2, 2, 2]),
        ("م 1+2", [1, 1, 2, 1, 2]),
    ],
)
def test_levels_follow_the_unicode_bidirectional_algorithm(text: str, expected: list[int]) -> None:
    assert levels(text) == expected


def test_runs_are_reversed_from_the_highest_level_down() -> None:
    assert visual_order([]) == []
    assert visual_order([1, 2, 1]) == [2, 1, 0]
    assert visual_order([0, 1, 2, 1, 0]) == [0, 3, 2, 1, 4]


@pytest.mark.parametrize("name", ["Đặng 田中 محمد", "Ada"])
def test_a_number_stays_after_the_name(renderer: TextRenderer, name: str) -> None:
    number = renderer.render("0.98", 24)
    end = renderer.render(f"{before_number(name)} 0.98", 24)[:, -number.shape[1] :]
    np.testing.assert_array_equal(end[end.any(axis=1)], number[number.any(axis=1)])
    assert np.array_equal(renderer.render(before_number(name), 24), renderer.render(name, 24))


def test_characters_that_would_turn_or_break_a_line_are_left_out() -> None:
    assert clean("\u202eAda\n\tL\u0000 \ud800") == "Ada L"
    assert clean("Nguye\u0302\u0303n") == "Nguyễn"


def test_han_characters_take_the_form_of_their_region() -> None:
    regions = {name: han_region(name) for name in ("田中さくら", "김", "陳", "渡辺", "陈", "Ada")}
    assert regions == {"田中さくら": "JP", "김": "KR", "陳": "TC", "渡辺": "JP", "陈": "SC", "Ada": "SC"}


def test_text_of_any_kind_never_fails(renderer: TextRenderer) -> None:
    assert renderer.render("", 16).shape[1] == 0
    for text in ("\u0300", "\u200d\u200d", "\ud800", "\U0001f1e6\U0001f1f9", "\U0010fffd", "\ufe0f", "ᚠᏣ𐤀", " \t\n"):
        renderer.render(text, 16)


def test_text_is_drawn_without_the_font_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("manimgx_fonts", "manimgx_fonts_cjk"):
        monkeypatch.setitem(sys.modules, package, None)
    assert TextRenderer().render("Ada 田中 محمد", 20).max() == 255


def test_long_text_is_cut_to_its_width_with_an_ellipsis(renderer: TextRenderer) -> None:
    cut = renderer.fit("Ada Lovelace of London", 16, 80)
    assert cut.startswith("Ada")
    assert cut.endswith("…")
    assert renderer.render(cut, 16).shape[1] <= 80
    assert renderer.fit("Ada", 16, 80) == "Ada"


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
