"""Which package index the user's pip and uv are set up with: environment variables and configuration files.

The order of precedence is pip's own (https://pip.pypa.io/en/stable/topics/configuration/): files of the machine, of
the user, of the virtual environment, the file that PIP_CONFIG_FILE names, then the environment. uv's settings come
after pip's, except that uv's default index stands in where pip names none.
"""

import configparser
import os
import platform
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from facepool.errors import ConfigError

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
        certificates=_certificates(pip, environment),
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
    legacy = Path.home() / ("pip" if platform.system() == "Windows" else ".pip") / _INI
    return [legacy, _user_folder() / _INI]


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
    candidates = [Path(named)] if named else [Path(platformdirs.user_config_dir("uv", appauthor=False)) / "uv.toml"]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None or environment.get("UV_NO_CONFIG", "").lower() in _TRUE:
        return {}
    try:
        return tomllib.loads(found.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError("uv's configuration cannot be read", why=str(error), fix=f"Correct {found}") from error


def _certificates(pip: Mapping[str, str], environment: Mapping[str, str]) -> Path | None:
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
