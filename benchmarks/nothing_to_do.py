"""`modelyard run digits` with nothing to do, against the bare `dvc repro` with nothing to do, in turns.

Both in a fresh copy of the project with its stack up, after one run. `dvc repro` is asked for the stages of digits
alone, so that it has no more to look at than we have; with `--whole` for all datasets, which are made first (this
takes the pictures of Fashion-MNIST from MODELYARD_MIRROR, or downloads them).

With `--team`, `modelyard run digits` with nothing to do in two copies in turns: one with files, and one whose registry,
flow runs and ledger lie on a real PostgreSQL and whose artifacts lie in a real S3 (SeaweedFS), where these can be had.

    python -m benchmarks.nothing_to_do [--pairs 7] [--whole] [--team]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import fsspec

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.core.errors import StackError, UsageError
from flows.platform import environment
from tests import postgres_server, s3_server, team_servers
from tests.house import COMMAND, House
from tests.project_copy import running_copy

NAME = "nothing_to_do"
OURS = [*COMMAND, "run", "digits"]
WHOLE = [sys.executable, "-m", "dvc", "repro"]
BARE = [*WHOLE, "prepare@digits"]
HEAVY = frozenset({"torch", "pandas", "mlflow", "great_expectations", "prefect"})


def measure(pairs: int = 7, whole: bool = False, team: bool = False) -> list[Figure]:
    """Medians of so many pairs, their ratio, and what was imported."""
    if team:
        return _on_a_teams_servers(pairs)
    with (
        tempfile.TemporaryDirectory(prefix="modelyard-") as folder,
        running_copy(Path(folder) / "project") as house,
    ):
        tell("the stack of a copy is up; one run of digits")
        house.run("run", "digits", timeout=600)
        environment.quiet(house.environment)
        bare = WHOLE if whole else BARE
        if whole:
            subprocess.run([*WHOLE, "-q"], cwd=house.root, env=house.environment, capture_output=True, check=True)
        for words in (OURS, bare):
            _seconds(house, words)
        seconds: dict[str, list[float]] = {"ours": [], "bare": []}
        for turn in range(pairs):
            both = [("ours", OURS), ("bare", bare)]
            for name, words in both if turn % 2 else reversed(both):
                seconds[name].append(_seconds(house, words))
            tell(f"ours {seconds['ours'][-1]:.2f} s, dvc repro {seconds['bare'][-1]:.2f} s")
        loaded = sorted(_imported(house) & HEAVY)
    if loaded:
        tell(f"imported: {', '.join(loaded)}")
    ratio = statistics.median(o / b for o, b in zip(seconds["ours"], seconds["bare"], strict=True))
    return [
        Figure(NAME, f"bare `{' '.join(bare[2:])}`, nothing to do", round(statistics.median(seconds["bare"]), 3), "s"),
        Figure(NAME, "`modelyard run`, nothing to do", round(statistics.median(seconds["ours"]), 3), "s", at_most=0.8),
        Figure(NAME, "ratio", round(ratio, 3), "x", at_most=0.7),
        Figure(NAME, f"of {', '.join(sorted(HEAVY))}: imported", len(loaded), at_most=0),
    ]


def _on_a_teams_servers(pairs: int) -> list[Figure]:
    """The same on PostgreSQL and S3, beside the one with files."""
    if (why := postgres_server.missing() or s3_server.missing()) is not None:
        raise UsageError(why, where="--team")
    with ExitStack() as during:
        base = Path(during.enter_context(tempfile.TemporaryDirectory(prefix="modelyard-")))
        files = during.enter_context(running_copy(base / "files"))
        os.environ |= during.enter_context(team_servers.running())
        servers = during.enter_context(running_copy(base / "servers"))
        houses = {"files": files, "PostgreSQL and S3": servers}
        for house in houses.values():
            house.run("run", "digits", timeout=600)
            _seconds(house, OURS)
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        if not any("/mlflow/" in path for bucket in store.ls("") for path in store.find(bucket)):
            raise StackError("MLflow's artifacts are not in the bucket")
        seconds: dict[str, list[float]] = {name: [] for name in houses}
        for turn in range(pairs):
            for name in houses if turn % 2 else reversed(houses):
                seconds[name].append(_seconds(houses[name], OURS))
            tell(", ".join(f"{name} {found[-1]:.2f} s" for name, found in seconds.items()))
    here, there = seconds.values()
    ratio = statistics.median(b / a for a, b in zip(here, there, strict=True))
    return [
        *(Figure(NAME, f"`modelyard run`, nothing to do: {name}", round(statistics.median(found), 3), "s")
          for name, found in seconds.items()),
        Figure(NAME, "PostgreSQL and S3 against files", round(ratio, 3), "x", at_most=1.5),
    ]  # fmt: skip


def _seconds(house: House, words: list[str]) -> float:
    begin = time.perf_counter()
    done = subprocess.run(words, cwd=house.root, env=house.environment, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begin
    said = done.stdout + done.stderr
    assert "up to date" in said, said
    assert "Running stage" not in said, said
    return seconds


def _imported(house: House) -> set[str]:
    """Top-level names that `modelyard run` imports."""
    words = [OURS[0], "-X", "importtime", *OURS[1:]]
    done = subprocess.run(words, cwd=house.root, env=house.environment, capture_output=True, text=True, check=True)
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "click" in names, "the interpreter told its imports"
    return names


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--pairs", type=int, default=7)
    options.add_argument("--whole", action="store_true", help="let `dvc repro` look at all datasets")
    options.add_argument("--team", action="store_true", help="on PostgreSQL and S3, beside files")
    sys.exit(figure.command(measure, options))
