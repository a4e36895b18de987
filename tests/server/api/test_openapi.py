"""The server keeps its own OpenAPI document, whatever is sent: requests that schemathesis makes up from it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as given_one
from hypothesis import strategies as st

from pilotext.server.boot import boot

boot()

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own imports
    import schemathesis
    from schemathesis import GenerationMode, checks
    from schemathesis.core.failures import FailureGroup

from django.core.handlers.wsgi import WSGIHandler as Application  # noqa: E402

from pilotext.api.schemas.health import HealthPart  # noqa: E402
from pilotext.model import Record  # noqa: E402
from pilotext.server.api import auth  # noqa: E402  needs boot
from pilotext.server.api import health as health_of_api  # noqa: E402
from pilotext.server.production.access.tokens import issue  # noqa: E402
from pilotext.server.production.models import Agent, Breaker, Experiment, Job, Product, Task, Token  # noqa: E402
from pilotext.server.production.profiles import remember_all  # noqa: E402
from tests.server.calls import Operation, operations  # noqa: E402
from tests.server.support import leased, site, submit  # noqa: E402

EXAMPLES = 300 if os.environ.get("PILOTEXT_SOAK") else 10

PROMISES: list[Any] = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]

pytestmark = pytest.mark.usefixtures("database")


def probes() -> Iterator[Any]:
    """Every endpoint, with what it wants and with what it forbids, if it takes anything at all."""
    for endpoint in operations():
        for mode in (GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if endpoint.takes else [])):
            yield pytest.param(endpoint, mode, id=f"{endpoint.method} {endpoint.path} {mode.value}")


@pytest.mark.parametrize(("endpoint", "mode"), list(probes()))
def test_every_answer_is_as_the_document_says(endpoint: Operation, mode: GenerationMode) -> None:
    """Requests as the document wants them, and such as it forbids; for rows that are there, and for others."""
    remember_all()
    submit(merges=["mdst"])
    Breaker.objects.create(experiment=Experiment.objects.get(name="COMPASS"), rule="conditions database", scope="")
    Agent.objects.create(name="a1", site=site())
    issue("somebody", "viewer")
    given = leased()
    real = {
        "task": Task.objects.get().pk,
        "job": Job.objects.get().pk,
        "attempt": given.attempt,
        "agent": Agent.objects.get().pk,
        "token": Token.objects.get().pk,
        "breaker": Breaker.objects.get().pk,
        "product": Product.objects.get().pk,
        "run": 1,
    }
    own = {"attempt": given.token, "anyone": "", "ticket": ""}
    token = own[endpoint.role] if endpoint.role in own else issue("prober", endpoint.role)
    operation = whole_schema()[endpoint.path][endpoint.method]

    @given_one(operation.as_strategy(generation_mode=mode), st.booleans())
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def holds(case: schemathesis.Case[Any], there: bool) -> None:
        auth.forget()  # what is guessed is not the matter here
        if there and case.path_parameters:
            case.path_parameters |= {name: real[name] for name in case.path_parameters}
        case.headers["Authorization"] = f"Bearer {token}"
        case.validate_response(case.call(), checks=PROMISES)

    holds()


def test_an_answer_that_breaks_the_promise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe itself: an operation that answers with something else than its record."""
    monkeypatch.setattr(health_of_api, "health", lambda: Liar({"database": HealthPart("ok", "")}))
    case = whole_schema()["/health"]["GET"].Case()
    with pytest.raises(FailureGroup):
        case.validate_response(case.call(), checks=PROMISES)


class Liar(Record, frozen=True):
    parts: dict[str, HealthPart]


@cache
def whole_schema() -> Any:
    """The document with its strategies, which take longer to make than the requests of a test."""
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", Application())
