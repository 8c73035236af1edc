"""The BentoML service of one packaged model. A bundle holds this file, `package/` and `serving.json`."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml

from components.contracts.package import Package
from components.inference.predictor import Predictor
from serving.app import ModelApp
from serving.settings import ServingSettings

BUNDLE = Path(__file__).resolve().parents[1]

# BentoML wants the service's name, its workers and the mounted application when this module is imported.
_settings = ServingSettings.load(BUNDLE)
_app = ModelApp()


# Of a small request's time BentoML's spans took a third, its access log a tenth. Nobody collects the spans unless an
# exporter is configured, and `/metrics` counts every request by path and status. BENTOML_CONFIG turns both on again.
@bentoml.asgi_app(_app.asgi, path="/")
@bentoml.service(
    name=_settings.model,
    workers=_settings.workers,
    traffic={"timeout": 60},
    tracing={"excluded_urls": [".*"]},
    logging={"access": {"enabled": False}},
)
class ModelService:
    """Loads the package, proves its bytes, warms the graph; ready only after that."""

    def __init__(self) -> None:
        package = Package.open(BUNDLE / "package")
        predictor = Predictor(package, max_pixels=_settings.max_image_pixels)
        golden = package.golden()
        for example in golden[:2]:
            predictor.predict([(package.folder / "golden" / example.file).read_bytes()])
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        _app.load(predictor, _settings, threads=max(1, cores // _settings.workers))
