"""What corrections are worth: wrong recognitions between two people who are alike, before and after some of them.

    python benchmarks/corrections.py [--alike 0.75] [--templates 2] [--people 70]

LFW has nobody whom facepool takes for another enrolled person, so look-alikes are made of its faces: people who have
eight photos or more are paired with whoever resembles them most, and each pair is moved together until only a share of
what tells them apart is left. How the photos of one person differ stays as it is. Half of the photos that are not
registered are seen first: whoever is wrongly named among them is corrected, k times a pair at most. The other half is
counted. Embeddings are biometric data: they are kept in the temporary folder.

Beside it: how many slips are noticed (a face of somebody that is said to be somebody else, by chance, of the same 70
people as they are), and what a preview takes, by the size of the pool.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from facepool import ModelChoice, load_analyzer, read_image
from facepool.enroll.session import EnrollOptions
from facepool.groups.judge import Core, judge
from facepool.groups.preview import PoolChange, SightingRule, named_differently
from facepool.search import Index
from facepool.thresholds import SAME_SCAN_FMR, ThresholdPolicy
from facepool.types import Floats, Indices, Pose, SightedFaces

LFW = Path(__file__).parents[1].parent / "shared" / "data" / "lfw"
CACHE = Path(tempfile.gettempdir()) / "facepool-accuracy" / "lfw-corrections.npz"
_PHOTOS = 8
_QUALITY, _SIZE_PX, _SCORE = 70.0, 100.0, 0.99
_NUMBERS = 1 << 40
_RIVALS, _SLIPS = 5, 3


@dataclass
class Tally:
    """How faces were named, and what became of corrections."""

    right: int = 0
    wrong: int = 0
    unknown: int = 0
    corrections: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def row(self, label: str) -> str:
        faces = self.right + self.wrong + self.unknown
        shares = " | ".join(f"{100 * count / faces:.1f} %" for count in (self.wrong, self.right, self.unknown))
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        return f"| {label} | {self.corrections} | {shares} | {outcomes} |"


@dataclass(frozen=True)
class Pair:
    """Two people who are alike: (T, D) registered and (N, D) seen faces of each."""

    names: tuple[str, str]
    templates: tuple[Floats, Floats]
    seen: tuple[Floats, Floats]

    def faces(self, *, later: bool) -> Iterator[tuple[int, Floats]]:
        """One half of what is seen, with whose it is, in mixed order."""
        found = []
        for who, faces in enumerate(self.seen):
            half = len(faces) // 2
            found += [(who, face) for face in (faces[half:] if later else faces[:half])]
        return (found[place] for place in np.random.default_rng(1).permutation(len(found)))


def photos_of_lfw() -> tuple[Floats, Indices, list[str]]:
    """Embeddings of everybody with many photos, and whose they are."""
    if not CACHE.is_file():
        analyzer, vectors, owners = load_analyzer(ModelChoice()), [], []
        for folder in sorted(LFW.iterdir()):
            photos = sorted(folder.glob("*.jpg")) if folder.is_dir() else []
            for photo in photos if len(photos) >= _PHOTOS else ():
                image = read_image(photo)
                ((found, embeddings),) = analyzer.embed_batch([image])
                if len(found):
                    middle = np.array([image.shape[1], image.shape[0]]) / 2
                    away = np.abs((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - middle).sum(axis=1)
                    vectors.append(embeddings[int(np.argmax(found.sizes - away))])
                    owners.append(folder.name)
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        np.savez(CACHE, vectors=np.stack(vectors), owners=np.array(owners))
    with np.load(CACHE, allow_pickle=False) as kept:
        names, numbers = np.unique(kept["owners"], return_inverse=True)
        return kept["vectors"], numbers, [str(name) for name in names]


def unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def made_pairs(alike: float, templates: int, people: int) -> list[Pair]:
    """Pairs of people of whom so much is the same, 0..1."""
    vectors, owners, names = photos_of_lfw()
    means = np.stack([vectors[owners == who].mean(axis=0) for who in range(len(names))])
    likeness = unit(means) @ unit(means).T
    np.fill_diagonal(likeness, -1)
    pairs: list[Pair] = []
    while len(pairs) < people // 2 and likeness.max() > -1:
        both = [int(who) for who in np.unravel_index(likeness.argmax(), likeness.shape)]
        likeness[both], likeness[:, both] = -1, -1
        middle, shown = means[both].mean(axis=0), []
        for who in both:
            faces = unit(vectors[owners == who] - alike * (means[who] - middle))
            shown.append(np.random.default_rng(who).permutation(faces))
        one, other = shown
        pairs.append(
            Pair(
                (names[both[0]], names[both[1]]),
                (one[:templates], other[:templates]),
                (one[templates:], other[templates:]),
            )
        )
    return pairs


def pool_of(pairs: Sequence[Pair]) -> Index:
    names = [name for pair in pairs for name in pair.names]
    rows = [templates for pair in pairs for templates in pair.templates]
    owners = np.repeat(np.arange(len(names)), [len(own) for own in rows])
    return Index.of_rows(np.concatenate(rows), owners, names)


def sighted(face: Floats) -> SightedFaces:
    columns = [np.full(1, value, np.float32) for value in (_QUALITY, _SCORE, _SIZE_PX)]
    return SightedFaces(face[None], (b"",), columns[0], columns[1], columns[2], (Pose(0, 0, 0),))


class Corrector:
    """Corrects wrong names of one pair.

    Args:
        pair: Who is alike.
        pool: Everybody.
        policy: Chooses thresholds.
        flagging: Whether corrected pairs become look-alikes.
    """

    def __init__(self, pair: Pair, pool: Index, policy: ThresholdPolicy, *, flagging: bool) -> None:
        self.pool = pool
        self._pair = pair
        self._own = list(pair.templates)
        self._policy = policy
        self._flagging = flagging
        self._given = 0

    def correct(self, who: int, face: Floats) -> str:
        """Say that a face is the one of the pair, and not the other; what became of it."""
        right, wrong = self._pair.names[who], self._pair.names[1 - who]
        core = Core(
            own=self._own[who],
            others={wrong: self._pair.templates[1 - who]},
            threshold=self._policy.identification(len(self.pool)).value,
            same_person=self._policy.same_person().value,
            same_scan=self._policy.same_person(SAME_SCAN_FMR).value,
        )
        outcome = judge(sighted(face), core, EnrollOptions(), wrong=wrong, force=False).outcome
        gained = face[None] if outcome == "taken" else face[:0].reshape(0, len(face))
        if len(gained):
            self._own[who] = np.concatenate([self._own[who], gained])
        pair = frozenset(self._pair.names) if self._flagging else None
        self._given += 1
        first = _NUMBERS + 100 * self._given
        self.pool = PoolChange(right, right, gained, (), pair).after(self.pool, first)
        return outcome


def measured(pairs: Sequence[Pair], policy: ThresholdPolicy, most: int, *, flagging: bool) -> Tally:
    """How the second half is named after so many corrections a pair at most."""
    pool, rule, tally = pool_of(pairs), SightingRule(policy), Tally()
    for pair in pairs:
        corrector, done = Corrector(pair, pool, policy, flagging=flagging), 0
        for who, face in pair.faces(later=False):
            if done < most and rule.decide(corrector.pool, sighted(face)).person == pair.names[1 - who]:
                tally.outcomes[corrector.correct(who, face)] += 1
                done += 1
        tally.corrections += done
        for who, face in pair.faces(later=True):
            named = rule.decide(corrector.pool, sighted(face)).person
            tally.right += named == pair.names[who]
            tally.wrong += named is not None and named != pair.names[who]
            tally.unknown += named is None
    return tally


def slips(templates: int, policy: ThresholdPolicy) -> Counter[str]:
    """What becomes of faces that are said to be somebody whom they do not show."""
    vectors, owners, names = photos_of_lfw()
    known = {who: vectors[owners == who][:templates] for who in range(len(names))}
    rng, outcomes = np.random.default_rng(0), Counter[str]()
    for who in known:
        for face in vectors[owners == who][templates:]:
            nearest = sorted(known, key=lambda one: -float((known[one] @ face).max()))[:_RIVALS]
            for said in rng.choice([other for other in known if other != who], _SLIPS, replace=False).tolist():
                core = Core(
                    own=known[said],
                    others={names[rival]: known[rival] for rival in nearest if rival != said},
                    threshold=policy.identification(templates * len(known)).value,
                    same_person=policy.same_person().value,
                    same_scan=policy.same_person(SAME_SCAN_FMR).value,
                )
                judgement = judge(sighted(face), core, EnrollOptions(), wrong=names[who], force=False)
                outcomes["asked about" if judgement.contradicts else "not noticed"] += 1
    return outcomes


def preview_ms(people: int, sightings: int, policy: ThresholdPolicy) -> float:
    """What a preview takes: made-up people with 4 templates, sightings of 5 faces."""
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(people * 4, 128)).astype(np.float32))
    pool = Index.of_rows(vectors, np.repeat(np.arange(people), 4), [f"p{number}" for number in range(people)])
    faces_of = {}
    for number in range(sightings):
        faces = unit(vectors[rng.integers(len(vectors))] + 0.05 * rng.normal(size=(5, 128)).astype(np.float32))
        columns = [np.full(5, value, np.float32) for value in (_QUALITY, _SCORE, _SIZE_PX)]
        faces_of[str(number)] = SightedFaces(
            faces, (b"",) * 5, columns[0], columns[1], columns[2], (Pose(0, 0, 0),) * 5
        )
    change = PoolChange("p0", "p0", faces_of["0"].embeddings[:1], (), frozenset({"p0", "p1"}))
    began_s = perf_counter()
    named_differently(pool, change.after(pool), faces_of, SightingRule(policy))
    return 1000 * (perf_counter() - began_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--alike", type=float, nargs="*", default=[0.6, 0.75], help="how much of two people is the same"
    )
    parser.add_argument("--templates", type=int, nargs="*", default=[1, 2, 4], help="registered of each")
    parser.add_argument("--people", type=int, default=70)
    parser.add_argument("--previews", action="store_true", help="only what previews take")
    chosen = parser.parse_args()
    policy = ThresholdPolicy(load_analyzer(ModelChoice()).fmr)
    if not chosen.previews:
        for alike in chosen.alike:
            for templates in chosen.templates:
                pairs = made_pairs(alike, templates, chosen.people)
                print(f"\n{len(pairs)} pairs, {alike:.0%} the same, {templates} templates each\n")
                print("| corrections a pair | made | wrong | right | unknown | what became of the faces |")
                print("|---|---|---|---|---|---|")
                print(measured(pairs, policy, 0, flagging=True).row("none"))
                for most in (1, 3):
                    print(measured(pairs, policy, most, flagging=True).row(f"{most}"))
                    print(measured(pairs, policy, most, flagging=False).row(f"{most}, not flagged"))
                sys.stdout.flush()
        for templates in chosen.templates:
            print(f"slips, {templates} templates each: {dict(slips(templates, policy))}", flush=True)
    for people in (100, 1000, 10_000, 100_000):
        print(f"preview over 500 sightings, {people:,} people: {preview_ms(people, 500, policy):.0f} ms", flush=True)


if __name__ == "__main__":
    main()
