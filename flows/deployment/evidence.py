"""What an archive carries about its bundle, so that another installation can see why it was released.

    origin.json      the version as the registry has it: number, tags, aliases, description
    pipeline.yaml    the pipeline's file
    ledger.jsonl     the model's release history, as `modelyard history NAME --export` writes it
    gates/<key>/     evidence and report of each run of the gates on the version
    data/            manifests and verdicts of the data that the model was trained on

The archive's manifest covers every file, and the archive's signature the manifest.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from components.contracts.gate_request import GateEvidence
from components.core.errors import CorruptArtifactError, RegistryError
from components.core.log import Log
from components.core.project import Project
from components.core.strict import Strict
from components.identity import manifest as manifests
from components.identity.package import Package
from components.packaging.archive import ArchiveFacts
from components.provenance import data_links
from components.registry import tracking
from components.registry.api import Api
from components.registry.versions import PACKAGE_DIGEST, Version
from components.release import entry as entries_
from components.release import ledger as ledgers
from components.release import ledger_file
from components.release.entry import Entry

ORIGIN, PIPELINE, LEDGER, GATES, DATA = "origin.json", "pipeline.yaml", "ledger.jsonl", "gates", "data"


class Origin(Strict):
    """A registered version where it comes from. Tags name the git commit, the lock and the data."""

    model: str
    version: str
    description: str
    aliases: list[str]
    tags: dict[str, str]


@dataclass(frozen=True)
class Evidence:
    """Evidence that fits its archive.

    Args:
        entries: of the ledger there, for all versions of the model.
        gates: what the gates found each time that they were run on the version.
        absent: what the evidence does not hold, one sentence each.
    """

    folder: Path
    origin: Origin
    entries: tuple[Entry, ...]
    gates: tuple[GateEvidence, ...]
    absent: tuple[str, ...]

    @property
    def data(self) -> Path | None:
        """The folder with manifests and verdicts of the data; None: there are none."""
        return self.folder / DATA if (self.folder / DATA).is_dir() else None


def gather(project: Project, api: Api, version: Version, target: Path, log: Log) -> None:
    """Fill a folder with all evidence that there is; what there is not is logged.

    Raises:
        CorruptArtifactError: the ledger is not as it was written.
        RegistryError: the registry does not answer.
    """
    target.mkdir(parents=True)
    origin = Origin(
        model=version.name,
        version=version.version,
        description=version.description,
        aliases=list(version.aliases),
        tags=version.tags,
    )
    manifests.write_json(target / ORIGIN, origin.model_dump(mode="json"))
    file = project.pipeline_file(version.name)
    if file.is_file():
        shutil.copyfile(file, target / PIPELINE)
    ledger = ledgers.of(project, version.name)
    with (target / LEDGER).open("w") as stream:
        written = ledger.export(stream)
    if not written:
        (target / LEDGER).unlink()
    for key in _gate_keys(ledger.entries(), version.package_digest):
        folder = project.gates(version.name, key)
        if folder.is_dir():
            shutil.copytree(folder, target / GATES / key[:16])
    try:
        run = tracking.by_id(api, version.run_id)
        if not tracking.logged_data(api, run.artifact_uri, target / DATA):
            shutil.rmtree(target / DATA, ignore_errors=True)
    except RegistryError as error:  # the run was removed
        log(f"the run of version {version.version} cannot be read: {error.what}")
    for sentence in _absent(target):
        log(f"without {sentence}")


def read(folder: Path, facts: ArchiveFacts, package: Package) -> Evidence:
    """Evidence, each part of it compared with the archive's facts and package.

    Raises:
        CorruptArtifactError: a part cannot be read, is about something else, or is not whole.
    """
    origin = _origin(folder / ORIGIN)
    for what, got, expected in (
        ("evidence about another model", origin.model, facts.model),
        ("evidence about another version", origin.version, facts.version),
        ("evidence about another package", origin.tags.get(PACKAGE_DIGEST), facts.package_digest),
        ("evidence about another training", origin.tags.get(tracking.KEY), package.facts.train_fingerprint),
        ("evidence about other data", origin.tags.get("modelyard.data_digest"), facts.data_digest),
    ):
        if got != expected:
            raise CorruptArtifactError(what, where=str(folder / ORIGIN), got=got, expected=expected)
    entries = _entries(folder / LEDGER, facts.model) if (folder / LEDGER).is_file() else ()
    gates = tuple(_gates(path) for path in sorted((folder / GATES).glob("*/evidence.json")))
    if named := {one.key for one in gates} - set(_gate_keys(entries, facts.package_digest)):
        raise CorruptArtifactError(
            "a report of gates that the ledger does not name for this package",
            where=str(folder / GATES),
            got=", ".join(sorted(named)),
        )
    if (folder / DATA).is_dir():
        data_links.expectations_met(folder / DATA, package)
    return Evidence(folder, origin, entries, gates, tuple(_absent(folder)))


def _gate_keys(entries: list[Entry] | tuple[Entry, ...], package_digest: str | None) -> list[str]:
    """Keys of the gates' evidence on a package, in the order of the ledger, each once."""
    keys = [
        str(entry.facts["evidence"])
        for entry in entries
        if entry.after is not None
        and entry.after.package_digest == package_digest
        and isinstance(entry.facts.get("evidence"), str)
    ]
    return list(dict.fromkeys(keys))


def _absent(folder: Path) -> list[str]:
    missing = {
        "a release history: no version was ever released": folder / LEDGER,
        "reports of gates: the version has not been through them, or they were removed": folder / GATES,
        "manifests and verdicts of the data: the run kept none": folder / DATA,
        "the pipeline's file": folder / PIPELINE,
    }
    return [sentence for sentence, path in missing.items() if not path.exists()]


def _origin(path: Path) -> Origin:
    try:
        return Origin.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CorruptArtifactError("the evidence cannot be read", where=str(path), got=_first(error)) from error


def _entries(path: Path, model: str) -> tuple[Entry, ...]:
    """The entries of an exported ledger, its chain checked; the signatures are of another installation's key."""
    checked = ledger_file.check(path, None)
    if checked.model != model:
        raise CorruptArtifactError("the ledger of another model", where=str(path), got=checked.model, expected=model)
    documents = [json.loads(line) for line in path.read_text().splitlines()[:-1]]
    return tuple(entries_.as_entry(document, f"{path}, entry {document['sequence']}") for document in documents)


def _gates(path: Path) -> GateEvidence:
    try:
        return GateEvidence.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CorruptArtifactError("the gates' evidence cannot be read", where=str(path), got=_first(error)) from error


def _first(error: Exception) -> str:
    return str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)


def refused(evidence: Evidence) -> list[str]:
    """What the gates there refused about the version, one sentence each."""
    return [result.reason for gates in evidence.gates for result in gates.results if not result.passed]
