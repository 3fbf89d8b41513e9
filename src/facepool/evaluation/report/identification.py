"""The report on open-set identification: registered people and strangers against a gallery."""

import numpy as np

from facepool.evaluation.open_set import IdentificationPoint
from facepool.evaluation.report.charts import Mark, Spread, histogram, rate_curve
from facepool.evaluation.report.page import Card, Chart, Page, Section, Table, Tile
from facepool.evaluation.report.parts import (
    MOST_CARDS,
    face_of,
    facts,
    failures,
    few_people,
    interval_words,
    lowest,
    more,
    with_level,
)
from facepool.evaluation.report.words import count, in_a_thousand, one_in, percent, similarity
from facepool.evaluation.results import NOT_ACQUIRED, IdentificationResults
from facepool.types import Indices

_HEADLINE_FPIR = 1e-2
_RATES = (
    "FPIR, false positive identification rate: share of strangers' photos that get anybody's name. FNIR, false "
    "negative identification rate: share of registered people's photos that do not get their own; those that "
    "get another's are misnamed. Intervals come from drawing people anew, not photos."
)


def identification_page(results: IdentificationResults) -> Page:
    """A page on searches in a gallery."""
    captures, gallery, probes = results.captures, results.gallery, results.probes
    templates = count(len(gallery.rows), "template")
    strangers = int((~probes.mated).sum())
    return Page(
        title="Identification: who is this, if anybody?",
        subject=results.run.subject,
        warnings=few_people(gallery.people),
        summary=_summary(results),
        tiles=[
            *_fnir_tile(results),
            Tile(
                "Nearest is the right one (rank 1)", percent(results.rank_one), with_level(results.intervals.rank_one)
            ),
            Tile("People in the pool", f"{len(gallery.people):,}", f"{templates}; {_not_enrolled(results)}"),
            Tile(
                "Photos searched for",
                f"{len(probes):,}",
                f"{len(probes) - strangers:,} of registered people, {strangers:,} of strangers",
            ),
            Tile(
                "Pictures without a face", f"{len(captures.failures):,}", f"of {len(captures):,}; failures to acquire"
            ),
        ],
        sections=[
            _thresholds(results),
            _curves(results),
            _missed(results),
            _misnamed(results),
            _named_strangers(results),
            _not_registered(results),
            failures(captures, "Registered people's count as missed, strangers' as rightly unknown."),
        ],
        command=results.run.command,
        facts=facts(results.run),
    )


def _summary(results: IdentificationResults) -> list[str]:
    gallery, default = results.gallery, results.default
    pool = f"a pool of {count(len(gallery.people), 'person', 'people')} with {count(len(gallery.rows), 'template')}"
    default_words = (
        f"As it is set, without calibration, facepool takes {similarity(default.threshold.value)} as the threshold of "
        f"{pool}. Here it names {in_a_thousand(default.false_matches, 'strangers')} and misses "
        f"{in_a_thousand(default.misses, 'photos of registered people')}."
    )
    point = _headline(results)
    if point is None:
        return [default_words]
    point_words = (
        f"In {pool}, at a threshold of {similarity(point.threshold)}, {one_in(point.fpir_asked)} strangers may get a "
        f"name, and {in_a_thousand(point.fnir, 'photos of registered people')} are missed."
    )
    return [point_words, default_words]


def _headline(results: IdentificationResults) -> IdentificationPoint | None:
    """The point nearest to one in a hundred of those that there is data for."""
    resolved = [point for point in results.points if point.resolved and point.fpir_asked > 0]
    return min(resolved, key=lambda point: abs(np.log(point.fpir_asked / _HEADLINE_FPIR)), default=None)


def _fnir_tile(results: IdentificationResults) -> list[Tile]:
    point = _headline(results)
    if point is None:
        return []
    label = f"Registered people missed (FNIR) at FPIR {percent(point.fpir_asked)}"
    return [Tile(label, percent(point.fnir), with_level(results.intervals.fnir_at_fpir.get(point.fpir_asked)))]


def _not_enrolled(results: IdentificationResults) -> str:
    failed = len(results.gallery.failed)
    return f"{failed:,} could not be registered" if failed else "everybody could be registered"


def _thresholds(results: IdentificationResults) -> Section:
    default = results.default
    rows = [_row(results, point) for point in results.points]
    rows.append(
        [
            "facepool as it is set",
            similarity(default.threshold.value),
            percent(default.false_matches),
            percent(default.misses),
            "",
            "",
            f"meant: {default.threshold.meaning}",
        ]
    )
    columns = (
        "Strangers may be named",
        "Threshold",
        "They are (FPIR)",
        "Registered missed (FNIR)",
        "Interval",
        "Misnamed",
        "In words",
    )
    return Section(
        "What each threshold does",
        lead="A stranger is compared with everybody in the pool, so these figures belong to a pool of this size; in a "
        "larger one the same threshold names more strangers.",
        tables=[Table(columns, rows, words=1)],
        notes=[_RATES],
    )


def _row(results: IdentificationResults, point: IdentificationPoint) -> list[str]:
    asked = percent(point.fpir_asked)
    if not point.resolved:
        few = f"not measurable: {count(point.strangers, 'stranger')} cannot show {one_in(point.fpir_asked)}"
        return [asked, "", "", "", "", "", few]
    return [
        asked,
        similarity(point.threshold),
        percent(point.fpir),
        percent(point.fnir),
        interval_words(results.intervals.fnir_at_fpir.get(point.fpir_asked)),
        percent(point.misnamed),
        f"strangers named: {in_a_thousand(point.fpir)}; registered people missed: {in_a_thousand(point.fnir)}",
    ]


def _curves(results: IdentificationResults) -> Section:
    probes = results.probes
    resolved = [point for point in results.points if point.resolved]
    return Section(
        "Similarities, and the trade between the two errors",
        charts=[
            Chart(
                "How similar the searched faces are",
                histogram(
                    (
                        Spread("registered, to themselves", probes.right[probes.mated]),
                        Spread("strangers, to the nearest", probes.strangers),
                    ),
                    [Mark(point.threshold, f"FPIR {percent(point.fpir_asked)}") for point in resolved],
                    "searches",
                ),
                "Strangers are shown with whomever in the pool they are most like: a threshold has to keep them out.",
            ),
            Chart(
                "The two errors (FPIR and FNIR)",
                rate_curve(results.curve.fpir, results.curve.fnir, least=1 / max(len(probes.strangers), 1),
                           labels=("strangers named (FPIR)", "registered missed (FNIR)"),
                           marks=[Mark(point.fpir_asked, percent(point.fnir), point.fnir) for point in resolved]),
                "Lower is better. To the left, fewer strangers get a name.",
            ),
        ],
    )  # fmt: skip


def _missed(results: IdentificationResults) -> Section:
    probes = results.probes
    rows = np.flatnonzero(probes.mated & (probes.right > NOT_ACQUIRED) & (probes.ranks == 1))
    threshold = results.default.threshold.value
    return Section(
        "Registered people, hardest to recognize",
        lead="The lowest similarities to oneself where nobody else is nearer, beside the nearest template. "
        f"Below {similarity(threshold)} facepool says unknown.",
        cards=_cards(
            results, lowest(probes.right, rows, (probes.rows,)), probes.right_rows, "unknown", "named rightly"
        ),
        empty="No registered person was searched for.",
    )


def _misnamed(results: IdentificationResults) -> Section:
    probes = results.probes
    rows = np.flatnonzero(probes.mated & (probes.ranks != 1) & (probes.other > NOT_ACQUIRED))
    return Section(
        "Registered people, nearer to somebody else",
        lead=f"{count(len(rows), 'search', 'searches')}, the most similar first." if len(rows) else "",
        cards=_cards(
            results, lowest(-probes.other, rows, (probes.rows,)), probes.other_rows, "unknown", "named wrongly"
        ),
        empty="None: each registered person who was searched for is nearest to themselves.",
        notes=more(len(rows)),
    )


def _named_strangers(results: IdentificationResults) -> Section:
    probes = results.probes
    rows = np.flatnonzero(~probes.mated & (probes.other > NOT_ACQUIRED))
    threshold = results.default.threshold.value
    return Section(
        "Strangers, most like somebody",
        lead=f"From {similarity(threshold)} on facepool names them. A person under two names shows here, too.",
        cards=_cards(
            results, lowest(-probes.other, rows, (probes.rows,)), probes.other_rows, "unknown", "named wrongly"
        ),
        empty="No stranger was searched for.",
    )


def _cards(results: IdentificationResults, rows: list[int], templates: Indices, below: str, above: str) -> list[Card]:
    probes, captures = results.probes, results.captures
    threshold = results.default.threshold.value
    cards = []
    for row in rows:
        score = float((probes.right if templates is probes.right_rows else probes.other)[row])
        cards.append(
            Card(
                [face_of(captures, int(probes.rows[row])), face_of(captures, int(templates[row]))],
                figure=f"similarity {similarity(score)}",
                note=above if score >= threshold else below,
            )
        )
    return cards


def _not_registered(results: IdentificationResults) -> Section:
    failed = results.gallery.failed
    rows = [[name] for name in failed[:MOST_CARDS]]
    return Section(
        "People who could not be registered",
        lead="None of the pictures meant for the pool has a face; their searches count as missed." if rows else "",
        tables=[Table(("Name",), rows)] if rows else [],
        empty="Nobody: no failure to enroll.",
        notes=more(len(failed)),
    )
