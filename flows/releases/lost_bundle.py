"""The bundle of a version that serves is gone: it is built again from the registry's package, with the same bytes."""

from __future__ import annotations

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import CorruptArtifactError, ServingError
from components.core.log import Log
from components.core.project import Project
from components.registry.api import Api
from components.release.production import Pin
from flows.pipelines import bundle_plan, stages
from flows.platform import lifecycle
from flows.releases import promotion


def build_again(project: Project, name: str, pin: Pin, say: Log) -> None:
    """Build the bundle that a pin names.

    Raises:
        NotFoundError: the registry has no such version any more.
        ServingError: serving code or settings are not those of then, so that another bundle would be built.
        CorruptArtifactError: what was built is not what was sealed then.
    """
    spec = located_yaml.read(project.pipeline_file(name), PipelineSpec)
    endpoints = lifecycle.configured(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        version = promotion.find_version(api, name, pin.version)
        planned = bundle_plan.of(project, spec, version)
        if (version.package_digest, planned.bundle.tag) != (pin.package_digest, pin.bundle):
            raise ServingError(
                f"the bundle of version {pin.version}, which serves, is not there, and cannot be built as it was: "
                "package, serving code or settings have changed since; put them back, or promote another version",
                got=f"{planned.bundle.tag}, of package {str(version.package_digest)[:12]}",
                expected=f"{pin.bundle}, of package {pin.package_digest[:12]}",
                next_step=f"put the settings, or .modelyard/bentoml, back from a copy; or "
                f"`modelyard run {name} --force register`, and promote the version that it registers",
            )
        say(f"the bundle {pin.bundle} is not there: it is built again from the registry's package")
        if not planned.bundle.exists():
            stages.build_bundle(stages.RunContext(project, spec, api, say), planned, force=False)
        built = planned.bundle.verify().digest
    if built != pin.bundle_digest:
        raise CorruptArtifactError(
            f"the bundle {pin.bundle} is not the one that was released",
            where=str(planned.bundle.folder),
            got=built,
            expected=pin.bundle_digest,
            next_step=f"`modelyard run {name} --force register`, and promote the version that it registers",
        )
