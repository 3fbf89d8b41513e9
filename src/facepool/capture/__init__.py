"""Where frames come from and where pictures and recordings go.

``open_source`` turns a camera number, URL, folder or file into a ``FrameSource``.
"""

from facepool.capture.credentials import mask_credentials
from facepool.capture.folders import find_pictures, is_person_tree, iter_person_tree
from facepool.capture.live import LiveSource
from facepool.capture.opening import is_picture_file, open_source
from facepool.capture.pictures import read_image
from facepool.capture.record import VideoWriter, write_image
from facepool.capture.source import (
    CaptureOptions,
    FrameSource,
    LiveStatus,
    OnSkip,
    OnStatus,
    ReconnectPolicy,
)
from facepool.capture.stills import AnimationSource, PictureSource
from facepool.capture.video import VideoSource

__all__ = [
    "AnimationSource",
    "CaptureOptions",
    "FrameSource",
    "LiveSource",
    "LiveStatus",
    "OnSkip",
    "OnStatus",
    "PictureSource",
    "ReconnectPolicy",
    "VideoSource",
    "VideoWriter",
    "find_pictures",
    "is_person_tree",
    "is_picture_file",
    "iter_person_tree",
    "mask_credentials",
    "open_source",
    "read_image",
    "write_image",
]
