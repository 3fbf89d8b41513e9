"""How often unknown people are put together wrongly, and how often not at all: LFW as a stream of strangers.

    python benchmarks/accuracy/joining.py [--cache FOLDER] [--orders 3] [--worsened]

Each photo is somebody unknown who is seen once. In random order each is compared with the faces that are kept by then
and joins a group or makes a new one, as `facepool.groups.joining` decides. LFW has some people under two names, and two
names for one photo; the pairs below were looked at, and count as one person. ``--worsened`` shows half of the photos as
a poor camera gives them.
"""

import argparse
from pathlib import Path

import numpy as np
from features import CACHE, features

from facepool.gallery.sightings import InboxVectors
from facepool.groups.joining import belonging
from facepool.models.catalog import CATALOG, EmbedderSpec
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Pose, SightedFaces

SAME_PERSON = (
    ("Martha_Bowen", "Gabrielle_Rose"),
    ("Shavon_Earp", "Diana_Taurasi"),
    ("Isabela_Moraes", "Carolina_Moraes"),
    ("John_Burnett", "John_Barnett"),
    ("Hassan_Wirajuda", "Hasan_Wirayuda"),
    ("Sepp_Blatter", "Joseph_Blatter"),
    ("Dai_Chul_Chyung", "Chyung_Dai-chul"),
    ("Mireya_Moscoso", "Mireya_Elisa_Moscoso_Rodriguez"),
    ("Prince_Felipe", "Felipe_De_Borbon"),
    ("Cristina_Kirchner", "Cristina_Fernandez"),
    ("Wang_Nan", "Nan_Wang"),
    ("Uday_Hussein", "Odai_Hussein"),
    ("Jon_Gruden", "John_Gruden"),
    ("Roseanne_Barr", "Lane_Bryant"),
)
"""Twins among them, and photos of one person whose name is another's."""


class Stream:
    """Strangers of one photo each, and the groups that they were put into."""

    def __init__(self, policy: ThresholdPolicy, dimension: int, most: int) -> None:
        self._policy = policy
        self._embeddings = np.zeros((most, dimension), np.float32)
        self._groups = np.zeros(most, np.int64)
        self._count = 0
        self.owners: list[str] = []
        self.proposed: list[tuple[str, str]] = []

    def add(self, embedding: Floats, quality: float, score: float, yaw: float, person: str) -> tuple[str | None, bool]:
        """Whose group somebody joins, if they join one."""
        kept = InboxVectors(
            self._count,
            self._embeddings[: self._count],
            self._groups[: self._count],
            np.zeros(self._count, np.float32),
            np.arange(self._count, dtype=np.int64),
        )
        pose = None if np.isnan(yaw) else Pose(float(yaw), 0.0, 0.0)
        one = np.ones(1, np.float32)
        faces = SightedFaces(embedding[None], (b"",), one * quality, one * score, one, (pose,))
        found = belonging(faces, kept, self._policy)
        joined = None if found.group is None else self.owners[found.group]
        group = found.group
        if group is None:
            group = len(self.owners)
            self.owners.append(person)
        self.proposed += [(person, self.owners[match.group]) for match in found.likely]
        self._embeddings[self._count], self._groups[self._count] = embedding, group
        self._count += 1
        return joined, found.group is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--worsened", action="store_true")
    asked = parser.parse_args()
    spec = CATALOG["sface"].spec
    assert isinstance(spec, EmbedderSpec)
    policy, same = ThresholdPolicy(spec.fmr), dict(SAME_PERSON)
    plain = features("plain", asked.cache)
    vectors, people, quality, yaw = plain.averaged, plain.people.copy(), plain.quality.copy(), plain.yaw.copy()
    good = plain.found & (plain.quality >= 30)
    if asked.worsened:
        hard = features("hard", asked.cache)
        half = (np.arange(len(people)) % 2 == 1) & hard.found & (hard.quality >= 30)
        vectors[half], quality[half], yaw[half] = hard.averaged[half], hard.quality[half], hard.yaw[half]
    totals = dict.fromkeys(
        ("photos", "strangers", "wrong", "again", "missed", "proposed rightly", "proposed wrongly"), 0
    )
    for number in range(asked.orders):
        stream, seen = Stream(policy, vectors.shape[1], len(vectors)), set[str]()
        for row in np.random.default_rng(number).permutation(np.flatnonzero(good)):
            person = same.get(str(people[row]), str(people[row]))
            owner, joined = stream.add(
                vectors[row], float(quality[row]), float(plain.score[row]), float(yaw[row]), person
            )
            totals["photos"] += 1
            totals["strangers" if person not in seen else "again"] += 1
            totals["wrong"] += joined and owner != person
            totals["missed"] += not joined and person in seen
            seen.add(person)
        right = sum(one == other for one, other in stream.proposed)
        totals["proposed rightly"] += right
        totals["proposed wrongly"] += len(stream.proposed) - right
    print(", ".join(f"{name} {value}" for name, value in totals.items()))
    print(f"wrong joins: {totals['wrong'] / totals['strangers']:.3%} of strangers; "
          f"missed: {totals['missed'] / totals['again']:.2%} of those who were there before")  # fmt: skip


if __name__ == "__main__":
    main()
