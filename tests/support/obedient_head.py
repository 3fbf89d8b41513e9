"""Somebody before a camera who does what a command asks for: a rendered head that reads what is printed."""

import json
import threading
from collections.abc import Callable

import numpy as np

from facepool.types import Image, Pose
from support.loopback_camera import LoopbackCamera
from support.synthetic_camera import SyntheticHead

FAR_DEG = (24.0, 17.0)
"""How far the head turns sideways and up or down when it is asked to."""
_SHARES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
"""Of that, on the way: who turns at once is told to turn more slowly."""
_STEP_S = 0.15
_LOOK_S = 0.05


class ObedientHead:
    """Turns before a camera as the last ``challenge`` says that a command has printed, until the end of the block.

    Args:
        head: Who sits there.
        camera: What they look at.
        said: What the command has printed so far.
    """

    def __init__(self, head: SyntheticHead, camera: LoopbackCamera, said: Callable[[], str]) -> None:
        self._head = head
        self._camera = camera
        self._said = said
        self._rendered: dict[tuple[float | None, float], Image] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._obey, daemon=True)
        self._show(None, 1.0)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _obey(self) -> None:
        looks_at: float | None = None
        while not self._over.wait(_LOOK_S):
            asked = _asked(self._said())
            if asked == looks_at:
                continue
            way, shares = (looks_at, _SHARES[::-1]) if asked is None else (asked, _SHARES)
            for share in shares:
                self._show(way, share)
                self._over.wait(_STEP_S)
            self._show(asked, 1.0)
            looks_at = asked

    def _show(self, angle_deg: float | None, share: float) -> None:
        self._camera.look_at([self._picture(angle_deg, share)])

    def _picture(self, angle_deg: float | None, share: float) -> Image:
        if (angle_deg, share) not in self._rendered:
            angle = np.radians(angle_deg or 0.0)
            far = 0.0 if angle_deg is None else share
            pose = Pose(far * FAR_DEG[0] * float(np.cos(angle)), far * FAR_DEG[1] * float(np.sin(angle)), 0.0)
            self._rendered[angle_deg, share] = self._head.render(pose)
        return self._rendered[angle_deg, share]


def _asked(said: str) -> float | None:
    """Where the head is to turn by now; None: straight ahead."""
    found = None
    for line in said.splitlines():
        record = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
        challenge = record.get("challenge")
        if challenge is not None:
            found = challenge["angle_deg"]
    return found
