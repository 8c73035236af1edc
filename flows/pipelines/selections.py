"""What searches leave for the gate `selection`: which trainings each of them chose among."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.contracts.selection import Chosen, StudySelection
from components.contracts.tune_report import TuneReport
from components.core import atomic
from components.core.errors import CorruptArtifactError, NotFoundError
from components.core.project import Project
from components.identity import manifest as manifests


def write(project: Project, report: TuneReport, recipe: str, finalists: Sequence[str]) -> None:
    """Write the trials of a study, with the finalists of this call and those before."""
    path = folder(project) / f"{report.study}.json"
    earlier = _read(path)
    known = [] if earlier is None else earlier.finalists
    selection = StudySelection(
        study=report.study,
        pipeline=report.pipeline,
        metric=report.metric,
        recipe=recipe,
        trials={one.number: one.fingerprint for one in report.trials if one.fingerprint not in (None, recipe)},
        finalists=sorted({*known, *finalists} - {recipe}),
    )
    atomic.write_text(path, selection.model_dump_json(indent=1))


def folder(project: Project) -> Path:
    """Where they are."""
    return project.state / "tune" / "selections"


def find(project: Project, pipeline: str, train_fingerprint: str) -> StudySelection | None:
    """The latest search of a pipeline that chose a training among others; None if no search did."""
    found = [one for one in _all(project) if one.pipeline == pipeline and one.holds(train_fingerprint)]
    return found[-1] if found else None


def chosen(project: Project, selection: StudySelection, train_fingerprint: str) -> Chosen:
    """What the gate is told: how many trials there were, and which others have been scored on the test split."""
    scored = _scored(project) - {train_fingerprint}
    numbers = [number for number, fingerprint in selection.trials.items() if fingerprint in scored]
    return Chosen(study=selection.study, metric=selection.metric, trials=len(selection.trials) + 1, scored=numbers)


def _scored(project: Project) -> set[str]:
    """Train fingerprints of the packages here: a package holds figures of the test split."""
    found = set()
    for folder in (project.state / "packages").glob("*/"):
        try:
            facts: dict[str, Any] = manifests.load(folder, "package").facts
        except (NotFoundError, CorruptArtifactError):
            continue
        found.add(str(facts.get("train_fingerprint")))
    return found


def _all(project: Project) -> Iterator[StudySelection]:
    paths = sorted(folder(project).glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    yield from (selection for path in paths if (selection := _read(path)) is not None)


def _read(path: Path) -> StudySelection | None:
    try:
        return StudySelection.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
