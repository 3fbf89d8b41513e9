"""Whatever a client sends, the server answers as its OpenAPI document says, and never fails."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from facepool.config import Settings
from facepool.web.app import create_app
from facepool.web.services import ServerOptions, assemble
from facepool.web.services.limits import Limits
from support.fake_analyzer import FakeAnalyzer, view

pytestmark = pytest.mark.slow

LOCAL_HOST = {"host": "127.0.0.1"}
ENDLESS = "/v1/events"
EXAMPLES = 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def web_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    analyzer = FakeAnalyzer()
    analyzer.frame(view(0, 0))
    limits = Limits("1000000/minute", "1000000/minute")
    pool = Settings.model_validate({"pool": tmp_path_factory.mktemp("contract") / "pool.db"})
    services = assemble(pool, analyzer, ServerOptions(limits=limits))
    yield schemathesis.openapi.from_asgi("/openapi.json", create_app(services), headers=LOCAL_HOST)
    services.close()


def test_every_answer_is_as_the_document_says(web_schema: Any) -> None:
    wrong: list[str] = []
    asked = 0
    for found in web_schema.get_all_operations():
        operation = found.ok()
        if operation.path == ENDLESS:
            continue
        asked += 1
        try:
            _try_out(operation)
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 -- whatever it is, it is a failure of the server
            wrong.append(f"{operation.label}: {error}")
    assert not wrong, "\n\n".join(wrong)
    assert asked > 40


def _try_out(operation: Any) -> None:
    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def answers_as_described(case: "schemathesis.Case[Any]") -> None:
        for named in (case.query, case.headers):  # of a collection that is not there nothing else would be tried
            for name in ("collection", "Facepool-Collection"):
                (named or {}).pop(name, None)
        case.call_and_validate(checks=CHECKS, headers=LOCAL_HOST)

    answers_as_described()
