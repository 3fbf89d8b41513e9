from .capture import open_source, read_image
from .enroll.pictures import Offer
from .enroll.session import Enrollment, EnrollOptions, register
from .errors import FacepoolError
from .faces.analyze import Analyzer, Faces
from .faces.detect import DetectOptions
from .faces.load import ModelChoice, load_analyzer
from .gallery import Pool, open_pool
from .groups.library import PhotoGroups, group_photos
from .groups.undoing import undo, undoable
from .groups.unknown import UnknownPeople
from .liveness.challenge import Challenge, draw_challenge
from .liveness.session import LivenessResult, LivenessSession
from .models.store import ModelStore
from .privacy.report import PrivacyReport, privacy_report
from .recognize.challenges import ChallengeOptions
from .recognize.events import Event, LiveView
from .recognize.live import LiveOptions, LiveRecognizer, LiveSession
from .recognize.pictures import RecognizedFaces, RecognizeOptions, Recognizer
from .recognize.verify import LiveVerification, LiveVerifier, Verification, verify
from .search.follower import use_index
from .thresholds import ThresholdPolicy
from .types import Consent, Decision, Detections, Frame

__version__: str

__all__ = [
    "Analyzer",
    "Challenge",
    "ChallengeOptions",
    "Consent",
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
    "LiveSession",
    "LiveVerification",
    "LiveVerifier",
    "LiveView",
    "LivenessResult",
    "LivenessSession",
    "ModelChoice",
    "ModelStore",
    "Offer",
    "PhotoGroups",
    "Pool",
    "PrivacyReport",
    "RecognizeOptions",
    "RecognizedFaces",
    "Recognizer",
    "ThresholdPolicy",
    "UnknownPeople",
    "Verification",
    "draw_challenge",
    "group_photos",
    "load_analyzer",
    "open_pool",
    "open_source",
    "privacy_report",
    "read_image",
    "register",
    "undo",
    "undoable",
    "use_index",
    "verify",
]
