"""What is measured: the cases, each of a section that ``--only`` can name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidebyside.scenes import Scenes

POOL = 10_000
"""People in the pool where its size is not what is varied."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One case.

    Attributes:
        name: Its key in the results.
        section: Its group.
        title: For the table.
        case: What workers are asked for; see ``adapters.base``.
        axis: The value on the axis of its section's plot; None for what is only in the table.
        part: Share of the repetitions that it gets.
    """

    name: str
    section: str
    title: str
    case: dict[str, Any]
    axis: float | None = None
    part: float = 1.0


SECTIONS = ("detect", "embed", "batches", "overhead", "video", "faces", "sizes", "pools", "fresh", "search")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        crowds: Faces a frame, for the curve.
        sizes_wh: Frame sizes, for the curve.
        pools: People in the pool, for the curve.
        batches: Faces at a time.
        pool: People in the pool elsewhere.
        film_frames: Frames of the film in one repetition.
        memory_frames: Frames of the film after which peak memory is read off.
        twenty: Whether the group of twenty is looked at.
    """

    crowds: Sequence[int] = (1, 2, 4, 6, 9, 12, 16, 20, 24)
    sizes_wh: Sequence[tuple[int, int]] = ((320, 240), (640, 480), (960, 720), (1280, 720), (1920, 1080), (3840, 2160))
    pools: Sequence[int] = (10, 100, 1_000, 10_000, 100_000)
    batches: Sequence[int] = (1, 8, 32)
    pool: int = POOL
    film_frames: int = 24
    memory_frames: int = 40
    twenty: bool = True


QUICK = Scale((1, 3), ((320, 240), (640, 480)), (10, 100), (1, 4), 100, 3, 6, twenty=False)


class Catalogue:
    """All cases on some scenes.

    Args:
        scenes: Where pictures come from.
        folder: Where pools go.
        scale: How much is measured.
        real: Whether pictures of ``../shared`` may be used.
    """

    def __init__(self, scenes: Scenes, folder: Path, scale: Scale, *, real: bool) -> None:
        self._scenes = scenes
        self._folder = folder
        self._scale = scale
        self._six = scenes.six_faces() if real else scenes.crowd(6, (640, 480))
        self._many = scenes.many_faces() if real else scenes.crowd(20, (1280, 720))
        self.film = scenes.film() if real else scenes.staged_film()

    def cases(self) -> list[Measured]:
        """Everything that a long-lived worker does."""
        return [
            *self._detect(),
            *self._embed(),
            *self._batches(),
            self._overhead(),
            *self._video(),
            *self._crowds(),
            *self._sizes(),
            *self._pools(),
        ]

    def first_decision(self) -> dict[str, Any]:
        """Who is on a photo, with ten people in the pool."""
        return {"task": "first-decision", "photo": str(self._scenes.photo), **self.pool(10)}

    def watched_film(self) -> dict[str, Any]:
        """The film with a large pool, for peak memory."""
        return self._film("video", self._scale.pool, self._scale.memory_frames)

    def pool(self, size: int) -> dict[str, Any]:
        """A pool of so many strangers."""
        return {"pool": size, "pool_path": str(self._folder / f"pool-{size}.db")}

    def film_pool(self, size: int) -> dict[str, Any]:
        """A pool of so many people, among them those of the film."""
        portraits = [str(path) for path in self.film.portraits]
        return {"portraits": portraits, "pool": size, "pool_path": str(self._folder / f"film-{size}.db")}

    def _detect(self) -> list[Measured]:
        cases = [
            Measured("detect-1", "detect", "detect, 640x480, 1 face", _on("detect", self._scenes.one_face())),
            Measured("detect-6", "detect", "detect, group of 6", _on("detect", self._six)),
            Measured("detect-20", "detect", "detect, group of 20", _on("detect", self._many)),
        ]
        return cases if self._scale.twenty else cases[:-1]

    def _embed(self) -> list[Measured]:
        cases = [
            Measured("analyze-1", "embed", "detect + embed, 640x480, 1 face", _on("analyze", self._scenes.one_face())),
            Measured("analyze-6", "embed", "detect + embed, group of 6", _on("analyze", self._six)),
            Measured("analyze-20", "embed", "detect + embed, group of 20", _on("analyze", self._many)),
        ]
        return cases if self._scale.twenty else cases[:-1]

    def _batches(self) -> list[Measured]:
        crops = str(self._scenes.crops(max(self._scale.batches)))
        return [
            Measured(f"embed-{size}", "batches", f"embed {size} at a time", _embedding(crops, size))
            for size in self._scale.batches
        ]

    def _overhead(self) -> Measured:
        case = _on("recognize", self._scenes.one_face()) | self.pool(self._scale.pool)
        title = f"frame to decision, 640x480, 1 face, {self._scale.pool:,} people"
        return Measured("recognize-pool", "overhead", title, case)

    def _video(self) -> list[Measured]:
        people = len(self.film.portraits)
        frames = self._scale.film_frames
        every, live = self._film("video", people, frames), self._film("live", people, frames)
        return [
            Measured("video", "video", f"{frames} frames of film, every face of every frame", every, part=1 / 3),
            Measured("live", "video", f"{frames} frames of film, following faces", live, part=1 / 3),
        ]

    def _crowds(self) -> list[Measured]:
        return [
            Measured(
                f"faces-{count}",
                "faces",
                f"detect + embed, 1280x720, faces side by side: {count}",
                _on("analyze", self._scenes.crowd(count, (1280, 720))),
                count,
                1 / 3,
            )
            for count in self._scale.crowds
        ]

    def _sizes(self) -> list[Measured]:
        return [
            Measured(
                f"size-{width}x{height}",
                "sizes",
                f"detect + embed, {width}x{height}, 1 face",
                _on("analyze", self._scenes.one_face((width, height))),
                width * height / 1e6,
                1 / 3,
            )
            for width, height in self._scale.sizes_wh
        ]

    def _pools(self) -> list[Measured]:
        return [self._at_pool(size) for size in self._scale.pools]

    def _at_pool(self, size: int) -> Measured:
        case = _on("recognize", self._scenes.one_face()) | self.pool(size)
        title = f"frame to decision, 640x480, 1 face, {size:,} people"
        return Measured(f"pool-{size}", "pools", title, case, size, 1 / 3)

    def _film(self, task: str, people: int, frames: int) -> dict[str, Any]:
        return {"task": task, "video": str(self.film.path), "frames": frames, **self.film_pool(people)}


def _on(task: str, image: Path) -> dict[str, Any]:
    return {"task": task, "image": str(image)}


def _embedding(crops: str, size: int) -> dict[str, Any]:
    return {"task": "embed", "crops": crops, "batch": size}
