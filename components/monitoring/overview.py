"""What a model's prediction log holds: sealed hours, those that are still open, and the quality of what has a truth.

The memory grows with the number of truths, and not with that of answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contracts.prediction_log import OPEN, hours
from components.core import file_lock
from components.core.errors import UsageError
from components.monitoring import labels, live_quality, log_reader, sealing, upkeep
from components.monitoring.labels import JoinCounts
from components.monitoring.live_quality import LiveDifference, LiveFigure
from components.monitoring.log_reader import LogPart
from components.monitoring.sealing import SealedHour
from components.monitoring.slices import slices
from components.monitoring.upkeep_request import UpkeepRequest

# Columns that are no property of a sample, or that figures are given by in any case.
_NOT_SLICED = frozenset({"id", "index", "time", "latency_ms", "output", log_reader.INPUT})


class SlotTotals(NamedTuple):
    """Answers of a version in a role.

    Args:
        median_ms: of the latency, to three digits.
    """

    version: str
    role: str
    predictions: int
    first: str
    last: str
    median_ms: float


class LogOverview(NamedTuple):
    """A log at one moment.

    Args:
        open: hours that are not sealed yet; their answers are counted too.
        comparisons: of challengers and shadows with champions.
        dropped: requests that are missing, as they came faster than they could be written.
        unreadable: lines that could not be read, as the last of a killed process.
        forgotten: answers that `modelyard forget` removed.
        unscored: answers whose truth is of another kind than they are.
        unknown_classes: how many truths have each name that is no class of the model; they count in no figure.
        unknown_note: the same in words.
    """

    sealed: int
    open: int
    slots: tuple[SlotTotals, ...]
    figures: tuple[LiveFigure, ...]
    comparisons: tuple[LiveDifference, ...]
    truths: JoinCounts
    dropped: int
    unreadable: int
    forgotten: int
    unscored: int
    unknown_classes: dict[str, int]
    unknown_note: str | None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **self._asdict(),
            "slots": [one._asdict() for one in self.slots],
            "figures": [one._asdict() for one in self.figures],
            "comparisons": [one._asdict() for one in self.comparisons],
            "truths": self.truths._asdict(),
        }


def overview(
    log: Path, retention_days: float | None = None, store: Path | None = None, by: str | None = None
) -> LogOverview:
    """Seal the hours that are over, remove inputs that are too old, and look at all of the log.

    Args:
        retention_days: after which inputs are removed; None: they stay.
        store: the folder of the artifact store that sealed hours are pushed to; None: they are not.
        by: a column of the predictions; figures are given for its slices too.

    Raises:
        CorruptArtifactError: a sealed hour was changed.
        UsageError: no answer has the column.
    """
    if by in _NOT_SLICED:
        expected = "a column of the samples, such as raw.row.age or prepared.mean"
        raise UsageError("answers have no slices by this column", got=by, expected=expected)
    upkeep.keep_up(UpkeepRequest(log=log, model=log.name, retention_days=retention_days, store=store))
    with file_lock.locked(upkeep.lock_file(log), "another look at the prediction log"):
        sealed = sealing.sealed_hours(log)
        opened = [log_reader.read(log / OPEN / hour) for hour in hours(log / OPEN)]
        feedback = [row for one in sealed for row in pq.read_table(one.folder / sealing.FEEDBACK).to_pylist()]
        feedback += [row for part in opened for row in part.feedback.to_pylist()]
        totals, labelled = _look(sealed, opened, pa.array({row["id"] for row in feedback}, pa.string()), by)
    joined = labels.join(labelled, feedback)
    table, answers = joined.table, sum(one.count for one in totals.values())
    known, unknown = live_quality.known_classes(table["output"]), live_quality.unknown_counts(table)
    figures, comparisons = live_quality.figures(table), live_quality.comparisons(table)
    for name, members in slices(table, by) if by is not None else ():
        figures += live_quality.figures(members, name, known)
        comparisons += live_quality.comparisons(members, name, known)
    facts = [one.manifest.facts for one in sealed]
    return LogOverview(
        len(sealed),
        len(opened),
        tuple(one.row(*key) for key, one in sorted(totals.items())),
        tuple(figures),
        tuple(comparisons),
        joined.counts._replace(unlabelled=answers - joined.counts.labelled),
        sum(int(one["dropped_requests"]) for one in facts) + sum(part.dropped for part in opened),
        sum(int(one["unreadable_lines"]) for one in facts) + sum(part.torn for part in opened),
        sum(int(one.get("forgotten", 0)) for one in facts),
        live_quality.unscored(table),
        unknown,
        live_quality.unknown_note(unknown, known),
    )


class _Totals:
    """Answers of one slot: number, first and last time, latencies to three digits."""

    def __init__(self) -> None:
        self.count = 0
        self.first, self.last = None, None
        self.latencies: Counter[float] = Counter()

    def add(self, table: pa.Table) -> None:
        first, last = pc.min_max(table["time"]).as_py().values()
        self.count += table.num_rows
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)
        exact = table["latency_ms"].to_numpy()
        scale = 10.0 ** (np.floor(np.log10(np.maximum(exact, 1e-6))) - 2)
        rounded, counts = np.unique(np.round(exact / scale) * scale, return_counts=True)
        self.latencies.update(dict(zip(rounded.tolist(), counts.tolist(), strict=True)))

    def row(self, version: str, role: str) -> SlotTotals:
        ordered = sorted(self.latencies.items())
        middle = int(np.searchsorted(np.cumsum([count for _, count in ordered]), self.count / 2))
        first, last = (f"{moment:%Y-%m-%d %H:%M:%SZ}" for moment in (self.first, self.last))
        return SlotTotals(version, role, self.count, first, last, float(f"{ordered[middle][0]:.6g}"))


def _look(
    sealed: list[SealedHour], opened: list[LogPart], told: pa.Array, by: str | None
) -> tuple[dict[tuple[str, str], _Totals], pa.Table]:
    """Totals by version and role, and the answers of which a truth was told, with the column `by`.

    Raises:
        UsageError: no answer has the column.
    """
    totals: dict[tuple[str, str], _Totals] = {}
    labelled, names = [log_reader.FACTS.empty_table()], set[str]()
    for table in _tables(sealed, opened, by):
        for key in {
            (row["version"], row["role"]) for row in table.group_by(["version", "role"]).aggregate([]).to_pylist()
        }:
            members = table.filter((pc.field("version") == key[0]) & (pc.field("role") == key[1]))
            totals.setdefault(key, _Totals()).add(members)
        names.update(table.column_names)
        labelled.append(table.filter(pc.is_in(table["id"], value_set=told)))
    if by is not None and by not in names and totals:
        columns = {name for one in sealed for name in pq.read_schema(one.folder / sealing.PREDICTIONS).names}
        columns |= {name for part in opened for name in part.predictions.column_names}
        expected = ", ".join(sorted(name for name in columns if name not in _NOT_SLICED))
        raise UsageError("no answer has this column", got=by, expected=expected)
    schema = log_reader.unified([table.schema for table in labelled])
    if by is not None and by not in schema.names:
        schema = schema.append(pa.field(by, pa.string()))
    return totals, pa.concat_tables([log_reader.conformed(table, schema) for table in labelled])


def _tables(sealed: list[SealedHour], opened: list[LogPart], by: str | None) -> Iterator[pa.Table]:
    """The columns that are needed, a row group or an open hour at a time."""
    columns = [*log_reader.FACTS.names, *([by] if by is not None and by not in log_reader.FACTS.names else [])]
    for one in sealed:
        with pq.ParquetFile(one.folder / sealing.PREDICTIONS) as parquet:
            there = [name for name in columns if name in parquet.schema_arrow.names]
            for group in range(parquet.num_row_groups):
                yield parquet.read_row_group(group, columns=there, use_threads=False)
    for part in opened:
        if part.predictions.num_rows:
            yield part.predictions.select([name for name in columns if name in part.predictions.column_names])
