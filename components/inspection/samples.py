"""The samples of a dataset that an inspection looks at: as prepared, as staged by a refused run, or as ingested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from components.contracts.array_spec import ArraySpec
from components.contracts.dataset import DatasetSpec
from components.core.errors import CorruptArtifactError, NotFoundError
from components.core.project import Project
from components.identity import digest, manifest
from components.identity.manifest import Manifest
from components.ingestion import sample_file
from components.inspection import features, ingested
from components.tasks.dataset_file import open_dataset
from components.tasks.task import Task
from components.validation import leakage
from components.validation.leakage import NearPair
from components.validation.sample_features import Features

COLUMNS = ["split", "row", "id", "label", "digest", "content"]


class InspectedSamples(NamedTuple):
    """The samples and what is known of them.

    Args:
        source: file of the raw samples.
        prepared: folder of the prepared data; None for samples that are only ingested.
        listed: `COLUMNS` of each sample, in the order of split and row.
        near: pairs of near-duplicates.
        features: computes the features (N, F) in the order of `listed`; None for samples without any.
        notes: what is inspected, what is left out, and why.
    """

    name: str
    task: Task
    source: Path
    prepared: Path | None
    listed: pd.DataFrame
    near: list[NearPair]
    features: Callable[[], Features | None]
    notes: list[str]


def read(project: Project, dataset: str) -> InspectedSamples:
    """Read the prepared data if it is of the ingested samples, else what the last run has left.

    Raises:
        NotFoundError: the dataset is not ingested.
        CorruptArtifactError: a file differs from its manifest, or the ingested samples are not those of dataset.yaml.
    """
    folder = project.dataset(dataset)
    spec, task, settings = open_dataset(folder)
    if not (folder / "raw" / manifest.FILE_NAME).is_file():
        raise NotFoundError(
            f"{dataset} is not ingested",
            where=str(folder / "raw"),
            next_step="`modelyard run` a pipeline of this dataset: its data stages come first",
        )
    raw = manifest.verify(folder / "raw", "raw")
    source = folder / "raw" / sample_file.FILE_NAME
    notes = _of_other_source(spec, task, raw, source)
    staged = project.state / "staging" / dataset / "prepared"
    for prepared, is_accepted in ((folder / "prepared", True), (staged, False)):
        if (prepared / manifest.FILE_NAME).is_file():
            sealed = manifest.verify(prepared, "prepared")
            if sealed.facts["raw_digest"] == raw.digest:
                if not is_accepted:
                    page = project.reports(dataset) / "prepared.html"
                    notes.append(f"these samples are prepared, but validation did not accept them: {page}")
                return _prepared(dataset, task, source, prepared, sealed, notes)
    older = ", the prepared data is of an earlier version of the source" if (folder / "prepared").is_dir() else ""
    notes.append(f"these samples are ingested and not prepared{older}{_refusal(project, dataset, raw)}")
    found = ingested.read(spec, task, settings, source, project.state)
    return InspectedSamples(
        dataset, task, source, None, found.listed, found.near, lambda: found.features, [*notes, *found.notes]
    )


def _prepared(
    name: str, task: Task, source: Path, prepared: Path, sealed: Manifest, notes: list[str]
) -> InspectedSamples:
    listed = pq.read_table(prepared / "samples.parquet", columns=COLUMNS).to_pandas()
    listed = listed.sort_values(["split", "row"], kind="stable").reset_index(drop=True)
    if not sealed.facts.get("near_duplicates"):
        notes = [*notes, "near-duplicates were not looked for when the data was prepared"]
    if left_out := int(len(sample_file.ids(source)) - len(listed)):
        notes = [*notes, f"{left_out:,} samples of the source are in no split, and not inspected"]
    specs = [ArraySpec.model_validate_json(json.dumps(entry)) for entry in sealed.facts["arrays"]]
    return InspectedSamples(
        name,
        task,
        source,
        prepared,
        listed,
        leakage.pairs(prepared / leakage.NEAR_FILE),
        lambda: features.of_samples(task, source, prepared, specs, listed, name),
        notes,
    )


def _of_other_source(spec: DatasetSpec, task: Task, raw: Manifest, source: Path) -> list[str]:
    """A note if dataset.yaml has another source than the ingested samples have.

    Raises:
        CorruptArtifactError: the samples lack a field of the task.
    """
    known = raw.facts.get("source_digest")
    if known is None or known == digest.of_value(spec.source.model_dump(mode="json")):
        return []
    if missing := [name for name in task.fields if name not in sample_file.fields_of(source)]:
        raise CorruptArtifactError(
            f"the ingested samples are of another source, and have no {' and no '.join(missing)}",
            where=str(source),
            next_step="`modelyard run` a pipeline of this dataset",
        )
    return ["the source in dataset.yaml has changed since these samples were ingested"]


def _refusal(project: Project, dataset: str, raw: Manifest) -> str:
    """What validation said of the raw samples, as the end of a sentence; "" if it did not refuse them."""
    verdict = project.reports(dataset) / "raw.json"
    try:
        document: dict[str, Any] = json.loads(verdict.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    refused = document.get("subject_digest") == raw.digest and document.get("success") is False
    return f"; validation has refused them: {verdict.with_suffix('.html')}" if refused else ""
