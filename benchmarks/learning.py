"""Learning with consent: what an attacker gains from it, and what the people of a pool do.

    python benchmarks/learning.py attacks                  # one LFW person morphs into another, step by step
    python benchmarks/learning.py attacks --pairs 1000
    python benchmarks/learning.py years                    # faces that change, with and without learning

In both, everybody says yes to everything, and whoever attacks waits as many days as it takes. Attackers are taken for
their victim at the camera whatever they show, which is more than they get. ``attacks`` draws pairs of people of LFW and
pools of some others. The attacker morphs, in the embedding space or pixel by pixel, goes as far as the rule lets them,
again and again, and has got in if a photo of theirs that was not used for it is named as the victim afterwards, and was
not before. Other ways of storing what was accepted stand beside facepool's.

``years`` makes photos of LFW older, or lights them otherwise, more so each month: pixels are changed, and the network
looks at them. Vectors and faces are kept in ``--cache``, by default the temporary folder; they are biometric data.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facepool import ModelChoice, load_analyzer, read_image
from facepool.evaluation.embeddings import choose_face
from facepool.faces.analyze import Analyzer
from facepool.faces.quality import measure
from facepool.geometry import CROP
from facepool.groups.drift import MOST_LEARNED, Core, LearnRule, SeenFace, View, most_degrees, propose, tilted
from facepool.models.catalog import FmrCurve
from facepool.recognize.decide import Criteria, decide
from facepool.recognize.pictures import CANDIDATES, RecognizeOptions
from facepool.search import Index
from facepool.search.exact import nearest
from facepool.thresholds import ThresholdPolicy
from facepool.types import AlignedFaces, Detections, Floats, Image, Indices, Pose

LFW = Path(__file__).parents[1].parent / "shared" / "data" / "lfw"
CACHE = Path(tempfile.gettempdir()) / "facepool-learning"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRONTAL = Pose(0.0, 0.0, 0.0)
RULE = LearnRule()
STEPS = 41
BLENDS = 13
ROUNDS = 12
LEVELS = 9
"""Months of a series, the first one as it was when everybody was enrolled."""
ONE_PERSON = 0.6
"""Two of LFW's names whose pictures are as alike as this show one person."""
_BATCH = 64
_MISFIT_MM = 3.0


@dataclass(frozen=True)
class Faces:
    """One row a picture of LFW that has a face.

    Attributes:
        names: (N,) who it shows.
        vectors: (N, D) embeddings.
        pictures: (N, 112, 112, 3) aligned faces, BGR; read from the disk as they are used.
        numbers: (N, 5) quality 0..100, detector's score, size in pixels, yaw and pitch in degrees (NaN: none).
    """

    names: npt.NDArray[np.str_]
    vectors: Floats
    pictures: Image
    numbers: Floats

    def people(self, least: int) -> list[Indices]:
        """The rows of everybody with so many pictures at least, less those whose name is another one's, too."""
        rows = [np.flatnonzero(self.names == name) for name in np.unique(self.names)]
        return [own for own in rows if len(own) >= least]

    def pose(self, row: int) -> Pose | None:
        """How the head of a picture is turned."""
        yaw, pitch = self.numbers[row, 3:]
        return None if np.isnan(yaw) else Pose(float(yaw), float(pitch), 0.0)


def look_at(root: Path, cache: Path, analyzer: Analyzer) -> Faces:
    """LFW through the default pack, from the cache where it was looked at before."""
    rows, pictures = cache / "lfw.npz", cache / "lfw-pictures.npy"
    if not rows.exists():
        cache.mkdir(parents=True, exist_ok=True)
        names, vectors, aligned, numbers = [], [], [], []
        for path in sorted(root.glob("*/*.jpg")):
            image = read_image(path)
            (faces,) = analyzer.analyze_batch([image])
            if not len(faces) or faces.aligned is None:
                continue
            row = choose_face(faces.detections.boxes, (image.shape[1], image.shape[0]))
            pose = faces.poses[row]
            names.append(path.parent.name)
            vectors.append(faces.embeddings[row])
            aligned.append(faces.aligned.images_bgr[row])
            numbers.append(
                (
                    *(faces.measures.overall[row], faces.detections.scores[row], faces.measures.size_px[row]),
                    *((np.nan, np.nan) if pose is None else (pose.yaw, pose.pitch)),
                )
            )
        np.save(pictures, np.stack(aligned))
        np.savez(rows, names=np.array(names), vectors=np.stack(vectors), numbers=np.array(numbers, np.float32))
    with np.load(rows, allow_pickle=False) as columns:
        return Faces(columns["names"], columns["vectors"], np.load(pictures, mmap_mode="r"), columns["numbers"])


class Pools:
    """Decides as facepool does.

    Args:
        curve: Of the embedder.
    """

    def __init__(self, curve: FmrCurve) -> None:
        self.curve = curve
        self._policy = ThresholdPolicy(curve)

    def threshold(self, templates: int) -> float:
        """Of a pool of so many."""
        return self._policy.identification(templates).value

    def named(self, people: Sequence[Floats], probes: Floats) -> list[int | None]:
        """The number of the person that each probe is named as."""
        owners = np.repeat(np.arange(len(people)), [len(one) for one in people])
        index = Index.of_rows(np.concatenate(people), owners, [f"{number:06}" for number in range(len(people))])
        criteria = Criteria(
            self.threshold(len(index)), RecognizeOptions().min_margin, index.look_alikes, margins=index.margins
        )
        decisions = [decide(found, criteria) for found in nearest(index, probes, CANDIDATES, normalize=True)]
        return [None if one.person is None else int(one.person) for one in decisions]


# Attacks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One way of learning.

    Attributes:
        name: For people.
        store: From what was enrolled and an accepted face to what is stored.
        rests_on_learned: Whether what was learned counts as enrolled.
    """

    name: str
    store: Callable[[Floats, Floats], Floats]
    rests_on_learned: bool = False


def as_it_is(_: Floats, face: Floats) -> Floats:
    return face


AS_IT_IS = Way("the face as it is, if it matches what was enrolled", as_it_is)
FREE = Way("the face as it is, if it matches any template", as_it_is, rests_on_learned=True)


def ways(degrees: float) -> tuple[Way, ...]:
    """What is compared, in a pool that allows for so many degrees."""
    others = (Way(f"tilted by {more:g} degrees", partial(tilted, degrees=more)) for more in (10.0, 15.0))
    return (
        Way(f"facepool: tilted by {degrees:.1f} degrees", partial(tilted, degrees=degrees)),
        *others,
        AS_IT_IS,
        FREE,
    )


def morphs(one: Floats, other: Floats) -> Floats:
    """(STEPS, D) from one face to another over the sphere."""
    angle = np.arccos(np.clip(one @ other, -1, 1))
    shares = np.linspace(0, 1, STEPS)[:, None]
    return np.asarray((np.sin((1 - shares) * angle) * one + np.sin(shares * angle) * other) / np.sin(angle), np.float32)


def blends(one: Image, other: Image) -> list[Image]:
    """From one aligned face to another, pixel by pixel."""
    return [cv2.addWeighted(one, 1 - share, other, share, 0).astype(np.uint8) for share in np.linspace(0, 1, BLENDS)]


def lit(picture: Image) -> list[Image]:
    """A face in some lights."""
    return [light(picture, level / 4, side) for level in range(1, 6) for side in (-1.0, 0.0, 1.0)]


def walk(way: Way, enrolled: Floats, shown: Floats, attacker: Floats, pools: Pools, size: int) -> tuple[Floats, float]:
    """Store what an attacker gets accepted, the farthest first, until nothing more is.

    Returns:
        The templates, and how much the farthest accepted face resembles the attacker; -1 where none was accepted.
    """
    stored: list[Floats] = []
    reached = -1.0
    order = np.argsort(-(shown @ attacker))
    for _ in range(min(MOST_LEARNED, len(enrolled)) if not way.rests_on_learned else ROUNDS):
        views = [View(one, FRONTAL, NOW, learned=False) for one in enrolled]
        views += [View(one, FRONTAL, NOW, learned=not way.rests_on_learned) for one in stored]
        core = Core(views, pools.curve, pools.threshold(size + len(stored)), RULE)
        for number in order:
            face = SeenFace("", "", NOW, shown[number], 100.0, FRONTAL)
            if core.lack(face, NOW) is not None:
                break
        else:
            break
        stored.append(way.store(enrolled, shown[number]))
        reached = max(reached, float(shown[number] @ attacker))
    return np.concatenate([enrolled, np.stack(stored)]) if stored else enrolled, reached


def attacks(
    faces: Faces,
    pools: Pools,
    embed: Callable[[Sequence[Image]], Floats],
    pairs: int,
    pictured: int,
    templates: int,
    size: int,
) -> None:
    """Print what each way of learning gives to attackers.

    Args:
        faces: LFW.
        pools: Decides.
        embed: Turns aligned faces into vectors.
        pairs: How many people are attacked.
        pictured: With how many of them pictures are changed, too, which takes longer.
        templates: What each was enrolled with.
        size: How many people the pool has.
    """
    compared = ways(most_degrees(pools.curve, pools.threshold(templates * size)))
    random = np.random.default_rng(templates)
    victims, attackers, others = faces.people(templates + 2), faces.people(4), faces.people(templates)
    got_in: dict[tuple[str, str], list[bool]] = {}
    reached: dict[tuple[str, str], list[float]] = {}
    before = tried = 0
    while tried < pairs:
        victim, attacker = (random.permutation(who[random.integers(len(who))]) for who in (victims, attackers))
        if float(np.max(faces.vectors[victim] @ faces.vectors[attacker].T)) >= ONE_PERSON:
            continue  # the same person, perhaps under two names
        tried += 1
        enrolled, own, probes = victim[:templates], attacker[0], faces.vectors[attacker[1:]]
        rest = [others[number] for number in random.permutation(len(others))]
        rest = [one for one in rest if faces.names[one[0]] not in faces.names[[victim[0], own]]][: size - 1]
        around = [faces.vectors[one[:templates]] for one in rest]
        core = faces.vectors[enrolled]
        at_first = pools.named([core, *around], probes)
        before += 0 in at_first
        shows = {"morph of embeddings": np.concatenate([morphs(one, faces.vectors[own]) for one in core])}
        if tried <= pictured:
            mixed = [faces.pictures[row] for row in (enrolled[0], victim[templates])]
            blended = [blend for one in mixed for blend in blends(one, faces.pictures[own])]
            shows["morph of pictures"] = embed(blended)
            shows["own face in other lights"] = embed(lit(faces.pictures[own]))
        for kind, shown in shows.items():
            for way in compared:
                views, farthest = walk(way, core, shown, faces.vectors[own], pools, templates * size)
                after = pools.named([views, *around], probes)
                new = any(now == 0 and then != 0 for now, then in zip(after, at_first, strict=True))
                got_in.setdefault((kind, way.name), []).append(new)
                reached.setdefault((kind, way.name), []).append(farthest)
        if tried % 50 == 0:
            print(f"  {tried} pairs", flush=True)
    print(f"\n{pairs} pairs, {templates} templates each, pools of {size} people; "
          f"{before} attackers had a photo that was named as the victim before anything was learned")  # fmt: skip
    print("| attack | what is stored | got in | got something accepted | its similarity to the attacker, at most |")
    print("|---" * 5 + "|")
    for (kind, way_name), outcome in got_in.items():
        far = np.array(reached[kind, way_name])
        share = f"{np.mean(outcome):.2%} ({sum(outcome)} of {len(outcome)})"
        print(f"| {kind} | {way_name} | {share} | {(far > -1).mean():.1%} | {far.max():.2f} |", flush=True)  # fmt: skip


# Years --------------------------------------------------------------------------------------------------------------


def light(picture: Image, level: float, side: float = 1.0) -> Image:
    """A face by less and less light, from one side, of another colour; level 0 is as it was, 1 is an evening lamp."""
    across = np.linspace(-1, 1, picture.shape[1], dtype=np.float32)[None, :, None] * side
    gain = (1 - 0.5 * level) * (1 + 0.95 * level * across)
    colour = 1 + level * np.array([-0.25, -0.05, 0.12], np.float32)
    dimmed = 255 * (picture / 255.0) ** (1 + 0.5 * level) * np.clip(gain, 0.02, None) * colour
    noise = np.random.default_rng(int(picture.astype(np.int64).sum())).normal(0, 12 * level, picture.shape)
    return np.asarray(np.clip(dimmed + noise, 0, 255), np.uint8)


def aged(picture: Image, level: float) -> Image:
    """A made older face: it sags, the nose grows, skin loses colour and gets lines. Level 1 is much older."""
    side = picture.shape[0]
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / (side - 1)
    wide = np.exp(-(((rows - 0.86) / 0.16) ** 2)) * (columns - 0.5)  # jaw and cheeks
    nose = np.exp(-(((rows - 0.62) / 0.1) ** 2) - ((columns - 0.5) / 0.12) ** 2)
    lids = np.exp(-(((rows - 0.42) / 0.07) ** 2))
    at_x = columns - level * (0.22 * wide + 0.25 * nose * (columns - 0.5))
    at_y = rows - level * (0.035 * lids + 0.03 * np.exp(-(((rows - 0.8) / 0.12) ** 2)) + 0.2 * nose * (rows - 0.62))
    moved = cv2.remap(picture, at_x * (side - 1), at_y * (side - 1), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(moved, cv2.COLOR_BGR2GRAY)[:, :, None].astype(np.float32)
    pale = moved * (1 - 0.5 * level) + grey * 0.5 * level
    fine = pale - cv2.GaussianBlur(pale, (0, 0), 2.0)
    return np.asarray(np.clip(pale + 1.6 * level * fine + level * _lines(side)[:, :, None], 0, 255), np.uint8)


def _lines(side: int) -> Floats:
    """Where lines are: on the forehead, beside eyes and mouth."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / (side - 1)
    forehead = np.exp(-(((rows - 0.2) / 0.1) ** 2)) * np.cos(2 * np.pi * rows * 18)
    folds = sum(
        np.exp(-(((columns - (0.5 + sign * (0.12 + 0.25 * (rows - 0.6)))) / 0.015) ** 2))
        * ((rows > 0.6) & (rows < 0.85))
        for sign in (-1, 1)
    )
    crows = np.exp(-(((rows - 0.46) / 0.06) ** 2) - ((np.abs(columns - 0.5) - 0.4) / 0.06) ** 2)
    return np.asarray(-14 * forehead - 40 * folds - 18 * crows * np.cos(2 * np.pi * (rows + columns) * 14), np.float32)


CHANGES: Mapping[str, Callable[[Image, float], Image]] = {"light": light, "age": aged}


def qualities(pictures: Sequence[Image], numbers: Floats) -> Floats:
    """(N,) 0..100 of changed pictures: light, contrast and sharpness as they are now, the rest as it was."""
    count = len(pictures)
    boxes = np.zeros((count, 4), np.float32)
    boxes[:, 2:] = numbers[:, 2:3]
    found = Detections(boxes, np.ascontiguousarray(numbers[:, 1]), np.zeros((count, 5, 2), np.float32))
    return measure(found, AlignedFaces(np.stack(pictures), ""), np.full(count, _MISFIT_MM, np.float32)).overall


@dataclass(frozen=True)
class Month:
    """Everybody's photos as they look in one month: (N, D) vectors and (N,) qualities, by row of LFW."""

    vectors: Floats
    qualities: Floats
    row_of: Mapping[int, int]

    def of(self, rows: Indices) -> Floats:
        return self.vectors[[self.row_of[int(row)] for row in rows]]


def months(
    faces: Faces, rows: Indices, change: str, embed: Callable[[Sequence[Image]], Floats], cache: Path
) -> Iterator[Month]:
    """The same photos, month after month, from the cache where they were changed before."""
    row_of = {int(row): at for at, row in enumerate(rows)}
    for month in range(LEVELS):
        file = cache / f"{change}-{month}.npz"
        if not file.exists():
            pictures = [CHANGES[change](faces.pictures[row], month / (LEVELS - 1)) for row in rows]
            quality = qualities(pictures, faces.numbers[rows])
            np.savez(file, rows=rows, vectors=embed(pictures), qualities=quality)
        with np.load(file, allow_pickle=False) as columns:
            if not np.array_equal(columns["rows"], rows):
                raise SystemExit(f"{file} is of other photos: delete it, or name another folder with --cache")
            yield Month(columns["vectors"], columns["qualities"], row_of)


Learned = list[list[Floats]]
"""What was learned of each person."""


@dataclass(frozen=True)
class People:
    """Who takes part in a series.

    Attributes:
        enrolled: (E, D) vectors of each.
        seen: Rows of their photos that cameras see.
        later: Rows of those that are looked for.
        strangers: Rows of others, one each.
        others: (E, D) vectors of others in the pool, who are not looked for.
    """

    enrolled: list[Floats]
    seen: list[Indices]
    later: list[Indices]
    strangers: Indices
    others: list[Floats]

    @classmethod
    def draw(cls, faces: Faces, templates: int, people: int, strangers: int, size: int) -> "People":
        """Some people of LFW, the same each time."""
        random = np.random.default_rng(7)
        known = [random.permutation(one) for one in faces.people(templates + 5)]
        known = [known[number][: templates + 12] for number in random.permutation(len(known))[:people]]
        taken = set(faces.names[np.concatenate(known)])
        others = np.array([one[0] for one in faces.people(1) if faces.names[one[0]] not in taken])
        enrolled, seen, later = (
            [one[part] for one in known]
            for part in (slice(templates), slice(templates, None, 2), slice(templates + 1, None, 2))
        )
        others = random.permutation(others)
        around = [faces.vectors[one][None] for one in others[strangers : strangers + size - len(enrolled)]]
        return cls([faces.vectors[one] for one in enrolled], seen, later, others[:strangers], around)

    @property
    def rows(self) -> Indices:
        """Every photo that changes."""
        return np.concatenate([*self.seen, *self.later, self.strangers])

    def pool(self, learned: Learned) -> list[Floats]:
        """The templates of each person."""
        both = zip(self.enrolled, learned, strict=True)
        return [np.concatenate([one, *(each[None] for each in more)]) for one, more in both] + self.others


def years(
    faces: Faces, pools: Pools, embed: Callable[[Sequence[Image]], Floats], change: str, who: People, cache: Path
) -> None:
    size = sum(map(len, who.enrolled)) + sum(map(len, who.others))
    store = {way.name: way.store for way in ways(most_degrees(pools.curve, pools.threshold(size))) if way is not FREE}
    learned: dict[str, Learned] = {name: [[] for _ in who.enrolled] for name in ("nothing is learned", *store)}
    print(f"\n{change}: {len(who.enrolled)} people, {size} templates; {sum(map(len, who.later))} "
          f"photos of theirs and {len(who.strangers)} of strangers are looked for each month")  # fmt: skip
    print(
        "| FNIR (FPIR) in month | " + " | ".join(map(str, range(LEVELS))) + " | people with something learned | yes |"
    )
    print("|---" * (LEVELS + 3) + "|")
    cells: dict[str, list[str]] = {name: [] for name in learned}
    for month, now in enumerate(months(faces, who.rows, change, embed, cache)):
        for name, known in learned.items():
            missed, named = rate(pools, who.pool(known), who, now)
            cells[name].append(f"{missed:.1%} ({named:.1%})")
            if name in store:
                learn(faces, pools, who, now, known, month, store[name])
    for name, known in learned.items():
        share = f"{np.mean([bool(one) for one in known]):.0%} | {sum(map(len, known))}"
        print(f"| {name} | {' | '.join(cells[name])} | {share} |", flush=True)


def rate(pools: Pools, pool: Sequence[Floats], who: People, now: Month) -> tuple[float, float]:
    """FNIR and FPIR of a month."""
    owners = np.repeat(np.arange(len(who.later)), [len(one) for one in who.later])
    named = pools.named(pool, now.of(np.concatenate(who.later)))
    missed = np.mean([one != owner for one, owner in zip(named, owners, strict=True)])
    return float(missed), float(np.mean([one is not None for one in pools.named(pool, now.of(who.strangers))]))


def learn(
    faces: Faces,
    pools: Pools,
    who: People,
    now: Month,
    learned: Learned,
    month: int,
    store: Callable[[Floats, Floats], Floats],
) -> None:
    """What is proposed after a month, and gets a yes. Each photo is a sighting of another day."""
    pool = who.pool(learned)
    threshold = pools.threshold(sum(map(len, pool)))
    time = NOW + timedelta(days=30 * month)
    for number, rows in enumerate(who.seen):
        vectors, named = now.of(rows), pools.named(pool, now.of(rows))
        sightings = [
            SeenFace(str(row), str(row), time + timedelta(days=day), vectors[day],
                     float(now.qualities[now.row_of[int(row)]]), faces.pose(int(row)))
            for day, (row, name) in enumerate(zip(rows, named, strict=True)) if name == number
        ]  # fmt: skip
        for _ in range(min(MOST_LEARNED, len(who.enrolled[number]))):
            views = [View(one, FRONTAL, NOW, learned=False) for one in who.enrolled[number]]
            views += [View(one, FRONTAL, time, learned=True) for one in learned[number]]
            core = Core(views, pools.curve, threshold, RULE)
            proposal = propose(core, sightings, time, RULE)
            if proposal is None:
                break
            learned[number].append(store(who.enrolled[number], proposal.look))
            learned[number] = learned[number][-core.most_learned :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("attacks", "years"))
    parser.add_argument("--root", type=Path, default=LFW)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--pictured", type=int, default=150, help="pairs of which pictures are morphed, too")
    parser.add_argument("--templates", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--size", type=int, nargs="+", default=[60, 500], help="people of a pool")
    parser.add_argument("--people", type=int, default=60, help="of a series")
    parser.add_argument("--strangers", type=int, default=500, help="of a series")
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    analyzer = load_analyzer(ModelChoice())
    if analyzer.fmr is None:
        raise SystemExit("nobody has measured this model's error rates")
    faces, pools = look_at(arguments.root, arguments.cache, analyzer), Pools(analyzer.fmr)

    def embed(pictures: Sequence[Image]) -> Floats:
        parts = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
        return np.concatenate([analyzer.embed(AlignedFaces(np.stack(part), CROP)) for part in parts])

    for size in arguments.size:
        for templates in arguments.templates:
            if arguments.what == "attacks":
                attacks(faces, pools, embed, arguments.pairs, arguments.pictured, templates, size)
                continue
            who = People.draw(faces, templates, arguments.people, arguments.strangers, size)
            cache = arguments.cache / f"{templates}-{arguments.people}-{arguments.strangers}"
            cache.mkdir(exist_ok=True)
            for change in CHANGES:
                years(faces, pools, embed, change, who, cache)


if __name__ == "__main__":
    main()
