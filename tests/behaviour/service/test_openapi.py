"""Requests generated from the OpenAPI description (schemathesis) get answers that match it, and no server error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis import checks

from audio_dcls.service.app import build_app
from audio_dcls.service.settings import ServiceSettings
from tests.service.conftest import listening

EXAMPLES = 25
ANSWER_S = 120.0
"""Longer than the first decoder takes to start on a busy machine; the library's own limit is 10 s."""
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
HEALTH = [
    hypothesis.HealthCheck.too_slow,
    hypothesis.HealthCheck.filter_too_much,
    hypothesis.HealthCheck.data_too_large,
]


@pytest.fixture(scope="module")
def api(
    settings_of: Callable[..., ServiceSettings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[schemathesis.BaseSchema]:
    with listening(settings_of(tmp_path_factory.mktemp("api"))) as address:
        while httpx.get(f"{address}/readyz", timeout=ANSWER_S).status_code != 200:  # until then it answers 503
            time.sleep(0.05)
        yield schemathesis.openapi.from_url(f"{address}/openapi.json", timeout=ANSWER_S)


ROUTES = [
    (path, method)
    for path, methods in build_app(ServiceSettings()).openapi()["paths"].items()
    for method in methods
    if not path.endswith("/events")  # it never ends
]


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_a_route_answers_as_it_is_described(api: Any, path: str, method: str) -> None:
    @hypothesis.given(case=api[path][method.upper()].as_strategy())
    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=HEALTH, derandomize=True)
    def answers(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, timeout=ANSWER_S)

    answers()
