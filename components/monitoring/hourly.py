"""What a prediction log says hour by hour: answers, latency, and the quality of answers whose truth was told.

Nothing is written: hours that are over and not sealed yet are read as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components.contracts.prediction_log import OPEN, hours
from components.monitoring import labels, live_quality, log_reader, sealing

MOST_HOURS = 168
MOST_ROWS = 1_000_000
MOST_OPEN_BYTES = 64_000_000


class HourFigures(NamedTuple):
    """One version in one role in one hour.

    Args:
        hour: UTC, as `2026-11-29T13`.
        sealed: whether the hour is sealed.
        labelled: answers whose truth was told.
        metric, value, low, high: the quality of those, with a 95 % interval; None: there are none.
    """

    hour: str
    version: str
    role: str
    sealed: bool
    answers: int
    p50_ms: float
    p99_ms: float
    labelled: int
    metric: str | None
    value: float | None
    low: float | None
    high: float | None


class HourlyFigures(NamedTuple):
    """The last hours of a log, in order.

    Args:
        left_out: earlier hours that were not read, and open ones that are too large to be read for a page.
    """

    hours: list[HourFigures]
    left_out: int


def hourly(log: Path, most_hours: int = MOST_HOURS) -> HourlyFigures:
    """The figures of the last hours.

    Args:
        most_hours: hours that are read; fewer if they have more than `MOST_ROWS` answers.

    Raises:
        CorruptArtifactError: the manifest of a sealed hour does not fit.
    """
    opened = {hour: log / OPEN / hour for hour in hours(log / OPEN)}
    sealed = {one.name: one for one in sealing.sealed_hours(log)}
    predictions: list[pa.Table] = []
    feedback: list[dict[str, object]] = []
    read, rows = 0, 0
    every = sorted([*opened, *sealed], reverse=True)
    for name in every[:most_hours]:
        if rows > MOST_ROWS:
            break
        if name in sealed:
            table = pq.read_table(sealed[name].folder / sealing.PREDICTIONS, columns=list(log_reader.FACTS.names))
            told = pq.read_table(sealed[name].folder / sealing.FEEDBACK).to_pylist()
        elif _bytes(opened[name]) > MOST_OPEN_BYTES:
            continue
        else:
            part = log_reader.read(opened[name])
            table, told = part.predictions.select(log_reader.FACTS.names), part.feedback.to_pylist()
        hour = pa.array([name.partition(".")[0]] * table.num_rows, pa.string())
        predictions.append(table.append_column("hour", hour))
        feedback += told
        rows += table.num_rows
        read += 1
    empty = log_reader.FACTS.empty_table().append_column("hour", pa.array([], pa.string()))
    table = pa.concat_tables([empty, *predictions])
    figures = _figures(table, feedback, set(sealed)) if table.num_rows else []
    return HourlyFigures(figures, len(every) - read)


def _figures(table: pa.Table, feedback: list[dict[str, object]], sealed: set[str]) -> list[HourFigures]:
    joined = labels.join(table, feedback).table
    joined["hour"] = joined["time"].dt.strftime("%Y-%m-%dT%H")
    quality = {
        (str(hour), one.version, one.role): one
        for hour, members in joined.groupby("hour", sort=True)
        for one in live_quality.figures(members)
    }
    frame = table.select(["hour", "version", "role", "latency_ms"]).to_pandas()
    found = []
    for (hour, version, role), members in frame.groupby(["hour", "version", "role"], sort=True):
        one = quality.get((str(hour), str(version), str(role)))
        p50, p99 = (float(value) for value in members["latency_ms"].quantile([0.5, 0.99]))
        found.append(
            HourFigures(
                str(hour),
                str(version),
                str(role),
                str(hour) in sealed,
                len(members),
                p50,
                p99,
                one.samples if one else 0,
                one.metric if one else None,
                one.value if one else None,
                one.low if one else None,
                one.high if one and one.high != float("inf") else None,
            )
        )
    return found


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
