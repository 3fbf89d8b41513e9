"""A frame on its way to the screen: at the size at which it will be shown, so that what is drawn on it is sharp."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from facepool.overlay.painter import Label, Painter, mirror
from facepool.types import Image

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Canvas:
    """What to draw on.

    Attributes:
        image_bgr: (H, W, 3) uint8, BGR, as the camera sees it.
        scale: Pixels of the canvas for one of the frame.
        mirrored: Whether it is shown as a mirror shows it; who draws turns it, before the text.
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
