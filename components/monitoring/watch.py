"""The test over time: the monitor of `components.drift.sequential` before and after a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.contracts.monitor_spec import MonitorSpec
from components.core.errors import UsageError
from components.drift.alternatives import bank
from components.drift.sequential import Alarm, DriftMonitor, Stream
from components.monitoring import windows
from components.monitoring.output_columns import OUTPUT
from components.monitoring.windows import A_MONTH

SEED = 0


class Watched(NamedTuple):
    """The monitor after a window.

    Args:
        state: as JSON; None if it watches nothing yet.
        evidence, threshold: of the stream with the most evidence, as logarithms to the base 10.
        stream: that stream.
        found: the alarm that the window raised, if any.
        note: why nothing is watched, or what the window cannot be compared with.
    """

    state: str | None
    evidence: float | None = None
    threshold: float | None = None
    stream: str | None = None
    found: Alarm | None = None
    note: str | None = None

    @property
    def alarm(self) -> str | None:
        """The alarm in words."""
        if self.found is None:
            return None
        streams = "; ".join(
            f"{one.stream}: {one.change} (10^{one.log10_evidence:.1f} of 10^{one.log10_threshold:.1f})"
            for one in self.found.streams[:5]
        )
        more = f" and {len(self.found.streams) - 5} more" if len(self.found.streams) > 5 else ""
        return f"what is answered has changed, since {self.found.began} it seems: {streams}{more}"

    def text(self) -> str:
        """How near an alarm is, for a table."""
        if self.evidence is None or self.threshold is None:
            return "-"
        return f"10^{self.evidence:.1f} of 10^{self.threshold:.1f}"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "log10_evidence": self.evidence,
            "log10_threshold": self.threshold,
            "stream": self.stream,
            "alarm": None if self.found is None else self.found.model_dump(mode="json"),
            "note": self.note,
        }


def advance(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    spec: MonitorSpec,
    state: str | None,
    name: str,
    embeddings: tuple[NDArray[np.float32] | None, NDArray[np.float32] | None] = (None, None),
) -> Watched:
    """The monitor after a window.

    Rows without their input, as they came too fast to be described, are left out: they are no missing values.

    Args:
        reference: rows of the reference; read only for the first window.
        state: before the window; None: a monitor begins.
        embeddings: of the reference's rows, and of rows of the window.
    """
    monitor, watched = step(
        None if state is None else DriftMonitor.from_json(state), reference, window, spec, name, embeddings
    )
    return watched._replace(state=None if monitor is None else monitor.to_json())


def step(
    monitor: DriftMonitor | None,
    reference: pd.DataFrame,
    window: pd.DataFrame,
    spec: MonitorSpec,
    name: str,
    embeddings: tuple[NDArray[np.float32] | None, NDArray[np.float32] | None] = (None, None),
) -> tuple[DriftMonitor | None, Watched]:
    """As `advance`, the monitor as it is instead of its JSON; None if it watches nothing yet."""
    inputs = [column for column in reference.columns if not column.startswith(OUTPUT)]
    shared = [column for column in inputs if column in window.columns]
    rows = window.dropna(how="all", subset=shared) if shared else window
    of_reference, of_window = embeddings
    try:
        monitor = monitor if monitor is not None else DriftMonitor.start(
            reference,
            false_alarms_per_month=spec.false_alarms_per_month,
            windows_per_month=A_MONTH[spec.window],
            embedding=of_reference if of_reference is not None and len(of_reference) == len(reference) else None,
            seed=SEED,
        )  # fmt: skip
    except UsageError as error:  # a reference of a few rows, or of texts alone
        return None, Watched(None, note="; ".join(error.lines()))
    phase = windows.phase(name, spec)
    note = None
    if phase is not None and not monitor.knows(phase):
        note = f"the first window of {phase}: there is no earlier one that its rows are compared with (monitor.season)"
    monitor, alarm = monitor.update(rows, name=name, embedding=of_window, phase=phase)
    threshold = monitor.log_threshold / math.log(10)
    if alarm is not None:
        first = alarm.streams[0]
        return monitor, Watched(None, first.log10_evidence, threshold, first.stream, alarm, note)
    evidences = _log_evidences(monitor.streams) / math.log(10)
    place = int(np.argmax(evidences))
    return monitor, Watched(None, float(evidences[place]), threshold, monitor.streams[place].name, note=note)


def _log_evidences(streams: Sequence[Stream]) -> NDArray[np.float64]:
    """The logarithms of 1 + M after the last window, means over the alternatives (`components.drift.e_detector`)."""
    statistics = np.array([stream.statistics for stream in streams])
    return np.asarray(np.log1p(statistics @ np.exp(bank().log_weights)))
