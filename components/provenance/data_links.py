"""Verify the data, its entry in dvc.lock, and the expectation reports, on disk and logged to the run."""

from __future__ import annotations

import json
from pathlib import Path

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import NotFoundError, UsageError
from components.core.project import Project
from components.identity import digest
from components.identity import manifest as manifests
from components.identity.digest import short
from components.identity.manifest import Manifest
from components.identity.package import Package
from components.provenance.artifact_links import require_equal
from components.provenance.proof import AbsentError
from components.versioning import dvc_hash

VERDICT = "verdict.json"


def data(project: Project, package: Package) -> str:
    """Verify raw, validated and prepared data, and that each was made from the previous one; a summary."""
    folder = dataset(project, package)
    prepared = manifests.verify(folder / "prepared", "prepared")
    lineage = package.facts.lineage
    for kind in ("raw", "validated"):
        name = f"{kind}_digest"
        require_equal(f"prepared from other {kind} data", folder / "prepared", prepared.facts[name], lineage.get(name))
    raw, validated = manifests.load(folder / "raw", "raw"), manifests.load(folder / "validated", "validated")
    if (raw.digest, validated.digest) != (lineage.get("raw_digest"), lineage.get("validated_digest")):
        return f"{len(prepared.files)} prepared files as sealed; the raw data has moved on since"
    manifests.verify(folder / "raw", "raw")
    manifests.verify(folder / "validated", "validated")
    count = len(raw.files) + len(validated.files) + len(prepared.files)
    return f"{count} files of {folder.name} as sealed, data {short(prepared.digest)}"


def dvc(project: Project, package: Package) -> str:
    """Compare the hashes in dvc.lock with the folders; a summary."""
    folder = dataset(project, package)
    for kind in ("raw", "validated", "prepared"):
        output = f"data/{folder.name}/{kind}"
        recorded = dvc_hash.recorded(project.root, output)
        if recorded is None:
            raise AbsentError(f"dvc.lock does not name {output}")
        require_equal("dvc.lock names other data", f"dvc.lock, {output}", recorded, dvc_hash.of_folder(folder / kind))
    return f"dvc.lock names raw, validated and prepared of {folder.name} as they are"


def report(project: Project, package: Package, logged: Path | None) -> str:
    """Verify that the expectation reports are on this data, successful and unchanged; a summary.

    Args:
        logged: folder of the reports logged to the run; checked in addition to those on disk.
    """
    folders = []
    try:
        folders.append(("on disk", dataset(project, package)))
    except AbsentError as error:
        if logged is None:
            raise AbsentError(f"{error}, and the run kept no report") from error
    if logged is not None:
        folders.append(("in its run", logged))
    summaries = [expectations_met(folder, package) for _, folder in folders]
    return f"{summaries[0]} ({' and '.join(name for name, _ in folders)})"


def dataset(project: Project, package: Package) -> Path:
    """The folder of the dataset that the package was trained on.

    Raises:
        AbsentError: there is no such dataset, or its prepared data has another digest.
        CorruptArtifactError: the manifest was changed.
    """
    file = project.pipeline_file(package.facts.pipeline)
    try:
        folder = project.dataset(located_yaml.read(file, PipelineSpec).dataset)
        prepared = manifests.load(folder / "prepared", "prepared")
    except NotFoundError as error:
        raise AbsentError(f"the data is not here: {error.what}") from error
    except UsageError as error:
        raise AbsentError(f"{file.name} cannot be read, so its dataset is unknown") from error
    if prepared.digest != package.facts.data_digest:
        raise AbsentError(f"data/{folder.name} has moved on: it is {short(prepared.digest)} now")
    return folder


def expectations_met(folder: Path, package: Package) -> str:
    """Verify the verdicts in a folder with `validated/` and `prepared/`: on the package's data, all met; a summary.

    Raises:
        NotFoundError, CorruptArtifactError: a manifest is missing, or a verdict is another one or not successful.
    """
    lineage = package.facts.lineage
    validated, prepared = (
        manifests.load(folder / "validated", "validated"),
        manifests.load(folder / "prepared", "prepared"),
    )
    require_equal("a report on other data", folder / "validated", validated.digest, lineage.get("validated_digest"))
    require_equal("a report on other data", folder / "prepared", prepared.digest, package.facts.data_digest)
    raw_verdict = _verdict(folder / "validated", validated, lineage.get("raw_digest"))
    require_equal(
        "held against other expectations",
        folder / "validated",
        raw_verdict["suite_digest"],
        validated.facts["suite_digest"],
    )
    prepared_verdict = _verdict(folder / "prepared", prepared, _without_verdict(prepared))
    counts = [
        f"{verdict['statistics']['met']} of {verdict['statistics']['evaluated']}"
        for verdict in (raw_verdict, prepared_verdict)
    ]
    return f"{counts[0]} expectations of the raw data are met, {counts[1]} of the prepared"


def _verdict(folder: Path, sealed: Manifest, subject: str | None) -> dict[str, dict[str, object]]:
    path = folder / VERDICT
    require_equal("the report is not the one that was sealed", path, digest.of_file(path), sealed.files[VERDICT].sha256)
    verdict: dict[str, dict[str, object]] = json.loads(path.read_bytes())
    require_equal("the report is on other data", path, verdict["subject_digest"], subject)
    require_equal("not every expectation is met", path, verdict["success"], True)
    return verdict


def _without_verdict(prepared: Manifest) -> str:
    """The digest of the prepared data without the verdict, which was added after the validation."""
    content = prepared.model_dump(mode="json", exclude={"digest"})
    del content["files"][VERDICT], content["facts"]["verdict_digest"]
    return digest.of_value(content)
