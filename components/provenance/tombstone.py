"""What `modelyard gc` removed: a small record of each thing, so that a proof says "removed" and not "missing"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from components.core import atomic
from components.core.project import Project
from components.core.strict import Strict
from components.identity import digest as digests


class Tombstone(Strict):
    """One thing that was removed.

    Args:
        kind: bundle, package, run, evidence, report, service, log, request, data or mlflow-run.
        name: unique among its kind: a bundle's tag, a folder's name.
        model: the pipeline that it belonged to; None: not known, or of none.
        version: of the model, where it belonged to one.
        digest: of its sealed content; of a bundle, the bundle's.
        package_digest: of the package that was in it.
        time: when it was removed, ISO 8601.
        reason: why nothing needed it.
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
        """The record in a few words."""
        return f"removed by gc on {self.time[:10]}: {self.name}, {self.bytes / 1e6:,.1f} MB"


def write(project: Project, tombstone: Tombstone) -> None:
    """Keep a record; an earlier one of the same thing is replaced."""
    name = digests.of_value(tombstone.name)[:32]
    atomic.write_text(_folder(project) / tombstone.kind / f"{name}.json", tombstone.model_dump_json(indent=1) + "\n")


def read(project: Project, kind: str, name: str) -> Tombstone | None:
    """The record of one thing; None: gc never removed it."""
    return _parsed(_folder(project) / kind / f"{digests.of_value(name)[:32]}.json")


def of_kind(project: Project, kind: str) -> list[Tombstone]:
    """All records of a kind, the latest first."""
    return sorted(_all(project, kind), key=lambda stone: stone.time, reverse=True)


def _all(project: Project, kind: str) -> Iterator[Tombstone]:
    for path in (_folder(project) / kind).glob("*.json"):
        if (stone := _parsed(path)) is not None:
            yield stone


def _parsed(path: Path) -> Tombstone | None:
    try:
        return Tombstone.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _folder(project: Project) -> Path:
    return project.retention / "removed"
