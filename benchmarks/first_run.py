"""The first `modelyard run digits`, stack up, against one plain script that does the same learning, in turns.

Each round has a fresh copy of the project with nothing made in it: ours ingests, validates, prepares, trains,
evaluates, registers and bundles; `plain_digits` loads, splits, trains the same network for the same epochs and
evaluates.

    python -m benchmarks.first_run [--rounds 2]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import figure
from benchmarks.figure import Figure, tell
from tests.house import House
from tests.project_copy import running_copy

NAME = "first_run"
SETTLE_SECONDS = 10  # the servers' work after they are ready is not the run's


def measure(rounds: int = 2) -> list[Figure]:
    """Wall times, their ratio, and both accuracies on the test split."""
    ours: list[tuple[float, float]] = []
    plain: list[tuple[float, float]] = []
    for turn in range(rounds):
        with (
            tempfile.TemporaryDirectory(prefix="modelyard-") as folder,
            running_copy(Path(folder) / "project") as house,
        ):
            assert not list(house.root.glob("data/*/raw")), "nothing is made yet"
            if turn == 0:
                _plain(house)  # the libraries' files come from the disk once
            time.sleep(SETTLE_SECONDS)
            if turn % 2:
                ours.append(_ours(house))
                plain.append(_plain(house))
            else:
                plain.append(_plain(house))
                ours.append(_ours(house))
        tell(f"ours {ours[-1][0]:.1f} s, accuracy {ours[-1][1]}; plain {plain[-1][0]:.1f} s, accuracy {plain[-1][1]}")
    ratio = statistics.median(o[0] / p[0] for o, p in zip(ours, plain, strict=True))
    return [
        Figure(NAME, "the plain script", round(statistics.median(p[0] for p in plain), 2), "s"),
        Figure(NAME, "the first `modelyard run digits`", round(statistics.median(o[0] for o in ours), 2), "s"),
        Figure(NAME, "ratio", round(ratio, 3), "x", at_most=1.5),
        Figure(NAME, "the plain script's accuracy", min(p[1] for p in plain)),
        Figure(NAME, "digits test accuracy", min(o[1] for o in ours), at_least=0.985),
    ]


def _ours(house: House) -> tuple[float, float]:
    """Wall seconds, test accuracy."""
    begin = time.perf_counter()
    house.run("run", "digits", timeout=600)
    seconds = time.perf_counter() - begin
    (package,) = (house.project.state / "packages").iterdir()
    metrics: dict[str, Any] = json.loads((package / "metrics.json").read_text())
    return seconds, round(metrics["overall"]["accuracy"], 4)


def _plain(house: House) -> tuple[float, float]:
    begin = time.perf_counter()
    words = [sys.executable, "-m", "benchmarks.plain_digits"]
    done = subprocess.run(words, cwd=house.root, env=house.environment, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begin
    return seconds, json.loads(done.stdout)["accuracy"]


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--rounds", type=int, default=2)
    sys.exit(figure.command(measure, options))
