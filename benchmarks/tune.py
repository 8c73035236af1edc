"""Trials of `modelyard tune digits` in a given time, against plain Optuna around a bare training function.

python -m benchmarks.tune [--minutes 5]

Both search the same space of digits.yaml for the same time on the whole machine, one after the other. Of ours a trial
counts whose outcome is known: trained to the end, ended early, or known from before.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import figure
from benchmarks.figure import Figure, tell
from tests.house import House
from tests.project_copy import running_copy

NAME = "tune"
SPACE = {
    "train.learning_rate": {"float": [7.5e-4, 4.8e-2], "log": True},
    "train.batch_size": {"choice": [32, 64, 128]},
    "train.weight_decay": {"float": [1e-5, 0.3], "log": True},
    "train.label_smoothing": {"float": [0.0, 0.2]},
    "model.dropout": {"float": [0.0, 0.6]},
    "model.width": {"choice": [12, 24, 48]},
    "model.depth": {"choice": [1, 2, 3]},
}


def measure(minutes: float = 5.0) -> list[Figure]:
    """Trials of both, their ratio, and the best figures on the validation split."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder, running_copy(Path(folder) / "project") as house:
        name = house.pipeline("searched", tune={"space": SPACE, "pruner": "median"})
        house.run("run", "digits", "--set", "train.epochs=1", check=False)  # prepares the data, which is not the search
        plain = _plain(house, name, minutes * 60)
        tell(f"plain Optuna: {plain}")
        ours = house.json("tune", name, "--for", f"{minutes * 60:g}s", timeout=minutes * 60 + 300)
    states = [trial["state"] for trial in ours["trials"]]
    done = sum(state in ("complete", "pruned") for state in states)
    tell(f"ours: {done} trials, {states.count('pruned')} of them ended early")
    best = max(trial["values"][0] for trial in ours["trials"] if trial["state"] == "complete")
    return [
        Figure(NAME, f"trials of plain Optuna in {minutes:g} minutes", plain["trials"]),
        Figure(NAME, f"trials of `modelyard tune` in {minutes:g} minutes", done),
        Figure(NAME, "ratio", round(done / max(1, plain["trials"]), 2), "x", at_least=1.0),
        Figure(NAME, "best validation accuracy of plain Optuna", round(plain["best"], 4)),
        Figure(NAME, "best validation accuracy of `modelyard tune`", round(best, 4)),
    ]


def _plain(house: House, name: str, seconds: float) -> dict[str, float]:
    file = house.project.pipeline_file(name)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.plain_tuning", str(file), str(seconds)],
        cwd=house.root,
        env=house.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--minutes", type=float, default=5.0)
    sys.exit(figure.command(measure, options))
