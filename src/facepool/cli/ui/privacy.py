"""What is kept of a person, on the terminal: the report, and what was found after an erasure."""

import time
from collections.abc import Sequence
from pathlib import Path

from facepool import extras
from facepool.cli.context import CommandContext
from facepool.cli.ui.console import wall_clock
from facepool.errors import FacepoolError, PathMissing, PoolError
from facepool.files import exists
from facepool.gallery import Pool
from facepool.gallery.collections import collection_address, collections_in
from facepool.privacy.erasure import Finding, findings_of, wait_for_wiping
from facepool.privacy.holdings import Holding, holding
from facepool.privacy.report import PrivacyReport, privacy_report
from facepool.privacy.traces import Marks
from facepool.records import holding_record
from facepool.search.index_status import held, places_of

_AGAIN_S = (3.0, 4.0)


def report_of(context: CommandContext, pool: Pool, name: str, person_id: str, also: Sequence[Path]) -> PrivacyReport:
    """What is kept of somebody in the pool, beside it, in its other collections and by a server."""
    settings = context.settings
    check_places(also)
    known = pool.person(name)
    others = [one for one in collections_in(context.gallery_address) if one != settings.collection]
    return privacy_report(
        pool,
        name,
        person_id=person_id,
        also=also,
        collections=[(one, collection_address(context.gallery_address, one)) for one in others],
        more=_of_logs(context, pool, name, known.id if known else person_id),
        limits=settings.retention_limits(),
    )


def check_places(also: Sequence[Path]) -> None:
    """Refuse folders and files that are not there: nothing would be found in them.

    Raises:
        PathMissing: One is not.
    """
    for place in also:
        if not exists(place):
            raise PathMissing(f"There is no {place} to look into", fix="Check the spelling of --also")


def _of_logs(context: CommandContext, pool: Pool, name: str, person_id: str) -> list[Holding]:
    """What a server's logs keep; that nobody can read them here is said."""
    if not pool.has_logs:
        return []
    limits = context.settings.retention_limits()
    if extras.missing("server"):
        detail = "facepool[server] is not installed, which reads them"
        return [holding("activity", "the logs of a server", None, limits, detail=detail)]
    from facepool.web.services.privacy import held_beside  # noqa: PLC0415 -- only where there was a server

    try:
        return held_beside(pool.address, name, person_id, limits)
    except FacepoolError as error:
        return [holding("activity", "the logs of a server", None, limits, detail=error.why or error.code)]


def show_report(context: CommandContext, report: PrivacyReport) -> None:
    """A row for each place where something is, then what nobody could look into."""
    entries = [(holding_record(one), _row(one)) for one in report.kept]
    context.console.table(
        ("what", ">count", "where", "from", "to", "stays until", "removed by"),
        [row for _, row in entries],
        report.person,
    )
    context.console.note("facepool cannot look into:")
    for line in report.elsewhere:
        context.console.note(f"- {line}")


def _row(one: Holding) -> tuple[str, ...]:
    count = "?" if one.count is None else str(one.count)
    what = f"{one.what} ({one.detail})" if one.detail else one.what
    times = (wall_clock(one.since) if one.since else "", wall_clock(one.until) if one.until else "")
    return what, count, one.place, *times, one.stays, one.removed_by


def say_whether_gone(
    context: CommandContext, name: str, marks: Marks, also: Sequence[Path], numbers: Sequence[int]
) -> int:
    """Look at every place after an erasure, and say so line by line; the exit code.

    Args:
        context: Of the command.
        name: Of who was erased.
        marks: By what they are found in files.
        also: Folders and files to look into, too.
        numbers: Of their templates.

    Returns:
        0: all is gone; 1: something is left, or could not be looked at.
    """
    for pause_s in (*_AGAIN_S, 0.0):
        with context.open_pool() as pool:
            wait_for_wiping(pool)
            report = report_of(context, pool, name, marks.person_id, also)
            in_index = _in_index(context, pool, numbers)
        findings = [*findings_of(report, context.pool_address, marks), *in_index]
        if not any(one.is_of_bytes and not one.is_good for one in findings):
            break
        time.sleep(pause_s)  # a server that runs wipes what it has open within some seconds
    is_gone = all(one.is_good for one in findings)
    context.console.emit({"gone": is_gone, "findings": [_record(one) for one in findings]})
    context.console.table(
        ("", "what", "where", ""), [(one.outcome, one.what, one.place, one.detail) for one in findings]
    )
    for line in report.elsewhere:
        context.console.note(f"Not looked into: {line}")
    if is_gone:
        context.console.say("Nothing is left in the places above", "good")
    else:
        context.console.say("Something is left, or could not be looked at: see above", "bad")
    return int(not is_gone)


def _in_index(context: CommandContext, pool: Pool, numbers: Sequence[int]) -> list[Finding]:
    """Whether indexes still have templates, by what these say themselves."""
    address, what = context.settings.index, "vectors, by their numbers"
    places = places_of(pool)
    found = [
        Finding(what, place, "unknown", "--index does not name it, so that nobody asked it")
        for place in places
        if address is None or place != address.place
    ]
    if address is None or address.place not in places:
        return found
    try:
        count = held(pool, address, numbers)
    except PoolError as error:
        return [*found, Finding(what, address.place, "unknown", error.why or error.code)]
    detail = f"{count}; removed by: facepool index sync" if count else ""
    return [*found, Finding(what, address.place, "left" if count else "gone", detail)]


def _record(one: Finding) -> dict[str, object]:
    return {"what": one.what, "place": one.place, "outcome": one.outcome, "detail": one.detail}
