"""Reading pictures and videos for the libraries that come with OpenCV and leave this to their users."""

from collections.abc import Iterator

import cv2

from sidebyside.adapters.base import Array


def read_photo(path: str) -> Array:
    """A picture file, BGR."""
    image = cv2.imread(path)
    if image is None:
        raise ValueError(f"OpenCV cannot read {path}")
    return image


def frames(path: str, count: int) -> Iterator[Array]:
    """The first frames of a video, BGR."""
    capture = cv2.VideoCapture(path)
    try:
        for _ in range(count):
            there, frame = capture.read()
            if not there:
                return
            yield frame
    finally:
        capture.release()
