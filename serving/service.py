"""The BentoML service of one model. A bundle holds this file, `package/` and `serving.json`.

Where MODELYARD_SERVICE names a folder, it serves the slots of the spec there; else its bundle's own package.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import bentoml

from components.contracts.serving_spec import SERVICE_FOLDER
from serving import connection_limits, drain, metrics
from serving.front import FrontedService
from serving.settings import ServingSettings
from serving.worker import Worker

BUNDLE = Path(__file__).resolve().parents[1]

# BentoML wants the service's name, its workers and the mounted application when this module is imported.
_settings = ServingSettings.load(BUNDLE)
_app = FrontedService.application


# `/metrics` counts every request by path and status, so the access log is off; spans have a use only where an exporter
# is configured. BENTOML_CONFIG turns both on again.
@bentoml.asgi_app(_app, path="/")
@bentoml.service(
    name=_settings.model,
    workers=_settings.workers,
    traffic={"timeout": max(60.0, _settings.timeout_seconds)},
    tracing={"excluded_urls": [".*"]},
    logging={"access": {"enabled": False}},
    service_class=FrontedService,
)
class ModelService:
    """Loads packages, proves their bytes and their answers, warms the graphs; ready only after that."""

    def __init__(self) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        folder = os.environ.get(SERVICE_FOLDER)
        service = Path(folder) if folder else None
        self._worker = Worker(BUNDLE, service, threads=max(1, cores // (_settings.workers * _settings.threads)))
        _app.serve(self._worker)
        drain.install(self._worker.drain)
        connection_limits.install()
        # What was loaded stays: a full collection would look at hundreds of thousands of objects, for 50 ms each time.
        gc.collect()
        gc.freeze()

    def __metrics__(self, text: str) -> str:
        """BentoML's hook for `/metrics`: leave out the versions that have gone."""
        return metrics.of_versions(text, self._worker.versions())
