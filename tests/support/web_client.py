"""A server in the test's own process, with a fake analyzer or a real one."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

from facepool import Analyzer
from facepool.config import Settings
from facepool.gallery.address import PoolAddress
from facepool.types import Frame, Image
from facepool.web.app import create_app
from facepool.web.middleware import Deployment
from facepool.web.services import ServerOptions, assemble

LOCAL = "http://127.0.0.1:8000"
HERE = "ws://127.0.0.1:8000"


def client_of(
    folder: Path,
    analyzer: Analyzer,
    options: ServerOptions | None = None,
    deployment: Deployment | None = None,
    address: str = LOCAL,
    pool: PoolAddress | None = None,
    settings: Mapping[str, object] | None = None,
) -> TestClient:
    """A client of a server with a pool of its own, or with a given one; as a context it starts and ends the server."""
    services = assemble(
        Settings.model_validate({"pool": pool or folder / "pool.db", **(settings or {})}), analyzer, options
    )
    app = create_app(services, deployment=deployment)
    return TestClient(app, base_url=address, raise_server_exceptions=False)


def png(image_bgr: Image) -> bytes:
    """A picture as a file, to the bit."""
    _, data = cv2.imencode(".png", image_bgr)
    return data.tobytes()


def sent(frame: Frame, time_s: float | None = None) -> bytes:
    return struct.pack(">Qd", frame.index, frame.time_s if time_s is None else time_s) + png(frame.image_bgr)


def look(socket: WebSocketTestSession, frame: Frame) -> dict[str, Any]:
    socket.send_bytes(sent(frame))
    answer: dict[str, Any] = socket.receive_json()
    return answer
