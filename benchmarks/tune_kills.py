"""A search killed with -9 at random moments and gone on with, against the same search left alone.

python -m benchmarks.tune_kills [--kills 20] [--seed 0]

Two projects, the same pipeline and space. What is compared: number, settings and figures of all trials, the winner, and
whether a training that had ended was ever trained again (its figures on disk would be written anew).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.contracts.training_request import FIGURES_FILE
from tests.house import House
from tests.project_copy import running_copy

NAME = "tune_kills"
TRIALS = 12
SPACE = {
    "train.learning_rate": {"float": [1e-3, 3e-2], "log": True},
    "model.width": {"choice": [8, 16, 24]},
    "model.dropout": {"float": [0.0, 0.5]},
    "train.batch_size": {"choice": [32, 64]},
}
LONGEST_SECONDS = 8.0


def measure(kills: int = 20, seed: int = 0) -> list[Figure]:
    """What a killed search has other than one that was left alone."""
    outcomes = []
    done = twice = 0
    for count in (0, kills):
        with (
            tempfile.TemporaryDirectory(prefix="modelyard-") as folder,
            running_copy(Path(folder) / "project") as house,
        ):
            name = _pipeline(house)
            if count:
                done, twice = _kill_often(house, name, count, random.Random(seed))
            outcomes.append(house.json("tune", name, timeout=1200))
    calm, killed = ([_facts(trial) for trial in outcome["trials"]] for outcome in outcomes)
    different = sum(one != other for one, other in zip(calm, killed, strict=False)) + abs(len(calm) - len(killed))
    return [
        Figure(NAME, f"kills with -9 while it searched ({TRIALS} trials)", done, at_least=kills * 0.8),
        Figure(NAME, "trials that are lost or came out otherwise", different, at_most=0),
        Figure(NAME, "trainings that had ended and were trained again", twice, at_most=0),
        Figure(NAME, "another winner", outcomes[0]["best"] != outcomes[1]["best"], at_most=0),
    ]


def _pipeline(house: House) -> str:
    tune = {"space": SPACE, "pruner": "asha", "trials": TRIALS}
    model = {"family": "cnn", "name": "textbook", "depth": 2, "width": 8, "convolutions": 1, "dropout": 0.1}
    train = {"epochs": 9, "schedule": "onecycle", "augment": {}, "threads": 1}
    return house.pipeline("searched", model=model, train=train, gates={}, tune=tune)


def _kill_often(house: House, name: str, kills: int, rng: random.Random) -> tuple[int, int]:
    """Kill the command and all that it started, or the command alone, after a random time; kills, and repetitions."""
    done, written, twice = 0, dict[Path, int](), 0
    for number in range(kills):
        process = house.start("tune", name, warm=False)
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith(("core each", "cores each")):
                break  # from here on it searches
        time.sleep(rng.uniform(0.0, LONGEST_SECONDS))
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True) if number % 2 == 0 else []
            os.kill(process.pid, signal.SIGKILL)
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            done += 1
        process.communicate()
        now = {path: path.stat().st_mtime_ns for path in (house.project.state / "runs").glob(f"*/{FIGURES_FILE}")}
        twice += sum(now[path] != before for path, before in written.items())
        written = now
        tell(f"kill {number + 1}: {len(written)} trainings have ended")
    return done, twice


def _facts(trial: dict[str, Any]) -> tuple[Any, ...]:
    return trial["number"], trial["state"], trial["settings"], trial["values"], trial["fingerprint"]


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    sys.exit(figure.command(measure, options))
