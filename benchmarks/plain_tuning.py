"""Optuna around a bare training function, as its first page shows it: no pruner, one trial after the other, in memory.

    python -m benchmarks.plain_tuning PIPELINE_FILE SECONDS

The space is that of the file's section `tune:`. Prints the number of finished trials and the best figure.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import optuna

from benchmarks import plain_digits
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.tuning import space


def main() -> None:
    """Search for the seconds of the command line, and print one line."""
    file, seconds = Path(sys.argv[1]), float(sys.argv[2])
    tune = located_yaml.read(file, PipelineSpec).tune
    assert tune is not None
    begin = time.monotonic()
    images, labels, held, held_labels, _, _ = plain_digits.splits()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))

    def objective(trial: optuna.Trial) -> float:
        spec = located_yaml.read(file, PipelineSpec, space.suggest(trial, tune))
        return plain_digits.learn(spec, images, labels, held, held_labels)[1]

    while time.monotonic() - begin < seconds:
        study.optimize(objective, n_trials=1)
    finished = len(study.trials) - (time.monotonic() - begin > seconds)  # the last one ended too late
    result = {"benchmark": "plain_tuning", "trials": finished, "best": study.best_value}
    print(json.dumps({**result, "seconds": round(time.monotonic() - begin, 1)}))


if __name__ == "__main__":
    main()
