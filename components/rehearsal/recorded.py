"""Traffic of a prediction log: rows to draw from, and the recorded hours as they were."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.contracts.rehearsal_scenario import ScenarioSpec
from components.contracts.row_expectations import RowSuite
from components.core.errors import UsageError
from components.monitoring import live_quality, output_columns, sealing, windows
from components.monitoring.reference import TRUTH
from components.rehearsal.clock import HOUR_SECONDS, Clock
from components.rehearsal.pool import Pool, of_table
from components.rehearsal.world import Hour, World
from components.tasks import input_rows

_ROLE = "champion"


class Recording(NamedTuple):
    """The champion's answers of one package in a log.

    Args:
        package: that answered most.
        table: columns of inputs and outputs, `truth` as a text, (N,).
        times: of the answers, seconds since 1970, (N,).
        delays: seconds until the truth was told, (N,); NaN where none was.
        others: answers of other packages and roles, which are left out.
    """

    package: str
    table: pd.DataFrame
    times: NDArray[np.float64]
    delays: NDArray[np.float64]
    right: NDArray[np.float64]
    others: int

    @property
    def requests_an_hour(self) -> float:
        """On average, from the first answer to the last."""
        return len(self.times) / max(1.0, float(self.times[-1] - self.times[0]) / HOUR_SECONDS)


def read(log: Path) -> Recording:
    """The sealed hours of a log.

    Raises:
        UsageError: no answer is sealed.
        CorruptArtifactError: a sealed hour is damaged.
    """
    sealed = sealing.sealed_hours(log)
    found = [windows.LogWindow(one.name, 0.0, (one,)).predictions() for one in sealed]
    rows = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    if rows.empty:
        raise UsageError(
            "the prediction log has no sealed hour with answers",
            where=str(log),
            next_step="wait until an hour is over and call `modelyard predictions`, or rehearse on the dataset",
        )
    champion = rows[rows["role"] == _ROLE]
    if champion.empty:
        raise UsageError("no champion has answered in this log", where=str(log))
    package = str(champion["package"].value_counts().index[0])
    own = champion[champion["package"] == package].sort_values(
        ["time", "id", "index"], kind="stable", ignore_index=True
    )
    truths = _truths(windows.truths(log, sealed))
    told = [truths.get(key) for key in zip(own["id"], own["index"], strict=True)]
    outputs = [json.loads(text) for text in own["output"]]
    table = pd.concat(
        [
            own[[name for name in own.columns if name.startswith(input_rows.PREFIXES)]],
            pd.DataFrame(output_columns.columns(outputs)),
            pd.DataFrame({TRUTH: [None if one is None else _text(one[1]) for one in told]}, dtype=object),
        ],
        axis=1,
    )
    times = own["time"].astype("datetime64[us, UTC]").astype("int64").to_numpy() / 1e6
    delays = np.array([math.nan if one is None else one[0] for one in told]) - times
    known = live_quality.known_classes(outputs)
    right = np.array([_right(output, one, known) for output, one in zip(outputs, told, strict=True)])
    return Recording(package, table, times, delays, right, len(rows) - len(own))


def _truths(rows: list[dict[str, Any]]) -> dict[tuple[str, int], tuple[float, Any]]:
    """The first truth that was told of each answer, and when it arrived."""
    found: dict[tuple[str, int], tuple[float, Any]] = {}
    for row in sorted(rows, key=lambda one: float(one["arrived"])):
        key = str(row["id"]), int(row["index"] or 0)
        found.setdefault(key, (float(row["arrived"]), json.loads(str(row["truth"]))))
    return found


def _text(truth: Any) -> str | None:
    return str(truth) if isinstance(truth, str | int) else None


def _right(output: dict[str, Any], told: tuple[float, Any] | None, known: Collection[str]) -> float:
    score = None if told is None else live_quality.score(output, told[1], known)
    return math.nan if score is None or score.metric != "accuracy" else score.value


def pool_of(recording: Recording, suite: RowSuite | None, reference_rows: int, *, labelled: bool) -> Pool:
    """The rows of a recording.

    Args:
        labelled: only rows whose answer is known to be right or wrong.
    """
    chosen = np.isfinite(recording.right) if labelled else np.ones(len(recording.table), bool)
    pool = of_table(recording.table[chosen].reset_index(drop=True), None, suite, reference_rows)
    return pool._replace(right=recording.right[chosen])


class RecordedWorld(World):
    """The hours of a recording, in their order."""

    def __init__(self, spec: ScenarioSpec, pool: Pool, recording: Recording, seed: int) -> None:
        begin = math.floor(recording.times[0] / HOUR_SECONDS) * HOUR_SECONDS
        hours = math.floor((recording.times[-1] - begin) / HOUR_SECONDS) + 1
        super().__init__(spec, pool, hours, seed, recording.requests_an_hour)
        self.clock = Clock(datetime.fromtimestamp(begin, UTC), hours)
        self._hours = np.floor((recording.times - begin) / HOUR_SECONDS).astype(np.int64)
        self._told = np.floor((recording.times + recording.delays - begin) / HOUR_SECONDS) - self._hours
        self._sides = np.random.default_rng([seed, 5]).random(len(self._hours))

    def draw(self, hour: int) -> Hour:
        """The requests of an hour."""
        first, last = np.searchsorted(self._hours, [hour, hour + 1]).tolist()
        places = np.arange(first, last)
        is_told = np.isfinite(self._told[places]) & np.isfinite(self.pool.right[places])
        told = np.where(is_told, np.nan_to_num(self._told[places]), -1).astype(np.int64)
        return Hour(places, told, np.zeros(len(places), bool), self._sides[places])
