"""Take in an archive of another installation: verify it, then register its package here with a note where it is from.

The version gets this installation's number. Its bundle is built here, and the gates here decide, when it is promoted.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from components import tasks
from components.core import atomic
from components.core.errors import CorruptArtifactError
from components.core.log import Log
from components.core.project import Project
from components.identity import digest
from components.identity.package import Package
from components.packaging import archive, signature
from components.packaging.archive import SIGNATURE, Archive
from components.provenance.source_links import COMMIT, IMPORTED, LOCK
from components.registry import registration, tracking, versions
from components.registry.api import Api, MissingError
from components.registry.registration import Registration
from components.registry.tracking import Run
from components.registry.versions import Version
from flows.deployment import evidence
from flows.deployment.evidence import Evidence
from flows.pipelines import stages

_PREFIX = "modelyard."  # of our tags


@dataclass(frozen=True)
class ImportedVersion:
    """What an import registered.

    Args:
        is_new: False: the registry had a version of this very package already.
        archive_digest: digest of the archive's content.
        signed_with: fingerprint of the public key; None: the signature was not verified.
        evidence: origin's number, counts and what was absent, in words; None: the archive carries none.
    """

    version: Version
    is_new: bool
    archive_digest: str
    signed_with: str | None
    evidence: str | None


def import_archive(
    project: Project, api: Api, file: Path, log: Log, *, public_key: Path | None = None
) -> ImportedVersion:
    """Verify an archive and register its package. Nothing is registered if anything does not fit.

    Args:
        public_key: the archive must be signed with its private key; None: a signature is not verified.

    Raises:
        NotFoundError: there is no such file.
        CorruptArtifactError: a byte of archive, bundle, package or evidence is not as it was written.
        SignatureError: the archive is not signed with the key.
        RegistryError: the registry does not answer, or refuses.
    """
    with archive.unpacked(file) as opened:
        signed_with = None
        if public_key is not None:
            signed_with = signature.verify(opened.folder, opened.folder / SIGNATURE, public_key)
        elif opened.signature is not None:
            log("the archive is signed; the signature was not verified: no --public-key")
        package = Package.open(opened.bento / "src" / "package")
        if package.digest != opened.facts.package_digest or package.facts.pipeline != opened.facts.model:
            raise CorruptArtifactError(
                "the package is not the one that the archive names",
                where=str(file),
                got=f"{package.facts.pipeline} {package.digest}",
                expected=f"{opened.facts.model} {opened.facts.package_digest}",
            )
        found = None if opened.evidence is None else evidence.read(opened.evidence, opened.facts, package)
        for sentence in (*(found.absent if found else ("evidence",)),):
            log(f"the archive comes without {sentence}")
        existing = _registered(api, package)
        version = existing or _register(project, api, opened, package, found, signed_with)
        return ImportedVersion(
            version, existing is None, opened.manifest.digest, signed_with, None if found is None else _summary(found)
        )


def _registered(api: Api, package: Package) -> Version | None:
    """The version of this registry that has the very same package."""
    try:
        present = versions.versions(api, package.facts.pipeline)
    except MissingError:
        return None
    return next((version for version in present if version.package_digest == package.digest), None)


def _register(
    project: Project, api: Api, opened: Archive, package: Package, found: Evidence | None, signed_with: str | None
) -> Version:
    # A key of its own: what comes from elsewhere never stands in for what this installation would train.
    key = digest.of_value({"imported": package.digest})
    tags = _tags(opened, found, signed_with)
    run = _run(api, package, {f"{_PREFIX}{name}": value for name, value in tags.items()}, found)
    folder = project.package(key)
    if not folder.exists():
        with atomic.folder(folder) as fresh:
            shutil.copytree(package.folder, fresh, dirs_exist_ok=True)
    request = Registration(
        name=package.facts.pipeline,
        package_key=key,
        package=package,
        requirements=stages.pyfunc_requirements(project, tasks.find(package.facts.task).libraries),
        source_root=project.source_root,
        tags=tags,
    )
    version = registration.register(api, run, request, project.locks)
    tracking.finish(api, run, "FINISHED")
    note = f"Imported: version {opened.facts.version} of another installation, archive `{opened.manifest.digest[:12]}`"
    signed = f", signed with the key `{signed_with[:12]}`" if signed_with else ""
    if note not in version.description:
        versions.describe(api, version.name, version.version, f"{version.description}\n\n{note}{signed}.")
    return version


def _run(api: Api, package: Package, tags: dict[str, str], found: Evidence | None) -> Run:
    """The run that the version belongs to: parameters, data and figures as the package and the evidence tell them."""
    facts = package.facts
    run = tracking.ensure(api, facts.pipeline, facts.train_fingerprint, {**tags, f"{_PREFIX}pipeline": facts.pipeline})
    model = package.folder / "model.json"
    if model.is_file():
        tracking.log_parameters(api, run, {"model": json.loads(model.read_bytes())})
    tracking.log_dataset(api, run, facts.pipeline, facts.data_digest, {"digest": facts.data_digest}, "{}")
    overall = package.metrics()["overall"]
    tracking.log_metrics(api, run, {f"test/{name}": value for name, value in overall.items()}, step=0)
    if found is not None and found.data is not None:
        tracking.log_data(api, run, found.data)
    return run


def _tags(opened: Archive, found: Evidence | None, signed_with: str | None) -> dict[str, str]:
    facts = opened.facts
    tags = {
        IMPORTED.removeprefix(_PREFIX): opened.manifest.digest,
        "imported_version": facts.version,
        "imported_bundle_digest": facts.bundle_digest,
        **({"imported_signed_with": signed_with} if signed_with else {}),
    }
    if found is not None:
        for tag in (COMMIT, LOCK):
            if value := found.origin.tags.get(tag):
                tags[f"imported_{tag.removeprefix(_PREFIX)}"] = value
        tags["imported_gate_reports"] = str(len(found.gates))
    return tags


def _summary(found: Evidence) -> str:
    refused = evidence.refused(found)
    parts = [
        f"version {found.origin.version} there",
        f"{len(found.entries)} ledger entries",
        f"{len(found.gates)} gate reports" + (f", with refusals: {'; '.join(refused)}" if refused else ""),
    ]
    return ", ".join([*parts, *(f"without {sentence}" for sentence in found.absent)])
