"""What commands have in common: options that are settings, and the parts that are made from the settings.

A command that takes some of the options gets a ``CommandContext`` as its first argument.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from facepool import extras
from facepool.bulk import LocalAnalysis, PictureAnalysis, RayJob, open_ray
from facepool.capture import mask_credentials
from facepool.cli.ui.console import Console
from facepool.config import ENVIRONMENT_PREFIX, Settings, default_config, is_in_environment, load_settings
from facepool.errors import ClusterFailed
from facepool.faces.analyze import Analyzer
from facepool.faces.load import AnalyzerRecipe, ModelChoice, load_analyzer
from facepool.files import in_a_home
from facepool.gallery import Pool, open_pool, with_key
from facepool.gallery.address import (
    EncryptedFile,
    PoolAddress,
    PostgresAddress,
    file_of,
    keyed,
    make_folder_of,
    pool_address,
)
from facepool.gallery.collections import DEFAULT, collection_address, has_collection, unknown_collection
from facepool.gallery.conversion import finish, is_unfinished
from facepool.gallery.index_address import IndexAddress, index_address
from facepool.gallery.keys import find_key, read_key_file
from facepool.gallery.notices import COMMAND_LINE
from facepool.models.catalog import ENSEMBLES, PACKS, EmbedderEntry, FmrCurve, ModelEntry, Progress, find_pack
from facepool.models.checkpoints import CHECKPOINT_SUFFIXES
from facepool.models.store import ModelStore, default_root
from facepool.search import choose, describe, keeping_image
from facepool.search.follower import IndexFollower
from facepool.search.index_status import lagging, record_of, still_there
from facepool.thresholds import ThresholdPolicy
from facepool.types import EmbeddingSpace, counted

Command = Callable[..., Any]
_Kind = type | click.Path | click.Choice[str] | Callable[[str], object]

MODELS = ("pack", "detector", "embedder", "precision", "device", "threads", "models_dir", "offline_dir")
DETECTION = ("quality", "detect_size", "detect_threshold")
DECISION = ("threshold", "target_fpir", "min_margin")
SEARCH = ("search", "exact")
LIVE = ("firm_frames", "unknown_after", "detect_every")
KEEPING = ("keep_unknown", "keep_recognized", "keep_days", "keep_sightings", "keep_mb", "refresh")
KEEPING_LOGS = ("keep_activity", "keep_activity_entries", "keep_audit", "keep_audit_entries")
SERVING = ("allow_origin", "allow_frame", "path_prefix", "tls", "consent_text")
EVENTS = ("webhook", "mqtt", "home_assistant", "discovery_prefix")
FRIGATE = ("frigate", "frigate_topic")
REGISTRATION = ("register_threshold", "max_templates", "min_face", "min_sharpness")

_METAVARS = {
    "detect_every": "auto|K",
    "collection": "NAME",
    "camera": "[NAME=]SOURCE",
    "pool": "POOL",
    "index": "ADDRESS",
    "ray": "ADDRESS",
}
_ADDRESSES = ("pool", "index", "camera", "webhook", "mqtt", "frigate")
"""Settings that may have a password in them."""
_ELSEWHERE = {"pool": ", or leave the password out and keep it in ~/.pgpass, or in the file that PGPASSFILE names,"}
_SHORT = {"pool": "-p", "threshold": "-t"}


class CommandContext:
    """Settings, console, models, analyzer and pool of one command, each made when it is first needed.

    Args:
        given: What the command line says of the settings; what is not in it, the environment and the file say.

    Attributes:
        given: As above; options add to it.
        config: The settings file that was named.
        json_lines: Print results for programs.
        accept_licence: The user has said that they accept terms that restrict use.
        ids_path: Where the names of a ``.npy`` pool are, if not beside it.
        is_quiet: Make no remarks: another process makes the same.
        computes_elsewhere: The analyzer of this process only says which space is used; others find the faces.
    """

    def __init__(self, given: Mapping[str, object] | None = None) -> None:
        self.given = dict(given or {})
        self.config: Path | None = None
        self.json_lines = False
        self.accept_licence = False
        self.ids_path: Path | None = None
        self.is_quiet = False
        self.computes_elsewhere = False
        self._warned: set[str] = set()

    def __getstate__(self) -> dict[str, object]:
        """What another process needs to do the same: the settings, but networks, console and pool it makes itself."""
        settings = self.settings
        made = {name for name, part in vars(CommandContext).items() if isinstance(part, cached_property)}
        return {name: value for name, value in vars(self).items() if name not in made} | {"settings": settings}

    def for_collection(self, name: str) -> "CommandContext":
        """The same command for another collection of the pool."""
        other = CommandContext(self.given | {"collection": name})
        other.config, other.json_lines, other.ids_path = self.config, self.json_lines, self.ids_path
        other.accept_licence, other.is_quiet, other.console = self.accept_licence, self.is_quiet, self.console
        other._warned = self._warned
        if "gallery_address" in self.__dict__:  # a keyring may ask the user each time
            other.gallery_address = self.gallery_address
        return other

    @cached_property
    def settings(self) -> Settings:
        """The settings, with what the command line says of them."""
        return load_settings(self.given, self.config)

    @cached_property
    def console(self) -> Console:
        """Where results and remarks go."""
        return Console(json_lines=self.json_lines, is_quiet=self.is_quiet)

    @cached_property
    def analyzer(self) -> Analyzer:
        """The networks; says what they run on."""
        settings = self.settings
        with self.console.downloads() as progress:
            analyzer = load_analyzer(
                self._model_choice,
                device="cpu" if self.computes_elsewhere else settings.device,
                threads=settings.threads,
                detect=settings.detect_options(),
                store=self.store(progress),
            )
        if not self.computes_elsewhere:
            self.console.note(f"Running on {analyzer.runs_on}")
        return analyzer

    @property
    def _model_choice(self) -> ModelChoice:
        settings = self.settings
        return ModelChoice(settings.pack, settings.detector, settings.embedder, settings.precision)

    @contextmanager
    def picture_analysis(self, *, aligned: bool = False) -> Iterator[PictureAnalysis]:
        """What finds the faces of many pictures: this process, or the cluster of ``--ray``.

        Args:
            aligned: Whether faces keep their pixels.

        Raises:
            ClusterUnreachable: Nobody answers there.
            ClusterFailed: It cannot do the work.
        """
        settings = self.settings
        if settings.ray is None:
            yield LocalAnalysis(self.analyzer, aligned=aligned)
            return
        self.computes_elsewhere = True
        threads = settings.threads or 1
        models_dir, offline_dir = (
            None if folder is None else folder.absolute() for folder in (settings.models_dir, settings.offline_dir)
        )
        recipe = AnalyzerRecipe(
            self._model_choice, settings.device, threads, settings.detect_options(), models_dir, offline_dir
        )
        on_gpu = settings.device not in ("auto", "cpu")
        space = self.analyzer.space
        job = RayJob(settings.ray, recipe, space, threads, int(on_gpu), aligned=aligned, on_lost=self._end_without_ray)
        with open_ray(job) as analysis:
            self.console.note(f"Running on {analysis.runs_on}")
            yield analysis
            if len(analysis.kinds) > 1:
                self.console.note(
                    "The machines of the cluster compute in different ways, so the last digits of vectors depend on "
                    f"which machine had a picture: {'; '.join(sorted(analysis.kinds))}"
                )

    def _end_without_ray(self, error: ClusterFailed) -> None:
        """Say what happened and end the process, as it would end if it were killed: what it has kept is kept."""
        self.console.fail(error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.exit_code)

    @cached_property
    def policy(self) -> ThresholdPolicy:
        """How thresholds are chosen; a pool's own calibration speaks for its target unless the user sets another."""
        settings = self.settings
        target_fpir = settings.target_fpir if "target_fpir" in settings.model_fields_set else None
        return ThresholdPolicy(self.analyzer.fmr, target_fpir, settings.threshold)

    def policy_of(self, pool: Pool) -> ThresholdPolicy:
        """The same for faces that a pool has already, without loading networks."""
        settings = self.settings
        target_fpir = settings.target_fpir if "target_fpir" in settings.model_fields_set else None
        return ThresholdPolicy(self.curve_of(pool), target_fpir, settings.threshold)

    def curve_of(self, pool: Pool) -> FmrCurve | None:
        """How similar strangers get in a pool; None: nobody has measured its model."""
        embedder = self.store().embedder_of_space(pool.space) if pool.space else None
        return embedder.fmr if embedder else None

    @property
    def models_in_use(self) -> list[str]:
        """The names of the networks: the detector's first, then those of the embedder; paths of checkpoints."""
        embedder = self._named_embedder
        if Path(embedder).suffix in CHECKPOINT_SUFFIXES:
            return [self.detector_in_use, embedder]
        return [self.detector_in_use, *(network.name for network in self.embedder_in_use.networks)]

    @property
    def detector_in_use(self) -> str:
        """The name of the detector, or the path of a checkpoint."""
        return self.settings.detector or find_pack(self.settings.pack).detector

    @property
    def embedder_in_use(self) -> EmbedderEntry:
        """What embeds faces.

        Raises:
            UnknownModel: There is none of that name, which may be the path of a checkpoint.
        """
        return self.store().embedder(self._named_embedder)

    @property
    def _named_embedder(self) -> str:
        return self.settings.embedder or find_pack(self.settings.pack).embedder

    @cached_property
    def pool_address(self) -> PoolAddress:
        """Where the people of the collection are kept."""
        return collection_address(self.gallery_address, self.settings.collection)

    @cached_property
    def gallery_address(self) -> PoolAddress:
        """Where the pool with all of its collections is: the address of the default one, with its key if it has one.

        Raises:
            KeyUnusable: The key cannot be read where it is said to be.
            ConfigError: A key file was named for a pool in a database.
        """
        pool, key_file = self.settings.pool, self.settings.key_file
        self._warn_of("pool")
        self._warn_of("index")
        if isinstance(pool, EncryptedFile):
            return pool
        if isinstance(pool, PostgresAddress):
            return pool if key_file is None else with_key(pool, read_key_file(key_file))
        path = self.path_of_pool
        found = find_key(path, key_file)
        return keyed(path, None if found is None else found.key)

    @cached_property
    def path_of_pool(self) -> Path:
        """The file of a pool that is in one; a conversion of it that was interrupted is brought to its end."""
        path = file_of(self.settings.pool)
        if path is None:
            raise TypeError("a pool in a database")
        path = in_a_home(path, "FACEPOOL_POOL")
        if is_unfinished(path):
            finish(path)
            self.console.note(f"Encrypting or decrypting {path} was interrupted; what was left to be done is done now")
        return path

    def put_key_into_settings(self) -> None:
        """From here on the settings, which a server is given for example, have the key of the pool with its address."""
        self.settings = self.settings.model_copy(update={"pool": self.gallery_address})

    def make_folder(self) -> None:
        """Make the folder of a pool that is a file; that of its collections is made with the first of them."""
        if file_of(self.gallery_address) is not None:
            make_folder_of(self.gallery_address)

    def store(self, progress: Progress = lambda _name, _done, _total: None) -> ModelStore:
        """Where models are kept; downloads are reported to ``progress``."""
        return ModelStore(
            self.settings.models_dir or default_root(),
            offline_dir=self.settings.offline_dir,
            progress=progress,
            accept_licence=self._ask_for_licence,
        )

    def space_in_use(self) -> EmbeddingSpace:
        """The space of the embedder in use, without loading it."""
        return self.embedder_in_use.space

    def open_pool(self, space: EmbeddingSpace | None = None, *, must_exist: bool = True) -> Pool:
        """The pool of the settings; passes its remarks on.

        Raises:
            UnknownCollection: It has no such collection, and that must exist.
            PathMissing: It must exist and does not.
        """
        collection = self.settings.collection
        if not must_exist:
            self.make_folder()
        if collection != DEFAULT and not has_collection(self.gallery_address, collection):
            if must_exist:
                raise unknown_collection(self.gallery_address, collection)
            self.console.note(f"The collection {collection} is new: it is made as soon as somebody is stored")
        address = self.pool_address
        if isinstance(address, EncryptedFile) and not must_exist and not address.path.exists():
            self.console.note(
                f"{address} is new and will be encrypted: if you lose the key, you lose the pool. Keep a copy"
            )
        pool = open_pool(address, space, ids_path=self.ids_path, must_exist=must_exist)
        choose(pool, self.settings.search_choice())
        for remark in pool.notes:
            self.console.note(remark)
        return pool

    def say_how_searched(self, pool: Pool) -> None:
        """Say where a pool is searched, if there is a choice."""
        if words := describe(pool):
            self.console.note(f"The pool is {words}")

    @contextmanager
    def changing_pool(self, space: EmbeddingSpace | None = None, *, must_exist: bool = True) -> Iterator[Pool]:
        """The pool for a command that changes it; the logs of a server that has worked on it are told, too."""
        opened = self.open_pool(space, must_exist=must_exist)
        with opened as pool, keeping_image(pool), self.noting(pool), self.following(pool):
            yield pool

    @contextmanager
    def following(self, pool: Pool) -> Iterator[None]:
        """Changes inside the block go to the index of a pool at once; what one does not have of them is said."""
        address, before = self.settings.index, pool.changes_made
        follower = None if address is None else IndexFollower(record_of(pool), address)
        yield
        if pool.changes_made == before:
            return
        if follower is not None and (follower.problem is not None or follower.is_waiting):
            follower.catch_up()
        if follower is not None and follower.words:
            self.console.note(follower.words)
        left = still_there(pool)
        for place in lagging(pool):
            if address is None or place != address.place:
                gone = left.get(place, 0)
                erased = f" {counted(gone, 'template')} that left the pool may still be in it." if gone else ""
                self.console.note(
                    f"The index at {place} does not have this change: --index does not name it.{erased} Run: facepool "
                    "index sync --index ADDRESS"
                )

    @contextmanager
    def noting(self, pool: Pool) -> Iterator[None]:
        """Changes inside the block are told to the logs of a server that has worked on a pool."""
        if not pool.has_logs:  # nobody would ever read the notices
            pool.wipe()  # what an earlier command could not
            yield
            return
        try:
            with pool.noting(COMMAND_LINE):
                yield
        finally:
            if pool.owed():
                self._settle(pool)

    def _settle(self, pool: Pool) -> None:
        """Do what changes have promised; without what a server takes, its next start does."""
        if extras.missing("server"):
            pool.wipe()
            return
        from facepool.web.services.settling import settle_once  # noqa: PLC0415 -- only where there was a server

        for note in settle_once(pool):
            self.console.note(note)

    def warn_of_passwords(self, *sources: str) -> None:
        """Say which arguments other users of this machine can read, in the list of processes.

        Args:
            sources: Addresses that were named where no setting is.
        """
        for name in _ADDRESSES:
            self._warn_of(name)
        if any(map(_has_secret, sources)):
            self._warn_of_process_list("source", "")

    def warn_of_pool(self, pool: PoolAddress) -> None:
        """Say so if other users of this machine can read the password of a pool that is an argument."""
        if _has_secret(pool):
            self.console.note(
                f"Other users of this machine can read the password of {pool}, in the list of processes. Leave it out "
                "and keep it in ~/.pgpass, or in the file that PGPASSFILE names"
            )

    def _warn_of(self, name: str) -> None:
        """Say, once, who else can read the password in a setting."""
        if name in self._warned or not any(map(_has_secret, _texts(getattr(self.settings, name)))):
            return
        self._warned.add(name)
        file = self.config or default_config()
        if name in self.given:
            self._warn_of_process_list(name, f", or {name} in {file}{_ELSEWHERE.get(name, '')}")
        elif not is_in_environment(name):
            self._warn_of_file(file)

    def _warn_of_process_list(self, option: str, elsewhere: str) -> None:
        self.console.note(
            f"Other users of this machine can read the password in --{option}, in the list of processes. Set "
            f"{ENVIRONMENT_PREFIX}{option.upper()}{elsewhere} in its place"
        )

    def _warn_of_file(self, file: Path) -> None:
        if os.name != "nt" and stat.S_IMODE(file.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH):
            self.console.note(f"Other users of this machine can read the password in {file}. Run: chmod 600 {file}")

    def _ask_for_licence(self, entry: ModelEntry) -> bool:
        if self.accept_licence:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        self.console.note(f"{entry.name}: {entry.licence.name}. {entry.licence.summary} {entry.licence.url}")
        return click.confirm("Do you accept these terms?", default=False, err=True)


pass_context = click.make_pass_decorator(CommandContext, ensure=True)


def settings_options(*names: str, whole_pool: bool = False) -> Callable[[Command], Command]:
    """Add ``--config`` and an option for each of some settings, with the setting's words and default, in this order.

    Args:
        names: Of the settings. A command that takes ``pool`` takes ``key_file``, ``collection`` and ``index``, too.
        whole_pool: The command is about the pool with all of its collections, and takes none.
    """
    if "pool" in names:
        place = names.index("pool") + 1
        of_collection = () if whole_pool else ("collection", "index")
        names = (*names[:place], "key_file", *of_collection, *names[place:])

    def decorate(command: Command) -> Command:
        decorated = _config_option(pass_context(command))
        for name in reversed(names):
            decorated = _option(name, Settings.model_fields[name])(decorated)
        return decorated

    return decorate


def keep_setting(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Callback of an option that has the name of a setting."""
    if value is not None and value != () and parameter.name is not None:
        context.ensure_object(CommandContext).given[parameter.name] = value


def keep_attribute(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Callback of an option that has the name of an attribute of the context."""
    if parameter.name is not None:
        setattr(context.ensure_object(CommandContext), parameter.name, value)


def members(names: Sequence[str]) -> list[str]:
    """The networks of packs, ensembles and networks by name, each once."""
    packs = [(PACKS[name].detector, PACKS[name].embedder) if name in PACKS else (name,) for name in names]
    parts = [
        [network for network, _ in ENSEMBLES[name].parts] if name in ENSEMBLES else [name]
        for pack in packs
        for name in pack
    ]
    return list(dict.fromkeys(name for part in parts for name in part))


_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=keep_attribute,
    help="Settings file in TOML; by default the user's own. FACEPOOL_<OPTION> in the environment works too.",
)
json_option = click.option(
    "--json",
    "json_lines",
    is_flag=True,
    expose_value=False,
    callback=keep_attribute,
    help="Print one JSON object a line, for programs.",
)
licence_option = click.option(
    "--accept-licence",
    is_flag=True,
    expose_value=False,
    callback=keep_attribute,
    help="Accept terms that restrict the use of a model.",
)


def _texts(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value or "",)


def _has_secret(address: object) -> bool:
    if isinstance(address, PostgresAddress | IndexAddress):
        return address.has_secret
    return mask_credentials(str(address)) != str(address)


def _option(name: str, setting: FieldInfo) -> Callable[[Command], Command]:
    dashed = name.replace("_", "-")
    flags = [f"--{dashed}/--no-{dashed}" if setting.annotation is bool else f"--{dashed}"]
    if name in _SHORT:
        flags.insert(0, _SHORT[name])
    unset = setting.default_factory or setting.default in (None, (), False, "")
    default = "" if unset else f"  [{setting.default}]"
    repeated = setting.annotation == tuple[str, ...]
    return click.option(
        *flags,
        name,
        type=_kind(setting),
        multiple=repeated,
        metavar=_METAVARS.get(name, "URL" if repeated else None),
        default=None,
        expose_value=False,
        callback=keep_setting,
        help=f"{setting.description}.{default}",
    )


def _kind(setting: FieldInfo) -> _Kind:
    if setting.annotation == Settings.model_fields["pool"].annotation:
        return pool_address
    if setting.annotation == Settings.model_fields["index"].annotation:
        return index_address
    if setting.annotation in (Path, Path | None):
        return click.Path(path_type=Path)
    if get_origin(setting.annotation) is Literal:
        return click.Choice(get_args(setting.annotation))
    if setting.annotation in (tuple[str, ...], Settings.model_fields["detect_every"].annotation):
        return str
    for kind in (bool, float, int, str):
        if setting.annotation in (kind, kind | None):
            return kind
    raise TypeError(f"a setting of type {setting.annotation} has no option")
