"""A version of the model in a rehearsal, and what retrains it.

The first version is the package: its answers are its own. A retraining is not carried out. Its model is simulated: the
right answers to single rows are those of the version before it, changed at random until the accuracy on the rows of the
day of its order is the one that the scenario states.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.contracts.monitor_spec import MonitorSpec
from components.drift import accuracy_watch
from components.drift.accuracy_watch import WatchState
from components.drift.distances import Real
from components.drift.sequential import DriftMonitor
from components.monitoring.output_columns import LABEL
from components.monitoring.reference import TRUTH
from components.monitoring.windows import A_MONTH
from components.rehearsal.pool import Pool, take
from components.rehearsal.world import World

CHURN = 0.01  # of the answers, which any retraining changes from right to wrong, and as many back


class ReferenceRows(NamedTuple):
    """What a version's windows are compared with: inputs and outputs, `truth`, and the embedding of each row."""

    rows: pd.DataFrame
    embedding: NDArray[np.float32] | None


class ModelVersion:
    """A version and the state of its watch.

    Args:
        number: 1 for the package.
        right: whether its answer to each row of the pool is right, (N,).
        labels: of its answers; None: those of the pool.
        level: of the change, in the data that it was trained on.
        reference: of its monitor.
    """

    def __init__(
        self, number: int, right: Real, labels: NDArray[Any] | None, level: float, reference: ReferenceRows,
        spec: MonitorSpec,
    ) -> None:  # fmt: skip
        self.number, self.right, self.labels, self.level, self.reference = number, right, labels, level, reference
        self.monitor: DriftMonitor | None = None
        self.labelled: WatchState | None = None
        if spec.limits.live_accuracy is not None:
            self.labelled = accuracy_watch.start(
                spec.limits.live_accuracy,
                false_alarms_per_month=spec.false_alarms_per_month,
                windows_per_month=A_MONTH[spec.window],
            )


def first(
    pool: Pool, world: World, spec: MonitorSpec, seed: int, reference: ReferenceRows | None = None
) -> ModelVersion:
    """The package.

    Args:
        reference: None: rows of the pool.
    """
    if reference is None:
        reference = _reference(pool, world, None, 0.0, [seed, 1])
    return ModelVersion(1, pool.right, None, 0.0, reference, spec)


def retrained(
    parent: ModelVersion, pool: Pool, world: World, spec: MonitorSpec, level: float, number: int, seed: int
) -> ModelVersion:
    """The version that a retraining makes of the data at a level of the change."""
    right, labels = parent.right, parent.labels
    now, before = world.accuracy(right, level), world.accuracy(pool.right, 0.0)
    if now is not None and before is not None:
        target = now + world.spec.recovers * max(0.0, before - now)
        if world.spec.name == "bad_retraining":
            target -= world.spec.worse_by
        rng = np.random.default_rng([seed, 2, number])
        right, labels = _changed(parent, pool, min(max(target, 0.0), 1.0), now, rng)
    return ModelVersion(number, right, labels, level, _reference(pool, world, labels, level, [seed, 3, number]), spec)


def _changed(
    parent: ModelVersion, pool: Pool, target: float, now: float, rng: np.random.Generator
) -> tuple[Real, NDArray[Any] | None]:
    draws, others = rng.random(len(parent.right)), rng.random(len(parent.right))
    lost = CHURN * now + max(0.0, now - target)  # share of all answers
    won = CHURN * now + max(0.0, target - now)
    is_right = parent.right == 1
    becomes_wrong = is_right & (draws < lost / max(now, 1e-9))
    becomes_right = ~is_right & (draws < won / max(1 - now, 1e-9))
    right = np.where(becomes_wrong, 0.0, np.where(becomes_right, 1.0, parent.right))
    if LABEL not in pool.rows:
        return right, parent.labels
    labels = (pool.rows[LABEL].to_numpy(object) if parent.labels is None else parent.labels).copy()
    labels[becomes_right] = pool.truth[becomes_right]
    names = pool.labels
    for place in np.flatnonzero(becomes_wrong):
        wrong = [name for name in names if name != pool.truth[place]]
        labels[place] = wrong[int(others[place] * len(wrong))] if wrong else labels[place]
    return right, labels


def _reference(pool: Pool, world: World, labels: NDArray[Any] | None, level: float, seed: list[int]) -> ReferenceRows:
    """Rows as they are at a level of the change, as many as the package's reference has."""
    rng = np.random.default_rng(seed)
    places = world.places(rng, pool.reference_rows, world.usual_mix(level), level)
    places = places[pool.answered[places]]
    rows = take(pool, places, labels)
    if any(one is not None for one in pool.truth):
        rows[TRUTH] = pool.truth[places]
    return ReferenceRows(rows, None if pool.embedding is None else pool.embedding[places])
