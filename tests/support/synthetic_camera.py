"""A camera whose every frame shows a photographed head in a pose that is known exactly.

The photo is projected straight onto a smooth head: an ellipsoid with a nose, a mouth and a chin. Rays are marched from
the camera to that surface, so that the nose hides a cheek as a real one does. What the photo does not show, the sides
and the back, is smeared; beyond about 45 degrees it looks it.

Millimetres in the head's own frame: x to the image's right, y downwards, z away from the camera, origin at the
ellipsoid's centre. Shape and proportions are this module's own, not those of ``facepool.faces.pose``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from facepool.types import Floats, Frame, Image, Pose

Doubles = npt.NDArray[np.float64]

_EYE_DISTANCE = 63.0
_WIDTH, _HEIGHT, _DEPTH = 71.0, 119.0, 95.0  # half axes of the head
_PIVOT = np.array([0.0, 50.0, 15.0])  # where the neck carries it
_DISTANCE = 680.0  # of its centre from the camera
_FIELD = 140  # half side of the square that the height field covers
_NOSE_OUT = 31.0  # how far the nose's tip stands out before the eyes
_TEXTURE_PX_PER_MM = 1.6
_COARSE = 3  # a ray is cast for every third pixel; the surface between is smooth
_MARCH = np.linspace(-140.0, 15.0, 24, dtype=np.float32)  # along a ray, from where it comes closest to the centre


@dataclass(frozen=True)
class Shot:
    """What one frame shows.

    Attributes:
        pose: Of the head; None for an empty room.
        shift: Of the head from the frame's centre, in pixels.
        scale: 1 is a face of about 150 pixels' width in a frame of 640.
        brightness: Factor on the grey levels.
        blur: Deviation of a Gaussian in pixels.
        head: In place of the camera's own.
        beside: A second head in the same frame; its brightness and blur count for nothing.
    """

    pose: Pose | None
    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    brightness: float = 1.0
    blur: float = 0.0
    head: "SyntheticHead | None" = None
    beside: "Shot | None" = None


class SyntheticHead:
    """A head made of one frontal photo.

    Args:
        photo_bgr: (H, W, 3) uint8 BGR, one face, with the whole head in the picture.
        landmarks: (5, 2) its landmarks in pixels of the photo.
    """

    def __init__(self, photo_bgr: Image, landmarks: Floats) -> None:
        points = landmarks.astype(np.float64)
        across = points[1] - points[0]
        px_per_mm = float(np.hypot(*across)) / _EYE_DISTANCE
        shrink = min(1.0, _TEXTURE_PX_PER_MM / px_per_mm)
        self._photo = np.asarray(cv2.resize(photo_bgr, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))
        right = across * shrink / _EYE_DISTANCE
        self._axes = np.stack([right, [-right[1], right[0]]], axis=1)  # from the head's xy to the photo's
        self._eyes = points[:2].mean(axis=0) * shrink
        self._surface = _surface((points * shrink - self._eyes) @ np.linalg.inv(self._axes).T)
        self._room_taken: tuple[object, Image] | None = None
        self._room = self._without(self._ellipse((0, -20), (_WIDTH * 1.8, _HEIGHT * 1.25)))
        shown = self._ellipse((0, 0), (_WIDTH * 0.88, _HEIGHT * 0.96))
        beyond = self._without(255 - shown)
        blend = cv2.GaussianBlur(shown, (0, 0), 3)[..., None] / np.float32(255)
        self._skin = np.asarray(beyond + (self._photo - beyond.astype(np.float32)) * blend, np.uint8)

    def render(
        self,
        pose: Pose,
        *,
        wh: tuple[int, int] = (640, 480),
        shift: tuple[float, float] = (0.0, 0.0),
        scale: float = 1.0,
        onto: Image | None = None,
    ) -> Image:
        """Take a picture of the head.

        Args:
            pose: Relative to the line of sight, as everywhere in facepool; 0 is the photo's own pose.
            wh: Size of the picture.
            shift: Of the head from the picture's centre, in pixels.
            scale: 1 is a face of a quarter of the picture's width.
            onto: A picture to put the head into; its own blurred surroundings by default.

        Returns:
            (H, W, 3) uint8 BGR.
        """
        image = self.room(wh, shift, scale) if onto is None else onto.copy()
        height, width = image.shape[:2]
        sight = np.array([shift[0] / width, shift[1] / width, 1.0])
        upright = towards(sight)
        rotation = upright @ rotation_of(pose)
        centre = sight * _DISTANCE / scale + upright @ _PIVOT - rotation @ _PIVOT
        left, top, right, bottom = _around(centre, (width, height))
        if left >= right or top >= bottom:
            return image
        box_wh = (right - left, bottom - top)
        columns = np.linspace(left, right - 1, box_wh[0] // _COARSE + 2) - width / 2
        rows = np.linspace(top, bottom - 1, box_wh[1] // _COARSE + 2) - height / 2
        x, y = np.meshgrid(columns / width, rows / width)
        rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ rotation
        met, hit = self._march((-rotation.T @ centre).astype(np.float32), rays.astype(np.float32))
        face, cover = self._coloured(met, hit, box_wh)
        under = image[top:bottom, left:right]
        under[:] = under + (face - under) * cover[..., None]
        return image

    def room(self, wh: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0), scale: float = 1.0) -> Image:
        """The photo's surroundings, blurred, without the head."""
        wanted = (wh, shift, scale)
        if self._room_taken is None or self._room_taken[0] != wanted:
            mm_per_px = _DISTANCE / scale / wh[0]
            to_photo = self._axes * mm_per_px
            middle = np.array([wh[0] / 2 + shift[0], wh[1] / 2 + shift[1]])
            matrix = np.column_stack([to_photo, self._eyes - to_photo @ middle])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            image = cv2.warpAffine(self._room, matrix, wh, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            self._room_taken = (wanted, np.asarray(image, np.uint8))
        return self._room_taken[1].copy()

    def _ellipse(self, centre_mm: tuple[float, float], half_axes_mm: tuple[float, float]) -> Image:
        """(H, W) uint8, 255 inside an ellipse that stands on the head, in the photo's pixels."""
        mask = np.zeros(self._photo.shape[:2], np.uint8)
        x, y = self._axes @ centre_mm + self._eyes
        size = 2 * np.array(half_axes_mm) * np.hypot(*self._axes[:, 0])
        degrees = float(np.degrees(np.arctan2(self._axes[1, 0], self._axes[0, 0])))
        cv2.ellipse(mask, ((float(x), float(y)), (float(size[0]), float(size[1])), degrees), 255, -1)
        return mask

    def _without(self, mask: Image) -> Image:
        """The photo with the masked part replaced by what surrounds it, blurred."""
        small = (self._photo.shape[1] // 4, self._photo.shape[0] // 4)
        photo = cv2.resize(self._photo, small, interpolation=cv2.INTER_AREA)
        filled = cv2.inpaint(photo, cv2.resize(mask, small, interpolation=cv2.INTER_NEAREST), 3, cv2.INPAINT_TELEA)
        large = cv2.resize(filled, (self._photo.shape[1], self._photo.shape[0]))
        return np.asarray(cv2.GaussianBlur(large, (0, 0), 4), np.uint8)

    def _march(self, origin: Floats, rays: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Where each ray first meets the head: x and y on the head, and whether it does.

        A ray that passes by gets the point where it comes closest, so that colours go on beyond the edge.
        """
        axes = np.array([_WIDTH, _HEIGHT, _DEPTH], np.float32)
        towards = rays / axes
        closest = -(towards @ (origin / axes)) / (towards * towards).sum(axis=-1)
        met = np.zeros(closest.shape, np.float32)
        before = deepest = np.full(closest.shape, -1e6, np.float32)
        hit = np.zeros(closest.shape, np.bool_)
        step = _MARCH[1] - _MARCH[0]
        for offset in _MARCH:
            t = closest + offset
            inside = self._depth_inside(origin + t[..., None] * rays)
            enters = ~hit & (inside > 0)
            nears = ~hit & ~enters & (inside > deepest)
            met[enters] = (t - step * inside / np.maximum(inside - before, 1e-6))[enters]
            met[nears] = t[nears]
            deepest = np.maximum(deepest, inside)
            hit |= enters
            before = inside
        return np.asarray(origin + met[..., None] * rays, np.float32)[..., :2], hit

    def _depth_inside(self, points: Floats) -> Floats:
        """About how many millimetres points lie inside the head; negative outside."""
        x, y, z = (np.ascontiguousarray(points[..., axis]) for axis in range(3))
        surface = cv2.remap(self._surface, x + _FIELD, y + _FIELD, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        front, radius = surface[..., 0], surface[..., 1]
        return np.asarray(np.where(z < 0, z - front, (1 - radius - (z / _DEPTH) ** 2) * _DEPTH), np.float32)

    def _coloured(self, met: Floats, hit: npt.NDArray[np.bool_], box_wh: tuple[int, int]) -> tuple[Floats, Floats]:
        in_photo = cv2.resize((met @ self._axes.T + self._eyes).astype(np.float32), box_wh)
        face = cv2.remap(
            self._skin, in_photo[..., 0], in_photo[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        cover = cv2.resize(cv2.GaussianBlur(hit.astype(np.float32), (0, 0), 0.8), box_wh)
        return face.astype(np.float32), np.asarray(np.clip((cover - 0.5) * 2.5 + 0.4, 0, 1), np.float32)


class SyntheticCamera:
    """A source of frames, as ``facepool.capture.FrameSource`` wants it, that takes one shot after the other.

    Args:
        head: Who sits before it.
        shots: What each frame shows; a bare pose is that pose at the frame's centre.
        fps: Frames per second that ``time_s`` counts; nothing waits for it.
        wh: Size of the frames.
        live: What the source claims to be.
    """

    name = "synthetic"
    description = "synthetic camera"

    def __init__(
        self,
        head: SyntheticHead,
        shots: Sequence[Pose | Shot],
        fps: float = 30.0,
        *,
        wh: tuple[int, int] = (640, 480),
        live: bool = False,
    ) -> None:
        self.shots = [shot if isinstance(shot, Shot) else Shot(shot) for shot in shots]
        self.fps: float | None = fps
        self.frame_count: int | None = None if live else len(shots)
        self.live = live
        self._head = head
        self._wh = wh
        self._period_s = 1 / fps
        self._next = 0

    def __iter__(self) -> Iterator[Frame]:
        while self._next < len(self.shots):
            index = self._next
            self._next += 1
            yield Frame(self.take(self.shots[index]), self.name, index, index * self._period_s)

    def take(self, shot: Shot) -> Image:
        """One picture, (H, W, 3) uint8 BGR."""
        head = shot.head or self._head
        image = head.room(self._wh, shot.shift, shot.scale)
        for seen in (shot, shot.beside):
            if seen is not None and seen.pose is not None:
                image = (seen.head or self._head).render(seen.pose, shift=seen.shift, scale=seen.scale, onto=image)
        if shot.blur > 0:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), shot.blur), np.uint8)
        return image if shot.brightness == 1 else cv2.convertScaleAbs(image, alpha=shot.brightness).astype(np.uint8)

    def close(self) -> None:
        """Yield nothing from now on."""
        self._next = len(self.shots)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def head_circle(
    radius_degrees: float, frames: int, *, pitch_share: float = 0.7, still: int = 10, rounds: int = 1
) -> list[Pose]:
    """A head that looks straight ahead and then round in a circle, as Face ID asks for.

    Args:
        radius_degrees: Yaw at the circle's left and right end.
        frames: Poses on each round.
        pitch_share: Pitch at the upper and lower end is this part of the radius: necks turn further than they nod.
        still: Poses that look straight ahead, before the first round.
        rounds: How often.

    Returns:
        ``still + rounds * frames`` poses without roll: right, up, left, down.
    """
    angles = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    circle = [
        Pose(radius_degrees * float(np.cos(angle)), radius_degrees * pitch_share * float(np.sin(angle)), 0.0)
        for angle in angles
    ]
    return [Pose(0.0, 0.0, 0.0)] * still + circle * rounds


def _surface(landmarks: Doubles) -> Floats:
    """The head seen from the front: (S, S, 2) depth of its front, and squared distance from its axis (1: outline)."""
    side = np.arange(-_FIELD, _FIELD + 1, dtype=np.float64)
    x, y = np.meshgrid(side, side)
    # Flatter than an ellipsoid, as foreheads and chins are.
    radius = np.abs(x / _WIDTH) ** 2.2 + np.abs(y / _HEIGHT) ** 3
    front = np.where(radius < 1, -_DEPTH * np.sqrt(np.clip(1 - radius, 0, 1)), (radius - 1) * _WIDTH)
    nose, mouth = landmarks[2], landmarks[3:].mean(axis=0)
    eyes = -_DEPTH * np.sqrt(1 - (_EYE_DISTANCE / 2 / _WIDTH) ** 2.2)
    bumps = [
        (mouth[0], mouth[1], 24.0, 22.0, -9.0),
        (mouth[0], mouth[1] + 32, 20.0, 14.0, -12.0),
        (*(nose * 0.62), 8.0, 11.0, -12.0),
    ]
    for bump in bumps:
        front += _bump(x, y, *bump)
    missing = eyes - _NOSE_OUT - float(front[int(nose[1]) + _FIELD, int(nose[0]) + _FIELD])
    front += _bump(x, y, nose[0], nose[1], 9.0, 8.0, missing)
    return np.stack([front, radius], axis=-1).astype(np.float32)


def _bump(x: Doubles, y: Doubles, at_x: float, at_y: float, wide: float, high: float, out: float) -> Doubles:
    return np.asarray(out * np.exp(-(((x - at_x) / wide) ** 2 + ((y - at_y) / high) ** 2) / 2))


def rotation_of(pose: Pose) -> Doubles:
    """From the head's frame to that of somebody who looks straight at it; signs as in ``Pose``."""
    yaw, pitch, roll = np.radians([pose.yaw, pose.pitch, pose.roll])
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(turn @ nod @ tilt)


def towards(sight: Doubles) -> Doubles:
    """From the frame of somebody who looks along a line of sight, upright, to the camera's."""
    forward = sight / np.linalg.norm(sight)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward], axis=1)


def _around(centre: Doubles, wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the picture that holds the whole head, in any pose."""
    width, height = wh
    reach = 1.15 * width * _HEIGHT / (centre[2] - _DEPTH)
    x, y = centre[:2] / centre[2] * width + np.array(wh) / 2
    return max(int(x - reach), 0), max(int(y - reach), 0), min(int(x + reach), width), min(int(y + reach), height)
