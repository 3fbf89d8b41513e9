"""Heads made of photographs: 468 points of a face as a network sees them in depth, and a skull behind them.

The network is MediaPipe's Face Mesh (Apache-2.0; Kartynnik et al., "Real-time Facial Surface Geometry from Monocular
Video on Mobile GPUs", 2019). It is read out of a package archive when the benchmark runs, never installed, and knows
nothing of the rigid face of five points that facepool measures poses with.
"""

import ast
import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import openvino

from facepool.faces.analyze import Analyzer
from facepool.models.catalog import Asset, Licence, PackageMember, PublishedFile
from facepool.models.store import ModelStore, default_root
from facepool.types import Detections, Image
from liveness.surfaces import Doubles, Surface, Triangles

_WHEEL = "956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5"


def _member(name: str, sha256: str, size: int, member: str) -> PublishedFile:
    return PublishedFile(name, sha256, size, (PackageMember("mediapipe", "0.10.21", "wheel", _WHEEL, member),))


FACE_MESH = Asset(
    name="face-mesh",
    licence=Licence(
        name="Apache-2.0",
        url="https://www.apache.org/licenses/LICENSE-2.0",
        restricts_use=False,
        summary="MediaPipe's Face Mesh.",
    ),
    files=(
        _member(
            "face_landmark.tflite",
            "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            1_242_398,
            "mediapipe/modules/face_landmark/face_landmark.tflite",
        ),
        _member(
            "face_mesh_connections.py",
            "cc7171e44d0612db38720cb2fd2516c395992cdd7457efe341543be6f3c22d87",
            36_170,
            "mediapipe/python/solutions/face_mesh_connections.py",
        ),
        _member(
            "LICENSE",
            "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8",
            12_331,
            "mediapipe-0.10.21.dist-info/LICENSE",
        ),
    ),
)

PIVOT_MM = np.array([0.0, 70.0, 75.0])
"""Where the neck carries a head, from the point between its eyes."""

_SIDE = 192
_POINTS = 468
_RIGHT_EYE, _LEFT_EYE = (33, 133), (362, 263)  # corners, image-left eye first
_MOUTH, _FOREHEAD, _CHIN, _NOSE = (61, 291), 10, 152, 1
_PAIRS = ((33, 263), (133, 362), (61, 291), (234, 454), (172, 397), (54, 284))
_PUPILS_MM = 63.0
_SURE = 5.0  # the network's own score, a logit
# Rings of skull behind the face's edge, as (outwards, backwards) in millimetres at the side, the top and the bottom.
_COLOURED = 0.6
_RINGS = (
    ((7.0, 20.0), (18.0, 14.0), (0.0, 24.0)),
    ((13.0, 48.0), (38.0, 42.0), (14.0, 52.0)),
    ((15.0, 82.0), (50.0, 82.0), (45.0, 62.0)),
    ((6.0, 112.0), (42.0, 120.0), (95.0, 70.0)),
)


class NoHead(Exception):
    """A photo that gives no head: no face, one that is turned away, or none that the network is sure of."""


@dataclass(frozen=True)
class Head:
    """A head that looks straight ahead.

    Attributes:
        surface: Its origin is between the eyes.
        photo_pose_deg: How far it is turned in the photo, (yaw, pitch).
    """

    surface: Surface
    photo_pose_deg: tuple[float, float]

    def built(self, build: "Build") -> "Head":
        """The same face on a head of another build."""
        vertices = self.surface.vertices_mm.copy()
        aside = np.linalg.norm((vertices - vertices[_NOSE])[:_POINTS, :2], axis=1)
        vertices[:, 2] *= build.depth
        vertices[:_POINTS, 2] -= build.nose_mm * np.exp(-((aside / 14) ** 2) / 2)
        vertices[:, 1] *= build.long
        return replace(self, surface=replace(self.surface, vertices_mm=vertices * build.size))


@dataclass(frozen=True)
class Build:
    """How a head differs from what the network made of its photo.

    Attributes:
        size: Of the whole head; 1 has 63 mm between the pupils.
        depth: Factor on depths.
        nose_mm: By how much the nose's tip stands out further.
        long: Factor on heights.
    """

    size: float = 1.0
    depth: float = 1.0
    nose_mm: float = 0.0
    long: float = 1.0

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Build":
        """As people differ, about: deviations of 5 % in size, 8 % in depth, 2.5 mm of nose and 3 % in height."""
        size, depth, nose, long = random.normal(0, 1, 4)
        return cls(1 + 0.05 * size, 1 + 0.08 * depth, 2.5 * nose, 1 + 0.03 * long)


class HeadMaker:
    """Makes heads of photos.

    Args:
        analyzer: Finds the faces.
        store: Has the face mesh, or fetches it.
    """

    def __init__(self, analyzer: Analyzer, store: ModelStore | None = None) -> None:
        folder = (store or ModelStore(default_root())).pull_asset(FACE_MESH)
        core = openvino.Core()
        network = core.read_model(folder / "face_landmark.tflite")
        self._network = core.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": 1})
        self._analyzer = analyzer
        self._face, self._edge = _triangles(folder / "face_mesh_connections.py")
        self._triangles = np.concatenate([self._face, _skull(self._edge)])

    def make(self, photo_bgr: Image) -> Head:
        """A head with a photo's face.

        Args:
            photo_bgr: (H, W, 3) uint8 BGR; the largest face counts.

        Raises:
            NoHead: There is no face that looks into the camera, within 25 degrees.
        """
        points = self._mesh(photo_bgr)
        axes = _axes(points)
        yaw = float(np.degrees(np.arctan2(-axes[0, 2], -axes[2, 2])))
        pitch = float(np.degrees(np.arcsin(-axes[1, 2])))
        yaw = (yaw + 270) % 180 - 90
        if max(abs(yaw), abs(pitch)) > 25:
            raise NoHead(f"it is turned by {yaw:.0f} and {pitch:.0f} degrees")
        eyes = points[[*_RIGHT_EYE, *_LEFT_EYE]]
        middle = eyes.mean(axis=0)
        px_per_mm = float(np.linalg.norm(eyes[:2].mean(axis=0) - eyes[2:].mean(axis=0))) / _PUPILS_MM
        straight = (points - middle) @ axes / px_per_mm
        whole = np.concatenate([straight, *_rings(straight, self._edge, backwards=True)])
        coloured = np.concatenate([straight, *_rings(straight, self._edge, backwards=False)])
        in_photo = (coloured @ axes.T * px_per_mm + middle)[:, :2]
        surface = Surface(whole, self._triangles, photo_bgr, in_photo, two_sided=True)
        return Head(surface, (yaw, pitch))

    def _mesh(self, photo_bgr: Image) -> Doubles:
        """(468, 3) points in pixels of the photo."""
        found = self._analyzer.find(photo_bgr)
        if len(found) == 0:
            raise NoHead("no face")
        matrix = _upright(found[np.argsort(-found.sizes)[:1]])
        crop = cv2.warpAffine(photo_bgr, matrix, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE)
        outputs = list(self._network(crop[None, :, :, ::-1].astype(np.float32) / 255).values())
        if float(outputs[1].ravel()[0]) < _SURE:
            raise NoHead("the face mesh is not sure of it")
        points = outputs[0].reshape(_POINTS, 3).astype(np.float64)
        back = cv2.invertAffineTransform(matrix)
        scale = float(np.sqrt(np.linalg.det(back[:, :2])))
        return np.column_stack([points[:, :2] @ back[:, :2].T + back[:, 2], points[:, 2] * scale])


def _upright(face: Detections) -> Doubles:
    """(2, 3) from the photo to the network's square, in which the eyes are level."""
    right, left = face.landmarks[0, :2].astype(np.float64)
    angle = float(np.arctan2(*(left - right)[::-1]))
    box = face.boxes[0].astype(np.float64)
    size = float(max(box[2] - box[0], box[3] - box[1])) * 1.5
    cos, sin = np.cos(angle) * _SIDE / size, np.sin(angle) * _SIDE / size
    linear = np.array([[cos, sin], [-sin, cos]])
    return np.column_stack([linear, np.full(2, _SIDE / 2) - linear @ (box[:2] + box[2:]) / 2])


def _axes(points: Doubles) -> Doubles:
    """(3, 3) the head's own x, y and z as columns, from what is alike left and right, and from forehead to chin."""
    across = np.array([points[left] - points[right] for right, left in _PAIRS])
    x = (across / np.linalg.norm(across, axis=1, keepdims=True)).mean(axis=0)
    x /= np.linalg.norm(x)
    y = points[_CHIN] - points[_FOREHEAD]
    y -= (y @ x) * x
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _triangles(connections: Path) -> tuple[Triangles, list[int]]:
    """The face's triangles, and the points of its edge in order; the module is parsed, never run."""
    edges = {}
    for statement in ast.parse(connections.read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call) and statement.value.args:
            (target,) = statement.targets
            if isinstance(target, ast.Name) and isinstance(statement.value.args[0], ast.List):
                edges[target.id] = ast.literal_eval(statement.value.args[0])
    corners = np.array([first for first, _ in edges["FACEMESH_TESSELATION"]]).reshape(-1, 3)
    lips = _loops(edges["FACEMESH_LIPS"])
    holes = [_loops(edges["FACEMESH_LEFT_EYE"])[0], _loops(edges["FACEMESH_RIGHT_EYE"])[0], min(lips, key=len)]
    fans = [(loop[0], one, other) for loop in holes for one, other in itertools.pairwise(loop[1:])]
    # The list goes round counter-clockwise, the loops either way: which is outside is seen on a face.
    return np.concatenate([corners[:, ::-1], np.array(fans)]).astype(np.intp), _loops(edges["FACEMESH_FACE_OVAL"])[0]


def _loops(edges: list[tuple[int, int]]) -> list[list[int]]:
    """Closed ways along edges."""
    left = [set(edge) for edge in edges]
    loops = []
    while left:
        loop = list(left.pop())
        while loop[0] != loop[-1] or len(loop) < 3:
            edge = next(edge for edge in left if loop[-1] in edge)
            left.remove(edge)
            loop.append(next(iter(edge - {loop[-1]})))
        loops.append(loop[:-1])
    return loops


def _rings(face: Doubles, edge: list[int], *, backwards: bool) -> list[Doubles]:
    """(E, 3) each, the skull's rings behind the face's edge; or from where in the photo they have their colours.

    Colours come from a band close to the edge: what lies further out in a photo is its background.
    """
    rim = face[edge]
    outwards = rim[:, :2] - rim[:, :2].mean(axis=0)
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    side, top, bottom = outwards[:, 0] ** 2, np.minimum(outwards[:, 1], 0) ** 2, np.maximum(outwards[:, 1], 0) ** 2
    rings = []
    for ring in _RINGS:
        outward, backward = (np.stack([side, top, bottom], axis=1) @ np.array(ring)).T
        if not backwards:
            outward, backward = outward * _COLOURED, np.zeros_like(backward)
        rings.append(np.column_stack([rim[:, :2] + outward[:, None] * outwards, rim[:, 2] + backward]))
    return rings


def _skull(edge: list[int]) -> Triangles:
    count = len(edge)
    levels = [np.array(edge), *(_POINTS + count * ring + np.arange(count) for ring in range(len(_RINGS)))]
    triangles = []
    for inner, outer in itertools.pairwise(levels):
        for here in range(count):
            there = (here + 1) % count
            triangles += [(inner[here], outer[here], inner[there]), (inner[there], outer[here], outer[there])]
    return np.array(triangles, np.intp)
