"""LFW through facepool, once per way of looking for faces, kept on disk: what the other scripts here calculate with.

    python benchmarks/accuracy/features.py plain refined ...     # names of WAYS

Each image gives the face nearest to its centre, as LFW means it. The face and its mirror image are embedded apart, so
that averaging can be judged afterwards. Files hold biometric data: they go to ``--cache``, by default the temporary
folder.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from facepool import ModelStore, read_image
from facepool.faces.align import Aligner
from facepool.faces.detect import DETECTOR_PRESETS, DetectOptions, RetinaFace
from facepool.faces.embed import Embedder, Part
from facepool.faces.pose import fit_heads
from facepool.faces.quality import measure
from facepool.models.catalog import EmbedderSpec, InstalledModel, RetinaFaceSpec, space_of
from facepool.models.store import default_root
from facepool.runtime import Device, Runtime
from facepool.types import AlignedFaces, Detections, Floats, Image

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
LFW = SHARED / "lfw"
CACHE = Path(tempfile.gettempdir()) / "facepool-accuracy"

Look = Callable[[DetectOptions], RetinaFace]
Find = Callable[[Look, DetectOptions, Image], Detections]
Change = Callable[[Image], Image]


@dataclass(frozen=True)
class Way:
    """One way of looking for faces.

    Attributes:
        find: Finds them, with detectors that it makes.
        options: Of the first look.
        change: Applied to the picture first.
    """

    find: Find = lambda look, options, image: look(options).detect([image])[0]
    options: DetectOptions = DETECTOR_PRESETS["balanced"]
    change: Change = lambda image: image


@dataclass(frozen=True)
class Features:
    """One row an image, in the order of ``names``; rows without a face hold zeros.

    Attributes:
        names: ``Person/Person_0001.jpg``.
        found: Whether a face was found.
        straight: (N, D) embeddings of the face.
        mirrored: (N, D) embeddings of its mirror image.
        quality: (N,) 0..100.
        score: (N,) the detector's.
        yaw: (N,) degrees; NaN where it could not be measured.
        landmarks: (N, 5, 2) pixels.
    """

    names: npt.NDArray[np.str_]
    found: npt.NDArray[np.bool_]
    straight: Floats
    mirrored: Floats
    quality: Floats
    score: Floats
    yaw: Floats
    landmarks: Floats

    @property
    def people(self) -> npt.NDArray[np.str_]:
        """The person of each image."""
        return np.array([name.split("/")[0] for name in self.names])

    @property
    def averaged(self) -> Floats:
        """(N, D): what facepool stores, the mean of both."""
        return unit(self.straight + self.mirrored)

    def __getitem__(self, rows: npt.NDArray[np.bool_]) -> "Features":
        return Features(*(getattr(self, field.name)[rows] for field in fields(self)))

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as columns:
            return cls(**columns)


def unit(vectors: Floats) -> Floats:
    """Rows of length 1; rows of zeros stay."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)


class Networks:
    """The open pack, or another embedder, on the CPU."""

    def __init__(self, threads: int | None = None, embedder: InstalledModel | None = None) -> None:
        store = ModelStore(default_root())
        runtime = Runtime(Device("cpu"), threads)
        detector = store.load("retinaface-mnet025")
        chosen = embedder or store.load("sface")
        assert isinstance(detector.entry.spec, RetinaFaceSpec)
        assert isinstance(chosen.entry.spec, EmbedderSpec)
        self._graph, self._spec = runtime.load(detector.graph, detector.entry.spec.feed), detector.entry.spec
        graph, spec = runtime.load(chosen.graph, chosen.entry.spec.feed), replace(chosen.entry.spec, mirrored=False)
        self.embedder = Embedder([Part(graph, spec)], space_of(chosen.entry))

    def detector(self, options: DetectOptions) -> RetinaFace:
        return RetinaFace(self._graph, self._spec, options)


def lfw_names(pairs: Path = LFW / "pairs.txt") -> list[str]:
    """Every image of the View 2 pairs, sorted."""
    return sorted({name for pair in lfw_pairs(pairs) for name in pair[:2]})


def lfw_pairs(pairs: Path = LFW / "pairs.txt") -> list[tuple[str, str, bool]]:
    """The 6,000 pairs of View 2, 600 a fold."""
    rows = [line.split() for line in pairs.read_text().splitlines()[1:] if line.strip()]
    read = []
    for row in rows:
        first, second = (row[0], row[1]), (row[0] if len(row) == 3 else row[2], row[-1])
        one, other = (f"{person}/{person}_{int(number):04d}.jpg" for person, number in (first, second))
        read.append((one, other, len(row) == 3))
    return read


def few_names() -> list[str]:
    """The first four images of each person who has them: many genuine pairs for little work."""
    of_person: dict[str, list[str]] = {}
    for name in lfw_names():
        of_person.setdefault(name.split("/")[0], []).append(name)
    return [name for names in of_person.values() if len(names) >= 4 for name in names[:4]]


def central(found: Detections, image: Image) -> int:
    """The face that a portrait is of: large and near the centre."""
    middle = np.array([image.shape[1], image.shape[0]], np.float32) / 2
    away = np.abs((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - middle).sum(axis=1)
    return int(np.argmax(found.sizes - away))


def extract(networks: Networks, way: Way, names: Sequence[str], root: Path = LFW) -> Features:
    """Run a way over images."""
    aligner = Aligner()
    count, dimension = len(names), networks.embedder.space.dimension
    result = Features(
        names=np.array(names),
        found=np.zeros(count, np.bool_),
        straight=np.zeros((count, dimension), np.float32),
        mirrored=np.zeros((count, dimension), np.float32),
        quality=np.zeros(count, np.float32),
        score=np.zeros(count, np.float32),
        yaw=np.full(count, np.nan, np.float32),
        landmarks=np.zeros((count, 5, 2), np.float32),
    )
    for row, name in enumerate(names):
        image = way.change(read_image(root / name))
        everybody = way.find(networks.detector, way.options, image)
        if not len(everybody):
            continue
        found = everybody[np.array([central(everybody, image)])]
        aligned = aligner.align(image, found.landmarks)
        heads = fit_heads(found.landmarks, (image.shape[1], image.shape[0]))
        pose = heads.poses[0]
        both = AlignedFaces(
            np.ascontiguousarray(np.concatenate([aligned.images_bgr, aligned.images_bgr[:, :, ::-1]])),
            aligned.template,
        )
        result.straight[row], result.mirrored[row] = networks.embedder.embed(both)
        result.found[row] = True
        result.quality[row] = measure(found, aligned, heads.misfit_mm).overall[0]
        result.score[row] = found.scores[0]
        result.yaw[row] = np.nan if pose is None else pose.yaw
        result.landmarks[row] = found.landmarks[0]
    return result


def features(way: str, cache: Path = CACHE, networks: Networks | None = None, *, few: bool = False) -> Features:
    """A way's features of LFW, or of its ``few_names``, from disk where they are."""
    path = cache / f"lfw-{way}{'-few' if few else ''}.npz"
    if few and path.with_name(f"lfw-{way}.npz").is_file():
        whole = Features.load(path.with_name(f"lfw-{way}.npz"))
        return whole[np.isin(whole.names, few_names())]
    if not path.is_file():
        started = perf_counter()
        made = extract(networks or Networks(), ways()[way], few_names() if few else lfw_names())
        made.save(path)
        print(f"{way}: {len(made.names)} images, {int((~made.found).sum())} without a face, "
              f"{perf_counter() - started:.0f} s", flush=True)  # fmt: skip
    return Features.load(path)


def ways() -> dict[str, Way]:
    """Every way that the scripts compare."""
    return {
        "plain": Way(),
        "best": Way(options=DETECTOR_PRESETS["best"]),
        "hard-best": Way(options=DETECTOR_PRESETS["best"], change=worsened),
        "size-160": Way(options=DetectOptions(size=160)),
        "size-80": Way(options=DetectOptions(size=80)),
        "enlarged-640": Way(find=enlarged(640)),
        "refined": Way(find=refined(160)),
        "hard": Way(change=worsened),
        "hard-refined": Way(find=refined(160), change=worsened),
        "cut": Way(change=cut_off),
        "cut-padded": Way(find=padded(0.25), change=cut_off),
        "refined-far": Way(find=refined(160), options=DetectOptions(size=80)),
    }


def worsened(image: Image) -> Image:
    """A picture as a poor camera gives it: a face of 20 to 40 pixels, or blurred and noisy, or dark and noisy.

    The same picture is worsened the same way each time.
    """
    random = np.random.default_rng(int(image[::7, ::5].astype(np.int64).sum()))
    kind = random.integers(3)
    if kind == 0:
        scale = random.uniform(0.2, 0.4)
        return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    worse = image.astype(np.float32)
    if kind == 1:
        worse = cv2.GaussianBlur(worse, (0, 0), random.uniform(2, 5)).astype(np.float32)
    else:
        worse = (worse / 255) ** random.uniform(1.5, 2.5) * random.uniform(60, 140)
    return np.asarray(np.clip(np.round(worse + random.normal(0, 8, image.shape)), 0, 255), np.uint8)


def enlarged(side: int) -> Find:
    """Small pictures are enlarged before they are looked at."""

    def find(look: Look, options: DetectOptions, image: Image) -> Detections:
        scale = side / max(image.shape[:2])
        larger = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), np.uint8)
        found = look(replace(options, size=side)).detect([larger])[0]
        return Detections(found.boxes / scale, found.scores, found.landmarks / scale)

    return find


def cut_off(image: Image) -> Image:
    """The picture without the left, right, upper or lower part, through about a third of the face."""
    height, width = image.shape[:2]
    parts = (image[:, : width * 5 // 8], image[:, width * 3 // 8 :], image[height * 3 // 8 :], image[: height * 5 // 8])
    return np.ascontiguousarray(parts[int(image[::7, ::5].astype(np.int64).sum()) % 4])


def padded(share: float) -> Find:
    """The picture is looked at with a border of the network's mean."""

    def find(look: Look, options: DetectOptions, image: Image) -> Detections:
        border = round(share * max(image.shape[:2]))
        framed = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_CONSTANT, value=(104, 117, 123))
        found = look(replace(options, size=round(options.size * (1 + 2 * share)))).detect(
            [np.asarray(framed, np.uint8)]
        )[0]
        return Detections(found.boxes - border, found.scores, found.landmarks - border)

    return find


def refined(face_px: int, margin: float = 0.5) -> Find:
    """Each face's landmarks come from a second look at its crop, in which it is about ``face_px`` large."""

    def find(look: Look, options: DetectOptions, image: Image) -> Detections:
        found = look(options).detect([image])[0]
        landmarks = found.landmarks.copy()
        out = round(face_px * (1 + 2 * margin))
        for row, box in enumerate(found.boxes):
            crop, corner, scale = cut(image, box, margin, out)
            again = look(DetectOptions()).detect([crop])[0]
            if len(again):
                landmarks[row] = again.landmarks[central(again, crop)] / scale + corner
        return Detections(found.boxes, found.scores, landmarks)

    return find


def cut(image: Image, box: Floats, margin: float, out: int) -> tuple[Image, Floats, float]:
    """The square around a box on ``out`` pixels, its corner in the image, and by what it was enlarged."""
    half = max(float(box[2] - box[0]), float(box[3] - box[1])) * (0.5 + margin)
    corner = np.round((box[:2] + box[2:]) / 2 - half).astype(int)
    side = max(2, round(2 * half))
    height, width = image.shape[:2]
    left, top = np.clip(-corner, 0, None)
    right, bottom = max(0, corner[0] + side - width), max(0, corner[1] + side - height)
    inside = image[max(0, corner[1]) : corner[1] + side, max(0, corner[0]) : corner[0] + side]
    square = cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(104, 117, 123))
    flags = cv2.INTER_AREA if out < side else cv2.INTER_LINEAR
    return (
        np.asarray(cv2.resize(square, (out, out), interpolation=flags), np.uint8),
        corner.astype(np.float32),
        out / side,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="+", choices=sorted(ways()))
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--few", action="store_true", help="only four images of each person who has them")
    arguments = parser.parse_args()
    networks = Networks(arguments.threads)
    for way in arguments.ways:
        features(way, arguments.cache, networks, few=arguments.few)


if __name__ == "__main__":
    main()
