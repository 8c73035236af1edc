"""What a deployment is written from: the facts of one bundle, and what its service was measured to need."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import CorruptArtifactError, UsageError
from components.core.strict import Strict
from components.identity import digest
from components.identity.package import Package
from components.packaging.bundle import Bundle

MEBIBYTE = 2**20
# What the code of a bundle names if its service reads API keys, or answers the Open Inference Protocol.
API_KEYS_VARIABLE = "MODELYARD_API_KEYS"
OPEN_INFERENCE_PATH = "/v2/health/ready"
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


class ServiceMeasurement(Strict):
    """What the service of a bundle took on one machine, started as a container starts it.

    Args:
        cores: processor cores that the processes could use.
        start_seconds: from the start of the process to the first 200 of `/readyz`.
        idle_bytes, peak_bytes: proportional set size (memory, shared pages divided) of all processes of the service:
            before the first request, and the most under the load.
        connections: kept busy during the load, each with one golden example at a time.
        busy_cores: processor seconds a second under the load; fewer where other programs used the processor too.
        processor_ms: processor time of one answer, all processes of the service; hardly depends on other programs.
        requests_per_second, p50_ms, p99_ms: of the load.
        errors: requests of the load that were not answered with 200.
    """

    cores: int
    start_seconds: float
    idle_bytes: int
    peak_bytes: int
    connections: int
    busy_cores: float
    processor_ms: float
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int = 0


@dataclass(frozen=True)
class ServiceFacts:
    """One bundle, as a deployment needs it.

    Args:
        model, version: of the registered model.
        task: what the model answers.
        bundle_key: of what the bundle is made; its first 12 digits name the image.
        bundle_digest, package_digest, data_digest: sha256 in hex.
        workers: processes that answer.
        max_request_bytes: larger request bodies are refused.
        package_bytes: size of the model package on disk.
        asks_for_keys: whether the bundle's service reads API keys from the file that MODELYARD_API_KEYS names.
        speaks_open_inference: whether the bundle's service answers the Open Inference Protocol (`/v2/...`), as KServe's
            clients speak it.
        measurement: None: not measured; resources are then estimated, and the files say so.
    """

    model: str
    version: str
    task: str
    bundle_key: str
    bundle_digest: str
    package_digest: str
    data_digest: str
    workers: int
    max_request_bytes: int
    package_bytes: int
    asks_for_keys: bool
    speaks_open_inference: bool
    measurement: ServiceMeasurement | None = None

    @property
    def image(self) -> str:
        """The name that `modelyard containerize` gives to the bundle's image."""
        return f"{self.model}:{digest.short(self.bundle_key)}"


def of_bundle(bundle: Bundle, measurement: ServiceMeasurement | None = None) -> ServiceFacts:
    """The facts of a bundle on disk; every byte of it is compared with its manifest first.

    Raises:
        NotFoundError: there is no such bundle.
        CorruptArtifactError: a file is not as sealed, or its settings cannot be read.
        UsageError: the model's name cannot be a DNS label, which Kubernetes and compose need.
    """
    manifest = bundle.verify()
    if DNS_LABEL.fullmatch(bundle.model) is None:
        raise UsageError(
            "the pipeline's name cannot name a deployment",
            got=bundle.model,
            expected="a DNS label: letters, digits and hyphens, at most 63, no hyphen at the end",
            next_step="rename the pipeline",
        )
    package = Package.open(bundle.source / "package", verify=False)  # `bundle.verify` has read it
    path = bundle.source / "serving.json"
    try:
        settings = json.loads(path.read_bytes())
        workers, body = int(settings["workers"]), int(settings["max_request_bytes"])
        version = str(settings["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifactError("the settings of the service cannot be read", where=str(path), got=error) from error
    return ServiceFacts(
        model=bundle.model,
        version=version,
        task=package.facts.task,
        bundle_key=bundle.key,
        bundle_digest=manifest.digest,
        package_digest=package.digest,
        data_digest=package.facts.data_digest,
        workers=workers,
        max_request_bytes=body,
        package_bytes=_size(package.folder),
        asks_for_keys=_names(bundle.source, API_KEYS_VARIABLE),
        speaks_open_inference=_names(bundle.source, OPEN_INFERENCE_PATH),
        measurement=measurement,
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _names(source: Path, text: str) -> bool:
    """Whether code of the bundle has a text in it, such as the name of an environment variable."""
    return any(text.encode() in path.read_bytes() for path in source.rglob("*.py"))
