"""Samples and predictions as rows of named columns, as MLflow's data frames have them; without pandas.

a row of a table (an object)      a column a property
any other sample                  one column, named as the sample: text, base64 of a file, or JSON (or CSV) as text

a prediction with probabilities   `label`, and a column a class with its probability; `prediction_set`, JSON as text,
                                  and `prediction_rejected` where the package answers with them
any other prediction              `prediction`, JSON as text
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from components.core.errors import SampleError
from components.tasks.task import EndpointSchema, Prediction

Row = Mapping[str, Any]

_TYPES = {"number": "double", "string": "string", "integer": "long", "boolean": "boolean"}  # MLflow's names
PREDICTION = "prediction"
_FURTHER = {"set": ("prediction_set", "string"), "rejected": ("prediction_rejected", "boolean")}


class SampleColumn(NamedTuple):
    """A column of the samples.

    Args:
        type: one of MLflow's: `double`, `long`, `boolean` or `string`.
        required: whether a row must have it.
        may_be_missing: whether its value may be null.
    """

    name: str
    type: str
    required: bool = True
    may_be_missing: bool = False


def inputs(endpoint: EndpointSchema) -> list[SampleColumn]:
    """The columns of a sample."""
    properties = endpoint.schema.get("properties", {}) if endpoint.schema.get("type") == "object" else {}
    columns = []
    for name, schema in properties.items():
        kinds = [schema["type"]] if isinstance(schema.get("type"), str) else list(schema.get("type", ()))
        kind = next((_TYPES[kind] for kind in _TYPES if kind in kinds), None)
        if kind is None:  # nested: the whole sample is JSON in one column
            return [SampleColumn(endpoint.item, "string")]
        required = name in endpoint.schema.get("required", ()) and "null" not in kinds
        columns.append(SampleColumn(name, kind, required, "null" in kinds))
    return columns or [SampleColumn(endpoint.item, "string")]


def values(endpoint: EndpointSchema, rows: Sequence[Row]) -> list[Any]:
    """The samples of rows, as values of a JSON request. NaN is null.

    A table's rows may also come as JSON in the one column that is named as the sample.

    Raises:
        SampleError: a row lacks a column.
    """
    columns = inputs(endpoint)
    if [column.name for column in columns] == [endpoint.item] or all(set(row) == {endpoint.item} for row in rows):
        is_text = endpoint.schema.get("type") == "string"
        return [_single(endpoint, position, row, is_text=is_text) for position, row in enumerate(rows)]
    empty = {column.name: None for column in columns if column.may_be_missing}
    optional = {column.name for column in columns if not column.required and not column.may_be_missing}
    return [
        {
            **empty,
            **{
                name: found
                for name, value in row.items()
                if (found := _plain(value)) is not None or name not in optional
            },
        }
        for row in rows
    ]


def answers(endpoint: EndpointSchema, predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Predictions as rows."""
    if has_classes(endpoint):
        return [{"label": one["label"], **one["probabilities"], **_further(one)} for one in predictions]
    return [{PREDICTION: json.dumps(one, ensure_ascii=False)} for one in predictions]


def further(endpoint: EndpointSchema) -> dict[str, str]:
    """The columns of a prediction with probabilities beside label and classes, with MLflow's types."""
    properties = endpoint.prediction.get("properties", {})
    return {name: kind for field, (name, kind) in _FURTHER.items() if field in properties}


def has_classes(endpoint: EndpointSchema) -> bool:
    """Whether predictions have a column a class."""
    return "probabilities" in endpoint.prediction.get("properties", {})


def _further(prediction: Prediction) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, (name, kind) in _FURTHER.items():
        if field in prediction:
            value = prediction[field]
            found[name] = json.dumps(value, ensure_ascii=False) if kind == "string" else value
    return found


def _single(endpoint: EndpointSchema, position: int, row: Row, *, is_text: bool) -> Any:
    if set(row) != {endpoint.item}:
        where = f"{endpoint.item} {position}"
        got = ", ".join(map(str, row)) or "no column"
        raise SampleError("one column is expected", code="keys", where=where, got=got, expected=endpoint.item)
    value = row[endpoint.item]
    return value if is_text or not isinstance(value, str) else _parsed(value)


def _parsed(text: str) -> Any:
    """A JSON list or object; any other text is returned as it is (a task may take CSV or plain text)."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, list | dict) else text


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
