"""Months that a rehearsal runs in a minute of one processor core: 16 columns, 60 requests an hour.

    python -m benchmarks.rehearse [--months 3]

The time is that of the process, so that other work on the machine matters little. The policy watches drift and labels,
retrains, and judges a challenger.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.contracts.monitor_spec import MonitorSpec
from components.contracts.rehearsal_request import PolicySpec
from components.contracts.rehearsal_scenario import ScenarioSpec
from components.rehearsal import pool as pools
from components.rehearsal.simulation import Simulation
from components.rehearsal.world import HOURS_A_MONTH, World

NAME = "rehearse"
TARGET = 3.0
ROWS = 10_000
POLICY = {
    "limits": {"live_accuracy": 0.82},
    "actions": {
        "drift": ["notify", "retrain"],
        "live_quality": ["notify", "retrain"],
        "notify": [{"url_env": "ALERTS_URL"}],
        "retrain": {"promote": "if_better"},
        "cooldown_hours": 72,
    },
}


def table() -> pd.DataFrame:
    """Rows as of the census of incomes: 6 columns of numbers, 8 of categories, label and confidence, truth."""
    rng = np.random.default_rng(0)
    numbers = {f"raw.row.number{at}": rng.lognormal(0, 1, ROWS).round(2) for at in range(6)}
    categories = {f"raw.row.category{at}": rng.choice(list("abcdefghijklmnop")[: 2 + 2 * at], ROWS) for at in range(8)}
    truth = rng.choice(["<=50K", ">50K"], ROWS, p=[0.76, 0.24])
    is_wrong = rng.random(ROWS) < 0.14
    answer = np.where(is_wrong, np.where(truth == ">50K", "<=50K", ">50K"), truth)
    outputs = {"output.label": answer, "output.confidence": rng.beta(8, 2, ROWS), "truth": truth}
    return pd.DataFrame({**numbers, **categories, **outputs})


def measure(months: float) -> list[Figure]:
    """Months a minute, without a change and with one."""
    pool = pools.of_table(table(), None, None, 5_000)
    policy = PolicySpec(name="benchmark", monitor=MonitorSpec.model_validate(POLICY))
    figures = []
    for name in ("none", "gradual"):
        world = World(ScenarioSpec.parse(name), pool, round(months * HOURS_A_MONTH), 0)
        started = time.process_time()
        found = Simulation(policy, world, 0, None).run(lambda _: None)
        minutes = (time.process_time() - started) / 60
        tell(f"{name}: {60 * minutes:.1f} s, {len(found.alarms)} alarms, {len(found.orders)} orders")
        text = f"months a minute of one core, {name} ({months:g} months)"
        figures.append(Figure(NAME, text, round(months / minutes, 2), at_least=TARGET))
    return figures


def main() -> int:
    """0: all targets met; 1: one was missed."""
    parser = figure.parser(__doc__)
    parser.prog = "python -m benchmarks.rehearse"
    parser.add_argument("--months", type=float, default=3.0)
    return figure.command(measure, parser)


if __name__ == "__main__":
    sys.exit(main())
