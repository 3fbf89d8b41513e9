"""A server in the test's own process, with a stage in place of the networks or with real ones."""

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

from facepool import Analyzer
from facepool.config import Settings
from facepool.types import AlignedFaces, Detections, Floats, Frame, Image
from facepool.web.app import create_app
from facepool.web.services import ServerOptions, assemble
from support.fake_analyzer import StageAnalyzer, view
from support.live_scene import LiveStage
from support.scan_scene import ScanStage

LOCAL = "http://127.0.0.1:8000"
HERE = "ws://127.0.0.1:8000"


class ServedStage(StageAnalyzer):
    """A stage that any number of threads may use, so that it needs no queue before it."""

    def with_stages(self, *_stages: object) -> Analyzer:
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


class ServedScan(ScanStage):
    runs_on = "a stage"

    def with_stages(self, *_stages: object) -> Analyzer:
        return self


class ServedLive(LiveStage):
    runs_on = "a stage"

    def with_stages(self, *_stages: object) -> Analyzer:
        return self


def sent(frame: Frame, time_s: float | None = None) -> bytes:
    return struct.pack(">Qd", frame.index, frame.time_s if time_s is None else time_s) + png(frame.image_bgr)


def look(socket: WebSocketTestSession, frame: Frame) -> dict[str, Any]:
    socket.send_bytes(sent(frame))
    answer: dict[str, Any] = socket.receive_json()
    return answer
