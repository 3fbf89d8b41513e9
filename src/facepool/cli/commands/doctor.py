"""``facepool doctor``."""

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import click
from rich.text import Text

import facepool
from facepool import extras
from facepool.cli.context import MODELS, CommandContext, json_option, settings_options
from facepool.cli.ui.console import people_count
from facepool.errors import FacepoolError
from facepool.gallery import PostgresAddress
from facepool.gallery.address import file_of, key_of
from facepool.gallery.collections import collections_in
from facepool.gallery.index_address import IndexAddress
from facepool.gallery.schema import copies_of
from facepool.models.catalog import BETTER_PACK, DEFAULT_PACK, PACKS, find_pack
from facepool.optimize.advice import advise
from facepool.runtime import Device, Runtime, default_cache, default_threads, installed_engines
from facepool.search import describe, index_status
from facepool.types import counted
from facepool.window import check_display

UNFIT = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination.

    Attributes:
        subject: What was looked at.
        finding: What was found.
        healthy: False where something that facepool needs does not work.
    """

    subject: str
    finding: str
    healthy: bool = True


@click.command()
@settings_options("pool", "search", *MODELS)
@json_option
def doctor(context: CommandContext) -> int:
    """Say what this machine can do, and what is missing; exit code 6 if something that is needed does not work."""
    findings = list(_examine(context))
    entries = [(asdict(f), (f.subject, Text(f.finding, style="" if f.healthy else "red"))) for f in findings]
    context.console.results(("", ""), entries)
    return 0 if all(finding.healthy for finding in findings) else UNFIT


def _examine(context: CommandContext) -> Iterator[Finding]:
    yield Finding("facepool", facepool.__version__)
    yield Finding("Python", f"{sys.version.split()[0]} on {platform.system()} {platform.machine()}")
    for engine in installed_engines():
        yield Finding(engine.name, f"{engine.version}, runs on {', '.join(engine.devices)}")
    yield _examined("device", context, _device)
    yield from _models(context)
    yield _examined("8 bits", context, _eight_bits)
    pool = _examined("pool", context, _pool)
    yield pool
    in_database = isinstance(context.settings.pool, PostgresAddress)
    if pool.healthy and in_database:  # else the same is wrong with both
        yield _examined("PostgreSQL", context, _postgres)
    if pool.healthy and context.settings.index is not None:
        yield _index(context, context.settings.index)
    if pool.healthy:
        yield from _other_indexes(context)
    if pool.healthy or not in_database:
        yield from _collections(context)
    yield _display()
    for extra in extras.EXTRAS:
        found = f"not installed: {extras.command(extra)}" if extras.missing(extra) else "installed"
        yield Finding(f"facepool[{extra}]", found)


def _examined(subject: str, context: CommandContext, examine: Callable[[CommandContext], str]) -> Finding:
    try:
        return Finding(subject, examine(context))
    except FacepoolError as error:
        return Finding(subject, str(error), healthy=False)


def _device(context: CommandContext) -> str:
    settings = context.settings
    if set(context.models_in_use) <= {model.entry.name for model in context.store().installed()}:
        threads = settings.threads or default_threads()
        return f"{settings.device}: {context.analyzer.runs_on}, {threads} CPU threads"
    Runtime(Device.parse(settings.device), settings.threads)
    return f"{settings.device}: installed; whether it works shows when models are here"


def _models(context: CommandContext) -> Iterator[Finding]:
    store = context.store()
    try:
        names = context.models_in_use
    except FacepoolError as error:
        yield Finding("models", str(error), healthy=False)
        return
    here = {model.entry.name for model in store.installed()}
    problems = {verdict.entry.name: verdict.problem for verdict in store.verify() if verdict.problem}
    for name in names:
        if name in problems:
            yield Finding(name, f"damaged: {problems[name]}; fetch it again: facepool models pull", healthy=False)
        else:
            yield Finding(name, "here, verified" if name in here else "not here yet: facepool models pull")
    if context.models_in_use[1:] == [find_pack(DEFAULT_PACK).embedder]:
        yield Finding(f"pack {BETTER_PACK}", _better_pack(context, here))


def _eight_bits(context: CommandContext) -> str:
    """Whether ``facepool models optimize`` is worth it on this processor."""
    settings, store = context.settings, context.store()
    entries = [entry for name, entry in store.entries().items() if name in context.models_in_use]
    if settings.precision != "float32" and entries and all(store.optimized.known(entry) for entry in entries):
        return "made by facepool models optimize, and used"
    advice = advise(Runtime(Device.parse(settings.device), settings.threads, default_cache()))
    if advice.share is None:
        return f"not worth making: {advice.why}"
    return f"facepool models optimize: a face then takes about {advice.share:.0%} of its time now ({advice.why})"


def _better_pack(context: CommandContext, here: set[str]) -> str:
    """What would be more accurate than the default, and what has to be done for it."""
    store, pack = context.store(), PACKS[BETTER_PACK]
    missing = [network for network in store.embedder(pack.embedder).networks if network.name not in here]
    use = f"Use it with --pack {BETTER_PACK}; `facepool people reembed` takes a pool there"
    if not missing:
        return f"here. {pack.description} {use}"
    size = sum(network.whole_size_bytes or 0 for network in missing) / 1e6
    terms = ", ".join(dict.fromkeys(network.licence.name for network in missing))
    pull = f"facepool models pull {BETTER_PACK} ({size:.1f} MB, {terms})"
    return f"not here: {pull}. {pack.description} {use}"


def _pool(context: CommandContext) -> str:
    address = context.pool_address
    file = file_of(address)
    if file is not None and not file.exists():
        return f"{address}: not there yet: facepool register NAME"
    with context.open_pool(must_exist=file is not None) as pool:
        copies = copies_of(file) if file is not None else ()
        kept = "".join(f"; {copy.name} is the pool as it was before an update" for copy in copies)
        searched = f"; {words}" if (words := describe(pool)) else ""
        key = key_of(address)
        locked = "" if key is None else f"; encrypted, with the key of the fingerprint {key.fingerprint}"
        return f"{address}: {people_count(pool.size().people)}, {pool.space or 'space unknown'}{locked}{kept}{searched}"


def _collections(context: CommandContext) -> Iterator[Finding]:
    """Those beside the one that is looked at; each can be damaged for itself."""
    try:
        names = collections_in(context.gallery_address)
    except FacepoolError:  # the key cannot be read: said of the pool
        return
    for name in names:
        if name != context.settings.collection:
            yield _examined(f"collection {name}", context.for_collection(name), _pool)


def _postgres(context: CommandContext) -> str:
    extras.require("postgres")
    from facepool.gallery.postgres import PostgresGallery  # noqa: PLC0415 -- of an extra

    with context.open_pool(must_exist=False) as pool:
        if not isinstance(pool, PostgresGallery):
            raise TypeError("addresses of PostgreSQL are opened as what they are")
        return pool.about_server()


def _index(context: CommandContext, address: IndexAddress) -> Finding:
    """Whether the index beside the pool answers and has everything; without it, the pool is searched all the same."""
    try:
        extras.require("milvus")
        with context.open_pool(must_exist=False) as pool:
            found = index_status.status(pool, address)
    except FacepoolError as error:
        return Finding("index", str(error), healthy=False)
    if found.problem is not None:
        return Finding("index", str(found.problem), healthy=False)
    if found.is_current:
        return Finding("index", f"{address}: has what the pool has, {counted(found.templates, 'view')}")
    left = f"{counted(found.to_put, 'view')} to be stored, {found.to_remove} to be removed"
    return Finding("index", f"{address}: does not have what the pool has, {left}: facepool index sync")


def _other_indexes(context: CommandContext) -> Iterator[Finding]:
    """Indexes of the pool that --index does not name: nobody brings them up to date who is started like this."""
    address = context.settings.index
    with context.open_pool(must_exist=False) as pool:
        places, left = index_status.places_of(pool), index_status.still_there(pool)
    for place in places:
        if address is not None and address.place == place:
            continue
        gone = f", {counted(left[place], 'template')} that left the pool may still be in it" if place in left else ""
        yield Finding("index", f"{place}: --index does not name it{gone}", healthy=place not in left)


def _display() -> Finding:
    try:
        check_display()
    except FacepoolError as error:
        return Finding("display", f"none, so no window: {error.why or error.what} (everything else works)")
    return Finding("display", "there is one")
