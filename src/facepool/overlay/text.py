"""A line of text in any script as a bitmap.

Three libraries that come as wheels do the work, so a name is spelt right on a machine where nothing but pip has run:
python-bidi says in which order the characters stand, HarfBuzz shapes and draws them, and Noto fonts have the glyphs:
one for Latin, Greek and Cyrillic is in this folder, the extra ``fonts`` brings those of other scripts. What is here
chooses the font of each character and puts the pieces side by side.
"""

import importlib.util
import logging
import unicodedata
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import uharfbuzz as hb
from bidi import get_base_level, get_display

from facepool import extras

_log = logging.getLogger(__name__)

Alpha = npt.NDArray[np.uint8]

_LATIN = Path(__file__).with_name("fonts") / "NotoSans-SemiBold.ttf"
_WEIGHT = 600  # semi-bold: survives small sizes and scaled windows
_UNITS = 64  # of a pixel, in which glyphs are placed
_JOINERS = "\u200c\u200d"
_TURN = "\u200e"  # LEFT-TO-RIGHT MARK: no glyph; what follows belongs to the line, not to the Arabic before it
_LINE_ENDS = "\u200e\u200f"  # marks of a line that runs from left to right, from right to left
_FOLLOWER = "\u2060"  # WORD JOINER: goes where the character before it goes
_ELLIPSIS = "…"
_REGIONS = ("JP", "KR", "SC", "TC")
"""Whose forms of Han characters the faces of the CJK font hold, by their numbers in the file."""


class TextRenderer:
    """Draws lines of text: each part in a font that has it, shaped, in the order in which it is read.

    Args:
        cache_size: How many lines to keep.
    """

    def __init__(self, *, cache_size: int = 512) -> None:
        self._fonts = _Fonts()
        self._line = lru_cache(cache_size)(self._draw)

    def render(self, text: str, size: int) -> Alpha:
        """``text`` in one line as (H, W) uint8 coverage, 255 where the ink is.

        The height holds the font's ascent and descent, and more where a script needs it, so lines of one script and
        size share a baseline. Control characters are left out, white space becomes one space. Empty text is of
        width 0.

        Args:
            text: Any text.
            size: Pixels an em, at least 1.
        """
        return self._line(text, size)

    def fit(self, text: str, size: int, width: int) -> str:
        """``text``, or as much of its beginning as ``width`` pixels hold, with an ellipsis."""
        text = clean(text)
        if self.render(text, size).shape[1] <= width:
            return text
        low, high = 0, len(text) - 1
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.render(_shortened(text, middle), size).shape[1] <= width
            low, high = (middle, high) if fits else (low, middle - 1)
        return _shortened(text, low)

    def _draw(self, text: str, size: int) -> Alpha:
        canvas = hb.RasterDraw()
        canvas.scale_factor = (_UNITS, _UNITS)
        pen = 0
        for piece, face, rtl in self._pieces(clean(text)):
            font = face.at(size)
            buffer = hb.Buffer()
            buffer.add_str(piece)
            buffer.guess_segment_properties()
            buffer.direction = "rtl" if rtl else "ltr"
            hb.shape(font, buffer)
            for glyph, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
                canvas.transform = (1, 0, 0, 1, pen + place.x_offset, place.y_offset)
                canvas.draw_glyph(font, glyph.codepoint)
                pen += place.x_advance
            pen = round(pen / _UNITS) * _UNITS  # words begin at whole pixels, so that a figure looks the same anywhere
        return _on_baseline(canvas.render(), pen // _UNITS, self._fonts.default.at(size))

    def _pieces(self, text: str) -> Iterator[tuple[str, "_Typeface", bool]]:
        """Words, cut where font or direction change, from left to right; each in the order in which it is spelt."""
        region = han_region(text)
        for rtl, group in groupby(in_visual_order(text), key=itemgetter(1)):
            shown = [char for char, _ in group]
            spelt = shown[::-1] if rtl else shown
            faces: list[_Typeface] = []
            for char in spelt:
                faces.append(self._fonts.choose(char, faces[-1] if faces else None, region))
            word_numbers = accumulate((char == " " for char in spelt), initial=0)  # a space ends its word
            kinds = list(zip(faces, word_numbers, strict=False))
            pieces = [
                ("".join(spelt[i] for i in positions), face, rtl)
                for (face, _), positions in groupby(range(len(spelt)), key=kinds.__getitem__)
            ]
            yield from reversed(pieces) if rtl else pieces


class _Typeface:
    """One face of a font file; opened when it is first used."""

    def __init__(self, file: Path, index: int = 0) -> None:
        self._file = file
        self._index = index
        self._fonts: dict[int, hb.Font] = {}

    @cached_property
    def _face(self) -> hb.Face:
        return hb.Face(hb.Blob.from_file_path(self._file), self._index)

    @cached_property
    def characters(self) -> hb.Set:
        """The code points that it has glyphs for."""
        return self._face.unicodes

    def at(self, size: int) -> hb.Font:
        """The face at a size in pixels an em; semi-bold where it can be."""
        if size not in self._fonts:
            font = hb.Font(self._face)
            font.scale = (size * _UNITS, size * _UNITS)
            font.set_variations({"wght": _WEIGHT})
            self._fonts[size] = font
        return self._fonts[size]


class _Fonts:
    """The font in this folder, then those of the extra ``fonts``: one for each script, one a region for Han."""

    def __init__(self) -> None:
        files = [_LATIN, *sorted(_files_of_the_extra(), key=_rank)]
        self._han = {
            region: _Typeface(file, index)
            for file in files
            if file.suffix == ".ttc"
            for index, region in enumerate(_REGIONS)
        }
        self._others = [_Typeface(file) for file in files if file.suffix != ".ttc"]
        self._chosen: dict[tuple[str, str], _Typeface] = {}
        self._warned = False

    @property
    def default(self) -> _Typeface:
        """The face for Latin, Greek and Cyrillic, and for what no font has."""
        return self._others[0]

    def choose(self, char: str, previous: _Typeface | None, region: str) -> _Typeface:
        """The face for ``char``.

        Args:
            char: One character.
            previous: The face of the character before it. Marks, joiners, punctuation and symbols stay with it where
                they can, so that words are shaped whole.
            region: One of JP, KR, SC, TC; see :func:`han_region`.
        """
        kind = unicodedata.category(char)[0]
        if previous is not None and kind not in "LNZ" and (_is_invisible(char) or ord(char) in previous.characters):
            return previous
        if (char, region) not in self._chosen:
            han = [self._han[region]] if region in self._han else []
            faces = (face for face in (*self._others, *han) if ord(char) in face.characters)
            self._chosen[char, region] = next(faces, self.default)
            if ord(char) not in self._chosen[char, region].characters and not _is_invisible(char):
                self._warn_once(char)
        return self._chosen[char, region]

    def _warn_once(self, char: str) -> None:
        if self._warned:
            return
        self._warned = True
        name = unicodedata.name(char, f"U+{ord(char):04X}")
        remedy = f". For more scripts: {extras.command('fonts')}" if extras.missing("fonts") else ""
        _log.warning("No font here has %s, so a box is drawn in its place%s", name, remedy)


def with_number(text: str, number: str) -> str:
    """``text`` and a number that stays behind it, even where the text ends with what runs from right to left."""
    return f"{text} {_TURN}{number}"


def after_number(number: str, text: str) -> str:
    """``text`` behind a number that stays before it, even where the text runs from right to left."""
    return f"{_TURN}{number} {text}"


def clean(text: str) -> str:
    """One line without control and formatting characters (which could turn a name round), composed (NFC)."""
    kept = (char for char in text if char in _JOINERS + _TURN or char.isspace() or unicodedata.category(char)[0] != "C")
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))


def han_region(text: str) -> str:
    """Whose form of Han characters suits ``text``: JP, KR, SC or TC.

    Kana, Hangul and Bopomofo tell; otherwise the first national character set that holds all the Han characters does.
    """
    names = {unicodedata.name(char, "").partition(" ")[0] for char in text}
    for script, region in (("HIRAGANA", "JP"), ("KATAKANA", "JP"), ("HANGUL", "KR"), ("BOPOMOFO", "TC")):
        if script in names:
            return region
    han = "".join(char for char in text if unicodedata.name(char, "").startswith("CJK"))
    for charset, region in (("gb2312", "SC"), ("big5", "TC"), ("shift_jis", "JP")):
        if han.encode(charset, "ignore").decode(charset) == han:
            return region
    return "SC"


def in_visual_order(text: str) -> list[tuple[str, bool]]:
    """The characters from left to right, each with whether it belongs to what runs from right to left.

    python-bidi hands out the displayed line, and nothing else. So each character gets a follower, which comes out
    before it where the line is turned round. The mark at the end keeps the followers there from counting as white
    space, which has a rule of its own.
    """
    if not text:
        return []
    from_right = get_base_level(text)
    shown = get_display("".join(char + _FOLLOWER for char in text) + _LINE_ENDS[from_right])
    shown = shown[1:] if from_right else shown[:-1]
    pairs = [shown[i : i + 2] for i in range(0, len(shown), 2)]
    return [(pair[1], True) if pair[0] == _FOLLOWER else (pair[0], False) for pair in pairs]


def _shortened(text: str, length: int) -> str:
    """The first ``length`` characters, never between a letter and its marks."""
    while 0 < length < len(text) and (unicodedata.category(text[length])[0] == "M" or text[length - 1] == _JOINERS[1]):
        length -= 1
    return text[:length].rstrip() + _ELLIPSIS


def _is_invisible(char: str) -> bool:
    """Joiners, direction marks and variation selectors: they change their neighbours and are not drawn."""
    return unicodedata.category(char) == "Cf" or "\ufe00" <= char <= "\ufe0f"


def _on_baseline(ink: hb.RasterImage, advance: int, font: hb.Font) -> Alpha:
    """Drawn glyphs on a bitmap that has the font's height and the line's width, and more where they need it."""
    extents = font.get_font_extents("ltr")
    box = ink.extents
    above = max(-(-extents.ascender // _UNITS), box.y_origin + box.height)
    below = max(-(extents.descender // _UNITS), -box.y_origin)
    left, right = min(0, box.x_origin), max(advance, box.x_origin + box.width)
    bitmap = np.zeros((above + below, right - left), np.uint8)
    first_row, first_column = above - box.y_origin - box.height, box.x_origin - left
    upside_down = np.frombuffer(ink.buffer, np.uint8).reshape(box.height, box.stride)[:, : box.width]
    bitmap[first_row : first_row + box.height, first_column : first_column + box.width] = upside_down[::-1]
    bitmap.setflags(write=False)
    return bitmap


def _files_of_the_extra() -> Iterator[Path]:
    for package in extras.EXTRAS["fonts"].modules:
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            yield from (file for file in Path(folder).glob("Noto*.tt?") if "Italic" not in file.name)


def _rank(file: Path) -> tuple[bool, str]:
    """Fonts of one script come before those that hold many signs."""
    return file.name.startswith(("NotoSansSymbols", "NotoEmoji")), file.name
