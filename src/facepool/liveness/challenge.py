"""What somebody is asked to do: a random sequence of directions to turn the head to, each with a time limit."""

import itertools
import secrets
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

Direction = Literal["left", "up and left", "up", "up and right", "right", "down and right", "down", "down and left"]
"""The person's own left, as on the ring."""
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
"""Counter-clockwise in the picture, 45 degrees apart, from angle 0."""
FEWEST_STEPS = 3
"""Eight directions, never the same twice running: a film in a wrong order passes once in 392 times at most."""
PARTIAL_STEPS = 4
"""Of four directions, never the same twice running: once in 108 times at most."""

_STRAIGHT_ON: tuple[Direction, ...] = ("left", "up", "right", "down")
_LIMIT_S = 6.0
_PARTIAL_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Step:
    """One direction, and how long the person has for it.

    Attributes:
        direction: Where to turn, from straight ahead.
        limit_s: Seconds, from when it is shown.
    """

    direction: Direction
    limit_s: float

    @property
    def angle_deg(self) -> float:
        """As on the ring: 0 is the picture's right side (the person's own left), 90 up."""
        return DIRECTIONS.index(self.direction) * 360 / len(DIRECTIONS)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The whole sequence.

    Attributes:
        steps: At least three, never the same direction twice running.
        partial: For people who cannot turn far: smaller turns, straight to one side, more time. Weaker.

    Raises:
        ValueError: The steps are no challenge.
    """

    steps: tuple[Step, ...]
    partial: bool = False

    def __post_init__(self) -> None:
        """Refuse what a film may pass by chance."""
        if len(self.steps) < FEWEST_STEPS:
            raise ValueError(f"a challenge has at least {FEWEST_STEPS} steps, not {len(self.steps)}")
        directions = [step.direction for step in self.steps]
        if any(here == there for here, there in itertools.pairwise(directions)):
            raise ValueError(f"a challenge never asks for a direction twice running: {', '.join(directions)}")


def draw_challenge(steps: int | None = None, *, partial: bool = False, random: Random | None = None) -> Challenge:
    """Draw a challenge at random.

    Args:
        steps: How many; by default as few as are safe.
        partial: For people who cannot turn the head in all directions.
        random: Where chance comes from; the operating system's by default, which nobody can foresee.

    Raises:
        ValueError: Fewer steps than a challenge has.
    """
    chance = random or secrets.SystemRandom()
    possible = _STRAIGHT_ON if partial else DIRECTIONS
    drawn: list[Direction] = []
    for _ in range(steps if steps is not None else PARTIAL_STEPS if partial else FEWEST_STEPS):
        drawn.append(chance.choice([one for one in possible if not drawn or one != drawn[-1]]))
    limit_s = _PARTIAL_LIMIT_S if partial else _LIMIT_S
    return Challenge(tuple(Step(direction, limit_s) for direction in drawn), partial)
