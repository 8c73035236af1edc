"""Serving a registered version: its bundle, built if need be, as a service of the stack."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from components.contracts.errors import NotFoundError
from components.contracts.pipeline import PipelineSpec
from components.contracts.project import Project
from components.packaging.bundle import Bundle
from components.registry import versions
from components.registry.api import Api, MissingError
from components.registry.versions import Version
from flows import bundle_plan, stack
from flows.stages import Say, Work, build_bundle

ALIAS = "champion"


@dataclass(frozen=True)
class Service:
    """A running service and what it serves."""

    url: str
    version: Version
    bundle: Bundle


def wanted(api: Api, name: str, number: str | None) -> Version:
    """The version to serve: a number, or the champion.

    Raises:
        NotFoundError: there is no such version, or no champion yet.
    """
    if number is not None:
        try:
            return versions.by_number(api, name, number)
        except MissingError as error:
            raise NotFoundError(f"{name} has no version {number}", next_step=f"`modelyard models {name}`") from error
    found = versions.by_alias(api, name, ALIAS)
    if found is None:
        raise NotFoundError(
            f"{name} has no {ALIAS}",
            where=api.url,
            next_step=f"set the alias {ALIAS} on a version in the MLflow UI, or `modelyard serve {name} --version N`",
        )
    return found


def bundle_of(project: Project, spec: PipelineSpec, api: Api, version: Version, say: Say) -> Bundle:
    """The bundle of a version, whole; built if it is not there.

    Raises:
        ServingError: the version was not registered by Modelyard.
        CorruptArtifactError: the package or the bundle is not as sealed.
    """
    planned = bundle_plan.of(project, spec, version)
    if not planned.bundle.exists():
        return build_bundle(Work(project, spec, api, say), planned, force=False)
    planned.bundle.verify()
    return planned.bundle


def command(bundle: Bundle, port: str) -> list[str]:
    """How a bundle is served, on loopback."""
    return [sys.executable, "-m", "bentoml", "serve", str(bundle.folder), "--host", "127.0.0.1", "--port", port]


def serve(project: Project, spec: PipelineSpec, api: Api, number: str | None, port: int | None, say: Say) -> Service:
    """Have the stack serve a version; a service that serves it already is left alone."""
    version = wanted(api, spec.name, number)
    bundle = bundle_of(project, spec, api, version, say)
    say(f"serving version {version.version}: waiting until {bundle.tag} is ready")
    # BentoML keeps its metrics in its home and empties them at start: each service has a home of its own.
    variables = {"PYTHONDONTWRITEBYTECODE": "1", "BENTOML_HOME": str(project.state / "services" / spec.name)}
    url = stack.serve(project, spec.name, command(bundle, "{port}"), variables, port)
    return Service(url, version, bundle)
