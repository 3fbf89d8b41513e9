"""A real server in a thread: uvicorn, the application, and a pool of its own."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import uvicorn

from facepool import Analyzer
from facepool.config import Settings
from facepool.types import Image
from facepool.web.app import create_app
from facepool.web.services import ServerOptions, Services, assemble

PATIENCE_S = 60


@dataclass(frozen=True)
class Server:
    """Where it is, and what it works with."""

    port: int
    services: Services

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(
    pool: Path,
    analyzer: Analyzer,
    options: ServerOptions | None = None,
    settings: Mapping[str, object] | None = None,
) -> Iterator[Server]:
    """Serve a pool until the end of the block."""
    services = assemble(Settings.model_validate({"pool": pool, **(settings or {})}), analyzer, options)
    uvicorn_server = uvicorn.Server(
        uvicorn.Config(create_app(services), port=0, log_level="warning", lifespan="on", ws="websockets-sansio")
    )
    thread = threading.Thread(target=uvicorn_server.run)
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not uvicorn_server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)
        (listener,) = uvicorn_server.servers
        yield Server(listener.sockets[0].getsockname()[1], services)
    finally:
        uvicorn_server.should_exit = True
        thread.join(PATIENCE_S)


def jpeg(image_bgr: Image) -> bytes:
    """A picture as a file."""
    _, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return data.tobytes()
