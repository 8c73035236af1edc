"""Compare the version, its files in the registry and its run in MLflow with the package."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import yaml

from components.identity.digest import short
from components.identity.package import Package
from components.provenance.artifact_links import require_equal
from components.registry import tracking, versions
from components.registry.api import Api
from components.registry.versions import PACKAGE_DIGEST, Version


def version(model_version: Version, package: Package) -> str:
    """Compare the tags of the version with the facts of the package; a summary."""
    facts = package.facts
    expected = {
        PACKAGE_DIGEST: package.digest,
        tracking.KEY: facts.train_fingerprint,
        "modelyard.data_digest": facts.data_digest,
        **{f"modelyard.{name}": value for name, value in facts.lineage.items()},
    }
    where = f"{model_version.name} version {model_version.version}"
    for tag, value in expected.items():
        require_equal(f"the tag {tag} is not the package's", where, model_version.tags.get(tag), value)
    require_equal("registered under another name than its pipeline's", where, model_version.name, facts.pipeline)
    return f"{where}: {len(expected)} tags are the package's"


def artifacts(api: Api, model_version: Version) -> str:
    """Download and verify the registry's copy of the package; a summary."""
    with tempfile.TemporaryDirectory() as folder:
        package = versions.download(api, model_version, Path(folder) / "package")
        package_digest = yaml.safe_load(api.download(model_version.source, "MLmodel"))["metadata"]["package_digest"]
        require_equal(
            "MLmodel names another package", f"{model_version.source}/MLmodel", package_digest, package.digest
        )
        return f"{len(package.manifest.files)} files as sealed"


def run(api: Api, model_version: Version, package: Package) -> str:
    """Compare training, data and parameters of the run with the package; a summary."""
    document = api.get("runs/get", run_id=model_version.run_id)["run"]
    where, facts = f"run {model_version.run_id}", package.facts
    tags = run_tags(document)
    require_equal("another training than the package's", where, tags.get(tracking.KEY), facts.train_fingerprint)
    datasets = [entry["dataset"]["digest"] for entry in document.get("inputs", {}).get("dataset_inputs", ())]
    require_equal("another dataset than the package's", where, datasets, [facts.data_digest[:36]])
    parameters = {entry["key"]: entry["value"] for entry in document["data"].get("params", ())}
    model = package.folder / "model.json"
    for key, value in tracking.flatten("model.", json.loads(model.read_bytes()) if model.is_file() else {}):
        require_equal(f"the parameter {key} is not the package's", where, parameters.get(key), str(value))
    training, data = short(facts.train_fingerprint), short(facts.data_digest)
    return f"{where}: training {training}, data {data}, {len(parameters)} parameters"


def run_tags(document: dict[str, object]) -> dict[str, str]:
    """The tags in the JSON of a run."""
    data = document["data"]
    assert isinstance(data, dict)  # noqa: S101
    return {tag["key"]: tag["value"] for tag in data.get("tags", ())}
