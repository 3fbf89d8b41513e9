"""Pictures whose faces are painted into them as numbers, and the analyzer that reads them: any process can make it."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from facepool.faces.analyze import AnyImage, Faces, pixels_of
from support.fake_analyzer import FakeAnalyzer, Scene, view


class PaintedAnalyzer(FakeAnalyzer):
    """Finds in each pixel of a picture's first row a face: its red is the person, its green the angle in degrees.

    Black pixels are none. Blue is what else a picture is to be told apart by.
    """

    def analyze_batch(self, images_bgr: Sequence[AnyImage], *, moving: bool = False) -> list[Faces]:
        del moving
        self.batches.append(len(images_bgr))
        return [self._faces(_scene(pixels_of(image)[0])) for image in images_bgr]


def _scene(row: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Scene:
    faces = [(int(red) - 1, int(green)) for _, green, red in row if red]
    return Scene(*(view(person, angle) for person, angle in faces))


def paint(path: Path, *faces: tuple[int, int], blue: int = 0) -> Path:
    """A picture of some faces, by person (0 to 3) and angle in degrees (0 to 255)."""
    row = np.zeros((4, 8, 3), np.uint8)
    row[..., 2] = blue
    for place, (person, angle) in enumerate(faces):
        row[0, place] = (person + 1, angle, blue)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(row).save(path)
    return path


class SlowPaintedAnalyzer(PaintedAnalyzer):
    """Takes as long as networks do, so that something can happen meanwhile."""

    def analyze_batch(self, images_bgr: Sequence[AnyImage], *, moving: bool = False) -> list[Faces]:
        time.sleep(0.03 * len(images_bgr))
        return super().analyze_batch(images_bgr, moving=moving)


DEADLY = 66
"""The blue of a picture that no worker survives."""


class DeadlyAnalyzer(PaintedAnalyzer):
    """Dies of some pictures, as a decoder may that takes all of the memory."""

    def analyze_batch(self, images_bgr: Sequence[AnyImage], *, moving: bool = False) -> list[Faces]:
        if any(int(pixels_of(image)[1, 0, 0]) == DEADLY for image in images_bgr):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().analyze_batch(images_bgr, moving=moving)
