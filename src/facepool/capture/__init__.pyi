from .folders import PictureFolder, pictures_or_error, walk_folder
from .live import LiveSource, frames_or_silence
from .opening import SourceKind, is_picture_file, kind_of_source, open_source
from .pictures import AnimationSource, PictureSource, read_image
from .record import VideoWriter, write_image
from .source import (
    CaptureOptions,
    FrameSource,
    LiveStatus,
    OnSkip,
    OnStatus,
    Pace,
    ReconnectPolicy,
    Rhythm,
    mask_credentials,
    url_scheme,
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
    "PictureFolder",
    "PictureSource",
    "ReconnectPolicy",
    "Rhythm",
    "SourceKind",
    "TurnFinder",
    "Turning",
    "VideoSource",
    "VideoWriter",
    "frames_or_silence",
    "is_picture_file",
    "kind_of_source",
    "mask_credentials",
    "open_source",
    "pictures_or_error",
    "read_image",
    "url_scheme",
    "walk_folder",
    "write_image",
]
