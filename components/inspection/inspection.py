"""Inspect the samples of a prepared dataset: likely wrong labels, conflicting labels, near-duplicates, outliers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.core.errors import CorruptArtifactError, NotFoundError
from components.core.project import Project
from components.identity import manifest
from components.ingestion import sample_file
from components.inspection import features, label_issues, outliers, predictions
from components.inspection.label_issues import Suspects
from components.tasks.dataset_file import open_dataset
from components.tasks.task import Task
from components.validation import leakage
from components.validation.leakage import NearPair

TRUSTED = 0.9  # share of samples that a model must get right for its doubts to be mostly true


class WrongLabel(NamedTuple):
    """A sample whose label is likely to be wrong; margin: probability of the label minus that of the suggestion."""

    id: str
    split: str
    label: str
    suggested: str
    margin: float


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


def inspect(project: Project, dataset: str) -> tuple[Inspection, Task, Path]:
    """Inspect a dataset as it was prepared last.

    Returns:
        The result, the task, and the file of raw samples.

    Raises:
        NotFoundError: the dataset is not prepared.
        CorruptArtifactError: a file differs from its manifest, or the raw samples are of another version.
    """
    folder = project.dataset(dataset)
    _, task, _ = open_dataset(folder)
    prepared = folder / "prepared"
    if not (prepared / manifest.FILE_NAME).is_file():
        raise NotFoundError(
            f"{dataset} is not prepared",
            where=str(prepared),
            next_step="`modelyard run` a pipeline of this dataset: its data stages come first",
        )
    sealed, raw = manifest.verify(prepared, "prepared"), manifest.verify(folder / "raw", "raw")
    if sealed.facts["raw_digest"] != raw.digest:
        raise CorruptArtifactError(
            "the raw samples are not those of the prepared data",
            where=str(folder / "raw"),
            got=raw.digest,
            expected=sealed.facts["raw_digest"],
            next_step="`modelyard run` a pipeline of this dataset",
        )
    source = folder / "raw" / sample_file.FILE_NAME
    return _inspect(dataset, task, source, prepared, sealed.facts), task, source


def _inspect(dataset: str, task: Task, source: Path, prepared: Path, facts: dict[str, Any]) -> Inspection:
    names = ["split", "row", "id", "label", "digest", "content"]
    listed = pq.read_table(prepared / "samples.parquet", columns=names).to_pandas()
    listed = listed.sort_values(["split", "row"], kind="stable").reset_index(drop=True)
    near = leakage.pairs(prepared / leakage.NEAR_FILE)
    notes = [] if facts.get("near_duplicates") else ["near-duplicates were not looked for when the data was prepared"]
    if left_out := int(len(sample_file.ids(source)) - len(listed)):
        notes.append(f"{left_out:,} samples of the source are in no split, and not inspected")
    conflicts = [*_unlike_copies(task, listed), *leakage.conflicting(near)]
    if hasattr(task, "window_example"):
        notes.append("labels and outliers: not looked for, the samples are windows of one series")
        return Inspection(dataset, len(listed), None, [], conflicts, near, [], notes)
    specs = [ArraySpec.model_validate_json(json.dumps(entry)) for entry in facts["arrays"]]
    found = features.of_samples(task, source, prepared, specs, listed, dataset)
    if found is None:
        notes.append("labels and outliers: not looked for, samples of this kind have no simple features")
        return Inspection(dataset, len(listed), None, [], conflicts, near, [], notes)
    noise, wrong = _wrong_labels(listed, found.values, near, notes, dataset)
    return Inspection(dataset, len(listed), noise, wrong, conflicts, near, _outliers(listed, found.values), notes)


def _wrong_labels(
    listed: pd.DataFrame, values: Any, near: list[NearPair], notes: list[str], dataset: str
) -> tuple[float | None, list[WrongLabel]]:
    groups = _groups(listed, near)
    firsts = pd.DataFrame({"label": listed["label"], "group": groups}).drop_duplicates("group")["label"].value_counts()
    usual = sorted(str(label) for label, count in firsts.items() if label and count >= predictions.FOLDS)
    if len(usual) < 2:
        notes.append(
            f"labels: not judged, there are not two labels of at least {predictions.FOLDS} different samples each"
        )
        return None, []
    judged = listed["label"].isin(usual).to_numpy()
    if skipped := int((~judged).sum()):
        few = f"fewer than {predictions.FOLDS} different samples"
        notes.append(f"labels: {skipped:,} samples of labels of {few} are not judged")
    rows = np.flatnonzero(judged)
    numbers, names = features.numbers_of(listed["label"].iloc[rows])
    groups, _ = features.numbers_of(pd.Series(groups[rows]))
    probabilities = predictions.out_of_fold(values[rows], numbers, groups, f"judging the labels of {dataset}")
    right = float((probabilities.argmax(axis=1) == numbers).mean())
    if right < TRUSTED:
        notes.append(
            f"labels: the light model that judges them is right on {right:.0%} of the samples only, so many of the "
            "labels that it doubts will be right: look at the first ones"
        )
    suspects: Suspects = label_issues.find(probabilities, numbers)
    found = []
    for row, suggested, margin in zip(*(part.tolist() for part in suspects[:3]), strict=True):
        sample = listed.iloc[int(rows[row])]
        found.append(WrongLabel(sample["id"], sample["split"], sample["label"], names[suggested], round(margin, 4)))
    return round(suspects.noise, 4), found


def _groups(listed: pd.DataFrame, near: list[NearPair]) -> NDArray[np.int64]:
    """Numbers (N,) that are equal for copies, and for both samples of a pair of near-duplicates."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (parent := parents.get(name, name)) != name:
            name = parent
        return name

    content = dict(zip(listed["id"], listed["content"], strict=True))
    for pair in near:
        if pair.first in content and pair.second in content:
            one, other = sorted((root(content[pair.first]), root(content[pair.second])))
            parents[other] = one
    numbers, _ = features.numbers_of(listed["content"].map(root))
    return np.asarray(numbers)


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
