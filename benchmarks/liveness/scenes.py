"""What stands before the camera while somebody is asked to turn: heads, sheets, screens, and one after the other."""

from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np

from facepool.types import Image, Pose
from liveness.heads import PIVOT_MM, Head
from liveness.motion import Asked, Follower, Place
from liveness.optics import Sensor
from liveness.sheets import Bend, Photo, Screen, Sheet, flat
from liveness.surfaces import Camera, Doubles, Placement, draw, project

_FACE_BEFORE_NECK_MM = 100.0


class Subject(Protocol):
    """Something that is filmed."""

    def put(self, picture_bgr: Image, camera: Camera, time_s: float, asked: Asked) -> Doubles:
        """Draw it into a picture as it is now; (2,) where its middle is seen."""


class HeadSubject:
    """A head that follows.

    Args:
        head: Whose.
        follower: How it moves.
        at_mm: (3,) of the point between its eyes when it rests.
    """

    def __init__(self, head: Head, follower: Follower, at_mm: Doubles) -> None:
        self._head, self._follower, self._at_mm = head, follower, at_mm

    def put(self, picture_bgr: Image, camera: Camera, time_s: float, asked: Asked) -> Doubles:
        """As ``Subject``."""
        place = self._follower.step(time_s, asked)
        at_mm = self._at_mm + PIVOT_MM + place.shift_mm
        draw(picture_bgr, camera, self._head.surface, Placement(_pose(place), at_mm, PIVOT_MM))
        yaw, pitch = np.radians([place.yaw_deg, place.pitch_deg])
        face = at_mm + _FACE_BEFORE_NECK_MM * np.array([np.sin(yaw), -np.sin(pitch), -1])
        return np.asarray(project(face[None], camera)[0])


class SheetSubject:
    """A photo on paper that is turned and moved as if it followed.

    Args:
        sheet: What is held.
        follower: How it moves.
        at_mm: (3,) of the face's middle at rest.
        pivot_mm: (3,) about which point of its own frame it turns.
        bend: How the sheet is bent while it is moved: of the share of a full turn, -1 to 1, to the right and upwards.
    """

    def __init__(
        self,
        sheet: Sheet,
        follower: Follower,
        at_mm: Doubles,
        pivot_mm: Doubles,
        bend: Callable[[float, float], Bend] = lambda _right, _up: flat,
    ) -> None:
        self._sheet, self._follower, self._at_mm, self._pivot_mm, self._bend = sheet, follower, at_mm, pivot_mm, bend

    def put(self, picture_bgr: Image, camera: Camera, time_s: float, asked: Asked) -> Doubles:
        """As ``Subject``."""
        place = self._follower.step(time_s, asked)
        surface = self._sheet.surface(self._bend(place.yaw_deg / 30, place.pitch_deg / 20))
        at_mm = self._at_mm + self._pivot_mm + place.shift_mm
        draw(picture_bgr, camera, surface, Placement(_pose(place), at_mm, self._pivot_mm))
        return np.asarray(project(at_mm[None], camera)[0])


class ScreenSubject:
    """A screen that shows a film, held in a hand or standing.

    Args:
        screen: The panel.
        film: The picture that it shows, by time and what is asked; ``asked`` is what the operator hears.
        follower: How it is held.
        at_mm: (3,) of the face's middle.
        follows: Whether the screen itself is turned as asked, too.
    """

    def __init__(
        self,
        screen: Screen,
        film: Callable[[float, Asked], Image],
        follower: Follower,
        at_mm: Doubles,
        *,
        follows: bool = False,
    ) -> None:
        self._screen, self._film, self._follower, self._at_mm, self._follows = screen, film, follower, at_mm, follows

    def put(self, picture_bgr: Image, camera: Camera, time_s: float, asked: Asked) -> Doubles:
        """As ``Subject``."""
        place = self._follower.step(time_s, asked if self._follows else None)
        at_mm = self._at_mm + place.shift_mm
        surface = self._screen.surface(self._film(time_s, asked))
        draw(picture_bgr, camera, surface, Placement(_pose(place), at_mm, np.zeros(3)))
        return np.asarray(project(at_mm[None], camera)[0])


class InTurn:
    """One subject, then another.

    Args:
        subjects: At least one.
        chosen: Which of them is before the camera, by time and what is asked; None: nobody, for a moment.
    """

    def __init__(self, subjects: Sequence[Subject], chosen: Callable[[float, Asked], int | None]) -> None:
        self._subjects, self._chosen = subjects, chosen
        self._last = np.zeros(2)

    def put(self, picture_bgr: Image, camera: Camera, time_s: float, asked: Asked) -> Doubles:
        """As ``Subject``."""
        row = self._chosen(time_s, asked)
        if row is not None:
            self._last = self._subjects[row].put(picture_bgr, camera, time_s, asked)
        return self._last


class Studio:
    """A camera in a room.

    Args:
        camera: Its geometry.
        room_bgr: (H, W, 3) uint8, what is behind everything.
        sensor: What it does to pictures.
    """

    def __init__(self, camera: Camera, room_bgr: Image, sensor: Sensor) -> None:
        self._camera, self._room, self._sensor = camera, room_bgr, sensor
        self._before: tuple[float, Doubles] | None = None

    def take(self, subject: Subject, time_s: float, asked: Asked) -> Image:
        """One picture."""
        picture = self._room.copy()
        centre = subject.put(picture, self._camera, time_s, asked)
        speed = np.zeros(2)
        if self._before is not None and time_s > self._before[0]:
            speed = np.clip((centre - self._before[1]) / (time_s - self._before[0]), -800, 800)
        self._before = (time_s, centre)
        return self._sensor.expose(picture, (float(speed[0]), float(speed[1])))


def room_of(photo: Photo, wh: tuple[int, int], pupils_px: float, middle_px: Doubles) -> Image:
    """The surroundings of a photo without its head, as large as a head in the room would have them, out of focus."""
    scale = pupils_px / photo.pupils_px
    small = cv2.resize(photo.image_bgr, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    mask = np.zeros(small.shape[:2], np.uint8)
    eyes, width = photo.landmarks[:2].mean(axis=0) / 4, photo.pupils_px / 4
    centre = (int(eyes[0]), int(eyes[1] + 0.3 * width))
    cv2.ellipse(mask, centre, (int(width * 1.8), int(width * 2.3)), 0, 0, 360, 255, -1)
    filled = cv2.inpaint(small, mask, 3, cv2.INPAINT_TELEA)
    matrix = np.array(
        [[4 * scale, 0, middle_px[0] - eyes[0] * 4 * scale], [0, 4 * scale, middle_px[1] - eyes[1] * 4 * scale]]
    )
    room = cv2.warpAffine(filled, matrix, wh, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.GaussianBlur(room, (0, 0), 2.5), np.uint8)


def _pose(place: Place) -> Pose:
    return Pose(place.yaw_deg, place.pitch_deg, place.roll_deg)
