"""What poor pictures cost: dark, small, blurred, masked, turned or half-hidden faces against one good photo each.

    python benchmarks/accuracy/limits.py                  # LFW beside this checkout, about 4 minutes on two cores
    python benchmarks/accuracy/limits.py --clips a.mp4 b.mp4    # one person each, turning the head: misses by yaw

Two photos each of some people: the first is registered as it is, the second is changed and looked for. Misses are
shares of the changed photos, those in which no face is found included; intervals are drawn over people. The changes are
made by arithmetic and paint, so they tell which way and how much, not what your camera at night will do.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from facepool import Analyzer, load_analyzer, open_source, read_image
from facepool.evaluation.bootstrap import rate_interval
from facepool.evaluation.embeddings import choose_face
from facepool.search import Index
from facepool.search.exact import nearest
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Image, Mask

LFW = Path(__file__).parents[2].parent / "shared" / "data" / "lfw"
YAW_EDGES = (0, 15, 30, 45, 60, 90)
EVERY = 5
"""Frames of a clip between two that are looked at."""
Change = Callable[[Image, Floats], Image]
"""From a picture and the landmarks (5, 2) of its face to the changed picture."""


def dark(share: float) -> Change:
    """So much of the light is left; the sensor's noise stays."""

    def change(image: Image, _: Floats) -> Image:
        random = np.random.default_rng(int(image[::7, ::5].astype(np.int64).sum()))
        return as_image(image.astype(np.float32) * share + random.normal(0, 6, image.shape))

    return change


def small(face_px: int) -> Change:
    """The face's box is about so many pixels wide (that of an LFW photo about 90)."""
    return lambda image, _: as_image(
        cv2.resize(image, None, fx=face_px / 90, fy=face_px / 90, interpolation=cv2.INTER_AREA)
    )


def blurred(sigma: float) -> Change:
    """By a Gaussian of so many pixels, on a face of about 90."""
    return lambda image, _: as_image(cv2.GaussianBlur(image, (0, 0), sigma))


def rolled(angle_deg: float) -> Change:
    """The picture turned about its middle."""

    def change(image: Image, _: Floats) -> Image:
        height, width = image.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
        return as_image(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT))

    return change


def masked(image: Image, landmarks: Floats) -> Image:
    """A surgical mask: a pale blue polygon from the bridge of the nose to below the chin."""
    across, down, middle = axes(landmarks)
    points = [
        (landmarks[2] - 0.35 * down),
        middle + 1.15 * across + 0.35 * down,
        middle + 0.75 * across + 1.9 * down,
        middle + 2.15 * down,
        middle - 0.75 * across + 1.9 * down,
        middle - 1.15 * across + 0.35 * down,
    ]
    return painted(image, np.array(points), (205, 185, 160))


def sunglasses(image: Image, landmarks: Floats) -> Image:
    """Two dark discs and a bridge."""
    across, _, _ = axes(landmarks)
    worn = image.copy()
    radius = max(2, round(float(np.linalg.norm(across)) * 0.42))
    eyes = [tuple(round(float(value)) for value in eye) for eye in landmarks[:2]]
    cv2.line(worn, eyes[0], eyes[1], (20, 20, 20), max(2, radius // 4))
    for eye in eyes:
        cv2.circle(worn, eye, radius, (20, 20, 20), -1, cv2.LINE_AA)
    return worn


def cut_off(image: Image, landmarks: Floats) -> Image:
    """The picture ends at the middle of the face: half of it is outside."""
    return np.ascontiguousarray(image[:, : max(1, round(float(landmarks[2, 0])))])


CHANGES: Mapping[str, Change] = {
    "as it is": lambda image, _: image,
    "dark: 1/4 of the light": dark(0.25),
    "darker: 1/10 of the light": dark(0.1),
    "small: 32 px": small(32),
    "smaller: 20 px": small(20),
    "blurred: sigma 3 px": blurred(3),
    "turned by 30°": rolled(30),
    "upside down": rolled(180),
    "mask": masked,
    "sunglasses": sunglasses,
    "half outside the picture": cut_off,
}


def axes(landmarks: Floats) -> tuple[Floats, Floats, Floats]:
    """Half the way between the eyes, from eyes to mouth, and the middle of the eyes, in pixels."""
    middle = landmarks[:2].mean(axis=0)
    return (landmarks[1] - landmarks[0]) * 0.9, landmarks[3:].mean(axis=0) - middle, middle


def painted(image: Image, points: Floats, color: tuple[int, int, int]) -> Image:
    covered = image.copy()
    cv2.fillPoly(covered, [np.round(points).astype(np.int32)], color, cv2.LINE_AA)
    return covered


def as_image(values: object) -> Image:
    return np.asarray(np.clip(np.round(np.asarray(values)), 0, 255), np.uint8)


def look(analyzer: Analyzer, image: Image) -> tuple[Floats, Floats] | None:
    """Embedding and landmarks of the face that the picture is of; None without one."""
    faces = analyzer.analyze(image)
    if not len(faces):
        return None
    row = choose_face(faces.detections.boxes, (image.shape[1], image.shape[0]))
    return faces.embeddings[row], faces.detections.landmarks[row]


def by_yaw(analyzer: Analyzer, clips: Sequence[Path], threshold: float) -> None:
    """Frames of a head that turns, against the frame of the same clip that looks straight ahead."""
    print(
        f"of {len(clips)} people; refused by verify at {threshold:.3f}\n| yaw | frames | refused | median similarity |"
    )
    print("|---|---|---|---|")
    yaws, similarities = [], []
    for clip in clips:
        turned, seen = frames_of(analyzer, clip)
        straight = seen[int(np.argmin(np.abs(turned)))]
        yaws.append(np.abs(turned))
        similarities.append(seen @ straight)
    yaw, similarity = np.concatenate(yaws), np.concatenate(similarities)
    for low, high in pairwise(YAW_EDGES):
        inside = (yaw >= low) & (yaw < high)
        if inside.any():
            missed = percent(float((similarity[inside] < threshold).mean()))
            print(f"| {low}° to {high}° | {inside.sum()} | {missed} | {np.median(similarity[inside]):.2f} |")


def frames_of(analyzer: Analyzer, clip: Path) -> tuple[Floats, Floats]:
    """Yaw (N,) and embeddings (N, D) of the largest face of some of a clip's frames."""
    turned, seen = [], []
    with open_source(str(clip)) as source:
        for frame in source:
            if frame.index % EVERY:
                continue
            faces = analyzer.analyze(frame.image_bgr, moving=True)
            row = int(np.argmax(faces.measures.size_px)) if len(faces) else -1
            pose = faces.poses[row] if len(faces) else None
            if pose is not None:
                turned.append(pose.yaw)
                seen.append(faces.embeddings[row])
    return np.array(turned, np.float32), np.array(seen, np.float32)


def percent(share: float) -> str:
    return f"{share:.1%}"


def by_change(analyzer: Analyzer, root: Path, people: int) -> None:
    """Changed photos of people of whom another photo is registered as it is."""
    folders = sorted(path for path in root.iterdir() if len(list(path.glob("*.jpg"))) > 1)
    folders = [folders[row] for row in np.random.default_rng(0).permutation(len(folders))[:people]]
    pairs = [sorted(folder.glob("*.jpg"))[:2] for folder in folders]
    looks = [look(analyzer, read_image(first)) for first, _ in pairs]
    probes = [read_image(second) for (_, second), seen in zip(pairs, looks, strict=True) if seen]
    rows = np.arange(len(probes))
    references = np.array([seen[0] for seen in looks if seen])
    pool = Index.of_rows(references, rows, [f"{row:04d}" for row in rows])
    there = [look(analyzer, probe) for probe in probes]
    policy = ThresholdPolicy(analyzer.fmr)
    verify, identify = policy.verification().value, policy.identification(len(pool)).value
    print(f"{len(rows)} people; verify at {verify:.3f}, {len(rows) * (len(rows) - 1):,} comparisons of strangers; "
          f"recognize at {identify:.3f} in the pool of all of them")  # fmt: skip
    print("| second photo | no face found | refused by verify | not named by recognize | strangers that pass verify |")
    print("|---|---|---|---|---|")
    for name, change in CHANGES.items():
        similarities = np.full((len(rows), len(rows)), -np.inf)
        named = np.zeros(len(rows), np.bool_)
        for row, (probe, seen) in enumerate(zip(probes, there, strict=True)):
            found = look(analyzer, change(probe, seen[1])) if seen else None
            if found:
                similarities[row] = references @ found[0]
                best = nearest(pool, found[0][None], k=1)[0][0]
                named[row] = best.similarity >= identify and best.person == f"{row:04d}"
        own = np.diag(similarities)
        others = similarities[~np.eye(len(rows), dtype=bool)]
        cells = [percent(float(np.isinf(own).mean())), missed(own < verify), missed(~named)]
        print(f"| {name} | {' | '.join(cells)} | {float((others >= verify).mean()):.2%} |", flush=True)


def missed(wrong: Mask) -> str:
    """A share with its interval over people."""
    interval = rate_interval(wrong, np.arange(len(wrong)))
    return f"{percent(float(wrong.mean()))} ({interval.low * 100:.1f} to {interval.high * 100:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=LFW, help="folder with a folder for each person")
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--clips", type=Path, nargs="+", help="videos, one person each, instead of photos")
    arguments = parser.parse_args()
    analyzer = load_analyzer()
    if arguments.clips:
        by_yaw(analyzer, arguments.clips, ThresholdPolicy(analyzer.fmr).verification().value)
    else:
        by_change(analyzer, arguments.root, arguments.people)


if __name__ == "__main__":
    main()
