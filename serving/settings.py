"""The settings of a bundle's service: `serving.json` beside the package."""

from __future__ import annotations

from pathlib import Path

from components.contracts.prediction_log import LogSettings
from components.contracts.row_expectations import Enforce
from components.contracts.serving_spec import Device, Tolerant


class ServingSettings(Tolerant):
    """Written by packaging, read by the service: its own, and those of earlier and later bundles in its slots.

    Args:
        model: name of the registered model; also the pipeline's.
        version: its version in the registry.
        max_queue: requests that may wait for a processor before new ones get 429.
        timeout_seconds: requests that are not begun by then get 504.
        threads: onnxruntime's within one call.
        batch_size: most samples of several requests that are computed together; None: max_batch_size.
        device, gpu_memory_mb: as of `components.inference.runtime.session`.
        log: what is logged of the answers, where the environment names a folder for it.
        enforce: what becomes of requests that miss an expectation of the training data.
    """

    model: str
    version: str
    max_batch_size: int
    max_request_bytes: int
    max_image_pixels: int
    workers: int
    max_queue: int = 256
    timeout_seconds: float = 60.0
    threads: int = 1
    batch_size: int | None = None
    device: Device = "auto"
    gpu_memory_mb: int | None = None
    log: LogSettings = LogSettings()
    enforce: Enforce = "none"

    @staticmethod
    def load(folder: Path) -> ServingSettings:
        """Read `serving.json` in a bundle's source folder."""
        return ServingSettings.model_validate_json((folder / "serving.json").read_bytes())
