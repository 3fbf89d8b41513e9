"""What poor pictures cost: dark, small, blurred, masked, turned or half-hidden faces against one good photo each.

    python benchmarks/accuracy/limits.py                  # LFW beside this checkout, about 10 minutes on two cores
    python benchmarks/accuracy/limits.py --ways none all --changes dark small upside  # without and with mends
    python benchmarks/accuracy/limits.py --clips a.mp4 b.mp4    # one person each, turning the head: misses by yaw

Two photos each of some people: the first is registered as it is, the second is changed and looked for. Misses are
shares of the changed photos, those in which no face is found included; intervals are drawn over people. The changes are
made by arithmetic and paint, so they tell which way and how much, not what your camera at night will do.

With ``--both``, a second table has both photos changed: templates that were registered from such pictures, too, and
strangers who have the dark in common. ``--ways`` names what is done about dark and small faces; with ``none`` and
another one, the table of both also holds templates that were registered without against probes with it. ``--half``
takes half of the people: choices are made on half 0, and reported on half 1.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch
from zlib import crc32

import cv2
import numpy as np

from facepool import Analyzer, load_analyzer, open_source, read_image
from facepool.evaluation.bootstrap import draws, percentiles, rate_interval
from facepool.evaluation.embeddings import choose_face
from facepool.search import Index
from facepool.search.exact import nearest
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Image, Mask

LFW = Path(__file__).parents[2].parent / "shared" / "data" / "lfw"
LEVERS: Mapping[str, tuple[str, object]] = {
    "dark pictures": ("facepool.faces.analyze.brighten_picture", lambda image_bgr: image_bgr),
    "dark faces": ("facepool.faces.analyze.brighten_faces", lambda faces_bgr: faces_bgr),
    "small pictures": ("facepool.faces.find._SMALL_PX", 0.0),
    "small faces": ("facepool.faces.align._MUCH_ENLARGED", np.inf),
}
"""What is done about dark and small faces: where it is, and what takes its place to be without it."""
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
    "small: 20 px, upside down": lambda image, points: rolled(180)(small(20)(image, points), points),
    "dark: 1/10 of the light, upside down": lambda image, points: rolled(180)(dark(0.1)(image, points), points),
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


@contextmanager
def only(way: str) -> Iterator[None]:
    """With one of ``LEVERS``, ``none`` or ``all`` of them."""
    with ExitStack() as without:
        for name, (place, instead) in LEVERS.items():
            if way not in {"all", name}:
                without.enter_context(patch(place, instead))
        yield


def pairs_of(root: Path, people: int, half: int | None) -> list[list[Path]]:
    """The first two photos of some people who have them."""
    folders = sorted(path for path in root.iterdir() if len(list(path.glob("*.jpg"))) > 1)
    if half is not None:
        folders = [folder for folder in folders if crc32(folder.name.encode()) % 2 == half]
    drawn = np.random.default_rng(0).permutation(len(folders))[:people]
    return [sorted(folders[row].glob("*.jpg"))[:2] for row in drawn]


def looks_of(analyzer: Analyzer, images: Sequence[Image], landmarks: Sequence[Floats], change: Change) -> Floats:
    """(N, D) embeddings of the changed pictures; NaN where no face is found."""
    vectors = np.full((len(images), analyzer.space.dimension), np.nan, np.float32)
    for row, (image, points) in enumerate(zip(images, landmarks, strict=True)):
        found = look(analyzer, change(image, points))
        if found:
            vectors[row] = found[0]
    return vectors


def by_change(
    analyzer: Analyzer, pairs: Sequence[Sequence[Path]], changes: Sequence[str], ways: Sequence[str], *, both: bool
) -> None:
    """Changed photos of people of whom another photo is registered, as it is or changed likewise."""
    loaded = [[read_image(path) for path in pair] for pair in pairs]
    looked = [[look(analyzer, image) for image in images] for images in loaded]
    rows = [row for row, seen in enumerate(looked) if all(seen)]
    first, second = ([loaded[row][side] for row in rows] for side in (0, 1))
    marks = [[seen[1] for row in rows if (seen := looked[row][side])] for side in (0, 1)]
    references = np.array([seen[0] for row in rows if (seen := looked[row][0])])
    policy = ThresholdPolicy(analyzer.fmr)
    verify, identify = policy.verification().value, policy.identification(len(rows)).value
    print(f"{len(rows)} people; verify at {verify:.3f}, {len(rows) * (len(rows) - 1):,} comparisons of strangers; "
          f"recognize at {identify:.3f} in the pool of all of them")  # fmt: skip
    print("| second photo | with | no face found | refused by verify | not named by recognize "
          "| strangers that pass verify |\n|---|---|---|---|---|---|")  # fmt: skip
    of_both: list[str] = []
    for name in changes:
        before: Floats | None = None
        for way in ways:
            with only(way):
                probes = looks_of(analyzer, second, marks[1], CHANGES[name])
                templates = looks_of(analyzer, first, marks[0], CHANGES[name]) if both else references
            lost = np.isnan(probes[:, 0])
            cells = [percent(float(lost.mean())), refused(references, probes, verify),
                     missed(~named(references, probes, identify)), strangers(references, probes, verify)]  # fmt: skip
            print(f"| {name} | {way} | {' | '.join(cells)} |", flush=True)
            before = templates if way == "none" else before
            registered = {way: templates} | ({"none": before} if before is not None else {})
            of_both += [
                f"| {name} | {how} | {way} | {refused(known, probes, verify)} | {strangers(known, probes, verify)} |"
                for how, known in registered.items()
            ]
    if both:
        print("\n| both photos | registered with | looked for with | refused by verify | strangers that pass verify |")
        print("\n".join(["|---|---|---|---|---|", *of_both]))


def named(references: Floats, probes: Floats, threshold: float) -> Mask:
    """(N,) whether each probe is named rightly in the pool of all references."""
    people = [f"{row:04d}" for row in range(len(probes))]
    pool = Index.of_rows(references, np.arange(len(probes)), people)
    right = np.zeros(len(probes), np.bool_)
    for row in np.flatnonzero(~np.isnan(probes[:, 0])):
        best = nearest(pool, probes[row][None], k=1)[0][0]
        right[row] = best.similarity >= threshold and best.person == people[row]
    return right


def refused(templates: Floats, probes: Floats, threshold: float) -> str:
    """Share of the people who are not taken for themselves; a face that was not found never is."""
    return missed(~((templates * probes).sum(axis=1) >= threshold))


def strangers(templates: Floats, probes: Floats, threshold: float) -> str:
    """Share of the comparisons of two people that pass, with its interval over people; none passes without a face."""
    passed = np.asarray(templates @ probes.T >= threshold, np.float64)
    np.fill_diagonal(passed, 0)
    others = 1 - np.eye(len(passed))
    rates = [float(drawn @ passed @ drawn / (drawn @ others @ drawn)) for drawn in draws(len(passed), 500, 0)]
    interval = percentiles(rates)
    return f"{passed.sum() / others.sum():.2%} ({interval.low * 100:.2f} to {interval.high * 100:.2f})"


def missed(wrong: Mask) -> str:
    """A share with its interval over people."""
    interval = rate_interval(wrong, np.arange(len(wrong)))
    return f"{percent(float(wrong.mean()))} ({interval.low * 100:.1f} to {interval.high * 100:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=LFW, help="folder with a folder for each person")
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--half", type=int, choices=(0, 1), help="only this half of the people")
    parser.add_argument("--ways", nargs="+", choices=("none", *LEVERS, "all"), default=["all"])
    parser.add_argument("--changes", nargs="+", help="only those whose name has one of these words")
    parser.add_argument("--both", action="store_true", help="a second table, in which both photos are changed")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--clips", type=Path, nargs="+", help="videos, one person each, instead of photos")
    arguments = parser.parse_args()
    analyzer = load_analyzer(threads=arguments.threads)
    if arguments.clips:
        by_yaw(analyzer, arguments.clips, ThresholdPolicy(analyzer.fmr).verification().value)
    else:
        changes = [name for name in CHANGES if any(word in name for word in arguments.changes or [""])]
        pairs = pairs_of(arguments.root, arguments.people, arguments.half)
        by_change(analyzer, pairs, changes, arguments.ways, both=arguments.both)


if __name__ == "__main__":
    main()
