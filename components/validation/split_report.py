"""What the report says of the splits of prepared data: leakage (leakage.py), and whether train and test differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.contracts.dataset import DatasetSpec
from components.contracts.shapes import TokensInput
from components.ingestion import sample_file
from components.preprocessing.stored import StoredSplit
from components.tasks.task import Task
from components.validation import leakage, raw_rows, sample_features, split_probe, stored_table
from components.validation.leakage import Leakage, SplitFinding
from components.validation.split_probe import Shift
from components.validation.stored_table import StoredTable, chosen_rows

FILE_NAME = "splits.json"  # in the folder of reports
_MOST_BYTES = 64 << 20  # of arrays that the probe reads; of a raw file, four times as much


class SplitReport(NamedTuple):
    """Leakage, and the shift between train and test."""

    leakage: Leakage
    shift: Shift

    @property
    def findings(self) -> list[SplitFinding]:
        """All findings, in order."""
        return [*self.leakage.findings, SplitFinding(self.shift.sentence, self.shift.warns)]

    @property
    def warnings(self) -> list[str]:
        """What a person should act on, that preparation has not said already."""
        return [*self.leakage.features, *([self.shift.sentence] if self.shift.warns else [])]

    @property
    def shown_ids(self) -> set[str]:
        """Ids of the samples of the pairs that are shown."""
        pairs = [*self.leakage.across, *self.leakage.conflicts]
        return {identity for pair in pairs for identity in (pair.first, pair.second)}

    def to_json(self) -> str:
        """As JSON text."""
        document = {"leakage": self.leakage.document(), "shift": self.shift.document()}
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def examine(
    task: Task, spec: DatasetSpec, folder: Path, prepared: Path, table: pd.DataFrame | StoredTable,
    facts: dict[str, Any],
) -> SplitReport:  # fmt: skip
    """Look at the splits of a prepared dataset.

    Args:
        folder: the dataset's folder, with raw/ and validated/.
        prepared: the folder of the prepared data.
        table: its sample table.
        facts: of its manifest.
    """
    raw = folder / "raw" / sample_file.FILE_NAME
    path = folder / "validated" / "samples.parquet"
    described = path if path.is_file() else None
    found = leakage.examine(task, spec, raw, prepared, table, facts, described)
    return SplitReport(found, _shift(task, spec, raw, prepared, table, facts, described))


def _shift(
    task: Task, spec: DatasetSpec, raw: Path, prepared: Path, table: pd.DataFrame | StoredTable, facts: dict[str, Any],
    described: Path | None,
) -> Shift:  # fmt: skip
    if hasattr(task, "window_example"):
        return split_probe.skipped("neighbouring windows of one series tell the time by themselves")
    if spec.split.by == "time":
        return split_probe.skipped("the splits are by time, and what changes with time is what test is to show")
    specs = [ArraySpec.model_validate_json(json.dumps(entry)) for entry in facts["arrays"]]
    most = min(
        split_probe.MAX_SAMPLES,
        max(
            split_probe.MIN_SAMPLES,
            _MOST_BYTES // max(1, _sample_bytes(prepared / "train", int(facts["counts"]["train"]))),
        ),
    )
    chosen = [split_probe.choose(_rows_of(table, split), most) for split in ("train", "test")]
    counts = (len(chosen[0]), len(chosen[1]))
    if issubclass(task.input_type, TokensInput):
        if raw.stat().st_size > 4 * _MOST_BYTES:
            return split_probe.skipped(f"the texts have more than {4 * _MOST_BYTES >> 20} MiB", counts)
        ids = chosen_rows(table, np.concatenate(chosen), ["id"])["id"].tolist()
        return split_probe.probe(sample_features.of_texts(_texts(task, raw, ids)), counts)
    own = chosen_rows(table, np.concatenate(chosen), ["id", "row", *task.prepared_columns])
    parts = [sample_features.of_columns(own, task.prepared_columns)]
    if described is not None:
        names = [*(name for name in task.raw_columns if name not in task.prepared_columns), "bytes"]
        batches = raw_rows.described(described, ["id", *names])
        of_raw = pd.concat([batch[batch["id"].isin(own["id"])] for batch in batches])
        parts.append(sample_features.of_columns(of_raw.set_index("id").loc[own["id"]], names))
    parts.append(
        sample_features.below(
            [
                sample_features.of_arrays(StoredSplit(prepared / split, specs), rows)
                for rows, split in zip(np.split(own["row"].to_numpy(), counts[:1]), ("train", "test"), strict=True)
            ]
        )
    )
    return split_probe.probe(sample_features.beside(parts), counts)


def _sample_bytes(folder: Path, count: int) -> int:
    """Mean size of a sample's arrays."""
    return sum(path.stat().st_size for path in folder.iterdir()) // max(1, count)


def _rows_of(table: pd.DataFrame | StoredTable, split: str) -> NDArray[np.int64]:
    """The numbers (n,) of the rows of a split."""
    found: list[NDArray[np.int64]] = []
    start = 0
    for batch in stored_table.batches(table, ["split"]):
        found.append(start + np.flatnonzero((batch["split"] == split).to_numpy()))
        start += len(batch)
    return np.concatenate(found)


def _texts(task: Task, raw: Path, ids: Sequence[str]) -> list[str]:
    """The texts of samples, in the order of their ids."""
    texts = {
        sample.id: task.content(sample.values).decode("utf-8", "replace")
        for _, sample in sample_file.pick(raw, raw_rows.numbers_of(raw, set(ids)))
    }
    return [texts[identity] for identity in dict.fromkeys(ids)]
