"""Read the lines that workers wrote (components/contracts/prediction_log.py) as Arrow tables.

A line that cannot be read is the last of a killed process, or one of a newer format; it is counted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from components.contracts.prediction_log import BLOCK_FORMAT, FEEDBACK, PREDICTIONS

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


def read(folder: Path, names: Collection[str] | None = None) -> LogPart:
    """What is in the folder of an hour, or in the files there that are named."""
    paths = sorted(path for path in folder.iterdir() if names is None or path.name in names)
    tables, dropped, torn = list[pa.Table](), 0, 0
    for block in _lines(path for path in paths if path.name.endswith(PREDICTIONS)):
        table = _table(block)
        if table is None:
            torn += 1
            continue
        dropped += int(block.get("dropped", 0)) if block else 0
        tables.append(table)
    predictions = pa.concat_tables(_same_types([FACTS.empty_table(), *tables]), promote_options="permissive")
    feedback = []
    for line in _lines(path for path in paths if path.name.endswith(FEEDBACK)):
        if line is None or not {"id", "truth", "arrived"} <= line.keys():
            torn += 1
            continue
        feedback.append({**line, "truth": json.dumps(line["truth"], ensure_ascii=False)})
    return LogPart(
        predictions.sort_by([("time", "ascending"), ("id", "ascending"), ("index", "ascending")]),
        pa.Table.from_pylist(feedback, FEEDBACK_SCHEMA),
        dropped,
        torn,
    )


def _lines(paths: Iterable[Path]) -> Iterator[dict[str, Any] | None]:
    """The documents of files of lines; None for a line that is none."""
    for path in paths:
        for line in path.read_bytes().split(b"\n"):
            if not line:
                continue
            try:
                document = orjson.loads(line)
            except orjson.JSONDecodeError:
                document = None
            yield document if isinstance(document, dict) else None


def _table(block: dict[str, Any] | None) -> pa.Table | None:
    """A block's rows; None if it is no block of this format."""
    if block is None or block.get("format") != BLOCK_FORMAT:
        return None
    try:
        count = len(block["id"])
        columns: dict[str, Any] = {
            "id": block["id"],
            "index": block["index"],
            "time": pa.array([round(1e6 * seconds) for seconds in block["time"]], pa.timestamp("us", tz="UTC")),
            "latency_ms": block["latency_ms"],
            **{name: [block[name]] * count for name in _SHARED},
            "output": [json.dumps(output, ensure_ascii=False) for output in block["output"]],
        }
        table = pa.table([pa.array(columns[field.name], field.type) for field in FACTS], FACTS)
        for name, values in block.get("rows", {}).items():
            table = table.append_column(name, _column(values))
        if "inputs" in block:
            kept = [json.dumps(value, ensure_ascii=False) for value in block["inputs"]]
            table = table.append_column(INPUT, pa.array(kept, pa.string()))
    except (KeyError, TypeError, ValueError, pa.ArrowException):
        return None
    return table


def _column(values: list[Any]) -> pa.Array:
    """Values of a row's column: truth values, numbers as float64, or else texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pa.array(values, pa.bool_())
    if kinds <= {int, float, bool}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pa.array(texts, pa.string())


def _same_types(tables: list[pa.Table]) -> list[pa.Table]:
    """Tables whose columns of one name have one type: texts, where another table has texts."""
    texts = {field.name for table in tables for field in table.schema if pa.types.is_string(field.type)}
    found = []
    for table in tables:
        for place, field in enumerate(table.schema):
            if field.name in texts and not pa.types.is_string(field.type):
                table = table.set_column(place, field.name, table.column(place).cast(pa.string()))
        found.append(table)
    return found
