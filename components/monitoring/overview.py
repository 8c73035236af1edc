"""What a model's prediction log holds: sealed hours, those that are still open, and the quality of what has a truth."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components.contracts.prediction_log import OPEN, hours
from components.core import file_lock
from components.monitoring import labels, live_quality, log_reader, sealing
from components.monitoring.labels import JoinCounts
from components.monitoring.live_quality import LiveFigure


class SlotTotals(NamedTuple):
    """Answers of a version in a role."""

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
        dropped: requests that are missing, as they came faster than they could be written.
        unreadable: lines that could not be read, as the last of a killed process.
    """

    sealed: int
    open: int
    slots: tuple[SlotTotals, ...]
    figures: tuple[LiveFigure, ...]
    truths: JoinCounts
    dropped: int
    unreadable: int

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **self._asdict(),
            "slots": [one._asdict() for one in self.slots],
            "figures": [one._asdict() for one in self.figures],
            "truths": self.truths._asdict(),
        }


def overview(log: Path, retention_days: int | None = None) -> LogOverview:
    """Seal the hours that are over, remove inputs that are too old, and look at all of the log.

    Args:
        retention_days: after which inputs are removed; None: they stay.

    Raises:
        CorruptArtifactError: a sealed hour was changed.
    """
    with file_lock.locked(log / "sealing.lock", "another look at the prediction log"):
        sealing.seal_closed(log)
        if retention_days is not None:
            sealing.remove_inputs(log, time.time() - 86_400.0 * retention_days)
        sealed = sealing.sealed_hours(log)
        opened = [log_reader.read(log / OPEN / hour) for hour in hours(log / OPEN)]
    facts = list(log_reader.FACTS.names)
    tables = [pq.read_table(one.folder / sealing.PREDICTIONS, columns=facts) for one in sealed]
    tables += [part.predictions.select(facts) for part in opened]
    feedback = [row for one in sealed for row in pq.read_table(one.folder / sealing.FEEDBACK).to_pylist()]
    feedback += [row for part in opened for row in part.feedback.to_pylist()]
    predictions = pa.concat_tables([log_reader.FACTS.empty_table(), *tables])
    joined = labels.join(predictions, feedback)
    return LogOverview(
        len(sealed),
        len(opened),
        _slots(predictions),
        tuple(live_quality.figures(joined.table)),
        joined.counts,
        sum(int(one.manifest.facts["dropped_requests"]) for one in sealed) + sum(part.dropped for part in opened),
        sum(int(one.manifest.facts["unreadable_lines"]) for one in sealed) + sum(part.torn for part in opened),
    )


def _slots(predictions: pa.Table) -> tuple[SlotTotals, ...]:
    table = predictions.select(["version", "role", "time", "latency_ms"]).to_pandas()
    found = []
    for (version, role), members in table.groupby(["version", "role"], sort=True):
        first, last = (
            moment.strftime("%Y-%m-%d %H:%M:%SZ") for moment in (members["time"].min(), members["time"].max())
        )
        median = float(members["latency_ms"].median())
        found.append(SlotTotals(str(version), str(role), len(members), first, last, median))
    return tuple(found)
