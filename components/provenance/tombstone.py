"""Records of what `modelyard gc` removed, so that a proof reports "removed" and not "missing"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from components.core import atomic
from components.core.project import Project
from components.core.strict import Strict
from components.identity import digest as digests


class Tombstone(Strict):
    """The record of a removed artifact.

    Args:
        kind: bundle, package, run, evidence, report, service, log, request, data or mlflow-run.
        name: unique among its kind: the tag of a bundle, the name of a folder.
        model: its pipeline; None: unknown, or none.
        version: version of the model, if it belonged to one.
        digest: digest of its manifest; for a bundle, the bundle's.
        package_digest: digest of the package in it.
        bytes: its size.
        time: time of the removal, ISO 8601.
        reason: why it was not needed.
    """

    kind: str
    name: str
    model: str | None = None
    version: str | None = None
    digest: str | None = None
    package_digest: str | None = None
    bytes: int
    time: str
    reason: str

    @property
    def text(self) -> str:
        """The record as one line of text."""
        return f"removed by gc on {self.time[:10]}: {self.name}, {self.bytes / 1e6:,.1f} MB"


def write(project: Project, tombstone: Tombstone) -> None:
    """Write a record; it replaces an earlier record of the same kind and name."""
    name = digests.of_value(tombstone.name)[:32]
    atomic.write_text(_folder(project) / tombstone.kind / f"{name}.json", tombstone.model_dump_json(indent=1) + "\n")


def read(project: Project, kind: str, name: str) -> Tombstone | None:
    """The record of a kind and name; None: gc did not remove it."""
    return _read_file(_folder(project) / kind / f"{digests.of_value(name)[:32]}.json")


def of_kind(project: Project, kind: str) -> list[Tombstone]:
    """All records of a kind, the latest first."""
    return sorted(_all(project, kind), key=lambda tombstone: tombstone.time, reverse=True)


def _all(project: Project, kind: str) -> Iterator[Tombstone]:
    for path in (_folder(project) / kind).glob("*.json"):
        if (tombstone := _read_file(path)) is not None:
            yield tombstone


def _read_file(path: Path) -> Tombstone | None:
    try:
        return Tombstone.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _folder(project: Project) -> Path:
    return project.retention / "removed"
