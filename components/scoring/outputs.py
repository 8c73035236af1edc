"""The columns of an output: what says which sample it is, what is kept of the input, and the prediction, typed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from components.scoring.samples import Samples
from components.tasks.task import EndpointSchema, Prediction

MOST_CLASSES = 32  # that have a column each
SUFFIXES = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl"}
_KINDS = {"string": pa.string(), "number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_()}
_JSON = "json"


class PredictionColumn(NamedTuple):
    """A column of a prediction.

    Args:
        path: keys in the prediction.
        is_json: whether the value is written as JSON text.
    """

    name: str
    type: pa.DataType
    path: tuple[str, ...]
    is_json: bool = False


def prediction_columns(endpoint: EndpointSchema) -> list[PredictionColumn]:
    """The columns of a prediction, in order.

    A text, number, integer or truth value is a column; the probability of the class that is answered is `probability`,
    and of up to `MOST_CLASSES` classes each has a column `probability_<class>` (`score_<label>` of many labels); an
    object of numbers is a column each, `<name>_<key>`; all else is JSON as text.
    """
    properties: Mapping[str, Any] = endpoint.prediction.get("properties", {})
    if not properties:
        return [PredictionColumn("prediction", pa.string(), (), is_json=True)]
    found: list[PredictionColumn] = []
    for name, schema in properties.items():
        kind = schema.get("type")
        inner = schema.get("properties", {}) if kind == "object" else {}
        if name == "probabilities" and "label" in properties:
            found.append(PredictionColumn("probability", pa.float64(), ("probabilities", "")))
        if kind in _KINDS:
            found.append(PredictionColumn(name, _KINDS[kind], (name,)))
        elif inner and len(inner) <= MOST_CLASSES and all(one.get("type") == "number" for one in inner.values()):
            prefix = {"probabilities": "probability", "scores": "score"}.get(name, name)
            found += [PredictionColumn(f"{prefix}_{key}", pa.float64(), (name, key)) for key in inner]
        else:
            found.append(PredictionColumn(name, pa.string(), (name,), is_json=True))
    return found


class OutputTable:
    """Makes tables of predictions with one schema for all parts.

    Args:
        key_types, kept_types: by name of the column.
    """

    def __init__(
        self, endpoint: EndpointSchema, key_types: Mapping[str, pa.DataType], kept_types: Mapping[str, pa.DataType]
    ) -> None:
        self._columns = prediction_columns(endpoint)
        self._keys = dict(key_types)
        taken = {*self._keys, *(column.name for column in self._columns)}
        self.renamed = {name: f"{name}_input" for name in kept_types if name in taken}
        self._kept = {name: (self.renamed.get(name, name), kind) for name, kind in kept_types.items()}
        names = [*self._keys, *(name for name, _ in self._kept.values()), *(column.name for column in self._columns)]
        kinds = [*self._keys.values(), *(kind for _, kind in self._kept.values()), *(one.type for one in self._columns)]
        self.schema = pa.schema(list(zip(names, kinds, strict=True)))

    def table(self, samples: Samples, answered: Sequence[int], predictions: Sequence[Prediction]) -> pa.Table:
        """The rows of the samples that were answered.

        Args:
            answered: their numbers.
        """
        index = pa.array(answered, pa.int64())
        columns = [_taken(samples.keys[name], answered, index, kind) for name, kind in self._keys.items()]
        columns += [_taken(samples.kept[name], answered, index, kind) for name, (_, kind) in self._kept.items()]
        columns += [pa.array(_values(column, predictions), column.type) for column in self._columns]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def encode(self, table: pa.Table, kind: str) -> bytes:
        """The bytes of a file; the same for the same table."""
        sink = io.BytesIO()
        if kind == "parquet":
            pq.write_table(table, sink, compression="zstd")
        elif kind == "csv":
            pacsv.write_csv(_flat(table), sink)
        else:
            documents = {column.name for column in self._columns if column.is_json}
            rows = table.to_pylist()
            for row in rows:
                for name in documents & row.keys():
                    row[name] = None if row[name] is None else json.loads(row[name])
                sink.write(json.dumps(row, ensure_ascii=False, default=_as_text).encode("utf-8", "replace") + b"\n")
        return sink.getvalue()


def _taken(values: Any, answered: Sequence[int], index: pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.take(index)
    return pa.array([_writable(values[number]) for number in answered], kind)


def _writable(value: Any) -> Any:
    """Text without halves of surrogate pairs, which no UTF-8 has."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and not value.isascii() else value


def _values(column: PredictionColumn, predictions: Sequence[Prediction]) -> list[Any]:
    """The values of a column; None where a prediction has no such key."""
    found: Any = predictions
    for key in column.path:
        if key:
            found = [one.get(key) if isinstance(one, Mapping) else None for one in found]
        else:  # of the class that is answered
            found = [one.get(prediction["label"]) for one, prediction in zip(found, predictions, strict=True)]
    if column.is_json:
        return [None if one is None else _writable(json.dumps(one, ensure_ascii=False)) for one in found]
    return [_writable(one) for one in found] if pa.types.is_string(column.type) else list(found)


def _flat(table: pa.Table) -> pa.Table:
    """The table with texts in place of what CSV cannot hold."""
    columns = []
    for column in table.columns:
        nested = pa.types.is_nested(column.type) or pa.types.is_binary(column.type)
        texts = (
            [None if one is None else json.dumps(one, default=_as_text) for one in column.to_pylist()] if nested else []
        )
        columns.append(pa.array(texts, pa.string()) if nested else column)
    return pa.table(columns, names=table.column_names)


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return str(value)
