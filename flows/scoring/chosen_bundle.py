"""The bundle that scores: what is in production, or a registered version."""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import CorruptArtifactError, NotFoundError, StackError, UsageError
from components.core.log import Log
from components.core.project import Project
from components.packaging.bundle import Bundle
from components.registry import versions
from components.registry.api import Api
from components.release import ledger as ledgers
from components.release import production as productions
from flows.deployment import released_bundle
from flows.pipelines import signing
from flows.platform import lifecycle
from flows.serving_targets.serving_target import target_of

FORMS = "MODEL, MODEL@ALIAS or MODEL:VERSION"


@dataclass(frozen=True)
class ScoringBundle:
    """A bundle, verified.

    Args:
        spec: the pipeline of the model.
        digest: of the bundle's manifest.
        tolerance: of its answers to golden examples.
    """

    spec: PipelineSpec
    version: str
    bundle: Bundle
    digest: str
    tolerance: float


def find(project: Project, text: str, log: Log) -> ScoringBundle:
    """The bundle that a text names.

    What is in production is read from the ledger, so that it can score while nothing else runs. A version without a
    bundle gets one.

    Raises:
        UsageError: the text has none of the forms.
        NotFoundError: no such pipeline, alias or version, or nothing is in production.
        StackError: an alias or version is named, and the registry does not run.
        CorruptArtifactError, SignatureError: the bundle is not as it was released, or not signed as the project asks.
    """
    match = re.fullmatch(r"([a-z][a-z0-9-]*)(?:([:@])([A-Za-z0-9_-]+))?", text)
    if match is None:
        raise UsageError("not a model", got=text, expected=FORMS)
    name, mark, version = match.groups()
    path = project.pipeline_file(name)
    if not path.is_file():
        raise NotFoundError(f"no pipeline {name}", where=str(project.pipelines), expected=FORMS)
    spec = located_yaml.read(path, PipelineSpec)
    found = _production(project, spec) if version is None else _registered(project, spec, mark, version, log)
    signing.require(project, found.bundle)
    return found


def _production(project: Project, spec: PipelineSpec) -> ScoringBundle:
    pin = productions.decided(ledgers.of(project, spec.name).entries()).production.champion
    if pin is None:
        raise NotFoundError(
            f"nothing of {spec.name} is in production",
            next_step=f"`modelyard promote {spec.name} VERSION`, or name a version: {spec.name}:VERSION",
        )
    bundle = target_of(project, spec.name).bundle(pin)
    if not bundle.exists():
        raise NotFoundError(
            "the bundle that is in production is not here",
            where=str(bundle.folder),
            next_step=f"`modelyard promote {spec.name} {pin.version}` builds it anew, or name it: "
            f"{spec.name}:{pin.version}",
        )
    digest = bundle.verify().digest
    if pin.bundle_digest not in (None, digest):
        raise CorruptArtifactError(
            "the bundle is not the one that was released",
            where=str(bundle.folder),
            got=digest,
            expected=pin.bundle_digest,
            next_step=f"`modelyard promote {spec.name} {pin.version}` builds it anew, through the gates",
        )
    return ScoringBundle(spec, pin.version, bundle, digest, pin.tolerance)


def _registered(project: Project, spec: PipelineSpec, mark: str, text: str, log: Log) -> ScoringBundle:
    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError(
            "the registry is not running",
            next_step=f"`modelyard up`; what is in production scores without it: {spec.name}",
        )
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        number = text
        if mark == "@":
            version = versions.by_alias(api, spec.name, text)
            if version is None:
                raise NotFoundError(f"{spec.name} has no version @{text}", next_step=f"`modelyard models {spec.name}`")
            number = version.version
        chosen = released_bundle.choose(project, spec, api, number, log)
    digest = chosen.bundle.verify().digest
    return ScoringBundle(spec, chosen.version.version, chosen.bundle, digest, spec.gates.parity.tolerance)
