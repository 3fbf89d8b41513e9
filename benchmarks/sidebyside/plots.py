"""What grows with what, as PNG pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidebyside.targets import Results

_AXES = {
    "faces": ("faces in the frame", "Cost by faces in a frame of 1280x720 (detect + embed)"),
    "sizes": ("megapixels", "Cost by size of the frame (detect + embed, one face)"),
    "pools": ("people in the pool", "Cost by size of the pool (frame to decision, one face at 640x480)"),
}
_BARS = ("detect-1", "analyze-1", "analyze-6", "analyze-20", "video")
_OURS = ("#0b6e4f", "#62b394", "#a5d46a", "#1fa187")
_OTHERS = ("#3b6ea5", "#c8553d", "#8d6a9f", "#d9a441", "#5f6c7b", "#7a9e47", "#a63d5a")


def draw(results: Results, folder: Path) -> list[Path]:
    """One picture of all side by side, and one a curve; only what was measured."""
    colours = _colours(results)
    drawn = [_bars(results, folder, colours)]
    drawn += [_curve(results, section, folder, colours) for section in _AXES]
    return [path for path in drawn if path is not None]


def _colours(results: Results) -> dict[str, str]:
    ours = [name for name in results["libraries"] if name.startswith("facepool")]
    others = [name for name in results["libraries"] if name not in ours]
    return dict(zip(ours, _OURS, strict=False)) | dict(zip(others, _OTHERS, strict=False))


def _curve(results: Results, section: str, folder: Path, colours: Mapping[str, str]) -> Path | None:
    cases = [case for case in results["cases"].values() if case["section"] == section]
    if len(cases) < 2:
        return None
    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.subplots()
    for name, colour in colours.items():
        there = [case for case in cases if name in case["results"]]
        if there:
            _line(axes, name, colour, there)
    label, title = _AXES[section]
    axes.set_xlabel(label)
    if section != "faces":
        shape = ".2f" if section == "sizes" else ",.0f"
        axes.set_xscale("log")
        axes.set_xticks([case["axis"] for case in cases], [f"{case['axis']:{shape}}" for case in cases], minor=False)
        axes.set_xticks([], minor=True)
    axes.set_ylabel("milliseconds (median; band: quartiles)")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(title)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(frameon=False)
    path = folder / f"{section}.png"
    figure.savefig(path)
    return path


def _line(axes: Axes, name: str, colour: str, cases: list[Mapping[str, Any]]) -> None:
    x = [case["axis"] for case in cases]
    low, middle, high = ([case["results"][name][key] * 1000 for case in cases] for key in ("p25", "median", "p75"))
    width = 2.4 if name == "facepool" else 1.4
    axes.plot(x, middle, marker="o", markersize=4, color=colour, label=name, linewidth=width)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def _bars(results: Results, folder: Path, colours: Mapping[str, str]) -> Path | None:
    cases = [results["cases"][name] for name in _BARS if name in results["cases"]]
    if not cases:
        return None
    figure = Figure(figsize=(10, 1.2 + 1.5 * len(cases)), dpi=130, layout="constrained")
    grid = figure.subplots(len(cases), 1, squeeze=False)[:, 0]
    for axes, case in zip(grid, cases, strict=True):
        names = [name for name in colours if name in case["results"]][::-1]
        records = [case["results"][name] for name in names]
        values = [record["median"] * 1000 for record in records]
        spread = [
            [value - record["p25"] * 1000 for value, record in zip(values, records, strict=True)],
            [record["p75"] * 1000 - value for value, record in zip(values, records, strict=True)],
        ]
        counts = {record["count"] for record in records}
        found = [f" · {record['count']} faces" if len(counts) > 1 else "" for record in records]
        labels = [f"{value:,.0f} ms{count}" for value, count in zip(values, found, strict=True)]
        bars = axes.barh(names, values, xerr=spread, color=[colours[name] for name in names], ecolor="#333333")
        axes.bar_label(bars, labels=labels, padding=6, fontsize=8)
        axes.set_xlim(0, max(values) * 1.25)
        axes.set_title(case["title"], loc="left", fontsize=10)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / "side-by-side.png"
    figure.savefig(path)
    return path
