"""How people move: late, a little beside what was asked, and never quite still."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from liveness.surfaces import Doubles

_STEP_S = 0.03
_ARRIVED = 3.5  # radians of its own frequency, after which a movement is nearly over
_CORRECTS_EACH_S = 0.5
_SLOWER, _SLOWEST = 0.65, 1.8


@dataclass(frozen=True)
class Instruction:
    """Where to turn, and what the picture on the screen tells about the way there.

    Attributes:
        angle_deg: Of the direction, on the ring.
        off_deg: Around the ring, how far beside it the head is seen to be turned; None where that is not said.
        further: Whether it is said to turn further.
        slower: How often it was said so far to turn more slowly.
        upright: Whether it is said to hold the head upright.
    """

    angle_deg: float
    off_deg: float | None = None
    further: bool = False
    slower: int = 0
    upright: bool = False


Asked = Instruction | None
"""What is asked for; None: to look straight ahead."""


@dataclass(frozen=True)
class Habit:
    """How somebody follows an instruction.

    Attributes:
        reaction_s: From hearing to moving.
        yaw_deg, pitch_deg: How far a turn goes.
        error_deg: Deviation of the direction of each turn, on the ring.
        quick: Angular frequency of the movement, radians a second.
        damping: Below 1 it overshoots.
        roll_deg: Deviation of how far the head tilts with a turn.
        lean_mm: How far the whole moves along with a full turn: to the side, upwards, towards the camera.
        rest_deg: (yaw, pitch, roll) of straight ahead.
        tremor_deg, tremor_mm: Deviation of what never keeps still.
        tremor_s: How long a tremor lasts.
        most_yaw_deg, most_pitch_deg: How far it goes at most, where it is told to turn further.
    """

    reaction_s: float
    yaw_deg: float
    pitch_deg: float
    error_deg: float
    quick: float
    damping: float
    roll_deg: float
    lean_mm: tuple[float, float, float]
    rest_deg: tuple[float, float, float]
    tremor_deg: float
    tremor_mm: float
    tremor_s: float
    most_yaw_deg: float = 42.0
    most_pitch_deg: float = 26.0

    @classmethod
    def of_a_person(cls, random: np.random.Generator) -> "Habit":
        """Somebody who means to follow."""
        return cls(
            reaction_s=float(random.uniform(0.25, 0.7)),
            yaw_deg=float(random.uniform(17, 32)),
            pitch_deg=float(random.uniform(12, 20)),
            error_deg=7.0,
            quick=float(random.uniform(3.5, 7)),
            damping=float(random.uniform(0.7, 1.0)),
            roll_deg=3.0,
            lean_mm=(float(random.normal(0, 12)), float(random.normal(0, 6)), float(random.normal(0, 8))),
            rest_deg=(float(random.normal(0, 3)), float(random.normal(0, 4)), float(random.normal(0, 2.5))),
            tremor_deg=float(random.uniform(0.3, 1.0)),
            tremor_mm=float(random.uniform(1, 4)),
            tremor_s=0.8,
        )

    def stiff(self, random: np.random.Generator) -> "Habit":
        """The same person with a neck that turns neither far nor quickly."""
        return replace(
            self,
            yaw_deg=float(random.uniform(11, 17)),
            pitch_deg=float(random.uniform(7, 11)),
            quick=float(random.uniform(2, 4)),
            most_yaw_deg=20.0,
            most_pitch_deg=13.0,
        )


@dataclass(frozen=True)
class Place:
    """Where what is filmed is now.

    Attributes:
        yaw_deg, pitch_deg, roll_deg: How it is turned.
        shift_mm: (3,) from where it started.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    shift_mm: Doubles


class Wavering:
    """Smooth noise with a deviation and a time (an Ornstein-Uhlenbeck process, smoothed once)."""

    def __init__(self, deviation: Sequence[float], time_s: float, random: np.random.Generator) -> None:
        self._deviation, self._time_s, self._random = np.array(deviation), time_s, random
        self._rough = self._smooth = np.zeros(len(deviation))

    def step(self, passed_s: float) -> Doubles:
        """The noise now, some time after it was last asked for."""
        keep = np.exp(-passed_s / self._time_s)
        kick = self._random.normal(0, 1, len(self._deviation)) * self._deviation * np.sqrt(1 - keep**2)
        self._rough = self._rough * keep + kick
        self._smooth = self._smooth + (self._rough - self._smooth) * (1 - np.exp(-3 * passed_s / self._time_s))
        return np.asarray(self._smooth)


class Follower:
    """Turns as it is asked to, and corrects itself by what it is told.

    Args:
        habit: How it moves.
        random: Of this attempt alone.
    """

    def __init__(self, habit: Habit, random: np.random.Generator) -> None:
        self._habit, self._random = habit, random
        self._heard_deg: float | None = None
        self._heard_s = 0.0
        self._target = np.zeros(6)  # yaw, pitch and roll in degrees, and the lean in millimetres
        self._at, self._speed = np.zeros(6), np.zeros(6)
        self._tremor_deg = Wavering([habit.tremor_deg] * 3, habit.tremor_s, random)
        self._tremor_mm = Wavering([habit.tremor_mm] * 3, habit.tremor_s * 1.5, random)
        self._error_deg = self._roll_deg = 0.0
        self._further = 1.0
        self._quick = habit.quick
        self._corrected_s = 0.0
        self._time_s = 0.0

    def step(self, time_s: float, asked: Asked) -> Place:
        """Where it is now.

        Args:
            time_s: Never less than before.
            asked: What it hears and sees now.
        """
        habit, passed_s = self._habit, max(time_s - self._time_s, 1e-3)
        self._time_s = time_s
        angle_deg = None if asked is None else asked.angle_deg
        if angle_deg != self._heard_deg:
            self._heard_deg, self._heard_s = angle_deg, time_s
            self._error_deg = float(self._random.normal(0, habit.error_deg))
            self._roll_deg = float(self._random.normal(0, habit.roll_deg))
            self._further = 1.0
            if asked is not None:
                self._quick = max(self._habit.quick * _SLOWER**asked.slower, min(_SLOWEST, self._habit.quick))
        if time_s - self._heard_s >= habit.reaction_s:
            self._correct(asked)
            self._target = self._aim()
        steps = int(np.ceil(passed_s / _STEP_S))
        for _ in range(steps):
            pull = self._quick**2 * (self._target - self._at) - 2 * habit.damping * self._quick * self._speed
            self._speed = self._speed + pull * passed_s / steps
            self._at = self._at + self._speed * passed_s / steps
        yaw, pitch, roll = self._at[:3] + habit.rest_deg + self._tremor_deg.step(passed_s)
        return Place(float(yaw), float(pitch), float(roll), self._at[3:] + self._tremor_mm.step(passed_s))

    def _correct(self, asked: Asked) -> None:
        """Once it has arrived, half of what is said to be wrong each half second, and a tenth further if told so."""
        arrived_s = self._heard_s + self._habit.reaction_s + _ARRIVED / self._quick
        if asked is None or self._time_s < max(arrived_s, self._corrected_s + _CORRECTS_EACH_S):
            return
        if asked.off_deg is not None:
            self._error_deg -= asked.off_deg / 2
        if asked.further:
            self._further += 0.1
        if asked.upright:
            self._roll_deg /= 2
        self._corrected_s = self._time_s

    def _aim(self) -> Doubles:
        """(6,)."""
        if self._heard_deg is None:
            return np.zeros(6)
        habit, angle = self._habit, np.radians(self._heard_deg + self._error_deg)
        yaw = min(habit.yaw_deg * self._further, habit.most_yaw_deg) * np.cos(angle)
        pitch = min(habit.pitch_deg * self._further, habit.most_pitch_deg) * np.sin(angle)
        aside, up, near = np.array(habit.lean_mm) * (np.cos(angle), -np.sin(angle), -1)
        return np.array([yaw, pitch, self._roll_deg, aside, up, near])
