"""The alarms of a window of answers, by the code that judges the windows of a prediction log."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.contracts.monitor_actions import Trigger
from components.contracts.monitor_spec import MonitorSpec
from components.drift import columns as column_drift
from components.identity import digest
from components.monitoring import quality, watch
from components.monitoring.policy import MonitorAlarm
from components.monitoring.reference import TRUTH
from components.monitoring.windows import MOST_COMPARED
from components.rehearsal.model_version import ModelVersion


class WindowRows:
    """The champion's answers of a window.

    Args:
        frame: columns of inputs and outputs, (M,).
        missed: whether each row misses an expectation, (M,).
        embedding: (M, D); None where none is watched.
    """

    def __init__(
        self, name: str, frame: pd.DataFrame, missed: NDArray[np.bool_], embedding: NDArray[np.float32] | None
    ) -> None:
        self.name, self.frame, self.missed, self.embedding = name, frame, missed, embedding


def of_window(spec: MonitorSpec, version: ModelVersion, window: WindowRows, seed: int) -> list[MonitorAlarm]:
    """The alarms without labels; the version's monitor is the next one."""
    frame, name, limits = window.frame, window.name, spec.limits
    found: list[tuple[Trigger, str]] = []
    thinned = slice(None, None, -(-len(frame) // MOST_COMPARED) if len(frame) > MOST_COMPARED else 1)
    compared = frame.iloc[thinned].drop(columns=spec.leave_out, errors="ignore")
    reference = version.reference.rows.drop(columns=[TRUTH, *spec.leave_out], errors="ignore")
    alarmed: Sequence[str] = ()
    if len(compared) >= spec.min_rows:
        vectors = None if window.embedding is None else window.embedding[thinned]
        version.monitor, watched = watch.step(
            version.monitor, reference, compared, spec, name, (version.reference.embedding, vectors)
        )
        if watched.alarm is not None and watched.found is not None:
            alarmed = tuple(one.stream for one in watched.found.streams)
            found.append(("drift", watched.alarm))
        if limits.psi is not None:
            found += _distance(reference, compared, limits.psi)
    if limits.missed is not None and len(window.missed) and window.missed.mean() > limits.missed:
        found.append(
            ("expectations", f"{window.missed.mean():.1%} of the rows miss an expectation of the training data")
        )
    if limits.quality_drop is not None:
        found += _estimated(version.reference.rows, frame, tuple(alarmed), limits.quality_drop)
    return [MonitorAlarm(trigger, name, text, digest.of_value([seed, name, trigger])) for trigger, text in found]


def _distance(reference: pd.DataFrame, window: pd.DataFrame, limit: float) -> list[tuple[Trigger, str]]:
    drifts = column_drift.compare(reference, window)
    beyond = [f"{one.column} ({one.psi:.2f})" for one in drifts if one.psi > limit]
    return [("distance", f"population stability index above {limit:g}: {', '.join(beyond)}")] if beyond else []


def _estimated(
    reference: pd.DataFrame, frame: pd.DataFrame, alarmed: tuple[str, ...], limit: float
) -> list[tuple[Trigger, str]]:
    found = quality.estimated(reference, frame, alarmed) or {}
    drop = found.get("drop")
    if drop is None or not math.isfinite(drop) or drop <= limit:
        return []
    return [("estimated_quality", f"the estimated accuracy is {drop:.1%} below the reference's")]


def of_labels(
    spec: MonitorSpec, version: ModelVersion, name: str, right: int, wrong: int, seed: int
) -> list[MonitorAlarm]:
    """The alarm of the labels that arrived in a window, if the accuracy is too low for the first time."""
    if version.labelled is None:
        return []
    before = version.labelled.alarm_at
    version.labelled = version.labelled.advance(right, wrong)
    if before is not None or version.labelled.alarm_at is None:
        return []
    found = version.labelled.result()
    text = (
        f"the accuracy on {found.labels:,} labels is below {found.limit:g}: {found.right / max(1, found.labels):.1%} "
        f"are right"
    )
    return [MonitorAlarm("live_quality", name, text, digest.of_value([seed, name, "live_quality"]))]
