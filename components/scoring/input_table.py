"""The rows of a part's inputs: what the prediction log has of a request, and expectations see."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.inference import embedding_summary
from components.inference.predictor import Arrays, Predictor
from components.scoring.samples import Samples
from components.tasks import input_rows
from components.tasks.description import describe
from components.tasks.task import Task

ID = "id"
_ROWS = 512  # described at a time
_TRUTHS = frozenset({"label", "labels", "target"})  # fields that `describe` of these tasks does not look at


def table(
    predictor: Predictor, samples: Samples, answered: Sequence[int], arrays: Sequence[Arrays], settings: Any = None,
    embeddings: NDArray[Any] | None = None,
) -> pa.Table:  # fmt: skip
    """One row for each sample that was answered: `id`, its place in the input, and the columns of `input_rows.rows`.

    Of files, the columns `raw.` are those of the file, which the log of a service does not look at again. Numbers are
    float64, so that all parts have one schema.

    Args:
        settings: of the dataset's task, which says for some tasks what a sample is.
        embeddings: (N, D) of the samples, where the package has any.
    """
    parts: list[dict[str, list[Any]]] = []
    for start in range(0, len(answered), _ROWS):
        items = [samples.items[number] for number in answered[start : start + _ROWS]]
        rows = input_rows.rows(predictor.task, predictor.processor, items, arrays[start : start + _ROWS])
        parts.append({**rows, **_of_files(predictor.task, items, settings)})
    columns: dict[str, Any] = {ID: pa.array([samples.places[number] for number in answered], pa.string())}
    for name in parts[0] if parts else []:
        values = [value for part in parts for value in part[name]]
        columns[name] = _array(values, _stated(predictor, name))
    if embeddings is not None:
        summary = embedding_summary.columns(input_rows.EMBEDDING, embeddings)
        columns |= {name: pa.array(values, pa.float64()) for name, values in summary.items()}
    return pa.table(columns)


def _of_files(task: Task, items: Sequence[Any], settings: Any) -> dict[str, list[Any]]:
    """What `Task.describe` says of files; nothing where it needs more of a sample than its file."""
    field = task.payload_field
    is_cell = bool(getattr(task, "item_field", ""))
    if not field or is_cell or set(task.fields) - {field, *_TRUTHS} or not _are_files(items):
        return {}
    described = [describe(task, {field: item}, settings) for item in items]
    names = dict.fromkeys(name for row in described for name in row)
    return {f"{input_rows.RAW}{name}": [row.get(name) for row in described] for name in names}


def _are_files(items: Sequence[Any]) -> bool:
    return all(isinstance(item, bytes) for item in items)


def encode(rows: pa.Table) -> bytes:
    """The bytes of the file."""
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()


def _array(values: list[Any], kind: pa.DataType | None) -> pa.Array:
    if kind is None:
        known = [value for value in values if value is not None]
        if not known:
            return pa.array(values, pa.string())
        is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
        kind = pa.float64() if is_number else pa.bool_() if all(isinstance(one, bool) for one in known) else None
    if kind is None or pa.types.is_string(kind):
        texts = [value if value is None or isinstance(value, str) else str(value) for value in values]
        return pa.array(
            [None if one is None else one.encode("utf-8", "replace").decode() for one in texts], pa.string()
        )
    return pa.array(values, kind)


def _stated(predictor: Predictor, name: str) -> pa.DataType | None:
    """The type of a feature's column as the endpoint says it, also where a part has no value of it."""
    prefix = f"{input_rows.RAW}row."
    properties: Mapping[str, Any] = predictor.endpoint.schema.get("properties", {})
    if not name.startswith(prefix) or name[len(prefix) :] not in properties:
        return None
    types = properties[name[len(prefix) :]].get("type", ())
    return pa.float64() if "number" in ([types] if isinstance(types, str) else types) else pa.string()
