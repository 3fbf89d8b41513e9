from .live import LiveSource, frames_or_silence
from .opening import is_picture_file, open_source
from .pictures import (
    AnimationSource,
    PictureSource,
    find_pictures,
    is_person_tree,
    iter_person_tree,
    read_image,
)
from .record import VideoWriter, write_image
from .source import (
    CaptureOptions,
    FrameSource,
    LiveStatus,
    OnSkip,
    OnStatus,
    Pace,
    ReconnectPolicy,
    mask_credentials,
)
from .turning import MakeTurnFinder, TurnFinder, Turning
from .video import VideoSource

__all__ = [
    "AnimationSource",
    "CaptureOptions",
    "FrameSource",
    "LiveSource",
    "LiveStatus",
    "MakeTurnFinder",
    "OnSkip",
    "OnStatus",
    "Pace",
    "PictureSource",
    "ReconnectPolicy",
    "TurnFinder",
    "Turning",
    "VideoSource",
    "VideoWriter",
    "find_pictures",
    "frames_or_silence",
    "is_person_tree",
    "is_picture_file",
    "iter_person_tree",
    "mask_credentials",
    "open_source",
    "read_image",
    "write_image",
]
