"""Labelled answers of a prediction log as samples of the dataset that the model learnt from.

The inputs are those that the service kept (`serving.log.inputs`), the truths the last ones told. A tenth of the samples
goes to the test split and a tenth to validation, chosen by the prediction's id, the others are learnt from; so a model
that is trained with them is also judged on them.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contracts.dataset import DatasetSpec
from components.contracts.dataset_layout import Fields
from components.contracts.prediction_log import OPEN, REDACTED, hours
from components.core.errors import UsageError
from components.inference import told_truth
from components.ingestion.sample import Sample
from components.monitoring import labels, live_quality, log_reader, sealing
from components.monitoring.log_reader import INPUT
from components.tasks.task import Task

TENTHS = {0: "test", 1: "validation"}
_ROLES = ("champion", "challenger")  # a shadow answers what the champion has answered


def check(spec: DatasetSpec, task: Task) -> tuple[str, str]:
    """The field of a raw sample that an input is, and the field that a truth is.

    Raises:
        UsageError: samples cannot be added to this dataset, and why.
    """
    fields, item = spec.source_fields(), getattr(task, "item_field", "")
    where = f"data/{spec.name}/dataset.yaml"
    next_step = "monitor.actions.retrain.data: source reads the dataset from its source again"
    if not item or item not in fields:
        raise UsageError("the inputs of this task are no fields of its samples", where=where, next_step=next_step)
    target = next((name for name in ("label", "target") if name in fields), None)
    if target is None or set(fields) != {item, target}:
        raise UsageError(
            "samples of these fields cannot be made from an input and its truth",
            where=where,
            got=", ".join(fields),
            expected=f"{item}, and label or target",
            next_step=next_step,
        )
    if spec.split.by == "time" or spec.split.group is not None:
        raise UsageError(
            "splits by time or by group need more than an input and its truth", where=where, next_step=next_step
        )
    return item, target


def samples(
    log: Path, spec: DatasetSpec, task: Task, known: Iterable[Sample], left_out: Counter[str]
) -> Iterator[Sample]:
    """The labelled answers as samples, in the order of their times.

    Args:
        known: samples of the dataset, also those that were added before; neither they nor equal inputs are added.
        left_out: counts the labelled answers that are no samples, by reason.

    Raises:
        UsageError: as `check`.
    """
    item, target = check(spec, task)
    fields = spec.source_fields()
    truths = _truths(log)
    names, seen = set[str](), set[bytes]()
    for sample in known:
        names.add(sample.id)
        seen.add(content_of(sample.values, task))
    ids = pa.array(sorted({key[0] for key in truths}), pa.string())
    for table in _tables(log):
        chosen = table.filter(pc.is_in(table["id"], value_set=ids))
        for row in chosen.to_pylist():
            key = (row["id"], row["index"])
            if key not in truths or row["role"] not in _ROLES:
                continue
            name = f"answered/{row['id']}-{row['index']}"
            if name in names:
                continue
            values = _values(row.get(INPUT), truths[key], item, target, fields, _classes(row["output"]))
            if isinstance(values, str):
                left_out[values] += 1
                continue
            content = content_of(values, task)
            if content in seen:  # labels of equal inputs may contradict one another, and a split would know the other
                left_out["an equal input is among them, or among the dataset's samples"] += 1
                continue
            seen.add(content)
            yield Sample(name, _split(name), values)


def content_of(values: Mapping[str, Any], task: Task) -> bytes:
    """A digest of a sample's input alone, as duplicates of a dataset are found."""
    return sha256(task.content(values)).digest()


def _split(name: str) -> str:
    return TENTHS.get(int.from_bytes(sha256(name.encode()).digest()[:8]) % 10, "train")


def _tables(log: Path) -> Iterator[pa.Table]:
    wanted = ["id", "index", "role", "output", INPUT]
    for one in sealing.sealed_hours(log):
        with pq.ParquetFile(one.folder / sealing.PREDICTIONS) as parquet:
            names = [name for name in wanted if name in parquet.schema_arrow.names]
            for number in range(parquet.num_row_groups):
                yield parquet.read_row_group(number, columns=names)
    for hour in hours(log / OPEN):
        table = log_reader.read(log / OPEN / hour).predictions
        yield table.select([name for name in wanted if name in table.column_names])


def _truths(log: Path) -> dict[tuple[str, int], Any]:
    rows = [
        row for one in sealing.sealed_hours(log) for row in pq.read_table(one.folder / sealing.FEEDBACK).to_pylist()
    ]
    for hour in hours(log / OPEN):
        rows += log_reader.read(log / OPEN / hour).feedback.to_pylist()
    return {key: json.loads(truth.text) for key, truth in labels.settle(rows).items()}


def _classes(output: str) -> list[str]:
    """The classes that an answer names."""
    return live_quality.classes_of(json.loads(output))


def _values(
    kept: str | None, truth: Any, item: str, target: str, fields: Fields, classes: Sequence[str]
) -> dict[str, Any] | str:
    """The fields of a sample, or why there is none."""
    if kept is None:
        return "their input was not kept"
    if REDACTED in kept:
        return "a part of their input was not kept"
    try:
        value = _item(json.loads(kept), fields[item])
    except (ValueError, binascii.Error):
        return "their input is of another kind than the samples"
    if target == "target":
        number = told_truth.number_of(truth)
        return "their truth is no number" if number is None else {item: value, target: [number]}
    if not isinstance(truth, str | int | float) or isinstance(truth, bool):
        return "their truth is no label"
    label = told_truth.label_of(truth, classes)
    if label not in classes and told_truth.spelled_otherwise(label, classes) is not None:
        return "their truth is a class but for capitals or blanks"
    return {item: value, target: label}


def _item(value: Any, kind: str) -> Any:
    """An input as a raw sample has it.

    Raises:
        ValueError: it is of another kind.
    """
    if kind == "binary":
        if isinstance(value, Mapping) and isinstance(value.get("base64"), str):
            return base64.b64decode(value["base64"], validate=True)
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    elif kind == "text" and isinstance(value, str):
        return value
    elif kind == "json" and isinstance(value, Mapping):
        return dict(value)
    raise ValueError(kind)
