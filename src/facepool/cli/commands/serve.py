"""``facepool serve``."""

import socket
import ssl
import sys
import webbrowser
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from facepool.cli.context import (
    DECISION,
    DETECTION,
    EVENTS,
    FRIGATE,
    KEEPING,
    KEEPING_LOGS,
    LIVE,
    MODELS,
    REGISTRATION,
    SEARCH,
    SERVING,
    CommandContext,
    licence_option,
    settings_options,
)
from facepool.cli.main import guarded, set_up_log
from facepool.cli.signals import leave_no_core
from facepool.cli.ui.console import Console
from facepool.config import Settings
from facepool.errors import ConfigError, PathMissing
from facepool.gallery.address import PoolAddress, PostgresAddress, key_of, make_folder_of
from facepool.gallery.collections import has_collection, unknown_collection
from facepool.runtime import work_side_by_side
from facepool.threads import default_threads
from facepool.web.allocator import keep_heaps_small
from facepool.web.app import create_app
from facepool.web.certificates import (
    KeptCertificate,
    addresses_in_network,
    certificate_beside,
    keep_certificate,
    names_of_machine,
)
from facepool.web.middleware import Deployment
from facepool.web.middleware.authentication import is_loopback
from facepool.web.middleware.bounds import DEADLINE_S, MOST_BYTES
from facepool.web.middleware.proxies import prefix_of
from facepool.web.server import bind, run
from facepool.web.services import ServerOptions, assemble
from facepool.web.services.keys import Keys
from facepool.web.services.limits import REQUESTS, Limits
from facepool.web.services.store import open_store
from facepool.web.workers import News, Place, Workers

_MIB = 1024 * 1024
_ALL = ("0.0.0.0", "::")  # noqa: S104 -- it is only asked whether a host is that
_MOST_SHOWN = 3
_MOST_WORKERS = 64
_LEAST_DECODERS, _MOST_DECODERS = 2, 4
"""Processes that decode pictures, of each of several workers."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--tls-certificate", type=click.Path(path_type=Path), help="Certificate chain in PEM, for https.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key, if it is not in the same file.")
@click.option("--require-keys", is_flag=True, help="Ask for an API key on the loopback, too.")
@click.option(
    "--proxy", "proxies", multiple=True, help="Address of a proxy whose X-Forwarded-... headers count; repeatable."
)
@click.option("--rate-limit", default=REQUESTS, show_default=True, help="How often one client may ask.")
@click.option(
    "--max-request", type=click.IntRange(min=1), default=MOST_BYTES // _MIB, show_default=True, help="In MiB."
)
@click.option(
    "--request-timeout", type=click.FloatRange(min=1), default=DEADLINE_S, show_default=True, help="In seconds."
)
@click.option(
    "--workers",
    type=click.IntRange(1, _MOST_WORKERS),
    default=1,
    show_default=True,
    help="Processes that serve together and share out cores and cameras; for a pool in PostgreSQL.",
)
@click.option(
    "--open-collections",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Collections that may be open at once; each takes memory for its people. See facepool pool collections.",
)
@click.option("--open/--no-open", "open_browser", default=False, help="Open the page in the browser.")
@licence_option
@settings_options(
    "pool",
    "camera",
    *SERVING,
    "rotate",
    "every",
    *EVENTS,
    *FRIGATE,
    *MODELS,
    *DETECTION,
    *DECISION,
    *SEARCH,
    *LIVE,
    "require_live",
    *KEEPING,
    *KEEPING_LOGS,
    *REGISTRATION,
)
def serve(
    context: CommandContext,
    host: str,
    port: int,
    tls_certificate: Path | None,
    tls_key: Path | None,
    require_keys: bool,
    proxies: tuple[str, ...],
    rate_limit: str,
    max_request: int,
    request_timeout: float,
    open_collections: int,
    open_browser: bool,
    workers: int,
) -> int:
    """Serve the page, the REST interface and the interface of CompreFace, for this machine or others.

    \b
    facepool serve --open                          for this machine: no key is needed
    facepool keys add Me --role admin              then, for others:
    facepool serve --host 0.0.0.0 --tls auto       so that phones give the page their camera
    facepool serve --host 0.0.0.0 --tls-certificate cert.pem --tls-key key.pem
    facepool serve --workers 4 --pool postgresql://facepool@db/faces

    All collections of the pool are served. --collection says which is meant by requests that name none and whose key
    is bound to none; --camera and --frigate are that one's.
    """
    context.put_key_into_settings()
    settings, console = context.settings, context.console
    _check_workers(workers, settings.pool)
    context.make_folder()
    context.warn_of_passwords()
    local = is_loopback(host)
    if not local:
        _check_keys(settings.pool, host)
    own = _keep_certificate(settings, host, tls_certificate)
    certificate = own.path if own is not None else _check_certificate(tls_certificate, tls_key)
    Limits(rate_limit)  # of the workers, each makes one of its own
    plan = _Plan(
        deployment=_deployment(settings, proxies, insist_on_tls=own is None),
        certificate=certificate,
        tls_key=tls_key,
        keys_always=require_keys or not local,
        rate_limit=rate_limit,
        most_bytes=max_request * _MIB,
        deadline_s=request_timeout,
        workers=workers,
        most_collections=open_collections,
    )
    _check_collection(settings)
    with closing(bind(host, port)) as listener:
        address, *others = _addresses(host, listener.getsockname()[1], secure=certificate is not None)

        def started(news: News) -> None:
            console.say(f"facepool is at {address}")
            if others:
                console.note(f"In the network it is at {', '.join(others)}")
            how = ", encrypted" if key_of(settings.pool) is not None else ""
            console.note(f"People are kept in {settings.pool}{how}. Ctrl-C ends.")
            if settings.allow_origin and not news["keys_required"]:
                console.note(
                    f"Scripts of {', '.join(settings.allow_origin)} may do everything, because no key is needed: "
                    "use --require-keys"
                )
            if own is not None:
                _tell_of_certificate(own, console)
            elif not local and certificate is None:
                console.note(
                    "Without TLS, keys and pictures can be read on the way, and browsers give no camera to the page, "
                    "except that of this machine: use --tls auto, --tls-certificate, or a proxy that does"
                )
            if open_browser:
                webbrowser.open(address)

        if workers > 1:
            work = partial(_work, context, plan, click.get_current_context().find_root().params.get("verbose", 0))
            return Workers(work, listener, workers, started).run()
        _serve(context, plan, listener, started)
    return 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a server is to know beside the settings, in whatever process it runs."""

    deployment: Deployment
    certificate: Path | None
    tls_key: Path | None
    keys_always: bool
    rate_limit: str
    most_bytes: int
    deadline_s: float
    workers: int
    most_collections: int


def _serve(context: CommandContext, plan: _Plan, listener: socket.socket, started: Callable[[News], None]) -> None:
    """Serve in this process until it is asked to end."""
    keep_heaps_small()
    share = default_threads() // plan.workers
    options = ServerOptions(
        keys_always=plan.keys_always,
        pinned=frozenset(context.given),
        models=tuple(map(context.store().resolve, context.models_in_use)),
        limits=Limits(plan.rate_limit),
        decoders=None if plan.workers == 1 else max(_LEAST_DECODERS, min(share, _MOST_DECODERS)),
        workers=plan.workers,
        most_collections=plan.most_collections,
    )
    analyzer = context.analyzer
    work_side_by_side()
    services = assemble(context.settings, analyzer, options)
    app = create_app(services, most_bytes=plan.most_bytes, deadline_s=plan.deadline_s, deployment=plan.deployment)
    if context.settings.camera or context.settings.frigate:
        with app.state.collections.using(context.settings.collection) as meant:
            for camera in context.settings.camera:
                meant.cameras.add(*_source_and_name(camera))
    run(
        app,
        listener,
        lambda: started({"keys_required": services.keys.required}),
        tls_certificate=plan.certificate,
        tls_key=plan.tls_key,
        proxies=plan.deployment.proxies,
    )


def _work(context: CommandContext, plan: _Plan, verbose: int, place: Place) -> int:
    """Serve as one of several workers, with its share of the threads, in a process of its own."""
    leave_no_core()
    set_up_log(verbose)
    threads = max(1, (context.settings.threads or default_threads()) // plan.workers)
    context.settings = context.settings.model_copy(update={"threads": threads})
    context.is_quiet = not place.is_first
    return guarded(lambda: _serve(context, plan, place.listener, place.news.send), context.console)


def _check_workers(workers: int, pool: PoolAddress) -> None:
    if workers == 1:
        return
    if not isinstance(pool, PostgresAddress):
        raise ConfigError(
            f"{workers} workers cannot share {pool}",
            why="a pool in a file is served by one process; several meet in a database",
            fix="Name one, --pool postgresql://user@host/database, or leave out --workers",
        )
    if sys.platform == "win32":
        raise ConfigError(
            f"{workers} workers cannot share a port on Windows",
            why="its processes have no socket in common",
            fix="Leave out --workers, or start several servers with a --port each",
        )


def _check_collection(settings: Settings) -> None:
    """Refuse a word that is no collection, before anything is loaded."""
    if not has_collection(settings.pool, settings.collection):
        raise unknown_collection(settings.pool, settings.collection)


def _source_and_name(camera: str) -> tuple[str, str]:
    """What ``Front door=rtsp://door/1`` says; addresses and files may have a ``=`` of their own."""
    name, separator, source = camera.partition("=")
    if not separator or any(mark in name for mark in ":/?") or Path(camera).exists():
        return camera, ""
    return source.strip(), name.strip()


def _deployment(settings: Settings, proxies: tuple[str, ...], *, insist_on_tls: bool) -> Deployment:
    """What stands between the server and those who use it."""
    if settings.path_prefix != prefix_of(settings.path_prefix):
        raise ConfigError(
            f"The server cannot be below {settings.path_prefix}",
            why="it is no path, or paths of the server itself begin so",
            fix="Choose another --path-prefix, such as /faces",
        )
    return Deployment(
        origins=settings.allow_origin,
        frames=settings.allow_frame,
        proxies=proxies,
        path_prefix=settings.path_prefix,
        insist_on_tls=insist_on_tls,
    )


def _check_keys(pool: PoolAddress, host: str) -> None:
    with closing(open_store(pool)) as store:
        if not Keys(store).required:
            raise ConfigError(
                f"The server cannot listen on {host} yet",
                why="others than this machine need a key there, and no administrator has one",
                fix="Make one: facepool keys add NAME --role admin",
            )


def _keep_certificate(settings: Settings, host: str, given: Path | None) -> KeptCertificate | None:
    """This machine's own, for ``--tls auto``."""
    if settings.tls == "off":
        return None
    if given is not None:
        raise ConfigError("--tls auto and --tls-certificate are given", fix="Leave one out")
    make_folder_of(settings.pool)
    asked = [] if host in _ALL else [host]
    return keep_certificate(certificate_beside(settings.pool), [*asked, *names_of_machine()])


def _tell_of_certificate(own: KeptCertificate, console: Console) -> None:
    """What people will see who open the page for the first time, and how they can tell that it is this machine."""
    console.note(
        f"The certificate {own.path} was {'made now' if own.new else 'made before'} and is valid until "
        f"{own.ends:%Y-%m-%d}. Its SHA-256 fingerprint is\n{own.fingerprint}"
    )
    console.note(
        "Nobody but this machine vouches for it, so a phone says once that the connection is not private. On Android "
        "(Chrome) choose Advanced, then Proceed; on an iPhone (Safari) Show Details, then visit this website. Then the "
        "page may use the camera."
    )


def _addresses(host: str, port: int, *, secure: bool) -> list[str]:
    """Where the server is: for this machine, then for others in the network."""
    scheme = "https" if secure else "http"
    hosts = ["localhost", *addresses_in_network()[:_MOST_SHOWN]] if host in _ALL else [host]
    return [f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}/" for name in hosts]


def _check_certificate(certificate: Path | None, key: Path | None) -> Path | None:
    """The one that was named, if it can be used."""
    if certificate is None:
        if key is not None:
            raise ConfigError("--tls-key is given without --tls-certificate", fix="Name both")
        return None
    for path in (certificate, key):
        if path is not None and not path.is_file():
            raise PathMissing(f"There is no file {path}", fix="Check --tls-certificate and --tls-key")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"The certificate {certificate} cannot be used", why=str(error), fix="Name a PEM file and its key"
        ) from error
    return certificate
