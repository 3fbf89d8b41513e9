"""The measured tables of docs/accuracy.md, made anew by one command.

    python benchmarks/accuracy/document.py ../shared/data --document docs/accuracy.md
    python benchmarks/accuracy/document.py ../shared/data --only detection --only limits

Each table comes from the commands that stand below it in the document, which are run here as a reader would run them.
The embeddings of a picture are kept in the user's cache between them, so the second table of one pack costs seconds.
All of it takes about forty minutes on two cores. Without ``--document`` the tables are printed.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Run as a script, this folder is on the path; the marks lie beside the speed benchmarks.
sys.path.insert(0, str(Path(__file__).parents[1]))

from sidebyside import marks

Record = Mapping[str, Any]
Words = Sequence[str]
_PACKS = ("open", "open-plus", "open-fast")
_GALLERIES = ((1, None), (2, None), (4, None), (4, 60))
"""Templates a person, and how many people are drawn; None: all who have enough pictures."""


class Sets:
    """The public sets that the tables are made of.

    Args:
        folder: With ``lfw``, ``cfp`` and ``widerface`` in it.
    """

    def __init__(self, folder: Path) -> None:
        wider = folder / "widerface"
        self.lfw = (str(folder / "lfw" / "pairs.txt"), "--root", str(folder / "lfw"))
        self.cfp = (str(folder / "cfp" / "pairs.txt"), "--root", str(folder / "cfp"))
        self.lfw_people = (str(folder / "lfw"),)
        self.wider = (
            str(wider / "wider_face_split" / "wider_face_val_bbx_gt.txt"),
            *("--root", str(wider / "WIDER_val" / "images")),
        )


def evaluated(kind: str, words: Words) -> Record:
    """The record of one ``facepool evaluate``."""
    done = _run([sys.executable, "-m", "facepool", "evaluate", kind, *words, "--json"])
    record: Record = json.loads(done)
    return record


def tables_of(script: str, *words: str) -> str:
    """The rows of tables that a script beside this one prints, without what it says around them."""
    lines = _run([sys.executable, str(Path(__file__).with_name(script)), *words]).splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def _run(words: Words) -> str:
    print("…", " ".join(words[1:]), file=sys.stderr, flush=True)
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def verification(sets: Sets) -> str:
    """LFW's pairs: those of View 2, and all that its pictures make."""
    rows = [
        "| pack | View 2: accuracy | TAR at FMR 0.1 % | equal error rate | all pairs: TAR at FMR 0.1 % | 0.01 % |",
        "|---|---|---|---|---|---|",
    ]
    for pack in _PACKS:
        pairs = evaluated("pairs", (*sets.lfw, "--pack", pack))
        everybody = evaluated("folder", (*sets.lfw_people, "--pack", pack))
        cells = [
            f"`{pack}`",
            _share(pairs["accuracy"]["mean"], pairs["accuracy"]["interval"]),
            _tar(pairs, "0.001"),
            _share(pairs["eer"], pairs["eer_interval"]),
            _tar(everybody, "0.001"),
            _tar(everybody, "0.0001"),
        ]
        rows.append(_row(cells))
    return "\n".join(rows)


def profiles(sets: Sets) -> str:
    """Frontal against profile."""
    rows = ["| pack | detector preset | accuracy | equal error rate | no face found |", "|---|---|---|---|---|"]
    for pack in _PACKS[:2]:
        for preset in ("balanced", "best"):
            found = evaluated("pairs", (*sets.cfp, "--pack", pack, "--quality", preset))
            accuracy = _share(found["accuracy"]["mean"], found["accuracy"]["interval"])
            missing = f"{found['failures_to_acquire']:,} of {found['pictures']:,}"
            rows.append(
                _row([f"`{pack}`", f"`{preset}`", accuracy, _share(found["eer"], found["eer_interval"]), missing])
            )
    return "\n".join(rows)


def identification(sets: Sets) -> str:
    """LFW's people as pools of several sizes."""
    rows = [
        "| pack | registered | searched for | FNIR at FPIR 10 % | FNIR at FPIR 1 % | rank 1 | as set: FPIR | FNIR |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for templates, people in _GALLERIES:
        drawn = () if people is None else ("--people", str(people))
        for pack in _PACKS[:2]:
            words = (*sets.lfw_people, "--templates", str(templates), *drawn, "--pack", pack)
            rows.append(_row([f"`{pack}`", *_pool_cells(evaluated("identify", words))]))
    return "\n".join(rows)


def _pool_cells(found: Record) -> list[str]:
    gallery, default = found["gallery"], found["default_threshold"]
    at = found["fnir_at_fpir"]
    return [
        f"{gallery['people']:,} people x {gallery['templates_asked']}",
        f"{found['mated_probes']:,} photos, {found['stranger_people']:,} strangers",
        _share(at["0.1"]["fnir"], at["0.1"]["interval"]),
        _share(at["0.01"]["fnir"], at["0.01"]["interval"]),
        _share(found["rank_one"], None),
        _share(default["fpir"], None),
        _share(default["fnir"], None),
    ]


def detection(sets: Sets) -> str:
    """WIDER FACE, by the size of faces."""
    found = {preset: evaluated("detection", (*sets.wider, "--quality", preset)) for preset in ("balanced", "best")}
    columns = ("found at the default threshold", "average precision", "`best`: found", "average precision")
    rows = [_row(["shorter side of the face", "faces", *columns]), "|---|---|---|---|---|---|"]
    for usual, best in zip(*(record["by_size_px"] for record in found.values()), strict=True):
        if usual["faces"]:
            shares = (usual["recall"], usual["average_precision"], best["recall"], best["average_precision"])
            rows.append(_row([_sizes(usual), f"{usual['faces']:,}", *(_share(share, None) for share in shares)]))
    whole = [cell for record in found.values() for cell in _whole(record)]
    rows.append(_row(["all", f"{found['balanced']['faces']:,}", *whole]))
    return "\n".join(rows)


def _whole(found: Record) -> tuple[str, str]:
    at = found["at_threshold"]
    return (
        f"{_share(at['recall'], None)}, of the boxes {_share(at['precision'], None)} are faces",
        _share(found["average_precision"], found["average_precision_interval"]),
    )


def _sizes(size: Record) -> str:
    low, high = size["at_least"], size["below"]
    if not low:
        return f"below {high:.0f} px"
    return f"from {low:.0f} px" if high is None else f"{low:.0f} to {high:.0f} px"


def _tar(found: Record, fmr: str) -> str:
    point = found["tar_at_fmr"][fmr]
    return f"{_share(point['tar'], point['interval'])} at {point['threshold']:.3f}" if point["resolved"] else "-"


def _share(value: float | None, interval: Sequence[float] | None) -> str:
    """``99.63 % (99.38 to 99.78)``."""
    if value is None:
        return "-"
    within = "" if interval is None else f" ({interval[0] * 100:.2f} to {interval[1] * 100:.2f})"
    return f"{value * 100:.2f} %{within}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Part:
    """A table of the document.

    Attributes:
        name: Of its marks, and for ``--only``.
        make: Measures it.
    """

    name: str
    make: Callable[[Sets], str]


PARTS = (
    Part("verification", verification),
    Part("profiles", profiles),
    Part("identification", identification),
    Part("turned", lambda _: tables_of("turned.py", "--every", "3")),
    Part("detection", detection),
    Part("limits", lambda _: tables_of("limits.py")),
)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw, cfp and widerface")
    parser.add_argument("--document", type=Path, help="put each table between its marks in this file")
    parser.add_argument("--only", action="append", choices=[part.name for part in PARTS], help="only this table")
    arguments = parser.parse_args()
    sets = Sets(arguments.data)
    for part in PARTS:
        if arguments.only and part.name not in arguments.only:
            continue
        table = part.make(sets)
        print(f"\n{part.name}\n\n{table}", flush=True)
        if arguments.document is not None:
            marks.insert(arguments.document, part.name, table)


if __name__ == "__main__":
    main()
