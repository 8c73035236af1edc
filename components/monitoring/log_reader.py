"""Read the lines that workers wrote (components/contracts/prediction_log.py) as Arrow tables, a block at a time.

A line that cannot be read is the last of a killed process, or one of a newer format; it is counted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from components.contracts.prediction_log import BLOCK_FORMAT, BY_REQUEST, FEEDBACK, PREDICTIONS

FACTS = pa.schema([
    ("id", pa.string()), ("index", pa.int32()), ("time", pa.timestamp("us", tz="UTC")), ("latency_ms", pa.float64()),
    ("model", pa.string()), ("version", pa.string()), ("package", pa.string()), ("role", pa.string()),
    ("output", pa.string()),
])  # fmt: skip
FEEDBACK_SCHEMA = pa.schema([
    ("id", pa.string()), ("index", pa.int32()), ("truth", pa.string()), ("at", pa.float64()),
    ("arrived", pa.float64()),
])  # fmt: skip
INPUT = "input"
ORDER = [("time", "ascending"), ("id", "ascending"), ("index", "ascending")]
_SHARED = ("model", "version", "package", "role")


class LogPart(NamedTuple):
    """What some files hold.

    Args:
        predictions: a row for each answered sample, in the order of their times: `FACTS`, then the columns of its row,
            named by the part of the expectations that sees them, then `input`, where inputs are kept. Outputs and
            inputs are JSON.
        feedback: `FEEDBACK_SCHEMA`; the truth as JSON.
        dropped: requests that are missing, as they came faster than they could be written.
        torn: lines that cannot be read.
    """

    predictions: pa.Table
    feedback: pa.Table
    dropped: int
    torn: int


class LogBlock(NamedTuple):
    """One line of predictions.

    Args:
        table: as of `LogPart.predictions`, in the order of the line; None: the line cannot be read.
        dropped: requests that the line says are missing.
    """

    table: pa.Table | None
    dropped: int


def read(folder: Path, names: Collection[str] | None = None) -> LogPart:
    """What is in the folder of an hour, or in the files there that are named."""
    paths = sorted(path for path in folder.iterdir() if names is None or path.name in names)
    tables, dropped, torn = list[pa.Table](), 0, 0
    for path in paths:
        if path.name.endswith(PREDICTIONS):
            for line in lines(path):
                block = parsed(line)
                dropped += block.dropped
                torn += block.table is None
                tables += [block.table] if block.table is not None else []
    schema = unified([table.schema for table in tables])
    predictions = pa.concat_tables([schema.empty_table(), *(conformed(table, schema) for table in tables)])
    feedback = list[dict[str, Any]]()
    for path in paths:
        if path.name.endswith(FEEDBACK):
            for line in lines(path):
                told = parsed_feedback(line)
                torn += told is None
                feedback += [told] if told is not None else []
    return LogPart(predictions.sort_by(ORDER), pa.Table.from_pylist(feedback, FEEDBACK_SCHEMA), dropped, torn)


def lines(path: Path, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The lines of a file between two places, without those that are empty."""
    with path.open("rb") as stream:
        stream.seek(start)
        place = start
        while stop is None or place < stop:
            line = stream.readline() if stop is None else stream.readline(stop - place)
            if not line:
                return
            place += len(line)
            if line := line.rstrip(b"\n"):
                yield line


def parsed_feedback(line: bytes) -> dict[str, Any] | None:
    """A line of feedback as a row of `FEEDBACK_SCHEMA`; None if it cannot be read."""
    told = _document(line)
    if told is None or not {"id", "truth", "arrived"} <= told.keys():
        return None
    row = {**told, "truth": json.dumps(told["truth"], ensure_ascii=False)}
    try:
        pa.Table.from_pylist([row], FEEDBACK_SCHEMA)
    except pa.ArrowException:
        return None
    return row


def parsed(line: bytes) -> LogBlock:
    """A line of predictions."""
    document = _document(line)
    if document is None:
        return LogBlock(None, 0)
    try:
        table = _table(document)
        return LogBlock(table, int(document.get("dropped", 0)) if table is not None else 0)
    except (KeyError, TypeError, ValueError, OverflowError, pa.ArrowException):
        return LogBlock(None, 0)


def unified(schemas: Collection[pa.Schema]) -> pa.Schema:
    """One schema for tables whose columns of rows differ: `FACTS`, these columns by name, `input`.

    A column that is text in one table is text; one that is of numbers in one and of truth values in another, numbers.
    """
    types: dict[str, set[pa.DataType]] = {}
    for schema in set(schemas):
        for field in schema:
            if field.name not in FACTS.names:
                types.setdefault(field.name, set()).add(field.type)
    names = sorted(types, key=lambda name: (name == INPUT, name))
    return pa.schema([*FACTS, *((name, _common(types[name])) for name in names)])


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with the columns and types of a schema that `unified` made of its own and others."""
    there = set(table.column_names)
    columns = [
        table.column(field.name).cast(field.type) if field.name in there else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema)


def _common(types: set[pa.DataType]) -> pa.DataType:
    if len(types) == 1:
        return next(iter(types))
    return pa.string() if pa.string() in types else pa.float64()


def _document(line: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _table(block: dict[str, Any]) -> pa.Table | None:
    """A block's rows; None if it is no block of these formats.

    Raises:
        KeyError, TypeError, ValueError, OverflowError, pa.ArrowException: its columns do not fit together.
    """
    if block.get("format") == BY_REQUEST:
        if "id" not in block and "dropped" in block:
            return FACTS.empty_table()
        sizes = [len(outputs) for outputs in block["outputs"]]
        columns: dict[str, Any] = {
            "id": _each(block["id"], sizes),
            "index": [place for size in sizes for place in range(size)],
            "time": pa.array(_each(block["time_us"], sizes), pa.timestamp("us", tz="UTC")),
            "latency_ms": [micro / 1000 for micro in _each(block["latency_us"], sizes)],
            "output": [_text(output) for outputs in block["outputs"] for output in outputs],
        }
    elif block.get("format") == BLOCK_FORMAT:
        columns = {
            "id": block["id"],
            "index": block["index"],
            "time": pa.array([round(1e6 * seconds) for seconds in block["time"]], pa.timestamp("us", tz="UTC")),
            "latency_ms": block["latency_ms"],
            "output": [_text(output) for output in block["output"]],
        }
    else:
        return None
    count = len(columns["id"])
    columns |= {name: [block[name]] * count for name in _SHARED}
    table = pa.table([pa.array(columns[field.name], field.type) for field in FACTS], FACTS)
    for name, values in block.get("rows", {}).items():
        table = table.append_column(name, _column(values))
    if "inputs" in block:
        table = table.append_column(INPUT, pa.array([_text(value) for value in block["inputs"]], pa.string()))
    return table


def _each(values: list[Any], sizes: list[int]) -> list[Any]:
    """The value of a request, for each of its samples."""
    if all(size == 1 for size in sizes) and len(values) == len(sizes):
        return values
    return [value for value, size in zip(values, sizes, strict=True) for _ in range(size)]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _column(values: list[Any]) -> pa.Array:
    """Values of a row's column: truth values, numbers as float64, or else texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pa.array(values, pa.bool_())
    if kinds <= {int, float, bool}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pa.array(texts, pa.string())
