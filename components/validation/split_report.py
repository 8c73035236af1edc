"""What the report says of the splits of prepared data: leakage (leakage.py), and whether train and test differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.contracts.dataset import DatasetSpec
from components.contracts.shapes import TokensInput
from components.ingestion import sample_file
from components.preprocessing.stored import StoredSplit
from components.tasks.task import Task
from components.validation import leakage, sample_features, split_probe
from components.validation.leakage import Leakage, SplitFinding
from components.validation.split_probe import Shift

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
        return [self.shift.sentence] if self.shift.warns else []

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
    task: Task, spec: DatasetSpec, folder: Path, prepared: Path, table: pd.DataFrame, facts: dict[str, Any],
) -> SplitReport:  # fmt: skip
    """Look at the splits of a prepared dataset.

    Args:
        folder: the dataset's folder, with raw/ and validated/.
        prepared: the folder of the prepared data.
        table: its sample table.
        facts: of its manifest.
    """
    raw = folder / "raw" / sample_file.FILE_NAME
    described = _described(folder / "validated" / "samples.parquet", task)
    found = leakage.examine(task, spec, raw, prepared, table, facts, described)
    return SplitReport(found, _shift(task, spec, raw, prepared, table, facts, described))


def _described(path: Path, task: Task) -> pd.DataFrame | None:
    """What the sample table of the raw data says of the samples themselves, with their ids and labels."""
    columns = ["id", "label", *task.raw_columns, "bytes"]
    return pq.read_table(path, columns=columns).to_pandas() if path.is_file() else None


def _shift(
    task: Task, spec: DatasetSpec, raw: Path, prepared: Path, table: pd.DataFrame, facts: dict[str, Any],
    described: pd.DataFrame | None,
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
    chosen = [
        split_probe.choose(np.flatnonzero((table["split"] == split).to_numpy()), most) for split in ("train", "test")
    ]
    counts = (len(chosen[0]), len(chosen[1]))
    if issubclass(task.input_type, TokensInput):
        if raw.stat().st_size > 4 * _MOST_BYTES:
            return split_probe.skipped(f"the texts have more than {4 * _MOST_BYTES >> 20} MiB", counts)
        return split_probe.probe(sample_features.of_texts(_texts(task, raw, table, np.concatenate(chosen))), counts)
    own = table.iloc[np.concatenate(chosen)]
    parts = [sample_features.of_columns(own, task.prepared_columns)]
    if described is not None:
        raw_rows = described[described["id"].isin(own["id"])].set_index("id").loc[own["id"]]
        own_columns = [name for name in task.raw_columns if name not in task.prepared_columns]
        parts.append(sample_features.of_columns(raw_rows, [*own_columns, "bytes"]))
    parts.append(
        sample_features.below(
            [
                sample_features.of_arrays(StoredSplit(prepared / split, specs), table.iloc[rows]["row"].to_numpy())
                for rows, split in zip(chosen, ("train", "test"), strict=True)
            ]
        )
    )
    return split_probe.probe(sample_features.beside(parts), counts)


def _sample_bytes(folder: Path, count: int) -> int:
    """Mean size of a sample's arrays."""
    return sum(path.stat().st_size for path in folder.iterdir()) // max(1, count)


def _texts(task: Task, raw: Path, table: pd.DataFrame, rows: NDArray[np.int64]) -> list[str]:
    """The texts of rows of the sample table, in their order."""
    wanted = dict.fromkeys(table["id"].iloc[rows])
    numbers = {number for number, identity in enumerate(sample_file.ids(raw)) if identity in wanted}
    texts = {
        sample.id: task.content(sample.values).decode("utf-8", "replace")
        for _, sample in sample_file.pick(raw, numbers)
    }
    return [texts[identity] for identity in wanted]
