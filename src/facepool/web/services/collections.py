"""The collections of the pool that a server has open: `Services` of its own for each, made when it is first asked for.

All share the networks, the keys and what is counted; nothing of people is shared. So many are open at once and no more:
each keeps its people in memory. One that nobody uses makes room for another; one with cameras stays, and is open again
from the next start on. Other processes may remove one, or add a camera to it: they announce it, and it is looked for.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from facepool.errors import FacepoolError, UnknownCollection
from facepool.gallery import open_pool
from facepool.gallery.address import PoolAddress, file_of
from facepool.gallery.collections import (
    DEFAULT,
    NEWS,
    collection_address,
    collections_in,
    create_collection,
    delete_leftovers,
    has_collection,
    make_tables,
    remove_collection,
)
from facepool.gallery.listing import GallerySize
from facepool.web.problems import RequestError, ServerBusy
from facepool.web.services import Services, assemble
from facepool.web.services.cameras import MEMORY as CAMERAS
from facepool.web.services.keys import Caller
from facepool.web.services.store import insert_entry, open_store, store_beside

_LOG = logging.getLogger(__name__)
_LOOK_EVERY_S = 5.0
"""How soon a collection is closed that another program has removed without a word."""
_GRACE_S = 3.0
"""How long requests under way may go on in a collection that is removed."""


class CollectionNeeded(RequestError):
    """The key is for several collections, and the request names none of them.

    Remedy: name one: `?collection=NAME`, or the header `Facepool-Collection: NAME`.
    """

    code = "collection_needed"


@dataclass(slots=True)
class _Open:
    """A collection that is open.

    Attributes:
        services: Its own.
        users: How many requests and connections use it now.
        used_s: When somebody began to, last.
    """

    services: Services
    users: int = 0
    used_s: float = 0.0


class Collections:
    """Opens the collections of a pool for those who may use them, and closes them.

    Args:
        root: Services of the default collection, which is always open; its settings say which collection is meant by
            requests that name none.
        make: Makes the services of another one; `assemble`, by default.
    """

    def __init__(self, root: Services, make: Callable[[Services, str], Services] | None = None) -> None:
        self.root = root
        self._gallery: PoolAddress = root.settings.pool
        self._make = make or _services_of_collection
        self._most = root.options.most_collections
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._open: dict[str, _Open] = {}
        self._closed = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="facepool-collections", daemon=True)
        announcements = root.processes.announcements
        announcements.hear(NEWS, lambda _fields: self._news.set())
        announcements.after_gap(self._news.set)
        root.metrics.watch(DEFAULT, "collections", "Collections that are open, the default one among them", self._count)

    @property
    def home(self) -> str:
        """The collection of requests that name none."""
        return self.root.given.collection

    def start(self) -> None:
        """Open those that have cameras, and begin to look for news."""
        self._open_those_with_cameras()
        self._thread.start()

    def close(self) -> None:
        """Close all but the default one."""
        self._closed.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._opening, self._lock:
            left, self._open = list(self._open.values()), {}
        for one in left:
            one.services.close()

    def meant(self, caller: Caller, named: str | None) -> str:
        """Which collection a request is about.

        Args:
            caller: Who asks.
            named: What they say; None: nothing.

        Raises:
            UnknownCollection: Their key is not for it. Whether there is one of that name, nobody is told.
            CollectionNeeded: It is for several, and they have to say which.
        """
        if named is not None:
            if not caller.may_use(named):
                raise unknown(named)
            return named
        if caller.may_use(self.home):
            return self.home
        if len(caller.collections) == 1:
            return caller.collections[0]
        raise CollectionNeeded(
            "The request does not say which collection it is about",
            why=f"its key is for {', '.join(caller.collections)}",
            fix="Name one: ?collection=NAME, or the header Facepool-Collection: NAME",
        )

    def take(self, name: str) -> Services:
        """The services of a collection, which stays open until they are given back; in a thread, as it may be opened.

        Raises:
            UnknownCollection: There is none of that name.
            ServerBusy: So many others are in use that none can be closed for it.
        """
        if (services := self.take_open(name)) is not None:
            return services
        with self._opening:
            if (services := self.take_open(name)) is not None:
                return services
            if self._closed.is_set():
                raise ServerBusy("The server is busy", why="it ends", fix="Try again later")
            if not _is_there(self._gallery, name):
                raise unknown(name)
            self._make_room()
            services = self._make(self.root, name)
            try:
                services.cameras.restore()
            except BaseException:
                services.close()
                raise
            with self._lock:
                self._open[name] = _Open(services, 1, time.monotonic())
            return services

    def take_open(self, name: str) -> Services | None:
        """The same for one that is open, without waiting; None: it is not."""
        if name == DEFAULT:
            return self.root
        with self._lock:
            one = self._open.get(name)
            if one is None:
                return None
            if _is_deleted(one.services.pool.address):
                self._news.set()  # it is closed now
                return None
            one.users += 1
            one.used_s = time.monotonic()
            return one.services

    def give_back(self, services: Services) -> None:
        """Whoever took them does not use them any more."""
        with self._lock:
            for one in self._open.values():
                if one.services is services:
                    one.users -= 1

    @contextmanager
    def using(self, name: str) -> Iterator[Services]:
        """`take` for a block."""
        services = self.take(name)
        try:
            yield services
        finally:
            self.give_back(services)

    def sizes(self, caller: Caller) -> dict[str, GallerySize]:
        """The collections that a caller may use, with how many people each has; in a thread."""
        sizes = {}
        for name in collections_in(self._gallery):
            if caller.may_use(name):
                with open_pool(collection_address(self._gallery, name)) as pool:
                    sizes[name] = pool.size()
        return sizes

    def check(self, names: Collection[str]) -> None:
        """Make sure that there are such collections, before a key is bound to them; in a thread.

        Raises:
            UnknownCollection: One is not there.
        """
        for name in names:
            if not _is_there(self._gallery, name):
                raise unknown(name)

    def create(self, name: str, by: str) -> None:
        """Make a collection without anybody; in a thread.

        Raises:
            CollectionExists: There is one of that name.
            ConfigError: It cannot be called so.
        """
        create_collection(self._gallery, name)
        self._tell(by, "made a collection", name)

    def remove(self, name: str, by: str) -> None:
        """Erase a collection with everybody in it; those who use it are cut off. In a thread.

        Raises:
            UnknownCollection: There is none of that name.
            ConfigError: It is the default one.
        """
        if name != DEFAULT and not _is_there(self._gallery, name):
            raise unknown(name)
        with self._opening:  # nobody opens it meanwhile
            self._drop(name)
            remove_collection(self._gallery, name)
        self._tell(by, "removed a collection", name)

    def _tell(self, by: str, action: str, name: str) -> None:
        store = self.root.store
        with store.transaction() as db:
            insert_entry(db, by, action, detail=name)
            store.announce(db, NEWS)

    def _count(self) -> int:
        return 1 + len(self._open)

    def _make_room(self) -> None:
        """Close the one that nobody has used for longest, if there are too many."""
        with self._lock:
            if 1 + len(self._open) < self._most:
                return
            idle = [(one.used_s, name) for name, one in self._open.items() if not one.users and not _is_busy(one)]
        if not idle:
            raise ServerBusy(
                "The server is busy",
                why="it has as many collections open as it takes, and all of them are used",
                fix="Try again later, or raise --open-collections",
            )
        self._drop(min(idle)[1])

    def _drop(self, name: str) -> None:
        """Close a collection, after those who use it, or without them if that takes too long."""
        with self._lock:
            one = self._open.pop(name, None)
        if one is None:
            return
        one.services.gone.set()
        ends_s = time.monotonic() + _GRACE_S
        while one.users > 0 and time.monotonic() < ends_s and not self._closed.wait(0.02):
            pass
        one.services.close()

    # What follows runs in the thread.

    def _follow(self) -> None:
        while not self._closed.is_set():
            has_news = self._news.wait(_LOOK_EVERY_S)
            self._news.clear()
            if self._closed.is_set():
                return
            with suppress(FacepoolError):  # the database is away; requests hear it
                self._close_those_gone()
                if has_news:
                    self._open_those_with_cameras()

    def _close_those_gone(self) -> None:
        with self._lock:
            names = set(self._open)
        if not names:
            return
        for name in names.difference(collections_in(self._gallery)):
            _LOG.info("The collection %s was removed", name)
            with self._opening:
                self._drop(name)
                delete_leftovers(self._gallery, name)

    def _open_those_with_cameras(self) -> None:
        for name in collections_in(self._gallery):
            with self._lock:
                is_open = name == DEFAULT or name in self._open
            if is_open or not _has_cameras(collection_address(self._gallery, name)):
                continue
            try:
                self.give_back(self.take(name))
            except FacepoolError as error:
                _LOG.warning("The cameras of the collection %s are not watched: %s", name, error)


def unknown(name: str) -> UnknownCollection:
    """The same words for one that is not there and for one that somebody's key is not for."""
    return UnknownCollection(f"There is no collection {name[:60]!r}", fix="Check its name, and what your key is for")


def _services_of_collection(root: Services, name: str) -> Services:
    settings = root.given.model_copy(update={"collection": name})
    make_tables(settings.address)
    return assemble(settings, root.engine.analyzer, root.options, root)


def _is_there(gallery: PoolAddress, name: str) -> bool:
    try:
        return has_collection(gallery, name)
    except FacepoolError as error:
        if error.code == "config_invalid":  # no name of a collection, or of a pool that has none
            return False
        raise


def _is_deleted(address: PoolAddress) -> bool:
    file = file_of(address)
    return file is not None and not file.exists()


def _is_busy(one: _Open) -> bool:
    return bool(one.services.cameras.all()) or one.services.frigate is not None


def _has_cameras(address: PoolAddress) -> bool:
    """Whether cameras of a collection are remembered, which a server is to watch from its start on."""
    if file_of(address) is not None and not store_beside(address).exists():
        return False
    with closing(open_store(address)) as store:
        return bool(store.kept(CAMERAS))
