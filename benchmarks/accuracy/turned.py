"""Photos on their side or head, without a note of it: how often two people pass as one, and one is missed.

    python benchmarks/accuracy/turned.py               # LFW beside this checkout, half an hour on two cores
    python benchmarks/accuracy/turned.py --every 10    # each tenth person

Every photo is looked at as it is, and turned by each quarter turn, as ``facepool verify`` looks at it. Of each turn the
table has: the share of photos that were found upright; those that were refused because no face was found or none fits a
head; of all pairs of two people how many pass at the threshold of ``verify``, a refused photo passing never; of all
pairs of one person how many do not, a refused photo missing always; once for two photos that are both turned, once for
one that is held against an upright one. With ``--once``, pictures are looked at once, as they lie.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facepool import Analyzer, load_analyzer, read_image
from facepool.capture.folders import walk_folder
from facepool.errors import InputError
from facepool.evaluation.protocols import read_pairs, read_people
from facepool.geometry import turn_image
from facepool.recognize.verify import largest_face
from facepool.thresholds import ThresholdPolicy
from facepool.types import TURNS, Floats, Image, Mask, Turn

LFW = Path(__file__).parents[2].parent / "shared" / "data" / "lfw"
_BATCH = 16
_ROWS = 500


class Photos:
    """What was made of all photos, turned in one way.

    Attributes:
        embeddings: (N, D); zeros where a photo was refused.
        upright: (N,) whether it was found upright.
    """

    def __init__(self, count: int, dimension: int) -> None:
        self.embeddings = np.zeros((count, dimension), np.float32)
        self.upright = np.zeros(count, np.bool_)

    @property
    def refused(self) -> Mask:
        """(N,) bool."""
        return ~self.embeddings.any(axis=1)


def look(analyzer: Analyzer, paths: Sequence[Path], turn: Turn, *, once: bool) -> Photos:
    """Take the face that ``verify`` would compare from each photo, turned clockwise."""
    photos, upright_by = Photos(len(paths), analyzer.space.dimension), (360 - turn) % 360
    for start in range(0, len(paths), _BATCH):
        images = [turn_image(read_image(path), turn) for path in paths[start : start + _BATCH]]
        for row, (detections, embeddings) in enumerate(embedded(analyzer, images, once=once), start):
            photos.upright[row] = detections.turn == upright_by
            try:
                photos.embeddings[row] = embeddings[largest_face(detections, "")]
            except InputError:
                continue
    return photos


def embedded(analyzer: Analyzer, images: Sequence[Image], *, once: bool) -> list[tuple[object, Floats]]:
    """Faces and their embeddings, one pair an image."""
    if not once:
        return list(analyzer.embed_batch(images))
    found = analyzer.analyze_batch(images, moving=True)
    return [(faces.detections, faces.embeddings) for faces in found]


def rates(one: Photos, other: Photos, people: Sequence[str], threshold: float) -> tuple[float, float]:
    """Share of pairs of two people that pass, and of pairs of one person that do not."""
    names = np.array(people)
    passed = compared = missed = genuine = 0
    for start in range(0, len(names), _ROWS):
        rows = slice(start, start + _ROWS)
        later = np.arange(len(names))[None] > np.arange(len(names))[rows, None]
        same = names[rows, None] == names[None]
        match = one.embeddings[rows] @ other.embeddings.T >= threshold
        passed += int((match & ~same & later).sum())
        compared += int((~same & later).sum())
        missed += int((~match & same & later).sum())
        genuine += int((same & later).sum())
    return passed / compared, missed / genuine


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=LFW, help="NAME/*.jpg, and pairs.txt for View 2")
    parser.add_argument("--every", type=int, default=1, help="each how many-th person")
    parser.add_argument("--once", action="store_true", help="look once, as pictures lie")
    options = parser.parse_args()
    paths, people = read_people(walk_folder(options.root))
    chosen = set(sorted(set(people))[:: options.every])
    rows = [row for row, name in enumerate(people) if name in chosen]
    paths, people = tuple(paths[row] for row in rows), tuple(people[row] for row in rows)
    analyzer = load_analyzer()
    threshold = ThresholdPolicy(analyzer.fmr).verification().value
    print(f"{len(paths)} photos of {len(chosen)} people, threshold {threshold:.3f}\n")
    columns = ("both turned: FMR", "FNMR", "one upright: FMR", "FNMR", "View 2, both turned: FMR", "FNMR")
    print("| turned by | found upright | refused | " + " | ".join(columns) + " |")
    print("|---" * (3 + len(columns)) + "|")
    as_is: Photos | None = None
    for turn in TURNS:
        photos = look(analyzer, paths, turn, once=options.once)
        as_is = as_is or photos
        cells = [f"{photos.upright.mean():.2%}", str(int(photos.refused.sum()))]
        for one in (photos, as_is):
            fmr, fnmr = rates(one, photos, people, threshold)
            cells += [f"{fmr:.3%}", f"{fnmr:.2%}"]
        cells += view_2(photos, paths, options.root, threshold)
        print(f"| {turn}° | " + " | ".join(cells) + " |", flush=True)


def view_2(photos: Photos, paths: Sequence[Path], root: Path, threshold: float) -> list[str]:
    """The two rates on the 6,000 pairs of View 2; nothing where some of their photos are left out."""
    row_of = {path.resolve(): row for row, path in enumerate(paths)}
    pairs = read_pairs(root / "pairs.txt", root)
    rows = [row_of.get(path.resolve(), -1) for path in pairs.paths]
    if min(rows) < 0:
        return ["", ""]
    vectors = photos.embeddings[rows]
    match = (vectors[pairs.first] * vectors[pairs.second]).sum(axis=1) >= threshold
    return [f"{match[~pairs.same].mean():.3%}", f"{(~match[pairs.same]).mean():.2%}"]


if __name__ == "__main__":
    main()
