"""Takes the pictures of the page that README and documentation show: ``.venv/bin/python tools/page_picture.py``.

Runs a server with an empty pool and the open pack, and a Chromium whose camera films a painted head. Needs the
development environment and Chromium (Debian's package ``chromium``).
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from drawn_head import paint_portrait  # noqa: E402 -- it lies beside this file
from support.synthetic_camera import SyntheticCamera, SyntheticHead, head_circle  # noqa: E402 -- a helper of the tests

PICTURES = ROOT / "docs" / "images"
SIZE = {"width": 1120, "height": 700}
_PATIENCE_S = 60
_HELD = 3
"""Frames that each pose is held for: Chromium plays 30 a second, and a busy machine looks at few."""


def main() -> int:
    """Register the painted head in the page, and take a picture on the way and one of the live view."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("Chromium is missing. On Debian and Ubuntu: apt install chromium", file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as address, sync_playwright() as playwright:
        film = Path(folder) / "head.mjpeg"
        _film(film)
        flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        flags.append(f"--use-file-for-fake-video-capture={film}")
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport=SIZE, locale="en-GB", color_scheme="light")
        page.set_default_timeout(_PATIENCE_S * 1000)
        page.goto(f"{address}/#/register")
        _register(page, PICTURES / "register.png")
        _watch(page, PICTURES / "live.png")
        browser.close()
    return 0


def _film(path: Path) -> None:
    """The head looks straight ahead, then slowly round, again and again."""
    portrait = paint_portrait()
    camera = SyntheticCamera(SyntheticHead(portrait.image_bgr, portrait.landmarks), head_circle(30, 80, still=25))
    with path.open("wb") as film:
        for shot in camera.shots:
            shown = camera.take(shot)
            _, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 92])
            film.write(_HELD * data.tobytes())


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "facepool", "serve", "--port", str(port), "--no-open"]
    environment = os.environ | {"FACEPOOL_POOL": str(folder / "pool.db")}
    server = subprocess.Popen(command, env=environment)
    try:
        _wait(f"http://127.0.0.1:{port}/ready", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(_PATIENCE_S)


def _wait(address: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(address):  # noqa: S310 -- this machine's own
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise SystemExit("the server did not become ready")


def _register(page: Page, picture: Path) -> None:
    page.fill("input[name=person]", "Ada Lovelace")
    page.click("form button[type=submit]")
    page.check("dialog input[type=checkbox]")
    page.click("dialog button[type=submit]")
    page.locator(".side.near, .side.far").nth(6).wait_for()  # seven of twelve directions
    page.screenshot(path=picture)
    page.wait_for_selector(".facts")
    page.click("text=Save Ada Lovelace")
    page.click("text=See it live")


def _watch(page: Page, picture: Path) -> None:
    page.click("text=Start watching")
    page.wait_for_selector(".present a:text-is('Ada Lovelace')")
    page.wait_for_timeout(500)
    page.screenshot(path=picture)


if __name__ == "__main__":
    sys.exit(main())
