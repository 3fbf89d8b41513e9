"""From an image to faces with embeddings: detection, alignment, quality, pose and embedding in one pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from facepool.errors import ImageUnreadable
from facepool.faces.align import Aligner
from facepool.faces.detect import RetinaFace
from facepool.faces.embed import EmbeddedFaces, Embedder
from facepool.faces.find import Detect, FoundFaces, PictureFinder
from facepool.faces.light import brighten_faces, brighten_picture
from facepool.faces.pad import PassivePad
from facepool.faces.quality import FaceMeasures, measure
from facepool.geometry import turn_boxes, turn_image
from facepool.models.catalog import FmrCurve
from facepool.types import (
    AlignedFaces,
    Detections,
    EmbeddingSpace,
    Floats,
    Frame,
    Image,
    Indices,
    Pose,
    ReducedImage,
    Sample,
    counted,
    one_line,
)

PREPARATION = 4
"""Which way faces are prepared for the embedder: raised where the same picture gives another vector or quality, so that
results kept of an older way are not used."""
_PICTURE_QUALITY = 90
_LEAST_SIDE = 1280
"""Long side that a picture keeps at least where it is reduced, whatever the detector is given."""
_ENOUGH = 112
"""Pixels of a face in a reduced picture that tell as much of it as all of them: as many as what is cut out has."""

Embed = Callable[[AlignedFaces], EmbeddedFaces]
"""Turns aligned faces into vectors, as ``Embedder.embed_with_quality``."""


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of one image, one row a face, best detector score first.

    Attributes:
        detections: Boxes, scores and landmarks in pixels of the image.
        embeddings: (N, D) float32, L2 norm 1.
        measures: How good each capture is; see ``facepool.faces.quality``.
        poses: N poses; None where one could not be measured.
        aligned: The faces, upright, on the embedder's template; None where they were not kept.
    """

    detections: Detections
    embeddings: Floats
    measures: FaceMeasures
    poses: Sequence[Pose | None]
    aligned: AlignedFaces | None = None

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.detections)

    def __repr__(self) -> str:
        """How many faces, and how good they are."""
        best = ", ".join(f"{quality:.0f}" for quality in self.measures.overall)
        return one_line(self, counted(len(self), "face") + (f" of quality {best}" if best else ""))

    def sample(self, row: int, frame: Frame, *, with_picture: bool = False) -> Sample:
        """One face as a sample of the frame that it was found in, with its picture if that is to be kept."""
        return Sample(
            embedding=self.embeddings[row],
            source=frame.source,
            time_s=frame.time_s,
            pose=self.poses[row],
            quality=float(self.measures.overall[row]),
            score=float(self.detections.scores[row]),
            size_px=float(self.measures.size_px[row]),
            frame=frame.index,
            picture=face_jpeg(self.aligned.images_bgr[row]) if with_picture and self.aligned else b"",
        )


@dataclass(frozen=True, slots=True)
class PreparedFaces:
    """Faces of one image before they are embedded, one row a face.

    Attributes:
        detections: Boxes, scores and landmarks in pixels of the image.
        aligned: The faces, upright, on the embedder's template.
        measures: How good each capture is; see ``facepool.faces.quality``.
        poses: N poses; None where one could not be measured.
    """

    detections: Detections
    aligned: AlignedFaces
    measures: FaceMeasures
    poses: Sequence[Pose | None]

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.detections)

    def __getitem__(self, rows: Indices) -> "PreparedFaces":
        poses = [self.poses[row] for row in rows.tolist()]
        return PreparedFaces(self.detections[rows], self.aligned[rows], self.measures[rows], poses)

    def embedded(self, result: EmbeddedFaces) -> Faces:
        """The same faces with what the embedder made of them."""
        measures = replace(self.measures, unified=result.qualities)
        return Faces(self.detections, result.vectors, measures, self.poses, self.aligned)


AnyImage = Image | ReducedImage
"""(H, W, 3) uint8 BGR, or a picture that may have been decoded smaller: what is found is in pixels of the picture."""


def pixels_of(picture: AnyImage) -> Image:
    """(H, W, 3) uint8 BGR, as it was decoded."""
    return picture.image_bgr if isinstance(picture, ReducedImage) else picture


class Analyzer:
    """Finds, aligns, measures and embeds the faces of images.

    Images are taken for still pictures: where no face is clearly one, or a large picture has none that is large, they
    are looked at again, see ``facepool.faces.find``. Say ``moving`` for frames of what moves: these are looked at
    once, as they lie. Where it is dark, networks are given a brighter copy; what is measured and kept is as captured.

    Args:
        detector: Finds faces.
        aligner: Cuts them out on the embedder's template.
        embedder: Turns them into vectors.
        remark: What people should know beside engine and device, for example ``int8``.
        passive: Says how alive faces look; None: the user has no network that does.
    """

    _passive: PassivePad | None = None

    def __init__(
        self,
        detector: RetinaFace,
        aligner: Aligner,
        embedder: Embedder,
        remark: str = "",
        passive: PassivePad | None = None,
    ) -> None:
        self._remark = remark
        self._passive = passive
        self._detector = detector
        self._detect: Detect = detector.detect
        self._pictures = PictureFinder(detector, detector.detect, detector.detect_closer)
        self._aligner = aligner
        self._embedder = embedder
        self._embed: Embed = embedder.embed_with_quality

    def with_stages(self, detect: Callable[[Detect, str], Detect], embed: Callable[[Embed, str], Embed]) -> "Analyzer":
        """The same analyzer with something before its networks, for example a queue.

        Args:
            detect: Given a function of the detector's and its device, makes what is called instead.
            embed: Likewise for the embedder.
        """
        other = Analyzer(self._detector, self._aligner, self._embedder, self._remark, self._passive)
        detector, device = self._detector, self._detector.device
        other._detect = detect(self._detect, device)
        other._pictures = PictureFinder(detector, other._detect, detect(detector.detect_closer, device))
        other._embed = embed(self._embed, self._embedder.device)
        return other

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space of the vectors; a pool has to be of the same."""
        return self._embedder.space

    @property
    def fmr(self) -> FmrCurve | None:
        """How similar strangers get in that space; None where that was not measured."""
        return self._embedder.fmr

    @property
    def runs_on(self) -> str:
        """Engine, device and precision of both networks, for people."""
        engines = " and ".join(dict.fromkeys((self._detector.runs_on, self._embedder.runs_on)))
        return f"{engines}, {self._remark}" if self._remark else engines

    @property
    def runs_at_once(self) -> int:
        """How many runs of the networks go side by side, each on a core; 1: they wait for each other."""
        return self._detector.runs_at_once

    @property
    def least_side(self) -> int:
        """Pixels that the long side of a picture keeps where it is reduced: its faces are found as in all of it."""
        return max(self._detector.options.longest, _LEAST_SIDE)

    def analyze(self, image_bgr: AnyImage, *, moving: bool = False) -> Faces:
        """Analyze one image, (H, W, 3) uint8 BGR. Without a face every column has length 0."""
        return self.analyze_batch([image_bgr], moving=moving)[0]

    def analyze_batch(self, images_bgr: Sequence[AnyImage], *, moving: bool = False) -> list[Faces]:
        """Analyze several images with few runs of the networks.

        Args:
            images_bgr: (H, W, 3) uint8 BGR each, or reduced to ``least_side`` at least; sizes may differ.
            moving: They are frames of what moves: each is looked at once, as it lies.

        Returns:
            One ``Faces`` an image; an empty list for an empty list.

        Raises:
            ImageUnreadable: One of them is not such an array.
        """
        found = zip(images_bgr, self._find(images_bgr, moving=moving), strict=True)
        prepared = [self._prepare(image, faces) for image, faces in found]
        results = self._embed_together([faces.aligned for faces in prepared])
        return [faces.embedded(result) for faces, result in zip(prepared, results, strict=True)]

    def embed_batch(self, images_bgr: Sequence[AnyImage]) -> list[tuple[Detections, Floats]]:
        """Find and embed the faces of several still pictures, without pose and quality.

        Args:
            images_bgr: As for ``analyze_batch``.

        Returns:
            Faces and their (N, D) embeddings, one pair an image.

        Raises:
            ImageUnreadable: As ``analyze_batch``.
        """
        found = [faces.detections for faces in self._find(images_bgr, moving=False)]
        pictures = zip(images_bgr, found, strict=True)
        aligned = [self._cut_out(image, detections) for image, detections in pictures]
        return list(zip(found, [result.vectors for result in self._embed_together(aligned)], strict=True))

    def find(self, image_bgr: AnyImage, *, moving: bool = False) -> Detections:
        """Find the faces of one image, and nothing else.

        Args:
            image_bgr: (H, W, 3) uint8 BGR, or reduced.
            moving: It is a frame of what moves: it is looked at once, as it lies.

        Raises:
            ImageUnreadable: It is not such an array.
        """
        if not moving:
            return self._find([image_bgr], moving=False)[0].detections
        pixels = pixels_of(image_bgr)
        _check_image(pixels)
        (found,) = self._detect([brighten_picture(pixels)])
        return _in_picture(image_bgr, found)

    def passive_scores(self, image_bgr: AnyImage, detections: Detections) -> Floats | None:
        """How alive faces of an image look to the networks that the user brought for it (``facepool.faces.pad``).

        An opinion beside others: of attacks and of living faces it takes many for the other. Nothing is decided by it.

        Args:
            image_bgr: (H, W, 3) uint8 BGR, or reduced.
            detections: What ``find`` found in it, or some rows of that.

        Returns:
            (N,) float32 in 0..1, 1: alive; None without such networks.
        """
        if self._passive is None:
            return None
        pixels, boxes = pixels_of(image_bgr), detections.boxes
        if isinstance(image_bgr, ReducedImage):
            boxes = np.asarray(boxes / image_bgr.scale, np.float32)
        upright = turn_boxes(boxes, (pixels.shape[1], pixels.shape[0]), detections.turn)
        return self._passive.scores(turn_image(pixels, detections.turn), upright)

    def prepare(self, image_bgr: Image, detections: Detections) -> PreparedFaces:
        """Align and measure some faces of an image without embedding them, which costs most.

        Args:
            image_bgr: (H, W, 3) uint8 BGR.
            detections: What ``find`` found in it, or some rows of that.
        """
        return self._prepare(image_bgr, FoundFaces.of(detections, (image_bgr.shape[1], image_bgr.shape[0])))

    def embed(self, aligned: AlignedFaces) -> Floats:
        """Embed prepared faces, dark ones brightened: (N, D) float32, L2 norm 1; (0, D) for no face."""
        return self._embed_bright(aligned).vectors

    def embed_prepared(self, prepared: PreparedFaces) -> Faces:
        """Embed prepared faces, dark ones brightened, and judge them by what comes of it."""
        return prepared.embedded(self._embed_bright(prepared.aligned))

    def describe(self, image_bgr: Image, detections: Detections) -> Faces:
        """Prepare some faces of an image and embed them; ``analyze`` is ``find`` and then ``describe``."""
        return self.embed_prepared(self.prepare(image_bgr, detections))

    def _find(self, images_bgr: Sequence[AnyImage], *, moving: bool) -> list[FoundFaces]:
        pixels = list(map(pixels_of, images_bgr))
        for image in pixels:
            _check_image(image)
        bright = list(map(brighten_picture, pixels))
        if moving:
            sizes_wh = [(image.shape[1], image.shape[0]) for image in bright]
            found = list(map(FoundFaces.of, self._detect(bright), sizes_wh))
        else:
            found = self._pictures.find(bright)
        in_pictures = (_in_picture(image, faces.detections) for image, faces in zip(images_bgr, found, strict=True))
        return [replace(faces, detections=moved) for faces, moved in zip(found, in_pictures, strict=True)]

    def _cut_out(self, picture: AnyImage, detections: Detections) -> AlignedFaces:
        """Align the faces of a picture, out of as few of its pixels as tell all of them."""
        if not isinstance(picture, ReducedImage):
            return self._aligner.align(picture, detections.landmarks)
        picture.settle(whole=bool((detections.sizes < _ENOUGH * picture.scale).any()))
        if picture.scale == 1:
            return self._aligner.align(picture.image_bgr, detections.landmarks)
        # The middle of the first pixel is at 0 here, and a reduced one has its own middle.
        landmarks = (detections.landmarks + 0.5) / picture.scale - 0.5
        return self._aligner.align(picture.image_bgr, landmarks.astype(np.float32))

    def _prepare(self, picture: AnyImage, found: FoundFaces) -> PreparedFaces:
        detections, heads = found.detections, found.heads
        aligned = self._cut_out(picture, detections)
        return PreparedFaces(detections, aligned, measure(detections, aligned, heads.misfit_mm), heads.poses)

    def _embed_together(self, aligned: Sequence[AlignedFaces]) -> list[EmbeddedFaces]:
        if not aligned:
            return []
        crops = AlignedFaces(np.concatenate([faces.images_bgr for faces in aligned]), self._aligner.template)
        return self._embed_bright(crops).split([len(faces) for faces in aligned])

    def _embed_bright(self, aligned: AlignedFaces) -> EmbeddedFaces:
        return self._embed(replace(aligned, images_bgr=brighten_faces(aligned.images_bgr)))


def _in_picture(picture: AnyImage, found: Detections) -> Detections:
    """What was found in a reduced picture, in pixels of the picture."""
    if not isinstance(picture, ReducedImage) or picture.scale == 1:
        return found
    scale = np.float32(picture.scale)
    return replace(found, boxes=found.boxes * scale, landmarks=found.landmarks * scale)


def face_jpeg(image_bgr: Image) -> bytes:
    """JPEG of an aligned face, (S, S, 3) uint8 BGR, as it is kept."""
    _, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, _PICTURE_QUALITY])
    return data.tobytes()


def _check_image(image_bgr: Image) -> None:
    """Refuse what would silently be analyzed wrongly: floats in 0..1, 16 bits, an alpha channel, no pixels."""
    given = getattr(image_bgr, "shape", None), getattr(image_bgr, "dtype", None)
    shape, dtype = given
    if shape is not None and len(shape) == 3 and shape[2] == 3 and min(shape[:2]) > 0 and dtype == np.uint8:
        return
    described = "no array" if shape is None else f"an array of shape {shape} and type {dtype}"
    raise ImageUnreadable(
        "An image cannot be analyzed",
        why=f"it is {described}, not (height, width, 3) of type uint8",
        fix="Load pictures with facepool.read_image, or convert to 8 bits and three channels in the order BGR",
    )
