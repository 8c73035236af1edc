"""Find one answer in a prediction log by its id: the id has the second in which it was made, so one hour is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contracts.prediction_log import OPEN, SEALED, answered_at, hour_of
from components.monitoring import log_reader, sealing

_LATE_SECONDS = 120  # between an answer and the block that it is written in


def find(log: Path, prediction_id: str) -> list[dict[str, Any]]:
    """The answered samples of a request, champion's first; [] if the log has none of that id.

    Each has the columns of the log: time (ISO 8601), version, package, role, latency_ms, output, and the row that the
    expectations see; `sealed`: the name of the sealed hour, or None.

    Args:
        prediction_id: as `prediction_log.Feedback.id` allows it.
    """
    seconds = answered_at(prediction_id)
    found: list[dict[str, Any]] = []
    for hour in dict.fromkeys((hour_of(seconds), hour_of(seconds + _LATE_SECONDS))):
        for folder in sorted((log / SEALED).glob(f"{hour}*")):
            path = folder / sealing.PREDICTIONS
            if path.is_file():
                found += _rows(pq.read_table(path, filters=[("id", "=", prediction_id)]), folder.name)
        if (log / OPEN / hour).is_dir():
            table = log_reader.read(log / OPEN / hour).predictions
            found += _rows(table.filter(pc.equal(table["id"], prediction_id)), None)
    return sorted(found, key=lambda one: (one["role"] != "champion", one["index"]))


def _rows(table: pa.Table, sealed: str | None) -> list[dict[str, Any]]:
    if log_reader.INPUT in table.column_names:
        table = table.drop_columns([log_reader.INPUT])
    return [
        {**row, "time": row["time"].isoformat(), "output": json.loads(row["output"]), "sealed": sealed}
        for row in table.to_pylist()
    ]
