"""Inspect the samples of a dataset: likely wrong labels, conflicting labels, near-duplicates, outliers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from components.core.errors import UsageError
from components.core.project import Project
from components.identity.package import Package
from components.inspection import outliers, samples, wrong_labels
from components.inspection.samples import InspectedSamples
from components.inspection.wrong_labels import WrongLabel
from components.tasks.task import Task
from components.validation import leakage
from components.validation.leakage import NearPair

if TYPE_CHECKING:
    from components.inspection.trained_judge import Judged


class Outlier(NamedTuple):
    """A sample that is far from all others; factor: its local outlier factor."""

    id: str
    split: str
    label: str
    factor: float


class Inspection(NamedTuple):
    """What was found in a dataset, the most likely first.

    Args:
        noise: estimated share of wrong labels; None where labels were not judged.
        conflicts: equal or nearly equal samples of two labels.
        near_duplicates: all pairs of nearly equal samples.
        notes: what was not looked at, and why.
    """

    dataset: str
    samples: int
    noise: float | None
    wrong_labels: list[WrongLabel]
    conflicts: list[NearPair]
    near_duplicates: list[NearPair]
    outliers: list[Outlier]
    notes: list[str]

    def to_json(self) -> str:
        """As JSON text."""
        rows = ("wrong_labels", "conflicts", "near_duplicates", "outliers")
        document = {**self._asdict(), **{name: [row._asdict() for row in getattr(self, name)] for name in rows}}
        return json.dumps(document, indent=1, ensure_ascii=False)


def inspect(project: Project, dataset: str, model: tuple[str, Package] | None = None) -> tuple[Inspection, Task, Path]:
    """Inspect a dataset as it was prepared last; or, where a run was refused before that, as it was ingested.

    Args:
        model: name and package of a trained model that judges the labels of validation and test.

    Returns:
        The result, the task, and the file of raw samples.

    Raises:
        NotFoundError: the dataset is not ingested.
        CorruptArtifactError: a file differs from its manifest, or the samples are not of this task.
        UsageError: the model cannot judge these samples.
    """
    found = samples.read(project, dataset)
    judged = None if model is None else _judged(found, *model)
    return _inspect(found, judged), found.task, found.source


def _judged(inspected: InspectedSamples, name: str, package: Package) -> tuple[str, dict[str, Judged]]:
    """The splits as a trained model sees them, with its name."""
    from components.inspection import trained_judge  # onnxruntime, for this only

    if inspected.prepared is None:
        raise UsageError(
            "a trained model judges prepared data only",
            where=str(inspected.source),
            next_step="`modelyard run` a pipeline of this dataset, or inspect without --model",
        )
    return name, trained_judge.judge(package, inspected.prepared, name)


def _inspect(inspected: InspectedSamples, judged: tuple[str, dict[str, Judged]] | None) -> Inspection:
    dataset, listed, near, notes = inspected.name, inspected.listed, inspected.near, list(inspected.notes)
    conflicts = [*_unlike_copies(inspected.task, listed), *leakage.conflicting(near)]
    if hasattr(inspected.task, "window_example"):
        notes.append("labels and outliers: not looked for, the samples are windows of one series")
        return Inspection(dataset, len(listed), None, [], conflicts, near, [], notes)
    found = inspected.features()
    if found is None and not any(note.startswith("labels and outliers") for note in notes):
        notes.append("labels and outliers: not looked for, samples of this kind have no simple features")
    verdicts = []
    if found is not None:
        verdicts.append(wrong_labels.by_light_model(listed, found.values, near, notes, dataset, judged))
    if judged is not None:
        verdicts.append(wrong_labels.by_trained_model(listed, *judged, notes))
    noise, wrong = wrong_labels.together(verdicts)
    far = [] if found is None else _outliers(listed, found.values)
    return Inspection(dataset, len(listed), noise, wrong, conflicts, near, far, notes)


def _unlike_copies(task: Task, listed: pd.DataFrame) -> list[NearPair]:
    equal = "content" if task.input_type.lossy else "digest"
    pairs = []
    for _, copies in listed.groupby(equal, sort=False):
        if len(copies) < 2 or copies["label"].nunique() < 2:
            continue
        one, other = list(copies.drop_duplicates("label").itertuples())[:2]
        pairs.append(NearPair(one.id, other.id, one.split, other.split, one.label, other.label, 1.0))
    return pairs


def _outliers(listed: pd.DataFrame, values: Any) -> list[Outlier]:
    factors = outliers.factors(values)
    rows = np.argsort(-factors, kind="stable")
    rows = rows[factors[rows] >= outliers.FACTOR]
    return [
        Outlier(sample.id, sample.split, sample.label, round(float(factors[row]), 2))
        for row, sample in zip(rows.tolist(), listed.iloc[rows].itertuples(), strict=True)
    ]
