"""The bundle of a registered version, for the serving code and the locked libraries of the current source tree."""

from __future__ import annotations

from dataclasses import dataclass

from components import tasks
from components.contracts.pipeline import PipelineSpec
from components.contracts.row_expectations import RowSuite
from components.core.errors import ServingError
from components.core.project import Project
from components.packaging import bundle_inputs, requirements
from components.packaging.bundle import Bundle
from components.registry.versions import Version
from components.tasks import row_suite
from flows.pipelines.fingerprints import Fingerprint


@dataclass(frozen=True)
class BundlePlan:
    """A version's bundle; it may not be built yet.

    Args:
        fingerprint: the inputs of the bundle.
        requirements: pinned requirements that the bundle installs, one an entry.
        hashes: by name of a requirement, the sha256 of the files that may be installed.
        row_expectations: those that the service enforces; None: it enforces none.
    """

    version: Version
    fingerprint: Fingerprint
    bundle: Bundle
    requirements: list[str]
    hashes: dict[str, list[str]]
    row_expectations: RowSuite | None = None


def of(project: Project, spec: PipelineSpec, version: Version) -> BundlePlan:
    """The bundle of a version.

    Raises:
        ServingError: Modelyard did not register this version.
    """
    if version.package_digest is None:
        raise ServingError(
            "this version has no Modelyard package",
            where=f"{version.name} version {version.version}",
            next_step="choose a version that `modelyard run` registered",
        )
    task = tasks.find(spec.task)
    libraries = task.libraries
    enforces = spec.serving.enforce != "none"
    suite = row_suite.read(project.dataset(spec.dataset), task) if enforces else None
    pins = requirements.kept(project.lock_file, project.state / "cache", libraries)
    requirement_pins = requirements.for_device(pins, spec.serving.device)
    # pip takes hashes for all requirements or for none.
    checked = [] if requirements.unpinned(requirement_pins) else requirement_pins
    hashes = requirements.hashes(project.lock_file, checked)
    code = bundle_inputs.code(project.source_root, spec.task)
    fingerprint = Fingerprint(
        bundle_inputs.inputs(
            version.package_digest, version.version, spec.serving, requirement_pins, code, hashes, suite
        )
    )
    bundle = Bundle(project.bundles, spec.name, fingerprint.digest)
    return BundlePlan(version, fingerprint, bundle, requirement_pins, hashes, suite)
