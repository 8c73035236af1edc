"""Build one bundle. Runs in a process of its own: BentoML imports the service from the folder being built."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from components.contracts.prediction_log import LogSpec
from components.contracts.row_expectations import FILE_NAME as ROW_EXPECTATIONS
from components.contracts.serving_spec import SPEC_FORMAT
from components.core import atomic, disk_space
from components.core.errors import BundleError
from components.identity import manifest as manifests
from components.identity import user_source
from components.identity.package import Package
from components.packaging import bundle_store, licences, requirements, sbom
from components.packaging.bundle import ENTRY, Bundle
from components.packaging.bundle_inputs import code, code_digest, entries
from components.packaging.bundle_request import BundleRequest

CREATED = "1980-01-01T00:00:00+00:00"  # for BentoML, so that a bundle built at another time is the same


def main(arguments: list[str]) -> None:
    """Build the bundle that a request file names, unless it is there."""
    request = BundleRequest.model_validate_json(Path(arguments[0]).read_bytes())
    bundle = Bundle(Path(request.home).resolve(), request.model, request.key)
    if request.force or not bundle.exists():
        build(request, bundle)


def build(request: BundleRequest, bundle: Bundle) -> None:
    """Fill a staging folder, let BentoML make a Bento of it, seal that, and let it appear in its place as a whole.

    Raises:
        CorruptArtifactError: the package is not as sealed.
        BundleError: BentoML could not build, or another bundle of the same key is there.
        DiskFullError: there is no space left; nothing half-made stays.
    """
    package = Package.open(Path(request.package))
    with disk_space.reported(bundle.home), bundle_store.staging(bundle, _log) as staging:
        if bundle.exists() and not request.force:
            return  # another process has built it meanwhile
        context, home, temporary = (staging / name for name in ("context", "home", "tmp"))
        for folder in (context, home, temporary):
            folder.mkdir()
        os.environ |= {"BENTOML_HOME": str(home), "TMPDIR": str(temporary)}
        tempfile.tempdir = None  # what a killed build leaves is removed with the staging folder
        _fill(context, request, package)
        _bento(context, request, bundle)
        built = home / "bentos" / bundle.model / bundle.folder.name
        _make_reproducible(built, request)
        manifests.seal(built, "bento", {})
        bundle_store.place(built, bundle, _log)


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _fill(context: Path, request: BundleRequest, package: Package) -> None:
    shutil.copytree(package.folder, context / "package")
    user_source.copy(entries(package.facts.task), Path(request.source_root), context)
    spec = request.serving
    settings = {
        "model": request.model,
        "version": request.version,
        "max_batch_size": spec.max_batch_size,
        "max_request_bytes": spec.max_request_megabytes * 1_000_000,
        "max_image_pixels": int(spec.max_image_megapixels * 1_000_000),
        "workers": spec.workers,
        "max_queue": spec.max_queue,
        "timeout_seconds": spec.timeout_seconds,
        "threads": spec.threads,
        "batch_size": spec.batch_size,
        "device": spec.device,
        "gpu_memory_mb": spec.gpu_memory_mb,
        **({} if spec.log == LogSpec() else {"log": spec.log.model_dump(mode="json", exclude={"retention_days"})}),
    }
    if spec.enforce != "none" and request.row_expectations is not None:
        settings["enforce"] = spec.enforce
        manifests.write_json(context / ROW_EXPECTATIONS, request.row_expectations.model_dump(mode="json"))
        _log(f"serving.enforce: {spec.enforce}: {request.row_expectations.summary()}")
    manifests.write_json(context / "serving.json", settings)
    code_identity = code_digest(code(Path(request.source_root), package.facts.task), request.requirements)
    declared = licences.of_pins(request.requirements)
    atomic.write_text(context / licences.FILE_NAME, licences.as_text(declared))
    content = sbom.document(package, request.version, declared, request.hashes, code_identity)
    atomic.write_text(context / sbom.FILE_NAME, content)
    facts = {
        "model": request.model,
        "version": request.version,
        "key": request.key,
        "package_digest": package.digest,
        "train_fingerprint": package.facts.train_fingerprint,
        "data_digest": package.facts.data_digest,
        "requirements": request.requirements,
        "unpinned": requirements.unpinned(request.requirements),
        "device": spec.device,
        "spec_format": SPEC_FORMAT,
        "code": code_identity,
    }
    manifests.seal(context, "bundle", facts)


def _bento(context: Path, request: BundleRequest, bundle: Bundle) -> None:
    # BentoML must import the service of the folder, not the one beside this file.
    sys.path.insert(0, str(context))
    for module in [module for module in sys.modules if module.split(".")[0] == "serving"]:
        del sys.modules[module]
    importlib.invalidate_caches()
    import bentoml
    from bentoml._internal.bento.build_config import BentoEnvSchema
    from bentoml.exceptions import BentoMLException

    try:
        bentoml.build(
            f"{ENTRY}:ModelService",
            name=request.model,
            version=bundle.folder.name,
            labels={"package": request.key[:12], "model_version": request.version},
            description=(Path(request.package) / "README.md").read_text(),
            include=["*"],
            build_ctx=str(context),
            # For an image made of it; elsewhere whoever starts `bentoml serve` decides.
            envs=[BentoEnvSchema("BENTOML_DO_NOT_TRACK", "True"), BentoEnvSchema("ORT_DISABLE_TELEMETRY", "1")],
            python={"packages": request.requirements, "lock_packages": False},
        )
    except BentoMLException as error:
        raise BundleError("BentoML could not build the bundle", where=bundle.tag, got=error) from error


def _make_reproducible(built: Path, request: BundleRequest) -> None:
    """Replace the time of the build in BentoML's record, and BentoML's requirements by ours, which have hashes."""
    record = built / "bento.yaml"
    text, replaced = re.subn(r"(?m)^creation_time: .*$", f"creation_time: '{CREATED}'", record.read_text())
    if replaced != 1:
        raise BundleError("BentoML wrote a record without its time", where=str(record), expected="creation_time")
    atomic.write_text(record, text)
    pinned = requirements.as_text(request.requirements, request.hashes)
    atomic.write_text(built / "env" / "python" / "requirements.txt", pinned)
