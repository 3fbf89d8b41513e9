"""The pool as a whole: its size and threshold and what that means, copies in and out, calibration."""

import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Form, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from facepool.errors import FacepoolError, InputError, KeyNeeded, PoolCorrupt, PoolTooNew, WrongKey
from facepool.evaluation.calibration import MIN_PEOPLE, Measured, calibrate_gallery
from facepool.files import PrivateFolder
from facepool.gallery import Pool, PoolAddress, TransferReport, open_pool, transfer
from facepool.gallery.address import at, key_of
from facepool.gallery.foreign import DEADLINE_S, ForeignGallery
from facepool.recognize.decide import LOOK_ALIKE_MARGIN
from facepool.search import GalleryState, Search
from facepool.thresholds import ThresholdPolicy
from facepool.types import Calibration, EmbeddingSpace
from facepool.web.api.schemas import (
    DATABASE,
    DATABASE_TYPE,
    Calibrated,
    Calibrating,
    ErrorRate,
    Imported,
    KeptCalibration,
    LookAlikePair,
    PoolFile,
    PoolInfo,
    SimilarPair,
    Space,
    attachment,
    head_of,
)
from facepool.web.bodies import PoolRequest
from facepool.web.middleware.authentication import Administering, Recognizing
from facepool.web.problems import TooLarge
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices
from facepool.web.services.pool import PoolAccess

router = APIRouter(prefix="/v1/pool", tags=["pool"], route_class=BoundedRoute)

_MOST_IN_MEMORY = 256 << 20
"""Bytes of a plain pool that is sent to an encrypted one; reading it takes as much memory again."""
_SQLITE = b"SQLite format 3\0"
_AT_ONCE = 1 << 20
_CURVE = [round(0.2 + 0.02 * step, 2) for step in range(26)]
"""Similarities that the curve of error rates is given at."""


@router.get("")
async def show_pool(services: CurrentServices, _: Recognizing) -> PoolInfo:
    """How large the pool is, from which similarity on a face is somebody of it, and what that means."""
    info = await services.pool.run(lambda pool: _info(pool, services.policy))
    return info.model_copy(update={"notes": [*info.notes, *services.settling.notes]})


@router.get("/export", response_class=Response, responses=DATABASE)
async def export_pool(services: CurrentServices, caller: Administering) -> Response:
    """Everybody with vectors, pictures and provenance, as a pool.db for `POST /v1/pool/import` or `--pool`.

    That of an encrypted pool is encrypted with the same key: `facepool pool rekey` and `decrypt` change that.
    """
    folder = await run_in_threadpool(services.pool.private_folder)
    try:
        path = folder.path / "pool.db"
        await services.pool.apart(lambda pool: _copy(pool, path))
        await services.audit.add(caller, "exported the pool")
    except BaseException:
        folder.close()
        raise
    return _Passing(path, folder)


@router.head("/export", include_in_schema=False)
async def head_of_export(_: Administering) -> Response:
    """That there is something to export: nobody gets it by that, and nothing is noted."""
    return head_of(DATABASE_TYPE, "pool.db")


@router.post("/import")
async def import_pool(
    _request: PoolRequest,
    body: Annotated[PoolFile, Form(media_type="multipart/form-data")],
    services: CurrentServices,
    caller: Administering,
) -> Imported:
    """Copy everybody of another pool into this one; who is in both gets the views of both.

    An encrypted pool takes files that are encrypted with its own key, and plain ones of up to 256 MiB.
    """
    space = services.engine.analyzer.space

    def take(pool: Pool) -> TransferReport:
        with services.people.changing(caller, pool):
            return _take(body.file.file, services.pool, pool, space)

    report = await services.pool.apart(take)
    return Imported(
        created=list(report.created),
        extended=list(report.extended),
        imported=report.added,
        skipped=report.skipped,
        notes=list(report.notes),
    )


@router.post("/calibrate")
async def calibrate(services: CurrentServices, caller: Administering, body: Calibrating | None = None) -> Calibrated:
    """Measure on the pool itself which threshold lets a share of strangers be named, and use it from now on."""
    wanted = body or Calibrating()
    cohort = services.engine.analyzer.fmr

    def measure(pool: Pool) -> Measured:
        with services.people.changing(caller, pool):
            return calibrate_gallery(pool, cohort, wanted.target_fpir, now=datetime.now(UTC), keep=wanted.keep)

    measured = await services.pool.apart(measure)
    return Calibrated(
        calibration=_kept(measured.calibration),
        look_alikes=[
            SimilarPair(people=_pair(pair), same_person=pair in measured.too_alike) for pair in measured.look_alikes
        ],
        kept=wanted.keep,
    )


@router.delete("/calibration", status_code=204)
async def forget_calibration(services: CurrentServices, caller: Administering) -> None:
    """Let the threshold follow the model's error rates again."""

    def forget(pool: Pool) -> None:
        with services.people.changing(caller, pool):
            pool.set_calibration(None)

    await services.pool.change(forget)


def _info(pool: Pool, policy: ThresholdPolicy) -> PoolInfo:
    gallery, space = Search(pool).state(), pool.space
    naming, comparing = policy.identification(gallery.templates, gallery.calibration), policy.verification()
    return PoolInfo(
        name=pool.address.name,
        people=pool.size().people,
        templates=gallery.templates,
        space=None if space is None else Space.model_validate(space),
        threshold=round(naming.value, 4),
        meaning=naming.meaning,
        verification_threshold=round(comparing.value, 4),
        verification_meaning=comparing.meaning,
        curve=_curve(gallery, policy),
        calibration=None if gallery.calibration is None else _kept(gallery.calibration),
        calibratable_from=MIN_PEOPLE,
        look_alikes=[
            LookAlikePair(people=_pair(pair), margin=round(gallery.margins.get(pair, LOOK_ALIKE_MARGIN), 4))
            for pair in sorted(gallery.look_alikes, key=sorted)
        ],
        notes=list(pool.notes),
    )


def _curve(gallery: GalleryState, policy: ThresholdPolicy) -> list[ErrorRate]:
    shares = [(value, policy.expected_fpir(value, gallery.templates, gallery.calibration)) for value in _CURVE]
    return [ErrorRate(similarity=value, fpir=share) for value, share in shares if share is not None]


def _kept(calibration: Calibration) -> KeptCalibration:
    return KeptCalibration.model_validate({**asdict(calibration), "interval": (calibration.low, calibration.high)})


def _pair(pair: frozenset[str]) -> tuple[str, str]:
    one, other = sorted(pair)
    return one, other


class _Passing(FileResponse):
    """A copy of the pool that goes with its last byte, or with its client; it may be too large for the memory.

    Args:
        path: The copy.
        folder: What it lies in.
    """

    def __init__(self, path: Path, folder: PrivateFolder) -> None:
        super().__init__(path, media_type=DATABASE_TYPE, headers=attachment("pool.db"))
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._folder.close()


def _copy(pool: Pool, path: Path) -> None:
    """Copy everybody into a file of its own, with the pool's key; that of an empty pool has no bytes."""
    with open_pool(at(path, pool.address), pool.space) as copy:
        transfer(pool, copy)
    path.touch()


def _take(data: BinaryIO, access: PoolAccess, pool: Pool, space: EmbeddingSpace) -> TransferReport:
    with access.private_folder() as folder:
        try:
            other = _received(data, folder / "upload.db", pool.address, space)
        except (PoolCorrupt, PoolTooNew, KeyNeeded, WrongKey) as error:
            raise _refused(error) from error
        with other:
            try:
                return transfer(other, pool)
            except PoolCorrupt as error:
                if error is other.flaw:
                    raise _refused(error) from error
                raise


def _received(data: BinaryIO, path: Path, pool: PoolAddress, space: EmbeddingSpace) -> ForeignGallery:
    """A pool that was sent: in a file, but for a plain one on a server whose own pool is encrypted."""
    is_plain = data.read(len(_SQLITE)) == _SQLITE
    data.seek(0)
    if key_of(pool) is not None and is_plain:
        content = bytearray()
        while part := data.read(_AT_ONCE):
            content += part
            if len(content) <= _MOST_IN_MEMORY:
                continue
            raise TooLarge(
                "The file cannot be imported",
                why=f"it is not encrypted, and has more than {_MOST_IN_MEMORY >> 20} MiB: so much is not kept in "
                "memory, and a server of an encrypted pool puts nobody's face on the disk as it is",
                fix="Encrypt a copy of it with the key of this pool, facepool pool encrypt, and send that",
            )
        return ForeignGallery(path, space, content=content, deadline_s=DEADLINE_S)
    with path.open("wb") as file:
        shutil.copyfileobj(data, file)
    return ForeignGallery(at(path, pool), space, deadline_s=DEADLINE_S)


def _refused(error: FacepoolError) -> InputError:
    """What is wrong with a pool that was sent is the client's matter, not that of this server's pool."""
    if isinstance(error, KeyNeeded):
        return InputError(
            "The file cannot be imported",
            why="it is encrypted, or no pool at all, and the pool of this server is not encrypted",
            fix="Decrypt a copy of it, facepool pool decrypt, and send that",
        )
    if isinstance(error, WrongKey):
        return InputError(
            "The file cannot be imported",
            why="it is encrypted with another key than the pool of this server, or no pool at all",
            fix="Give a copy of it the key of this pool, facepool pool rekey, and send that",
        )
    return InputError("The file cannot be imported", why=error.why, fix="Send a pool.db, of this facepool")
