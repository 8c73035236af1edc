"""The door of a model's service: predictions, health and schema for everybody on the machine, the rest for its owner.

A bundle that runs elsewhere, without MODELYARD_SECRET_FILE, has no door; API keys (`serving.api_keys`) are for both.
"""

from __future__ import annotations

import os
from pathlib import Path

from components.access import project_door
from components.access.door import Application
from components.access.secret import SECRET_FILE
from components.contracts.serving_spec import FORMER_VERSION_HEADER, VERSION_HEADER
from serving import api_keys

OPEN_PATHS = frozenset({
    "/predict", "/feedback", "/model", "/openapi.json", "/docs.json", "/livez", "/readyz", "/healthz", "/schema.json",
    "/invocations", "/ping", "/health", "/version",
    "/v1/models", "/v1/completions", "/v1/chat/completions", "/v1/embeddings",
    "/v2", "/v2/", "/v2/health/live", "/v2/health/ready",
})  # fmt: skip


NAMES = "MODELYARD_SERVICE_NAMES"  # by commas: of this machine, for a service that listens beyond loopback


def before(application: Application, model: str) -> Application:
    """API keys, and before them the door, if this process has a secret, before everything that a service answers.

    A path that names a version is behind the door, as the header is that does.
    """
    application = api_keys.before(application, model)
    path = os.environ.get(SECRET_FILE)
    if not path:
        return application
    own = f"/v2/models/{model}"
    names = frozenset(name.strip().lower() for name in os.environ.get(NAMES, "").split(",") if name.strip())
    return project_door.from_file(
        application,
        Path(path),
        opened_by=f"modelyard open {model}",
        open_paths=OPEN_PATHS | {own, f"{own}/ready", f"{own}/infer", f"/v1/models/{model}"},
        guarded_headers=frozenset(name.lower().encode() for name in (VERSION_HEADER, FORMER_VERSION_HEADER)),
        names=names,
    )
