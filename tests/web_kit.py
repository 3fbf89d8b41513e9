"""A server in the test's own process, with a stage in place of the networks or with real ones."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from fastapi.testclient import TestClient

from facepool import Analyzer
from facepool.config import Settings
from facepool.faces.analyze import Detector, FaceEmbedder
from facepool.types import AlignedFaces, Detections, Floats, Image
from facepool.web.app import create_app
from facepool.web.assembly import ServerOptions, assemble
from stand_ins import StageAnalyzer, view

LOCAL = "http://127.0.0.1:8000"


class ServedStage(StageAnalyzer):
    """A stage that any number of threads may use, so that it needs no queue before it."""

    def with_stages(
        self, detector: Callable[[Detector], Detector], embedder: Callable[[FaceEmbedder], FaceEmbedder]
    ) -> Analyzer:
        del detector, embedder
        return self

    def find(self, image_bgr: Image) -> Detections:
        return self.analyze(image_bgr).detections

    def embed(self, aligned: AlignedFaces) -> Floats:
        return np.tile(view(0, 0), (len(aligned), 1))


def client_of(folder: Path, analyzer: Analyzer, options: ServerOptions | None = None) -> TestClient:
    """A client of a server with a pool of its own; as a context it starts and ends the server."""
    services = assemble(Settings.model_validate({"pool": folder / "pool.db"}), analyzer, options)
    return TestClient(create_app(services), base_url=LOCAL, raise_server_exceptions=False)


def png(image_bgr: Image) -> bytes:
    """A picture as a file, to the bit."""
    _, data = cv2.imencode(".png", image_bgr)
    return data.tobytes()
