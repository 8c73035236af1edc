"""The sample table of a prepared dataset: one row for each sample, computed from the arrays that training reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.core.progress import Progress
from components.identity import manifest
from components.preprocessing.stored import StoredSplit, digest_of, digests_of
from components.tasks.description import describe_prepared
from components.tasks.task import Processor, Task
from components.validation import duplicates, stored_duplicates, stored_table
from components.validation.stored_table import StoredTable

_SPLITS = ("train", "validation", "test")
_ROWS = 1024
_LISTED = ("split", "row", "id", "label", "content")


class OtherOrderError(Exception):
    """Samples that cannot be read in the order of their arrays; the caller builds the table in memory."""


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
    """The table of a prepared folder in memory, in the order of its arrays: train, validation, test."""
    specs = _specs(folder)
    processor = task.load(folder)
    listed = pq.read_table(folder / "samples.parquet", columns=list(_LISTED)).to_pandas()
    listed["order"] = listed["split"].map({split: number for number, split in enumerate(_SPLITS)})
    listed = listed.sort_values(["order", "row"], kind="stable").reset_index(drop=True).drop(columns="order")
    with Progress(f"describing prepared {name}", len(listed)) as progress:
        pieces = [
            _piece(task, StoredSplit(folder / split, specs), processor, rows, progress)
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


def build_stored(task: Task, folder: Path, name: str, count: int) -> StoredTable:
    """As `build`, a batch of samples at a time: the same table.

    Raises:
        OtherOrderError: the samples of a split are not listed in the order of its arrays.
    """
    specs, processor = _specs(folder), task.load(folder)

    def tables() -> Iterator[pa.Table]:
        with Progress(f"describing prepared {name}", count) as progress:
            for split in _SPLITS:
                for listed in _listed(folder / "samples.parquet", split):
                    stored = StoredSplit(folder / split, specs)  # mapped anew, so that its pages are given back
                    piece = _piece(task, stored, processor, listed["row"].to_numpy(), progress)
                    for column in piece:
                        listed = listed.append_column(column, pa.array(piece[column], from_pandas=True))
                    yield listed

    table = StoredTable(folder.parent, tables())
    contents = stored_duplicates.StoredDuplicates(table, "content" if task.input_type.lossy else "digest")
    table.append(contents.columns(copies_in_split=True))
    table.append(_label_columns(table))
    table.columns = list(columns(task))
    return table


def _specs(folder: Path) -> list[ArraySpec]:
    facts = manifest.load(folder, "prepared").facts
    return [ArraySpec.model_validate_json(json.dumps(entry)) for entry in facts["arrays"]]


def _listed(path: Path, split: str) -> Iterator[pa.Table]:
    """The samples of a split as `samples.parquet` lists them, `BATCH_ROWS` at a time, the last fewer."""
    held: list[pa.Table] = []
    rows = 0
    with pq.ParquetFile(path) as parquet:
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group, columns=list(_LISTED), use_threads=False)
            table = table.filter(pc.equal(table["split"], split))
            if not np.array_equal(table["row"].to_numpy(), np.arange(rows, rows + table.num_rows)):
                raise OtherOrderError
            rows += table.num_rows
            held.append(table)
            if sum(one.num_rows for one in held) >= stored_table.BATCH_ROWS:
                whole = pa.concat_tables(held)
                yield whole.slice(0, stored_table.BATCH_ROWS)
                held = [whole.slice(stored_table.BATCH_ROWS)]
    yield pa.concat_tables(held)


def _label_columns(table: StoredTable) -> Iterator[pa.Table]:
    """The columns `label_in_every_split`, `label_balance`, by batch; of samples with one label each."""
    sizes: Counter[tuple[str, str]] = Counter()
    for batch in table.batches(["split", "label"]):
        sizes.update(batch.groupby(["split", "label"], sort=False).size().to_dict())
    of_split, of_label, splits_of = Counter[str](), Counter[str](), Counter[str]()
    for (split, label), size in sizes.items():
        of_split[split] += size
        of_label[label] += size
        splits_of[label] += 1
    for batch in table.batches(["split", "label"]):
        everywhere, balance = np.zeros(len(batch), bool), np.full(len(batch), np.nan)
        for (split, label), rows in batch.groupby(["split", "label"], sort=False).indices.items():
            everywhere[rows] = splits_of[label] == len(_SPLITS)
            balance[rows] = sizes[split, label] / of_split[split] / (of_label[label] / len(table))
        yield pa.table({"label_in_every_split": pa.array(everywhere), "label_balance": pa.array(balance)})


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
    task: Task, stored: StoredSplit, processor: Processor, rows: NDArray[np.int64], progress: Progress
) -> pd.DataFrame:
    inputs = processor.inputs()
    described: dict[str, list[NDArray[Any]]] = {}
    digests: list[str] = []
    for start in range(0, len(rows), _ROWS):
        index = rows[start : start + _ROWS]
        for name, values in describe_prepared(task, processor, stored.batch(index)).items():
            described.setdefault(name, []).append(np.asarray(values))
        if all(spec.layout == "fixed" for spec in stored.specs):
            digests += digests_of(stored.batch(index, [spec.name for spec in stored.specs]), inputs)
        else:
            digests += [digest_of(stored.sample(row), inputs) for row in index.tolist()]
        progress.advance(len(index))
    return pd.DataFrame({"digest": digests, **{name: np.concatenate(pieces) for name, pieces in described.items()}})
