"""Two networks side by side: which weights, from which part of the picture, and what it is worth.

    python benchmarks/accuracy/parts.py                  # chosen on half of the people, reported on the other half
    python benchmarks/accuracy/parts.py --curve          # and the false match rates that the catalog has
    python benchmarks/accuracy/parts.py --time           # what embedding takes, beside that of open

The second network sees its part of the 112-pixel crop that facepool keeps anyhow. Weights are chosen on the people of
LFW and CFP whose names have an even CRC-32 and reported on the others. Intervals are 95 %, people drawn with
replacement; differences are paired: both embedders see the same draws.

TAR: all pairs of the images, the threshold taken anew in each replicate. CFP accuracy: frontal against profile, by its
own folds. Open set: 60 people x 4 templates, their other images as probes, everybody else as strangers, scored as
facepool does, over random galleries; FNIR at the threshold that names 1 % of the strangers.
"""

import argparse
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from features import CACHE, LFW, SHARED, central, lfw_names, unit

from facepool import ModelChoice, ModelStore, load_analyzer, read_image
from facepool.evaluation.bootstrap import draws, percentiles
from facepool.evaluation.metrics import fold_accuracy
from facepool.faces.align import Aligner
from facepool.faces.load import load_network, rounded
from facepool.geometry import CROP
from facepool.models.store import default_root
from facepool.runtime import Device, Runtime
from facepool.search import Index, normalized_scores
from facepool.types import AlignedFaces, Floats, Image

CFP = SHARED / "cfp"
_PROBES = 10
"""Images of a person that are searched for at most."""
FMRS = (1e-3, 1e-4, 1e-5)
WEIGHTS = (0.5, 0.6, 0.75, 0.9, 1.0, 1.2)
PEOPLE, TEMPLATES, FPIR = 60, 4, 0.01
_TAIL = 4e-3
"""Of the impostor pairs, the most similar ones are kept: with people drawn twice, 1e-3 of them lies well inside."""

Strings = npt.NDArray[np.str_]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Looked:
    """One row an image: unit vectors of each network, one view each; rows of zeros where no face was found.

    Attributes:
        names: ``Person/Person_0001.jpg``.
        sface: (N, 128).
        mirrored: (N, 128), of the mirror image.
        omz: (N, 256).
    """

    names: Strings
    sface: Floats
    mirrored: Floats
    omz: Floats

    @property
    def people(self) -> Strings:
        return np.array([name.split("/")[0] for name in self.names])

    @property
    def averaged(self) -> Floats:
        return unit(self.sface + self.mirrored)

    def mixed(self, weight: float) -> Floats:
        """SFace beside OMZ-0095, which weighs so much for each 1 of SFace."""
        return unit(np.concatenate([self.sface, np.float32(weight) * self.omz], axis=1))

    def __getitem__(self, rows: npt.NDArray[np.bool_]) -> "Looked":
        return Looked(self.names[rows], self.sface[rows], self.mirrored[rows], self.omz[rows])


def look(names: Sequence[str], root: Path, cache: Path) -> Looked:
    """Embed the central face of each picture, or read what an earlier run kept."""
    if cache.exists():
        with np.load(cache) as kept:
            return Looked(kept["names"], kept["sface"], kept["mirrored"], kept["omz"])
    store, runtime = ModelStore(default_root()), Runtime(Device("cpu"), 1)
    analyzer = load_analyzer(ModelChoice("open-plus"), threads=1)
    networks = {
        name: load_network(rounded(store.load(name), runtime), runtime) for name in ("sface-single", "omz-0095")
    }
    crops = np.zeros((len(names), 112, 112, 3), np.uint8)
    found = np.zeros(len(names), bool)
    for row, name in enumerate(names):
        image_bgr = read_image(root / name)
        faces = analyzer.find(image_bgr)
        if len(faces):
            one = faces.landmarks[central(faces, image_bgr)][np.newaxis]
            found[row], crops[row] = True, Aligner().align(image_bgr, one).images_bgr[0]
    sface, mirrored, omz = (
        np.where(found[:, None], networks[name].embed(AlignedFaces(np.ascontiguousarray(seen), CROP)), 0)
        for name, seen in (("sface-single", crops), ("sface-single", crops[:, :, ::-1]), ("omz-0095", crops))
    )
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, names=np.array(names), sface=sface, mirrored=mirrored, omz=omz)
    return Looked(np.array(names), sface, mirrored, omz)


class Pairs:
    """All pairs of some images: the genuine ones, and the most similar of the impostors."""

    def __init__(self, vectors: Floats, people: Strings) -> None:
        self._names, person = np.unique(people, return_inverse=True)
        self._images = np.bincount(person).astype(np.float64)
        genuine: list[Floats] = []
        whose: list[Ints] = []
        tails: list[tuple[Floats, Ints, Ints]] = []
        floor = self._floor(vectors, person)
        for start in range(0, len(vectors), 512):
            rows = slice(start, start + 512)
            scores = vectors[rows] @ vectors.T
            upper = np.arange(len(vectors)) > np.arange(start, start + len(scores))[:, None]
            same = person[rows][:, None] == person
            one, _ = np.nonzero(upper & same)
            genuine.append(scores[upper & same])
            whose.append(person[rows][one])
            first, second = np.nonzero(upper & ~same & (scores > floor))
            tails.append((scores[first, second], person[rows][first], person[second]))
        self.genuine, self._whose = np.concatenate(genuine), np.concatenate(whose)
        scores, first, second = (np.concatenate(column) for column in zip(*tails, strict=True))
        order = np.argsort(-scores)
        self.impostors, self._first, self._second = scores[order], first[order], second[order]

    def threshold(self, fmr: float, drawn: npt.NDArray[np.float64] | None = None) -> float:
        """The similarity above which so many of the impostor pairs lie."""
        times = np.ones(len(self._names)) if drawn is None else drawn
        images = times * self._images
        every = (images.sum() ** 2 - (images**2).sum()) / 2
        above = np.cumsum(times[self._first] * times[self._second])
        place = int(np.searchsorted(above, fmr * every))
        if place >= len(self.impostors):
            raise ValueError("too few impostor pairs were kept")
        return float(self.impostors[place])

    def tar(self, fmr: float, drawn: npt.NDArray[np.float64] | None = None) -> float:
        """The share of the genuine pairs above that."""
        times = (np.ones(len(self._names)) if drawn is None else drawn)[self._whose]
        return float(times @ (self.genuine > self.threshold(fmr, drawn)) / times.sum())

    @property
    def count(self) -> int:
        return len(self._names)

    def _floor(self, vectors: Floats, person: Ints) -> float:
        random = np.random.default_rng(0)
        one, other = random.integers(len(vectors), size=(2, 400_000))
        scores = np.einsum("nd,nd->n", vectors[one], vectors[other])[person[one] != person[other]]
        return float(np.quantile(scores, 1 - _TAIL))


def half_of(people: Strings, half: int) -> npt.NDArray[np.bool_]:
    return np.array([zlib.crc32(name.encode()) % 2 == half for name in people])


def choose(lfw: Looked, cfp: Looked) -> None:
    """What each weight is worth on the people who choose."""
    print(
        "the people who choose: weight of omz-0095, LFW's TAR at FMR 1e-3, 1e-4, 1e-5, CFP's FNIR at FPIR 1 % of 30 x 4"
    )
    for weight in WEIGHTS:
        pairs = Pairs(lfw.mixed(weight), lfw.people)
        fnir = np.mean(_fnirs(cfp, cfp.mixed(weight), 60, TEMPLATES, PEOPLE // 2))
        print(f"  {weight:4.2f}  " + "  ".join(f"{pairs.tar(fmr):.2%}" for fmr in FMRS) + f"  {fnir:.2%}", flush=True)


def report_tar(lfw: Looked, weight: float, replicates: int) -> None:
    one, both = Pairs(lfw.averaged, lfw.people), Pairs(lfw.mixed(weight), lfw.people)
    times = list(draws(one.count, replicates, 1))
    print(f"{len(one.genuine)} genuine pairs of {one.count} people, {len(lfw.names)} images")
    for fmr in FMRS:
        columns = [np.array([pairs.tar(fmr, drawn) for drawn in times]) for pairs in (one, both)]
        _say(f"TAR at FMR {fmr:g}", one.tar(fmr), both.tar(fmr), columns[0], columns[1])


def report_cfp(cfp: Looked, weight: float, replicates: int) -> None:
    row = {name: number for number, name in enumerate(cfp.names)}
    pairs = list(_cfp_pairs())
    first, second = (np.array([row[pair[side]] for pair in pairs]) for side in (0, 1))
    same = np.array([pair[0].split("/")[0] == pair[1].split("/")[0] for pair in pairs])
    fold_of = np.arange(len(pairs)) // (len(pairs) // 10)
    names, person = np.unique(cfp.people, return_inverse=True)
    right = []
    for vectors in (cfp.averaged, cfp.mixed(weight)):
        scores = np.einsum("nd,nd->n", vectors[first], vectors[second])
        judged = fold_accuracy(scores, same, fold_of)
        right.append((scores >= np.asarray(judged.thresholds)[fold_of]) == same)
    columns = [
        np.array(
            [
                _weighted(hits, drawn[person[first]] * drawn[person[second]])
                for drawn in draws(len(names), replicates, 1)
            ]
        )
        for hits in right
    ]
    _say("CFP accuracy", right[0].mean(), right[1].mean(), *columns)


def report_open_set(looked: Looked, weight: float, galleries: int, templates: int) -> None:
    """People of whom there are images enough are drawn, and everybody else is a stranger."""
    fnirs = np.array(
        [_fnirs(looked, vectors, galleries, templates) for vectors in (looked.averaged, looked.mixed(weight))]
    )
    one, both = fnirs
    _say(f"{PEOPLE} x {templates}, FNIR at FPIR {FPIR:.0%}", one.mean(), both.mean(), one, both)
    interval = percentiles([part[1].sum() / max(part[0].sum(), 1e-9) for part in _resampled(fnirs)])
    ratio = both.sum() / max(one.sum(), 1e-9)
    print(f"    ratio {ratio:.2f} [{interval.low:.2f}, {interval.high:.2f}] over {galleries} galleries drawn again")


def _fnirs(looked: Looked, vectors: Floats, galleries: int, templates: int, people: int = PEOPLE) -> list[float]:
    """FNIR of each random gallery; the same galleries for the same seed, whatever the vectors are."""
    random = np.random.default_rng(5)
    names, person = np.unique(looked.people, return_inverse=True)
    images_of = [np.flatnonzero(person == who) for who in range(len(names))]
    able = [who for who, rows in enumerate(images_of) if len(rows) > templates]
    found = []
    for _ in range(galleries):
        enrolled = random.choice(able, people, replace=False)
        rows = [random.permutation(images_of[who]) for who in enrolled]
        stored = np.array([own[:templates] for own in rows])
        probes = [(row, number) for number, own in enumerate(rows) for row in own[templates : templates + _PROBES]]
        others = np.setdiff1d(np.arange(len(names)), enrolled)
        strangers = np.concatenate([random.permutation(images_of[who])[:_PROBES] for who in others])
        found.append(_fnir(vectors, stored, probes, strangers))
    return found


def _resampled(columns: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float64]]:
    random = np.random.default_rng(6)
    for _ in range(1000):
        yield columns[:, random.integers(columns.shape[1], size=columns.shape[1])]


def _fnir(vectors: Floats, stored: Ints, probes: Sequence[tuple[int, int]], strangers: Ints) -> float:
    people, templates = stored.shape
    names = [f"{number:03d}" for number in range(people)]
    index = Index.of_rows(vectors[stored.ravel()], np.arange(people).repeat(templates), names)
    seen = np.concatenate([[row for row, _ in probes], strangers])
    scores = normalized_scores(vectors[seen] @ vectors[stored.ravel()].T, index)
    mated, others = scores[: len(probes)], scores[len(probes) :].max(axis=1)
    limit = np.quantile(others, 1 - FPIR)
    own = mated[np.arange(len(probes)), [number for _, number in probes]]
    return float(np.mean((own < limit) | (own < mated.max(axis=1))))


def report_curve(lfw: Looked, weight: float) -> None:
    """The similarity at which each share of the impostor pairs lies, as ``FmrCurve`` has it."""
    for name, vectors in (("mix", lfw.mixed(weight)), ("omz-0095", lfw.omz)):
        counts = np.zeros(40_001, np.int64)
        person = np.unique(lfw.people, return_inverse=True)[1]
        for start in range(0, len(vectors), 512):
            scores = vectors[start : start + 512] @ vectors.T
            upper = np.arange(len(vectors)) > np.arange(start, start + len(scores))[:, None]
            other = person[start : start + 512][:, None] != person
            counts += np.bincount(
                np.rint((scores[upper & other] + 1) * 20_000).astype(np.intp).clip(0), minlength=40_001
            )[:40_001]
        above = np.cumsum(counts[::-1])[::-1] / counts.sum()
        rates = (
            0.9,
            0.8413,
            0.7,
            0.5,
            0.3,
            0.1587,
            0.1,
            0.05,
            0.02,
            1e-2,
            5e-3,
            2e-3,
            1e-3,
            5e-4,
            2e-4,
            1e-4,
            5e-5,
            2e-5,
            1e-5,
        )
        points = [(rate, round(float(np.argmax(above <= rate)) / 20_000 - 1, 4)) for rate in rates]
        print(f"{name}: {counts.sum():,} impostor pairs\n  {points}", flush=True)


def report_time(crops_bgr: Image, repetitions: int) -> None:
    """What embedding takes, on one core, the packs taking turns: lower quartiles."""
    packs = {name: load_analyzer(ModelChoice(name), threads=1) for name in ("open", "open-plus")}
    for faces in (1, 8):
        batch = AlignedFaces(crops_bgr[:faces], CROP)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in packs}
        for turn in range(repetitions):
            for name in sorted(packs, reverse=bool(turn % 2)):
                began = time.perf_counter(), time.process_time()
                packs[name].embed(batch)
                spent[name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
        wall, own = (
            {name: float(np.quantile([row[kind] for row in rows], 0.25)) for name, rows in spent.items()}
            for kind in (0, 1)
        )
        clock, processor = (spent_["open-plus"] / spent_["open"] for spent_ in (wall, own))
        ratios = f"{clock:.2f} by the clock, {processor:.2f} of the processor"
        print(
            f"{faces} faces: open {wall['open'] * 1000:.1f} ms, open-plus {wall['open-plus'] * 1000:.1f} ms: {ratios}"
        )


def _weighted(hits: npt.NDArray[np.bool_], times: npt.NDArray[np.float64]) -> float:
    return float(times @ hits / times.sum())


def _say(what: str, one: float, both: float, ones: npt.NDArray[np.float64], boths: npt.NDArray[np.float64]) -> None:
    cells = [
        f"{value:.2%} [{ends.low:.2%}, {ends.high:.2%}]"
        for value, ends in ((one, percentiles(ones)), (both, percentiles(boths)))
    ]
    ends = percentiles(boths - ones)
    more = f"difference {both - one:+.2%} [{ends.low:+.2%}, {ends.high:+.2%}]"
    print(f"  {what:18} open {cells[0]}, open-plus {cells[1]}, {more}", flush=True)


def _cfp_pairs() -> Iterator[tuple[str, str]]:
    for line in (CFP / "pairs.txt").read_text().splitlines()[1:]:
        cells = line.split()
        if cells:
            one, other = (cells[0], int(cells[1])), (cells[-2] if len(cells) == 4 else cells[0], int(cells[-1]))
            yield f"{one[0]}/{one[0]}_{one[1]:04d}.jpg", f"{other[0]}/{other[0]}_{other[1]:04d}.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--weight", type=float, default=0.9, help="that is reported")
    parser.add_argument("--replicates", type=int, default=300)
    parser.add_argument("--galleries", type=int, default=100)
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--time", action="store_true", help="only what embedding takes beside that of open")
    arguments = parser.parse_args()
    if arguments.time:
        report_time(np.random.default_rng(0).integers(0, 255, (8, 112, 112, 3), np.uint8), 60)
        return
    weight, galleries = arguments.weight, arguments.galleries
    cfp_names = sorted(path.relative_to(CFP).as_posix() for path in CFP.glob("*/*.jpg"))
    cfp = look(cfp_names, CFP, arguments.cache / "parts-cfp.npz")
    lfw = look(lfw_names(), LFW, arguments.cache / "parts-lfw.npz")
    lfw = lfw[np.linalg.norm(lfw.omz, axis=1) > 0]
    choose(lfw[half_of(lfw.people, 0)], cfp[half_of(cfp.people, 0)])
    print(f"the others, at a weight of {weight:g}")
    held_out = lfw[half_of(lfw.people, 1)]
    report_tar(held_out, weight, arguments.replicates)
    for templates in (1, TEMPLATES):
        report_open_set(held_out, weight, galleries, templates)
    print("CFP, all of its people, of whom half took part in the choice")
    report_cfp(cfp, weight, arguments.replicates)
    report_open_set(cfp, weight, galleries, TEMPLATES)
    if arguments.curve:
        report_curve(lfw, weight)


if __name__ == "__main__":
    main()
