"""Find archives where ``pip install`` would find them. No index is named here: see docs/adr/0002.

Which index that is, pip's and uv's environment variables and configuration files say. The order of precedence is pip's
own (https://pip.pypa.io/en/stable/topics/configuration/): files of the machine, of the user, of the virtual
environment, the file that PIP_CONFIG_FILE names, then the environment. uv's settings come after pip's, except that
uv's default index stands in where pip names none.
"""

import configparser
import logging
import os
import platform
import ssl
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import httpx2
import platformdirs
from unearth import Link, PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import Fetcher, PyPIClient

from facepool.errors import ConfigError
from facepool.models.catalog import PackageMember

_COMMANDS = ("global", "install", "download")
_TRUE = {"1", "true", "yes", "on", "y", "t"}
_INI = "pip.ini" if platform.system() == "Windows" else "pip.conf"


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """Where packages come from and how to get there.

    Attributes:
        index: Address of the main index; None for the index client's own default.
        extra_indexes: Further indexes, in order.
        find_links: Folders, pages or archives to look at first.
        no_index: Whether only ``find_links`` counts.
        trusted_hosts: Hosts whose certificates are not checked.
        certificates: Bundle of certificate authorities; None for the system's.
        proxy: Address of a proxy; None for what the environment says.
        timeout_s: Longest silence of a server.
    """

    index: str | None = None
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    certificates: Path | None = None
    proxy: str | None = None
    timeout_s: float = 30.0


def read_index_config(environment: Mapping[str, str] = os.environ) -> IndexConfig:
    """The settings that ``pip install`` and ``uv pip install`` would follow here.

    Raises:
        ConfigError: A configuration file or a number in it cannot be read.
    """
    pip = _pip_settings(environment)
    uv = _uv_settings(environment)
    return IndexConfig(
        index=pip.get("index-url") or uv.index,
        extra_indexes=(*pip.get("extra-index-url", "").split(), *uv.extra_indexes),
        find_links=(*pip.get("find-links", "").split(), *uv.find_links),
        no_index=pip.get("no-index", "").lower() in _TRUE or uv.no_index,
        trusted_hosts=(*pip.get("trusted-host", "").split(), *uv.trusted_hosts),
        certificates=_bundle(pip, environment),
        proxy=pip.get("proxy") or None,
        timeout_s=_seconds(pip.get("timeout", "30")),
    )


def _pip_settings(environment: Mapping[str, str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for path in _pip_files(environment):
        settings |= _read_ini(path)
    variables = {key: value for key, value in environment.items() if key.startswith("PIP_") and value}
    return settings | {key[4:].lower().replace("_", "-"): value for key, value in variables.items()}


def _pip_files(environment: Mapping[str, str]) -> list[Path]:
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    files = [*_machine_files(), *([] if named and Path(named).exists() else _user_files()), Path(sys.prefix, _INI)]
    return [*files, Path(named)] if named else files


def _machine_files() -> list[Path]:
    if platform.system() == "Darwin":
        folders = platformdirs.site_data_dir("pip", appauthor=False, multipath=True)
        return [Path(folder, _INI) for folder in folders.split(os.pathsep)]
    folders = platformdirs.site_config_dir("pip", appauthor=False, multipath=True)
    everywhere = [] if platform.system() == "Windows" else [Path("/etc", _INI)]
    return [*(Path(folder, _INI) for folder in folders.split(os.pathsep)), *everywhere]


def _user_files() -> list[Path]:
    if not _has_home():
        return []
    legacy = Path.home() / ("pip" if platform.system() == "Windows" else ".pip") / _INI
    return [legacy, _user_folder() / _INI]


def _has_home() -> bool:
    try:
        Path.home()
    except RuntimeError:  # a user id of a service or container that the system does not know
        return False
    return True


def _user_folder() -> Path:
    if platform.system() != "Darwin":
        return Path(platformdirs.user_config_dir("pip", appauthor=False, roaming=True))
    folder = Path(platformdirs.user_data_dir("pip", appauthor=False))
    return folder if folder.is_dir() else Path.home() / ".config" / "pip"


def _read_ini(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError("pip's configuration cannot be read", why=str(error), fix=f"Correct {path}") from error
    settings: dict[str, str] = {}
    for command in _COMMANDS:
        if parser.has_section(command):
            settings |= {key.replace("_", "-"): value for key, value in parser.items(command)}
    return settings


def _uv_settings(environment: Mapping[str, str]) -> IndexConfig:
    """Variables, then the user's file: https://docs.astral.sh/uv/reference/environment/."""

    def words(name: str) -> list[str]:
        return [_without_name(word) for word in environment.get(name, "").replace(",", " ").split()]

    file = _read_uv_file(environment)
    tables = [table for table in file.get("index", []) if "url" in table]
    defaults = [table["url"] for table in tables if table.get("default")]
    candidates = [*words("UV_DEFAULT_INDEX"), *words("UV_INDEX_URL"), *defaults, file.get("index-url")]
    return IndexConfig(
        index=candidates[0],
        extra_indexes=(
            *words("UV_INDEX"),
            *words("UV_EXTRA_INDEX_URL"),
            *(table["url"] for table in tables if not table.get("default")),
            *file.get("extra-index-url", []),
        ),
        find_links=(*words("UV_FIND_LINKS"), *file.get("find-links", [])),
        no_index=environment.get("UV_NO_INDEX", "").lower() in _TRUE or bool(file.get("no-index")),
        trusted_hosts=(*words("UV_INSECURE_HOST"), *file.get("allow-insecure-host", [])),
    )


def _without_name(index: str) -> str:
    """The address in ``name=address``, which some of the variables may say."""
    name, separator, address = index.partition("=")
    return address if separator and name.replace("-", "").replace("_", "").isalnum() else index


def _read_uv_file(environment: Mapping[str, str]) -> dict[str, Any]:
    named = environment.get("UV_CONFIG_FILE")
    candidates = [Path(named)] if named else []
    if not named and _has_home():
        candidates = [Path(platformdirs.user_config_dir("uv", appauthor=False)) / "uv.toml"]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None or environment.get("UV_NO_CONFIG", "").lower() in _TRUE:
        return {}
    try:
        return tomllib.loads(found.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError("uv's configuration cannot be read", why=str(error), fix=f"Correct {found}") from error


def _bundle(pip: Mapping[str, str], environment: Mapping[str, str]) -> Path | None:
    bundle = pip.get("cert") or environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE")
    if not bundle:
        return None
    if not Path(bundle).exists():
        raise ConfigError(
            f"The certificate bundle {bundle} does not exist", fix="Correct `cert` in pip's configuration or PIP_CERT"
        )
    return Path(bundle)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"pip's timeout is {text!r}", why="it is no number of seconds") from None


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


class _WarningCollector(logging.Handler):
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
    listener, propagated = _WarningCollector(messages), logger.propagate
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
