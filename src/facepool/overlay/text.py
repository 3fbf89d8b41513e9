"""A line of text in any script as a bitmap."""

import logging
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, groupby

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont, features

from facepool.overlay.bidi import levels, visual_order
from facepool.overlay.fonts import FontBook, Typeface, han_region
from facepool.overlay.harfbuzz import ShapedFonts, script_tag

_log = logging.getLogger(__name__)

Alpha = npt.NDArray[np.uint8]

_JOINERS = "\u200c\u200d"
_TURN = "\u200e"  # LEFT-TO-RIGHT MARK: no glyph; what follows belongs to the line, not to the Arabic before it
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Drawn text, to be placed with its pen position on a baseline.

    Attributes:
        alpha: (H, W) uint8, 255 where the ink is.
        left: From the pen to the bitmap's left edge, pixels.
        top: From the baseline to the bitmap's top edge, pixels, negative upwards.
        advance: How far the pen moves on, pixels.
    """

    alpha: Alpha
    left: int
    top: int
    advance: int


class TextRenderer:
    """Draws lines of text: each part in a font that has it, shaped, in the order in which it is read.

    Args:
        shaping: Whether Pillow shapes complex scripts itself (it needs the system's FriBiDi library, which many
            machines lack); found out by default. Without it, they are shaped by the HarfBuzz inside pygame-ce.
        cache_size: How many lines to keep.
    """

    def __init__(self, *, shaping: bool | None = None, cache_size: int = 512) -> None:
        self._shaping = bool(features.check("raqm")) if shaping is None else shaping
        if not self._shaping:
            _log.debug("Pillow has no text shaping here (FriBiDi is missing); complex scripts go through pygame")
        self._book = FontBook()
        self._shaped = ShapedFonts()
        self._line = lru_cache(cache_size)(self._compose)
        self._word = lru_cache(4 * cache_size)(self._glyphs)

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

    def _compose(self, text: str, size: int) -> Alpha:
        ascent, descent = self._book.font(self._book.default, size).getmetrics()
        runs = [self._word(word, face, size, rtl=rtl) for word, face, rtl in self._visual_words(clean(text))]
        if not runs:
            return np.zeros((ascent + descent, 0), np.uint8)
        pens = np.cumsum([0] + [run.advance for run in runs])
        starts = [int(pen) + run.left for pen, run in zip(pens, runs, strict=False)]
        ends = [start + run.alpha.shape[1] for start, run in zip(starts, runs, strict=True)]
        left, right = min(0, *starts), max(int(pens[-1]), *ends)
        top = min(-ascent, *(run.top for run in runs))
        bottom = max(descent, *(run.top + run.alpha.shape[0] for run in runs))
        canvas = np.zeros((bottom - top, right - left), np.uint8)
        for start, end, run in zip(starts, ends, runs, strict=True):
            rows = slice(run.top - top, run.top - top + run.alpha.shape[0])
            part = canvas[rows, start - left : end - left]
            np.maximum(part, run.alpha, out=part)
        canvas.setflags(write=False)
        return canvas

    def _visual_words(self, text: str) -> list[tuple[str, Typeface, bool]]:
        """Words, cut where font or direction change, from left to right, each in the order in which it is spelt.

        Words rather than whole runs, because a name stays while the number beside it changes with every frame.
        """
        region = han_region(text)
        faces: list[Typeface] = []
        for char in text:
            faces.append(self._book.choose(char, faces[-1] if faces else None, region))
        word_numbers = accumulate((char == " " for char in text), initial=0)  # a space ends its word
        kinds = list(zip(levels(text), faces, word_numbers, strict=False))
        words: list[tuple[str, int, Typeface]] = []
        for (level, face, _), group in groupby(range(len(text)), key=kinds.__getitem__):
            if word := "".join(text[i] for i in group if text[i] != _TURN):
                words.append((word, level, face))
        order = visual_order([level for _, level, _ in words])
        return [(words[i][0], words[i][2], words[i][1] % 2 == 1) for i in order]

    def _glyphs(self, run: str, face: Typeface, size: int, *, rtl: bool) -> Glyphs:
        font = self._book.font(face, size)
        if self._shaping:
            return _draw(run, font, direction="rtl" if rtl else "ltr")
        tag = script_tag(face.script)
        if tag:
            alpha, ascent = self._shaped.render(run, face.file, size, tag, rtl=rtl)
            inked = np.flatnonzero(alpha.any(axis=1))
            first, last = (int(inked[0]), int(inked[-1])) if len(inked) else (0, -1)
            return Glyphs(alpha[first : last + 1], 0, first - ascent, alpha.shape[1])
        plain = "".join(char for char in run if char not in _JOINERS and not "\ufe00" <= char <= "\ufe0f")
        return _draw(plain[::-1] if rtl else plain, font, direction=None)


def before_number(text: str) -> str:
    """``text``, so that a number written after it stays after it, even where the text runs from right to left."""
    return text + _TURN


def clean(text: str) -> str:
    """One line without control and formatting characters (which could turn a name round), composed (NFC)."""
    kept = (char for char in text if char in _JOINERS + _TURN or char.isspace() or unicodedata.category(char)[0] != "C")
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))


def _shortened(text: str, length: int) -> str:
    """The first ``length`` characters, never between a letter and its marks."""
    while 0 < length < len(text) and (unicodedata.category(text[length])[0] == "M" or text[length - 1] == _JOINERS[1]):
        length -= 1
    return text[:length].rstrip() + _ELLIPSIS


def _draw(text: str, font: ImageFont.FreeTypeFont, *, direction: str | None) -> Glyphs:
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text, anchor="ls", direction=direction))
    advance = round(font.getlength(text, direction=direction))
    if right <= left or bottom <= top:
        return Glyphs(np.zeros((0, 0), np.uint8), 0, 0, advance)
    picture = PillowImage.new("L", (right - left, bottom - top))
    ImageDraw.Draw(picture).text((-left, -top), text, fill=255, font=font, anchor="ls", direction=direction)
    return Glyphs(np.asarray(picture), left, top, advance)
