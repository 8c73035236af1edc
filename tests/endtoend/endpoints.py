"""Every endpoint and method of the stack's servers, from their own documents."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import NamedTuple

from tests.house import House

METHODS = ("get", "head", "options", "post", "put", "patch", "delete", "trace")
OPEN = frozenset({
    "/predict", "/model", "/openapi.json", "/docs.json", "/livez", "/readyz", "/healthz", "/schema.json",
    "/feedback", "/invocations", "/ping", "/health", "/version",
    "/v1/models", "/v1/completions", "/v1/chat/completions", "/v1/embeddings",
    "/v2", "/v2/", "/v2/health/live", "/v2/health/ready",
})  # fmt: skip
OPEN_MODEL = re.compile(r"/v2/models/[^/]+(/ready|/infer)?|/v1/models/[^/]+")
OF_BENTOML = (
    *("/", "/docs", "/docs.json", "/schema.json", "/metrics", "/livez", "/readyz", "/healthz", "/health"),
    *("/status", "/release"),
    *("/static_content/index.css", "/assets/x", "/openapi.json", "/predict", "/model", "/task/x", "/favicon.ico"),
)
MLFLOW = """
import json
from mlflow.server import app as flask
from mlflow.server.fastapi_app import app

found = {(rule.rule, method) for rule in flask.url_map.iter_rules() for method in rule.methods}
def walk(routes, prefix=""):
    for route in routes:
        router = getattr(route, "original_router", None) or getattr(route, "router", None)
        if router is not None and not hasattr(route, "methods"):
            walk(router.routes, prefix)
        elif getattr(route, "path", None):
            found.update((prefix + route.path, method) for method in getattr(route, "methods", None) or ["GET"])
walk(app.routes)
for path, item in app.openapi()["paths"].items():
    found.update((path, method.upper()) for method in item)
print(json.dumps(sorted(found)))
"""


class Endpoint(NamedTuple):
    """One method of one path.

    Args:
        is_open: it answers without the secret.
    """

    port: int
    method: str
    path: str
    is_open: bool = False

    @property
    def body(self) -> str | None:
        """A body that changes something where it is let in."""
        return '{"name": "from-outside"}' if self.method in ("POST", "PUT", "PATCH", "DELETE") else None


def of_document(document: dict[str, dict[str, dict[str, object]]], port: int) -> set[Endpoint]:
    """Those of an OpenAPI document, and a preflight request to each path."""
    found = {
        Endpoint(port, method.upper(), filled(path))
        for path, item in document["paths"].items()
        for method in item
        if method in METHODS
    }
    return found | {Endpoint(port, "OPTIONS", one.path) for one in found}


def of_mlflow(house: House, port: int) -> set[Endpoint]:
    """Every rule of its Flask application and every route of its FastAPI application."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MLFLOW],
        cwd=house.root,
        env={**house.environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        capture_output=True,
        text=True,
        check=True,
    )
    rules = json.loads(done.stdout.splitlines()[-1])
    return {Endpoint(port, method, filled(path)) for path, method in rules}


def of_service(document: dict[str, dict[str, dict[str, object]]], port: int) -> set[Endpoint]:
    """Those of a model's service and of BentoML around it."""
    found = of_document(document, port)
    found |= {Endpoint(port, method, path) for path in OF_BENTOML for method in ("GET", "HEAD", "POST", "DELETE")}
    return {one._replace(is_open=one.path in OPEN or bool(OPEN_MODEL.fullmatch(one.path))) for one in found}


def filled(path: str) -> str:
    """A path with something in place of its parameters."""
    path = re.sub(r"<(?:int|float):[^>]*>", "1", path)
    return re.sub(r"<[^>]*>|\{[^}]*\}", "00000000-0000-0000-0000-000000000001", path)
