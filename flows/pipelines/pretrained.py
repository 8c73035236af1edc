"""What `pretrained: registry:<model>@<alias>` stands for now. A key holds the digest, so a run keeps to it."""

from __future__ import annotations

from components.contracts.pipeline import PipelineSpec
from components.core.errors import NotFoundError
from components.core.project import Project
from components.identity.package import Package
from components.registry import versions
from components.registry.api import Api
from flows.pipelines.fingerprints import Fingerprint

KIND = "registry:"


def digest(api: Api, spec: PipelineSpec) -> str | None:
    """The digest of the package that a pipeline starts from; None where it starts from nothing of the registry.

    Raises:
        NotFoundError: no version has that alias, or it has no package of ours.
    """
    reference = spec.model.pretrained
    if reference is None or not reference.startswith(KIND):
        return None
    name, _, alias = reference.removeprefix(KIND).partition("@")
    version = versions.by_alias(api, name, alias)
    if version is None or version.package_digest is None:
        raise NotFoundError(
            "nothing of the registry to start from",
            where=f"model.pretrained of {spec.name}",
            got=reference,
            next_step=f"`modelyard promote {name}`; `modelyard models` shows what has an alias",
        )
    return version.package_digest


def package(api: Api, project: Project, spec: PipelineSpec, train: Fingerprint) -> Package | None:
    """The package that a training starts from: the one in the project, else the registry's, verified byte by byte.

    Raises:
        NotFoundError: no version has this package any more.
        CorruptArtifactError: a byte is not as sealed.
        ServingError: Modelyard did not register that version.
    """
    package_digest = train.inputs.get("pretrained")
    if package_digest is None:
        return None
    name = str(spec.model.pretrained).removeprefix(KIND).partition("@")[0]
    for version in versions.versions(api, name):
        if version.package_digest == package_digest:
            return versions.local_or_download(api, version, project.package(version.package_key))
    raise NotFoundError("the version to start from is gone", where=name, got=package_digest)
