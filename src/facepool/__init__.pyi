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

__version__: str

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
