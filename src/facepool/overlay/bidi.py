"""Which way each part of a line runs: the Unicode Bidirectional Algorithm (UAX #9) for one line of plain text.

Fonts are chosen run by run, and a layout library sees only one run at a time, so the order of the runs is ours to
find. Explicit embeddings and isolates (rules X1 to X8) are absent, because text is cleaned of such characters before
it is drawn, and so is the pairing of brackets (N0).
"""

from collections.abc import Sequence
from itertools import groupby
from unicodedata import bidirectional

_STRONG = frozenset({"L", "R", "AL"})
_NEUTRAL = frozenset({"B", "S", "WS", "ON"})


def levels(text: str) -> list[int]:
    """The embedding level of each character: even runs left to right, odd right to left. Empty for empty text."""
    kinds = [bidirectional(char) or "L" for char in text]
    base = _base_level(kinds)
    resolved = _resolve_neutrals(_resolve_numbers(_resolve_marks(kinds, base), base), base)
    found = [_implicit_level(kind, base) for kind in resolved]
    for position in range(len(text) - 1, -1, -1):  # L1: white space at the end of the line lies at its outer end
        if kinds[position] not in {"WS", "B", "S"}:
            break
        found[position] = base
    return found


def visual_order(run_levels: Sequence[int]) -> list[int]:
    """Indices of the runs from left to right (rule L2): from the highest level down, reverse what is at or above it."""
    order = list(range(len(run_levels)))
    for level in range(max(run_levels, default=0), 0, -1):
        reordered: list[int] = []
        for inside, group in groupby(order, key=lambda run: run_levels[run] >= level):
            members = list(group)
            reordered += reversed(members) if inside else members
        order = reordered
    return order


def _base_level(kinds: Sequence[str]) -> int:
    """P2, P3: the first strong character gives the direction of the line."""
    first = next((kind for kind in kinds if kind in _STRONG), "L")
    return int(first != "L")


def _resolve_marks(kinds: Sequence[str], base: int) -> list[str]:
    """W1: marks and joiners take after what they stand on. W2, W3: numbers after Arabic letters are Arabic ones."""
    resolved: list[str] = []
    strong = previous = "R" if base else "L"
    for given in kinds:
        kind = previous if given in {"NSM", "BN"} else given
        previous = kind
        if kind in _STRONG:
            strong = kind
        if kind == "EN" and strong == "AL":
            kind = "AN"
        resolved.append("R" if kind == "AL" else kind)
    return resolved


def _resolve_numbers(kinds: Sequence[str], base: int) -> list[str]:
    """W4 to W7: separators and terminators that belong to a number, and numbers among Latin letters."""
    resolved = list(kinds)
    for i in range(1, len(resolved) - 1):
        before, kind, after = resolved[i - 1 : i + 2]
        joins = (kind == "CS" and before in {"EN", "AN"}) or (kind == "ES" and before == "EN")
        if joins and before == after:
            resolved[i] = before
    position = 0
    for kind, group in groupby(list(resolved)):
        length = len(list(group))
        if kind == "ET":
            neighbours = resolved[max(position - 1, 0) : position] + resolved[position + length : position + length + 1]
            resolved[position : position + length] = ["EN" if "EN" in neighbours else "ON"] * length
        position += length
    strong = "R" if base else "L"
    for i, kind in enumerate(resolved):
        strong = kind if kind in _STRONG else strong
        if kind in {"ES", "CS"}:
            resolved[i] = "ON"
        elif kind == "EN" and strong == "L":
            resolved[i] = "L"
    return resolved


def _resolve_neutrals(kinds: Sequence[str], base: int) -> list[str]:
    """N1, N2: what stands between two parts of one direction runs with them; the rest runs with the line."""
    outer = "R" if base else "L"
    resolved: list[str] = []
    before, position = outer, 0
    for neutral, group in groupby(kinds, key=_NEUTRAL.__contains__):
        members = list(group)
        position += len(members)
        if not neutral:
            resolved += members
            before = _direction(members[-1])
            continue
        after = _direction(kinds[position]) if position < len(kinds) else outer
        resolved += [before if before == after else outer] * len(members)
    return resolved


def _direction(kind: str) -> str:
    """Towards neutrals, numbers count as right-to-left text."""
    return "R" if kind in {"EN", "AN"} else kind


def _implicit_level(kind: str, base: int) -> int:
    """I1, I2."""
    if base:
        return 1 if kind == "R" else 2
    return {"L": 0, "R": 1}.get(kind, 2)
