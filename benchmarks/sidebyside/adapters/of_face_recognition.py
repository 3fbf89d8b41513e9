"""face_recognition: dlib's HOG detector and ResNet descriptor. It decides by distance; here as all others by cosine."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import av
import dlib
import face_recognition
import numpy as np

from sidebyside.adapters.base import Array, Case, Portraits, Step


class FaceRecognition(Portraits):
    """Its functions with their defaults."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._threads = options["threads"]

    def about(self) -> dict[str, str]:
        return {
            "version": version("face_recognition"),
            "runs": f"HOG and ResNet descriptor, dlib {dlib.__version__}",
        }

    def own_order(self, image_bgr: Array) -> Array:
        return np.ascontiguousarray(image_bgr[..., ::-1])

    def detect(self, case: Case) -> Step:
        image = self.own_order(np.load(case["image"]))
        return lambda: len(face_recognition.face_locations(image))

    def vectors(self, image: Array) -> Array:
        places = face_recognition.face_locations(image)
        return np.array(face_recognition.face_encodings(image, places), np.float32).reshape(-1, self.dimension)

    def read_photo(self, path: str) -> Array:
        return np.asarray(face_recognition.load_image_file(path))

    def frames(self, path: str, count: int) -> Iterator[Array]:
        with av.open(path) as container:
            container.streams.video[0].codec_context.thread_count = self._threads
            for number, frame in enumerate(container.decode(video=0)):
                if number == count:
                    return
                yield frame.to_ndarray(format="rgb24")


ADAPTER = FaceRecognition
