"""Heads that follow a challenge, or do not, for tests of the fake analyzer."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from facepool.liveness.challenge import Challenge, Step
from support.fake_scan_analyzer import Head

FPS = 15


def turned(angle_deg: float, far: float = 1.0) -> tuple[float, float]:
    """Yaw and pitch of a head that looks where an angle of the ring points to, clearly."""
    angle = np.radians(angle_deg)
    return float(24 * far * np.cos(angle)), float(16 * far * np.sin(angle))


def to_and_fro(angle_deg: float, head: Head | None = None, far: float = 1.0) -> Iterator[Head]:
    """A turn in half a second, a moment there, and back, and a moment straight ahead."""
    there = np.concatenate([np.linspace(0, 1, FPS // 2), np.ones(FPS), np.linspace(1, 0, FPS // 2), np.zeros(FPS)])
    yaw, pitch = turned(angle_deg, far)
    for share in there:
        yield replace(head or Head(), yaw=yaw * share, pitch=pitch * share)


def follow(challenge: Challenge | Iterable[Step], head: Head | None = None, far: float = 1.0) -> Iterator[Head]:
    """A head that first looks straight ahead, then does every step."""
    yield from [head or Head()] * FPS
    for step in challenge.steps if isinstance(challenge, Challenge) else challenge:
        yield from to_and_fro(step.angle_deg, head, far)
