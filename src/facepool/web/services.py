"""What requests work with, and who may make them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from facepool.config import Settings
from facepool.models.catalog import ModelEntry
from facepool.recognize.events import Event
from facepool.records import event_record
from facepool.thresholds import ThresholdPolicy
from facepool.types import Frame
from facepool.web.activity import Activity
from facepool.web.audit import Audit
from facepool.web.cameras import Cameras
from facepool.web.engine import Engine
from facepool.web.events import Events
from facepool.web.keys import Caller, Keys, Role
from facepool.web.limits import Limits
from facepool.web.metrics import Metrics
from facepool.web.pool_access import PoolAccess
from facepool.web.problems import Forbidden
from facepool.web.signin import identify
from facepool.web.store import ServerStore, now
from facepool.web.tuning import Tuning

__all__ = ["Caller", "CurrentServices", "Services", "requires", "services_of", "tell"]


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a server.

    Attributes:
        engine: The networks.
        pool: The pool.
        tuning: The settings, which may change.
        keys: Who may do what.
        activity: Who was seen when.
        audit: Who did what to whom.
        cameras: Those of the server.
        events: Tells listeners what happens.
        limits: How much one client may ask for.
        metrics: What is counted.
        store: Where keys, audit and activity are kept.
        models: What the networks are, and under which terms.
    """

    engine: Engine
    pool: PoolAccess
    tuning: Tuning
    keys: Keys
    activity: Activity
    audit: Audit
    cameras: Cameras
    events: Events
    limits: Limits
    metrics: Metrics
    store: ServerStore
    models: Sequence[ModelEntry] = ()

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        return self.tuning.settings

    @property
    def policy(self) -> ThresholdPolicy:
        """How thresholds are chosen now."""
        return self.tuning.policy

    def tell(self, source: str, frame: Frame, events: Sequence[Event]) -> None:
        """Keep and pass on what happened before a camera; in a thread, because it writes."""
        tell(self.activity, self.events, source, frame, events)

    def close(self) -> None:
        """Stop everything, and let go of the files."""
        self.cameras.close()
        self.engine.close()
        self.pool.close()
        self.store.close()


def tell(activity: Activity, bus: Events, source: str, frame: Frame, events: Sequence[Event]) -> None:
    """Keep and pass on what happened before a camera.

    Args:
        activity: Where it is kept.
        bus: Tells listeners.
        source: Which camera, for people; ``browser`` for that of a page.
        frame: With which it happened.
        events: What happened.
    """
    for event in events:
        record = {"at": now(), **event_record(frame, event), "source": source}
        activity.add(record)
        bus.publish(record)


def services_of(connection: HTTPConnection) -> Services:
    """The services of the application that a request or WebSocket came to."""
    found = connection.app.state.services
    if not isinstance(found, Services):
        raise TypeError("the application has no services")
    return found


CurrentServices = Annotated[Services, Depends(services_of)]


def requires(role: Role) -> Callable[[HTTPConnection], Caller]:
    """A dependency that lets only some callers pass, and says who it is."""

    def check(connection: HTTPConnection) -> Caller:
        services = services_of(connection)
        caller = identify(connection, services.keys, services.limits)
        if not caller.may(role):
            raise Forbidden(
                "Your key is not for this", why=f"it is for {caller.role}, and this takes {role}", fix="Use another key"
            )
        return caller

    return check
