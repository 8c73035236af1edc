"""The door of a model's service: predictions, health and schema for everybody on the machine, the rest for its owner.

A bundle that runs elsewhere, without MODELYARD_SECRET_FILE, has no door.
"""

from __future__ import annotations

import os
from pathlib import Path

from components.access import project_door
from components.access.door import Application
from components.access.secret import SECRET_FILE
from components.contracts.serving_spec import FORMER_VERSION_HEADER, VERSION_HEADER

OPEN_PATHS = frozenset({"/predict", "/model", "/openapi.json", "/docs.json", "/livez", "/readyz", "/healthz"})


def before(application: Application, model: str) -> Application:
    """The door before everything that a service answers, if this process has a secret; else the application itself."""
    path = os.environ.get(SECRET_FILE)
    if not path:
        return application
    return project_door.from_file(
        application,
        Path(path),
        opened_by=f"modelyard open {model}",
        open_paths=OPEN_PATHS,
        guarded_headers=frozenset(name.lower().encode() for name in (VERSION_HEADER, FORMER_VERSION_HEADER)),
    )
