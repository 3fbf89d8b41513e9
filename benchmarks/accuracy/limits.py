"""What poor pictures cost: dark, small, blurred, masked, turned or half-hidden faces against one good photo each.

    python benchmarks/accuracy/limits.py                  # LFW beside this checkout, about 4 minutes on two cores

Two photos each of some people: the first is registered as it is, the second is changed and looked for. Misses are
shares of the changed photos, those in which no face is found included; intervals are drawn over people. The changes are
made by arithmetic and paint, so they tell which way and how much, not what your camera at night will do.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from facepool import Analyzer, load_analyzer, read_image
from facepool.decide import ThresholdPolicy
from facepool.evaluation.acquisition import choose_face
from facepool.evaluation.bootstrap import rate_interval
from facepool.types import Floats, Image

LFW = Path(__file__).parents[2].parent / "shared" / "data" / "lfw"
TEMPLATES = 240
"""Of a pool of 60 people with 4 templates each: what the second threshold is for."""
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


def percent(share: float) -> str:
    return f"{share:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=LFW, help="folder with a folder for each person")
    parser.add_argument("--people", type=int, default=200)
    arguments = parser.parse_args()
    analyzer = load_analyzer()
    policy = ThresholdPolicy(analyzer.fmr)
    thresholds = (policy.verification().value, policy.identification(TEMPLATES).value)
    folders = sorted(path for path in arguments.root.iterdir() if len(list(path.glob("*.jpg"))) > 1)
    folders = [folders[row] for row in np.random.default_rng(0).permutation(len(folders))[: arguments.people]]
    pairs = [sorted(folder.glob("*.jpg"))[:2] for folder in folders]
    looks = [look(analyzer, read_image(first)) for first, _ in pairs]
    pairs = [pair for pair, seen in zip(pairs, looks, strict=True) if seen]
    references = np.array([seen[0] for seen in looks if seen])
    probes = [read_image(second) for _, second in pairs]
    there = [look(analyzer, probe) for probe in probes]
    print(f"{len(pairs)} people; refused by verify at {thresholds[0]:.3f}, unknown in a pool of {TEMPLATES} templates "
          f"at {thresholds[1]:.3f}; strangers that pass verify: of {len(pairs) * (len(pairs) - 1):,} comparisons")  # fmt: skip
    print("| second photo | no face found | refused by verify | unknown in the pool | strangers that pass verify |")
    print("|---|---|---|---|---|")
    for name, change in CHANGES.items():
        similarities = np.full((len(pairs), len(pairs)), -np.inf)
        for row, (probe, seen) in enumerate(zip(probes, there, strict=True)):
            found = look(analyzer, change(probe, seen[1])) if seen else None
            if found:
                similarities[row] = references @ found[0]
        own = np.diag(similarities)
        cells = [percent(float(np.isinf(own).mean()))]
        for threshold in thresholds:
            interval = rate_interval(own < threshold, np.arange(len(own)))
            cells.append(
                f"{percent(float((own < threshold).mean()))} ({interval.low * 100:.1f}..{interval.high * 100:.1f})"
            )
        others = similarities[~np.eye(len(pairs), dtype=bool)]
        cells.append(f"{float((others >= thresholds[0]).mean()):.2%}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
