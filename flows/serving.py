"""Serving a registered version: its bundle, built if need be, as a service of the stack."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from components.contracts.errors import NotFoundError, ServingError
from components.contracts.pipeline import PipelineSpec
from components.contracts.project import Project
from components.packaging import bundle as bundles
from components.packaging import requirements
from components.packaging.bundle import Bundle
from components.registry import versions
from components.registry.api import Api, MissingError
from components.registry.versions import Version
from flows import last_run, stack
from flows.keys import Key
from flows.plan import Plan
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
    """The bundle of a version, built if it is not there.

    Raises:
        ServingError: the version was not registered by Modelyard.
        CorruptArtifactError: the package is not as sealed.
    """
    if version.package_digest is None:
        raise ServingError(
            "this version has no Modelyard package", where=f"{version.name} version {version.version}",
            next_step="choose a version that `modelyard run` registered",
        )  # fmt: skip
    pinned = requirements.pinned(project.lock_file)
    key = Key(
        bundles.parts(version.package_digest, version.version, spec.serving, pinned, bundles.code(project.source_root))
    )
    bundle = Bundle(project.bundles, spec.name, key.digest)
    if not bundle.exists():
        say(f"building the bundle {bundle.tag}")
        place = project.package(version.tags[versions.PACKAGE_KEY])
        planned = Plan((), version=version, bundle_key=key, bundle=bundle, requirements=pinned)
        build_bundle(
            Work(project, spec, api, say), planned, versions.local_or_download(api, version, place), force=False
        )
        last_run.record(project, spec.name, "bundle", key.parts)
    bundle.verify()
    return bundle


def command(bundle: Bundle, port: str) -> list[str]:
    """How a bundle is served, on loopback."""
    return [sys.executable, "-m", "bentoml", "serve", str(bundle.folder), "--host", "127.0.0.1", "--port", port]


def serve(project: Project, spec: PipelineSpec, api: Api, number: str | None, port: int | None, say: Say) -> Service:
    """Have the stack serve a version; a service that serves it already is left alone."""
    version = wanted(api, spec.name, number)
    bundle = bundle_of(project, spec, api, version, say)
    say(f"serving version {version.version}: waiting until {bundle.tag} is ready")
    url = stack.serve(project, spec.name, command(bundle, "{port}"), {"PYTHONDONTWRITEBYTECODE": "1"}, port)
    return Service(url, version, bundle)
