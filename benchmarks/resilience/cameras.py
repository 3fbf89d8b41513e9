"""Cameras that die: addresses that serve pictures or a stream for some seconds, and then nothing for as long."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ALIVE_S = 20.0
_STREAM_S = 8.0
VISIT_S = 4.0
"""How long somebody is before the steady camera, and how long nobody is."""
_EVERY_S = 0.2


@contextmanager
def dying_cameras(pictures: Sequence[bytes]) -> Iterator[str]:
    """Serve /picture.jpg and /stream.mjpg until the end of the block; the address of both.

    The first answers with 503 every other 20 seconds. The second ends after eight seconds, as the camera in it does.
    """

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            dead = int(time.monotonic() / ALIVE_S) % 2
            if dead:
                self.send_error(503)
            elif self.path.endswith(".mjpg"):
                self._stream()
            else:
                self._send(pictures[int(time.monotonic() / _EVERY_S) % len(pictures)])

        def _send(self, picture: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(picture)))
            self.end_headers()
            self.wfile.write(picture)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            until, number = time.monotonic() + _STREAM_S, 0
            while time.monotonic() < until:
                picture = pictures[number % len(pictures)]
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
                time.sleep(_EVERY_S)
                number += 1

        def log_message(self, *_: object) -> None:
            """Nothing: it is a camera."""

    with _served(Camera) as address:
        yield address


@contextmanager
def steady_camera(pictures: Sequence[bytes], empty: bytes) -> Iterator[str]:
    """Serve a stream without an end in which somebody comes and goes every few seconds; its address."""

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            number = 0
            while True:
                somebody = int(time.monotonic() / VISIT_S) % 2 == 0
                picture = pictures[number % len(pictures)] if somebody else empty
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
                time.sleep(_EVERY_S)
                number += 1

        def log_message(self, *_: object) -> None:
            """Nothing: it is a camera."""

    with _served(Camera) as address:
        yield f"{address}/stream.mjpg"


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Who watches may hang up."""


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = _Quiet(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
