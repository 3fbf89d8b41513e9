"""What requests work with: the networks, the pool, the cameras, and what is kept beside the pool.

In come settings and the networks; out goes `Services`, which routes find in the application. `assemble` shows how the
parts depend on each other: read it first, then ``pool`` and ``store``. Other processes may serve the same pool: see
``processes`` for who they are, ``announcements`` for what they tell each other. Nothing here knows requests or routes.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from facepool import extras
from facepool.config import Settings
from facepool.faces.analyze import Analyzer
from facepool.faces.turns import TurnFinder
from facepool.gallery import Pool
from facepool.gallery.address import PoolAddress, PostgresAddress
from facepool.gallery.collections import DEFAULT, NEWS
from facepool.gallery.consents import clean_consent, text_of
from facepool.groups.keeper import SightingKeeper
from facepool.models.catalog import ModelEntry
from facepool.recognize.live import LiveRecognizer
from facepool.recognize.sightings import FACES_KEPT
from facepool.recognize.snapshots import SnapshotRecognizer
from facepool.recognize.track import Tracker
from facepool.search import Behind
from facepool.sinks import EventOutputs
from facepool.thresholds import ThresholdPolicy
from facepool.types import Consent
from facepool.web.services.activity import Activity
from facepool.web.services.audit import Audit
from facepool.web.services.cameras import Camera, CameraMemory, Cameras, CameraSetup
from facepool.web.services.decoding import Decoder
from facepool.web.services.engine import Engine
from facepool.web.services.following import Follower
from facepool.web.services.frigate import Frigate, FrigateClient
from facepool.web.services.index_keeper import IndexKeeper
from facepool.web.services.indexing import IndexMaker
from facepool.web.services.keeping import Watch, count_kept, keeper_of, suggester_of
from facepool.web.services.keys import Keys
from facepool.web.services.limits import Limits
from facepool.web.services.liveness.checks import LivenessChecks
from facepool.web.services.liveness.results import LivenessResults
from facepool.web.services.logs import Logs
from facepool.web.services.metrics import Metrics
from facepool.web.services.neighbours import Neighbours
from facepool.web.services.people import PersonChanges
from facepool.web.services.pool import PoolAccess
from facepool.web.services.processes import OneProcess, Processes
from facepool.web.services.retention import tidy_logs
from facepool.web.services.settling import Settling
from facepool.web.services.store import ServerStore, open_store
from facepool.web.services.tuning import Tuning

_VISITS = "visits"
"""What a process tells the others: who is in front of its cameras."""
OF_REQUEST = "facepool.services"
"""Where the scope of a request has those of the collection that it is about: `facepool.web.middleware.collections`."""
_TRACKS_EACH = 1_000_000_000
"""How many numbers of tracks each process has for itself: JavaScript still counts in ones there."""


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a server.

    Attributes:
        engine: The networks.
        pool: The pool.
        tuning: The settings, which may change.
        keys: Who may do what.
        activity: Who was seen when, and what happens now.
        audit: Who did what to whom.
        people: Changes people, and keeps track of it.
        settling: Does what changes have promised.
        cameras: Those of the server.
        limits: How much one client may ask for.
        metrics: What is counted.
        store: Where keys, audit and activity are kept.
        outputs: Other programs that hear of events.
        follower: Keeps what is in memory of the pool up to date.
        indexing: Makes the index of a large pool in its database.
        index: Keeps the index beside the pool up to date.
        keeper: Keeps who was seen, where the settings say so.
        processes: Those that serve the pool, this one among them.
        liveness: Checks that clients make, and what came out.
        frigate: Names the people of Frigate's events; None: it is not asked for.
        models: What the networks are, and under which terms.
        tracks: Numbers for those who are followed, each given once.
        neighbours: Workers of the same parent; None: there are none.
        root: Those of the default collection, whose networks, keys, limits and metrics these share; None: these are
            the default one's.
        options: What the server was started with.
        given: The settings that it was started with; their collection is meant by requests that name none.
        consent_text: What people agree to who are registered; empty: the server has no text.
        gone: Is set when the collection was removed, or is closed because others need its room.
    """

    engine: Engine
    pool: PoolAccess
    tuning: Tuning
    keys: Keys
    activity: Activity
    audit: Audit
    people: PersonChanges
    settling: Settling
    cameras: Cameras
    limits: Limits
    metrics: Metrics
    store: ServerStore
    outputs: EventOutputs
    follower: Follower
    indexing: IndexMaker
    index: IndexKeeper
    keeper: SightingKeeper
    processes: Processes
    liveness: LivenessChecks
    given: Settings
    options: "ServerOptions"
    frigate: Frigate | None = None
    models: Sequence[ModelEntry] = ()
    tracks: Iterator[int] = field(default_factory=lambda: count(1))
    neighbours: Neighbours | None = None
    root: "Services | None" = None
    consent_text: str = ""
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        return self.tuning.settings

    @property
    def behind(self) -> Behind | None:
        """Whether the pool's index is behind, or away, as searches or who keeps it up to date have seen."""
        return self.follower.behind or self.index.behind

    @property
    def policy(self) -> ThresholdPolicy:
        """How thresholds are chosen now."""
        return self.tuning.policy

    def close(self) -> None:
        """Stop everything, deliver what others are to hear yet, and let go of the files."""
        self.cameras.close()
        self.processes.close()  # now others may watch them
        if self.neighbours is not None:
            self.neighbours.close()
        if self.frigate is not None:
            self.frigate.close()
        self.keeper.close()
        self.outputs.close()
        if self.root is None:
            self.engine.close()
        else:
            self.metrics.forget(self.settings.collection)
        self.activity.close()
        self.follower.close()
        self.indexing.close()
        self.index.close()
        self.settling.close()
        self.pool.close()
        self.store.close()


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What only a server has to know.

    Attributes:
        keys_always: Ask for a key even while no administrator has one.
        pinned: Settings that hold whatever was changed on the page in an earlier run.
        models: What the networks are, and under which terms.
        queue: How many pictures of requests may be under way at once.
        batch: How many pictures a network looks at together; None: what suits its device.
        limits: How much one client may ask for.
        decoders: How many processes decode pictures; None: what suits the machine.
        workers: How many servers like this one are started together.
        most_collections: How many collections may be open at the same time.
    """

    keys_always: bool = False
    pinned: frozenset[str] = frozenset()
    models: Sequence[ModelEntry] = ()
    queue: int = 64
    batch: int | None = None
    limits: Limits = field(default_factory=Limits)
    decoders: int | None = None
    workers: int = 1
    most_collections: int = 16


def assemble(
    settings: Settings, analyzer: Analyzer, options: ServerOptions | None = None, root: Services | None = None
) -> Services:
    """Put the services of a server together, and make sure that the pool can be used.

    Args:
        settings: As for any command.
        analyzer: With the networks, for this server alone.
        options: What only a server has to know.
        root: Services of the default collection, which run; None: these are made now.

    Raises:
        ConfigError: An address of another program cannot be used.
        ExtraMissing: There is an index, and the package that asks it is not installed.
        PoolError: The pool cannot be used.
        StorageError: What is kept beside it cannot.
    """
    options, given = options or ServerOptions(), settings
    settings = _settings_of_one(given, root)
    search, is_collection = settings.search_choice(), root is not None
    if search.index is not None:
        extras.require("milvus")  # now, and not in a thread whose failures only answers show
    index = IndexKeeper(search.index)
    access = PoolAccess(
        settings.address, analyzer.space, search=search, after_change=index.ask, must_exist=is_collection
    )
    access.open().close()
    access.sweep()
    store = open_store(settings.address)
    metrics = Metrics() if root is None else root.metrics
    engine = _engine(analyzer, options, metrics) if root is None else root.engine
    tuning = Tuning(settings, analyzer.fmr, store, options.pinned)
    outputs = EventOutputs(settings, access.open)
    processes = processes_of(settings.address, options.workers)
    tracks = count(1 + _TRACKS_EACH * processes.number) if root is None else root.tracks
    activity = Activity(
        store,
        access.person_id,
        limits=settings.retention_limits(),
        others=outputs.put,
        processes=processes,
    )
    audit = Audit(store, access.person_id)
    suggester = suggester_of(tuning, activity, analyzer.fmr)
    keeper = keeper_of(access, tuning, activity, suggester)
    settling = Settling(
        Logs(store, activity, audit), store, access, index, tidy=partial(tidy_logs, store, settings.retention_limits())
    )
    setup = CameraSetup(
        recognizer=partial(live_recognizer, engine, tuning, tracks),
        open_pool=access.open_for_live,
        emit=lambda camera, frame, events: activity.emit(camera.name, frame, events, camera=camera.source),
        turn_finder=partial(TurnFinder, engine.analyzer),
        capture=settings.capture_options(partial(TurnFinder, engine.analyzer)),
        rotate=settings.rotate,
        keep=lambda camera, sightings: keeper.take(camera.name, sightings, place=camera.id, camera=camera.source),
    )
    frigate = None
    if settings.frigate is not None:
        recognizer = partial(snapshot_recognizer, engine, tuning)
        client, topic = FrigateClient(settings.frigate), settings.frigate_topic
        frigate = Frigate(
            client,
            outputs.connections,
            topic,
            access.open,
            recognizer,
            engine.decoder.decode,
            activity.emit,
            tracks,
            _turn_of(processes, f"events of {client.name} below {topic}"),
            keeper.take,
        )

    def tell_of_cameras(cameras: Sequence[Camera]) -> None:
        outputs.set_cameras({camera.source: camera.name for camera in cameras})
        if root is not None:  # processes that do not have the collection open are to watch them, too
            root.processes.announcements.send(NEWS)

    cameras = Cameras(setup, CameraMemory(store), tell_of_cameras, processes)
    services = Services(
        engine=engine,
        pool=access,
        tuning=tuning,
        keys=Keys(store, always_required=options.keys_always) if root is None else root.keys,
        activity=activity,
        audit=audit,
        people=PersonChanges(settling, activity, audit, outputs.forget),
        settling=settling,
        cameras=cameras,
        limits=options.limits,
        metrics=metrics,
        store=store,
        outputs=outputs,
        follower=Follower(access.open, announcements=processes.announcements),
        indexing=IndexMaker(access.open),
        index=index,
        keeper=keeper,
        processes=processes,
        liveness=LivenessChecks(LivenessResults(store, analyzer.space.id), audit, lambda: tuning.policy),
        frigate=frigate,
        models=options.models,
        tracks=tracks,
        neighbours=Neighbours(processes, cameras.picture_here) if options.workers > 1 else None,
        root=root,
        options=options,
        given=given,
        consent_text=_consent_text(settings),
    )
    # Numbers that are looked up whenever the metrics are asked for.
    watch = partial(metrics.watch, settings.collection)
    watch("cameras", "Cameras of the server", lambda: len(services.cameras.all()))
    watch("cameras_watching", "Cameras that show something", lambda: services.cameras.showing)
    _count_behind(services, watch)
    watch("events_delivered", "Events that other programs have got", lambda: services.outputs.delivered)
    watch("events_dropped", "Events that other programs never will get", lambda: services.outputs.dropped)
    count_kept(keeper, watch)
    watch("suggestions_made", "Faces suggested as new views of people", lambda: suggester.suggested)
    if frigate is not None:
        watch("frigate_waiting", "People of Frigate's events to look at", lambda: frigate.waiting)
    if root is None:
        watch("pictures_waiting", "Pictures of requests under way", lambda: services.engine.waiting)
        watch("sessions", "WebSockets and event streams", lambda: services.limits.sessions)
        options.limits.share(processes)
    if services.neighbours is not None:
        cameras.picture_elsewhere = services.neighbours.picture
    follow_others(services)
    processes.start()
    settling.start()
    services.indexing.start()
    index.start(access.open, processes.announcements)
    return services


def _count_behind(services: Services, watch: Watch) -> None:
    """Count what answers may miss because of the pool's index."""

    def missed() -> float:
        behind = services.behind
        return 0 if behind is None else behind.templates

    def is_unused() -> float:
        behind = services.behind
        return behind is not None and behind.reason != "following"

    watch("index_behind", "Templates that answers may miss, as the pool's index does not have them yet", missed)
    watch("index_unused", "1 while the pool is searched without its index, as that is away or not whole", is_unused)


def _settings_of_one(given: Settings, root: Services | None) -> Settings:
    """The settings of one collection; Frigate knows of the one only that is meant where none is named."""
    name = DEFAULT if root is None else given.collection
    home = given.collection if root is None else root.given.collection
    return given.model_copy(update={"collection": name, "frigate": given.frigate if name == home else None})


def _consent_text(settings: Settings) -> str:
    """What people agree to, read now, so that a file that is not there is an error at the start."""
    text = text_of(settings.consent_text)
    return clean_consent(Consent(text, "")).text if text.strip() else ""


def _engine(analyzer: Analyzer, options: ServerOptions, metrics: Metrics) -> Engine:
    decoder = Decoder(options.decoders)
    return Engine(analyzer, decoder, queue=options.queue, batch=options.batch, on_run=metrics.run)


def _turn_of(processes: Processes, work: str) -> Callable[[], bool]:
    """Whether some work is for this process to do: as with a camera, it is for one of all."""
    if not processes.shared:
        return lambda: True
    number = processes.number_of(work)
    return lambda: processes.watches(number)


def follow_others(services: Services) -> None:
    """Have what this process keeps in memory follow what others do: keys, settings, visits, and people they erase."""
    announcements, activity = services.processes.announcements, services.activity

    def forget_those_gone() -> None:
        names = services.outputs.names
        services.outputs.forget([name for name in names if services.pool.person_id(name) is None])

    announcements.hear("keys", lambda _fields: services.store.look_again())
    announcements.hear("settings", lambda _fields: services.tuning.reload())
    announcements.hear("pool", lambda _fields: forget_those_gone())
    for follow in (services.store.look_again, services.tuning.reload, forget_those_gone):
        announcements.after_gap(follow)
    services.processes.say(_VISITS, activity.open_visits)
    services.processes.on_peers(lambda peers: activity.hear_of_visits([peer.report.get(_VISITS) for peer in peers]))


def processes_of(pool: PoolAddress, workers: int) -> Processes:
    """Those that serve a pool: this one alone, unless it is in a database that others may use.

    Args:
        pool: Where it is.
        workers: How many are started together.
    """
    if not isinstance(pool, PostgresAddress):
        return OneProcess()
    extras.require("postgres")
    from facepool.web.services.postgres_processes import PostgresProcesses  # noqa: PLC0415 -- an extra

    return PostgresProcesses(pool, expected=workers)


def live_recognizer(engine: Engine, tuning: Tuning, tracks: Iterator[int], pool: Pool) -> LiveRecognizer:
    """A recognizer for one camera, with the settings as they are now.

    Several browsers are one source for those who hear of events, as is a camera that was restarted: no track of a
    server has the number of another.
    """
    tracker, options = Tracker(numbers=tracks), replace(tuning.settings.live_options(), keep_faces=FACES_KEPT)
    # Whether faces are kept may change while it watches.
    return LiveRecognizer(engine.analyzer, pool, tuning.policy, tracker, options, lambda: tuning.settings.keeps_faces)


def snapshot_recognizer(engine: Engine, tuning: Tuning, pool: Pool) -> SnapshotRecognizer:
    """A recognizer for pictures of which several show one person, with the settings as they are now."""
    options = replace(tuning.settings.live_options(), keep_faces=FACES_KEPT)
    return SnapshotRecognizer(engine.analyzer, pool, tuning.policy, options, lambda: tuning.settings.keeps_faces)


async def services_of(connection: HTTPConnection) -> Services:  # async: it needs no thread
    """The services of the collection that a request or WebSocket is about."""
    found = connection.scope.get(OF_REQUEST) or connection.app.state.services
    if not isinstance(found, Services):
        raise TypeError("the application has no services")
    return found


CurrentServices = Annotated[Services, Depends(services_of)]
