"""From settings to the services of a server."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from facepool.config import Settings
from facepool.faces.analyze import Analyzer
from facepool.gallery import Pool
from facepool.models.catalog import ModelEntry
from facepool.recognize.live import LiveRecognizer
from facepool.web.activity import Activity
from facepool.web.audit import Audit
from facepool.web.cameras import Cameras, Watching
from facepool.web.engine import Engine
from facepool.web.events import Events
from facepool.web.keys import Keys
from facepool.web.limits import Limits
from facepool.web.metrics import Metrics
from facepool.web.pool_access import PoolAccess
from facepool.web.services import Services, tell
from facepool.web.store import ServerStore, store_beside
from facepool.web.tuning import Tuning


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What only a server has to know.

    Attributes:
        keys_always: Ask for a key even while no administrator has one.
        pinned: Settings that hold whatever was changed on the page in an earlier run.
        models: What the networks are, and under which terms.
        activity_days: How long it is kept who was seen.
        queue: How many pictures of requests may be under way at once.
        batch: How many pictures a network looks at together; None: what suits its device.
        limits: How much one client may ask for.
    """

    keys_always: bool = False
    pinned: frozenset[str] = frozenset()
    models: Sequence[ModelEntry] = ()
    activity_days: float = 30
    queue: int = 64
    batch: int | None = None
    limits: Limits = field(default_factory=Limits)


def assemble(settings: Settings, analyzer: Analyzer, options: ServerOptions | None = None) -> Services:
    """Put the services of a server together, and make sure that the pool can be used.

    Args:
        settings: As for any command.
        analyzer: With the networks, for this server alone.
        options: What only a server has to know.

    Raises:
        PoolError: The pool cannot be used.
        StorageError: What is kept beside it cannot.
    """
    options = options or ServerOptions()
    access = PoolAccess(settings.pool, analyzer.space)
    access.open().close()
    store = ServerStore(store_beside(settings.pool))
    metrics = Metrics()
    engine = Engine(analyzer, queue=options.queue, batch=options.batch, tell=metrics.run)
    tuning = Tuning(settings, analyzer.fmr, store, options.pinned)
    activity, events = Activity(store, access.has, days=options.activity_days), Events()

    def recognizer(pool: Pool) -> LiveRecognizer:
        return LiveRecognizer(engine.analyzer, pool, tuning.policy, options=tuning.settings.live_options())

    watching = Watching(
        recognizer=recognizer,
        open_pool=access.open,
        tell=partial(tell, activity, events),
        capture=settings.capture_options(),
    )
    services = Services(
        engine=engine,
        pool=access,
        tuning=tuning,
        keys=Keys(store, always_required=options.keys_always),
        activity=activity,
        audit=Audit(store, access.has),
        cameras=Cameras(watching, store),
        events=events,
        limits=options.limits,
        metrics=metrics,
        store=store,
        models=options.models,
    )
    _watch(services)
    return services


def _watch(services: Services) -> None:
    """Numbers that are looked up whenever somebody asks for the metrics."""
    metrics = services.metrics
    metrics.watch("pictures_waiting", "Pictures of requests under way", lambda: services.engine.waiting)
    metrics.watch("sessions", "WebSockets and event streams", lambda: services.limits.sessions)
    metrics.watch("cameras", "Cameras of the server", lambda: len(services.cameras.all()))
    metrics.watch("cameras_watching", "Cameras that show something", lambda: _watching(services))


def _watching(services: Services) -> int:
    return sum(camera.status.state == "watching" for camera in services.cameras.all())
