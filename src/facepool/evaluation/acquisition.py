"""From pictures of a protocol to one face each, with embedding; what has no face is counted, never dropped."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facepool.capture import read_image
from facepool.errors import InputError
from facepool.evaluation.embedding_cache import Capture, Memory
from facepool.evaluation.results import Captures
from facepool.faces.analyze import Analyzer, Faces
from facepool.types import Floats, Image

_BATCH = 16
_BATCH_PIXELS = 50_000_000  # 150 MB of decoded pictures
NO_FACE = "no face was found"


@dataclass(frozen=True, slots=True)
class Acquired:
    """All pictures of a protocol, looked at.

    Attributes:
        captures: One row a picture.
        from_memory: How many of them had been looked at before.
    """

    captures: Captures
    from_memory: int


def acquire(
    paths: Sequence[Path],
    people: Sequence[str],
    analyzer: Analyzer,
    memory: Memory,
    on_picture: Callable[[], None] = lambda: None,
) -> Acquired:
    """Take one face from each picture.

    Args:
        paths: N files.
        people: N names, passed through.
        analyzer: Turns images into faces.
        memory: Knows pictures that were looked at before; learns the others, batch by batch.
        on_picture: Called after each picture.

    Returns:
        N rows. A picture that cannot be read is one without a face, and says why.

    Raises:
        StorageError: The memory's file cannot be used.
    """
    taken: list[Capture] = []
    problems: list[str] = []
    from_memory = 0
    for start in range(0, len(paths), _BATCH):
        batch = _read(paths[start : start + _BATCH])
        known = memory.find(batch.data)
        from_memory += sum(content in known for content in batch.contents)
        for images in _decoded(batch, known):
            fresh = _look_at(images, analyzer)
            memory.keep(fresh)
            known |= fresh
        for content in batch.contents:
            capture = known.get(content, Capture.nobody())
            taken.append(capture)
            problems.append(batch.problems.get(content, "" if capture.faces else NO_FACE))
            on_picture()
    return Acquired(_columns(paths, people, problems, taken, analyzer.space.dimension), from_memory)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Files on their way.

    Attributes:
        contents: The sha256 of each file, or something else of its own where it cannot be read.
        data: Of those that could be read, by content.
        problems: What is wrong with the others, by content.
    """

    contents: list[str]
    data: dict[str, bytes]
    problems: dict[str, str]


def _read(paths: Sequence[Path]) -> _Batch:
    batch = _Batch([], {}, {})
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            batch.contents.append(f"unread {path}")
            batch.problems[f"unread {path}"] = (error.strerror or str(error)).lower()
            continue
        content = hashlib.sha256(data).hexdigest()
        batch.contents.append(content)
        batch.data[content] = data
    return batch


def _decoded(batch: _Batch, known: Mapping[str, Capture]) -> Iterator[dict[str, Image]]:
    """Pictures that nobody knows yet, as many together as memory allows; notes those that cannot be decoded."""
    images: dict[str, Image] = {}
    pixels = 0
    for content, data in batch.data.items():
        if content in known:
            continue
        try:
            image = read_image(data)
        except InputError as error:
            batch.problems[content] = error.why or str(error)
            continue
        if images and pixels + image.size // 3 > _BATCH_PIXELS:
            yield images
            images, pixels = {}, 0
        images[content] = image
        pixels += image.size // 3
    if images:
        yield images


def _look_at(images: Mapping[str, Image], analyzer: Analyzer) -> dict[str, Capture]:
    found = analyzer.analyze_batch(list(images.values()))
    return {
        content: _take_one(faces, (image.shape[1], image.shape[0]))
        for (content, image), faces in zip(images.items(), found, strict=True)
    }


def _take_one(faces: Faces, image_wh: tuple[int, int]) -> Capture:
    if len(faces) == 0:
        return Capture.nobody()
    row = choose_face(faces.detections.boxes, image_wh)
    pose = faces.poses[row]
    return Capture(
        faces=len(faces),
        embedding=faces.embeddings[row],
        box=faces.detections.boxes[row],
        size_px=float(faces.measures.size_px[row]),
        quality=float(faces.measures.overall[row]),
        yaw=float("nan") if pose is None else pose.yaw,
        pitch=float("nan") if pose is None else pose.pitch,
    )


def choose_face(boxes: Floats, image_wh: tuple[int, int]) -> int:
    """Whom a picture of one person is about: the face of most area, less twice its squared way from the centre.

    The rule by which FaceNet's LFW crops were made (Sandberg, 2016). It does not depend on the picture's scale.

    Args:
        boxes: (N, 4) float32 xyxy, N at least 1.
        image_wh: Of the picture, in pixels.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    ways = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array(image_wh, np.float32) / 2
    return int(np.argmax(areas - 2 * (ways**2).sum(axis=1)))


def _columns(
    paths: Sequence[Path], people: Sequence[str], problems: Sequence[str], taken: Sequence[Capture], dimension: int
) -> Captures:
    embeddings = np.zeros((len(taken), dimension), np.float32)
    for row, capture in enumerate(taken):
        if capture.faces:
            embeddings[row] = capture.embedding
    return Captures(
        paths=tuple(paths),
        people=tuple(people),
        problems=tuple(problems),
        embeddings=embeddings,
        boxes=np.array([capture.box for capture in taken], np.float32).reshape(-1, 4),
        face_counts=np.array([capture.faces for capture in taken], np.intp),
        sizes_px=np.array([capture.size_px for capture in taken], np.float32),
        qualities=np.array([capture.quality for capture in taken], np.float32),
        yaws=np.array([capture.yaw for capture in taken], np.float32),
        pitches=np.array([capture.pitch for capture in taken], np.float32),
    )
