"""Which font draws which character: the Noto fonts that come as packages, then those of the system.

The packages hold one file a script, named after it (``NotoSansArabic[wght].ttf``), and a character's Unicode name
begins with its script (``ARABIC LETTER MEEM``): the first guess needs no table. Whether a font has a character is
found by drawing it and comparing with what the font draws for a character that it cannot have.
"""

import logging
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from PIL import ImageFont

_log = logging.getLogger(__name__)

_WEIGHT = 600  # semi-bold: survives small sizes and scaled windows
_PROBE_SIZE = 24
_UNASSIGNED = "\U0010fffd"  # private use, in no font
_FILE = re.compile(r"Noto(?:Sans)?(?P<script>[A-Za-z]*)\[wght\]\.ttf")
_GENERAL = ("", "Emoji", "Symbols")  # scripts of the files that hold many: NotoSans, NotoEmoji, NotoSansSymbols
_CJK_FILE = "NotoSansCJK-VF.otf.ttc"
_CJK_FACES = {"JP": 0, "KR": 1, "SC": 2, "TC": 3}
# Looked up by file name in the system's own font folders, where no package has the character.
_SYSTEM_FILES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "arial.ttf",
    "segoeui.ttf",
    "seguisym.ttf",
    "Nirmala.ttf",
    "LeelawUI.ttf",
    "ebrima.ttf",
    "msyh.ttc",
    "malgun.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
)


@dataclass(frozen=True, slots=True)
class Typeface:
    """One face of one font file.

    Attributes:
        file: Path, or a file name for the system's font folders; empty for the font built into Pillow.
        script: First word of the Unicode names it is made for, with a capital; empty for a general one.
        index: Number within a collection.
    """

    file: str
    script: str = ""
    index: int = 0


class FontBook:
    """Finds, opens and keeps the fonts of one process part; nothing is opened before it is needed."""

    def __init__(self) -> None:
        self._scripts = {face.script: face for face in _packaged_scripts()}
        self._cjk = {face.script: face for face in _packaged_cjk()}
        self._fonts: dict[tuple[Typeface, int, ImageFont.Layout | None], ImageFont.FreeTypeFont | None] = {}
        self._covered: dict[tuple[Typeface, str], bool] = {}
        self._chosen: dict[tuple[str, str], Typeface] = {}

    def choose(self, char: str, previous: Typeface | None, region: str) -> Typeface:
        """The face for ``char``.

        Args:
            char: One character.
            previous: The face of the character before it. Marks, spaces and punctuation stay with it where they can,
                so that words are shaped whole.
            region: One of JP, KR, SC, TC: whose form of Han characters to draw; see :func:`han_region`.
        """
        emoji_space = char == " " and previous is not None and previous.script in _GENERAL  # theirs is too wide
        if (
            previous is not None
            and not emoji_space
            and _follows(char)
            and (_is_invisible(char) or self.covers(previous, char))
        ):
            return previous
        if (char, region) not in self._chosen:
            faces = (face for face in self._candidates(char, region) if self.covers(face, char))
            self._chosen[char, region] = next(faces, self.default)
        return self._chosen[char, region]

    @property
    def default(self) -> Typeface:
        """The face for Latin, Greek and Cyrillic."""
        return self._scripts.get("") or Typeface(_SYSTEM_FILES[0])

    def covers(self, face: Typeface, char: str) -> bool:
        """Whether ``face`` has a glyph for ``char``."""
        if (face, char) not in self._covered:
            font = self._open(face, _PROBE_SIZE, ImageFont.Layout.BASIC)
            self._covered[face, char] = font is not None and _has_glyph(font, char)
        return self._covered[face, char]

    def font(self, face: Typeface, size: int) -> ImageFont.FreeTypeFont:
        """``face`` at ``size`` pixels an em; Pillow's built-in font where the file cannot be opened."""
        return self._open(face, size) or self._built_in(size)

    def _candidates(self, char: str, region: str) -> Iterator[Typeface]:
        script = unicodedata.name(char, "").partition(" ")[0].capitalize()
        if script in self._scripts:
            yield self._scripts[script]
        for general in _GENERAL:
            if general in self._scripts:
                yield self._scripts[general]
        if region in self._cjk:
            yield self._cjk[region]
        yield from self._scripts.values()
        yield from (Typeface(name) for name in _SYSTEM_FILES)

    def _open(self, face: Typeface, size: int, layout: ImageFont.Layout | None = None) -> ImageFont.FreeTypeFont | None:
        key = (face, size, layout)
        if key not in self._fonts:
            self._fonts[key] = _load(face, size, layout)
        return self._fonts[key]

    def _built_in(self, size: int) -> ImageFont.FreeTypeFont:
        key = (Typeface(""), size, None)
        font = self._fonts.get(key)
        if font is None:
            loaded = ImageFont.load_default(size)
            if not isinstance(loaded, ImageFont.FreeTypeFont):
                raise TypeError("Pillow was built without FreeType; install a wheel of it")
            self._fonts[key] = font = loaded
        return font


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
        if _encodes(han, charset):
            return region
    return "SC"


def _encodes(text: str, charset: str) -> bool:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def _follows(char: str) -> bool:
    """Marks, joiners, spaces, punctuation and symbols; not letters and digits."""
    return unicodedata.category(char)[0] not in {"L", "N"}


def _is_invisible(char: str) -> bool:
    return char in "\u200c\u200d" or "\ufe00" <= char <= "\ufe0f"


def _has_glyph(font: ImageFont.FreeTypeFont, char: str) -> bool:
    """Drawn one by one and unshaped, a missing character looks like any other missing character."""
    drawn, missing = font.getmask(char, mode="L"), font.getmask(_UNASSIGNED, mode="L")
    return char.isspace() or (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))


def _load(face: Typeface, size: int, layout: ImageFont.Layout | None) -> ImageFont.FreeTypeFont | None:
    try:
        font = ImageFont.truetype(face.file, size, index=face.index, layout_engine=layout)
    except OSError:  # not on this machine, or not a font
        return None
    try:
        font.set_variation_by_axes([_WEIGHT])
    except (OSError, NotImplementedError):  # a font of one fixed weight
        _log.debug("%s has no weight axis", face.file)
    return font


def _packaged_scripts() -> Iterator[Typeface]:
    with suppress(ImportError):  # the system's fonts serve
        import manimgx_fonts  # noqa: PLC0415 -- drawing goes on without it

        for path in _files_beside(manimgx_fonts):
            match = _FILE.fullmatch(path.name)
            if match:
                yield Typeface(str(path), match["script"])


def _packaged_cjk() -> Iterator[Typeface]:
    with suppress(ImportError):
        import manimgx_fonts_cjk  # noqa: PLC0415 -- drawing goes on without it

        for path in _files_beside(manimgx_fonts_cjk):
            if path.name == _CJK_FILE:
                yield from (Typeface(str(path), region, index) for region, index in _CJK_FACES.items())


def _files_beside(package: ModuleType) -> list[Path]:
    """The files in a package's folders, in a fixed order; none where it lives in an archive."""
    return sorted(path for folder in package.__path__ if Path(folder).is_dir() for path in Path(folder).iterdir())
