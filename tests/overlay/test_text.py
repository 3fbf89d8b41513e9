"""Text in every script: the right glyphs, shaped, in the order in which they are read."""

import sys
import unicodedata

import numpy as np
import pytest

from facepool.overlay.text import TextRenderer, clean, han_region, in_visual_order, with_number

NO_LETTER = "\U0010fffd"
"""For private use: no font has it."""

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
def renderer() -> TextRenderer:
    return TextRenderer()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_every_character_of_a_script_has_a_glyph_that_is_not_the_missing_one(
    renderer: TextRenderer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    missing = renderer.render(NO_LETTER, 32)
    caplog.clear()
    for char in clean(name):
        assert char == " " or not np.array_equal(renderer.render(char, 32), missing), unicodedata.name(char)
    assert not caplog.records


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_every_script_is_drawn(renderer: TextRenderer, name: str) -> None:
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


def is_arabic(char: str) -> bool:
    return "ARABIC" in unicodedata.name(char, "")


def test_a_mixed_line_holds_each_part_in_the_order_of_the_line() -> None:
    text = "Tín 田中 محمد नमस्ते Ελένη"
    shown = in_visual_order(text)
    assert [char for char, rtl in shown if not rtl] == [char for char in text if not is_arabic(char)]
    assert [char for char, rtl in shown if rtl] == [char for char in text if is_arabic(char)][::-1]


@pytest.mark.parametrize(
    ("text", "shown", "from_right"),
    [
        ("", "", ""),
        ("ab", "ab", "00"),
        ("אב 12", "12 בא", "00111"),
        ("מ 0.5", "0.5 מ", "00011"),
        ("a אב", "a בא", "0011"),
        ("אב a", "a בא", "0111"),
        ("a 1%", "a 1%", "0000"),
        ("م 1 ", " 1 م", "1011"),
        ("ב 1+2", "1+2 ב", "00011"),
        ("م 1+2", "2+1 م", "01011"),
        ("(אב) a", "a )בא(", "011111"),
        ("مح\u200cمد", "دم\u200cحم", "11111"),
        ("מ 0\u200d.5", "0\u200d.5 מ", "000011"),
    ],
)
def test_the_order_follows_the_unicode_bidirectional_algorithm(text: str, shown: str, from_right: str) -> None:
    found = in_visual_order(text)
    assert "".join(char for char, _ in found) == shown
    assert "".join(str(int(rtl)) for _, rtl in found) == from_right


@pytest.mark.parametrize("name", ["Đặng 田中 محمد", "Ada"])
def test_a_number_stays_after_the_name(renderer: TextRenderer, name: str) -> None:
    number = renderer.render("0.98", 24)
    end = renderer.render(with_number(name, "0.98"), 24)[:, -number.shape[1] :]
    np.testing.assert_array_equal(end[end.any(axis=1)], number[number.any(axis=1)])
    assert np.array_equal(renderer.render(with_number("Ada", "0.98"), 24), renderer.render("Ada 0.98", 24))


def test_a_name_that_runs_from_the_right_stands_apart_from_its_number() -> None:
    assert "".join(char for char, _ in in_visual_order(with_number("שרה", "0.98"))) == "\u200e0.98 הרש"


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


def test_text_is_drawn_without_the_font_packages(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for package in ("manimgx_fonts", "manimgx_fonts_cjk"):
        monkeypatch.setitem(sys.modules, package, None)
    bare = TextRenderer()
    assert bare.render("Ángel Łukasz Ελένη Пётр", 20).max() == 255
    assert not caplog.records
    assert bare.render("Ada 田中 محمد", 20).max() == 255
    (warning,) = caplog.records
    assert "pip install 'facepool[fonts]'" in warning.message


def test_long_text_is_cut_to_its_width_with_an_ellipsis(renderer: TextRenderer) -> None:
    cut = renderer.fit("Ada Lovelace of London", 16, 80)
    assert cut.startswith("Ada")
    assert cut.endswith("…")
    assert renderer.render(cut, 16).shape[1] <= 80
    assert renderer.fit("Ada", 16, 80) == "Ada"
