"""A pool of rows of a small classifier that is right more often where `raw.row.age` is low, and runs on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from components.contracts.monitor_spec import MonitorSpec
from components.contracts.rehearsal_request import PolicySpec
from components.contracts.rehearsal_scenario import ScenarioSpec
from components.rehearsal import pool as pools
from components.rehearsal.outcome import Rehearsed
from components.rehearsal.pool import Pool
from components.rehearsal.simulation import Simulation
from components.rehearsal.world import World

DAYS = 6
NOTIFY = [{"url_env": "ALERTS"}]


def table(rows: int = 1500, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 10, rows)
    truth = rng.choice(["no", "yes", "maybe"], rows, p=[0.6, 0.3, 0.1])
    is_wrong = rng.random(rows) < np.where(age > 45, 0.25, 0.05)
    return pd.DataFrame({
        "raw.row.age": age, "raw.row.hours": rng.normal(38, 5, rows).round(),
        "output.label": np.where(is_wrong, np.where(truth == "no", "yes", "no"), truth),
        "output.confidence": np.clip(rng.normal(0.85, 0.1, rows) - 0.1 * is_wrong, 0.34, 1),
        "truth": truth,
    })  # fmt: skip


def pool() -> Pool:
    return pools.of_table(table(), None, None, 400)


def policy(**settings: Any) -> PolicySpec:
    actions = {"notify": NOTIFY, **settings.pop("actions", {})}
    own = {name: settings.pop(name) for name in ("canary_percent", "enforce") if name in settings}
    return PolicySpec(name="p", monitor=MonitorSpec.model_validate({**settings, "actions": actions}), **own)


def world(scenario: str, days: float = DAYS, rows: Pool | None = None, seed: int = 0) -> World:
    return World(ScenarioSpec.parse(scenario), rows or pool(), round(24 * days), seed)


def run(scenario: str, spec: PolicySpec, days: float = DAYS, rows: Pool | None = None, seed: int = 0) -> Rehearsed:
    return Simulation(spec, world(scenario, days, rows, seed), seed, 30.0).run(lambda hours: None)
