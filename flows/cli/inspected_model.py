"""The package that `modelyard inspect --model` names."""

from __future__ import annotations

import re

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import NotFoundError, StackError, UsageError
from components.core.project import Project
from components.identity.package import Package

FORMS = "PIPELINE, PIPELINE:VERSION, PIPELINE@ALIAS, or VERSION of the dataset's only pipeline"


def find(project: Project, dataset: str, text: str) -> Package:
    """The package of a pipeline's last evaluation, or of a registered version.

    Raises:
        NotFoundError: no such pipeline, version or alias, or the pipeline has no evaluated model here.
        UsageError: the text has none of the forms, or several pipelines use the dataset.
        StackError: a version is named, and the registry does not run.
    """
    if text.isdecimal():
        text = f"{_only_pipeline(project, dataset)}:{text}"
    match = re.fullmatch(r"([a-z][a-z0-9-]*)(?:([:@])([A-Za-z0-9_-]+))?", text)
    if match is None:
        raise UsageError("not a model", got=text, expected=FORMS)
    name, mark, version = match.groups()
    if not project.pipeline_file(name).is_file():
        raise NotFoundError(f"no pipeline {name}", where=str(project.pipelines), expected=FORMS)
    if version is None:
        return _last(project, name)
    return _registered(project, name, version, is_alias=mark == "@")


def _last(project: Project, name: str) -> Package:
    from flows.pipelines import last_run
    from flows.pipelines.fingerprints import Fingerprint

    inputs = last_run.read(project, name).get("evaluate")
    folder = None if inputs is None else project.package(Fingerprint(inputs).digest)
    if folder is None or not (folder / "manifest.json").is_file():
        raise NotFoundError(
            f"{name} has no evaluated model here",
            where=str(project.state / "packages"),
            next_step=f"`modelyard run {name}`, or name a version: {name}:VERSION",
        )
    return Package.open(folder)


def _registered(project: Project, name: str, version: str, *, is_alias: bool) -> Package:
    from components.registry import versions
    from components.registry.api import Api, MissingError
    from flows.platform import lifecycle

    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the registry is not running", next_step="`modelyard up`")
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        try:
            found = versions.by_alias(api, name, version) if is_alias else versions.by_number(api, name, version)
        except MissingError:
            found = None
        if found is None:
            raise NotFoundError(f"{name} has no version {version}", next_step=f"`modelyard models {name}`")
        return versions.local_or_download(api, found, project.package(found.package_key))


def _only_pipeline(project: Project, dataset: str) -> str:
    files = sorted(project.pipelines.glob("*.yaml"))
    names = [spec.name for file in files if (spec := located_yaml.read(file, PipelineSpec)).dataset == dataset]
    if len(names) != 1:
        raise UsageError(
            f"{len(names):,} pipelines use {dataset}",
            got=", ".join(names) or "none",
            expected="one, where only a version is named",
            next_step="write PIPELINE:VERSION",
        )
    return names[0]
