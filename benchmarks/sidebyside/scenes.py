"""The pictures and the film that everybody is measured on, laid out as arrays so that all see the same pixels."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facepool import read_image
from facepool.capture import VideoWriter
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import ModelStore
from facepool.types import Image

_GRAY = 110
_FPS = 24.0
_FILM_FRAMES = 24


@dataclass(frozen=True, slots=True)
class Film:
    """A video and who is in it.

    Attributes:
        path: The file.
        portraits: Arrays of one picture each of people who may be in it.
        frames: How many it has.
    """

    path: Path
    portraits: tuple[Path, ...]
    frames: int


class Scenes:
    """Makes scenes out of the demo's photos, and uses ``../shared`` where it has real ones.

    Args:
        folder: Where arrays go.
        store: Has or fetches the demo's photos.
        shared: The folder of shared material; may not exist.
    """

    def __init__(self, folder: Path, store: ModelStore, shared: Path) -> None:
        self._folder = folder
        self._data = shared / "data"
        photos = store.pull_asset(DEMO_PHOTOS)
        self.photo = photos / "person_b_1.jpg"
        names = ("person_b_1", "person_a_2", "impostor_1", "person_b_2", "impostor_2", "person_a_1")
        self._faces = [read_image(photos / f"{name}.jpg") for name in names]

    def one_face(self, size_wh: tuple[int, int] = (640, 480)) -> Path:
        """One portrait that fills the height of a gray frame."""
        return self.crowd(1, size_wh)

    def six_faces(self) -> Path:
        """A group of six, 1280x886."""
        return self._real("group/t1.jpg") or self.crowd(6, (1280, 886))

    def many_faces(self) -> Path:
        """A group of twenty or more."""
        return self._real("group/ultralight_imgs/10.jpg") or self.crowd(24, (1280, 720))

    def crowd(self, faces: int, size_wh: tuple[int, int]) -> Path:
        """Portraits side by side, as large as they fit into a gray frame."""
        columns = min(range(1, faces + 1), key=lambda count: _waste(faces, count, size_wh))
        rows = -(-faces // columns)
        cell_wh = (size_wh[0] // columns, size_wh[1] // rows)
        whole = np.full((size_wh[1], size_wh[0], 3), _GRAY, np.uint8)
        for number in range(faces):
            _paste(whole, self._faces[number % len(self._faces)], number % columns, number // columns, cell_wh)
        return self._keep(f"crowd-{faces}-{size_wh[0]}x{size_wh[1]}", whole)

    def crops(self, count: int) -> Path:
        """(count, 112, 112, 3) uint8 BGR: as networks get them, but of noise, which costs them the same."""
        noise = np.random.default_rng(0).integers(0, 256, (count, 112, 112, 3), np.uint8)
        return self._keep(f"crops-{count}", noise)

    def film(self) -> Film:
        """A scene with several people."""
        clip = self._data / "videos" / "yakhyo-retinaface"
        if (clip / "in_video.mp4").is_file():
            people = sorted((clip / "faces").glob("*.png"))
            portraits = tuple(self._keep(f"portrait-{path.stem}", read_image(path)) for path in people)
            return Film(clip / "in_video.mp4", portraits, 632)
        return self.staged_film()

    def staged_film(self) -> Film:
        """A group of six that sways as a hand-held camera does."""
        group = np.load(self.crowd(6, (640, 480)))
        path = self._folder / "film.mp4"
        with VideoWriter(path, _FPS, (640, 480)) as writer:
            for number in range(_FILM_FRAMES):
                shift = np.array([[1, 0, 6 * np.sin(number / 9)], [0, 1, 4 * np.sin(number / 13)]], np.float32)
                writer.write(np.asarray(cv2.warpAffine(group, shift, (640, 480)), np.uint8))
        portraits = tuple(self._keep(f"portrait-{i}", face) for i, face in enumerate(self._faces[:2]))
        return Film(path, portraits, _FILM_FRAMES)

    def _real(self, name: str) -> Path | None:
        path = self._data / name
        return self._keep(path.stem, read_image(path)) if path.is_file() else None

    def _keep(self, name: str, array: Image) -> Path:
        path = self._folder / f"{name}.npy"
        np.save(path, np.ascontiguousarray(array))
        return path


def _waste(faces: int, columns: int, size_wh: tuple[int, int]) -> float:
    """How small portraits (4:5) get with so many columns."""
    rows = -(-faces // columns)
    return -min(size_wh[0] / columns / 4, size_wh[1] / rows / 5)


def _paste(whole: Image, face: Image, column: int, row: int, cell_wh: tuple[int, int]) -> None:
    scale = min(cell_wh[0] / face.shape[1], cell_wh[1] / face.shape[0])
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[: cell_wh[1], : cell_wh[0]]
    left = column * cell_wh[0] + (cell_wh[0] - small.shape[1]) // 2
    top = row * cell_wh[1] + (cell_wh[1] - small.shape[0]) // 2
    whole[top : top + small.shape[0], left : left + small.shape[1]] = small
