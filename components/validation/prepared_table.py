"""The sample table of a prepared dataset: one row for each sample, computed from the arrays that training reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.core.progress import Progress
from components.identity import manifest
from components.preprocessing.stored import StoredSplit, digest_of, digests_of
from components.tasks.task import Task
from components.validation import duplicates

_SPLITS = ("train", "validation", "test")
_ROWS = 1024


def columns(task: Task) -> tuple[str, ...]:
    """Names of the table's columns.

    `digest`: of the network's inputs, computed from the arrays. `content`: equal for samples that are equal before they
    become tokens. Then the task's columns (`describe_prepared`).
    `copies_in_split`: number of equal samples in the split. `label_in_every_split`: the label occurs in all three
    splits. `label_balance`: the label's share of the split over its share of the whole dataset. `copies`,
    `in_other_split`, `label_conflict`: as in the raw table. Copies are samples of equal `content` where
    different samples may become equal inputs, as texts do; else of equal `digest`.
    Of samples with a list of labels, `label_in_every_split` is of each label, and `label_balance` of the whole list.
    """
    common = ("copies", "copies_in_split", "in_other_split", "label_conflict", "label_in_every_split", "label_balance")
    return "id", "split", "row", "label", "digest", "content", *task.prepared_columns, *common


def build(task: Task, folder: Path, name: str) -> pd.DataFrame:
    """The table of a prepared folder, in the order of its arrays: train, validation, test."""
    facts = manifest.load(folder, "prepared").facts
    specs = [ArraySpec.model_validate_json(json.dumps(entry)) for entry in facts["arrays"]]
    inputs = task.load(folder).inputs()
    listed = pq.read_table(folder / "samples.parquet", columns=["split", "row", "id", "label", "content"]).to_pandas()
    listed["order"] = listed["split"].map({split: number for number, split in enumerate(_SPLITS)})
    listed = listed.sort_values(["order", "row"], kind="stable").reset_index(drop=True).drop(columns="order")
    with Progress(f"describing prepared {name}", len(listed)) as progress:
        pieces = [
            _piece(task, StoredSplit(folder / split, specs), inputs, rows, progress)
            for split, rows in ((split, listed.loc[listed["split"] == split, "row"].to_numpy()) for split in _SPLITS)
        ]
    table = pd.concat([listed, pd.concat(pieces, ignore_index=True)], axis=1)
    equal = "content" if task.input_type.lossy else "digest"
    table = table.assign(**duplicates.columns(table, equal))
    table["copies_in_split"] = _size(table, equal, "split")
    table["label_in_every_split"] = _in_every_split(table, is_list="labels" in task.fields)
    in_split = table.groupby(["split", "label"])["id"].transform("size") / table.groupby("split")["id"].transform(
        "size"
    )
    table["label_balance"] = in_split / (table.groupby("label")["id"].transform("size") / len(table))
    return table[list(columns(task))]


def _in_every_split(table: pd.DataFrame, *, is_list: bool) -> pd.Series:
    """For each row, whether its label, or each label of its list, occurs in all three splits."""
    if not is_list:
        return table.groupby("label")["split"].transform("nunique") == len(_SPLITS)
    each = pd.DataFrame({"label": table["label"].map(json.loads), "split": table["split"]}).explode("label")
    everywhere = each.groupby("label")["split"].transform("nunique") == len(_SPLITS)
    return (everywhere | each["label"].isna()).groupby(level=0).all()


def _size(table: pd.DataFrame, *by: str) -> pd.Series:
    """Number of rows with the same values in these columns, for each row."""
    return table.groupby(list(by), sort=False)["id"].transform("size").astype("int64")


def _piece(
    task: Task, stored: StoredSplit, inputs: tuple[str, ...], rows: NDArray[np.int64], progress: Progress
) -> pd.DataFrame:
    described: dict[str, list[NDArray[Any]]] = {}
    digests: list[str] = []
    for start in range(0, len(rows), _ROWS):
        index = rows[start : start + _ROWS]
        for name, values in task.describe_prepared(stored.batch(index)).items():
            described.setdefault(name, []).append(np.asarray(values))
        if all(spec.layout == "fixed" for spec in stored.specs):
            digests += digests_of(stored.batch(index, [spec.name for spec in stored.specs]), inputs)
        else:
            digests += [digest_of(stored.sample(row), inputs) for row in index.tolist()]
        progress.advance(len(index))
    return pd.DataFrame({"digest": digests, **{name: np.concatenate(pieces) for name, pieces in described.items()}})
