"""Settings: defaults < TOML file < environment < flags, one frozen object built at the entry point.

Nothing below this module sees it: each stage gets its own small options, made here.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    SerializationInfo,
    ValidationError,
    field_validator,
)

from facepool.capture import CaptureOptions, MakeTurnFinder, mask_credentials
from facepool.enroll.session import EnrollOptions
from facepool.errors import ConfigError, PathMissing
from facepool.faces.detect import DETECTOR_PRESETS, DetectOptions, DetectorPreset
from facepool.faces.load import PrecisionChoice
from facepool.files import read_secret, users_folder
from facepool.gallery.address import EncryptedFile, PoolAddress, PostgresAddress, pool_address
from facepool.gallery.collections import DEFAULT, check_collection, collection_address
from facepool.gallery.index_address import IndexAddress, index_address
from facepool.gallery.sightings import InboxBounds
from facepool.groups.keeper import KeepOptions
from facepool.privacy.holdings import RetentionLimits
from facepool.recognize.challenges import ChallengeOptions
from facepool.recognize.evidence import EvidenceOptions
from facepool.recognize.live import LiveOptions
from facepool.recognize.pictures import RecognizeOptions
from facepool.recognize.sightings import FACES_KEPT
from facepool.search import Place, SearchChoice
from facepool.thresholds import TARGET_FPIR
from facepool.types import Consent, Turn

ENVIRONMENT_PREFIX = "FACEPOOL_"
_IN_FILE = "_FILE"
"""After the name of a variable: it names a file that has the value."""
_DETECT = DetectOptions()
_ENROLL = EnrollOptions()
_RECOGNIZE = RecognizeOptions()
_LIVE = LiveOptions()


def _degrees_as_text(value: object) -> object:
    """``rotate = 90`` of a file is ``--rotate 90``."""
    return str(value) if isinstance(value, int) else value


Rotation = Annotated[Literal["0", "90", "180", "270", "auto"], BeforeValidator(_degrees_as_text)]
"""How far the pictures of a camera are turned clockwise, in degrees; ``auto``: as the faces in them lie."""


PYDANTICS_WORDS = "Value error, "
"""What it puts before the reason that a check of ours gives."""


def _auto_or_whole(given: object) -> object:
    """Command line and environment have texts only."""
    if given == "auto" or (isinstance(given, int) and not isinstance(given, bool) and given >= 1):
        return given
    if isinstance(given, str) and given.isascii() and given.isdigit() and int(given) >= 1:
        return int(given)
    raise ValueError("it is auto, or a whole number from 1")


DetectFrames = Annotated[Literal["auto"] | Annotated[int, Field(ge=1)], BeforeValidator(_auto_or_whole)]
"""In which frames of what moves faces are sought; see ``facepool.recognize.cadence``."""


def _address_of_pool(value: object) -> PoolAddress:
    """A file, or a database. What is neither is not shown: its password may be anywhere in it."""
    if isinstance(value, str | PoolAddress):
        return pool_address(value)
    raise ConfigError(
        "The setting 'pool' cannot be used",
        why=f"it is no text, but of type {type(value).__name__}",
        fix='Write it like pool = "pool.db" or pool = "postgresql://user@host/database"',
    )


def _shown_address(pool: PoolAddress, info: SerializationInfo) -> object:
    """No password leaves the program."""
    return str(pool) if info.mode_is_json() else pool


PoolSetting = Annotated[
    Path | InstanceOf[EncryptedFile] | InstanceOf[PostgresAddress],
    BeforeValidator(_address_of_pool),
    PlainSerializer(_shown_address),
]
"""Where people are kept."""


def _address_of_index(value: object) -> IndexAddress | None:
    """As `_address_of_pool`: what is no address is not shown."""
    if value is None or isinstance(value, str | IndexAddress):
        return index_address(value) if value else None
    raise ConfigError(
        "The setting 'index' cannot be used",
        why=f"it is no text, but of type {type(value).__name__}",
        fix='Write it like index = "milvus://host:19530"',
    )


IndexSetting = Annotated[
    InstanceOf[IndexAddress] | None,
    BeforeValidator(_address_of_index),
    PlainSerializer(lambda index, info: str(index) if index and info.mode_is_json() else index),
]
"""What lists the templates that are nearest to a face."""
LEAST_EVERY_S = 0.1
"""No address is asked for single pictures more often: whoever wants more takes its stream."""
_PORTS = {"http": 80, "https": 443}
_TURNS: Mapping[Rotation, Turn] = MappingProxyType({"0": 0, "90": 90, "180": 180, "270": 270})


def _origin_of(address: str) -> str:
    """What a browser says of a page that is at an address: ``https://host:8123``.

    Raises:
        ValueError: No page is there.
    """
    parts = urlsplit(address.strip().lower())
    if parts.scheme not in _PORTS or not parts.hostname or "*" in parts.hostname or parts.username is not None:
        raise ValueError(f"{address!r} is no address of a page; write it like https://dashboard.example:8123")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = parts.port in (None, _PORTS[parts.scheme])
    return f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{parts.port}"


def default_pool() -> Path:
    """Where people are kept when no pool is named: one for the user, whatever the folder."""
    return users_folder("data") / "pool.db"


def default_config() -> Path:
    """Where settings are looked for when no file is named."""
    return users_folder("config") / "config.toml"


class Settings(BaseModel):
    """Everything that can be set. Each name is a TOML key, ``FACEPOOL_<NAME>``, and ``--name`` on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: PoolSetting = Field(
        default_factory=default_pool,
        description="Where people are kept: a .db file, a .npy file or postgresql://user@host/database",
    )
    key_file: Path | None = Field(
        None, description="File with the key of an encrypted pool; without it nobody can read the pool"
    )
    collection: str = Field(
        DEFAULT,
        description="Collection of the pool, each with people of its own: facepool pool collections list",
    )
    index: IndexSetting = Field(
        None,
        description="Index that lists the nearest of very many templates, and follows the pool: milvus://host:19530, "
        "milvus+tls://user:password@host/database or milvus+lite:index.db",
    )
    pack: str = Field("open", description="Detector and embedder that go together: facepool models list")
    detector: str | None = Field(None, description="Another detector than the pack's")
    embedder: str | None = Field(None, description="Another embedder than the pack's")
    models_dir: Path | None = Field(None, description="Where models are kept")
    offline_dir: Path | None = Field(None, description="Folder with model files, for machines without a network")
    precision: PrecisionChoice = Field(
        "auto", description="auto (the fastest that keeps results), int8 (made by facepool models optimize) or float32"
    )
    device: str = Field("auto", description="auto, cpu, cuda:N, tensorrt:N or coreml")
    threads: int | None = Field(
        None, ge=1, description="CPU threads; one a core by default, fewer in a container with less time"
    )
    ray: str | None = Field(
        None,
        description="Ray cluster whose machines look at the pictures: the address of its head, such as 10.0.0.1:6379; "
        "local for processes on this machine. All of them have to see the pictures under the same path",
    )
    quality: DetectorPreset = Field("balanced", description="How thoroughly faces are sought: fast, balanced or best")
    detect_size: int | None = Field(
        None, ge=64, le=8192, description="Long side in pixels at which faces are sought; follows --quality"
    )
    detect_threshold: float = Field(_DETECT.threshold, ge=0, le=1, description="Detector score that makes a face")
    register_threshold: float = Field(
        _ENROLL.novelty, ge=-1, le=1, description="A view is stored if less similar than this to the person's others"
    )
    max_templates: int = Field(_ENROLL.max_templates, ge=1, description="Views kept of a person")
    min_face: float = Field(_ENROLL.min_size_px, ge=0, description="Smallest face to register, in pixels")
    min_sharpness: float = Field(_ENROLL.min_sharpness, ge=0, description="Blurriest face to register")
    threshold: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="Similarity that makes a match; follows the pool, and is higher for faces that resemble everybody",
    )
    target_fpir: float = Field(TARGET_FPIR, ge=1e-9, le=1, description="Share of strangers that may be named")
    min_margin: float = Field(
        _RECOGNIZE.min_margin, ge=0, le=2, description="Lead over the runner-up that a name needs"
    )
    search: Place = Field(
        "auto",
        description="Where a pool in PostgreSQL is searched: memory (of each process), database (large pools), or auto "
        "(by its size); files are searched in memory",
    )
    exact: bool = Field(
        default=False, description="Search in the database by looking at everybody, not by its index (slower)"
    )
    firm_frames: int = Field(
        _LIVE.evidence.min_frames, ge=1, description="Sightings of a moving face that a name needs before it is said"
    )
    unknown_after: float = Field(
        _LIVE.unknown_after_s, ge=0, description="Seconds that a moving face is looked at before it is called unknown"
    )
    detect_every: DetectFrames = Field(
        _LIVE.detect_every,
        description="Seek faces in every k-th frame, and follow them in between; auto: five times a second, and in "
        "every frame in which somebody is new or the picture changes",
    )
    require_live: bool = Field(
        default=False,
        description="Name a moving face only once it has shown that it is somebody alive: it is asked to look in three "
        "random directions. facepool serve names, compares and registers only people who have passed such a check with "
        "it, except before its own cameras",
    )
    keep_unknown: bool = Field(
        default=False,
        description="Keep the best faces of people whom nobody knows, grouped, beside the pool, to name them later",
    )
    keep_recognized: bool = Field(
        default=False, description="Keep the best faces of people who are recognized, too, to correct them later"
    )
    keep_days: float = Field(14, gt=0, le=3650, description="Days that faces of --keep-unknown are kept, at most")
    keep_sightings: int = Field(5000, ge=1, le=1_000_000, description="Sightings that are kept, at most")
    keep_mb: float = Field(200, gt=0, le=1_000_000, description="Megabytes that kept sightings take, at most")
    consent_text: str = Field(
        "",
        description="Text that people agree to when they are registered on the page, or the file that has it; the page "
        "asks for a tick, and it is recorded",
    )
    keep_activity: float = Field(30, ge=0, le=36500, description="Days that a server keeps who was seen when, at most")
    keep_activity_entries: int = Field(
        1_000_000, ge=1, le=100_000_000, description="Entries of who was seen when that a server keeps, at most"
    )
    keep_audit: float = Field(
        0, ge=0, le=36500, description="Days that a server keeps who did what to whom; 0: for ever"
    )
    keep_audit_entries: int = Field(
        0, ge=0, le=100_000_000, description="Entries of who did what to whom that a server keeps; 0: any number"
    )
    refresh: Literal["off", "suggest"] = Field(
        "off",
        description="suggest: propose new views of people who come to look different from their stored ones, by what "
        "cameras see of them; each waits for your yes (facepool suggestions)",
    )
    camera: tuple[str, ...] = Field(
        (),
        description="Camera that facepool serve watches: number or URL, after a name for people (Door=rtsp://...); may "
        "be repeated, in the environment one a line",
    )
    webhook: tuple[str, ...] = Field((), description="Address that each event is posted to; may be repeated")
    mqtt: tuple[str, ...] = Field(
        (), description="Broker that each event is published at: mqtt://user:password@host/prefix; may be repeated"
    )
    home_assistant: bool = Field(default=False, description="Announce cameras and people to Home Assistant, by --mqtt")
    discovery_prefix: str = Field("homeassistant", description="What Home Assistant listens below, at the broker")
    allow_origin: tuple[str, ...] = Field(
        (), description="Page of another site whose scripts may use the server, such as a dashboard; may be repeated"
    )
    allow_frame: tuple[str, ...] = Field(
        (), description="Page of another site that may show the server's page in a frame; may be repeated"
    )
    path_prefix: str = Field("", description="Path below which a proxy has the server, such as /faces")
    tls: Literal["off", "auto"] = Field(
        "off", description="auto: https, by a certificate that is made for this machine and kept beside the pool"
    )
    every: float | None = Field(
        None,
        ge=LEAST_EVERY_S,
        le=86400,
        description="Seconds between the pictures of a camera whose address serves one picture at a time; without it "
        "one is taken",
    )
    rotate: Rotation = Field(
        "0",
        description="Turn cameras, streams and videos clockwise by 90, 180 or 270 degrees, for a camera mounted on its "
        "side or overhead; auto finds out by the first faces",
    )

    frigate: str | None = Field(
        None, description="Name the people of Frigate's events, which come by --mqtt: its address, http://frigate:5000"
    )
    frigate_topic: str = Field("frigate", description="What Frigate calls topic_prefix: where it publishes")

    @field_validator("collection")
    @classmethod
    def _check_collection(cls, name: str) -> str:
        return check_collection(name)

    @field_validator("camera", mode="before")
    @classmethod
    def _split_cameras(cls, given: object) -> object:
        """Names of cameras have spaces."""
        return tuple(filter(None, map(str.strip, given.splitlines()))) if isinstance(given, str) else given

    @field_validator("webhook", "mqtt", "allow_origin", "allow_frame", mode="before")
    @classmethod
    def _split_addresses(cls, given: object) -> object:
        """In the environment several addresses stand in one text; no address has a space."""
        return tuple(given.split()) if isinstance(given, str) else given

    @field_validator("allow_origin", "allow_frame")
    @classmethod
    def _origins(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Browsers tell pages apart by scheme, host and port."""
        return tuple(map(_origin_of, addresses))

    @field_validator("path_prefix")
    @classmethod
    def _check_path(cls, prefix: str) -> str:
        if prefix.strip("/") and not prefix.startswith("/"):
            raise ValueError("it is no path; write it like /faces")
        return prefix.rstrip("/")

    @field_validator("discovery_prefix", "frigate_topic")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        if not prefix.strip("/") or any(mark in prefix for mark in "+#\0"):
            raise ValueError("it is no topic")
        return prefix.strip("/")

    @field_validator("pool", "key_file", "models_dir", "offline_dir")
    @classmethod
    def _expand_home(cls, path: PoolAddress | None) -> PoolAddress | None:
        """``~`` means the home folder here as it does in a shell; it stays for a user without one."""
        with suppress(RuntimeError):
            return path.expanduser() if isinstance(path, Path) else path
        return path

    @property
    def address(self) -> PoolAddress:
        """Where the people of the collection are kept; ``pool`` says where those of the default one are.

        Raises:
            ConfigError: A pool of that kind has no collections.
        """
        return collection_address(self.pool, self.collection)

    def detect_options(self) -> DetectOptions:
        """What counts as a face."""
        chosen = replace(DETECTOR_PRESETS[self.quality], threshold=self.detect_threshold)
        if self.detect_size is None:
            return chosen
        return replace(chosen, size=self.detect_size, second_size=None, closer_size=None)

    def capture_options(self, find_turn: MakeTurnFinder) -> CaptureOptions:
        """How videos, cameras and streams are opened.

        Args:
            find_turn: Makes what finds out by which turn a source shows faces upright, for ``rotate = "auto"``.
        """
        return turned(CaptureOptions(threads=self.threads, every_s=self.every), self.rotate, find_turn)

    def enroll_options(
        self,
        *,
        force: bool = False,
        keep_pictures: bool = False,
        appearance: str = "",
        partial: bool = False,
        live: bool = False,
        consent: Consent | None = None,
    ) -> EnrollOptions:
        """Which views are worth keeping."""
        return EnrollOptions(
            novelty=self.register_threshold,
            max_templates=self.max_templates,
            min_size_px=self.min_face,
            min_sharpness=self.min_sharpness,
            force=force,
            keep_pictures=keep_pictures,
            appearance=appearance,
            partial=partial,
            live=live,
            consent=consent,
        )

    def recognize_options(self) -> RecognizeOptions:
        """When a face is not named although somebody is near."""
        return RecognizeOptions(min_margin=self.min_margin)

    def search_choice(self) -> SearchChoice:
        """How the pool is searched."""
        return SearchChoice(self.search, self.exact, self.index)

    def live_options(self, *, keep_crops: bool = False, challenge: ChallengeOptions | None = None) -> LiveOptions:
        """When a face that moves is named, and what is spent on it.

        Args:
            keep_crops: Keep the best face of each track for its events.
            challenge: How it is asked to show that it is alive, where somebody sees what it is asked; None: it is not.
        """
        return LiveOptions(
            evidence=EvidenceOptions(min_frames=self.firm_frames),
            min_margin=self.min_margin,
            unknown_after_s=self.unknown_after,
            detect_every=self.detect_every,
            keep_crops=keep_crops,
            keep_faces=FACES_KEPT if self.keeps_faces else 0,
            challenge=challenge,
        )

    def keep_options(self) -> KeepOptions:
        """What is kept of who was seen."""
        bounds = InboxBounds(self.keep_days, self.keep_sightings, max(1, round(self.keep_mb * 1_000_000)))
        return KeepOptions(unknown=self.keep_unknown, recognized=self.keeps_recognized, bounds=bounds)

    def retention_limits(self) -> RetentionLimits:
        """How long what is kept stays that goes by itself."""
        return RetentionLimits(
            inbox_days=self.keep_days,
            inbox_sightings=self.keep_sightings,
            inbox_mb=self.keep_mb,
            activity_days=self.keep_activity,
            activity_entries=self.keep_activity_entries,
            audit_days=self.keep_audit,
            audit_entries=self.keep_audit_entries,
        )

    @property
    def keeps_recognized(self) -> bool:
        """Whether faces of people who are recognized are kept: for corrections, or to learn from."""
        return self.keep_recognized or self.refresh == "suggest"

    @property
    def keeps_faces(self) -> bool:
        """Whether faces of live recognition are kept at all."""
        return self.keep_unknown or self.keeps_recognized


def turned(options: CaptureOptions, rotate: Rotation, find_turn: MakeTurnFinder) -> CaptureOptions:
    """The same options with another rotation; ``find_turn`` is for ``auto``."""
    if rotate == "auto":
        return replace(options, rotate=0, find_turn=find_turn)
    return replace(options, rotate=_TURNS[rotate], find_turn=None)


def is_in_environment(name: str) -> bool:
    """Whether the environment says a setting, or in which file it is."""
    variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
    return not {variable, f"{variable}{_IN_FILE}"}.isdisjoint(key.upper() for key in os.environ)


def load_settings(flags: Mapping[str, Any], config: Path | None = None) -> Settings:
    """Build the settings.

    Args:
        flags: What the command line says, by name of the setting.
        config: TOML file; by default the user's, if there is one.

    Raises:
        PathMissing: The file was named and does not exist.
        ConfigError: A value cannot be used, or a key of the file is unknown.
    """
    if config is not None and not config.is_file():
        raise PathMissing(f"There is no settings file {config}", fix="Check --config")
    file = config or default_config()

    try:
        return Settings.model_validate(_from_file(file) | _from_environment() | dict(flags))
    except ValidationError as error:
        raise _explain(error, file) from error


def _from_file(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML", why=str(error), fix="Correct the file") from error
    return {key.lower(): value for key, value in given.items()}


def _from_environment() -> dict[str, Any]:
    """Case does not count, as in the file; variables that name no setting are somebody else's."""
    given = {key.upper(): value for key, value in os.environ.items()}
    names = {name: f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields}
    found: dict[str, Any] = {name: given[variable] for name, variable in names.items() if variable in given}
    for name, variable in names.items():
        in_file = f"{variable}{_IN_FILE}"
        if in_file not in given:
            continue
        if name in found:
            raise ConfigError(f"{variable} and {in_file} are set", fix="Leave one out")
        found[name] = read_secret(Path(given[in_file]), f"{in_file} names ")
    return found


def _explain(error: ValidationError, file: Path) -> ConfigError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, Settings.model_fields, n=1)
        known = f"Known settings: {', '.join(Settings.model_fields)}"
        return ConfigError(
            f"There is no setting {name!r} in {file}", fix=f"Perhaps {close[0]!r} is meant" if close else known
        )
    shown = mask_credentials(repr(first["input"]))  # addresses have passwords in them
    return ConfigError(
        f"The setting {name!r} cannot be {shown}",
        why=first["msg"].removeprefix(PYDANTICS_WORDS),
        fix=f"Change --{name.replace('_', '-')}, {ENVIRONMENT_PREFIX}{name.upper()} or {file}",
    )
