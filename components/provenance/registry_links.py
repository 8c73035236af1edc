"""Version, its files in the registry, and its run: what MLflow says against what the package says."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import yaml

from components.identity.digest import short
from components.identity.package import Package
from components.provenance.artifact_links import same
from components.registry import tracking, versions
from components.registry.api import Api
from components.registry.versions import PACKAGE_DIGEST, Version


def version(found: Version, package: Package) -> str:
    """The version's tags against the package's facts."""
    facts = package.facts
    expected = {
        PACKAGE_DIGEST: package.digest,
        tracking.KEY: facts.train_fingerprint,
        "modelyard.data_digest": facts.data_digest,
        **{f"modelyard.{name}": value for name, value in facts.lineage.items()},
    }
    where = f"{found.name} version {found.version}"
    for tag, value in expected.items():
        same(f"the tag {tag} is not the package's", where, found.tags.get(tag), value)
    same("registered under another name than its pipeline's", where, found.name, facts.pipeline)
    return f"{where}: {len(expected)} tags are the package's"


def artifacts(api: Api, found: Version) -> str:
    """The registry's own copy of the package, fetched and read byte by byte."""
    with tempfile.TemporaryDirectory() as place:
        fetched = versions.download(api, found, Path(place) / "package")
        said = yaml.safe_load(api.download(found.source, "MLmodel"))["metadata"]["package_digest"]
        same("MLmodel names another package", f"{found.source}/MLmodel", said, fetched.digest)
        return f"{len(fetched.manifest.files)} files as sealed"


def run(api: Api, found: Version, package: Package) -> str:
    """The run that the version came from: its training, its data, its parameters."""
    document = api.get("runs/get", run_id=found.run_id)["run"]
    where, facts = f"run {found.run_id}", package.facts
    tags = run_tags(document)
    same("another training than the package's", where, tags.get(tracking.KEY), facts.train_fingerprint)
    datasets = [entry["dataset"]["digest"] for entry in document.get("inputs", {}).get("dataset_inputs", ())]
    same("another dataset than the package's", where, datasets, [facts.data_digest[:36]])
    parameters = {entry["key"]: entry["value"] for entry in document["data"].get("params", ())}
    for key, value in tracking.flat("model.", json.loads((package.folder / "model.json").read_bytes())):
        same(f"the parameter {key} is not the package's", where, parameters.get(key), str(value))
    training, data = short(facts.train_fingerprint), short(facts.data_digest)
    return f"{where}: training {training}, data {data}, {len(parameters)} parameters"


def run_tags(document: dict[str, object]) -> dict[str, str]:
    """The tags of a run's JSON."""
    data = document["data"]
    assert isinstance(data, dict)  # noqa: S101
    return {tag["key"]: tag["value"] for tag in data.get("tags", ())}
