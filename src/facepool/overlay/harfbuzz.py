"""Text shaping where Pillow has none: through the HarfBuzz that is built into pygame-ce.

Pillow's wheels load FriBiDi from the system, and Windows, macOS and small Linux images have none. Without shaping,
Arabic letters stand apart and Indic vowels in the wrong place, so names would be misspelt.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from facepool.overlay.environment import environment

if TYPE_CHECKING:
    from pygame.font import Font

_SCRIPT_TAGS = {  # ISO 15924, by the script's word in Unicode names and font files
    "Arabic": "Arab",
    "Armenian": "Armn",
    "Bengali": "Beng",
    "Devanagari": "Deva",
    "Emoji": "Zyyy",
    "Ethiopic": "Ethi",
    "Georgian": "Geor",
    "Gujarati": "Gujr",
    "Gurmukhi": "Guru",
    "Hebrew": "Hebr",
    "Kannada": "Knda",
    "Khmer": "Khmr",
    "Lao": "Laoo",
    "Malayalam": "Mlym",
    "Myanmar": "Mymr",
    "Oriya": "Orya",
    "Sinhala": "Sinh",
    "Tamil": "Taml",
    "Telugu": "Telu",
    "Thai": "Thai",
}


def script_tag(script: str) -> str:
    """The ISO 15924 tag of a script that has a font of its own, else empty."""
    return _SCRIPT_TAGS.get(script, "")


class ShapedFonts:
    """Fonts that shape; pygame is imported with the first text."""

    def __init__(self) -> None:
        self._fonts: dict[tuple[str, int], Font] = {}

    def render(self, text: str, file: str, size: int, tag: str, *, rtl: bool) -> tuple[npt.NDArray[np.uint8], int]:
        """Coverage (H, W) uint8 of ``text``, 255 where the ink is, and the rows above its baseline.

        Text without width gives an array of size 0.
        """
        with environment(PYGAME_HIDE_SUPPORT_PROMPT="1"):
            import pygame  # noqa: PLC0415 -- slow, and only needed on machines whose Pillow cannot shape
            import pygame.font  # noqa: PLC0415 -- as above

        key = (file, size)
        if key not in self._fonts:
            pygame.font.init()
            self._fonts[key] = pygame.font.Font(file, size)
        font = self._fonts[key]
        font.set_script(tag)
        font.set_direction(pygame.DIRECTION_RTL if rtl else pygame.DIRECTION_LTR)
        if font.size(text)[0] == 0:  # a joiner or mark by itself
            return np.zeros((0, 0), np.uint8), 0
        surface = font.render(text, True, (255, 255, 255))  # noqa: FBT003 -- pygame takes no keyword for antialiasing
        rgba = np.frombuffer(pygame.image.tobytes(surface, "RGBA"), np.uint8)
        return rgba.reshape(surface.get_height(), surface.get_width(), 4)[..., 3].copy(), font.get_ascent()
