"""Showing to be alive as a person does it: before a camera, doing what the command asks for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.commands import Commands
from support.live_command import IN_MEMORY, Live
from support.loopback_camera import camera_before
from support.obedient_head import ObedientHead
from support.synthetic_camera import SyntheticHead

pytestmark = pytest.mark.slow

TRIES = 2
"""A machine that is busy sees a turn as a leap, and says so; whoever is told may try again."""


def test_who_does_what_is_asked_and_is_the_person_of_the_picture_is_verified(
    facepool: Commands, photos: Path, head_of: Callable[[str], SyntheticHead]
) -> None:
    head = head_of("person_a_2")
    words: list[str | Path] = ["-m", "facepool", "verify", "--live", photos / "person_a_1.jpg"]
    last: dict[str, object] = {}
    for _ in range(TRIES):
        with (
            camera_before([head.room((640, 480))]) as camera,
            Live(facepool, [*words, camera.url, "--headless", "--json"], IN_MEMORY) as live,
            ObedientHead(head, camera, lambda: live.said),
        ):
            code = live.ends()
        last = json.loads(live.said.splitlines()[-1])
        assert (code == 0) == last["match"], live.said
        if last["match"]:
            break
    assert last["match"] is True
    assert isinstance(last["liveness"], dict)
    assert last["liveness"]["reason"] == "live"
