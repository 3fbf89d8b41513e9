"""Register a face once, from every angle, and recognize it anywhere.

>>> from facepool import Recognizer, load_analyzer, open_pool, read_image, register
>>> analyzer = load_analyzer()                                             # doctest: +SKIP
>>> pool = open_pool("pool.db", analyzer.space)                            # doctest: +SKIP
>>> register("Ada", [read_image("ada.jpg")], analyzer, pool)               # doctest: +SKIP
>>> Recognizer(analyzer, pool).recognize(read_image("group.jpg")).names    # doctest: +SKIP

Images are (H, W, 3) uint8 BGR. Errors derive from ``FacepoolError``; ``facepool.errors`` has the tree.
"""

from facepool.capture import open_source, read_image
from facepool.decide import ThresholdPolicy
from facepool.detect import DetectOptions
from facepool.errors import FacepoolError
from facepool.gallery import Pool, open_pool
from facepool.models.store import ModelStore
from facepool.pipelines.analyze import Analyzer, Faces
from facepool.pipelines.enroll import Enrollment, EnrollOptions, Offer, register
from facepool.pipelines.load import ModelChoice, load_analyzer
from facepool.pipelines.recognize import RecognizedFaces, Recognizer, RecognizeOptions
from facepool.pipelines.verify import Verification, verify
from facepool.types import Decision, Detections, Frame

__version__ = "0.1.0"

__all__ = [
    "Analyzer",
    "Decision",
    "DetectOptions",
    "Detections",
    "EnrollOptions",
    "Enrollment",
    "FacepoolError",
    "Faces",
    "Frame",
    "ModelChoice",
    "ModelStore",
    "Offer",
    "Pool",
    "RecognizeOptions",
    "RecognizedFaces",
    "Recognizer",
    "ThresholdPolicy",
    "Verification",
    "load_analyzer",
    "open_pool",
    "open_source",
    "read_image",
    "register",
    "verify",
]
