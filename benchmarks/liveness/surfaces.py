"""Textured surfaces before a pinhole camera: triangles, far ones first, each with its exact perspective.

Millimetres; x to the picture's right, y downwards, z away from the camera, which sits at the origin.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facepool.types import Image, Pose

Doubles = npt.NDArray[np.float64]
Triangles = npt.NDArray[np.intp]

_SUBPIXEL_BITS = 4
_NEAREST_MM = 20.0
_BLOCK = 256


@dataclass(frozen=True)
class Camera:
    """A pinhole.

    Attributes:
        wh: Size of its pictures.
        focal_px: Focal length in pixels of them.
    """

    wh: tuple[int, int]
    focal_px: float


@dataclass(frozen=True)
class Surface:
    """What is filmed.

    Attributes:
        vertices_mm: (V, 3) in its own frame.
        triangles: (F, 3) rows of vertices, clockwise as the camera sees the outside.
        texture_bgr: (H, W, 3) uint8.
        texture_px: (V, 2) where each vertex lies in the texture.
        two_sided: Whether its back is to be seen, too.
    """

    vertices_mm: Doubles
    triangles: Triangles
    texture_bgr: Image
    texture_px: Doubles
    two_sided: bool = False


@dataclass(frozen=True)
class Placement:
    """Where a surface is.

    Attributes:
        pose: How it is turned; (0, 0, 0) shows its front to somebody who looks along z.
        at_mm: (3,) where its pivot is.
        pivot_mm: (3,) about which point of its own frame it turns.
    """

    pose: Pose
    at_mm: Doubles
    pivot_mm: Doubles


def rotation_of(pose: Pose) -> Doubles:
    """(3, 3): positive yaw faces the picture's right, positive pitch upwards, as in ``facepool.Pose``."""
    yaw, pitch, roll = np.radians([pose.yaw, pose.pitch, pose.roll])
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(turn @ nod @ tilt)


def in_room(points_mm: Doubles, placement: Placement) -> Doubles:
    """(V, 3) points of a surface's own frame in the camera's."""
    return np.asarray((points_mm - placement.pivot_mm) @ rotation_of(placement.pose).T + placement.at_mm)


def project(points_mm: Doubles, camera: Camera) -> Doubles:
    """(V, 2) where the camera sees points of its own frame."""
    return np.asarray(camera.focal_px * points_mm[:, :2] / points_mm[:, 2:] + np.array(camera.wh) / 2)


def draw(picture_bgr: Image, camera: Camera, surface: Surface, placement: Placement) -> None:
    """Put a surface into a picture, over what is there already. Nothing happens where it is behind the camera."""
    placed = in_room(surface.vertices_mm, placement)
    if placed[:, 2].min() < _NEAREST_MM:
        return
    seen = project(placed, camera)
    left, top = np.maximum(np.floor(seen.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(seen.max(axis=0)).astype(int) + 2, camera.wh)
    if left >= right or top >= bottom:
        return
    corners = seen[surface.triangles] - (left, top)
    nearness = 1 / placed[surface.triangles, 2]
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    facing = ax * by - ay * bx
    shown = np.flatnonzero((np.abs(facing) > 1e-6) if surface.two_sided else (facing > 1e-6))
    far_first = shown[np.argsort(nearness[shown].mean(axis=1))]
    owner = np.full((bottom - top, right - left), -1, np.int32)
    fixed = np.round(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    for row in far_first.tolist():
        cv2.fillConvexPoly(owner, fixed[row], row, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    _paint(picture_bgr[top:bottom, left:right], owner, _to_texture(corners, nearness, surface), surface.texture_bgr)


def _to_texture(corners: Doubles, nearness: Doubles, surface: Surface) -> npt.NDArray[np.float32]:
    """(F, 3, 3) from a triangle's pixels (x, y, 1) to homogeneous pixels of the texture, up to a factor."""
    ones = np.ones((len(corners), 3, 1))
    on_screen = np.swapaxes(np.concatenate([corners, ones], axis=2), 1, 2)
    in_texture = np.swapaxes(np.concatenate([surface.texture_px[surface.triangles], ones], axis=2), 1, 2)
    columns = [on_screen[:, :, number] for number in range(3)]
    # The adjugate, which is the inverse up to a factor, and exists for every triangle.
    adjugate = np.stack([np.cross(columns[1], columns[2]), np.cross(columns[2], columns[0]),
                         np.cross(columns[0], columns[1])], axis=1)  # fmt: skip
    return np.asarray((in_texture * nearness[:, None, :]) @ adjugate, np.float32)


def _paint(into: Image, owner: npt.NDArray[np.int32], to_texture: npt.NDArray[np.float32], texture_bgr: Image) -> None:
    rows, columns = np.nonzero(owner >= 0)
    if len(rows) == 0:
        return
    maps = to_texture[owner[rows, columns]]
    x, y = columns.astype(np.float32)[:, None], rows.astype(np.float32)[:, None]
    u, v, w = (maps[:, :, 0] * x + maps[:, :, 1] * y + maps[:, :, 2]).T
    # OpenCV takes neither longer columns nor longer rows than 32,767: the list of pixels becomes a block.
    at = np.zeros((2, -(-len(rows) // _BLOCK) * _BLOCK), np.float32)
    at[0, : len(rows)], at[1, : len(rows)] = u / w, v / w
    x_map, y_map = at.reshape(2, -1, _BLOCK)
    colours = cv2.remap(texture_bgr, x_map, y_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    into[rows, columns] = colours.reshape(-1, 3)[: len(rows)]
