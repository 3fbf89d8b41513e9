"""What a server's logs keep of a person, for the report on privacy."""

from contextlib import closing

from facepool.gallery.address import PoolAddress, PostgresAddress
from facepool.gallery.notices import logs_beside
from facepool.privacy.holdings import Holding, RetentionLimits, holding
from facepool.web.services.audit import Audit
from facepool.web.services.store import ServerStore, name_of_store, open_store

_ACTIVITY = "SELECT count(*), min(at), max(at) FROM server_activity WHERE person = ? OR previous = ? OR person_id = ?"
_VISITS = "SELECT count(DISTINCT visit), min(at), max(at) FROM server_activity WHERE person = ? OR person_id = ?"


def held_by_logs(
    store: ServerStore, audit: Audit, name: str, person_id: str, limits: RetentionLimits, place: object
) -> list[Holding]:
    """What activity and audit log keep of somebody, who may be gone.

    Args:
        store: Where they are kept.
        audit: Who did what to whom.
        name: What the person is called, or was.
        person_id: Theirs; empty: it is not known.
        limits: How long things are kept.
        place: Where that is, in words.
    """
    whose = person_id or name  # which is nobody's id
    found = []
    with store.reading() as db:
        count, since, until = db.execute(_ACTIVITY, (name, name, whose)).fetchone()
        found.append(holding("activity", place, int(count), limits, since=since, until=until))
        count, since, until = db.execute(_VISITS, (name, whose)).fetchone()
        found.append(holding("visits", place, int(count), limits, since=since, until=until))
    told = [entry.at for entry in audit.about(name)]
    found.append(holding("audit", place, len(told), limits, since=min(told, default=""), until=max(told, default="")))
    erased = audit.times_of_erased(name)
    times = {"since": min(erased, default=""), "until": max(erased, default="")}
    return [*found, holding("erasure", place, len(erased), limits, **times)]


def held_beside(pool: PoolAddress, name: str, person_id: str, limits: RetentionLimits) -> list[Holding]:
    """The same for a command: what a server keeps beside a pool that one has worked on.

    Raises:
        FacepoolError: It cannot be read.
    """
    with closing(open_store(pool)) as store:
        audit = Audit(store, lambda _name: None)
        place = name_of_store(pool) if isinstance(pool, PostgresAddress) else logs_beside(pool)
        return held_by_logs(store, audit, name, person_id, limits, place)
