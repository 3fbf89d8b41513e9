"""Boxes with names, status lines, shapes and contact sheets, drawn on pictures.

``Canvas`` is a frame on its way to the screen: at the size at which it will be shown, so that what is drawn is sharp.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from facepool.liveness.session import LivenessResult, LivenessStep
from facepool.overlay.placement import Edges, Rect, Wanted, arrange
from facepool.overlay.text import Alpha, TextRenderer, after_number, with_number
from facepool.recognize.events import LiveView
from facepool.recognize.pictures import RecognizedFaces
from facepool.types import Decision, Detections, Image

Style = Literal["known", "unknown", "neutral"]
Color = tuple[int, int, int]
Box = tuple[float, float, float, float]
"""xyxy in pixels."""
SHIFT = 4
"""Bits after the point in coordinates given to OpenCV."""
_ARC_STEPS = 6
_CIRCLE = np.array(
    [
        (-math.cos(angle), -math.sin(angle))
        for quarter in range(4)
        for angle in (np.arange(_ARC_STEPS + 1) / _ARC_STEPS + quarter) * math.pi / 2
    ]
)
"""Points of the unit circle, clockwise from the left, those between two quarters twice: a rounded box's corners."""
_QUADRANTS = np.repeat(np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]), _ARC_STEPS + 1, axis=0)
"""The corner that each of them belongs to."""
_HUD_OPACITY = 184  # of 255
_HUD_PLATE: Color = (24, 20, 18)
_HUD_INK: Color = (245, 245, 245)


@dataclass(frozen=True, slots=True)
class Label:
    """A box with a text.

    Attributes:
        box: xyxy in pixels of the picture; may reach beyond it.
        text: Written on a plate beside the box; empty for a box alone.
        style: ``known`` is green, ``unknown`` red, ``neutral`` white.
        shorter: What is written instead where faces or other labels leave no room, longest first; an empty one at the
            end: it may be left out.
        outlined: Whether the box is drawn, too.
    """

    box: Box
    text: str = ""
    style: Style = "neutral"
    shorter: tuple[str, ...] = ()
    outlined: bool = True


@dataclass(frozen=True, slots=True)
class _Palette:
    """Colours, BGR: the line and plate, the text on the plate, and the hairline that sets both off the picture."""

    line: Color
    ink: Color
    shade: Color


_PALETTES: dict[Style, _Palette] = {
    "known": _Palette(line=(96, 204, 48), ink=(16, 36, 8), shade=(26, 56, 12)),
    "unknown": _Palette(line=(50, 44, 222), ink=(255, 255, 255), shade=(14, 10, 70)),
    "neutral": _Palette(line=(240, 240, 240), ink=(30, 30, 30), shade=(50, 50, 50)),
}


@dataclass(frozen=True, slots=True)
class _LabelSizes:
    """Sizes in pixels that follow the picture's."""

    font: int
    line: int
    pad_x: int
    pad_y: int
    radius: int

    @classmethod
    def of(cls, height: int, width: int) -> "_LabelSizes":
        font = min(max(round(6 + 0.02 * min(height, width)), 12), 72)
        return cls(
            font=font,
            line=max(2, round(font / 9)),
            pad_x=max(3, round(font * 0.4)),
            pad_y=max(1, round(font * 0.08)),
            radius=max(2, round(font * 0.25)),
        )


class Painter:
    """Draws labels and status lines; keeps fonts and drawn text, so make one and use it for all frames.

    Args:
        text: Draws the text; a new one by default.
    """

    def __init__(self, text: TextRenderer | None = None) -> None:
        self._text = text or TextRenderer()

    def draw(self, image_bgr: Image, labels: Sequence[Label], hud: Sequence[str] = ()) -> Image:
        """A copy of the picture with the labels, and the status lines at its top left.

        A text stands above its box; where that would cover a face or another text, below it, at its sides or in its
        corner, and always within the picture. Too long a text ends in an ellipsis. A box wholly outside the picture is
        left out.

        Args:
            image_bgr: (H, W, 3) uint8, BGR; not changed.
            labels: Later boxes lie above earlier ones; earlier texts choose their place first.
            hud: Lines of text, topmost first.

        Returns:
            (H, W, 3) uint8, BGR, contiguous; an exact copy where there is nothing to draw.
        """
        canvas = np.array(image_bgr, np.uint8, order="C")
        height, width = canvas.shape[:2]
        sizes = _LabelSizes.of(height, width)
        boxes = [(label, box) for label in labels if (box := _clip(label.box, height, width, sizes.line))]
        for label, box in (each for each in boxes if each[0].outlined):
            _draw_box(canvas, box, _PALETTES[label.style], sizes)
        taken = self._draw_hud(canvas, [line for line in hud if line], sizes)
        self._draw_texts(canvas, boxes, sizes, taken)
        return canvas

    def text(self, text: str, size: int, width: int) -> Alpha:
        """Coverage (H, W) uint8 of a line of text, shortened with an ellipsis to ``width`` pixels."""
        return self._text.render(self._text.fit(text, size, width), size)

    def _draw_texts(
        self, canvas: Image, boxes: Sequence[tuple[Label, Box]], sizes: _LabelSizes, taken: Sequence[Rect]
    ) -> None:
        """Write what labels say, where it covers no face."""
        height, width = canvas.shape[:2]
        written: list[tuple[Label, list[Alpha]]] = []
        wanted: list[Wanted] = []
        for label, box in boxes:
            texts = [label.text, *label.shorter] if label.text else [""]
            alphas = [self.text(text, sizes.font, width - 2 * sizes.pad_x) for text in texts]
            plates = (
                (alpha.shape[1] + 2 * sizes.pad_x, alpha.shape[0] + 2 * sizes.pad_y) if text else (0, 0)
                for text, alpha in zip(texts, alphas, strict=True)
            )
            written.append((label, alphas))
            wanted.append(Wanted(_outline(box, sizes), tuple(plates)))
        for (label, alphas), one, place in zip(written, wanted, arrange(wanted, (width, height), taken), strict=True):
            if place is None:
                continue
            palette = _PALETTES[label.style]
            plate = (place.x, place.y, *one.sizes[place.choice])
            _draw_plate(canvas, plate, sizes.radius, palette.line, palette.shade)
            blend(canvas, alphas[place.choice], place.x + sizes.pad_x, place.y + sizes.pad_y, palette.ink)

    def _draw_hud(self, canvas: Image, lines: Sequence[str], sizes: _LabelSizes) -> list[Rect]:
        if not lines:
            return []
        margin, pad = sizes.pad_x, sizes.pad_x
        room = canvas.shape[1] - 2 * (margin + pad)
        drawn = [self.text(line, sizes.font, room) for line in lines]
        width = max(alpha.shape[1] for alpha in drawn) + 2 * pad
        height = sum(alpha.shape[0] for alpha in drawn) + pad
        plate = np.zeros((height, width), np.uint8)
        outline = _rounded((0, 0, width - 1, height - 1), sizes.radius)
        cv2.fillPoly(plate, [_subpixels(outline)], _HUD_OPACITY, cv2.LINE_AA, SHIFT)
        blend(canvas, plate, margin, margin, _HUD_PLATE)
        y = margin + pad // 2
        for alpha in drawn:
            blend(canvas, alpha, margin + pad, y, _HUD_INK)
            y += alpha.shape[0]
        return [(margin, margin, width, height)]


def mirror(image_bgr: Image, labels: Sequence[Label]) -> tuple[Image, list[Label]]:
    """The picture as a mirror shows it, with the boxes where they belong; the texts stay readable.

    Args:
        image_bgr: (H, W, 3) uint8, BGR; not changed.
        labels: In pixels of ``image_bgr``.
    """
    width = image_bgr.shape[1]
    flipped = [
        replace(label, box=(width - x2, y1, width - x1, y2)) for label in labels for x1, y1, x2, y2 in [label.box]
    ]
    return np.ascontiguousarray(image_bgr[:, ::-1]), flipped


def _clip(box: Box, height: int, width: int, line: int) -> Box | None:
    """The part of the box inside the picture, with room for its line; None where there is none."""
    x1, y1, x2, y2 = (float(edge) for edge in box)
    inset = line / 2 + 1
    if not (x1 < width and y1 < height and x2 > 0 and y2 > 0 and x1 < x2 and y1 < y2):  # false for NaN too
        return None
    x1, y1 = min(max(x1, inset), width - 1 - inset), min(max(y1, inset), height - 1 - inset)
    x2, y2 = max(min(x2, width - 1 - inset), x1), max(min(y2, height - 1 - inset), y1)
    return x1, y1, x2, y2


def _draw_box(canvas: Image, box: Box, palette: _Palette, sizes: _LabelSizes) -> None:
    """A rounded outline on a hairline of shade, at fractions of a pixel so that it glides rather than jumps."""
    outline = _rounded(box, sizes.radius * 1.5)
    points = _subpixels(outline)
    for color, thickness in ((palette.shade, sizes.line + 2), (palette.line, sizes.line)):
        cv2.polylines(canvas, [points], True, color, thickness, cv2.LINE_AA, SHIFT)  # noqa: FBT003 -- closed


def _rounded(box: Box, radius: float) -> npt.NDArray[np.float64]:
    """(N, 2) outline of a rectangle whose corners are quarter circles, clockwise."""
    x1, y1, x2, y2 = box
    radius = min(radius, (x2 - x1) / 2, (y2 - y1) / 2)
    centre, half = np.array([x1 + x2, y1 + y2]) / 2, np.array([x2 - x1, y2 - y1]) / 2
    return np.asarray(centre + _QUADRANTS * (half - radius) + _CIRCLE * radius)


def _subpixels(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """As OpenCV takes points at fractions of a pixel."""
    return np.round(points * (1 << SHIFT)).astype(np.int32)


def _outline(box: Box, sizes: _LabelSizes) -> Edges:
    """Left, top, right and bottom of what a box and its line cover."""
    half = sizes.line / 2 + 1
    return round(box[0] - half), round(box[1] - half), round(box[2] + half), round(box[3] + half)


def _draw_plate(canvas: Image, rect: Rect, radius: int, color: Color, shade: Color) -> None:
    x, y, width, height = rect
    points = _subpixels(_rounded((x, y, x + width - 1, y + height - 1), radius))
    cv2.fillPoly(canvas, [points], color, cv2.LINE_AA, SHIFT)
    cv2.polylines(canvas, [points], True, shade, 1, cv2.LINE_AA, SHIFT)  # noqa: FBT003 -- closed


def blend(canvas: Image, alpha: Alpha, x: int, y: int, color: Color) -> None:
    """Lay ink on the canvas; what would fall outside is cut off."""
    part = canvas[y : y + alpha.shape[0], x : x + alpha.shape[1]]
    coverage = alpha[: part.shape[0], : part.shape[1], None].astype(np.uint16)
    part[:] = (part * (255 - coverage) + np.array(color, np.uint16) * coverage + 127) // 255


_TRACK = 60


def draw_bar(canvas: Image, rect: Rect, share: float, color: Color, track: Color) -> None:
    """A bar with round ends, filled from the left on a track that lets the picture through."""
    x, y, length, thickness = rect
    done = round(length * min(max(share, 0.0), 1.0))
    ink(canvas, _pill(length, thickness), x, y, track, _TRACK)
    if done:
        ink(canvas, _pill(max(done, thickness), thickness), x, y, color)


def draw_pill(canvas: Image, rect: Rect, color: Color) -> None:
    """A plate whose left and right ends are round."""
    x, y, width, height = rect
    ink(canvas, _pill(width, height), x, y, color)


def ink(canvas: Image, alpha: Alpha, x: int, y: int, color: Color, opacity: int = 255) -> None:
    """Lay ink on the canvas; what would fall outside is cut off on every side.

    Args:
        canvas: (H, W, 3) uint8, BGR; changed.
        alpha: (h, w) uint8, 255 where the ink is.
        x: Of the ink's left edge.
        y: Of its top edge.
        color: BGR.
        opacity: 0..255.
    """
    alpha = alpha[max(-y, 0) :, max(-x, 0) :]
    if opacity < 255 and alpha.size:
        alpha = np.asarray(cv2.convertScaleAbs(alpha, alpha=opacity / 255), np.uint8)
    blend(canvas, alpha, max(x, 0), max(y, 0), color)


def fixed(point: tuple[float, float]) -> tuple[int, int]:
    """A point, or a size, in OpenCV's fixed-point coordinates with ``SHIFT`` bits."""
    return round(point[0] * (1 << SHIFT)), round(point[1] * (1 << SHIFT))


def _pill(length: int, thickness: int) -> Alpha:
    alpha = np.zeros((max(thickness, 1), max(length, 1)), np.uint8)
    radius = (alpha.shape[0] - 1) / 2
    ends = fixed((radius, radius)), fixed((max(length - 1 - radius, radius), radius))
    cv2.line(alpha, *ends, (255,), alpha.shape[0], cv2.LINE_AA, SHIFT)
    return alpha


@dataclass(frozen=True, slots=True)
class Canvas:
    """What to draw on.

    Attributes:
        image_bgr: (H, W, 3) uint8, BGR, as the camera sees it.
        scale: Pixels of the canvas for one of the frame.
        mirrored: Whether it is shown as a mirror shows it; turned before text is drawn.
        keys: What the keys do, as long as that is worth a line.
    """

    image_bgr: Image
    scale: float = 1.0
    mirrored: bool = False
    keys: str = ""

    @classmethod
    def of(cls, frame_bgr: Image, size_wh: tuple[int, int], *, mirrored: bool = False, keys: str = "") -> "Canvas":
        """A frame, brought to a size of the same shape."""
        scale = size_wh[0] / frame_bgr.shape[1]
        if size_wh == (frame_bgr.shape[1], frame_bgr.shape[0]):
            return cls(frame_bgr, 1.0, mirrored, keys)
        # Averaging whole areas costs five times as much as interpolating, and shows only where much is left out.
        kernel = cv2.INTER_AREA if scale <= 1 / 2 else cv2.INTER_LINEAR
        resized = np.asarray(cv2.resize(frame_bgr, size_wh, interpolation=kernel), np.uint8)
        return cls(resized, scale, mirrored, keys)

    def place(self, box: Box) -> Box:
        """Where a box of the frame, xyxy in its pixels, lies on the canvas."""
        x1, y1, x2, y2 = box
        return x1 * self.scale, y1 * self.scale, x2 * self.scale, y2 * self.scale

    def paint(self, painter: Painter, labels: Sequence[Label], hud: Sequence[str] = ()) -> Image:
        """The picture with labels in pixels of the frame, and status lines; without any, with what the keys do."""
        image_bgr = self.image_bgr
        placed = [replace(label, box=self.place(label.box)) for label in labels]
        if self.mirrored:
            image_bgr, placed = mirror(image_bgr, placed)
        return painter.draw(image_bgr, placed, hud or [self.keys])


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


UNKNOWN_LABEL = "None"
"""What the red box of the original project says."""


def label_of(faces: RecognizedFaces, row: int) -> Label:
    """A green box with name and similarity, or a red one with ``None``; of several faces with the number of the row."""
    label = _label(faces.detections, row, faces.decisions[row])
    return _numbered(label, str(row + 1)) if len(faces) > 1 else label


def live_labels(view: LiveView) -> list[Label]:
    """The same for confirmed faces; a white box for one that is not decided yet, or not shown to be alive.

    Faces that are challenged are left out: see ``challenge_labels``.
    """
    asked = view.challenges or (None,) * len(view)
    return [
        Label(_edges(view.detections, row)) if decision is None else _label(view.detections, row, decision)
        for row, decision in enumerate(view.decisions)
        if view.confirmed[row] and asked[row] is None
    ]


def challenge_words(step: LivenessStep) -> str:
    """What is to be done, and how long there is for it where something is asked: ``Turn your head: left · 4 s``."""
    words = step.hint.text[:1].upper() + step.hint.text[1:]
    return f"{words} · {math.ceil(step.seconds_left)} s" if step.phase in ("turn", "back") else words


def outcome_words(result: LivenessResult) -> str:
    """How a challenge ended: ``Passed: a head did all that was asked``."""
    weaker = " (a partial challenge, which is weaker)" if result.passed and result.method == "challenge_partial" else ""
    return f"{'Passed' if result.passed else 'Not passed'}: {result.meaning}{weaker}"


def advice_words(result: LivenessResult) -> str:
    """What to do about it: ``Next time: turn the head further``; empty where it passed."""
    return f"Next time: {result.advice}" if result.advice else ""


def _label(detections: Detections, row: int, decision: Decision) -> Label:
    if decision.reason == "not_live":
        return Label(_edges(detections, row), "not shown to be alive", shorter=("alive?", ""))
    if decision.person is None:
        return Label(_edges(detections, row), UNKNOWN_LABEL, "unknown", shorter=("",))  # the red box says it, too
    text = with_number(decision.person, f"{decision.similarity:.2f}")
    return Label(_edges(detections, row), text, "known", shorter=(decision.person,))


def _numbered(label: Label, number: str) -> Label:
    """With the number in front, alone where there is room for nothing else."""
    longer = [after_number(number, text) for text in (label.text, *label.shorter) if text]
    may_be_left_out = label.shorter[-1:] == ("",)
    return replace(label, text=longer[0], shorter=(*longer[1:], number, *([""] if may_be_left_out else [])))


def _edges(detections: Detections, row: int) -> Box:
    x1, y1, x2, y2 = (float(edge) for edge in detections.boxes[row])
    return x1, y1, x2, y2
