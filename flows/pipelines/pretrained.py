"""Resolves `pretrained:` before a training: `registry:<model>@<alias>` to a package, `hub:<name>` to a folder.

The train fingerprint records the package's digest, and the contents of the folder.
"""

from __future__ import annotations

from components.contracts.pipeline import PipelineSpec
from components.core.errors import NotFoundError
from components.core.log import Log
from components.core.project import Project
from components.identity import hub_folder
from components.identity.package import Package
from components.registry import versions
from components.registry.api import Api
from flows.pipelines.fingerprints import Fingerprint

KIND = "registry:"


def digest(api: Api, spec: PipelineSpec) -> str | None:
    """The digest of the registered package that a pipeline starts from; None if the pipeline names none.

    Raises:
        NotFoundError: no version has the alias, or the version has no Modelyard package.
    """
    reference = spec.model.pretrained
    if reference is None or not reference.startswith(KIND):
        return None
    name, _, alias = reference.removeprefix(KIND).partition("@")
    version = versions.by_alias(api, name, alias)
    if version is None or version.package_digest is None:
        raise NotFoundError(
            "the registry has no package for this alias to start training from",
            where=f"model.pretrained of {spec.name}",
            got=reference,
            next_step=f"`modelyard promote {name}`; `modelyard models` shows what has an alias",
        )
    return version.package_digest


def fetch(spec: PipelineSpec, log: Log) -> None:
    """Fetch the model of the hub that a pipeline starts from, unless it is on this machine: its files are in the key.

    A config.json that gives the network its sizes is looked at here, before the data is prepared for it.

    Raises:
        SourceError: it is not in the mirror or the cache and cannot be fetched.
        NotFoundError, CorruptArtifactError: the config.json is missing, or cannot be read.
        UsageError: the mirror has several models of this name.
    """
    for source in {spec.model.pretrained, getattr(spec.model, "config", None)}:
        if source is not None and source.startswith("hub:"):
            weights = source == spec.model.pretrained
            if hub_folder.local(source, weights=weights) is None:
                log(f"{source} is not on this machine; it is fetched")
                hub_folder.find(source, weights=weights)
    config = getattr(spec.model, "config_source", None)
    if config is not None:
        hub_folder.find(config, weights=config == spec.model.pretrained).document(hub_folder.CONFIG)


def package(api: Api, project: Project, spec: PipelineSpec, train: Fingerprint) -> Package | None:
    """The package that a training starts from, from the project or else downloaded from the registry; verified.

    Raises:
        NotFoundError: no registered version has this package.
        CorruptArtifactError: a file differs from the package's manifest.
        ServingError: Modelyard did not register the version.
    """
    package_digest = train.inputs.get("pretrained")
    if package_digest is None:
        return None
    name = str(spec.model.pretrained).removeprefix(KIND).partition("@")[0]
    for version in versions.versions(api, name):
        if version.package_digest == package_digest:
            return versions.local_or_download(api, version, project.package(version.package_key))
    raise NotFoundError("no registered version has the package to start from", where=name, got=package_digest)
