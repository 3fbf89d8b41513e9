"""What people have agreed to, and all that is kept of them."""

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from facepool.gallery import Pool, find_name
from facepool.gallery.checks import unknown_person
from facepool.gallery.consents import clean_consent
from facepool.privacy.holdings import holding
from facepool.privacy.report import privacy_report
from facepool.records import consent_record, privacy_record
from facepool.types import Consent
from facepool.web.api.persons import PersonName
from facepool.web.api.schemas import NewConsent, PrivacyReport, RecordedConsent
from facepool.web.middleware.authentication import Administering, Enrolling
from facepool.web.middleware.paths import NAME
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices, Services
from facepool.web.services.privacy import held_by_logs

router = APIRouter(prefix="/v1/persons", tags=["persons"], route_class=BoundedRoute)

_SOMEBODY = f"/{NAME}"


@router.get(f"{_SOMEBODY}/consents")
async def list_consents(name: PersonName, services: CurrentServices, _: Enrolling) -> list[RecordedConsent]:
    """To what somebody has agreed, oldest first."""
    consents = await services.pool.run(lambda pool: pool.consents(name))
    return [RecordedConsent.model_validate(consent_record(one)) for one in consents]


@router.post(f"{_SOMEBODY}/consents", status_code=201)
async def record_consent(
    name: PersonName, body: NewConsent, services: CurrentServices, caller: Enrolling
) -> RecordedConsent:
    """Record that somebody has agreed to a text. It is erased with them; who takes it back is to be erased."""
    consent = clean_consent(Consent(body.text, caller.name, body.given_at, body.method))

    def record(pool: Pool) -> Consent:
        with services.people.changing(caller, pool):
            return pool.record_consent(name, consent)

    return RecordedConsent.model_validate(consent_record(await services.pool.change(record)))


@router.get(f"{_SOMEBODY}/privacy")
async def report_privacy(name: PersonName, services: CurrentServices, caller: Administering) -> PrivacyReport:
    """All that is kept of somebody, who may have been erased: what, where, how long, and what removes it.

    The audit log says that somebody asked; after an erasure, by a digest of the name.
    """
    name = find_name(name)
    report = await services.pool.run(lambda pool: _report(services, pool, name))
    await run_in_threadpool(services.audit.note, caller, "reported what is kept", name)
    return report


def _report(services: Services, pool: Pool, name: str) -> PrivacyReport:
    """Everything that this server knows of.

    Raises:
        UnknownPerson: Nothing is kept of anybody called so.
    """
    limits, person = services.settings.retention_limits(), pool.person(name)
    store = services.store
    logs = held_by_logs(store, services.audit, name, person.id if person else "", limits, store.name)
    waiting = int(name in services.outputs.names)
    more = [*logs, holding("waiting", "this process", waiting, limits)]
    found = privacy_report(pool, name, more=more, limits=limits, whole_paths=False)
    if not found.kept:
        raise unknown_person(name, pool.names_near(name))
    return PrivacyReport.model_validate(privacy_record(found))
