"""What a camera does to what it sees: out of focus, blurred by motion, noisy, compressed."""

from dataclasses import dataclass

import cv2
import numpy as np

from facepool.types import Image

_GRAIN = 64  # pixels by which the pattern of noise is shifted from frame to frame, at most


@dataclass(frozen=True)
class Lens:
    """How good a camera is.

    Attributes:
        defocus_px: Deviation of a Gaussian.
        noise: Deviation of the sensor's noise in grey levels.
        exposure_s: For how long a frame is exposed; what moves is blurred.
        gain: Factor on the grey levels.
        jpeg: Quality of the compression, 1 to 100.
    """

    defocus_px: float
    noise: float
    exposure_s: float
    gain: float
    jpeg: int

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Lens":
        """From a good webcam to a poor one."""
        return cls(
            defocus_px=float(random.uniform(0.3, 1.1)),
            noise=float(random.uniform(1, 6)),
            exposure_s=float(random.uniform(0.004, 0.03)),
            gain=float(random.uniform(0.75, 1.2)),
            jpeg=int(random.integers(45, 92)),
        )


class Sensor:
    """Takes pictures through a lens."""

    def __init__(self, lens: Lens, wh: tuple[int, int], random: np.random.Generator) -> None:
        self._lens, self._wh, self._random = lens, wh, random
        grain = random.normal(0, lens.noise, (wh[1] + _GRAIN, wh[0] + _GRAIN, 3))
        self._grain = np.round(cv2.GaussianBlur(grain, (0, 0), 0.6) * 1.6).astype(np.int16)

    def expose(self, picture_bgr: Image, speed_px_s: tuple[float, float] = (0.0, 0.0)) -> Image:
        """What comes out of the camera.

        Args:
            picture_bgr: (H, W, 3) uint8, as sharp as it was drawn.
            speed_px_s: Of what is being looked at; the whole picture is blurred along it.
        """
        lens = self._lens
        picture = cv2.GaussianBlur(picture_bgr, (0, 0), lens.defocus_px)
        way = np.array(speed_px_s) * lens.exposure_s
        if np.hypot(*way) > 1:
            picture = cv2.filter2D(picture, -1, _smear(way))
        if lens.gain != 1:
            picture = cv2.convertScaleAbs(picture, alpha=lens.gain)
        x, y = self._random.integers(0, _GRAIN, 2)
        noisy = picture.astype(np.int16) + self._grain[y : y + self._wh[1], x : x + self._wh[0]]
        _, jpeg = cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, lens.jpeg])
        return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)


def _smear(way_px: np.ndarray) -> np.ndarray:
    side = 2 * int(np.ceil(np.abs(way_px).max() / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    middle = side / 2 - 0.5
    for share in np.linspace(-0.5, 0.5, 2 * side):
        x, y = np.round(middle + way_px * share).astype(int)
        kernel[y, x] += 1
    return np.asarray(kernel / kernel.sum())
