"""Pictures side by side, each with its caption."""

from collections.abc import Sequence

import cv2
import numpy as np

from facepool.overlay.painter import Color, Painter, blend
from facepool.types import Image

_PAPER: Color = (250, 251, 252)
_INK: Color = (40, 34, 30)
_FAINT: Color = (128, 118, 110)
_TILE_WH = (420, 320)
_MARGIN = 28
_FONT = 19


def contact_sheet(
    images_bgr: Sequence[Image], captions: Sequence[str], columns: int, *, painter: Painter | None = None
) -> Image:
    """A grid of pictures on paper, row by row, each fitted into a tile of one size with its caption below.

    Args:
        images_bgr: Pictures (H, W, 3) uint8, BGR, of any size.
        captions: One for each picture; the lines after its first are set fainter. Too long a line is shortened.
        columns: Pictures a row, at least 1; fewer pictures make a narrower sheet.
        painter: Draws the captions; a new one by default.

    Returns:
        (H, W, 3) uint8, BGR; bare paper where there are no pictures.

    Raises:
        ValueError: Pictures and captions differ in number, or ``columns`` is less than 1.
    """
    if len(images_bgr) != len(captions) or columns < 1:
        raise ValueError(f"{len(images_bgr)} pictures, {len(captions)} captions, {columns} columns")
    painter = painter or Painter()
    lines = [[painter.text(line, _FONT, _TILE_WH[0]) for line in caption.split("\n")] for caption in captions]
    tile_w, tile_h = _TILE_WH
    caption_h = max((sum(line.shape[0] for line in entry) for entry in lines), default=0)
    columns = min(columns, max(len(images_bgr), 1))
    rows = -(-len(images_bgr) // columns)
    step_x, step_y = tile_w + _MARGIN, tile_h + caption_h + _MARGIN + _MARGIN // 2
    sheet = np.full((_MARGIN + max(rows * step_y, 1), _MARGIN + columns * step_x, 3), _PAPER, np.uint8)
    for i, (image_bgr, entry) in enumerate(zip(images_bgr, lines, strict=True)):
        x, y = _MARGIN + i % columns * step_x, _MARGIN + i // columns * step_y
        _paste(sheet, image_bgr, x, y)
        below = y + tile_h + _MARGIN // 3
        for line, color in zip(entry, [_INK] + [_FAINT] * len(entry), strict=False):
            blend(sheet, line, x, below, color)
            below += line.shape[0]
    return sheet


def _paste(sheet: Image, image_bgr: Image, x: int, y: int) -> None:
    """Fit the picture into the tile at (x, y): its left edge on the tile's, its bottom on the tile's bottom."""
    height, width = image_bgr.shape[:2]
    scale = min(_TILE_WH[0] / width, _TILE_WH[1] / height)
    fitted_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    fitted = cv2.resize(image_bgr, fitted_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top = y + _TILE_WH[1] - fitted_wh[1]
    sheet[top : top + fitted_wh[1], x : x + fitted_wh[0]] = fitted
