"""The report on 1:1 comparisons."""

import numpy as np

from facepool.evaluation.metrics import OperatingPoint
from facepool.evaluation.report.breakdowns import where_it_goes_wrong
from facepool.evaluation.report.charts import Mark, Spread, histogram, rate_curve
from facepool.evaluation.report.page import Card, Chart, Page, Section, Table, Tile
from facepool.evaluation.report.parts import face_of, facts, failures, few_people, interval_words, lowest, with_level
from facepool.evaluation.report.words import count, in_a_thousand, one_in, percent, similarity
from facepool.evaluation.results import NOT_ACQUIRED, VerificationResults

_HEADLINE_FMR = 1e-3
_RATES = (
    "FMR, false match rate: share of the pairs of different people that pass. TAR, true accept rate: share of the "
    "pairs of one person that do. Intervals come from drawing people anew, not pairs: photos of one person "
    "stand or fall together."
)


def verification_page(results: VerificationResults) -> Page:
    """A page on a pairs file or on all pairs of a folder."""
    captures, comparisons = results.captures, results.comparisons
    failed = len(captures.failures)
    return Page(
        title="Verification: are two photos the same person?",
        subject=results.run.subject,
        warnings=[*_left_out(results), *few_people(captures.people)],
        summary=_summary(results),
        tiles=[
            *_accuracy_tile(results),
            *_tar_tile(results),
            Tile("Equal error rate", percent(results.eer.rate), with_level(results.intervals.eer)),
            Tile("Pictures without a face", f"{failed:,}", f"of {len(captures):,}; failures to acquire"),
            Tile(
                "Pairs compared",
                f"{comparisons.genuine_count + comparisons.impostor_count:,}",
                f"{comparisons.genuine_count:,} of one person, {comparisons.impostor_count:,} of two",
            ),
        ],
        sections=[
            _thresholds(results),
            _curves(results),
            where_it_goes_wrong(results),
            _refused(results),
            _mistaken(results),
            failures(captures, "Their pairs count as refused, whoever they show."),
        ],
        command=results.run.command,
        facts=facts(results.run),
    )


def _left_out(results: VerificationResults) -> list[str]:
    left_out = results.comparisons.left_out
    if not left_out:
        return []
    return [f"{count(left_out, 'pair')} of the protocol were left out: a picture of theirs is not there."]


def _summary(results: VerificationResults) -> list[str]:
    point = _headline(results)
    default = results.default
    default_words = (
        f"As it is set, facepool takes a similarity of {similarity(default.threshold.value)} as the threshold. Here it "
        f"passes {in_a_thousand(default.false_matches, 'pairs of different people')} and refuses "
        f"{in_a_thousand(default.misses, 'pairs of the same person')}."
    )
    if point is None:
        return [default_words]
    point_words = (
        f"At a threshold of {similarity(point.threshold)}, where {one_in(point.fmr_asked)} pairs of different people "
        f"may pass, {in_a_thousand(point.tar, 'pairs of the same person')} are recognized."
    )
    return [point_words, default_words]


def _headline(results: VerificationResults) -> OperatingPoint | None:
    """The point nearest to one in a thousand of those that there is data for."""
    resolved = [point for point in results.points if point.resolved and point.fmr_asked > 0]
    return min(resolved, key=lambda point: abs(np.log(point.fmr_asked / _HEADLINE_FMR)), default=None)


def _accuracy_tile(results: VerificationResults) -> list[Tile]:
    if results.accuracy is None:
        return []
    folds = f"over {len(results.accuracy.folds)} folds, deviation {percent(results.accuracy.std)}"
    interval = with_level(results.intervals.accuracy)
    return [Tile("Accuracy", percent(results.accuracy.mean, 2), f"{folds}; {interval}" if interval else folds)]


def _tar_tile(results: VerificationResults) -> list[Tile]:
    point = _headline(results)
    if point is None:
        return []
    label = f"Same person recognized (TAR) at FMR {percent(point.fmr_asked)}"
    return [Tile(label, percent(point.tar), with_level(results.intervals.tar_at_fmr.get(point.fmr_asked)))]


def _thresholds(results: VerificationResults) -> Section:
    default = results.default
    rows = [_row(results, point) for point in results.points]
    rows.append(
        [
            "facepool as it is set",
            similarity(default.threshold.value),
            percent(default.false_matches),
            percent(1 - default.misses, 2),
            "",
            f"meant: {default.threshold.meaning}",
        ]
    )
    table = Table(
        ("Different people may pass", "Threshold", "They do (FMR)", "Same person passes (TAR)", "Interval", "In words"),
        rows,
        words=1,
    )
    return Section(
        "What each threshold does",
        lead="A pair passes at a similarity of the threshold or above. A higher one lets fewer strangers pass and "
        "refuses more of the right people.",
        tables=[table, *_folds(results)],
        notes=[_RATES],
    )


def _row(results: VerificationResults, point: OperatingPoint) -> list[str]:
    asked = f"{percent(point.fmr_asked)}"
    if not point.resolved:
        pairs = count(point.impostors, "pair")
        few = f"not measurable: {pairs} of different people cannot show {one_in(point.fmr_asked)}"
        return [asked, "", "", "", "", few]
    return [
        asked,
        similarity(point.threshold),
        percent(point.fmr),
        percent(point.tar, 2),
        interval_words(results.intervals.tar_at_fmr.get(point.fmr_asked)),
        f"different people pass: {in_a_thousand(point.fmr)}; same person refused: {in_a_thousand(1 - point.tar)}",
    ]


def _folds(results: VerificationResults) -> list[Table]:
    if results.accuracy is None:
        return []
    folds = zip(results.accuracy.folds, results.accuracy.thresholds, strict=True)
    rows = [[f"{i}", percent(accuracy, 2), similarity(threshold)] for i, (accuracy, threshold) in enumerate(folds, 1)]
    rows.append(["mean", percent(results.accuracy.mean, 2), similarity(float(results.accuracy.thresholds.mean()))])
    caption = "Accuracy of each fold, its threshold chosen on the other folds"
    return [Table(("Fold", "Accuracy", "Threshold"), rows, caption, folded=True)]


def _curves(results: VerificationResults) -> Section:
    comparisons = results.comparisons
    marked = [point for point in results.points if point.resolved]
    lines = [Mark(point.threshold, f"FMR {percent(point.fmr_asked)}") for point in marked]
    least = 1 / max(comparisons.impostor_count, 1)
    labels = ("different people that pass (FMR)", "same person recognized (TAR)")
    return Section(
        "Similarities, and the trade between the two errors",
        charts=[
            Chart(
                "How similar the pairs are",
                histogram(
                    (
                        Spread("same person", comparisons.genuine),
                        Spread("different people", comparisons.impostor, comparisons.impostor_weights),
                    ),
                    lines,
                    "pairs",
                ),
                "The further apart the two hills, the better; where they overlap, no threshold is right for all.",
            ),
            Chart(
                "Recognized at each rate of false matches (ROC)",
                rate_curve(results.curve.fmr, results.curve.fnmr, labels=labels, as_hits=True, least=least,
                           marks=[Mark(point.fmr_asked, percent(point.tar), point.tar) for point in marked]),
                "Higher is better. To the left, fewer strangers pass.",
            ),
            Chart(
                "The two errors (DET)",
                rate_curve(results.curve.fmr, results.curve.fnmr, least=least,
                           labels=(labels[0], "same person refused (FNMR)"),
                           marks=[Mark(point.fmr_asked, percent(1 - point.tar), 1 - point.tar) for point in marked]),
                "Lower is better. A drop to the floor means that no such error was seen among these pairs.",
            ),
        ],
    )  # fmt: skip


def _refused(results: VerificationResults) -> Section:
    comparisons = results.comparisons
    acquired = comparisons.similarities > NOT_ACQUIRED
    rows = np.flatnonzero(comparisons.same & acquired)
    threshold = results.default.threshold.value
    return Section(
        "Same person, least alike",
        lead=f"The pairs of one person with the lowest similarity. Below {similarity(threshold)} facepool takes them "
        "for two people. A name that is wrong in the data shows here, too.",
        cards=_cards(results, lowest(comparisons.similarities, rows, (comparisons.first, comparisons.second)),
                     "refused", "passes", threshold),
        empty="No pair of one person has a face in both pictures.",
    )  # fmt: skip


def _mistaken(results: VerificationResults) -> Section:
    comparisons = results.comparisons
    acquired = comparisons.similarities > NOT_ACQUIRED
    rows = np.flatnonzero(~comparisons.same & acquired)
    threshold = results.default.threshold.value
    return Section(
        "Different people, most alike",
        lead=f"The pairs of two people with the highest similarity. From {similarity(threshold)} on facepool takes "
        "them for one. One person under two names shows here, too.",
        cards=_cards(results, lowest(-comparisons.similarities, rows, (comparisons.first, comparisons.second)),
                     "told apart", "taken for one", threshold),
        empty="No pair of different people has a face in both pictures.",
    )  # fmt: skip


def _cards(results: VerificationResults, rows: list[int], below: str, above: str, threshold: float) -> list[Card]:
    comparisons, captures = results.comparisons, results.captures
    return [
        Card(
            [face_of(captures, int(comparisons.first[row])), face_of(captures, int(comparisons.second[row]))],
            figure=f"similarity {similarity(float(comparisons.similarities[row]))}",
            note=above if comparisons.similarities[row] >= threshold else below,
        )
        for row in rows
    ]
