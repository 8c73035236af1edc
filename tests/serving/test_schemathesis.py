"""Schemathesis reads the service's OpenAPI document and asks what it allows, and what it does not: never a 5xx."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.app import ModelApp
from serving.worker import Worker
from tests import small_package
from tests.serving import packages

BUILD: dict[str, Callable[[Path], Any]] = {
    "image": lambda folder: small_package.bundle(folder, "7"),
    "table": packages.table,
    "language": packages.language_model,
}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(params=BUILD)
def schema(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    BUILD[request.param](tmp_path)
    app = ModelApp()
    app.serve(Worker(tmp_path, None, threads=1))
    return schemathesis.openapi.from_asgi("/openapi.json", app.asgi)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_the_document_says_is_so(schema: Any) -> None:
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/predict", "/invocations", "/v2/models/sample/infer"}
    for operation in operations:
        limits = settings(
            max_examples=8 if operation.method == "post" else 1, deadline=None, derandomize=True, database=None,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        ask(operation, limits)


def ask(operation: Any, limits: settings) -> None:
    """Ask an operation with what its schema allows, and with what it does not."""
    from hypothesis import given

    for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
        if mode is schemathesis.GenerationMode.NEGATIVE and operation.method != "post":
            continue

        @limits
        @given(case=operation.as_strategy(generation_mode=mode))
        def asked(case: Any) -> None:
            case.validate_response(case.call(), checks=CHECKS)

        asked()
