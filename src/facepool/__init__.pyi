from .capture import open_source, read_image
from .decide import ThresholdPolicy
from .detect import DetectOptions
from .errors import FacepoolError
from .gallery import Pool, open_pool
from .models.store import ModelStore
from .pipelines.analyze import Analyzer, Faces
from .pipelines.enroll import Enrollment, EnrollOptions, Offer, register
from .pipelines.live import LiveOptions, LiveRecognizer
from .pipelines.live_view import Event, LiveView
from .pipelines.load import ModelChoice, load_analyzer
from .pipelines.recognize import RecognizedFaces, RecognizeOptions, Recognizer
from .pipelines.verify import Verification, verify
from .types import Decision, Detections, Frame

__version__: str

__all__ = [
    "Analyzer",
    "Decision",
    "DetectOptions",
    "Detections",
    "EnrollOptions",
    "Enrollment",
    "Event",
    "FacepoolError",
    "Faces",
    "Frame",
    "LiveOptions",
    "LiveRecognizer",
    "LiveView",
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
