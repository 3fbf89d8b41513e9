"""A real server in a thread: the application, and a pool of its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from facepool import Analyzer
from facepool.config import Settings
from facepool.types import Image
from facepool.web.app import create_app
from facepool.web.services import ServerOptions, Services, assemble
from support.bounded_server import listening


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
    with listening(create_app(services)) as port:
        yield Server(port, services)


def jpeg(image_bgr: Image) -> bytes:
    """A picture as a file."""
    _, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return data.tobytes()
